//! The services of a fake container: layers, plan, start and stop, changes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::container::{Current, Fault, Reply, Service, State};
use super::temporal::Image;

type Layers = [(String, Map<String, Value>)];
type Entries = BTreeMap<String, Map<String, Value>>;

/// The services of all layers together.
pub(super) fn combined(layers: &Layers) -> Entries {
    section(layers, "services")
}

fn section(layers: &Layers, section: &str) -> Entries {
    let mut services = Entries::new();
    for (_, layer) in layers {
        let declared = layer
            .get(section)
            .and_then(Value::as_object)
            .into_iter()
            .flatten();
        for (name, config) in declared {
            let config = config.as_object().cloned().unwrap_or_default();
            let known = services.entry(name.clone()).or_default();
            if config.get("override") == Some(&json!("replace")) {
                *known = config;
            } else {
                known.extend(config);
            }
        }
    }
    services
}

pub(super) fn plan_text(layers: &Layers) -> String {
    let sections: Map<String, Value> = ["services", "checks"]
        .map(|name| (name.to_owned(), section(layers, name)))
        .into_iter()
        .filter(|(_, entries)| !entries.is_empty())
        .map(|(name, entries)| (name, json!(entries)))
        .collect();
    if sections.is_empty() {
        return "{}\n".to_owned();
    }
    serde_saphyr::to_string(&sections).expect("plain data")
}

/// Every check is up until a test says otherwise.
pub(super) fn list_checks(layers: &Layers, down: &BTreeSet<String>) -> Reply {
    let checks = section(layers, "checks").into_iter().map(|(name, config)| {
        let threshold = config.get("threshold").cloned().unwrap_or(json!(3));
        let (status, failures) = if down.contains(&name) {
            ("down", threshold.clone())
        } else {
            ("up", json!(0))
        };
        let mut check = json!({
            "name": name, "startup": "enabled", "status": status, "failures": failures,
            "threshold": threshold,
        });
        if let Some(level) = config.get("level") {
            check["level"] = level.clone();
        }
        check
    });
    Reply::Sync(checks.collect())
}

const SERVICE_KEYS: [&str; 21] = [
    "override",
    "command",
    "summary",
    "description",
    "startup",
    "after",
    "before",
    "requires",
    "environment",
    "user",
    "user-id",
    "group",
    "group-id",
    "working-dir",
    "on-success",
    "on-failure",
    "on-check-failure",
    "backoff-delay",
    "backoff-factor",
    "backoff-limit",
    "kill-delay",
];

impl State {
    pub(super) fn add_layer(&mut self, body: &Value) -> Reply {
        let text = body["layer"].as_str().unwrap_or_default();
        let Ok(layer) = serde_saphyr::from_str::<Map<String, Value>>(text) else {
            return Reply::bad("cannot parse layer");
        };
        for (name, config) in layer
            .get("services")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let Some(config) = config.as_object() else {
                return Reply::bad(format!("cannot parse layer: service \"{name}\" is no map"));
            };
            if let Some(key) = config
                .keys()
                .find(|key| !SERVICE_KEYS.contains(&key.as_str()))
            {
                return Reply::bad(format!("cannot parse layer: field {key} not found"));
            }
            if !matches!(
                config.get("override").and_then(Value::as_str),
                Some("replace" | "merge")
            ) {
                return Reply::bad(format!(
                    "layer must define \"override\" for service \"{name}\""
                ));
            }
        }
        if let Some(section) = layer.keys().find(|key| {
            !matches!(
                key.as_str(),
                "summary" | "description" | "services" | "checks" | "log-targets"
            )
        }) {
            return Reply::bad(format!("cannot parse layer: unknown section \"{section}\""));
        }
        let label = body["label"].as_str().unwrap_or_default().to_owned();
        match self.layers.iter().position(|(known, _)| *known == label) {
            Some(_) if body["combine"] != json!(true) => {
                return Reply::bad(format!("layer \"{label}\" already exists"));
            }
            Some(at) => {
                let both = [self.layers[at].clone(), (label, layer)];
                for name in ["services", "checks"] {
                    let entries = section(&both, name);
                    if !entries.is_empty() {
                        self.layers[at].1.insert(name.to_owned(), json!(entries));
                    }
                }
            }
            None => self.layers.push((label, layer)),
        }
        Reply::Sync(json!(true))
    }

    pub(super) fn list_services(&mut self, image: &Image, names: &str) -> Reply {
        let waiting: Vec<String> = self
            .services
            .iter()
            .filter(|(_, service)| service.current == Current::Backoff)
            .map(|(name, _)| name.clone())
            .collect();
        for name in waiting {
            let config = self.services[&name].config.clone();
            _ = self.launch(image, &name, config);
        }
        let wanted: BTreeSet<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
        let listed: Vec<Value> = combined(&self.layers)
            .iter()
            .filter(|(name, _)| wanted.is_empty() || wanted.contains(name.as_str()))
            .map(|(name, config)| {
                let current = match self.services.get(name).map(|it| it.current) {
                    Some(Current::Active) => "active",
                    Some(Current::Backoff) => "backoff",
                    Some(Current::Inactive) | None => "inactive",
                };
                let startup = config.get("startup").cloned().unwrap_or(json!("disabled"));
                json!({ "name": name, "startup": startup, "current": current })
            })
            .collect();
        Reply::Sync(json!(listed))
    }

    pub(super) fn act(&mut self, image: &Image, body: &Value) -> Reply {
        let plan = combined(&self.layers);
        let action = body["action"].as_str().unwrap_or_default();
        let named: Vec<String> = body["services"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        if let Some(unknown) = named.iter().find(|name| !plan.contains_key(*name)) {
            let message = format!("cannot {action} services: service \"{unknown}\" does not exist");
            return Reply::bad(message);
        }
        if !matches!(action, "start" | "stop") {
            return Reply::bad(format!("the charm has no use for {action:?}"));
        }
        let mut failures = Vec::new();
        for name in named {
            let config = json!(plan[&name]);
            let known = self.services.get(&name);
            let runs = known.is_some_and(|it| it.current == Current::Active);
            if action == "stop" {
                self.halt(&name);
            }
            if action == "start"
                && !runs
                && let Err(failure) = self.launch(image, &name, config)
            {
                failures.push(failure);
            }
        }
        let error = (!failures.is_empty()).then(|| {
            format!(
                "cannot perform the following tasks:\n{}",
                failures.join("\n")
            )
        });
        let id = self.add_change(action, error, &json!({}));
        Reply::Change(id, Value::Null)
    }

    pub(super) fn halt(&mut self, name: &str) {
        if let Some(service) = self.services.get_mut(name) {
            if service.current == Current::Active {
                self.stops += 1;
            }
            service.current = Current::Inactive;
            service.process = None;
        }
    }

    pub(super) fn launch(
        &mut self,
        image: &Image,
        name: &str,
        config: Value,
    ) -> Result<(), String> {
        self.starts += 1;
        let crash = self.faults.iter().find_map(|fault| match fault {
            Fault::Crash(words) => Some((*words).to_owned()),
            _ => None,
        });
        let started = crash.map_or_else(|| image.start(&config, &self.files), Err);
        let (current, process, outcome) = match started {
            Ok(process) => (Current::Active, Some(process), Ok(())),
            Err(output) => {
                self.logs.push((name.to_owned(), output));
                let failure = format!(
                    "- Start service \"{name}\" (cannot start service: exited quickly with code 1, \
                     will restart)"
                );
                (Current::Backoff, None, Err(failure))
            }
        };
        self.services.insert(
            name.to_owned(),
            Service {
                current,
                config,
                process,
            },
        );
        outcome
    }

    pub(super) fn add_change(&mut self, kind: &str, error: Option<String>, data: &Value) -> u64 {
        let id = u64::try_from(self.changes.len()).unwrap_or_default() + 1;
        let status = if error.is_some() { "Error" } else { "Done" };
        let log: Vec<&str> = error.iter().map(String::as_str).collect();
        let task = json!({
            "id": id.to_string(), "kind": kind, "summary": kind, "status": status, "log": log,
            "progress": { "label": "", "done": 1, "total": 1 }, "data": data,
        });
        let mut change = json!({
            "id": id.to_string(), "kind": kind, "summary": kind, "status": status, "ready": true,
            "tasks": [task],
        });
        if let Some(error) = error {
            change["err"] = Value::from(error);
        }
        self.changes.insert(id, change);
        id
    }

    pub(super) fn change(&self, path: &str) -> Reply {
        let rest = path.strip_prefix("/v1/changes/").unwrap_or_default();
        let id = rest.strip_suffix("/wait").unwrap_or(rest);
        let Some(change) = id.parse().ok().and_then(|id: u64| self.changes.get(&id)) else {
            return Reply::Error(
                404,
                "not-found",
                format!("cannot find change with id \"{id}\""),
            );
        };
        Reply::Sync(change.clone())
    }
}
