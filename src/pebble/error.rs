//! What can go wrong between us and Pebble, told apart by what the caller can do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A request that did not end as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The container is not up: there is no socket, or nobody listens on it. Normal before
    /// `pebble-ready` and while a container restarts.
    #[error("pebble is not up at `{}`", socket.display())]
    NotUp {
        /// The socket that was tried.
        socket: PathBuf,
        /// Why connecting failed.
        source: io::Error,
    },
    /// The socket is there, but this process cannot connect to it.
    #[error("cannot connect to pebble at `{}`", socket.display())]
    Connect {
        /// The socket that was tried.
        socket: PathBuf,
        /// Why connecting failed.
        source: io::Error,
    },
    /// Pebble understood the request and said no.
    #[error("pebble refused `{request}` with status {status}: {}", line(message))]
    Refused {
        /// Method and path.
        request: String,
        /// The HTTP status.
        status: u16,
        /// Pebble's name for the error, where it has one.
        kind: Option<String>,
        /// Pebble's words.
        message: String,
    },
    /// The reply is truncated or is not what Pebble's API promises. Nothing of it is used, and
    /// whether the request was carried out is not known.
    #[error("the reply to `{request}` is not one of pebble and is not used: {reason}")]
    Garbage {
        /// Method and path.
        request: String,
        /// What is wrong with the reply, without its content.
        reason: String,
    },
    /// No complete reply in time. Whether the request was carried out is not known.
    #[error("pebble did not reply to `{request}` within {limit:?}")]
    Timeout {
        /// Method and path.
        request: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The request cannot be written down in Pebble's protocol; nothing was sent.
    #[error("cannot ask pebble for `{request}`: {reason}")]
    Unsendable {
        /// Method and path.
        request: String,
        /// What does not fit.
        reason: String,
    },
    /// A change was tried and failed.
    #[error("pebble's change `{kind}` failed: {}", line(err))]
    Change {
        /// The kind of the change, for example `start` or `exec`.
        kind: String,
        /// Pebble's words.
        err: String,
        /// The log of its tasks; for a server that exited quickly this holds its last output lines.
        log: Vec<String>,
    },
    /// A change was not finished in time. Pebble goes on with it.
    #[error("pebble's change {change} is not finished after {limit:?} and goes on")]
    ChangeTimeout {
        /// The identifier of the change.
        change: String,
        /// How long was waited.
        limit: Duration,
    },
    /// A command did not end in time; Pebble was told to kill it.
    #[error("`{command}` did not end within {limit:?} and is killed")]
    ExecTimeout {
        /// The command without its arguments.
        command: String,
        /// The limit that the command was given.
        limit: Duration,
    },
    /// A single file of a request failed; the others may have succeeded.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Error {
    /// The last line that a service printed before it exited, as a failed start keeps it in its log.
    pub fn last_output(&self) -> Option<&str> {
        let Self::Change { log, .. } = self else {
            return None;
        };
        let output = log
            .iter()
            .rfind(|entry| entry.contains("Most recent service output:"))?;
        let (_, lines) = output.split_once('\n')?;
        lines.lines().map(str::trim).rfind(|line| !line.is_empty())
    }

    /// Whether the container is simply not up yet: wait, nobody has to act.
    pub const fn is_not_up(&self) -> bool {
        matches!(self, Self::NotUp { .. })
    }
}

/// Why a single path could not be read, written, listed, made or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pebble cannot {attempt} `{path}` ({kind}): {}", line(message))]
pub struct FileError {
    /// What was tried, as a verb.
    pub attempt: &'static str,
    /// The path in the workload container.
    pub path: String,
    /// Pebble's class of the failure.
    pub kind: FileErrorKind,
    /// Pebble's words; they name paths and system errors, never content.
    pub message: String,
}

/// Pebble's classes of file errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileErrorKind {
    /// The path, or the directory it is in, does not exist.
    NotFound,
    /// Pebble may not do this.
    PermissionDenied,
    /// Everything else: a full disk, a directory in place of a file, a relative path.
    Other(String),
}

impl From<&str> for FileErrorKind {
    fn from(kind: &str) -> Self {
        match kind {
            "not-found" => Self::NotFound,
            "permission-denied" => Self::PermissionDenied,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for FileErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not-found",
            Self::PermissionDenied => "permission-denied",
            Self::Other(kind) => kind,
        })
    }
}

/// Pebble's longer messages have a line per task; a log has one line per message.
fn line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
