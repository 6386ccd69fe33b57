//! A real stage: the emulated Juju on the emulated node, the counterparts, clients, and the faults
//! that a test may cause. The story and the integration tests play on it.
//!
//! It works inside the sandbox only; [`programme`] is the way in for a test program. The program that
//! plays must be the hook tools when it is started under their names.

mod clients;
mod faults;
mod inside;
pub mod programme;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value};

pub use clients::{Client, Writer, Written};
pub use inside::ContainerFile;

use crate::cloud::{self, Family, Image, Node};
use crate::counterparts::CounterpartError;
use crate::counterparts::admin::Admin;
use crate::counterparts::nginx::{Annotations, Generation, Nginx};
use crate::counterparts::postgresql::client::{Terms, Track};
use crate::counterparts::postgresql::{Postgresql, Server};
use crate::juju::cloud::{Cloud, CloudError};
use crate::juju::{ActionOutcome, HookRun, Juju, JujuError, Source};
use crate::parts::{Parts, PartsError, Temporal};
use crate::servers::certificates::{Authority, Certificate, Valid};
use clients::client_pod;

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
    Counterpart(Box<CounterpartError>),
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
    /// No certificate could be made.
    #[error("make a certificate")]
    Certificate(#[source] rcgen::Error),
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

impl From<CounterpartError> for StageError {
    fn from(error: CounterpartError) -> Self {
        Self::Counterpart(Box::new(error))
    }
}

fn issuer() -> Result<Authority, StageError> {
    Authority::new("postgresql", Valid::Now).map_err(StageError::Certificate)
}

fn certificate(issuer: &Authority, node: &Node) -> Result<Certificate, StageError> {
    let name = Server::primary(POSTGRESQL, MODEL, &node.domain());
    let issued = issuer.issue("postgresql", &[&name], Valid::Now);
    issued.map_err(StageError::Certificate)
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
    /// From which the order of hooks and the addresses of pods are drawn; else [`crate::seed`].
    pub seed: Option<u64>,
    /// How much our container's disk holds, in bytes; else as much as it likes.
    pub disk: Option<u64>,
    /// The nginx integrator that [`Stage::deploy_nginx`] deploys.
    pub integrator: Generation,
    /// What our image brings besides the server.
    pub brings: Brings,
    /// The addresses that pods and Services have.
    pub family: Family,
    /// Over which interface both databases are had.
    pub databases: Interface,
    /// Whether PostgreSQL has TLS, which only the interface of today tells.
    pub tls: bool,
}

/// Over which interface our charm gets its databases, and from which postgresql-k8s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Interface {
    /// `pgsql`, from track 14.
    #[default]
    Legacy,
    /// `postgresql_client`, from track 16.
    Modern,
}

impl Interface {
    /// Our endpoints, of the main and of the visibility store, and theirs.
    pub fn endpoints(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::Legacy => [
                ("temporal-k8s:db", "postgresql-k8s:db"),
                ("temporal-k8s:visibility", "postgresql-k8s:db"),
            ],
            Self::Modern => [
                ("temporal-k8s:database", "postgresql-k8s:database"),
                (
                    "temporal-k8s:visibility-database",
                    "postgresql-k8s:database",
                ),
            ],
        }
    }
}

/// What an image brings besides the server.
#[derive(Debug, Clone, Default)]
pub struct Brings {
    /// Files with their contents, mode 644.
    pub files: Vec<(String, String)>,
    /// Variables of the environment.
    pub variables: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            temporal: "1.32.2".to_owned(),
            pebble: "1.19.2".to_owned(),
            seed: None,
            disk: None,
            integrator: Generation::Today,
            brings: Brings::default(),
            family: Family::default(),
            databases: Interface::default(),
            tls: false,
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
    /// What postgresql-k8s says on its endpoint `database`, and which track it is.
    pub terms: Terms,
    /// The annotations of the nginx integrator's Ingress.
    pub annotations: Rc<RefCell<Annotations>>,
    /// Whether the admin application makes the schema of an older server.
    pub old_schema: Rc<Cell<bool>>,
    /// How often a failed hook may run again before [`Stage::until`] gives up.
    pub retries: u32,
    /// When the admin application first said that the schema is ready.
    pub schema_ready: Option<SystemTime>,
    parts: Arc<Parts>,
    temporal: Temporal,
    pebble: PathBuf,
    charm: PathBuf,
    integrator: Generation,
    databases: Interface,
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
        let node = Node::new(directory.path(), images, options.family)?;
        let mut juju = Juju::new(MODEL, Box::new(node.clone()), directory.path())?;
        let seed = options.seed.unwrap_or_else(crate::seed);
        juju.seed(seed);
        node.seed(seed);
        programme::note(&format!("{}={seed}", crate::SEED));
        juju.on_hook(programme::remember);
        let database = Server::new(node.clone(), Arc::clone(&parts))?;
        let terms = Terms::default();
        if options.databases == Interface::Modern {
            terms.track(Track::Sixteen);
        }
        if options.tls {
            let issuer = issuer()?;
            database.show(&certificate(&issuer, &node)?)?;
            terms.tls(Some(&issuer.pem()));
        }
        for (client, model) in [(Client::Inside, MODEL), (Client::Outside, "elsewhere")] {
            let pod = client_pod(client, model, directory.path());
            node.clone().create_pod(&pod).map_err(StageError::Client)?;
        }
        Ok(Self {
            juju,
            node,
            database,
            terms,
            annotations: Rc::default(),
            old_schema: Rc::default(),
            retries: 0,
            schema_ready: None,
            parts,
            temporal,
            pebble,
            charm: setup.charm.clone(),
            integrator: options.integrator,
            databases: options.databases,
            disk: options.disk,
            idle_since: Instant::now(),
            _directory: directory,
        })
    }

    /// PostgreSQL gets a certificate of another authority, and its charm tells which; then all sessions end.
    pub fn renew_certificate(&mut self) -> Result<(), StageError> {
        let issuer = issuer()?;
        self.database.show(&certificate(&issuer, &self.node)?)?;
        self.terms.tls(Some(&issuer.pem()));
        self.juju.update_status(POSTGRESQL)?;
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                      WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        self.database.query("postgres", others)?;
        Ok(())
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
        let charm = self.charm();
        Ok(self.juju.deploy(app, charm, units, config)?)
    }

    /// `juju deploy postgresql-k8s`. Units beyond the first can lead, but hold no data.
    pub fn deploy_postgresql(&mut self, units: u32) -> Result<(), StageError> {
        let (server, terms) = (self.database.clone(), self.terms.clone());
        let charm = Source::Counterpart(Box::new(move |_| {
            Box::new(Postgresql::new(server.clone(), terms.clone()))
        }));
        Ok(self.juju.deploy(POSTGRESQL, charm, units, &[])?)
    }

    /// `juju deploy temporal-admin-k8s`, with the tools of the server's version.
    pub fn deploy_admin(&mut self) -> Result<(), StageError> {
        let (node, parts) = (self.node.clone(), Arc::clone(&self.parts));
        let (temporal, old_schema) = (self.temporal.clone(), Rc::clone(&self.old_schema));
        let charm = Source::Counterpart(Box::new(move |_| {
            let (node, parts) = (node.clone(), Arc::clone(&parts));
            let (temporal, old_schema) = (temporal.clone(), Rc::clone(&old_schema));
            Box::new(Admin::new(node, parts, temporal, old_schema))
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

    /// Our charm.
    pub fn charm(&self) -> Source {
        Source::File(self.charm.clone())
    }

    /// The relations to both databases and to the admin application.
    pub fn relate_all(&mut self) -> Result<(), StageError> {
        for (ours, theirs) in self.databases.endpoints() {
            self.juju.integrate(ours, theirs)?;
        }
        self.juju
            .integrate("temporal-k8s:admin", "temporal-admin-k8s:admin")?;
        Ok(())
    }

    /// Everything deployed and related, and all of it active.
    pub fn open(&mut self, units: u32, config: &[(&str, &str)]) -> Result<(), StageError> {
        self.deploy_postgresql(1)?;
        self.deploy_admin()?;
        self.deploy(units, config)?;
        self.relate_all()?;
        self.until_active(Duration::from_mins(3))
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
                apps.iter()
                    .try_for_each(|app| self.juju.update_status(app))?;
            }
            return Ok(false);
        };
        self.idle_since = Instant::now();
        self.note_schema();
        let failed = self
            .juju
            .model()
            .unit(&run.unit)
            .and_then(|unit| unit.agent.failed.as_ref());
        if failed.is_some_and(|failed| failed.attempts > self.retries) {
            return Err(StageError::Hook(Box::new(run)));
        }
        Ok(true)
    }

    fn note_schema(&mut self) {
        let said = self.juju.relation("temporal-k8s:admin").is_some_and(|id| {
            let bag = self.juju.databag(id, ADMIN);
            bag.get("schema_status")
                .is_some_and(|status| status == "ready")
        });
        if said && self.schema_ready.is_none() {
            self.schema_ready = Some(SystemTime::now());
        }
    }

    /// Waits until every unit of every application is active.
    pub fn until_active(&mut self, limit: Duration) -> Result<(), StageError> {
        self.until("all units to be active", limit, |stage| {
            stage
                .statuses_of(None)
                .iter()
                .all(|(_, status)| status == "active")
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
        units
            .iter()
            .map(|unit| (unit.clone(), status(unit).unwrap_or_default()))
            .collect()
    }

    fn statuses(&self) -> String {
        let model = self.juju.model();
        let shown = |unit: &String| {
            let status = &model.unit(unit)?.status;
            Some(format!("{unit} {} {:?}", status.status, status.message))
        };
        model
            .unit_names()
            .iter()
            .filter_map(shown)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// `juju run unit action key=value …`
    pub fn run(
        &mut self,
        unit: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Result<ActionOutcome, StageError> {
        let params: Map<String, Value> = params
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
            .collect();
        Ok(self.juju.run_action(unit, action, params)?)
    }
}

/// A file of the image, which is empty and which the server wants.
const EMPTY: &str = "/etc/temporal/config/dynamicconfig/docker.yaml";

/// What is in `temporalio/server` as far as a charm can see it.
fn image(temporal: &Temporal, pebble: &Path, options: &Options) -> Image {
    let image = Image::new(pebble)
        .file(&temporal.server, "/usr/local/bin/temporal-server")
        .working_directory("/etc/temporal")
        .directory("/etc/temporal/config/dynamicconfig")
        .text(EMPTY, "", 0o644)
        .environment("TEMPORAL_HOME", "/etc/temporal");
    let files = options.brings.files.iter();
    let image = files.fold(image, |image, (path, content)| {
        image.text(path, content.as_bytes(), 0o644)
    });
    let variables = options.brings.variables.iter();
    let image = variables.fold(image, |image, (name, value)| image.environment(name, value));
    match options.disk {
        Some(bytes) => image.size(bytes),
        None => image,
    }
}
