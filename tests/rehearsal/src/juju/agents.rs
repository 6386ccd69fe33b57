//! The unit agents: which hook runs next in the whole model, and what follows from its end.

use std::thread;
use std::time::{Duration, Instant};

use super::cloud::CheckNotice;
use super::dispatch::outcome;
use super::event::{Event, PebbleChange};
use super::memory::Failed;
use super::model::app_of;
use super::record::{Exit, HookRun};
use super::schedule::{Told, calm, pending};
use super::{Juju, JujuError, OrderOfEvents};

/// How often the agents look again at a model in which nothing is due (Juju: every 5 s).
const POLL: Duration = Duration::from_millis(25);

impl Juju {
    /// Runs the next hook of the model, if one is due. Units take turns, one hook at a time.
    pub fn step(&mut self) -> Result<Option<HookRun>, JujuError> {
        match self.next()? {
            None => Ok(None),
            Some((unit, event)) => self.run_event(&unit, &event).map(Some),
        }
    }

    /// Runs hooks until none is due and every Pebble has been heard of. A hook that fails more
    /// often than [`Juju::retries`] allows ends it with [`JujuError::HookFailed`].
    pub fn settle(&mut self, limit: Duration) -> Result<Vec<HookRun>, JujuError> {
        let start = Instant::now();
        let mut runs = Vec::new();
        loop {
            match self.step()? {
                Some(run) => {
                    let failed = self
                        .model
                        .unit(&run.unit)
                        .and_then(|it| it.agent.failed.as_ref());
                    if failed.is_some_and(|it| it.attempts > self.retries) {
                        return Err(JujuError::HookFailed(Box::new(run)));
                    }
                    runs.push(run);
                }
                None if self.booting().is_empty() => return Ok(runs),
                None => thread::sleep(POLL),
            }
            if start.elapsed() > limit {
                let mut waiting = self.booting();
                let units = self.model.unit_names();
                for unit in units {
                    let due = pending(&self.model, &unit);
                    waiting.extend(due.iter().map(|event| format!("{event} on {unit}")));
                }
                if waiting.is_empty() {
                    return Ok(runs);
                }
                return Err(JujuError::Unsettled {
                    limit,
                    waiting: waiting.join(", "),
                });
            }
        }
    }

    /// Pebbles that have not answered once yet, as long as their pod is young.
    fn booting(&self) -> Vec<String> {
        let mut waiting = Vec::new();
        for unit in self.model.unit_names() {
            let young = self
                .born
                .get(&unit)
                .is_some_and(|it| it.elapsed() < self.boot_grace);
            let (Some(it), true) = (self.model.unit(&unit), young) else {
                continue;
            };
            let app = self.model.applications.get(app_of(&unit));
            for container in app.into_iter().flat_map(|app| &app.metadata.containers) {
                let heard = [&it.observed.boots, &it.agent.boots];
                if !heard.iter().any(|boots| boots.contains_key(container)) {
                    waiting.push(format!("Pebble of container {container} on {unit}"));
                }
            }
        }
        waiting
    }

    /// Looks at a unit's pod and Service, and lets the unit enter relations.
    fn observe(&mut self, unit: &str) {
        let app = app_of(unit).to_owned();
        let hidden = self.hidden_services.contains(&app);
        let service_ip = if hidden {
            None
        } else {
            self.cloud.service_ip(&app)
        };
        let pod_ip = self.cloud.pod_ip(unit);
        let Some(application) = self.model.applications.get_mut(&app) else {
            return;
        };
        application.service_ip = service_ip;
        let containers = application.metadata.containers.clone();
        let boots = containers
            .into_iter()
            .filter_map(|name| self.cloud.boot_id(unit, &name).map(|boot| (name, boot)))
            .collect();
        if let Some(it) = self.model.unit_mut(unit) {
            it.observed = super::model::Observed { pod_ip, boots };
        }
        self.look_at_checks(unit);
        self.model.enter_scopes(unit);
    }

    /// Makes hooks of what Pebble noticed of its checks, one for each change that is over (Juju 3.6 and newer).
    fn look_at_checks(&mut self, unit: &str) {
        if self.model.juju < (3, 6, 0) {
            return;
        }
        let Some(it) = self.model.unit_mut(unit) else {
            return;
        };
        for container in it.observed.boots.keys() {
            let after = it.agent.noticed.get(container);
            let notices = self
                .cloud
                .check_notices(unit, container, after.map(String::as_str));
            for notice in notices {
                let change = check_change(&notice);
                it.agent.noticed.insert(container.clone(), notice.repeated);
                it.agent.injected.extend(change.map(|change| Event::Pebble {
                    container: container.clone(),
                    change,
                }));
            }
        }
    }

    /// The unit and event that are next; drops events on the way if the test wants that.
    fn next(&mut self) -> Result<Option<(String, Event)>, JujuError> {
        let mut units = self.model.unit_names();
        for unit in &units {
            self.observe(unit);
        }
        loop {
            let Some((unit, event)) = self.choose(&units) else {
                return Ok(None);
            };
            let lost = match (&mut self.lose, &event) {
                (None, _) | (_, Event::Install | Event::Remove | Event::Action(_)) => false,
                (Some(lose), event) => lose(&unit, event),
            };
            if self.taken(&unit, &event) {
                continue;
            }
            if self.model.out_of_relations(&unit) && self.chance.u8(..4) == 0 {
                self.forget_unit(&unit)?;
                self.forget_finished_applications()?;
                units.retain(|it| *it != unit);
                continue;
            }
            if !lost {
                return Ok(Some((unit, event)));
            }
            Told::new(&self.model, &unit, &event).acknowledge(&mut self.model, &unit);
            self.model.enter_scopes(&unit);
        }
    }

    /// Whether Juju 4's job took this hook's relation from the unit. It comes at any time: before the hook, which
    /// then never runs, or while it runs.
    fn taken(&mut self, unit: &str, event: &Event) -> bool {
        let of_hook = event.relation().map(|it| it.id);
        for id in self.model.taken_from(unit) {
            let moment = self.chance.u8(..3);
            let gone = match moment {
                0 => false,
                1 => true,
                _ => of_hook == Some(id),
            };
            if let Some(relation) = self.model.relations.get_mut(&id).filter(|_| gone) {
                relation.gone = true;
            }
            if moment == 1 && of_hook == Some(id) {
                return true;
            }
        }
        false
    }

    fn choose(&mut self, units: &[String]) -> Option<(String, Event)> {
        if units.is_empty() {
            return None;
        }
        if let OrderOfEvents::Shuffled(random) = &mut self.order {
            let mut due: Vec<(String, Vec<Event>)> = units
                .iter()
                .map(|unit| (unit.clone(), pending(&self.model, unit)))
                .filter(|(_, events)| !events.is_empty())
                .collect();
            if due.is_empty() {
                return None;
            }
            let (unit, mut events) = due.swap_remove(random.usize(..due.len()));
            let event = events.swap_remove(random.usize(..events.len()));
            return Some((unit, event));
        }
        let from = self.turn % units.len();
        for (offset, unit) in units
            .iter()
            .cycle()
            .skip(from)
            .take(units.len())
            .enumerate()
        {
            let mut events = calm(&self.model, unit);
            if !events.is_empty() {
                let event = events.swap_remove(self.chance.usize(..events.len()));
                self.turn = from + offset + 1;
                return Some((unit.clone(), event));
            }
        }
        None
    }

    /// Runs one event on a unit and draws the consequences.
    pub(super) fn run_event(&mut self, unit: &str, event: &Event) -> Result<HookRun, JujuError> {
        self.observe(unit);
        self.announce(unit, event);
        let told = Told::new(&self.model, unit, event);
        let (run, said, status_set) = self.dispatch(unit, event.clone())?;
        if let Event::Action(action) = event {
            self.outcomes.insert(action.id, outcome(&run, said));
            told.acknowledge(&mut self.model, unit);
        } else if run.success() {
            self.conclude(unit, event, status_set);
            told.acknowledge(&mut self.model, unit);
        } else if let Some(it) = self.model.unit_mut(unit) {
            let attempts = it.agent.failed.as_ref().map_or(0, |failed| failed.attempts) + 1;
            let error = !matches!(run.exit, Exit::Signal(_));
            it.agent.failed = Some(Failed {
                event: event.clone(),
                attempts,
                error,
            });
        }
        self.expose(app_of(unit))?;
        if *event == Event::Remove && run.success() {
            self.forget_unit(unit)?;
        }
        self.forget_finished_applications()?;
        self.log.push(run.clone());
        if let Some(observer) = &mut self.observer {
            observer(&run);
        }
        Ok(run)
    }

    /// What Juju itself says about a unit before some hooks.
    fn announce(&mut self, unit: &str, event: &Event) {
        let Some(it) = self.model.unit_mut(unit) else {
            return;
        };
        match event {
            Event::Install if !it.status_by_charm => {
                it.set_status("maintenance", "installing charm software");
            }
            Event::Stop => it.set_status("maintenance", "stopping charm software"),
            Event::Remove => it.set_status("maintenance", "cleaning up prior to charm deletion"),
            _ => {}
        }
    }

    /// What Juju itself says about a unit after some hooks.
    fn conclude(&mut self, unit: &str, event: &Event, status_set: bool) {
        let Some(it) = self.model.unit_mut(unit) else {
            return;
        };
        match event {
            Event::Start if !(status_set || it.status_by_charm) => it.set_status("unknown", ""),
            Event::Stop => it.set_status("terminated", ""),
            _ => {}
        }
    }

    /// Gives the Service the ports that are open now, if they changed.
    pub(super) fn expose(&mut self, app: &str) -> Result<(), JujuError> {
        let ports = self.model.ports_of(app);
        if self.exposed.get(app) != Some(&ports) {
            let exposed = self.cloud.expose(app, &ports);
            exposed.map_err(|source| JujuError::cloud("open the ports of", app, source))?;
            self.exposed.insert(app.to_owned(), ports);
        }
        Ok(())
    }

    /// The unit's last hook ran: its pod goes, its traces in relations go.
    pub(super) fn forget_unit(&mut self, unit: &str) -> Result<(), JujuError> {
        let deleted = self.cloud.delete_pod(unit);
        deleted.map_err(|source| JujuError::cloud("delete the pod of", unit, source))?;
        let app = app_of(unit).to_owned();
        self.model.secrets.forget(unit);
        let ids: Vec<u32> = self.model.relations.keys().copied().collect();
        for id in ids {
            self.model.leave_scope(unit, id);
        }
        if let Some(application) = self.model.applications.get_mut(&app) {
            application
                .units
                .retain(|number, _| format!("{app}/{number}") != unit);
            if application.leader.as_deref() == Some(unit) {
                application.leader = None;
            }
        }
        self.charms.remove(unit);
        self.listeners.remove(unit);
        self.born.remove(unit);
        self.model.elect(&app);
        self.expose(&app)
    }

    /// An application is gone once its units and its relations are.
    pub(super) fn forget_finished_applications(&mut self) -> Result<(), JujuError> {
        let finished = |name: &str| {
            self.model
                .applications
                .get(name)
                .is_some_and(|app| app.dying && app.units.is_empty())
                && self
                    .model
                    .relations_of(name)
                    .all(super::model::Relation::is_peer)
        };
        let names: Vec<String> = self
            .model
            .applications
            .keys()
            .filter(|name| finished(name))
            .cloned()
            .collect();
        for app in names {
            self.model
                .relations
                .retain(|_, relation| relation.side(&app).is_none());
            self.model.applications.remove(&app);
            self.model.secrets.forget(&app);
            self.sources.remove(&app);
            self.exposed.remove(&app);
            let deleted = self.cloud.delete_application(&app);
            deleted.map_err(|source| JujuError::cloud("delete", &app, source))?;
        }
        Ok(())
    }
}

/// A check failed when the change that performs it has ended in an error, and is well again when the change that
/// recovers it is done. A change that Pebble has forgotten ended so, too.
fn check_change(notice: &CheckNotice) -> Option<PebbleChange> {
    let check = notice.check.clone();
    match (notice.kind.as_str(), notice.status.as_deref()) {
        ("perform-check", None | Some("Error")) => Some(PebbleChange::CheckFailed(check)),
        ("recover-check", None | Some("Done")) => Some(PebbleChange::CheckRecovered(check)),
        _ => None,
    }
}
