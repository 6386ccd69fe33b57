//! What Juju and the container have said to this hook, as they said it. `observe` fills it, `facts` reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::juju::{Hook, Status};
use crate::memory::Memory;
use crate::pebble::{CheckConfig, ServiceConfig};
use crate::probe::Probe;
use crate::relations::Relations;
use crate::secret::Secret;
use crate::temporal::Image;

/// See the module's text. Databases and servers are asked later, and answer to `facts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Why we run.
    pub hook: Hook,
    /// Is this unit the leader (for at least another 30 seconds)?
    pub leader: bool,
    /// Is this unit being removed?
    pub leaving: bool,
    /// The options.
    pub options: Map<String, Value>,
    /// The relations that exist, without one that is being broken in this hook.
    pub relations: Relations,
    /// The charm container's `/etc/resolv.conf`; empty if there is none.
    pub resolv_conf: String,
    /// Where the other units reach this one.
    pub bind_address: Option<IpAddr>,
    /// The TCP ports this unit has opened.
    pub open_ports: BTreeSet<u16>,
    /// What earlier hooks of this unit noted.
    pub memory: Memory,
    /// The unit's status now.
    pub status: Option<Status>,
    /// The application's status now; known to the leader only.
    pub app_status: Option<Status>,
    /// The workload container.
    pub workload: Probe<Workload>,
}

impl Snapshot {
    /// Nothing but the hook.
    pub fn of(hook: Hook) -> Self {
        Self {
            hook,
            leader: false,
            leaving: false,
            options: Map::new(),
            relations: Relations::new(),
            resolv_conf: String::new(),
            bind_address: None,
            open_ports: BTreeSet::new(),
            memory: Memory::default(),
            status: None,
            app_status: None,
            workload: Probe::NotAsked,
        }
    }
}

/// Facts about the `temporal` container, from its Pebble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Changes whenever the container was restarted; empty where Pebble does not tell.
    pub boot_id: String,
    /// What the image said, now or earlier in the life of this container; the error says why it does not tell the
    /// version of its server.
    pub image: Probe<Result<Image, String>>,
    /// The service in Pebble's plan; `None` when there is none yet.
    pub service: Option<Service>,
    /// The check in Pebble's plan by which it finds out whether the server serves, if the program that it starts is
    /// there.
    pub check: Option<CheckConfig>,
    /// Services of the image that run, or that Pebble starts again.
    pub others: BTreeSet<String>,
    /// The files we own that exist, by path. The pass file is among them.
    pub files: BTreeMap<String, File>,
}

/// A file in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What is in it.
    pub content: Secret<Vec<u8>>,
    /// Who may read it: the permission bits.
    pub mode: u32,
}

impl File {
    /// Is this its content?
    pub fn holds(&self, text: &Secret<String>) -> bool {
        self.content.expose() == text.expose().as_bytes()
    }
}

impl Workload {
    /// Does the server run, or will Pebble start it by itself?
    pub fn is_up(&self) -> bool {
        let state = self.service.as_ref().map(|service| service.state);
        matches!(state, Some(ServiceState::Active | ServiceState::Backoff))
    }
}

/// The `temporal` service as Pebble has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its definition in the plan.
    pub config: ServiceConfig,
    /// Is it running?
    pub state: ServiceState,
    /// The last line it printed, asked for only when it is not running as it should.
    pub last_words: Option<String>,
}

impl Service {
    /// Does it run?
    pub fn is_active(&self) -> bool {
        self.state == ServiceState::Active
    }
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
