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
    let remedy = "install the parts with `tox -e rehearsal`";
    let parts = std::env::var_os("REHEARSAL_PARTS").unwrap_or_default();
    assert!(
        !parts.is_empty(),
        "REHEARSAL_PARTS names no directory: {remedy}"
    );
    let program = PathBuf::from(parts)
        .join(format!("pebble-{version}"))
        .join("pebble");
    assert!(
        program.is_file(),
        "{} is missing: {remedy}",
        program.display()
    );
    program
}
