//! `dispatch`: the one binary that Juju starts for every hook and action.

use std::process::ExitCode;

use temporal_k8s::dispatch::dispatch;
use temporal_k8s::error::chain;
use temporal_k8s::juju::{Event, Hook, Log};

/// Exit code 1 makes Juju run the same hook again: only for what a later run may mend.
fn main() -> ExitCode {
    let outcome = Hook::from_environment()
        .map_err(|error| chain(&error))
        .and_then(|hook| {
            if hook.event.is_idle() {
                return Ok(());
            }
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| chain(&error))?;
            let log = Log::start(matches!(hook.event, Event::Action { .. }));
            let outcome = runtime.block_on(dispatch(hook, &log));
            // a name's lookup that nobody answers has been given up, and is not waited for
            runtime.shutdown_background();
            outcome.map_err(|error| chain(&error))
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Juju writes standard error to the log, as a warning of this unit
            eprintln!("temporal-k8s: {message}");
            ExitCode::FAILURE
        }
    }
}
