//! What Juju is told: ports, databags, memory, version and statuses, wherever they differ from what it
//! knows.

use std::collections::{BTreeMap, BTreeSet};

use super::effects::Note;
use super::problems::problems;
use super::serving::rests;
use super::words::{self, Problem};
use crate::facts::Facts;
use crate::juju::{Databag, Level, LogLevel, Status, digest, entries};
use crate::memory::{Memory, Told};
use crate::probe::Probe;
use crate::relations::{ENDPOINTS, Endpoint, State};
use crate::secret::Secret;
use crate::temporal::{PerStore, Role, Store};

/// Everything that this hook has to tell.
pub(super) fn all(facts: &Facts) -> Vec<Note> {
    let mut notes = ports(facts);
    let mut memory = facts.memory.clone();
    (memory.told_unit, memory.told_app) = told_before(facts);
    for endpoint in ENDPOINTS {
        notes.extend(publish(facts, endpoint, &mut memory));
    }
    notes.extend(remember(facts, memory));
    notes.extend(version(facts));
    notes.extend(conclude(facts).1);
    notes
}

/// The status that the facts of this hook amount to, and the notes that show it.
pub(super) fn conclude(facts: &Facts) -> (Status, Vec<Note>) {
    let problems = problems(facts);
    let shown = words::of_problems(&problems, rests(facts));
    let notes = status(facts, &shown, &problems);
    (shown, notes)
}

/// The ports of the configured roles are open, the other ones of ours closed. Bad options, or a version
/// not known yet, close nothing.
fn ports(facts: &Facts) -> Vec<Note> {
    let Ok(config) = &facts.config else {
        return Vec::new();
    };
    let version = facts.version();
    let of = |role: &Role| [role.grpc_port(), role.membership_port()];
    let want: BTreeSet<u16> = facts.roles(config).iter().flat_map(of).collect();
    let ours: BTreeSet<u16> = Role::ALL
        .iter()
        .filter(|role| version.is_some() || **role != Role::InternalFrontend)
        .flat_map(of)
        .collect();
    let open: BTreeSet<u16> = want.difference(&facts.open_ports).copied().collect();
    let close: BTreeSet<u16> = facts
        .open_ports
        .intersection(&ours)
        .copied()
        .filter(|port| !want.contains(port))
        .collect();
    let open = (!open.is_empty()).then_some(Note::OpenPorts(open));
    let close = (!close.is_empty()).then_some(Note::ClosePorts(close));
    open.into_iter().chain(close).collect()
}

/// What we say on the relations of an endpoint, where it differs from what we have said; `memory` knows it then.
fn publish(facts: &Facts, endpoint: &Endpoint, memory: &mut Memory) -> Vec<Note> {
    let Some(said) = (endpoint.publish)(endpoint.name, &facts.own()) else {
        return Vec::new();
    };
    let (keys, mut notes) = (endpoint.keys, Vec::new());
    for relation in facts.relations.get(endpoint.name).into_iter().flatten() {
        let id = relation.id;
        if let Some(leadership) = facts.leadership {
            let (read, told) = (&relation.own_app_bag, &mut memory.told_app);
            let entries = news(id, &said.app, keys.app, read, told);
            notes.extend(entries.map(|entries| Note::PublishApp {
                leadership,
                relation: id,
                entries,
            }));
        }
        let (read, told) = (&relation.own_unit_bag, &mut memory.told_unit);
        let entries = news(id, &said.unit, keys.unit, read, told);
        notes.extend(entries.map(|entries| Note::PublishUnit {
            relation: id,
            entries,
        }));
    }
    notes
}

/// What to write into a databag for it to say `want`, unless it does: as was read in this hook, or as was told before.
fn news(
    relation: u32,
    want: &Databag,
    ours: &[&str],
    read: &Probe<Databag>,
    told: &mut Told,
) -> Option<BTreeMap<String, Option<Secret<String>>>> {
    if ours.is_empty() || matches!(read, Probe::Unreachable(_)) {
        return None;
    }
    let wanted = digest(want);
    let before = told.insert(relation, wanted.clone());
    let says = match read.known() {
        Some(bag) => {
            let mut bag = bag.clone();
            bag.retain(|key, _| ours.contains(&key.as_str()));
            Some(digest(&bag))
        }
        None => before,
    };
    (says != Some(wanted)).then(|| entries(want, ours))
}

/// What was told on relations that still exist. Of the application's databag only a leader knows it.
fn told_before(facts: &Facts) -> (Told, Told) {
    let exists = |relation: &u32| {
        let mut all = facts.relations.values().flatten();
        all.any(|it| it.id == *relation)
    };
    let mut unit = facts.memory.told_unit.clone();
    unit.retain(|relation, _| exists(relation));
    let mut app = facts.memory.told_app.clone();
    app.retain(|relation, _| facts.leadership.is_some() && exists(relation));
    (unit, app)
}

/// What later hooks have to know, besides what was told.
fn remember(facts: &Facts, mut memory: Memory) -> Option<Note> {
    let relations = facts.relations.values().flatten();
    let named = relations.filter(|relation| !relation.remote_app.is_empty());
    memory.remotes = named.map(|it| (it.id, it.remote_app.clone())).collect();
    if let (Ok(_), Some(databases)) = (&facts.config, &facts.heard.stores) {
        let accepted = |store: Store| match databases.get(store) {
            State::Ready(database) => Some(database.identity()),
            State::Absent => None,
            State::Waiting(_) | State::Invalid(_) => facts.memory.accepted.get(store).clone(),
        };
        memory.accepted = PerStore::of(accepted);
    }
    if let Some(workload) = facts.workload.known()
        && let Probe::Known(Ok(image)) = &workload.image
    {
        memory.image = Memory::note(&workload.boot_id, image);
    }
    if let Some(note) = told_version(facts) {
        memory.told_version = Some(note);
    }
    let before = facts.memory.to_state();
    let entries: BTreeMap<String, Option<String>> = memory
        .to_state()
        .into_iter()
        .filter(|(key, value)| before.get(key) != Some(value))
        .collect();
    (!entries.is_empty()).then_some(Note::Remember { entries })
}

/// Told once in each life of the container: Juju may have forgotten it by the next one.
fn version(facts: &Facts) -> Option<Note> {
    let version = facts.workload_version()?.to_string();
    let note = told_version(facts);
    let told = note.is_some() && facts.memory.told_version == note;
    (!told).then_some(Note::TellVersion { version })
}

/// How it is noted that the version was told.
fn told_version(facts: &Facts) -> Option<String> {
    let boot_id = &facts.workload.known()?.boot_id;
    Memory::note(boot_id, facts.workload_version()?)
}

/// The statuses, where they differ from what is shown. When the status changes, all problems go to the log: as
/// warnings, if a person must act.
pub(super) fn status(facts: &Facts, status: &Status, problems: &[Problem]) -> Vec<Note> {
    let mut notes = Vec::new();
    if facts.status.as_ref() != Some(status) {
        notes.extend(problems.iter().map(|problem| Note::Log {
            level: match problem.level() {
                Level::Blocked => LogLevel::Warning,
                Level::Active | Level::Maintenance | Level::Waiting => LogLevel::Debug,
            },
            text: problem.to_string(),
        }));
        notes.push(Note::UnitStatus(status.clone()));
    }
    if let Some(leadership) = facts.leadership {
        let status = words::of_application(status);
        if facts.app_status.as_ref() != Some(&status) {
            notes.push(Note::AppStatus { leadership, status });
        }
    }
    notes
}
