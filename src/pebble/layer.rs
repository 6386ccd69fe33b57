//! Layers and plans: what Pebble should run, and what it has been told to run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Pebble;
use super::error::Error;
use super::http::Request;

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
/// Pebble writes durations as Go does (`60s` comes back as `1m0s`) and fills in what a check leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// The services by name.
    pub services: BTreeMap<String, ServiceConfig>,
    /// The checks by name.
    pub checks: BTreeMap<String, CheckConfig>,
}

/// A service. Durations are Go's (`5s`, `1m30s`), and an empty string means "not set".
///
/// What Pebble's plan says of a service equals what was added, if its durations were written as Go
/// writes them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ServiceConfig {
    /// `replace` forgets the definition in the layers below, `merge` is laid over it. Required.
    #[serde(rename = "override")]
    pub override_: String,
    /// A line for whoever reads the layer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The program and its arguments, split like a shell does, but not run by one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// `enabled` when Pebble starts it with the container, which Juju's does not; else `disabled`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub startup: String,
    /// The directory that it starts in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Variables besides those of the daemon.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// How long it may take to stop before it is killed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kill_delay: String,
}

/// A check: one of `http`, `tcp` and `exec`. Durations are Go's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct CheckConfig {
    /// `replace` forgets the definition in the layers below, `merge` is laid over it. Required.
    #[serde(rename = "override")]
    pub override_: String,
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
    /// Starts and stops no service (that is [`Pebble::start`]); checks change at once. A layer that
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
