//! The controller's state of one model, as plain data.
//!
//! Everything here computes and nothing touches the world. Commands change it, the scheduler reads
//! it, hooks see it through [`super::context::HookContext`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::actions::Actions;
use super::memory::{Agent, ConfigSeen};
use super::metadata::{Metadata, Role};
use super::options::Options;
use super::secrets::Secrets;

/// Keys and values of one databag.
pub type Settings = BTreeMap<String, String>;

/// A databag and how often it effectively changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bag {
    /// What is in it.
    pub settings: Settings,
    /// Counts effective changes; watchers compare it.
    pub version: u64,
}

impl Bag {
    /// Applies changes, an empty value deleting its key; counts only what really differs.
    pub fn apply(&mut self, changes: &Settings) {
        let mut next = self.settings.clone();
        merge(&mut next, changes);
        if next != self.settings {
            self.settings = next;
            self.version += 1;
        }
    }
}

/// Puts changes over settings; an empty value deletes the key.
pub(super) fn merge(settings: &mut Settings, changes: &Settings) {
    for (key, value) in changes {
        if value.is_empty() {
            settings.remove(key);
        } else {
            settings.insert(key.clone(), value.clone());
        }
    }
}

/// A status with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusEntry {
    /// Juju's word: `active`, `blocked`, …
    pub status: String,
    /// The charm's message.
    pub message: String,
    /// When it was set.
    #[serde(skip)]
    pub since: SystemTime,
}

impl StatusEntry {
    /// A status set now.
    pub fn now(status: &str, message: &str) -> Self {
        Self {
            status: status.to_owned(),
            message: message.to_owned(),
            since: SystemTime::now(),
        }
    }
}

/// One side of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The application.
    pub app: String,
    /// Its endpoint.
    pub endpoint: String,
    /// Its role.
    pub role: Role,
}

/// A relation. Peer relations have one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its number, never used again.
    pub id: u32,
    /// The sides, requirer first.
    pub sides: Vec<Side>,
    /// The interface spoken.
    pub interface: String,
    /// Being removed.
    pub dying: bool,
    /// The controller has removed it although its last unit never left; only that unit's agent still
    /// believes in it (Juju 4).
    pub gone: bool,
    /// Units that are in it.
    pub scope: BTreeSet<String>,
    /// Units in it that are on their way out, which the others no longer see.
    pub leaving: BTreeSet<String>,
    /// Databags of applications.
    pub apps: BTreeMap<String, Bag>,
    /// Databags of units.
    pub units: BTreeMap<String, Bag>,
}

impl Relation {
    /// Whether it relates an application's units with each other.
    pub fn is_peer(&self) -> bool {
        self.sides.len() == 1
    }

    /// The application's side.
    pub fn side(&self, app: &str) -> Option<&Side> {
        self.sides.iter().find(|side| side.app == app)
    }

    /// The application on the other side, itself for a peer relation.
    pub fn remote_app(&self, app: &str) -> Option<&str> {
        let other = self.sides.iter().find(|side| side.app != app);
        other
            .or_else(|| self.side(app))
            .map(|side| side.app.as_str())
    }

    /// Juju's key: `requirer:endpoint provider:endpoint`.
    pub fn key(&self) -> String {
        let sides: Vec<String> = self
            .sides
            .iter()
            .map(|side| format!("{}:{}", side.app, side.endpoint))
            .collect();
        sides.join(" ")
    }

    /// The units that `unit` of `app` sees in it.
    pub fn visible_units(&self, app: &str, unit: &str) -> BTreeSet<String> {
        let remote = self.remote_app(app).unwrap_or_default();
        self.scope
            .iter()
            .filter(|it| app_of(it) == remote && *it != unit && !self.leaving.contains(*it))
            .cloned()
            .collect()
    }
}

/// What the agent last saw of its pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// The pod's address.
    pub pod_ip: Option<IpAddr>,
    /// Pebble boot ids of the containers that answer.
    pub boots: BTreeMap<String, String>,
}

/// An open port of a unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// The number; 0 for icmp.
    pub number: u16,
    /// `tcp`, `udp` or `icmp`.
    pub protocol: String,
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.protocol.as_str() {
            "icmp" => f.write_str("icmp"),
            protocol => write!(f, "{}/{protocol}", self.number),
        }
    }
}

/// One unit.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Being removed.
    pub dying: bool,
    /// What the charm said last.
    pub status: StatusEntry,
    /// Everything it said, oldest first.
    pub history: Vec<StatusEntry>,
    /// The charm, not Juju, has set a status.
    pub status_by_charm: bool,
    /// `state-set` data.
    pub state: Settings,
    /// `application-version-set`
    pub version: String,
    /// Open ports with the endpoints they are opened for (empty text: all).
    pub ports: BTreeSet<(Port, String)>,
    /// The agent.
    pub agent: Agent,
    /// The pod as last seen.
    pub observed: Observed,
}

impl Unit {
    pub(super) fn new() -> Self {
        let status = StatusEntry::now("waiting", "installing agent");
        Self {
            dying: false,
            history: vec![status.clone()],
            status,
            status_by_charm: false,
            state: Settings::new(),
            version: String::new(),
            ports: BTreeSet::new(),
            agent: Agent {
                start_due: true,
                ..Agent::default()
            },
            observed: Observed::default(),
        }
    }

    pub(super) fn set_status(&mut self, status: &str, message: &str) {
        self.status = StatusEntry::now(status, message);
        self.history.push(self.status.clone());
    }
}

/// One application.
#[derive(Debug, Clone)]
pub struct Application {
    /// The charm's metadata.
    pub metadata: Metadata,
    /// The charm's options.
    pub options: Options,
    /// The charm's actions.
    pub actions: Actions,
    /// Options set by the operator.
    pub settings: BTreeMap<String, Value>,
    /// `juju trust`.
    pub trust: bool,
    /// The leader.
    pub leader: Option<String>,
    /// `status-set --application`, if the charm ever did.
    pub status: Option<StatusEntry>,
    /// Units by number.
    pub units: BTreeMap<u32, Unit>,
    /// Being removed.
    pub dying: bool,
    /// Address of its Service as last seen.
    pub service_ip: Option<IpAddr>,
}

impl Application {
    /// The workload's version that `juju status` shows: what the newest unit told, and nothing as long as
    /// that one told nothing, whatever the others did.
    pub fn version(&self) -> &str {
        let newest = self.units.values().next_back();
        newest.map_or("", |unit| unit.version.as_str())
    }
}

/// The application's name in a unit's name.
pub fn app_of(unit: &str) -> &str {
    unit.split_once('/').map_or(unit, |(app, _)| app)
}

pub(super) fn number_of(unit: &str) -> Option<u32> {
    unit.split_once('/')
        .and_then(|(_, number)| number.parse().ok())
}

/// The state of a model.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its name, and the Kubernetes namespace.
    pub name: String,
    /// Its UUID, derived from the name.
    pub uuid: String,
    /// The controller's version.
    pub juju: (u32, u32, u32),
    /// Applications by name.
    pub applications: BTreeMap<String, Application>,
    /// Relations by number.
    pub relations: BTreeMap<u32, Relation>,
    /// Secrets.
    pub secrets: Secrets,
    /// What time it is for rotations and expiries; it moves only with [`super::Juju::pass`].
    pub clock: SystemTime,
    pub(super) next_relation: u32,
    pub(super) next_action: u32,
}

impl Model {
    /// An empty model.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            uuid: uuid_of(name),
            juju: (3, 6, 11),
            applications: BTreeMap::new(),
            relations: BTreeMap::new(),
            secrets: Secrets::default(),
            clock: SystemTime::now(),
            next_relation: 0,
            next_action: 0,
        }
    }

    /// A unit by name.
    pub fn unit(&self, unit: &str) -> Option<&Unit> {
        self.applications
            .get(app_of(unit))?
            .units
            .get(&number_of(unit)?)
    }

    /// A unit by name, to change it.
    pub fn unit_mut(&mut self, unit: &str) -> Option<&mut Unit> {
        self.applications
            .get_mut(app_of(unit))?
            .units
            .get_mut(&number_of(unit)?)
    }

    /// Whether the unit leads its application.
    pub fn is_leader(&self, unit: &str) -> bool {
        self.applications
            .get(app_of(unit))
            .and_then(|app| app.leader.as_deref())
            == Some(unit)
    }

    /// All units in name and number order.
    pub fn unit_names(&self) -> Vec<String> {
        let of = |(name, app): (&String, &Application)| -> Vec<String> {
            app.units
                .keys()
                .map(|number| format!("{name}/{number}"))
                .collect()
        };
        self.applications.iter().flat_map(of).collect()
    }

    /// The units of one application in number order.
    pub fn units_of(&self, app: &str) -> Vec<String> {
        let numbers = self
            .applications
            .get(app)
            .into_iter()
            .flat_map(|it| it.units.keys());
        numbers.map(|number| format!("{app}/{number}")).collect()
    }

    /// The relations of an application.
    pub fn relations_of(&self, app: &str) -> impl Iterator<Item = &Relation> {
        self.relations
            .values()
            .filter(move |relation| relation.side(app).is_some())
    }

    /// The ports that the application's Service has: the union over its units.
    pub fn ports_of(&self, app: &str) -> BTreeSet<u16> {
        let units = self
            .applications
            .get(app)
            .into_iter()
            .flat_map(|it| it.units.values());
        units
            .flat_map(|unit| &unit.ports)
            .filter(|(port, _)| port.number != 0)
            .map(|(port, _)| port.number)
            .collect()
    }

    /// What config-changed would be told now.
    pub fn config_of(&self, unit: &str) -> ConfigSeen {
        let Some(app) = self.applications.get(app_of(unit)) else {
            return ConfigSeen::default();
        };
        let pod = self.unit(unit).and_then(|it| it.observed.pod_ip);
        ConfigSeen {
            settings: app.options.effective(&app.settings, false),
            trust: app.trust,
            addresses: pod.into_iter().chain(app.service_ip).collect(),
        }
    }
}

/// A stable UUID made of the model's name, so that two runs print the same.
fn uuid_of(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    let mut bytes = [0; 16];
    bytes
        .iter_mut()
        .zip(digest)
        .for_each(|(to, from)| *to = from);
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-4{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}
