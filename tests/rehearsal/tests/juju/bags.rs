//! The access matrix and what Juju keeps in bags itself.

use std::collections::BTreeMap;

use rehearsal::juju::ToolError;

use crate::world::{World, refused, tool_with};

#[test]
fn own_unit_bag_is_read_and_written_by_every_unit() {
    let (mut world, id) = World::related(2, 1);
    for unit in ["server/0", "server/1"] {
        world.in_hook(unit, move |hook| {
            hook.relation_set(id, [("k", "v")]).unwrap();
        });
        let bag = world.in_hook(unit, move |hook| hook.relation_get(id, unit).unwrap());
        assert_eq!(bag["k"], "v");
    }
}

#[test]
fn own_application_bag_is_the_leaders_alone() {
    let (mut world, id) = World::related(2, 1);
    world.in_hook("server/0", move |hook| {
        hook.relation_set_app(id, [("k", "v")]).unwrap();
    });
    let read = world.in_hook("server/0", move |hook| hook.relation_get(id, "server"));
    assert_eq!(read.unwrap()["k"], "v");
    let other = world.in_hook("server/1", move |hook| {
        (
            hook.relation_get(id, "server"),
            hook.relation_set_app(id, [("k", "w")]),
            refused(hook, &format!("relation-get -r {id} --app - server")),
            refused(hook, &format!("relation-set -r {id} --app k=w")),
        )
    });
    assert_eq!(other.0, Err(ToolError::PermissionDenied));
    assert_eq!(other.1, Err(ToolError::CannotWrite));
    assert_eq!(other.2, (1, "ERROR permission denied".to_owned()));
    assert_eq!(
        other.3,
        (1, "ERROR cannot write relation settings".to_owned())
    );
}

#[test]
fn own_application_bag_of_peers_is_read_by_all_and_written_by_the_leader() {
    let mut world = World::settled(2, 0);
    let peer = world.juju.relation("server:peer").unwrap();
    world.in_hook("server/0", move |hook| {
        hook.relation_set_app(peer, [("k", "v")]).unwrap();
    });
    let (read, write) = world.in_hook("server/1", move |hook| {
        (
            hook.relation_get(peer, "server"),
            hook.relation_set_app(peer, [("k", "w")]),
        )
    });
    assert_eq!(read.unwrap()["k"], "v");
    assert_eq!(write, Err(ToolError::CannotWrite));
}

#[test]
fn remote_bags_and_peers_unit_bags_are_read_by_every_unit() {
    let (mut world, id) = World::related(2, 1);
    let peer = world.juju.relation("server:peer").unwrap();
    world.in_hook("db/0", move |hook| {
        hook.relation_set_app(id, [("a", "1")]).unwrap();
        hook.relation_set(id, [("u", "2")]).unwrap();
    });
    world.in_hook("server/0", move |hook| {
        hook.relation_set(peer, [("p", "3")]).unwrap();
    });
    let (app, unit, other) = world.in_hook("server/1", move |hook| {
        (
            hook.relation_get(id, "db").unwrap(),
            hook.relation_get(id, "db/0").unwrap(),
            hook.relation_get(peer, "server/0").unwrap(),
        )
    });
    assert_eq!(
        (app["a"].as_str(), unit["u"].as_str(), other["p"].as_str()),
        ("1", "2", "3")
    );
}

#[test]
fn other_applications_bags_are_refused() {
    let (mut world, id) = World::related(1, 1);
    let read = world.in_hook("server/0", move |hook| {
        (
            hook.relation_get(id, "other"),
            hook.relation_get(id, "db/9"),
        )
    });
    assert_eq!(
        read,
        (
            Err(ToolError::PermissionDenied),
            Err(ToolError::PermissionDenied)
        )
    );
}

#[test]
fn juju_keeps_the_service_address_in_every_unit_bag() {
    let (world, id) = World::related(2, 1);
    for unit in ["server/0", "server/1"] {
        let bag = world.juju.databag(id, unit);
        let address = world.juju.status().applications["server"].address.clone();
        assert_eq!(bag["ingress-address"], address);
        assert_eq!(bag["private-address"], address);
        assert_eq!(bag["egress-subnets"], format!("{address}/32"));
        assert_ne!(
            world.juju.status().units[unit].address,
            address,
            "not the pod's"
        );
    }
}

#[test]
fn addresses_are_absent_until_known_and_come_after_config_changed() {
    let mut world = World::deployed(1, 1);
    world.juju.hide_service_address("server", true);
    let id = world.juju.integrate("server:db", "db").unwrap();
    world.settle();
    assert!(world.juju.databag(id, "server/0").is_empty());
    world.juju.hide_service_address("server", false);
    let hooks = world.hooks();
    assert_eq!(
        hooks,
        [
            "server/0 config-changed",
            "db/0 db-relation-changed server/0"
        ]
    );
    assert!(
        world
            .juju
            .databag(id, "server/0")
            .contains_key("egress-subnets")
    );
}

#[test]
fn remote_data_is_not_read_in_broken() {
    let (mut world, id) = World::related(1, 1);
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let log = seen.clone();
    world.script("server", move |event, hook| {
        if event.name() == "db-relation-broken" {
            log.borrow_mut().push(hook.relation_get(id, "db"));
            log.borrow_mut().push(
                hook.relation_get(id, "server/0")
                    .map(|_| BTreeMap::default()),
            );
        }
        Ok(())
    });
    world.juju.remove_relation("server", "db").unwrap();
    world.settle();
    assert_eq!(
        *seen.borrow(),
        [Err(ToolError::PermissionDenied), Ok(BTreeMap::default())]
    );
}

#[test]
fn the_departing_units_bag_is_still_read_in_its_departed_hook() {
    let (mut world, id) = World::related(1, 1);
    world.in_hook("db/0", move |hook| {
        hook.relation_set(id, [("k", "v")]).unwrap();
    });
    let seen = std::rc::Rc::new(std::cell::RefCell::new(None));
    let slot = seen.clone();
    world.script("server", move |event, hook| {
        if event.name() == "db-relation-departed" {
            *slot.borrow_mut() = Some((hook.relation_get(id, "db/0")?, hook.relation_list(id)?));
        }
        Ok(())
    });
    world.juju.remove_relation("server", "db").unwrap();
    world.settle();
    let (bag, list) = seen.take().unwrap();
    assert_eq!(bag["k"], "v");
    assert!(list.is_empty(), "but it is not listed");
}

#[test]
fn a_unit_that_comes_back_under_its_name_starts_with_an_empty_bag() {
    let (mut world, id) = World::related(2, 1);
    world.in_hook("server/1", move |hook| {
        hook.relation_set(id, [("k", "v")]).unwrap();
    });
    world.juju.remove_unit("server").unwrap();
    world.settle();
    assert_eq!(world.juju.add_unit("server").unwrap(), "server/1");
    world.settle();
    assert!(!world.juju.databag(id, "server/1").contains_key("k"));
}

#[test]
fn an_empty_string_deletes_its_key() {
    let (mut world, id) = World::related(1, 1);
    world.in_hook("server/0", move |hook| {
        hook.relation_set(id, [("k", "v"), ("l", "w")]).unwrap();
    });
    world.in_hook("server/0", move |hook| {
        let line = format!("relation-set -r {id} --file -");
        assert_eq!(tool_with(hook, &line, Some("{\"k\": \"\"}")).code, 0);
    });
    let bag = world.juju.databag(id, "server/0");
    assert_eq!((bag.get("k"), bag["l"].as_str()), (None, "w"));
}
