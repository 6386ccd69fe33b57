//! What a Temporal server needs in its container: configuration, dynamic configuration, pass file
//! and Pebble layer. Pure; `plan` compares the result with what the container has.

use std::fmt;

pub mod config;
pub mod dynamic;
pub mod layer;
pub mod pgpass;
pub mod version;

/// Name of the workload container in `metadata.yaml`.
pub const CONTAINER: &str = "temporal";
/// Name of the Pebble service.
pub const SERVICE: &str = "temporal";
/// Mode of every file we write into the container. The server silently ignores a pass file that others can read.
pub const FILE_MODE: u32 = 0o600;

/// One of Temporal's services, called role here because "service" is also Pebble's and Kubernetes' word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The gRPC API that clients and workers talk to.
    Frontend,
    /// The same API without authorization, for Temporal's own workers and the admin application.
    InternalFrontend,
    /// Workflow histories and timers.
    History,
    /// Task queues.
    Matching,
    /// Temporal's own system workflows.
    Worker,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [
        Self::Frontend,
        Self::InternalFrontend,
        Self::History,
        Self::Matching,
        Self::Worker,
    ];

    /// The name that `temporal-server --service=` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::InternalFrontend => "internal-frontend",
            Self::History => "history",
            Self::Matching => "matching",
            Self::Worker => "worker",
        }
    }

    /// The gRPC port. The worker has one in its configuration, but does not listen on it.
    pub const fn grpc_port(self) -> u16 {
        match self {
            Self::Frontend => 7233,
            Self::InternalFrontend => 7236,
            Self::History => 7234,
            Self::Matching => 7235,
            Self::Worker => 7239,
        }
    }

    /// The port on which the members of the ring find each other.
    pub const fn membership_port(self) -> u16 {
        match self {
            Self::Frontend => 6933,
            Self::InternalFrontend => 6936,
            Self::History => 6934,
            Self::Matching => 6935,
            Self::Worker => 6939,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The two databases of a Temporal cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Store {
    /// Workflow state; endpoint `db`.
    Main,
    /// The list of workflows that can be searched; endpoint `visibility`.
    Visibility,
}

impl Store {
    /// Both stores, in the order in which they are set up.
    pub const ALL: [Self; 2] = [Self::Main, Self::Visibility];

    /// The endpoint of the legacy `pgsql` interface that provides it.
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::Main => "db",
            Self::Visibility => "visibility",
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.endpoint())
    }
}

/// One value for each store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerStore<T> {
    /// For the workflow state.
    pub main: T,
    /// For the searchable list of workflows.
    pub visibility: T,
}

impl<T> PerStore<T> {
    /// The value for one store.
    pub const fn get(&self, store: Store) -> &T {
        match store {
            Store::Main => &self.main,
            Store::Visibility => &self.visibility,
        }
    }
}
