//! Pebble over its unix socket: what runs in the workload container, and how to change it.
//!
//! Called by `observe` (reads) and `apply` (writes). Every request has a deadline and a connection
//! of its own, so a client is cheap to make and holds nothing open between requests.
//! Must never decide anything, and never put the content of a file or of a standard input into an error.
//! Speaks with Pebble 1.1 (Juju 2.9) to the newest: what versions added is optional when read.

mod checks;
mod error;
mod exec;
mod files;
mod http;
mod layer;
mod multipart;
mod services;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

pub use checks::{Check, CheckLevel, CheckStatus};
pub use error::{Error, FileError, FileErrorKind};
pub use exec::{Exec, ExecOutput};
pub use files::{File, FileInfo, FileType};
pub use layer::{CheckConfig, ExecCheck, HttpCheck, Layer, Plan, ServiceConfig, TcpCheck};
pub use services::{Change, ChangeId, LogLine, ServiceState, ServiceStatus, Task};

use http::Request;

/// How long one request may take, from connecting to the last byte of the reply.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// The Pebble of one container.
#[derive(Debug, Clone)]
pub struct Pebble {
    socket: PathBuf,
    request_limit: Duration,
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

    /// Version and start of this Pebble; also the question whether the container is up at all.
    pub async fn system_info(&self) -> Result<SystemInfo, Error> {
        self.ask(Request::get("/v1/system-info")).await?.sync()
    }
}

/// What Pebble says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SystemInfo {
    /// The version with its `v`, for example `v1.19.2`.
    pub version: String,
    /// New with each start of the daemon, so a changed value means that the container was restarted
    /// and that all added layers are lost. Empty where Pebble is too old to tell.
    #[serde(default)]
    pub boot_id: String,
}
