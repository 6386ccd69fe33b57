//! `db` and `visibility`: a PostgreSQL database over the legacy `pgsql` interface.

use crate::relations::{Databag, Relation, State};
use crate::secret::Secret;

/// A connection, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Juju's number of the relation it came from.
    pub relation: u32,
    /// Host of the primary.
    pub host: String,
    /// Port of the primary.
    pub port: u16,
    /// Database name.
    pub name: String,
    /// Role to log in as.
    pub user: String,
    /// The role's password.
    pub password: Secret<String>,
}

impl Database {
    /// What makes this connection another one than before, without the password: remembered in
    /// [`crate::snapshot::Memory::accepted`].
    pub fn identity(&self) -> String {
        todo!()
    }
}

/// Reads what the provider says. `want` is the database name we asked for; `accepted` is the
/// [`Database::identity`] that was complete before, which a mismatch of subnets does not undo.
pub fn parse(relation: Option<&Relation>, want: &str, accepted: Option<&str>) -> State<Database> {
    todo!()
}

/// What the leader asks for, in the application's and in its own unit's databag.
pub fn publish(want: &str) -> Databag {
    todo!()
}
