//! Snapshots to start from, and a small model of the world that applies plans to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::json;
use temporal_k8s::config;
use temporal_k8s::effect::Effect;
use temporal_k8s::hook::{Event, Hook, Unit};
use temporal_k8s::plan::{self, Plan};
use temporal_k8s::relations::{Databag, Relation};
use temporal_k8s::secret::Secret;
use temporal_k8s::server::version::SchemaVersion;
use temporal_k8s::server::{PerStore, Role, Store};
use temporal_k8s::snapshot::{
    Attempt, Memory, Probe, Relations, Service, ServiceState, Serving, Snapshot, StoreFacts,
    Workload,
};

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
        remote_app_bag: bag(&[
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
        ]),
        remote_unit_bags: BTreeMap::new(),
        own_unit_bag: bag(&[("egress-subnets", "10.152.183.61/32"), ("database", name)]),
        own_app_bag: Some(bag(&[("database", name)])),
    }
}

pub(crate) fn admin(id: u32) -> Relation {
    Relation {
        id,
        remote_app: "temporal-admin-k8s".to_owned(),
        remote_app_bag: bag(&[("schema_status", "ready")]),
        remote_unit_bags: BTreeMap::new(),
        own_unit_bag: Databag::new(),
        own_app_bag: Some(Databag::new()),
    }
}

pub(crate) fn ingress(id: u32) -> Relation {
    Relation {
        id,
        remote_app: "nginx-ingress-integrator".to_owned(),
        remote_app_bag: Databag::new(),
        remote_unit_bags: BTreeMap::new(),
        own_unit_bag: Databag::new(),
        own_app_bag: Some(Databag::new()),
    }
}

pub(crate) fn facts(schema: (u32, u32), shards: Option<u32>) -> Probe<StoreFacts> {
    let schema = Some(SchemaVersion {
        major: schema.0,
        minor: schema.1,
    });
    Probe::Known(StoreFacts { schema, shards })
}

/// A leader that may start its server for the first time.
pub(crate) fn ready_to_start() -> Snapshot {
    Snapshot {
        hook: Hook {
            event: Event::UpdateStatus,
            unit: Unit {
                app: "temporal-k8s".to_owned(),
                number: 0,
            },
            model: "m".to_owned(),
            juju_version: "3.6.11".to_owned(),
            charm_dir: PathBuf::from("/charm"),
        },
        leader: true,
        config: config::parse(&options(json!({}))),
        relations: Relations {
            stores: PerStore {
                main: Some(store(Store::Main, 7)),
                visibility: Some(store(Store::Visibility, 8)),
            },
            admin: Some(admin(9)),
            ingress: None,
        },
        bind_address: Some([10, 1, 0, 5].into()),
        open_ports: BTreeSet::new(),
        memory: Memory::default(),
        status: None,
        app_status: None,
        workload: Probe::Known(Workload {
            boot_id: "boot-1".to_owned(),
            version: Probe::Known(Ok("1.32.2".parse().unwrap())),
            service: None,
            files: BTreeMap::new(),
        }),
        stores: PerStore {
            main: facts((1, 19), None),
            visibility: facts((1, 14), None),
        },
        serving: Probe::NotAsked,
        attempt: Attempt::None,
    }
}

/// The same unit some hooks later: active, with nothing left to do.
pub(crate) fn settled() -> Snapshot {
    let mut snapshot = ready_to_start();
    hook(&mut snapshot);
    snapshot
}

pub(crate) fn workload(snapshot: &mut Snapshot) -> &mut Workload {
    match &mut snapshot.workload {
        Probe::Known(workload) => workload,
        other => panic!("no workload: {other:?}"),
    }
}

/// Every role that runs serves, and the store can be read.
pub(crate) fn all_well(snapshot: &Snapshot) -> Serving {
    let roles = plan::wants_health(snapshot)
        .map(|(_, roles)| roles)
        .unwrap_or_default();
    Serving {
        store: roles.contains(&Role::Frontend).then_some(Ok(())),
        roles: roles.into_iter().map(|role| (role, Ok(()))).collect(),
        version: None,
    }
}

/// Plays one hook in a world in which every change works out; returns the plans it went through.
pub(crate) fn hook(snapshot: &mut Snapshot) -> Vec<Plan> {
    snapshot.attempt = Attempt::None;
    let first = plan::plan(snapshot);
    let mut plans = vec![first.clone()];
    if first.workload().next().is_some() {
        first.workload().for_each(|effect| apply(snapshot, effect));
        snapshot.attempt = Attempt::Done;
        let asked = plan::wants_health(snapshot).is_some();
        snapshot.serving = if asked {
            Probe::Known(all_well(snapshot))
        } else {
            Probe::NotAsked
        };
        plans.push(plan::plan(snapshot));
    }
    let last = plans.last().cloned().unwrap_or_default();
    last.model().for_each(|effect| apply(snapshot, effect));
    plans
}

fn apply(snapshot: &mut Snapshot, effect: &Effect) {
    match effect {
        Effect::Announce(status) | Effect::UnitStatus(status) => {
            snapshot.status = Some(status.clone());
        }
        Effect::Stop => {
            if let Some(service) = &mut workload(snapshot).service {
                service.state = ServiceState::Inactive;
            }
        }
        Effect::Write { path, content } => {
            let content = Secret::new(content.expose().clone().into_bytes());
            workload(snapshot).files.insert((*path).to_owned(), content);
        }
        Effect::Delete { path } => _ = workload(snapshot).files.remove(*path),
        Effect::Layer(config) => {
            let state = workload(snapshot)
                .service
                .as_ref()
                .map_or(ServiceState::Inactive, |has| has.state);
            workload(snapshot).service = Some(Service {
                config: config.clone(),
                state,
                last_words: None,
            });
        }
        Effect::Replan | Effect::Restart => {
            if let Some(service) = &mut workload(snapshot).service {
                service.state = ServiceState::Active;
            }
        }
        Effect::OpenPorts(ports) => snapshot.open_ports.extend(ports),
        Effect::ClosePorts(ports) => snapshot.open_ports.retain(|port| !ports.contains(port)),
        Effect::PublishApp {
            relation, entries, ..
        } => {
            let bag = relation_mut(snapshot, *relation)
                .own_app_bag
                .get_or_insert_default();
            merge(bag, entries);
        }
        Effect::PublishUnit { relation, entries } => {
            merge(&mut relation_mut(snapshot, *relation).own_unit_bag, entries);
        }
        Effect::Remember { entries } => {
            let mut state: BTreeMap<String, String> = snapshot
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
            snapshot.memory = Memory::from_state(&state);
        }
        Effect::AppStatus { status, .. } => snapshot.app_status = Some(status.clone()),
        Effect::TellVersion { .. }
        | Effect::Log { .. }
        | Effect::ActionResult { .. }
        | Effect::ActionFailed { .. } => {}
    }
}

fn relation_mut(snapshot: &mut Snapshot, id: u32) -> &mut Relation {
    let relations = &mut snapshot.relations;
    [
        &mut relations.stores.main,
        &mut relations.stores.visibility,
        &mut relations.admin,
        &mut relations.ingress,
    ]
    .into_iter()
    .flatten()
    .find(|relation| relation.id == id)
    .expect("plans name relations that exist")
}

fn merge(bag: &mut Databag, entries: &BTreeMap<String, Option<Secret<String>>>) {
    for (key, value) in entries {
        match value {
            Some(value) => _ = bag.insert(key.clone(), value.clone()),
            None => _ = bag.remove(key),
        }
    }
}
