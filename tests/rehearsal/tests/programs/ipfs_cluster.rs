use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rehearsal::parts::{Part, Parts};
use rehearsal::servers::http::ask;
use rehearsal::servers::ipfs::{Ipfs, IpfsPorts};
use rehearsal::servers::ipfs_cluster::{IpfsCluster, IpfsClusterError, IpfsClusterPorts};
use rehearsal::servers::running::Running;
use serde_json::Value;

use super::sandbox::{UP, USUAL, listens, sandboxed, variables};

pub(crate) const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

const EMPTY: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";

/// The first key pair of RFC 8032, section 7.1.
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn base58(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut digits: Vec<u32> = Vec::new();
    for &byte in bytes {
        let mut carry = u32::from(byte);
        for digit in &mut digits {
            carry += *digit << 8;
            *digit = carry % 58;
            carry /= 58;
        }
        while carry > 0 {
            digits.push(carry % 58);
            carry /= 58;
        }
    }
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).map(|_| '1');
    let digits = digits
        .iter()
        .rev()
        .map(|&digit| char::from(DIGITS[digit as usize]));
    zeros.chain(digits).collect()
}

/// The identity of a peer: its id, and its private key as the variable takes it.
pub(crate) fn identity() -> (String, String) {
    let id = [&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20], &bytes(PUBLIC)[..]].concat();
    let key = [
        &[0x08, 0x01, 0x12, 0x40],
        &bytes(SEED)[..],
        &bytes(PUBLIC)[..],
    ]
    .concat();
    (base58(&id), base64(&key))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, i| {
            bits << 8 | chunk.get(i).map_or(0, |&byte| u32::from(byte))
        });
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= chunk.len() {
                char::from(DIGITS[value as usize])
            } else {
                '='
            });
        }
    }
    text
}

fn peer(parts: &Parts, root: &Path, environment: &BTreeMap<String, String>) -> IpfsCluster {
    fs::create_dir(root).unwrap();
    IpfsCluster::lay(parts, root, environment).unwrap()
}

fn get(port: u16, path: &str) -> Value {
    let answer = ask(port, "GET", path, None).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"))
}

/// One JSON array, which is all that Temporal's client can read; from 1.0 on it is one value a line.
fn peers(port: u16) -> Vec<Value> {
    match get(port, "/peers") {
        Value::Array(peers) => peers,
        other => panic!("{other}"),
    }
}

#[test]
fn only_the_cluster_variable_moves_the_rest_port() {
    let name = "programs::ipfs_cluster::only_the_cluster_variable_moves_the_rest_port";
    sandboxed(name, &[Part::IpfsCluster], |parts, work| {
        let mut seed = variables(&[
            (
                "API_RESTAPI_HTTPLISTENMULTIADDRESS",
                "/ip4/127.0.0.1/tcp/1094",
            ),
            (
                "API_IPFSPROXY_LISTENMULTIADDRESS",
                "/ip4/127.0.0.1/tcp/1095",
            ),
            (
                "IPFSCONNECTOR_IPFSHTTP_NODEMULTIADDRESS",
                "/ip4/127.0.0.1/tcp/1001",
            ),
            ("CLUSTER_MDNSINTERVAL", "0s"),
        ]);
        let ignored = peer(parts, &work.join("ignored"), &seed);
        let file = fs::read_to_string(ignored.folder().join("service.json")).unwrap();
        assert!(
            !file.contains("tcp/1094") && !file.contains("tcp/1001"),
            "{file}"
        );
        let running = ignored.run(&[], 9094, UP).unwrap();
        assert!(listens(9095) && !listens(1094) && !listens(1095));
        drop(running);

        seed.extend(variables(&[
            (
                "CLUSTER_RESTAPI_HTTPLISTENMULTIADDRESS",
                "/ip4/127.0.0.1/tcp/2094",
            ),
            (
                "CLUSTER_IPFSPROXY_LISTENMULTIADDRESS",
                "/ip4/127.0.0.1/tcp/2095",
            ),
            (
                "CLUSTER_IPFSHTTP_NODEMULTIADDRESS",
                "/ip4/127.0.0.1/tcp/2001",
            ),
        ]));
        // The variables go before the file that the first start has written.
        let moved = ignored.with_environment(&seed);
        let running = moved.run(&[], 2094, UP).unwrap();
        assert!(listens(2095) && !listens(9094) && !listens(9095));
        running_asks_for_the_node_on(running, 2001);
    });
}

fn running_asks_for_the_node_on(mut running: Running, port: u16) {
    running.prints(&format!("127.0.0.1:{port}"), UP).unwrap();
}

#[test]
fn it_tells_its_id_without_its_ipfs_node() {
    let name = "programs::ipfs_cluster::it_tells_its_id_without_its_ipfs_node";
    sandboxed(name, &[Part::IpfsCluster], |parts, work| {
        let environment = USUAL.environment();
        let _running = peer(parts, &work.join("0"), &environment)
            .run(&[], 9094, UP)
            .unwrap();
        assert!(!listens(USUAL.ipfs));
        let id = get(9094, "/id");
        assert_ne!(id["ipfs"]["error"], "", "{id}");
    });
}

#[test]
fn an_empty_secret_leaves_the_network_open_and_says_so() {
    let name = "programs::ipfs_cluster::an_empty_secret_leaves_the_network_open_and_says_so";
    sandboxed(name, &[Part::IpfsCluster], |parts, work| {
        let mut environment = USUAL.environment();
        let secret = |peer: &IpfsCluster| {
            let file = fs::read(peer.folder().join("service.json")).unwrap();
            let file: Value = serde_json::from_slice(&file).unwrap();
            file["cluster"]["secret"].as_str().unwrap().to_owned()
        };
        let own = secret(&peer(parts, &work.join("unset"), &environment));
        assert_eq!(own.len(), 64);
        assert_ne!(own, secret(&peer(parts, &work.join("other"), &environment)));

        environment.insert("CLUSTER_SECRET".to_owned(), String::new());
        let open = peer(parts, &work.join("open"), &environment);
        assert_eq!(secret(&open), "");
        let running = open.run(&[], 9094, UP).unwrap();
        let log = running.log().unwrap();
        assert!(
            log.contains("cluster will start on unprotected network"),
            "{log}"
        );
    });
}

#[test]
fn values_that_cannot_be_read_stop_it() {
    let name = "programs::ipfs_cluster::values_that_cannot_be_read_stop_it";
    sandboxed(name, &[Part::IpfsCluster], |parts, work| {
        let good = peer(parts, &work.join("good"), &USUAL.environment());
        for (variable, value, complaint) in [
            ("CLUSTER_SECRET", "00ff", "cluster secret should be 32"),
            (
                "CLUSTER_REPLICATIONFACTORMIN",
                "",
                "converting '' to type int",
            ),
            (
                "CLUSTER_REPLICATIONFACTORMAX",
                "",
                "converting '' to type int",
            ),
            ("CLUSTER_LEAVEONSHUTDOWN", "", "converting '' to type bool"),
            ("CLUSTER_REPLICATIONFACTORMIN", "2", "replication"),
        ] {
            let mut environment = USUAL.environment();
            environment.insert(variable.to_owned(), value.to_owned());
            let root = work.join("bad");
            fs::create_dir(&root).unwrap();
            let refused = IpfsCluster::lay(parts, &root, &environment).unwrap_err();
            assert!(
                matches!(refused, IpfsClusterError::Init { .. }),
                "{refused}"
            );
            assert!(
                refused.to_string().contains(complaint),
                "{variable}: {refused}"
            );
            fs::remove_dir_all(&root).unwrap();

            let later = good
                .with_environment(&environment)
                .run(&[], 9094, UP)
                .unwrap_err();
            assert!(later.to_string().contains(complaint), "{variable}: {later}");
        }
    });
}

/// Each peer has a node of its own: without one a peer joins, but is not listed.
pub(crate) fn ports(n: u16) -> (IpfsPorts, IpfsClusterPorts) {
    let at = |port: u16| 10_000 + 1_000 * n + port;
    let node = IpfsPorts {
        swarm: at(1),
        api: at(2),
        gateway: at(3),
    };
    let peer = IpfsClusterPorts {
        swarm: at(4),
        rest: at(5),
        proxy: at(6),
        ipfs: node.api,
    };
    (node, peer)
}

/// Starts peer `n` with its node.
pub(crate) fn start(
    parts: &Parts,
    work: &Path,
    n: u16,
    given: &[(&str, &str)],
    arguments: &[&str],
) -> [Running; 2] {
    let root = work.join(n.to_string());
    let (node, cluster) = ports(n);
    let mut environment = cluster.environment();
    environment.extend(variables(&[("CLUSTER_PEERNAME", &format!("peer-{n}"))]));
    environment.extend(variables(given));
    let peer = peer(parts, &root, &environment);
    let node = Ipfs::lay(parts, &root, node).unwrap().run(UP).unwrap();
    [peer.run(arguments, cluster.rest, UP).unwrap(), node]
}

pub(crate) fn names(rest: u16) -> Vec<String> {
    let mut names: Vec<_> = peers(rest)
        .into_iter()
        .map(|peer| peer["peername"].as_str().unwrap_or_default().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_made_identity_is_taken_and_others_find_it() {
    let name = "programs::ipfs_cluster::a_made_identity_is_taken_and_others_find_it";
    let needed = [Part::Kubo, Part::IpfsCluster];
    sandboxed(name, &needed, |parts, work| {
        let (id, key) = identity();
        let rest = [0, 1, 2].map(|n| ports(n).1.rest);
        let secret = ("CLUSTER_SECRET", SECRET);
        let made = [secret, ("CLUSTER_ID", &id), ("CLUSTER_PRIVATEKEY", &key)];
        let _first = start(parts, work, 0, &made, &[]);
        assert_eq!(get(rest[0], "/id")["id"], id);

        let address = format!("/ip4/127.0.0.1/tcp/{}/p2p/{id}", ports(0).1.swarm);
        let bootstrap = ["--bootstrap", &address];
        let mut second = start(parts, work, 1, &[secret], &bootstrap);
        for rest in [rest[0], rest[1]] {
            let what = format!("two peers are listed on port {rest}");
            let both = || names(rest) == ["peer-0", "peer-1"];
            second[0].until(&what, UP, both).unwrap();
        }

        // What one is told to pin, all pin: the empty directory, which every node has.
        let pin = format!("/pins/{EMPTY}");
        assert_eq!(ask(rest[0], "POST", &pin, None).unwrap().status, 200);
        let pinned = || {
            let status = get(rest[1], &pin);
            let peers = status["peer_map"].as_object().unwrap();
            peers.len() == 2 && peers.values().all(|peer| peer["status"] == "pinned")
        };
        second[0].until("both have pinned", UP, pinned).unwrap();

        // Another secret is another network.
        let stranger = SECRET.replace("0001", "ffff");
        let mut stranger = start(parts, work, 2, &[("CLUSTER_SECRET", &stranger)], &bootstrap);
        let failed = format!("bootstrap to {address} failed");
        stranger[0].prints(&failed, UP).unwrap();
        assert_eq!(names(rest[2]), ["peer-2"]);
        assert_eq!(names(rest[0]), ["peer-0", "peer-1"]);
    });
}

/// A first try that fails is no end: both ways to name a peer are tried again and again, so peers
/// may start in any order.
#[test]
fn peers_that_come_first_find_a_later_one() {
    let name = "programs::ipfs_cluster::peers_that_come_first_find_a_later_one";
    let needed = [Part::Kubo, Part::IpfsCluster];
    sandboxed(name, &needed, |parts, work| {
        let (id, key) = identity();
        let rest = [0, 1, 2].map(|n| ports(n).1.rest);
        let secret = ("CLUSTER_SECRET", SECRET);
        let address = format!("/ip4/127.0.0.1/tcp/{}/p2p/{id}", ports(0).1.swarm);
        let mut first = start(parts, work, 1, &[secret], &["--bootstrap", &address]);
        first[0].prints("bootstrap to", UP).unwrap();
        let addresses = [secret, ("CLUSTER_PEERADDRESSES", &address)];
        let _second = start(parts, work, 2, &addresses, &[]);
        assert_eq!([names(rest[1]), names(rest[2])], [["peer-1"], ["peer-2"]]);

        let made = [secret, ("CLUSTER_ID", &id), ("CLUSTER_PRIVATEKEY", &key)];
        let mut later = start(parts, work, 0, &made, &[]);
        // The others learn of each other's addresses only where these are not of the loopback.
        let all = || names(rest[0]) == ["peer-0", "peer-1", "peer-2"];
        later[0].until("three peers are listed", UP, all).unwrap();
    });
}

#[test]
fn an_identity_is_both_id_and_key_or_neither() {
    let name = "programs::ipfs_cluster::an_identity_is_both_id_and_key_or_neither";
    sandboxed(name, &[Part::IpfsCluster], |parts, work| {
        let (id, key) = identity();
        for (variable, value) in [("CLUSTER_ID", &id), ("CLUSTER_PRIVATEKEY", &key)] {
            let mut environment = USUAL.environment();
            environment.insert(variable.to_owned(), value.clone());
            let root = work.join(variable);
            fs::create_dir(&root).unwrap();
            let refused = IpfsCluster::lay(parts, &root, &environment).unwrap_err();
            assert!(
                refused
                    .to_string()
                    .contains("does not match the private_key"),
                "{refused}"
            );
        }
    });
}

#[test]
fn everything_needs_the_credentials_and_there_is_no_route_for_health() {
    let name = "programs::ipfs_cluster::\
                everything_needs_the_credentials_and_there_is_no_route_for_health";
    sandboxed(name, &[Part::IpfsCluster], |parts, work| {
        let mut environment = USUAL.environment();
        let credentials =
            variables(&[("CLUSTER_RESTAPI_BASICAUTHCREDENTIALS", "stack:a b,reader:r")]);
        environment.extend(credentials);
        let _running = peer(parts, &work.join("0"), &environment)
            .run(&[], 9094, UP)
            .unwrap();
        for path in ["/id", "/peers", "/pins", "/version"] {
            let status =
                |authorization: Option<&str>| ask(9094, "GET", path, authorization).unwrap().status;
            assert_eq!(status(None), 401, "{path}");
            let basic = |pair: &str| format!("Basic {}", base64(pair.as_bytes()));
            assert_eq!(status(Some(&basic("stack:wrong"))), 401, "{path}");
            for pair in ["stack:a b", "reader:r"] {
                let status = status(Some(&basic(pair)));
                assert!((200..300).contains(&status), "{path} {pair}: {status}");
            }
        }
        let basic = format!("Basic {}", base64(b"stack:a b"));
        let health = ask(9094, "GET", "/health", Some(&basic)).unwrap();
        assert_eq!(health.status, 404);
    });
}
