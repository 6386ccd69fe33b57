//! Worlds to start from, and a small model that applies plans to them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};

use temporal_k8s::container::{FILE_MODE, authority, config};
use temporal_k8s::facts::{Attempt, Facts};
use temporal_k8s::juju::{Databag, Event, Hook, Relation, Unit};
use temporal_k8s::memory::Memory;
use temporal_k8s::pebble::ServiceConfig;
use temporal_k8s::plan::{self, Change, Note, Plan};
use temporal_k8s::postgres::StoreFacts;
use temporal_k8s::probe::Probe;
use temporal_k8s::relations::{Bag, ENDPOINTS, PEER};
use temporal_k8s::secret::Secret;
use temporal_k8s::snapshot::{File, Service, ServiceState, Snapshot, Workload};
use temporal_k8s::temporal::health::Serving;
use temporal_k8s::temporal::{Member, PerStore, Role, SchemaVersion, Store};

/// What a hook finds: what Juju and the container say, and what databases and server would answer.
#[derive(Clone, Debug)]
pub(crate) struct World {
    said: Snapshot,
    /// What the databases answer.
    pub stores: PerStore<Probe<StoreFacts>>,
    /// What the server answers.
    pub serving: Probe<Serving>,
    /// What the hook has done so far.
    pub attempt: Attempt,
    /// The server's process, if there is one.
    pub process: Option<Process>,
    /// Our databags, by relation, without Juju's own keys.
    pub own: BTreeMap<u32, OwnBags>,
}

/// What this unit and its application say on a relation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnBags {
    pub app: Databag,
    pub unit: Databag,
}

/// What a process of the server was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// The definition.
    pub service: ServiceConfig,
    /// The configuration that it read.
    pub config: Option<File>,
}

impl Deref for World {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.said
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Snapshot {
        &mut self.said
    }
}

impl World {
    pub(crate) fn facts(&self) -> Facts {
        let mut facts = Facts::of(self.read());
        facts.answer(self.stores.clone(), self.serving.clone());
        facts.attempt = self.attempt.clone();
        facts
    }

    /// Our own databags, where they are read, say what was written.
    fn read(&self) -> Snapshot {
        let mut said = self.said.clone();
        let event = &self.said.hook.event;
        let another_charm = *event == Event::UpgradeCharm;
        let another_leader = *event == Event::LeaderElected;
        for relation in said.relations.values_mut().flatten() {
            let own = self.own.get(&relation.id).cloned().unwrap_or_default();
            if self.said.leader && (another_charm || another_leader) {
                relation.own_app_bag = Probe::Known(own.app);
            }
            match &mut relation.own_unit_bag {
                Probe::Known(bag) => bag.extend(own.unit),
                bag @ Probe::NotAsked if another_charm => *bag = Probe::Known(own.unit),
                Probe::NotAsked | Probe::Unreachable(_) => {}
            }
        }
        said
    }

    /// The one relation of an endpoint.
    pub(crate) fn relation(&mut self, endpoint: &str) -> &mut Relation {
        let relations = self.said.relations.get_mut(endpoint);
        relations
            .and_then(|all| all.first_mut())
            .unwrap_or_else(|| panic!("`{endpoint}` is not related"))
    }

    /// What is said on the one relation of an endpoint.
    pub(crate) fn own(&mut self, endpoint: &str) -> OwnBags {
        let id = self.relation(endpoint).id;
        self.own.get(&id).cloned().unwrap_or_default()
    }

    /// What the application on the other side of an endpoint's one relation says.
    pub(crate) fn said_by(&mut self, endpoint: &str) -> &mut Databag {
        let bag = self.relation(endpoint).remote_app_bag.as_mut();
        bag.unwrap_or_else(|| panic!("`{endpoint}` was not read"))
    }

    /// `juju integrate`
    pub(crate) fn relate(&mut self, endpoint: &'static str, relation: Relation) {
        self.said.relations.insert(endpoint, vec![relation]);
    }
}

/// What a world lets a hook decide.
pub(crate) fn plan(world: &World) -> Plan {
    plan::plan(&world.facts())
}

/// The marker that must never be seen outside a databag or a file.
pub(crate) const PASSWORD: &str = "s3cr3t-marker";

pub(crate) fn bag(entries: &[(&str, &str)]) -> Databag {
    entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Secret::from(*value)))
        .collect()
}

pub(crate) fn options(value: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
    match value {
        serde_json::Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

/// A `pgsql` relation as postgresql-k8s fills it in.
pub(crate) fn store(store: Store, id: u32) -> Relation {
    let name = match store {
        Store::Main => "temporal-k8s_db",
        Store::Visibility => "temporal-k8s_visibility",
    };
    let master = format!(
        "dbname={name} fallback_application_name=temporal-k8s host=pg-primary.m.svc.cluster.local \
         password={PASSWORD} port=5432 user=relation_id_{id}"
    );
    Relation {
        id,
        remote_app: "postgresql-k8s".to_owned(),
        remote_app_bag: Some(bag(&[
            ("allowed-subnets", "10.152.183.61/32"),
            ("allowed-units", "temporal-k8s/0"),
            ("database", name),
            ("host", "pg-0"),
            ("port", "5432"),
            ("user", &format!("relation_id_{id}")),
            ("password", PASSWORD),
            ("master", &master),
            ("standbys", &master),
            ("version", "14.5"),
        ])),
        remote_unit_bags: BTreeMap::new(),
        secrets: BTreeMap::new(),
        own_unit_bag: Probe::Known(bag(&[("egress-subnets", "10.152.183.61/32")])),
        own_app_bag: Probe::NotAsked,
    }
}

/// A `postgresql_client` relation as postgresql-k8s fills it in.
pub(crate) fn client(store: Store, id: u32) -> Relation {
    let user = bag(&[
        ("username", &format!("relation-{id}")),
        ("password", PASSWORD),
    ]);
    let database = match store {
        Store::Main => "temporal-k8s_db",
        Store::Visibility => "temporal-k8s_visibility",
    };
    Relation {
        remote_app_bag: Some(bag(&[
            ("database", database),
            ("endpoints", "pg-primary.m.svc.cluster.local:5432"),
            ("secret-user", "secret:cjqub6vubg2s77p3nio0"),
            ("secret-tls", "secret:cjqub7fubg2s77p3niog"),
            ("version", "16.9"),
        ])),
        secrets: BTreeMap::from([
            ("secret-user".to_owned(), user),
            ("secret-tls".to_owned(), tls(None)),
        ]),
        ..relation(id, "postgresql-k8s")
    }
}

/// What a `postgresql_client` relation says of TLS: the authority, if there is TLS.
pub(crate) fn tls(authority: Option<&str>) -> Databag {
    let word = if authority.is_some() { "True" } else { "False" };
    bag(&[("tls", word), ("tls-ca", authority.unwrap_or_default())])
}

/// A relation on which nothing was said yet, seen by the leader.
fn relation(id: u32, remote_app: &str) -> Relation {
    Relation {
        id,
        remote_app: remote_app.to_owned(),
        remote_app_bag: Some(Databag::new()),
        remote_unit_bags: BTreeMap::new(),
        secrets: BTreeMap::new(),
        own_unit_bag: Probe::NotAsked,
        own_app_bag: Probe::NotAsked,
    }
}

pub(crate) fn admin(id: u32) -> Relation {
    Relation {
        remote_app_bag: Some(bag(&[("schema_status", "ready")])),
        ..relation(id, "temporal-admin-k8s")
    }
}

pub(crate) fn ingress(id: u32) -> Relation {
    relation(id, "nginx-ingress-integrator")
}

/// Whatever else has an endpoint, related and silent.
pub(crate) fn silent(id: u32) -> Relation {
    relation(id, "somebody")
}

/// What the unit may read when it does not lead.
pub(crate) fn follow(world: &mut World) {
    world.leader = false;
    world.app_status = None;
}

/// What the table says is not read is not there.
pub(crate) fn as_read(world: &mut World) {
    for endpoint in ENDPOINTS {
        for relation in world.relations.get_mut(endpoint.name).into_iter().flatten() {
            let reads_own = |bag: &Bag| matches!(bag, Bag::OwnUnit { .. });
            if !endpoint.reads.iter().any(reads_own) {
                relation.own_unit_bag = Probe::NotAsked;
            }
        }
    }
}

pub(crate) fn facts(schema: (u32, u32), shards: Option<u32>) -> Probe<StoreFacts> {
    let schema = Some(SchemaVersion {
        major: schema.0,
        minor: schema.1,
    });
    let member = |role| Member {
        role,
        address: [10, 1, 0, 5].into(),
    };
    Probe::Known(StoreFacts {
        schema,
        shards,
        members: Role::ALL.map(member).into(),
        ..StoreFacts::default()
    })
}

/// A leader that may start its server for the first time.
pub(crate) fn ready_to_start() -> World {
    let hook = Hook {
        event: Event::UpdateStatus,
        unit: Unit {
            app: "temporal-k8s".to_owned(),
            number: 0,
        },
        model: "m".to_owned(),
    };
    World {
        said: Snapshot {
            leader: true,
            relations: BTreeMap::from([
                ("db", vec![store(Store::Main, 7)]),
                ("visibility", vec![store(Store::Visibility, 8)]),
                ("admin", vec![admin(9)]),
                (PEER, vec![relation(1, "")]),
            ]),
            bind_address: Some([10, 1, 0, 5].into()),
            workload: Probe::Known(Workload {
                boot_id: "boot-1".to_owned(),
                image: Probe::Known(Ok("1.32.2".parse().unwrap())),
                service: None,
                check: None,
                others: BTreeSet::new(),
                files: BTreeMap::new(),
            }),
            ..Snapshot::of(hook)
        },
        stores: PerStore {
            main: facts((1, 19), None),
            visibility: facts((1, 14), None),
        },
        serving: Probe::NotAsked,
        attempt: Attempt::None,
        process: None,
        own: BTreeMap::new(),
    }
}

/// The same unit some hooks later: active, with nothing left to do.
pub(crate) fn settled() -> World {
    let mut world = ready_to_start();
    hook(&mut world);
    world
}

pub(crate) fn workload(world: &mut World) -> &mut Workload {
    match &mut world.workload {
        Probe::Known(workload) => workload,
        other => panic!("no workload: {other:?}"),
    }
}

/// Every role that runs serves, and the store can be read.
pub(crate) fn all_well(world: &World) -> Serving {
    let roles = plan::health(&world.facts())
        .map(|asked| asked.roles)
        .unwrap_or_default();
    Serving {
        store: roles.contains(&Role::Frontend).then_some(Ok(())),
        roles: roles.into_iter().map(|role| (role, Ok(()))).collect(),
        ..Serving::default()
    }
}

/// Plays one hook in a world in which every change works out; returns the plans it went through.
pub(crate) fn hook(world: &mut World) -> Vec<Plan> {
    world.attempt = Attempt::None;
    let first = plan(world);
    let mut plans = vec![first.clone()];
    if !first.changes.is_empty() {
        if let Some(status) = &first.announce {
            world.status = Some(status.clone());
        }
        first.changes.iter().for_each(|change| make(world, change));
        world.attempt = Attempt::Done;
        let asked = plan::health(&world.facts()).is_some();
        world.serving = if asked {
            Probe::Known(all_well(world))
        } else {
            Probe::NotAsked
        };
        plans.push(plan(world));
    }
    let last = plans.last().cloned().unwrap_or_default();
    last.notes.iter().for_each(|note| tell(world, note));
    plans
}

/// A hook that ends after so many of its changes, and tells Juju nothing.
pub(crate) fn hook_that_dies(world: &mut World, after: usize) {
    world.attempt = Attempt::None;
    let changes = plan(world).changes;
    changes
        .iter()
        .take(after)
        .for_each(|change| make(world, change));
}

/// The files of authorities, and whether the process reads them for its connections.
pub(crate) fn authorities(world: &World) -> [(&'static str, bool); 2] {
    let config = world.process.as_ref().and_then(|it| it.config.as_ref());
    let config = config.map_or(&[][..], |config| config.content.expose());
    let config = String::from_utf8_lossy(config);
    Store::ALL
        .map(authority::path)
        .map(|path| (path, config.contains(path)))
}

/// The server crashes, and Pebble starts it again as it was started before.
pub(crate) fn crash(world: &mut World) {
    let config = workload(world).files.get(config::PATH).cloned();
    if let Some(process) = &mut world.process {
        process.config = config;
    }
}

fn make(world: &mut World, change: &Change) {
    match change {
        Change::Stop => {
            world.process = None;
            if let Some(service) = &mut workload(world).service {
                service.state = ServiceState::Inactive;
            }
        }
        Change::Write { path, content } => {
            let file = File {
                content: Secret::new(content.expose().clone().into_bytes()),
                mode: FILE_MODE,
            };
            workload(world).files.insert((*path).to_owned(), file);
        }
        Change::Delete { path } => _ = workload(world).files.remove(*path),
        Change::Layer(config) => {
            let state = workload(world)
                .service
                .as_ref()
                .map_or(ServiceState::Inactive, |has| has.state);
            workload(world).service = Some(Service {
                config: config.clone(),
                state,
                last_words: None,
            });
        }
        Change::Watch(check) => workload(world).check = Some(check.clone()),
        Change::StopOthers(_) => workload(world).others.clear(),
        Change::Start => {
            let config = workload(world).files.get(config::PATH).cloned();
            if let Some(service) = &mut workload(world).service {
                service.state = ServiceState::Active;
                let service = service.config.clone();
                // one that runs stays as it is
                world.process.get_or_insert(Process { service, config });
            }
        }
    }
}

fn tell(world: &mut World, note: &Note) {
    match note {
        Note::UnitStatus(status) => world.status = Some(status.clone()),
        Note::OpenPorts(ports) => world.open_ports.extend(ports),
        Note::ClosePorts(ports) => world.open_ports.retain(|port| !ports.contains(port)),
        Note::PublishApp {
            relation, entries, ..
        } => {
            merge(&mut own_mut(world, *relation).app, entries);
        }
        Note::PublishUnit { relation, entries } => {
            merge(&mut own_mut(world, *relation).unit, entries);
        }
        Note::Remember { entries } => {
            let mut state: BTreeMap<String, String> = world
                .memory
                .to_state()
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)))
                .collect();
            for (key, value) in entries {
                match value {
                    Some(value) => _ = state.insert(key.clone(), value.clone()),
                    None => _ = state.remove(key),
                }
            }
            world.memory = Memory::from_state(&state);
        }
        Note::AppStatus { status, .. } => world.app_status = Some(status.clone()),
        Note::TellVersion { .. }
        | Note::Log { .. }
        | Note::ActionResult { .. }
        | Note::ActionFailed { .. } => {}
    }
}

fn own_mut(world: &mut World, id: u32) -> &mut OwnBags {
    let mut relations = world.relations.values().flatten();
    let exists = relations.any(|relation| relation.id == id);
    assert!(exists, "plans name relations that exist");
    world.own.entry(id).or_default()
}

fn merge(bag: &mut Databag, entries: &BTreeMap<String, Option<Secret<String>>>) {
    for (key, value) in entries {
        match value {
            Some(value) => _ = bag.insert(key.clone(), value.clone()),
            None => _ = bag.remove(key),
        }
    }
}
