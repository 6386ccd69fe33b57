//! Everything that keeps a unit from being active, as far as this hook can know. The words are in `words`.

use super::container::needs_start;
use super::gates::{held, store_problems};
use super::serving::health_problems;
use super::words::Problem;
use crate::container::CONTAINER;
use crate::facts::{Attempt, Facts};
use crate::probe::Probe;
use crate::relations::ENDPOINTS;
use crate::snapshot::Workload;

/// Everything that keeps this unit from being active.
pub(super) fn problems(facts: &Facts) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Err(bad) = &facts.config {
        problems.extend(bad.iter().cloned().map(Problem::Option));
    }
    problems.extend(relation_problems(facts));
    match &facts.attempt {
        Attempt::Failed(failure) => problems.push(Problem::Failed(failure.clone())),
        Attempt::Postponed(why) => problems.push(Problem::Turn(why.clone())),
        Attempt::None | Attempt::Done | Attempt::Exited(_) => {}
    }
    problems.extend(server_problems(facts));
    problems
}

fn relation_problems(facts: &Facts) -> impl Iterator<Item = Problem> {
    let own = facts.own();
    let app = &facts.hook.unit.app;
    ENDPOINTS.iter().filter_map(move |endpoint| {
        let relations = facts.relations.get(endpoint.name);
        let relations = relations.map(Vec::as_slice).unwrap_or_default();
        let trouble = (endpoint.trouble)(endpoint.name, &own, relations)?;
        Some(Problem::Relation {
            endpoint: endpoint.name,
            app: app.clone(),
            trouble,
        })
    })
}

/// Problems of the container, the gates and the health, as far as they can be known.
fn server_problems(facts: &Facts) -> Vec<Problem> {
    let workload = match &facts.workload {
        Probe::Known(workload) => workload,
        Probe::Unreachable(why) => return vec![Problem::Container(why.clone())],
        Probe::NotAsked => return vec![Problem::Container("it was not looked at".to_owned())],
    };
    let mut problems = Vec::new();
    match &workload.image {
        Probe::Known(Err(why)) => problems.push(Problem::VersionUnknown(why.clone())),
        Probe::Unreachable(why) => problems.push(Problem::Container(why.clone())),
        Probe::Known(Ok(_)) | Probe::NotAsked => {}
    }
    if facts.bind_address.is_none() {
        problems.push(Problem::Address);
    }
    match &facts.server {
        Some(server) if needs_start(workload, server) => {
            let held = held(facts, server);
            let started = matches!(facts.attempt, Attempt::Done | Attempt::Exited(_));
            if held.is_empty() && started {
                problems.push(exits(facts, workload));
            }
            problems.extend(held);
        }
        Some(server) => {
            problems.extend(store_problems(facts, server));
            problems.extend(health_problems(facts));
        }
        // while something is missing to know the server that should run, one that runs is still told of
        None if workload.is_up() && facts.config.is_ok() => {
            problems.extend(health_problems(facts));
        }
        None => {}
    }
    problems
}

fn exits(facts: &Facts, workload: &Workload) -> Problem {
    let unit = &facts.hook.unit;
    Problem::Exits {
        last_words: last_words(facts, workload),
        log_command: format!(
            "kubectl -n {} logs {}-{} -c {}",
            facts.hook.model, unit.app, unit.number, CONTAINER
        ),
    }
}

fn last_words(facts: &Facts, workload: &Workload) -> Option<String> {
    match &facts.attempt {
        Attempt::Exited(Some(words)) => Some(words.clone()),
        Attempt::Exited(None)
        | Attempt::None
        | Attempt::Done
        | Attempt::Postponed(_)
        | Attempt::Failed(_) => workload.service.as_ref()?.last_words.clone(),
    }
}
