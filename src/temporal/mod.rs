//! Temporal's words, and its gRPC API as far as this charm speaks it.
//!
//! `role`, `ring`, `store`, `version`, `image` and `database` are nouns: they import nothing of the charm but
//! `Secret`.
//! `health` asks a server that runs.

mod database;
pub mod health;
mod image;
mod ring;
mod role;
mod store;
mod version;

pub use database::{
    Authority, CLUSTER, Database, LONGEST_NAME, database_name, host_port, is_plain, is_usable,
    name_in, relation_in, suffix, url_host,
};
pub use image::{Image, VARIABLES};
pub use ring::Member;
pub use role::Role;
pub use store::{PerStore, Store};
pub use version::{Error, SchemaVersion, Unsupported, Version, required_schema};
