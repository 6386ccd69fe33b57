//! The turn to restart a server, a lock in the main store that all units of a cluster share.
//!
//! It is held by an open transaction, not by a session: a connection pooler in between may give one session to many
//! clients, but never one transaction.
#![expect(
    clippy::disallowed_methods,
    reason = "waits for its turn, within a limit"
)]

use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use tracing::debug;

use super::connection::{Error, log_in, words};
use crate::error::chain;
use crate::temporal::Database;

/// The right to restart a server. Law S6: at most one unit of a cluster has it. It ends when this is dropped, and
/// with this process; when the machine is lost, PostgreSQL takes it back after the lease.
#[derive(Debug)]
pub struct Turn(AbortHandle);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How long a holder may be silent before PostgreSQL takes its turn back.
pub const LEASE: Duration = Duration::from_mins(1);
/// "temporal", read as a number: the advisory lock's key in the main store.
const TURN: i64 = i64::from_be_bytes(*b"temporal");
/// How long a database may take to let us ask for it.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How often the lock is asked for.
const TURN_PAUSE: Duration = Duration::from_millis(500);
/// How often the holder speaks within its lease.
const SIGNS_OF_LIFE: u32 = 6;

/// Waits for the turn at most `limit`; with it comes a lease that the holder renews by itself. The error says why it
/// did not come, without the password.
pub async fn turn(database: &Database, limit: Duration, lease: Duration) -> Result<Turn, String> {
    let queue = timeout(CONNECT_LIMIT, queue_up(database)).await;
    let client = queue
        .unwrap_or(Err(Error::Silent(CONNECT_LIMIT)))
        .map_err(|error| words(&error, database))?;
    match timeout(limit, take_turn(client, lease)).await {
        Ok(Ok(client)) => Ok(Turn(tokio::spawn(hold(client, lease)).abort_handle())),
        Ok(Err(error)) => Err(words(&error, database)),
        Err(_) => Err("another unit restarts its server".to_owned()),
    }
}

async fn queue_up(database: &Database) -> Result<Client, Error> {
    let (client, connection) = log_in(database).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Every try is a transaction of its own: one that waits idle would keep the database from cleaning up.
async fn take_turn(client: Client, lease: Duration) -> Result<Client, Error> {
    let begin = format!(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = {}",
        lease.as_millis()
    );
    loop {
        client.batch_execute(&begin).await.map_err(Error::Read)?;
        let question = "SELECT pg_try_advisory_xact_lock($1)";
        let row = client
            .query_typed_one(question, &[(&TURN, Type::INT8)])
            .await
            .map_err(Error::Read)?;
        if row.try_get(0).map_err(Error::Read)? {
            return Ok(client);
        }
        client
            .batch_execute("ROLLBACK")
            .await
            .map_err(Error::Read)?;
        tokio::time::sleep(TURN_PAUSE).await;
    }
}

/// Keeps the transaction open. A server that is restarted does not depend on it: one that is lost is no failure.
async fn hold(client: Client, lease: Duration) {
    loop {
        tokio::time::sleep(lease / SIGNS_OF_LIFE).await;
        if let Err(error) = client.batch_execute("SELECT 1").await {
            debug!("the turn to restart was lost: {}", chain(&error));
            return;
        }
    }
}
