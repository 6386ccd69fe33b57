//! The scenarios of `tests/scenarios` on the real parts, one after another, each on a stage of its own. Needs
//! the Python environment of `tox -e integration`.
#![cfg(test)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests touch the world"
)]

mod connections;
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

/// What no fake plays.
macro_rules! only_here {
    ($($module:ident::$name:ident)*) => {
        [$(Scenario {
            name: stringify!($name),
            play: |setup| {
                $module::$name(&mut RealStage::new(setup)?);
                Ok(())
            },
        }),*]
    };
}

fn main() -> ExitCode {
    let mut scenarios = Vec::from(for_each_scenario!(list));
    scenarios.extend(only_here! {
        connections::units_that_may_want_too_many_connections_are_told_before_they_start
        connections::a_limit_that_falls_below_what_a_server_may_want_is_told
    });
    play_all(&scenarios, &["1.32.2", "1.17.4"], &["1.19.2"])
}
