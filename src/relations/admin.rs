//! `admin`: temporal-admin-k8s sets up the schema of both databases and says when it is ready.

use crate::relations::database::Database;
use crate::relations::{Databag, Relation, State};
use crate::server::PerStore;

/// The endpoint's name in `metadata.yaml`.
pub const ENDPOINT: &str = "admin";

/// Has the admin application reported the schema ready?
pub fn parse(relation: Option<&Relation>) -> State<()> {
    todo!()
}

/// Both connections, for the admin application's schema tool.
pub fn publish(databases: &PerStore<&Database>) -> Databag {
    todo!()
}
