//! Juju as a charm sees it: the context of a hook, databags, statuses, the hook tools and the log. Knows nothing
//! of Temporal.

mod context;
mod databag;
mod direct;
mod gob;
mod log;
mod status;
mod tools;
mod transport;

pub use context::{
    Agent, Error as ContextError, Event, Hook, NotAUnit, RelationEvent, RelationEventKind,
    SecretEventKind, Unit,
};
pub use databag::{Databag, Relation, digest, entries, is_secret_uri};
pub use log::{Log, Took, Watch};
pub use status::{Level, Status};
pub use tools::{ApplicationStatus, LogLevel};
pub use transport::{Error, Juju};
