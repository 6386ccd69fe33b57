//! The slow tests: our shell modules against the real parts. `tox -e integration` has what they need;
//! a part that is missing is built, and one that cannot be had fails the test and says why.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests touch the world"
)]

#[cfg(test)]
mod agent;
#[cfg(test)]
mod instructions;
#[cfg(test)]
mod pebble;
#[cfg(test)]
mod pooler;
#[cfg(test)]
mod postgres;
#[cfg(test)]
#[allow(dead_code, reason = "most steps are for scenarios only")]
#[path = "../scenarios"]
mod scenarios {
    pub(crate) mod stage;
}
#[cfg(test)]
mod server;
#[cfg(test)]
#[allow(dead_code, reason = "most faults are for scenarios only")]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod tls;

use std::path::PathBuf;

use rehearsal::parts::{self, Parts, PartsError, Temporal};

/// A part, or the reason why it cannot be had: without it the test says nothing.
fn part<T>(part: Result<T, PartsError>) -> T {
    #[expect(clippy::panic, reason = "this is how a test fails")]
    part.unwrap_or_else(|error| panic!("{error}"))
}

/// The program of one version of Pebble.
fn pebble_binary(version: &str) -> PathBuf {
    part(parts::pebble(version))
}

/// A Temporal server of one version, with its schema tool.
fn temporal(version: &str) -> Temporal {
    part(parts::temporal(version))
}

/// A connection pooler.
fn pgbouncer() -> PathBuf {
    part(Parts::locate().and_then(|parts| parts.pgbouncer()))
}

/// The installation directory of `PostgreSQL`, with `bin`.
fn postgresql() -> PathBuf {
    part(Parts::locate().and_then(|parts| parts.postgresql()))
}

/// The programs of a `PostgreSQL` that was built with TLS.
fn postgresql_with_tls() -> PathBuf {
    part(Parts::locate().and_then(|parts| parts.postgresql_with_tls()))
}
