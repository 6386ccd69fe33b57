//! Pebble over its unix socket: what runs in the workload container, and how to change it.
//!
//! Called by `observe` (reads) and `apply` (writes). Every request has a deadline and a connection
//! of its own, so a client is cheap to make and holds nothing open between requests.
//! Must never decide anything, and never put the content of a file or of a standard input into an error.
//! Speaks with Pebble 1.4 (Juju 3.1) to the newest: what versions added is optional when read.

mod client;
mod error;
mod exec;
mod files;
mod http;
mod layer;
mod multipart;
mod services;
mod shared;
mod system;

pub use client::Pebble;
pub use error::{Error, FileError, FileErrorKind};
pub use exec::{Exec, ExecOutput};
pub use files::{File, FileInfo, FileType};
pub use layer::{CheckConfig, ExecCheck, HttpCheck, Layer, Plan, ServiceConfig, TcpCheck};
pub use services::{Change, ChangeId, LogLine, ServiceState, ServiceStatus, Task};
pub use shared::SHARED;
pub use system::SystemInfo;
