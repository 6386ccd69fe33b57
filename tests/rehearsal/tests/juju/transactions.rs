//! What is visible when, and what is lost with a failed hook.

use std::collections::BTreeSet;
use std::time::Duration;

use rehearsal::juju::Event;
use rehearsal::juju::flush::MAX_STATE;

use crate::world::World;

#[test]
fn buffered_writes_are_flushed_on_success_only_and_immediate_ones_always() {
    for fails in [true, false] {
        let (mut world, id) = World::related(1, 1);
        world.script("server", move |event, hook| {
            if *event == Event::UpdateStatus {
                hook.relation_set(id, [("unit", "1")])?;
                hook.relation_set_app(id, [("app", "1")])?;
                hook.state_set("state", "1");
                hook.open_port(7233);
                hook.status_set("waiting", "for it")?;
                hook.status_set_app("blocked", "by it")?;
                hook.application_version_set("1.2")?;
                hook.log("INFO", "said");
                if fails {
                    return Err("no".into());
                }
            }
            Ok(())
        });
        world.juju.update_status("server").unwrap();
        let run = world.juju.step().unwrap().unwrap();
        assert_eq!(run.flushed, !fails);
        let unit = world.juju.model().unit("server/0").unwrap();
        assert_eq!(unit.state.is_empty(), fails);
        assert_eq!(world.juju.opened_ports("server/0").is_empty(), fails);
        assert_eq!(world.juju.databag(id, "server").is_empty(), fails);
        assert_eq!(
            world.juju.databag(id, "server/0").contains_key("unit"),
            !fails
        );
        assert_eq!(
            world.juju.unit_status("server/0").unwrap().message,
            "for it"
        );
        assert_eq!(world.juju.app_status("server").unwrap().message, "by it");
        assert_eq!(world.juju.status().applications["server"].version, "1.2");
        assert_eq!(run.juju_log[0].text, "said");
    }
}

#[test]
fn a_hook_sees_its_own_pending_writes_and_nobody_else_does() {
    let (mut world, id) = World::related(1, 1);
    world.in_hook("server/0", move |hook| {
        hook.relation_set(id, [("k", "v")]).unwrap();
        hook.relation_set_app(id, [("k", "v")]).unwrap();
        hook.state_set("k", "v");
        hook.open_port(80);
        assert_eq!(hook.relation_get(id, "server/0").unwrap()["k"], "v");
        assert_eq!(hook.relation_get(id, "server").unwrap()["k"], "v");
        assert_eq!(hook.state().unwrap()["k"], "v");
        assert_eq!(hook.opened_ports().unwrap().len(), 1);
        hook.relation_set(id, [("k", "")]).unwrap();
        hook.state_delete("k");
        hook.close_port(80);
        assert!(!hook.relation_get(id, "server/0").unwrap().contains_key("k"));
        assert!(hook.state().unwrap().is_empty() && hook.opened_ports().unwrap().is_empty());
    });
}

#[test]
fn leadership_lost_before_the_commit_fails_the_hook_and_flushes_nothing() {
    let (mut world, id) = World::related(2, 1);
    world.script("server", move |event, hook| {
        if *event == Event::UpdateStatus && hook.is_leader() {
            hook.relation_set_app(id, [("k", "v")])?;
            hook.relation_set(id, [("k", "v")])?;
        }
        Ok(())
    });
    world.juju.before_flush(|_, event, model| {
        if *event == Event::UpdateStatus {
            model.set_leader("server/1");
        }
    });
    world.juju.update_status("server").unwrap();
    let run = world.juju.step().unwrap().unwrap();
    assert_eq!(
        (run.unit.as_str(), run.exit.success(), run.flushed),
        ("server/0", true, false)
    );
    assert!(run.flush_error.unwrap().contains("permission denied"));
    assert!(
        !world.juju.databag(id, "server/0").contains_key("k"),
        "all or nothing"
    );
    assert_eq!(world.juju.status().units["server/0"].workload, "error");
    let retried = world.hooks();
    assert_eq!(
        retried[..2],
        ["server/1 leader-elected", "server/0 update-status"]
    );
}

#[test]
fn state_above_two_mebibytes_fails_the_hook() {
    let mut world = World::settled(1, 0);
    world.script("server", |event, hook| {
        if *event == Event::UpdateStatus {
            hook.state_set("big", &"x".repeat(MAX_STATE));
        }
        Ok(())
    });
    world.juju.update_status("server").unwrap();
    let error = world
        .juju
        .settle(Duration::from_secs(5))
        .unwrap_err()
        .to_string();
    assert!(error.contains("max allowed charm state size"), "{error}");
}

#[test]
fn a_bag_that_fits_no_document_fails_the_hook() {
    let (mut world, id) = World::related(1, 1);
    world.script("server", move |event, hook| {
        if *event == Event::UpdateStatus {
            hook.relation_set(id, [("big", "x".repeat(17 * 1024 * 1024))])?;
        }
        Ok(())
    });
    world.juju.update_status("server").unwrap();
    let error = world
        .juju
        .settle(Duration::from_secs(5))
        .unwrap_err()
        .to_string();
    assert!(error.contains("too large"), "{error}");
}

#[test]
fn the_service_has_the_union_of_the_units_ports() {
    let mut world = World::settled(2, 0);
    world.in_hook("server/0", |hook| hook.open_port(7233));
    world.in_hook("server/1", |hook| {
        hook.open_port(7233);
        hook.open_port(7234);
    });
    assert_eq!(
        world.cloud.exposed("server"),
        Some(BTreeSet::from([7233, 7234]))
    );
    world.in_hook("server/1", |hook| {
        hook.close_port(7233);
        hook.close_port(7234);
    });
    assert_eq!(world.cloud.exposed("server"), Some(BTreeSet::from([7233])));
    world.in_hook("server/0", |hook| hook.open_port(7233));
    assert_eq!(
        world.juju.opened_ports("server/0"),
        ["7233/tcp"],
        "idempotent"
    );
}

#[test]
fn juju_says_something_only_until_the_charm_does() {
    let mut world = World::settled(1, 0);
    let history = &world.juju.model().unit("server/0").unwrap().history;
    let said: Vec<&str> = history.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(said, ["installing agent", "installing charm software", ""]);
    assert_eq!(
        world.juju.unit_status("server/0").unwrap().status,
        "unknown"
    );
    world.in_hook("server/0", |hook| hook.status_set("active", "").unwrap());
    world.juju.replace_pod("server/0").unwrap();
    world.settle();
    assert_eq!(world.juju.unit_status("server/0").unwrap().status, "active");
    world.juju.drain_pod("server/0").unwrap();
    assert_eq!(
        world.juju.unit_status("server/0").unwrap().status,
        "terminated"
    );
}
