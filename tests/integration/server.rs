//! The files of `server`, `postgres::proof` and `temporal::look` against real `PostgreSQL` and Temporal servers.
//!
//! Every test has loopback addresses of its own: the only change to the rendered files is that "every
//! address" becomes that one, and `/etc/temporal` a directory of the test.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rehearsal::servers::certificates::Certificate;
use rehearsal::servers::postgresql::unprivileged;
use temporal_k8s::config::LogLevel;
use temporal_k8s::container::config::Inputs;
use temporal_k8s::container::{FILE_MODE, config, dynamic, layer, read_again};
use temporal_k8s::postgres::{LEASE, StoreFacts, proof, silent_workers, turn};
use temporal_k8s::probe::Probe;
use temporal_k8s::relations::{Heard, Own, State, admin};
use temporal_k8s::secret::Secret;
use temporal_k8s::temporal::health::{Serving, all_is_well, look, shards};
use temporal_k8s::temporal::{
    Database, Image, Member, PerStore, Role, Store, Version, required_schema,
};
use tokio_postgres::{Client, NoTls, Row};

use crate::Temporal;

pub(crate) const LIMIT: Duration = Duration::from_secs(5);
const START_UP: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(200);

/// Neither a URL nor a pass file takes this name as it is.
pub(crate) const USER: &str = "jü ju:ro/le?#%@{{1}}\"'\\";

/// Its password, while the schema is set up.
pub(crate) const PASSWORD: &str = " '\"p:a\\s{{1}}$HOME#&<@/?%wörd\\";

/// A directory that goes away with the test.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("temporal-k8s-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A process that ends with the test.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn stop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// `PostgreSQL` refuses to run as root.
pub(crate) fn as_nobody(program: &Path) -> Command {
    let mut words = unprivileged(root())
        .iter()
        .map(OsStr::new)
        .chain([program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

/// A `PostgreSQL` server with a superuser `postgres`.
pub(crate) struct Postgres {
    pub(crate) process: Process,
    pub(crate) directory: Directory,
    pub(crate) address: IpAddr,
    /// Where its programs are.
    programs: PathBuf,
}

impl Postgres {
    pub(crate) const PORT: u16 = 5432;
    const PASSWORD: &str = "superuser";

    pub(crate) async fn start(name: &str, address: &str) -> Self {
        Self::started(name, address, crate::postgresql().join("bin"), None).await
    }

    /// The same with TLS, for whoever asks for it.
    pub(crate) async fn start_with_tls(name: &str, address: &str, shows: &Certificate) -> Self {
        Self::started(name, address, crate::postgresql_with_tls(), Some(shows)).await
    }

    async fn started(
        name: &str,
        address: &str,
        programs: PathBuf,
        shows: Option<&Certificate>,
    ) -> Self {
        let directory = Directory::new(&format!("postgres-{name}"));
        let password = directory.0.join("password");
        fs::write(&password, Self::PASSWORD).unwrap();
        run(as_nobody(&programs.join("initdb"))
            .args(["--username=postgres", "--auth=scram-sha-256", "--no-sync"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(directory.0.join("data")));
        if let Some(shows) = shows {
            lay_out(&directory, shows);
            let settings = directory.0.join("data/postgresql.auto.conf");
            fs::write(settings, "ssl = on\n").unwrap();
        }
        let address = address.parse().unwrap();
        let process = Self::spawn(&directory, address, &programs);
        let server = Self {
            process,
            directory,
            address,
            programs,
        };
        server.wait().await;
        server
    }

    /// Shows another certificate from now on; sessions that there are stay.
    pub(crate) async fn show(&self, certificate: &Certificate) {
        lay_out(&self.directory, certificate);
        self.execute(&["SELECT pg_reload_conf()".to_owned()]).await;
    }

    fn spawn(directory: &Directory, address: IpAddr, programs: &Path) -> Process {
        let log = File::create(directory.0.join("log")).unwrap();
        let child = as_nobody(&programs.join("postgres"))
            .arg("-D")
            .arg(directory.0.join("data"))
            .args(["-F", "-c", "unix_socket_directories="])
            .args(["-h", &address.to_string(), "-p", &Self::PORT.to_string()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Process(child)
    }

    async fn wait(&self) {
        let superuser = self.superuser("postgres");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match proof(Store::Main, &superuser, LIMIT).await {
                Probe::Unreachable(why) if !why.contains("standby") => {
                    assert!(Instant::now() < deadline, "PostgreSQL did not start: {why}");
                    tokio::time::sleep(PAUSE).await;
                }
                _ => return,
            }
        }
    }

    pub(crate) async fn restart(&mut self) {
        self.process.stop();
        self.process = Self::spawn(&self.directory, self.address, &self.programs);
        self.wait().await;
    }

    pub(crate) fn superuser(&self, name: &str) -> Database {
        self.database(name, "postgres", Self::PASSWORD)
    }

    pub(crate) fn database(&self, name: &str, user: &str, password: &str) -> Database {
        Database {
            relation: 1,
            host: self.address.to_string(),
            port: Self::PORT,
            name: name.to_owned(),
            user: user.to_owned(),
            password: Secret::from(password),
            tls: None,
        }
    }

    /// Each statement by itself, as the superuser.
    pub(crate) async fn execute(&self, statements: &[String]) {
        let client = self.client().await;
        for statement in statements {
            client.batch_execute(statement).await.unwrap();
        }
    }

    /// The one row that answers the superuser's question.
    pub(crate) async fn ask(&self, question: &str) -> Row {
        self.client().await.query_one(question, &[]).await.unwrap()
    }

    async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::Config::new()
            .host(self.address.to_string())
            .port(Self::PORT)
            .user("postgres")
            .password(Self::PASSWORD)
            .dbname("postgres")
            .connect(NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }

    /// Gives [`USER`] a new password, and ends all sessions that used an old one.
    async fn rotate(&self, password: &str) {
        let (user, name) = (identifier(USER), literal(USER));
        self.execute(&[
            format!("ALTER ROLE {user} PASSWORD {}", literal(password)),
            format!(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = {name}"
            ),
        ])
        .await;
    }

    /// The role [`USER`] and its two databases.
    pub(crate) async fn provide(&self, password: &str) -> PerStore<Database> {
        let user = identifier(USER);
        let main = self.database("temporal-k8s_db", USER, password);
        let visibility = self.database("temporal-k8s_visibility", USER, password);
        self.execute(&[
            format!("CREATE ROLE {user} LOGIN PASSWORD {}", literal(password)),
            format!("CREATE DATABASE {} OWNER {user}", identifier(&main.name)),
            format!(
                "CREATE DATABASE {} OWNER {user}",
                identifier(&visibility.name)
            ),
        ])
        .await;
        PerStore { main, visibility }
    }
}

/// Where `PostgreSQL` looks for its certificate and key.
fn lay_out(directory: &Directory, certificate: &Certificate) {
    let texts = [
        ("server.crt", &certificate.certificate),
        ("server.key", &certificate.key),
    ];
    for (name, text) in texts {
        let path = directory.0.join("data").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(FILE_MODE)).unwrap();
    }
}

pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A Temporal server's container, played by a directory.
pub(crate) struct Container {
    directory: Directory,
    temporal: Temporal,
    version: Version,
    address: IpAddr,
    roles: BTreeSet<Role>,
    pub(crate) databases: PerStore<Database>,
    /// What the image sets.
    variables: &'static [(&'static str, &'static str)],
}

/// Variables with which an image may try to mislead the server.
const DIRECTORIES: &[(&str, &str)] = &[
    ("TEMPORAL_ROOT", "/nowhere"),
    ("TEMPORAL_CONFIG_DIR", "nowhere"),
    ("TEMPORAL_ENVIRONMENT", "development"),
    ("TEMPORAL_AVAILABILITY_ZONE", "nowhere"),
    ("TEMPORAL_SERVICES", "nothing"),
    ("HOME", "/nowhere"),
];
/// The other kind. The empty value counts as set.
const ONE_FILE: &[(&str, &str)] = &[
    ("TEMPORAL_SERVER_CONFIG_FILE_PATH", ""),
    ("TEMPORAL_SERVICES", ""),
    ("USER", ""),
    ("HOME", ""),
];

impl Container {
    pub(crate) fn new(
        name: &str,
        version: &str,
        address: &str,
        roles: &[Role],
        databases: &PerStore<Database>,
    ) -> Self {
        let temporal = crate::temporal(version);
        let output = Command::new(&temporal.server)
            .arg("--version")
            .output()
            .unwrap();
        let version = Version::from_output(&String::from_utf8(output.stdout).unwrap()).unwrap();
        let roles = roles
            .iter()
            .copied()
            .filter(|role| *role != Role::InternalFrontend || version.has_internal_frontend())
            .collect();
        let container = Self {
            directory: Directory::new(&format!("temporal-{name}")),
            temporal,
            version,
            address: address.parse().unwrap(),
            roles,
            databases: databases.clone(),
            variables: DIRECTORIES,
        };
        container.write(config::PATH, &container.config());
        container.write(dynamic::PATH, &dynamic::render());
        container.write_read_again();
        container
    }

    /// What stands for `/etc/temporal`.
    fn root(&self) -> String {
        self.directory.0.to_str().unwrap().to_owned()
    }

    fn config(&self) -> String {
        config::render(&Inputs {
            version: self.version,
            databases: PerStore {
                main: &self.databases.main,
                visibility: &self.databases.visibility,
            },
            pools: config::pools(25, 5),
            shards: 4,
            log_level: LogLevel::Info,
            broadcast_address: self.address,
        })
    }

    fn write(&self, path: &str, text: &str) {
        let any = if self.address.is_ipv6() {
            "::"
        } else {
            "0.0.0.0"
        };
        let text = text
            .replace("/etc/temporal", &self.root())
            .replace(&format!("\"{any}\""), &format!("\"{}\"", self.address));
        self.write_raw(path, &text);
    }

    /// The files that the server reads again by itself.
    pub(crate) fn write_read_again(&self) {
        for (path, text) in read_again(&self.databases.as_ref()) {
            self.write_raw(path, text.expose());
        }
    }

    fn write_raw(&self, path: &str, text: &str) {
        let path = PathBuf::from(path.replace("/etc/temporal", &self.root()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE);
        options
            .open(&new)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        fs::rename(new, path).unwrap();
    }

    /// What `temporal-admin-k8s` is told about a store.
    fn told(&self, store: Store) -> serde_json::Value {
        let unit = "temporal-k8s/0".parse().unwrap();
        let stores = PerStore::of(|store| State::Ready(self.databases.get(store).clone()));
        let heard = Heard {
            stores: Some(stores),
            ..Heard::default()
        };
        let said = admin::publish(
            "admin",
            &Own {
                unit: &unit,
                model: "test",
                cluster_domain: "cluster.local",
                leader: true,
                address: Some(self.address),
                config: None,
                heard: &heard,
            },
        );
        let told = said.unwrap().app["database_connections"].expose().clone();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let key = match store {
            Store::Main => "db",
            Store::Visibility => "visibility",
        };
        told[key].clone()
    }

    /// What `temporal-admin-k8s` does, with the pass file that the server will use.
    pub(crate) fn set_up_schema(&self) {
        for store in Store::ALL {
            self.schema_steps(store).iter_mut().for_each(run);
        }
    }

    /// The same for one store; says whether it worked.
    pub(crate) fn try_schema(&self, store: Store) -> bool {
        let mut steps = self.schema_steps(store);
        steps
            .iter_mut()
            .all(|step| step.output().unwrap().status.success())
    }

    fn schema_steps(&self, store: Store) -> [Command; 2] {
        let rendered: serde_json::Value = serde_saphyr::from_str(&self.config()).unwrap();
        let generation = if self.version.plugin() == "postgres" {
            "v96"
        } else {
            "v12"
        };
        let (directory, key) = match store {
            Store::Main => ("temporal", "default"),
            Store::Visibility => ("visibility", "visibility"),
        };
        let sql = &rendered["persistence"]["datastores"][key]["sql"];
        let told = self.told(store);
        let tool = || {
            let mut command = Command::new(&self.temporal.sql_tool);
            command
                .env("PGPASSFILE", self.directory.0.join("pgpass"))
                .args(["--plugin", self.version.plugin()])
                .args(["--ep", told["host"].as_str().unwrap()])
                .args(["-p", told["port"].as_str().unwrap()])
                .args(["-u", sql["user"].as_str().unwrap()])
                .args(["--db", told["dbname"].as_str().unwrap()]);
            if told["tls"] == true {
                command.args(["--tls", "--tls-disable-host-verification"]);
            }
            command
        };
        let steps = self.temporal.schema.join(generation).join(directory);
        let (mut first, mut second) = (tool(), tool());
        first.args(["setup-schema", "-v", "0.0"]);
        second
            .args(["update-schema", "-d"])
            .arg(steps.join("versioned"));
        [first, second]
    }

    /// What Pebble does with our layer, in an environment that tries to mislead the server.
    pub(crate) fn start(&self) -> Process {
        let variables = self.variables.iter().map(|(name, _)| (*name).to_owned());
        let image = Image {
            version: self.version,
            variables: variables.collect(),
        };
        let service = layer::service(&image, &self.roles, &self.config(), "these stores");
        let command = service.command.replace("/etc/temporal", &self.root());
        let mut words = command.split(' ');
        assert_eq!(words.next(), Some("temporal-server"));
        let log = File::create(self.directory.0.join("log")).unwrap();
        let child = Command::new(&self.temporal.server)
            .args(words)
            .current_dir(&self.directory.0)
            .env_clear()
            .envs(self.variables.iter().copied())
            .envs(
                service
                    .environment
                    .into_iter()
                    .map(|(name, value)| (name, value.replace("/etc/temporal", &self.root()))),
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Process(child)
    }

    pub(crate) async fn look(&self) -> Serving {
        look(self.address, &self.roles, Some(self.version), LIMIT).await
    }

    /// What it says when it serves, or in the end.
    pub(crate) async fn serving_within(&self, limit: Duration) -> Serving {
        let deadline = Instant::now() + limit;
        loop {
            let serving = self.look().await;
            if all_is_well(&serving) || Instant::now() >= deadline {
                return serving;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(crate) async fn wait(&self) -> Serving {
        let started = Instant::now();
        let serving = self.serving_within(START_UP).await;
        assert!(all_is_well(&serving), "{serving:?}\n{}", self.log());
        println!(
            "{} {:?} serves after {:?}",
            self.version,
            self.roles,
            started.elapsed()
        );
        serving
    }

    pub(crate) async fn proofs(&self) -> PerStore<StoreFacts> {
        let facts = async |store| match proof(store, self.databases.get(store), LIMIT).await {
            Probe::Known(facts) => facts,
            other => panic!("{store}: {other:?}"),
        };
        PerStore {
            main: facts(Store::Main).await,
            visibility: facts(Store::Visibility).await,
        }
    }

    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.directory.0.join("log")).unwrap();
        let lines: Vec<_> = log.lines().collect();
        let from = lines.len().saturating_sub(30);
        lines[from..].join("\n")
    }
}

/// From an empty database to a server that survives the loss of it.
async fn deploy(version: &str, database_address: &str, address: &str) {
    let mut postgres = Postgres::start(&format!("deploy-{version}"), database_address).await;
    let databases = postgres.provide(PASSWORD).await;
    let container = Container::new(
        &format!("deploy-{version}"),
        version,
        address,
        &Role::ALL,
        &databases,
    );

    let proofs = container.proofs().await;
    for said in [proofs.main, proofs.visibility] {
        let empty = StoreFacts {
            connections: said.connections.clone(),
            ..StoreFacts::default()
        };
        assert_eq!(said, empty);
    }
    container.set_up_schema();
    let proofs = container.proofs().await;
    let required = required_schema(container.version).unwrap();
    assert_eq!(proofs.main.schema, Some(required.main));
    assert_eq!(proofs.visibility.schema, Some(required.visibility));
    assert_eq!(proofs.main.shards, None);

    let mut server = container.start();
    let serving = container.wait().await;
    assert_eq!(serving.version, Some(container.version));
    assert_eq!(serving.store, Some(Ok(())));
    assert_eq!(serving.roles.len(), container.roles.len());
    let proofs = container.proofs().await;
    assert_eq!(
        (proofs.main.shards, proofs.visibility.shards),
        (Some(4), None)
    );

    postgres.process.stop();
    let serving = container.look().await;
    println!("{version} without a database: {serving:?}");
    assert!(matches!(serving.store, Some(Err(_))), "{serving:?}");
    postgres.restart().await;
    container.wait().await;

    server.stop();
    let serving = container.look().await;
    println!("{version} stopped: {serving:?}");
    let refused = format!(
        "connection refused by {}",
        std::net::SocketAddr::new(container.address, 7233)
    );
    assert_eq!(serving.roles[&Role::Frontend], Err(refused.clone()));
    assert_eq!(serving.store, Some(Err(refused)));
}

#[tokio::test]
async fn the_newest_server_serves() {
    deploy("1.32.2", "127.61.1.1", "127.61.1.2").await;
}

#[tokio::test]
async fn the_server_of_2024_serves() {
    deploy("1.23.1", "127.61.2.1", "127.61.2.2").await;
}

#[tokio::test]
async fn the_first_server_serves() {
    deploy("1.17.4", "127.61.3.1", "127.61.3.2").await;
}

/// Every key of the dynamic configuration that has to do with the start of history, at its quickest.
const QUICKEST: &str = "
history.acquireShardConcurrency: [{value: 30}]
history.acquireShardInterval: [{value: 1s}]
history.alignMembershipChange: [{value: 0s}]
history.shardLingerTimeLimit: [{value: 0s}]
history.startupMembershipJoinDelay: [{value: 0s}]
system.ringpopApproximateMaxPropagationTime: [{value: 0s}]
";

/// From 1.28 on, a history process that has its first shards calls itself not serving for five more seconds, whatever is
/// configured. `docs/performance.md` says so; a server that no longer does is good news for its readers.
#[tokio::test]
async fn no_key_shortens_the_five_seconds_in_which_shards_settle() {
    let postgres = Postgres::start("settle", "127.61.9.1").await;
    let databases = postgres.provide(PASSWORD).await;
    let address = "127.61.9.2";
    let container = Container::new("settle", "1.32.2", address, &Role::ALL, &databases);
    container.write_raw(dynamic::PATH, QUICKEST);
    container.set_up_schema();
    let _server = container.start();
    let begin = Instant::now();
    while shards(&[container.address], LIMIT).await.len() < 4 {
        assert!(begin.elapsed() < START_UP, "{}", container.log());
        tokio::time::sleep(PAUSE / 10).await;
    }
    let owned = Instant::now();
    let said = container.look().await;
    assert!(said.roles[&Role::History].is_err(), "{said:?}");
    container.wait().await;
    let settled = owned.elapsed();
    println!("1.32.2 serves {settled:?} after it has all shards");
    // it had them a moment before they were seen
    assert!(settled > Duration::from_secs(4), "{settled:?}");
}

/// Passwords that some notation would not carry; each is rotated in under the running server, and must be what
/// its next connections log in with.
async fn rotate(version: &str, database_address: &str, address: &str) {
    let postgres = Postgres::start(&format!("rotate-{version}"), database_address).await;
    let databases = postgres.provide(PASSWORD).await;
    let mut container = Container::new(
        &format!("rotate-{version}"),
        version,
        address,
        &Role::ALL,
        &databases,
    );
    container.variables = ONE_FILE;
    container.set_up_schema();
    let _server = container.start();
    container.wait().await;

    let long = "a:\\ ".repeat(50);
    let passwords = [
        "'single' \"double\" `back`",
        " spaces around ",
        "co:lo:ns:",
        "back\\slash\\\\es\\",
        "{{1}} {{env \"HOME\"}}",
        "$HOME ${HOME} $(id) $$",
        "#not a comment",
        "&amp;<tag>&",
        "Äöß ñ 日本 🔑",
        "*",
        "tab\there",
        "@/?%20+%",
        &long,
    ];
    for password in passwords {
        for database in [
            &mut container.databases.main,
            &mut container.databases.visibility,
        ] {
            database.password = Secret::from(password);
        }
        container.write_read_again();
        postgres.rotate(password).await;
        let serving = container.serving_within(LIMIT * 4).await;
        assert!(
            all_is_well(&serving),
            "{password}: {serving:?}\n{}",
            container.log()
        );
        assert_eq!(container.proofs().await.main.shards, Some(4), "{password}");
    }

    postgres.rotate("one that nobody told the server").await;
    let serving = container.look().await;
    assert!(matches!(serving.store, Some(Err(_))), "{serving:?}");
}

#[tokio::test]
async fn passwords_reach_the_database_through_the_newest_server() {
    rotate("1.32.2", "127.61.1.3", "127.61.1.4").await;
}

#[tokio::test]
async fn passwords_reach_the_database_through_the_server_of_2024() {
    rotate("1.23.1", "127.61.2.3", "127.61.2.4").await;
}

#[tokio::test]
async fn passwords_reach_the_database_through_the_first_server() {
    rotate("1.17.4", "127.61.3.3", "127.61.3.4").await;
}

/// The roles in two processes with addresses of their own, the frontend's first or last.
async fn split(version: &str, network: &str) {
    for (number, frontend_first) in [(5, true), (8, false)] {
        let name = format!("split-{version}-{number}");
        let host = |offset: i32| format!("{network}.{}", number + offset);
        let postgres = Postgres::start(&name, &host(0)).await;
        let databases = postgres.provide(PASSWORD).await;
        let front = [Role::Frontend, Role::InternalFrontend];
        let back = [Role::History, Role::Matching, Role::Worker];
        let front = Container::new(
            &format!("{name}-front"),
            version,
            &host(1),
            &front,
            &databases,
        );
        let back = Container::new(
            &format!("{name}-back"),
            version,
            &host(2),
            &back,
            &databases,
        );
        front.set_up_schema();
        let (first, second) = if frontend_first {
            (&front, &back)
        } else {
            (&back, &front)
        };
        let _first = first.start();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let _second = second.start();
        front.wait().await;
        let serving = back.wait().await;
        assert_eq!((serving.store, serving.version), (None, None));
    }
}

#[tokio::test]
async fn the_newest_server_serves_in_two_parts() {
    split("1.32.2", "127.61.1").await;
}

#[tokio::test]
async fn the_server_of_2024_serves_in_two_parts() {
    split("1.23.1", "127.61.2").await;
}

/// Proof, turn, schema, pass file, addresses to dial and to listen at: a whole deployment without IPv4.
/// A server that runs the worker only shows itself while it works, and not for longer.
async fn work(version: &str, network: &str) {
    let name = format!("work-{version}");
    let host = |number: u8| format!("{network}.{number}");
    let postgres = Postgres::start(&name, &host(1)).await;
    let databases = postgres.provide(PASSWORD).await;
    let front = [
        Role::Frontend,
        Role::InternalFrontend,
        Role::History,
        Role::Matching,
    ];
    let make = |part: &str, number, roles: &[Role]| {
        let name = format!("{name}-{part}");
        Container::new(&name, version, &host(number), roles, &databases)
    };
    let front = make("front", 2, &front);
    let worker = make("worker", 3, &[Role::Worker]);
    let beats = async || {
        let limit = Duration::from_secs(20);
        let worker = BTreeSet::from([worker.address]);
        let silent = silent_workers(&databases.main, worker, limit)
            .await
            .unwrap();
        silent.is_empty()
    };
    let looks = async || worker.look().await.roles[&Role::Worker].clone();
    front.set_up_schema();
    let mut front_process = front.start();
    front.wait().await;
    assert!(looks().await.is_err(), "nothing runs");
    let mut process = worker.start();
    worker.wait().await;
    let begin = Instant::now();
    assert!(beats().await);
    println!("{version}: another heartbeat after {:?}", begin.elapsed());
    process.stop();
    assert!(looks().await.is_err(), "it has ended");
    let ring = worker.proofs().await.main.members;
    let is_worker = |member: &Member| member.role == Role::Worker;
    assert!(
        ring.iter().any(is_worker),
        "its last heartbeat looks alive: {ring:?}"
    );
    assert!(!beats().await);
    if version == "1.32.2" {
        // it waits for a frontend, in vain: a process and its heartbeats are there, but it says nothing
        front_process.stop();
        process = worker.start();
        let serving = worker.serving_within(Duration::from_secs(15)).await;
        println!("{version} without a frontend: {serving:?}");
        assert!(!all_is_well(&serving), "{serving:?}");
        process.stop();
    }
}

#[tokio::test]
async fn the_newest_worker_is_seen_while_it_works() {
    work("1.32.2", "127.61.5").await;
}

#[tokio::test]
async fn the_worker_of_2024_is_seen_while_it_works() {
    work("1.23.1", "127.61.6").await;
}

#[tokio::test]
async fn a_server_serves_on_ipv6() {
    for version in ["1.17.4", "1.23.1", "1.32.2"] {
        let postgres = Postgres::start(&format!("v6-{version}"), "::1").await;
        let databases = postgres.provide(PASSWORD).await;
        turn(&databases.main, LIMIT, LEASE).await.unwrap();
        let name = format!("v6-{version}");
        let container = Container::new(&name, version, "::1", &Role::ALL, &databases);
        container.set_up_schema();
        let _server = container.start();
        container.wait().await;
    }
}

#[tokio::test]
async fn a_database_that_will_not_do_says_why() {
    let mut postgres = Postgres::start("refusals", "127.61.4.1").await;
    let databases = postgres.provide(PASSWORD).await;
    let why = async |database: &Database| match proof(Store::Main, database, LIMIT).await {
        Probe::Unreachable(why) => why,
        other => panic!("{other:?}"),
    };

    let wrong = Database {
        password: Secret::from("wrong"),
        ..databases.main.clone()
    };
    assert_eq!(
        why(&wrong).await,
        format!("password refused for `{USER}` by 127.61.4.1:5432")
    );
    let missing = Database {
        name: "missing".to_owned(),
        ..databases.main.clone()
    };
    assert_eq!(
        why(&missing).await,
        "database `missing` does not exist on 127.61.4.1:5432"
    );
    postgres
        .execute(&[format!("ALTER ROLE {} NOLOGIN", identifier(USER))])
        .await;
    let locked = why(&databases.main).await;
    assert!(locked.contains("is not permitted to log in"), "{locked}");
    postgres
        .execute(&[format!(
            "ALTER ROLE {} LOGIN CONNECTION LIMIT 0",
            identifier(USER)
        )])
        .await;
    assert_eq!(
        why(&databases.main).await,
        format!(
            "127.61.4.1:5432 has no free connection (too many connections for role \"{USER}\")"
        )
    );

    fs::write(postgres.directory.0.join("data/standby.signal"), "").unwrap();
    postgres.restart().await;
    assert_eq!(
        why(&postgres.superuser("temporal-k8s_db")).await,
        "127.61.4.1:5432 is a standby, not the primary"
    );
    postgres.process.stop();
    assert_eq!(
        why(&databases.main).await,
        "connection refused by 127.61.4.1:5432"
    );
}
