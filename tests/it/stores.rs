//! What the databases say that keeps a server from being started, and the turn to restart one.

use serde_json::json;
use temporal_k8s::config::SHARDS;
use temporal_k8s::facts::Attempt;
use temporal_k8s::juju::{Event, Level};
use temporal_k8s::plan::{OtherUnits, Terms};
use temporal_k8s::postgres::{Connections, Denied, Fixed, Room, StoreFacts};
use temporal_k8s::probe::Probe;
use temporal_k8s::snapshot::ServiceState;
use temporal_k8s::temporal::{Role, Store};

use crate::model::{
    World, bag, facts, hook, options, plan, ready_to_start, settled, store, workload,
};

/// What the main store says.
fn main_store(world: &mut World) -> &mut StoreFacts {
    match &mut world.stores.main {
        Probe::Known(said) => said,
        other => panic!("{other:?}"),
    }
}

/// What both stores say.
fn stores(world: &mut World) -> [&mut StoreFacts; 2] {
    match (&mut world.stores.main, &mut world.stores.visibility) {
        (Probe::Known(main), Probe::Known(visibility)) => [main, visibility],
        other => panic!("{other:?}"),
    }
}

/// Nothing is started, and a person reads this.
fn blocked(world: &mut World, said: &str) {
    hook(world);
    assert_ne!(
        workload(world)
            .service
            .as_ref()
            .map(|service| service.state),
        Some(ServiceState::Active)
    );
    let status = world.status.clone().unwrap();
    assert_eq!(
        (status.level, status.message.as_str()),
        (Level::Blocked, said)
    );
}

#[test]
fn a_role_without_rights_starts_nothing_and_is_told_the_statement() {
    let objects = |tables: &[&str], sequences: &[&str]| Denied::Objects {
        schema: "public".to_owned(),
        tables: tables.iter().map(|&name| name.to_owned()).collect(),
        sequences: sequences.iter().map(|&name| name.to_owned()).collect(),
    };
    for (denied, said) in [
        (
            Denied::Database,
            "`GRANT CONNECT ON DATABASE \"temporal-k8s_db\" TO \"relation_id_7\"`",
        ),
        (
            Denied::Schema("temporal".to_owned()),
            "`GRANT USAGE ON SCHEMA \"temporal\" TO \"relation_id_7\"`",
        ),
        (
            objects(&["executions"], &[]),
            "`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"public\" TO \
             \"relation_id_7\"` (executions)",
        ),
        (
            objects(&["a", "b", "c"], &["d", "e"]),
            "`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"public\" TO \
             \"relation_id_7\"; GRANT USAGE ON ALL SEQUENCES IN SCHEMA \"public\" TO \"relation_id_7\"` \
             (a, b, c, +2 more)",
        ),
    ] {
        let mut world = ready_to_start();
        *main_store(&mut world) = StoreFacts {
            denied: Some(denied),
            ..StoreFacts::default()
        };
        let said =
            format!("role relation_id_7 lacks rights in `db`: in temporal-k8s_db, type {said}");
        blocked(&mut world, &said);
    }
}

/// The admin application works with our credentials: where it has to make or change tables, they must do.
#[test]
fn a_role_that_may_not_set_up_the_schema_is_told_while_somebody_would() {
    let tables = ["a", "b", "c", "d"].map(str::to_owned).into();
    for (fixed, words) in [
        (
            Fixed::Schema("public".to_owned()),
            "role relation_id_7 may make no tables in `db`, which `admin` does with it: in temporal-k8s_db, type \
             `GRANT CREATE ON SCHEMA \"public\" TO \"relation_id_7\"`",
        ),
        (
            Fixed::Tables {
                owner: "old".to_owned(),
                tables,
            },
            "role relation_id_7 may not change tables in `db`, which `admin` does with it: in temporal-k8s_db, type \
             `GRANT \"old\" TO \"relation_id_7\"` (a, b, c, +1 more)",
        ),
    ] {
        for signalled in [true, false] {
            let mut world = ready_to_start();
            main_store(&mut world).schema = None;
            main_store(&mut world).fixed = Some(fixed.clone());
            if !signalled {
                world.said_by("admin").remove("schema_status");
            }
            let more = if signalled { "" } else { " (+1 more)" };
            blocked(&mut world, &format!("{words}{more}"));
        }
        // a schema that will do needs nobody's hand, and without `admin` it is somebody else's
        let mut world = ready_to_start();
        main_store(&mut world).fixed = Some(fixed.clone());
        hook(&mut world);
        assert!(
            world
                .status
                .as_ref()
                .is_some_and(|status| status.level == Level::Active)
        );
        let mut world = ready_to_start();
        main_store(&mut world).schema = None;
        main_store(&mut world).fixed = Some(fixed);
        world.relations.remove("admin");
        let alone = "no schema in `db`, the server needs 1.19: \
                     `juju integrate temporal-k8s:admin temporal-admin-k8s:admin`";
        blocked(&mut world, alone);
    }
}

#[test]
fn a_database_restored_under_another_name_is_told_with_the_cure() {
    let mut world = ready_to_start();
    main_store(&mut world).schema = None;
    main_store(&mut world).copy_of = Some("it's_db".to_owned());
    let told =
        "the schema in `db` is that of it's_db, of which temporal-k8s_db is a copy: there, type ";
    let update =
        "UPDATE schema_version SET db_name = 'temporal-k8s_db' WHERE db_name = 'it''s_db'`";
    blocked(&mut world, &format!("{told}`{update}"));
    // a tool has been there since
    main_store(&mut world).schema = "0.0".parse().ok();
    let delete = "DELETE FROM schema_version WHERE db_name = 'temporal-k8s_db'; ";
    blocked(&mut world, &format!("{told}`{delete}{update}"));
    // which fails, and is never done
    world.relation("admin").remote_app_bag = Some(bag(&[]));
    hook(&mut world);
    let status = world.status.clone().unwrap();
    assert_eq!(status.level, Level::Blocked);
    assert_eq!(status.message, format!("{told}`{delete}{update} (+1 more)"));
    let ready = ready_to_start().relation("admin").clone();
    world.relate("admin", ready);
    // enough is enough, whatever else is written there
    main_store(&mut world).schema = "1.19".parse().ok();
    hook(&mut world);
    assert_eq!(world.status.as_ref().unwrap().level, Level::Active);
}

/// Both stores are on one PostgreSQL server with 97 connections for plain roles.
fn crowded(others: u32, taken: u32) -> World {
    let mut world = ready_to_start();
    for said in stores(&mut world) {
        said.connections = Connections {
            server: Room {
                limit: Some(97),
                // each store's question counts the other's servers with everybody
                taken: taken + 10 * others,
            },
            temporal: 10 * others,
            others,
            ..Connections::default()
        };
    }
    world
}

#[test]
fn three_units_fit_and_a_fourth_is_told_before_it_starts() {
    for (others, taken) in [(0, 72), (2, 22)] {
        let mut world = crowded(others, taken);
        hook(&mut world);
        assert_eq!(
            world.status.as_ref().unwrap().level,
            Level::Active,
            "{others}"
        );
    }
    let place = "PostgreSQL at pg-primary.m.svc.cluster.local:5432 takes 97 connections";
    blocked(
        &mut crowded(0, 80),
        &format!(
            "{place}, others have 80, and this unit may want 25: raise its `max_connections` by 8, or \
             `juju config temporal-k8s database-connections=19`"
        ),
    );
    blocked(
        &mut crowded(3, 2),
        &format!(
            "{place}, others have 2, and 4 units may want 25 each: raise its `max_connections` by 5, or \
             `juju config temporal-k8s database-connections=24`"
        ),
    );
    blocked(
        &mut crowded(9, 2),
        &format!(
            "{place}, others have 2, and 10 units may want 25 each: raise its `max_connections` by 155"
        ),
    );
    let mut world = crowded(3, 2);
    world.options = options(json!({"database-connections": 20}));
    hook(&mut world);
    assert_eq!(world.status.as_ref().unwrap().level, Level::Active);
}

#[test]
fn limits_of_role_and_database_count_the_connections_to_their_store() {
    let room = |limit| Room {
        limit: Some(limit),
        taken: 1,
    };
    let mut world = ready_to_start();
    main_store(&mut world).connections.role = room(10);
    blocked(
        &mut world,
        "role relation_id_7 may have 10 connections, others have 1, and this unit may want 15: \
         `ALTER ROLE \"relation_id_7\" CONNECTION LIMIT 16`, or \
         `juju config temporal-k8s database-connections=14`",
    );
    main_store(&mut world).connections.role = room(16);
    main_store(&mut world).connections.database = room(5);
    blocked(
        &mut world,
        "database temporal-k8s_db takes 5 connections, others have 1, and this unit may want 15: \
         `ALTER DATABASE \"temporal-k8s_db\" CONNECTION LIMIT 16`",
    );
}

/// A unit that serves, at the begin of a hook.
fn serving() -> World {
    let mut world = settled();
    world.attempt = Attempt::None;
    world
}

/// The same with some options.
fn settled_with(given: serde_json::Value) -> World {
    let mut world = ready_to_start();
    world.options = options(given);
    hook(&mut world);
    world.attempt = Attempt::None;
    world
}

/// Nobody listens on the ports of these roles.
fn refuse(world: &mut World, roles: &[Role]) {
    let Probe::Known(serving) = &mut world.serving else {
        panic!("nothing serves")
    };
    for role in roles {
        let refused = || Err("connection refused".to_owned());
        serving.roles.insert(*role, refused());
        if *role == Role::Frontend {
            serving.store = Some(refused());
        }
    }
}

/// The terms of the turn for what a world plans, if it needs one.
fn terms(world: &World) -> Option<Terms> {
    plan(world).turn.map(|turn| turn.terms)
}

#[test]
fn a_server_that_serves_restarts_only_while_the_others_serve() {
    let mut world = serving();
    world.options = options(json!({"services": "frontend,history"}));
    let (new, mut old) = (
        [Role::Frontend, Role::InternalFrontend, Role::History],
        Role::ALL,
    );
    old.sort_unstable();
    let turn = plan(&world).turn.unwrap();
    assert_eq!(turn.database.name, "temporal-k8s_db");
    assert_eq!(
        turn.terms,
        Terms::OthersServe(OtherUnits {
            relation: Some(1),
            roles: [new.into(), old.into()].into(),
            histories: [[10, 1, 0, 5].into()].into(),
            shards: SHARDS,
            version: "1.32.2".parse().unwrap(),
            heartbeats: None,
        })
    );
    // a worker before 1.31 tells no health; where nothing else runs, there are its heartbeats
    let heartbeats = |version: &str, services: &str| {
        let mut world = settled_with(json!({"services": services}));
        world.options = options(json!({"services": services, "log-level": "debug"}));
        workload(&mut world).image = Probe::Known(Ok(version.parse().unwrap()));
        match terms(&world) {
            Some(Terms::OthersServe(others)) => others.heartbeats.map(|database| database.name),
            other => panic!("{other:?}"),
        }
    };
    let main = Some("temporal-k8s_db".to_owned());
    assert_eq!(heartbeats("1.30.6", "worker"), main);
    assert_eq!(heartbeats("1.30.6", "frontend,worker"), None);
    assert_eq!(heartbeats("1.31.0", "worker"), None);
    // when they do not serve, nothing is done, and the status says why
    world.attempt = Attempt::Postponed("`temporal-k8s/1` does not serve (history: why)".into());
    let shown = plan(&world).to_string();
    let said = "unit waiting: waiting for its turn to restart the server: `temporal-k8s/1` does not serve (history: why)";
    assert!(shown.contains(said), "{shown}");
}

#[test]
fn who_needs_no_look_at_the_others_and_who_needs_no_turn() {
    let change = |world: &mut World| world.options = options(json!({"log-level": "debug"}));
    let mut broken = serving();
    change(&mut broken);
    broken.serving = Probe::Unreachable("gone".to_owned());
    assert_eq!(
        terms(&broken),
        Some(Terms::Any),
        "a restart may be the cure"
    );

    let mut more = settled_with(json!({"services": "history,matching"}));
    more.options = options(json!({"services": "frontend,history,matching"}));
    refuse(&mut more, &[Role::Frontend, Role::InternalFrontend]);
    let look = |terms| matches!(terms, Some(Terms::OthersServe(_)));
    assert!(look(terms(&more)), "it serves what it runs");
    refuse(&mut more, &[Role::History]);
    assert_eq!(terms(&more), Some(Terms::Any));

    let mut moved = serving();
    let elsewhere = store(Store::Main, 17);
    moved.relate("db", elsewhere);
    moved.stores.main = facts((1, 19), None);
    let waits = |terms| match terms {
        Some(Terms::OrWithout(others)) => others.is_some(),
        other => panic!("law S2: {other:?}"),
    };
    assert!(
        waits(terms(&moved)),
        "its worker's heartbeats are left behind"
    );
    assert!(plan(&moved).starts());
    refuse(&mut moved, &[Role::Frontend]);
    assert!(!waits(terms(&moved)), "as it is when the old store is gone");
    assert!(plan(&moved).starts());

    assert!(plan(&ready_to_start()).starts());
    assert_eq!(terms(&ready_to_start()), None, "a first start");
    let mut ended = serving();
    change(&mut ended);
    workload(&mut ended).service.as_mut().unwrap().state = ServiceState::Backoff;
    assert_eq!(terms(&ended), None, "nothing runs");
    let mut asked = serving();
    change(&mut asked);
    asked.hook.event = Event::Action {
        name: "restart".to_owned(),
    };
    assert_eq!(terms(&asked), None, "a person has decided");
}
