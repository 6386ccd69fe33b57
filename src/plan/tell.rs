//! What Juju is told: ports, databags, memory, version and statuses, wherever they differ from what it
//! knows.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Config;
use crate::effect::{Effect, Leadership};
use crate::juju::LogLevel;
use crate::plan::wanted::{View, roles, server_version, wanted_name, workload_version};
use crate::relations::{Databag, Relation, State, admin, database, difference, ingress};
use crate::secret::Secret;
use crate::server::{PerStore, Role, Store};
use crate::snapshot::{Memory, Probe, Snapshot};
use crate::status::{Problem, Status};

/// The ports of the configured roles are open, the other ones of ours closed. Bad options, or a version
/// not known yet, close nothing.
pub(super) fn ports(snapshot: &Snapshot) -> Vec<Effect> {
    let Ok(config) = &snapshot.config else {
        return Vec::new();
    };
    let version = server_version(snapshot);
    let of = |role: &Role| [role.grpc_port(), role.membership_port()];
    let want: BTreeSet<u16> = roles(config, version).iter().flat_map(of).collect();
    let ours: BTreeSet<u16> = Role::ALL
        .iter()
        .filter(|role| version.is_some() || **role != Role::InternalFrontend)
        .flat_map(of)
        .collect();
    let open: BTreeSet<u16> = want.difference(&snapshot.open_ports).copied().collect();
    let close: BTreeSet<u16> = snapshot
        .open_ports
        .intersection(&ours)
        .copied()
        .filter(|port| !want.contains(port))
        .collect();
    let open = (!open.is_empty()).then_some(Effect::OpenPorts(open));
    let close = (!close.is_empty()).then_some(Effect::ClosePorts(close));
    open.into_iter().chain(close).collect()
}

/// What we say on each relation, where it differs from what we have said.
pub(super) fn publish(snapshot: &Snapshot, view: &View) -> Vec<Effect> {
    let Ok(config) = &snapshot.config else {
        return Vec::new();
    };
    let leadership = Leadership::of(snapshot);
    let mut effects = Vec::new();
    for store in Store::ALL {
        if let (Some(leadership), Some(relation)) =
            (leadership, snapshot.relations.stores.get(store))
        {
            let request = database::publish(&wanted_name(snapshot, config, store));
            let app = difference(said(relation), &request, &database::OWNED_KEYS);
            effects.extend(publish_app(leadership, relation.id, app));
            let unit = difference(&relation.own_unit_bag, &request, &database::OWNED_KEYS);
            effects.extend(publish_unit(relation.id, unit));
        }
    }
    if let (Some(leadership), Some(relation), Some(connections)) =
        (leadership, &snapshot.relations.admin, view.connections())
    {
        // while a connection is missing, the last ones stay: no revision of the admin application
        // expects the key to go, and the database's role does not outlive its relation
        let wanted = admin::publish(&connections);
        let app = difference(said(relation), &wanted, &admin::OWNED_KEYS);
        effects.extend(publish_app(leadership, relation.id, app));
    }
    effects.extend(publish_ingress(snapshot, config, leadership));
    effects
}

pub(super) fn publish_ingress(
    snapshot: &Snapshot,
    config: &Config,
    leadership: Option<Leadership>,
) -> Vec<Effect> {
    let Some(relation) = &snapshot.relations.ingress else {
        return Vec::new();
    };
    let wanted = if config.services.contains(&Role::Frontend) {
        ingress::publish(
            config.ingress_protocol,
            &snapshot.hook.unit,
            &snapshot.hook.model,
            config.external_hostname.as_deref(),
            snapshot.bind_address,
        )
    } else {
        ingress::Published {
            app: Databag::new(),
            unit: Databag::new(),
        }
    };
    let mut effects = Vec::new();
    if let Some(leadership) = leadership {
        let app = difference(said(relation), &wanted.app, &ingress::OWNED_KEYS);
        effects.extend(publish_app(leadership, relation.id, app));
    }
    let unit = difference(&relation.own_unit_bag, &wanted.unit, &ingress::OWNED_KEYS);
    effects.extend(publish_unit(relation.id, unit));
    effects
}

/// What the application has said; nothing, where this unit may not know.
pub(super) fn said(relation: &Relation) -> &Databag {
    static NOTHING: Databag = Databag::new();
    relation.own_app_bag.as_ref().unwrap_or(&NOTHING)
}

pub(super) fn publish_app(
    leadership: Leadership,
    relation: u32,
    entries: BTreeMap<String, Option<Secret<String>>>,
) -> Option<Effect> {
    (!entries.is_empty()).then_some(Effect::PublishApp {
        leadership,
        relation,
        entries,
    })
}

pub(super) fn publish_unit(
    relation: u32,
    entries: BTreeMap<String, Option<Secret<String>>>,
) -> Option<Effect> {
    (!entries.is_empty()).then_some(Effect::PublishUnit { relation, entries })
}

/// What later hooks have to know.
pub(super) fn remember(snapshot: &Snapshot, view: &View) -> Option<Effect> {
    let mut memory = snapshot.memory.clone();
    if let Some(databases) = &view.databases {
        let accepted = |store: Store| match databases.get(store) {
            State::Ready(database) => Some(database.identity()),
            State::Absent => None,
            State::Waiting(_) | State::Invalid(_) => snapshot.memory.accepted.get(store).clone(),
        };
        memory.accepted = PerStore {
            main: accepted(Store::Main),
            visibility: accepted(Store::Visibility),
        };
    }
    if let Some(workload) = snapshot.workload.known()
        && let Probe::Known(version) = workload.version
    {
        memory.version = Some(Memory::version_note(&workload.boot_id, version));
    }
    if let (Some(_), Some(version)) = (Leadership::of(snapshot), workload_version(snapshot)) {
        memory.told_version = Some(version.to_string());
    }
    let before = snapshot.memory.to_state();
    let entries: BTreeMap<String, Option<String>> = memory
        .to_state()
        .into_iter()
        .filter(|(key, value)| before.get(key) != Some(value))
        .collect();
    (!entries.is_empty()).then_some(Effect::Remember { entries })
}

pub(super) fn tell_version(snapshot: &Snapshot) -> Option<Effect> {
    let leadership = Leadership::of(snapshot)?;
    let version = workload_version(snapshot)?.to_string();
    (snapshot.memory.told_version.as_ref() != Some(&version)).then_some(Effect::TellVersion {
        leadership,
        version,
    })
}

/// The statuses, where they differ from what is shown; all problems go to the log when the status changes.
pub(super) fn show(snapshot: &Snapshot, status: &Status, problems: &[Problem]) -> Vec<Effect> {
    let mut effects = Vec::new();
    if snapshot.status.as_ref() != Some(status) {
        effects.extend(problems.iter().map(|problem| Effect::Log {
            level: LogLevel::Warning,
            text: problem.to_string(),
        }));
        effects.push(Effect::UnitStatus(status.clone()));
    }
    if let Some(leadership) = Leadership::of(snapshot)
        && snapshot.app_status.as_ref() != Some(status)
    {
        effects.push(Effect::AppStatus {
            leadership,
            status: status.clone(),
        });
    }
    effects
}
