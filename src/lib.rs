//! A Juju Kubernetes charm that runs Temporal Server on PostgreSQL.
//!
//! ```text
//! JUJU_* → hook → observe → Snapshot → facts → plan → Plan { changes, notes } → apply → exit code
//! ```
//!
//! `facts` parses what was said, `plan` decides: neither touches anything. `observe` and `apply` touch the world,
//! and decide nothing. `docs/architecture.md` has the picture; an import goes down in it, never up.

pub mod apply;
pub mod cluster;
pub mod config;
pub mod container;
pub mod dispatch;
pub mod error;
pub mod facts;
pub mod juju;
pub mod memory;
pub mod observe;
pub mod pebble;
pub mod plan;
pub mod postgres;
pub mod probe;
pub mod relations;
pub mod secret;
pub mod serves;
pub mod snapshot;
pub mod temporal;
