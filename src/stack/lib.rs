//! `temporal-stack`, the other Temporal: RTrade's IPFS pinning API with IPFS, IPFS Cluster, PostgreSQL and
//! RabbitMQ, installed into a Kubernetes cluster. It shares its name with Temporal Server and nothing else.
//!
//! ```text
//! cli → run (check, plan, apply, wait, status, user, delete) → kubernetes
//!     ↘     ↘ stack (joins the parts) → parts/{postgres, rabbitmq, ipfs, temporal} → objects, secrets, settings,
//!       reference ↗ , input                                                          input, names
//! ```
//!
//! `run` and `kubernetes` touch a cluster, `cli` reads files and prints; everything else only computes. An import goes
//! down, never up.

pub mod cli;
pub mod component;
pub mod input;
pub mod kubernetes;
pub mod names;
pub mod objects;
pub mod parts;
pub mod reference;
pub mod run;
pub mod secrets;
pub mod settings;
pub mod stack;

// the charm's own: two small files that need no package of their own
#[path = "../error.rs"]
pub mod error;
#[path = "../secret.rs"]
pub mod secret;
