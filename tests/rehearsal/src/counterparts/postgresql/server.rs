//! The real server behind the counterpart of postgresql-k8s, for the charm that runs it and for
//! tests that hurt it.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::client::{Grant, Track};
use super::pgsql::PORT;
use crate::cloud::{Node, Running};
use crate::counterparts::{CounterpartError, process};
use crate::parts::Parts;
use crate::processes;
use crate::servers::certificates::Certificate;
use crate::servers::postgresql::{
    Login, Operator, Postgresql as Files, PostgresqlError, SUPERUSER,
};

const READY: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(10);

/// The real server behind the charm, for tests that hurt it. Copies stand for the same server.
#[derive(Clone)]
pub struct Server(Arc<Mutex<State>>);

pub(super) struct State {
    pub(super) node: Node,
    parts: Arc<Parts>,
    runtime: tokio::runtime::Runtime,
    /// Unit that runs it, once it does.
    pub(super) unit: Option<String>,
    files: Option<Files>,
    /// What it shows to whoever asks for TLS, if it has TLS.
    certificate: Option<Certificate>,
    /// Its data directory, by which its process is found.
    data: Option<String>,
    running: Option<Running>,
    operator: Option<Operator>,
    passwords: VecDeque<String>,
    /// All that were made.
    made: Vec<String>,
}

impl Server {
    /// A server that is neither laid out nor started.
    pub fn new(node: Node, parts: Arc<Parts>) -> Result<Self, CounterpartError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(CounterpartError::io("start a runtime"))?;
        Ok(Self(Arc::new(Mutex::new(State {
            node,
            parts,
            runtime,
            unit: None,
            files: None,
            certificate: None,
            data: None,
            running: None,
            operator: None,
            passwords: VecDeque::new(),
            made: Vec::new(),
        }))))
    }

    /// Gives it TLS with this certificate, to be told before the charm is deployed; or another certificate, which it shows
    /// some moments later. Sessions that there are stay.
    pub fn show(&self, certificate: &Certificate) -> Result<(), CounterpartError> {
        let mut state = self.state();
        state.certificate = Some(certificate.clone());
        if let (Some(files), Some(operator)) = (&state.files, &state.operator) {
            files.show(certificate)?;
            state.runtime.block_on(operator.reload())?;
        }
        Ok(())
    }

    /// The name by which the charm offers it.
    pub fn primary(app: &str, model: &str, domain: &str) -> String {
        format!("{app}-primary.{model}.svc.{domain}")
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it again after [`Server::stop`], with the data that it had.
    pub fn start(&self) -> Result<(), CounterpartError> {
        self.state().start()
    }

    /// Stops it as a fast shutdown does: open connections are closed, new ones refused.
    pub fn stop(&self) -> Result<(), CounterpartError> {
        let Some(running) = self.state().running.take() else {
            return Ok(());
        };
        running
            .signal(Signal::SIGINT)
            .map_err(CounterpartError::io("stop PostgreSQL"))?;
        running
            .wait(STOP)
            .map_err(CounterpartError::io("wait for the end of PostgreSQL"))?;
        Ok(())
    }

    /// Stops time for it: connections are accepted by the kernel and never answered.
    pub fn hang(&self) -> Result<(), CounterpartError> {
        self.signal_all(Signal::SIGSTOP)
    }

    /// Ends [`Server::hang`].
    pub fn resume(&self) -> Result<(), CounterpartError> {
        self.signal_all(Signal::SIGCONT)
    }

    fn signal_all(&self, signal: Signal) -> Result<(), CounterpartError> {
        let Some(data) = self.state().data.clone() else {
            return Ok(());
        };
        processes::with_argument(&data)
            .and_then(|found| {
                found
                    .iter()
                    .try_for_each(|it| processes::signal_tree(it.id, signal))
            })
            .map_err(CounterpartError::io("signal PostgreSQL's processes"))
    }

    /// The password of the next role that is made or renewed, in place of a random one. Of several
    /// the first is used first.
    pub fn next_password(&self, password: &str) {
        self.state().passwords.push_back(password.to_owned());
    }

    /// All passwords that were made for relations so far, the newest last.
    pub fn passwords(&self) -> Vec<String> {
        self.state().made.clone()
    }

    /// Refuses the password of every relation's role from now on, as if it were wrong; or takes them
    /// all again. Open connections stay.
    pub fn distrust(&self, all: bool) -> Result<(), CounterpartError> {
        // What is refused for its age is refused in the words of a wrong password.
        let until = if all { "epoch" } else { "infinity" };
        for role in self.roles("true")? {
            let statement = format!("ALTER ROLE \"{role}\" VALID UNTIL '{until}'");
            self.query("postgres", &statement)?;
        }
        Ok(())
    }

    /// The roles of relations for which a condition holds; their names need no quotes.
    fn roles(&self, condition: &str) -> Result<Vec<String>, CounterpartError> {
        let list = format!(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'relation\\_id\\_%' AND {condition}"
        );
        self.query("postgres", &list)
    }

    /// Runs a statement as the superuser and gives the rows' first columns as text.
    pub fn query(&self, database: &str, statement: &str) -> Result<Vec<String>, CounterpartError> {
        self.state().query(database, statement)
    }

    /// Drops a database under its users, whatever they do.
    pub fn drop_database(&self, name: &str) -> Result<(), CounterpartError> {
        let name = name.replace('"', "\"\"");
        self.query(
            "postgres",
            &format!("DROP DATABASE \"{name}\" WITH (FORCE)"),
        )
        .map(drop)
    }

    /// Drops a database and makes it again, empty, for the same users.
    pub fn recreate_database(&self, name: &str) -> Result<(), CounterpartError> {
        let quoted = name.replace('\'', "''");
        let condition = format!("has_database_privilege(rolname, '{quoted}', 'CREATE')");
        let mut users = self.roles(&condition)?;
        users.push(SUPERUSER.to_owned());
        self.drop_database(name)?;
        let owner = format!("SELECT 1 FROM pg_roles WHERE rolname = 'charmed_{quoted}_owner'");
        let state = self.state();
        if let (Some(operator), [_]) = (&state.operator, &*state.query("postgres", &owner)?) {
            // The users are members of its roles, which have stayed.
            let made = operator.create_charmed_database(name);
            return Ok(state.runtime.block_on(made)?);
        }
        for user in users {
            state.make_database(name, &user)?;
        }
        Ok(())
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.state()
            .running
            .as_ref()
            .and_then(|it| it.stderr().ok())
            .unwrap_or_default()
    }
}

impl State {
    pub(super) fn start(&mut self) -> Result<(), CounterpartError> {
        let Some(unit) = self.unit.clone().filter(|_| self.running.is_none()) else {
            return Ok(());
        };
        let root = self.node.pod_directory(&unit)?.join("postgresql");
        if self.files.is_none() {
            std::fs::create_dir_all(&root).map_err(CounterpartError::io("make a directory"))?;
            self.files = Some(match &self.certificate {
                Some(certificate) => Files::lay_with_tls(&self.parts, &root, PORT, certificate)?,
                None => Files::lay(&self.parts, &root, PORT)?,
            });
            self.data = Some(root.join("data").display().to_string());
        }
        let Some(files) = &self.files else {
            return Ok(());
        };
        let start = process(&files.start(true), &root, "postgresql");
        self.running = Some(self.node.spawn_in_pod(&unit, &start)?);
        self.operator = Some(self.runtime.block_on(files.ready(READY))?);
        Ok(())
    }

    pub(super) fn is_up(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|it| matches!(it.status(), Ok(None)))
    }

    pub(super) fn query(
        &self,
        database: &str,
        statement: &str,
    ) -> Result<Vec<String>, CounterpartError> {
        let Some(operator) = &self.operator else {
            return Ok(Vec::new());
        };
        let rows = self.runtime.block_on(async {
            let client = operator.client(database).await?;
            client.simple_query(statement).await
        });
        let refused = |source| PostgresqlError::Refused {
            attempt: "ask PostgreSQL".to_owned(),
            source,
        };
        let first = |message: &tokio_postgres::SimpleQueryMessage| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        Ok(rows.map_err(refused)?.iter().filter_map(first).collect())
    }

    pub(super) fn make_role(
        &self,
        database: &str,
        role: &str,
        password: &str,
        superuser: bool,
    ) -> Result<(), PostgresqlError> {
        let Some(operator) = &self.operator else {
            return Ok(());
        };
        self.runtime.block_on(async {
            operator.create_role(role, password, superuser).await?;
            operator.create_database(database, role).await
        })
    }

    /// Makes the user of a relation with the endpoint `database`.
    pub(super) fn make_client(&self, grant: &Grant) -> Result<(), PostgresqlError> {
        let Some(operator) = &self.operator else {
            return Ok(());
        };
        let login = Login {
            role: &grant.user,
            password: &grant.password,
            database: &grant.database,
        };
        let roles: Vec<&str> = grant.roles.iter().map(String::as_str).collect();
        self.runtime.block_on(async {
            match grant.track {
                Track::Fourteen => operator.grant_ownership(login, &roles, grant.alone).await,
                Track::Sixteen => operator.grant_roles(login, &roles).await,
            }
        })
    }

    pub(super) fn alter_password(&self, role: &str, password: &str) -> Result<(), PostgresqlError> {
        let Some(operator) = &self.operator else {
            return Ok(());
        };
        self.runtime
            .block_on(operator.alter_password(role, password))
    }

    fn make_database(&self, name: &str, role: &str) -> Result<(), PostgresqlError> {
        let Some(operator) = &self.operator else {
            return Ok(());
        };
        self.runtime.block_on(operator.create_database(name, role))
    }

    /// Forgets the server of a unit that is removed, with its data.
    pub(super) fn end(&mut self) -> Result<(), CounterpartError> {
        if let Some(running) = self.running.take() {
            let killed = running.kill();
            killed.map_err(CounterpartError::io("end PostgreSQL"))?;
        }
        (self.unit, self.files, self.data, self.operator) = (None, None, None, None);
        Ok(())
    }

    pub(super) fn drop_role(&self, role: &str) -> Result<(), PostgresqlError> {
        let Some(operator) = &self.operator else {
            return Ok(());
        };
        self.runtime.block_on(operator.drop_role(role))
    }

    pub(super) fn new_password(&mut self) -> Result<String, CounterpartError> {
        let password = match self.passwords.pop_front() {
            Some(password) => password,
            None => random_password().map_err(CounterpartError::io("make a password"))?,
        };
        self.made.push(password.clone());
        Ok(password)
    }
}

/// 16 characters of `[A-Za-z0-9]`, as the real charm makes them.
fn random_password() -> std::io::Result<String> {
    const LENGTH: usize = 16;
    let mut random = std::fs::File::open("/dev/urandom")?;
    let mut password = String::new();
    while password.len() < LENGTH {
        let mut bytes = [0; 64];
        random.read_exact(&mut bytes)?;
        let letters = bytes.iter().map(|byte| char::from(byte & 0x7f));
        password.extend(
            letters
                .filter(char::is_ascii_alphanumeric)
                .take(LENGTH - password.len()),
        );
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::random_password;

    #[test]
    fn passwords_have_sixteen_letters_and_digits_and_differ() {
        let (one, other) = (random_password().unwrap(), random_password().unwrap());
        assert_eq!(one.len(), 16);
        assert!(one.chars().all(|c| c.is_ascii_alphanumeric()));
        assert_ne!(one, other);
    }
}
