//! A real stage: the emulated Juju on the emulated node, the counterparts, clients, and the faults
//! that a test may cause. The story and the integration tests play on it.
//!
//! It works inside the sandbox only. [`main`] is the whole of a test program: it prepares what
//! needs the network, enters the sandbox and plays its scenarios one after another, each on a
//! stage (and so a network, a Juju and a `PostgreSQL`) of its own.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value};

use crate::cloud::{self, Finished, Image, Node, Process};
use crate::counterparts::admin::Admin;
use crate::counterparts::nginx::{Annotations, Generation, Nginx};
use crate::counterparts::postgresql::{Postgresql, Server};
use crate::counterparts::{CounterpartError, process};
use crate::juju::cloud::{Cloud, CloudError, Pod};
use crate::juju::{ActionOutcome, HookRun, Juju, JujuError, Source};
use crate::parts::{Part, Parts, PartsError, Temporal};
use crate::servers;

/// Our application, by the name that the admin charm dials.
pub const APP: &str = "temporal-k8s";
/// The database.
pub const POSTGRESQL: &str = "postgresql-k8s";
/// The charm that makes the schema.
pub const ADMIN: &str = "temporal-admin-k8s";
/// The way in from outside.
pub const NGINX: &str = "nginx-ingress-integrator";
/// Our workload container.
pub const CONTAINER: &str = "temporal";

const MODEL: &str = "rehearsal";
/// Juju fires update-status after five minutes without another hook; here time runs faster.
const UPDATE_STATUS: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(25);

/// What stopped a stage.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The emulated Juju could not go on.
    #[error(transparent)]
    Juju(#[from] JujuError),
    /// The node refused something.
    #[error(transparent)]
    Node(#[from] cloud::Error),
    /// A pod of a client could not be made.
    #[error("make the pod of a client")]
    Client(#[source] CloudError),
    /// A part is missing.
    #[error(transparent)]
    Parts(#[from] PartsError),
    /// A counterpart's server refused something.
    #[error(transparent)]
    Counterpart(#[from] CounterpartError),
    /// A process, or a file.
    #[error("{attempt}")]
    Io {
        /// What was attempted.
        attempt: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A hook failed.
    #[error("hook `{}` of {} failed ({}): {}", .0.hook, .0.unit, .0.exit, failure(.0))]
    Hook(Box<HookRun>),
    /// Something did not come in time.
    #[error("waited {} s for {what}; now: {found}", limit.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What was there instead.
        found: String,
    },
    /// A program of a client failed.
    #[error("`{program}` ended with {status}: {said}")]
    Program {
        /// Its name.
        program: String,
        /// How it ended.
        status: String,
        /// What it said.
        said: String,
    },
}

impl StageError {
    fn io(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Io { attempt, source }
    }
}

fn failure(run: &HookRun) -> &str {
    run.flush_error.as_ref().unwrap_or(&run.stderr).trim()
}

/// What is made outside the sandbox, where the network and the caches are.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The `.charm` file.
    pub charm: PathBuf,
    /// The directory that stays writable inside; a short path, since sockets live in it.
    pub workdir: PathBuf,
}

/// What a stage may differ in.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Temporal Server in our image, one of [`crate::parts::TEMPORAL_VERSIONS`].
    pub temporal: String,
    /// The Pebble that Juju brings, one of [`crate::parts::PEBBLE_VERSIONS`].
    pub pebble: String,
    /// How much our container's disk holds, in bytes; else as much as it likes.
    pub disk: Option<u64>,
    /// The nginx integrator that [`Stage::deploy_nginx`] deploys.
    pub integrator: Generation,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            temporal: "1.32.2".to_owned(),
            pebble: "1.19.2".to_owned(),
            disk: None,
            integrator: Generation::Today,
        }
    }
}

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// In the model: it finds the Services.
    Inside,
    /// Elsewhere: it finds the host names of Ingresses.
    Outside,
}

impl Client {
    fn unit(self) -> &'static str {
        match self {
            Self::Inside => "client/0",
            Self::Outside => "visitor/0",
        }
    }
}

/// Everything that a deployment needs, with nothing deployed yet.
pub struct Stage {
    /// The emulated Juju, for whatever the methods below do not offer.
    pub juju: Juju,
    /// The node with its pods.
    pub node: Node,
    /// The database server behind postgresql-k8s.
    pub database: Server,
    /// The annotations of the nginx integrator's Ingress.
    pub annotations: Rc<std::cell::RefCell<Annotations>>,
    /// How often a failed hook may run again before [`Stage::until`] gives up.
    pub retries: u32,
    /// When the admin application first said that the schema is ready.
    pub schema_ready: Option<SystemTime>,
    parts: Arc<Parts>,
    temporal: Temporal,
    pebble: PathBuf,
    charm: PathBuf,
    integrator: Generation,
    disk: Option<u64>,
    idle_since: Instant,
    // Last: the directory goes when everything in it has ended.
    _directory: tempfile::TempDir,
}

impl Stage {
    /// An empty stage in a directory of its own.
    pub fn new(setup: &Setup, options: &Options) -> Result<Self, StageError> {
        let directory = tempfile::Builder::new()
            .prefix("")
            .rand_bytes(4)
            .tempdir_in(&setup.workdir)
            .map_err(StageError::io("make the stage's directory"))?;
        let parts = Arc::new(Parts::locate()?);
        let temporal = parts.temporal(&options.temporal)?;
        let pebble = parts.pebble(&options.pebble)?;
        let images = BTreeMap::from([(CONTAINER.to_owned(), image(&temporal, &pebble, options))]);
        let node = Node::new(directory.path(), images)?;
        let juju = Juju::new(MODEL, Box::new(node.clone()), directory.path())?;
        let database = Server::new(node.clone(), Arc::clone(&parts))?;
        for (client, model) in [(Client::Inside, MODEL), (Client::Outside, "elsewhere")] {
            let pod = client_pod(client, model, directory.path());
            node.clone().create_pod(&pod).map_err(StageError::Client)?;
        }
        Ok(Self {
            juju,
            node,
            database,
            annotations: Rc::default(),
            retries: 0,
            schema_ready: None,
            parts,
            temporal,
            pebble,
            charm: setup.charm.clone(),
            integrator: options.integrator,
            disk: options.disk,
            idle_since: Instant::now(),
            _directory: directory,
        })
    }

    /// `juju deploy ./temporal-k8s_….charm --resource temporal-server-image=…`
    pub fn deploy(&mut self, units: u32, config: &[(&str, &str)]) -> Result<(), StageError> {
        self.deploy_as(APP, units, config)
    }

    /// The same under another name, for split deployments.
    pub fn deploy_as(
        &mut self,
        app: &str,
        units: u32,
        config: &[(&str, &str)],
    ) -> Result<(), StageError> {
        Ok(self.juju.deploy(app, Source::File(self.charm.clone()), units, config)?)
    }

    /// `juju deploy postgresql-k8s`. Units beyond the first can lead, but hold no data.
    pub fn deploy_postgresql(&mut self, units: u32) -> Result<(), StageError> {
        let server = self.database.clone();
        let charm =
            Source::Counterpart(Box::new(move |_| Box::new(Postgresql::new(server.clone()))));
        Ok(self.juju.deploy(POSTGRESQL, charm, units, &[])?)
    }

    /// `juju deploy temporal-admin-k8s`, with the tools of the server's version.
    pub fn deploy_admin(&mut self) -> Result<(), StageError> {
        let (node, parts) = (self.node.clone(), Arc::clone(&self.parts));
        let temporal = self.temporal.clone();
        let charm = Source::Counterpart(Box::new(move |_| {
            Box::new(Admin::new(node.clone(), Arc::clone(&parts), temporal.clone()))
        }));
        Ok(self.juju.deploy(ADMIN, charm, 1, &[])?)
    }

    /// `juju deploy nginx-ingress-integrator`
    pub fn deploy_nginx(&mut self, config: &[(&str, &str)]) -> Result<(), StageError> {
        let (node, parts) = (self.node.clone(), Arc::clone(&self.parts));
        let (generation, annotations) = (self.integrator, Rc::clone(&self.annotations));
        let charm = Source::Counterpart(Box::new(move |_| {
            let nginx = Nginx::new(node.clone(), Arc::clone(&parts), generation);
            *annotations.borrow_mut() = nginx.annotations();
            Box::new(nginx)
        }));
        Ok(self.juju.deploy(NGINX, charm, 1, config)?)
    }

    /// The seed's three relations.
    pub fn relate_all(&mut self) -> Result<(), StageError> {
        self.juju.integrate("temporal-k8s:db", "postgresql-k8s:db")?;
        self.juju.integrate("temporal-k8s:visibility", "postgresql-k8s:db")?;
        self.juju.integrate("temporal-k8s:admin", "temporal-admin-k8s:admin")?;
        Ok(())
    }

    /// Everything deployed and related, and all of it active.
    pub fn open(&mut self, units: u32, config: &[(&str, &str)]) -> Result<(), StageError> {
        self.deploy_postgresql(1)?;
        self.deploy_admin()?;
        self.deploy(units, config)?;
        self.relate_all()?;
        self.until_active(Duration::from_secs(180))
    }

    /// Runs hooks until none is due and `done` holds; bounded by `limit`.
    pub fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<(), StageError> {
        let start = Instant::now();
        self.idle_since = start;
        loop {
            let ran = self.step()?;
            if !ran && done(self) {
                return Ok(());
            }
            if start.elapsed() > limit {
                let (what, found) = (what.to_owned(), self.statuses());
                return Err(StageError::Late { what, limit, found });
            }
        }
    }

    /// Runs the next hook, or lets a moment pass; says which.
    fn step(&mut self) -> Result<bool, StageError> {
        let Some(run) = self.juju.step()? else {
            std::thread::sleep(LOOK);
            if self.idle_since.elapsed() > UPDATE_STATUS {
                self.idle_since = Instant::now();
                let apps: Vec<String> = self.juju.model().applications.keys().cloned().collect();
                apps.iter().try_for_each(|app| self.juju.update_status(app))?;
            }
            return Ok(false);
        };
        self.idle_since = Instant::now();
        self.note_schema();
        let failed = self.juju.model().unit(&run.unit).and_then(|unit| unit.agent.failed.as_ref());
        if failed.is_some_and(|failed| failed.attempts > self.retries) {
            return Err(StageError::Hook(Box::new(run)));
        }
        Ok(true)
    }

    fn note_schema(&mut self) {
        let said = self.juju.relation("temporal-k8s:admin").is_some_and(|id| {
            let bag = self.juju.databag(id, ADMIN);
            bag.get("schema_status").is_some_and(|status| status == "ready")
        });
        if said && self.schema_ready.is_none() {
            self.schema_ready = Some(SystemTime::now());
        }
    }

    /// Waits until every unit of every application is active.
    pub fn until_active(&mut self, limit: Duration) -> Result<(), StageError> {
        self.until("all units to be active", limit, |stage| {
            stage.statuses_of(None).iter().all(|(_, status)| status == "active")
        })
    }

    /// Waits until every unit of our application has a status.
    pub fn until_status(&mut self, status: &str, limit: Duration) -> Result<(), StageError> {
        self.until(&format!("{APP} to be {status}"), limit, |stage| {
            let units = stage.statuses_of(Some(APP));
            !units.is_empty() && units.iter().all(|(_, it)| it == status)
        })
    }

    fn statuses_of(&self, app: Option<&str>) -> Vec<(String, String)> {
        let model = self.juju.model();
        let units = app.map_or_else(|| model.unit_names(), |app| model.units_of(app));
        let status = |unit: &String| model.unit(unit).map(|it| it.status.status.clone());
        units.iter().map(|unit| (unit.clone(), status(unit).unwrap_or_default())).collect()
    }

    fn statuses(&self) -> String {
        let model = self.juju.model();
        let shown = |unit: &String| {
            let status = &model.unit(unit)?.status;
            Some(format!("{unit} {} {:?}", status.status, status.message))
        };
        model.unit_names().iter().filter_map(shown).collect::<Vec<_>>().join(", ")
    }

    /// `juju run unit action key=value …`
    pub fn run(
        &mut self,
        unit: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Result<ActionOutcome, StageError> {
        let params: Map<String, Value> =
            params.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        Ok(self.juju.run_action(unit, action, params)?)
    }

    /// Starts a workflow, has a worker execute it and waits for its result: all through `address`,
    /// whose host is also the authority.
    pub fn hello(
        &self,
        client: Client,
        address: &str,
        id: &str,
        limit: Duration,
    ) -> Result<Value, StageError> {
        let interpreter = self.parts.interpreter()?;
        let start = servers::temporal::hello(&interpreter, address, "default", id, limit);
        let directory = self.node.pod_directory(client.unit())?.join(id);
        // It has a limit of its own, and is given a moment to say what it waited for.
        let finished = self.finish(client, &process(&start, directory, "hello"), limit + LIMIT)?;
        let unreadable = |_| program("hello", &finished);
        serde_json::from_str(&finished.stdout).map_err(unreadable)
    }

    /// Runs the `temporal` CLI in the model, against our Service.
    pub fn cli(&self, arguments: &[&str]) -> Result<String, StageError> {
        let directory = self.node.pod_directory(Client::Inside.unit())?.join("cli");
        let process = Process::new(self.parts.temporal_cli()?, directory)
            .args(arguments)
            .args(["--address", "temporal-k8s:7233"]);
        let finished = self.finish(Client::Inside, &process, LIMIT)?;
        Ok(finished.stdout)
    }

    fn finish(
        &self,
        client: Client,
        process: &Process,
        limit: Duration,
    ) -> Result<Finished, StageError> {
        let running = self.node.spawn_in_pod(client.unit(), process)?;
        let finished = running.wait(limit).map_err(StageError::io("wait for a client"))?;
        if finished.status.success() { Ok(finished) } else { Err(program("client", &finished)) }
    }

    /// A change of postgresql-k8s' leader, after which the new leader renews the password of every
    /// relation in which it hears of a change. Needs two units of it.
    pub fn move_database_leader(&mut self, unit: &str) -> Result<(), StageError> {
        self.juju.set_leader(POSTGRESQL, unit)?;
        Ok(())
    }

    /// Fills what is left of our container's disk; needs [`Options::disk`].
    pub fn fill_disk(&self, unit: &str) -> Result<(), StageError> {
        const SMALLEST: u64 = 512;
        let mut size = self.disk.unwrap_or_default();
        let mut number = 0;
        while size >= SMALLEST {
            number += 1;
            // Pebble writes aside and renames: a file that does not fit leaves nothing behind.
            if !self.push_zeros(unit, &format!("/fill-{number}"), size)? {
                size /= 2;
            }
        }
        Ok(())
    }

    fn push_zeros(&self, unit: &str, path: &str, size: u64) -> Result<bool, StageError> {
        let directory = self.node.pod_directory(unit)?.join("containers").join(CONTAINER);
        let zeros = tempfile::NamedTempFile::new_in(&directory)
            .and_then(|file| file.as_file().set_len(size).map(|()| file))
            .map_err(StageError::io("make a large file"))?;
        let mut command = std::process::Command::new(&self.pebble);
        command
            .arg("push")
            .arg(zeros.path())
            .arg(path)
            .env("PEBBLE_SOCKET", directory.join("shared/pebble.socket"));
        let output = command.output().map_err(StageError::io("push a file"))?;
        Ok(output.status.success())
    }

    /// Restarts our container: its files are those of the image again.
    pub fn restart_container(&self, unit: &str) -> Result<(), StageError> {
        Ok(self.node.restart_container(unit, CONTAINER)?)
    }

    /// Gives our containers another image from their next start on, as `juju attach-resource` does.
    pub fn set_temporal(&mut self, version: &str) -> Result<(), StageError> {
        self.temporal = self.parts.temporal(version)?;
        let options = Options { disk: self.disk, ..Options::default() };
        self.node.set_image(CONTAINER, image(&self.temporal, &self.pebble, &options));
        Ok(())
    }
}

/// How long a quick client may take, in any case.
const LIMIT: Duration = Duration::from_secs(30);

fn program(name: &str, finished: &Finished) -> StageError {
    StageError::Program {
        program: name.to_owned(),
        status: finished.status.to_string(),
        said: format!("{}{}", finished.stdout, finished.stderr),
    }
}

/// What is in `temporalio/server` as far as a charm can see it.
fn image(temporal: &Temporal, pebble: &Path, options: &Options) -> Image {
    let image = Image::new(pebble)
        .file(&temporal.server, "/usr/local/bin/temporal-server")
        .working_directory("/etc/temporal")
        .directory("/etc/temporal/config/dynamicconfig")
        .text("/etc/temporal/config/dynamicconfig/docker.yaml", "", 0o644)
        .environment("TEMPORAL_HOME", "/etc/temporal");
    match options.disk {
        Some(bytes) => image.size(bytes),
        None => image,
    }
}

/// A pod without containers; what it says of tools and sockets is used for charms only.
fn client_pod(client: Client, model: &str, directory: &Path) -> Pod {
    let unit = client.unit().to_owned();
    Pod {
        model: model.to_owned(),
        app: unit.split('/').next().unwrap_or_default().to_owned(),
        unit,
        charm: None,
        containers: Vec::new(),
        tools: directory.to_owned(),
        agent_socket: directory.to_owned(),
    }
}

/// A scenario's end: anything but `Ok` is a failure, and so is a panic.
pub type Outcome = Result<(), Box<dyn Error>>;

/// A scenario on real parts.
pub struct Scenario {
    /// A sentence in snake case.
    pub name: &'static str,
    /// Plays it on stages of its own.
    pub play: fn(&Setup) -> Outcome,
}

/// Makes the parts that stages need; outside the sandbox, where the network is.
pub fn prepare(temporal: &[&str], pebble: &[&str]) -> Result<(), StageError> {
    let parts = Parts::locate()?;
    let versions = |all: &[&str], part: fn(String) -> Part| -> Vec<Part> {
        all.iter().map(|version| part((*version).to_owned())).collect()
    };
    parts.prepare(&versions(temporal, Part::Temporal))?;
    parts.prepare(&versions(pebble, Part::Pebble))?;
    parts.prepare(&[Part::Postgresql, Part::TemporalCli, Part::Nginx, Part::Python])?;
    // Laying one out makes the cached data directory.
    let first = tempfile::tempdir().map_err(StageError::io("make a directory"))?;
    let port = 5432;
    servers::postgresql::Postgresql::lay(&parts, first.path(), port)
        .map_err(CounterpartError::from)?;
    Ok(())
}

/// A new directory for [`Setup::workdir`]; its path is short.
pub fn workdir() -> Result<tempfile::TempDir, StageError> {
    let made = tempfile::Builder::new().prefix("rehearsal-").tempdir();
    made.map_err(StageError::io("make the working directory"))
}
