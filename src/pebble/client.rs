//! The Pebble of one container: where it listens, and how long it may take.

use std::path::PathBuf;
use std::time::Duration;

/// How long one request may take, from connecting to the last byte of the reply.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// The Pebble of one container.
#[derive(Debug, Clone)]
pub struct Pebble {
    pub(super) socket: PathBuf,
    pub(super) request_limit: Duration,
}

impl Pebble {
    /// The Pebble that listens on `socket`. Nothing is connected yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            request_limit: REQUEST_LIMIT,
        }
    }

    /// The Pebble of a workload container, where Juju mounts its socket into the charm's container.
    pub fn of_container(name: &str) -> Self {
        Self::new(format!("/charm/containers/{name}/pebble.socket"))
    }

    /// The same with another limit for each request than the 5 s of Juju's own client.
    ///
    /// Waiting for a change and running a command have limits of their own, on top of this one.
    #[must_use]
    pub fn with_request_limit(self, limit: Duration) -> Self {
        Self {
            request_limit: limit,
            ..self
        }
    }
}
