//! The kinds of objects, and how the API spells them. Only names.

use kube::core::ApiResource;

/// The kinds of objects that we read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A namespace.
    Namespace,
    /// Keys and passwords.
    Secret,
    /// Settings.
    ConfigMap,
    /// A name with ports.
    Service,
    /// Who may connect to Pods.
    NetworkPolicy,
    /// Pods with names and claims of their own.
    StatefulSet,
    /// Pods that are all the same.
    Deployment,
    /// Pods that end.
    Job,
    /// Containers that run together.
    Pod,
    /// A wish for storage.
    PersistentVolumeClaim,
    /// A kind of storage.
    StorageClass,
    /// A machine.
    Node,
    /// What happened to another object.
    Event,
}

impl Kind {
    /// API group (empty for the core), version, kind, and the word in URLs.
    pub const fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::NetworkPolicy => (
                "networking.k8s.io",
                "v1",
                "NetworkPolicy",
                "networkpolicies",
            ),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::Job => ("batch", "v1", "Job", "jobs"),
            Self::Pod => ("", "v1", "Pod", "pods"),
            Self::PersistentVolumeClaim => {
                ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
            }
            Self::StorageClass => ("storage.k8s.io", "v1", "StorageClass", "storageclasses"),
            Self::Node => ("", "v1", "Node", "nodes"),
            Self::Event => ("", "v1", "Event", "events"),
        }
    }

    /// The kind's name, such as `StatefulSet`.
    pub const fn word(self) -> &'static str {
        self.names().2
    }

    /// As manifests have it, such as `apps/v1`.
    pub fn api_version(self) -> String {
        match self.names() {
            ("", version, ..) => version.to_owned(),
            (group, version, ..) => format!("{group}/{version}"),
        }
    }

    /// Whether its objects live in a namespace.
    pub const fn is_namespaced(self) -> bool {
        !matches!(self, Self::Namespace | Self::StorageClass | Self::Node)
    }

    pub(super) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.names();
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: self.api_version(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }
}
