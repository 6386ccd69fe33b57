//! The environment of one dispatch → [`Hook`]. The only file that reads the environment.

use std::path::PathBuf;

/// Why this process was started, and for which unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What happened.
    pub event: Event,
    /// The unit this process speaks for.
    pub unit: Unit,
    /// Name of the model, which on Kubernetes is the namespace.
    pub model: String,
    /// Version of the agent, as Juju spells it.
    pub juju_version: String,
    /// The directory of the unpacked charm.
    pub charm_dir: PathBuf,
}

/// A unit's name, such as `temporal-k8s/0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// The application's name.
    pub app: String,
    /// The unit's number.
    pub number: u32,
}

/// A hook or action. What is not listed has no meaning for this charm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The charm was installed.
    Install,
    /// The unit starts, or its agent came back.
    Start,
    /// The unit is about to go away.
    Stop,
    /// The last hook of a unit.
    Remove,
    /// New charm or new pod.
    UpgradeCharm,
    /// Options, trust or addresses changed.
    ConfigChanged,
    /// The regular look around.
    UpdateStatus,
    /// This unit has become the leader.
    LeaderElected,
    /// Something happened on a relation.
    Relation(RelationEvent),
    /// Something happened in a workload container.
    Workload {
        /// The container's name.
        container: String,
        /// The part of the hook name after the container, such as `pebble-ready`.
        kind: String,
    },
    /// An action was run.
    Action {
        /// The action's name.
        name: String,
    },
    /// A hook that this charm has no use for: exit 0.
    Other(String),
}

/// What happened on which relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationEvent {
    /// Our endpoint.
    pub endpoint: String,
    /// Juju's number of the relation.
    pub id: u32,
    /// Which step of the relation's life.
    pub kind: RelationEventKind,
    /// The application on the other side, where Juju names it.
    pub remote_app: Option<String>,
    /// The unit on the other side, where the event is about one.
    pub remote_unit: Option<String>,
    /// The unit that departs, in `departed`; it may be this one.
    pub departing_unit: Option<String>,
}

/// The steps of a relation's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationEventKind {
    /// The relation exists.
    Created,
    /// A remote unit has come.
    Joined,
    /// A databag has changed.
    Changed,
    /// A remote unit (or this one) goes.
    Departed,
    /// The relation is gone; its data must not be read any more.
    Broken,
}
