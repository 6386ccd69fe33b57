//! How far a relation is.

/// What a relation says, once parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State<T> {
    /// The endpoint is not related.
    #[default]
    Absent,
    /// Related; the other side has not said enough yet. The text names what is missing.
    Waiting(String),
    /// Complete.
    Ready(T),
    /// The other side said something that cannot be used. The text names the field and the remedy.
    Invalid(String),
}

impl<T> State<T> {
    /// The relation exists, and Juju could not read it in this hook: see [`Relation`](crate::juju::Relation).
    pub fn unread() -> Self {
        Self::Waiting("Juju cannot read it at the moment".to_owned())
    }
}
