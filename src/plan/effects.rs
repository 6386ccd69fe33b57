//! The closed list of things we can do to the world: [`Change`]s of the container and [`Note`]s to Juju, each in the
//! order in which they may happen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::container::{READ_AGAIN, config};
use crate::facts::Leadership;
use crate::juju::{LogLevel, Status};
use crate::pebble::{CheckConfig, ServiceConfig};
use crate::secret::Secret;
use crate::temporal::{Database, Role, Version};

/// What to do. While there are changes, they are all there is: what Juju is told depends on what comes of them, and
/// is planned after they were made. Its text is free of secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The unit's status while the changes are under way.
    pub announce: Option<Status>,
    /// The turn to restart (law S6), if the changes need it. Without it only [`Plan::without_turn`] is done.
    pub turn: Option<Turn>,
    /// What the changes come to, in words for the log; no part of the plan's own text.
    pub summary: String,
    /// What to change in the container, in the order of [`Change::rank`] but for what [`Plan::change`] says.
    pub changes: Vec<Change>,
    /// What to tell Juju, sorted by [`Note::rank`].
    pub notes: Vec<Note>,
}

/// The turn to restart that changes need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The database that hands it out, which all units of a cluster share.
    pub database: Database,
    /// What is asked for besides.
    pub terms: Terms,
}

/// What a turn depends on, and what depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terms {
    /// The server serves: it restarts only while the other units serve, so that a bad change takes down one.
    OthersServe(OtherUnits),
    /// The server does not serve: a restart takes nothing away, and may be the cure.
    Any,
    /// The server runs on a store that is another one now: it leaves that in its turn or, after a while, without (law
    /// S2). If it serves, it lets the other units serve first for as long.
    OrWithout(Option<OtherUnits>),
}

/// Who the other units are, and what they run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherUnits {
    /// Juju's number of the relation among them; `None` when this unit has no peers.
    pub relation: Option<u32>,
    /// What they run, those that were restarted already and those that were not.
    pub roles: BTreeSet<BTreeSet<Role>>,
    /// Where all history processes of the cluster are: one that owns no shard is as it should be, if others own all.
    pub histories: BTreeSet<IpAddr>,
    /// How many shards there are.
    pub shards: u32,
    /// What the image calls itself.
    pub version: Version,
    /// Where their heartbeats are, if nothing else tells that they serve: that is so of workers before 1.31.
    pub heartbeats: Option<Database>,
}

impl Plan {
    /// Changes the container, files first; a configuration file that alone has changed after the stop. With `announce`,
    /// the status says so meanwhile.
    pub fn change(
        summary: impl Into<String>,
        announce: Option<Status>,
        mut changes: Vec<Change>,
    ) -> Self {
        let same_layer = !changes.iter().any(|it| matches!(it, Change::Layer(_)));
        changes.sort_by_key(|change| match change {
            // Written before the stop, it would look as it should if the hook ended there, whatever the server read
            // when it was started: nothing else would tell. With another layer, Pebble's plan does.
            Change::Write { path, .. } if same_layer && *path == config::PATH => {
                (Change::Stop.rank(), true)
            }
            change => (change.rank(), false),
        });
        Self {
            announce,
            summary: summary.into(),
            changes,
            ..Self::default()
        }
    }

    /// Tells Juju.
    pub fn tell(mut notes: Vec<Note>) -> Self {
        notes.sort_by_key(Note::rank);
        Self {
            notes,
            ..Self::default()
        }
    }

    /// Is there nothing to do?
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.notes.is_empty()
    }

    /// What is done at once though the turn does not come: a rotated password or another authority waits for nobody,
    /// since the server reads their files by itself, and what the image runs beside our server should not run.
    pub fn without_turn(&self) -> Vec<Change> {
        let waits_for_nobody = |change: &&Change| match change {
            Change::Write { path, .. } => READ_AGAIN.contains(path),
            Change::StopOthers(_) => true,
            Change::Watch(_)
            | Change::Stop
            | Change::Delete { .. }
            | Change::Layer(_)
            | Change::Start => false,
        };
        self.changes
            .iter()
            .filter(waits_for_nobody)
            .cloned()
            .collect()
    }

    /// Do the changes start the server, be it again?
    pub fn starts(&self) -> bool {
        self.changes.contains(&Change::Start)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let announce = self
            .announce
            .iter()
            .map(|status| format!("announce {}: {}", status.level.word(), status.message));
        let changes = self.changes.iter().map(ToString::to_string);
        let notes = self.notes.iter().map(ToString::to_string);
        let lines: Vec<String> = announce.chain(changes).chain(notes).collect();
        if lines.is_empty() {
            f.write_str("nothing to do")
        } else {
            f.write_str(&lines.join("\n"))
        }
    }
}

/// One change of the container. Each is exact: nothing is left to decide when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Stop services of the image that run beside ours.
    StopOthers(BTreeSet<String>),
    /// Write a file into the container, mode 600, replacing it as a whole.
    Write {
        /// Where.
        path: &'static str,
        /// What.
        content: Secret<String>,
    },
    /// Have Pebble find out whether the server serves.
    Watch(CheckConfig),
    /// Stop the server.
    Stop,
    /// Remove a file from the container.
    Delete {
        /// Which.
        path: &'static str,
    },
    /// Tell Pebble what the service is. Only ever while it is stopped, so that a server that runs was started with
    /// what Pebble's plan says, whatever became of the hook that started it (law S18).
    Layer(ServiceConfig),
    /// Start the server, and nothing else that the image may bring (law S16).
    Start,
}

impl Change {
    /// What is tried, as the end of "could not …" in a status.
    pub fn attempt(&self) -> String {
        match self {
            Self::Layer(_) => "tell Pebble about the server".to_owned(),
            Self::StopOthers(_)
            | Self::Write { .. }
            | Self::Watch(_)
            | Self::Stop
            | Self::Delete { .. }
            | Self::Start => self.to_string(),
        }
    }

    /// The place in the order of changes. Files come before the stop: what the server reads only at its start does
    /// not touch one that runs, and a disk that is full does not stop it. The files that the configuration names come
    /// before it: without them a server that Pebble starts again in between would end.
    pub fn rank(&self) -> u8 {
        match self {
            Self::StopOthers(_) => 0,
            Self::Write { path, .. } if READ_AGAIN.contains(path) => 1,
            Self::Write { .. } | Self::Watch(_) => 2,
            Self::Stop => 3,
            Self::Delete { .. } | Self::Layer(_) => 4,
            Self::Start => 5,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StopOthers(names) => write!(f, "stop {}", quoted(names)),
            Self::Write { path, .. } => write!(f, "write `{path}`"),
            Self::Watch(_) => f.write_str("watch whether the server serves"),
            Self::Stop => f.write_str("stop the server"),
            Self::Delete { path } => write!(f, "delete `{path}`"),
            Self::Layer(service) => write!(f, "layer: {}", service.command),
            Self::Start => f.write_str("start the server"),
        }
    }
}

/// Names in back-ticks.
pub(super) fn quoted(names: &BTreeSet<String>) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// One thing that Juju is told. Each is exact, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
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
    /// Tell Juju the version of this unit's server. `juju status` shows the newest unit's, so each tells its own.
    TellVersion {
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

impl Note {
    /// The place in the order of notes.
    pub const fn rank(&self) -> u8 {
        match self {
            Self::OpenPorts(_) | Self::ClosePorts(_) => 0,
            Self::PublishApp { .. } | Self::PublishUnit { .. } => 1,
            Self::Remember { .. } => 2,
            Self::TellVersion { .. } => 3,
            Self::Log { .. } => 4,
            Self::AppStatus { .. } | Self::UnitStatus(_) => 5,
            Self::ActionResult { .. } | Self::ActionFailed { .. } => 6,
        }
    }
}

/// Values of databags are left out.
impl fmt::Display for Note {
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
            Self::OpenPorts(ports) => write!(f, "open ports {ports:?}"),
            Self::ClosePorts(ports) => write!(f, "close ports {ports:?}"),
            Self::PublishApp {
                relation, entries, ..
            } => {
                let keys = keys(entries);
                write!(f, "publish for the application on {relation}: {keys}")
            }
            Self::PublishUnit { relation, entries } => {
                write!(f, "publish for this unit on {relation}: {}", keys(entries))
            }
            Self::Remember { entries } => {
                f.write_str("remember")?;
                entries.iter().try_for_each(|(key, value)| match value {
                    Some(_) => write!(f, " {key}"),
                    None => write!(f, " -{key}"),
                })
            }
            Self::TellVersion { version } => write!(f, "workload version {version}"),
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
