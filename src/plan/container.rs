//! What has to change in the workload container, and in which plan.

use std::collections::{BTreeMap, BTreeSet};

use super::effects::{Change, OtherUnits, Plan, Terms, Turn};
use super::gates::{held, must_stop};
use super::serving::{histories, serves_as};
use super::words;
use crate::container::{FILE_MODE, READ_AGAIN, check, config, layer, read_again};
use crate::facts::{Attempt, Facts, Server};
use crate::juju::Event;
use crate::relations::PEER;
use crate::secret::Secret;
use crate::snapshot::{Service, Workload};
use crate::temporal::{Role, Store};

/// What to do in the container, if anything. Once per hook: after an attempt only the health counts.
pub(super) fn container(facts: &Facts) -> Option<Plan> {
    let workload = facts.workload.known()?;
    if facts.attempt != Attempt::None {
        return None;
    }
    let plan = if must_stop(facts, workload) {
        stop(facts, workload)
    } else {
        match &facts.server {
            Some(server) if !needs_start(workload, server) => {
                let mut changes = write(workload, &server.files);
                changes.extend(forget(workload, &server.files));
                let summary = match changes.as_slice() {
                    [] => words::WATCHED,
                    [_, ..] => words::REWRITTEN,
                };
                changes.extend(watch(workload, server));
                Plan::change(summary, None, changes)
            }
            Some(server) if held(facts, server).is_empty() => start(facts, workload, server),
            Some(_) | None => Plan::change(words::REWRITTEN, None, rotate(facts, workload)),
        }
    };
    let plan = alone(workload, plan);
    (!plan.changes.is_empty()).then_some(plan)
}

/// The same, after which nothing of the image's own runs (law S16).
fn alone(workload: &Workload, plan: Plan) -> Plan {
    if workload.others.is_empty() {
        return plan;
    }
    let others = words::stopped_others(&workload.others);
    let summary = match plan.changes.as_slice() {
        [] => others,
        [_, ..] => format!("{others}; {}", plan.summary),
    };
    let mut changes = vec![Change::StopOthers(workload.others.clone())];
    changes.extend(plan.changes);
    Plan {
        summary,
        changes,
        ..plan
    }
}

/// What a unit that is being removed does in its container: nothing but what law S2 asks for.
pub(super) fn leave(facts: &Facts) -> Option<Plan> {
    let workload = facts.workload.known()?;
    let plan = stop(facts, workload);
    let stops = facts.attempt == Attempt::None && must_stop(facts, workload);
    (stops && !plan.changes.is_empty()).then_some(plan)
}

/// Must the server be started or restarted to become what it should be? With another configuration file than it
/// should have, too: Pebble may have started it again since that was written.
pub(super) fn needs_start(workload: &Workload, server: &Server) -> bool {
    let wants = server.files.get(config::PATH);
    let has = workload.files.get(config::PATH);
    workload.service.as_ref().is_none_or(|service| {
        !service.is_active()
            || !layer::same(&server.service, &service.config)
            || !wants.is_some_and(|wants| has.is_some_and(|has| has.holds(wants)))
    })
}

/// The restart that a person asks for: of a server that runs as it should, too.
pub(super) fn restart(facts: &Facts, workload: &Workload, server: &Server) -> Plan {
    let plan = if needs_start(workload, server) {
        start(facts, workload, server)
    } else {
        let summary = words::restarted(server.image.version, &["it was asked for"]);
        let changes = changes(workload, server);
        Plan::change(summary, Some(words::restarting()), changes)
    };
    alone(workload, plan)
}

/// A start, or a restart with what differs.
fn start(facts: &Facts, workload: &Workload, server: &Server) -> Plan {
    let service = workload.service.as_ref();
    let summary = match service.filter(|service| service.is_active()) {
        Some(service) => words::restarted(server.image.version, &why(workload, service, server)),
        None => words::started(server.image.version),
    };
    let changes = changes(workload, server);
    Plan {
        turn: turn(facts, workload, server),
        ..Plan::change(
            summary,
            Some(words::starting(server.image.version)),
            changes,
        )
    }
}

/// Whatever differs of the files, and of the layer while the server is stopped; then its start.
fn changes(workload: &Workload, server: &Server) -> Vec<Change> {
    let mut changes = write(workload, &server.files);
    changes.extend(forget(workload, &server.files));
    changes.extend(watch(workload, server));
    if workload.is_up() {
        changes.push(Change::Stop);
    }
    let same = |has: &Service| layer::same(&server.service, &has.config);
    if !workload.service.as_ref().is_some_and(same) {
        changes.push(Change::Layer(server.service.clone()));
    }
    changes.push(Change::Start);
    changes
}

/// The check, if it differs. It may change at any time: nothing is restarted for it.
fn watch(workload: &Workload, server: &Server) -> Option<Change> {
    let has = workload.check.as_ref();
    let same = has.is_some_and(|has| check::same(&server.check, has));
    (!same).then(|| Change::Watch(server.check.clone()))
}

/// The turn to restart (law S6), if the server runs. A first start needs none, nor does a person who asks for a
/// restart of this very unit.
fn turn(facts: &Facts, workload: &Workload, server: &Server) -> Option<Turn> {
    let service = workload.service.as_ref().filter(|it| it.is_active())?;
    if matches!(facts.hook.event, Event::Action { .. }) {
        return None;
    }
    let moved = layer::stores(&service.config) != layer::stores(&server.service);
    let mut running = layer::roles(&service.config);
    if moved {
        // its heartbeats are in the store that it leaves
        running.remove(&Role::Worker);
    }
    let others = serves_as(facts, &running).then(|| others(facts, server, service));
    let terms = match others {
        others if moved => Terms::OrWithout(others),
        Some(others) => Terms::OthersServe(others),
        None => Terms::Any,
    };
    Some(Turn {
        database: server.databases.main.clone(),
        terms,
    })
}

/// Whom to look at before this server goes.
fn others(facts: &Facts, server: &Server, service: &Service) -> OtherUnits {
    let peers = facts.relations.get(PEER);
    let roles: BTreeSet<_> = [&server.service, &service.config].map(layer::roles).into();
    let moved = layer::stores(&service.config) != layer::stores(&server.service);
    let heartbeats = !moved
        && !server.image.version.has_worker_health()
        && roles.iter().flatten().all(|role| *role == Role::Worker);
    OtherUnits {
        relation: peers.and_then(|all| Some(all.first()?.id)),
        roles,
        histories: histories(facts),
        shards: server.shards,
        version: server.image.version,
        heartbeats: heartbeats.then(|| server.databases.main.clone()),
    }
}

/// Why a server that runs is not what it should be.
fn why(workload: &Workload, service: &Service, server: &Server) -> Vec<&'static str> {
    let has = &service.config;
    let mut reasons = Vec::new();
    if layer::stores(has) != layer::stores(&server.service) {
        reasons.push("another database");
    }
    let other_services = has.command != server.service.command;
    if other_services {
        reasons.push("other services");
    }
    let text = |path| Some(server.files.get(path)?.expose().as_str());
    let before = workload.files.get(config::PATH);
    if let (Some(before), Some(after)) = (before, text(config::PATH)) {
        let mut differences = config::differences(before.content.expose(), after);
        differences.retain(|words| !(other_services && *words == config::OTHER_POOLS));
        reasons.extend(differences);
    }
    if reasons.is_empty() {
        reasons.push("its definition changed");
    }
    reasons
}

/// The server goes, and with it the passwords and whatever else came from the databases.
fn stop(facts: &Facts, workload: &Workload) -> Plan {
    let mut changes = Vec::new();
    if workload.is_up() {
        changes.push(Change::Stop);
    }
    changes.extend(forget(workload, &BTreeMap::new()));
    let removed = Store::ALL
        .into_iter()
        .filter(|store| facts.heard.offers.get(*store).is_none());
    Plan::change(words::stopped(removed), None, changes)
}

/// A rotated password or another authority reaches a server that runs, whatever else is wrong: the server needs it for
/// its next connection.
fn rotate(facts: &Facts, workload: &Workload) -> Vec<Change> {
    let Some(databases) = facts.running() else {
        return Vec::new();
    };
    write(workload, &read_again(&databases.as_ref()))
}

/// Those of the files which came from databases that are there, and not among those that should be.
fn forget(
    workload: &Workload,
    files: &BTreeMap<&'static str, Secret<String>>,
) -> impl Iterator<Item = Change> {
    let gone = |path: &&str| workload.files.contains_key(*path) && !files.contains_key(path);
    let gone = READ_AGAIN.into_iter().filter(gone);
    gone.map(|path| Change::Delete { path })
}

/// Those of the files that differ from what is there, in content or in mode.
fn write(workload: &Workload, files: &BTreeMap<&'static str, Secret<String>>) -> Vec<Change> {
    let is_there = |path: &str, content: &Secret<String>| {
        let has = workload.files.get(path);
        has.is_some_and(|has| has.holds(content) && has.mode == FILE_MODE)
    };
    files
        .iter()
        .filter(|(path, content)| !is_there(path, content))
        .map(|(path, content)| Change::Write {
            path,
            content: content.clone(),
        })
        .collect()
}
