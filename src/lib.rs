//! A Juju Kubernetes charm that runs Temporal Server on PostgreSQL.
//!
//! ```text
//! JUJU_* → hook → observe → Snapshot → plan → Plan { status, effects } → apply → exit code
//! ```
//!
//! `plan` is the state machine: it computes, and touches nothing. `observe` and `apply` touch the
//! world, and decide nothing.

pub mod config;
pub mod hook;
pub mod juju;
pub mod pebble;
pub mod postgres;
pub mod relations;
pub mod secret;
pub mod server;
pub mod snapshot;
pub mod status;
pub mod temporal;
