//! Which hooks run, and in which order.

use std::cell::RefCell;
use std::rc::Rc;

use rehearsal::juju::{Event, OrderOfEvents, RelationChange};

use crate::world::{World, shown};

fn position(hooks: &[String], wanted: &str) -> usize {
    hooks
        .iter()
        .position(|it| it == wanted)
        .unwrap_or_else(|| panic!("{wanted} in {hooks:?}"))
}

fn starting_with<'a>(hooks: &'a [String], unit: &str) -> Vec<&'a str> {
    hooks
        .iter()
        .filter_map(|it| it.strip_prefix(&format!("{unit} ")))
        .collect()
}

#[test]
fn first_start_runs_install_created_leader_config_start() {
    let mut world = World::deployed(1, 1);
    world.juju.integrate("server:db", "db:db").unwrap();
    let hooks = world.hooks();
    let mut hooks = starting_with(&hooks, "server/0");
    hooks.retain(|it| *it != "main-pebble-ready");
    // In which order is another test's business.
    hooks[1..3].sort_unstable();
    assert_eq!(
        hooks[..6],
        [
            "install",
            "db-relation-created",
            "peer-relation-created",
            "leader-elected",
            "config-changed",
            "start"
        ]
    );
}

#[test]
fn a_non_leader_first_hears_leader_settings_changed_before_juju_4() {
    for (version, heard) in [((3, 6, 11), true), ((4, 0, 0), false)] {
        let mut world = World::new();
        world.juju.set_version(version);
        world.deploy("server", crate::world::SERVER, 2);
        let hooks = world.hooks();
        let other = starting_with(&hooks, "server/1");
        assert_eq!(other.contains(&"leader-settings-changed"), heard);
        assert!(!other.contains(&"leader-elected"));
    }
}

#[test]
fn pebble_ready_comes_with_every_new_boot_and_only_then() {
    let mut world = World::settled(1, 0);
    let told = world.juju.hooks_of("server/0");
    let told = told.iter().filter(|it| **it == "main-pebble-ready");
    assert_eq!(told.count(), 1);
    assert!(world.hooks().is_empty());
    world.cloud.boot("server/0", "main");
    assert_eq!(world.hooks(), ["server/0 main-pebble-ready"]);
    world.cloud.stop("server/0", "main");
    assert!(
        world.hooks().is_empty(),
        "a Pebble that is down is no event"
    );
}

#[test]
fn pebble_ready_may_come_between_install_and_start() {
    let early = (0..50).any(|seed| {
        let mut world = World::deployed(1, 0);
        world.juju.order(OrderOfEvents::shuffled(seed));
        let hooks = world.hooks();
        let ready = position(&hooks, "server/0 main-pebble-ready");
        assert!(ready > position(&hooks, "server/0 install"));
        ready < position(&hooks, "server/0 start")
    });
    assert!(early);
}

#[test]
fn joined_and_changed_are_consecutive_in_every_order() {
    for seed in 0..30 {
        let mut world = World::settled(2, 2);
        world.juju.order(OrderOfEvents::shuffled(seed));
        world.juju.integrate("server:db", "db").unwrap();
        let hooks = world.hooks();
        for unit in ["server/0", "server/1", "db/0", "db/1"] {
            let own = starting_with(&hooks, unit);
            let joins = own
                .iter()
                .enumerate()
                .filter(|(_, it)| it.contains("-joined"));
            let mut count = 0;
            for (index, joined) in joins {
                assert_eq!(own[index + 1], joined.replace("joined", "changed"));
                count += 1;
            }
            assert_eq!(count, 2, "{own:?}");
        }
    }
}

#[test]
fn every_legal_order_tells_the_same_story() {
    let story = |order: OrderOfEvents| {
        let mut world = World::deployed(2, 1);
        world.juju.order(order);
        world.juju.integrate("server:db", "db").unwrap();
        let mut hooks = world.hooks();
        hooks.sort();
        hooks
    };
    let calm = story(OrderOfEvents::Calm);
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..20 {
        assert_eq!(story(OrderOfEvents::shuffled(seed)), calm, "seed {seed}");
        let mut world = World::deployed(2, 1);
        world.juju.order(OrderOfEvents::shuffled(seed));
        orders.insert(world.hooks());
    }
    assert!(orders.len() > 10, "the shuffle shuffles");
}

#[test]
fn a_seed_gives_the_same_order_again() {
    let run = || {
        let mut world = World::deployed(2, 2);
        world.juju.order(OrderOfEvents::shuffled(7));
        world.hooks()
    };
    assert_eq!(run(), run());
}

#[test]
fn changed_fires_for_the_change_of_others_only() {
    let (mut world, id) = World::related(2, 2);
    world.in_hook("db/0", move |hook| {
        hook.relation_set(id, [("k", "v")]).unwrap();
    });
    let log: Vec<String> = world.juju.log().iter().rev().take(2).map(shown).collect();
    assert_eq!(
        log,
        [
            "server/1 db-relation-changed db/0",
            "server/0 db-relation-changed db/0"
        ]
    );
}

#[test]
fn a_change_of_the_remote_application_bag_names_no_unit() {
    let (mut world, id) = World::related(1, 1);
    world.in_hook("db/0", move |hook| {
        hook.relation_set_app(id, [("k", "v")]).unwrap();
    });
    assert_eq!(
        world.juju.log().last().map(shown).unwrap(),
        "server/0 db-relation-changed"
    );
}

#[test]
fn a_peer_application_bag_is_told_to_the_others_and_not_to_its_writer() {
    let mut world = World::settled(3, 0);
    let peer = world.juju.relation("server:peer").unwrap();
    world.in_hook("server/0", move |hook| {
        hook.relation_set_app(peer, [("k", "v")]).unwrap();
    });
    let told = world.juju.log().iter().filter(|run| {
        let event = run.event.relation();
        event.is_some_and(|it| it.change == RelationChange::Changed && it.remote_unit.is_none())
    });
    let told: Vec<String> = told.map(shown).collect();
    assert_eq!(
        told,
        [
            "server/1 peer-relation-changed",
            "server/2 peer-relation-changed"
        ]
    );
    assert!(world.hooks().is_empty());
}

#[test]
fn an_identical_value_causes_no_event() {
    let (mut world, id) = World::related(1, 1);
    world.in_hook("db/0", move |hook| {
        hook.relation_set_app(id, [("k", "v")]).unwrap();
    });
    let before = world.juju.hooks_of("server/0").len();
    world.in_hook("db/0", move |hook| {
        hook.relation_set_app(id, [("k", "v")]).unwrap();
    });
    assert_eq!(world.juju.hooks_of("server/0").len(), before);
}

#[test]
fn several_changes_before_the_next_hook_are_one_event() {
    let (mut world, id) = World::related(1, 1);
    let mut turn = 0;
    world.script("server", move |event, hook| {
        if event.is_action() {
            turn += 1;
            hook.relation_set_app(id, [("turn", turn.to_string())])?;
        }
        Ok(())
    });
    for _ in 0..3 {
        world
            .juju
            .run_action("server/0", "restart", serde_json::Map::new())
            .unwrap();
    }
    assert_eq!(world.hooks(), ["db/0 db-relation-changed"]);
    assert_eq!(world.juju.databag(id, "server")["turn"], "3");
}

#[test]
fn charms_that_answer_each_other_for_ever_are_told_of() {
    let (mut world, id) = World::related(1, 1);
    for app in ["server", "db"] {
        let mut turn = 0;
        world.script(app, move |_, hook| {
            turn += 1;
            Ok(hook.relation_set_app(id, [("turn", turn.to_string())])?)
        });
    }
    world.juju.update_status("db").unwrap();
    let error = world
        .juju
        .settle(std::time::Duration::from_millis(300))
        .unwrap_err();
    assert!(error.to_string().contains("db-relation-changed"), "{error}");
}

#[test]
fn settle_waits_for_a_young_pods_pebble_and_says_so() {
    let mut world = World::deployed(1, 0);
    world.cloud.stop("server/0", "main");
    let error = world
        .juju
        .settle(std::time::Duration::from_millis(300))
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("waiting for Pebble of container main on server/0"),
        "{error}"
    );
    world.juju.boot_grace(std::time::Duration::ZERO);
    assert!(world.hooks().is_empty());
    world.cloud.boot("server/0", "main");
    assert_eq!(world.hooks(), ["server/0 main-pebble-ready"]);
}

#[test]
fn a_single_unit_never_sees_peers() {
    let world = World::settled(1, 0);
    let hooks = world.juju.hooks_of("server/0");
    let peer: Vec<&&str> = hooks.iter().filter(|it| it.starts_with("peer-")).collect();
    assert_eq!(peer, [&"peer-relation-created"]);
}

#[test]
fn removing_a_relation_runs_departed_for_each_unit_then_broken() {
    let (mut world, _) = World::related(1, 2);
    world.juju.remove_relation("server:db", "db").unwrap();
    let hooks = world.hooks();
    assert_eq!(
        starting_with(&hooks, "server/0"),
        [
            "db-relation-departed db/0",
            "db-relation-departed db/1",
            "db-relation-broken"
        ]
    );
    assert_eq!(
        starting_with(&hooks, "db/1"),
        ["db-relation-departed server/0", "db-relation-broken"]
    );
    assert!(
        world.juju.relation("server:db").is_none(),
        "the relation is gone"
    );
}

#[test]
fn a_relation_removed_before_its_created_hook_leaves_nothing() {
    let mut world = World::settled(1, 1);
    world.juju.integrate("server:db", "db").unwrap();
    world.juju.remove_relation("server", "db").unwrap();
    assert!(world.hooks().is_empty());
    assert!(world.juju.relation("server:db").is_none());
}

#[test]
fn scale_down_departs_on_both_sides_and_names_who_leaves() {
    let (mut world, _) = World::related(2, 1);
    assert_eq!(world.juju.remove_unit("server").unwrap(), "server/1");
    let runs = world.settle();
    let departing = |unit: &str, remote: &str| {
        let mut all = runs
            .iter()
            .filter(|run| run.unit == unit)
            .filter_map(|run| run.event.relation());
        let found = all.find(|it| {
            it.change == RelationChange::Departed && it.remote_unit.as_deref() == Some(remote)
        });
        found.and_then(|it| it.departing.clone())
    };
    assert_eq!(departing("db/0", "server/1").as_deref(), Some("server/1"));
    assert_eq!(
        departing("server/0", "server/1").as_deref(),
        Some("server/1")
    );
    assert_eq!(
        departing("server/1", "db/0").as_deref(),
        Some("server/1"),
        "it is us"
    );
    let own: Vec<String> = runs
        .iter()
        .filter(|run| run.unit == "server/1")
        .map(shown)
        .collect();
    let tail = ["stop", "remove"].map(|it| format!("server/1 {it}"));
    assert_eq!(own[own.len() - 2..], tail);
    assert!(own.contains(&"server/1 db-relation-broken".to_owned()));
    assert_eq!(world.cloud.pods(), ["db/0", "server/0"]);
    assert!(
        world.juju.relation("server:db").is_some(),
        "the relation lives on"
    );
}

#[test]
fn upgrade_charm_follows_every_new_pod_then_config_changed_and_start() {
    let mut world = World::settled(1, 0);
    world.juju.replace_pod("server/0").unwrap();
    let hooks = world.hooks();
    let mut hooks = starting_with(&hooks, "server/0");
    assert!(hooks.contains(&"main-pebble-ready"), "{hooks:?}");
    hooks.retain(|it| *it != "main-pebble-ready");
    assert_eq!(hooks, ["upgrade-charm", "config-changed", "start"]);
    world.juju.drain_pod("server/0").unwrap();
    world.settle();
    let hooks = world.juju.hooks_of("server/0");
    assert_eq!(hooks[hooks.len() - 5..][..2], ["stop", "upgrade-charm"]);
}

#[test]
fn a_new_pod_does_not_leave_the_relations() {
    let (mut world, _) = World::related(1, 1);
    world.juju.replace_pod("server/0").unwrap();
    let hooks = world.hooks();
    assert!(!hooks.iter().any(|it| it.contains("relation")), "{hooks:?}");
}

#[test]
fn upgrade_charm_does_not_follow_if_a_hook_was_in_error() {
    let mut world = World::settled(1, 0);
    world.script("server", |event, _| match event {
        Event::ConfigChanged => Err("no".into()),
        _ => Ok(()),
    });
    world.juju.config("server", &[("level", "debug")]).unwrap();
    assert!(
        world
            .juju
            .settle(std::time::Duration::from_secs(5))
            .is_err()
    );
    world.juju.replace_pod("server/0").unwrap();
    world.scripts["server"].clear();
    let hooks = world.hooks();
    assert_eq!(hooks[0], "server/0 config-changed");
    assert!(!hooks.contains(&"server/0 upgrade-charm".to_owned()));
    assert!(hooks.contains(&"server/0 start".to_owned()));
}

#[test]
fn config_changed_fires_for_config_trust_and_addresses() {
    let mut world = World::settled(1, 0);
    let expected = ["server/0 config-changed"];
    world.juju.config("server", &[("level", "debug")]).unwrap();
    assert_eq!(world.hooks(), expected);
    world.juju.config("server", &[("level", "debug")]).unwrap();
    assert!(world.hooks().is_empty(), "the same value again");
    world.juju.reset_config("server", &["level"]).unwrap();
    assert_eq!(world.hooks(), expected);
    world.juju.trust("server", true).unwrap();
    assert_eq!(world.hooks(), expected);
    world.juju.hide_service_address("server", true);
    assert_eq!(world.hooks(), expected);
}

#[test]
fn update_status_runs_only_when_nothing_else_is_due() {
    let mut world = World::settled(1, 0);
    world.juju.update_status("server").unwrap();
    world.juju.config("server", &[("level", "debug")]).unwrap();
    world.cloud.boot("server/0", "main");
    let hooks = world.hooks();
    let expected = ["config-changed", "main-pebble-ready", "update-status"];
    assert_eq!(hooks, expected.map(|it| format!("server/0 {it}")));
}

#[test]
fn update_status_is_last_in_every_order() {
    for seed in 0..20 {
        let mut world = World::settled(1, 0);
        world.juju.order(OrderOfEvents::shuffled(seed));
        world.juju.update_status("server").unwrap();
        world.juju.config("server", &[("level", "debug")]).unwrap();
        world.cloud.boot("server/0", "main");
        let hooks = world.hooks();
        assert_eq!(
            (hooks.len(), hooks[2].as_str()),
            (3, "server/0 update-status")
        );
    }
}

#[test]
fn a_new_leader_hears_leader_elected_and_the_old_one_nothing() {
    let mut world = World::settled(2, 0);
    world.juju.set_leader("server", "server/1").unwrap();
    assert_eq!(world.hooks(), ["server/1 leader-elected"]);
    world.juju.set_leader("server", "server/0").unwrap();
    assert_eq!(world.hooks(), ["server/0 leader-elected"]);
}

#[test]
fn leadership_passes_on_when_the_leader_is_removed() {
    let mut world = World::settled(2, 0);
    world.juju.set_leader("server", "server/1").unwrap();
    world.settle();
    world.juju.remove_unit("server").unwrap();
    let hooks = world.hooks();
    assert!(
        hooks.contains(&"server/0 leader-elected".to_owned()),
        "{hooks:?}"
    );
}

#[test]
fn a_failed_hook_is_retried_first_and_everything_else_waits() {
    let mut world = World::settled(1, 0);
    world.script("server", |event, _| match event {
        Event::ConfigChanged => Err("no".into()),
        _ => Ok(()),
    });
    world.juju.config("server", &[("level", "debug")]).unwrap();
    let failed = world.juju.step().unwrap().unwrap();
    assert!(!failed.success());
    world.cloud.boot("server/0", "main");
    world.juju.trust("server", true).unwrap();
    assert_eq!(world.juju.step().unwrap().unwrap().hook, "config-changed");
    let page = world.juju.status();
    let unit = &page.units["server/0"];
    assert_eq!(
        (unit.workload.as_str(), unit.agent.as_str()),
        ("error", "error")
    );
    assert_eq!(unit.message, "hook failed: \"config-changed\"");
    world.scripts["server"].clear();
    let hooks = world.hooks();
    assert_eq!(
        hooks,
        ["server/0 config-changed", "server/0 main-pebble-ready"]
    );
    assert_eq!(world.juju.status().units["server/0"].agent, "idle");
}

#[test]
fn actions_run_even_in_error() {
    let mut world = World::settled(1, 0);
    world.script("server", |event, _| match event {
        Event::UpdateStatus => Err("no".into()),
        _ => Ok(()),
    });
    world.juju.update_status("server").unwrap();
    assert!(!world.juju.step().unwrap().unwrap().success());
    world
        .juju
        .run_action("server/0", "restart", serde_json::Map::new())
        .unwrap();
    assert_eq!(world.juju.step().unwrap().unwrap().hook, "update-status");
}

#[test]
fn settle_gives_up_on_a_failing_hook_unless_told_to_retry() {
    let mut world = World::settled(1, 0);
    let left = Rc::new(RefCell::new(2));
    world.script("server", move |event, _| {
        if *event == Event::UpdateStatus && *left.borrow() > 0 {
            *left.borrow_mut() -= 1;
            return Err("not yet".into());
        }
        Ok(())
    });
    world.juju.update_status("server").unwrap();
    let error = world
        .juju
        .settle(std::time::Duration::from_secs(5))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "hook failed: \"update-status\" on server/0: exit status 1: not yet"
    );
    world.juju.retries(2);
    assert_eq!(
        world.hooks(),
        ["server/0 update-status", "server/0 update-status"]
    );
}

#[test]
fn lost_events_are_not_run_and_not_repeated() {
    let mut world = World::deployed(1, 1);
    world.juju.integrate("server:db", "db").unwrap();
    world
        .juju
        .drop_events(|unit, event| unit == "server/0" && *event != Event::UpdateStatus);
    world.settle();
    assert_eq!(world.juju.hooks_of("server/0"), ["install"]);
    let list = world.juju.relation("server:db").unwrap();
    let members = world.in_hook("server/0", move |hook| hook.relation_list(list).unwrap());
    assert_eq!(
        members,
        ["db/0"],
        "the agent knows what its charm was not told"
    );
    world.juju.keep_events();
    assert!(world.hooks().is_empty());
}

#[test]
fn teardown_breaks_relations_then_stops_then_removes_everything() {
    let (mut world, _) = World::related(1, 1);
    world.juju.remove_application("server").unwrap();
    let hooks = world.hooks();
    assert_eq!(
        starting_with(&hooks, "server/0")
            .into_iter()
            .filter(|it| !it.starts_with("peer-"))
            .collect::<Vec<_>>(),
        [
            "db-relation-departed db/0",
            "db-relation-broken",
            "stop",
            "remove"
        ]
    );
    assert!(position(&hooks, "db/0 db-relation-broken") > 0);
    assert!(!world.juju.model().applications.contains_key("server"));
    assert_eq!(world.cloud.exposed("server"), None);
    assert_eq!(world.cloud.pods(), ["db/0"]);
    assert_eq!(
        world.juju.model().relations.len(),
        1,
        "only db's peers are left"
    );
}

#[test]
fn hooks_of_a_unit_never_overlap_and_units_take_turns() {
    let mut world = World::deployed(2, 0);
    let hooks = world.hooks();
    assert_eq!(
        hooks[..4],
        [
            "server/0 install",
            "server/1 install",
            "server/0 peer-relation-created",
            "server/1 peer-relation-created"
        ]
    );
}
