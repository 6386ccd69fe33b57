//! IPFS: each Pod has a node and the peer of IPFS Cluster that looks after it. They share the Pod's network, so the peer
//! finds its node at 127.0.0.1, as the document has it. What the settings send elsewhere is not in the Pods.

pub mod node;
pub mod peer;
pub(crate) mod settings;

use std::collections::BTreeMap;

use serde_json::json;

use crate::names::{CLUSTER_SECRETS, FIRST_PEER, IPFS_NODE};
use crate::objects::pod::Pods;
use crate::objects::{Component, Context, Face, Object, service};

const COMPONENT: Component = Component::Ipfs;
/// The Service with the Pods' own names, and the name of the Pods without their numbers.
const PODS: &str = "ipfs";
/// The user of both images and its group `users`.
const USER: (u32, u32) = (1000, 100);

/// A Pod's own name, which outlives its address. `number` may be a variable's.
fn host(context: Context<'_>, pod: &str) -> String {
    format!("{pod}.{PODS}.{}.svc", context.namespace)
}

/// Its objects.
pub(crate) fn objects(context: Context<'_>) -> Vec<Object> {
    let own = context.environment.own;
    let mut objects = Vec::new();
    let mut ports = Vec::new();
    if own.ipfs {
        objects.extend(node::objects(context));
        ports.extend(node::PORTS);
    }
    if own.cluster {
        objects.extend(peer::objects(context));
        ports.extend(peer::PORTS);
    }
    if !ports.is_empty() {
        objects.push(service(context, PODS, COMPONENT, Face::Headless, &ports));
        objects.push(stateful_set(context));
    }
    objects
}

fn stateful_set(context: Context<'_>) -> Object {
    let (stack, environment) = (context.stack, context.environment);
    let mut pods = Pods::new(context, COMPONENT, USER, 60);
    let mut config = BTreeMap::new();
    let mut secrets: &[&str] = &[];
    // where the node is elsewhere, more peers would pin the same things on the same one
    let mut replicas = 1;
    if environment.own.ipfs {
        pods.containers.push(node::container(context));
        pods.volume("hook", "configMap", &json!({ "name": IPFS_NODE }));
        pods.claim(node::CLAIM, &stack.ipfs.storage);
        config.extend(node::files(context));
        replicas = stack.ipfs.replicas;
    }
    if environment.own.cluster {
        pods.containers.push(peer::container(context));
        pods.volume("first-peer", "secret", &json!({ "secretName": FIRST_PEER }));
        pods.claim(peer::CLAIM, &stack.ipfs_cluster.storage);
        config.extend(environment.cluster.clone());
        secrets = &[CLUSTER_SECRETS, FIRST_PEER];
    }
    pods.fingerprint = context.fingerprints(&config, secrets);
    pods.stateful_set(PODS, replicas)
}
