//! The server's configuration file, from typed values through a serializer.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::LogLevel;
use crate::relations::database::Database;
use crate::server::version::Version;
use crate::server::{PerStore, Role};

/// Where the file lies in the container.
pub const PATH: &str = "/etc/temporal/config/charm.yaml";

/// All that the file depends on. No password is among them: it is in the pass file.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// What the binary answers.
    pub version: Version,
    /// The roles of this unit, with the internal frontend where the version has it.
    pub roles: &'a BTreeSet<Role>,
    /// The two databases.
    pub databases: PerStore<&'a Database>,
    /// The number of history shards.
    pub shards: u32,
    /// How much the server logs.
    pub log_level: LogLevel,
    /// Where the other members of the ring reach this unit.
    pub broadcast_address: IpAddr,
}

/// The file's text.
pub fn render(inputs: &Inputs<'_>) -> String {
    todo!()
}
