//! A Juju Kubernetes charm that runs Temporal Server on PostgreSQL.
//!
//! ```text
//! JUJU_* → hook → observe → Snapshot → plan → Plan { status, effects } → apply → exit code
//! ```
//!
//! `plan` is the state machine: it computes, and touches nothing. `observe` and `apply` touch the
//! world, and decide nothing.

pub mod actions;
pub mod apply;
pub mod config;
pub mod effect;
pub mod hook;
pub mod juju;
pub mod observe;
pub mod pebble;
pub mod plan;
pub mod postgres;
pub mod relations;
pub mod secret;
pub mod server;
pub mod snapshot;
#[cfg(feature = "stack")]
pub mod stack;
pub mod status;
pub mod temporal;

use std::time::Duration;

use effect::Effect;
use snapshot::{Attempt, Snapshot};

/// How long a hook waits for its turn to restart a server. After that the next hook tries again.
const TURN_LIMIT: Duration = Duration::from_mins(1);

/// One hook, from facts to effects. The container is changed first, and looked at again, so that what
/// Juju is told is what came of it.
pub async fn dispatch(hook: hook::Hook) -> Result<(), juju::Error> {
    let mut snapshot = observe::observe(hook).await?;
    let mut plan = plan::plan(&snapshot);
    show(&plan);
    if plan.workload().next().is_some() {
        change(&plan, &mut snapshot).await?;
        plan = plan::plan(&snapshot);
        show(&plan);
    }
    apply::model(plan.model()).await
}

/// Changes the container and looks at it again.
async fn change(plan: &plan::Plan, snapshot: &mut Snapshot) -> Result<(), juju::Error> {
    let turn = match plan::wants_turn(snapshot, plan) {
        Some(database) => match postgres::turn(&database, TURN_LIMIT).await {
            Ok(turn) => Some(turn),
            Err(why) => {
                // a rotated password waits for nobody: the server reads the pass file by itself
                let pass_file = |effect: &&Effect| matches!(effect, Effect::Write { path, .. } if *path == server::pgpass::PATH);
                apply::workload(plan.workload().filter(pass_file), snapshot).await?;
                if snapshot.attempt == Attempt::Done {
                    snapshot.attempt = Attempt::Postponed(why);
                }
                return Ok(());
            }
        },
        None => None,
    };
    let starts = |effect: &Effect| matches!(effect, Effect::Replan | Effect::Restart);
    let started = plan.workload().any(starts);
    apply::workload(plan.workload(), snapshot).await?;
    observe::again(snapshot, started).await;
    drop(turn);
    Ok(())
}

/// Juju writes standard output to the log at level DEBUG, for free.
fn show(plan: &plan::Plan) {
    if !plan.effects.is_empty() {
        println!("{plan}");
    }
}

/// An error with all its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
