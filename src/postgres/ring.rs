//! Who has lately written a heartbeat into the main store.

use std::collections::BTreeSet;

use tokio_postgres::Transaction;

use super::connection::Error;
use crate::temporal::{Member, Role};

/// The members of the ring. Servers write their heartbeat every 10 to 15 seconds and call a row of more than 20
/// seconds dead; one that is late under load is no case for a person. Rows of processes that ended stay for two days.
pub(super) async fn members(transaction: &Transaction<'_>) -> Result<BTreeSet<Member>, Error> {
    let rows = transaction
        .query_typed(
            "SELECT role::int4, rpc_address FROM cluster_membership
             WHERE membership_partition = 0
               AND last_heartbeat > (now() AT TIME ZONE 'utc') - interval '30 seconds'",
            &[],
        )
        .await
        .map_err(Error::Read)?;
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
