//! Everything that one hook knows about the world, as plain data. `observe` fills it, `plan` reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::config::{BadOption, Config};
use crate::hook::Hook;
use crate::relations::Relation;
use crate::secret::Secret;
use crate::server::version::{SchemaVersion, Version};
use crate::server::{PerStore, Role};
use crate::status::Status;

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

/// All facts of one hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Why we run.
    pub hook: Hook,
    /// Is this unit the leader (for at least another 30 seconds)?
    pub leader: bool,
    /// The options, or all that is wrong with them.
    pub config: Result<Config, Vec<BadOption>>,
    /// The relations that exist, without one that is being broken in this hook.
    pub relations: Relations,
    /// Where the other units reach this one.
    pub bind_address: Option<IpAddr>,
    /// The TCP ports this unit has opened.
    pub open_ports: BTreeSet<u16>,
    /// What earlier hooks of this unit wrote down.
    pub memory: Memory,
    /// The unit's status now.
    pub status: Option<Status>,
    /// The application's status now; known to the leader only.
    pub app_status: Option<Status>,
    /// The workload container.
    pub workload: Probe<Workload>,
    /// What the databases say to the credentials that the server would use.
    pub stores: PerStore<Probe<StoreFacts>>,
    /// What the running server says.
    pub serving: Probe<Serving>,
    /// What this very hook has already done to the container.
    pub attempt: Attempt,
}

/// How far this hook's changes of the container have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Attempt {
    /// Nothing was changed yet.
    #[default]
    None,
    /// The planned changes were made.
    Done,
    /// The server was started, and exited at once. Its last line, if Pebble kept it.
    Exited(Option<String>),
    /// Nothing was changed: it is not this unit's turn to restart. The text says why.
    Postponed(String),
    /// One of the planned changes did not work out; those after it were not tried.
    Failed(Failure),
}

/// The relations of this unit, at most one for each endpoint (`limit: 1`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relations {
    /// `peer`.
    pub peer: Option<u32>,
    /// `db` and `visibility`.
    pub stores: PerStore<Option<Relation>>,
    /// `admin`.
    pub admin: Option<Relation>,
    /// `ingress`.
    pub ingress: Option<Relation>,
}

/// Facts about the `temporal` container, from its Pebble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Changes whenever the container was restarted.
    pub boot_id: String,
    /// What `temporal-server --version` answered, now or earlier in the life of this container.
    pub version: Probe<Version>,
    /// The service in Pebble's plan; `None` when there is none yet.
    pub service: Option<Service>,
    /// The files we own that exist, by path. The pass file is among them.
    pub files: BTreeMap<String, Secret<Vec<u8>>>,
}

/// The `temporal` service as Pebble has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its definition in the plan.
    pub config: crate::pebble::ServiceConfig,
    /// Is it running?
    pub state: ServiceState,
    /// The last line it printed, asked for only when it is not running as it should.
    pub last_words: Option<String>,
}

/// What Pebble says of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// Running.
    Active,
    /// Not running, and nobody wants it to.
    Inactive,
    /// It exited; Pebble starts it again after a pause.
    Backoff,
    /// It could not be started, or Pebble gave up.
    Error,
}

/// What one database says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreFacts {
    /// `curr_version` of the row that the server itself will look up; `None` without table or row.
    pub schema: Option<SchemaVersion>,
    /// The number of history shards this cluster was first started with; `None` before that, and in
    /// the visibility store.
    pub shards: Option<u32>,
}

/// What the running server says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// Each role that was asked, and why it does not serve, if it does not.
    pub roles: BTreeMap<Role, Result<(), String>>,
    /// A call that reads the store; `None` without a frontend in this unit.
    pub store: Option<Result<(), String>>,
    /// The version that the frontend reports.
    pub version: Option<Version>,
}

/// What this unit remembers between hooks (`state-get`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The connections that were once complete, so that a later mismatch of subnets does not undo them.
    pub accepted: PerStore<Option<String>>,
    /// `<boot id> <version>`: the server version of the container's current life.
    pub version: Option<String>,
    /// The workload version that Juju was told last.
    pub told_version: Option<String>,
}

impl Memory {
    const ACCEPTED_MAIN: &str = "accepted-db";
    const ACCEPTED_VISIBILITY: &str = "accepted-visibility";
    const VERSION: &str = "server-version";
    const TOLD_VERSION: &str = "told-version";

    /// How [`Memory::version`] is written down.
    pub fn version_note(boot_id: &str, version: Version) -> String {
        format!("{boot_id} {version}")
    }

    /// The server version, if it was asked in this life of the container.
    pub fn version_of(&self, boot_id: &str) -> Option<Version> {
        let (noted, version) = self.version.as_deref()?.split_once(' ')?;
        (noted == boot_id).then(|| version.parse().ok()).flatten()
    }

    /// Reads what `state-get` answers; keys of other revisions are ignored.
    pub fn from_state(state: &BTreeMap<String, String>) -> Self {
        let get = |key: &str| state.get(key).cloned();
        Self {
            accepted: PerStore {
                main: get(Self::ACCEPTED_MAIN),
                visibility: get(Self::ACCEPTED_VISIBILITY),
            },
            version: get(Self::VERSION),
            told_version: get(Self::TOLD_VERSION),
        }
    }

    /// The keys of [`Memory::from_state`] with their values.
    pub fn to_state(&self) -> BTreeMap<String, Option<String>> {
        [
            (Self::ACCEPTED_MAIN, &self.accepted.main),
            (Self::ACCEPTED_VISIBILITY, &self.accepted.visibility),
            (Self::VERSION, &self.version),
            (Self::TOLD_VERSION, &self.told_version),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect()
    }
}

/// A change of the workload that did not work out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was tried, such as "write `/etc/temporal/config/charm.yaml`".
    pub attempt: String,
    /// Why it failed, without secrets.
    pub why: String,
}

/// What fits a status of a line that the server printed: its end, where the cause of a failed start
/// stands.
pub fn shorten(line: &str) -> String {
    const FITS: usize = 160;
    let skip = line.chars().count().saturating_sub(FITS);
    line.chars().skip(skip).collect()
}
