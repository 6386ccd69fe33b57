//! What holds for every snapshot, however odd. The names of the laws are those of the design: S1 to
//! S15 for safety, L1 to L5 for liveness.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;
use temporal_k8s::container::config;
use temporal_k8s::facts::Attempt;
use temporal_k8s::juju::{
    Databag, Event, Level, Relation, RelationEvent, RelationEventKind, SecretEventKind,
};
use temporal_k8s::plan::{Change, Note};
use temporal_k8s::postgres::{Distrust, StoreFacts};
use temporal_k8s::probe::Probe;
use temporal_k8s::relations::ENDPOINTS;
use temporal_k8s::secret::Secret;
use temporal_k8s::snapshot::ServiceState;
use temporal_k8s::temporal::health::Serving;
use temporal_k8s::temporal::{PerStore, Role, SchemaVersion, Store, required_schema};

use crate::databases::modern;
use crate::model::{
    self, PASSWORD, World, all_well, hook, options, plan, ready_to_start, settled, workload,
};

fn databag() -> impl Strategy<Value = Databag> {
    let key = prop_oneof![
        Just("master".to_owned()),
        Just("database".to_owned()),
        Just("allowed-subnets".to_owned()),
        Just("egress-subnets".to_owned()),
        Just("schema_status".to_owned()),
        Just("ingress".to_owned()),
        ".{0,8}",
    ];
    let value = prop_oneof![
        Just("ready".to_owned()),
        Just("temporal-k8s_db".to_owned()),
        Just("dbname=temporal-k8s_db host=pg user=u password=s3cr3t-marker port=x".to_owned()),
        Just("dbname='temporal-k8s_db host=pg".to_owned()),
        Just(r#"{"url": 3}"#.to_owned()),
        ".{0,40}",
    ];
    prop::collection::btree_map(key, value.prop_map(Secret::new), 0..6)
}

/// A relation as it should be, with odd bags laid over it.
fn relation(good: Relation) -> impl Strategy<Value = Option<Relation>> {
    let odd = (databag(), databag(), databag());
    let mixed = (odd, any::<bool>()).prop_map({
        let good = good.clone();
        move |((remote, own, unit), keep)| {
            let mut relation = good.clone();
            let mut said = relation.remote_app_bag.filter(|_| keep).unwrap_or_default();
            said.extend(remote);
            relation.remote_app_bag = Some(said);
            // Juju itself writes our unit's databag, and no password into it
            let plain = own
                .into_iter()
                .filter(|(_, value)| !value.expose().contains(PASSWORD));
            if let Probe::Known(bag) = &mut relation.own_unit_bag {
                bag.extend(plain);
            }
            relation.remote_unit_bags = BTreeMap::from([("pg/0".to_owned(), unit)]);
            relation
        }
    });
    let unread = any::<[bool; 2]>().prop_map({
        let good = good.clone();
        move |[remote, own_unit]| {
            let mut relation = good.clone();
            relation.remote_app_bag = relation.remote_app_bag.filter(|_| remote);
            if !own_unit {
                relation.own_unit_bag = Probe::Unreachable("gone".to_owned());
            }
            relation
        }
    });
    prop_oneof![
        2 => Just(None),
        6 => Just(Some(good)),
        2 => mixed.prop_map(Some),
        1 => unread.prop_map(Some),
    ]
}

fn facts() -> impl Strategy<Value = Probe<StoreFacts>> {
    let schema = prop::option::of((1..3_u32, 0..25_u32))
        .prop_map(|version| version.map(|(major, minor)| SchemaVersion { major, minor }));
    let shards = prop_oneof![Just(None), Just(Some(4)), Just(Some(8))];
    prop_oneof![
        1 => Just(Probe::NotAsked),
        1 => Just(Probe::Unreachable("no answer".to_owned())),
        3 => Just(Probe::Known(StoreFacts {
            schema: Some(SchemaVersion { major: 1, minor: 19 }), ..StoreFacts::default()
        })),
        1 => Just(Probe::Known(StoreFacts {
            distrust: Some(Distrust::Stranger), ..StoreFacts::default()
        })),
        3 => (schema, shards).prop_map(|(schema, shards)| {
            Probe::Known(StoreFacts { schema, shards, ..StoreFacts::default() })
        }),
    ]
}

fn authority() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(vec![None, Some("one"), Some("two")])
}

/// The provider of a store, if it speaks of TLS at all, names an authority, or none any more.
fn name(world: &mut World, store: Store, authority: Option<&str>) {
    let relations = world.relations.get_mut(store.client());
    for relation in relations.into_iter().flatten() {
        if let Some(said) = relation.secrets.get_mut("secret-tls") {
            said.extend(model::tls(authority));
        }
    }
}

fn serving() -> impl Strategy<Value = Probe<Serving>> {
    let answer = prop_oneof![Just(Ok(())), Just(Err("not serving".to_owned()))];
    let roles = prop::collection::btree_map(
        prop::sample::select(Role::ALL.to_vec()),
        answer.clone(),
        0..5,
    );
    prop_oneof![
        Just(Probe::NotAsked),
        Just(Probe::Unreachable("gone".to_owned())),
        (roles, prop::option::of(answer)).prop_map(|(roles, store)| Probe::Known(Serving {
            roles,
            store,
            ..Serving::default()
        })),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop::sample::select(vec![
        Event::Install,
        Event::Start,
        Event::ConfigChanged,
        Event::UpdateStatus,
        Event::LeaderElected,
        Event::UpgradeCharm,
        Event::Stop,
        Event::Remove,
        Event::Secret {
            kind: SecretEventKind::Changed,
            id: "secret:cjqub6vubg2s77p3nio0".to_owned(),
            label: None,
            revision: None,
        },
        Event::Action {
            name: "restart".to_owned(),
        },
    ])
}

fn given() -> impl Strategy<Value = serde_json::Value> {
    prop::sample::select(vec![
        json!({}),
        json!({"services": "frontend"}),
        json!({"services": "worker, history"}),
        json!({"num-history-shards": 8}),
        json!({"num-history-shards": 3}),
        json!({"log-level": "loud", "services": ","}),
        json!({"ingress-protocol": "nginx-2023", "external-hostname": "t.example.com"}),
        json!({"database-prefix": "shared"}),
        json!({"log-level": 7}),
    ])
}

/// What the other side of an endpoint says when all is well.
fn good(endpoint: &str, id: u32) -> Relation {
    match (Store::of_endpoint(endpoint), endpoint) {
        (Some(store), _) if endpoint == store.pgsql() => model::store(store, id),
        (Some(store), _) => model::client(store, id),
        (None, "admin") => model::admin(id),
        (None, _) => model::silent(id),
    }
}

/// Any snapshot: fresh or settled, with anything changed.
fn any_snapshot() -> impl Strategy<Value = World> {
    let relations: Vec<_> = (7..)
        .zip(ENDPOINTS)
        .map(|(id, endpoint)| relation(good(endpoint.name, id)))
        .collect();
    let state = prop::option::of(prop::sample::select(vec![
        ServiceState::Active,
        ServiceState::Inactive,
        ServiceState::Backoff,
        ServiceState::Error,
    ]));
    let version = prop::sample::select(vec!["1.16.0", "1.17.3", "1.20.0", "1.23.1", "1.32.2"]);
    (
        (any::<bool>(), event(), any::<bool>(), given(), relations),
        (facts(), facts(), serving(), state, version),
        (
            0..10_u8,
            prop::collection::btree_set(7230..7240_u16, 0..4),
            any::<bool>(),
            [authority(), authority()],
        ),
    )
        .prop_map(|(who, server, (pebble, ports, address, tls))| {
            let (fresh, event, leader, given, relations) = who;
            let (main_facts, visibility_facts, serving, state, version) = server;
            let mut snapshot = if fresh { ready_to_start() } else { settled() };
            snapshot.hook.event = event;
            snapshot.leader = leader;
            snapshot.options = options(given);
            for (endpoint, relation) in ENDPOINTS.iter().zip(relations) {
                snapshot
                    .relations
                    .insert(endpoint.name, relation.into_iter().collect());
            }
            for (store, authority) in Store::ALL.into_iter().zip(tls) {
                name(&mut snapshot, store, authority);
            }
            snapshot.stores = PerStore {
                main: main_facts,
                visibility: visibility_facts,
            };
            snapshot.open_ports.extend(ports);
            if !address {
                snapshot.bind_address = None;
            }
            if fresh {
                workload(&mut snapshot).image = Probe::Known(Ok(version.parse().unwrap()));
            }
            if let (Some(state), Some(service)) = (state, &mut workload(&mut snapshot).service) {
                service.state = state;
            }
            snapshot.serving = serving;
            if pebble == 0 {
                snapshot.workload = Probe::Unreachable("pebble is not up".to_owned());
            }
            if !leader {
                model::follow(&mut snapshot);
            }
            model::as_read(&mut snapshot);
            snapshot
        })
}

/// Law S1, said once more and apart from the planner: what must be true before any start.
fn start_is_safe(snapshot: &World) -> bool {
    let Probe::Known(workload) = &snapshot.workload else {
        return false;
    };
    let Probe::Known(Ok(image)) = &workload.image else {
        return false;
    };
    let Ok(needs) = required_schema(image.version) else {
        return false;
    };
    let Ok(config) = temporal_k8s::config::parse(&snapshot.options) else {
        return false;
    };
    let proven = Store::ALL
        .iter()
        .all(|store| match snapshot.stores.get(*store) {
            Probe::Known(facts) => {
                facts.schema.is_some_and(|have| have >= *needs.get(*store))
                    && facts
                        .shards
                        .zip(config.shards)
                        .is_none_or(|(stored, chosen)| stored == chosen)
            }
            Probe::NotAsked | Probe::Unreachable(_) => false,
        });
    let one = |endpoint: &str| snapshot.relations.get(endpoint).and_then(|all| all.first());
    let signalled = one("admin").is_none_or(|admin| {
        let status = admin.remote_app_bag.as_ref();
        let status = status.and_then(|bag| bag.get("schema_status"));
        status.is_some_and(|v| v.expose() == "ready")
    });
    let related = Store::ALL.iter().all(|store| {
        store
            .endpoints()
            .into_iter()
            .any(|name| one(name).is_some())
    });
    proven && signalled && related
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn s1_nothing_starts_without_proof(snapshot in any_snapshot()) {
        let running = snapshot.workload.known().and_then(|w| w.service.as_ref())
            .is_some_and(|service| service.state == ServiceState::Active);
        for change in &plan(&snapshot).changes {
            match change {
                Change::Layer(_) => prop_assert!(start_is_safe(&snapshot)),
                // a server that runs was started on a proof
                Change::Start => prop_assert!(start_is_safe(&snapshot) || running),
                Change::StopOthers(_) | Change::Watch(_) | Change::Stop | Change::Write { .. } | Change::Delete { .. } => {}
            }
        }
    }

    /// Whatever hooks break off, and whenever Pebble starts a server that has crashed: a unit that has nothing left to
    /// do runs what it should.
    #[test]
    fn s18_what_counts_as_applied_is_what_the_process_was_started_with(
        steps in prop::collection::vec(
            (given(), [authority(), authority()], prop::option::of(0..9_usize), any::<bool>()),
            1..6,
        ),
    ) {
        let mut world = modern();
        hook(&mut world);
        for (given, authorities, dies_after, crashes) in steps {
            world.options = options(given);
            for (store, authority) in Store::ALL.into_iter().zip(authorities) {
                name(&mut world, store, authority);
            }
            match dies_after {
                Some(changes) => model::hook_that_dies(&mut world, changes),
                None => _ = hook(&mut world),
            }
            if crashes {
                model::crash(&mut world);
            }
            for (path, needed) in model::authorities(&world) {
                prop_assert!(!needed || world.workload.known().unwrap().files.contains_key(path));
            }
        }
        hook(&mut world);
        let facts = world.facts();
        let status = world.status.as_ref().map(|status| status.level);
        if let (Some(server), Some(Level::Active)) = (&facts.server, status) {
            let process = world.process.as_ref().expect("what is active runs");
            prop_assert_eq!(&process.service, &server.service);
            for (path, needed) in model::authorities(&world) {
                prop_assert_eq!(world.workload.known().unwrap().files.contains_key(path), needed);
            }
            let file = server.files.get(config::PATH).expect("a server has a configuration");
            prop_assert!(process.config.as_ref().is_some_and(|has| has.holds(file)));
        }
    }

    /// Law S16, and what an earlier revision started is stopped.
    #[test]
    fn s16_nothing_of_the_image_runs(mut snapshot in any_snapshot()) {
        let other = "temporal-of-the-image".to_owned();
        if let Probe::Known(workload) = &mut snapshot.workload {
            workload.others.insert(other);
        }
        let reconciles = !matches!(
            snapshot.hook.event,
            Event::Install | Event::Remove | Event::Stop | Event::Action { .. }
        );
        hook(&mut snapshot);
        if let Probe::Known(workload) = &snapshot.workload && reconciles {
            prop_assert!(workload.others.is_empty());
        }
    }

    #[test]
    fn s2_nothing_keeps_running_on_a_removed_store(mut snapshot in any_snapshot()) {
        hook(&mut snapshot);
        let has = |name| snapshot.relations.get(name).is_some_and(|all: &Vec<_>| !all.is_empty());
        let related = |store: &Store| store.endpoints().into_iter().any(has);
        let removed = !Store::ALL.iter().all(related);
        let reconciles = !matches!(
            snapshot.hook.event,
            Event::Install | Event::Remove | Event::Action { .. }
        );
        if let Probe::Known(workload) = &snapshot.workload && removed && reconciles {
            let up = workload.service.as_ref().is_some_and(|service| {
                matches!(service.state, ServiceState::Active | ServiceState::Backoff)
            });
            prop_assert!(!up);
        }
    }

    #[test]
    fn s4_only_the_leader_writes_application_data(mut snapshot in any_snapshot()) {
        snapshot.leader = false;
        for plan in hook(&mut snapshot) {
            let writes = plan.notes.iter().any(|note| matches!(
                note,
                Note::PublishApp { .. } | Note::AppStatus { .. }
            ));
            prop_assert!(!writes, "{}", plan);
        }
    }

    /// A unit that goes is never blocked, and says nothing of the application.
    #[test]
    fn s17_a_unit_that_leaves_speaks_for_itself_alone(mut snapshot in any_snapshot(), broken: bool) {
        snapshot.hook.event = if broken {
            Event::Relation(RelationEvent {
                endpoint: "db".to_owned(),
                id: 99,
                kind: RelationEventKind::Broken,
                remote_app: None,
                remote_unit: None,
                departing_unit: None,
            })
        } else {
            Event::Stop
        };
        snapshot.leaving = true;
        for plan in hook(&mut snapshot) {
            for note in &plan.notes {
                let own = match note {
                    Note::UnitStatus(status) => status.level == Level::Maintenance,
                    Note::PublishApp { .. } | Note::AppStatus { .. } | Note::Log { .. } => false,
                    _ => true,
                };
                prop_assert!(own, "{}", plan);
            }
            let starts = plan.changes.iter().any(|it| matches!(it, Change::Start | Change::Layer(_)));
            prop_assert!(!starts, "{}", plan);
        }
    }

    #[test]
    fn s5_no_plan_shows_a_password(mut snapshot in any_snapshot()) {
        for plan in hook(&mut snapshot) {
            prop_assert!(!format!("{plan} {plan:?}").contains(PASSWORD), "{}", plan);
        }
        let shown = format!("{snapshot:?} {:?}", snapshot.facts());
        prop_assert!(!shown.contains(PASSWORD));
    }

    #[test]
    fn s10_a_second_hook_does_nothing(mut snapshot in any_snapshot()) {
        let action = matches!(snapshot.hook.event, Event::Action { .. });
        hook(&mut snapshot);
        snapshot.attempt = Attempt::None;
        let again = plan(&snapshot);
        prop_assert!(action || again.is_empty(), "{}", again);
    }

    #[test]
    fn s12_active_means_serving(snapshot in any_snapshot()) {
        let plan = plan(&snapshot);
        let active = plan.notes.iter().any(|note| {
            matches!(note, Note::UnitStatus(status) if status.level == Level::Active)
        });
        if active {
            let Probe::Known(serving) = &snapshot.serving else {
                return Err(TestCaseError::fail("active without looking"));
            };
            prop_assert!(serving.roles.values().all(Result::is_ok));
            prop_assert!(serving.store.as_ref().is_none_or(Result::is_ok));
            prop_assert!(plan.changes.is_empty());
        }
    }

    #[test]
    fn effects_are_in_order_and_planning_is_deterministic(snapshot in any_snapshot()) {
        let first = plan(&snapshot);
        // files are written before or after the stop, but never after the start
        let writes = |change: &&Change| matches!(change, Change::Write { .. });
        let others = first.changes.iter().filter(|change| !writes(change));
        prop_assert!(others.is_sorted_by_key(Change::rank));
        let start = first.changes.iter().position(|change| *change == Change::Start);
        let write = first.changes.iter().rposition(|change| writes(&change));
        prop_assert!(write.zip(start).is_none_or(|(write, start)| write < start));
        prop_assert!(first.notes.is_sorted_by_key(Note::rank));
        prop_assert!(first.changes.is_empty() || first.notes.is_empty());
        prop_assert_eq!(first, plan(&snapshot.clone()));
    }

    #[test]
    fn l4_every_blocked_names_a_step(mut snapshot in any_snapshot()) {
        hook(&mut snapshot);
        if let Some(status) = &snapshot.status && status.level == Level::Blocked {
            prop_assert!(status.message.contains('`'), "{}", status.message);
        }
    }

    #[test]
    fn a_fault_never_improves_the_status(snapshot in any_snapshot(), fault in 0..5_u8) {
        let level = |mut snapshot: World| {
            hook(&mut snapshot);
            snapshot.status.as_ref().map(|status| status.level)
        };
        let mut worse = snapshot.clone();
        match fault {
            0 => worse.relations.retain(|endpoint, _| Store::of_endpoint(endpoint) != Some(Store::Main)),
            1 => worse.stores.visibility = Probe::Unreachable("no answer".to_owned()),
            2 => worse.options = options(json!({"services": "none"})),
            3 => worse.bind_address = None,
            _ => worse.workload = Probe::Unreachable("pebble is not up".to_owned()),
        }
        // what cannot be asked any more hides what only its answer would let us see
        let hides = fault != 0;
        let (before, after) = (level(snapshot), level(worse));
        if before == Some(Level::Active) || !hides {
            prop_assert!(after >= before, "{:?} became {:?}", before, after);
        }
    }

    /// L1, L2: once the world is well, update-status alone brings every unit to active, and then does nothing.
    #[test]
    fn l1_l2_a_well_world_settles(mut snapshot in any_snapshot()) {
        let well = ready_to_start();
        snapshot.hook.event = Event::UpdateStatus;
        snapshot.options = well.options.clone();
        snapshot.bind_address = well.bind_address;
        snapshot.relations = well.relations.clone();
        snapshot.stores = well.stores.clone();
        if snapshot.workload.known().is_none_or(|w| w.image.known().is_none_or(|it| it.as_ref().map_or(true, |it| it.version.minor < 17))) {
            snapshot.workload = well.workload.clone();
        }
        for _ in 0..3 {
            snapshot.serving = Probe::Known(all_well(&snapshot));
            hook(&mut snapshot);
        }
        prop_assert_eq!(snapshot.status.as_ref().map(|s| s.level), Some(Level::Active));
        snapshot.attempt = Attempt::None;
        prop_assert!(plan(&snapshot).is_empty());
    }
}

#[test]
fn s11_the_order_of_relation_numbers_does_not_matter() {
    let mut one = ready_to_start();
    let mut other = ready_to_start();
    other.relate("db", model::store(Store::Main, 80));
    hook(&mut one);
    hook(&mut other);
    assert_eq!(one.open_ports, other.open_ports);
    assert_eq!(one.status, other.status);
    let ports: &BTreeSet<u16> = &one.open_ports;
    assert_eq!(ports.len(), 10);
}
