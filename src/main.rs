//! `dispatch`: the one binary that Juju starts for every hook and action, and Pebble for its check of the server.

use std::process::ExitCode;

use temporal_k8s::container::check;
use temporal_k8s::dispatch::dispatch;
use temporal_k8s::error::chain;
use temporal_k8s::juju::{Event, Hook, Log};
use temporal_k8s::plan;
use temporal_k8s::serves::serves;
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    // Juju gives no arguments
    let mut arguments = std::env::args().skip(1);
    match arguments.next() {
        Some(command) if command == check::COMMAND => look(arguments),
        Some(_) | None => hook(),
    }
}

/// Exit code 1 is Pebble's "no".
fn look(arguments: impl Iterator<Item = String>) -> ExitCode {
    let outcome = runtime().and_then(|runtime| runtime.block_on(serves(arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> Result<Runtime, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| chain(&error))
}

/// Exit code 1 makes Juju run the same hook again: only for what a later run may mend.
fn hook() -> ExitCode {
    let outcome = Hook::from_environment()
        .map_err(|error| chain(&error))
        .and_then(|hook| {
            if plan::is_idle(&hook) {
                return Ok(());
            }
            let runtime = runtime()?;
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
