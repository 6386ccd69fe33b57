//! The answer of a question that may fail.

/// The answer of a question that may fail: a thing that cannot be reached is a fact, not an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Probe<T> {
    /// It was not needed in this hook.
    #[default]
    NotAsked,
    /// The answer.
    Known(T),
    /// No answer. The text says why, for a person, without secrets.
    Unreachable(String),
}

impl<T> Probe<T> {
    /// The answer, if there is one.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::NotAsked | Self::Unreachable(_) => None,
        }
    }
}
