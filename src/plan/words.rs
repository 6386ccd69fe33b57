//! Every status that this charm shows, its priority and its words, on one page.

use std::collections::BTreeSet;
use std::fmt;

use super::effects::quoted;
use crate::config::BadOption;
use crate::facts::Failure;
use crate::juju::{Level, Status};
use crate::relations::Trouble;
use crate::temporal::{Role, SchemaVersion, Store, Version};

/// Why this unit is not active. [`Problem::urgency`] says which of several is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// An option has a bad value.
    Option(BadOption),
    /// An endpoint does not do its part.
    Relation {
        /// Which.
        endpoint: &'static str,
        /// Our application, for the command to type.
        app: String,
        /// Why not.
        trouble: Trouble,
    },
    /// The server in the image is not one this charm can run.
    VersionUnsupported(String),
    /// Before 1.20 Temporal's own workers need a frontend in the same process: there is no internal frontend
    /// that they could find by themselves.
    WorkerWithoutFrontend(Version),
    /// The image did not tell its server's version.
    VersionUnknown(String),
    /// The image sets variables that contradict each other.
    Variables(BTreeSet<String>),
    /// The option and the database disagree; the number of shards never changes after the first start.
    Shards {
        /// The option's value.
        option: u32,
        /// The database's value.
        stored: u32,
        /// Our application, for the command to type.
        app: String,
    },
    /// The schema is not there, and nobody is related who would make it.
    SchemaUnattended {
        /// Which store.
        store: Store,
        /// What is there.
        have: Option<SchemaVersion>,
        /// What the server needs.
        want: SchemaVersion,
        /// Our application, for the command to type.
        app: String,
    },
    /// The schema is not there, and setting it up is not this application's business: without a frontend it is a part
    /// of a cluster that another application has.
    SchemaElsewhere {
        /// Which store.
        store: Store,
        /// What is there.
        have: Option<SchemaVersion>,
        /// What the server needs.
        want: SchemaVersion,
    },
    /// A change of the container did not work out.
    Failed(Failure),
    /// The server exits.
    Exits {
        /// Its last words.
        last_words: Option<String>,
        /// Where to read more.
        log_command: String,
    },
    /// The container's Pebble does not answer yet.
    Container(String),
    /// Juju does not know this unit's address yet.
    Address,
    /// The admin application has not reported the schema ready.
    Admin(String),
    /// The database does not answer the server's credentials.
    StoreUnreachable {
        /// Which store.
        store: Store,
        /// Why.
        why: String,
    },
    /// The schema is not there yet, or too old.
    Schema {
        /// Which store.
        store: Store,
        /// What is there.
        have: Option<SchemaVersion>,
        /// What the server needs.
        want: SchemaVersion,
        /// The admin application.
        admin: String,
    },
    /// The server must be restarted, but another unit is at it.
    Turn(String),
    /// A role does not serve yet.
    NotServing {
        /// Which role.
        role: Role,
        /// Why.
        why: String,
    },
    /// The server runs, but cannot read its store.
    StoreNotServing(String),
    /// Nothing is known about the server although it should run.
    Unobserved(String),
}

impl Problem {
    /// Blocked or waiting: does a human have to act?
    pub const fn level(&self) -> Level {
        match self {
            Self::Option(_)
            | Self::Relation {
                trouble:
                    Trouble::Absent { .. } | Trouble::Invalid(_) | Trouble::NeedsFrontend { .. },
                ..
            }
            | Self::VersionUnsupported(_)
            | Self::WorkerWithoutFrontend(_)
            | Self::VersionUnknown(_)
            | Self::Variables(_)
            | Self::Shards { .. }
            | Self::SchemaUnattended { .. }
            | Self::Failed(_)
            | Self::Exits { .. } => Level::Blocked,
            Self::Container(_)
            | Self::Address
            | Self::Relation {
                trouble: Trouble::Waiting(_),
                ..
            }
            | Self::Admin(_)
            | Self::StoreUnreachable { .. }
            | Self::Schema { .. }
            | Self::SchemaElsewhere { .. }
            | Self::Turn(_)
            | Self::NotServing { .. }
            | Self::StoreNotServing(_)
            | Self::Unobserved(_) => Level::Waiting,
        }
    }
}

impl Problem {
    /// The place among several problems, the most urgent first: what a human must do before what will pass, and
    /// causes before what may follow from them.
    pub fn urgency(&self) -> u8 {
        match self {
            Self::Option(_) => 0,
            Self::Relation {
                trouble: Trouble::Absent { .. },
                ..
            } => 1,
            Self::Relation {
                endpoint,
                trouble: Trouble::Invalid(_),
                ..
            } if Store::of_endpoint(endpoint).is_some() => 2,
            Self::VersionUnsupported(_) => 3,
            Self::WorkerWithoutFrontend(_) => 4,
            Self::VersionUnknown(_) | Self::Variables(_) => 5,
            Self::Shards { .. } => 6,
            Self::SchemaUnattended { .. } => 7,
            Self::Failed(_) => 8,
            Self::Exits { .. } => 9,
            Self::Relation {
                trouble: Trouble::Invalid(_) | Trouble::NeedsFrontend { .. },
                ..
            } => 10,
            Self::Container(_) => 11,
            Self::Address => 12,
            Self::Relation {
                trouble: Trouble::Waiting(_),
                ..
            } => 13,
            Self::Admin(_) => 14,
            Self::StoreUnreachable { .. } => 15,
            Self::Schema { .. } | Self::SchemaElsewhere { .. } => 16,
            Self::Turn(_) => 17,
            Self::NotServing { .. } => 18,
            Self::StoreNotServing(_) => 19,
            Self::Unobserved(_) => 20,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(bad) => write!(f, "{bad}"),
            Self::Relation {
                endpoint,
                app,
                trouble,
            } => relation(f, endpoint, app, trouble),
            Self::VersionUnsupported(why) => f.write_str(why),
            Self::WorkerWithoutFrontend(version) => write!(
                f,
                "temporal {version} cannot run role `worker` without `frontend`: add it to `services`, \
                 or use an image from 1.20 on"
            ),
            Self::VersionUnknown(why) => write!(
                f,
                "the image does not tell its server version ({why}): check resource \
                 `temporal-server-image`"
            ),
            Self::Variables(names) => write!(
                f,
                "the image sets {} at once, with which its server takes no configuration: attach a \
                 `temporal-server-image` that sets none of them",
                quoted(names)
            ),
            Self::Shards {
                option,
                stored,
                app,
            } => write!(
                f,
                "`num-history-shards` is {option}, but the database was started with {stored} and \
                 cannot change: `juju config {app} num-history-shards={stored}`"
            ),
            Self::SchemaUnattended {
                store,
                have,
                want,
                app,
            } => {
                schema(f, *store, *have, *want)?;
                write!(f, ": `juju integrate {app}:admin temporal-admin-k8s:admin`")
            }
            Self::SchemaElsewhere { store, have, want } => {
                f.write_str(
                    "waiting for the application with `frontend`, whose `admin` sets up the schema: ",
                )?;
                schema(f, *store, *have, *want)
            }
            Self::Failed(failure) => write!(f, "could not {}: {}", failure.attempt, failure.why),
            Self::Exits {
                last_words,
                log_command,
            } => {
                f.write_str("temporal-server does not stay up")?;
                if let Some(words) = last_words {
                    write!(f, " ({words})")?;
                }
                write!(f, ": see `{log_command}`")
            }
            Self::Container(why) => write!(f, "waiting for container `temporal`: {why}"),
            Self::Address => f.write_str("waiting for this unit's address on `peer`"),
            Self::Admin(missing) => write!(f, "waiting for `admin`: {missing}"),
            Self::StoreUnreachable { store, why } => {
                write!(f, "waiting for the database of `{store}`: {why}")
            }
            Self::Schema {
                store,
                have,
                want,
                admin,
            } => {
                f.write_str("waiting for `admin`: ")?;
                schema(f, *store, *have, *want)?;
                write!(f, ", which {admin} of the same version sets up")
            }
            Self::Turn(why) => write!(f, "waiting for its turn to restart the server: {why}"),
            Self::NotServing { role, why } => write!(f, "waiting for {role} to serve: {why}"),
            Self::StoreNotServing(why) => {
                write!(f, "waiting for the server to read its database: {why}")
            }
            Self::Unobserved(why) => write!(f, "waiting for the server: {why}"),
        }
    }
}

fn relation(
    f: &mut fmt::Formatter<'_>,
    endpoint: &str,
    app: &str,
    trouble: &Trouble,
) -> fmt::Result {
    match trouble {
        Trouble::Absent { partner } => write!(
            f,
            "`{endpoint}` has no database: `juju integrate {app}:{endpoint} {partner}`"
        ),
        Trouble::Invalid(reason) => write!(f, "`{endpoint}`: {reason}"),
        Trouble::Waiting(missing) => write!(f, "waiting for `{endpoint}`: {missing}"),
        Trouble::NeedsFrontend { remote } => write!(
            f,
            "`{endpoint}` needs role `frontend`, which `services` lacks: `juju remove-relation \
             {app}:{endpoint} {remote}`, or add it"
        ),
    }
}

fn schema(
    f: &mut fmt::Formatter<'_>,
    store: Store,
    have: Option<SchemaVersion>,
    want: SchemaVersion,
) -> fmt::Result {
    match have {
        Some(have) => write!(f, "schema of `{store}` is {have}, the server needs {want}"),
        None => write!(f, "no schema in `{store}`, the server needs {want}"),
    }
}

/// The status for a list of problems: the most urgent one, and how many more there are.
pub(super) fn of_problems(problems: &[Problem]) -> Status {
    let Some(first) = problems.iter().min_by_key(|problem| problem.urgency()) else {
        return active(None);
    };
    let more = problems.len().saturating_sub(1);
    let message = if more == 0 {
        first.to_string()
    } else {
        format!("{first} (+{more} more)")
    };
    Status {
        level: first.level(),
        message,
    }
}

/// All roles serve. `rests` is the number of shards, if this unit's history has none of them.
pub(super) fn active(rests: Option<u32>) -> Status {
    let message = rests.map_or_else(String::new, |all| {
        format!("history rests: the other units own all {all} shards")
    });
    Status {
        level: Level::Active,
        message,
    }
}

/// The status of the application, by its leader's: what an active unit adds is true of itself alone (law S17).
pub(super) fn of_application(unit: &Status) -> Status {
    match unit.level {
        Level::Active => active(None),
        Level::Maintenance | Level::Waiting | Level::Blocked => unit.clone(),
    }
}

/// The server is being started or restarted.
pub(super) fn starting(version: Version) -> Status {
    Status {
        level: Level::Maintenance,
        message: format!("starting temporal {version}"),
    }
}

/// Nothing is known of relations yet.
pub(super) fn installing() -> Status {
    Status {
        level: Level::Maintenance,
        message: "installing".to_owned(),
    }
}

/// The unit is being removed.
pub(super) fn leaving() -> Status {
    Status {
        level: Level::Maintenance,
        message: "this unit is being removed".to_owned(),
    }
}

/// The unit is about to go away.
pub(super) fn stopping() -> Status {
    Status {
        level: Level::Maintenance,
        message: "stopping temporal".to_owned(),
    }
}

/// The `restart` action restarts the server.
pub(super) fn restarting() -> Status {
    Status {
        level: Level::Maintenance,
        message: "restarting temporal".to_owned(),
    }
}

/// A server was started.
pub(super) fn started(version: Version) -> String {
    format!("started temporal {version}")
}

/// A server that ran was restarted.
pub(super) fn restarted(version: Version, why: &[&str]) -> String {
    format!("restarted temporal {version}: {}", why.join(", "))
}

/// A server was stopped, since these stores were removed or, without any, are others now.
pub(super) fn stopped(removed: impl Iterator<Item = Store>) -> String {
    let removed: Vec<String> = removed.map(|store| format!("`{store}`")).collect();
    match removed.as_slice() {
        [] => "stopped temporal: its database is another one now".to_owned(),
        [one] => format!("stopped temporal: {one} was removed"),
        all => format!("stopped temporal: {} were removed", all.join(" and ")),
    }
}

/// Services that the image brings ran beside the server, and were stopped.
pub(super) fn stopped_others(names: &BTreeSet<String>) -> String {
    format!("stopped {}, which the image brings", quoted(names))
}

/// Files that the server reads by itself were written.
pub(super) const REWRITTEN: &str =
    "wrote what the server reads by itself: passwords, dynamic configuration";

/// Nothing but the check was not as it should be.
pub(super) const WATCHED: &str = "has Pebble watch whether the server serves";

/// The server was stopped because the unit, or its pod, goes away.
pub(super) const LEFT: &str = "stopped temporal: this unit or its pod goes away";
