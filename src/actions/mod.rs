//! What a person can ask a unit to do with `juju run`: one file per action.

use crate::effect::Effect;
use crate::snapshot::Snapshot;

pub mod restart;

/// Decides what an action does. An unknown name is answered, not ignored.
pub fn plan(name: &str, snapshot: &Snapshot) -> Vec<Effect> {
    match name {
        restart::NAME => restart::plan(snapshot),
        other => vec![Effect::ActionFailed {
            message: format!(
                "unknown action `{other}`: see `juju actions {}`",
                snapshot.hook.unit.app
            ),
        }],
    }
}
