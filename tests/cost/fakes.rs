//! The fast stage with a metered charm.

use std::path::Path;
use std::time::Duration;

use rehearsal::juju::event::Event;
use rehearsal::juju::record::HookRun;
use rehearsal::meter;

use crate::figures::Sample;
use crate::scenarios::stage::{Stage as _, UNIT};
use crate::support::stage::FastStage;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_mins(20);

/// An empty stage, whose charm is `program`.
pub(crate) fn stage(program: &Path) -> FastStage {
    let this = std::env::current_exe().expect("this program");
    let mut stage = FastStage::with_tools(&this);
    let program = [this.into(), meter::OPTION.into(), program.into()];
    stage.cloud.set_program(program.to_vec());
    // the same order of hooks in every run
    stage.juju().seed(0);
    stage.juju().hook_limit(LIMIT);
    stage
}

/// Runs all hooks that are due.
pub(crate) fn settle(stage: &mut FastStage) -> Vec<HookRun> {
    let runs = stage.juju().settle(LIMIT);
    runs.unwrap_or_else(|error| panic!("{error}"))
}

/// The median of a hook that is run again and again.
pub(crate) fn repeated(stage: &mut FastStage, event: &Event, times: usize) -> Sample {
    let samples: Vec<Sample> = (0..times)
        .map(|_| {
            let run = stage.juju().repeat(UNIT, event);
            Sample::of(&run.unwrap_or_else(|error| panic!("{error}")))
        })
        .collect();
    Sample::median(&samples)
}
