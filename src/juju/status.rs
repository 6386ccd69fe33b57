//! Juju's words for how a unit or an application is.

use std::fmt;

/// What `juju status` shows for a unit or the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The word.
    pub level: Level,
    /// The message, for a person.
    pub message: String,
}

/// Juju's status words that a charm may set, the most urgent last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All is well.
    Active,
    /// Work is under way.
    Maintenance,
    /// Somebody else must finish something.
    Waiting,
    /// A human must act.
    Blocked,
}

impl Level {
    /// Juju's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Maintenance => "maintenance",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
