use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use nix::sys::signal::Signal;
use rehearsal::parts::{Parts, TEMPORAL_VERSIONS, Temporal};
use rehearsal::servers::Start;
use rehearsal::servers::nginx::{Ingress, Nginx};
use rehearsal::servers::temporal::{Database, Store, hello, write_pass_file};

use super::running::{Running, free_port, listens, postgresql};

const PASSWORD: &str = r#"a b:c\d'e"{{1}}#$&<ü"#;

fn run(start: &Start) -> Output {
    start.command().output().unwrap()
}

fn succeeds(start: &Start) -> String {
    let output = run(start);
    assert!(output.status.success(), "{start:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The two databases of a server, with an account, and a pass file for it.
async fn databases(database: &super::running::Database, root: &Path) -> [(Store, Database); 2] {
    let pass_file = root.join("pgpass");
    write_pass_file(&pass_file, PASSWORD).unwrap();
    database
        .operator
        .create_role("relation_id_7", PASSWORD, false)
        .await
        .unwrap();
    let mut made = Vec::new();
    for (store, name) in [
        (Store::Default, "temporal-k8s_db"),
        (Store::Visibility, "temporal-k8s_visibility"),
    ] {
        database
            .operator
            .create_database(name, "relation_id_7")
            .await
            .unwrap();
        let database = Database {
            host: "127.0.0.1".to_owned(),
            port: database.port,
            user: "relation_id_7".to_owned(),
            name: name.to_owned(),
            pass_file: pass_file.clone(),
            tls: false,
        };
        made.push((store, database));
    }
    made.try_into().unwrap()
}

fn migrate(temporal: &Temporal, databases: &[(Store, Database); 2]) {
    for (store, database) in databases {
        succeeds(&temporal.setup_schema(database));
        succeeds(&temporal.update_schema(*store, database));
        // Once more, as the admin application does on each of its own events.
        succeeds(&temporal.setup_schema(database));
        succeeds(&temporal.update_schema(*store, database));
    }
}

#[tokio::test]
async fn every_schema_tool_reaches_the_version_its_server_needs() {
    let parts = Parts::locate().unwrap();
    let needed = [("1.8", "1.1"), ("1.11", "1.4"), ("1.19", "1.14")];
    for (version, needed) in TEMPORAL_VERSIONS.iter().zip(needed) {
        let temporal = parts.temporal(version).unwrap();
        let root = tempfile::tempdir().unwrap();
        let database = postgresql().await;
        let databases = databases(&database, root.path()).await;
        migrate(&temporal, &databases);
        let mut reached = Vec::new();
        for (_, Database { name, .. }) in &databases {
            let client = database.operator.client(name).await.unwrap();
            let read = "SELECT curr_version FROM schema_version WHERE db_name = $1";
            reached.push(
                client
                    .query_one(read, &[name])
                    .await
                    .unwrap()
                    .get::<_, String>(0),
            );
        }
        assert_eq!(reached, [needed.0, needed.1], "{version}");
    }
}

/// The least configuration that a server accepts, as JSON, which is YAML.
fn configuration(temporal: &Temporal, databases: &[(Store, Database); 2], frontend: u16) -> String {
    let [default, visibility] = databases.each_ref().map(|(_, database)| {
        serde_json::json!({"sql": {
            "pluginName": temporal.plugin(),
            "databaseName": database.name,
            "connectAddr": format!("{}:{}", database.host, database.port),
            "connectProtocol": "tcp",
            "user": database.user,
        }})
    });
    let service = |grpc: u16| {
        let rpc = serde_json::json!({
            "grpcPort": grpc, "membershipPort": free_port(), "bindOnIP": "127.0.0.1",
        });
        serde_json::json!({"rpc": rpc})
    };
    serde_json::json!({
        "log": {"stdout": true, "level": "error"},
        "persistence": {
            "defaultStore": "default",
            "visibilityStore": "visibility",
            "numHistoryShards": 4,
            "datastores": {"default": default, "visibility": visibility},
        },
        "global": {"membership": {"maxJoinDuration": "30s", "broadcastAddress": "127.0.0.1"}},
        "services": {
            "frontend": service(frontend),
            "history": service(free_port()),
            "matching": service(free_port()),
            "worker": service(free_port()),
        },
        "clusterMetadata": {
            "enableGlobalNamespace": false,
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {"active": {
                "enabled": true,
                "initialFailoverVersion": 1,
                "rpcName": "frontend",
                "rpcAddress": format!("127.0.0.1:{frontend}"),
            }},
        },
        "publicClient": {"hostPort": format!("127.0.0.1:{frontend}")},
    })
    .to_string()
}

#[tokio::test]
async fn a_workflow_completes_directly_and_through_nginx() {
    let parts = Parts::locate().unwrap();
    let temporal = parts.temporal(TEMPORAL_VERSIONS[2]).unwrap();
    let root = tempfile::tempdir().unwrap();
    let database = postgresql().await;
    let databases = databases(&database, root.path()).await;
    migrate(&temporal, &databases);

    let (frontend, http) = (free_port(), free_port());
    let text = configuration(&temporal, &databases, frontend);
    std::fs::write(root.path().join("test.yaml"), text).unwrap();
    let words = [
        "--root",
        root.path().to_str().unwrap(),
        "--config",
        ".",
        "--env",
        "test",
        "start",
    ];
    let argv = std::iter::once(temporal.server.clone().into_os_string());
    let start = Start {
        argv: argv.chain(words.map(Into::into)).collect(),
        environment: vec![("PGPASSFILE".to_owned(), root.path().join("pgpass").into())],
    };
    let _server = Running::start(&start, Signal::SIGTERM);
    listens(frontend, Duration::from_mins(1));

    let address = format!("127.0.0.1:{frontend}");
    let cli = parts.temporal_cli().unwrap();
    let create = [
        "operator",
        "namespace",
        "create",
        "--namespace",
        "default",
        "--retention",
        "3d",
    ];
    let argv = std::iter::once(cli.into_os_string()).chain(create.map(Into::into));
    let argv = argv
        .chain(["--address".into(), address.clone().into()])
        .collect();
    let create = Start {
        argv,
        environment: Vec::new(),
    };
    let started = std::time::Instant::now();
    loop {
        let created = run(&create);
        if created.status.success() {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(90),
            "no namespace: {created:?}"
        );
        std::thread::sleep(Duration::from_millis(500));
    }

    let nginx_root = tempfile::tempdir().unwrap();
    let nginx = Nginx::lay(&parts, nginx_root.path(), http).unwrap();
    let ingress = Ingress {
        // The authority of the calls, which is the host of their address.
        host: "localhost".to_owned(),
        service: "temporal-k8s-service".to_owned(),
        service_port: frontend,
        endpoints: vec![Ipv4Addr::LOCALHOST.into()],
        ..Ingress::default()
    };
    nginx
        .configure(&[ingress.clone().backend_protocol("GRPC")])
        .unwrap();
    let running = Running::start(&nginx.start(), Signal::SIGTERM);
    listens(http, Duration::from_secs(10));

    let interpreter = parts.interpreter().unwrap();
    let through = format!("localhost:{http}");
    for (address, id) in [(&address, "direct"), (&through, "through-nginx")] {
        let start = hello(
            &interpreter,
            address,
            "default",
            id,
            Duration::from_secs(90),
        );
        let outcome: serde_json::Value = serde_json::from_str(&succeeds(&start)).unwrap();
        assert_eq!(outcome["result"], format!("hello {id}"));
    }

    // Without the annotation nginx speaks HTTP/1.1 to the server, and no workflow runs.
    nginx.configure(&[ingress]).unwrap();
    running.signal(Signal::SIGHUP);
    std::thread::sleep(Duration::from_millis(500));
    let refused = run(&hello(
        &interpreter,
        &through,
        "default",
        "plain",
        Duration::from_secs(5),
    ));
    assert!(!refused.status.success(), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no result within 5 s"));
}
