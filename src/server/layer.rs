//! The Pebble layer of the server.

use std::collections::BTreeSet;

use crate::pebble::ServiceConfig;
use crate::server::Role;

/// The service's definition. `config` is the text of the configuration file; only its hash goes in.
pub fn service(roles: &BTreeSet<Role>, config: &str) -> ServiceConfig {
    todo!()
}
