//! The closed list of things we can do to the world, in the order in which they may happen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::juju::LogLevel;
use crate::pebble::ServiceConfig;
use crate::secret::Secret;
use crate::snapshot::Snapshot;
use crate::status::Status;

/// The right to write the application's data. Only a snapshot of the leader gives it out, so that a
/// plan for another unit cannot hold such a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership(());

impl Leadership {
    /// `Some` exactly for the leader.
    pub fn of(snapshot: &Snapshot) -> Option<Self> {
        snapshot.leader.then_some(Self(()))
    }
}

/// One change. Each is exact: nothing is left to decide when it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A status shown while the next effects are under way.
    Announce(Status),
    /// Stop the server.
    Stop,
    /// Write a file into the container, mode 600, replacing it as a whole.
    Write {
        /// Where.
        path: &'static str,
        /// What.
        content: Secret<String>,
    },
    /// Remove a file from the container.
    Delete {
        /// Which.
        path: &'static str,
    },
    /// Tell Pebble what the service is.
    Layer(ServiceConfig),
    /// Let Pebble start or restart what differs from its plan.
    Replan,
    /// Restart the server although nothing differs.
    Restart,
    /// Open TCP ports of the application's Service.
    OpenPorts(BTreeSet<u16>),
    /// Close TCP ports.
    ClosePorts(BTreeSet<u16>),
    /// Write into the application's databag; `None` removes a key.
    PublishApp {
        /// Only the leader can.
        leadership: Leadership,
        /// Juju's number of the relation.
        relation: u32,
        /// The keys to change.
        entries: BTreeMap<String, Option<Secret<String>>>,
    },
    /// Write into this unit's databag; `None` removes a key.
    PublishUnit {
        /// Juju's number of the relation.
        relation: u32,
        /// The keys to change.
        entries: BTreeMap<String, Option<Secret<String>>>,
    },
    /// Remember something for later hooks of this unit; `None` forgets it.
    Remember {
        /// The keys to change.
        entries: BTreeMap<String, Option<String>>,
    },
    /// Tell Juju the workload's version.
    TellVersion {
        /// Only the leader does.
        leadership: Leadership,
        /// As `juju status` shows it.
        version: String,
    },
    /// A line for `juju debug-log`.
    Log {
        /// Juju's level.
        level: LogLevel,
        /// Without secrets.
        text: String,
    },
    /// The application's status.
    AppStatus {
        /// Only the leader can.
        leadership: Leadership,
        /// The status.
        status: Status,
    },
    /// The unit's status.
    UnitStatus(Status),
    /// Results of the action.
    ActionResult {
        /// Lower-case keys.
        results: BTreeMap<String, String>,
    },
    /// The action has failed.
    ActionFailed {
        /// Why, and what to do.
        message: String,
    },
}

impl Effect {
    /// Does it change the container? Those effects come first; afterwards the container is looked at
    /// again, and planned again, before anything is told to Juju.
    pub const fn is_workload(&self) -> bool {
        match self {
            Self::Announce(_)
            | Self::Stop
            | Self::Write { .. }
            | Self::Delete { .. }
            | Self::Layer(_)
            | Self::Replan
            | Self::Restart => true,
            Self::OpenPorts(_)
            | Self::ClosePorts(_)
            | Self::PublishApp { .. }
            | Self::PublishUnit { .. }
            | Self::Remember { .. }
            | Self::TellVersion { .. }
            | Self::Log { .. }
            | Self::AppStatus { .. }
            | Self::UnitStatus(_)
            | Self::ActionResult { .. }
            | Self::ActionFailed { .. } => false,
        }
    }

    /// What is tried, as the end of "could not …" in a status.
    pub fn attempt(&self) -> String {
        match self {
            Self::Replan => "start the server".to_owned(),
            Self::Layer(_) => "tell Pebble about the server".to_owned(),
            other => other.to_string(),
        }
    }

    /// The place in the order of effects.
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Announce(_) => 0,
            Self::Stop => 1,
            Self::Write { .. } | Self::Delete { .. } => 2,
            Self::Layer(_) => 3,
            Self::Replan | Self::Restart => 4,
            Self::OpenPorts(_) | Self::ClosePorts(_) => 5,
            Self::PublishApp { .. } | Self::PublishUnit { .. } => 6,
            Self::Remember { .. } => 7,
            Self::TellVersion { .. } => 8,
            Self::Log { .. } => 9,
            Self::AppStatus { .. } | Self::UnitStatus(_) => 10,
            Self::ActionResult { .. } | Self::ActionFailed { .. } => 11,
        }
    }
}

/// A short text without secrets: values of databags and files are left out.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = |entries: &BTreeMap<String, Option<Secret<String>>>| {
            let words: Vec<String> = entries
                .iter()
                .map(|(key, value)| {
                    if value.is_some() {
                        key.clone()
                    } else {
                        format!("-{key}")
                    }
                })
                .collect();
            words.join(" ")
        };
        match self {
            Self::Announce(status) => {
                write!(f, "announce {}: {}", status.level.word(), status.message)
            }
            Self::Stop => f.write_str("stop the server"),
            Self::Write { path, .. } => write!(f, "write `{path}`"),
            Self::Delete { path } => write!(f, "delete `{path}`"),
            Self::Layer(service) => write!(f, "layer: {}", service.command),
            Self::Replan => f.write_str("replan"),
            Self::Restart => f.write_str("restart the server"),
            Self::OpenPorts(ports) => write!(f, "open ports {ports:?}"),
            Self::ClosePorts(ports) => write!(f, "close ports {ports:?}"),
            Self::PublishApp {
                relation, entries, ..
            } => {
                write!(
                    f,
                    "publish for the application on {relation}: {}",
                    keys(entries)
                )
            }
            Self::PublishUnit { relation, entries } => {
                write!(f, "publish for this unit on {relation}: {}", keys(entries))
            }
            Self::Remember { entries } => {
                f.write_str("remember")?;
                entries.iter().try_for_each(|(key, value)| match value {
                    Some(value) => write!(f, " {key}={value}"),
                    None => write!(f, " -{key}"),
                })
            }
            Self::TellVersion { version, .. } => write!(f, "workload version {version}"),
            Self::Log { level, text } => write!(f, "log {level:?}: {text}"),
            Self::AppStatus { status, .. } => {
                write!(f, "application {}: {}", status.level.word(), status.message)
            }
            Self::UnitStatus(status) => {
                write!(f, "unit {}: {}", status.level.word(), status.message)
            }
            Self::ActionResult { results } => write!(f, "action result {results:?}"),
            Self::ActionFailed { message } => write!(f, "action failed: {message}"),
        }
    }
}
