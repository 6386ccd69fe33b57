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
pub mod status;
pub mod temporal;

use effect::Effect;

/// One hook, from facts to effects. The container is changed first, and looked at again, so that what
/// Juju is told is what came of it.
pub async fn dispatch(hook: hook::Hook) -> Result<(), juju::Error> {
    let mut snapshot = observe::observe(hook).await?;
    let mut plan = plan::plan(&snapshot);
    show(&plan);
    if plan.workload().next().is_some() {
        let starts = |effect| matches!(effect, &Effect::Replan | &Effect::Restart);
        let started = plan.workload().any(starts);
        apply::workload(plan.workload(), &mut snapshot).await?;
        observe::again(&mut snapshot, started).await;
        plan = plan::plan(&snapshot);
        show(&plan);
    }
    apply::model(plan.model()).await
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
