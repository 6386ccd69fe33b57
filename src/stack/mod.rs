//! `temporal-stack`, the other Temporal: RTrade's IPFS pinning API with IPFS, IPFS Cluster, PostgreSQL and
//! RabbitMQ, installed into a Kubernetes cluster. It shares its name with Temporal Server and nothing else;
//! with the charm it shares the Kubernetes client.
//!
//! ```text
//! stack.yaml, ConfigMaps → input → Stack → wanted (settings, objects) → plan (compared with the cluster)
//!                                                                     → apply, phase by phase: wait for each
//! ```
//!
//! `input`, `settings`, `wanted`, `objects`, `secrets` and `ready` compute and touch nothing; `check`,
//! `plan`, `apply`, `wait` and `delete` speak with the cluster; `cli` reads files and prints.

pub mod apply;
pub mod check;
pub mod cli;
pub mod delete;
pub mod input;
pub mod objects;
pub mod plan;
pub mod ready;
pub mod secrets;
pub mod settings;
pub mod status;
pub mod wait;
pub mod wanted;

/// The name of the field manager, and the value of the label `app.kubernetes.io/managed-by`.
pub const MANAGER: &str = "temporal-stack";
