//! The scenarios of `tests/scenarios` on fakes, one test each.

use crate::scenarios::stage::Stage;
use crate::support::stage::FastStage;

fn play(scenario: fn(&mut dyn Stage)) {
    scenario(&mut FastStage::new());
}

crate::scenarios::for_each_scenario!(play);
