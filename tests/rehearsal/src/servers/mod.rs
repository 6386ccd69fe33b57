//! The real servers of a rehearsal, without the pods that they run in: what to write for them, how
//! to start them, how to ask them. Called by the counterparts and by tests; starts nothing that
//! stays by itself, and knows nothing of networks or mounts.

pub mod asker;
pub mod certificates;
pub mod http;
pub mod ipfs;
pub mod ipfs_cluster;
pub mod nginx;
pub mod postgresql;
pub mod rabbitmq;
pub mod running;
pub mod temporal;

use std::ffi::OsString;

/// One program start: what a pod runs, or a test without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The program and its arguments. Never holds a secret.
    pub argv: Vec<OsString>,
    /// Variables that the program needs beside those that it inherits.
    pub environment: Vec<(String, OsString)>,
}

impl Start {
    fn new(argv: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
        }
    }

    /// The same as a command of the standard library.
    pub fn command(&self) -> std::process::Command {
        let mut words = self.argv.iter();
        let mut command = std::process::Command::new(words.next().cloned().unwrap_or_default());
        command
            .args(words)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}
