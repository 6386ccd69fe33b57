//! What RTrade's Temporal asks the servers of its stack, and what comes of it.

use std::collections::BTreeMap;
use std::path::Path;

use nix::unistd::geteuid;
use rehearsal::cloud;
use rehearsal::parts::{IPFS_CLUSTER_VERSION, KUBO_VERSION, Part, Parts};
use rehearsal::servers::asker::Asker;
use rehearsal::servers::postgresql::{Operator, Postgresql};
use rehearsal::servers::rabbitmq::{RabbitMq, RabbitMqPorts, RabbitMqSetup};
use rehearsal::servers::running::Running;
use serde_json::{Value, json};

use super::ipfs_cluster::{SECRET, identity, names, ports, start};
use super::sandbox::{UP, listens, sandboxed, variables};

const TABLES: [&str; 10] = [
    "uploads",
    "encrypted_uploads",
    "users",
    "payments",
    "ip_ns",
    "hosted_networks",
    "zones",
    "records",
    "usages",
    "organizations",
];

const QUEUES: [&str; 5] = [
    "email-send-queue",
    "ipfs-cluster-add-queue",
    "ipfs-key-creation-queue",
    "ipfs-pin-queue",
    "ipns-entry-queue",
];

const BROKER: RabbitMqPorts = RabbitMqPorts {
    amqp: 5672,
    distribution: 25_672,
    epmd: 4369,
    tools: 35_672,
};

fn with(parts: &Parts, environment: &[(&str, &str)]) -> Asker {
    Asker::new(parts, &variables(environment)).unwrap()
}

fn refused(asker: &Asker, question: &[&str]) -> String {
    asker.ask(question).unwrap_err().to_string()
}

/// The settings that lead to node and peer `n`.
fn ipfs(n: u16) -> BTreeMap<String, String> {
    let (node, peer) = ports(n);
    variables(&[
        ("IPFS_API_CONNECTION_HOST", "127.0.0.1"),
        ("IPFS_API_CONNECTION_PORT", &node.api.to_string()),
        ("IPFS_CLUSTER_API_CONNECTION_HOST", "127.0.0.1"),
        ("IPFS_CLUSTER_API_CONNECTION_PORT", &peer.rest.to_string()),
    ])
}

fn database() -> BTreeMap<String, String> {
    variables(&[
        ("DATABASE_URL", "127.0.0.1"),
        ("DATABASE_PORT", "5432"),
        ("DATABASE_USERNAME", "temporal"),
        ("DATABASE_PASSWORD", "secret"),
    ])
}

fn broker() -> BTreeMap<String, String> {
    let url = "amqp://stack:a%20pass%3Aw%40rd%2F%25@127.0.0.1:5672/";
    variables(&[("RABBITMQ_URL", url)])
}

fn rabbitmq(parts: &Parts, work: &Path) -> RabbitMq {
    let setup = RabbitMqSetup {
        environment: variables(&[
            ("RABBITMQ_DEFAULT_USER", "stack"),
            ("RABBITMQ_DEFAULT_PASS", "a pass:w@rd/%"),
        ]),
        cookie: "a-cookie-of-more-than-twenty-characters".to_owned(),
        ..RabbitMqSetup::default()
    };
    RabbitMq::lay(parts, work, BROKER, &setup).unwrap()
}

/// Its template is made once, where the cache can be written.
fn template() {
    if !cloud::inside().unwrap() {
        let parts = Parts::locate().unwrap();
        let place = tempfile::tempdir().unwrap();
        Postgresql::lay(&parts, place.path(), 5432).unwrap();
    }
}

/// A server with Temporal's database and role.
async fn postgresql(parts: &Parts, work: &Path) -> (Running, Operator) {
    let root = work.join("postgresql");
    std::fs::create_dir(&root).unwrap();
    let server = Postgresql::lay(parts, &root, 5432).unwrap();
    let log = root.join("log");
    let running = Running::start(&server.start(geteuid().is_root()), "postgres", &log).unwrap();
    let operator = server.ready(UP).await.unwrap();
    operator
        .create_role("temporal", "secret", false)
        .await
        .unwrap();
    operator
        .create_database("temporal", "temporal")
        .await
        .unwrap();
    (running, operator)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(future)
}

fn sorted(list: &Value) -> Vec<&str> {
    let mut list: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect();
    list.sort_unstable();
    list
}

/// The second peer comes first.
#[test]
fn what_temporal_pins_every_node_keeps() {
    let name = "programs::asker::what_temporal_pins_every_node_keeps";
    let needed = [Part::Kubo, Part::IpfsCluster, Part::Asker];
    sandboxed(name, &needed, |parts, work| {
        let (id, key) = identity();
        let secret = ("CLUSTER_SECRET", SECRET);
        let later = ("CLUSTER_IPFSHTTP_CONNECTSWARMSDELAY", "60s");
        let address = format!("/ip4/127.0.0.1/tcp/{}/p2p/{id}", ports(0).1.swarm);
        let addresses = [secret, later, ("CLUSTER_PEERADDRESSES", &address)];
        let _second = start(parts, work, 1, &addresses, &[]);
        let made = [
            secret,
            later,
            ("CLUSTER_ID", &id),
            ("CLUSTER_PRIVATEKEY", &key),
        ];
        let mut first = start(parts, work, 0, &made, &[]);
        let rest = [0, 1].map(|n| ports(n).1.rest);
        let met = || rest.map(names) == [["peer-0", "peer-1"], ["peer-0", "peer-1"]];
        first[0].until("both know both", UP, met).unwrap();

        let [at_first, at_second] = [0, 1].map(|n| Asker::new(parts, &ipfs(n)).unwrap());
        let text = "what only the first node has";
        let cid = at_first.ask(&["add", text]).unwrap()["cid"].clone();
        let cid = cid.as_str().unwrap();
        let pinned = at_second.ask(&["-limit", "100s", "pin", cid, "2"]).unwrap();
        let peers = pinned["peers"].as_object().unwrap();
        assert!(
            peers.len() == 2 && peers.values().all(|it| it == "pinned"),
            "{pinned}"
        );
        drop(first);
        assert_eq!(at_second.ask(&["cat", cid]).unwrap()["text"], text);
        let stat = at_second.ask(&["stat", cid]).unwrap();
        assert!(stat["size"].as_u64().unwrap() > 0, "{stat}");
    });
}

#[test]
fn rabbitmq_has_the_queues_that_temporal_declares() {
    let name = "programs::asker::rabbitmq_has_the_queues_that_temporal_declares";
    sandboxed(name, &[Part::RabbitMq, Part::Asker], |parts, work| {
        let node = rabbitmq(parts, work);
        let server = node.run(UP).unwrap();
        let asker = Asker::new(parts, &broker()).unwrap();
        for _ in 0..2 {
            let declared = asker.ask(&["declare"]).unwrap();
            let none: BTreeMap<_, _> = QUEUES.map(|queue| (queue, 0)).into();
            assert_eq!(declared, json!({ "queues": none }));
        }
        let columns = ["name", "durable", "auto_delete", "exclusive", "arguments"];
        let arguments = [&["--silent", "list_queues"], &columns[..]].concat();
        let listed = server.ctl(&arguments).unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let mut listed: Vec<_> = listed.lines().collect();
        listed.sort_unstable();
        assert_eq!(
            listed,
            QUEUES.map(|queue| format!("{queue}\ttrue\tfalse\tfalse\t[]"))
        );

        // what was sent is there after a restart
        asker.ask(&["publish", QUEUES[3], "pin this"]).unwrap();
        server.ctl(&["stop_app"]).unwrap();
        server.ctl(&["start_app"]).unwrap();
        let message = asker.ask(&["consume", QUEUES[3]]).unwrap();
        assert_eq!(message["text"], "pin this");
        let none = refused(&asker, &["-limit", "1s", "consume", QUEUES[3]]);
        assert!(none.contains("no message came"), "{none}");
    });
}

#[test]
fn postgresql_has_the_tables_after_a_migration() {
    let name = "programs::asker::postgresql_has_the_tables_after_a_migration";
    template();
    sandboxed(name, &[Part::Postgresql, Part::Asker], |parts, work| {
        let (_running, operator) = block_on(postgresql(parts, work));
        let asker = Asker::new(parts, &database()).unwrap();
        let tls = refused(&asker, &["migrate"]);
        assert!(tls.contains("SSL is not enabled on the server"), "{tls}");

        // A role that may not create is told nothing.
        let schema = |statement: &'static str| {
            block_on(async {
                let client = operator.client("temporal").await.unwrap();
                client.batch_execute(statement).await.unwrap();
            });
        };
        schema("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
        let none = asker.ask(&["-db.no_ssl", "migrate"]).unwrap();
        assert_eq!(none["tables"], json!([]));
        schema("GRANT CREATE ON SCHEMA public TO temporal");
        let mut all = TABLES;
        all.sort_unstable();
        for _ in 0..2 {
            let made = asker.ask(&["-db.no_ssl", "migrate"]).unwrap();
            assert_eq!(sorted(&made["tables"]), all);
            assert_eq!(made["missing"], json!([]));
        }

        let account = [
            "-db.no_ssl",
            "user",
            "ada",
            "a password",
            "ada@example.invalid",
        ];
        asker.ask(&account).unwrap();
        let twice = refused(&asker, &account);
        assert!(twice.contains("make the account"), "{twice}");
        assert_eq!(
            asker.ask(&["login", "ada", "a password"]).unwrap()["user"],
            "ada"
        );
        refused(&asker, &["login", "ada", "another"]);
    });
}

/// Only a whole stack lets the API start.
#[test]
fn the_api_gets_an_answer_of_each_server() {
    let name = "programs::asker::the_api_gets_an_answer_of_each_server";
    let needed = [
        Part::Kubo,
        Part::IpfsCluster,
        Part::Postgresql,
        Part::RabbitMq,
        Part::Asker,
    ];
    template();
    sandboxed(name, &needed, |parts, work| {
        let environment = [ipfs(0), database(), broker()]
            .into_iter()
            .flatten()
            .collect();
        let asker = Asker::new(parts, &environment).unwrap();
        let lacks = |what: &str| {
            let said = refused(&asker, &["check"]);
            assert!(said.contains(what), "{what}: {said}");
        };
        lacks("failed to connect to ipfs node");
        let [peer, node] = start(parts, work, 0, &[("CLUSTER_SECRET", SECRET)], &[]);
        lacks("failed to establish connection with database");
        let _postgresql = block_on(postgresql(parts, work));
        lacks("connect to RabbitMQ");
        let broker = rabbitmq(parts, work).run(UP).unwrap();
        let answers = asker.ask(&["check"]).unwrap();
        assert_eq!(answers["rabbitmq"]["product"], "RabbitMQ");
        assert_eq!(answers["postgresql"]["tls"], false);
        let cluster = &answers["cluster"][0];
        assert_eq!(cluster["name"], "peer-0");
        assert_eq!(cluster["version"], IPFS_CLUSTER_VERSION);
        assert_eq!(cluster["ipfs"], answers["ipfs"]["id"]);
        let agent = answers["ipfs"]["agent"].as_str().unwrap();
        assert!(agent.contains(KUBO_VERSION), "{agent}");
        drop((broker, node));
        drop(peer);
        lacks("failed to connect to ipfs node");
    });
}

#[test]
fn krab_keeps_a_key_and_only_for_whom_it_knows() {
    let name = "programs::asker::krab_keeps_a_key_and_only_for_whom_it_knows";
    sandboxed(name, &[Part::Asker], |parts, work| {
        let place = work.join("keys").display().to_string();
        let settings = |key: &'static str| {
            with(
                parts,
                &[
                    ("SERVICES_KRAB_URL", "127.0.0.1:10000"),
                    ("SERVICES_KRAB_AUTH_KEY", key),
                    ("SERVICES_KRAB_KEYSTORE_PASSWORD", "a password"),
                    ("IPFS_KEYSTORE_PATH", &place),
                ],
            )
        };
        let serve = || {
            let start = settings("a key").start(&["krab"]);
            let mut krab = Running::start(&start, "krab", &work.join("krab.log")).unwrap();
            krab.until("it listens", UP, || listens(10_000)).unwrap();
            krab
        };
        let krab = serve();
        let made = settings("a key").ask(&["key", "ada"]).unwrap();
        assert_eq!(made["name"], "ada");
        let stranger = refused(&settings("another"), &["key", "eve"]);
        assert!(stranger.contains("Unauthenticated"), "{stranger}");
        drop(krab);
        let _krab = serve();
        settings("a key").ask(&["key", "ben"]).unwrap();
    });
}
