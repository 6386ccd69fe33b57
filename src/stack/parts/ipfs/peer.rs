//! IPFS Cluster: a peer for each IPFS node. Peers on different machines do not hear each other's
//! announcements, so the first one has a name that is known beforehand, and the others start by calling it.

use std::collections::BTreeMap;

use serde_json::json;

use super::node;
use crate::names::{CLUSTER_CONFIG, CLUSTER_SECRETS, FIRST_PEER};
use crate::objects::pod::{Pods, container, environment_from, pod_name, ports, probes};
use crate::objects::{Component, Context, Face, Object, Phase, config_map, service};
use crate::parts::{Settings, given_or_made, others, plain, secret, set};
use crate::secrets::{self, Change, Source, Values, known};
use crate::settings::Program;

const COMPONENT: Component = Component::IpfsCluster;
const PORTS: [(&str, u16, &str); 3] = [
    ("cluster-swarm", 9096, "TCP"),
    ("cluster-udp", 9096, "UDP"),
    ("api-http", 9094, "TCP"),
];
/// The user of the image and its group `users`.
const USER: (u32, u32) = (1000, 100);
/// The Service with the peers' own names.
const PEERS: &str = "ipfs-cluster";

/// The name of the Service, and the port.
pub const ADDRESS: (&str, u16) = ("ipfs-cluster-service", 9094);

const CHANGED_SECRET: &str = "another secret would cut the peers off from each other while they restart; write the \
    old one into the settings, or delete the key from the Secret to change it on all peers";
const CHANGED_PEER: &str =
    "the first peer is known to the others by its key; write the old one into the settings";

/// What a peer finds in its environment, without secrets.
pub(crate) fn environment(settings: &Settings) -> BTreeMap<String, String> {
    let mut plain = plain(Program::IpfsCluster, &settings.cluster);
    for by_number in ["CLUSTER_PEERNAME", "CLUSTER_ID"] {
        plain.remove(by_number);
    }
    let rest = format!("/ip4/0.0.0.0/tcp/{}", ADDRESS.1);
    set(&mut plain, "CLUSTER_RESTAPI_HTTPLISTENMULTIADDRESS", &rest);
    // all of them are ours, and nobody else knows the secret
    plain
        .entry("CLUSTER_CRDT_TRUSTEDPEERS".to_owned())
        .or_insert_with(|| "*".to_owned());
    plain
}

/// The Secrets of this part: what all peers share, and who the first one is.
pub(crate) fn secrets(settings: &Settings) -> Vec<secrets::Wanted> {
    vec![
        secret(CLUSTER_SECRETS, COMPONENT, shared(settings)),
        secret(FIRST_PEER, COMPONENT, first_peer(settings)),
    ]
}

fn shared(settings: &Settings) -> Vec<(String, Source)> {
    let secret = settings.cluster.value("CLUSTER_SECRET");
    let mut keys = vec![(
        "CLUSTER_SECRET".to_owned(),
        given_or_made(secret, Change::Refuse(CHANGED_SECRET)),
    )];
    let made = ["CLUSTER_SECRET", "CLUSTER_PRIVATEKEY", "CLUSTER_ID"];
    keys.extend(others(Program::IpfsCluster, &settings.cluster, &made));
    keys
}

fn first_peer(settings: &Settings) -> Vec<(String, Source)> {
    let given = |name| settings.cluster.value(name);
    let refuse = Change::Refuse(CHANGED_PEER);
    let key = given("CLUSTER_PRIVATEKEY")
        .map_or_else(secrets::peer_key, |key| Source::Given(key.into(), refuse));
    let id = given("CLUSTER_ID").map_or_else(
        || {
            Source::Derived(Box::new(|values: &Values| {
                secrets::peer_id(known(values, FIRST_PEER, "CLUSTER_PRIVATEKEY")).into()
            }))
        },
        |id| Source::Given(id.into(), refuse),
    );
    vec![
        ("CLUSTER_PRIVATEKEY".to_owned(), key),
        ("CLUSTER_ID".to_owned(), id),
    ]
}

/// Its objects.
pub(crate) fn objects(context: Context<'_>) -> Vec<Object> {
    let api = &[("api-http", 9094, "TCP")];
    let settings = &context.environment.cluster;
    vec![
        config_map(context, CLUSTER_CONFIG, COMPONENT, settings),
        service(context, PEERS, COMPONENT, Face::Headless, &PORTS),
        service(context, ADDRESS.0, COMPONENT, Face::Inside, api),
        stateful_set(context),
    ]
}

fn stateful_set(context: Context<'_>) -> Object {
    let part = &context.stack.ipfs_cluster;
    let settings = &context.environment.cluster;
    let mut peer = container("ipfs-cluster", &part.image, &part.resources);
    peer["command"] = json!(["sh", "-c", script(context)]);
    peer["envFrom"] = environment_from(CLUSTER_CONFIG, CLUSTER_SECRETS);
    peer["env"] = json!([pod_name()]);
    peer["ports"] = ports(&PORTS);
    let folder = settings.get("IPFS_CLUSTER_PATH");
    let folder = folder.map_or("/data/ipfs-cluster", String::as_str);
    peer["volumeMounts"] = json!([
        { "name": "data", "mountPath": folder },
        { "name": "first-peer", "mountPath": "/first-peer", "readOnly": true },
    ]);
    // the one route that asks for no credentials, even where they are set
    let ready = json!({ "httpGet": { "path": "/health", "port": "api-http" } });
    probes(&mut peer, &ready);
    let pods = Pods {
        component: COMPONENT,
        phase: Phase::Stores,
        fingerprint: context.fingerprints(settings, &[CLUSTER_SECRETS, FIRST_PEER]),
        user: Some(USER),
        grace: 60,
        containers: vec![peer],
        init_containers: Vec::new(),
        volumes: vec![json!({ "name": "first-peer", "secret": { "secretName": FIRST_PEER } })],
    };
    let replicas = context.stack.ipfs.replicas;
    pods.stateful_set(context, PEERS, replicas, &[("data", &part.storage)])
}

/// What a Pod's own number decides: its name, its IPFS node, and whether it is the first peer. Only the first one
/// gets the known key, which no two peers may share. Settings of the user win where it is not the number's
/// business.
pub fn script(context: Context<'_>) -> String {
    let namespace = context.namespace;
    let mut lines = vec![
        "set -eu".to_owned(),
        "number=${POD_NAME##*-}".to_owned(),
        "export CLUSTER_PEERNAME=\"$POD_NAME\"".to_owned(),
    ];
    if context.environment.own.ipfs {
        let node = format!(
            "/dns4/ipfs-$number.{}.{namespace}.svc/tcp/5001",
            node::NODES
        );
        lines.push(format!("export CLUSTER_IPFSHTTP_NODEMULTIADDRESS={node}"));
        lines.push(format!("export CLUSTER_IPFSPROXY_NODEMULTIADDRESS={node}"));
    }
    lines.extend([
        "if [ \"$number\" = 0 ]; then".to_owned(),
        "  CLUSTER_ID=$(cat /first-peer/CLUSTER_ID)".to_owned(),
        "  CLUSTER_PRIVATEKEY=$(cat /first-peer/CLUSTER_PRIVATEKEY)".to_owned(),
        "  export CLUSTER_ID CLUSTER_PRIVATEKEY".to_owned(),
        "  exec /usr/local/bin/entrypoint.sh daemon".to_owned(),
        "fi".to_owned(),
        format!(
            "exec /usr/local/bin/entrypoint.sh daemon --bootstrap \
             \"/dns4/{PEERS}-0.{PEERS}.{namespace}.svc/tcp/9096/p2p/$(cat /first-peer/CLUSTER_ID)\""
        ),
    ]);
    lines.join("\n")
}
