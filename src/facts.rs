//! [`Snapshot`] → [`Facts`]: everything that was said, parsed once. What comes after reads no databag, option or
//! version; the server that should run is rendered and hashed here, and only here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::cluster;
use crate::config::{self, BadOption, Config};
use crate::container;
use crate::juju::{Event, Hook, Status};
use crate::memory::Memory;
use crate::pebble::{CheckConfig, ServiceConfig};
use crate::postgres::StoreFacts;
use crate::probe::Probe;
use crate::relations::{self, Heard, Own, Relations, State};
use crate::secret::Secret;
use crate::snapshot::{Snapshot, Workload};
use crate::temporal::health::Serving;
use crate::temporal::{Database, Image, PerStore, Role, Store, Version, name_in};

/// Everything that one hook knows.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Why we run.
    pub hook: Hook,
    /// The right to speak for the application, if this unit leads it and neither comes nor goes: what is true of such
    /// a unit is not true of the application (law S17).
    pub leadership: Option<Leadership>,
    /// Is this unit being removed?
    pub leaving: bool,
    /// The options, or all that is wrong with them.
    pub config: Result<Config, Vec<BadOption>>,
    /// The databags of the relations that exist.
    pub relations: Relations,
    /// What those databags mean.
    pub heard: Heard,
    /// The cluster's domain, such as `cluster.local`.
    pub cluster_domain: String,
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
    /// The server as it should be, if enough is known to say so.
    pub server: Option<Server>,
    /// What the databases say to the credentials that the server would use.
    pub stores: PerStore<Probe<StoreFacts>>,
    /// What the running server says.
    pub serving: Probe<Serving>,
    /// What this very hook has already done to the container.
    pub attempt: Attempt,
}

/// The right to write the application's data. Only the facts of the leader hold it, so that a plan for another unit
/// cannot hold such a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership(());

/// The files and the service that the container should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What the image says of itself.
    pub image: Image,
    /// The number of history shards.
    pub shards: u32,
    /// The two databases.
    pub databases: PerStore<Database>,
    /// The most connections that it may have to each of them.
    pub connections: PerStore<u32>,
    /// The files, by path.
    pub files: BTreeMap<&'static str, Secret<String>>,
    /// The Pebble service.
    pub service: ServiceConfig,
    /// The Pebble check.
    pub check: CheckConfig,
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

/// A change of the container that did not work out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was tried, such as "write `/etc/temporal/config/charm.yaml`".
    pub attempt: String,
    /// Why it failed, without secrets.
    pub why: String,
}

impl Facts {
    /// Parses all that was said. Nobody has been asked about databases and servers yet.
    pub fn of(snapshot: Snapshot) -> Self {
        let config = config::parse(&snapshot.options);
        let app = &snapshot.hook.unit.app;
        let memory = snapshot.memory;
        let comes_or_goes =
            snapshot.leaving || matches!(snapshot.hook.event, Event::Install | Event::Stop);
        let heard = relations::hear(&snapshot.relations, app, config.as_ref().ok(), &memory);
        let domain = cluster::domain(&snapshot.resolv_conf, &snapshot.hook.model);
        let mut facts = Self {
            cluster_domain: domain.to_owned(),
            hook: snapshot.hook,
            leadership: (snapshot.leader && !comes_or_goes).then_some(Leadership(())),
            leaving: snapshot.leaving,
            config,
            relations: snapshot.relations,
            heard,
            bind_address: snapshot.bind_address,
            open_ports: snapshot.open_ports,
            memory,
            status: snapshot.status,
            app_status: snapshot.app_status,
            workload: snapshot.workload,
            server: None,
            stores: PerStore::default(),
            serving: Probe::NotAsked,
            attempt: Attempt::None,
        };
        facts.server = facts.server();
        facts
    }

    /// The same with what the databases and the server answered: a new cluster's number of shards is the charm's to
    /// choose, another's is kept in its store.
    pub fn answer(&mut self, stores: PerStore<Probe<StoreFacts>>, serving: Probe<Serving>) {
        self.stores = stores;
        self.serving = serving;
        self.server = self.server();
    }

    /// The number of history shards: the option's, else the store's, else the default.
    fn shards(&self, config: &Config) -> u32 {
        let stored = self.stores.main.known().and_then(|store| store.shards);
        config.shards.or(stored).unwrap_or(config::SHARDS)
    }

    fn server(&self) -> Option<Server> {
        let config = self.config.as_ref().ok()?;
        let image = self.image()?;
        let databases = self.heard.connections()?;
        let roles = self.roles(config);
        let count = u32::try_from(roles.len()).unwrap_or(u32::MAX);
        let pools = container::config::pools(config.connections, count);
        let text = container::config::render(&container::config::Inputs {
            version: image.version,
            databases: databases.clone(),
            pools: pools.clone(),
            shards: self.shards(config),
            log_level: config.log_level,
            broadcast_address: self.bind_address?,
        });
        let stores = container::layer::identity(&databases);
        let service = container::layer::service(image, &roles, &text, &stores);
        let check = container::check::config(self.bind_address?, image.version, &roles);
        let mut files = container::read_again(&databases);
        files.insert(container::config::PATH, Secret::new(text));
        let dynamic = Secret::new(container::dynamic::render());
        files.insert(container::dynamic::PATH, dynamic);
        Some(Server {
            image: image.clone(),
            shards: self.shards(config),
            databases: PerStore::of(|store| (*databases.get(store)).clone()),
            connections: PerStore::of(|store| pools.get(store) * count),
            files,
            service,
            check,
        })
    }

    /// What this unit knows of itself, for what it says on relations.
    pub fn own(&self) -> Own<'_> {
        Own {
            unit: &self.hook.unit,
            model: &self.hook.model,
            cluster_domain: &self.cluster_domain,
            leader: self.leadership.is_some(),
            address: self.bind_address,
            config: self.config.as_ref().ok(),
            heard: &self.heard,
        }
    }

    /// What the image says of itself, if it told.
    pub fn image(&self) -> Option<&Image> {
        self.workload.known()?.image.known()?.as_ref().ok()
    }

    /// The version of the server in the image, if it told one.
    pub fn version(&self) -> Option<Version> {
        self.image().map(|image| image.version)
    }

    /// The version to show: what the running frontend says of itself, else what the binary says.
    pub fn workload_version(&self) -> Option<Version> {
        let running = self.serving.known().and_then(|serving| serving.version);
        running.or(self.version())
    }

    /// The configured roles, and the internal frontend where the version has it: it comes with the frontend.
    pub fn roles(&self, config: &Config) -> BTreeSet<Role> {
        let mut roles = config.services.clone();
        if roles.contains(&Role::Frontend)
            && self.version().is_some_and(Version::has_internal_frontend)
        {
            roles.insert(Role::InternalFrontend);
        }
        roles
    }

    /// The connections on which the server runs, as they are now, passwords included: known from memory, so that
    /// neither bad options nor a closed gate hide them. `None` when it does not run, or when its relations say
    /// something else now.
    pub fn running(&self) -> Option<PerStore<Database>> {
        let workload = self.workload.known()?;
        let of = |store| {
            let accepted = self.memory.accepted.get(store).as_deref()?;
            let offers = self.heard.offers.get(store).as_ref()?;
            match offers.of(&name_in(accepted)?, Some(accepted)) {
                State::Ready(database) => Some(database),
                State::Absent | State::Waiting(_) | State::Invalid(_) => None,
            }
        };
        let databases = PerStore {
            main: of(Store::Main)?,
            visibility: of(Store::Visibility)?,
        };
        let identity = container::layer::identity(&databases.as_ref());
        let runs_on = container::layer::stores(&workload.service.as_ref()?.config)?;
        (workload.is_up() && runs_on == identity).then_some(databases)
    }
}
