//! The kinds of objects, and how the API spells them, as its own description has it. Only names.

use std::fmt;

use k8s_openapi::Resource;
use k8s_openapi::api::{
    apps::v1 as apps, batch::v1 as batch, core::v1 as core, networking::v1 as networking,
    storage::v1 as storage,
};
use kube::core::{ApiResource, GroupVersionKind};

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

/// How the API spells a kind.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// The API group, empty for the core.
    pub group: &'static str,
    version: &'static str,
    /// As manifests have it, such as `apps/v1`.
    pub api_version: &'static str,
    /// The kind's name, such as `StatefulSet`.
    pub word: &'static str,
    /// The word in URLs and in rules, such as `statefulsets`.
    pub plural: &'static str,
}

const fn of<K: Resource>() -> Names {
    Names {
        group: K::GROUP,
        version: K::VERSION,
        api_version: K::API_VERSION,
        word: K::KIND,
        plural: K::URL_PATH_SEGMENT,
    }
}

impl Kind {
    /// All of its names.
    pub const fn names(self) -> Names {
        match self {
            Self::Namespace => of::<core::Namespace>(),
            Self::Secret => of::<core::Secret>(),
            Self::ConfigMap => of::<core::ConfigMap>(),
            Self::Service => of::<core::Service>(),
            Self::NetworkPolicy => of::<networking::NetworkPolicy>(),
            Self::StatefulSet => of::<apps::StatefulSet>(),
            Self::Deployment => of::<apps::Deployment>(),
            Self::Job => of::<batch::Job>(),
            Self::Pod => of::<core::Pod>(),
            Self::PersistentVolumeClaim => of::<core::PersistentVolumeClaim>(),
            Self::StorageClass => of::<storage::StorageClass>(),
            Self::Node => of::<core::Node>(),
            Self::Event => of::<core::Event>(),
        }
    }

    /// The kind's name, such as `StatefulSet`.
    pub const fn word(self) -> &'static str {
        self.names().word
    }

    /// Whether its objects live in a namespace.
    pub const fn is_namespaced(self) -> bool {
        !matches!(self, Self::Namespace | Self::StorageClass | Self::Node)
    }

    pub(super) fn resource(self) -> ApiResource {
        let names = self.names();
        let kind = GroupVersionKind::gvk(names.group, names.version, names.word);
        ApiResource::from_gvk_with_plural(&kind, names.plural)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
