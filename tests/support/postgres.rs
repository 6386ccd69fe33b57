//! A PostgreSQL that speaks the wire protocol (version 3) and knows what the charm asks: who may log in,
//! which databases there are, and what Temporal's tables say.
//!
//! It asks for the password in clear text, so that a test sees exactly what arrived. A query that it does not
//! know is an error, as it is for a database whose schema is another one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::address::Address;
use super::{RUNTIME, lock};

/// One database, as far as Temporal writes into it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Database {
    /// Who may connect.
    pub users: BTreeSet<String>,
    /// Which of them may do nothing with its tables but read `schema_version`.
    pub denied: BTreeSet<String>,
    /// `schema_version`: `db_name` → `curr_version`; `None` before the table was created.
    pub schema: Option<BTreeMap<String, String>>,
    /// `cluster_metadata_info` exists.
    pub has_metadata: bool,
    /// The shard count that the first server has written.
    pub shards: Option<u32>,
    /// `cluster_membership`: the roles, as the server numbers them, and addresses of the processes that live.
    pub members: BTreeSet<(i32, String)>,
}

/// What clients meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It answers.
    Up,
    /// It accepts connections and says nothing.
    Silent,
    /// It refuses everybody's password.
    Distrustful,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    passwords: BTreeMap<String, String>,
    databases: BTreeMap<String, Database>,
    /// Advisory locks: database and key → session.
    locks: BTreeMap<(String, String), u32>,
    sessions: u32,
    /// See [`Postgres::keep_turn`].
    kept: u32,
    /// See [`Postgres::break_turns`].
    broken: bool,
    /// See [`Postgres::turns`].
    asked: u32,
    had: u32,
}

/// A running fake; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Postgres {
    address: Mutex<Address>,
    state: Arc<Mutex<State>>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

const PORT: u16 = 5432;

impl Postgres {
    /// Starts it, empty.
    pub(crate) fn start() -> Arc<Self> {
        let state = State {
            mood: Mood::Up,
            passwords: BTreeMap::new(),
            databases: BTreeMap::new(),
            locks: BTreeMap::new(),
            sessions: 0,
            kept: 0,
            broken: false,
            asked: 0,
            had: 0,
        };
        let postgres = Self {
            address: Mutex::new(Address::new()),
            state: Arc::new(Mutex::new(state)),
            listener: Mutex::new(None),
        };
        postgres.up();
        Arc::new(postgres)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((lock(&self.address).ip(), PORT))
    }

    /// Accepts connections again.
    pub(crate) fn up(&self) {
        self.set_mood(Mood::Up);
        let mut listener = lock(&self.listener);
        if listener.is_none() {
            let address = self.address();
            let socket = RUNTIME
                .block_on(TcpListener::bind(address))
                .expect("PostgreSQL's port");
            *listener = Some(RUNTIME.spawn(accept(socket, Arc::clone(&self.state))));
        }
    }

    /// Refuses connections and ends those that there are.
    pub(crate) fn down(&self) {
        if let Some(listener) = lock(&self.listener).take() {
            listener.abort();
            // the port is free only when the task is gone
            _ = RUNTIME.block_on(listener);
        }
    }

    /// Moves to another address, with everything in it.
    pub(crate) fn relocate(&self) {
        self.down();
        *lock(&self.address) = Address::new();
        self.up();
    }

    /// Is it there at all, and does it answer?
    pub(crate) fn answers(&self) -> bool {
        lock(&self.listener).is_some() && lock(&self.state).mood == Mood::Up
    }

    /// Changes what clients meet from now on.
    pub(crate) fn set_mood(&self, mood: Mood) {
        lock(&self.state).mood = mood;
    }

    /// `CREATE ROLE` or `ALTER ROLE … PASSWORD`.
    pub(crate) fn set_password(&self, user: &str, password: &str) {
        lock(&self.state)
            .passwords
            .insert(user.to_owned(), password.to_owned());
    }

    /// `DROP ROLE`.
    pub(crate) fn drop_user(&self, user: &str) {
        let mut state = lock(&self.state);
        state.passwords.remove(user);
        for database in state.databases.values_mut() {
            database.users.remove(user);
        }
    }

    /// `CREATE DATABASE IF NOT EXISTS` and `GRANT ALL`.
    pub(crate) fn create_database(&self, name: &str, user: &str) {
        let mut state = lock(&self.state);
        let database = state.databases.entry(name.to_owned()).or_default();
        database.users.insert(user.to_owned());
    }

    /// `DROP DATABASE` and `CREATE DATABASE`: the same users, nothing in it.
    pub(crate) fn recreate_database(&self, name: &str) {
        let mut state = lock(&self.state);
        if let Some(database) = state.databases.get_mut(name) {
            *database = Database {
                users: std::mem::take(&mut database.users),
                ..Database::default()
            };
        }
    }

    /// `CREATE DATABASE … TEMPLATE`: nobody may connect to it yet.
    pub(crate) fn copy_database(&self, from: &str, to: &str) {
        let mut state = lock(&self.state);
        let copy = Database {
            users: BTreeSet::new(),
            denied: BTreeSet::new(),
            ..state.databases[from].clone()
        };
        state.databases.insert(to.to_owned(), copy);
    }

    /// The statements that people type: rights on all tables come and go, and a schema is moved to another name.
    pub(crate) fn type_sql(&self, database: &str, statement: &str) {
        let mut state = lock(&self.state);
        let database = state.databases.get_mut(database).expect("a database");
        let words: Vec<&str> = statement
            .split([' ', '"', '\''])
            .filter(|it| !it.is_empty())
            .collect();
        match words.as_slice() {
            ["REVOKE", "ALL", "ON", "ALL", "TABLES", .., role] => {
                _ = database.denied.insert((*role).to_owned());
            }
            ["GRANT", "SELECT", "ON", "schema_version", ..] => {}
            [
                "GRANT",
                ..,
                "ON",
                "ALL",
                "TABLES",
                "IN",
                "SCHEMA",
                "public",
                "TO",
                role,
            ] => {
                _ = database.denied.remove(*role);
            }
            [
                "UPDATE",
                "schema_version",
                "SET",
                "db_name",
                "=",
                to,
                "WHERE",
                "db_name",
                "=",
                from,
            ] => {
                let schema = database.schema.as_mut().expect("a schema");
                let version = schema.remove(*from).expect("a row");
                schema.insert((*to).to_owned(), version);
            }
            _ => panic!("the fake does not know `{statement}`"),
        }
    }

    /// The turn to restart is given to nobody so many times, and then is to be had.
    pub(crate) fn keep_turn(&self, times: u32) {
        lock(&self.state).kept = times;
    }

    /// Whoever asks for the turn to restart gets an error.
    pub(crate) fn break_turns(&self) {
        lock(&self.state).broken = true;
    }

    /// How often the turn to restart was asked for, and was had.
    pub(crate) fn turns(&self) -> (u32, u32) {
        let state = lock(&self.state);
        (state.asked, state.had)
    }

    /// Does something with a database, as a client that has logged in to it.
    pub(crate) fn with<R>(
        &self,
        login: &Login<'_>,
        act: impl FnOnce(&mut Database) -> R,
    ) -> Result<R, Refusal> {
        if !self.answers() {
            return Err(Refusal::Unreachable);
        }
        let mut state = lock(&self.state);
        state.log_in(login)?;
        let database = state
            .databases
            .get_mut(login.database)
            .ok_or(Refusal::NoDatabase)?;
        Ok(act(database))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(listener) = lock(&self.listener).take() {
            listener.abort();
        }
    }
}

/// Who wants to go where.
#[derive(Clone, Copy)]
pub(crate) struct Login<'a> {
    /// The role.
    pub user: &'a str,
    /// Its password.
    pub password: &'a str,
    /// The database.
    pub database: &'a str,
}

/// Why a login fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nobody answers.
    Unreachable,
    /// SQLSTATE 28P01.
    BadPassword,
    /// SQLSTATE 3D000.
    NoDatabase,
    /// SQLSTATE 42501.
    NotGranted,
}

impl Refusal {
    fn report(self, login: &Login<'_>) -> (&'static str, String) {
        match self {
            Self::Unreachable => ("08006", "connection failure".to_owned()),
            Self::BadPassword => (
                "28P01",
                format!("password authentication failed for user \"{}\"", login.user),
            ),
            Self::NoDatabase => (
                "3D000",
                format!("database \"{}\" does not exist", login.database),
            ),
            Self::NotGranted => (
                "42501",
                format!("permission denied for database \"{}\"", login.database),
            ),
        }
    }
}

impl State {
    fn log_in(&self, login: &Login<'_>) -> Result<(), Refusal> {
        let known = self.passwords.get(login.user);
        if self.mood == Mood::Distrustful || known.is_none_or(|known| known != login.password) {
            return Err(Refusal::BadPassword);
        }
        let database = self
            .databases
            .get(login.database)
            .ok_or(Refusal::NoDatabase)?;
        if !database.users.contains(login.user) {
            return Err(Refusal::NotGranted);
        }
        Ok(())
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    // aborted with the listener, and with it all sessions
    let mut sessions = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // many small messages, each of which somebody waits for
        _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        sessions.spawn(async move {
            if lock(&state).mood == Mood::Silent {
                return std::future::pending::<()>().await;
            }
            // a client that goes away in the middle is its own business
            _ = Session::new(stream, state).serve().await;
        });
        while sessions.try_join_next().is_some() {}
    }
}

struct Session {
    number: u32,
    stream: TcpStream,
    state: Arc<Mutex<State>>,
    user: String,
    database: String,
    /// The unnamed statement.
    query: String,
    /// Was the lock to be had that was asked for last?
    has_turn: bool,
    /// Its bound parameter; the charm's queries have one at most.
    parameter: Option<String>,
}

/// A column that the charm may ask for, with PostgreSQL's number of the type.
#[derive(Clone)]
enum Value {
    Bool(bool),
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
    Int(i32),
    /// An array of texts without any.
    NoTexts,
    /// No text.
    Null,
}

impl Value {
    fn type_oid(&self) -> i32 {
        match self {
            Self::Bool(_) => 16,
            Self::Bytes(_) => 17,
            Self::Int(_) => 23,
            Self::Number(_) => 20,
            Self::Text(_) | Self::Null => 1043,
            Self::NoTexts => 1009,
        }
    }

    fn binary(&self) -> Vec<u8> {
        match self {
            Self::Bool(value) => vec![u8::from(*value)],
            Self::Number(value) => value.to_be_bytes().to_vec(),
            Self::Text(text) => text.clone().into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Int(number) => number.to_be_bytes().to_vec(),
            // no dimensions, no nulls, of type text
            Self::NoTexts => [0_i32, 0, 25].map(i32::to_be_bytes).concat(),
            Self::Null => Vec::new(),
        }
    }
}

/// The columns of an answer (one value each, of the right type) and its rows.
struct Answer {
    columns: Vec<Value>,
    rows: Vec<Vec<Value>>,
}

impl Answer {
    fn one(row: Vec<Value>, found: bool) -> Self {
        Self {
            rows: found.then(|| row.clone()).into_iter().collect(),
            columns: row,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.unlock();
    }
}

impl Session {
    fn new(stream: TcpStream, state: Arc<Mutex<State>>) -> Self {
        let number = {
            let mut state = lock(&state);
            state.sessions += 1;
            state.sessions
        };
        Self {
            number,
            stream,
            state,
            user: String::new(),
            database: String::new(),
            query: String::new(),
            has_turn: false,
            parameter: None,
        }
    }

    /// What the lock comes to that is asked for now.
    fn ask_turn(&self) -> bool {
        let mut state = lock(&self.state);
        state.asked += 1;
        let kept = state.kept > 0;
        state.kept = state.kept.saturating_sub(1);
        let key = (
            self.database.clone(),
            self.parameter.clone().unwrap_or_default(),
        );
        let has = !kept && *state.locks.entry(key).or_insert(self.number) == self.number;
        state.had += u32::from(has);
        has
    }

    fn unlock(&self) {
        let mut state = lock(&self.state);
        state.locks.retain(|_, session| *session != self.number);
    }

    async fn serve(mut self) -> io::Result<()> {
        if !self.start().await? {
            return Ok(());
        }
        loop {
            let kind = self.stream.read_u8().await?;
            let body = self.body().await?;
            match kind {
                b'Q' => {
                    // BEGIN, ROLLBACK and the like: nothing here is ever changed by SQL, but locks end
                    if until_zero(&body, 0) == "ROLLBACK" {
                        self.unlock();
                    }
                    let text = until_zero(&body, 0);
                    let tag = text
                        .split_whitespace()
                        .next()
                        .unwrap_or_default()
                        .to_uppercase();
                    let tag = if tag == "START" {
                        "START TRANSACTION".to_owned()
                    } else {
                        tag
                    };
                    self.send(b'C', &[tag.as_bytes(), b"\0"].concat()).await?;
                    self.send(b'Z', b"I").await?;
                }
                b'P' => {
                    let name = until_zero(&body, 0);
                    self.query = until_zero(&body, name.len() + 1);
                    self.send(b'1', b"").await?;
                }
                b'B' => {
                    self.parameter = bound(&body);
                    if self.query.contains("pg_try_advisory_xact_lock") {
                        self.has_turn = self.ask_turn();
                    }
                    self.send(b'2', b"").await?;
                }
                b'D' => self.describe(body.first() == Some(&b'S')).await?,
                b'E' => self.execute().await?,
                b'C' => self.send(b'3', b"").await?,
                b'S' => self.send(b'Z', b"I").await?,
                b'X' => return Ok(()),
                // flush
                b'H' => {}
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// Start-up packet, password, greeting. `false`: refused.
    async fn start(&mut self) -> io::Result<bool> {
        let mut body = self.body().await?;
        if body.get(..4) == Some(80_877_103_i32.to_be_bytes().as_slice()) {
            // TLS is asked for; this server has none
            self.stream.write_all(b"N").await?;
            body = self.body().await?;
        }
        let words: Vec<String> = body
            .get(4..)
            .unwrap_or_default()
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let value = |key: &str| {
            words
                .chunks(2)
                .find(|pair| pair[0] == key)
                .map(|pair| pair[1].clone())
                .unwrap_or_default()
        };
        self.user = value("user");
        self.database = value("database");
        self.send(b'R', &3_i32.to_be_bytes()).await?;
        if self.stream.read_u8().await? != b'p' {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let password = until_zero(&self.body().await?, 0);
        let (user, database) = (self.user.clone(), self.database.clone());
        let login = Login {
            user: &user,
            password: &password,
            database: &database,
        };
        let outcome = lock(&self.state).log_in(&login);
        if let Err(refusal) = outcome {
            let (code, message) = refusal.report(&login);
            self.error("FATAL", code, &message).await?;
            return Ok(false);
        }
        self.send(b'R', &0_i32.to_be_bytes()).await?;
        self.send(b'S', b"server_version\x0014.5\0").await?;
        self.send(b'S', b"client_encoding\0UTF8\0").await?;
        self.send(b'K', &[0; 8]).await?;
        self.send(b'Z', b"I").await?;
        Ok(true)
    }

    async fn describe(&mut self, statement: bool) -> io::Result<()> {
        let Some(answer) = self.answer() else {
            return self.unknown().await;
        };
        if statement {
            let count = i16::from(self.query.contains("$1"));
            let mut types = count.to_be_bytes().to_vec();
            types.extend((0..count).flat_map(|_| 1043_i32.to_be_bytes()));
            self.send(b't', &types).await?;
        }
        let mut body = i16::try_from(answer.columns.len())
            .unwrap_or(0)
            .to_be_bytes()
            .to_vec();
        for value in &answer.columns {
            body.extend(b"column\0");
            body.extend(0_i32.to_be_bytes());
            body.extend(0_i16.to_be_bytes());
            body.extend(value.type_oid().to_be_bytes());
            body.extend((-1_i16).to_be_bytes());
            body.extend((-1_i32).to_be_bytes());
            body.extend(1_i16.to_be_bytes());
        }
        self.send(b'T', &body).await
    }

    async fn execute(&mut self) -> io::Result<()> {
        let Some(answer) = self.answer() else {
            return self.unknown().await;
        };
        for row in &answer.rows {
            let mut body = i16::try_from(row.len()).unwrap_or(0).to_be_bytes().to_vec();
            for value in row {
                let bytes = value.binary();
                let length = match value {
                    Value::Null => -1,
                    _ => i32::try_from(bytes.len()).unwrap_or(0),
                };
                body.extend(length.to_be_bytes());
                body.extend(bytes);
            }
            self.send(b'D', &body).await?;
        }
        self.send(b'C', format!("SELECT {}\0", answer.rows.len()).as_bytes())
            .await
    }

    /// What Temporal's tables say to the statement; `None`: there is no such table or column.
    fn answer(&self) -> Option<Answer> {
        let state = lock(&self.state);
        let query = self.query.to_lowercase();
        if query == "select pg_try_advisory_xact_lock($1)" {
            return (!state.broken).then(|| Answer::one(vec![Value::Bool(self.has_turn)], true));
        }
        let database = state.databases.get(&self.database)?;
        let from = |table: &str| query.contains(&format!("from {table}"));
        if query.contains("pg_is_in_recovery()") {
            let mut row = vec![Value::Bool(false)];
            for (table, has) in [
                ("to_regclass('schema_version')", database.schema.is_some()),
                (
                    "to_regclass('cluster_metadata_info')",
                    database.has_metadata,
                ),
                ("to_regclass('cluster_membership')", database.has_metadata),
            ] {
                if query.contains(table) {
                    row.push(Value::Bool(has));
                }
            }
            if query.contains("pg_has_role") {
                let public = Value::Text("public".to_owned());
                row.extend([public, Value::Bool(false), Value::NoTexts, Value::Null]);
            }
            return Some(Answer::one(row, true));
        }
        if query.contains("has_table_privilege") {
            let columns = ["public", "executions"].map(|it| Value::Text(it.to_owned()));
            let [schema, table] = columns;
            let row = vec![schema, Value::Bool(true), table, Value::Bool(false)];
            let denied = database.denied.contains(&self.user);
            return Some(Answer::one(row, denied));
        }
        if query.contains("max_connections") {
            // and there is no limit
            let numbers = [-1, -1, -1, 0, 0, 0, 0, 0].map(Value::Number);
            return Some(Answer::one(numbers.to_vec(), true));
        }
        if from("schema_version") {
            let rows = database.schema.as_ref()?.iter();
            let rows =
                rows.map(|(name, version)| [name, version].map(|it| Value::Text(it.clone())));
            return Some(Answer {
                columns: vec![Value::Text(String::new()); 2],
                rows: rows.map(Vec::from).collect(),
            });
        }
        if from("cluster_metadata_info") && database.has_metadata {
            let named = self
                .parameter
                .as_deref()
                .is_none_or(|name| name == "active");
            let found = database.shards.is_some() && named;
            let data = cluster_metadata(database.shards.unwrap_or_default());
            return Some(Answer::one(vec![Value::Bytes(data)], found));
        }
        if query.contains("last_heartbeat::text") && database.has_metadata {
            // each process is one of its address, and has just written one
            let now = format!("{:?}", std::time::Instant::now());
            let row = |address: &str| {
                let columns = [address, address, &now];
                columns.map(|it| Value::Text(it.to_owned())).to_vec()
            };
            let workers = database.members.iter().filter(|(role, _)| *role == 4);
            return Some(Answer {
                columns: row(""),
                rows: workers.map(|(_, address)| row(address)).collect(),
            });
        }
        if from("cluster_membership") && database.has_metadata {
            let row = |(role, address): &(i32, String)| {
                vec![Value::Int(*role), Value::Text(address.clone())]
            };
            return Some(Answer {
                columns: row(&(0, String::new())),
                rows: database.members.iter().map(row).collect(),
            });
        }
        None
    }

    async fn unknown(&mut self) -> io::Result<()> {
        let message = format!("the fake knows no such relation: {}", self.query);
        self.error("ERROR", "42P01", &message).await
    }

    async fn body(&mut self) -> io::Result<Vec<u8>> {
        let length = self.stream.read_i32().await?;
        let length = usize::try_from(length - 4).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(body)
    }

    async fn send(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        let length = i32::try_from(body.len() + 4).map_err(|_| io::ErrorKind::InvalidData)?;
        let message = [&[kind], length.to_be_bytes().as_slice(), body].concat();
        self.stream.write_all(&message).await
    }

    async fn error(&mut self, severity: &str, code: &str, message: &str) -> io::Result<()> {
        let body = format!("S{severity}\0V{severity}\0C{code}\0M{message}\0\0");
        self.send(b'E', body.as_bytes()).await
    }
}

/// `temporal.server.api.persistence.v1.ClusterMetadata`: name, shard count, identifier.
fn cluster_metadata(shards: u32) -> Vec<u8> {
    let mut data = b"\x0a\x06active\x10".to_vec();
    let mut rest = shards;
    while rest >= 0x80 {
        data.push(u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80);
        rest >>= 7;
    }
    data.push(u8::try_from(rest).unwrap_or_default());
    data.extend(b"\x1a\x04f00d");
    data
}

fn until_zero(body: &[u8], from: usize) -> String {
    let rest = body.get(from..).unwrap_or_default();
    let text = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// The first parameter of a bind message. Text looks the same in both formats.
fn bound(body: &[u8]) -> Option<String> {
    let portal = until_zero(body, 0).len() + 1;
    let statement = until_zero(body, portal).len() + 1;
    let mut at = portal + statement;
    let short = |at: usize| Some(i16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?));
    at += 2 + 2 * usize::try_from(short(at)?).ok()?;
    if short(at)? < 1 {
        return None;
    }
    let length = i32::from_be_bytes(body.get(at + 2..at + 6)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?;
    Some(String::from_utf8_lossy(body.get(at + 6..at + 6 + length)?).into_owned())
}
