//! Which hook may run next on a unit, and what is different once it ran.
//!
//! Both directions are functions of the model. As in Juju's own agent, events are not queued but
//! found by comparing the model with what the agent already told its charm, so several changes
//! before the next hook become one event.

use std::collections::BTreeSet;

use super::event::{Event, RelationChange, RelationEvent, SecretEvent};
use super::memory::{Agent, ConfigSeen, LocalRelation};
use super::model::{Bag, Model, Relation, Unit, app_of};
use super::secrets;

/// The events that may legally run next on a unit; the first is the one a calm Juju picks. Actions
/// are not among them: they run when the operator says so, even in error.
pub fn pending(model: &Model, unit: &str) -> Vec<Event> {
    let Some(it) = model.unit(unit) else {
        return Vec::new();
    };
    let agent = &it.agent;
    if let Some(failed) = &agent.failed {
        return vec![failed.event.clone()];
    }
    let changed = changed_next(model, unit, agent);
    if it.dying {
        return changed.map_or_else(|| teardown(model, unit, it), |changed| vec![changed]);
    }
    if !agent.installed {
        return vec![Event::Install];
    }
    let start = starting(model, unit, it);
    if !start.is_empty() {
        let secrets = secrets::due(model, unit).into_iter();
        let secrets = secrets.filter(|_| !agent.upgrade_due);
        let start = start.into_iter().chain(pebble_ready(it));
        return start.chain(secrets).collect();
    }
    if let Some(changed) = changed {
        return vec![changed];
    }
    let mut events = created(model, unit, agent);
    events.extend(leadership(model, unit, agent));
    events.extend(secrets::due(model, unit));
    if agent.config.as_ref() != Some(&model.config_of(unit)) {
        events.push(Event::ConfigChanged);
    }
    for relation in model.relations_of(app_of(unit)) {
        let Some(local) = agent.relations.get(&relation.id) else {
            continue;
        };
        events.extend(relation_events(relation, unit, local));
    }
    events.extend(agent.injected.front().cloned());
    events.extend(pebble_ready(it));
    if events.is_empty() && agent.update_status {
        events.push(Event::UpdateStatus);
    }
    events
}

/// Those of the due events that a calm Juju may run next, in the order recorded on a real
/// controller: agents go through their relations in no order at all, and a container is ready
/// whenever its Pebble is.
pub fn calm(model: &Model, unit: &str) -> Vec<Event> {
    let due = pending(model, unit);
    let Some(first) = due.first() else {
        return due;
    };
    match first {
        Event::Relation(RelationEvent { change, .. }) => {
            let created = *change == RelationChange::Created;
            let mut relations = BTreeSet::new();
            let alike = due.iter().map_while(Event::relation);
            alike
                .filter(|it| (it.change == RelationChange::Created) == created)
                .filter(|it| relations.insert(it.id))
                .cloned()
                .map(Event::Relation)
                .collect()
        }
        Event::Secret(SecretEvent { change, .. }) => {
            let alike = |it: &Event| matches!(it, Event::Secret(it) if it.change == *change);
            due.iter().filter(|it| alike(it)).cloned().collect()
        }
        Event::ConfigChanged | Event::Start => {
            let starting = model.unit(unit).is_some_and(|it| it.agent.start_due);
            let ready = |it: &&Event| starting && matches!(it, Event::PebbleReady { .. });
            let ready = due.iter().filter(ready).cloned();
            std::iter::once(first.clone()).chain(ready).collect()
        }
        other => vec![other.clone()],
    }
}

/// The changed hook that directly follows a joined hook.
fn changed_next(model: &Model, unit: &str, agent: &Agent) -> Option<Event> {
    agent.relations.iter().find_map(|(id, local)| {
        let joined = local.changed_next.as_deref()?;
        event(
            model.relations.get(id).filter(|it| !it.gone)?,
            unit,
            RelationChange::Changed,
            Some(joined),
            None,
        )
    })
}

/// What is left of a start: new pod → upgrade-charm, relations created so far, leadership,
/// config-changed, start. Only the first of them may run, whatever else is going on.
fn starting(model: &Model, unit: &str, it: &Unit) -> Vec<Event> {
    let agent = &it.agent;
    if agent.upgrade_due {
        return vec![Event::UpgradeCharm];
    }
    if !agent.start_due {
        return Vec::new();
    }
    let created = created(model, unit, agent);
    if !created.is_empty() {
        return created;
    }
    if let Some(event) = leadership(model, unit, agent) {
        return vec![event];
    }
    if agent.config.is_none() {
        vec![Event::ConfigChanged]
    } else {
        vec![Event::Start]
    }
}

fn created(model: &Model, unit: &str, agent: &Agent) -> Vec<Event> {
    model
        .relations_of(app_of(unit))
        .filter(|it| !it.dying && it.scope.contains(unit))
        .filter(|it| {
            !agent
                .relations
                .get(&it.id)
                .is_some_and(|local| local.created)
        })
        .filter_map(|it| event(it, unit, RelationChange::Created, None, None))
        .collect()
}

fn leadership(model: &Model, unit: &str, agent: &Agent) -> Option<Event> {
    if model.is_leader(unit) {
        (!agent.leader_told).then_some(Event::LeaderElected)
    } else {
        // Leader settings are gone from Juju 4.
        (model.juju.0 < 4 && !agent.settings_told).then_some(Event::LeaderSettingsChanged)
    }
}

fn pebble_ready(unit: &Unit) -> Vec<Event> {
    let told = &unit.agent.boots;
    let news = unit
        .observed
        .boots
        .iter()
        .filter(|(name, boot)| told.get(*name) != Some(*boot));
    news.map(|(name, _)| Event::PebbleReady {
        container: name.clone(),
    })
    .collect()
}

fn teardown(model: &Model, unit: &str, it: &Unit) -> Vec<Event> {
    let agent = &it.agent;
    let mut events = Vec::new();
    for relation in model.relations_of(app_of(unit)).filter(|it| !it.gone) {
        if let Some(local) = agent.relations.get(&relation.id) {
            let breaks = !relation.is_peer() || agent.restarted;
            events.extend(farewell(relation, unit, local, Some(unit), breaks));
        }
    }
    if events.is_empty() {
        let last = if agent.started && !agent.stopped {
            Event::Stop
        } else {
            Event::Remove
        };
        events.push(last);
    }
    events
}

/// departed for each member, then broken, if this relation breaks.
fn farewell(
    relation: &Relation,
    unit: &str,
    local: &LocalRelation,
    departing: Option<&str>,
    breaks: bool,
) -> Vec<Event> {
    let departed = |member: &String| {
        let who = departing.unwrap_or(member);
        event(
            relation,
            unit,
            RelationChange::Departed,
            Some(member),
            Some(who),
        )
    };
    let departures: Vec<Event> = local.members.keys().filter_map(departed).collect();
    if departures.is_empty() && local.created && breaks {
        return event(relation, unit, RelationChange::Broken, None, None)
            .into_iter()
            .collect();
    }
    departures
}

fn relation_events(relation: &Relation, unit: &str, local: &LocalRelation) -> Vec<Event> {
    if !local.created {
        return Vec::new();
    }
    if relation.dying {
        return farewell(relation, unit, local, None, true);
    }
    let mut events = Vec::new();
    let mut departed = Vec::new();
    let mut changed = Vec::new();
    let app = app_of(unit);
    let remote = relation.remote_app(app).unwrap_or_default();
    let version = relation.apps.get(remote).map_or(0, |bag| bag.version);
    if version != local.app_version {
        events.extend(event(relation, unit, RelationChange::Changed, None, None));
    }
    let visible = relation.visible_units(app, unit);
    let known: BTreeSet<&String> = visible.iter().chain(local.members.keys()).collect();
    for member in known {
        let news = |change, departing| event(relation, unit, change, Some(member), departing);
        match (visible.contains(member), local.members.get(member)) {
            (true, None) => events.extend(news(RelationChange::Joined, None)),
            (false, _) => departed.extend(news(RelationChange::Departed, Some(member))),
            (true, Some(told)) => {
                let bag = relation.units.get(member);
                if bag.is_some_and(|bag| bag.version != *told) {
                    changed.extend(news(RelationChange::Changed, None));
                }
            }
        }
    }
    // The agent's own order within a relation: the application's change comes before any unit.
    departed.append(&mut events);
    departed.append(&mut changed);
    departed
}

fn event(
    relation: &Relation,
    unit: &str,
    change: RelationChange,
    remote_unit: Option<&str>,
    departing: Option<&str>,
) -> Option<Event> {
    let app = app_of(unit);
    Some(Event::Relation(RelationEvent {
        change,
        endpoint: relation.side(app)?.endpoint.clone(),
        id: relation.id,
        remote_app: relation.remote_app(app)?.to_owned(),
        remote_unit: remote_unit.map(str::to_owned),
        departing: departing.map(str::to_owned),
    }))
}

/// The facts a hook is told, taken before it starts: what changes while it runs is told next time.
#[derive(Debug, Clone)]
pub struct Told {
    event: Event,
    config: ConfigSeen,
    boot: Option<String>,
    app_version: u64,
    unit_version: u64,
    secret: u32,
}

impl Told {
    /// What the unit is about to be told with this event.
    pub fn new(model: &Model, unit: &str, event: &Event) -> Self {
        let boot = match event {
            Event::PebbleReady { container } => model
                .unit(unit)
                .and_then(|it| it.observed.boots.get(container).cloned()),
            _ => None,
        };
        let relation = event
            .relation()
            .and_then(|it| model.relations.get(&it.id).zip(Some(it)));
        let version = |bag: Option<&Bag>| bag.map_or(0, |bag| bag.version);
        Self {
            event: event.clone(),
            config: model.config_of(unit),
            boot,
            app_version: relation.map_or(0, |(it, event)| version(it.apps.get(&event.remote_app))),
            unit_version: relation.map_or(0, |(it, event)| {
                version(
                    event
                        .remote_unit
                        .as_ref()
                        .and_then(|unit| it.units.get(unit)),
                )
            }),
            secret: match event {
                Event::Secret(event) => secrets::latest(model, event),
                _ => 0,
            },
        }
    }

    /// Notes that the charm has been told, after the hook succeeded or was lost on purpose.
    pub fn acknowledge(self, model: &mut Model, unit: &str) {
        let leader = model.is_leader(unit);
        if let Event::Secret(event) = &self.event {
            secrets::conclude(model, unit, event, self.secret);
        }
        if let Event::Relation(event) = &self.event {
            if event.change == RelationChange::Broken {
                model.leave_scope(unit, event.id);
            } else if let Some(it) = model.unit_mut(unit) {
                self.tell_relation(it.agent.relations.entry(event.id).or_default(), event);
            }
        }
        let Some(it) = model.unit_mut(unit) else {
            return;
        };
        let agent = &mut it.agent;
        if agent
            .failed
            .as_ref()
            .is_some_and(|failed| failed.event == self.event)
        {
            agent.failed = None;
        }
        if agent.injected.front() == Some(&self.event) {
            agent.injected.pop_front();
        }
        match self.event {
            Event::Install => agent.installed = true,
            Event::Start => (agent.started, agent.start_due) = (true, false),
            Event::Stop => agent.stopped = true,
            Event::UpgradeCharm => (agent.upgrade_due, agent.config) = (false, None),
            Event::ConfigChanged => {
                agent.config = Some(self.config);
                model.refresh_addresses(unit);
            }
            Event::UpdateStatus => agent.update_status = false,
            Event::LeaderElected => {
                (agent.leader_told, agent.settings_told) = (leader, true);
            }
            Event::LeaderSettingsChanged => agent.settings_told = true,
            Event::PebbleReady { container } => {
                agent.boots.extend(self.boot.map(|boot| (container, boot)));
            }
            Event::Pebble { .. }
            | Event::Remove
            | Event::Relation(_)
            | Event::Secret(_)
            | Event::Action(_) => {}
        }
    }

    fn tell_relation(&self, local: &mut LocalRelation, event: &RelationEvent) {
        match (event.change, &event.remote_unit) {
            (RelationChange::Created, _) => local.created = true,
            (RelationChange::Joined, Some(member)) => {
                local.members.insert(member.clone(), self.unit_version);
                local.changed_next = Some(member.clone());
            }
            (RelationChange::Changed, Some(member)) => {
                local.members.insert(member.clone(), self.unit_version);
                local.changed_next = None;
            }
            (RelationChange::Changed, None) => local.app_version = self.app_version,
            (RelationChange::Departed, Some(member)) => {
                local.members.remove(member);
            }
            _ => {}
        }
    }
}
