//! The ring: which processes of a cluster have lately written their heartbeat into the main store.

use std::net::IpAddr;

use super::role::Role;

/// A role of a process that is alive, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The role.
    pub role: Role,
    /// Where the others reach it.
    pub address: IpAddr,
}
