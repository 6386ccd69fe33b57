//! `metadata.yaml`, read as strictly as Juju reads it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Which side of a relation an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Between the units of one application.
    Peer,
    /// Offers the interface.
    Provider,
    /// Asks for the interface.
    Requirer,
}

/// One declared endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its side.
    pub role: Role,
    /// The protocol spoken on it; only equal interfaces can be related.
    pub interface: String,
    /// How many relations it takes, unlimited if `None`.
    pub limit: Option<u32>,
}

/// What a model knows of a charm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The charm's name.
    pub name: String,
    /// Endpoints by name.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Workload containers in name order.
    pub containers: Vec<String>,
    /// Resource names with their types.
    pub resources: BTreeMap<String, String>,
}

/// Why a charm's YAML is refused. The texts name the file's key.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// Not YAML.
    #[error("cannot parse {file}")]
    Yaml {
        /// The file in the charm.
        file: &'static str,
        /// What the parser says.
        source: Box<serde_saphyr::Error>,
    },
    /// YAML of another shape.
    #[error("cannot read {file}")]
    Shape {
        /// The file in the charm.
        file: &'static str,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// A rule of Juju's.
    #[error("{0}")]
    Invalid(String),
}

impl MetadataError {
    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}

/// Reads YAML, refusing duplicate keys; an empty document is `null`.
pub(super) fn yaml(file: &'static str, text: &str) -> Result<Value, MetadataError> {
    serde_saphyr::from_str(text).map_err(|source| MetadataError::Yaml {
        file,
        source: Box::new(source),
    })
}

#[derive(Deserialize)]
struct Raw {
    name: String,
    summary: String,
    description: String,
    #[serde(default)]
    peers: BTreeMap<String, RawEndpoint>,
    #[serde(default)]
    provides: BTreeMap<String, RawEndpoint>,
    #[serde(default)]
    requires: BTreeMap<String, RawEndpoint>,
    #[serde(default)]
    containers: BTreeMap<String, RawContainer>,
    #[serde(default)]
    resources: BTreeMap<String, RawResource>,
    #[serde(default)]
    subordinate: bool,
    #[serde(default)]
    series: Vec<String>,
    #[serde(default)]
    storage: BTreeMap<String, Value>,
    #[serde(default)]
    devices: BTreeMap<String, Value>,
    #[serde(default)]
    assumes: Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawEndpoint {
    Short(String),
    Full {
        interface: String,
        limit: Option<u32>,
        scope: Option<Scope>,
    },
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Scope {
    Global,
    Container,
}

#[derive(Deserialize)]
struct RawContainer {
    resource: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
}

#[derive(Deserialize)]
struct RawResource {
    r#type: String,
}

impl Metadata {
    /// Parses and checks `metadata.yaml` for a controller of version `juju`.
    pub fn parse(text: &str, juju: (u32, u32)) -> Result<Self, MetadataError> {
        const FILE: &str = "metadata.yaml";
        let raw: Raw = serde_json::from_value(yaml(FILE, text)?)
            .map_err(|source| MetadataError::Shape { file: FILE, source })?;
        if !is_name(&raw.name) {
            return Err(MetadataError::invalid(format!(
                "invalid charm name \"{}\"",
                raw.name
            )));
        }
        if raw.summary.is_empty() || raw.description.is_empty() {
            return Err(MetadataError::invalid(
                "metadata: summary and description must be given",
            ));
        }
        if raw.subordinate || !raw.storage.is_empty() || !raw.devices.is_empty() {
            return Err(MetadataError::invalid(
                "metadata: subordinate, storage and devices are not emulated",
            ));
        }
        if !raw.series.is_empty() && !raw.containers.is_empty() {
            return Err(MetadataError::invalid(
                "metadata: series and containers exclude each other",
            ));
        }
        if !assumption_holds(&raw.assumes, juju)? {
            return Err(MetadataError::invalid(
                "charm requirements (`assumes`) are not met",
            ));
        }
        check_containers(&raw)?;
        let resources = raw
            .resources
            .iter()
            .map(|(name, it)| (name.clone(), it.r#type.clone()))
            .collect();
        let containers = raw.containers.into_keys().collect();
        let mut endpoints = BTreeMap::new();
        add_endpoints(&mut endpoints, Role::Peer, raw.peers)?;
        add_endpoints(&mut endpoints, Role::Provider, raw.provides)?;
        add_endpoints(&mut endpoints, Role::Requirer, raw.requires)?;
        Ok(Self {
            name: raw.name,
            endpoints,
            containers,
            resources,
        })
    }
}

fn check_containers(raw: &Raw) -> Result<(), MetadataError> {
    for (name, resource) in &raw.resources {
        if !matches!(resource.r#type.as_str(), "oci-image" | "file") {
            let text = format!(
                "resource \"{name}\" has invalid type \"{}\"",
                resource.r#type
            );
            return Err(MetadataError::Invalid(text));
        }
    }
    for (name, container) in &raw.containers {
        if !is_name(name) {
            return Err(MetadataError::invalid(format!(
                "invalid container name \"{name}\""
            )));
        }
        let reserved = |id: &Option<u32>| id.is_some_and(|id| (1000..=9999).contains(&id));
        if reserved(&container.uid) || reserved(&container.gid) {
            let text = format!("container \"{name}\": uid and gid from 1000 to 9999 are reserved");
            return Err(MetadataError::Invalid(text));
        }
        let Some(resource) = &container.resource else {
            continue;
        };
        if raw
            .resources
            .get(resource)
            .is_none_or(|it| it.r#type != "oci-image")
        {
            let text =
                format!("container \"{name}\": referenced resource \"{resource}\" not found");
            return Err(MetadataError::Invalid(text));
        }
    }
    Ok(())
}

fn add_endpoints(
    all: &mut BTreeMap<String, Endpoint>,
    role: Role,
    raw: BTreeMap<String, RawEndpoint>,
) -> Result<(), MetadataError> {
    for (name, endpoint) in raw {
        let (interface, limit, scope) = match endpoint {
            RawEndpoint::Short(interface) => (interface, None, None),
            RawEndpoint::Full {
                interface,
                limit,
                scope,
            } => (interface, limit, scope),
        };
        if name == "juju" || name.starts_with("juju-") || interface == "juju" {
            let text = format!("endpoint \"{name}\": names starting with \"juju\" are reserved");
            return Err(MetadataError::Invalid(text));
        }
        if scope == Some(Scope::Container) {
            let text = format!("endpoint \"{name}\": scope container is not emulated");
            return Err(MetadataError::Invalid(text));
        }
        if all
            .insert(
                name.clone(),
                Endpoint {
                    role,
                    interface,
                    limit,
                },
            )
            .is_some()
        {
            let text = format!("duplicated endpoint name \"{name}\"");
            return Err(MetadataError::Invalid(text));
        }
    }
    Ok(())
}

/// Juju's rule for charm, application and container names: lower-case segments joined by dashes,
/// the first beginning with a letter and each holding one.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .split('-')
            .all(|part| part.chars().all(plain) && part.contains(|c: char| c.is_ascii_lowercase()))
}

fn assumption_holds(assumption: &Value, juju: (u32, u32)) -> Result<bool, MetadataError> {
    match assumption {
        Value::Null => Ok(true),
        Value::Array(all) => all
            .iter()
            .try_fold(true, |so_far, it| Ok(assumption_holds(it, juju)? && so_far)),
        Value::Object(map) => {
            let mut holds = true;
            for (key, value) in map {
                let alternatives = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let results = alternatives
                    .iter()
                    .map(|it| assumption_holds(it, juju))
                    .collect::<Result<Vec<_>, _>>()?;
                holds &= match key.as_str() {
                    "any-of" => results.contains(&true),
                    "all-of" => !results.contains(&false),
                    other => {
                        return Err(MetadataError::invalid(format!(
                            "assumes: unknown \"{other}\""
                        )));
                    }
                };
            }
            Ok(holds)
        }
        Value::String(text) => feature_holds(text, juju),
        Value::Bool(_) | Value::Number(_) => Err(MetadataError::invalid(format!(
            "assumes: cannot read {assumption}"
        ))),
    }
}

fn feature_holds(text: &str, juju: (u32, u32)) -> Result<bool, MetadataError> {
    let unreadable = || MetadataError::invalid(format!("assumes: cannot read \"{text}\""));
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["k8s-api"] => Ok(true),
        ["juju", operator, version] => {
            let mut parts = version.split('.').map(str::parse::<u32>);
            let major = parts
                .next()
                .ok_or_else(unreadable)?
                .map_err(|_| unreadable())?;
            let minor = parts.next().unwrap_or(Ok(0)).map_err(|_| unreadable())?;
            match *operator {
                ">=" => Ok(juju >= (major, minor)),
                "<" => Ok(juju < (major, minor)),
                _ => Err(unreadable()),
            }
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::{Metadata, Role};

    const JUJU: (u32, u32) = (3, 6);

    fn with(rest: &str) -> Result<Metadata, String> {
        let text = format!("name: web\nsummary: s\ndescription: d\n{rest}");
        Metadata::parse(&text, JUJU).map_err(|error| error.to_string())
    }

    #[test]
    fn endpoints_come_in_long_and_short_form() {
        let read = with("requires:\n  db: {interface: pgsql, limit: 1}\nprovides:\n  web: http\n");
        let read = read.unwrap();
        assert_eq!(read.endpoints["db"].limit, Some(1));
        assert_eq!(read.endpoints["web"].role, Role::Provider);
        assert_eq!(read.endpoints["web"].interface, "http");
    }

    #[test]
    fn unknown_keys_are_ignored_but_required_ones_are_not() {
        assert!(with("links: {docs: [a]}\n").is_ok());
        assert!(Metadata::parse("name: web\nsummary: s\n", JUJU).is_err());
    }

    #[test]
    fn what_juju_refuses_is_refused() {
        for (rest, why) in [
            (
                "requires: {a: x}\nprovides: {a: x}\n",
                "duplicated endpoint name",
            ),
            ("requires: {juju-x: x}\n", "reserved"),
            (
                "containers: {c: {resource: nothing}}\n",
                "referenced resource",
            ),
            ("containers: {c: {uid: 1000}}\n", "reserved"),
            ("series: [jammy]\ncontainers: {c: {}}\n", "exclude"),
            ("assumes: [juju >= 4.0]\n", "not met"),
            (
                "assumes: [{any-of: [juju >= 4.0, juju < 3.0]}]\n",
                "not met",
            ),
        ] {
            let error = with(rest).unwrap_err();
            assert!(error.contains(why), "{rest}: {error}");
        }
        assert!(with("requires: {a: x, a: y}\n").is_err(), "duplicate keys");
        assert!(with("assumes: [juju >= 3.1, k8s-api]\n").is_ok());
    }

    #[test]
    fn charm_names_follow_jujus_rule() {
        for (name, good) in [
            ("temporal-k8s", true),
            ("a-1", false),
            ("1a", false),
            ("A", false),
            ("a-", false),
        ] {
            assert_eq!(super::is_name(name), good, "{name}");
        }
    }
}
