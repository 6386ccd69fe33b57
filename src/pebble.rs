//! Pebble's HTTP API over its unix socket.

use std::collections::BTreeMap;

/// A service in a layer or in the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ServiceConfig {
    /// How this definition combines with earlier layers.
    #[serde(rename = "override")]
    pub override_: String,
    /// One line for people.
    pub summary: String,
    /// The command line, split as a shell would.
    pub command: String,
    /// `enabled`: started by replan.
    pub startup: String,
    /// The directory it starts in.
    pub working_dir: String,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// How long a stopping service may take before it is killed.
    pub kill_delay: String,
}
