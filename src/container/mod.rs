//! What the workload container must hold: configuration, dynamic configuration, pass file, authorities, Pebble layer and
//! check, as texts. Pure; `plan` compares them with what the container has.

use std::collections::BTreeMap;

use crate::secret::Secret;
use crate::temporal::{Database, PerStore, Store};

pub mod authority;
pub mod check;
pub mod config;
pub mod dynamic;
pub mod layer;
pub mod pgpass;

/// Name of the workload container in `metadata.yaml`.
pub const CONTAINER: &str = "temporal";
/// Name of the Pebble service.
pub const SERVICE: &str = "temporal";
/// Label of the Pebble layer. No image has one of this name, so that ours lies on top of whatever layers an image has,
/// and nothing of a service that it calls as we call ours is left.
pub const LAYER: &str = "temporal-k8s-charm";
/// Mode of every file we write into the container. The server silently ignores a pass file that others can read.
pub const FILE_MODE: u32 = 0o600;
/// The files that the server reads again for every new connection to a database: it needs no restart for them.
pub const READ_AGAIN: [&str; 3] = [
    pgpass::PATH,
    authority::path(Store::Main),
    authority::path(Store::Visibility),
];

/// Those of [`READ_AGAIN`] that the server needs for these databases.
pub fn read_again(databases: &PerStore<&Database>) -> BTreeMap<&'static str, Secret<String>> {
    let mut files = authority::render(databases);
    files.insert(pgpass::PATH, pgpass::render(databases));
    files
}
