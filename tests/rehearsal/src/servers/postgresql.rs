//! A real PostgreSQL that behaves as the one of the postgresql-k8s charm, revision 14.
//!
//! Called by the counterpart of that charm and by tests. The data directory is a copy of a cached
//! one, so a start costs a fraction of a second. Roles and databases are made as the charm makes
//! them for its legacy endpoint `db`, or for its endpoint `database` (`rights.rs`). Passwords go through the protocol only, never through an
//! argument, a file or the server's log.

mod rights;

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, Config, NoTls};

use super::Start;
use super::certificates::Certificate;
use crate::parts::{Parts, PartsError, copy_tree, once};

pub use rights::Login;

/// The role of the charm itself: it owns the databases, and what a removed relation leaves.
pub const SUPERUSER: &str = "operator";

/// Part of the name of the cached data directory: raise it when [`make_template`] changes.
const TEMPLATE: &str = "postgresql-18.6-1";

/// What stopped a step.
#[derive(Debug, thiserror::Error)]
pub enum PostgresqlError {
    /// The programs or the cached data directory could not be had.
    #[error("get PostgreSQL ready")]
    Parts(#[from] PartsError),
    /// One of its programs failed.
    #[error("`{program}` failed: {output}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it printed, or why it did not start.
        output: String,
    },
    /// A configuration file could not be written.
    #[error("write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server did not answer in time.
    #[error("PostgreSQL did not answer within {} s", limit.as_secs())]
    NotReady {
        /// How long it was waited for.
        limit: Duration,
        /// The last refusal.
        source: tokio_postgres::Error,
    },
    /// The server refused a statement or the connection for it.
    #[error("{attempt}")]
    Refused {
        /// What the statement was to do.
        attempt: String,
        /// What the server said.
        source: tokio_postgres::Error,
    },
}

/// A server whose files are laid out and that is ready to be started.
#[derive(Debug, Clone)]
pub struct Postgresql {
    bin: PathBuf,
    data: PathBuf,
    sockets: PathBuf,
    port: u16,
}

impl Postgresql {
    /// Lays out a fresh, empty server in the directories `data` and `sockets` below `root`.
    ///
    /// The path of `root` must stay below some 80 bytes, since the socket's path is bound to 107.
    pub fn lay(parts: &Parts, root: &Path, port: u16) -> Result<Self, PostgresqlError> {
        let bin = parts.postgresql()?.join("bin");
        let template = parts.cache().join(TEMPLATE);
        Self::laid(bin, &template, root, &configuration(port, root), port)
    }

    /// The same with TLS for whoever asks for it. It is the PostgreSQL of the system that this runs on: the other one was
    /// built without TLS.
    pub fn lay_with_tls(
        parts: &Parts,
        root: &Path,
        port: u16,
        shows: &Certificate,
    ) -> Result<Self, PostgresqlError> {
        let bin = parts.postgresql_with_tls()?;
        let release = bin.parent().and_then(Path::file_name).unwrap_or_default();
        let template = parts.cache().join("postgresql-with-tls").join(release);
        let settings = configuration(port, root) + "ssl = on\n";
        let server = Self::laid(bin, &template, root, &settings, port)?;
        server.show(shows)?;
        Ok(server)
    }

    /// Lays out another certificate, and its key: the server shows it from its next start on, or after
    /// [`Operator::reload`]. Sessions that there are stay.
    pub fn show(&self, certificate: &Certificate) -> Result<(), PostgresqlError> {
        for (name, text) in [
            ("server.crt", &certificate.certificate),
            ("server.key", &certificate.key),
        ] {
            let path = self.data.join(name);
            let write = || {
                fs::write(&path, text)?;
                fs::set_permissions(&path, Permissions::from_mode(0o600))
            };
            write().map_err(|source| PostgresqlError::Write {
                path: path.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn laid(
        bin: PathBuf,
        template: &Path,
        root: &Path,
        settings: &str,
        port: u16,
    ) -> Result<Self, PostgresqlError> {
        once(
            template,
            "the empty data directory of PostgreSQL",
            |staging| make_template(&bin, &staging.join("data")),
        )?;
        let data = root.join("data");
        copy_tree(&template.join("data"), &data, 0o700)?;
        let sockets = sockets(root);
        fs::create_dir(&sockets).map_err(|source| PostgresqlError::Write {
            path: sockets.clone(),
            source,
        })?;
        for (name, text) in [("postgresql.conf", settings), ("pg_hba.conf", CLIENTS)] {
            let path = data.join(name);
            fs::write(&path, text).map_err(|source| PostgresqlError::Write { path, source })?;
        }
        Ok(Self {
            bin,
            data,
            sockets,
            port,
        })
    }

    /// How to start it, in the foreground, logging to stderr. SIGTERM waits for the clients,
    /// SIGINT ends them: the latter is the one to send.
    ///
    /// `is_root` says whether the starting process will be user 0 where it starts, as it is in a pod.
    pub fn start(&self, is_root: bool) -> Start {
        let postgres = self.bin.join("postgres");
        let argv = [
            postgres.into_os_string(),
            "-D".into(),
            self.data.clone().into_os_string(),
        ];
        Start::new(unprivileged(is_root).iter().map(OsString::from).chain(argv))
    }

    /// Waits until it answers, at most `limit`, and gives its superuser's hands.
    pub async fn ready(&self, limit: Duration) -> Result<Operator, PostgresqlError> {
        let operator = Operator {
            sockets: self.sockets.clone(),
            port: self.port,
        };
        let started = Instant::now();
        loop {
            match operator.client("postgres").await {
                Ok(_) => return Ok(operator),
                Err(source) if started.elapsed() >= limit => {
                    return Err(PostgresqlError::NotReady { limit, source });
                }
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

/// The superuser on the server's own socket, which only the owner of its files can reach.
///
/// Each statement has a connection of its own: the server may be stopped between any two.
#[derive(Debug, Clone)]
pub struct Operator {
    sockets: PathBuf,
    port: u16,
}

impl Operator {
    /// Makes a login role, or gives an existing one this password, as the charm does for each
    /// relation; `superuser` is what its endpoint `db-admin` grants.
    pub async fn create_role(
        &self,
        role: &str,
        password: &str,
        superuser: bool,
    ) -> Result<(), PostgresqlError> {
        let verb = if self.has("pg_roles", "rolname", role).await? {
            "ALTER"
        } else {
            "CREATE"
        };
        let rights = if superuser { "SUPERUSER" } else { "" };
        let statement = format!("{verb} ROLE %I WITH LOGIN {rights} ENCRYPTED PASSWORD %L");
        let attempt = format!("create the role `{role}`");
        self.execute("postgres", &attempt, &statement, &[role, password])
            .await
    }

    /// Has the server read its configuration and certificate again, which it does a moment later.
    pub async fn reload(&self) -> Result<(), PostgresqlError> {
        let attempt = "read the configuration again";
        self.execute("postgres", attempt, "SELECT pg_reload_conf()", &[])
            .await
    }

    /// Gives a role another password. Sessions that are open stay open.
    pub async fn alter_password(&self, role: &str, password: &str) -> Result<(), PostgresqlError> {
        let attempt = format!("change the password of `{role}`");
        let statement = "ALTER ROLE %I WITH ENCRYPTED PASSWORD %L";
        self.execute("postgres", &attempt, statement, &[role, password])
            .await
    }

    /// Makes a database, unless it is there, and lets `role` do everything in it, also with the
    /// tables that an earlier relation left.
    pub async fn create_database(&self, name: &str, role: &str) -> Result<(), PostgresqlError> {
        let attempt = format!("create the database `{name}`");
        if !self.has("pg_database", "datname", name).await? {
            self.execute("postgres", &attempt, "CREATE DATABASE %I", &[name])
                .await?;
            let statement = "REVOKE ALL PRIVILEGES ON DATABASE %I FROM PUBLIC";
            self.execute("postgres", &attempt, statement, &[name])
                .await?;
        }
        let attempt = format!("grant the database `{name}` to `{role}`");
        let statement = "GRANT ALL PRIVILEGES ON DATABASE %I TO %I";
        self.execute("postgres", &attempt, statement, &[name, role])
            .await?;
        for objects in ["TABLES", "SEQUENCES", "FUNCTIONS"] {
            let statement = format!("GRANT ALL PRIVILEGES ON ALL {objects} IN SCHEMA public TO %I");
            self.execute(name, &attempt, &statement, &[role]).await?;
        }
        Ok(())
    }

    /// Removes a role; what it owns in any database goes to the superuser, the databases stay.
    pub async fn drop_role(&self, role: &str) -> Result<(), PostgresqlError> {
        if !self.has("pg_roles", "rolname", role).await? {
            return Ok(());
        }
        let attempt = format!("drop the role `{role}`");
        let refused = |source| PostgresqlError::Refused {
            attempt: attempt.clone(),
            source,
        };
        let client = self.client("postgres").await.map_err(refused)?;
        let list = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate";
        for row in client.query(list, &[]).await.map_err(refused)? {
            let database: String = row.get(0);
            let reassign = format!("REASSIGN OWNED BY %I TO {SUPERUSER}");
            self.execute(&database, &attempt, &reassign, &[role])
                .await?;
            self.execute(&database, &attempt, "DROP OWNED BY %I", &[role])
                .await?;
        }
        self.execute("postgres", &attempt, "DROP ROLE %I", &[role])
            .await
    }

    /// A connection as the superuser, for what a test or a counterpart wants to look at.
    pub async fn client(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = Config::new()
            .host_path(&self.sockets)
            .port(self.port)
            .user(SUPERUSER)
            .dbname(database)
            .connect_timeout(Duration::from_secs(5))
            .connect(NoTls)
            .await?;
        // It ends by itself when the client is dropped, and an error reaches the client too.
        tokio::spawn(connection);
        Ok(client)
    }

    async fn has(&self, table: &str, column: &str, name: &str) -> Result<bool, PostgresqlError> {
        let attempt = format!("look for `{name}`");
        let refused = |source| PostgresqlError::Refused { attempt, source };
        let client = match self.client("postgres").await {
            Ok(client) => client,
            Err(source) => return Err(refused(source)),
        };
        let question = format!("SELECT count(*) > 0 FROM {table} WHERE {column} = $1");
        Ok(client
            .query_one(&question, &[&name])
            .await
            .map_err(refused)?
            .get(0))
    }

    /// Runs a statement that takes no parameters; the server itself puts the names (`%I`) and
    /// literals (`%L`) in, so that the quoting is its own.
    async fn execute(
        &self,
        database: &str,
        attempt: &str,
        statement: &str,
        values: &[&str],
    ) -> Result<(), PostgresqlError> {
        let refused = |source| PostgresqlError::Refused {
            attempt: attempt.to_owned(),
            source,
        };
        let client = self.client(database).await.map_err(refused)?;
        let format = "SELECT format($1::text, VARIADIC $2::text[])";
        let row = client
            .query_one(format, &[&statement, &values])
            .await
            .map_err(refused)?;
        client.batch_execute(row.get(0)).await.map_err(refused)
    }
}

/// Who may log in: the superuser on the server's own socket, everybody else with a password.
const CLIENTS: &str = "\
local all operator trust
host  all all 0.0.0.0/0 scram-sha-256
host  all all ::/0      scram-sha-256
";

/// Where the server's own socket is, of a server below `root`.
fn sockets(root: &Path) -> PathBuf {
    root.join("sockets")
}

/// As many connections as PostgreSQL takes by default. Nothing here outlives the rehearsal, so durability is off; the shared memory is in the data
/// directory, since a container need not have `/dev/shm`. A refused statement is not logged: it
/// may hold a password.
fn configuration(port: u16, root: &Path) -> String {
    let sockets = sockets(root).display().to_string().replace('\'', "''");
    format!(
        "\
listen_addresses = '*'
port = {port}
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
password_encryption = 'scram-sha-256'
shared_buffers = '64MB'
dynamic_shared_memory_type = mmap
fsync = off
synchronous_commit = off
full_page_writes = off
max_wal_size = '256MB'
log_min_error_statement = panic
timezone = 'UTC'
"
    )
}

/// Makes an empty data directory. In PostgreSQL 14, which the charm runs, everybody may create in
/// the schema `public`; newer servers took that away, so it is given back here. Whom `initdb` would
/// trust does not matter: each copy gets its own list.
fn make_template(bin: &Path, data: &Path) -> Result<(), PostgresqlError> {
    let place = [OsString::from("-D"), data.into()];
    let cluster = [
        "-U",
        SUPERUSER,
        "-E",
        "UTF8",
        "--locale=C",
        "-A",
        "trust",
        "--no-sync",
    ];
    run(
        bin,
        "initdb",
        place.iter().cloned().chain(cluster.map(OsString::from)),
        "",
    )?;
    let single = ["--single".into()]
        .into_iter()
        .chain(place)
        .chain(["template1".into()]);
    run(
        bin,
        "postgres",
        single,
        "GRANT ALL ON SCHEMA public TO PUBLIC;\n",
    )
}

/// Runs one of the programs to its end, with `input` as its standard input.
fn run(
    bin: &Path,
    program: &'static str,
    arguments: impl Iterator<Item = OsString>,
    input: &str,
) -> Result<(), PostgresqlError> {
    let path = bin.join(program).into_os_string();
    let argv = unprivileged(nix::unistd::geteuid().is_root())
        .iter()
        .map(OsString::from)
        .chain([path])
        .chain(arguments);
    let finish = || {
        let mut child = Start::new(argv)
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        child.wait_with_output()
    };
    let failed = |output| PostgresqlError::Program { program, output };
    let output = finish().map_err(|source| failed(source.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let printed = [output.stdout, output.stderr].concat();
    Err(failed(
        String::from_utf8_lossy(&printed).trim_end().to_owned(),
    ))
}

/// What to put before a program of PostgreSQL, which refuses to run as user 0: a user namespace
/// of its own in which the same user has the number 1. That number has a name on every system,
/// which `initdb` insists on, and the files keep their owner; so it works for root, for an ordinary
/// user and inside a pod alike.
pub fn unprivileged(is_root: bool) -> &'static [&'static str] {
    if is_root {
        &["unshare", "--user", "--map-user=1", "--map-group=1", "--"]
    } else {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_directory_is_quoted_for_the_configuration() {
        let text = configuration(5432, Path::new("/run/it's"));
        assert!(
            text.contains("unix_socket_directories = '/run/it''s/sockets'\n"),
            "{text}"
        );
    }

    #[test]
    fn nobody_but_the_superuser_on_the_socket_is_let_in_without_a_password() {
        let trusted: Vec<_> = CLIENTS
            .lines()
            .filter(|line| line.contains("trust"))
            .collect();
        assert_eq!(trusted, ["local all operator trust"]);
    }
}
