//! What belongs together, and the labels by which it is known. Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "writes into JSON objects that were made a few lines above"
)]

use std::fmt;

use serde_json::{Value, json};

use crate::input::Worker;
use crate::kubernetes::{Kind, text};
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
        self.to_string()
    }

    /// The label `app`, as the original's objects had it.
    const fn app(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Rabbitmq => "rabbitmq",
            Self::Ipfs => "ipfs",
            _ => "temporal",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stack => "stack",
            Self::Postgres => "postgres",
            Self::Rabbitmq => "rabbitmq",
            Self::Ipfs => "ipfs",
            Self::Migrate => "temporal-migrate",
            Self::Account => "temporal-user",
            Self::Krab => "temporal-krab",
            Self::Api => "temporal-api",
            Self::Worker(worker) => return write!(f, "temporal-queue-{}", worker.name()),
        })
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

/// The same for what belongs to one component.
pub fn ours_of(component: &str) -> String {
    format!("{},app.kubernetes.io/component={component}", ours())
}

/// Did we make this object of the API?
pub fn is_ours(object: &Value) -> bool {
    text(object, "/metadata/labels/app.kubernetes.io~1managed-by") == MANAGER
}

/// An object of ours with a name and labels, and with these fields beside them.
pub fn object(
    kind: Kind,
    name: &str,
    component: Component,
    namespace: &str,
    fields: Value,
) -> Value {
    let resource = kind.resource();
    let mut object = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": { "name": name, "labels": labels(component) },
    });
    if kind.is_namespaced() {
        object["metadata"]["namespace"] = namespace.into();
    }
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
    object
}

/// The Namespace, for where there is none yet.
pub fn namespace(name: &str) -> Value {
    object(Kind::Namespace, name, Component::Stack, name, json!({}))
}
