//! Hook → [`Snapshot`]: asks Juju, then the container, the databases and the server. Decides nothing;
//! whoever does not answer becomes a fact. Only Juju itself failing is an error.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::hook::{Event, Hook};
use crate::juju::{self, Juju};
use crate::pebble::{self, Pebble};
use crate::plan;
use crate::relations::{Databag, Relation, admin, ingress, peer};
use crate::server::version::Version;
use crate::server::{self, PerStore, Store};
use crate::snapshot::{
    Attempt, Memory, Probe, Relations, Service, ServiceState, Snapshot, Workload, shorten,
};
use crate::status::Status;
use crate::{config, postgres, temporal};

/// How long a database may take to answer.
const STORE_LIMIT: Duration = Duration::from_secs(5);
/// How long a server that should already serve may take to answer.
const HEALTH_LIMIT: Duration = Duration::from_secs(5);
/// How long a hook waits for a server that it has just started.
const START_LIMIT: Duration = Duration::from_secs(20);
/// The pause between two looks at a starting server.
const START_PAUSE: Duration = Duration::from_millis(100);
/// How long `temporal-server --version` may take.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// Looks at everything this hook needs.
pub async fn observe(hook: Hook) -> Result<Snapshot, juju::Error> {
    let juju = Juju::new();
    let mut snapshot = if hook.event == Event::Stop {
        stopping(&juju, hook).await?
    } else {
        model(&juju, hook).await?
    };
    look_inside(&mut snapshot).await;
    Ok(snapshot)
}

/// Looks at the container and the server again, after something was changed there. With `started`,
/// gives the server time to come up.
pub async fn again(snapshot: &mut Snapshot, started: bool) {
    snapshot.workload = workload(&snapshot.memory, true).await;
    snapshot.serving = Probe::NotAsked;
    if let Some((address, roles)) = plan::wants_health(snapshot) {
        let (limit, pause) = if started {
            (START_LIMIT, START_PAUSE)
        } else {
            (HEALTH_LIMIT, HEALTH_LIMIT)
        };
        let serving = temporal::wait_until_serving(address, &roles, limit, pause).await;
        snapshot.serving = Probe::Known(serving);
        if started {
            // a server that exits while it comes up has changed the container's facts
            snapshot.workload = workload(&snapshot.memory, true).await;
        }
    }
}

/// The container, and whatever its state makes worth asking.
async fn look_inside(snapshot: &mut Snapshot) {
    let wants_version = snapshot.hook.event != Event::Stop;
    snapshot.workload = workload(&snapshot.memory, wants_version).await;
    let proof = async {
        match plan::wants_proof(snapshot) {
            Some(databases) => {
                let (main, visibility) = tokio::join!(
                    postgres::proof(Store::Main, &databases.main, STORE_LIMIT),
                    postgres::proof(Store::Visibility, &databases.visibility, STORE_LIMIT),
                );
                PerStore { main, visibility }
            }
            None => PerStore::default(),
        }
    };
    let health = async {
        match plan::wants_health(snapshot) {
            Some((address, roles)) => {
                Probe::Known(temporal::look(address, &roles, HEALTH_LIMIT).await)
            }
            None => Probe::NotAsked,
        }
    };
    let (stores, serving) = tokio::join!(proof, health);
    snapshot.stores = stores;
    snapshot.serving = serving;
}

/// The little that a stopping unit has to know.
async fn stopping(juju: &Juju, hook: Hook) -> Result<Snapshot, juju::Error> {
    let leader = juju.is_leader().await?;
    let (status, app_status) = statuses(juju, &hook, leader).await?;
    let mut snapshot = empty(hook);
    snapshot.leader = leader;
    snapshot.status = status;
    snapshot.app_status = app_status;
    Ok(snapshot)
}

fn empty(hook: Hook) -> Snapshot {
    Snapshot {
        hook,
        leader: false,
        config: config::parse(&serde_json::Map::new()),
        relations: Relations::default(),
        bind_address: None,
        open_ports: std::collections::BTreeSet::new(),
        memory: Memory::default(),
        status: None,
        app_status: None,
        workload: Probe::NotAsked,
        stores: PerStore::default(),
        serving: Probe::NotAsked,
        attempt: Attempt::None,
    }
}

/// What Juju knows. Independent questions are asked at the same time: each costs the start of a program.
async fn model(juju: &Juju, hook: Hook) -> Result<Snapshot, juju::Error> {
    let (options, leader, state, open_ports, bind_address, db, visibility, admin, ingress) = tokio::try_join!(
        juju.config_get(),
        juju.is_leader(),
        juju.state_get(),
        juju.opened_ports(),
        juju.network_get(peer::ENDPOINT),
        juju.relation_ids(Store::Main.endpoint()),
        juju.relation_ids(Store::Visibility.endpoint()),
        juju.relation_ids(admin::ENDPOINT),
        juju.relation_ids(ingress::ENDPOINT),
    )?;
    let ((status, app_status), main, visibility, admin, ingress) = tokio::try_join!(
        statuses(juju, &hook, leader),
        store(juju, &hook, leader, &db),
        store(juju, &hook, leader, &visibility),
        relation(juju, &hook, leader, &admin, OwnUnitBag::Unused),
        relation(juju, &hook, leader, &ingress, OwnUnitBag::Used),
    )?;
    let relations = Relations {
        stores: PerStore { main, visibility },
        admin,
        ingress,
    };
    Ok(Snapshot {
        leader,
        config: config::parse(&options),
        relations,
        bind_address,
        open_ports,
        memory: Memory::from_state(&state),
        status,
        app_status,
        ..empty(hook)
    })
}

/// The unit's status and, for the leader, the application's: one question answers both.
async fn statuses(
    juju: &Juju,
    hook: &Hook,
    leader: bool,
) -> Result<(Option<Status>, Option<Status>), juju::Error> {
    if !leader {
        return Ok((juju.status_get().await?, None));
    }
    let answer = juju.status_get_application().await?;
    let unit = answer.units.get(&hook.unit.name()).cloned().flatten();
    Ok((unit, answer.own))
}

/// Is anything said or read in this unit's own databag of a relation?
#[derive(Clone, Copy)]
enum OwnUnitBag {
    Used,
    Unused,
}

/// The one relation of an endpoint with `limit: 1`. One that is broken in this hook is gone already.
async fn relation(
    juju: &Juju,
    hook: &Hook,
    leader: bool,
    ids: &[u32],
    own: OwnUnitBag,
) -> Result<Option<Relation>, juju::Error> {
    let broken = hook.broken_relation();
    let Some(id) = ids.iter().copied().filter(|id| Some(*id) != broken).min() else {
        return Ok(None);
    };
    read(juju, hook, leader, id, own).await
}

async fn read(
    juju: &Juju,
    hook: &Hook,
    leader: bool,
    id: u32,
    own: OwnUnitBag,
) -> Result<Option<Relation>, juju::Error> {
    let unit = hook.unit.name();
    let own_unit_bag = async {
        match own {
            OwnUnitBag::Used => juju.relation_get_unit(id, &unit).await,
            OwnUnitBag::Unused => Ok(Some(Databag::new())),
        }
    };
    let own_app_bag = async {
        if leader {
            juju.relation_get_app(id, &hook.unit.app).await
        } else {
            Ok(None)
        }
    };
    let (remote, own_unit_bag, own_app_bag) =
        tokio::try_join!(remote(juju, hook, id), own_unit_bag, own_app_bag)?;
    // a relation that went between two calls is gone
    let (Some((remote_app, remote_app_bag)), Some(own_unit_bag)) = (remote, own_unit_bag) else {
        return Ok(None);
    };
    Ok(Some(Relation {
        id,
        remote_app,
        remote_app_bag,
        remote_unit_bags: BTreeMap::new(),
        own_unit_bag,
        own_app_bag,
    }))
}

/// The application on the other side, which Juju names in the environment of its own hooks, and its
/// databag.
async fn remote(
    juju: &Juju,
    hook: &Hook,
    id: u32,
) -> Result<Option<(String, Databag)>, juju::Error> {
    let named = match &hook.event {
        Event::Relation(event) if event.id == id => event.remote_app.clone(),
        _ => None,
    };
    let app = match named {
        Some(app) => Some(app),
        None => juju.relation_app(id).await?,
    };
    let Some(app) = app else { return Ok(None) };
    let bag = juju.relation_get_app(id, &app).await?;
    Ok(bag.map(|bag| (app, bag)))
}

/// A `pgsql` relation: some providers answer in their units' databags only.
async fn store(
    juju: &Juju,
    hook: &Hook,
    leader: bool,
    ids: &[u32],
) -> Result<Option<Relation>, juju::Error> {
    let Some(mut relation) = relation(juju, hook, leader, ids, OwnUnitBag::Used).await? else {
        return Ok(None);
    };
    if !relation.remote_app_bag.contains_key("master") {
        for unit in juju.relation_units(relation.id).await?.unwrap_or_default() {
            if let Some(bag) = juju.relation_get_unit(relation.id, &unit).await? {
                relation.remote_unit_bags.insert(unit, bag);
            }
        }
    }
    Ok(Some(relation))
}

async fn workload(memory: &Memory, wants_version: bool) -> Probe<Workload> {
    match ask_pebble(
        &Pebble::of_container(server::CONTAINER),
        memory,
        wants_version,
    )
    .await
    {
        Ok(workload) => Probe::Known(workload),
        Err(error) => Probe::Unreachable(crate::chain(&error)),
    }
}

async fn ask_pebble(
    pebble: &Pebble,
    memory: &Memory,
    wants_version: bool,
) -> Result<Workload, pebble::Error> {
    let boot_id = pebble.system_info().await?.boot_id;
    let paths = [
        server::config::PATH,
        server::dynamic::PATH,
        server::pgpass::PATH,
    ];
    let version = async {
        match memory.version_of(&boot_id) {
            Some(version) => Probe::Known(Ok(version)),
            None if wants_version => ask_version(pebble).await,
            None => Probe::NotAsked,
        }
    };
    let services = [server::SERVICE];
    let (mut plan, states, files, version) = tokio::try_join!(
        pebble.plan(),
        pebble.services(&services),
        pebble.read_files(&paths),
        async { Ok(version.await) },
    )?;
    let state = states
        .into_iter()
        .find(|state| state.name == server::SERVICE)
        .map(|s| s.current);
    let service = match (plan.services.remove(server::SERVICE), state) {
        (Some(config), Some(current)) => {
            let state = match current {
                pebble::ServiceStatus::Active => ServiceState::Active,
                pebble::ServiceStatus::Backoff => ServiceState::Backoff,
                pebble::ServiceStatus::Inactive => ServiceState::Inactive,
                pebble::ServiceStatus::Error | pebble::ServiceStatus::Other(_) => {
                    ServiceState::Error
                }
            };
            let last_words = match state {
                ServiceState::Active | ServiceState::Inactive => None,
                ServiceState::Backoff | ServiceState::Error => last_words(pebble).await,
            };
            Some(Service {
                config,
                state,
                last_words,
            })
        }
        (Some(_) | None, _) => None,
    };
    let files = paths
        .iter()
        .zip(files)
        .filter_map(|(path, content)| match content {
            Ok(content) => Some(Ok(((*path).to_owned(), content?))),
            Err(error) => Some(Err(pebble::Error::from(error))),
        })
        .collect::<Result<_, _>>()?;
    Ok(Workload {
        boot_id,
        version,
        service,
        files,
    })
}

async fn ask_version(pebble: &Pebble) -> Probe<Result<Version, String>> {
    let command = ["temporal-server", "--version"].map(str::to_owned).to_vec();
    let exec = pebble::Exec {
        command,
        timeout: VERSION_LIMIT,
        ..pebble::Exec::default()
    };
    match pebble.exec(&exec).await {
        Ok(output) if output.exit_code == 0 => {
            let answer = Version::from_output(&String::from_utf8_lossy(&output.stdout));
            Probe::Known(answer.map_err(|error| crate::chain(&error)))
        }
        Ok(output) => Probe::Known(Err(format!("it exited with code {}", output.exit_code))),
        Err(error @ pebble::Error::Refused { .. }) => Probe::Known(Err(crate::chain(&error))),
        Err(error) => Probe::Unreachable(crate::chain(&error)),
    }
}

/// The last line that the server printed.
async fn last_words(pebble: &Pebble) -> Option<String> {
    let lines = pebble.logs(server::SERVICE, 1).await.ok()?;
    let line = shorten(lines.last()?.message.trim());
    (!line.is_empty()).then_some(line)
}
