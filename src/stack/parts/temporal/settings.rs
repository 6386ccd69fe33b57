//! Temporal: the pinning API, krab and the queue workers read the same variables.
//!
//! A setting is a path of parts, and a part of several words has two spellings: `CERT_PATH` and
//! `CERTPATH`. A whole name keeps to one of the two, in capitals or in small letters.

pub(crate) use super::variables::VARIABLES;
use crate::parts::ipfs::{node, peer};
use crate::parts::{known, postgres, rabbitmq, unread};
use crate::secret::Secret;
use crate::settings::{
    Checked, Draft, Finding, Given, Home, Program, Rule, Severity, Variable, host, is_own,
    no_public_password,
};

/// Where the stack's own parts may be named: the setting, the part, its Service.
const OWN: [(&str, &str, &str); 6] = [
    ("DATABASE_URL", "PostgreSQL", postgres::ADDRESS.0),
    ("IPFS_API_CONNECTION_HOST", "IPFS node", node::ADDRESS.0),
    (
        "IPFS_CLUSTER_API_CONNECTION_HOST",
        "IPFS Cluster",
        peer::ADDRESS.0,
    ),
    ("RABBITMQ_URL", "RabbitMQ", rabbitmq::ADDRESS.0),
    ("SERVICES_KRAB_URL", "krab", super::KRAB.0),
    ("SERVICES_KRAB_FALLBACK_URL", "krab", super::KRAB.0),
];

/// Where an empty value may have been meant as one: the program takes it as not set.
const EMPTY_MATTERS: [&str; 10] = [
    "API_CONNECTION_CERTIFICATES_CERTPATH",
    "API_CONNECTION_CERTIFICATES_KEYPATH",
    "API_CONNECTION_LIMIT",
    "API_JWT_KEY",
    "DATABASE_PASSWORD",
    "DATABASE_URL",
    "DATABASE_USERNAME",
    "RABBITMQ_URL",
    "SERVICES_KRAB_AUTH_KEY",
    "SERVICES_KRAB_KEYSTORE_PASSWORD",
];

/// Variables that have a meaning only together.
const TOGETHER: [&[&str]; 2] = [
    &[
        "API_CONNECTION_CERTIFICATES_CERTPATH",
        "API_CONNECTION_CERTIFICATES_KEYPATH",
    ],
    &[
        "RABBIT_MQ_TLS_CONFIG_CERT_FILE",
        "RABBIT_MQ_TLS_CONFIG_KEY_FILE",
        "RABBIT_MQ_TLS_CONFIG_CA_CERT_FILE",
    ],
];

/// Names of old examples that were never read, with the ones that are.
const RENAMED: [(&str, &str); 3] = [
    ("API_PROMETHEUS_IP", "API_CONNECTION_PROMETHEUS_IP"),
    ("API_PROMETHEUS_PORT", "API_CONNECTION_PROMETHEUS_PORT"),
    (
        "SERVICES_RTNS_MULTI_ADDRESS",
        "SERVICES_RTNS_MULTI_ADDRESSES",
    ),
];

/// Checks Temporal's settings.
pub(crate) fn check(given: &Given) -> Checked {
    let mut draft = Draft::new(Program::Temporal);
    for (name, value) in given {
        match read(name) {
            Ok(variable) if value.expose().is_empty() => {
                if EMPTY_MATTERS.contains(&variable.name) {
                    let problem =
                        "is empty, which counts as not set; write a value, or leave it out";
                    draft.say(Severity::Note, name, problem);
                }
            }
            Ok(variable) if stands_for_own(variable, value.expose()) => {
                draft.put(variable.name, name, value);
            }
            Ok(variable) => draft.take(variable, name, value),
            Err((severity, problem)) => draft.say(severity, name, problem),
        }
    }
    draft.together(&TOGETHER);
    addresses(&mut draft);
    draft.judge(&RULES);
    draft.checked
}

/// The variable that the program reads under this name, or why it reads none.
fn read(name: &str) -> Result<&'static Variable, (Severity, String)> {
    let is_upper = !name.bytes().any(|byte| byte.is_ascii_lowercase());
    let is_lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    let upper = name.to_ascii_uppercase();
    if let Some(variable) = known(Program::Temporal, &upper)
        && (is_upper || is_lower)
    {
        return Ok(variable);
    }
    let squashed = upper.replace('_', "");
    let is_meant = |it: &&Variable| it.name.replace('_', "") == squashed;
    if let Some(Variable { name, .. }) = VARIABLES.iter().find(is_meant) {
        let problem = format!("mixes spellings, so it is not read by the program; write `{name}`");
        return Err((Severity::Error, problem));
    }
    let renamed = RENAMED.iter().find(|(old, _)| *old == upper);
    let service = known(Program::Temporal, &format!("SERVICES_{upper}"));
    let right = renamed.map(|(_, new)| *new);
    let problem = match right.or(service.map(|variable| variable.name)) {
        Some(right) => format!("is not read by the program; write `{right}`"),
        None => unread(Program::Temporal, name),
    };
    Err((Severity::Warning, problem))
}

/// What of Temporal's settings and IPFS Cluster's does not go together.
pub(crate) fn agree(temporal: &Checked, cluster: &Checked) -> Vec<Finding> {
    let is_elsewhere = |name| temporal.value(name).is_some_and(|url| !is_own(url));
    let mut found = Vec::new();
    let credentials = "CLUSTER_RESTAPI_BASICAUTHCREDENTIALS";
    if cluster.value(credentials).is_some() && !is_elsewhere("IPFS_CLUSTER_API_CONNECTION_HOST") {
        let problem = "would lock Temporal out, whose client has no name or password to send; leave it out: no \
                       Service leads to this port from outside, and a NetworkPolicy lets only the stack in";
        let program = Program::IpfsCluster;
        found.push(Finding::new(Severity::Error, program, credentials, problem));
    }
    for (url, word) in [
        ("SERVICES_KRAB_URL", "SERVICES_KRAB_AUTH_KEY"),
        (
            "SERVICES_KRAB_FALLBACK_URL",
            "SERVICES_KRAB_FALLBACK_AUTH_KEY",
        ),
    ] {
        if is_elsewhere(url) && temporal.value(word).is_none() {
            let problem = format!(
                "is not set, but `{url}` names a krab that is not the stack's own; write the word that it wants to hear"
            );
            let program = Program::Temporal;
            found.push(Finding::new(Severity::Error, program, word, problem));
        }
    }
    found
}

/// The settings with the machine itself in place of the names and addresses that the stack's own Services have.
pub(crate) fn at_home(given: &Given, home: Home<'_>) -> Given {
    let own = |name: &str, value: &str| {
        let variable = read(name).ok()?;
        let (.., service) = OWN.iter().find(|(name, ..)| *name == variable.name)?;
        home.own(service, value)
    };
    let at_home = |(name, value): (&String, &Secret<String>)| {
        let own = own(name, value.expose()).map(Secret::new);
        (name.clone(), own.unwrap_or_else(|| value.clone()))
    };
    given.iter().map(at_home).collect()
}

/// Such a value need not be a right one, since another is written in its place.
fn stands_for_own(variable: &Variable, value: &str) -> bool {
    OWN.iter().any(|(name, ..)| *name == variable.name) && is_own(value)
}

fn addresses(draft: &mut Draft) {
    for (name, part, _) in OWN {
        let Some(value) = draft.value(name) else {
            continue;
        };
        let problem = if is_own(value) {
            format!("means the stack's own {part}; the installer writes that one's address")
        } else if name == "SERVICES_KRAB_FALLBACK_URL" {
            // a second one is nobody's loss
            continue;
        } else {
            format!("names another host, so the stack's own {part} is not installed")
        };
        draft.say(Severity::Note, name, problem);
    }
}

/// What is to be said of single values.
const RULES: [Rule; 4] = [
    (
        "CONFIG_DAG",
        |_| true,
        Severity::Error,
        "names a configuration file, and with one all other variables are ignored; leave it empty",
    ),
    (
        "DATABASE_NAME",
        |name| name != "temporal",
        Severity::Error,
        "is ignored by the program, which always uses the database `temporal`; write `temporal`",
    ),
    (
        "API_CONNECTION_LISTEN_ADDRESS",
        host::is_loopback,
        Severity::Warning,
        "lets nothing but its own Pod reach the API, not even its Service; leave it out",
    ),
    no_public_password("DATABASE_PASSWORD"),
];

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
