//! A real deployment, played on one machine: an emulated Juju, and everything else real.

pub mod cloud;
pub mod counterparts;
pub mod juju;
pub mod kubernetes;
pub mod meter;
pub mod pack;
pub mod parts;
pub mod processes;
pub mod servers;
pub mod stage;
pub mod story;

/// The variable that gives the seed of a program's models and nodes: the order of whatever has none in real
/// Juju, and the addresses of pods. Without it tests have the same in every run, and each rehearsal draws its own.
pub const SEED: &str = "REHEARSAL_SEED";

/// The seed that [`SEED`] gives.
pub fn given_seed() -> Option<u64> {
    std::env::var(SEED).ok()?.parse().ok()
}

/// The seed that [`SEED`] gives, or the one that tests have without it.
pub fn seed() -> u64 {
    given_seed().unwrap_or(1)
}

/// An error with all its causes on one line, for whoever prints it.
pub fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
