//! What a person can ask a unit to do with `juju run`: one file per action.

mod restart;

use super::effects::{Note, Plan};
use crate::facts::Facts;

/// An action: its name in `actions.yaml`, and what decides it.
pub struct Action {
    /// The name.
    pub name: &'static str,
    plan: fn(&Facts) -> Plan,
}

/// Every action.
pub static ACTIONS: [Action; 1] = [Action {
    name: "restart",
    plan: restart::plan,
}];

/// Decides what an action does. An unknown name is answered, not ignored.
pub(super) fn plan(name: &str, facts: &Facts) -> Plan {
    match ACTIONS.iter().find(|action| action.name == name) {
        Some(action) => (action.plan)(facts),
        None => Plan::tell(vec![Note::ActionFailed {
            message: format!(
                "unknown action `{name}`: see `juju actions {}`",
                facts.hook.unit.app
            ),
        }]),
    }
}
