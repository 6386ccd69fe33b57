//! `temporal-stack`: installs the IPFS Temporal stack, RTrade's pinning API with all that it needs.
//!
//! Its Temporal is not the workflow engine that the charm runs; the two share a name and a database
//! product. Nothing of the charm is used here but [`crate::secret`].

pub mod settings;
