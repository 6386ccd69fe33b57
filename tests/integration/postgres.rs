//! What `postgres` asks a real `PostgreSQL`: the turn to restart, also through a pooler and with holders that are lost;
//! rights, connections, and databases that are copies.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use temporal_k8s::postgres::{Denied, Fixed, LEASE, Room, StoreFacts, proof, silent_workers, turn};
use temporal_k8s::probe::Probe;
use temporal_k8s::temporal::{Database, PerStore, Role, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_postgres::{Client, NoTls};

use rehearsal::servers::certificates::Certificate;

use crate::server::{Container, Directory, LIMIT, Postgres, Process, identifier};

const SOON: Duration = Duration::from_secs(1);
const TAKEN: &str = "another unit restarts its server";

/// A session of somebody, from an address of this machine's own.
pub(crate) async fn session(database: &Database, from: &str, application: &str) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(from.parse().unwrap(), 0))
        .unwrap();
    let to = SocketAddr::new(database.host.parse().unwrap(), database.port);
    let stream = socket.connect(to).await.unwrap();
    let (client, connection) = tokio_postgres::Config::new()
        .user(&database.user)
        .password(database.password.expose())
        .dbname(&database.name)
        .application_name(application)
        .connect_raw(stream, NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// How many advisory locks there are.
async fn locks(postgres: &Postgres) -> i64 {
    let superuser = postgres.superuser("postgres");
    let client = session(&superuser, "127.0.0.1", "test").await;
    let question = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    client.query_one(question, &[]).await.unwrap().get(0)
}

/// Law S6: of all units of a cluster one restarts at a time, and a unit that dies gives its turn back.
#[tokio::test]
async fn one_unit_at_a_time_has_the_turn_to_restart() {
    let mut postgres = Postgres::start("turn", "127.77.9.1").await;
    let main = postgres.provide("turn").await.main;

    let first = turn(&main, LIMIT, LEASE).await.unwrap();
    assert_eq!(turn(&main, SOON, LEASE).await.unwrap_err(), TAKEN);
    drop(first);
    let second = turn(&main, LIMIT, LEASE).await.unwrap();

    postgres.restart().await;
    let third = turn(&main, LIMIT, LEASE).await;
    assert!(third.is_ok(), "a lost connection kept the turn: {third:?}");
    drop(second);

    postgres.process.stop();
    let why = turn(&main, LIMIT, LEASE).await.unwrap_err();
    assert!(why.contains("connection refused"), "{why}");
}

/// Whoever has it is alone, however many want it.
#[tokio::test]
async fn units_that_want_the_turn_at_once_have_it_one_after_the_other() {
    const UNITS: u32 = 3;
    let postgres = Postgres::start("turns", "127.77.9.2").await;
    let main = postgres.provide("turn").await.main;
    let (holders, had) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut units = tokio::task::JoinSet::new();
    for _ in 0..UNITS {
        let (main, holders, had) = (main.clone(), Arc::clone(&holders), Arc::clone(&had));
        units.spawn(async move {
            let turn = turn(&main, LIMIT * 4, LEASE).await.unwrap();
            assert_eq!(
                holders.fetch_add(1, Ordering::SeqCst),
                0,
                "two have the turn"
            );
            // long enough for the others to ask
            tokio::time::sleep(SOON).await;
            holders.fetch_sub(1, Ordering::SeqCst);
            had.fetch_add(1, Ordering::SeqCst);
            drop(turn);
        });
    }
    units.join_all().await;
    assert_eq!(had.load(Ordering::SeqCst), UNITS);
}

/// When a `PgBouncer` gives a session to somebody else.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// After each transaction, as many do in production.
    Transaction,
    /// When its client has gone.
    Session,
}

/// A `PgBouncer` in front of a server, with TLS if there is a certificate.
pub(crate) async fn pooler(
    main: &Database,
    address: &str,
    mode: Mode,
    shows: Option<&Certificate>,
) -> (Process, Directory, Database) {
    const PORT: u16 = 6432;
    let directory = Directory::new(&format!("pgbouncer-{address}"));
    let (host, port, password) = (&main.host, main.port, main.password.expose());
    let (mode, size) = match mode {
        Mode::Transaction => ("transaction", 3),
        // whoever comes stays
        Mode::Session => ("session", 50),
    };
    let tls = shows.map_or_else(String::new, |_| {
        format!(
            "client_tls_sslmode = require\nclient_tls_key_file = {0}/server.key\nclient_tls_cert_file = {0}/server.crt\n",
            directory.0.display()
        )
    });
    let config = format!(
        "[databases]\n* = host={host} port={port}\n\
         [pgbouncer]\nlisten_addr = {address}\nlisten_port = {PORT}\nunix_socket_dir =\n\
         auth_type = plain\nauth_file = {0}/users\npool_mode = {mode}\ndefault_pool_size = {size}\n\
         ignore_startup_parameters = extra_float_digits\nlogfile = {0}/log\n{tls}",
        directory.0.display()
    );
    fs::write(directory.0.join("config"), config).unwrap();
    if let Some(certificate) = shows {
        for (name, text) in [
            ("server.crt", &certificate.certificate),
            ("server.key", &certificate.key),
        ] {
            fs::write(directory.0.join(name), text).unwrap();
        }
    }
    let users = format!("{} \"{password}\"\n", identifier(&main.user));
    fs::write(directory.0.join("users"), users).unwrap();
    let mut command = crate::server::as_nobody(&crate::pgbouncer());
    command.arg("-q").arg(directory.0.join("config"));
    let child = command.stdout(Stdio::null()).spawn().unwrap();
    let process = Process(child);
    let listens: SocketAddr = (address.parse::<std::net::Ipv4Addr>().unwrap(), PORT).into();
    let deadline = Instant::now() + LIMIT;
    while TcpStream::connect(listens).await.is_err() {
        assert!(Instant::now() < deadline, "PgBouncer does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let database = Database {
        host: address.to_owned(),
        port: PORT,
        ..main.clone()
    };
    (process, directory, database)
}

/// A session's lock would be everybody's whom the pooler gives that session, and stay there when they are gone.
#[tokio::test]
async fn a_pooler_in_transaction_mode_changes_nothing_about_the_turn() {
    let postgres = Postgres::start("pooled", "127.77.9.3").await;
    let main = Database {
        user: "plain".to_owned(),
        ..postgres.provide("turn").await.main
    };
    let create = "CREATE ROLE plain SUPERUSER LOGIN PASSWORD 'turn'".to_owned();
    postgres.execute(&[create]).await;
    let (_process, _directory, pooled) =
        pooler(&main, "127.77.9.13", Mode::Transaction, None).await;

    for _ in 0..3 {
        let first = turn(&pooled, LIMIT, LEASE).await.unwrap();
        for direct in [&pooled, &main] {
            assert_eq!(turn(direct, SOON, LEASE).await.unwrap_err(), TAKEN);
        }
        drop(first);
        drop(turn(&main, LIMIT, LEASE).await.unwrap());
    }
    drop(turn(&pooled, LIMIT, LEASE).await.unwrap());
    let deadline = Instant::now() + LIMIT;
    while locks(&postgres).await > 0 {
        assert!(
            Instant::now() < deadline,
            "the turn stays when all have gone"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A network between a client and its server, which may break without a word: what was sent arrives nowhere, and no
/// connection is ever closed.
pub(crate) async fn network(to: SocketAddr, listen: &str) -> (SocketAddr, Arc<AtomicBool>) {
    let listener = TcpListener::bind((listen, 0)).await.unwrap();
    let (address, broken) = (
        listener.local_addr().unwrap(),
        Arc::new(AtomicBool::new(false)),
    );
    let is_broken = Arc::clone(&broken);
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(to).await.unwrap();
            let (client, server) = (client.into_split(), server.into_split());
            for (mut from, mut to) in [(client.0, server.1), (server.0, client.1)] {
                let is_broken = Arc::clone(&is_broken);
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(count) = from.read(&mut buffer).await {
                        if is_broken.load(Ordering::SeqCst) {
                            // keeps both ends open
                            std::future::pending::<()>().await;
                        }
                        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    (address, broken)
}

/// The machine of a holder is lost: nothing ever closes its connection.
#[tokio::test]
async fn a_lost_holder_is_freed_after_its_lease_and_a_living_one_keeps_its_turn() {
    const LEASE: Duration = Duration::from_secs(2);
    let postgres = Postgres::start("lost", "127.77.9.4").await;
    let main = postgres.provide("turn").await.main;
    let server = SocketAddr::new(postgres.address, Postgres::PORT);
    let (address, broken) = network(server, "127.77.9.14").await;
    let far = Database {
        host: address.ip().to_string(),
        port: address.port(),
        ..main.clone()
    };
    let holder = turn(&far, LIMIT, LEASE).await.unwrap();
    let refused = turn(&main, 3 * LEASE, LEASE).await.unwrap_err();
    assert_eq!(refused, TAKEN, "it was alive, and its turn was taken");
    broken.store(true, Ordering::SeqCst);
    let next = turn(&main, LEASE + LIMIT, LEASE).await;
    assert!(next.is_ok(), "a lost holder keeps the turn: {next:?}");
    drop(holder);
}

/// What the store says of itself.
async fn said(store: Store, database: &Database) -> StoreFacts {
    match proof(store, database, LIMIT).await {
        Probe::Known(said) => said,
        other => panic!("{other:?}"),
    }
}

/// The schema of a version in two databases, and what plays the container.
async fn schema(name: &str, version: &str, postgres: &Postgres) -> (PerStore<Database>, Container) {
    let databases = postgres.provide("schema").await;
    let container = Container::new(name, version, "127.77.9.99", &Role::ALL, &databases);
    container.set_up_schema();
    (databases, container)
}

/// What a person types into a database.
async fn execute(database: &Database, statement: &str) {
    let client = session(database, "127.0.0.1", "psql").await;
    client.batch_execute(statement).await.unwrap();
}

/// A second application's role, which may read `schema_version` and nothing else, and what each remedy changes.
#[tokio::test]
async fn rights_that_the_server_lacks_are_named() {
    let postgres = Postgres::start("rights", "127.77.9.5").await;
    let (databases, _container) = schema("rights", "1.23.1", &postgres).await;
    let second = postgres.database(&databases.main.name, "second", "second");
    let superuser = postgres.superuser(&databases.main.name);
    execute(
        &superuser,
        "CREATE ROLE second LOGIN PASSWORD 'second';
         REVOKE ALL ON DATABASE \"temporal-k8s_db\" FROM public;
         REVOKE ALL ON SCHEMA public FROM public;
         GRANT SELECT ON schema_version TO second",
    )
    .await;
    let denied = async || said(Store::Main, &second).await.denied;

    assert_eq!(denied().await, Some(Denied::Database));
    execute(
        &superuser,
        "GRANT CONNECT ON DATABASE \"temporal-k8s_db\" TO second",
    )
    .await;
    assert_eq!(denied().await, Some(Denied::Schema("public".to_owned())));
    execute(&superuser, "GRANT USAGE ON SCHEMA public TO second").await;
    let Some(Denied::Objects {
        schema,
        tables,
        sequences,
    }) = denied().await
    else {
        panic!("it may do everything");
    };
    assert_eq!(schema, "public");
    assert_eq!(tables.len(), 34, "all tables of that version: {tables:?}");
    assert!(
        tables.contains(&"schema_version".to_owned()),
        "reading is not enough"
    );
    assert_eq!(sequences, ["buffered_events_id_seq"]);

    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO second";
    execute(&superuser, grant).await;
    let left = Denied::Objects {
        schema: "public".to_owned(),
        tables: Vec::new(),
        sequences: vec!["buffered_events_id_seq".to_owned()],
    };
    assert_eq!(denied().await, Some(left));
    execute(
        &superuser,
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO second",
    )
    .await;
    let all = said(Store::Main, &second).await;
    assert_eq!(all.denied, None);

    // enough for the server, and not for who changes the schema
    let Some(Fixed::Tables { owner, tables }) = all.fixed else {
        panic!("it may change everything");
    };
    assert_eq!((owner.as_str(), tables.len()), (&*databases.main.user, 34));
    execute(
        &superuser,
        &format!("GRANT {} TO second", identifier(&owner)),
    )
    .await;
    assert_eq!(
        said(Store::Main, &second).await,
        said(Store::Main, &databases.main).await,
        "as its owner has it"
    );
}

/// What PostgreSQL from 15 on gives to nobody but the database's owner.
#[tokio::test]
async fn a_role_that_may_make_no_tables_is_told_apart() {
    let postgres = Postgres::start("create", "127.77.9.12").await;
    let main = postgres.provide("create").await.main;
    let superuser = postgres.superuser(&main.name);
    execute(
        &superuser,
        "CREATE ROLE guest LOGIN PASSWORD 'guest';
         REVOKE CREATE ON SCHEMA public FROM public",
    )
    .await;
    let guest = postgres.database(&main.name, "guest", "guest");
    let fixed = async || {
        let said = said(Store::Main, &guest).await;
        assert_eq!(said.denied, None);
        said.fixed
    };
    assert_eq!(fixed().await, Some(Fixed::Schema("public".to_owned())));
    execute(&superuser, "GRANT CREATE ON SCHEMA public TO guest").await;
    assert_eq!(fixed().await, None);
}

/// Each right that a table may lack is one that the server needs.
#[tokio::test]
async fn one_right_that_is_revoked_from_one_table_is_enough() {
    let postgres = Postgres::start("revoked", "127.77.9.6").await;
    let (databases, _container) = schema("revoked", "1.23.1", &postgres).await;
    let second = postgres.database(&databases.visibility.name, "second", "second");
    let superuser = postgres.superuser(&databases.visibility.name);
    let all = "CREATE ROLE second LOGIN PASSWORD 'second';
               GRANT ALL ON ALL TABLES IN SCHEMA public TO second";
    execute(&superuser, all).await;
    assert_eq!(said(Store::Visibility, &second).await.denied, None);
    for right in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
        execute(
            &superuser,
            &format!("REVOKE {right} ON executions_visibility FROM second"),
        )
        .await;
        let denied = said(Store::Visibility, &second).await.denied;
        let expected = Denied::Objects {
            schema: "public".to_owned(),
            tables: vec!["executions_visibility".to_owned()],
            sequences: Vec::new(),
        };
        assert_eq!(denied, Some(expected), "{right}");
        execute(
            &superuser,
            &format!("GRANT {right} ON executions_visibility TO second"),
        )
        .await;
    }
}

/// `CREATE DATABASE … TEMPLATE` is what a restored dump comes to. Then the real tool tries, and fails, or does not.
async fn copied(version: &str, address: &str) {
    let postgres = Postgres::start(&format!("copied-{version}"), address).await;
    let (databases, mut container) = schema(&format!("copied-{version}"), version, &postgres).await;
    let original = container.proofs().await;
    let mut copies = databases.clone();
    for (copy, name) in [
        (&mut copies.main, "copy_db"),
        (&mut copies.visibility, "copy_visibility"),
    ] {
        let of = std::mem::replace(&mut copy.name, name.to_owned());
        let owner = identifier(&copy.user);
        let create = format!(
            "CREATE DATABASE {name} TEMPLATE {} OWNER {owner}",
            identifier(&of)
        );
        postgres.execute(&[create]).await;
    }
    container.databases = copies.clone();
    container.write_read_again();
    let said = container.proofs().await;
    assert_eq!((said.main.schema, said.visibility.schema), (None, None));
    assert_eq!(said.main.copy_of, Some(databases.main.name.clone()));
    assert_eq!(
        said.visibility.copy_of,
        Some(databases.visibility.name.clone())
    );

    // the admin application, before anybody looks
    let worked = container.try_schema(Store::Main);
    assert!(!worked, "the tool has made tables that are there");
    let said = container.proofs().await;
    assert_eq!(said.main.schema, "0.0".parse().ok());
    assert_eq!(said.main.copy_of, Some(databases.main.name.clone()));

    for (copy, of) in [
        (&copies.main, &databases.main.name),
        (&copies.visibility, &databases.visibility.name),
    ] {
        let name = &copy.name;
        let cure = format!(
            "DELETE FROM schema_version WHERE db_name = '{name}';
             UPDATE schema_version SET db_name = '{name}' WHERE db_name = '{of}'"
        );
        execute(copy, &cure).await;
    }
    assert_eq!(container.proofs().await, original, "the cure");
    container.set_up_schema();
    assert_eq!(
        container.proofs().await,
        original,
        "and the tool finds its own again"
    );
}

#[tokio::test]
async fn a_copy_under_another_name_is_told_and_cured_with_the_schema_of_2024() {
    copied("1.23.1", "127.77.9.7").await;
}

#[tokio::test]
async fn a_copy_under_another_name_is_told_and_cured_with_the_first_schema() {
    copied("1.17.4", "127.77.9.8").await;
}

#[tokio::test]
async fn a_copy_under_another_name_is_told_and_cured_with_the_newest_schema() {
    copied("1.32.2", "127.77.9.9").await;
}

/// What a plain role sees of the connections of all others.
#[tokio::test]
async fn the_connections_of_everybody_are_counted_once() {
    let mut postgres = Postgres::start("connections", "127.77.9.10").await;
    let databases = postgres.provide("connections").await;
    postgres
        .execute(&[
            "ALTER SYSTEM SET max_connections = 40".to_owned(),
            "ALTER SYSTEM SET superuser_reserved_connections = 4".to_owned(),
            "ALTER SYSTEM SET reserved_connections = 2".to_owned(),
            format!(
                "ALTER ROLE {} CONNECTION LIMIT 30",
                identifier(&databases.main.user)
            ),
            "ALTER DATABASE \"temporal-k8s_db\" CONNECTION LIMIT 20".to_owned(),
        ])
        .await;
    let clients = postgres.directory.0.join("data/pg_hba.conf");
    fs::write(clients, "host all all 127.0.0.0/8 scram-sha-256\n").unwrap();
    postgres.restart().await;
    let connections = async |store| said(store, databases.get(store)).await.connections;
    let room = |limit, taken| Room { limit, taken };
    let idle = connections(Store::Main).await;
    assert_eq!(idle.server, room(Some(34), 0));
    assert_eq!(idle.role, room(Some(30), 0));
    assert_eq!(idle.database, room(Some(20), 0));
    assert_eq!(connections(Store::Visibility).await.database, room(None, 0));

    let (main, visibility) = (&databases.main, &databases.visibility);
    let superuser = postgres.superuser("temporal-k8s_db");
    let own = "127.0.0.1";
    let open = [
        // two other units, ours, a person, a superuser
        session(main, "127.77.9.20", "temporal-server").await,
        session(main, "127.77.9.20", "temporal-server").await,
        session(main, "127.77.9.21", "temporal-server").await,
        session(main, own, "temporal-server").await,
        session(visibility, "127.77.9.20", "temporal-server").await,
        session(visibility, own, "temporal-server").await,
        session(main, own, "psql").await,
        session(&superuser, own, "pg_dump").await,
        // who only looks, as this question does itself
        session(main, "127.77.9.20", "temporal-k8s").await,
    ];
    let said = connections(Store::Main).await;
    // the other store's servers are everybody else's to this question
    assert_eq!(said.server.taken, 4);
    assert_eq!(said.role.taken, 3);
    assert_eq!(said.database.taken, 2);
    assert_eq!((said.temporal, said.others), (4, 2));
    let said = connections(Store::Visibility).await;
    assert_eq!(said.server.taken, 6);
    assert_eq!((said.temporal, said.others), (2, 1));
    drop(open);
}

/// What the old heartbeat of a process that is gone, the first one of one that fails, and a second one come to.
#[tokio::test]
async fn a_worker_is_alive_when_its_process_writes_another_heartbeat() {
    let postgres = Postgres::start("heartbeats", "127.77.9.11").await;
    let (databases, _container) = schema("heartbeats", "1.23.1", &postgres).await;
    let main = databases.main.clone();
    let workers: BTreeSet<IpAddr> = (1..=3).map(|host| [10, 0, 0, host].into()).collect();
    let beat = async |process: u8, host: u8, role: u8| {
        let beat = format!(
            "INSERT INTO cluster_membership
             (membership_partition, host_id, rpc_address, rpc_port, role, last_heartbeat)
             VALUES (0, '\\x0{process}', '10.0.0.{host}', 6939, {role}, now() AT TIME ZONE 'utc')
             ON CONFLICT (membership_partition, host_id)
             DO UPDATE SET last_heartbeat = excluded.last_heartbeat"
        );
        execute(&main, &beat).await;
    };
    // the third is no worker
    for (process, role) in [(1, 4), (2, 4), (3, 2)] {
        beat(process, process, role).await;
    }
    let members = said(Store::Main, &main).await.members;
    assert_eq!(
        members.len(),
        3,
        "as far as one can see at once: {members:?}"
    );
    let watching = silent_workers(&main, workers.clone(), 3 * SOON);
    let living = async {
        tokio::time::sleep(SOON).await;
        beat(1, 1, 4).await;
        // the second begins anew
        beat(4, 2, 4).await;
        beat(3, 3, 2).await;
    };
    let (silent, ()) = tokio::join!(watching, living);
    let dead = [2, 3].map(|host| IpAddr::from([10, 0, 0, host]));
    assert_eq!(silent, Ok(dead.into()));
    // whoever is alive is not waited for any longer
    let begin = Instant::now();
    let first = BTreeSet::from([IpAddr::from([10, 0, 0, 1])]);
    let watching = silent_workers(&main, first, Duration::from_mins(1));
    let living = async {
        tokio::time::sleep(SOON).await;
        beat(1, 1, 4).await;
    };
    let (silent, ()) = tokio::join!(watching, living);
    assert_eq!(silent, Ok(BTreeSet::new()));
    assert!(begin.elapsed() < LIMIT, "{:?}", begin.elapsed());
    let wrong = Database {
        name: "nowhere".to_owned(),
        ..main.clone()
    };
    let refused = silent_workers(&wrong, workers, SOON).await.unwrap_err();
    assert!(refused.contains("`nowhere` does not exist"), "{refused}");
}
