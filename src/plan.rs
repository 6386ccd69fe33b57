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
use crate::effect::Effect;
use crate::hook::Event;
use crate::relations::database::Database;
use crate::relations::{State, admin};
use crate::secret::Secret;
use crate::server::{self, PerStore, Role, Store, version};
use crate::snapshot::{Attempt, Probe, Snapshot, Workload};
use crate::status::{self, Problem, Status};

mod problems;
mod tell;
mod wanted;

use problems::problems;
use tell::{ports, publish, remember, show, tell_version};
pub(crate) use wanted::Server;
use wanted::{
    View, is_active, is_up, needs_start, roles, running, server_version, stores_identity,
};

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
    match &view.server {
        Some(server) if !needs_start(workload, server) => {
            let paths = [server::pgpass::PATH, server::dynamic::PATH];
            write(workload, &server.files, &paths)
        }
        Some(server) if held(snapshot, server).is_empty() => start(workload, server),
        Some(_) | None => rotate(snapshot, workload),
    }
}

/// A rotated password reaches a server that runs, whatever else is wrong: the server needs it for its next
/// connection.
fn rotate(snapshot: &Snapshot, workload: &Workload) -> Vec<Effect> {
    let Some(databases) = running(snapshot) else {
        return Vec::new();
    };
    let pass_file = server::pgpass::render(&PerStore {
        main: &databases.main,
        visibility: &databases.visibility,
    });
    let files = BTreeMap::from([(server::pgpass::PATH, pass_file)]);
    write(workload, &files, &[server::pgpass::PATH])
}

/// Files, layer, replan: whatever of it differs.
pub(crate) fn start(workload: &Workload, server: &Server) -> Vec<Effect> {
    let mut effects = vec![Effect::Announce(status::starting(server.version))];
    let paths = [
        server::config::PATH,
        server::dynamic::PATH,
        server::pgpass::PATH,
    ];
    effects.extend(write(workload, &server.files, &paths));
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

fn write(
    workload: &Workload,
    files: &BTreeMap<&'static str, Secret<String>>,
    paths: &[&'static str],
) -> Vec<Effect> {
    let differs = |path: &str, content: &Secret<String>| {
        workload
            .files
            .get(path)
            .is_none_or(|has| has.expose() != content.expose().as_bytes())
    };
    files
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
    effects.extend(write(workload, &server.files, &paths));
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
