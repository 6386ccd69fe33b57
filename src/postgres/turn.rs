//! The turn to restart a server, a lock in the main store that all units of a cluster share.
#![expect(
    clippy::disallowed_methods,
    reason = "waits for its turn, within a limit"
)]

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::connection::{Error, log_in, words};
use crate::temporal::Database;

/// The right to restart a server that serves. Law S6: at most one unit of a cluster has it. PostgreSQL takes
/// it back when the connection ends, however this process ends.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "holds the connection open")] Client);

/// "temporal", read as a number: the advisory lock's key in the main store.
const TURN: i64 = i64::from_be_bytes(*b"temporal");
/// How long a database may take to let us ask for it.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How often the lock is asked for.
const TURN_PAUSE: Duration = Duration::from_millis(500);

/// Waits for the turn. The error says why it did not come, without the password.
pub async fn turn(database: &Database, limit: Duration) -> Result<Turn, String> {
    let queue = timeout(CONNECT_LIMIT, queue_up(database)).await;
    let client = queue
        .unwrap_or(Err(Error::Silent(CONNECT_LIMIT)))
        .map_err(|error| words(&error, database))?;
    match timeout(limit, take_turn(client)).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(error)) => Err(words(&error, database)),
        Err(_) => Err("another unit restarts its server".to_owned()),
    }
}

async fn queue_up(database: &Database) -> Result<Client, Error> {
    let (client, connection) = log_in(database).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn take_turn(client: Client) -> Result<Turn, Error> {
    loop {
        let row = client
            .query_typed_one("SELECT pg_try_advisory_lock($1)", &[(&TURN, Type::INT8)])
            .await
            .map_err(Error::Read)?;
        if row.try_get(0).map_err(Error::Read)? {
            return Ok(Turn(client));
        }
        tokio::time::sleep(TURN_PAUSE).await;
    }
}
