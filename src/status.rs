//! Every status that this charm shows, its priority and its words, on one page.

/// What `juju status` shows for a unit or the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The word.
    pub level: Level,
    /// The message, for a person.
    pub message: String,
}

/// Juju's status words that a charm may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All of this unit's roles serve.
    Active,
    /// We are working.
    Maintenance,
    /// Another application or a start-up must finish.
    Waiting,
    /// A human must act; the message says how.
    Blocked,
}
