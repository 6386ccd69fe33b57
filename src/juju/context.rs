//! The context of one hook: the environment that Juju sets → [`Hook`]. The only file that reads the environment.
#![expect(
    clippy::disallowed_methods,
    reason = "the one reader of the environment"
)]

use std::fmt;
use std::str::FromStr;

/// Why this process was started, and for which unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What happened.
    pub event: Event,
    /// The unit this process speaks for.
    pub unit: Unit,
    /// Name of the model, which on Kubernetes is the namespace.
    pub model: String,
}

impl Hook {
    /// Reads the variables that Juju sets for every hook and action.
    pub fn from_environment() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// The same from any source of variables. Juju sets some variables to the empty string where they
    /// have no meaning, so an empty one counts as not set.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let variables = Variables(|name: &str| variable(name).filter(|value| !value.is_empty()));
        let path = variables.require(
            "JUJU_DISPATCH_PATH",
            "it is not known which hook or action this is",
        )?;
        Ok(Self {
            event: event(&path, &variables)?,
            unit: variables
                .require("JUJU_UNIT_NAME", "it is not known whom to speak for")?
                .parse()
                .map_err(|NotAUnit(value)| Error::Malformed {
                    variable: "JUJU_UNIT_NAME",
                    value,
                    expected: "a unit such as `temporal-k8s/0`",
                })?,
            model: variables.require("JUJU_MODEL_NAME", "the namespace is not known")?,
        })
    }

    /// The relation that goes away in this hook: its data must not be read, and it counts as gone even
    /// where Juju still lists it.
    pub const fn broken_relation(&self) -> Option<u32> {
        match &self.event {
            Event::Relation(RelationEvent {
                id,
                kind: RelationEventKind::Broken,
                ..
            }) => Some(*id),
            _ => None,
        }
    }

    /// Is it this very unit that leaves a relation? Then the unit is going away, not the remote side.
    pub fn departing_self(&self) -> bool {
        match &self.event {
            Event::Relation(event) => {
                event.kind == RelationEventKind::Departed
                    && event.departing_unit.as_deref() == Some(self.unit.name().as_str())
            }
            _ => false,
        }
    }
}

/// Where the unit's agent answers the hook tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The path of its socket; an abstract name begins with `@`.
    pub address: String,
    /// Juju's name for this hook, which every request carries.
    pub context: String,
}

impl Agent {
    /// Reads the variables that Juju sets for its own tools. `None` where they say nothing of use: then the tools
    /// themselves are the way. `JUJU_HOOK_TRANSPORT=tools` asks for them.
    pub fn from_environment() -> Option<Self> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// The same from any source of variables.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let wanted = set("JUJU_HOOK_TRANSPORT").is_none_or(|transport| transport != "tools");
        // others are for agents of another machine, and want certificates
        let is_local = set("JUJU_AGENT_SOCKET_NETWORK")? == "unix";
        (wanted && is_local).then_some(Self {
            address: set("JUJU_AGENT_SOCKET_ADDRESS")?,
            context: set("JUJU_CONTEXT_ID")?,
        })
    }
}

/// A unit's name, such as `temporal-k8s/0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// The application's name.
    pub app: String,
    /// The unit's number.
    pub number: u32,
}

impl Unit {
    /// The name as people and hook tools write it: `temporal-k8s/0`.
    pub fn name(&self) -> String {
        self.to_string()
    }

    /// The name of the unit's pod: `temporal-k8s-0`.
    pub fn pod(&self) -> String {
        format!("{}-{}", self.app, self.number)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.number)
    }
}

/// A text that is not a unit's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a unit's name")]
pub struct NotAUnit(pub String);

impl FromStr for Unit {
    type Err = NotAUnit;

    fn from_str(name: &str) -> Result<Self, NotAUnit> {
        let refused = || NotAUnit(name.to_owned());
        let (app, number) = name.split_once('/').ok_or_else(refused)?;
        if app.is_empty() {
            return Err(refused());
        }
        Ok(Self {
            app: app.to_owned(),
            number: digits(number).ok_or_else(refused)?,
        })
    }
}

/// A hook or action. What is not listed has no meaning for this charm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The charm was installed.
    Install,
    /// The unit starts, or its agent came back.
    Start,
    /// The unit is about to go away.
    Stop,
    /// The last hook of a unit.
    Remove,
    /// New charm or new pod.
    UpgradeCharm,
    /// Options, trust or addresses changed.
    ConfigChanged,
    /// The regular look around.
    UpdateStatus,
    /// This unit has become the leader.
    LeaderElected,
    /// Something happened on a relation.
    Relation(RelationEvent),
    /// Something happened in a workload container.
    Workload {
        /// The container's name.
        container: String,
        /// The part of the hook name after the container, such as `pebble-ready`.
        kind: String,
    },
    /// Something happened to a secret.
    Secret {
        /// What.
        kind: SecretEventKind,
        /// Its URI, `secret:<id>`.
        id: String,
        /// The label that this unit, or its owner, gave it; `None` if it has none.
        label: Option<String>,
        /// The revision concerned, where the event is about one that expired or that nobody uses any more.
        revision: Option<u32>,
    },
    /// An action was run.
    Action {
        /// The action's name.
        name: String,
    },
    /// A hook that this charm has no use for: exit 0.
    Other(String),
}

impl Event {
    /// Has this charm nothing to do, so that no hook tool needs to be asked? Juju forgets a removed unit's
    /// ports and databags by itself.
    pub const fn is_idle(&self) -> bool {
        matches!(self, Self::Remove | Self::Other(_))
    }
}

/// As Juju names the hook or action.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Install => f.write_str("install"),
            Self::Start => f.write_str("start"),
            Self::Stop => f.write_str("stop"),
            Self::Remove => f.write_str("remove"),
            Self::UpgradeCharm => f.write_str("upgrade-charm"),
            Self::ConfigChanged => f.write_str("config-changed"),
            Self::UpdateStatus => f.write_str("update-status"),
            Self::LeaderElected => f.write_str("leader-elected"),
            Self::Relation(event) => {
                let suffix = match event.kind {
                    RelationEventKind::Created => "created",
                    RelationEventKind::Joined => "joined",
                    RelationEventKind::Changed => "changed",
                    RelationEventKind::Departed => "departed",
                    RelationEventKind::Broken => "broken",
                };
                write!(f, "{}-relation-{suffix}", event.endpoint)
            }
            Self::Workload { container, kind } => write!(f, "{container}-{kind}"),
            Self::Secret { kind, .. } => {
                let suffix = match kind {
                    SecretEventKind::Changed => "changed",
                    SecretEventKind::Rotate => "rotate",
                    SecretEventKind::Expired => "expired",
                    SecretEventKind::Remove => "remove",
                };
                write!(f, "secret-{suffix}")
            }
            Self::Action { name } | Self::Other(name) => f.write_str(name),
        }
    }
}

/// What happened on which relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationEvent {
    /// Our endpoint.
    pub endpoint: String,
    /// Juju's number of the relation.
    pub id: u32,
    /// Which step of the relation's life.
    pub kind: RelationEventKind,
    /// The application on the other side, where Juju names it.
    pub remote_app: Option<String>,
    /// The unit on the other side, where the event is about one.
    pub remote_unit: Option<String>,
    /// The unit that departs, in `departed`; it may be this one.
    pub departing_unit: Option<String>,
}

/// The steps of a relation's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationEventKind {
    /// The relation exists.
    Created,
    /// A remote unit has come.
    Joined,
    /// A databag has changed.
    Changed,
    /// A remote unit (or this one) goes.
    Departed,
    /// The relation is gone; its data must not be read any more.
    Broken,
}

/// What happens to a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretEventKind {
    /// One that this unit has read has a newer revision.
    Changed,
    /// This unit owns it and is to give it new content.
    Rotate,
    /// A revision of one that this unit owns has expired.
    Expired,
    /// Nobody uses a revision of one that this unit owns any more.
    Remove,
}

/// Why the environment is not that of a hook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A variable that every hook of this kind has is not there.
    #[error("`{variable}` is not set, so {consequence}: was this started by Juju?")]
    Missing {
        /// The variable.
        variable: &'static str,
        /// What cannot be known without it.
        consequence: &'static str,
    },
    /// A variable that has a value of another form than Juju gives it.
    #[error("`{variable}` is `{value}`, expected {expected}: was this started by Juju?")]
    Malformed {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What it should look like.
        expected: &'static str,
    },
}

/// Where the variables come from.
struct Variables<F>(F);

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    fn get(&self, variable: &str) -> Option<String> {
        (self.0)(variable)
    }

    fn require(&self, variable: &'static str, consequence: &'static str) -> Result<String, Error> {
        self.get(variable).ok_or(Error::Missing {
            variable,
            consequence,
        })
    }
}

/// The suffixes that Juju puts behind an endpoint's name.
const RELATION_HOOKS: [(&str, RelationEventKind); 5] = [
    ("-relation-created", RelationEventKind::Created),
    ("-relation-joined", RelationEventKind::Joined),
    ("-relation-changed", RelationEventKind::Changed),
    ("-relation-departed", RelationEventKind::Departed),
    ("-relation-broken", RelationEventKind::Broken),
];

/// The hooks about secrets.
const SECRET_HOOKS: [(&str, SecretEventKind); 4] = [
    ("secret-changed", SecretEventKind::Changed),
    ("secret-rotate", SecretEventKind::Rotate),
    ("secret-expired", SecretEventKind::Expired),
    ("secret-remove", SecretEventKind::Remove),
];

/// What Juju puts behind a container's name and a dash.
const WORKLOAD_HOOKS: [&str; 4] = [
    "pebble-ready",
    "pebble-custom-notice",
    "pebble-check-failed",
    "pebble-check-recovered",
];

/// `JUJU_DISPATCH_PATH` decides, since `JUJU_HOOK_NAME` is empty for actions.
fn event<F: Fn(&str) -> Option<String>>(
    path: &str,
    variables: &Variables<F>,
) -> Result<Event, Error> {
    if let Some(name) = path.strip_prefix("actions/") {
        return Ok(Event::Action {
            name: name.to_owned(),
        });
    }
    let hook = path.strip_prefix("hooks/").unwrap_or(path);
    Ok(match hook {
        "install" => Event::Install,
        "start" => Event::Start,
        "stop" => Event::Stop,
        "remove" => Event::Remove,
        "upgrade-charm" => Event::UpgradeCharm,
        "config-changed" => Event::ConfigChanged,
        "update-status" => Event::UpdateStatus,
        "leader-elected" => Event::LeaderElected,
        _ => match (secret_hook(hook), relation_hook(hook), workload_hook(hook)) {
            (Some(kind), ..) => secret_event(kind, variables)?,
            (None, Some((endpoint, kind)), _) => {
                Event::Relation(relation_event(endpoint, kind, variables)?)
            }
            (None, None, Some(workload)) => workload,
            (None, None, None) => Event::Other(hook.to_owned()),
        },
    })
}

fn secret_hook(hook: &str) -> Option<SecretEventKind> {
    let mut hooks = SECRET_HOOKS.iter();
    hooks.find(|(name, _)| *name == hook).map(|(_, kind)| *kind)
}

fn secret_event<F: Fn(&str) -> Option<String>>(
    kind: SecretEventKind,
    variables: &Variables<F>,
) -> Result<Event, Error> {
    let revision = variables.get("JUJU_SECRET_REVISION");
    let number = |value: String| {
        digits(&value).ok_or(Error::Malformed {
            variable: "JUJU_SECRET_REVISION",
            value,
            expected: "a number",
        })
    };
    Ok(Event::Secret {
        kind,
        id: variables.require(
            "JUJU_SECRET_ID",
            "it is not known which secret the hook is about",
        )?,
        label: variables.get("JUJU_SECRET_LABEL"),
        revision: revision.map(number).transpose()?,
    })
}

fn relation_hook(hook: &str) -> Option<(&str, RelationEventKind)> {
    RELATION_HOOKS
        .iter()
        .find_map(|(suffix, kind)| Some((hook.strip_suffix(suffix)?, *kind)))
        .filter(|(endpoint, _)| !endpoint.is_empty())
}

fn workload_hook(hook: &str) -> Option<Event> {
    WORKLOAD_HOOKS
        .iter()
        .find_map(|kind| Some((hook.strip_suffix(kind)?.strip_suffix('-')?, *kind)))
        .filter(|(container, _)| !container.is_empty())
        .map(|(container, kind)| Event::Workload {
            container: container.to_owned(),
            kind: kind.to_owned(),
        })
}

fn relation_event<F: Fn(&str) -> Option<String>>(
    endpoint: &str,
    kind: RelationEventKind,
    variables: &Variables<F>,
) -> Result<RelationEvent, Error> {
    let id = variables.require(
        "JUJU_RELATION_ID",
        "it is not known which relation the hook is about",
    )?;
    Ok(RelationEvent {
        endpoint: endpoint.to_owned(),
        id: relation_id(&id).ok_or(Error::Malformed {
            variable: "JUJU_RELATION_ID",
            value: id,
            expected: "an endpoint and a number such as `db:7`",
        })?,
        kind,
        remote_app: variables.get("JUJU_REMOTE_APP"),
        remote_unit: variables.get("JUJU_REMOTE_UNIT"),
        departing_unit: variables.get("JUJU_DEPARTING_UNIT"),
    })
}

/// The number in Juju's name of a relation: the 7 of `db:7`, or a plain 7.
pub(crate) fn relation_id(text: &str) -> Option<u32> {
    digits(text.rsplit_once(':').map_or(text, |(_, number)| number))
}

/// A number of nothing but digits: `str::parse` would let a plus sign pass.
fn digits(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What Juju 3.6 sets for a `db-relation-changed`.
    fn variables() -> BTreeMap<&'static str, String> {
        [
            ("JUJU_DISPATCH_PATH", "hooks/db-relation-changed"),
            ("JUJU_UNIT_NAME", "temporal-k8s/0"),
            ("JUJU_MODEL_NAME", "prod"),
            ("JUJU_RELATION_ID", "db:7"),
            ("JUJU_REMOTE_APP", "postgresql-k8s"),
            ("JUJU_REMOTE_UNIT", ""),
            ("JUJU_DEPARTING_UNIT", ""),
        ]
        .into_iter()
        .map(|(name, value)| (name, value.to_owned()))
        .collect()
    }

    fn hook(changes: &[(&'static str, &str)]) -> Result<Hook, Error> {
        let mut variables = variables();
        for (name, value) in changes {
            variables.insert(name, (*value).to_owned());
        }
        Hook::from_variables(|name| variables.get(name).cloned())
    }

    fn event_of(path: &str) -> Event {
        hook(&[("JUJU_DISPATCH_PATH", path)]).unwrap().event
    }

    #[test]
    fn all_that_a_relation_hook_says_is_read() {
        assert_eq!(
            hook(&[]).unwrap(),
            Hook {
                event: Event::Relation(RelationEvent {
                    endpoint: "db".to_owned(),
                    id: 7,
                    kind: RelationEventKind::Changed,
                    remote_app: Some("postgresql-k8s".to_owned()),
                    remote_unit: None,
                    departing_unit: None,
                }),
                unit: Unit {
                    app: "temporal-k8s".to_owned(),
                    number: 0,
                },
                model: "prod".to_owned(),
            }
        );
    }

    #[test]
    fn plain_hooks_have_their_event() {
        for (path, event) in [
            ("hooks/install", Event::Install),
            ("hooks/start", Event::Start),
            ("hooks/stop", Event::Stop),
            ("hooks/remove", Event::Remove),
            ("hooks/upgrade-charm", Event::UpgradeCharm),
            ("hooks/config-changed", Event::ConfigChanged),
            ("hooks/update-status", Event::UpdateStatus),
            ("hooks/leader-elected", Event::LeaderElected),
        ] {
            assert_eq!(event_of(path), event, "{path}");
        }
    }

    #[test]
    fn hooks_without_meaning_are_kept_by_name() {
        for name in [
            "leader-settings-changed",
            "collect-metrics",
            "secret-shared",
            "data-storage-attached",
            "db-relation-exploded",
            "-relation-changed",
            "-pebble-ready",
            "pebble-ready",
            "temporal-pebble-sleepy",
        ] {
            assert_eq!(
                event_of(&format!("hooks/{name}")),
                Event::Other(name.to_owned())
            );
        }
    }

    #[test]
    fn every_secret_hook_names_its_secret() {
        for (name, kind) in SECRET_HOOKS {
            let path = format!("hooks/{name}");
            let secret = |label, revision| {
                let set = [
                    ("JUJU_DISPATCH_PATH", path.as_str()),
                    ("JUJU_SECRET_ID", "secret:cjqub6vubg2s77p3nio0"),
                    ("JUJU_SECRET_LABEL", label),
                    ("JUJU_SECRET_REVISION", revision),
                ];
                hook(&set).map(|hook| hook.event)
            };
            let event = |label: Option<&str>, revision| Event::Secret {
                kind,
                id: "secret:cjqub6vubg2s77p3nio0".to_owned(),
                label: label.map(str::to_owned),
                revision,
            };
            let full = secret("db.7.user.secret", "3").unwrap();
            assert_eq!(full, event(Some("db.7.user.secret"), Some(3)));
            assert_eq!(secret("", "").unwrap(), event(None, None));
            assert_eq!(full.to_string(), name);
            let error = secret("", "newest").unwrap_err();
            assert!(
                matches!(error, Error::Malformed { variable, .. } if variable == "JUJU_SECRET_REVISION")
            );
            let error = hook(&[("JUJU_DISPATCH_PATH", &path)]).unwrap_err();
            assert!(
                matches!(error, Error::Missing { variable, .. } if variable == "JUJU_SECRET_ID")
            );
        }
    }

    #[test]
    fn an_action_is_known_by_its_path_alone() {
        let hook = hook(&[
            ("JUJU_DISPATCH_PATH", "actions/restart"),
            ("JUJU_RELATION_ID", ""),
        ]);
        assert_eq!(
            hook.unwrap().event,
            Event::Action {
                name: "restart".to_owned()
            }
        );
    }

    #[test]
    fn every_step_of_a_relation_is_known_and_endpoints_keep_their_dashes() {
        for (suffix, kind) in RELATION_HOOKS {
            let Event::Relation(event) = event_of(&format!("hooks/nginx-relation-route{suffix}"))
            else {
                panic!("{suffix}");
            };
            assert_eq!(event.endpoint, "nginx-relation-route");
            assert_eq!(event.kind, kind);
        }
    }

    #[test]
    fn every_workload_hook_is_known_and_containers_keep_their_dashes() {
        for kind in WORKLOAD_HOOKS {
            assert_eq!(
                event_of(&format!("hooks/my-pebble-{kind}")),
                Event::Workload {
                    container: "my-pebble".to_owned(),
                    kind: kind.to_owned()
                }
            );
        }
    }

    #[test]
    fn a_broken_relation_is_named_only_in_its_own_hook() {
        let broken = |path| {
            hook(&[("JUJU_DISPATCH_PATH", path)])
                .unwrap()
                .broken_relation()
        };
        assert_eq!(broken("hooks/db-relation-broken"), Some(7));
        assert_eq!(broken("hooks/db-relation-departed"), None);
        assert_eq!(broken("hooks/update-status"), None);
    }

    #[test]
    fn only_our_own_departure_is_ours() {
        let departing = |path, unit| {
            hook(&[("JUJU_DISPATCH_PATH", path), ("JUJU_DEPARTING_UNIT", unit)])
                .unwrap()
                .departing_self()
        };
        assert!(departing("hooks/db-relation-departed", "temporal-k8s/0"));
        assert!(!departing("hooks/db-relation-departed", "temporal-k8s/1"));
        assert!(!departing("hooks/db-relation-departed", ""));
        assert!(!departing("hooks/db-relation-broken", "temporal-k8s/0"));
    }

    #[test]
    fn the_agent_is_asked_directly_where_that_is_local_and_nobody_forbids_it() {
        let agent = |changes: &[(&str, &str)]| {
            let mut variables = BTreeMap::from([
                ("JUJU_AGENT_SOCKET_NETWORK", "unix"),
                ("JUJU_AGENT_SOCKET_ADDRESS", "/run/agent.socket"),
                ("JUJU_CONTEXT_ID", "temporal-k8s/0-update-status-1"),
            ]);
            variables.extend(changes.iter().copied());
            Agent::from_variables(|name| variables.get(name).map(|it| (*it).to_owned()))
        };
        assert_eq!(agent(&[]).unwrap().address, "/run/agent.socket");
        assert_eq!(agent(&[("JUJU_HOOK_TRANSPORT", "direct")]), agent(&[]));
        for unfit in [
            ("JUJU_HOOK_TRANSPORT", "tools"),
            ("JUJU_AGENT_SOCKET_NETWORK", "tcp"),
            ("JUJU_AGENT_SOCKET_NETWORK", ""),
            ("JUJU_AGENT_SOCKET_ADDRESS", ""),
            ("JUJU_CONTEXT_ID", ""),
        ] {
            assert_eq!(agent(&[unfit]), None, "{unfit:?}");
        }
    }

    #[test]
    fn errors_name_the_variable_and_the_consequence() {
        for (variable, said) in [
            ("JUJU_DISPATCH_PATH", "which hook or action"),
            ("JUJU_UNIT_NAME", "whom to speak for"),
            ("JUJU_MODEL_NAME", "the namespace"),
            ("JUJU_RELATION_ID", "which relation"),
        ] {
            let error = hook(&[(variable, "")]).unwrap_err();
            assert!(
                matches!(error, Error::Missing { variable: named, .. } if named == variable),
                "{variable}"
            );
            let text = error.to_string();
            assert!(text.contains(variable) && text.contains(said), "{text}");
        }
    }

    #[test]
    fn values_of_another_form_are_refused() {
        for (variable, value) in [
            ("JUJU_UNIT_NAME", "temporal-k8s"),
            ("JUJU_UNIT_NAME", "temporal-k8s/"),
            ("JUJU_UNIT_NAME", "/0"),
            ("JUJU_UNIT_NAME", "temporal-k8s/+1"),
            ("JUJU_UNIT_NAME", "temporal-k8s/99999999999"),
            ("JUJU_RELATION_ID", "db"),
            ("JUJU_RELATION_ID", "db:-1"),
        ] {
            let error = hook(&[(variable, value)]).unwrap_err();
            assert!(
                matches!(error, Error::Malformed { variable: named, .. } if named == variable),
                "{variable}={value}"
            );
        }
    }

    #[test]
    fn a_unit_has_a_name_and_a_pod() {
        let unit: Unit = "temporal-k8s/12".parse().unwrap();
        assert_eq!(unit.name(), "temporal-k8s/12");
        assert_eq!(unit.pod(), "temporal-k8s-12");
    }

    proptest! {
        #[test]
        fn any_environment_is_an_answer(path in "\\PC{0,40}", unit in "\\PC{0,20}", id in "\\PC{0,20}") {
            let _either = hook(&[
                ("JUJU_DISPATCH_PATH", &path),
                ("JUJU_UNIT_NAME", &unit),
                ("JUJU_RELATION_ID", &id),
            ]);
        }

        #[test]
        fn a_unit_name_survives_the_round_trip(app in "[a-z][a-z0-9-]{0,20}", number: u32) {
            let unit = Unit { app, number };
            prop_assert_eq!(unit.name().parse(), Ok(unit));
        }
    }
}
