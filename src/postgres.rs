//! Asks PostgreSQL what the server will find there, with the very credentials the server will use.

use std::time::Duration;

use crate::relations::database::Database;
use crate::server::Store;
use crate::snapshot::{Probe, StoreFacts};

/// Reads the schema version, and for the main store the shard count. Never waits longer than `limit`.
pub async fn proof(store: Store, database: &Database, limit: Duration) -> Probe<StoreFacts> {
    todo!()
}
