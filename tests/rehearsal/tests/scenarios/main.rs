//! The scenarios of `tests/scenarios` on the real parts, one after another, each on a stage of its own. Needs
//! the Python environment of `tox -e integration`. Arguments choose scenarios by parts of their names.

#[cfg(test)]
mod real;
#[cfg(test)]
#[path = "../../../scenarios/mod.rs"]
mod scenarios;

use std::process::ExitCode;

use rehearsal::stage::programme::{Scenario, play_all};
use scenarios::for_each_scenario;

macro_rules! list {
    ($($module:ident { $($name:ident)* })*) => {
        [$($(Scenario {
            name: stringify!($name),
            play: |setup| real::play(setup, scenarios::$module::$name),
        },)*)*]
    };
}

fn main() -> ExitCode {
    play_all(
        &for_each_scenario!(list),
        &[real::NEWEST, real::OLDER, "1.17.4"],
        &[real::PEBBLE],
    )
}
