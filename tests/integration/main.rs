//! The slow tests: our shell modules against the real parts, built once by the rehearsal.

#[cfg(test)]
mod server;

use std::path::PathBuf;

/// A Temporal Server of one version.
struct Temporal {
    server: PathBuf,
    sql_tool: PathBuf,
    /// Its directory `schema/postgresql`.
    schema: PathBuf,
}

fn temporal(version: &str) -> Temporal {
    let directory = part(&format!("temporal-{version}"));
    Temporal {
        server: directory.join("temporal-server"),
        sql_tool: directory.join("temporal-sql-tool"),
        schema: directory.join("schema"),
    }
}

/// The installation directory of `PostgreSQL`, with `bin`.
fn postgresql() -> PathBuf {
    part("postgresql")
}

fn part(name: &str) -> PathBuf {
    let remedy = "install the parts with `tox -e rehearsal`";
    let parts = std::env::var_os("REHEARSAL_PARTS")
        .unwrap_or_else(|| panic!("REHEARSAL_PARTS names no directory: {remedy}"));
    let part = PathBuf::from(parts).join(name);
    assert!(part.is_dir(), "{} is missing: {remedy}", part.display());
    part
}
