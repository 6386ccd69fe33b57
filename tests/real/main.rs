//! The scenarios of `tests/scenarios` on the real parts, one after another, each on a stage of its own. Needs
//! the Python environment of `tox -e integration`.
#![cfg(test)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests touch the world"
)]

#[path = "../scenarios/mod.rs"]
mod scenarios;
mod stage;

use std::process::ExitCode;

use rehearsal::stage::Setup;
use rehearsal::stage::programme::{Outcome, Scenario, play_all};

use scenarios::for_each_scenario;
use scenarios::stage::Stage;
use stage::RealStage;

fn play(setup: &Setup, scenario: fn(&mut dyn Stage)) -> Outcome {
    scenario(&mut RealStage::new(setup)?);
    Ok(())
}

macro_rules! list {
    ($($module:ident { $($name:ident)* })*) => {
        [$($(Scenario {
            name: stringify!($name),
            play: |setup| play(setup, scenarios::$module::$name),
        }),*),*]
    };
}

fn main() -> ExitCode {
    play_all(
        &for_each_scenario!(list),
        &["1.32.2", "1.17.4"],
        &["1.19.2"],
    )
}
