//! Hooks and actions, and what each of them puts into a charm's environment.
//!
//! The scheduler makes them, the agent runs them, counterpart charms match on them.

use std::fmt;

use serde_json::{Map, Value};

/// What happened to a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RelationChange {
    /// The relation exists; nothing is known about the other side yet.
    Created,
    /// A remote unit is there.
    Joined,
    /// A remote unit's bag or the remote application's bag is new or different.
    Changed,
    /// A remote unit is gone.
    Departed,
    /// The relation is over.
    Broken,
}

impl RelationChange {
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Joined => "joined",
            Self::Changed => "changed",
            Self::Departed => "departed",
            Self::Broken => "broken",
        }
    }
}

/// A hook of one relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationEvent {
    /// What happened.
    pub change: RelationChange,
    /// This side's endpoint.
    pub endpoint: String,
    /// The model-wide number of the relation.
    pub id: u32,
    /// The other application; this one in a peer relation.
    pub remote_app: String,
    /// The unit concerned; `None` for created, broken, and changes of the application bag.
    pub remote_unit: Option<String>,
    /// The unit that leaves, in departed hooks; may be the unit that runs the hook.
    pub departing: Option<String>,
}

/// A running action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionEvent {
    /// Juju's number of the operation's task, `JUJU_ACTION_UUID`.
    pub id: u32,
    /// The action's name in `actions.yaml`.
    pub name: String,
    /// Parameters with the defaults filled in.
    pub params: Map<String, Value>,
}

/// What Pebble told the agent about a workload beyond being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PebbleChange {
    /// A custom notice (Juju 3.4 and newer).
    CustomNotice {
        /// `JUJU_NOTICE_ID`
        id: String,
        /// `JUJU_NOTICE_KEY`
        key: String,
    },
    /// A check went down (Juju 3.6 and newer).
    CheckFailed(String),
    /// A check went up again.
    CheckRecovered(String),
}

/// What happened to a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretChange {
    /// One that this unit has read has a newer revision.
    Changed,
    /// This unit is to give it new content.
    Rotate,
    /// A revision has expired.
    Expired,
    /// Nobody uses a revision any more, so this unit may remove it.
    Remove,
}

impl SecretChange {
    fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Rotate => "rotate",
            Self::Expired => "expired",
            Self::Remove => "remove",
        }
    }
}

/// A hook of one secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretEvent {
    /// What happened.
    pub change: SecretChange,
    /// `secret:<id>`
    pub id: String,
    /// This unit's label for it, empty if it has none.
    pub label: String,
    /// The revision concerned, in expired and remove.
    pub revision: Option<u32>,
}

/// Everything a charm is started for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Juju's hook names")]
pub enum Event {
    Install,
    Start,
    Stop,
    Remove,
    UpgradeCharm,
    ConfigChanged,
    UpdateStatus,
    LeaderElected,
    LeaderSettingsChanged,
    Relation(RelationEvent),
    PebbleReady {
        container: String,
    },
    Pebble {
        container: String,
        change: PebbleChange,
    },
    Secret(SecretEvent),
    Action(ActionEvent),
}

impl Event {
    /// The hook name as in `JUJU_HOOK_NAME`, or the action's name.
    pub fn name(&self) -> String {
        match self {
            Self::Install => "install".to_owned(),
            Self::Start => "start".to_owned(),
            Self::Stop => "stop".to_owned(),
            Self::Remove => "remove".to_owned(),
            Self::UpgradeCharm => "upgrade-charm".to_owned(),
            Self::ConfigChanged => "config-changed".to_owned(),
            Self::UpdateStatus => "update-status".to_owned(),
            Self::LeaderElected => "leader-elected".to_owned(),
            Self::LeaderSettingsChanged => "leader-settings-changed".to_owned(),
            Self::Relation(event) => {
                format!("{}-relation-{}", event.endpoint, event.change.word())
            }
            Self::PebbleReady { container } => format!("{container}-pebble-ready"),
            Self::Pebble { container, change } => match change {
                PebbleChange::CustomNotice { .. } => format!("{container}-pebble-custom-notice"),
                PebbleChange::CheckFailed(_) => format!("{container}-pebble-check-failed"),
                PebbleChange::CheckRecovered(_) => format!("{container}-pebble-check-recovered"),
            },
            Self::Secret(event) => format!("secret-{}", event.change.word()),
            Self::Action(action) => action.name.clone(),
        }
    }

    /// The relation part, in relation hooks.
    pub fn relation(&self) -> Option<&RelationEvent> {
        match self {
            Self::Relation(event) => Some(event),
            _ => None,
        }
    }

    /// Whether this is an action, which can fail without putting the unit into error.
    pub fn is_action(&self) -> bool {
        matches!(self, Self::Action(_))
    }

    /// The variables that tell this hook from others.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let name = self.name();
        let mut variables = match self {
            Self::Action(action) => vec![
                ("JUJU_DISPATCH_PATH", format!("actions/{name}")),
                ("JUJU_HOOK_NAME", String::new()),
                ("JUJU_ACTION_NAME", name),
                ("JUJU_ACTION_UUID", action.id.to_string()),
                ("JUJU_ACTION_TAG", format!("action-{}", action.id)),
            ],
            _ => vec![
                ("JUJU_DISPATCH_PATH", format!("hooks/{name}")),
                ("JUJU_HOOK_NAME", name),
            ],
        };
        match self {
            Self::Relation(event) => {
                variables.push(("JUJU_RELATION", event.endpoint.clone()));
                variables.push((
                    "JUJU_RELATION_ID",
                    format!("{}:{}", event.endpoint, event.id),
                ));
                variables.push(("JUJU_REMOTE_APP", event.remote_app.clone()));
                variables.push((
                    "JUJU_REMOTE_UNIT",
                    event.remote_unit.clone().unwrap_or_default(),
                ));
                if let Some(unit) = &event.departing {
                    variables.push(("JUJU_DEPARTING_UNIT", unit.clone()));
                }
            }
            Self::PebbleReady { container } => {
                variables.push(("JUJU_WORKLOAD_NAME", container.clone()));
            }
            Self::Pebble { container, change } => {
                variables.push(("JUJU_WORKLOAD_NAME", container.clone()));
                match change {
                    PebbleChange::CustomNotice { id, key } => variables.extend([
                        ("JUJU_NOTICE_ID", id.clone()),
                        ("JUJU_NOTICE_TYPE", "custom".to_owned()),
                        ("JUJU_NOTICE_KEY", key.clone()),
                    ]),
                    PebbleChange::CheckFailed(check) | PebbleChange::CheckRecovered(check) => {
                        variables.push(("JUJU_PEBBLE_CHECK_NAME", check.clone()));
                    }
                }
            }
            Self::Secret(event) => {
                variables.push(("JUJU_SECRET_ID", event.id.clone()));
                variables.push(("JUJU_SECRET_LABEL", event.label.clone()));
                if let Some(revision) = event.revision {
                    variables.push(("JUJU_SECRET_REVISION", revision.to_string()));
                }
            }
            _ => {}
        }
        variables
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        match self {
            Self::Relation(event) => {
                let who = event.remote_unit.as_ref().unwrap_or(&event.remote_app);
                write!(f, " ({}:{} {who})", event.endpoint, event.id)
            }
            Self::Secret(event) => match event.revision {
                Some(revision) => write!(f, " ({}/{revision})", event.id),
                None => write!(f, " ({})", event.id),
            },
            Self::Action(_) => f.write_str(" (action)"),
            _ => Ok(()),
        }
    }
}
