//! Asks `PostgreSQL` what the server will find there, with the very credentials the server will use. Called by
//! `observe`. Writes nothing: it reads, on a primary, and takes the turn to restart, which is a lock. What it
//! says about a failure never holds the password.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "speaks with PostgreSQL"
)]

use std::error::Error as _;
use std::io;
use std::time::Duration;

use prost::Message as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, NoTls};

use crate::relations::database::Database;
use crate::server::{Store, config, version};
use crate::snapshot::{Probe, StoreFacts};

/// Reads the schema version, and for the main store the shard count. Never waits longer than `limit`.
pub async fn proof(store: Store, database: &Database, limit: Duration) -> Probe<StoreFacts> {
    let answer = timeout(limit, ask(store, database)).await;
    match answer.unwrap_or(Err(Error::Silent(limit))) {
        Ok(facts) => Probe::Known(facts),
        Err(error) => Probe::Unreachable(words(&error, database)),
    }
}

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
    let stream = connect(&database.host, database.port).await?;
    let (client, connection) = settings(database)
        .connect_raw(stream, NoTls)
        .await
        .map_err(Error::LogIn)?;
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

fn settings(database: &Database) -> Config {
    let mut settings = Config::new();
    settings
        .user(&database.user)
        .password(database.password.expose())
        .dbname(&database.name)
        .application_name("temporal-k8s");
    settings
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("resolve the host")]
    Resolve(#[source] io::Error),
    #[error("connect")]
    Connect(#[source] io::Error),
    #[error("log in")]
    LogIn(#[source] tokio_postgres::Error),
    #[error("read")]
    Read(#[source] tokio_postgres::Error),
    #[error("a standby answered")]
    Standby,
    #[error("parse the schema version")]
    Schema(#[from] version::Error),
    #[error("decode the shard count")]
    Shards(#[from] prost::DecodeError),
    #[error("no answer within {0:?}")]
    Silent(Duration),
}

async fn ask(store: Store, database: &Database) -> Result<StoreFacts, Error> {
    let stream = connect(&database.host, database.port).await?;
    let (client, connection) = settings(database)
        .connect_raw(stream, NoTls)
        .await
        .map_err(Error::LogIn)?;
    // The client is dropped when the reading ends, and with it the connection. If the connection is
    // lost before, the reading fails, and says so better.
    let reading = async move { read(store, &database.name, client).await };
    let (facts, _) = tokio::join!(reading, connection);
    facts
}

/// Connects to the first address that accepts.
///
/// A name with a dot is tried again with a dot at its end: musl's resolver gives up when one of the cluster's
/// search domains answers in a way it does not expect.
async fn connect(host: &str, port: u16) -> Result<TcpStream, Error> {
    let addresses = match resolve(host, port).await {
        Err(error) if host.contains('.') && !host.ends_with('.') => {
            resolve(&format!("{host}."), port).await.map_err(|_| error)
        }
        answer => answer,
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses.map_err(Error::Resolve)? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(Error::Connect(last))
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<std::net::SocketAddr>> {
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    if addresses.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(addresses)
}

async fn read(store: Store, name: &str, mut client: Client) -> Result<StoreFacts, Error> {
    let transaction = client
        .build_transaction()
        .read_only(true)
        .start()
        .await
        .map_err(Error::Read)?;
    // Unprepared, so that a connection pooler in between does not matter.
    let has = transaction
        .query_typed_one(
            "SELECT pg_is_in_recovery(),
                    to_regclass('schema_version') IS NOT NULL,
                    to_regclass('cluster_metadata_info') IS NOT NULL",
            &[],
        )
        .await
        .map_err(Error::Read)?;
    if has.try_get(0).map_err(Error::Read)? {
        return Err(Error::Standby);
    }
    let mut facts = StoreFacts::default();
    if has.try_get(1).map_err(Error::Read)? {
        let row = transaction
            .query_typed_opt(
                "SELECT curr_version FROM schema_version
                 WHERE version_partition = 0 AND db_name = $1",
                &[(&name, Type::VARCHAR)],
            )
            .await
            .map_err(Error::Read)?;
        if let Some(row) = row {
            let version: &str = row.try_get(0).map_err(Error::Read)?;
            facts.schema = Some(version.parse()?);
        }
    }
    if store == Store::Main && has.try_get(2).map_err(Error::Read)? {
        let row = transaction
            .query_typed_opt(
                "SELECT data FROM cluster_metadata_info
                 WHERE metadata_partition = 0 AND cluster_name = $1",
                &[(&config::CLUSTER, Type::VARCHAR)],
            )
            .await
            .map_err(Error::Read)?;
        if let Some(row) = row {
            facts.shards = shards(row.try_get(0).map_err(Error::Read)?)?;
        }
    }
    transaction.rollback().await.map_err(Error::Read)?;
    Ok(facts)
}

/// The part of `temporal.server.api.persistence.v1.ClusterMetadata` that matters here.
#[derive(Clone, PartialEq, prost::Message)]
struct ClusterMetadata {
    #[prost(int32, tag = "2")]
    history_shard_count: i32,
}

/// The shard count in a row of `cluster_metadata_info`; `None` before it was decided.
fn shards(data: &[u8]) -> Result<Option<u32>, prost::DecodeError> {
    let metadata = ClusterMetadata::decode(data)?;
    Ok(u32::try_from(metadata.history_shard_count)
        .ok()
        .filter(|count| *count > 0))
}

/// The failure, for a person who reads a status line.
fn words(error: &Error, database: &Database) -> String {
    let Database { host, port, .. } = database;
    let place = config::host_port(host, *port);
    match error {
        Error::Resolve(_) => format!("host name `{host}` does not resolve"),
        Error::Connect(source) => connect_words(source, &place),
        Error::LogIn(source) | Error::Read(source) => sql_words(source, &place, database),
        Error::Standby => format!("{place} is a standby, not the primary"),
        Error::Schema(source) => format!("table `schema_version` is damaged: {source}"),
        Error::Shards(source) => format!("table `cluster_metadata_info` is damaged: {source}"),
        Error::Silent(limit) => format!("no answer from {place} within {} s", limit.as_secs_f32()),
    }
}

fn connect_words(error: &io::Error, place: &str) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("connection refused by {place}"),
        io::ErrorKind::TimedOut => format!("no answer from {place}"),
        kind => format!("{place} cannot be reached: {kind}"),
    }
}

fn sql_words(error: &tokio_postgres::Error, place: &str, database: &Database) -> String {
    let Database { name, user, .. } = database;
    let Some(answer) = error.as_db_error() else {
        let broken = error
            .source()
            .is_some_and(<dyn std::error::Error>::is::<io::Error>);
        return if error.is_closed() || broken {
            format!("connection lost to {place}")
        } else {
            format!("{place} does not speak as PostgreSQL does: {error}")
        };
    };
    let code = answer.code();
    if *code == SqlState::INVALID_PASSWORD {
        format!("password refused for `{user}` by {place}")
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        format!("database `{name}` does not exist on {place}")
    } else if *code == SqlState::CANNOT_CONNECT_NOW || *code == SqlState::ADMIN_SHUTDOWN {
        format!("{place} is starting or stopping")
    } else if *code == SqlState::TOO_MANY_CONNECTIONS {
        format!("{place} has no free connection")
    } else {
        let message = answer.message().lines().next().unwrap_or_default();
        format!("{place} answered: {message} ({})", code.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As servers write it: field 1 the name, 2 the count, 3 an identifier.
    fn row(count: &[u8]) -> Vec<u8> {
        [b"\x0a\x06active\x10", count, b"\x1a\x03abc"].concat()
    }

    #[test]
    fn the_shard_count_is_decoded_above_one_byte_too() {
        assert_eq!(shards(&row(b"\x04")), Ok(Some(4)));
        assert_eq!(shards(&row(b"\x7f")), Ok(Some(127)));
        assert_eq!(shards(&row(b"\x80\x01")), Ok(Some(128)));
        assert_eq!(shards(&row(b"\x80\x80\x01")), Ok(Some(16384)));
    }

    #[test]
    fn a_row_without_a_count_has_none() {
        assert_eq!(shards(b""), Ok(None));
        assert_eq!(shards(b"\x0a\x06active"), Ok(None));
    }

    #[test]
    fn a_damaged_row_is_an_error() {
        assert!(shards(b"\x0a\x06act").is_err());
        assert!(shards(b"\x10\x80").is_err());
        assert!(shards(b"\x12\x01x").is_err());
    }
}
