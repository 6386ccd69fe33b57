//! Connections to PostgreSQL with the very credentials the server will use, and failures in words that never hold
//! the password.
#![expect(clippy::disallowed_types, reason = "speaks with PostgreSQL")]

use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls};

use super::tls;
use crate::temporal::{Database, Error as VersionError, host_port};

/// Why a database gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("resolve the host")]
    Resolve(#[source] io::Error),
    #[error("connect")]
    Connect(#[source] io::Error),
    #[error("encrypt")]
    Tls(#[from] tls::Failure),
    #[error("log in")]
    LogIn(#[source] tokio_postgres::Error),
    #[error("read")]
    Read(#[source] tokio_postgres::Error),
    #[error("a standby answered")]
    Standby,
    #[error("parse the schema version")]
    Schema(#[from] VersionError),
    #[error("decode the shard count")]
    Shards(#[from] prost::DecodeError),
    #[error("no answer within {0:?}")]
    Silent(Duration),
}

/// What drives a connection, until its client is gone.
pub(super) type Driver = BoxFuture<'static, Result<(), tokio_postgres::Error>>;

/// Logs in. Somebody has to drive the connection while the client is used.
pub(super) async fn log_in(database: &Database) -> Result<(Client, Driver), Error> {
    let tls = database.tls.as_ref().map(tls::connector).transpose()?;
    let stream = connect(&database.host, database.port).await?;
    let mut settings = Config::new();
    settings
        .user(&database.user)
        .password(database.password.expose())
        .dbname(&database.name)
        .application_name("temporal-k8s");
    let Some(mut tls) = tls else {
        let answer = settings.connect_raw(stream, NoTls).await;
        let (client, connection) = answer.map_err(Error::LogIn)?;
        return Ok((client, connection.boxed()));
    };
    settings.ssl_mode(SslMode::Require);
    let Ok(tls) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls, &database.host);
    let answer = settings.connect_raw(stream, tls).await;
    let failed = |error| tls::Failure::of(&error).map_or(Error::LogIn(error), Error::Tls);
    let (client, connection) = answer.map_err(failed)?;
    Ok((client, connection.boxed()))
}

/// Connects to the first address that accepts.
async fn connect(host: &str, port: u16) -> Result<TcpStream, Error> {
    let addresses = match absolute(host) {
        Some(name) => match resolve(&name, port).await {
            Ok(addresses) => Ok(addresses),
            Err(_) => resolve(host, port).await,
        },
        None => resolve(host, port).await,
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses.map_err(Error::Resolve)? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(Error::Connect(last))
}

/// A name with a dot may be a whole one: with a dot at its end it is looked up as it is, before the cluster's search
/// domains are tried. That spares their questions, and musl's resolver gives up when one of them is answered in a way
/// that it does not expect.
fn absolute(host: &str) -> Option<String> {
    let is_name = host.parse::<IpAddr>().is_err();
    (is_name && host.contains('.') && !host.ends_with('.')).then(|| format!("{host}."))
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<std::net::SocketAddr>> {
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    if addresses.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(addresses)
}

/// The failure, for a person who reads a status line.
pub(super) fn words(error: &Error, database: &Database) -> String {
    let Database { host, port, .. } = database;
    let place = host_port(host, *port);
    match error {
        Error::Resolve(_) => format!("host name `{host}` does not resolve"),
        Error::Connect(source) => connect_words(source, &place),
        Error::Tls(why) => why.words(&place),
        Error::LogIn(source) | Error::Read(source) => sql_words(source, &place, database),
        Error::Standby => format!("{place} is a standby, not the primary"),
        Error::Schema(source) => format!("table `schema_version` is damaged: {source}"),
        Error::Shards(source) => format!("table `cluster_metadata_info` is damaged: {source}"),
        Error::Silent(limit) => format!("no answer from {place} within {} s", limit.as_secs_f32()),
    }
}

fn connect_words(error: &io::Error, place: &str) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("connection refused by {place}"),
        io::ErrorKind::TimedOut => format!("no answer from {place}"),
        kind => format!("{place} cannot be reached: {kind}"),
    }
}

fn sql_words(error: &tokio_postgres::Error, place: &str, database: &Database) -> String {
    let Database { name, user, .. } = database;
    let Some(answer) = error.as_db_error() else {
        let broken = error
            .source()
            .is_some_and(<dyn std::error::Error>::is::<io::Error>);
        return if error.is_closed() || broken {
            format!("connection lost to {place}")
        } else {
            format!("{place} does not speak as PostgreSQL does: {error}")
        };
    };
    let code = answer.code();
    let message = answer.message().lines().next().unwrap_or_default();
    if *code == SqlState::INVALID_PASSWORD {
        format!("password refused for `{user}` by {place}")
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        format!("database `{name}` does not exist on {place}")
    } else if *code == SqlState::CANNOT_CONNECT_NOW || *code == SqlState::ADMIN_SHUTDOWN {
        format!("{place} is starting or stopping")
    } else if *code == SqlState::TOO_MANY_CONNECTIONS {
        format!("{place} has no free connection ({message})")
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        format!("role `{user}` lacks a right at {place} ({message})")
    } else {
        format!("{place} answered: {message} ({})", code.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_be_whole_are_looked_up_as_they_are() {
        for (host, name) in [
            (
                "pg-primary.m.svc.cluster.local",
                Some("pg-primary.m.svc.cluster.local."),
            ),
            ("pg.m", Some("pg.m.")),
            ("pg", None),
            ("db.example.com.", None),
            ("10.1.0.5", None),
            ("fd00::7", None),
        ] {
            assert_eq!(absolute(host).as_deref(), name, "{host}");
        }
    }
}
