//! TLS to the databases: which files come and go, what is restarted for it, and what a server says of itself that cannot
//! be told from an impostor.

use serde_json::json;
use temporal_k8s::container::{authority, pgpass};
use temporal_k8s::facts::Attempt;
use temporal_k8s::juju::Level;
use temporal_k8s::plan::{Change, Plan};
use temporal_k8s::postgres::{Distrust, StoreFacts};
use temporal_k8s::probe::Probe;
use temporal_k8s::snapshot::ServiceState;
use temporal_k8s::temporal::Store;

use crate::databases::modern;
use crate::model::{self, World, hook, options, plan, workload};

/// The provider of a store names an authority, or none any more.
fn name(world: &mut World, store: Store, authority: Option<&str>) {
    let secrets = &mut world.relation(store.client()).secrets;
    secrets.insert("secret-tls".to_owned(), model::tls(authority));
}

/// The same for both.
fn name_both(world: &mut World, authority: Option<&str>) {
    for store in Store::ALL {
        name(world, store, authority);
    }
}

fn settled(authority: Option<&str>) -> World {
    let mut world = modern();
    name_both(&mut world, authority);
    hook(&mut world);
    world
}

/// What the next hook plans.
fn again(world: &mut World) -> Plan {
    world.attempt = Attempt::None;
    plan(world)
}

fn level(world: &World) -> Option<Level> {
    world.status.as_ref().map(|status| status.level)
}

fn runs(world: &mut World) -> bool {
    let service = workload(world).service.as_ref();
    service.is_some_and(|service| service.state == ServiceState::Active)
}

fn distrusted(why: Distrust) -> Probe<StoreFacts> {
    Probe::Known(StoreFacts {
        distrust: Some(why),
        ..StoreFacts::default()
    })
}

#[test]
fn a_server_is_started_with_the_authorities_of_its_databases() {
    let mut world = modern();
    name(&mut world, Store::Main, Some("one"));
    hook(&mut world);
    let files = &workload(&mut world).files;
    let content = files[authority::path(Store::Main)].content.expose();
    assert_eq!(content, b"one");
    assert!(!files.contains_key(authority::path(Store::Visibility)));
    assert_eq!(level(&world), Some(Level::Active));
    assert_eq!(again(&mut world).to_string(), "nothing to do");
}

#[test]
fn another_authority_is_written_and_restarts_nothing() {
    let mut world = settled(Some("one"));
    name(&mut world, Store::Visibility, Some("two"));
    let plans = hook(&mut world);
    assert_eq!(
        plans[0].to_string(),
        "write `/etc/temporal/visibility-ca.pem`"
    );
    assert_eq!(level(&world), Some(Level::Active));
    assert_eq!(again(&mut world).to_string(), "nothing to do");
}

/// As a rotated password does.
#[test]
fn another_authority_reaches_the_server_behind_bad_options_and_closed_gates() {
    let mutations: [fn(&mut World); 2] = [
        |world| world.options = options(json!({"log-level": "loud"})),
        |world| world.said_by("admin").clear(),
    ];
    for mutate in mutations {
        let mut world = settled(Some("one"));
        // a restart is wanted, and cannot be had
        world.options = options(json!({"log-level": "debug"}));
        mutate(&mut world);
        name(&mut world, Store::Main, Some("two"));
        let plans = hook(&mut world);
        assert_eq!(plans[0].to_string(), "write `/etc/temporal/db-ca.pem`");
        assert!(runs(&mut world));
    }
}

#[test]
fn tls_is_switched_on_and_off_with_a_restart_and_the_authorities_are_there_for_as_long_as_they_are_needed()
 {
    let mut world = settled(None);
    name_both(&mut world, Some("one"));
    let on = hook(&mut world).remove(0);
    assert_eq!(
        words(&on),
        "write `/etc/temporal/db-ca.pem`\nwrite `/etc/temporal/visibility-ca.pem`\n\
         write `/etc/temporal/config/charm.yaml`\nstop the server\nlayer\nstart the server"
    );
    name_both(&mut world, None);
    let off = hook(&mut world).remove(0);
    assert_eq!(
        words(&off),
        "write `/etc/temporal/config/charm.yaml`\nstop the server\n\
         delete `/etc/temporal/db-ca.pem`\ndelete `/etc/temporal/visibility-ca.pem`\nlayer\nstart the server"
    );
    for plan in [&on, &off] {
        let why = "another word on TLS from the database";
        assert!(plan.summary.ends_with(why), "{}", plan.summary);
        assert!(plan.turn.is_some(), "units take turns for it (law S6)");
    }
    assert_eq!(level(&world), Some(Level::Active));
    assert_eq!(again(&mut world).to_string(), "nothing to do");
}

/// Its changes, without the command of the layer.
fn words(plan: &Plan) -> String {
    let words = plan.changes.iter().map(|change| match change {
        Change::Layer(_) => "layer".to_owned(),
        change => change.to_string(),
    });
    words.collect::<Vec<_>>().join("\n")
}

#[test]
fn while_a_unit_waits_for_its_turn_an_authority_comes_and_none_goes() {
    let mut world = settled(Some("one"));
    name(&mut world, Store::Main, None);
    name(&mut world, Store::Visibility, Some("two"));
    let plan = again(&mut world);
    let delete = Change::Delete {
        path: authority::path(Store::Main),
    };
    assert!(plan.changes.contains(&delete), "{plan}");
    let without = plan.without_turn();
    let texts: Vec<String> = without.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["write `/etc/temporal/visibility-ca.pem`"]);
}

/// It is the same database: a server goes on without TLS while the one that the provider means does not offer it yet, or
/// cannot be told from an impostor.
#[test]
fn a_server_goes_on_while_tls_is_not_there_yet() {
    let states = [
        (
            Probe::Unreachable("it does not offer TLS".to_owned()),
            Level::Waiting,
        ),
        (distrusted(Distrust::Stranger), Level::Blocked),
    ];
    for (said, expected) in states {
        let mut world = settled(None);
        name_both(&mut world, Some("one"));
        world.stores.main = said;
        let plans = hook(&mut world);
        assert!(!plans[0].changes.contains(&Change::Stop), "{}", plans[0]);
        assert!(runs(&mut world));
        assert_eq!(level(&world), Some(expected));
    }
}

#[test]
fn a_server_that_cannot_be_told_from_an_impostor_blocks_and_names_why_and_the_remedy() {
    let place = "pg-primary.m.svc.cluster.local:5432";
    let names = |has: &[&str]| Distrust::OtherNames {
        asked: "pg-primary.m.svc.cluster.local".to_owned(),
        has: has.iter().map(|name| (*name).to_owned()).collect(),
    };
    let day = || "2020-12-31T00:00:00Z".to_owned();
    for (why, expected) in [
        (
            names(&["other.example", "10.9.9.9"]),
            "the certificate of {place} is for other.example, 10.9.9.9, not for `pg-primary.m.svc.cluster.local`; \
             have the provider of `database` get one for `pg-primary.m.svc.cluster.local`, or offer a name that it is for",
        ),
        (
            names(&[]),
            "the certificate of {place} has no names, so not `pg-primary.m.svc.cluster.local` either; have the \
             provider of `database` get one for `pg-primary.m.svc.cluster.local`, or offer a name that it is for",
        ),
        (
            Distrust::Stranger,
            "the certificate of {place} was not issued by the CA that its provider names; have the provider of `database` \
             name the CA that issued it",
        ),
        (
            Distrust::Ended(day()),
            "the certificate of {place} expired on 2020-12-31T00:00:00Z; have the provider of `database` get another one",
        ),
        (
            Distrust::Begins(day()),
            "the certificate of {place} is not valid before 2020-12-31T00:00:00Z; have the provider of `database` get \
             another one, or set the clocks",
        ),
        (
            Distrust::AuthorityEnded(day()),
            "the CA for {place} expired on 2020-12-31T00:00:00Z; renew it at the provider of `database`",
        ),
        (
            Distrust::Unreadable("there is no certificate in it".to_owned()),
            "the CA for {place} cannot be read: there is no certificate in it; have the provider of `database` name it as PEM",
        ),
    ] {
        let mut fresh = modern();
        name_both(&mut fresh, Some("one"));
        let mut running = settled(Some("one"));
        for world in [&mut fresh, &mut running] {
            let ran = runs(world);
            world.stores.main = distrusted(why.clone());
            hook(world);
            let status = world.status.clone().unwrap();
            assert_eq!(status.level, Level::Blocked);
            let expected = expected.replace("{place}", place);
            assert_eq!(status.message, expected);
            assert_eq!(runs(world), ran, "it is neither started nor stopped");
        }
    }
}

#[test]
fn what_came_from_a_database_goes_with_it() {
    let mut world = settled(Some("one"));
    world.relations.remove("database");
    let plans = hook(&mut world);
    let deleted = plans[0].changes.iter().filter_map(|change| match change {
        Change::Delete { path } => Some(*path),
        _ => None,
    });
    let paths = Store::ALL.map(authority::path);
    assert_eq!(
        deleted.collect::<Vec<_>>(),
        [pgpass::PATH, paths[0], paths[1]]
    );
    assert_eq!(again(&mut world).to_string(), "nothing to do");
}

#[test]
fn the_admin_application_is_told_of_tls() {
    let mut world = settled(Some("one"));
    let told = |world: &mut World| {
        let own = world.own("admin").app;
        let text = own["database_connections"].expose().clone();
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        [told["db"]["tls"].clone(), told["visibility"]["tls"].clone()]
    };
    assert_eq!(told(&mut world), [true, true]);
    name(&mut world, Store::Main, None);
    hook(&mut world);
    assert_eq!(told(&mut world), [false, true]);
}
