//! The charm's options: `config-get`'s answer → [`Config`], or every bad option at once.

use std::collections::BTreeSet;

use crate::server::Role;

/// The options, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `services`: never empty; [`Role::InternalFrontend`] is not among them, it comes with the frontend.
    pub services: BTreeSet<Role>,
    /// `log-level`, in Temporal's words.
    pub log_level: LogLevel,
    /// `external-hostname`; `None` means the application's name.
    pub external_hostname: Option<String>,
    /// `num-history-shards`, a power of two.
    pub shards: u32,
    /// `ingress-protocol`.
    pub ingress_protocol: IngressProtocol,
    /// `database-prefix`; `None` means the application's name.
    pub database_prefix: Option<String>,
}

/// Temporal's log levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// The default.
    Info,
    /// The Python charm's `warning`.
    Warn,
    /// Errors.
    Error,
    /// The Python charm's `critical`.
    Fatal,
}

/// How to speak on the `ingress` endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IngressProtocol {
    /// JSON-valued keys: traefik, gateway-api and today's nginx integrator.
    V2,
    /// Flat keys of the nginx integrator of early 2023.
    Nginx2023,
}

/// An option with a value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOption {
    /// The option's name.
    pub option: &'static str,
    /// What is wrong with the value, and what to write instead.
    pub problem: String,
}

/// Checks all options; the error lists every bad one.
pub fn parse(
    options: &serde_json::Map<String, serde_json::Value>,
) -> Result<Config, Vec<BadOption>> {
    todo!()
}
