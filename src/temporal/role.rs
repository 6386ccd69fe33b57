//! What a Temporal server can be: its services, and where each of them listens.

use std::fmt;

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

    /// The gRPC port. A worker before 1.31 has one in its configuration, but does not listen on it.
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
