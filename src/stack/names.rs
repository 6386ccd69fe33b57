//! The names of what is shared between parts: the document's ConfigMaps and Secrets, and ours beside them.

/// The name of the field manager, and the value of the label `app.kubernetes.io/managed-by`.
pub const MANAGER: &str = "temporal-stack";
/// The document's ConfigMap with Temporal's settings.
pub const TEMPORAL_CONFIG: &str = "temporal-config";
/// The document's ConfigMap with IPFS Cluster's settings.
pub const CLUSTER_CONFIG: &str = "ipfs-cluster-config";
/// The document's ConfigMap with PostgreSQL's settings.
pub const POSTGRES_CONFIG: &str = "postgres-config";
/// The document's Secret with the Erlang cookie.
pub const RABBITMQ_CONFIG: &str = "rabbitmq-config";
/// Its key.
pub const COOKIE_KEY: &str = "erlang-cookie";
/// The ConfigMap with RabbitMQ's own files.
pub const RABBITMQ_SERVER: &str = "rabbitmq-server";
/// The settings of Temporal that are secrets.
pub const TEMPORAL_SECRETS: &str = "temporal-secrets";
/// The settings of IPFS Cluster that are secrets.
pub const CLUSTER_SECRETS: &str = "ipfs-cluster-secrets";
/// The key and the name of the first IPFS Cluster peer.
pub const FIRST_PEER: &str = "ipfs-cluster-first-peer";
/// The ConfigMap with what the IPFS nodes run before they start.
pub const IPFS_NODE: &str = "ipfs-node";
/// The password of PostgreSQL.
pub const POSTGRES_SECRETS: &str = "postgres-secrets";
/// The user of RabbitMQ and its password.
pub const RABBITMQ_SECRETS: &str = "rabbitmq-secrets";
/// The API's certificate.
pub const API_TLS: &str = "temporal-api-tls";
/// What only this program needs.
pub const STACK_SECRET: &str = "temporal-stack";
/// Its key, which goes into every hash of settings.
pub const SALT_KEY: &str = "salt";
