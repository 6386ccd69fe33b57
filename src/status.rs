//! Every status that this charm shows, its priority and its words, on one page.

use std::fmt;

use crate::config::BadOption;
use crate::server::version::{SchemaVersion, Version};
use crate::server::{Role, Store};
use crate::snapshot::Failure;

/// What `juju status` shows for a unit or the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The word.
    pub level: Level,
    /// The message, for a person.
    pub message: String,
}

/// Juju's status words that a charm may set, the most urgent last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All of this unit's roles serve, checked in the hook that says so.
    Active,
    /// We are working.
    Maintenance,
    /// Another application or a start-up must finish.
    Waiting,
    /// A human must act; the message says what to type or change.
    Blocked,
}

impl Level {
    /// Juju's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Maintenance => "maintenance",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why this unit is not active. Among problems of the same level, the earlier variant is shown first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// An option has a bad value.
    Option(BadOption),
    /// A store's endpoint is not related.
    StoreAbsent {
        /// Which store.
        store: Store,
        /// Our application, for the command to type.
        app: String,
    },
    /// The provider said something unusable.
    StoreInvalid {
        /// Which store.
        store: Store,
        /// What, and the remedy.
        reason: String,
    },
    /// The server in the image is not one this charm can run.
    VersionUnsupported(String),
    /// Before 1.20 Temporal's own workers need a frontend in the same process: there is no internal frontend
    /// that they could find by themselves.
    WorkerWithoutFrontend(Version),
    /// The image did not tell its server's version.
    VersionUnknown(String),
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
    /// A change of the container did not work out.
    Failed(Failure),
    /// The server exits.
    Exits {
        /// Its last words.
        last_words: Option<String>,
        /// Where to read more.
        log_command: String,
    },
    /// `ingress` is related, but this application has no frontend.
    IngressWithoutFrontend {
        /// Our application, for the command to type.
        app: String,
        /// The application on the other side, likewise.
        ingress: String,
    },
    /// The ingress said something unusable.
    IngressInvalid(String),
    /// The container's Pebble does not answer yet.
    Container(String),
    /// Juju does not know this unit's address yet.
    Address,
    /// The provider has not said enough yet.
    StoreWaiting {
        /// Which store.
        store: Store,
        /// What is missing.
        missing: String,
    },
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
            | Self::StoreAbsent { .. }
            | Self::StoreInvalid { .. }
            | Self::VersionUnsupported(_)
            | Self::WorkerWithoutFrontend(_)
            | Self::VersionUnknown(_)
            | Self::Shards { .. }
            | Self::SchemaUnattended { .. }
            | Self::Failed(_)
            | Self::Exits { .. }
            | Self::IngressWithoutFrontend { .. }
            | Self::IngressInvalid(_) => Level::Blocked,
            Self::Container(_)
            | Self::Address
            | Self::StoreWaiting { .. }
            | Self::Admin(_)
            | Self::StoreUnreachable { .. }
            | Self::Schema { .. }
            | Self::Turn(_)
            | Self::NotServing { .. }
            | Self::StoreNotServing(_)
            | Self::Unobserved(_) => Level::Waiting,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(bad) => write!(f, "{bad}"),
            Self::StoreAbsent { store, app } => write!(
                f,
                "`{store}` has no database: `juju integrate {app}:{store} postgresql-k8s:db`"
            ),
            Self::StoreInvalid { store, reason } => write!(f, "`{store}`: {reason}"),
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
            Self::IngressWithoutFrontend { app, ingress } => write!(
                f,
                "`ingress` needs role `frontend`, which `services` lacks: `juju remove-relation \
                 {app}:ingress {ingress}`, or add it"
            ),
            Self::IngressInvalid(reason) => write!(f, "`ingress`: {reason}"),
            Self::Container(why) => write!(f, "waiting for container `temporal`: {why}"),
            Self::Address => f.write_str("waiting for this unit's address on `peer`"),
            Self::StoreWaiting { store, missing } => write!(f, "waiting for `{store}`: {missing}"),
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
pub fn of_problems(problems: &[Problem]) -> Status {
    let Some(first) = worst(problems) else {
        return active();
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

/// The most urgent problem; of several, the first.
pub fn worst(problems: &[Problem]) -> Option<&Problem> {
    problems.iter().reduce(|worst, next| {
        if next.level() > worst.level() {
            next
        } else {
            worst
        }
    })
}

/// All roles serve.
pub fn active() -> Status {
    Status {
        level: Level::Active,
        message: String::new(),
    }
}

/// The server is being started or restarted.
pub fn starting(version: Version) -> Status {
    Status {
        level: Level::Maintenance,
        message: format!("starting temporal {version}"),
    }
}

/// The unit is about to go away.
pub fn stopping() -> Status {
    Status {
        level: Level::Maintenance,
        message: "stopping temporal".to_owned(),
    }
}

/// The `restart` action restarts the server.
pub fn restarting() -> Status {
    Status {
        level: Level::Maintenance,
        message: "restarting temporal".to_owned(),
    }
}
