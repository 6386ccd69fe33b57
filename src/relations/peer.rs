//! `peer`: the units of this application among themselves.
//!
//! Nothing is written to it: what all units must agree on lies in the databases. Its network binding
//! gives the address at which a unit's server can be reached by the others.

/// The endpoint's name in `metadata.yaml`.
pub const ENDPOINT: &str = "peer";
