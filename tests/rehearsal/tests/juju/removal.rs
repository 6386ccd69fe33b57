//! The end of a unit as it was recorded on real controllers: what comes in which order, who is said to leave, and
//! what the hook tools answer of things that are just gone.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use rehearsal::juju::{Event, HookRun, RelationChange};
use serde_json::json;

use crate::world::{World, json, refused, tool};

type Log<T> = Rc<RefCell<Vec<T>>>;

/// `server` and `db`, related twice.
fn twice_related(servers: u32, seed: u64, version: (u32, u32, u32)) -> World {
    let mut world = World::new();
    world.juju.set_version(version);
    world.juju.seed(seed);
    world.deploy("server", crate::world::SERVER, servers);
    world.deploy("db", crate::world::DATABASE, 1);
    for endpoint in ["db", "visibility"] {
        world
            .juju
            .integrate(&format!("server:{endpoint}"), "db")
            .unwrap();
    }
    world.settle();
    world
}

/// The hooks of a unit since then.
fn own<'a>(runs: &'a [HookRun], unit: &str) -> Vec<&'a str> {
    let own = runs.iter().filter(|run| run.unit == unit);
    own.map(|run| run.hook.as_str()).collect()
}

#[test]
fn relations_end_in_no_fixed_order_the_peers_among_them_and_stop_and_remove_come_last() {
    let mut orders = BTreeSet::new();
    for seed in 0..40 {
        let mut world = twice_related(2, seed, (3, 6, 11));
        world.juju.remove_unit("server").unwrap();
        let runs = world.settle();
        let hooks = own(&runs, "server/1");
        let (ends, rest) = hooks.split_at(hooks.len() - 2);
        assert_eq!(rest, ["stop", "remove"]);
        for endpoint in ["db", "visibility"] {
            let of_relation: Vec<&&str> =
                ends.iter().filter(|it| it.starts_with(endpoint)).collect();
            let expected = ["departed", "broken"].map(|it| format!("{endpoint}-relation-{it}"));
            assert_eq!(of_relation, expected.iter().collect::<Vec<_>>());
        }
        orders.insert(ends.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
    }
    assert!(orders.len() > 10, "{orders:?}");
    let last = |order: &Vec<String>| order.last().cloned().unwrap();
    assert!(orders.iter().any(|it| it[0] == "peer-relation-departed"));
    assert!(orders.iter().any(|it| last(it) == "peer-relation-departed"));
    assert!(orders.iter().any(|it| last(it).ends_with("-broken")));
}

#[test]
fn a_peer_relation_breaks_only_after_the_agent_was_started_again() {
    let broken = |seed: u64, new_pod: bool| {
        let mut world = World::new();
        world.juju.seed(seed);
        world.deploy("server", crate::world::SERVER, 1);
        world.settle();
        if new_pod {
            world.juju.replace_pod("server/0").unwrap();
            world.settle();
        }
        world.juju.remove_application("server").unwrap();
        let runs = world.settle();
        own(&runs, "server/0").contains(&"peer-relation-broken")
    };
    let seeds: BTreeSet<bool> = (0..20).map(|seed| broken(seed, false)).collect();
    assert_eq!(seeds.len(), 2, "nobody knows whether it was");
    assert!(
        (0..20).all(|seed| broken(seed, true)),
        "a new pod has a new agent"
    );
}

#[test]
fn the_leaving_unit_is_named_in_each_departed_hook_and_dying_in_all_hooks() {
    for seed in 0..10 {
        let mut world = twice_related(2, seed, (3, 6, 11));
        let statuses: Log<(String, String)> = Rc::default();
        let log = Rc::clone(&statuses);
        world.script("server", move |event, hook| {
            let goals = json(hook, "goal-state");
            let of = |unit: &str| {
                goals["units"][unit]["status"]
                    .as_str()
                    .unwrap_or("gone")
                    .to_owned()
            };
            assert_ne!(of("server/0"), "dying");
            log.borrow_mut()
                .push((format!("{} {}", hook.unit(), event.name()), of("server/1")));
            Ok(())
        });
        world.juju.remove_unit("server").unwrap();
        let runs = world.settle();
        let relation = runs
            .iter()
            .filter(|run| run.unit == "server/1")
            .filter_map(|run| run.event.relation());
        let departed: Vec<_> = relation
            .filter(|it| it.change == RelationChange::Departed)
            .collect();
        assert_eq!(departed.len(), 3, "two databases and a peer");
        for event in departed {
            assert_eq!(event.departing.as_deref(), Some("server/1"), "{event:?}");
        }
        for (hook, status) in statuses.take() {
            if hook.starts_with("server/1") {
                assert_eq!(status, "dying", "{hook}");
            }
        }
    }
}

#[test]
fn on_remove_relation_the_other_sides_unit_leaves() {
    let (mut world, _) = World::related(1, 1);
    world.juju.remove_relation("server:db", "db").unwrap();
    let runs = world.settle();
    let mut departed = runs.iter().filter_map(|run| run.event.relation());
    let departed = departed.find(|it| it.endpoint == "db" && it.remote_app == "db");
    assert_eq!(departed.unwrap().departing.as_deref(), Some("db/0"));
}

#[test]
fn everything_but_the_relations_is_answered_until_the_last_hook() {
    let (mut world, id) = World::related(1, 1);
    world.in_hook("server/0", |hook| {
        hook.state_set("k", "v");
        hook.open_port(7233);
        hook.status_set("active", "fine").unwrap();
    });
    let seen: Log<String> = Rc::default();
    let log = Rc::clone(&seen);
    world.script("server", move |event, hook| {
        log.borrow_mut().push(event.name());
        if matches!(event, Event::Stop | Event::Remove) {
            assert_eq!(json(hook, "relation-ids db"), json!([]));
            for line in ["relation-list", "relation-get - db/0", "relation-set k=v"] {
                let (tool, rest) = line.split_once(' ').unwrap_or((line, ""));
                let (code, text) = refused(hook, format!("{tool} -r {id} {rest}").trim_end());
                assert_eq!(code, 2);
                assert!(
                    text.ends_with("for option -r: relation not found"),
                    "{text}"
                );
            }
        }
        assert_eq!(json(hook, "state-get"), json!({"k": "v"}));
        assert_eq!(json(hook, "opened-ports"), json!(["7233/tcp"]));
        assert_eq!(json(hook, "is-leader"), json!(true));
        assert_eq!(json(hook, "config-get level"), json!("info"));
        assert_eq!(tool(hook, "network-get db").code, 0);
        let said = json(hook, "status-get --include-data");
        assert!(said["status"].is_string());
        Ok(())
    });
    world.juju.remove_application("server").unwrap();
    world.settle();
    assert_eq!(seen.borrow().last().map(String::as_str), Some("remove"));
}

/// The life of a last unit that says it is blocked while it leaves, on this version.
fn blocked_while_leaving(
    seed: u64,
    version: (u32, u32, u32),
    word: &'static str,
) -> (Vec<HookRun>, Vec<(String, Vec<String>)>) {
    let mut world = twice_related(1, seed, version);
    let refusals: Log<(String, Vec<String>)> = Rc::default();
    let log = Rc::clone(&refusals);
    world.script("server", move |event, hook| {
        hook.status_set(word, "a command that leads out of it")?;
        let endpoint = event.relation().map_or("db", |it| it.endpoint.as_str());
        let reply = tool(hook, &format!("network-get {endpoint}"));
        if reply.code == 0 {
            return Ok(());
        }
        let mut texts = vec![reply.stderr];
        let id = event.relation().map(|it| it.id).unwrap_or_default();
        for line in [
            format!("relation-get -r {id} - server/0"),
            format!("relation-get -r {id} - db/0"),
            format!("relation-get -r {id} --app - server"),
            format!("relation-set -r {id} k=v"),
            format!("relation-set -r {id} --app k=v"),
        ] {
            texts.push(refused(hook, &line).1);
        }
        log.borrow_mut().push((event.name(), texts));
        Ok(())
    });
    world.juju.remove_application("server").unwrap();
    let runs = world.settle();
    assert!(!world.juju.model().applications.contains_key("server"));
    let left = world.juju.model().relations.len();
    assert_eq!(left, 1, "only db's peers are left");
    (runs, refusals.take())
}

#[test]
fn juju_4_takes_a_blocked_last_unit_out_of_a_relation_that_ends() {
    let (mut calm, mut skipped, mut struck) = (0, 0, 0);
    let mut ends = BTreeSet::new();
    for seed in 0..40 {
        let (runs, refusals) = blocked_while_leaving(seed, (4, 1, 0), "blocked");
        let hooks = own(&runs, "server/0");
        let end = hooks
            .iter()
            .copied()
            .filter(|it| !it.contains("-relation-"));
        ends.insert(end.collect::<Vec<_>>().join(" "));
        let broken = hooks
            .iter()
            .filter(|it| it.ends_with("-broken") && !it.starts_with("peer"));
        match (refusals.is_empty(), broken.count()) {
            (false, _) => struck += 1,
            (true, 2) => calm += 1,
            (true, _) => skipped += 1,
        }
        for (hook, texts) in refusals {
            assert!(hook.contains("-relation-"), "{hook}");
            let kind = if hook.starts_with("peer") {
                "peer"
            } else {
                "regular"
            };
            assert_eq!(texts[0], "ERROR permission denied (unauthorized access)\n");
            assert_eq!(texts[1], "ERROR permission denied");
            let gone = format!("ERROR getting {kind} relation by key: relation not found");
            assert_eq!(
                texts[2],
                if kind == "peer" {
                    "ERROR permission denied".to_owned()
                } else {
                    gone
                }
            );
            assert_eq!(texts[3], "ERROR permission denied (unauthorized access)");
            assert!(
                texts[4].contains("cannot read relation settings"),
                "{}",
                texts[4]
            );
            assert!(
                texts[5].contains("cannot read relation application settings"),
                "{}",
                texts[5]
            );
        }
    }
    assert!(
        calm > 0 && skipped > 0 && struck > 0,
        "{calm} {skipped} {struck}"
    );
    let expected = ["", "stop", "stop remove"].map(str::to_owned);
    assert_eq!(
        ends,
        BTreeSet::from(expected),
        "a unit without relations is dead"
    );
}

#[test]
fn juju_4_may_end_a_unit_that_has_left_all_its_relations() {
    // only the agent that was started again leaves its peers
    let end = |seed: u64, version| {
        let mut world = twice_related(2, seed, version);
        world.juju.replace_pod("server/1").unwrap();
        world.settle();
        world.juju.remove_unit("server").unwrap();
        let runs = world.settle();
        assert_eq!(world.cloud.pods(), ["db/0", "server/0"]);
        let end = own(&runs, "server/1").into_iter();
        let end = end.filter(|it| !it.contains("-relation-"));
        end.collect::<Vec<_>>().join(" ")
    };
    let ends: BTreeSet<String> = (0..30).map(|seed| end(seed, (4, 1, 0))).collect();
    assert!(ends.len() > 1 && ends.contains("stop remove"), "{ends:?}");
    let ends: BTreeSet<String> = (0..5).map(|seed| end(seed, (3, 6, 11))).collect();
    assert_eq!(ends, BTreeSet::from(["stop remove".to_owned()]));
}

#[test]
fn nobody_is_taken_out_before_juju_4_or_without_being_blocked() {
    for (version, word) in [((3, 6, 11), "blocked"), ((4, 1, 0), "maintenance")] {
        for seed in 0..10 {
            let (runs, refusals) = blocked_while_leaving(seed, version, word);
            assert!(refusals.is_empty());
            let hooks = own(&runs, "server/0");
            let broken = hooks
                .iter()
                .filter(|it| it.ends_with("-broken") && !it.starts_with("peer"));
            assert_eq!(broken.count(), 2, "{hooks:?}");
        }
    }
}

#[test]
fn a_unit_that_leaves_a_living_relation_is_never_taken_out() {
    for seed in 0..10 {
        let mut world = twice_related(2, seed, (4, 1, 0));
        world.script("server", |_, hook| {
            hook.status_set("blocked", "")?;
            Ok(hook.network_get("db").map(drop)?)
        });
        world.juju.remove_unit("server").unwrap();
        let runs = world.settle();
        let hooks = own(&runs, "server/1");
        let broken = hooks
            .iter()
            .filter(|it| it.ends_with("-broken") && !it.starts_with("peer"));
        assert_eq!(broken.count(), 2, "{hooks:?}");
    }
}

#[test]
fn a_failing_hook_of_a_relation_that_was_taken_is_told() {
    let failed = (0..40).find_map(|seed| {
        let mut world = twice_related(1, seed, (4, 1, 0));
        world.script("server", |event, hook| {
            hook.status_set("blocked", "")?;
            let endpoint = event.relation().map_or("db", |it| it.endpoint.as_str());
            Ok(hook.network_get(endpoint).map(drop)?)
        });
        world.juju.remove_application("server").unwrap();
        world.juju.settle(Duration::from_secs(5)).err()
    });
    let text = failed.expect("one of the seeds").to_string();
    assert!(
        text.ends_with("permission denied (unauthorized access)"),
        "{text}"
    );
}

#[test]
fn settings_written_to_a_relation_that_is_taken_meanwhile_fail_the_hook() {
    let (mut world, id) = World::related(1, 1);
    world.juju.before_flush(move |unit, event, model| {
        if unit == "server/0" && *event == Event::UpdateStatus {
            model.relations.get_mut(&id).unwrap().gone = true;
        }
    });
    world.script("server", move |event, hook| {
        if *event == Event::UpdateStatus {
            hook.relation_set(id, [("k", "v")])?;
        }
        Ok(())
    });
    world.juju.update_status("server").unwrap();
    let error = world
        .juju
        .settle(Duration::from_secs(5))
        .unwrap_err()
        .to_string();
    assert!(error.contains("relation not found"), "{error}");
}
