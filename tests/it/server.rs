//! The server's files against approved ones, and the two questions to running servers against listeners
//! that answer badly or not at all.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use temporal_k8s::config::LogLevel;
use temporal_k8s::container::{check, config, dynamic, layer, pgpass, read_again};
use temporal_k8s::postgres::proof;
use temporal_k8s::probe::Probe;
use temporal_k8s::secret::Secret;
use temporal_k8s::temporal::health::look;
use temporal_k8s::temporal::{Authority, Database, Image, PerStore, Role, Store};

const SHORT: Duration = Duration::from_millis(300);

fn database(host: &str, name: &str, user: &str, password: &str) -> Database {
    Database {
        relation: 1,
        host: host.to_owned(),
        port: 5432,
        name: name.to_owned(),
        user: user.to_owned(),
        password: Secret::from(password),
        tls: None,
    }
}

fn main_store() -> Database {
    database(
        "postgresql-k8s-primary.model.svc",
        "temporal-k8s_db",
        "relation_3",
        "hunter2",
    )
}

fn visibility_store() -> Database {
    database(
        "postgresql-k8s-primary.model.svc",
        "temporal-k8s_visibility",
        "relation_4",
        "hunter3",
    )
}

fn render(version: &str, main: &Database, visibility: &Database, address: &str) -> String {
    config::render(&config::Inputs {
        version: version.parse().unwrap(),
        databases: PerStore { main, visibility },
        pools: config::pools(25, 5),
        shards: 4,
        log_level: LogLevel::Info,
        broadcast_address: address.parse().unwrap(),
    })
}

fn read(text: &str) -> serde_json::Value {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn differences_of_two_files_have_the_names_that_people_know() {
    let render = |version| render(version, &main_store(), &visibility_store(), "10.1.2.3");
    let text = render("1.32.2");
    let differences = |before: &str| config::differences(before.as_bytes(), &text);
    assert_eq!(differences(&text), [""; 0]);
    for (from, to, said) in [
        (
            "level: \"info\"",
            "level: \"warn\"",
            "option `log-level` changed",
        ),
        (
            "numHistoryShards: 4",
            "numHistoryShards: 8",
            "option `num-history-shards` changed",
        ),
        (
            "broadcastAddress: \"10.1.2.3\"",
            "broadcastAddress: \"10.1.2.4\"",
            "this unit has another address",
        ),
    ] {
        let before = text.replace(from, to);
        assert_ne!(before, text, "{from} is not there");
        assert_eq!(differences(&before), [said]);
    }
    let older = render("1.17.4");
    assert_eq!(differences(&older), ["another server version"]);
    // whatever else an earlier revision or somebody else has written
    for before in ["", "{", "- 1", "\u{0}"] {
        let said = differences(before);
        assert!(!said.is_empty(), "{before:?}");
    }
}

#[test]
fn the_configuration_is_the_approved_one() {
    for version in ["1.17.4", "1.23.1", "1.32.2"] {
        let text = render(version, &main_store(), &visibility_store(), "10.1.2.3");
        insta::with_settings!({
            snapshot_path => "../snapshots",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!(format!("charm.yaml-{version}"), text);
        });
    }
}

#[test]
fn addresses_of_version_6_get_brackets() {
    let main = database("FD00:0::5", "a", "u", "p");
    let read = read(&render("1.17.4", &main, &visibility_store(), "fd00::7"));
    let sql = &read["persistence"]["datastores"]["default"]["sql"];
    assert_eq!(sql["connectAddr"], "[FD00:0::5]:5432");
    assert_eq!(read["services"]["frontend"]["rpc"]["bindOnIP"], "::");
    assert_eq!(read["global"]["membership"]["broadcastAddress"], "fd00::7");
    assert_eq!(
        read["global"]["metrics"]["prometheus"]["listenAddress"],
        "[::]:9090"
    );
    assert_eq!(read["publicClient"]["hostPort"], "[fd00::7]:7233");
}

#[test]
fn no_value_breaks_a_line_or_becomes_something_else() {
    let hostile = "yes\n# enable-template\u{85}\u{2028}'\"\\{{1}} no: #".repeat(8);
    let main = database(&hostile, &hostile, &hostile, "hunter2");
    let text = render("1.32.2", &main, &main, "10.1.2.3");
    let usual = render("1.32.2", &main_store(), &visibility_store(), "10.1.2.3");
    assert_eq!(text.lines().count(), usual.lines().count());
    assert!(text.lines().all(|line| !line.trim_start().starts_with('#')));
    let sql = &read(&text)["persistence"]["datastores"]["default"]["sql"];
    assert_eq!(sql["databaseName"], hostile.as_str());
    assert_eq!(sql["connectAddr"], format!("{hostile}:5432"));
    let user = sql["user"].as_str().unwrap();
    assert!(user.starts_with("yes%0A%23%20enable-template%C2%85%E2%80%A8%27%22%5C%7B%7B1%7D%7D"));
}

fn image(text: &str) -> Image {
    text.parse().unwrap()
}

#[test]
fn no_file_but_the_pass_file_holds_a_password() {
    let text = render("1.32.2", &main_store(), &visibility_store(), "10.1.2.3");
    let service = layer::service(
        &image("1.32.2"),
        &BTreeSet::from(Role::ALL),
        &text,
        "stores",
    );
    for holder in [&text, &format!("{service:?}"), &dynamic::render()] {
        assert!(!holder.contains("hunter"), "{holder}");
    }
    let passwords = pgpass::render(&PerStore {
        main: &main_store(),
        visibility: &visibility_store(),
    });
    assert_eq!(format!("{passwords:?}"), "(secret)");
}

#[test]
fn a_rotated_password_changes_the_pass_file_only() {
    let (old, new) = (
        main_store(),
        Database {
            password: Secret::from("new"),
            ..main_store()
        },
    );
    let render = |main| render("1.32.2", main, &visibility_store(), "10.1.2.3");
    assert_eq!(render(&old), render(&new));
    let roles = BTreeSet::from(Role::ALL);
    assert_eq!(
        layer::service(&image("1.32.2"), &roles, &render(&old), "stores"),
        layer::service(&image("1.32.2"), &roles, &render(&new), "stores")
    );
}

fn over_tls(database: Database, authority: &str) -> Database {
    Database {
        tls: Some(Authority::from(authority)),
        ..database
    }
}

#[test]
fn tls_is_asked_for_where_the_database_has_it_and_verified_by_its_own_authority() {
    let render = |main: &Database| render("1.32.2", main, &visibility_store(), "10.1.2.3");
    let tls = |text: &str, store: &str| {
        let file: serde_json::Value = serde_saphyr::from_str(text).unwrap();
        let sql = &file["persistence"]["datastores"][store]["sql"];
        assert_eq!(sql["databaseName"].as_str().map(str::is_empty), Some(false));
        sql.get("tls").cloned()
    };
    let text = render(&over_tls(main_store(), "one"));
    let expected = json!({
        "enabled": true, "enableHostVerification": true, "caFile": "/etc/temporal/db-ca.pem",
    });
    assert_eq!(tls(&text, "default"), Some(expected));
    assert_eq!(tls(&text, "visibility"), None);
    let open = render(&main_store());
    assert_eq!(tls(&open, "default"), None);
    let words = config::differences(open.as_bytes(), &text);
    assert_eq!(words, ["another word on TLS from the database"]);
}

#[test]
fn another_authority_changes_its_file_only() {
    let (one, two) = (over_tls(main_store(), "one"), over_tls(main_store(), "two"));
    let text = |main| render("1.32.2", main, &visibility_store(), "10.1.2.3");
    assert_eq!(text(&one), text(&two));
    let files = |main| {
        read_again(&PerStore {
            main,
            visibility: &visibility_store(),
        })
    };
    let (mut one, two) = (files(&one), files(&two));
    assert_eq!(two.len(), 2);
    assert_eq!(two["/etc/temporal/db-ca.pem"].expose(), "two");
    one.insert("/etc/temporal/db-ca.pem", Secret::from("two"));
    assert_eq!(one, two);
}

/// As `PQgetpass` and lib/pq split a line: a backslash takes the next character as it is.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let field = fields.last_mut().unwrap();
        match character {
            '\\' => field.extend(characters.next()),
            ':' => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

#[test]
fn the_pass_file_has_a_line_for_each_store_that_reads_back() {
    let main = database(
        "fd00::5",
        "temporal-k8s_db",
        "r:o\\le",
        ":\\ '\"{{1}}$#&<é\\:",
    );
    let visibility = database("fd00::5", "temporal-k8s_visibility", "u", &"x:".repeat(100));
    let text = pgpass::render(&PerStore {
        main: &main,
        visibility: &visibility,
    });
    let lines: Vec<_> = text.expose().lines().map(fields).collect();
    let expected = [&main, &visibility].map(|database| {
        vec![
            database.host.clone(),
            "5432".to_owned(),
            database.name.clone(),
            database.user.clone(),
            database.password.expose().clone(),
        ]
    });
    assert_eq!(lines, expected);
}

#[test]
fn the_service_is_the_approved_one() {
    let roles = BTreeSet::from([Role::Worker, Role::Frontend, Role::InternalFrontend]);
    insta::assert_yaml_snapshot!(layer::service(&image("1.32.2"), &roles, "a: 1\n", "stores"), @"
    override: replace
    summary: Temporal server
    command: temporal-server --root /etc/temporal --config config --env charm start --service=frontend --service=internal-frontend --service=worker
    startup: disabled
    working-dir: /etc/temporal
    environment:
      CHARM_STORES: stores
      CHARM_YAML_SHA256: 37b128c59f1f5097f73f82691cb519f1f568667faab5ced1b4ab979d36837eae
      HOME: /etc/temporal
      PGPASSFILE: /etc/temporal/pgpass
      USER: temporal
    kill-delay: 1m0s
    ");
}

/// A server from 1.30 on takes either directory and environment, or one file, by flags or variables.
#[test]
fn a_variable_of_the_image_that_names_the_file_decides_how_ours_is_named() {
    let roles = BTreeSet::from([Role::Frontend]);
    let command = |text: &str| layer::service(&image(text), &roles, "a: 1\n", "stores").command;
    let usual = "temporal-server --root /etc/temporal --config config --env charm start \
                 --service=frontend";
    for text in [
        "1.32.2",
        "1.32.2 TEMPORAL_ENVIRONMENT TEMPORAL_ROOT",
        "1.29.1 TEMPORAL_SERVER_CONFIG_FILE_PATH",
    ] {
        assert_eq!(command(text), usual, "{text}");
    }
    assert_eq!(
        command("1.30.0 TEMPORAL_SERVER_CONFIG_FILE_PATH"),
        "temporal-server --config-file /etc/temporal/config/charm.yaml start --service=frontend"
    );
}

#[test]
fn the_check_is_the_approved_one() {
    let roles = BTreeSet::from([Role::History, Role::Frontend]);
    let (address, version) = ("10.1.0.5".parse().unwrap(), "1.32.2".parse().unwrap());
    insta::assert_yaml_snapshot!(check::config(address, version, &roles), @r"
    override: replace
    period: 5s
    timeout: 3s
    threshold: 3
    exec:
      command: /charm/container/temporal-k8s serves 10.1.0.5 1.32.2 frontend history
      working-dir: /
    ");
}

#[test]
fn a_changed_configuration_is_a_changed_service() {
    let roles = BTreeSet::from(Role::ALL);
    let hash = |text| {
        layer::service(&image("1.32.2"), &roles, text, "stores").environment[layer::CONFIG_HASH]
            .clone()
    };
    assert_eq!(hash("a: 1\n"), hash("a: 1\n"));
    assert_ne!(hash("a: 1\n"), hash("a: 2\n"));
}

#[test]
fn the_paths_of_the_command_are_those_of_the_files() {
    let parts = [config::ROOT, config::DIRECTORY, config::ENVIRONMENT];
    assert_eq!(format!("{}.yaml", parts.join("/")), config::PATH);
}

/// Accepts every connection, says `words`, and keeps it open.
fn listener(address: Ipv4Addr, port: u16, words: &'static [u8]) {
    let listener = TcpListener::bind((address, port)).unwrap();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(words).ok();
            kept.push(stream);
        }
    });
}

async fn refusal(database: &Database, limit: Duration) -> String {
    let started = Instant::now();
    match proof(Store::Main, database, limit).await {
        Probe::Unreachable(why) => {
            assert!(started.elapsed() < limit + SHORT, "{:?}", started.elapsed());
            assert!(!why.contains("hunter"), "{why}");
            why
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_says_so() {
    let limit = Duration::from_secs(5);
    let nobody = database("127.63.0.1", "d", "u", "hunter2");
    assert_eq!(
        refusal(&nobody, limit).await,
        "connection refused by 127.63.0.1:5432"
    );
    let nowhere = database("not..a.name", "d", "u", "hunter2");
    assert_eq!(
        refusal(&nowhere, limit).await,
        "host name `not..a.name` does not resolve"
    );
}

#[tokio::test]
async fn a_database_that_says_nothing_is_given_up() {
    let address = Ipv4Addr::new(127, 63, 0, 2);
    listener(address, 5432, b"");
    let silent = database(&address.to_string(), "d", "u", "hunter2");
    assert_eq!(
        refusal(&silent, SHORT).await,
        "no answer from 127.63.0.2:5432 within 0.3 s"
    );
}

#[tokio::test]
async fn a_listener_that_is_no_database_is_told_apart() {
    let address = Ipv4Addr::new(127, 63, 0, 3);
    listener(address, 5432, b"Z\0\0\0\x05I");
    let other = database(&address.to_string(), "d", "u", "hunter2");
    let why = refusal(&other, Duration::from_secs(5)).await;
    let words = "127.63.0.3:5432 does not speak as PostgreSQL does";
    assert!(why.starts_with(words), "{why}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let address = Ipv4Addr::new(127, 63, 0, 4);
    listener(address, 7233, b"");
    listener(address, 7234, b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let roles = BTreeSet::from([Role::Frontend, Role::History, Role::Matching, Role::Worker]);
    let started = Instant::now();
    let newest = "1.32.2".parse().ok();
    let serving = look(IpAddr::V4(address), &roles, newest, SHORT).await;
    assert!(started.elapsed() < SHORT * 2, "{:?}", started.elapsed());
    let silence = Err("no answer from 127.63.0.4:7233 within 0.3 s".to_owned());
    assert_eq!(serving.roles[&Role::Frontend], silence);
    assert_eq!(serving.store, Some(silence));
    assert_eq!(serving.version, None);
    assert!(serving.roles[&Role::History].is_err());
    assert_eq!(
        serving.roles[&Role::Matching],
        Err("connection refused by 127.63.0.4:7235".to_owned())
    );
    assert_eq!(
        serving.roles[&Role::Worker],
        Err("connection refused by 127.63.0.4:7239".to_owned())
    );
}

/// Before 1.31 a worker tells no health, but its process has to be there.
#[tokio::test]
async fn an_old_worker_is_seen_by_its_place_in_the_ring() {
    let address = Ipv4Addr::new(127, 63, 0, 6);
    let worker = async |version: Option<&str>| {
        let version = version.map(|text| text.parse().unwrap());
        let roles = BTreeSet::from([Role::Worker]);
        let serving = look(IpAddr::V4(address), &roles, version, SHORT).await;
        serving.roles[&Role::Worker].clone()
    };
    let refused = |port| Err(format!("connection refused by {address}:{port}"));
    for old in [Some("1.30.6"), None] {
        assert_eq!(worker(old).await, refused(6939));
    }
    listener(address, 6939, b"");
    for old in [Some("1.30.6"), None] {
        assert_eq!(worker(old).await, Ok(()));
    }
    assert_eq!(worker(Some("1.31.0")).await, refused(7239));
}
