//! `restart`: restarts the server of this unit, and answers whether it serves again.

use std::collections::BTreeMap;

use crate::effect::Effect;
use crate::plan;
use crate::snapshot::{Attempt, Snapshot};
use crate::status::Level;

/// The action's name in `actions.yaml`.
pub const NAME: &str = "restart";

/// First the restart; once it was tried, the answer.
pub fn plan(snapshot: &Snapshot) -> Vec<Effect> {
    match &snapshot.attempt {
        Attempt::None => match (plan::may_restart(snapshot), snapshot.workload.known()) {
            (Ok(server), Some(workload)) => plan::restart(workload, &server),
            (Err(status), _) => refused(snapshot, &status.message),
            (Ok(_), None) => refused(snapshot, "the container does not answer"),
        },
        Attempt::Done | Attempt::Exited(_) | Attempt::Postponed(_) | Attempt::Failed(_) => {
            let (status, mut effects) = plan::conclude(snapshot);
            effects.push(if status.level == Level::Active {
                Effect::ActionResult {
                    results: BTreeMap::from([(
                        "result".to_owned(),
                        "temporal was restarted and serves".to_owned(),
                    )]),
                }
            } else {
                failed(&format!(
                    "temporal was restarted, but does not serve: {}",
                    status.message
                ))
            });
            effects
        }
    }
}

/// The answer, and the status that goes with it: what was seen is shown, as in any hook.
fn refused(snapshot: &Snapshot, why: &str) -> Vec<Effect> {
    let (_, mut effects) = plan::conclude(snapshot);
    effects.push(failed(&format!("not restarted: {why}")));
    effects
}

fn failed(message: &str) -> Effect {
    Effect::ActionFailed {
        message: message.to_owned(),
    }
}
