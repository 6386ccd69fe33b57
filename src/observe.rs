//! Hook → [`Snapshot`], and later the answers to what `plan` wants to know: asks Juju, the container, the databases
//! and the server. Decides nothing; whoever does not answer becomes a fact. Only Juju itself failing is an error.
#![expect(clippy::disallowed_methods, reason = "waits for a server to come up")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::time::sleep;

use crate::container;
use crate::error::{chain, shorten};
use crate::facts::Facts;
use crate::juju::{Databag, Error, Event, Hook, Juju, Relation, RelationEventKind, Status};
use crate::memory::Memory;
use crate::pebble::{self, Pebble};
use crate::plan::{self, OtherUnits, Questions};
use crate::postgres::{self, StoreFacts};
use crate::probe::Probe;
use crate::relations::{Bag, Count, ENDPOINTS, Endpoint, PEER, Relations, peer};
use crate::snapshot::{File, Service, ServiceState, Snapshot, Workload};
use crate::temporal::health::{self, Serving};
use crate::temporal::{Image, PerStore, Role, Store, VARIABLES, Version};

/// Where a pod finds its name server, and the domains to look in.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// How long a database may take to answer.
const STORE_LIMIT: Duration = Duration::from_secs(5);
/// How long a server that should already serve may take to answer.
const HEALTH_LIMIT: Duration = Duration::from_secs(5);
/// How long the heartbeats of other units are waited for: as long as servers wait before they call a process dead.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(20);
/// How long a hook waits for a server that it has just started.
const START_LIMIT: Duration = Duration::from_secs(20);
/// The pause between two looks at a starting server.
const START_PAUSE: Duration = Duration::from_millis(100);
/// The pause between two looks that ask the databases, too.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How long history of a server that was just started must have had no shard to be taken for one that gets none: the
/// ring gives them out within some seconds.
const REST_LIMIT: Duration = Duration::from_secs(8);
/// How long `temporal-server --version` may take.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// How long to wait for a server that does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It was just started.
    ForAStart,
    /// It should serve already.
    OneLook,
}

/// What Juju says. Independent questions are asked at the same time: each costs the start of a program.
pub async fn model(juju: &Juju, hook: Hook) -> Result<Snapshot, Error> {
    if hook.event == Event::Stop {
        return stopping(juju, hook).await;
    }
    let (leaving, options, leader, state, open_ports, bind_address, ids) = tokio::try_join!(
        leaving(juju, &hook),
        juju.config_get(),
        juju.is_leader(),
        juju.state_get(),
        juju.opened_ports(),
        juju.network_get(PEER),
        try_join_all(ENDPOINTS.iter().map(|endpoint| ids(juju, endpoint))),
    )?;
    let broken = hook.broken_relation();
    let each = ENDPOINTS.iter().zip(ids).map(|(endpoint, mut ids)| {
        ids.retain(|id| Some(*id) != broken);
        if endpoint.count == Count::One {
            ids.truncate(1);
        }
        relations(juju, &hook, leader, endpoint, ids)
    });
    let ((status, app_status), relations) =
        tokio::try_join!(statuses(juju, &hook, leader), try_join_all(each))?;
    Ok(Snapshot {
        leader,
        leaving,
        options,
        relations: relations.into_iter().collect::<Relations>(),
        resolv_conf: tokio::fs::read_to_string(RESOLV_CONF)
            .await
            .unwrap_or_default(),
        bind_address,
        open_ports,
        memory: Memory::from_state(&state),
        status,
        app_status,
        ..Snapshot::of(hook)
    })
}

/// Is this unit being removed? Juju says so in the environment of a relation's departed hooks; in its broken hooks it
/// has to be asked. A unit that stops says the same either way.
async fn leaving(juju: &Juju, hook: &Hook) -> Result<bool, Error> {
    match &hook.event {
        Event::Relation(event) if event.kind == RelationEventKind::Broken => {
            juju.is_dying(&hook.unit.name()).await
        }
        _ => Ok(hook.departing_self()),
    }
}

/// The little that a stopping unit has to know.
async fn stopping(juju: &Juju, hook: Hook) -> Result<Snapshot, Error> {
    let leader = juju.is_leader().await?;
    let (status, app_status) = statuses(juju, &hook, leader).await?;
    Ok(Snapshot {
        leader,
        status,
        app_status,
        ..Snapshot::of(hook)
    })
}

/// The unit's status and, for the leader, the application's: one question answers both.
async fn statuses(
    juju: &Juju,
    hook: &Hook,
    leader: bool,
) -> Result<(Option<Status>, Option<Status>), Error> {
    if !leader {
        return Ok((juju.status_get().await?, None));
    }
    let answer = juju.status_get_application().await?;
    let unit = answer.units.get(&hook.unit.name()).cloned().flatten();
    Ok((unit, answer.own))
}

/// The relations of an endpoint, lowest number first; not asked for where nothing is read of them.
async fn ids(juju: &Juju, endpoint: &Endpoint) -> Result<Vec<u32>, Error> {
    if endpoint.reads.is_empty() {
        return Ok(Vec::new());
    }
    juju.relation_ids(endpoint.name).await
}

/// An endpoint's relations: all that Juju lists, whether it can read them or not.
async fn relations(
    juju: &Juju,
    hook: &Hook,
    leader: bool,
    endpoint: &Endpoint,
    ids: Vec<u32>,
) -> Result<(&'static str, Vec<Relation>), Error> {
    let each = ids
        .into_iter()
        .map(|id| relation(juju, hook, leader, endpoint.reads, id));
    Ok((endpoint.name, try_join_all(each).await?))
}

/// Those databags of a relation that the table of endpoints names.
async fn relation(
    juju: &Juju,
    hook: &Hook,
    leader: bool,
    reads: &[Bag],
    id: u32,
) -> Result<Relation, Error> {
    let unit = hook.unit.name();
    let own_unit_bag = async {
        if reads.contains(&Bag::OwnUnit) {
            juju.relation_get_unit(id, &unit).await
        } else {
            Ok(Some(Databag::new()))
        }
    };
    let own_app_bag = async {
        if leader && reads.contains(&Bag::OwnApp) {
            juju.relation_get_app(id, &hook.unit.app).await
        } else {
            Ok(None)
        }
    };
    let (remote, own_unit_bag, own_app_bag) =
        tokio::try_join!(remote(juju, hook, reads, id), own_unit_bag, own_app_bag)?;
    Ok(Relation {
        id,
        remote_app: remote.app,
        remote_app_bag: remote.app_bag,
        remote_unit_bags: remote.unit_bags,
        own_unit_bag,
        own_app_bag,
    })
}

/// What the other side says.
#[derive(Default)]
struct Remote {
    app: String,
    app_bag: Option<Databag>,
    unit_bags: BTreeMap<String, Databag>,
}

async fn remote(juju: &Juju, hook: &Hook, reads: &[Bag], id: u32) -> Result<Remote, Error> {
    if !reads.contains(&Bag::RemoteApp) {
        return Ok(Remote::default());
    }
    // Juju names the application in the environment of the relation's own hooks
    let named = match &hook.event {
        Event::Relation(event) if event.id == id => event.remote_app.clone(),
        _ => None,
    };
    let app = match named {
        Some(app) => Some(app),
        None => juju.relation_app(id).await?,
    };
    let Some(app) = app else {
        return Ok(Remote::default());
    };
    let app_bag = juju.relation_get_app(id, &app).await?;
    let mut unit_bags = BTreeMap::new();
    let has = |key: &str| app_bag.as_ref().is_none_or(|bag| bag.contains_key(key));
    let wants_units = |bag: &Bag| matches!(bag, Bag::RemoteUnits { unless } if !has(unless));
    if reads.iter().any(wants_units) {
        for unit in juju.relation_units(id).await?.unwrap_or_default() {
            if let Some(bag) = juju.relation_get_unit(id, &unit).await? {
                unit_bags.insert(unit, bag);
            }
        }
    }
    Ok(Remote {
        app,
        app_bag,
        unit_bags,
    })
}

/// What the container says. Its image is asked once in its life.
pub async fn workload(pebble: &Pebble, snapshot: &Snapshot) -> Probe<Workload> {
    let wants_image = snapshot.hook.event != Event::Stop;
    let known = |boot_id: &str| snapshot.memory.image_of(boot_id);
    look_inside(pebble, known, wants_image).await
}

/// Asks the databases and the server what the plan wants to know, all at the same time.
pub async fn answers(questions: &Questions, facts: &mut Facts) {
    let (stores, serving) = tokio::join!(stores(questions), serving(questions));
    facts.answer(stores, serving);
    ask_others(facts).await;
}

async fn stores(questions: &Questions) -> PerStore<Probe<StoreFacts>> {
    let Some(databases) = &questions.proof else {
        return PerStore::default();
    };
    let (main, visibility) = tokio::join!(
        postgres::proof(Store::Main, &databases.main, STORE_LIMIT),
        postgres::proof(Store::Visibility, &databases.visibility, STORE_LIMIT),
    );
    PerStore { main, visibility }
}

async fn serving(questions: &Questions) -> Probe<Serving> {
    match &questions.health {
        Some(asked) => {
            let (address, roles) = (asked.address, &asked.roles);
            Probe::Known(health::look(address, roles, asked.version, HEALTH_LIMIT).await)
        }
        None => Probe::NotAsked,
    }
}

/// Asks the other history processes for their shards, where that decides whether this unit's may have none.
async fn ask_others(facts: &mut Facts) {
    let others = plan::others(facts);
    if others.is_empty() {
        return;
    }
    let elsewhere = health::shards(&others, HEALTH_LIMIT).await;
    if let Probe::Known(serving) = &mut facts.serving {
        serving.elsewhere = elsewhere;
    }
}

/// Looks at the container and the server again, after something was changed there. A server that was just started is
/// looked at until it serves, within limits.
pub async fn again(pebble: &Pebble, facts: &mut Facts, patience: Patience) {
    look_again(pebble, facts).await;
    let limit = match patience {
        Patience::ForAStart => START_LIMIT,
        Patience::OneLook => Duration::ZERO,
    };
    let deadline = Instant::now() + limit;
    let questions = plan::questions(facts);
    let mut rests_since = None;
    loop {
        facts.serving = serving(&questions).await;
        let Some(said) = facts.serving.known() else {
            return;
        };
        // the databases are asked when little else is missing: a log-in is not for nothing
        let nearly = health::all_is_well(said) || plan::may_rest(facts);
        let pause = if nearly { STORE_PAUSE } else { START_PAUSE };
        let last = Instant::now() + pause >= deadline;
        if nearly || last {
            let serving = facts.serving.clone();
            facts.answer(stores(&questions).await, serving);
            ask_others(facts).await;
        }
        let rests = plan::rests(facts).is_some();
        let since = rests.then(|| rests_since.unwrap_or_else(Instant::now));
        rests_since = since;
        let settled = since.is_none_or(|since| since.elapsed() >= REST_LIMIT);
        if last || (settled && plan::serves(facts)) {
            break;
        }
        sleep(pause).await;
    }
    if patience == Patience::ForAStart {
        // a server that exits while it comes up has changed the container's facts
        look_again(pebble, facts).await;
    }
}

/// Why one of the other units does not serve, if one does not within `patience`. A unit that is being removed is missed
/// by nobody.
pub async fn other_that_does_not_serve(
    juju: &Juju,
    others: &OtherUnits,
    patience: Duration,
) -> Result<Option<String>, Error> {
    let Some(id) = others.relation else {
        return Ok(None);
    };
    let deadline = Instant::now() + patience;
    loop {
        let why = look_at_others(juju, others, id).await?;
        if why.is_none() || Instant::now() + STORE_PAUSE >= deadline {
            return Ok(why);
        }
        sleep(STORE_PAUSE).await;
    }
}

async fn look_at_others(
    juju: &Juju,
    others: &OtherUnits,
    id: u32,
) -> Result<Option<String>, Error> {
    let units = juju.relation_units(id).await?.unwrap_or_default();
    let each = units.iter().map(async |unit| {
        let Some(bag) = juju.relation_get_unit(id, unit).await? else {
            return Ok(None);
        };
        let address = peer::parse(&bag);
        let why = match address {
            Some(address) => does_not_serve(address, others).await,
            None => Some("it has not told its address yet".to_owned()),
        };
        if why.is_some() && juju.is_dying(unit).await? {
            return Ok(None);
        }
        Ok(Some((unit, address, why)))
    });
    let each = try_join_all(each).await?;
    let down = |unit: &str, why: &str| Some(format!("`{unit}` does not serve ({why})"));
    let mut at = BTreeMap::new();
    for (unit, address, why) in each.into_iter().flatten() {
        if let Some(why) = why {
            return Ok(down(unit, &why));
        }
        at.extend(address.map(|address| (address, unit)));
    }
    let Some(database) = others.heartbeats.as_ref().filter(|_| !at.is_empty()) else {
        return Ok(None);
    };
    let workers = at.keys().copied().collect();
    Ok(
        match postgres::silent_workers(database, workers, HEARTBEAT_LIMIT).await {
            Ok(silent) => silent
                .first()
                .and_then(|address| down(at.get(address)?, "worker: it writes no heartbeats")),
            Err(why) => Some(why),
        },
    )
}

/// Why none of the sets of roles is served there.
async fn does_not_serve(address: IpAddr, others: &OtherUnits) -> Option<String> {
    let mut reason = None;
    for roles in &others.roles {
        let version = Some(others.version);
        let mut serving = health::look(address, roles, version, HEALTH_LIMIT).await;
        if serving.shards.as_ref().is_some_and(BTreeSet::is_empty) && rests(address, others).await {
            serving.roles.insert(Role::History, Ok(()));
        }
        if health::all_is_well(&serving) {
            return None;
        }
        let role = serving.roles.into_iter();
        let mut role = role.filter_map(|(role, answer)| Some(format!("{role}: {}", answer.err()?)));
        let store = || Some(format!("its database: {}", serving.store?.err()?));
        reason = role.next().or_else(store);
    }
    reason
}

/// Do the other history processes own all shards?
async fn rests(address: IpAddr, others: &OtherUnits) -> bool {
    let elsewhere = others.histories.iter().copied();
    let elsewhere: Vec<IpAddr> = elsewhere.filter(|it| *it != address).collect();
    let owned = health::shards(&elsewhere, HEALTH_LIMIT).await;
    (1..=others.shards).all(|shard| owned.contains(&shard))
}

async fn look_again(pebble: &Pebble, facts: &mut Facts) {
    let before = facts.workload.known();
    let known = |boot_id: &str| {
        let same = |before: &&Workload| before.boot_id == boot_id && !boot_id.is_empty();
        let before = before.filter(same)?;
        before.image.known()?.as_ref().ok().cloned()
    };
    facts.workload = look_inside(pebble, known, facts.hook.event != Event::Stop).await;
}

async fn look_inside(
    pebble: &Pebble,
    known: impl Fn(&str) -> Option<Image>,
    wants_image: bool,
) -> Probe<Workload> {
    match ask_pebble(pebble, known, wants_image).await {
        Ok(workload) => Probe::Known(workload),
        Err(error) => Probe::Unreachable(chain(&error)),
    }
}

async fn ask_pebble(
    pebble: &Pebble,
    known: impl Fn(&str) -> Option<Image>,
    wants_image: bool,
) -> Result<Workload, pebble::Error> {
    let boot_id = pebble.system_info().await?.boot_id;
    let paths = [
        container::config::PATH,
        container::dynamic::PATH,
        container::pgpass::PATH,
    ];
    let image = async {
        match known(&boot_id) {
            Some(image) => Probe::Known(Ok(image)),
            None if wants_image => ask_image(pebble).await,
            None => Probe::NotAsked,
        }
    };
    let (mut plan, states, files, image) = tokio::try_join!(
        pebble.plan(),
        pebble.services(&[]),
        files(pebble, &paths),
        async { Ok(image.await) },
    )?;
    let (ours, others): (Vec<_>, Vec<_>) = states
        .into_iter()
        .partition(|state| state.name == container::SERVICE);
    let state = ours.into_iter().next().map(|state| state.current);
    let check = plan.checks.remove(container::check::NAME);
    let check = check.filter(|_| pebble.shares_program(container::check::PROGRAM));
    let others = others.into_iter().filter(|state| state.current.is_up());
    let others = others.map(|state| state.name).collect();
    let service = match (plan.services.remove(container::SERVICE), state) {
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
    Ok(Workload {
        boot_id,
        image,
        service,
        check,
        others,
        files,
    })
}

/// Those of the files that exist.
async fn files(pebble: &Pebble, paths: &[&str]) -> Result<BTreeMap<String, File>, pebble::Error> {
    let modes = try_join_all(paths.iter().map(|path| mode(pebble, path)));
    let (contents, modes) = tokio::try_join!(pebble.read_files(paths), modes)?;
    let mut files = BTreeMap::new();
    for ((path, content), mode) in paths.iter().zip(contents).zip(modes) {
        // one that went between the two questions is gone
        if let (Some(content), Some(mode)) = (content?, mode) {
            files.insert((*path).to_owned(), File { content, mode });
        }
    }
    Ok(files)
}

/// The permission bits of a file; `None` when there is none.
async fn mode(pebble: &Pebble, path: &str) -> Result<Option<u32>, pebble::Error> {
    let listed = match pebble.list_files(path).await {
        Err(pebble::Error::File(error)) if error.kind == pebble::FileErrorKind::NotFound => {
            return Ok(None);
        }
        listed => listed?,
    };
    let mut entries = listed.into_iter();
    Ok(entries
        .find(|entry| entry.path == path)
        .map(|entry| entry.permissions))
}

async fn ask_image(pebble: &Pebble) -> Probe<Result<Image, String>> {
    let command = ["temporal-server", "--version"].map(str::to_owned).to_vec();
    let exec = pebble::Exec {
        command,
        timeout: VERSION_LIMIT,
        // the home directory, which is where it would start, need not exist
        working_dir: Some("/".to_owned()),
        ..pebble::Exec::default()
    };
    match pebble.exec(&exec).await {
        Ok(output) if output.exit_code == 0 => {
            let answer = Version::from_output(&String::from_utf8_lossy(&output.stdout));
            let mut variables = output.variables;
            variables.retain(|name| VARIABLES.contains(&name.as_str()));
            let image = answer.map(|version| Image { version, variables });
            Probe::Known(image.map_err(|error| chain(&error)))
        }
        Ok(output) => Probe::Known(Err(format!("it exited with code {}", output.exit_code))),
        Err(pebble::Error::Refused { message, .. })
            if message.contains("cannot find executable") =>
        {
            let why = "there is no `temporal-server` on its `PATH`";
            Probe::Known(Err(why.to_owned()))
        }
        Err(error @ pebble::Error::Refused { .. }) => Probe::Known(Err(chain(&error))),
        Err(error) => Probe::Unreachable(chain(&error)),
    }
}

/// The last line that the server printed.
async fn last_words(pebble: &Pebble) -> Option<String> {
    let lines = pebble.logs(container::SERVICE, 1).await.ok()?;
    let line = shorten(lines.last()?.message.trim());
    (!line.is_empty()).then_some(line)
}
