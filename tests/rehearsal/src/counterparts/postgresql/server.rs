//! The real server behind the counterpart of postgresql-k8s, for the charm that runs it and for
//! tests that hurt it.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::pgsql::PORT;
use crate::cloud::{Node, Running};
use crate::counterparts::{CounterpartError, process};
use crate::parts::Parts;
use crate::processes;
use crate::servers::postgresql::{Operator, Postgresql as Files, PostgresqlError};

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
    /// Its data directory, by which its process is found.
    data: Option<String>,
    running: Option<Running>,
    operator: Option<Operator>,
    passwords: VecDeque<String>,
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
            data: None,
            running: None,
            operator: None,
            passwords: VecDeque::new(),
        }))))
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

    /// The password of the next role that is made or renewed, in place of a random one.
    pub fn next_password(&self, password: &str) {
        self.state().passwords.push_back(password.to_owned());
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
            self.files = Some(Files::lay(&self.parts, &root, PORT)?);
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

    pub(super) fn drop_role(&self, role: &str) -> Result<(), PostgresqlError> {
        let Some(operator) = &self.operator else {
            return Ok(());
        };
        self.runtime.block_on(operator.drop_role(role))
    }

    pub(super) fn new_password(&mut self) -> Result<String, CounterpartError> {
        match self.passwords.pop_front() {
            Some(password) => Ok(password),
            None => random_password().map_err(CounterpartError::io("make a password")),
        }
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
