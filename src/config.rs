//! The charm's options: `config-get`'s answer → [`Config`], or every bad option at once.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::temporal::{LONGEST_NAME, Role, Store, is_plain, suffix};

/// The options, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `services`: never empty; [`Role::InternalFrontend`] is not among them, it comes with the frontend.
    pub services: BTreeSet<Role>,
    /// `log-level`, in Temporal's words.
    pub log_level: LogLevel,
    /// `external-hostname`; `None` means the application's name.
    pub external_hostname: Option<String>,
    /// `num-history-shards`, a power of two; `None` leaves the number to the database, and a new database's to us.
    pub shards: Option<u32>,
    /// `ingress-protocol`.
    pub ingress_protocol: IngressProtocol,
    /// `database-prefix`; `None` means the application's name.
    pub database_prefix: Option<String>,
    /// `database-connections`: the most that a unit's server may have to both stores together.
    pub connections: u32,
}

/// Temporal's log levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// The default.
    #[default]
    Info,
    /// The Python charm's `warning`.
    Warn,
    /// Errors.
    Error,
    /// The Python charm's `critical`.
    Fatal,
}

/// How to speak on the `ingress` endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IngressProtocol {
    /// JSON-valued keys: traefik, gateway-api and today's nginx integrator.
    #[default]
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

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "option `{}`: {}", self.option, self.problem)
    }
}

/// The number of history shards of a new cluster whose operator chose none.
pub const SHARDS: u32 = 512;

/// The largest shard count, which Temporal's largest clusters use. Each shard costs memory and database
/// work from the first start on, and the number can never be lowered again.
const MOST_SHARDS: i64 = 16384;

/// The least of `database-connections`: one to each store for each of the roles that a unit may have.
pub const LEAST_CONNECTIONS: u32 = 10;

/// Checks all options; the error lists every bad one. An option that is not there has its default.
pub fn parse(options: &Map<String, Value>) -> Result<Config, Vec<BadOption>> {
    let mut options = Options {
        given: options,
        defaults: Map::new(),
        bad: Vec::new(),
    };
    let config = read(&mut options);
    if options.bad.is_empty() {
        Ok(config)
    } else {
        Err(options.bad)
    }
}

/// The options of `config.yaml` with their defaults; the JSON type of a default is the option's type.
pub fn defaults() -> Map<String, Value> {
    let mut options = Options {
        given: &Map::new(),
        defaults: Map::new(),
        bad: Vec::new(),
    };
    read(&mut options);
    options.defaults
}

/// Every option: its name, its default, and what checks it.
fn read(options: &mut Options) -> Config {
    Config {
        services: options.text("services", "frontend,history,matching,worker", services),
        log_level: options.text("log-level", "info", log_level),
        external_hostname: options.text("external-hostname", "", hostname),
        shards: options.checked("num-history-shards", Value::Null, shards),
        ingress_protocol: options.text("ingress-protocol", "v2", ingress_protocol),
        database_prefix: options.text("database-prefix", "", database_prefix),
        connections: options.checked("database-connections", json!(25), connections),
    }
}

/// The options while they are checked.
struct Options<'a> {
    given: &'a Map<String, Value>,
    defaults: Map<String, Value>,
    bad: Vec<BadOption>,
}

impl Options<'_> {
    /// The option's value. A bad one is noted, and nobody gets to see what stands here for it.
    fn checked<T: Default>(
        &mut self,
        option: &'static str,
        default: Value,
        check: impl FnOnce(&Value) -> Result<T, String>,
    ) -> T {
        let given = self.given.get(option).filter(|value| !value.is_null());
        let value = check(given.unwrap_or(&default)).unwrap_or_else(|problem| {
            self.bad.push(BadOption { option, problem });
            T::default()
        });
        self.defaults.insert(option.to_owned(), default);
        value
    }

    /// The same for an option that is a text. Spaces around it are nobody's wish.
    fn text<T: Default>(
        &mut self,
        option: &'static str,
        default: &str,
        check: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        self.checked(option, json!(default), |value| {
            let text = value
                .as_str()
                .ok_or_else(|| format!("must be a text, not {value}"))?;
            check(text.trim())
        })
    }
}

fn services(text: &str) -> Result<BTreeSet<Role>, String> {
    if text.is_empty() {
        return Err(format!("is empty; name at least one of {ROLES}"));
    }
    let mut roles = BTreeSet::new();
    let mut problems = Vec::new();
    for name in text.split(',').map(str::trim) {
        match Role::ALL.into_iter().find(|role| role.name() == name) {
            Some(Role::InternalFrontend) => problems.push(
                "\"internal-frontend\" comes with \"frontend\" by itself; leave it out".to_owned(),
            ),
            Some(role) if roles.insert(role) => {}
            Some(role) => problems.push(format!("\"{role}\" is named twice; name it once")),
            None if name.is_empty() => {
                problems.push("has an empty entry; write one comma between two names".to_owned());
            }
            None => problems.push(format!("\"{name}\" is not a service; choose from {ROLES}")),
        }
    }
    if problems.is_empty() {
        Ok(roles)
    } else {
        Err(problems.join(", and "))
    }
}

/// What a person can choose from.
const ROLES: &str = "\"frontend\", \"history\", \"matching\", \"worker\"";

fn log_level(text: &str) -> Result<LogLevel, String> {
    Ok(match text.to_lowercase().as_str() {
        "debug" => LogLevel::Debug,
        "info" => LogLevel::Info,
        "warn" | "warning" => LogLevel::Warn,
        "error" => LogLevel::Error,
        "fatal" | "critical" => LogLevel::Fatal,
        _ => {
            return Err(format!(
                "\"{text}\" is not a log level; choose from \"debug\", \"info\", \"warning\", \
                 \"error\", \"critical\""
            ));
        }
    })
}

/// A host name as Kubernetes takes it in an Ingress: DNS labels (RFC 1123) in lower case.
fn hostname(text: &str) -> Result<Option<String>, String> {
    let name = text.to_ascii_lowercase();
    if name.is_empty() {
        return Ok(None);
    }
    if name.parse::<IpAddr>().is_ok() {
        return Err(format!(
            "\"{text}\" is an address; write the DNS name that clients will use"
        ));
    }
    if name.len() > 253 {
        return Err(format!(
            "has {} characters; a DNS name has at most 253",
            name.len()
        ));
    }
    if name.split('.').all(is_label) {
        Ok(Some(name))
    } else {
        Err(format!(
            "\"{text}\" is not a DNS name; write labels of at most 63 letters, digits and dashes \
             (none at the ends), with single dots between them"
        ))
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn shards(value: &Value) -> Result<Option<u32>, String> {
    if value.is_null() {
        return Ok(None);
    }
    value
        .as_i64()
        .filter(|count| (1..=MOST_SHARDS).contains(count))
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| count.is_power_of_two())
        .map(Some)
        .ok_or_else(|| {
            format!("is {value}; write a power of 2 from 1 to {MOST_SHARDS}, such as 4 or 512")
        })
}

fn ingress_protocol(text: &str) -> Result<IngressProtocol, String> {
    match text {
        "v2" => Ok(IngressProtocol::V2),
        "nginx-2023" => Ok(IngressProtocol::Nginx2023),
        _ => Err(format!(
            "\"{text}\" is not a protocol; choose from \"v2\", \"nginx-2023\""
        )),
    }
}

/// The most is PostgreSQL's own.
fn connections(value: &Value) -> Result<u32, String> {
    const LEAST: u32 = LEAST_CONNECTIONS;
    const MOST: u32 = 262_143;
    value
        .as_u64()
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| (LEAST..=MOST).contains(count))
        .ok_or_else(|| format!("is {value}; write a number from {LEAST} to {MOST}, such as 25"))
}

/// The names of both databases must stay plain and whole.
fn database_prefix(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if !is_plain(text) {
        return Err(format!(
            "\"{text}\" has characters that a database name must not have; use letters, digits, \
             dashes and underscores"
        ));
    }
    let room = LONGEST_NAME - suffix(Store::Visibility).len();
    if text.len() > room {
        return Err(format!(
            "has {} characters; write at most {room}, so that the databases' names fit",
            text.len()
        ));
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(option: &str, value: Value) -> Result<Config, Vec<BadOption>> {
        parse(&Map::from_iter([(option.to_owned(), value)]))
    }

    /// What is said about one option with a value that must be refused.
    fn refusal(option: &'static str, value: Value) -> String {
        let bad = with(option, value).unwrap_err();
        assert_eq!(bad.len(), 1, "{bad:?}");
        assert_eq!(bad[0].option, option);
        bad[0].problem.clone()
    }

    #[test]
    fn without_options_the_defaults_hold() {
        assert_eq!(
            parse(&Map::new()),
            Ok(Config {
                services: [Role::Frontend, Role::History, Role::Matching, Role::Worker].into(),
                log_level: LogLevel::Info,
                external_hostname: None,
                shards: None,
                ingress_protocol: IngressProtocol::V2,
                database_prefix: None,
                connections: 25,
            })
        );
        assert_eq!(parse(&defaults()), parse(&Map::new()));
        assert_eq!(with("services", Value::Null), parse(&Map::new()));
        assert_eq!(with("of-a-later-revision", json!(true)), parse(&Map::new()));
    }

    #[test]
    fn services_are_read_in_any_order_and_spacing() {
        for (text, roles) in [
            ("frontend", vec![Role::Frontend]),
            (" worker ,\thistory\n", vec![Role::History, Role::Worker]),
            ("matching,history", vec![Role::History, Role::Matching]),
        ] {
            let config = with("services", json!(text)).unwrap();
            assert_eq!(config.services, roles.into_iter().collect(), "{text:?}");
        }
    }

    #[test]
    fn services_that_cannot_be_meant_are_refused() {
        for (text, said) in [
            ("", "is empty"),
            (" ", "is empty"),
            (",", "empty entry"),
            ("frontend,", "empty entry"),
            ("frontend,,history", "empty entry"),
            ("frontend,frontend", "\"frontend\" is named twice"),
            ("frontend,internal-frontend", "comes with \"frontend\""),
            ("Frontend", "\"Frontend\" is not a service"),
            ("history,front end", "\"front end\" is not a service"),
        ] {
            let problem = refusal("services", json!(text));
            assert!(problem.contains(said), "{text:?}: {problem}");
        }
        let problem = refusal("services", json!("web,history,history"));
        assert!(problem.contains("\"web\"") && problem.contains("twice"));
    }

    #[test]
    fn log_levels_of_the_python_charm_become_temporals() {
        for (text, level) in [
            ("debug", LogLevel::Debug),
            ("INFO", LogLevel::Info),
            ("warn", LogLevel::Warn),
            ("Warning", LogLevel::Warn),
            (" error ", LogLevel::Error),
            ("critical", LogLevel::Fatal),
            ("fatal", LogLevel::Fatal),
        ] {
            assert_eq!(with("log-level", json!(text)).unwrap().log_level, level);
        }
        assert!(refusal("log-level", json!("loud")).contains("choose from \"debug\""));
        assert!(refusal("log-level", json!("")).contains("choose from"));
    }

    #[test]
    fn a_host_name_is_a_dns_name_or_nothing() {
        let labels = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        for (text, name) in [
            ("", None),
            ("  ", None),
            ("temporal", Some("temporal")),
            ("Temporal.Example.com", Some("temporal.example.com")),
            ("1st.example.com", Some("1st.example.com")),
            (&labels, Some(labels.as_str())),
        ] {
            let config = with("external-hostname", json!(text)).unwrap();
            assert_eq!(config.external_hostname.as_deref(), name, "{text:?}");
        }
        for (text, said) in [
            ("http://temporal", "not a DNS name"),
            ("temporal:7233", "not a DNS name"),
            ("*.example.com", "not a DNS name"),
            ("a..b", "not a DNS name"),
            ("example.com.", "not a DNS name"),
            ("-a.com", "not a DNS name"),
            ("a-.com", "not a DNS name"),
            ("a_b.com", "not a DNS name"),
            ("tämporal.com", "not a DNS name"),
            (&"a".repeat(64), "not a DNS name"),
            (&format!("{labels}b"), "at most 253"),
            ("10.1.0.7", "is an address"),
            ("::1", "is an address"),
        ] {
            let problem = refusal("external-hostname", json!(text));
            assert!(problem.contains(said), "{text:?}: {problem}");
        }
    }

    #[test]
    fn the_shard_count_is_a_power_of_two() {
        for count in [1, 2, 4, 512, 16384] {
            let config = with("num-history-shards", json!(count)).unwrap();
            assert_eq!(config.shards, Some(count));
        }
        for value in [
            json!(0),
            json!(-4),
            json!(3),
            json!(32768),
            json!(4.0),
            json!("4"),
            json!(true),
            json!(u64::MAX),
        ] {
            assert!(refusal("num-history-shards", value).contains("power of 2"));
        }
    }

    #[test]
    fn the_connections_are_enough_for_every_role() {
        for count in [10, 25, 262_143] {
            let config = with("database-connections", json!(count)).unwrap();
            assert_eq!(config.connections, count);
        }
        for value in [
            json!(9),
            json!(-1),
            json!(262_144),
            json!(25.0),
            json!("25"),
        ] {
            assert!(refusal("database-connections", value).contains("from 10 to 262143"));
        }
    }

    #[test]
    fn the_ingress_protocol_is_one_of_two() {
        let protocol = |text| with("ingress-protocol", json!(text)).map(|c| c.ingress_protocol);
        assert_eq!(protocol("v2"), Ok(IngressProtocol::V2));
        assert_eq!(protocol("nginx-2023"), Ok(IngressProtocol::Nginx2023));
        assert!(refusal("ingress-protocol", json!("v1")).contains("choose from \"v2\""));
    }

    #[test]
    fn a_database_prefix_leaves_room_for_the_suffixes() {
        for (text, prefix) in [
            ("", None),
            ("temporal-k8s", Some("temporal-k8s")),
            ("A_1", Some("A_1")),
            (&"x".repeat(52), Some("x".repeat(52).as_str())),
        ] {
            let config = with("database-prefix", json!(text)).unwrap();
            assert_eq!(config.database_prefix.as_deref(), prefix);
        }
        for (text, said) in [
            ("a b", "letters, digits"),
            ("a;drop", "letters, digits"),
            ("ä", "letters, digits"),
            (&"x".repeat(53), "at most 52"),
        ] {
            let problem = refusal("database-prefix", json!(text));
            assert!(problem.contains(said), "{text:?}: {problem}");
        }
    }

    #[test]
    fn all_bad_options_are_reported_at_once_and_by_name() {
        let bad: Map<String, Value> = defaults()
            .into_iter()
            .map(|(k, _)| (k, json!([])))
            .collect();
        let said: Vec<String> = parse(&bad)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(said.len(), defaults().len());
        assert_eq!(said[0], "option `services`: must be a text, not []");
    }

    proptest! {
        #[test]
        fn any_options_are_an_answer(services in "\\PC{0,40}", host in "\\PC{0,40}", shards: i64) {
            let options = Map::from_iter([
                ("services".to_owned(), json!(services)),
                ("external-hostname".to_owned(), json!(host)),
                ("num-history-shards".to_owned(), json!(shards)),
            ]);
            let _either = parse(&options);
        }
    }
}
