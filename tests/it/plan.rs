//! The state machine, one fact at a time: a snapshot, one mutation, one expectation.

use std::collections::BTreeSet;

use serde_json::json;
use temporal_k8s::container::{self, config, pgpass};
use temporal_k8s::facts::{Attempt, Failure};
use temporal_k8s::juju::{Event, Level, Relation, SecretEventKind, Status};
use temporal_k8s::plan::{Change, Note};
use temporal_k8s::postgres::{Denied, StoreFacts};
use temporal_k8s::probe::Probe;
use temporal_k8s::snapshot::ServiceState;
use temporal_k8s::temporal::health::Serving;
use temporal_k8s::temporal::{Role, SchemaVersion, Store, Version, required_schema};

use crate::model::{
    self, World, bag, facts, hook, options, plan, ready_to_start, settled, workload,
};

/// The unit status after one hook.
fn status(snapshot: &mut World) -> Status {
    hook(snapshot);
    shown(snapshot)
}

/// The unit status that is shown.
fn shown(snapshot: &World) -> Status {
    snapshot.status.clone().expect("every hook shows a status")
}

/// One mutation of a unit that is ready to start, and the status it must show without starting.
fn held(mutate: impl FnOnce(&mut World), level: Level, words: &str) {
    let mut snapshot = ready_to_start();
    mutate(&mut snapshot);
    let plans = hook(&mut snapshot);
    let starts = |change: &Change| matches!(change, Change::Start | Change::Layer(_));
    assert!(
        !plans.iter().any(|plan| plan.changes.iter().any(starts)),
        "it was started"
    );
    let status = shown(&snapshot);
    assert_eq!(status.level, level, "{}", status.message);
    assert!(
        status.message.contains(words),
        "`{}` lacks `{words}`",
        status.message
    );
}

#[test]
fn a_proven_schema_starts_the_server_and_the_same_hook_says_active() {
    let mut snapshot = ready_to_start();
    let plans = hook(&mut snapshot);
    insta::assert_snapshot!(
        "first_start",
        format!("{}\n\nthen\n\n{}", plans[0], plans[1])
    );
    assert_eq!(
        snapshot.status.as_ref().map(|status| status.level),
        Some(Level::Active)
    );
    assert_eq!(snapshot.app_status, snapshot.status);
}

#[test]
fn a_settled_unit_plans_nothing() {
    let mut snapshot = settled();
    assert_eq!(plan(&snapshot).to_string(), "nothing to do");
    snapshot.hook.event = Event::ConfigChanged;
    assert_eq!(plan(&snapshot).to_string(), "nothing to do");
}

#[test]
fn gates_hold_a_start_and_say_why() {
    held(
        |s| s.workload = Probe::Unreachable("no pebble".into()),
        Level::Waiting,
        "no pebble",
    );
    held(|s| s.bind_address = None, Level::Waiting, "address");
    held(
        |s| workload(s).image = Probe::Unreachable("pebble is silent".into()),
        Level::Waiting,
        "pebble is silent",
    );
    held(
        |s| workload(s).image = Probe::Known(Err("no such program".into())),
        Level::Blocked,
        "temporal-server-image",
    );
    held(
        |s| workload(s).image = Probe::Known(Ok("1.16.2".parse().unwrap())),
        Level::Blocked,
        "1.16.2",
    );
    held(
        |s| _ = s.relations.remove("db"),
        Level::Blocked,
        "juju integrate temporal-k8s:db",
    );
    held(
        |s| _ = s.relations.remove("visibility"),
        Level::Blocked,
        "juju integrate temporal-k8s:visibility",
    );
    held(
        |s| _ = s.said_by("db").remove("master"),
        Level::Waiting,
        "waiting for `db`",
    );
    held(
        |s| s.said_by("admin").clear(),
        Level::Waiting,
        "waiting for `admin`",
    );
    held(
        |s| s.stores.main = Probe::Unreachable("connection refused".into()),
        Level::Waiting,
        "connection refused",
    );
    held(
        |s| s.stores.visibility = facts((1, 13), None),
        Level::Waiting,
        "1.13",
    );
    held(
        |s| s.stores.main = Probe::Known(StoreFacts::default()),
        Level::Waiting,
        "no schema in `db`",
    );
    held(
        |s| {
            s.relations.remove("admin");
            s.stores.main = Probe::Known(StoreFacts::default());
        },
        Level::Blocked,
        "juju integrate temporal-k8s:admin",
    );
    held(
        |s| {
            s.options = options(json!({"num-history-shards": 4}));
            s.stores.main = facts((1, 19), Some(8));
        },
        Level::Blocked,
        "`num-history-shards` is 4, but the database was started with 8",
    );
    held(
        |s| s.options = options(json!({"log-level": "loud"})),
        Level::Blocked,
        "log-level",
    );
}

#[test]
fn a_worker_alone_needs_a_server_with_an_internal_frontend() {
    let given = options(json!({"services": "worker,history"}));
    held(
        |s| {
            s.options = given.clone();
            workload(s).image = Probe::Known(Ok("1.17.3".parse().unwrap()));
        },
        Level::Blocked,
        "add it to `services`",
    );
    let mut snapshot = ready_to_start();
    snapshot.options = given.clone();
    assert_eq!(status(&mut snapshot).level, Level::Active);
}

#[test]
fn schema_proof_without_an_admin_relation_is_enough() {
    let mut snapshot = ready_to_start();
    snapshot.relations.remove("admin");
    assert_eq!(status(&mut snapshot).level, Level::Active);
}

#[test]
fn a_newer_schema_than_needed_is_enough_and_1_10_is_above_1_9() {
    let mut snapshot = ready_to_start();
    workload(&mut snapshot).image = Probe::Known(Ok("1.20.0".parse().unwrap()));
    snapshot.stores.main = facts((1, 10), None);
    snapshot.stores.visibility = facts((1, 10), None);
    assert_eq!(status(&mut snapshot).level, Level::Active);
}

#[test]
fn several_problems_show_the_most_urgent_and_count_the_rest() {
    let mut snapshot = ready_to_start();
    snapshot.bind_address = None;
    snapshot.relations.remove("db");
    snapshot.options = options(json!({"log-level": "x", "num-history-shards": 3}));
    let plans = hook(&mut snapshot);
    let status = shown(&snapshot);
    assert_eq!(status.level, Level::Blocked);
    assert!(status.message.ends_with("(+3 more)"), "{}", status.message);
    let logged = plans.last().unwrap().notes.iter();
    assert_eq!(
        logged
            .filter(|note| matches!(note, Note::Log { .. }))
            .count(),
        4
    );
}

#[test]
fn removing_a_store_stops_the_server_in_that_hook_and_forgets_the_passwords() {
    for store in Store::ALL {
        let mut snapshot = settled();
        snapshot.relations.remove(store.pgsql());
        let plans = hook(&mut snapshot);
        assert!(plans[0].changes.contains(&Change::Stop));
        assert!(
            plans[0]
                .changes
                .contains(&Change::Delete { path: pgpass::PATH })
        );
        assert_eq!(snapshot.status.as_ref().unwrap().level, Level::Blocked);
        assert_eq!(plan(&snapshot).to_string(), "nothing to do");
    }
}

#[test]
fn bad_options_do_not_keep_a_server_running_on_a_removed_store() {
    let mut snapshot = settled();
    snapshot.options = options(json!({"log-level": "loud"}));
    snapshot.relations.remove("db");
    assert!(hook(&mut snapshot)[0].changes.contains(&Change::Stop));
}

#[test]
fn another_database_without_a_schema_stops_the_server() {
    let mut snapshot = settled();
    snapshot.relate("db", model::store(Store::Main, 12));
    snapshot.stores.main = Probe::Known(StoreFacts::default());
    assert!(hook(&mut snapshot)[0].changes.contains(&Change::Stop));
    assert_eq!(shown(&snapshot).level, Level::Waiting);
}

#[test]
fn another_database_with_a_schema_restarts_the_server_on_it() {
    let mut snapshot = settled();
    snapshot.relate("db", model::store(Store::Main, 12));
    let plans = hook(&mut snapshot);
    assert!(plans[0].changes.contains(&Change::Start));
    assert_eq!(shown(&snapshot).level, Level::Active);
}

#[test]
fn a_database_that_is_down_for_a_moment_stops_nothing() {
    let mut snapshot = settled();
    snapshot.stores.main = Probe::Unreachable("connection refused".into());
    let Probe::Known(serving) = &mut snapshot.serving else {
        panic!("not serving")
    };
    serving.store = Some(Err("connection refused".into()));
    let plans = hook(&mut snapshot);
    assert_eq!(plans.len(), 1, "the container was touched: {}", plans[0]);
    assert_eq!(shown(&snapshot).level, Level::Waiting);
}

#[test]
fn a_mismatch_of_subnets_holds_a_first_start_but_stops_nothing() {
    let other = |s: &mut World| {
        s.said_by("db")
            .extend(bag(&[("allowed-subnets", "10.9.9.9/32")]));
    };
    held(other, Level::Waiting, "waiting for `db`");
    let mut snapshot = settled();
    other(&mut snapshot);
    assert_eq!(plan(&snapshot).to_string(), "nothing to do");
}

fn rotate_password(snapshot: &mut World) {
    for store in Store::ALL {
        let said = snapshot.said_by(store.pgsql());
        let master = said["master"].expose();
        let master = master.replace(model::PASSWORD, "new");
        let new = bag(&[("master", &master), ("password", "new")]);
        said.extend(new);
    }
}

#[test]
fn a_rotated_password_rewrites_the_pass_file_and_restarts_nothing() {
    let mut snapshot = settled();
    rotate_password(&mut snapshot);
    let plans = hook(&mut snapshot);
    assert_eq!(plans[0].to_string(), "write `/etc/temporal/pgpass`");
    let publishes = "publish for the application on 9: database_connections\nremember told-app";
    assert_eq!(plans[1].to_string(), publishes);
    assert_eq!(shown(&snapshot).level, Level::Active);
}

#[test]
fn a_rotated_password_reaches_the_server_behind_bad_options_and_closed_gates() {
    let mutations: [fn(&mut World); 2] = [
        |s| s.options = options(json!({"log-level": "loud"})),
        |s| {
            s.options = options(json!({"num-history-shards": 8}));
            s.stores.main = facts((1, 19), Some(4));
        },
    ];
    for mutate in mutations {
        let mut snapshot = settled();
        mutate(&mut snapshot);
        hook(&mut snapshot);
        rotate_password(&mut snapshot);
        let plans = hook(&mut snapshot);
        assert_eq!(plans[0].to_string(), "write `/etc/temporal/pgpass`");
        assert_eq!(snapshot.status.as_ref().unwrap().level, Level::Blocked);
        assert_eq!(
            workload(&mut snapshot).service.as_ref().unwrap().state,
            ServiceState::Active
        );
    }
}

#[test]
fn a_restarted_container_gets_everything_again() {
    let mut snapshot = settled();
    let fresh = ready_to_start().workload.clone();
    snapshot.workload = fresh;
    workload(&mut snapshot).boot_id = "boot-2".to_owned();
    let plans = hook(&mut snapshot);
    let written = plans[0]
        .changes
        .iter()
        .filter(|change| matches!(change, Change::Write { .. }))
        .count();
    assert_eq!(written, 3);
    assert_eq!(shown(&snapshot).level, Level::Active);
}

#[test]
fn a_changed_shard_count_blocks_and_leaves_the_server_as_it_is() {
    let mut snapshot = settled();
    snapshot.stores.main = facts((1, 19), Some(4));
    snapshot.options = options(json!({"num-history-shards": 8}));
    let plans = hook(&mut snapshot);
    assert_eq!(plans.len(), 1);
    let status = shown(&snapshot);
    assert_eq!(status.level, Level::Blocked);
    assert!(
        status.message.contains("num-history-shards=4"),
        "{}",
        status.message
    );
}

#[test]
fn only_what_serves_is_active() {
    let cases: [fn(&mut Serving); 2] = [
        |serving| {
            serving
                .roles
                .insert(Role::History, Err("not serving".into()));
        },
        |serving| serving.store = Some(Err("no answer".into())),
    ];
    for case in cases {
        let mut snapshot = settled();
        let Probe::Known(serving) = &mut snapshot.serving else {
            panic!("not serving")
        };
        case(serving);
        assert_eq!(status(&mut snapshot).level, Level::Waiting);
    }
    for probe in [Probe::NotAsked, Probe::Unreachable("gone".into())] {
        let mut snapshot = settled();
        snapshot.serving = probe;
        assert_eq!(status(&mut snapshot).level, Level::Waiting);
    }
}

fn serving_mut(world: &mut World) -> &mut Serving {
    match &mut world.serving {
        Probe::Known(serving) => serving,
        other => panic!("not serving: {other:?}"),
    }
}

/// History that never owned a shard, in a ring where the others own these.
fn without_shards(elsewhere: impl IntoIterator<Item = u32>) -> World {
    let mut world = ready_to_start();
    world.stores.main = facts((1, 19), Some(4));
    hook(&mut world);
    let serving = serving_mut(&mut world);
    let says = Err("it answers, but does not serve yet".to_owned());
    serving.roles.insert(Role::History, says);
    serving.shards = Some([].into());
    serving.elsewhere = elsewhere.into_iter().collect();
    world
}

#[test]
fn a_unit_whose_history_owns_no_shard_is_active_and_says_so() {
    let mut world = without_shards(1..=4);
    let shown = status(&mut world);
    assert_eq!(shown.level, Level::Active);
    assert_eq!(
        shown.message,
        "history rests: the other units own all 4 shards"
    );
}

#[test]
fn history_that_does_not_serve_rests_only_if_others_own_every_shard() {
    let not_all = without_shards([1, 2, 4]);
    let mut owns_one = without_shards(1..=4);
    serving_mut(&mut owns_one).shards = Some([2].into());
    let mut says_nothing_of_shards = without_shards(1..=4);
    serving_mut(&mut says_nothing_of_shards).shards = None;
    let mut unknown_number = without_shards(1..=4);
    unknown_number.options = options(json!({"num-history-shards": 4}));
    unknown_number.stores.main = facts((1, 19), None);
    for mut world in [not_all, owns_one, says_nothing_of_shards, unknown_number] {
        let shown = status(&mut world);
        assert_eq!(shown.level, Level::Waiting);
        let words = "waiting for history to serve";
        assert!(shown.message.starts_with(words), "{}", shown.message);
    }
}

#[test]
fn an_existing_database_keeps_its_number_of_shards_without_anyone_doing_anything() {
    for stored in [1, 4, 64, 512] {
        let mut world = ready_to_start();
        world.stores.main = facts((1, 19), Some(stored));
        hook(&mut world);
        let config = &workload(&mut world).files[container::config::PATH];
        let text = String::from_utf8(config.content.expose().clone()).unwrap();
        assert!(
            text.contains(&format!("numHistoryShards: {stored}\n")),
            "{text}"
        );
        assert!(plan(&world).is_empty());
    }
}

#[test]
fn a_running_unit_whose_option_and_stored_shards_differ_is_blocked_and_goes_on() {
    let mut world = ready_to_start();
    world.options = options(json!({"num-history-shards": 8}));
    hook(&mut world);
    // another application started its server a moment earlier
    world.stores.main = facts((1, 19), Some(4));
    let shown = status(&mut world);
    assert_eq!(shown.level, Level::Blocked);
    let words = "`num-history-shards` is 8, but the database was started with 4";
    assert!(shown.message.starts_with(words), "{}", shown.message);
    assert!(workload(&mut world).is_up());
}

#[test]
fn a_unit_without_a_frontend_is_not_active_while_its_stores_cannot_be_read() {
    for services in ["history,matching", "matching", "worker"] {
        let mut world = ready_to_start();
        world.options = options(json!({"services": services}));
        hook(&mut world);
        assert_eq!(status(&mut world).level, Level::Active);
        for store in Store::ALL {
            let mut world = world.clone();
            let gone = Probe::Unreachable("connection refused by pg:5432".to_owned());
            match store {
                Store::Main => world.stores.main = gone,
                Store::Visibility => world.stores.visibility = gone,
            }
            let shown = status(&mut world);
            assert_eq!(shown.level, Level::Waiting, "{services}");
            let words = format!(
                "waiting for the database of `{}`: connection refused",
                store.pgsql()
            );
            assert!(shown.message.starts_with(&words), "{}", shown.message);
            assert!(workload(&mut world).is_up());
        }
    }
}

#[test]
fn a_worker_is_active_only_while_it_and_a_frontend_are_in_the_ring() {
    let mut world = ready_to_start();
    world.options = options(json!({"services": "worker"}));
    hook(&mut world);
    assert_eq!(status(&mut world).level, Level::Active);
    for (missing, words) in [
        (
            Role::InternalFrontend,
            "waiting for worker to serve: no unit that runs `frontend` has been alive",
        ),
        (
            Role::Worker,
            "waiting for worker to serve: it has not been alive",
        ),
    ] {
        let mut world = world.clone();
        if let Probe::Known(store) = &mut world.stores.main {
            store.members.retain(|member| member.role != missing);
        }
        let shown = status(&mut world);
        assert_eq!(shown.level, Level::Waiting);
        assert!(shown.message.starts_with(words), "{}", shown.message);
    }
}

/// Nothing was read there, so nothing is known of the ring.
#[test]
fn a_store_in_which_nothing_may_be_read_says_nothing_of_the_worker() {
    let mut snapshot = settled();
    snapshot.stores.main = Probe::Known(StoreFacts {
        denied: Some(Denied::Database),
        ..StoreFacts::default()
    });
    let status = status(&mut snapshot);
    assert_eq!(status.level, Level::Blocked);
    let rest = "`GRANT CONNECT ON DATABASE \"temporal-k8s_db\" TO \"relation_id_7\"`";
    assert!(status.message.ends_with(rest), "{}", status.message);
}

#[test]
fn a_server_that_exits_after_the_start_is_told_with_its_last_words() {
    let mut snapshot = ready_to_start();
    hook(&mut snapshot);
    snapshot.attempt = Attempt::Done;
    let service = workload(&mut snapshot).service.as_mut().unwrap();
    service.state = ServiceState::Backoff;
    service.last_words = Some("bad luck".into());
    let shown = plan(&snapshot).to_string();
    assert!(
        shown.contains("bad luck") && shown.contains("kubectl -n m logs temporal-k8s-0"),
        "{shown}"
    );
}

#[test]
fn a_server_that_exits_at_once_is_told_with_the_words_of_its_failed_start() {
    let mut snapshot = ready_to_start();
    hook(&mut snapshot);
    let service = workload(&mut snapshot).service.as_mut().unwrap();
    service.state = ServiceState::Inactive;
    snapshot.attempt = Attempt::Exited(Some("no such table".into()));
    let shown = plan(&snapshot).to_string();
    assert!(
        shown.contains("does not stay up (no such table)"),
        "{shown}"
    );
}

#[test]
fn a_failed_change_of_the_container_blocks_and_names_what_was_tried() {
    let mut snapshot = ready_to_start();
    snapshot.attempt = Attempt::Failed(Failure {
        attempt: "write `/etc/temporal/pgpass`".into(),
        why: "no space left on device".into(),
    });
    let shown = plan(&snapshot).to_string();
    assert!(
        shown.contains("unit blocked: could not write `/etc/temporal/pgpass`: no space left"),
        "{shown}"
    );
}

#[test]
fn ports_follow_the_roles() {
    let mut snapshot = ready_to_start();
    snapshot.options = options(json!({"services": "history, worker"}));
    hook(&mut snapshot);
    assert_eq!(
        snapshot.open_ports,
        BTreeSet::from([7234, 6934, 7239, 6939])
    );
    snapshot.options = options(json!({"services": "frontend"}));
    hook(&mut snapshot);
    assert_eq!(
        snapshot.open_ports,
        BTreeSet::from([7233, 6933, 7236, 6936])
    );
}

#[test]
fn ports_of_others_are_left_alone() {
    let mut snapshot = settled();
    snapshot.open_ports.insert(80);
    assert_eq!(plan(&snapshot).to_string(), "nothing to do");
}

#[test]
fn an_ingress_without_a_frontend_is_refused_and_gets_nothing() {
    let mut snapshot = ready_to_start();
    snapshot.options = options(json!({"services": "history,matching,worker"}));
    snapshot.relate("ingress", model::ingress(11));
    let status = status(&mut snapshot);
    assert_eq!(status.level, Level::Blocked);
    assert!(
        status
            .message
            .contains("juju remove-relation temporal-k8s:ingress nginx-ingress-integrator")
    );
    assert_eq!(snapshot.own("ingress"), model::OwnBags::default());
}

#[test]
fn switching_the_ingress_protocol_leaves_no_stale_key() {
    let published = |protocol: &str| {
        let mut snapshot = settled();
        snapshot.relate("ingress", model::ingress(11));
        let mut of = |protocol: &str| {
            let given = options(json!({"ingress-protocol": protocol}));
            snapshot.options = given.clone();
            hook(&mut snapshot);
            snapshot.own("ingress")
        };
        let direct = of(protocol);
        of(if protocol == "v2" { "nginx-2023" } else { "v2" });
        (direct, of(protocol))
    };
    for protocol in ["v2", "nginx-2023"] {
        let (direct, after_a_detour) = published(protocol);
        assert_eq!(direct, after_a_detour);
    }
}

#[test]
fn a_stopping_unit_stops_its_server_and_does_nothing_else() {
    let mut snapshot = settled();
    snapshot.hook.event = Event::Stop;
    let plans = hook(&mut snapshot);
    assert_eq!(plans[0].changes, [Change::Stop]);
    assert!(plans[0].announce.is_some());
    assert_eq!(
        workload(&mut snapshot).service.as_ref().unwrap().state,
        ServiceState::Inactive
    );
    assert_eq!(plan(&snapshot).to_string(), "nothing to do");
}

#[test]
fn a_secret_hook_reconciles_and_leaves_a_settled_unit_alone() {
    for kind in [
        SecretEventKind::Changed,
        SecretEventKind::Rotate,
        SecretEventKind::Expired,
        SecretEventKind::Remove,
    ] {
        let event = Event::Secret {
            kind,
            id: "secret:cjqub6vubg2s77p3nio0".into(),
            label: None,
            revision: None,
        };
        let mut snapshot = settled();
        snapshot.hook.event = event.clone();
        assert_eq!(plan(&snapshot).to_string(), "nothing to do", "{event}");
        let mut snapshot = ready_to_start();
        snapshot.hook.event = event;
        let plans = hook(&mut snapshot);
        assert!(plans[0].changes.contains(&Change::Start));
    }
}

#[test]
fn remove_and_unknown_hooks_do_nothing() {
    for event in [Event::Remove, Event::Other("collect-metrics".into())] {
        let mut snapshot = ready_to_start();
        snapshot.hook.event = event;
        assert_eq!(plan(&snapshot).to_string(), "nothing to do");
    }
}

#[test]
fn the_restart_action_answers_with_what_it_saw() {
    let action = Event::Action {
        name: "restart".into(),
    };
    let mut snapshot = settled();
    snapshot.hook.event = action.clone();
    let plans = hook(&mut snapshot);
    assert!(plans[0].changes.ends_with(&[Change::Stop, Change::Start]));
    assert!(
        plans[1].to_string().contains("action result"),
        "{}",
        plans[1]
    );

    let mut snapshot = ready_to_start();
    snapshot.hook.event = action.clone();
    snapshot.stores.main = Probe::Known(StoreFacts::default());
    let plans = hook(&mut snapshot);
    assert_eq!(plans.len(), 1);
    assert!(
        plans[0]
            .to_string()
            .contains("action failed: not restarted: "),
        "{}",
        plans[0]
    );

    let mut snapshot = settled();
    snapshot.hook.event = Event::Action {
        name: "dance".into(),
    };
    assert!(
        plan(&snapshot)
            .to_string()
            .contains("unknown action `dance`")
    );
}

#[test]
fn a_schema_version_below_the_needed_one_never_starts_any_server() {
    for version in ["1.17.4", "1.20.0", "1.23.1", "1.26.2", "1.32.2", "1.40.0"] {
        let version: Version = version.parse().unwrap();
        let need = required_schema(version).unwrap();
        let below = SchemaVersion {
            minor: need.main.minor - 1,
            ..need.main
        };
        let mut snapshot = ready_to_start();
        let image = version.to_string().parse().unwrap();
        workload(&mut snapshot).image = Probe::Known(Ok(image));
        snapshot.stores.main = facts((below.major, below.minor), None);
        let plans = hook(&mut snapshot);
        assert_eq!(plans.len(), 1, "{version} was started");
    }
}

#[test]
fn in_install_no_relation_is_missed_since_juju_tells_of_none() {
    let mut snapshot = ready_to_start();
    snapshot.hook.event = Event::Install;
    snapshot.relations.clear();
    let plans = hook(&mut snapshot);
    assert_eq!(plans.len(), 1);
    assert_eq!(plans[0].to_string(), "unit maintenance: installing");
}

#[test]
fn what_a_unit_cannot_serve_for_comes_before_what_nobody_comes_through() {
    let mut snapshot = ready_to_start();
    snapshot.options = options(json!({"services": "history,matching,worker"}));
    snapshot.relate("ingress", model::ingress(11));
    hook(&mut snapshot);
    snapshot.attempt = Attempt::Exited(Some("no such table".into()));
    let service = workload(&mut snapshot).service.as_mut().unwrap();
    service.state = ServiceState::Inactive;
    let shown = plan(&snapshot).to_string();
    assert!(
        shown.contains("unit blocked: temporal-server does not stay up (no such table)"),
        "{shown}"
    );
    assert!(shown.contains("(+1 more)"), "{shown}");
}

#[test]
fn a_restart_that_could_not_be_tried_is_not_said_to_have_been() {
    let mut snapshot = settled();
    snapshot.hook.event = Event::Action {
        name: "restart".into(),
    };
    snapshot.attempt = Attempt::Failed(Failure {
        attempt: "write `/etc/temporal/pgpass`".into(),
        why: "no space left on device".into(),
    });
    let shown = plan(&snapshot).to_string();
    assert!(
        shown.contains("action failed: not restarted: could not write `/etc/temporal/pgpass`"),
        "{shown}"
    );
}

#[test]
fn every_unit_tells_its_version_once_in_each_life_of_its_container() {
    for leader in [true, false] {
        let mut snapshot = ready_to_start();
        if !leader {
            model::follow(&mut snapshot);
        }
        let told = |plans: &[temporal_k8s::plan::Plan]| {
            let notes = plans.iter().flat_map(|plan| plan.notes.iter());
            notes
                .filter(|note| matches!(note, Note::TellVersion { .. }))
                .count()
        };
        assert_eq!(told(&hook(&mut snapshot)), 1);
        assert_eq!(told(&hook(&mut snapshot)), 0);
        workload(&mut snapshot).boot_id = "boot-2".to_owned();
        assert_eq!(told(&hook(&mut snapshot)), 1);
    }
}

/// One application of several that share a pair of databases: the schema is another one's business.
#[test]
fn an_application_without_a_frontend_waits_for_the_schema_of_another() {
    let unattended = |services: &'static str| {
        move |s: &mut World| {
            s.options = options(json!({ "services": services }));
            s.relations.remove("admin");
            s.stores.main = facts((1, 18), None);
        }
    };
    let elsewhere = "waiting for the application with `frontend`, whose `admin` sets up the schema: \
                     schema of `db` is 1.18, the server needs 1.19";
    held(unattended("history,worker"), Level::Waiting, elsewhere);
    let command = "juju integrate temporal-k8s:admin temporal-admin-k8s:admin";
    held(unattended("frontend"), Level::Blocked, command);
}

#[test]
fn the_log_says_why_a_server_is_restarted() {
    type Case = (fn(&mut World), &'static str);
    let cases: [Case; 7] = [
        (
            |s| s.options = options(json!({"log-level": "debug"})),
            "option `log-level` changed",
        ),
        (
            |s| s.options = options(json!({"database-connections": 50})),
            "option `database-connections` changed",
        ),
        (
            |s| s.options = options(json!({"services": "frontend,history"})),
            "other services",
        ),
        (
            |s| s.bind_address = Some([10, 1, 0, 6].into()),
            "this unit has another address",
        ),
        (
            |s| {
                let said = s.said_by("db");
                let master = said["master"].expose().replace("pg-primary", "elsewhere");
                said.extend(bag(&[("master", &master)]));
            },
            "another database",
        ),
        (
            |s| {
                s.options = options(json!({"log-level": "debug", "services": "frontend,history"}));
            },
            "other services, option `log-level` changed",
        ),
        (
            |s| {
                let service = workload(s).service.as_mut().unwrap();
                service.config.kill_delay = "1s".to_owned();
            },
            "its definition changed",
        ),
    ];
    for (change, why) in cases {
        let mut snapshot = settled();
        change(&mut snapshot);
        assert_eq!(
            hook(&mut snapshot)[0].summary,
            format!("restarted temporal 1.32.2: {why}")
        );
    }
}

/// A relation ends when Juju no longer lists it, or with its broken hook; not when it cannot be read for once.
#[test]
fn a_relation_that_cannot_be_read_says_nothing_for_a_moment() {
    let unreadable: [fn(&mut Relation); 2] = [
        |relation| relation.remote_app_bag = None,
        |relation| relation.own_unit_bag = Probe::Unreachable("gone".to_owned()),
    ];
    for unread in unreadable {
        for endpoint in ["db", "visibility"] {
            let mut snapshot = settled();
            unread(snapshot.relation(endpoint));
            assert_eq!(plan(&snapshot).changes, [], "{endpoint}");
            hook(&mut snapshot);
            let shown = shown(&snapshot);
            assert_eq!(shown.level, Level::Waiting, "{shown:?}");
            assert!(shown.message.contains("cannot read it"), "{shown:?}");
            // what is remembered of it stays
            *snapshot.relation(endpoint) = settled().relation(endpoint).clone();
            hook(&mut snapshot);
            assert_eq!(plan(&snapshot).to_string(), "nothing to do", "{endpoint}");
        }
    }
    let mut snapshot = settled();
    snapshot.relation("admin").remote_app_bag = None;
    assert_eq!(plan(&snapshot).to_string(), "nothing to do");
}

#[test]
fn bad_options_do_not_keep_a_server_running_on_another_database() {
    let mut snapshot = settled();
    snapshot.options = options(json!({"log-level": "loud"}));
    let said = snapshot.said_by("db");
    let master = said["master"].expose();
    let master = master.replace("pg-primary", "elsewhere");
    said.extend(bag(&[("master", &master)]));
    // the provider knows our address already
    assert!(hook(&mut snapshot)[0].changes.contains(&Change::Stop));
    assert_eq!(shown(&snapshot).level, Level::Blocked);
}

#[test]
fn a_file_that_others_may_read_is_written_again_and_restarts_nothing() {
    for path in [pgpass::PATH, config::PATH] {
        let mut snapshot = settled();
        workload(&mut snapshot).files.get_mut(path).unwrap().mode = 0o644;
        let plans = hook(&mut snapshot);
        assert_eq!(plans[0].to_string(), format!("write `{path}`"));
        assert_eq!(plan(&snapshot).to_string(), "nothing to do");
    }
}

/// Pebble may have started the server with it in the meantime.
#[test]
fn s18_another_configuration_file_than_ours_is_a_restart() {
    let mut snapshot = settled();
    let file = workload(&mut snapshot).files.get_mut(config::PATH).unwrap();
    file.content = b"log: {level: debug}\n".to_vec().into();
    let plans = hook(&mut snapshot);
    let text = plans[0].to_string();
    let (_, changes) = text.split_once('\n').unwrap();
    assert_eq!(
        changes,
        "stop the server\nwrite `/etc/temporal/config/charm.yaml`\nstart the server"
    );
    assert_eq!(plan(&snapshot).to_string(), "nothing to do");
}

/// The first hook ends before it stops the server, which crashes and comes up with the new file; the option is set back,
/// and that hook ends early, too.
#[test]
fn s18_two_hooks_that_end_early_do_not_hide_what_the_server_has_read() {
    let mut snapshot = settled();
    let before = snapshot.options.clone();
    snapshot.options = options(json!({"log-level": "debug"}));
    model::hook_that_dies(&mut snapshot, 1);
    model::crash(&mut snapshot);
    snapshot.options = before;
    model::hook_that_dies(&mut snapshot, 1);
    hook(&mut snapshot);
    let process = snapshot.process.clone().expect("it runs");
    let read = process.config.expect("it has a configuration");
    let wanted = snapshot.facts().server.expect("all is known");
    assert!(read.holds(&wanted.files[config::PATH]));
}

/// It would be started with its old definition by Pebble itself, between the layer and our start.
#[test]
fn s18_a_server_that_pebble_starts_again_is_stopped_before_its_layer_changes() {
    let mut snapshot = settled();
    snapshot.options = options(json!({"log-level": "debug"}));
    let service = workload(&mut snapshot).service.as_mut().unwrap();
    service.state = ServiceState::Backoff;
    let changes = hook(&mut snapshot)[0].changes.clone();
    let place = |wanted: fn(&Change) -> bool| changes.iter().position(wanted).unwrap();
    assert!(place(|it| *it == Change::Stop) < place(|it| matches!(it, Change::Layer(_))));
}

#[test]
fn of_a_container_without_a_boot_id_nothing_is_remembered() {
    let mut snapshot = ready_to_start();
    workload(&mut snapshot).boot_id = String::new();
    hook(&mut snapshot);
    assert_eq!(snapshot.memory.image, None);
    assert_eq!(snapshot.memory.image_of(""), None);
    // as long as nobody knows whether Juju was told of this one, it is told
    let plans = hook(&mut snapshot);
    assert_eq!(plans[0].to_string(), "workload version 1.32.2");
    // a note of an earlier revision
    snapshot.memory.image = Some(" 1.17.3".to_owned());
    assert_eq!(snapshot.memory.image_of(""), None);
}

#[test]
fn services_of_the_image_are_stopped_whatever_else_there_is_to_do() {
    let mut snapshot = settled();
    let others = ["leech", "ui"].map(str::to_owned);
    workload(&mut snapshot).others = others.clone().into();
    let plans = hook(&mut snapshot);
    assert_eq!(plans[0].to_string(), "stop `leech`, `ui`");
    assert_eq!(
        plans[0].summary,
        "stopped `leech`, `ui`, which the image brings"
    );
    assert_eq!(plan(&snapshot).to_string(), "nothing to do");
    let mut snapshot = ready_to_start();
    workload(&mut snapshot).others = others.into();
    let changes = hook(&mut snapshot)[0].changes.clone();
    assert!(matches!(changes.first(), Some(Change::StopOthers(_))));
    assert_eq!(changes.last(), Some(&Change::Start));
}
