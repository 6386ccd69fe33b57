//! IPFS nodes. Port 5001 is full control without a password: nobody but the stack reaches it.

use serde_json::json;

use crate::objects::pod::{Pods, container, ports, probes};
use crate::objects::{Component, Context, Face, Object, Phase, policy, service};

const COMPONENT: Component = Component::Ipfs;
const PORTS: [(&str, u16, &str); 4] = [
    ("swarm", 4001, "TCP"),
    ("swarm-udp", 4001, "UDP"),
    ("api", 5001, "TCP"),
    ("gateway", 8080, "TCP"),
];
const SWARM: [(&str, u16, &str); 2] = [("swarm", 4001, "TCP"), ("swarm-udp", 4001, "UDP")];
/// The user of the image and its group `users`.
const USER: (u32, u32) = (1000, 100);

/// The Service with the nodes' own names.
pub const NODES: &str = "ipfs";
/// The Service for Temporal, which stays with one node, and the port.
pub const ADDRESS: (&str, u16) = ("ipfs-api", 5001);

/// Its objects.
pub(crate) fn objects(context: Context<'_>) -> Vec<Object> {
    let part = &context.stack.ipfs;
    let mut api = service(
        context,
        ADDRESS.0,
        COMPONENT,
        Face::Inside,
        &[("api", 5001, "TCP"), ("gateway", 8080, "TCP")],
    );
    api.body["spec"]["sessionAffinity"] = "ClientIP".into();
    let mut objects = vec![
        service(context, NODES, COMPONENT, Face::Headless, &PORTS),
        api,
        stateful_set(context),
    ];
    if let Some(kind) = part.swarm_service_type {
        let face = Face::Typed(kind);
        objects.push(service(context, "ipfs-swarm", COMPONENT, face, &SWARM));
        let swarm = json!([{ "ports": [
            { "port": 4001, "protocol": "TCP" },
            { "port": 4001, "protocol": "UDP" },
        ] }]);
        objects.push(policy(context, COMPONENT, &swarm));
    }
    objects
}

fn stateful_set(context: Context<'_>) -> Object {
    let part = &context.stack.ipfs;
    let mut node = container("ipfs", &part.image, &part.resources);
    // no search for neighbours in the networks of a data centre; read when the node is first made
    node["env"] = json!([{ "name": "IPFS_PROFILE", "value": "server" }]);
    node["ports"] = ports(&PORTS);
    node["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data/ipfs" }]);
    // the API takes POST only, which a probe over HTTP cannot send
    probes(&mut node, &json!({ "tcpSocket": { "port": "api" } }));
    let pods = Pods {
        component: COMPONENT,
        phase: Phase::Stores,
        fingerprint: context.fingerprints(&std::collections::BTreeMap::new(), &[]),
        user: Some(USER),
        grace: 60,
        containers: vec![node],
        init_containers: Vec::new(),
        volumes: Vec::new(),
    };
    pods.stateful_set(context, NODES, part.replicas, &[("data", &part.storage)])
}
