//! The slow tests: our shell modules against the real parts. `tox -e integration` has what they need;
//! a part that is missing is built, and one that cannot be had fails the test and says why.

#[cfg(test)]
mod pebble;
#[cfg(test)]
mod server;

use std::path::PathBuf;

use rehearsal::parts::{self, Parts, Temporal};

/// The program of one version of Pebble.
fn pebble_binary(version: &str) -> PathBuf {
    parts::pebble(version).unwrap_or_else(|error| panic!("{error}"))
}

/// A Temporal server of one version, with its schema tool.
fn temporal(version: &str) -> Temporal {
    parts::temporal(version).unwrap_or_else(|error| panic!("{error}"))
}

/// The installation directory of PostgreSQL, with `bin`.
fn postgresql() -> PathBuf {
    Parts::locate()
        .and_then(|parts| parts.postgresql())
        .unwrap_or_else(|error| panic!("{error}"))
}
