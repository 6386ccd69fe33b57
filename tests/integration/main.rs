//! The slow tests: our shell modules against the real parts, built once by the rehearsal.

#[cfg(test)]
mod pebble;

use std::path::PathBuf;

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
