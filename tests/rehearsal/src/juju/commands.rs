//! The `juju` commands of an operator, on the emulated controller.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::charm::{Charm, CharmError, CharmFiles, Source};
use super::cloud::Pod;
use super::event::{ActionEvent, Event};
use super::memory::Agent;
use super::model::{Application, Unit, app_of};
use super::record::ActionOutcome;
use super::relate::Refusal;
use super::{Juju, JujuError};

impl Juju {
    /// `juju deploy`, with options as a person types them. The pods are created at once; hooks run
    /// in [`Juju::step`] and [`Juju::settle`].
    pub fn deploy(
        &mut self,
        app: &str,
        mut source: Source,
        units: u32,
        config: &[(&str, &str)],
    ) -> Result<(), JujuError> {
        if !super::metadata::is_name(app) {
            return Err(Refusal::ApplicationName(app.to_owned()).into());
        }
        if self.model.applications.contains_key(app) {
            return Err(Refusal::ApplicationExists(app.to_owned()).into());
        }
        let files = self.read_charm(app, &mut source)?;
        let mut settings = BTreeMap::new();
        for (name, text) in config {
            let value = files.options.value(name, text).map_err(Refusal::Option)?;
            settings.insert((*name).to_owned(), value);
        }
        let application = Application {
            metadata: files.metadata,
            options: files.options,
            actions: files.actions,
            settings,
            trust: false,
            leader: None,
            status: None,
            units: BTreeMap::new(),
            dying: false,
            service_ip: None,
        };
        self.model.applications.insert(app.to_owned(), application);
        self.sources.insert(app.to_owned(), source);
        self.model.add_peers(app);
        self.expose(app)?;
        for _ in 0..units {
            self.add_unit(app)?;
        }
        Ok(())
    }

    fn read_charm(&self, app: &str, source: &mut Source) -> Result<CharmFiles, CharmError> {
        let juju = (self.model.juju.0, self.model.juju.1);
        match source {
            Source::File(path) => CharmFiles::read(path, juju),
            Source::Counterpart(make) => CharmFiles::of(&*make(&format!("{app}/0")), juju),
        }
    }

    /// One unit more, as `juju add-unit` on Kubernetes: the next number.
    pub fn add_unit(&mut self, app: &str) -> Result<String, JujuError> {
        let application = self.application_mut(app)?;
        if application.dying {
            return Err(Refusal::NotAlive(app.to_owned()).into());
        }
        let number = application
            .units
            .keys()
            .next_back()
            .map_or(0, |last| last + 1);
        application.units.insert(number, Unit::new());
        let unit = format!("{app}/{number}");
        self.model.elect(app);
        self.create_pod(&unit)?;
        Ok(unit)
    }

    /// One unit less; on Kubernetes that is always the one with the highest number.
    pub fn remove_unit(&mut self, app: &str) -> Result<String, JujuError> {
        let application = self.application_mut(app)?;
        let living = application.units.iter().filter(|(_, unit)| !unit.dying);
        let number = living.map(|(number, _)| *number).next_back();
        let number = number.ok_or_else(|| Refusal::NoUnit(format!("{app}/0")))?;
        let unit = format!("{app}/{number}");
        self.kill_unit(&unit)?;
        Ok(unit)
    }

    fn kill_unit(&mut self, unit: &str) -> Result<(), JujuError> {
        for relation in self.model.relations.values_mut() {
            if relation.scope.contains(unit) {
                relation.leaving.insert(unit.to_owned());
            }
        }
        // Nothing says when an agent was last started again.
        let restarted = self.chance.bool();
        let Some(it) = self.model.unit_mut(unit) else {
            return Ok(());
        };
        it.dying = true;
        it.agent.restarted |= restarted;
        let installed = it.agent.installed;
        if installed {
            Ok(())
        } else {
            self.forget_unit(unit)
        }
    }

    /// `juju remove-application`: relations end, then every unit stops and is removed.
    pub fn remove_application(&mut self, app: &str) -> Result<(), JujuError> {
        self.application_mut(app)?.dying = true;
        for relation in self.model.relations.values_mut() {
            if relation.side(app).is_some() && !relation.is_peer() {
                relation.dying = true;
            }
        }
        for unit in self.model.units_of(app) {
            self.kill_unit(&unit)?;
        }
        self.model.drop_finished_relations();
        self.forget_finished_applications()
    }

    /// `juju integrate`; returns the relation's number.
    pub fn integrate(&mut self, a: &str, b: &str) -> Result<u32, JujuError> {
        Ok(self.model.integrate(a, b)?)
    }

    /// `juju remove-relation`
    pub fn remove_relation(&mut self, a: &str, b: &str) -> Result<(), JujuError> {
        Ok(self.model.remove_relation(a, b)?)
    }

    /// `juju config app key=value …`: all of them or none.
    pub fn config(&mut self, app: &str, values: &[(&str, &str)]) -> Result<(), JujuError> {
        let application = self.application_mut(app)?;
        let mut settings = application.settings.clone();
        for (name, text) in values {
            let value = application
                .options
                .value(name, text)
                .map_err(Refusal::Option)?;
            settings.insert((*name).to_owned(), value);
        }
        application.settings = settings;
        Ok(())
    }

    /// `juju config app --reset key,…`
    pub fn reset_config(&mut self, app: &str, names: &[&str]) -> Result<(), JujuError> {
        let application = self.application_mut(app)?;
        for name in names {
            application
                .options
                .declares(name)
                .map_err(Refusal::Option)?;
        }
        application
            .settings
            .retain(|name, _| !names.contains(&name.as_str()));
        Ok(())
    }

    /// `juju trust app`, or `--remove`.
    pub fn trust(&mut self, app: &str, trust: bool) -> Result<(), JujuError> {
        self.application_mut(app)?.trust = trust;
        Ok(())
    }

    /// `juju run unit action`, to its end. It runs before waiting hooks, except that the unit must
    /// be installed first.
    pub fn run_action(
        &mut self,
        unit: &str,
        action: &str,
        params: Map<String, Value>,
    ) -> Result<ActionOutcome, JujuError> {
        if self.model.unit(unit).is_none() {
            return Err(Refusal::NoUnit(unit.to_owned()).into());
        }
        let application = self.application_mut(app_of(unit))?;
        let params = application
            .actions
            .parameters(action, params)
            .map_err(Refusal::Action)?;
        let installed = |juju: &Self| juju.model.unit(unit).is_some_and(|it| it.agent.installed);
        if !installed(self) {
            let install = self.run_event(unit, &Event::Install)?;
            if !install.success() {
                return Err(JujuError::HookFailed(Box::new(install)));
            }
        }
        self.model.next_action += 1;
        let id = self.model.next_action;
        let event = ActionEvent {
            id,
            name: action.to_owned(),
            params,
        };
        self.run_event(unit, &Event::Action(event))?;
        self.outcomes
            .remove(&id)
            .ok_or_else(|| Refusal::NoUnit(unit.to_owned()).into())
    }

    /// Leadership moves, as after a lost lease. Only the new leader hears of it.
    pub fn set_leader(&mut self, app: &str, unit: &str) -> Result<(), JujuError> {
        if app_of(unit) != app || self.model.unit(unit).is_none() {
            return Err(Refusal::NoUnit(unit.to_owned()).into());
        }
        self.model.set_leader(unit);
        Ok(())
    }

    /// Kubernetes replaces a pod without warning: no stop hook. The charm is new on its disk, so
    /// upgrade-charm, config-changed, start and pebble-ready follow.
    pub fn replace_pod(&mut self, unit: &str) -> Result<(), JujuError> {
        let it = self
            .model
            .unit_mut(unit)
            .ok_or_else(|| Refusal::NoUnit(unit.to_owned()))?;
        it.observed = super::model::Observed::default();
        let agent = std::mem::take(&mut it.agent);
        it.agent = Agent {
            // A hook in error is retried instead.
            upgrade_due: agent.installed && agent.failed.is_none(),
            start_due: true,
            stopped: false,
            restarted: true,
            boots: BTreeMap::new(),
            noticed: BTreeMap::new(),
            ..agent
        };
        super::secrets::restart(&mut self.model, unit);
        let deleted = self.cloud.delete_pod(unit);
        deleted.map_err(|source| JujuError::cloud("delete the pod of", unit, source))?;
        self.charms.remove(unit);
        self.create_pod(unit)
    }

    /// The same with a stop hook in the old pod, as when a node is drained.
    pub fn drain_pod(&mut self, unit: &str) -> Result<(), JujuError> {
        if self
            .model
            .unit(unit)
            .is_some_and(|it| it.agent.started && it.agent.failed.is_none())
        {
            self.run_event(unit, &Event::Stop)?;
        }
        self.replace_pod(unit)
    }

    /// `juju refresh`: another charm in new pods, each after a stop hook in its old one.
    pub fn refresh(&mut self, app: &str, mut source: Source) -> Result<(), JujuError> {
        let files = self.read_charm(app, &mut source)?;
        let application = self.application_mut(app)?;
        application.metadata = files.metadata;
        application.options = files.options;
        application.actions = files.actions;
        self.sources.insert(app.to_owned(), source);
        self.model.add_peers(app);
        for unit in self.model.units_of(app) {
            self.drain_pod(&unit)?;
        }
        Ok(())
    }

    /// The five-minute timer fires for every unit of the application.
    pub fn update_status(&mut self, app: &str) -> Result<(), JujuError> {
        for unit in self.application_mut(app)?.units.values_mut() {
            unit.agent.update_status = true;
        }
        Ok(())
    }

    /// Lets time pass for the secrets that are to be rotated or expire.
    pub fn pass(&mut self, time: Duration) {
        self.model.clock += time;
    }

    /// An event that nothing in the model has caused, such as a custom notice of Pebble's, which the emulated agent
    /// does not look for.
    pub fn inject(&mut self, unit: &str, event: Event) -> Result<(), JujuError> {
        let it = self
            .model
            .unit_mut(unit)
            .ok_or_else(|| Refusal::NoUnit(unit.to_owned()))?;
        it.agent.injected.push_back(event);
        Ok(())
    }

    /// `juju resolved --no-retry`: the failed hook is taken as done.
    pub fn resolve(&mut self, unit: &str) -> Result<(), JujuError> {
        let it = self
            .model
            .unit(unit)
            .ok_or_else(|| Refusal::NoUnit(unit.to_owned()))?;
        if let Some(failed) = it.agent.failed.clone() {
            super::schedule::Told::new(&self.model, unit, &failed.event)
                .acknowledge(&mut self.model, unit);
        }
        Ok(())
    }

    fn application_mut(&mut self, app: &str) -> Result<&mut Application, JujuError> {
        let found = self.model.applications.get_mut(app);
        found.ok_or_else(|| Refusal::NoApplication(app.to_owned()).into())
    }

    fn create_pod(&mut self, unit: &str) -> Result<(), JujuError> {
        let app = app_of(unit).to_owned();
        let charm: Option<Box<dyn Charm>> = match self.sources.get_mut(&app) {
            Some(Source::Counterpart(make)) => Some(make(unit)),
            _ => None,
        };
        let archive = match self.sources.get(&app) {
            Some(Source::File(path)) => Some(path.clone()),
            _ => None,
        };
        let socket = self.bind_socket(unit)?;
        let containers = self.application_mut(&app)?.metadata.containers.clone();
        let pod = Pod {
            model: self.model.name.clone(),
            app,
            unit: unit.to_owned(),
            charm: archive,
            containers,
            tools: self.tools.clone(),
            agent_socket: socket,
        };
        self.charms
            .extend(charm.map(|charm| (unit.to_owned(), charm)));
        self.born.insert(unit.to_owned(), Instant::now());
        let created = self.cloud.create_pod(&pod);
        created.map_err(|source| JujuError::cloud("create the pod of", unit, source))
    }

    /// The agent's socket. It lives as long as the pod, so that a container can bind it.
    fn bind_socket(&mut self, unit: &str) -> Result<PathBuf, JujuError> {
        let path = self.socket_of(unit);
        let listener = super::dispatch::listen(&path)?;
        self.listeners.insert(unit.to_owned(), listener);
        Ok(path)
    }

    pub(super) fn socket_of(&self, unit: &str) -> PathBuf {
        self.workdir
            .join("agents")
            .join(unit.replace('/', "-"))
            .join("agent.socket")
    }
}

/// Makes the directory of hook tools: one link per tool to a program that knows them by name.
pub(super) fn install_tools(directory: &Path, program: &Path) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    for name in super::tools::names() {
        let link = directory.join(name);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link)?;
        }
        symlink(program, &link)?;
    }
    Ok(())
}
