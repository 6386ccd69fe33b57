//! Who has lately written a heartbeat into the main store.
#![expect(
    clippy::disallowed_methods,
    reason = "waits for heartbeats, within a limit"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_postgres::{Client, Transaction};

use super::connection::{Error, log_in, words};
use crate::temporal::{Database, Member, Role};

/// How long a heartbeat is one of a process that lives: servers write it every 10 to 15 seconds, and call a row of more
/// than 20 seconds dead; one that is late under load is no case for a person.
const LATE: Duration = Duration::from_secs(30);
/// How often the heartbeats are looked at while one is waited for.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the database may take besides.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The last heartbeats, by address and process. When that was is the word of its machine's clock, which nobody reads.
type Heartbeats = BTreeMap<(IpAddr, String), String>;

/// The members of the ring. Rows of processes that ended stay for two days.
pub(super) async fn members(transaction: &Transaction<'_>) -> Result<BTreeSet<Member>, Error> {
    let question = format!(
        "SELECT role::int4, rpc_address FROM cluster_membership
         WHERE membership_partition = 0
           AND last_heartbeat > (now() AT TIME ZONE 'utc') - interval '{} seconds'",
        LATE.as_secs()
    );
    let rows = transaction.query_typed(&question, &[]).await;
    let rows = rows.map_err(Error::Read)?;
    let mut members = BTreeSet::new();
    for row in rows {
        let role: i32 = row.try_get(0).map_err(Error::Read)?;
        let address: &str = row.try_get(1).map_err(Error::Read)?;
        // a role that only newer servers know, or a server that was not told its address, is none of ours
        if let (Some(role), Ok(address)) = (role_of(role), address.parse()) {
            members.insert(Member { role, address });
        }
    }
    Ok(members)
}

/// Those of the workers at these addresses that write no heartbeat within `limit`. It has to be another one of the same
/// process: the last one of a process that ended looks alive for half a minute, and one that fails again and again
/// begins with one each time. The error is for a person, without the password.
pub async fn silent_workers(
    database: &Database,
    addresses: BTreeSet<IpAddr>,
    limit: Duration,
) -> Result<BTreeSet<IpAddr>, String> {
    let answer = async {
        let (client, connection) = log_in(database).await?;
        let waiting = async move { wait_for_heartbeats(&client, addresses, limit).await };
        tokio::join!(waiting, connection).0
    };
    let answer = timeout(limit + ANSWER_LIMIT, answer).await;
    answer
        .unwrap_or(Err(Error::Silent(ANSWER_LIMIT)))
        .map_err(|error| words(&error, database))
}

async fn wait_for_heartbeats(
    client: &Client,
    mut silent: BTreeSet<IpAddr>,
    limit: Duration,
) -> Result<BTreeSet<IpAddr>, Error> {
    let deadline = Instant::now() + limit;
    let before = heartbeats(client).await?;
    while !silent.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(PAUSE).await;
        for (process, last) in heartbeats(client).await? {
            if before.get(&process).is_some_and(|before| *before != last) {
                silent.remove(&process.0);
            }
        }
    }
    Ok(silent)
}

async fn heartbeats(client: &Client) -> Result<Heartbeats, Error> {
    let question = "SELECT rpc_address, encode(host_id, 'hex'), last_heartbeat::text
         FROM cluster_membership WHERE membership_partition = 0 AND role = 4";
    let rows = client.query_typed(question, &[]).await;
    let mut heartbeats = Heartbeats::new();
    for row in rows.map_err(Error::Read)? {
        let address: &str = row.try_get(0).map_err(Error::Read)?;
        if let Ok(address) = address.parse() {
            let process = (address, row.try_get(1).map_err(Error::Read)?);
            heartbeats.insert(process, row.try_get(2).map_err(Error::Read)?);
        }
    }
    Ok(heartbeats)
}

/// How the server numbers its roles in the table.
const fn role_of(number: i32) -> Option<Role> {
    match number {
        1 => Some(Role::Frontend),
        2 => Some(Role::History),
        3 => Some(Role::Matching),
        4 => Some(Role::Worker),
        5 => Some(Role::InternalFrontend),
        _ => None,
    }
}
