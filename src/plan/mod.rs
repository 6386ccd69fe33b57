//! THE STATE MACHINE: `plan(&Facts) -> Plan`. Start reading here.
//!
//! ```text
//! options ─┐                       ┌─ gates closed ─→ leave it, or stop it (store removed or changed)
//! stores  ─┼→ Server (wanted) ─────┤
//! version ─┘   compared with the   ├─ gates open ───→ write files, stop, layer, start; look again
//!              container           └─ nothing differs → health decides the status
//! ```
//!
//! Total and deterministic: no clock, no socket, no process. It cannot fail and cannot wait; what is
//! wrong becomes a [`Problem`]. The event is one fact among others, so lost, merged or repeated hooks
//! converge, and the plan of a settled unit is empty.

mod actions;
mod container;
mod effects;
mod gates;
mod problems;
mod questions;
mod room;
mod serving;
mod story;
mod tell;
mod words;

pub use actions::ACTIONS;
pub use effects::{Change, Note, OtherUnits, Plan, Terms, Turn};
pub use questions::{Health, Questions, health, is_idle, questions};
pub use serving::{may_rest, others, rests, serves};
pub use story::story;
pub use words::{Limit, Problem, Shortage};

use crate::facts::{Attempt, Facts};
use crate::juju::Event;
use crate::snapshot::Workload;

/// Decides what this hook does.
pub fn plan(facts: &Facts) -> Plan {
    match &facts.hook.event {
        Event::Remove | Event::Other(_) => Plan::default(),
        Event::Stop => stop(facts),
        Event::Action { name } => actions::plan(name, facts),
        Event::Install => install(facts),
        Event::Start
        | Event::UpgradeCharm
        | Event::ConfigChanged
        | Event::UpdateStatus
        | Event::LeaderElected
        | Event::Relation(_)
        | Event::Workload { .. }
        | Event::Secret { .. } => {
            if facts.leaving {
                leave(facts)
            } else {
                reconcile(facts)
            }
        }
    }
}

/// Juju tells no unit of its relations before the hooks that follow, so nothing can be said of them yet.
fn install(facts: &Facts) -> Plan {
    Plan::tell(tell::status(facts, &words::installing(), &[]))
}

/// The unit is being removed: what it lacks is nobody's to mend. Its server serves until its stores go (law S2), or
/// the unit stops.
fn leave(facts: &Facts) -> Plan {
    let leaving = || Plan::tell(tell::status(facts, &words::leaving(), &[]));
    container::leave(facts).unwrap_or_else(leaving)
}

/// The unit goes away, or its pod does: let the server finish its work instead of having it killed.
fn stop(facts: &Facts) -> Plan {
    let is_up = facts.workload.known().is_some_and(Workload::is_up);
    if is_up && facts.attempt == Attempt::None {
        let announce = Some(words::stopping());
        return Plan::change(words::LEFT, announce, vec![Change::Stop]);
    }
    let notes = tell::status(facts, &words::stopping(), &[]);
    Plan::tell(notes)
}

/// First the container, then Juju: what it is told depends on what came of the changes.
fn reconcile(facts: &Facts) -> Plan {
    container::container(facts).unwrap_or_else(|| Plan::tell(tell::all(facts)))
}
