//! What was seen on a real controller (Juju 4.1, real agents) and is not in any documentation: what a hook
//! knows early in a unit's life, in which order hooks come, whose version is shown, what a failing check causes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use rehearsal::juju::{Event, HookContext};
use serde_json::{Value, json};

use crate::world::{World, json, refused, shown};

/// What `server` sees in each of its hooks, as `unit hook`.
fn seen<T: 'static>(
    world: &World,
    look: impl Fn(&mut HookContext) -> T + 'static,
) -> Rc<RefCell<Vec<(String, T)>>> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    world.script("server", move |event, hook| {
        let name = format!("{} {}", hook.unit(), event.name());
        let value = look(hook);
        log.borrow_mut().push((name, value));
        Ok(())
    });
    seen
}

fn of_unit(hooks: &[String], unit: &str) -> Vec<String> {
    let own = |it: &String| it.strip_prefix(&format!("{unit} ")).map(str::to_owned);
    hooks.iter().filter_map(own).collect()
}

#[test]
fn a_unit_in_install_is_in_no_relation_and_knows_all_of_them_from_goal_state() {
    // the first unit, and one that is added when all has long been related
    let mut world = World::deployed(1, 1);
    world.juju.integrate("server:db", "db").unwrap();
    let ids = seen(&world, |hook| {
        let ids = |hook: &mut HookContext, endpoint: &str| -> usize {
            let ids = json(hook, &format!("relation-ids {endpoint}"));
            ids.as_array().unwrap().len()
        };
        let goals = json(hook, "goal-state");
        (ids(hook, "peer"), ids(hook, "db"), goals)
    });
    world.settle();
    assert_eq!(world.juju.add_unit("server").unwrap(), "server/1");
    world.settle();
    let seen = ids.borrow();
    for unit in ["server/0", "server/1"] {
        let own: Vec<_> = seen.iter().filter(|(it, _)| it.starts_with(unit)).collect();
        let (first, (peer, db, goals)) = own[0];
        assert_eq!(*first, format!("{unit} install"));
        assert_eq!((*peer, *db), (0, 0), "{unit}");
        assert_eq!(goals["relations"]["db"]["db"]["status"], "joined");
        assert!(goals["relations"]["db"].get("db/0").is_some());
        for (hook, (peer, db, _)) in own.iter().skip(1) {
            assert_eq!((*peer, *db), (1, 1), "{hook}");
        }
    }
}

#[test]
fn a_relation_known_from_goal_state_is_no_use_in_install() {
    let (mut world, id) = World::related(1, 1);
    let peer = world.juju.relation("server:peer").unwrap();
    let texts = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&texts);
    world.script("server", move |event, hook| {
        if *event == Event::Install {
            for line in [
                format!("relation-list -r db:{id}"),
                format!("relation-get -r {id} --app - db"),
                format!("relation-set -r {peer} k=v"),
                format!("network-get db -r {id}"),
            ] {
                log.borrow_mut().push(refused(hook, &line));
            }
        }
        Ok(())
    });
    world.juju.add_unit("server").unwrap();
    world.settle();
    let texts = texts.take();
    assert_eq!(texts.len(), 4);
    for (code, text) in texts {
        assert_eq!(code, 2);
        assert!(
            text.ends_with("for option -r: relation not found"),
            "{text}"
        );
    }
}

/// All different outcomes of the same life, over some seeds.
fn outcomes<T: Ord>(mut life: impl FnMut(u64) -> T) -> BTreeSet<T> {
    (0..24).map(&mut life).collect()
}

fn start(seed: u64) -> Vec<String> {
    let mut world = World::deployed(1, 1);
    world.juju.seed(seed);
    for endpoint in ["db", "visibility"] {
        let ours = format!("server:{endpoint}");
        world.juju.integrate(&ours, "db").unwrap();
    }
    of_unit(&world.hooks(), "server/0")
}

#[test]
fn created_hooks_follow_install_in_no_fixed_order_and_leader_elected_follows_them() {
    let orders = outcomes(|seed| {
        let hooks = start(seed);
        assert_eq!(hooks[0], "install");
        assert_eq!(hooks[4], "leader-elected", "{hooks:?}");
        let created = hooks[1..4].to_vec();
        assert!(
            created.iter().all(|it| it.ends_with("-relation-created")),
            "{hooks:?}"
        );
        created
    });
    assert_eq!(orders.len(), 6, "each order of three comes: {orders:?}");
}

#[test]
fn a_container_is_ready_before_config_changed_before_start_or_after_it() {
    let places = outcomes(|seed| {
        let hooks = start(seed);
        let place = |name: &str| hooks.iter().position(|it| it == name).unwrap();
        let (ready, config) = (place("main-pebble-ready"), place("config-changed"));
        assert!(ready > place("leader-elected") && config < place("start"));
        (ready > config, ready > place("start"))
    });
    let expected = BTreeSet::from([(false, false), (true, false), (true, true)]);
    assert_eq!(places, expected);
}

#[test]
fn relations_are_joined_in_no_fixed_order_each_with_the_applications_change_first() {
    let orders = outcomes(|seed| {
        let mut world = World::settled(1, 1);
        world.juju.seed(seed);
        world.script("db", |event, hook| {
            if event.name() == "db-relation-created" {
                let id = event.relation().unwrap().id;
                hook.relation_set_app(id, [("k", "v")])?;
            }
            Ok(())
        });
        for endpoint in ["db", "visibility"] {
            world
                .juju
                .integrate(&format!("server:{endpoint}"), "db")
                .unwrap();
        }
        while world
            .juju
            .step()
            .unwrap()
            .is_some_and(|run| run.unit != "db/0")
        {}
        while world
            .juju
            .step()
            .unwrap()
            .is_some_and(|run| run.unit != "db/0")
        {}
        let mut hooks = of_unit(&world.hooks(), "server/0");
        hooks.retain(|it| !it.ends_with("-created"));
        for endpoint in ["db", "visibility"] {
            let own: Vec<&String> = hooks.iter().filter(|it| it.starts_with(endpoint)).collect();
            let expected = ["changed", "joined db/0", "changed db/0"];
            assert_eq!(
                own,
                expected
                    .map(|it| format!("{endpoint}-relation-{it}"))
                    .iter()
                    .collect::<Vec<_>>()
            );
        }
        hooks
    });
    assert!(orders.len() > 2, "{orders:?}");
}

#[test]
fn a_seed_gives_the_same_life_again() {
    for seed in [3, 4] {
        assert_eq!(start(seed), start(seed));
    }
}

#[test]
fn status_shows_the_version_that_the_newest_unit_told() {
    let mut world = World::settled(2, 0);
    let shown = |world: &World| world.juju.status().applications["server"].version.clone();
    let tell = |world: &mut World, unit: &str, version: &'static str| {
        world.in_hook(unit, move |hook| {
            hook.application_version_set(version).unwrap();
        });
    };
    tell(&mut world, "server/0", "1.0");
    assert_eq!(shown(&world), "", "the newest has told none");
    tell(&mut world, "server/1", "2.0");
    assert_eq!(shown(&world), "2.0");
    tell(&mut world, "server/0", "3.0");
    assert_eq!(shown(&world), "2.0", "whoever speaks last");
    world.juju.add_unit("server").unwrap();
    assert_eq!(shown(&world), "");
    world.settle();
    assert_eq!(shown(&world), "", "and it stays so until that one speaks");
    world.juju.remove_unit("server").unwrap();
    world.settle();
    assert_eq!(shown(&world), "2.0");
    world.juju.replace_pod("server/1").unwrap();
    world.settle();
    assert_eq!(shown(&world), "2.0", "the unit is the same in its new pod");
}

/// The hooks that follow what Pebble noticed.
fn noticed(world: &mut World, kind: &str, status: &str) -> Vec<String> {
    world.cloud.notice("server/0", "main", kind, "up", status);
    world.hooks()
}

#[test]
fn a_check_that_fails_or_recovers_is_an_event_when_its_change_is_over() {
    let mut world = World::settled(1, 0);
    assert!(noticed(&mut world, "perform-check", "Doing").is_empty());
    let failed = ["server/0 main-pebble-check-failed"];
    assert_eq!(noticed(&mut world, "perform-check", "Error"), failed);
    assert!(noticed(&mut world, "recover-check", "Doing").is_empty());
    let recovered = ["server/0 main-pebble-check-recovered"];
    assert_eq!(noticed(&mut world, "recover-check", "Done"), recovered);
    for (kind, status) in [
        ("perform-check", "Done"),
        ("recover-check", "Error"),
        ("exec", "Error"),
    ] {
        assert!(
            noticed(&mut world, kind, status).is_empty(),
            "{kind} {status}"
        );
    }
    // Pebble has forgotten the change
    assert_eq!(noticed(&mut world, "perform-check", ""), failed);
    assert_eq!(noticed(&mut world, "recover-check", ""), recovered);
    assert!(world.hooks().is_empty(), "each is told once");
}

#[test]
fn check_events_come_from_juju_3_6_on_and_one_by_one() {
    for (version, told) in [((3, 5, 0), 0), ((3, 6, 0), 2)] {
        let mut world = World::new();
        world.juju.set_version(version);
        world.deploy("server", crate::world::SERVER, 1);
        world.settle();
        for (kind, status) in [("perform-check", "Error"), ("recover-check", "Done")] {
            world.cloud.notice("server/0", "main", kind, "up", status);
        }
        assert_eq!(world.hooks().len(), told, "{version:?}");
    }
}

#[test]
fn a_new_pod_has_a_new_pebble_without_old_notices() {
    let mut world = World::settled(1, 0);
    assert_eq!(noticed(&mut world, "perform-check", "Error").len(), 1);
    world.juju.replace_pod("server/0").unwrap();
    let hooks = world.hooks();
    assert!(!hooks.iter().any(|it| it.contains("check")), "{hooks:?}");
    assert_eq!(noticed(&mut world, "recover-check", "Done").len(), 1);
}

#[test]
fn network_get_is_asked_for_a_relation_too() {
    let (mut world, id) = World::related(1, 1);
    let (plain, named, unknown) = world.in_hook("server/0", move |hook| {
        (
            json(hook, "network-get db"),
            json(hook, &format!("network-get db -r db:{id}")),
            refused(hook, "network-get db -r 99"),
        )
    });
    assert_eq!(plain, named);
    let text = "ERROR invalid value \"99\" for option -r: relation not found";
    assert_eq!(unknown, (2, text.to_owned()));
}

#[test]
fn goal_state_still_has_a_relation_that_is_being_removed() {
    let (mut world, _) = World::related(1, 1);
    let goals = seen(&world, |hook| json(hook, "goal-state"));
    world.juju.remove_relation("server:db", "db").unwrap();
    let hooks: Vec<String> = world.settle().iter().map(shown).collect();
    let goals = goals.take();
    assert_eq!(goals.len(), 2, "{hooks:?}");
    for (hook, goals) in goals {
        assert_ne!(goals["relations"]["db"]["db"], Value::Null, "{hook}");
        assert_eq!(goals["units"]["server/0"]["status"], json!("unknown"));
    }
}
