//! `dispatch`: the one binary that Juju starts for every hook and action.

use std::process::ExitCode;

use temporal_k8s::{chain, dispatch, hook::Hook};

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
            runtime
                .block_on(dispatch(hook))
                .map_err(|error| chain(&error))
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
