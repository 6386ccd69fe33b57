//! What is done in a cluster: look, compare, carry out, wait, remove; make accounts.

pub mod apply;
pub mod check;
pub mod delete;
mod events;
pub mod plan;
pub mod ready;
pub mod status;
pub mod user;
pub mod wait;

use std::time::Duration;

use crate::kubernetes::Kubernetes;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster.
    #[error(transparent)]
    Api(#[from] crate::kubernetes::Error),
    /// What is in the way, and what to do.
    #[error("{0}")]
    Said(String),
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Self::Said(text)
    }
}

impl Error {
    /// The same, with what was tried in front.
    fn during(self, what: impl std::fmt::Display) -> Self {
        Self::Said(format!("{what}: {}", crate::error::chain(&self)))
    }
}

/// Who tells a person how it goes.
pub trait Progress {
    /// Something was done.
    fn done(&mut self, what: &str);
    /// Something is waited for: so many of so many things are as they should be, and what is in the way.
    fn waits(&mut self, what: &str, ready: u64, wanted: u64);
    /// The API server has warned.
    fn warns(&mut self, warnings: &[String]) {
        for warning in warnings {
            self.done(&format!("warning: the API server says: {warning}"));
        }
    }
}

/// Something that is being done, and may take its time.
pub struct Run<'a> {
    /// Where.
    kubernetes: &'a Kubernetes,
    /// How long each wait may take.
    limit: Duration,
    /// Who is told.
    progress: &'a mut dyn Progress,
}

impl<'a> Run<'a> {
    /// Here, with so much time for each wait, and in somebody's hearing.
    pub fn new(
        kubernetes: &'a Kubernetes,
        limit: Duration,
        progress: &'a mut dyn Progress,
    ) -> Self {
        Self {
            kubernetes,
            limit,
            progress,
        }
    }
}
