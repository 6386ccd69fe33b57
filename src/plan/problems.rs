//! Everything that keeps a unit from being active, as far as this hook can know. The words are in
//! `status`.

use crate::plan::held;
use crate::plan::wanted::{View, is_up, needs_start};
use crate::relations::{State, ingress};
use crate::server::{self, Role, Store};
use crate::snapshot::{Attempt, Probe, Snapshot, Workload};
use crate::status::Problem;

/// Everything that keeps this unit from being active.
pub(super) fn problems(snapshot: &Snapshot, view: &View) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Err(bad) = &snapshot.config {
        problems.extend(bad.iter().cloned().map(Problem::Option));
    }
    problems.extend(store_problems(snapshot, view));
    problems.extend(ingress_problems(snapshot));
    match &snapshot.attempt {
        Attempt::Failed(failure) => problems.push(Problem::Failed(failure.clone())),
        Attempt::Postponed(why) => problems.push(Problem::Turn(why.clone())),
        Attempt::None | Attempt::Done | Attempt::Exited(_) => {}
    }
    problems.extend(server_problems(snapshot, view));
    problems
}

pub(super) fn store_problems(snapshot: &Snapshot, view: &View) -> Vec<Problem> {
    let mut problems = Vec::new();
    for store in Store::ALL {
        if snapshot.relations.stores.get(store).is_none() {
            let app = snapshot.hook.unit.app.clone();
            problems.push(Problem::StoreAbsent { store, app });
        }
        match view
            .databases
            .as_ref()
            .map(|databases| databases.get(store))
        {
            Some(State::Invalid(reason)) => {
                problems.push(Problem::StoreInvalid {
                    store,
                    reason: reason.clone(),
                });
            }
            Some(State::Waiting(missing)) => {
                problems.push(Problem::StoreWaiting {
                    store,
                    missing: missing.clone(),
                });
            }
            Some(State::Absent | State::Ready(_)) | None => {}
        }
    }
    problems
}

pub(super) fn ingress_problems(snapshot: &Snapshot) -> Option<Problem> {
    let config = snapshot.config.as_ref().ok()?;
    let relation = snapshot.relations.ingress.as_ref()?;
    if !config.services.contains(&Role::Frontend) {
        return Some(Problem::IngressWithoutFrontend {
            app: snapshot.hook.unit.app.clone(),
            ingress: relation.remote_app.clone(),
        });
    }
    match ingress::parse(config.ingress_protocol, Some(relation)) {
        State::Invalid(reason) => Some(Problem::IngressInvalid(reason)),
        // an ingress that is not ready yet takes nothing from those who come from inside
        State::Absent | State::Waiting(_) | State::Ready(_) => None,
    }
}

/// Problems of the container, the gates and the health, as far as they can be known.
pub(super) fn server_problems(snapshot: &Snapshot, view: &View) -> Vec<Problem> {
    let workload = match &snapshot.workload {
        Probe::Known(workload) => workload,
        Probe::Unreachable(why) => return vec![Problem::Container(why.clone())],
        Probe::NotAsked => return vec![Problem::Container("it was not looked at".to_owned())],
    };
    let mut problems = Vec::new();
    match &workload.version {
        Probe::Known(Err(why)) => problems.push(Problem::VersionUnknown(why.clone())),
        Probe::Unreachable(why) => problems.push(Problem::Container(why.clone())),
        Probe::Known(Ok(_)) | Probe::NotAsked => {}
    }
    if snapshot.bind_address.is_none() {
        problems.push(Problem::Address);
    }
    match &view.server {
        Some(server) if needs_start(workload, server) => {
            let held = held(snapshot, server);
            let started = matches!(snapshot.attempt, Attempt::Done | Attempt::Exited(_));
            if held.is_empty() && started {
                problems.push(exits(snapshot, workload));
            }
            problems.extend(held);
        }
        Some(_) => problems.extend(health_problems(snapshot)),
        // while something is missing to know the server that should run, one that runs is still told of
        None if is_up(workload) && snapshot.config.is_ok() => {
            problems.extend(health_problems(snapshot));
        }
        None => {}
    }
    problems
}

pub(super) fn exits(snapshot: &Snapshot, workload: &Workload) -> Problem {
    let unit = &snapshot.hook.unit;
    Problem::Exits {
        last_words: last_words(snapshot, workload),
        log_command: format!(
            "kubectl -n {} logs {}-{} -c {}",
            snapshot.hook.model,
            unit.app,
            unit.number,
            server::CONTAINER
        ),
    }
}

fn last_words(snapshot: &Snapshot, workload: &Workload) -> Option<String> {
    match &snapshot.attempt {
        Attempt::Exited(Some(words)) => Some(words.clone()),
        Attempt::Exited(None)
        | Attempt::None
        | Attempt::Done
        | Attempt::Postponed(_)
        | Attempt::Failed(_) => workload.service.as_ref()?.last_words.clone(),
    }
}

/// Law S12: active means that every role serves and the store can be read, seen in this hook.
pub(super) fn health_problems(snapshot: &Snapshot) -> Vec<Problem> {
    let serving = match &snapshot.serving {
        Probe::Known(serving) => serving,
        Probe::Unreachable(why) => return vec![Problem::Unobserved(why.clone())],
        Probe::NotAsked => {
            return vec![Problem::Unobserved(
                "it was not looked at in this hook".to_owned(),
            )];
        }
    };
    let roles = serving
        .roles
        .iter()
        .filter_map(|(role, answer)| match answer {
            Ok(()) => None,
            Err(why) => Some(Problem::NotServing {
                role: *role,
                why: why.clone(),
            }),
        });
    let store = match &serving.store {
        Some(Err(why)) => Some(Problem::StoreNotServing(why.clone())),
        Some(Ok(())) | None => None,
    };
    roles.chain(store).collect()
}
