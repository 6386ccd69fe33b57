//! What has to change in the workload container, and in which plan.

use std::collections::BTreeMap;

use super::effects::{Change, Plan};
use super::gates::{held, must_stop};
use super::words;
use crate::container::{config, dynamic, layer, pgpass};
use crate::facts::{Attempt, Facts, Server};
use crate::juju::Event;
use crate::secret::Secret;
use crate::snapshot::{Service, Workload};
use crate::temporal::{Database, Store};

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
                let paths = [pgpass::PATH, dynamic::PATH];
                let changes = write(workload, &server.files, &paths);
                Plan::change(words::REWRITTEN, None, changes)
            }
            Some(server) if held(facts, server).is_empty() => start(facts, workload, server),
            Some(_) | None => Plan::change(words::REWRITTEN, None, rotate(facts, workload)),
        }
    };
    (!plan.changes.is_empty()).then_some(plan)
}

/// What a unit that is being removed does in its container: nothing but what law S2 asks for.
pub(super) fn leave(facts: &Facts) -> Option<Plan> {
    let workload = facts.workload.known()?;
    let plan = stop(facts, workload);
    let stops = facts.attempt == Attempt::None && must_stop(facts, workload);
    (stops && !plan.changes.is_empty()).then_some(plan)
}

/// Must the server be started or restarted to become what it should be?
pub(super) fn needs_start(workload: &Workload, server: &Server) -> bool {
    workload.service.as_ref().is_none_or(|service| {
        !service.is_active() || !layer::same(&server.service, &service.config)
    })
}

/// A restart of a server that runs as it should.
pub(super) fn restart(workload: &Workload, server: &Server) -> Plan {
    let paths = [dynamic::PATH, pgpass::PATH];
    let mut changes = write(workload, &server.files, &paths);
    changes.push(Change::Restart);
    let summary = words::restarted(server.version, &["it was asked for"]);
    Plan::change(summary, Some(words::restarting()), changes)
}

/// Files, layer, replan: whatever of it differs.
pub(super) fn start(facts: &Facts, workload: &Workload, server: &Server) -> Plan {
    let paths = [config::PATH, dynamic::PATH, pgpass::PATH];
    let mut changes = write(workload, &server.files, &paths);
    let same = |has: &_| layer::same(&server.service, has);
    let service = workload.service.as_ref();
    if !service.is_some_and(|service| same(&service.config)) {
        changes.push(Change::Layer(server.service.clone()));
    }
    changes.push(Change::Replan);
    let summary = match service.filter(|service| service.is_active()) {
        Some(service) => words::restarted(server.version, &why(workload, service, server)),
        None => words::started(server.version),
    };
    Plan {
        turn: turn(facts, workload),
        ..Plan::change(summary, Some(words::starting(server.version)), changes)
    }
}

/// The database that hands out the turn to restart (law S6), if the server runs. A first start needs no turn, nor
/// does leaving a store that is another one now, nor a person who asks for a restart of this very unit.
fn turn(facts: &Facts, workload: &Workload) -> Option<Database> {
    let connections = facts.heard.connections()?;
    let service = workload.service.as_ref()?;
    let same_stores =
        layer::stores(&service.config).is_some_and(|has| has == layer::identity(&connections));
    let asked_for = matches!(facts.hook.event, Event::Action { .. });
    (service.is_active() && same_stores && !asked_for).then(|| connections.main.clone())
}

/// Why a server that runs is not what it should be.
fn why(workload: &Workload, service: &Service, server: &Server) -> Vec<&'static str> {
    let has = &service.config;
    let mut reasons = Vec::new();
    if layer::stores(has) != layer::stores(&server.service) {
        reasons.push("another database");
    }
    if has.command != server.service.command {
        reasons.push("other services");
    }
    let text = |path| Some(server.files.get(path)?.expose().as_str());
    let before = workload.files.get(config::PATH);
    if let (Some(before), Some(after)) = (before, text(config::PATH)) {
        reasons.extend(config::differences(before.expose(), after));
    }
    if reasons.is_empty() {
        reasons.push("its definition changed");
    }
    reasons
}

/// The server goes, and the passwords with it.
fn stop(facts: &Facts, workload: &Workload) -> Plan {
    let mut changes = Vec::new();
    if workload.is_up() {
        changes.push(Change::Stop);
    }
    if workload.files.contains_key(pgpass::PATH) {
        changes.push(Change::Delete { path: pgpass::PATH });
    }
    let removed = Store::ALL
        .into_iter()
        .filter(|store| facts.heard.offers.get(*store).is_none());
    Plan::change(words::stopped(removed), None, changes)
}

/// A rotated password reaches a server that runs, whatever else is wrong: the server needs it for its next
/// connection.
fn rotate(facts: &Facts, workload: &Workload) -> Vec<Change> {
    let Some(databases) = facts.running() else {
        return Vec::new();
    };
    let pass_file = pgpass::render(&databases.as_ref());
    let files = BTreeMap::from([(pgpass::PATH, pass_file)]);
    write(workload, &files, &[pgpass::PATH])
}

/// Those of the files that differ from what is there.
fn write(
    workload: &Workload,
    files: &BTreeMap<&'static str, Secret<String>>,
    paths: &[&'static str],
) -> Vec<Change> {
    let differs = |path: &str, content: &Secret<String>| {
        workload
            .files
            .get(path)
            .is_none_or(|has| has.expose() != content.expose().as_bytes())
    };
    files
        .iter()
        .filter(|(path, content)| paths.contains(path) && differs(path, content))
        .map(|(path, content)| Change::Write {
            path,
            content: content.clone(),
        })
        .collect()
}
