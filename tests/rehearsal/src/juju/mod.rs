//! An emulated Juju: controller, unit agents and hook tools, with Juju's own rules.
//!
//! ```text
//! commands → Model ← hook tools
//!              ↓          ↑
//!          pending() → dispatch → flush → acknowledge
//! ```
//!
//! It refuses what Juju refuses. What Kubernetes does is behind [`Cloud`]; charms are `.charm`
//! archives, or Rust values for the other side of a relation ([`Charm`]). Not emulated: storage,
//! subordinates, machines, cross-model relations, several models.

pub mod actions;
mod agents;
mod bags;
pub mod charm;
pub mod cloud;
mod commands;
pub mod context;
mod dispatch;
pub mod event;
pub mod faults;
pub mod flush;
mod gob;
mod hooks;
pub mod memory;
pub mod metadata;
pub mod model;
pub mod options;
pub mod plain;
mod protocol;
pub mod record;
pub mod relate;
pub mod schedule;
mod scopes;
pub mod secrets;
mod socket;
pub mod status;
pub mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use charm::{Charm, CharmError, CharmFactory, Source};
pub use cloud::{CheckNotice, Cloud, CloudError, Pod};
pub use context::{HookContext, Network, ToolError};
pub use event::{
    ActionEvent, Event, PebbleChange, RelationChange, RelationEvent, SecretChange, SecretEvent,
};
pub use faults::{Failure, Fault, Wire};
pub use model::{Model, Settings, StatusEntry};
pub use protocol::{as_hook_tool, hook_tool_main};
pub use record::{ActionOutcome, ActionStatus, Exit, HookRun, LogLine, ToolCall, Traffic};
pub use relate::Refusal;
pub use secrets::{Reading, SecretChanges, SecretOwner};
pub use status::StatusPage;

/// Why a command or a hook run could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum JujuError {
    /// Juju itself says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The charm cannot be deployed.
    #[error(transparent)]
    Charm(#[from] CharmError),
    /// The cloud could not do it.
    #[error("cannot {attempt} {what}")]
    Cloud {
        /// What was tried.
        attempt: &'static str,
        /// With which unit or application.
        what: String,
        /// Why not.
        source: CloudError,
    },
    /// Our own files and sockets.
    #[error("cannot {attempt}")]
    Io {
        /// What was tried.
        attempt: String,
        /// Why not.
        source: io::Error,
    },
    /// A hook failed more often than allowed.
    #[error("hook failed: \"{hook}\" on {unit}: {exit}: {stderr}", hook = .0.hook, unit = .0.unit, exit = .0.exit, stderr = .0.flush_error.as_ref().unwrap_or(&.0.stderr).trim())]
    HookFailed(Box<HookRun>),
    /// The model did not come to rest.
    #[error("not settled after {limit:?}, waiting for {waiting}")]
    Unsettled {
        /// How long it was given.
        limit: Duration,
        /// What is still due.
        waiting: String,
    },
}

impl JujuError {
    fn cloud(attempt: &'static str, what: &str, source: CloudError) -> Self {
        Self::Cloud {
            attempt,
            what: what.to_owned(),
            source,
        }
    }
}

/// Which of several due hooks runs first.
#[derive(Debug)]
pub enum OrderOfEvents {
    /// Units take turns; each unit's hooks come in the order recorded on a real controller. What
    /// has no order there (which relation is next) is drawn from [`Juju::seed`].
    Calm,
    /// Any order that Juju may legally produce.
    Shuffled(fastrand::Rng),
}

impl OrderOfEvents {
    /// A shuffle that can be had again with the same seed.
    pub fn shuffled(seed: u64) -> Self {
        Self::Shuffled(fastrand::Rng::with_seed(seed))
    }
}

type Observer = Box<dyn FnMut(&HookRun)>;
type Lose = Box<dyn FnMut(&str, &Event) -> bool>;
type BeforeFlush = Box<dyn FnMut(&str, &Event, &mut Model)>;

/// A controller with one model, and the agents of its units.
pub struct Juju {
    model: Model,
    cloud: Box<dyn Cloud>,
    workdir: PathBuf,
    tools: PathBuf,
    sources: BTreeMap<String, Source>,
    charms: BTreeMap<String, Box<dyn Charm>>,
    listeners: BTreeMap<String, UnixListener>,
    born: BTreeMap<String, Instant>,
    exposed: BTreeMap<String, BTreeSet<u16>>,
    hidden_services: BTreeSet<String>,
    outcomes: BTreeMap<u32, ActionOutcome>,
    order: OrderOfEvents,
    seed: u64,
    chance: fastrand::Rng,
    turn: usize,
    faults: Vec<Fault>,
    lose: Option<Lose>,
    observer: Option<Observer>,
    before_flush: Option<BeforeFlush>,
    hook_limit: Duration,
    tools_only: bool,
    boot_grace: Duration,
    retries: u32,
    log: Vec<HookRun>,
}

impl Juju {
    /// An empty model. `workdir` takes the tools and the agents' sockets; its path must be short
    /// enough for sockets (about 60 bytes). This program is behind the hook tools: it must begin with
    /// [`as_hook_tool`].
    pub fn new(model: &str, cloud: Box<dyn Cloud>, workdir: &Path) -> Result<Self, JujuError> {
        let find = |source| JujuError::Io {
            attempt: "find this program".to_owned(),
            source,
        };
        let program = std::env::current_exe().map_err(find)?;
        Self::with_tools(model, cloud, workdir, &program)
    }

    /// The same with another program behind the hook tools; it must call [`hook_tool_main`].
    pub fn with_tools(
        model: &str,
        cloud: Box<dyn Cloud>,
        workdir: &Path,
        program: &Path,
    ) -> Result<Self, JujuError> {
        let tools = workdir.join("tools");
        commands::install_tools(&tools, program).map_err(|source| JujuError::Io {
            attempt: format!("make the hook tools in {}", tools.display()),
            source,
        })?;
        let seed = crate::seed();
        Ok(Self {
            model: Model::new(model),
            cloud,
            workdir: workdir.to_owned(),
            tools,
            sources: BTreeMap::new(),
            charms: BTreeMap::new(),
            listeners: BTreeMap::new(),
            born: BTreeMap::new(),
            exposed: BTreeMap::new(),
            hidden_services: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            order: OrderOfEvents::Calm,
            seed,
            chance: fastrand::Rng::with_seed(seed),
            turn: 0,
            faults: Vec::new(),
            lose: None,
            observer: None,
            before_flush: None,
            hook_limit: Duration::from_mins(2),
            tools_only: false,
            boot_grace: Duration::from_secs(30),
            retries: 0,
            log: Vec::new(),
        })
    }

    /// The controller's version, 3.6.11 unless told otherwise.
    pub fn set_version(&mut self, version: (u32, u32, u32)) {
        self.model.juju = version;
    }

    /// Which of several due hooks runs first.
    pub fn order(&mut self, order: OrderOfEvents) {
        self.order = order;
    }

    /// Draws anew, from this seed, whatever has no fixed order in real Juju either. A test that
    /// panics says the seed that it had; the variable [`crate::SEED`] gives it again.
    pub fn seed(&mut self, seed: u64) {
        self.seed = seed;
        self.chance = fastrand::Rng::with_seed(seed);
    }

    /// Loses the events for which the predicate holds: the agent takes them as told. install and
    /// remove, without which a unit has no life, and actions are never lost.
    pub fn drop_events(&mut self, predicate: impl FnMut(&str, &Event) -> bool + 'static) {
        self.lose = Some(Box::new(predicate));
    }

    /// No event is lost any more.
    pub fn keep_events(&mut self) {
        self.lose = None;
    }

    /// Called with every hook as it ends.
    pub fn on_hook(&mut self, observer: impl FnMut(&HookRun) + 'static) {
        self.observer = Some(Box::new(observer));
    }

    /// Called when a dispatch has ended and before its changes are flushed, so that a test can
    /// change the model in the worst moment (leadership lost, relation gone).
    pub fn before_flush(&mut self, act: impl FnMut(&str, &Event, &mut Model) + 'static) {
        self.before_flush = Some(Box::new(act));
    }

    /// Makes hook tools fail.
    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// All hook tools work again.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// A dispatch that runs longer is killed and counts as failed.
    pub fn hook_limit(&mut self, limit: Duration) {
        self.hook_limit = limit;
    }

    /// Whether charms are told to use the hook tools and never the agent's socket itself.
    pub fn tools_only(&mut self, only: bool) {
        self.tools_only = only;
    }

    /// How long a new pod's Pebble may be silent while [`Juju::settle`] waits for it.
    pub fn boot_grace(&mut self, grace: Duration) {
        self.boot_grace = grace;
    }

    /// How often [`Juju::settle`] lets a failed hook run again before it gives up.
    pub fn retries(&mut self, retries: u32) {
        self.retries = retries;
    }

    /// Whether the application's Service address is not known yet, as early in its life.
    pub fn hide_service_address(&mut self, app: &str, hidden: bool) {
        if hidden {
            self.hidden_services.insert(app.to_owned());
        } else {
            self.hidden_services.remove(app);
        }
    }

    /// The controller's state.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The controller's state, for what no command makes in reasonable time, such as a thousand units.
    pub fn model_mut(&mut self) -> &mut Model {
        &mut self.model
    }

    /// The cloud below.
    pub fn cloud(&self) -> &dyn Cloud {
        &*self.cloud
    }

    /// The cloud below, for what only it can do.
    pub fn cloud_mut(&mut self) -> &mut dyn Cloud {
        &mut *self.cloud
    }

    /// `juju status --relations`
    pub fn status(&self) -> StatusPage {
        StatusPage::of(&self.model)
    }

    /// Every hook so far.
    pub fn log(&self) -> &[HookRun] {
        &self.log
    }

    /// The names of a unit's hooks so far.
    pub fn hooks_of(&self, unit: &str) -> Vec<&str> {
        self.log
            .iter()
            .filter(|run| run.unit == unit)
            .map(|run| run.hook.as_str())
            .collect()
    }

    /// The number of the relation at `app:endpoint`, if there is exactly one.
    pub fn relation(&self, side: &str) -> Option<u32> {
        let (app, endpoint) = side.split_once(':')?;
        let mut found = self
            .model
            .relations_of(app)
            .filter(|it| !it.gone)
            .filter(|it| it.side(app).is_some_and(|side| side.endpoint == endpoint));
        let id = found.next()?.id;
        found.next().is_none().then_some(id)
    }

    /// A databag, of a unit (`pg/0`) or an application (`pg`); empty if never written.
    pub fn databag(&self, relation: u32, who: &str) -> Settings {
        let Some(relation) = self.model.relations.get(&relation) else {
            return Settings::new();
        };
        let bags = if who.contains('/') {
            &relation.units
        } else {
            &relation.apps
        };
        bags.get(who)
            .map(|bag| bag.settings.clone())
            .unwrap_or_default()
    }

    /// What the charm set for a unit.
    pub fn unit_status(&self, unit: &str) -> Option<&StatusEntry> {
        self.model.unit(unit).map(|it| &it.status)
    }

    /// What the charm set for an application, if it did.
    pub fn app_status(&self, app: &str) -> Option<&StatusEntry> {
        self.model.applications.get(app)?.status.as_ref()
    }

    /// A unit's open ports like `7233/tcp`.
    pub fn opened_ports(&self, unit: &str) -> Vec<String> {
        let ports = self.model.unit(unit).into_iter().flat_map(|it| &it.ports);
        ports.map(|(port, _)| port.to_string()).collect()
    }
}

impl Drop for Juju {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed of this model: {}={}", crate::SEED, self.seed);
        }
    }
}
