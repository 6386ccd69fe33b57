//! The kinds of objects, and how the API spells them, as its own description has it. Only names.

use std::fmt;

use k8s_openapi::api::{
    apps::v1 as apps, batch::v1 as batch, core::v1 as core, networking::v1 as networking,
    storage::v1 as storage,
};
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
    /// How the API spells it: group, version, kind, and the word in URLs.
    pub fn resource(self) -> ApiResource {
        match self {
            Self::Namespace => ApiResource::erase::<core::Namespace>(&()),
            Self::Secret => ApiResource::erase::<core::Secret>(&()),
            Self::ConfigMap => ApiResource::erase::<core::ConfigMap>(&()),
            Self::Service => ApiResource::erase::<core::Service>(&()),
            Self::NetworkPolicy => ApiResource::erase::<networking::NetworkPolicy>(&()),
            Self::StatefulSet => ApiResource::erase::<apps::StatefulSet>(&()),
            Self::Deployment => ApiResource::erase::<apps::Deployment>(&()),
            Self::Job => ApiResource::erase::<batch::Job>(&()),
            Self::Pod => ApiResource::erase::<core::Pod>(&()),
            Self::PersistentVolumeClaim => ApiResource::erase::<core::PersistentVolumeClaim>(&()),
            Self::StorageClass => ApiResource::erase::<storage::StorageClass>(&()),
            Self::Node => ApiResource::erase::<core::Node>(&()),
            Self::Event => ApiResource::erase::<core::Event>(&()),
        }
    }

    /// The kind's name, such as `StatefulSet`.
    pub fn word(self) -> String {
        self.resource().kind
    }

    /// Whether its objects live in a namespace.
    pub const fn is_namespaced(self) -> bool {
        !matches!(self, Self::Namespace | Self::StorageClass | Self::Node)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.word())
    }
}
