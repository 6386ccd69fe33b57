//! One test for each defect of the Python charm that lay in options, hooks or relations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use temporal_k8s::config::{self, LogLevel};
use temporal_k8s::juju::{Databag, Hook, Relation, Unit};
use temporal_k8s::probe::Probe;
use temporal_k8s::relations::database::{self, Offers};
use temporal_k8s::relations::{Heard, Own, Relations, Said, State, admin, ingress};
use temporal_k8s::temporal::{Database, PerStore, Role, Store, database_name};

fn relation(remote_app: &str, bag: &[(&str, &str)]) -> Relation {
    Relation {
        id: 7,
        remote_app: remote_app.to_owned(),
        remote_app_bag: Some(
            bag.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).into()))
                .collect(),
        ),
        remote_unit_bags: BTreeMap::new(),
        secrets: BTreeMap::new(),
        own_unit_bag: Probe::NotAsked,
        own_app_bag: Probe::NotAsked,
    }
}

/// What is offered at `db`.
fn offers(relation: &Relation) -> Offers {
    let relations = Relations::from([("db", vec![relation.clone()])]);
    database::offers(&relations, Store::Main, None).unwrap()
}

/// The connection that a provider offers with one libpq string.
fn offered(master: &str) -> Database {
    let relation = relation(
        "postgresql-k8s",
        &[("database", "t_db"), ("master", master)],
    );
    match offers(&relation).of("t_db", None) {
        State::Ready(database) => database,
        state => panic!("{state:?}"),
    }
}

/// What the leader of an application says, by what it knows.
fn said(
    app: &str,
    options: Value,
    heard: &Heard,
    publish: fn(&str, &Own<'_>) -> Option<Said>,
) -> Said {
    let Value::Object(options) = options else {
        panic!("not an object");
    };
    let unit = Unit {
        app: app.to_owned(),
        number: 2,
    };
    let own = Own {
        unit: &unit,
        model: "prod",
        cluster_domain: "cluster.local",
        leader: true,
        address: None,
        config: Some(&config::parse(&options).unwrap()),
        heard,
    };
    publish("", &own).unwrap()
}

/// What the admin application is told about two databases that are the same.
fn told(database: &Database) -> Databag {
    let stores = PerStore::of(|_| State::Ready(database.clone()));
    let heard = Heard {
        stores: Some(stores),
        ..Heard::default()
    };
    said("temporal-k8s", json!({}), &heard, admin::publish).app
}

/// What its schema tool is told about a connection.
fn published(database: &Database) -> Value {
    let bag = told(database);
    serde_json::from_str::<Value>(bag["database_connections"].expose()).unwrap()["db"].clone()
}

fn with(option: &str, value: Value) -> Result<config::Config, Vec<config::BadOption>> {
    config::parse(&Map::from_iter([(option.to_owned(), value)]))
}

/// HTML escapes were put into rendered passwords.
#[test]
fn special_characters_of_passwords_reach_the_admin_application_unescaped() {
    for password in [
        r#"&<>"'"#,
        "a b:c",
        r"back\slash\",
        "{{ x }}$HOME#y",
        "pässwörd😀",
        &"x".repeat(200),
    ] {
        let escaped = password.replace('\\', r"\\").replace('\'', r"\'");
        let database = offered(&format!("host=h user=u password='{escaped}'"));
        assert_eq!(database.password.expose(), password);
        assert_eq!(published(&database)["password"], password);
    }
}

/// The admin application passes it on as an argument of a command.
#[test]
fn the_port_is_published_as_a_string() {
    let database = offered("host=h user=u password=p port=6432");
    assert_eq!(published(&database)["port"], "6432");
}

/// All items of the libpq string were passed on, whatever they were.
#[test]
fn only_what_a_connection_needs_is_published() {
    let database = offered(
        "host=h user=u password=p fallback_application_name=x connect_timeout=3 sslmode=prefer",
    );
    let keys: BTreeSet<String> = published(&database)
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let expected = ["dbname", "host", "password", "port", "tls", "user"].map(str::to_owned);
    assert_eq!(keys, BTreeSet::from(expected));
}

/// An endpoint was split at its first colon.
#[test]
fn a_host_may_be_an_ipv6_address() {
    for master in [
        "host=fd00::7 port=5433 user=u password=p",
        "postgresql://u:p@[fd00::7]:5433/t_db",
    ] {
        let database = offered(master);
        assert_eq!((database.host.as_str(), database.port), ("fd00::7", 5433));
        assert_eq!(published(&database)["host"], "[fd00::7]");
    }
    for host in ["pg-primary.prod.svc.cluster.local", "10.1.0.7"] {
        let database = offered(&format!("host={host} user=u password=p"));
        assert_eq!(published(&database)["host"], host);
    }
}

/// `frontend, history` was an invalid service, and roles were found by substring.
#[test]
fn services_are_trimmed_and_compared_whole() {
    let services = |text| with("services", json!(text)).map(|config| config.services);
    assert_eq!(
        services(" frontend, history "),
        Ok(BTreeSet::from([Role::Frontend, Role::History]))
    );
    assert!(services("internal-frontend").is_err());
    assert!(services("frontends").is_err());
}

/// Temporal knows neither word.
#[test]
fn warning_and_critical_become_temporals_words() {
    let level = |text| with("log-level", json!(text)).map(|config| config.log_level);
    assert_eq!(level("warning"), Ok(LogLevel::Warn));
    assert_eq!(level("critical"), Ok(LogLevel::Fatal));
}

/// The power of two was announced and not checked, and without the option nothing worked.
#[test]
fn the_shard_count_is_checked_and_has_a_default() {
    assert!(with("num-history-shards", json!(3)).is_err());
    assert_eq!(config::parse(&Map::new()).unwrap().shards, None);
}

/// The first failing message won, so that mistakes came to light one by one.
#[test]
fn all_bad_options_are_reported_in_one_go() {
    let bad = config::parse(&Map::from_iter([
        ("services".to_owned(), json!("web")),
        ("log-level".to_owned(), json!("loud")),
        ("num-history-shards".to_owned(), json!(0)),
    ]))
    .unwrap_err();
    let options: Vec<&str> = bad.iter().map(|bad| bad.option).collect();
    assert_eq!(options, ["services", "log-level", "num-history-shards"]);
}

/// Only the leader kept the flag, in a state of its own; other units never became active.
#[test]
fn every_unit_reads_the_schema_status_from_the_relation() {
    let relation = relation("temporal-admin-k8s", &[("schema_status", "ready")]);
    assert_eq!(admin::parse(Some(&relation)), State::Ready(()));
    assert_eq!(admin::parse(None), State::Absent);
}

/// Juju relates it by interface; its data must not be taken for a schema.
#[test]
fn the_web_ui_on_the_admin_endpoint_is_not_a_schema() {
    let relation = relation("temporal-ui-k8s", &[("server_status", "ready")]);
    assert!(matches!(admin::parse(Some(&relation)), State::Waiting(_)));
}

/// The relation's data stayed in use after `db-relation-broken`.
#[test]
fn a_broken_database_relation_is_named_by_the_hook() {
    let variables = BTreeMap::from([
        ("JUJU_DISPATCH_PATH", "hooks/db-relation-broken"),
        ("JUJU_UNIT_NAME", "temporal-k8s/0"),
        ("JUJU_MODEL_NAME", "prod"),
        ("JUJU_VERSION", "3.6.11"),
        ("JUJU_CHARM_DIR", "/charm"),
        ("JUJU_RELATION_ID", "db:7"),
    ]);
    let hook = Hook::from_variables(|name| variables.get(name).map(|&value| value.to_owned()));
    assert_eq!(hook.unwrap().broken_relation(), Some(7));
}

/// A flapping subnet list took the connection away (and a restart with it).
#[test]
fn a_known_connection_survives_a_new_address_of_ours() {
    let mut relation = relation(
        "postgresql-k8s",
        &[
            ("allowed-subnets", "10.0.0.1/32"),
            ("database", "t_db"),
            ("master", "host=h user=u password=p"),
        ],
    );
    let State::Ready(before) = offers(&relation).of("t_db", None) else {
        panic!("not ready");
    };
    let readdressed = [("egress-subnets".to_owned(), "10.0.0.2/32".into())];
    relation.own_unit_bag = Probe::Known(readdressed.into());
    assert_eq!(
        offers(&relation).of("t_db", Some(&before.identity())),
        State::Ready(before)
    );
}

/// `temporal-k8s` was written into commands whatever the application was called.
#[test]
fn names_follow_the_application() {
    assert_eq!(database_name(Store::Main, "flows", None), "flows_db");
    for protocol in ["v2", "nginx-2023"] {
        let options = json!({ "ingress-protocol": protocol });
        let said = said("flows", options, &Heard::default(), ingress::publish);
        for value in said.app.values().chain(said.unit.values()) {
            assert!(!value.expose().contains("temporal"));
        }
        assert!(said.app["name"].expose().contains("flows"));
    }
}

/// Split applications asked for a pair of databases each.
#[test]
fn split_applications_share_a_pair_of_databases() {
    let names = |app| Store::ALL.map(|store| database_name(store, app, Some("cluster")));
    assert_eq!(names("frontend-app"), names("history-app"));
}

/// Passwords stood in debug output and logs.
#[test]
fn nothing_that_can_be_printed_shows_a_password() {
    let relation = relation(
        "postgresql-k8s",
        &[
            ("database", "t_db"),
            ("master", "host=h user=u password=hunter2"),
        ],
    );
    let state = offers(&relation).of("t_db", None);
    let State::Ready(database) = &state else {
        panic!("{state:?}");
    };
    let shown = format!(
        "{relation:?} {state:?} {} {:?}",
        database.identity(),
        told(database)
    );
    assert!(!shown.contains("hunter2"), "{shown}");
}
