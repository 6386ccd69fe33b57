//! What Juju refuses a person, in its words.

use rehearsal::juju::{Source, model::Model};
use serde_json::json;

use crate::world::{SERVER, World};

#[test]
fn endpoints_are_inferred_only_when_one_pair_fits() {
    let mut world = World::settled(1, 1);
    let error = world
        .juju
        .integrate("server", "db")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "ambiguous relation: \"server db\" could refer to \"server:db db:db\"; \
         \"server:visibility db:db\""
    );
    world.juju.integrate("server:db", "db").unwrap();
    assert_eq!(
        world
            .juju
            .model()
            .relations
            .last_key_value()
            .unwrap()
            .1
            .key(),
        "server:db db:db"
    );
}

#[test]
fn only_equal_interfaces_and_opposite_roles_are_related() {
    let mut world = World::settled(1, 1);
    for (a, b, why) in [
        ("server:web", "db:db", "no relations found"),
        ("server:peer", "db", "no relations found"),
        (
            "server:nothing",
            "db",
            "application \"server\" has no \"nothing\" relation",
        ),
        ("server", "nobody", "application \"nobody\" not found"),
    ] {
        assert_eq!(world.juju.integrate(a, b).unwrap_err().to_string(), why);
    }
}

#[test]
fn a_limit_is_kept_in_jujus_words() {
    let (mut world, _) = World::related(1, 1);
    let text = world
        .juju
        .integrate("server:db", "db")
        .unwrap_err()
        .to_string();
    assert!(text.ends_with("already exists"), "{text}");
    let more = "name: other\nsummary: s\ndescription: d\nprovides: {db: {interface: pgsql}}\n";
    world.deploy("other", more, 1);
    let text = world
        .juju
        .integrate("server:db", "other")
        .unwrap_err()
        .to_string();
    assert!(
        text.ends_with(
            "establishing a new relation for server:db would exceed its maximum relation limit of 1"
        ),
        "{text}"
    );
    world.juju.integrate("server:visibility", "other").unwrap();
}

#[test]
fn relation_numbers_count_up_over_the_models_life() {
    let (mut world, first) = World::related(1, 1);
    world.juju.remove_relation("server", "db").unwrap();
    world.settle();
    assert_eq!(world.juju.integrate("server:db", "db").unwrap(), first + 1);
}

#[test]
fn a_dying_relation_still_blocks_its_successor() {
    let (mut world, _) = World::related(1, 1);
    world.juju.remove_relation("server", "db").unwrap();
    assert!(world.juju.integrate("server:db", "db").is_err());
    world.settle();
    world.juju.integrate("server:db", "db").unwrap();
    let missing = world
        .juju
        .remove_relation("server:web", "db")
        .unwrap_err()
        .to_string();
    assert_eq!(missing, "relation \"server:web db\" not found");
}

#[test]
fn config_is_typed_and_all_or_nothing() {
    let mut world = World::settled(1, 0);
    let error = world
        .juju
        .config("server", &[("level", "debug"), ("shards", "four")])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "option \"shards\" expected int, got \"four\""
    );
    let level = world.in_hook("server/0", |hook| {
        hook.config(false).unwrap()["level"].clone()
    });
    assert_eq!(level, "info", "nothing was set");
    let error = world
        .juju
        .config("server", &[("colour", "red")])
        .unwrap_err()
        .to_string();
    assert_eq!(error, "unknown option \"colour\"");
    let error = world
        .juju
        .reset_config("server", &["colour"])
        .unwrap_err()
        .to_string();
    assert_eq!(error, "unknown option \"colour\"");
}

#[test]
fn deploy_refuses_taken_and_invalid_names_and_bad_charms() {
    let mut world = World::settled(1, 0);
    let path = world.directory.path().join("x.charm");
    let deploy = |world: &mut World, app: &str| {
        world
            .juju
            .deploy(app, Source::File(path.clone()), 1, &[])
            .unwrap_err()
            .to_string()
    };
    assert!(deploy(&mut world, "server").ends_with("application already exists"));
    assert_eq!(
        deploy(&mut world, "Server"),
        "invalid application name \"Server\""
    );
    assert!(deploy(&mut world, "new").starts_with("cannot open"));
    let archive = |files: &[(&str, &[u8])]| {
        rehearsal::juju::plain::write_charm(&path, files).unwrap();
    };
    archive(&[("dispatch", b"")]);
    assert_eq!(deploy(&mut world, "new"), "charm has no metadata.yaml");
    archive(&[("metadata.yaml", SERVER.as_bytes()), ("dispatch", b"")]);
    assert!(
        deploy(&mut world, "new").contains("manifest.yaml"),
        "containers need bases"
    );
    archive(&[("metadata.yaml", b"name: x\nsummary: s\ndescription: d\n")]);
    assert_eq!(deploy(&mut world, "new"), "charm has no dispatch");
    assert!(!world.juju.model().applications.contains_key("new"));
}

#[test]
fn actions_are_checked_before_they_run() {
    let mut world = World::settled(1, 0);
    let before = world.juju.log().len();
    let mut run = |action: &str, params: serde_json::Value| {
        let params = params.as_object().cloned().unwrap();
        world
            .juju
            .run_action("server/0", action, params)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(run("fly", json!({})), "action \"fly\" not defined on unit");
    assert!(run("query", json!({})).contains("missing and required"));
    let params = serde_json::Map::new();
    let error = world
        .juju
        .run_action("server/7", "restart", params)
        .unwrap_err()
        .to_string();
    assert_eq!(error, "unit \"server/7\" not found");
    assert_eq!(world.juju.log().len(), before);
}

#[test]
fn the_status_page_shows_what_juju_status_shows() {
    let (mut world, _) = World::related(2, 1);
    world.in_hook("server/0", |hook| {
        hook.status_set("active", "serving").unwrap();
        hook.open_port(7233);
    });
    world.in_hook("server/1", |hook| {
        hook.application_version_set("1.32.2").unwrap();
    });
    let page = world.juju.status().to_string();
    let line = |start: &str| {
        let found = page.lines().find(|line| line.starts_with(start));
        found
            .unwrap_or_else(|| panic!("{start} in\n{page}"))
            .split_whitespace()
            .collect::<Vec<_>>()
    };
    let shown = line("server ");
    assert_eq!(shown[..5], ["server", "1.32.2", "active", "2", "server"]);
    let shown = line("server/0*");
    assert_eq!(shown[1..3], ["active", "idle"]);
    assert_eq!(shown[4..], ["7233/tcp", "serving"]);
    assert_eq!(line("db:db "), ["db:db", "server:db", "pgsql", "regular"]);
    assert_eq!(
        line("server:peer"),
        ["server:peer", "server:peer", "servers", "peer"]
    );
    let json = serde_json::to_value(world.juju.status()).unwrap();
    assert_eq!(json["units"]["server/0"]["ports"], json!(["7233/tcp"]));
}

#[test]
fn model_uuids_are_stable_and_well_formed() {
    let (one, again, other) = (
        Model::new("a").uuid,
        Model::new("a").uuid,
        Model::new("b").uuid,
    );
    assert_eq!(one, again);
    assert_ne!(one, other);
    let lengths: Vec<usize> = one.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12]);
}
