//! THE STATE MACHINE: `plan(&Snapshot) -> Plan`. Start reading here.
//!
//! ```text
//! options ─┐                       ┌─ gates closed ─→ leave it, or stop it (store removed or changed)
//! stores  ─┼→ Server (wanted) ─────┤
//! version ─┘   compared with the   ├─ gates open ───→ write files, layer, replan; look again
//!              container           └─ nothing differs → health decides the status
//! ```
//!
//! Total and deterministic: no clock, no socket, no process. It cannot fail and cannot wait; what is
//! wrong becomes a [`Problem`]. The event is one fact among others, so lost, merged or repeated hooks
//! converge, and the plan of a settled unit is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::actions;
use crate::config::Config;
use crate::effect::{Effect, Leadership};
use crate::hook::Event;
use crate::juju::LogLevel;
use crate::relations::database::{self, Database};
use crate::relations::{Databag, Relation, State, admin, difference, ingress};
use crate::secret::Secret;
use crate::server::version::{self, Version};
use crate::server::{self, PerStore, Role, Store};
use crate::snapshot::{Attempt, Memory, Probe, Service, ServiceState, Snapshot, Workload};
use crate::status::{self, Problem, Status};

/// What to do, in order. Its text is free of secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Sorted by [`Effect::rank`].
    pub effects: Vec<Effect>,
}

impl Plan {
    /// The effects on the container. While there are any, `dispatch` applies only these, looks again
    /// and plans again.
    pub fn workload(&self) -> impl Iterator<Item = &Effect> {
        self.effects.iter().filter(|effect| effect.is_workload())
    }

    /// The effects on the model.
    pub fn model(&self) -> impl Iterator<Item = &Effect> {
        self.effects.iter().filter(|effect| !effect.is_workload())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.effects.is_empty() {
            return f.write_str("nothing to do");
        }
        let lines: Vec<String> = self.effects.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Decides what this hook does.
pub fn plan(snapshot: &Snapshot) -> Plan {
    let mut effects = match &snapshot.hook.event {
        Event::Remove | Event::Other(_) => Vec::new(),
        Event::Stop => stop(snapshot),
        Event::Action { name } => actions::plan(name, snapshot),
        Event::Install
        | Event::Start
        | Event::UpgradeCharm
        | Event::ConfigChanged
        | Event::UpdateStatus
        | Event::LeaderElected
        | Event::Relation(_)
        | Event::Workload { .. } => reconcile(snapshot),
    };
    effects.sort_by_key(Effect::rank);
    Plan { effects }
}

/// The unit goes away, or its pod does: let the server finish its work instead of having it killed.
fn stop(snapshot: &Snapshot) -> Vec<Effect> {
    if snapshot.workload.known().is_some_and(is_up) && snapshot.attempt == Attempt::None {
        return vec![Effect::Announce(status::stopping()), Effect::Stop];
    }
    show(snapshot, &status::stopping(), &[])
}

fn reconcile(snapshot: &Snapshot) -> Vec<Effect> {
    let view = View::of(snapshot);
    let mut effects = workload(snapshot, &view);
    if !effects.is_empty() {
        // what Juju is told depends on what comes of them: it is planned after they were applied
        return effects;
    }
    let problems = problems(snapshot, &view);
    effects.extend(ports(snapshot));
    effects.extend(publish(snapshot, &view));
    effects.extend(remember(snapshot, &view));
    effects.extend(tell_version(snapshot));
    effects.extend(show(snapshot, &status::of_problems(&problems), &problems));
    effects
}

/// What the facts amount to, computed once.
pub(crate) struct View {
    /// What each store's relation says; `None` while the options are bad, since they name the databases.
    databases: Option<PerStore<State<Database>>>,
    /// The server as it should be, or what is missing for knowing that.
    server: Option<Server>,
}

/// The files and the service that the container should have.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    version: Version,
    shards: u32,
    databases: PerStore<Database>,
    files: BTreeMap<&'static str, Secret<String>>,
    service: crate::pebble::ServiceConfig,
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
    fn connections(&self) -> Option<PerStore<&Database>> {
        let databases = self.databases.as_ref()?;
        match (&databases.main, &databases.visibility) {
            (State::Ready(main), State::Ready(visibility)) => Some(PerStore { main, visibility }),
            _ => None,
        }
    }
}

fn databases(snapshot: &Snapshot, config: &Config) -> PerStore<State<Database>> {
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

fn wanted_name(snapshot: &Snapshot, config: &Config, store: Store) -> String {
    database::database_name(
        store,
        &snapshot.hook.unit.app,
        config.database_prefix.as_deref(),
    )
}

/// The configured roles, and the internal frontend where the version has it: it comes with the frontend.
fn roles(config: &Config, version: Option<Version>) -> BTreeSet<Role> {
    let mut roles = config.services.clone();
    if roles.contains(&Role::Frontend) && version.is_some_and(Version::has_internal_frontend) {
        roles.insert(Role::InternalFrontend);
    }
    roles
}

fn server(
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
fn stores_identity(databases: &PerStore<&Database>) -> String {
    format!(
        "{} {}",
        databases.main.identity(),
        databases.visibility.identity()
    )
}

fn server_version(snapshot: &Snapshot) -> Option<Version> {
    snapshot.workload.known()?.version.known().copied()
}

/// The version to show: what the running frontend says of itself, else what the binary says.
fn workload_version(snapshot: &Snapshot) -> Option<Version> {
    let running = snapshot.serving.known().and_then(|serving| serving.version);
    running.or(server_version(snapshot))
}

/// Does the server run, or will Pebble start it by itself?
fn is_up(workload: &Workload) -> bool {
    workload
        .service
        .as_ref()
        .is_some_and(|service| match service.state {
            ServiceState::Active | ServiceState::Backoff => true,
            ServiceState::Inactive | ServiceState::Error => false,
        })
}

fn is_active(service: &Service) -> bool {
    service.state == ServiceState::Active
}

/// Must the server be started or restarted to become what it should be?
fn needs_start(workload: &Workload, server: &Server) -> bool {
    workload.service.as_ref().is_none_or(|service| {
        !is_active(service) || !server::layer::same(&server.service, &service.config)
    })
}

/// The databases to ask for a proof in this hook: none when nothing would be started anyway, since a
/// running server was started on a proof.
pub fn wants_proof(snapshot: &Snapshot) -> Option<PerStore<Database>> {
    match &snapshot.hook.event {
        Event::Remove | Event::Stop | Event::Other(_) => return None,
        Event::Install
        | Event::Start
        | Event::UpgradeCharm
        | Event::ConfigChanged
        | Event::UpdateStatus
        | Event::LeaderElected
        | Event::Relation(_)
        | Event::Workload { .. }
        | Event::Action { .. } => {}
    }
    let server = View::of(snapshot).server?;
    let workload = snapshot.workload.known()?;
    let signal = admin::parse(snapshot.relations.admin.as_ref());
    let ready = matches!(signal, State::Ready(()) | State::Absent);
    (needs_start(workload, &server) && ready).then_some(server.databases)
}

/// The database that hands out the turn to restart (law S6), if the plan restarts a server that runs. A
/// first start needs no turn, nor does leaving a store that is another one now, nor a person who asks for a
/// restart of this very unit.
pub fn wants_turn(snapshot: &Snapshot, plan: &Plan) -> Option<Database> {
    let view = View::of(snapshot);
    let connections = view.connections()?;
    let service = snapshot.workload.known()?.service.as_ref()?;
    let same_stores =
        server::layer::stores(&service.config) == Some(&stores_identity(&connections));
    let restarts = plan.effects.contains(&Effect::Replan) && is_active(service) && same_stores;
    let asked_for = matches!(snapshot.hook.event, Event::Action { .. });
    (restarts && !asked_for).then(|| connections.main.clone())
}

/// Whom to ask for health in this hook: the roles that should run, if the server does run.
pub fn wants_health(snapshot: &Snapshot) -> Option<(IpAddr, BTreeSet<Role>)> {
    let config = snapshot.config.as_ref().ok()?;
    let service = snapshot.workload.known()?.service.as_ref()?;
    if !is_active(service) {
        return None;
    }
    Some((
        snapshot.bind_address?,
        roles(config, server_version(snapshot)),
    ))
}

/// The gates in front of a start; empty means that the server may start. Each law of a start is a line.
pub(crate) fn held(snapshot: &Snapshot, server: &Server) -> Vec<Problem> {
    let signal = admin::parse(snapshot.relations.admin.as_ref());
    let app = &snapshot.hook.unit.app;
    let mut held = Vec::new();
    let needs = match version::required_schema(server.version) {
        Ok(needs) => needs,
        Err(unsupported) => return vec![Problem::VersionUnsupported(unsupported.to_string())],
    };
    if let Ok(config) = &snapshot.config
        && config.services.contains(&Role::Worker)
        && !config.services.contains(&Role::Frontend)
        && !server.version.has_internal_frontend()
    {
        return vec![Problem::WorkerWithoutFrontend(server.version)];
    }
    match &signal {
        State::Waiting(missing) => return vec![Problem::Admin(missing.clone())],
        State::Invalid(reason) => return vec![Problem::Admin(reason.clone())],
        State::Absent | State::Ready(()) => {}
    }
    for store in Store::ALL {
        let want = *needs.get(store);
        match snapshot.stores.get(store) {
            Probe::Unreachable(why) => {
                held.push(Problem::StoreUnreachable {
                    store,
                    why: why.clone(),
                });
            }
            Probe::NotAsked => held.push(Problem::StoreUnreachable {
                store,
                why: "its schema was not looked at in this hook".to_owned(),
            }),
            Probe::Known(facts) => {
                let have = facts.schema;
                if have.is_none_or(|have| have < want) {
                    held.push(match &snapshot.relations.admin {
                        Some(admin) => Problem::Schema {
                            store,
                            have,
                            want,
                            admin: admin.remote_app.clone(),
                        },
                        None => Problem::SchemaUnattended {
                            store,
                            have,
                            want,
                            app: app.clone(),
                        },
                    });
                }
                if let Some(stored) = facts.shards.filter(|stored| *stored != server.shards) {
                    held.push(Problem::Shards {
                        option: server.shards,
                        stored,
                        app: app.clone(),
                    });
                }
            }
        }
    }
    held
}

/// What to do in the container. Once per hook: after an attempt only the health counts.
fn workload(snapshot: &Snapshot, view: &View) -> Vec<Effect> {
    let Some(workload) = snapshot.workload.known() else {
        return Vec::new();
    };
    if snapshot.attempt != Attempt::None {
        return Vec::new();
    }
    if must_stop(snapshot, view, workload) {
        let mut effects = Vec::new();
        if is_up(workload) {
            effects.push(Effect::Stop);
        }
        if workload.files.contains_key(server::pgpass::PATH) {
            effects.push(Effect::Delete {
                path: server::pgpass::PATH,
            });
        }
        return effects;
    }
    let Some(server) = &view.server else {
        return Vec::new();
    };
    if !needs_start(workload, server) {
        return write(
            workload,
            server,
            &[server::pgpass::PATH, server::dynamic::PATH],
        );
    }
    if held(snapshot, server).is_empty() {
        start(workload, server)
    } else {
        Vec::new()
    }
}

/// Files, layer, replan: whatever of it differs.
pub(crate) fn start(workload: &Workload, server: &Server) -> Vec<Effect> {
    let mut effects = vec![Effect::Announce(status::starting(server.version))];
    let paths = [
        server::config::PATH,
        server::dynamic::PATH,
        server::pgpass::PATH,
    ];
    effects.extend(write(workload, server, &paths));
    if workload
        .service
        .as_ref()
        .is_none_or(|has| !server::layer::same(&server.service, &has.config))
    {
        effects.push(Effect::Layer(server.service.clone()));
    }
    effects.push(Effect::Replan);
    effects
}

fn write(workload: &Workload, server: &Server, paths: &[&'static str]) -> Vec<Effect> {
    let differs = |path: &str, content: &Secret<String>| {
        workload
            .files
            .get(path)
            .is_none_or(|has| has.expose() != content.expose().as_bytes())
    };
    server
        .files
        .iter()
        .filter(|(path, content)| paths.contains(path) && differs(path, content))
        .map(|(path, content)| Effect::Write {
            path,
            content: content.clone(),
        })
        .collect()
}

/// Law S2: nothing keeps running on a store that was removed or is another one now. A store that is
/// merely down, or a provider that says nothing for a moment, stops nothing.
fn must_stop(snapshot: &Snapshot, view: &View, workload: &Workload) -> bool {
    if Store::ALL
        .iter()
        .any(|store| snapshot.relations.stores.get(*store).is_none())
    {
        return true;
    }
    let Some(connections) = view.connections() else {
        return false;
    };
    let Some(service) = &workload.service else {
        return false;
    };
    let moved = server::layer::stores(&service.config)
        .is_some_and(|running| running != stores_identity(&connections));
    moved
        && view
            .server
            .as_ref()
            .is_none_or(|server| !held(snapshot, server).is_empty())
}

/// Everything that keeps this unit from being active.
fn problems(snapshot: &Snapshot, view: &View) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Err(bad) = &snapshot.config {
        problems.extend(bad.iter().cloned().map(Problem::Option));
    }
    problems.extend(store_problems(snapshot, view));
    problems.extend(ingress_problems(snapshot));
    match &snapshot.attempt {
        Attempt::Failed(failure) => problems.push(Problem::Failed(failure.clone())),
        Attempt::Postponed(why) => problems.push(Problem::Turn(why.clone())),
        Attempt::None | Attempt::Done => {}
    }
    problems.extend(server_problems(snapshot, view));
    problems
}

fn store_problems(snapshot: &Snapshot, view: &View) -> Vec<Problem> {
    let mut problems = Vec::new();
    for store in Store::ALL {
        if snapshot.relations.stores.get(store).is_none() {
            let app = snapshot.hook.unit.app.clone();
            problems.push(Problem::StoreAbsent { store, app });
        }
        match view
            .databases
            .as_ref()
            .map(|databases| databases.get(store))
        {
            Some(State::Invalid(reason)) => {
                problems.push(Problem::StoreInvalid {
                    store,
                    reason: reason.clone(),
                });
            }
            Some(State::Waiting(missing)) => {
                problems.push(Problem::StoreWaiting {
                    store,
                    missing: missing.clone(),
                });
            }
            Some(State::Absent | State::Ready(_)) | None => {}
        }
    }
    problems
}

fn ingress_problems(snapshot: &Snapshot) -> Option<Problem> {
    let config = snapshot.config.as_ref().ok()?;
    let relation = snapshot.relations.ingress.as_ref()?;
    if !config.services.contains(&Role::Frontend) {
        return Some(Problem::IngressWithoutFrontend {
            app: snapshot.hook.unit.app.clone(),
        });
    }
    match ingress::parse(config.ingress_protocol, Some(relation)) {
        State::Invalid(reason) => Some(Problem::IngressInvalid(reason)),
        // an ingress that is not ready yet takes nothing from those who come from inside
        State::Absent | State::Waiting(_) | State::Ready(_) => None,
    }
}

/// Problems of the container, the gates and the health, as far as they can be known.
fn server_problems(snapshot: &Snapshot, view: &View) -> Vec<Problem> {
    let workload = match &snapshot.workload {
        Probe::Known(workload) => workload,
        Probe::Unreachable(why) => return vec![Problem::Container(why.clone())],
        Probe::NotAsked => return vec![Problem::Container("it was not looked at".to_owned())],
    };
    let mut problems = Vec::new();
    if let Probe::Unreachable(why) = &workload.version {
        problems.push(Problem::VersionUnknown(why.clone()));
    }
    if snapshot.bind_address.is_none() {
        problems.push(Problem::Address);
    }
    match &view.server {
        Some(server) if needs_start(workload, server) => {
            let held = held(snapshot, server);
            if held.is_empty() && snapshot.attempt == Attempt::Done {
                problems.push(exits(snapshot, workload));
            }
            problems.extend(held);
        }
        Some(_) => problems.extend(health_problems(snapshot)),
        // while something is missing to know the server that should run, one that runs is still told of
        None if is_up(workload) => problems.extend(health_problems(snapshot)),
        None => {}
    }
    problems
}

fn exits(snapshot: &Snapshot, workload: &Workload) -> Problem {
    let unit = &snapshot.hook.unit;
    Problem::Exits {
        last_words: workload
            .service
            .as_ref()
            .and_then(|service| service.last_words.clone()),
        log_command: format!(
            "kubectl -n {} logs {}-{} -c {}",
            snapshot.hook.model,
            unit.app,
            unit.number,
            server::CONTAINER
        ),
    }
}

/// Law S12: active means that every role serves and the store can be read, seen in this hook.
fn health_problems(snapshot: &Snapshot) -> Vec<Problem> {
    let serving = match &snapshot.serving {
        Probe::Known(serving) => serving,
        Probe::Unreachable(why) => return vec![Problem::Unobserved(why.clone())],
        Probe::NotAsked => {
            return vec![Problem::Unobserved(
                "it was not looked at in this hook".to_owned(),
            )];
        }
    };
    let roles = serving
        .roles
        .iter()
        .filter_map(|(role, answer)| match answer {
            Ok(()) => None,
            Err(why) => Some(Problem::NotServing {
                role: *role,
                why: why.clone(),
            }),
        });
    let store = match &serving.store {
        Some(Err(why)) => Some(Problem::StoreNotServing(why.clone())),
        Some(Ok(())) | None => None,
    };
    roles.chain(store).collect()
}

/// The ports of the configured roles are open, the other ones of ours closed. Bad options, or a version
/// not known yet, close nothing.
fn ports(snapshot: &Snapshot) -> Vec<Effect> {
    let Ok(config) = &snapshot.config else {
        return Vec::new();
    };
    let version = server_version(snapshot);
    let of = |role: &Role| [role.grpc_port(), role.membership_port()];
    let want: BTreeSet<u16> = roles(config, version).iter().flat_map(of).collect();
    let ours: BTreeSet<u16> = Role::ALL
        .iter()
        .filter(|role| version.is_some() || **role != Role::InternalFrontend)
        .flat_map(of)
        .collect();
    let open: BTreeSet<u16> = want.difference(&snapshot.open_ports).copied().collect();
    let close: BTreeSet<u16> = snapshot
        .open_ports
        .intersection(&ours)
        .copied()
        .filter(|port| !want.contains(port))
        .collect();
    let open = (!open.is_empty()).then_some(Effect::OpenPorts(open));
    let close = (!close.is_empty()).then_some(Effect::ClosePorts(close));
    open.into_iter().chain(close).collect()
}

/// What we say on each relation, where it differs from what we have said.
fn publish(snapshot: &Snapshot, view: &View) -> Vec<Effect> {
    let Ok(config) = &snapshot.config else {
        return Vec::new();
    };
    let leadership = Leadership::of(snapshot);
    let mut effects = Vec::new();
    for store in Store::ALL {
        if let (Some(leadership), Some(relation)) =
            (leadership, snapshot.relations.stores.get(store))
        {
            let request = database::publish(&wanted_name(snapshot, config, store));
            let app = difference(said(relation), &request, &database::OWNED_KEYS);
            effects.extend(publish_app(leadership, relation.id, app));
            let unit = difference(&relation.own_unit_bag, &request, &database::OWNED_KEYS);
            effects.extend(publish_unit(relation.id, unit));
        }
    }
    if let (Some(leadership), Some(relation), Some(connections)) =
        (leadership, &snapshot.relations.admin, view.connections())
    {
        // while a connection is missing, the last ones stay: no revision of the admin application
        // expects the key to go, and the database's role does not outlive its relation
        let wanted = admin::publish(&connections);
        let app = difference(said(relation), &wanted, &admin::OWNED_KEYS);
        effects.extend(publish_app(leadership, relation.id, app));
    }
    effects.extend(publish_ingress(snapshot, config, leadership));
    effects
}

fn publish_ingress(
    snapshot: &Snapshot,
    config: &Config,
    leadership: Option<Leadership>,
) -> Vec<Effect> {
    let Some(relation) = &snapshot.relations.ingress else {
        return Vec::new();
    };
    let wanted = if config.services.contains(&Role::Frontend) {
        ingress::publish(
            config.ingress_protocol,
            &snapshot.hook.unit,
            &snapshot.hook.model,
            config.external_hostname.as_deref(),
            snapshot.bind_address,
        )
    } else {
        ingress::Published {
            app: Databag::new(),
            unit: Databag::new(),
        }
    };
    let mut effects = Vec::new();
    if let Some(leadership) = leadership {
        let app = difference(said(relation), &wanted.app, &ingress::OWNED_KEYS);
        effects.extend(publish_app(leadership, relation.id, app));
    }
    let unit = difference(&relation.own_unit_bag, &wanted.unit, &ingress::OWNED_KEYS);
    effects.extend(publish_unit(relation.id, unit));
    effects
}

/// What the application has said; nothing, where this unit may not know.
fn said(relation: &Relation) -> &Databag {
    static NOTHING: Databag = Databag::new();
    relation.own_app_bag.as_ref().unwrap_or(&NOTHING)
}

fn publish_app(
    leadership: Leadership,
    relation: u32,
    entries: BTreeMap<String, Option<Secret<String>>>,
) -> Option<Effect> {
    (!entries.is_empty()).then_some(Effect::PublishApp {
        leadership,
        relation,
        entries,
    })
}

fn publish_unit(
    relation: u32,
    entries: BTreeMap<String, Option<Secret<String>>>,
) -> Option<Effect> {
    (!entries.is_empty()).then_some(Effect::PublishUnit { relation, entries })
}

/// What later hooks have to know.
fn remember(snapshot: &Snapshot, view: &View) -> Option<Effect> {
    let mut memory = snapshot.memory.clone();
    if let Some(databases) = &view.databases {
        let accepted = |store: Store| match databases.get(store) {
            State::Ready(database) => Some(database.identity()),
            State::Absent => None,
            State::Waiting(_) | State::Invalid(_) => snapshot.memory.accepted.get(store).clone(),
        };
        memory.accepted = PerStore {
            main: accepted(Store::Main),
            visibility: accepted(Store::Visibility),
        };
    }
    if let Some(workload) = snapshot.workload.known()
        && let Probe::Known(version) = workload.version
    {
        memory.version = Some(Memory::version_note(&workload.boot_id, version));
    }
    if let (Some(_), Some(version)) = (Leadership::of(snapshot), workload_version(snapshot)) {
        memory.told_version = Some(version.to_string());
    }
    let before = snapshot.memory.to_state();
    let entries: BTreeMap<String, Option<String>> = memory
        .to_state()
        .into_iter()
        .filter(|(key, value)| before.get(key) != Some(value))
        .collect();
    (!entries.is_empty()).then_some(Effect::Remember { entries })
}

fn tell_version(snapshot: &Snapshot) -> Option<Effect> {
    let leadership = Leadership::of(snapshot)?;
    let version = workload_version(snapshot)?.to_string();
    (snapshot.memory.told_version.as_ref() != Some(&version)).then_some(Effect::TellVersion {
        leadership,
        version,
    })
}

/// The statuses, where they differ from what is shown; all problems go to the log when the status changes.
fn show(snapshot: &Snapshot, status: &Status, problems: &[Problem]) -> Vec<Effect> {
    let mut effects = Vec::new();
    if snapshot.status.as_ref() != Some(status) {
        effects.extend(problems.iter().map(|problem| Effect::Log {
            level: LogLevel::Warning,
            text: problem.to_string(),
        }));
        effects.push(Effect::UnitStatus(status.clone()));
    }
    if let Some(leadership) = Leadership::of(snapshot)
        && snapshot.app_status.as_ref() != Some(status)
    {
        effects.push(Effect::AppStatus {
            leadership,
            status: status.clone(),
        });
    }
    effects
}

/// What the `restart` action finds: the server, if it may be started now, or why not.
pub(crate) fn may_restart(snapshot: &Snapshot) -> Result<Server, Status> {
    let view = View::of(snapshot);
    let problems = problems(snapshot, &view);
    let refused = || status::of_problems(&problems);
    let workload = snapshot.workload.known().ok_or_else(refused)?;
    let server = view.server.clone().ok_or_else(refused)?;
    if must_stop(snapshot, &view, workload) {
        return Err(refused());
    }
    if needs_start(workload, &server) {
        let held = held(snapshot, &server);
        if !held.is_empty() {
            return Err(status::of_problems(&held));
        }
    }
    Ok(server)
}

/// The effects of the `restart` action on the container.
pub(crate) fn restart(workload: &Workload, server: &Server) -> Vec<Effect> {
    if needs_start(workload, server) {
        return start(workload, server);
    }
    let mut effects = vec![Effect::Announce(status::restarting())];
    let paths = [server::dynamic::PATH, server::pgpass::PATH];
    effects.extend(write(workload, server, &paths));
    effects.push(Effect::Restart);
    effects
}

/// The status that the facts of this hook amount to, and the effects that show it.
pub(crate) fn conclude(snapshot: &Snapshot) -> (Status, Vec<Effect>) {
    let view = View::of(snapshot);
    let problems = problems(snapshot, &view);
    let status = status::of_problems(&problems);
    let effects = show(snapshot, &status, &problems);
    (status, effects)
}
