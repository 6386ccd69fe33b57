//! IPFS: nodes, and the IPFS Cluster peers that look after them.

pub mod node;
pub mod peer;
pub(crate) mod settings;
