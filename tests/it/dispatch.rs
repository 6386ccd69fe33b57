//! The scenarios of `tests/scenarios` on fakes, one test each.

use crate::scenarios::for_each_scenario;
use crate::scenarios::stage::Stage;
use crate::support::stage::FastStage;

fn play(scenario: fn(&mut dyn Stage)) {
    scenario(&mut FastStage::new());
}

macro_rules! tests {
    ($($module:ident { $($name:ident)* })*) => {
        $(mod $module {
            $(#[test]
            fn $name() {
                super::play(crate::scenarios::$module::$name);
            })*
        })*
    };
}

for_each_scenario!(tests);
