//! IPFS Cluster: a peer for each IPFS node. Peers on different machines do not hear each other's announcements, so the
//! first one has a name that is known beforehand, and the others call it until it answers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use multiaddr::{Multiaddr, Protocol};
use serde_json::json;

use super::{COMPONENT, PODS, host};
use crate::names::{CLUSTER_CONFIG, CLUSTER_SECRETS, FIRST_PEER};
use crate::objects::pod::Container;
use crate::objects::{Context, Face, Object, config_map, service};
use crate::parts::{Settings, derived, given_or_made, others, plain, secret, set};
use crate::secrets::{self, Change, Source, known};
use crate::settings::{Finding, Program, Severity, multiaddress};

pub(super) const PORTS: [(&str, u16, &str); 2] =
    [("cluster-swarm", 9096, "TCP"), ("api-http", 9094, "TCP")];
/// The claim with a peer's identity and what it knows of pins.
pub(super) const CLAIM: &str = "peer";

/// The name of the Service, and the port.
pub const ADDRESS: (&str, u16) = ("ipfs-cluster-service", 9094);

/// Where a peer looks for its IPFS node, and where its proxy does.
const NODE: [&str; 2] = [
    "CLUSTER_IPFSHTTP_NODEMULTIADDRESS",
    "CLUSTER_IPFSPROXY_NODEMULTIADDRESS",
];
const PEERS: &str = "CLUSTER_PEERADDRESSES";

const CHANGED_SECRET: &str = "another secret would cut the peers off from each other while they restart; write the \
    old one into the settings, or delete the key from the Secret to change it on all peers";
const CHANGED_PEER: &str =
    "the first peer is known to the others by its key; write the old one into the settings";

/// What a peer finds in its environment, without secrets and without what differs from Pod to Pod.
pub(crate) fn environment(
    settings: &Settings<'_>,
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, String> {
    let mut plain = plain(Program::IpfsCluster, &settings.cluster);
    for by_pod in ["CLUSTER_PEERNAME", "CLUSTER_ID"] {
        plain.remove(by_pod);
    }
    let rest = format!("/ip4/0.0.0.0/tcp/{}", ADDRESS.1);
    set(&mut plain, "CLUSTER_RESTAPI_HTTPLISTENMULTIADDRESS", &rest);
    for (name, value) in [
        // all of them are ours, and nobody else knows the secret
        ("CLUSTER_CRDT_TRUSTEDPEERS", "*"),
        // the mesh carries no UDP
        ("CLUSTER_LISTENMULTIADDRESS", "/ip4/0.0.0.0/tcp/9096"),
        ("CLUSTER_MDNSINTERVAL", "0s"),
        // it tells its node of the others once, and may itself hear of them only in the second round of calls
        ("CLUSTER_IPFSHTTP_CONNECTSWARMSDELAY", "1m15s"),
    ] {
        plain.entry(name.into()).or_insert_with(|| value.into());
    }
    if !settings.own.cluster {
        return plain;
    }
    let node = node(settings);
    for name in NODE {
        match plain.get(name) {
            Some(given) if !multiaddress::is_loopback(given) => {
                if settings.own.ipfs {
                    let problem = "is another node than the stack's own; leave it out, or name that node in \
                                   `IPFS_API_CONNECTION_HOST` as well";
                    let (severity, program) = (Severity::Error, Program::IpfsCluster);
                    findings.push(Finding::new(severity, program, name, problem));
                }
            }
            _ => set(&mut plain, name, &node),
        }
    }
    plain
}

/// The IPFS node's API: in the same Pod, or where Temporal looks for it, too.
fn node(settings: &Settings<'_>) -> String {
    let host = settings.temporal("IPFS_API_CONNECTION_HOST");
    let (host, port) = match host.filter(|_| !settings.own.ipfs) {
        Some(host) => (host, settings.temporal("IPFS_API_CONNECTION_PORT")),
        None => ("127.0.0.1", None),
    };
    let bare = host.trim_matches(['[', ']']);
    let host = match bare.parse::<IpAddr>() {
        Ok(ip) => Multiaddr::from(ip),
        Err(_) => Multiaddr::from(Protocol::Dns(bare.into())),
    };
    let port = port.and_then(|port| port.parse().ok());
    let port = port.unwrap_or(super::node::ADDRESS.1);
    host.with(Protocol::Tcp(port)).to_string()
}

/// The Secrets of this part: what all peers share, and who the first one is.
pub(crate) fn secrets(settings: &Settings<'_>) -> Vec<secrets::Wanted> {
    vec![
        secret(CLUSTER_SECRETS, COMPONENT, shared(settings)),
        secret(FIRST_PEER, COMPONENT, first_peer(settings)),
    ]
}

fn shared<'a>(settings: &'a Settings<'_>) -> Vec<(&'a str, Source)> {
    let given = settings.cluster.value("CLUSTER_SECRET");
    let source = given_or_made(given, Change::Refuse(CHANGED_SECRET));
    let mut keys = vec![("CLUSTER_SECRET", source)];
    let made = ["CLUSTER_SECRET", "CLUSTER_PRIVATEKEY", "CLUSTER_ID"];
    keys.extend(others(Program::IpfsCluster, &settings.cluster, &made));
    keys
}

fn first_peer(settings: &Settings<'_>) -> Vec<(&'static str, Source)> {
    let given = |name| {
        let given = settings.cluster.value(name)?;
        Some(Source::Given(given.into(), Change::Refuse(CHANGED_PEER)))
    };
    let id = || derived(|it| secrets::peer_id(known(it, FIRST_PEER, "CLUSTER_PRIVATEKEY")));
    let key = given("CLUSTER_PRIVATEKEY").unwrap_or_else(secrets::peer_key);
    let id = given("CLUSTER_ID").unwrap_or_else(id);
    vec![("CLUSTER_PRIVATEKEY", key), ("CLUSTER_ID", id)]
}

/// Its objects but the Pods.
pub(super) fn objects(context: Context<'_>) -> Vec<Object> {
    let [_, api] = PORTS;
    let mut settings = context.environment.cluster.clone();
    // each Pod has these, and the first peer's, in its own variable
    settings.remove(PEERS);
    vec![
        config_map(context, CLUSTER_CONFIG, COMPONENT, &settings),
        service(context, ADDRESS.0, COMPONENT, Face::Inside, &[api]),
    ]
}

/// The container.
pub(super) fn container(context: Context<'_>) -> Container {
    let part = &context.stack.ipfs_cluster;
    let settings = &context.environment.cluster;
    let first = host(context, &format!("{PODS}-0"));
    let mut peers = format!("/dns4/{first}/tcp/9096/p2p/$(FIRST_PEER)");
    if let Some(others) = settings.get(PEERS) {
        peers = format!("{peers},{others}");
    }
    let first_peer = json!({ "name": FIRST_PEER, "key": "CLUSTER_ID" });
    let folder = settings.get("IPFS_CLUSTER_PATH");
    Container::new("ipfs-cluster", &part.image, &part.resources)
        .command(&["sh", "-c", SCRIPT])
        .config_map(CLUSTER_CONFIG)
        .secret(CLUSTER_SECRETS)
        .pod_name()
        .variable("CLUSTER_PEERNAME", "$(POD_NAME)")
        .variable_from("FIRST_PEER", "secretKeyRef", &first_peer)
        .variable(PEERS, &peers)
        .ports(&PORTS)
        .mount(CLAIM, folder.map_or("/data/ipfs-cluster", String::as_str))
        .mount_to_read("first-peer", "/first-peer")
        // versions below 1.0 have no `/health`
        .probes(&json!({ "httpGet": { "path": "/id", "port": "api-http" } }))
}

/// Only the first Pod's peer gets the known key, which no two peers may share.
const SCRIPT: &str = "set -eu\n\
    if [ \"${POD_NAME##*-}\" = 0 ]; then\n\
    \x20 CLUSTER_ID=$FIRST_PEER\n\
    \x20 CLUSTER_PRIVATEKEY=$(cat /first-peer/CLUSTER_PRIVATEKEY)\n\
    \x20 export CLUSTER_ID CLUSTER_PRIVATEKEY\n\
    fi\n\
    exec /usr/local/bin/entrypoint.sh daemon";
