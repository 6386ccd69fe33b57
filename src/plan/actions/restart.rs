//! `restart`: restarts the server of this unit, and answers whether it serves again.

use std::collections::BTreeMap;

use super::super::container::{needs_start, restart};
use super::super::effects::{Note, Plan};
use super::super::gates::{held, must_stop};
use super::super::problems::problems;
use super::super::{tell, words};
use crate::facts::{Attempt, Facts, Server};
use crate::juju::{Level, Status};
use crate::snapshot::Workload;

/// First the restart; once it was tried, the answer.
pub(super) fn plan(facts: &Facts) -> Plan {
    match &facts.attempt {
        Attempt::None => match may_restart(facts) {
            Ok((workload, server)) => restart(facts, workload, server),
            Err(status) => refused(facts, &status.message),
        },
        Attempt::Done | Attempt::Exited(_) | Attempt::Postponed(_) | Attempt::Failed(_) => {
            answer(facts)
        }
    }
}

fn answer(facts: &Facts) -> Plan {
    if let Attempt::Failed(failure) = &facts.attempt {
        return refused(
            facts,
            &format!("could not {}: {}", failure.attempt, failure.why),
        );
    }
    let (status, mut notes) = tell::conclude(facts);
    let said = if status.level == Level::Active {
        let words = "temporal was restarted and serves";
        Note::ActionResult {
            results: BTreeMap::from([("result".to_owned(), words.to_owned())]),
        }
    } else {
        let why = &status.message;
        Note::ActionFailed {
            message: format!("temporal was restarted, but does not serve: {why}"),
        }
    };
    notes.push(said);
    Plan::tell(notes)
}

/// The container, and the server that may be started there now; or why not.
fn may_restart(facts: &Facts) -> Result<(&Workload, &Server), Status> {
    let refused = || words::of_problems(&problems(facts), None);
    let workload = facts.workload.known().ok_or_else(refused)?;
    let server = facts.server.as_ref().ok_or_else(refused)?;
    if must_stop(facts, workload) {
        return Err(refused());
    }
    if needs_start(workload, server) {
        let held = held(facts, server);
        if !held.is_empty() {
            return Err(words::of_problems(&held, None));
        }
    }
    Ok((workload, server))
}

/// The answer, and the status that goes with it: what was seen is shown, as in any hook.
fn refused(facts: &Facts, why: &str) -> Plan {
    let (_, mut notes) = tell::conclude(facts);
    notes.push(Note::ActionFailed {
        message: format!("not restarted: {why}"),
    });
    Plan::tell(notes)
}
