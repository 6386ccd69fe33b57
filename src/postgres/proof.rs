//! What the server will find in a database. Called by `observe`. Reads, on a primary, and writes nothing.
#![expect(clippy::disallowed_methods, reason = "every question has a deadline")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prost::Message as _;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

use super::connection::{Error, log_in, words};
use super::connections::{Connections, connections};
use super::rights::{Denied, FIXED, Fixed, OTHERS, denied, fixed};
use super::ring::members;
use super::tls::{Distrust, Failure};
use crate::probe::Probe;
use crate::temporal::{CLUSTER, Database, Member, SchemaVersion, Store};

/// What one database says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreFacts {
    /// Why the server cannot be told from an impostor. Nothing was read then.
    pub distrust: Option<Distrust>,
    /// What the server may not do. Nothing else is read then.
    pub denied: Option<Denied>,
    /// What keeps the admin application from making or changing the schema with our credentials.
    pub fixed: Option<Fixed>,
    /// Who has how many connections.
    pub connections: Connections,
    /// `curr_version` of the row that the server itself will look up; `None` without table or row.
    pub schema: Option<SchemaVersion>,
    /// The database that a row with a higher version names, of which this one is a copy.
    pub copy_of: Option<String>,
    /// The number of history shards this cluster was first started with; `None` before that, and in
    /// the visibility store.
    pub shards: Option<u32>,
    /// Who has lately written a heartbeat into it; nobody in the visibility store.
    pub members: BTreeSet<Member>,
}

impl StoreFacts {
    /// Was more read than why nothing can be read?
    pub fn were_read(&self) -> bool {
        self.distrust.is_none() && self.denied.is_none()
    }
}

/// Reads rights, connections and the schema version, and for the main store the shard count and the ring. Never waits
/// longer than `limit`.
pub async fn proof(store: Store, database: &Database, limit: Duration) -> Probe<StoreFacts> {
    let answer = timeout(limit, ask(store, database)).await;
    match answer.unwrap_or(Err(Error::Silent(limit))) {
        Ok(facts) => Probe::Known(facts),
        Err(Error::Tls(Failure::Distrusted(why))) => Probe::Known(StoreFacts {
            distrust: Some(why),
            ..StoreFacts::default()
        }),
        Err(error) if may_not_connect(&error) => Probe::Known(StoreFacts {
            denied: Some(Denied::Database),
            ..StoreFacts::default()
        }),
        Err(error) => Probe::Unreachable(words(&error, database)),
    }
}

/// Nothing but CONNECT on the database is asked of a role that has told its password.
fn may_not_connect(error: &Error) -> bool {
    let code = match error {
        Error::LogIn(error) => error.code(),
        _ => None,
    };
    code == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
}

async fn ask(store: Store, database: &Database) -> Result<StoreFacts, Error> {
    let (client, connection) = log_in(database).await?;
    // The client is dropped when the reading ends, and with it the connection. If the connection is
    // lost before, the reading fails, and says so better.
    let reading = async move { read(store, &database.name, client).await };
    let (facts, _) = tokio::join!(reading, connection);
    facts
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
            &format!(
                "WITH {OTHERS}
                 SELECT pg_is_in_recovery(),
                    to_regclass('schema_version') IS NOT NULL,
                    to_regclass('cluster_metadata_info') IS NOT NULL,
                    to_regclass('cluster_membership') IS NOT NULL,
                    {FIXED}"
            ),
            &[],
        )
        .await
        .map_err(Error::Read)?;
    if has.try_get(0).map_err(Error::Read)? {
        return Err(Error::Standby);
    }
    let mut facts = StoreFacts {
        denied: denied(&transaction).await?,
        fixed: fixed(&has, 4)?,
        connections: connections(&transaction).await?,
        ..StoreFacts::default()
    };
    if facts.denied.is_some() {
        return Ok(facts);
    }
    if has.try_get(1).map_err(Error::Read)? {
        let versions = versions(&transaction).await?;
        facts.schema = versions.get(name).copied();
        facts.copy_of = newest_above(facts.schema, versions);
    }
    if store == Store::Main && has.try_get(2).map_err(Error::Read)? {
        let row = transaction
            .query_typed_opt(
                "SELECT data FROM cluster_metadata_info
                 WHERE metadata_partition = 0 AND cluster_name = $1",
                &[(&CLUSTER, Type::VARCHAR)],
            )
            .await
            .map_err(Error::Read)?;
        if let Some(row) = row {
            facts.shards = shards(row.try_get(0).map_err(Error::Read)?)?;
        }
    }
    if store == Store::Main && has.try_get(3).map_err(Error::Read)? {
        facts.members = members(&transaction).await?;
    }
    transaction.rollback().await.map_err(Error::Read)?;
    Ok(facts)
}

/// The schema's rows, by the names of databases: each server and tool looks for its own.
async fn versions(transaction: &Transaction<'_>) -> Result<BTreeMap<String, SchemaVersion>, Error> {
    let question = "SELECT db_name, curr_version FROM schema_version WHERE version_partition = 0";
    let rows = transaction.query_typed(question, &[]).await;
    let mut versions = BTreeMap::new();
    for row in rows.map_err(Error::Read)? {
        let version: &str = row.try_get(1).map_err(Error::Read)?;
        versions.insert(row.try_get(0).map_err(Error::Read)?, version.parse()?);
    }
    Ok(versions)
}

/// Whose version is above this one, if anybody's is: what the tables really have. A tool that does not find its own
/// row in a copy begins with 0.0, and fails on the tables that are there.
fn newest_above(
    have: Option<SchemaVersion>,
    versions: BTreeMap<String, SchemaVersion>,
) -> Option<String> {
    let newest = versions.into_iter().max_by_key(|(_, version)| *version)?;
    (Some(newest.1) > have).then_some(newest.0)
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
