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

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

pub use self::context::{CertificatePaths, Context, Environment, Own};
pub use crate::component::{
    Component, is_ours, labels, namespace, object, ours, ours_of, selector,
};
use crate::input::ServiceType;
use crate::kubernetes::{Kind, name_of};
use crate::names::MANAGER;

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
    /// Whose it is.
    pub component: Component,
    /// All of it.
    pub body: Value,
}

impl Object {
    pub(crate) fn new(
        context: Context<'_>,
        kind: Kind,
        name: &str,
        component: Component,
        fields: Value,
    ) -> Self {
        Self {
            kind,
            component,
            body: object(kind, name, component, context.namespace, fields),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        name_of(&self.body)
    }

    /// When it is made.
    pub const fn phase(&self) -> Phase {
        if !matches!(self.kind, Kind::StatefulSet | Kind::Deployment | Kind::Job) {
            return Phase::Settings;
        }
        match self.component {
            Component::Postgres | Component::Rabbitmq | Component::Ipfs => Phase::Stores,
            Component::Migrate => Phase::Migration,
            Component::Krab => Phase::KeyStore,
            _ => Phase::Temporal,
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind.word(), self.name())
    }
}

/// A ConfigMap.
pub(crate) fn config_map(
    context: Context<'_>,
    name: &str,
    component: Component,
    data: &BTreeMap<String, String>,
) -> Object {
    let fields = json!({ "data": data });
    Object::new(context, Kind::ConfigMap, name, component, fields)
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
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, port, protocol)| {
            json!({ "name": name, "port": port, "targetPort": name, "protocol": protocol })
        })
        .collect();
    let mut spec = json!({ "selector": selector(component), "ports": ports });
    match face {
        Face::Headless => {
            spec["clusterIP"] = "None".into();
            spec["publishNotReadyAddresses"] = true.into();
        }
        Face::Inside => spec["type"] = json!(ServiceType::ClusterIp),
        Face::Typed(kind) => spec["type"] = json!(kind),
    }
    let fields = json!({ "spec": spec });
    let mut service = Object::new(context, Kind::Service, name, component, fields);
    if let Some(opaque) = pod::opaque_ports(context, component) {
        service.body["metadata"]["annotations"] = opaque;
    }
    service
}

/// A rule for Pods of this stack in this namespace.
pub(crate) fn from_stack() -> Value {
    json!({ "from": [{ "podSelector": { "matchLabels": { "app.kubernetes.io/part-of": MANAGER } } }] })
}

/// Who may connect to Pods of a component ([`Component::Stack`] means all). Rules only ever allow: without any,
/// everybody may.
pub(crate) fn policy(context: Context<'_>, component: Component, rule: &Value) -> Object {
    let pods = match component {
        Component::Stack => json!({ "app.kubernetes.io/part-of": MANAGER }),
        other => selector(other),
    };
    let spec = json!({
        "podSelector": { "matchLabels": pods },
        "policyTypes": ["Ingress"],
        "ingress": [rule],
    });
    let (name, fields) = (component.name(), json!({ "spec": spec }));
    Object::new(context, Kind::NetworkPolicy, &name, component, fields)
}
