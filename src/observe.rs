//! Hook → [`Snapshot`], and later the answers to what `plan` wants to know: asks Juju, the container, the databases
//! and the server. Decides nothing; whoever does not answer becomes a fact. Only Juju itself failing is an error.
#![expect(clippy::disallowed_methods, reason = "waits for a server to come up")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::time::sleep;
use tracing::{Instrument as _, debug_span};

use crate::container;
use crate::error::{chain, shorten};
use crate::facts::Facts;
use crate::juju::{
    Databag, Error, Event, Hook, Juju, Relation, RelationEventKind, Status, is_secret_uri,
};
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
/// The pause while only the databases' word is missing; each look logs in to them.
const STORE_PAUSE: Duration = Duration::from_millis(250);
/// The pause while history owns no shard: once it is given some, it takes seconds until it serves.
const REST_PAUSE: Duration = Duration::from_secs(1);
/// How long history of a server that was just started must have had no shard to be taken for one that gets none: the
/// ring gives them out within some seconds.
const REST_LIMIT: Duration = Duration::from_secs(8);
/// The pause between two looks at the other units.
const OTHERS_PAUSE: Duration = Duration::from_secs(1);
/// The other files that are the charm's.
const CONFIGURATION: [&str; 2] = [container::config::PATH, container::dynamic::PATH];
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

/// What Juju and the container say, both asked at the same time.
pub async fn snapshot(juju: &Juju, pebble: &Pebble, hook: Hook) -> Result<Snapshot, Error> {
    let (looks, wants_image) = match hook.event {
        Event::Install => (false, false),
        Event::Stop => (true, false),
        _ => (true, true),
    };
    let asking_pebble = async {
        if looks {
            workload(pebble).await
        } else {
            Probe::NotAsked
        }
    };
    let asking_pebble = asking_pebble.instrument(debug_span!("asking pebble"));
    let asking_juju = model(juju, hook).instrument(debug_span!("asking juju"));
    let (snapshot, mut workload) = tokio::join!(asking_juju, asking_pebble);
    let snapshot = snapshot?;
    if let Probe::Known(workload) = &mut workload {
        let known = snapshot.memory.image_of(&workload.boot_id);
        workload.image = image(pebble, known, wants_image).await;
    }
    Ok(Snapshot {
        workload,
        ..snapshot
    })
}

/// What Juju says, in as few rounds as there can be: what can be asked without an answer first, the relations' databags
/// then. `docs/performance.md` has each question with its reason.
async fn model(juju: &Juju, hook: Hook) -> Result<Snapshot, Error> {
    if matches!(hook.event, Event::Install | Event::Stop) {
        return coming_or_going(juju, hook).await;
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
    let memory = Memory::from_state(&state);
    let broken = hook.broken_relation();
    let each = ENDPOINTS.iter().zip(ids).map(|(endpoint, mut ids)| {
        ids.retain(|id| Some(*id) != broken);
        if endpoint.count == Count::One {
            ids.truncate(1);
        }
        relations(juju, &hook, leader, &memory, endpoint, ids)
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
        memory,
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

/// The little that a unit has to know which Juju tells of no relation yet, or which stops: neither speaks for the
/// application.
async fn coming_or_going(juju: &Juju, hook: Hook) -> Result<Snapshot, Error> {
    let (status, app_status) = statuses(juju, &hook, false).await?;
    Ok(Snapshot {
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

/// The relations of an endpoint, lowest number first; not asked for where nothing is read or said.
async fn ids(juju: &Juju, endpoint: &Endpoint) -> Result<Vec<u32>, Error> {
    if endpoint.reads.is_empty() && endpoint.keys.is_empty() {
        return Ok(Vec::new());
    }
    juju.relation_ids(endpoint.name).await
}

/// An endpoint's relations: all that Juju lists, whether it can read them or not.
async fn relations(
    juju: &Juju,
    hook: &Hook,
    leader: bool,
    memory: &Memory,
    endpoint: &Endpoint,
    ids: Vec<u32>,
) -> Result<(&'static str, Vec<Relation>), Error> {
    let each = ids.into_iter().map(async |id| {
        let mut relation = theirs(juju, hook, memory, endpoint.reads, id).await?;
        ours(juju, hook, leader, memory, endpoint, &mut relation).await?;
        Ok(relation)
    });
    Ok((endpoint.name, try_join_all(each).await?))
}

/// A relation with those databags of the other side that the table of endpoints names.
async fn theirs(
    juju: &Juju,
    hook: &Hook,
    memory: &Memory,
    reads: &[Bag],
    id: u32,
) -> Result<Relation, Error> {
    let mut relation = Relation::unread(id);
    if reads.is_empty() {
        return Ok(relation);
    }
    let Some(app) = remote_app(juju, hook, memory, id).await? else {
        return Ok(relation);
    };
    relation.remote_app_bag = juju.relation_get_app(id, &app).await?;
    relation.remote_app = app;
    let said = relation.remote_app_bag.as_ref();
    let has = |key: &str| said.is_none_or(|bag| bag.contains_key(key));
    let wants_units = |bag: &Bag| matches!(bag, Bag::RemoteUnits { unless } if !has(unless));
    if reads.iter().any(wants_units) {
        let units = juju.relation_units(id).await?.unwrap_or_default();
        let each = units.into_iter().map(async |unit| {
            let bag = juju.relation_get_unit(id, &unit).await?;
            Ok(bag.map(|bag| (unit, bag)))
        });
        let each = try_join_all(each).await?;
        relation.remote_unit_bags = each.into_iter().flatten().collect();
    }
    let keys = reads.iter().filter_map(|bag| match bag {
        Bag::Secrets(keys) => Some(keys.iter()),
        Bag::RemoteApp | Bag::RemoteUnits { .. } | Bag::OwnUnit { .. } => None,
    });
    let each = keys.flatten().map(async |key| {
        let uri = relation
            .remote_app_bag
            .as_ref()
            .and_then(|bag| bag.get(*key));
        let uri = uri.map(|uri| uri.expose().as_str());
        let Some(uri) = uri.filter(|uri| is_secret_uri(uri)) else {
            return Ok(None);
        };
        // A `secret-changed` may be lost, so each hook asks for what is in it now.
        let content = juju.secret_get(uri, true).await?;
        Ok::<_, Error>(content.map(|content| ((*key).to_owned(), content)))
    });
    let each = try_join_all(each).await?;
    relation.secrets = each.into_iter().flatten().collect();
    Ok(relation)
}

/// Our own databags, where they have to be read: for what Juju writes there, and where what is remembered of them may
/// not be true any more, since another leader or another revision of the charm may have written there.
async fn ours(
    juju: &Juju,
    hook: &Hook,
    leader: bool,
    memory: &Memory,
    endpoint: &Endpoint,
    relation: &mut Relation,
) -> Result<(), Error> {
    let (id, keys) = (relation.id, endpoint.keys);
    let another_charm = hook.event == Event::UpgradeCharm;
    let another_leader = another_charm || hook.event == Event::LeaderElected;
    let wants_own = |bag: &Bag| matches!(bag, Bag::OwnUnit { unless } if !unless(relation, memory));
    if (another_charm && !keys.unit.is_empty()) || endpoint.reads.iter().any(wants_own) {
        relation.own_unit_bag = readable(juju.relation_get_unit(id, &hook.unit.name()).await?);
    }
    if leader && another_leader && !keys.app.is_empty() {
        relation.own_app_bag = readable(juju.relation_get_app(id, &hook.unit.app).await?);
    }
    Ok(())
}

fn readable(bag: Option<Databag>) -> Probe<Databag> {
    let unreadable = || Probe::Unreachable("Juju cannot read it".to_owned());
    bag.map_or_else(unreadable, Probe::Known)
}

/// The application on the other side. Juju names it in the environment of the relation's own hooks, and it stays the
/// same for the relation's whole life.
async fn remote_app(
    juju: &Juju,
    hook: &Hook,
    memory: &Memory,
    id: u32,
) -> Result<Option<String>, Error> {
    let named = match &hook.event {
        Event::Relation(event) if event.id == id => event.remote_app.clone(),
        _ => None,
    };
    match named.or_else(|| memory.remotes.get(&id).cloned()) {
        Some(app) => Ok(Some(app)),
        None => juju.relation_app(id).await,
    }
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
    let mut rests_since: Option<Instant> = None;
    loop {
        facts.serving = serving(&questions).await;
        let Some(said) = facts.serving.known() else {
            return;
        };
        let lacks = Lacks::of(health::all_is_well(said), plan::may_rest(facts));
        let pause = lacks.pause(rests_since.map(|since| since.elapsed()));
        let last = Instant::now() + pause >= deadline;
        // the databases are asked when little else is missing: a log-in is not for nothing
        if lacks != Lacks::Health || last {
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

/// What a starting server lacks, by what it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lacks {
    /// A role does not serve.
    Health,
    /// History owns no shard.
    Shards,
    /// Nothing; the databases have the last word.
    Nothing,
}

impl Lacks {
    const fn of(all_is_well: bool, may_rest: bool) -> Self {
        match (all_is_well, may_rest) {
            (true, _) => Self::Nothing,
            (false, true) => Self::Shards,
            (false, false) => Self::Health,
        }
    }

    /// How long to wait before the next look; what serves by then is told so much later. `rests_for` is how long history
    /// is known to have no shard since the others own them all.
    fn pause(self, rests_for: Option<Duration>) -> Duration {
        match self {
            Self::Health => START_PAUSE,
            Self::Nothing => STORE_PAUSE,
            // the look that ends the rest is not late either
            Self::Shards => match REST_LIMIT.saturating_sub(rests_for.unwrap_or_default()) {
                Duration::ZERO => STORE_PAUSE,
                left => REST_PAUSE.min(left),
            },
        }
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
        if why.is_none() || Instant::now() + OTHERS_PAUSE >= deadline {
            return Ok(why);
        }
        sleep(OTHERS_PAUSE).await;
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
    let before = std::mem::replace(&mut facts.workload, workload(pebble).await);
    if let Probe::Known(workload) = &mut facts.workload {
        let boot_id = &workload.boot_id;
        let same = |before: &&Workload| before.boot_id == *boot_id && !boot_id.is_empty();
        let before = before.known().filter(same);
        let known = before.and_then(|before| before.image.known()?.as_ref().ok().cloned());
        workload.image = image(pebble, known, facts.hook.event != Event::Stop).await;
    }
}

/// What the image says of itself, asked once in the container's life.
pub async fn image(
    pebble: &Pebble,
    known: Option<Image>,
    wanted: bool,
) -> Probe<Result<Image, String>> {
    match known {
        Some(image) => Probe::Known(Ok(image)),
        None if wanted => ask_image(pebble).await,
        None => Probe::NotAsked,
    }
}

/// What the container says, but for its image.
pub async fn workload(pebble: &Pebble) -> Probe<Workload> {
    match ask_pebble(pebble).await {
        Ok(workload) => Probe::Known(workload),
        Err(error) => Probe::Unreachable(chain(&error)),
    }
}

async fn ask_pebble(pebble: &Pebble) -> Result<Workload, pebble::Error> {
    let paths = [&container::READ_AGAIN[..], &CONFIGURATION].concat();
    let (system, mut plan, states, files) = tokio::try_join!(
        pebble.system_info(),
        pebble.plan(),
        pebble.services(&[]),
        files(pebble, &paths),
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
        boot_id: system.boot_id,
        image: Probe::NotAsked,
        service,
        check,
        others,
        files,
    })
}

/// Those of the files that exist.
async fn files(pebble: &Pebble, paths: &[&str]) -> Result<BTreeMap<String, File>, pebble::Error> {
    let directories = paths
        .iter()
        .filter_map(|path| Some(path.rsplit_once('/')?.0));
    let directories: BTreeSet<&str> = directories.collect();
    let listed = try_join_all(directories.into_iter().map(|path| listed(pebble, path)));
    let (contents, listed) = tokio::try_join!(pebble.read_files(paths), listed)?;
    let modes = listed.into_iter().flatten();
    let modes: BTreeMap<_, _> = modes.map(|it| (it.path, it.permissions)).collect();
    let mut files = BTreeMap::new();
    for (&path, content) in paths.iter().zip(contents) {
        // one that went between the two questions is gone
        if let (Some(content), Some(&mode)) = (content?, modes.get(path)) {
            files.insert(path.to_owned(), File { content, mode });
        }
    }
    Ok(files)
}

/// What is in a directory, which need not exist.
async fn listed(pebble: &Pebble, directory: &str) -> Result<Vec<pebble::FileInfo>, pebble::Error> {
    match pebble.list_files(directory).await {
        Err(pebble::Error::File(error)) if error.kind == pebble::FileErrorKind::NotFound => {
            Ok(Vec::new())
        }
        listed => listed,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the charm adds to the time of a server: the pause, and a look.
    const ADDED: Duration = Duration::from_millis(300);

    #[test]
    fn a_server_that_serves_is_told_within_a_third_of_a_second() {
        for (all_is_well, may_rest) in [(false, false), (true, false)] {
            let pause = Lacks::of(all_is_well, may_rest).pause(None);
            assert!(pause < ADDED, "{all_is_well} {may_rest}: {pause:?}");
        }
    }

    #[test]
    fn the_rest_of_a_history_without_shards_ends_on_time() {
        let of =
            |seconds: f32| Lacks::of(false, true).pause(Some(Duration::from_secs_f32(seconds)));
        assert_eq!(Lacks::of(false, true).pause(None), REST_PAUSE);
        assert_eq!(of(0.0), REST_PAUSE);
        assert_eq!(of(7.75), Duration::from_millis(250));
        // another role may still be missing
        assert_eq!(of(60.0), STORE_PAUSE);
    }
}
