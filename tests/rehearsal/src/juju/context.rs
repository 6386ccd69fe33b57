//! What a running hook may read and write: Juju's rules behind the hook tools.
//!
//! The tools of a real charm and the methods that a counterpart calls end here, so both are held
//! to the same rules. Writes that Juju buffers wait until `flush.rs` commits them. The
//! databag rules are in `bags.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::event::{ActionEvent, Event};
use super::flush::Pending;
use super::model::{Application, Model, Port, Settings, StatusEntry, Unit, app_of};
use super::record::LogLine;

/// Why a hook tool refuses. The text is what Juju prints after `ERROR `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// Wrong arguments: exit code 2.
    #[error("{0}")]
    Arguments(String),
    /// No such relation, for the named flag: exit code 2.
    #[error("invalid value \"{0}\" for option -r: relation not found")]
    Relation(String),
    /// A bag that this unit may not read.
    #[error("permission denied")]
    PermissionDenied,
    /// Something of a relation that the controller does not have any more.
    #[error("permission denied (unauthorized access)")]
    Unauthorized,
    /// An application bag written by a unit that does not lead.
    #[error("cannot write relation settings")]
    CannotWrite,
    /// Something only the leader may do.
    #[error("this unit is not the leader")]
    NotLeader,
    /// An action tool outside an action.
    #[error("not running an action")]
    NoAction,
    /// A tool that reads its standard input and was given none.
    #[error("{}", super::protocol::NO_STDIN)]
    NoStdin,
    /// No such secret, or none that this unit may know of.
    #[error("secret \"{0}\" not found")]
    SecretNotFound(String),
    /// Anything else that Juju refuses while running: exit code 1.
    #[error("{0}")]
    Refused(String),
}

impl ToolError {
    /// The tool's exit code.
    pub fn code(&self) -> i32 {
        match self {
            Self::Arguments(_) | Self::Relation(_) => 2,
            _ => 1,
        }
    }

    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }
}

/// Result keys that Juju fills in itself.
const RESERVED: [&str; 4] = ["stdout", "stderr", "stdout-encoding", "stderr-encoding"];

/// What an action said about itself; kept whatever happens afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ActionSaid {
    pub(super) results: BTreeMap<String, String>,
    pub(super) failure: Option<String>,
    pub(super) log: Vec<String>,
}

/// One hook's view of the model.
pub struct HookContext<'m> {
    pub(super) model: &'m mut Model,
    pub(super) unit: String,
    pub(super) event: Event,
    pub(super) pending: Pending,
    pub(super) said: ActionSaid,
    pub(super) log: Vec<LogLine>,
    pub(super) status_set: bool,
}

/// The addresses of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The pod's address.
    pub bind_address: String,
    /// The Service's address, once known.
    pub ingress_address: Option<IpAddr>,
}

impl<'m> HookContext<'m> {
    /// A context for one event of an existing unit.
    pub fn new(model: &'m mut Model, unit: &str, event: Event) -> Self {
        Self {
            model,
            unit: unit.to_owned(),
            event,
            pending: Pending::default(),
            said: ActionSaid::default(),
            log: Vec::new(),
            status_set: false,
        }
    }

    /// This unit's name.
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// This unit's application.
    pub fn app(&self) -> &str {
        app_of(&self.unit)
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.model.name
    }

    /// The model's UUID, `JUJU_MODEL_UUID`.
    pub fn model_uuid(&self) -> &str {
        &self.model.uuid
    }

    pub(super) fn application(&self) -> Result<&Application, ToolError> {
        let app = self.model.applications.get(self.app());
        app.ok_or_else(|| ToolError::refused("application not found"))
    }

    pub(super) fn me(&self) -> Result<&Unit, ToolError> {
        self.model
            .unit(&self.unit)
            .ok_or_else(|| ToolError::refused("unit not found"))
    }

    fn me_mut(&mut self) -> Result<&mut Unit, ToolError> {
        self.model
            .unit_mut(&self.unit)
            .ok_or_else(|| ToolError::refused("unit not found"))
    }

    /// `is-leader`
    pub fn is_leader(&self) -> bool {
        self.model.is_leader(&self.unit)
    }

    /// `config-get`: options with a value; the others too, as null, if `all`.
    pub fn config(&self, all: bool) -> Result<Map<String, Value>, ToolError> {
        let app = self.application()?;
        Ok(app.options.effective(&app.settings, all))
    }

    /// `status-set`, immediate.
    pub fn status_set(&mut self, status: &str, message: &str) -> Result<(), ToolError> {
        settable(status)?;
        let me = self.me_mut()?;
        me.set_status(status, message);
        me.status_by_charm = true;
        self.status_set = true;
        Ok(())
    }

    /// `status-set --application`, immediate, leader only.
    pub fn status_set_app(&mut self, status: &str, message: &str) -> Result<(), ToolError> {
        settable(status)?;
        if !self.is_leader() {
            return Err(ToolError::NotLeader);
        }
        let app = self.app().to_owned();
        if let Some(app) = self.model.applications.get_mut(&app) {
            app.status = Some(StatusEntry::now(status, message));
        }
        Ok(())
    }

    /// `status-get`: this unit's status as the charm set it.
    pub fn status_get(&self) -> Result<StatusEntry, ToolError> {
        Ok(self.me()?.status.clone())
    }

    /// `status-get --application`: the application's status and its units', leader only.
    pub fn status_get_app(
        &self,
    ) -> Result<(StatusEntry, BTreeMap<String, StatusEntry>), ToolError> {
        if !self.is_leader() {
            return Err(ToolError::NotLeader);
        }
        let app = self.application()?;
        let name = self.app();
        let units: BTreeMap<String, StatusEntry> = app
            .units
            .iter()
            .map(|(n, it)| (format!("{name}/{n}"), it.status.clone()))
            .collect();
        let status = app
            .status
            .clone()
            .unwrap_or_else(|| super::status::derived(units.values()));
        Ok((status, units))
    }

    /// `application-version-set`, immediate.
    pub fn application_version_set(&mut self, version: &str) -> Result<(), ToolError> {
        version.clone_into(&mut self.me_mut()?.version);
        Ok(())
    }

    /// `open-port` for all endpoints, buffered.
    pub fn open_port(&mut self, number: u16) {
        self.change_port(&tcp(number), &[], true);
    }

    /// `close-port`, buffered.
    pub fn close_port(&mut self, number: u16) {
        self.change_port(&tcp(number), &[], false);
    }

    pub(super) fn change_port(&mut self, port: &Port, endpoints: &[String], open: bool) {
        let all = [String::new()];
        let endpoints = if endpoints.is_empty() {
            &all
        } else {
            endpoints
        };
        let Pending { opened, closed, .. } = &mut self.pending;
        let (into, from) = if open {
            (opened, closed)
        } else {
            (closed, opened)
        };
        for endpoint in endpoints {
            let entry = (port.clone(), endpoint.clone());
            from.remove(&entry);
            into.insert(entry);
        }
    }

    /// `opened-ports`: this unit's, pending changes included.
    pub fn opened_ports(&self) -> Result<BTreeSet<(Port, String)>, ToolError> {
        let mut ports = self.me()?.ports.clone();
        self.pending.apply_ports(&mut ports);
        Ok(ports)
    }

    /// `network-get`: one answer for all endpoints of a unit, as on Kubernetes in one model. In a
    /// relation's hook it is asked for that relation.
    pub fn network_get(&self, endpoint: &str) -> Result<Network, ToolError> {
        self.network_of(endpoint, self.event.relation().map(|event| event.id))
    }

    /// `network-get -r`
    pub(super) fn network_of(
        &self,
        endpoint: &str,
        relation: Option<u32>,
    ) -> Result<Network, ToolError> {
        if let Some(id) = relation {
            // The agent knows no more of a relation than that it was there.
            match self.model.relations.get(&id) {
                Some(relation) if !relation.gone => {}
                _ => return Err(ToolError::Unauthorized),
            }
        }
        let app = self.application()?;
        let known = app.metadata.endpoints.contains_key(endpoint) || endpoint == "juju-info";
        match self.me()?.observed.pod_ip {
            Some(address) if known => Ok(Network {
                bind_address: address.to_string(),
                ingress_address: app.service_ip,
            }),
            _ => {
                let text = format!("no network config found for binding \"{endpoint}\"");
                Err(ToolError::Refused(text))
            }
        }
    }

    /// `juju-log`, immediate, with the relation as prefix in relation hooks. An unknown level is INFO.
    pub fn log(&mut self, level: &str, text: &str) {
        const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];
        let level = level.to_ascii_uppercase();
        let level = if LEVELS.contains(&level.as_str()) {
            level
        } else {
            "INFO".to_owned()
        };
        let text = match self.event.relation() {
            Some(relation) => format!("{}:{}: {text}", relation.endpoint, relation.id),
            None => text.to_owned(),
        };
        self.log.push(LogLine { level, text });
    }

    /// `state-get`: everything, pending changes included.
    pub fn state(&self) -> Result<Settings, ToolError> {
        let mut state = self.me()?.state.clone();
        self.pending.apply_state(&mut state);
        Ok(state)
    }

    /// `state-set`, buffered.
    pub fn state_set(&mut self, key: &str, value: &str) {
        self.pending.state_deleted.remove(key);
        self.pending.state.insert(key.to_owned(), value.to_owned());
    }

    /// `state-delete`, buffered.
    pub fn state_delete(&mut self, key: &str) {
        self.pending.state.remove(key);
        self.pending.state_deleted.insert(key.to_owned());
    }

    fn action(&self) -> Result<&ActionEvent, ToolError> {
        match &self.event {
            Event::Action(action) => Ok(action),
            _ => Err(ToolError::NoAction),
        }
    }

    /// `action-get`: the parameters.
    pub fn action_params(&self) -> Result<Map<String, Value>, ToolError> {
        Ok(self.action()?.params.clone())
    }

    /// `action-set` of one result; nested keys are joined by dots.
    pub fn action_set(&mut self, key: &str, value: &str) -> Result<(), ToolError> {
        self.action()?;
        if let Some(part) = key.split('.').find(|part| RESERVED.contains(part)) {
            return Err(ToolError::Refused(format!(
                "cannot set reserved action key \"{part}\""
            )));
        }
        if let Some(part) = key.split('.').find(|part| !is_result_key(part)) {
            return Err(ToolError::Refused(format!(
                "key \"{part}\" must start and end with lowercase alphanumeric, \
                 and contain only lowercase alphanumeric and hyphens"
            )));
        }
        self.said.results.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    /// `action-fail`
    pub fn action_fail(&mut self, message: &str) -> Result<(), ToolError> {
        self.action()?;
        self.said.failure = Some(message.to_owned());
        Ok(())
    }

    /// `action-log`
    pub fn action_log(&mut self, message: &str) -> Result<(), ToolError> {
        self.action()?;
        self.said.log.push(message.to_owned());
        Ok(())
    }

    /// `goal-state`: the units that should be there, here and on the other sides, those that leave as `dying`.
    /// It comes from the controller, so it knows relations that the unit has not entered yet, and those
    /// that are being removed.
    pub fn goal_state(&self) -> Result<Value, ToolError> {
        let app = self.app();
        let mut relations: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
        for relation in self
            .model
            .relations_of(app)
            .filter(|it| !it.is_peer() && !it.gone)
        {
            let (Some(side), Some(remote)) = (relation.side(app), relation.remote_app(app)) else {
                continue;
            };
            let goals = relations.entry(side.endpoint.clone()).or_default();
            let since = self.model.unit(&self.unit).map(|it| it.status.since);
            let since = since.map(super::status::timestamp).unwrap_or_default();
            goals.insert(
                remote.to_owned(),
                json!({"status": "joined", "since": since}),
            );
            goals.extend(self.goals(remote));
        }
        Ok(json!({"units": self.goals(app), "relations": relations}))
    }

    fn goals(&self, app: &str) -> Map<String, Value> {
        let goal = |name: String| {
            let unit = self.model.unit(&name)?;
            let status = if unit.dying {
                "dying"
            } else {
                unit.status.status.as_str()
            };
            let since = super::status::timestamp(unit.status.since);
            Some((name, json!({"status": status, "since": since})))
        };
        self.model
            .units_of(app)
            .into_iter()
            .filter_map(goal)
            .collect()
    }
}

fn tcp(number: u16) -> Port {
    Port {
        number,
        protocol: "tcp".to_owned(),
    }
}

fn settable(status: &str) -> Result<(), ToolError> {
    const SETTABLE: [&str; 4] = ["maintenance", "blocked", "waiting", "active"];
    if SETTABLE.contains(&status) {
        return Ok(());
    }
    let text = format!(
        "invalid status \"{status}\", expected one of [maintenance blocked waiting active]"
    );
    Err(ToolError::Arguments(text))
}

fn is_result_key(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(plain) && part.ends_with(plain) && part.chars().all(|c| plain(c) || c == '-')
}
