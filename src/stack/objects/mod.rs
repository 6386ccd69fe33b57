//! What the objects of all parts have in common: labels, Services, policies, Pods. Pure: the same input gives the
//! same objects.
//!
//! They are written as JSON, which reads like the manifests that people know; the server checks every field
//! of them strictly.

#![expect(
    clippy::indexing_slicing,
    reason = "writes into JSON objects that were made a few lines above"
)]

pub mod context;
pub mod pod;

use std::fmt;

use serde_json::{Value, json};

pub use self::context::{CertificatePaths, Context, Environment, Own};
use crate::input::{ServiceType, Worker};
use crate::kubernetes::{Kind, name_of};
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

/// The steps of an installation; each waits until everything before it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Settings, names and rules.
    Settings,
    /// Database, broker, IPFS and IPFS Cluster.
    Stores,
    /// The tables, which no other program of the stack makes.
    Migration,
    /// krab, which the API and some workers ask when they start.
    KeyStore,
    /// The API and the workers.
    Temporal,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 5] = [
        Self::Settings,
        Self::Stores,
        Self::Migration,
        Self::KeyStore,
        Self::Temporal,
    ];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Settings => "settings",
            Self::Stores => "stores",
            Self::Migration => "migration",
            Self::KeyStore => "key store",
            Self::Temporal => "temporal",
        })
    }
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// When it is made.
    pub phase: Phase,
    /// Whose it is.
    pub component: Component,
    /// All of it.
    pub body: Value,
}

impl Object {
    /// Its name.
    pub fn name(&self) -> &str {
        name_of(&self.body)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind.word(), self.name())
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
pub(crate) fn object(kind: Kind, name: &str, component: Component, namespace: &str) -> Value {
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

/// A ConfigMap.
pub(crate) fn config_map(
    context: Context<'_>,
    name: &str,
    component: Component,
    data: &std::collections::BTreeMap<String, String>,
) -> Object {
    let mut body = object(Kind::ConfigMap, name, component, context.namespace);
    body["data"] = json!(data);
    Object {
        kind: Kind::ConfigMap,
        phase: Phase::Settings,
        component,
        body,
    }
}

/// How a Service gives out addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// Those of the Pods, each under its own name, ready or not: they must find each other to become ready.
    Headless,
    /// One of its own.
    Inside,
    /// That, and from outside the cluster.
    Typed(ServiceType),
}

/// A Service; each port has the name, the number and the protocol of a port that a container really has.
pub(crate) fn service(
    context: Context<'_>,
    name: &str,
    component: Component,
    face: Face,
    ports: &[(&str, u16, &str)],
) -> Object {
    let mut body = object(Kind::Service, name, component, context.namespace);
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, port, protocol)| {
            json!({ "name": name, "port": port, "targetPort": name, "protocol": protocol })
        })
        .collect();
    body["spec"] = json!({ "selector": selector(component), "ports": ports });
    match face {
        Face::Headless => {
            body["spec"]["clusterIP"] = "None".into();
            body["spec"]["publishNotReadyAddresses"] = true.into();
        }
        Face::Inside => body["spec"]["type"] = "ClusterIP".into(),
        Face::Typed(kind) => body["spec"]["type"] = kind.word().into(),
    }
    if let Some(opaque) = pod::opaque_ports(context, component) {
        body["metadata"]["annotations"] = opaque;
    }
    Object {
        kind: Kind::Service,
        phase: Phase::Settings,
        component,
        body,
    }
}

/// Pods of this stack in this namespace.
pub(crate) fn from_stack() -> Value {
    json!({
        "from": [{ "podSelector": { "matchLabels": { "app.kubernetes.io/part-of": MANAGER } } }],
    })
}

/// Who may connect to Pods of a component ([`Component::Stack`] means all). Rules only ever allow: without any,
/// everybody may.
pub(crate) fn policy(context: Context<'_>, component: Component, ingress: &Value) -> Object {
    let mut body = object(
        Kind::NetworkPolicy,
        &component.name(),
        component,
        context.namespace,
    );
    let pods = match component {
        Component::Stack => json!({ "app.kubernetes.io/part-of": MANAGER }),
        other => selector(other),
    };
    body["spec"] = json!({
        "podSelector": { "matchLabels": pods },
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    });
    Object {
        kind: Kind::NetworkPolicy,
        phase: Phase::Settings,
        component,
        body,
    }
}
