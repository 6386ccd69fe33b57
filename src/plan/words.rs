//! Every status that this charm shows, its priority and its words, on one page.

use std::collections::BTreeSet;
use std::fmt;

use super::effects::quoted;
use crate::config::BadOption;
use crate::facts::Failure;
use crate::juju::{Level, Status};
use crate::postgres::{Denied, Distrust, Fixed};
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
    /// The database's server cannot be told from an impostor.
    Distrust {
        /// The endpoint of the store.
        endpoint: &'static str,
        /// Where it is.
        place: String,
        /// Why not.
        why: Distrust,
    },
    /// The server may not do what it has to in its database.
    Denied {
        /// The endpoint of the store.
        endpoint: &'static str,
        /// The server's role.
        user: String,
        /// The database's name.
        database: String,
        /// What.
        denied: Denied,
    },
    /// The schema is not there or too old, and who is related to set it up may not, since it has our credentials.
    Fixed {
        /// The endpoint of the store.
        endpoint: &'static str,
        /// The server's role.
        user: String,
        /// The database's name.
        database: String,
        /// What.
        fixed: Fixed,
    },
    /// The schema is there, under the name of the database of which this one is a copy.
    Copy {
        /// The endpoint of the store.
        endpoint: &'static str,
        /// The database's name.
        database: String,
        /// The name in its schema.
        of: String,
        /// A tool has noted a version under the own name, too.
        tried: bool,
    },
    /// The units' servers may want more connections than there are.
    Connections(Shortage),
    /// The schema is not there, and nobody is related who would make it.
    SchemaUnattended {
        /// The endpoint of the store.
        endpoint: &'static str,
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
        /// The endpoint of the store.
        endpoint: &'static str,
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
        /// The endpoint of the store.
        endpoint: &'static str,
        /// Why.
        why: String,
    },
    /// The schema is not there yet, or too old.
    Schema {
        /// The endpoint of the store.
        endpoint: &'static str,
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

/// A limit of connections that is too low.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Whose limit it is.
    pub limit: Limit,
    /// The limit.
    pub most: u32,
    /// What others have of it.
    pub taken: u32,
    /// How many units there are.
    pub units: u32,
    /// How many connections each of them may want.
    pub each: u32,
    /// The limit under which all of them fit.
    pub needs: u32,
    /// The value of the option with which they fit, if any would do.
    pub less: Option<u32>,
    /// Our application, for the command to type.
    pub app: String,
}

/// Who limits the number of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The PostgreSQL server at this address.
    Server(String),
    /// The role with this name.
    Role(String),
    /// The database with this name.
    Database(String),
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
            | Self::Distrust { .. }
            | Self::Denied { .. }
            | Self::Fixed { .. }
            | Self::Copy { .. }
            | Self::Connections(_)
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
            Self::Distrust { .. } | Self::Denied { .. } | Self::Fixed { .. } => 6,
            Self::Copy { .. } => 7,
            Self::Shards { .. } => 8,
            Self::SchemaUnattended { .. } => 9,
            Self::Connections(_) => 10,
            Self::Failed(_) => 11,
            Self::Exits { .. } => 12,
            Self::Relation {
                trouble: Trouble::Invalid(_) | Trouble::NeedsFrontend { .. },
                ..
            } => 13,
            Self::Container(_) => 14,
            Self::Address => 15,
            Self::Relation {
                trouble: Trouble::Waiting(_),
                ..
            } => 16,
            Self::Admin(_) => 17,
            Self::StoreUnreachable { .. } => 18,
            Self::Schema { .. } | Self::SchemaElsewhere { .. } => 19,
            Self::Turn(_) => 20,
            Self::NotServing { .. } => 21,
            Self::StoreNotServing(_) => 22,
            Self::Unobserved(_) => 23,
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
            } => shards(f, *option, *stored, app),
            Self::Distrust {
                endpoint,
                place,
                why,
            } => distrust(f, endpoint, place, why),
            Self::Denied {
                endpoint,
                user,
                database,
                denied,
            } => lacks(f, endpoint, user, database, denied),
            Self::Fixed {
                endpoint,
                user,
                database,
                fixed,
            } => may_not_change(f, endpoint, user, database, fixed),
            Self::Copy {
                endpoint,
                database,
                of,
                tried,
            } => copy(f, endpoint, database, of, *tried),
            Self::Connections(shortage) => write!(f, "{shortage}"),
            Self::SchemaUnattended {
                endpoint,
                have,
                want,
                app,
            } => {
                schema(f, endpoint, *have, *want)?;
                write!(f, ": `juju integrate {app}:admin temporal-admin-k8s:admin`")
            }
            Self::SchemaElsewhere {
                endpoint,
                have,
                want,
            } => {
                f.write_str(
                    "waiting for the application with `frontend`, whose `admin` sets up the schema: ",
                )?;
                schema(f, endpoint, *have, *want)
            }
            Self::Failed(failure) => write!(f, "could not {}: {}", failure.attempt, failure.why),
            Self::Exits {
                last_words,
                log_command,
            } => exits(f, last_words.as_deref(), log_command),
            Self::Container(why) => write!(f, "waiting for container `temporal`: {why}"),
            Self::Address => f.write_str("waiting for this unit's address on `peer`"),
            Self::Admin(missing) => write!(f, "waiting for `admin`: {missing}"),
            Self::StoreUnreachable { endpoint, why } => {
                write!(f, "waiting for the database of `{endpoint}`: {why}")
            }
            Self::Schema {
                endpoint,
                have,
                want,
                admin,
            } => {
                f.write_str("waiting for `admin`: ")?;
                schema(f, endpoint, *have, *want)?;
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
        Trouble::Absent { partner, or } => {
            let command = format!("juju integrate {app}:{endpoint} {partner}");
            write!(f, "`{endpoint}` has no database: `{command}`")?;
            match or {
                Some((endpoint, partner)) => {
                    write!(f, ", or `juju integrate {app}:{endpoint} {partner}`")
                }
                None => Ok(()),
            }
        }
        Trouble::Invalid(reason) => write!(f, "`{endpoint}`: {reason}"),
        Trouble::Waiting(missing) => write!(f, "waiting for `{endpoint}`: {missing}"),
        Trouble::NeedsFrontend { remote } => write!(
            f,
            "`{endpoint}` needs role `frontend`, which `services` lacks: `juju remove-relation \
             {app}:{endpoint} {remote}`, or add it"
        ),
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needs = self.needs;
        let (who, remedy) = match &self.limit {
            Limit::Server(place) => (
                format!("PostgreSQL at {place} takes"),
                format!(
                    "raise its `max_connections` by {}",
                    needs.saturating_sub(self.most)
                ),
            ),
            Limit::Role(user) => (
                format!("role {user} may have"),
                format!("`ALTER ROLE {} CONNECTION LIMIT {needs}`", identifier(user)),
            ),
            Limit::Database(name) => (
                format!("database {name} takes"),
                format!(
                    "`ALTER DATABASE {} CONNECTION LIMIT {needs}`",
                    identifier(name)
                ),
            ),
        };
        write!(
            f,
            "{who} {} connections, others have {}, and ",
            self.most, self.taken
        )?;
        match self.units {
            1 => write!(f, "this unit may want {}: {remedy}", self.each)?,
            units => write!(f, "{units} units may want {} each: {remedy}", self.each)?,
        }
        match self.less {
            Some(less) => {
                let app = &self.app;
                write!(f, ", or `juju config {app} database-connections={less}`")
            }
            None => Ok(()),
        }
    }
}

/// Whose schema it is, and the statement that makes it this database's. A tool that was here has noted a version of
/// its own, which would be in the way.
fn copy(
    f: &mut fmt::Formatter<'_>,
    endpoint: &str,
    database: &str,
    of: &str,
    tried: bool,
) -> fmt::Result {
    write!(
        f,
        "the schema in `{endpoint}` is that of {of}, of which {database} is a copy: there, type `"
    )?;
    let (database, of) = (literal(database), literal(of));
    if tried {
        write!(f, "DELETE FROM schema_version WHERE db_name = {database}; ")?;
    }
    write!(
        f,
        "UPDATE schema_version SET db_name = {database} WHERE db_name = {of}`"
    )
}

fn shards(f: &mut fmt::Formatter<'_>, option: u32, stored: u32, app: &str) -> fmt::Result {
    write!(
        f,
        "`num-history-shards` is {option}, but the database was started with {stored} and cannot change: \
         `juju config {app} num-history-shards={stored}`"
    )
}

fn exits(f: &mut fmt::Formatter<'_>, last_words: Option<&str>, log_command: &str) -> fmt::Result {
    f.write_str("temporal-server does not stay up")?;
    if let Some(words) = last_words {
        write!(f, " ({words})")?;
    }
    write!(f, ": see `{log_command}`")
}

/// Why a database's server cannot be told from an impostor, and what lets it be.
fn distrust(
    f: &mut fmt::Formatter<'_>,
    endpoint: &str,
    place: &str,
    why: &Distrust,
) -> fmt::Result {
    let remedy = match why {
        Distrust::Unreadable(_) => format!("have the provider of `{endpoint}` name it as PEM"),
        Distrust::AuthorityEnded(_) => format!("renew it at the provider of `{endpoint}`"),
        Distrust::Stranger => {
            format!("have the provider of `{endpoint}` name the CA that issued it")
        }
        Distrust::OtherNames { asked, .. } => format!(
            "have the provider of `{endpoint}` get one for `{asked}`, or offer a name that it is for"
        ),
        Distrust::Ended(_) | Distrust::Unfit(_) => {
            format!("have the provider of `{endpoint}` get another one")
        }
        Distrust::Begins(_) => {
            format!("have the provider of `{endpoint}` get another one, or set the clocks")
        }
    };
    write!(f, "{}; {remedy}", why.words(place))
}

/// What the server may not do, and the statement with which the owner, or a superuser, lets it.
fn lacks(
    f: &mut fmt::Formatter<'_>,
    endpoint: &str,
    user: &str,
    database: &str,
    denied: &Denied,
) -> fmt::Result {
    let role = identifier(user);
    write!(
        f,
        "role {user} lacks rights in `{endpoint}`: in {database}, type `"
    )?;
    match denied {
        Denied::Database => write!(
            f,
            "GRANT CONNECT ON DATABASE {} TO {role}`",
            identifier(database)
        ),
        Denied::Schema(schema) => {
            write!(f, "GRANT USAGE ON SCHEMA {} TO {role}`", identifier(schema))
        }
        Denied::Objects {
            schema,
            tables,
            sequences,
        } => {
            let schema = identifier(schema);
            let tables_grant = format!(
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
            );
            let sequences_grant =
                format!("GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}");
            let grants = [(tables, tables_grant), (sequences, sequences_grant)];
            let grants = grants.into_iter().filter(|(names, _)| !names.is_empty());
            let grants: Vec<String> = grants.map(|(_, grant)| grant).collect();
            write!(
                f,
                "{}` ({})",
                grants.join("; "),
                few(tables.iter().chain(sequences))
            )
        }
    }
}

/// The first few of these names.
fn few<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let (shown, rest) = names.split_at(names.len().min(3));
    match rest.len() {
        0 => shown.join(", "),
        more => format!("{}, +{more} more", shown.join(", ")),
    }
}

fn may_not_change(
    f: &mut fmt::Formatter<'_>,
    endpoint: &str,
    user: &str,
    database: &str,
    fixed: &Fixed,
) -> fmt::Result {
    let role = identifier(user);
    match fixed {
        Fixed::Schema(schema) => write!(
            f,
            "role {user} may make no tables in `{endpoint}`, which `admin` does with it: in {database}, type \
             `GRANT CREATE ON SCHEMA {} TO {role}`",
            identifier(schema)
        ),
        Fixed::Tables { owner, tables } => write!(
            f,
            "role {user} may not change tables in `{endpoint}`, which `admin` does with it: in {database}, type \
             `GRANT {} TO {role}` ({})",
            identifier(owner),
            few(tables.iter())
        ),
    }
}

/// A name as SQL takes any.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL takes any.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn schema(
    f: &mut fmt::Formatter<'_>,
    endpoint: &str,
    have: Option<SchemaVersion>,
    want: SchemaVersion,
) -> fmt::Result {
    match have {
        Some(have) => write!(
            f,
            "schema of `{endpoint}` is {have}, the server needs {want}"
        ),
        None => write!(f, "no schema in `{endpoint}`, the server needs {want}"),
    }
}

/// The status for a list of problems: the most urgent one, and how many more there are. Without any, `rests` is the
/// number of shards, if this unit's history has none of them.
pub(super) fn of_problems(problems: &[Problem], rests: Option<u32>) -> Status {
    let Some(first) = problems.iter().min_by_key(|problem| problem.urgency()) else {
        return active(rests);
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

/// All roles serve.
fn active(rests: Option<u32>) -> Status {
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
    let removed: Vec<String> = removed.map(|store| store.to_string()).collect();
    match removed.as_slice() {
        [] => "stopped temporal: its database is another one now".to_owned(),
        [one] => format!("stopped temporal: its {one} was removed"),
        all => format!(
            "stopped temporal: its {} were removed",
            all.join(" and its ")
        ),
    }
}

/// Services that the image brings ran beside the server, and were stopped.
pub(super) fn stopped_others(names: &BTreeSet<String>) -> String {
    format!("stopped {}, which the image brings", quoted(names))
}

/// Files that the server reads by itself were written.
pub(super) const REWRITTEN: &str =
    "wrote what the server reads by itself: passwords, authorities, dynamic configuration";

/// Nothing but the check was not as it should be.
pub(super) const WATCHED: &str = "has Pebble watch whether the server serves";

/// The server was stopped because the unit, or its pod, goes away.
pub(super) const LEFT: &str = "stopped temporal: this unit or its pod goes away";
