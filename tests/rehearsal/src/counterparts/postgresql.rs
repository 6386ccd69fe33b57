//! The counterpart of postgresql-k8s, revision 14, with its legacy endpoints `db` and `db-admin`.
//!
//! One role for each relation, never a dropped database, the answer in the application's bag and
//! in the leader's unit bag (dossier: `postgresql.md` A). The first unit runs the real server;
//! further units take part in leadership only, as there is no replication here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::error::Error;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{CounterpartError, process};
use crate::cloud::{Node, Running};
use crate::juju::charm::Charm;
use crate::juju::cloud::Cloud;
use crate::juju::context::HookContext;
use crate::juju::event::{Event, RelationChange, RelationEvent};
use crate::juju::model::Settings;
use crate::parts::Parts;
use crate::processes;
use crate::servers::postgresql::{Operator, Postgresql as Files, PostgresqlError};

/// The real charm's endpoints of this kind; its modern ones are not played here.
const METADATA: &str = "\
name: postgresql-k8s
summary: the counterpart of postgresql-k8s, revision 14
description: runs a real PostgreSQL and speaks the legacy interface pgsql
provides:
  db: {interface: pgsql}
  db-admin: {interface: pgsql}
peers:
  database-peers: {interface: postgresql_peers}
";

const PORT: u16 = 5432;
const READY: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(10);
const EXTENSIONS: &str = "extensions requested through relation";
const ROLES: &str = "roles requested through relation, use postgresql_client interface instead";

/// The real server behind the charm, for tests that hurt it. Copies stand for the same server.
#[derive(Clone)]
pub struct Server(Arc<Mutex<State>>);

struct State {
    node: Node,
    parts: Arc<Parts>,
    runtime: tokio::runtime::Runtime,
    /// Unit that runs it, once it does.
    unit: Option<String>,
    files: Option<Files>,
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
            data: None,
            running: None,
            operator: None,
            passwords: VecDeque::new(),
            made: Vec::new(),
        }))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
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
        let users = self.roles(&format!(
            "has_database_privilege(rolname, '{quoted}', 'CREATE')"
        ))?;
        self.drop_database(name)?;
        let state = self.state();
        users
            .iter()
            .try_for_each(|user| state.grant(name, user).map_err(CounterpartError::from))
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
    fn start(&mut self) -> Result<(), CounterpartError> {
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

    fn is_up(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|it| matches!(it.status(), Ok(None)))
    }

    fn query(&self, database: &str, statement: &str) -> Result<Vec<String>, CounterpartError> {
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

    fn make_role(
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

    fn grant(&self, database: &str, role: &str) -> Result<(), PostgresqlError> {
        let Some(operator) = &self.operator else {
            return Ok(());
        };
        self.runtime
            .block_on(operator.create_database(database, role))
    }

    /// Forgets a server whose unit is removed, with its data.
    fn end(&mut self) -> Result<(), CounterpartError> {
        if let Some(running) = self.running.take() {
            running
                .kill()
                .map_err(CounterpartError::io("end PostgreSQL"))?;
        }
        (self.unit, self.files, self.data, self.operator) = (None, None, None, None);
        Ok(())
    }

    fn drop_role(&self, role: &str) -> Result<(), PostgresqlError> {
        let Some(operator) = &self.operator else {
            return Ok(());
        };
        self.runtime.block_on(operator.drop_role(role))
    }

    fn new_password(&mut self) -> Result<String, CounterpartError> {
        let password = match self.passwords.pop_front() {
            Some(password) => password,
            None => random_password().map_err(CounterpartError::io("make a password"))?,
        };
        self.made.push(password.clone());
        Ok(password)
    }
}

/// The charm. Juju runs one for each unit; all share the server.
pub struct Postgresql {
    server: Server,
    /// Relations to set up as soon as the server runs, as ops' `defer` would.
    deferred: BTreeSet<(String, u32)>,
}

impl Postgresql {
    /// The charm of an application whose primary is `server`.
    pub fn new(server: Server) -> Self {
        Self {
            server,
            deferred: BTreeSet::new(),
        }
    }

    fn on_start(&self, hook: &mut HookContext<'_>) -> Result<(), CounterpartError> {
        let mut state = self.server.state();
        let first = state.unit.get_or_insert_with(|| hook.unit().to_owned()) == hook.unit();
        if !first {
            return Ok(hook.status_set("active", "")?);
        }
        state.start()?;
        if let Some(ip) = state.node.pod_ip(hook.unit()) {
            let primary = primary(hook);
            state.node.unname(&primary);
            state.node.name(&primary, ip);
        }
        let version = state.query("postgres", "SHOW server_version")?;
        hook.application_version_set(&version.join(""))?;
        Ok(hook.status_set("active", "Primary")?)
    }

    fn on_remove(&self, hook: &HookContext<'_>) -> Result<(), CounterpartError> {
        let mut state = self.server.state();
        if state.unit.as_deref() == Some(hook.unit()) {
            state.end()?;
        }
        Ok(())
    }

    fn on_relation(
        &mut self,
        hook: &mut HookContext<'_>,
        event: &RelationEvent,
    ) -> Result<(), CounterpartError> {
        if !matches!(event.endpoint.as_str(), "db" | "db-admin") || !hook.is_leader() {
            return Ok(());
        }
        match event.change {
            RelationChange::Changed => self.set_up(hook, &event.endpoint, event.id),
            RelationChange::Broken => {
                self.deferred.remove(&(event.endpoint.clone(), event.id));
                if self.server.state().drop_role(&role(event.id)).is_err() {
                    let endpoint = &event.endpoint;
                    let text =
                        format!("Failed to delete user during {endpoint} relation broken event");
                    hook.status_set("blocked", &text)?;
                }
                Ok(())
            }
            // The real charm edits a misspelt key on departure, to no effect.
            RelationChange::Created | RelationChange::Joined | RelationChange::Departed => Ok(()),
        }
    }

    fn set_up(
        &mut self,
        hook: &mut HookContext<'_>,
        endpoint: &str,
        id: u32,
    ) -> Result<(), CounterpartError> {
        if !self.server.state().is_up() {
            self.deferred.insert((endpoint.to_owned(), id));
            return Ok(());
        }
        let client = hook.relation_app(id)?;
        let app = hook.relation_get(id, &client)?;
        let mut units = BTreeMap::new();
        for unit in hook.relation_list(id)? {
            let bag = hook.relation_get(id, &unit)?;
            units.insert(unit, bag);
        }
        let database = match request(&app, &units) {
            Request::Refused(why) => return Ok(hook.status_set("blocked", why)?),
            Request::Nothing => return Ok(()),
            Request::Database(name) => name,
        };
        let own = hook.relation_get(id, hook.unit())?;
        let mut state = self.server.state();
        let password = match own.get("password") {
            Some(password) => password.clone(),
            None => state.new_password()?,
        };
        let user = role(id);
        if state
            .make_role(&database, &user, &password, endpoint == "db-admin")
            .is_err()
        {
            let text = format!("Failed to initialize {endpoint} relation");
            return Ok(hook.status_set("blocked", &text)?);
        }
        let version = state.query("postgres", "SHOW server_version")?.join("");
        let grant = Grant {
            database,
            user,
            password,
            client,
            version,
        };
        let answer = answer(&grant, &units, &Places::of(hook));
        hook.relation_set_app(id, answer.clone())?;
        Ok(hook.relation_set(id, answer)?)
    }

    fn run(&mut self, event: &Event, hook: &mut HookContext<'_>) -> Result<(), CounterpartError> {
        if matches!(event, Event::Start) {
            self.on_start(hook)?;
        }
        for (endpoint, id) in std::mem::take(&mut self.deferred) {
            if hook.is_leader() && hook.relation(id).is_ok() {
                self.set_up(hook, &endpoint, id)?;
            }
        }
        match event {
            Event::Relation(event) => self.on_relation(hook, event),
            Event::Remove => self.on_remove(hook),
            _ => Ok(()),
        }
    }
}

impl Charm for Postgresql {
    fn metadata(&self) -> &str {
        METADATA
    }

    fn dispatch(
        &mut self,
        event: &Event,
        hook: &mut HookContext<'_>,
    ) -> Result<(), Box<dyn Error>> {
        Ok(self.run(event, hook)?)
    }
}

/// The name of the role of a relation.
pub fn role(id: u32) -> String {
    format!("relation_id_{id}")
}

fn service(hook: &HookContext<'_>, service: &str) -> String {
    format!(
        "{}-{service}.{}.svc.cluster.local",
        hook.app(),
        hook.model()
    )
}

fn primary(hook: &HookContext<'_>) -> String {
    service(hook, "primary")
}

#[derive(Debug, PartialEq, Eq)]
enum Request {
    Nothing,
    Refused(&'static str),
    Database(String),
}

/// What the client asks for: in the application's bag, else in the bag of one of its units.
fn request(app: &Settings, units: &BTreeMap<String, Settings>) -> Request {
    if app.contains_key("extensions") || units.values().any(|bag| bag.contains_key("extensions")) {
        return Request::Refused(EXTENSIONS);
    }
    if app.contains_key("roles") {
        return Request::Refused(ROLES);
    }
    let wanted = std::iter::once(app)
        .chain(units.values())
        .find_map(|bag| bag.get("database"));
    wanted.map_or(Request::Nothing, |name| Request::Database(name.clone()))
}

struct Grant {
    database: String,
    user: String,
    password: String,
    client: String,
    version: String,
}

/// Where the servers are, in the words of the real charm.
struct Places {
    pod: String,
    primary: String,
    replicas: String,
}

impl Places {
    fn of(hook: &HookContext<'_>) -> Self {
        let pod = hook.unit().replace('/', "-");
        Self {
            pod: format!("{pod}.{}", service(hook, "endpoints")),
            primary: primary(hook),
            replicas: service(hook, "replicas"),
        }
    }
}

fn answer(grant: &Grant, units: &BTreeMap<String, Settings>, places: &Places) -> Settings {
    let connection = |host: &str| {
        connection_string(&[
            ("host", host),
            ("dbname", &grant.database),
            ("port", &PORT.to_string()),
            ("user", &grant.user),
            ("password", &grant.password),
            ("fallback_application_name", &grant.client),
        ])
    };
    let subnets: BTreeSet<&str> = units
        .values()
        .filter_map(|bag| bag.get("egress-subnets"))
        .flat_map(|subnets| subnets.split(','))
        .map(str::trim)
        .filter(|subnet| !subnet.is_empty())
        .collect();
    [
        (
            "allowed-subnets",
            subnets.into_iter().collect::<Vec<_>>().join(","),
        ),
        (
            "allowed-units",
            units.keys().cloned().collect::<Vec<_>>().join(","),
        ),
        ("host", places.pod.clone()),
        ("master", connection(&places.primary)),
        ("port", PORT.to_string()),
        ("standbys", connection(&places.replicas)),
        ("version", grant.version.clone()),
        ("user", grant.user.clone()),
        ("password", grant.password.clone()),
        ("database", grant.database.clone()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// The real charm's writer: sorted keys, no empty values, quotes only around spaces.
fn connection_string(items: &[(&str, &str)]) -> String {
    let sorted: BTreeMap<&str, &str> = items.iter().copied().collect();
    let written = sorted
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| {
            let value = value
                .replace('\\', r"\\")
                .replace('\'', r"\'")
                .replace('\n', " ");
            if value.contains(' ') {
                format!("{key}='{value}'")
            } else {
                format!("{key}={value}")
            }
        });
    written.collect::<Vec<_>>().join(" ")
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
    use super::*;

    fn bag(items: &[(&str, &str)]) -> Settings {
        items
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn values_are_quoted_as_the_real_charm_quotes_them() {
        let written =
            |password| connection_string(&[("user", "u"), ("password", password), ("x", "")]);
        assert_eq!(written("plain"), "password=plain user=u");
        assert_eq!(written("a b"), "password='a b' user=u");
        assert_eq!(written(r"it's\"), r"password=it\'s\\ user=u");
        assert_eq!(written("a\nb"), "password='a b' user=u");
    }

    #[test]
    fn the_database_is_asked_for_in_either_bag_and_nothing_else_may_be() {
        let none = BTreeMap::new();
        let units = |items: &[(&str, &str)]| BTreeMap::from([("a/0".to_owned(), bag(items))]);
        let wanted = Request::Database("d".to_owned());
        assert_eq!(request(&bag(&[]), &none), Request::Nothing);
        assert_eq!(request(&bag(&[("database", "d")]), &none), wanted);
        assert_eq!(request(&bag(&[]), &units(&[("database", "d")])), wanted);
        let extensions = request(&bag(&[("database", "d")]), &units(&[("extensions", "x")]));
        assert_eq!(extensions, Request::Refused(EXTENSIONS));
        let roles = request(&bag(&[("database", "d"), ("roles", "admin")]), &none);
        assert_eq!(roles, Request::Refused(ROLES));
    }

    #[test]
    fn the_answer_names_all_client_units_and_their_networks() {
        let unit = |subnets| bag(&[("egress-subnets", subnets)]);
        let units = BTreeMap::from([
            ("web/1".to_owned(), unit("10.0.0.9/32, 10.0.0.8/32")),
            ("web/0".to_owned(), unit("10.0.0.8/32")),
            ("web/2".to_owned(), bag(&[])),
        ]);
        let grant = Grant {
            database: "d".to_owned(),
            user: role(7),
            password: "p".to_owned(),
            client: "web".to_owned(),
            version: "14.5".to_owned(),
        };
        let places = Places {
            pod: "pg-0".to_owned(),
            primary: "pg-primary".to_owned(),
            replicas: "pg-replicas".to_owned(),
        };
        let answer = answer(&grant, &units, &places);
        assert_eq!(answer["allowed-subnets"], "10.0.0.8/32,10.0.0.9/32");
        assert_eq!(answer["allowed-units"], "web/0,web/1,web/2");
        assert_eq!(
            answer["master"],
            "dbname=d fallback_application_name=web host=pg-primary password=p port=5432 \
             user=relation_id_7"
        );
        assert!(answer["standbys"].contains("host=pg-replicas "));
    }

    #[test]
    fn passwords_have_sixteen_letters_and_digits_and_differ() {
        let (one, other) = (random_password().unwrap(), random_password().unwrap());
        assert_eq!(one.len(), 16);
        assert!(one.chars().all(|c| c.is_ascii_alphanumeric()));
        assert_ne!(one, other);
    }
}
