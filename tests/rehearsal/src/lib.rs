//! A real deployment, played on one machine: an emulated Juju, and everything else real.

pub mod cloud;
pub mod counterparts;
pub mod juju;
pub mod kubernetes;
pub mod pack;
pub mod parts;
pub mod processes;
pub mod servers;
pub mod stage;
pub mod story;

/// An error with all its causes on one line, for whoever prints it.
pub fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
