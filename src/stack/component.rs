//! What belongs together, and the labels by which it is known. Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "writes into JSON objects that were made a few lines above"
)]

use std::fmt;

use serde_json::{Value, json};

use crate::input::Worker;
use crate::kubernetes::Kind;
use crate::names::MANAGER;

/// What belongs together: a program with its settings, Service and storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// What all others need.
    Stack,
    /// The database.
    Postgres,
    /// The message broker.
    Rabbitmq,
    /// The IPFS nodes with their IPFS Cluster peers.
    Ipfs,
    /// What makes the tables.
    Migrate,
    /// The key store.
    Krab,
    /// The REST API.
    Api,
    /// A worker on a queue.
    Worker(Worker),
    /// What makes an account, and goes again.
    Account,
}

impl Component {
    /// The name in labels, and of its workload.
    pub fn name(self) -> String {
        match self {
            Self::Stack => "stack".to_owned(),
            Self::Postgres => "postgres".to_owned(),
            Self::Rabbitmq => "rabbitmq".to_owned(),
            Self::Ipfs => "ipfs".to_owned(),
            Self::Migrate => "temporal-migrate".to_owned(),
            Self::Account => "temporal-user".to_owned(),
            Self::Krab => "temporal-krab".to_owned(),
            Self::Api => "temporal-api".to_owned(),
            Self::Worker(worker) => format!("temporal-queue-{}", worker.name()),
        }
    }

    /// The label `app`, as the original's objects had it.
    const fn app(self) -> &'static str {
        match self {
            Self::Stack
            | Self::Migrate
            | Self::Krab
            | Self::Api
            | Self::Worker(_)
            | Self::Account => "temporal",
            Self::Postgres => "postgres",
            Self::Rabbitmq => "rabbitmq",
            Self::Ipfs => "ipfs",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// The labels by which Pods of a component are found. They never change: the API lets no selector be changed.
pub fn selector(component: Component) -> Value {
    json!({
        "app.kubernetes.io/part-of": MANAGER,
        "app.kubernetes.io/component": component.name(),
    })
}

/// The labels of everything that we make.
pub fn labels(component: Component) -> Value {
    json!({
        "app": component.app(),
        "app.kubernetes.io/component": component.name(),
        "app.kubernetes.io/managed-by": MANAGER,
        "app.kubernetes.io/part-of": MANAGER,
    })
}

/// The label selector for everything that we made.
pub fn ours() -> String {
    format!("app.kubernetes.io/managed-by={MANAGER},app.kubernetes.io/part-of={MANAGER}")
}

/// Did we make this object of the API?
pub fn is_ours(object: &Value) -> bool {
    let label = object.pointer("/metadata/labels/app.kubernetes.io~1managed-by");
    label.and_then(Value::as_str) == Some(MANAGER)
}

/// An object of ours with a name and labels.
pub fn object(kind: Kind, name: &str, component: Component, namespace: &str) -> Value {
    let mut object = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.word(),
        "metadata": { "name": name, "labels": labels(component) },
    });
    if kind.is_namespaced() {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

/// The Namespace, for where there is none yet.
pub fn namespace(name: &str) -> Value {
    object(Kind::Namespace, name, Component::Stack, name)
}

/// A Secret with these values, encoded, and of this type.
pub fn secret(
    name: &str,
    component: Component,
    namespace: &str,
    kind: &str,
    data: serde_json::Map<String, Value>,
) -> Value {
    let mut secret = object(Kind::Secret, name, component, namespace);
    secret["type"] = kind.into();
    secret["data"] = data.into();
    secret
}
