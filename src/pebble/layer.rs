//! Layers and plans: what Pebble should run, and what it has been told to run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::http::Request;
use super::{Error, Pebble};

/// A layer as we add it. An empty field is not sent; Pebble then uses its default.
///
/// A layer is readable for everyone who may ask Pebble, so it never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Layer {
    /// A line for whoever reads the layer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The services by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, ServiceConfig>,
    /// The checks by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<String, CheckConfig>,
}

/// All layers of a Pebble, combined by Pebble.
///
/// Pebble fills in its defaults and writes durations as Go does (`60s` comes back as `1m0s`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// The services by name.
    pub services: BTreeMap<String, ServiceConfig>,
    /// The checks by name.
    pub checks: BTreeMap<String, CheckConfig>,
}

/// What a layer does with an entry of the same name below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Override {
    /// The entry below is forgotten.
    #[default]
    Replace,
    /// What is set here is laid over the entry below.
    Merge,
}

/// A service. Durations are Go's (`5s`, `1m30s`), and an empty string means "not set".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ServiceConfig {
    /// How it relates to the layers below.
    pub r#override: Override,
    /// A line for whoever reads the layer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The program and its arguments, split like a shell does, but not run by one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// `enabled` when a replan starts it, else `disabled`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub startup: String,
    /// Variables besides those of the daemon; a changed value restarts the service on replan.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The user that it runs as.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The group that it runs as.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The directory that it starts in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// What happens when it ends well: `restart`, `shutdown` or `ignore`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub on_success: String,
    /// What happens when it ends badly: `restart`, `shutdown` or `ignore`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub on_failure: String,
    /// What happens when a check goes down, by the name of the check.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub on_check_failure: BTreeMap<String, String>,
    /// The first pause before a restart.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub backoff_delay: String,
    /// The longest pause before a restart.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub backoff_limit: String,
    /// How long it may take to stop before it is killed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kill_delay: String,
}

/// A check: one of `http`, `tcp` and `exec`. Durations are Go's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct CheckConfig {
    /// How it relates to the layers below.
    pub r#override: Override,
    /// `alive`, `ready` or nothing; Kubernetes probes ask for a level.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub level: String,
    /// `enabled` or `disabled`; known to Pebble 1.19 and later, refused by earlier ones.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub startup: String,
    /// How often it runs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub period: String,
    /// How long one run may take.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub timeout: String,
    /// How many failures in a row mean "down".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
    /// Up while this address answers with a 2xx status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// Up while this port accepts connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// Up while this command exits with 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecCheck>,
}

/// The address of an HTTP check.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpCheck {
    /// The address to get.
    pub url: String,
    /// Headers to send.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// The port of a TCP check.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpCheck {
    /// The port to connect to.
    pub port: u16,
    /// The host to connect to; `localhost` when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
}

/// The command of an exec check.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ExecCheck {
    /// The program and its arguments, split like a shell does.
    pub command: String,
    /// The service whose environment, user and directory it runs with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_context: String,
    /// Variables besides those of the daemon.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The directory that it starts in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
}

impl Pebble {
    /// What Pebble has been told to run, with fields that we do not know left out.
    pub async fn plan(&self) -> Result<Plan, Error> {
        let reply = self
            .ask(Request::get("/v1/plan").query("format", "yaml"))
            .await?;
        let yaml: String = reply.sync()?;
        // The parser's own words come with a picture of the text, which is not for logs.
        serde_saphyr::from_str(&yaml).map_err(|_| reply.garbage("the plan is not YAML of a plan"))
    }

    /// Adds a layer, or lays it over the one that already has this label.
    ///
    /// Starts and stops no service (that is [`Pebble::replan`]); checks change at once. A layer that
    /// Pebble does not like is refused whole. Pebble forgets added layers when it is restarted.
    pub async fn add_layer(&self, label: &str, layer: &Layer) -> Result<(), Error> {
        const PATH: &str = "/v1/layers";
        let layer = serde_saphyr::to_string(layer).map_err(|error| Error::Unsendable {
            request: format!("POST {PATH}"),
            reason: format!("the layer cannot be written as YAML: {error}"),
        })?;
        let body = json!({
            "action": "add",
            "combine": true,
            "label": label,
            "format": "yaml",
            "layer": layer,
        });
        // Pebble answers `true`; there is nothing in it to rely on.
        self.ask(Request::post(PATH, &body))
            .await?
            .sync::<serde_json::Value>()?;
        Ok(())
    }
}
