//! What a unit agent remembers: which of the model's facts its charm has been told.
//!
//! Juju keeps it in the controller, so it survives pods. The scheduler compares it with the model.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::SystemTime;

use serde_json::Value;

use super::event::Event;

/// What a unit agent already told its charm about a relation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalRelation {
    /// relation-created ran.
    pub created: bool,
    /// Joined units with the bag version told.
    pub members: BTreeMap<String, u64>,
    /// The remote application bag's version told.
    pub app_version: u64,
    /// A unit that joined and whose changed hook comes next.
    pub changed_next: Option<String>,
}

/// What config-changed was last told; another value means another config-changed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConfigSeen {
    /// Effective options.
    pub settings: serde_json::Map<String, Value>,
    /// `juju trust`.
    pub trust: bool,
    /// Pod and Service address.
    pub addresses: Vec<IpAddr>,
}

/// A hook that did not end well.
#[derive(Debug, Clone, PartialEq)]
pub struct Failed {
    /// The event to run again.
    pub event: Event,
    /// How often it ran.
    pub attempts: u32,
    /// The unit shows `error`; not so after a mere signal.
    pub error: bool,
}

/// A unit agent's memory, which Juju keeps in the controller.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one hook that ran or is due"
)]
pub struct Agent {
    /// install ran.
    pub installed: bool,
    /// start ran at least once.
    pub started: bool,
    /// start is due in this pod.
    pub start_due: bool,
    /// The pod is new: upgrade-charm is due.
    pub upgrade_due: bool,
    /// What config-changed was told, `None` if it must run.
    pub config: Option<ConfigSeen>,
    /// Leadership was told.
    pub leader_told: bool,
    /// A non-leader's first leader-settings-changed was told.
    pub settings_told: bool,
    /// Relations told.
    pub relations: BTreeMap<u32, LocalRelation>,
    /// The newest revision told of each secret that the unit has read, by id.
    pub secrets: BTreeMap<String, u32>,
    /// Unused revisions of own secrets that were told.
    pub obsolete: BTreeSet<(String, u32)>,
    /// Expired revisions that were told, and when they are told again.
    pub expired: BTreeMap<(String, u32), SystemTime>,
    /// Boot ids told by pebble-ready.
    pub boots: BTreeMap<String, String>,
    /// The last notice of each container's Pebble that was looked at.
    pub noticed: BTreeMap<String, String>,
    /// The hook that is to be retried before anything else.
    pub failed: Option<Failed>,
    /// Hooks for what Pebble said of its checks, and those that only the test can cause.
    pub injected: VecDeque<Event>,
    /// update-status is due.
    pub update_status: bool,
    /// stop ran while dying.
    pub stopped: bool,
    /// The agent has been started again since it entered its relations. It then takes its peer
    /// relations for others, which break when the unit leaves.
    pub restarted: bool,
}
