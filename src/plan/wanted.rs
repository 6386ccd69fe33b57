//! What the facts amount to: the databases, and the server that this unit should run. Pure, and no decision.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Config;
use crate::pebble::ServiceConfig;
use crate::relations::State;
use crate::relations::database::{self, Database};
use crate::secret::Secret;
use crate::server::version::Version;
use crate::server::{self, PerStore, Role, Store};
use crate::snapshot::{Service, ServiceState, Snapshot, Workload};

/// What the facts amount to, computed once.
pub(crate) struct View {
    /// What each store's relation says; `None` while the options are bad, since they name the databases.
    pub(super) databases: Option<PerStore<State<Database>>>,
    /// The server as it should be, or what is missing for knowing that.
    pub(super) server: Option<Server>,
}

/// The files and the service that the container should have.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(super) version: Version,
    pub(super) shards: u32,
    pub(super) databases: PerStore<Database>,
    pub(super) files: BTreeMap<&'static str, Secret<String>>,
    pub(super) service: ServiceConfig,
}

impl View {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let Ok(config) = &snapshot.config else {
            return Self {
                databases: None,
                server: None,
            };
        };
        let databases = databases(snapshot, config);
        let server = server(snapshot, config, &databases);
        Self {
            databases: Some(databases),
            server,
        }
    }

    /// Both connections, once both are complete.
    pub(super) fn connections(&self) -> Option<PerStore<&Database>> {
        let databases = self.databases.as_ref()?;
        match (&databases.main, &databases.visibility) {
            (State::Ready(main), State::Ready(visibility)) => Some(PerStore { main, visibility }),
            _ => None,
        }
    }
}

pub(super) fn databases(snapshot: &Snapshot, config: &Config) -> PerStore<State<Database>> {
    let of = |store: Store| {
        database::parse(
            snapshot.relations.stores.get(store).as_ref(),
            &wanted_name(snapshot, config, store),
            snapshot.memory.accepted.get(store).as_deref(),
        )
    };
    PerStore {
        main: of(Store::Main),
        visibility: of(Store::Visibility),
    }
}

pub(super) fn wanted_name(snapshot: &Snapshot, config: &Config, store: Store) -> String {
    database::database_name(
        store,
        &snapshot.hook.unit.app,
        config.database_prefix.as_deref(),
    )
}

/// The connections on which the server runs, as they are now, passwords included: known from memory, so
/// that neither bad options nor a closed gate hide them. `None` when it does not run, or when its
/// relations say something else now.
pub(super) fn running(snapshot: &Snapshot) -> Option<PerStore<Database>> {
    let workload = snapshot.workload.known()?;
    let of = |store: Store| {
        let relation = snapshot.relations.stores.get(store).as_ref();
        let accepted = snapshot.memory.accepted.get(store).as_deref()?;
        let name = database::name_in(accepted)?;
        match database::parse(relation, &name, Some(accepted)) {
            State::Ready(database) => Some(database),
            State::Absent | State::Waiting(_) | State::Invalid(_) => None,
        }
    };
    let databases = PerStore {
        main: of(Store::Main)?,
        visibility: of(Store::Visibility)?,
    };
    let identity = stores_identity(&PerStore {
        main: &databases.main,
        visibility: &databases.visibility,
    });
    let runs_on = server::layer::stores(&workload.service.as_ref()?.config)?;
    (is_up(workload) && runs_on == identity).then_some(databases)
}

/// The configured roles, and the internal frontend where the version has it: it comes with the frontend.
pub(super) fn roles(config: &Config, version: Option<Version>) -> BTreeSet<Role> {
    let mut roles = config.services.clone();
    if roles.contains(&Role::Frontend) && version.is_some_and(Version::has_internal_frontend) {
        roles.insert(Role::InternalFrontend);
    }
    roles
}

pub(super) fn server(
    snapshot: &Snapshot,
    config: &Config,
    databases: &PerStore<State<Database>>,
) -> Option<Server> {
    let version = server_version(snapshot)?;
    let (State::Ready(main), State::Ready(visibility)) = (&databases.main, &databases.visibility)
    else {
        return None;
    };
    let databases = PerStore { main, visibility };
    let roles = roles(config, Some(version));
    let text = server::config::render(&server::config::Inputs {
        version,
        databases: databases.clone(),
        shards: config.shards,
        log_level: config.log_level,
        broadcast_address: snapshot.bind_address?,
    });
    let service = server::layer::service(&roles, &text, &stores_identity(&databases));
    let files = BTreeMap::from([
        (server::config::PATH, Secret::new(text)),
        (
            server::dynamic::PATH,
            Secret::new(server::dynamic::render()),
        ),
        (server::pgpass::PATH, server::pgpass::render(&databases)),
    ]);
    let databases = PerStore {
        main: main.clone(),
        visibility: visibility.clone(),
    };
    Some(Server {
        version,
        shards: config.shards,
        databases,
        files,
        service,
    })
}

/// Tells one pair of databases from another, without a password: kept in the service's environment,
/// where it says what the running server runs on.
pub(super) fn stores_identity(databases: &PerStore<&Database>) -> String {
    format!(
        "{} {}",
        databases.main.identity(),
        databases.visibility.identity()
    )
}

pub(super) fn server_version(snapshot: &Snapshot) -> Option<Version> {
    snapshot
        .workload
        .known()?
        .version
        .known()?
        .as_ref()
        .ok()
        .copied()
}

/// The version to show: what the running frontend says of itself, else what the binary says.
pub(super) fn workload_version(snapshot: &Snapshot) -> Option<Version> {
    let running = snapshot.serving.known().and_then(|serving| serving.version);
    running.or(server_version(snapshot))
}

/// Does the server run, or will Pebble start it by itself?
pub(super) fn is_up(workload: &Workload) -> bool {
    workload
        .service
        .as_ref()
        .is_some_and(|service| match service.state {
            ServiceState::Active | ServiceState::Backoff => true,
            ServiceState::Inactive | ServiceState::Error => false,
        })
}

pub(super) fn is_active(service: &Service) -> bool {
    service.state == ServiceState::Active
}

/// Must the server be started or restarted to become what it should be?
pub(super) fn needs_start(workload: &Workload, server: &Server) -> bool {
    workload.service.as_ref().is_none_or(|service| {
        !is_active(service) || !server::layer::same(&server.service, &service.config)
    })
}
