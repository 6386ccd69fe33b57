//! The charms on the other side of our relations: honest counterparts of postgresql-k8s,
//! temporal-admin-k8s and nginx-ingress-integrator.
//!
//! They say on the wire what the real charms say, and do to the real servers what those do. They
//! run in the rehearsal's own process, held to Juju's rules by the same `HookContext` as a charm.
//! They must never know anything of our charm but what it publishes.

pub mod admin;
pub mod nginx;
pub mod postgresql;
mod tctl;

use std::path::PathBuf;

use crate::cloud::{self, Process};
use crate::juju::context::ToolError;
use crate::servers::Start;
use crate::servers::nginx::NginxError;
use crate::servers::postgresql::PostgresqlError;

/// Why a counterpart's hook failed. The unit is then in error and Juju runs the hook again.
#[derive(Debug, thiserror::Error)]
pub enum CounterpartError {
    /// Juju refused something.
    #[error("a hook tool refused")]
    Juju(#[from] ToolError),
    /// The node refused something.
    #[error("the node refused")]
    Node(#[from] cloud::Error),
    /// `PostgreSQL` could not be laid out or started.
    #[error("PostgreSQL does not run")]
    Postgresql(#[from] PostgresqlError),
    /// nginx could not be laid out or configured.
    #[error("nginx does not run")]
    Nginx(#[from] NginxError),
    /// A process could not be waited for or signalled, or a file not be written.
    #[error("{attempt}")]
    Io {
        /// What was attempted.
        attempt: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Another charm published what this one cannot use.
    #[error("cannot read `{key}` of the other side: {reason}")]
    Databag {
        /// The key.
        key: &'static str,
        /// What is wrong with it, without its value.
        reason: String,
    },
    /// A program of the workload ended badly.
    #[error("`{program}` ended with {status}: {said}")]
    Program {
        /// Its name and step.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it printed.
        said: String,
    },
}

impl CounterpartError {
    fn io(attempt: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Io { attempt, source }
    }
}

/// A program start as a process of a pod, with `directory` as its own.
pub fn process(start: &Start, directory: impl Into<PathBuf>, name: &str) -> Process {
    let (program, arguments) = start.argv.split_first().map_or_else(
        || (PathBuf::new(), &[][..]),
        |(program, arguments)| (PathBuf::from(program), arguments),
    );
    start.environment.iter().fold(
        Process::new(program, directory)
            .args(arguments.iter().cloned())
            .name(name),
        |process, (name, value)| process.env(name, value),
    )
}

/// The end of a text, for error messages.
fn tail(text: &str) -> String {
    const LINES: usize = 20;
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(LINES)..)
        .unwrap_or_default()
        .join("\n")
}
