//! A real Temporal: how to call its schema tool as temporal-admin-k8s does, and how to prove with
//! a workflow that a server works.
//!
//! Called by the counterpart of that charm and by tests. Passwords go through a pass file, never
//! through an argument; the server's own configuration is the charm's business, not ours.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Start;
use crate::parts::Temporal;

/// The program that runs one workflow; it is handed over as text, since a container need not see
/// the source tree.
const HELLO: &str = include_str!("hello.py");
/// The program that runs workflows without pause.
const WRITE: &str = include_str!("write.py");

/// One of the two databases of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Executions, queues, namespaces.
    Default,
    /// What can be listed and searched.
    Visibility,
}

/// Where a database is and as whom to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Role.
    pub user: String,
    /// The name, by which the server later looks its schema version up: the very same text.
    pub name: String,
    /// A pass file that [`write_pass_file`] wrote.
    pub pass_file: PathBuf,
    /// Is the connection to be encrypted? Nobody verifies with whom, as temporal-admin-k8s does not either.
    pub tls: bool,
}

impl Temporal {
    /// The name of the SQL plugin. Up to 1.19 there is only one for PostgreSQL; from 1.24 on
    /// only the other.
    pub fn plugin(&self) -> &'static str {
        if self.is_old() {
            "postgres"
        } else {
            "postgres12"
        }
    }

    /// The directory with the numbered steps of a store's schema.
    pub fn schema_of(&self, store: Store) -> PathBuf {
        let generation = if self.is_old() { "v96" } else { "v12" };
        let store = match store {
            Store::Default => "temporal",
            Store::Visibility => "visibility",
        };
        self.schema.join(generation).join(store).join("versioned")
    }

    /// Creates the table that holds the schema version. Harmless when it is there.
    pub fn setup_schema(&self, database: &Database) -> Start {
        self.sql_tool(
            database,
            &["setup-schema".into(), "-v".into(), "0.0".into()],
        )
    }

    /// Brings the schema to the newest step of this version. Harmless when it is there.
    pub fn update_schema(&self, store: Store, database: &Database) -> Start {
        let steps = self.schema_of(store).into_os_string();
        self.sql_tool(database, &["update-schema".into(), "-d".into(), steps])
    }

    /// The same only up to a step, named as [`Temporal::steps`] names it.
    pub fn update_schema_to(&self, step: &str, store: Store, database: &Database) -> Start {
        let mut start = self.update_schema(store, database);
        start.argv.extend(["-v".into(), step.into()]);
        start
    }

    /// The steps of a store's schema, the oldest first, without the `v` of their directories.
    pub fn steps(&self, store: Store) -> io::Result<Vec<String>> {
        let mut steps = Vec::new();
        for entry in std::fs::read_dir(self.schema_of(store))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            steps.extend(name.strip_prefix('v').map(str::to_owned));
        }
        steps.sort_by_key(|step| -> Vec<u32> {
            step.split('.')
                .map(|number| number.parse().unwrap_or(0))
                .collect()
        });
        Ok(steps)
    }

    /// The tool's own defaults are MySQL and its port, so everything is always given; the password
    /// is not, since its address would carry one with a space wrongly.
    fn sql_tool(&self, database: &Database, rest: &[OsString]) -> Start {
        let port = database.port.to_string();
        let options = [
            "--plugin",
            self.plugin(),
            "--ep",
            &database.host,
            "-p",
            &port,
            "-u",
            &database.user,
            "--db",
            &database.name,
        ];
        let program = [self.sql_tool.clone().into_os_string()];
        let tls: &[&str] = if database.tls {
            &["--tls", "--tls-disable-host-verification"]
        } else {
            &[]
        };
        let options = options.iter().chain(tls).map(OsString::from);
        let mut start = Start::new(
            program
                .into_iter()
                .chain(options)
                .chain(rest.iter().cloned()),
        );
        start
            .environment
            .push(("PGPASSFILE".to_owned(), database.pass_file.clone().into()));
        start
    }

    fn is_old(&self) -> bool {
        let mut numbers = self
            .version
            .split('.')
            .map(|number| number.parse::<u32>().unwrap_or(0));
        (numbers.next(), numbers.next()) < (Some(1), Some(20))
    }
}

/// Writes a pass file for any database, readable by its owner only, as libpq insists.
pub fn write_pass_file(path: &Path, password: &str) -> io::Result<()> {
    let password = password.replace('\\', "\\\\").replace(':', "\\:");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "*:*:*:*:{password}")
}

/// How to run one workflow to its end through the frontend at `address`, which is also the
/// authority of the calls. Prints `{"workflow_id", "run_id", "result", "seconds"}` and ends with 0
/// only when it completed within `limit`.
pub fn hello(
    interpreter: &Path,
    address: &str,
    namespace: &str,
    id: &str,
    limit: Duration,
) -> Start {
    let seconds = limit.as_secs().to_string();
    let options = [
        "-I",
        "-c",
        HELLO,
        "--address",
        address,
        "--namespace",
        namespace,
        "--id",
        id,
        "--limit",
        &seconds,
    ];
    let program = [interpreter.as_os_str().to_owned()];
    Start::new(
        program
            .into_iter()
            .chain(options.iter().map(OsString::from)),
    )
}

/// How to run one workflow after the other through the frontend at `address` until SIGTERM, and to watch meanwhile when
/// the history processes at these addresses call themselves serving. What it prints then is told in its text.
pub fn write(interpreter: &Path, address: &str, histories: &[String]) -> Start {
    let program = [interpreter.as_os_str().to_owned()].into_iter();
    let options = ["-I", "-c", WRITE, "--address", address].map(OsString::from);
    let histories = histories
        .iter()
        .flat_map(|history| ["--history".into(), history.into()]);
    Start::new(program.chain(options).chain(histories))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn temporal(version: &str) -> Temporal {
        Temporal {
            version: version.to_owned(),
            server: "/t/temporal-server".into(),
            sql_tool: "/t/temporal-sql-tool".into(),
            schema: "/t/schema".into(),
        }
    }

    #[test]
    fn the_schema_tool_is_called_with_the_plugin_of_its_version() {
        let database = Database {
            host: "10.1.0.4".to_owned(),
            port: 5432,
            user: "relation_id_7".to_owned(),
            name: "temporal-k8s_db".to_owned(),
            pass_file: "/run/pgpass".into(),
            tls: false,
        };
        let old = temporal("1.17.4").update_schema(Store::Visibility, &database);
        assert_eq!(
            old.argv.join(OsStr::new(" ")),
            "/t/temporal-sql-tool --plugin postgres --ep 10.1.0.4 -p 5432 -u relation_id_7 \
             --db temporal-k8s_db update-schema -d /t/schema/v96/visibility/versioned"
        );
        let new = temporal("1.32.2").setup_schema(&database);
        assert!(new.argv.iter().any(|word| word == "postgres12"));
        assert!(!new.argv.iter().any(|word| word == "--tls"));
        let encrypted = Database {
            tls: true,
            ..database
        };
        let encrypted = temporal("1.32.2").setup_schema(&encrypted);
        let words = encrypted.argv.join(OsStr::new(" ")).into_string().unwrap();
        let tls = "--db temporal-k8s_db --tls --tls-disable-host-verification setup-schema";
        assert!(words.contains(tls), "{words}");
        assert_eq!(
            new.environment,
            [("PGPASSFILE".to_owned(), "/run/pgpass".into())]
        );
    }

    #[test]
    fn a_pass_file_escapes_its_two_special_characters_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("pgpass");
        write_pass_file(&path, r"a b:c\d").unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "*:*:*:*:a b\\:c\\\\d\n"
        );
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
