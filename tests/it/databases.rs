//! The planner, where the databases come over `postgresql_client`, and where two endpoints could provide a store.

use temporal_k8s::container::pgpass;
use temporal_k8s::juju::{Databag, Event, Level, SecretEventKind, Status};
use temporal_k8s::plan::Change;
use temporal_k8s::temporal::Store;

use crate::model::{self, World, bag, hook, plan, ready_to_start, workload};

/// A leader that may start its server for the first time.
pub(crate) fn modern() -> World {
    let mut world = ready_to_start();
    for (store, id) in [(Store::Main, 7), (Store::Visibility, 8)] {
        world.relations.remove(store.pgsql());
        world.relate(store.client(), model::client(store, id));
    }
    world
}

fn settled() -> World {
    let mut world = modern();
    hook(&mut world);
    assert_eq!(shown(&world).level, Level::Active);
    assert_eq!(plan(&world).to_string(), "nothing to do");
    world
}

fn shown(world: &World) -> Status {
    world.status.clone().expect("every hook shows a status")
}

fn secret<'a>(world: &'a mut World, endpoint: &str, key: &str) -> &'a mut Databag {
    let secrets = &mut world.relation(endpoint).secrets;
    secrets.get_mut(key).expect("the secret was read")
}

fn is_up(world: &mut World) -> bool {
    workload(world).is_up()
}

#[test]
fn a_proven_schema_starts_the_server() {
    let mut world = modern();
    let plans = hook(&mut world);
    assert!(plans[0].changes.contains(&Change::Start));
    assert_eq!(shown(&world).level, Level::Active);
    let asked = world.own("visibility-database").app;
    assert_eq!(asked["database"].expose(), "temporal-k8s_visibility");
    assert!(!asked.contains_key("extra-user-roles"));
    assert!(world.own("database").unit.is_empty());
    let connections = world.own("admin").app;
    let connections = connections["database_connections"].expose();
    let connections: serde_json::Value = serde_json::from_str(connections).unwrap();
    assert_eq!(connections["db"]["user"], "relation-7");
    assert_eq!(connections["visibility"]["user"], "relation-8");
}

#[test]
fn a_rotated_password_restarts_nothing_whatever_the_event() {
    for event in [
        Event::UpdateStatus,
        Event::Secret {
            kind: SecretEventKind::Changed,
            id: "secret:cjqub6vubg2s77p3nio0".to_owned(),
            label: None,
            revision: None,
        },
    ] {
        let mut world = settled();
        world.hook.event = event;
        for endpoint in ["database", "visibility-database"] {
            let new = bag(&[("password", "new")]);
            secret(&mut world, endpoint, "secret-user").extend(new);
        }
        let plans = hook(&mut world);
        assert_eq!(plans[0].to_string(), format!("write `{}`", pgpass::PATH));
        let publishes = "publish for the application on 9: database_connections\nremember told-app";
        assert_eq!(plans[1].to_string(), publishes);
        assert_eq!(shown(&world).level, Level::Active);
        assert_eq!(plan(&world).to_string(), "nothing to do");
    }
}

#[test]
fn another_user_host_or_name_is_a_restart() {
    let changes: [fn(&mut World); 2] = [
        |world| {
            let new = bag(&[("username", "relation-7b")]);
            secret(world, "database", "secret-user").extend(new);
        },
        |world| {
            let new = bag(&[("endpoints", "elsewhere.m.svc.cluster.local:5432")]);
            world.said_by("database").extend(new);
        },
    ];
    for change in changes {
        let mut world = settled();
        change(&mut world);
        let changes = &hook(&mut world)[0].changes;
        let stop = changes.iter().position(|change| *change == Change::Stop);
        let start = changes.iter().position(|change| *change == Change::Start);
        assert!(stop.is_some() && stop < start, "{changes:?}");
        assert_eq!(shown(&world).level, Level::Active);
    }
}

#[test]
fn another_order_of_the_hosts_changes_nothing() {
    let mut world = settled();
    let both = "first.m.svc.cluster.local:5432,pg-primary.m.svc.cluster.local:5432";
    world
        .said_by("database")
        .extend(bag(&[("endpoints", both)]));
    assert_eq!(plan(&world).to_string(), "nothing to do");
}

#[test]
fn a_secret_that_cannot_be_read_stops_nothing() {
    for key in ["secret-user", "secret-tls"] {
        let mut world = settled();
        world.relation("database").secrets.remove(key);
        assert_eq!(plan(&world).changes, []);
        hook(&mut world);
        let shown = shown(&world);
        assert_eq!(shown.level, Level::Waiting);
        let words =
            format!("waiting for `database`: postgresql-k8s does not let us read `{key}` yet");
        assert_eq!(shown.message, words);
        assert!(is_up(&mut world));
    }
}

#[test]
fn a_provider_that_refuses_is_quoted_and_stops_nothing() {
    let mut world = settled();
    let status = r#"[{"code": 5004, "message": "no such role", "resolution": "ask for another"}]"#;
    world.said_by("database").extend(bag(&[("status", status)]));
    assert_eq!(plan(&world).changes, []);
    hook(&mut world);
    let shown = shown(&world);
    assert_eq!(shown.level, Level::Blocked);
    let words = "`database`: postgresql-k8s refuses: no such role (5004); ask for another";
    assert_eq!(shown.message, words);
    assert!(is_up(&mut world));
}

#[test]
fn what_is_missing_is_asked_for_with_a_command_of_the_same_interface() {
    for (related, words) in [
        (
            &["database"][..],
            "`visibility-database` has no database: \
             `juju integrate temporal-k8s:visibility-database postgresql-k8s:database`",
        ),
        (
            &["db"],
            "`visibility` has no database: `juju integrate temporal-k8s:visibility postgresql-k8s:db`",
        ),
        (
            &[],
            "`db` has no database: `juju integrate temporal-k8s:db postgresql-k8s:db`, \
             or `juju integrate temporal-k8s:database postgresql-k8s:database` (+1 more)",
        ),
    ] {
        let mut world = modern();
        world.relate("db", model::store(Store::Main, 7));
        world
            .relations
            .retain(|name, _| Store::of_endpoint(name).is_none() || related.contains(name));
        hook(&mut world);
        assert_eq!(shown(&world).message, words);
        assert_eq!(shown(&world).level, Level::Blocked);
    }
}

#[test]
fn two_interfaces_for_one_store_start_nothing() {
    let mut world = modern();
    world.relate("db", model::store(Store::Main, 12));
    let plans = hook(&mut world);
    assert!(plans.iter().all(|plan| plan.changes.is_empty()));
    let words = "`database`: `db` is related as well, and a store has one database: \
                 `juju remove-relation temporal-k8s:database postgresql-k8s`";
    let shown = shown(&world);
    assert!(shown.message.starts_with(words), "{}", shown.message);
    assert_eq!(shown.level, Level::Blocked);
    // either way out leads on
    for endpoint in ["db", "database"] {
        let mut world = world.clone();
        world.relations.remove(endpoint);
        hook(&mut world);
        assert!(is_up(&mut world), "{endpoint}");
    }
}

#[test]
fn a_second_interface_leaves_the_database_that_is_served() {
    let mut world = settled();
    world.relate("db", model::store(Store::Main, 12));
    assert_eq!(plan(&world).changes, []);
    hook(&mut world);
    let words = "`db`: `database` is related as well, and a store has one database: \
                 `juju remove-relation temporal-k8s:db postgresql-k8s`";
    assert_eq!(shown(&world).message, words);
    assert!(is_up(&mut world));
    world.relations.remove("db");
    assert_eq!(plan(&world).changes, []);
    hook(&mut world);
    assert_eq!(shown(&world).level, Level::Active);
}

#[test]
fn one_provider_is_related_by_one_interface() {
    let mut world = modern();
    world.relations.remove("database");
    world.relate("db", model::store(Store::Main, 12));
    hook(&mut world);
    let words = "`visibility-database`: `db` is related to postgresql-k8s too, which serves one of the two interfaces \
                 only: `juju remove-relation temporal-k8s:db postgresql-k8s`, then \
                 `juju integrate temporal-k8s:database postgresql-k8s:database`";
    assert_eq!(shown(&world).message, words);
    assert_eq!(shown(&world).level, Level::Blocked);
    // two providers are two matters
    world.relation("db").remote_app = "old-postgresql".to_owned();
    hook(&mut world);
    assert_eq!(shown(&world).level, Level::Active);
}

#[test]
fn a_removed_database_stops_the_server() {
    let mut world = settled();
    world.relations.remove("visibility-database");
    let plans = hook(&mut world);
    assert!(plans[0].changes.contains(&Change::Stop));
    assert!(!workload(&mut world).files.contains_key(pgpass::PATH));
    let words = "`visibility-database` has no database: ";
    assert!(shown(&world).message.starts_with(words));
}

#[test]
fn another_name_than_asked_for_needs_another_relation() {
    let mut world = settled();
    world.options = model::options(serde_json::json!({"database-prefix": "other"}));
    assert_eq!(plan(&world).changes, []);
    hook(&mut world);
    let shown = shown(&world);
    assert_eq!(shown.level, Level::Blocked);
    let words = "`database`: postgresql-k8s offers another database than `other_db`";
    assert!(shown.message.starts_with(words), "{}", shown.message);
    assert!(is_up(&mut world));
}
