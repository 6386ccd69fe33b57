//! Asks the running server whether it serves, over gRPC.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use crate::server::Role;
use crate::snapshot::Serving;

/// Asks every role at the same time. Never waits longer than `limit`.
pub async fn look(address: IpAddr, roles: &BTreeSet<Role>, limit: Duration) -> Serving {
    todo!()
}
