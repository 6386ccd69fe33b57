//! Juju's hook tools, one function for each that the charm uses. `observe` reads with them, `apply`
//! writes.
//!
//! Answers are JSON, turned into types here. Every call goes through one function of `transport`, and none
//! decides anything. Databag values travel over standard input, never in arguments, and no error quotes them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::task::JoinSet;

use super::context::relation_id;
use super::databag::Databag;
use super::status::{Level, Status};
use super::transport::{Error, Juju, argument, encode, garbage, pieces};
use crate::secret::Secret;

/// Juju's log levels, as far as the charm uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For whoever debugs the charm.
    Debug,
    /// What the charm did.
    Info,
    /// What a person should know.
    Warning,
    /// What went wrong.
    Error,
}

/// What the leader sees of the application's status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationStatus {
    /// The application's own. `None` is a word that no charm can set, such as `unknown`.
    pub own: Option<Status>,
    /// Each unit's, by unit name. `None` as above.
    pub units: BTreeMap<String, Option<Status>>,
}

impl Juju {
    /// All options that are set or have a default.
    pub async fn config_get(&self) -> Result<Map<String, Value>, Error> {
        Ok(self.ask("config-get", &[]).await?.unwrap_or_default())
    }

    /// Is this unit the leader, for at least another 30 s? A unit that cannot know is not.
    pub async fn is_leader(&self) -> Result<bool, Error> {
        match self.ask("is-leader", &[]).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(garbage("is-leader", "nothing")),
            Err(error) if error.says(&["leadership status unknown"]) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The relations of an endpoint, lowest number first. It may still list one that is being broken.
    pub async fn relation_ids(&self, endpoint: &str) -> Result<Vec<u32>, Error> {
        let names: Vec<String> = self
            .ask("relation-ids", &[endpoint])
            .await?
            .unwrap_or_default();
        let mut ids = names
            .iter()
            .map(|name| {
                relation_id(name)
                    .ok_or_else(|| garbage("relation-ids", "a relation id without a number"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable();
        Ok(ids)
    }

    /// The application on the other side; `None` if it cannot be told in this hook.
    pub async fn relation_app(&self, id: u32) -> Result<Option<String>, Error> {
        let id = id.to_string();
        let answer = self.ask("relation-list", &["-r", &id, "--app"]).await;
        Ok(if_readable(answer)?.filter(|app: &String| !app.is_empty()))
    }

    /// The units on the other side, or this unit's peers; `None` if they cannot be told in this hook.
    pub async fn relation_units(&self, id: u32) -> Result<Option<BTreeSet<String>>, Error> {
        let id = id.to_string();
        let answer = self.ask("relation-list", &["-r", &id]).await;
        if_readable(answer.map(|units| Some(units.unwrap_or_default())))
    }

    /// An application's databag; `None` if it cannot be read in this hook. The own application's may be read by
    /// the leader only.
    pub async fn relation_get_app(&self, id: u32, app: &str) -> Result<Option<Databag>, Error> {
        self.relation_get(&["-r", &id.to_string(), "--app", "-", app])
            .await
    }

    /// A unit's databag, this unit's own among them; `None` if it cannot be read in this hook.
    pub async fn relation_get_unit(&self, id: u32, unit: &str) -> Result<Option<Databag>, Error> {
        self.relation_get(&["-r", &id.to_string(), "-", unit]).await
    }

    async fn relation_get(&self, args: &[&str]) -> Result<Option<Databag>, Error> {
        let answer = self.ask("relation-get", args).await;
        if_readable(answer.map(|bag| Some(secret_values(bag))))
    }

    /// Writes keys of this unit's databag, or with `app` of the application's (leader only). `None`
    /// deletes a key. Visible to others after the hook ended well.
    pub async fn relation_set(
        &self,
        id: u32,
        app: bool,
        changes: &BTreeMap<String, Option<Secret<String>>>,
    ) -> Result<(), Error> {
        let id = id.to_string();
        let mut args = vec!["-r", id.as_str()];
        if app {
            args.push("--app");
        }
        args.extend(["--file", "-"]);
        // Juju deletes a key that is set to the empty string.
        let map = changes
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_ref().map_or("", |v| v.expose())));
        self.tell("relation-set", &args, Some(&encode(map))).await
    }

    /// What is in a secret, keys and values; `None` if it cannot be read in this hook: it is not there any more, or
    /// not granted to this unit. Juju shows a unit the revision that it has read first, and a newer one only where
    /// that is asked for with `refresh`; from then on it shows that one.
    pub async fn secret_get(&self, uri: &str, refresh: bool) -> Result<Option<Databag>, Error> {
        let mut args = vec!["--", uri];
        if refresh {
            args.insert(0, "--refresh");
        }
        match self.ask("secret-get", &args).await {
            Err(error) if is_out_of_reach(&error) => Ok(None),
            Err(error) => Err(error),
            Ok(content) => Ok(Some(secret_values(content))),
        }
    }

    /// Sets this unit's status, or with `application` the application's (leader only). Visible at once.
    pub async fn status_set(&self, status: &Status, application: bool) -> Result<(), Error> {
        let message = argument(&status.message);
        let mut args = vec!["--", status.level.word(), &message];
        if application {
            args.insert(0, "--application");
        }
        self.tell("status-set", &args, None).await
    }

    /// This unit's status; `None` is a word that no charm can set, such as `unknown`.
    pub async fn status_get(&self) -> Result<Option<Status>, Error> {
        let raw: Option<RawStatus> = self.ask("status-get", &["--include-data"]).await?;
        Ok(raw.and_then(RawStatus::typed))
    }

    /// The application's status and all units' (leader only).
    pub async fn status_get_application(&self) -> Result<ApplicationStatus, Error> {
        let args = ["--include-data", "--application"];
        let raw: Option<RawApplication> = self.ask("status-get", &args).await?;
        let Some(RawApplication { inner }) = raw else {
            return Err(garbage("status-get", "nothing"));
        };
        let units = inner.units.unwrap_or_default();
        Ok(ApplicationStatus {
            own: inner.own.typed(),
            units: units
                .into_iter()
                .map(|(unit, status)| (unit, status.typed()))
                .collect(),
        })
    }

    /// The version of the workload in `juju status`. Visible at once.
    pub async fn application_version_set(&self, version: &str) -> Result<(), Error> {
        let args = ["--", &argument(version)];
        self.tell("application-version-set", &args, None).await
    }

    /// Opens TCP ports. Juju takes one in each call, so the calls run at the same time.
    pub async fn open_ports(&self, ports: &BTreeSet<u16>) -> Result<(), Error> {
        self.each_port("open-port", ports).await
    }

    /// Closes TCP ports.
    pub async fn close_ports(&self, ports: &BTreeSet<u16>) -> Result<(), Error> {
        self.each_port("close-port", ports).await
    }

    async fn each_port(&self, tool: &'static str, ports: &BTreeSet<u16>) -> Result<(), Error> {
        let mut calls = JoinSet::new();
        for port in ports {
            let (juju, port) = (self.clone(), format!("{port}/tcp"));
            calls.spawn(async move { juju.tell(tool, &[&port], None).await });
        }
        // All calls end before the first error is returned, so that none is cut off.
        calls.join_all().await.into_iter().collect()
    }

    /// The TCP ports that this unit has opened.
    pub async fn opened_ports(&self) -> Result<BTreeSet<u16>, Error> {
        let ports: Vec<String> = self.ask("opened-ports", &[]).await?.unwrap_or_default();
        // Other protocols and ranges are not ours, so they are not ours to close either.
        Ok(ports
            .iter()
            .filter_map(|port| port.strip_suffix("/tcp")?.parse().ok())
            .collect())
    }

    /// Is this unit being removed? Juju counts it as dying in its departed, broken, stop and remove hooks alike.
    pub async fn is_dying(&self, unit: &str) -> Result<bool, Error> {
        let goal: Option<Goal> = self.ask("goal-state", &[]).await?;
        let units = goal.and_then(|goal| goal.units).unwrap_or_default();
        Ok(units.get(unit).is_some_and(|unit| unit.status == "dying"))
    }

    /// The address at which others reach this unit over an endpoint's network; `None` while the pod has
    /// none yet, and where Juju has taken the unit out of the endpoint's relation already.
    pub async fn network_get(&self, endpoint: &str) -> Result<Option<IpAddr>, Error> {
        let network: Option<Network> = match self.ask("network-get", &[endpoint]).await {
            Err(error) if error.says(&["no network config found", "permission denied"]) => None,
            answer => answer?,
        };
        let bindings = network.and_then(|network| network.bindings);
        Ok(bindings
            .into_iter()
            .flatten()
            .flat_map(|binding| binding.addresses.unwrap_or_default())
            .find_map(|address| address.value?.parse().ok()))
    }

    /// Writes to the model's log, long texts in pieces. Visible at once.
    pub async fn juju_log(&self, level: LogLevel, text: &str) -> Result<(), Error> {
        let level = match level {
            LogLevel::Debug => "DEBUG",
            LogLevel::Info => "INFO",
            LogLevel::Warning => "WARNING",
            LogLevel::Error => "ERROR",
        };
        for piece in pieces(&text.replace('\0', "\u{fffd}")) {
            self.tell("juju-log", &["-l", level, "--", piece], None)
                .await?;
        }
        Ok(())
    }

    /// All that this unit wrote down in earlier hooks.
    pub async fn state_get(&self) -> Result<BTreeMap<String, String>, Error> {
        Ok(self.ask("state-get", &["-"]).await?.unwrap_or_default())
    }

    /// Writes down values for later hooks. Kept when the hook ends well.
    pub async fn state_set(&self, values: &BTreeMap<String, String>) -> Result<(), Error> {
        let map = values.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        self.tell("state-set", &["--file", "-"], Some(&encode(map)))
            .await
    }

    /// Forgets a value.
    pub async fn state_delete(&self, key: &str) -> Result<(), Error> {
        self.tell("state-delete", &[key], None).await
    }

    /// The action's parameters, defaults included.
    pub async fn action_get(&self) -> Result<Map<String, Value>, Error> {
        Ok(self.ask("action-get", &[]).await?.unwrap_or_default())
    }

    /// The action's results. Keys are lower case letters, digits, dashes, and dots for nesting.
    pub async fn action_set(&self, results: &BTreeMap<String, String>) -> Result<(), Error> {
        let pairs: Vec<String> = results
            .iter()
            .map(|(key, value)| format!("{key}={}", argument(value)))
            .collect();
        let args: Vec<&str> = pairs.iter().map(String::as_str).collect();
        self.tell("action-set", &args, None).await
    }

    /// Marks the action as failed.
    pub async fn action_fail(&self, why: &str) -> Result<(), Error> {
        self.tell("action-fail", &["--", &argument(why)], None)
            .await
    }

    /// Tells whoever waits for the action how far it is.
    pub async fn action_log(&self, text: &str) -> Result<(), Error> {
        self.tell("action-log", &["--", &argument(text)], None)
            .await
    }
}

/// What cannot be read at the moment is an answer and no failure: see [`Relation`](super::Relation).
fn if_readable<T>(answer: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    match answer {
        Err(error) if error.is_not_found() || error.is_denied() => Ok(None),
        answer => answer,
    }
}

/// Does Juju say that a secret, or the revision that this unit has read, is not there, or not for this unit? The
/// words of Juju 3 and of Juju 4.
fn is_out_of_reach(error: &Error) -> bool {
    let missing = error.says(&["secret \"", "secret revision "]) && error.says(&["not found"]);
    missing || error.is_denied() || error.says(&["is not allowed to read this secret"])
}

/// What a tool says is nothing holds nothing.
fn secret_values(said: Option<BTreeMap<String, String>>) -> Databag {
    let said = said.unwrap_or_default().into_iter();
    said.map(|(key, value)| (key, Secret::new(value))).collect()
}

/// The part of `goal-state`'s answer that is of use here.
#[derive(Deserialize)]
struct Goal {
    units: Option<BTreeMap<String, GoalUnit>>,
}

#[derive(Deserialize)]
struct GoalUnit {
    status: String,
}

/// A status as `status-get` prints it.
#[derive(Deserialize)]
struct RawStatus {
    status: String,
    message: Option<String>,
}

impl RawStatus {
    fn typed(self) -> Option<Status> {
        let levels = [
            Level::Active,
            Level::Maintenance,
            Level::Waiting,
            Level::Blocked,
        ];
        Some(Status {
            level: levels
                .into_iter()
                .find(|level| level.word() == self.status)?,
            message: self.message.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
struct RawApplication {
    #[serde(rename = "application-status")]
    inner: RawApplicationStatus,
}

#[derive(Deserialize)]
struct RawApplicationStatus {
    #[serde(flatten)]
    own: RawStatus,
    units: Option<BTreeMap<String, RawStatus>>,
}

/// A part of `network-get`'s answer. Any part may be missing while the pod starts.
#[derive(Deserialize)]
struct Network {
    #[serde(rename = "bind-addresses")]
    bindings: Option<Vec<Binding>>,
}

#[derive(Deserialize)]
struct Binding {
    addresses: Option<Vec<Address>>,
}

#[derive(Deserialize)]
struct Address {
    value: Option<String>,
}
