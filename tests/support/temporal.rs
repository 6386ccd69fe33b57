//! A Temporal Server that starts, refuses to start and answers as the real one does, without doing any work.
//!
//! It reads its own configuration and pass file from the container, logs in to the (fake) databases with what
//! it finds there, checks the schema, and listens on the gRPC ports of its roles at the pod's address.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::task::AbortHandle;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::container::File;
use super::postgres::{Database, Login, Postgres, Refusal};
use super::{RUNTIME, lock};

/// The container's files, read again whenever the server needs one.
pub(crate) type Files = Arc<Mutex<BTreeMap<String, File>>>;

/// How a running server treats its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It serves.
    Serving,
    /// It answers that it does not serve: it has found no other member of the ring.
    NotServing,
}

/// What an image brings besides the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Brings {
    /// Layers of Pebble's, by label.
    pub layers: Vec<(String, String)>,
    /// Variables of the environment.
    pub variables: BTreeMap<String, String>,
}

impl Brings {
    /// Of its files, only those that mean something to Pebble are of interest here.
    pub(crate) fn new(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Self {
        let layer = |(path, text): &(&str, &str)| {
            let name = path.strip_prefix("/var/lib/pebble/default/layers/")?;
            let (_order, label) = name.strip_suffix(".yaml")?.split_once('-')?;
            Some((label.to_owned(), (*text).to_owned()))
        };
        Self {
            layers: files.iter().filter_map(layer).collect(),
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }
}

/// What a container image holds.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Such as `1.32.2`.
    version: String,
    mood: Arc<Mutex<Mood>>,
    brings: Arc<Mutex<Brings>>,
    /// Servers that start now will never serve.
    barred: Arc<AtomicBool>,
    ip: Ipv4Addr,
    postgres: Arc<Postgres>,
}

/// A running server; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    listeners: Vec<AbortHandle>,
    server: Arc<Server>,
    members: Vec<(i32, String)>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.listeners.iter().for_each(AbortHandle::abort);
        // its heartbeats are old at once
        let leave = |database: &mut Database| {
            database.members.retain(|it| !self.members.contains(it));
        };
        _ = self.server.main.with(leave);
    }
}

impl Image {
    /// An image whose containers have this address and reach this database.
    pub(crate) fn new(version: &str, ip: Ipv4Addr, postgres: &Arc<Postgres>) -> Self {
        Self {
            version: version.to_owned(),
            mood: Arc::new(Mutex::new(Mood::Serving)),
            brings: Arc::default(),
            barred: Arc::default(),
            ip,
            postgres: Arc::clone(postgres),
        }
    }

    /// Changes how the running server and the next ones treat their callers.
    pub(crate) fn set_mood(&self, mood: Mood) {
        *lock(&self.mood) = mood;
    }

    /// Changes what it brings besides the server, for containers that are made from now on.
    pub(crate) fn set_brings(&self, brings: Brings) {
        *lock(&self.brings) = brings;
    }

    /// What it brings besides the server.
    pub(super) fn brings(&self) -> Brings {
        lock(&self.brings).clone()
    }

    /// Changes whether servers that start from now on ever serve.
    pub(crate) fn bar(&self, barred: bool) {
        self.barred.store(barred, Ordering::Relaxed);
    }

    fn mood(&self) -> Arc<Mutex<Mood>> {
        if self.barred.load(Ordering::Relaxed) {
            Arc::new(Mutex::new(Mood::NotServing))
        } else {
            Arc::clone(&self.mood)
        }
    }

    pub(super) fn version_output(&self) -> String {
        format!("temporal version {}\n", self.version)
    }

    /// Starts the server of a service's definition. `Err` is its last line of output.
    pub(super) fn start(&self, service: &Value, files: &Files) -> Result<Process, String> {
        let version = self.version.clone();
        let minor = minor(&version);
        let command = Command::parse(&service["command"], minor, &self.brings().variables)?;
        let config = read(files, &command.config)?;
        let config: Value = serde_saphyr::from_str(&config)
            .map_err(|_| "config file corrupted: yaml".to_owned())?;
        self.check(&config, files, minor)?;
        let pass_file = service["environment"]["PGPASSFILE"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let store =
            |name: &str| Store::new(&config, name, files, &pass_file, &self.postgres, minor);
        let main = store("default")?;
        let visibility = store("visibility")?;
        let (main_schema, visibility_schema) = required(minor);
        main.check_schema(main_schema)?;
        visibility.check_schema(visibility_schema)?;
        let wanted = config["persistence"]["numHistoryShards"]
            .as_u64()
            .unwrap_or_default();
        let wanted = u32::try_from(wanted).ok().filter(|shards| *shards > 0);
        let wanted = wanted.ok_or("persistence.numHistoryShards: zero value")?;
        // the value of the first start stays for ever
        main.with(|database| *database.shards.get_or_insert(wanted))
            .map_err(|_| NO_CONNECTION)?;
        let server = Arc::new(Server {
            version,
            main,
            mood: self.mood(),
            ip: self.ip,
            owned: AtomicBool::new(false),
        });
        self.listen(&command.roles, &config, &server)
    }

    fn check(&self, config: &Value, files: &Files, minor: u32) -> Result<(), String> {
        let broadcast = config["global"]["membership"]["broadcastAddress"].as_str();
        if broadcast != Some(self.ip.to_string().as_str()) {
            return Err(format!("malformed broadcastAddress: {broadcast:?}"));
        }
        let dynamic = config["dynamicConfigClient"]["filepath"]
            .as_str()
            .unwrap_or_default();
        read(files, dynamic)?;
        let has_client = config.get("publicClient").is_some();
        let has_internal = config["services"].get("internal-frontend").is_some();
        if minor < 20 && !has_client {
            return Err("need to provide an endpoint config for PublicClient".to_owned());
        }
        if has_internal && has_client {
            return Err("when using internal-frontend, publicClient must be empty".to_owned());
        }
        Ok(())
    }

    fn listen(
        &self,
        roles: &[String],
        config: &Value,
        server: &Arc<Server>,
    ) -> Result<Process, String> {
        let numbers = [
            "frontend",
            "history",
            "matching",
            "worker",
            "internal-frontend",
        ];
        // before 1.31, a worker is seen by its place in the ring only
        let is_old = minor(&self.version) < 31;
        let barred = is_old && self.barred.load(Ordering::Relaxed);
        let hides = |role: &str| barred && role == "worker";
        let member = |(number, name): (i32, &str)| {
            let runs = roles.iter().any(|role| role == name && !hides(role));
            runs.then(|| (number, self.ip.to_string()))
        };
        let mut process = Process {
            listeners: Vec::new(),
            server: Arc::clone(server),
            members: (1..).zip(numbers).filter_map(member).collect(),
        };
        let join = |database: &mut Database| database.members.extend(process.members.clone());
        server.main.with(join).map_err(|_| NO_CONNECTION)?;
        server.shards();
        for role in roles.iter().filter(|role| !hides(role)) {
            let rpc = &config["services"][role]["rpc"];
            let kind = if role == "worker" && is_old {
                "membershipPort"
            } else {
                "grpcPort"
            };
            let port = rpc[kind].as_u64().and_then(|port| u16::try_from(port).ok());
            let port = port.ok_or_else(|| format!("\"{role}\" service is missing in config"))?;
            let listener = bind(SocketAddr::from((self.ip, port)))?;
            let server = Arc::clone(server);
            let task = accept(listener, role.clone(), server);
            process.listeners.push(RUNTIME.spawn(task).abort_handle());
        }
        Ok(process)
    }
}

const NO_CONNECTION: &str = "no usable database connection found";

/// A killed server's port is free a moment later.
fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let end = Instant::now() + Duration::from_secs(3);
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) if Instant::now() > end => return Err(format!("{address}: {error}")),
            // the killed server's tasks wait for this very worker of the runtime
            Err(_) => tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(1))),
        }
    }
}

fn minor(version: &str) -> u32 {
    version
        .split('.')
        .nth(1)
        .and_then(|minor| minor.parse().ok())
        .expect("a server version")
}

/// What the server's own constants say, for the versions that scenarios use.
fn required(minor: u32) -> ((u32, u32), (u32, u32)) {
    match minor {
        17 => ((1, 8), (1, 1)),
        23 => ((1, 11), (1, 4)),
        32 => ((1, 19), (1, 14)),
        other => panic!("no scenario uses 1.{other}"),
    }
}

fn read(files: &Files, path: &str) -> Result<String, String> {
    let files = lock(files);
    let file = files
        .get(path)
        .ok_or_else(|| format!("no config files found within {path}"))?;
    Ok(String::from_utf8_lossy(&file.content).into_owned())
}

struct Command {
    config: String,
    roles: Vec<String>,
}

impl Command {
    fn parse(
        command: &Value,
        minor: u32,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let words: Vec<&str> = command
            .as_str()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let flag = |name: &str| {
            let at = words.iter().position(|word| *word == name);
            at.and_then(|at| words.get(at + 1))
                .copied()
                .unwrap_or_default()
        };
        if words.first() != Some(&"temporal-server") || !words.contains(&"start") {
            return Err("unknown command".to_owned());
        }
        let names = |names: &[&str]| names.iter().any(|name| words.contains(name));
        let sets = |names: &[&str]| names.iter().any(|name| variables.contains_key(*name));
        let one_file = names(&["--config-file"]) || sets(&["TEMPORAL_SERVER_CONFIG_FILE_PATH"]);
        let directory = names(&["--root", "--config", "--env"])
            || sets(&[
                "TEMPORAL_ROOT",
                "TEMPORAL_CONFIG_DIR",
                "TEMPORAL_ENVIRONMENT",
            ]);
        if minor >= 30 && one_file && directory {
            let refusal = "can not use --config, --env, --zone, or --root with --config-file";
            return Err(format!("ERROR: {refusal}"));
        }
        let config = match flag("--config-file") {
            "" => format!(
                "{}/{}/{}.yaml",
                flag("--root"),
                flag("--config"),
                flag("--env")
            ),
            path => path.to_owned(),
        };
        let mut known = vec!["frontend", "history", "matching", "worker"];
        if minor >= 20 {
            known.push("internal-frontend");
        }
        let roles: Vec<String> = words
            .iter()
            .filter_map(|word| word.strip_prefix("--service="))
            .map(str::to_owned)
            .collect();
        match roles.iter().find(|role| !known.contains(&role.as_str())) {
            Some(role) => Err(format!("invalid service \"{role}\" in service list")),
            None => Ok(Self { config, roles }),
        }
    }
}

/// One of the server's two databases, reached anew for every question.
#[derive(Debug)]
struct Store {
    place: String,
    database: String,
    user: String,
    files: Files,
    pass_file: String,
    postgres: Arc<Postgres>,
}

impl Store {
    fn new(
        config: &Value,
        name: &str,
        files: &Files,
        pass_file: &str,
        postgres: &Arc<Postgres>,
        minor: u32,
    ) -> Result<Self, String> {
        let sql = &config["persistence"]["datastores"][name]["sql"];
        let text = |key: &str| sql[key].as_str().unwrap_or_default().to_owned();
        let plugin = text("pluginName");
        let known = match minor {
            ..20 => ["postgres", ""],
            20..24 => ["postgres", "postgres12"],
            _ => ["postgres12", "postgres12_pgx"],
        };
        if !known.contains(&plugin.as_str()) {
            return Err(format!(
                "unknown plugin \"{plugin}\", supported plugins: {known:?}"
            ));
        }
        Ok(Self {
            place: text("connectAddr"),
            database: text("databaseName"),
            user: text("user"),
            files: Arc::clone(files),
            pass_file: pass_file.to_owned(),
            postgres: Arc::clone(postgres),
        })
    }

    /// As libpq finds it: the first line whose four fields are ours, in a file that only its owner can read.
    fn password(&self) -> Option<String> {
        let files = lock(&self.files);
        let file = files
            .get(&self.pass_file)
            .filter(|file| file.permissions == "600")?;
        let text = String::from_utf8_lossy(&file.content);
        let (host, port) = self.place.rsplit_once(':')?;
        let wanted = [host, port, &self.database, &self.user];
        text.lines().find_map(|line| {
            let fields = fields(line);
            let (password, place) = fields.split_last()?;
            (place == wanted).then(|| password.clone())
        })
    }

    fn with<R>(&self, act: impl FnOnce(&mut Database) -> R) -> Result<R, Refusal> {
        if self.place != self.postgres.address().to_string() {
            return Err(Refusal::Unreachable);
        }
        let password = self.password().ok_or(Refusal::BadPassword)?;
        let login = Login {
            user: &self.user,
            password: &password,
            database: &self.database,
        };
        self.postgres.with(&login, act)
    }

    fn check_schema(&self, needs: (u32, u32)) -> Result<(), String> {
        let has = self
            .with(|database| {
                database
                    .schema
                    .as_ref()
                    .map(|it| it.get(&self.database).cloned())
            })
            .map_err(|_| NO_CONNECTION)?;
        let check = "sql schema version compatibility check failed";
        let Some(Some(has)) = has else {
            return Err(format!(
                "{check}: unable to read DB schema version keyspace/database: {} error: pq: \
                 relation \"schema_version\" does not exist",
                self.database
            ));
        };
        let numbers: Vec<u32> = has
            .split('.')
            .filter_map(|part| part.parse().ok())
            .collect();
        if numbers.as_slice() < [needs.0, needs.1].as_slice() {
            return Err(format!(
                "{check}: version mismatch for keyspace/database: {}",
                self.database
            ));
        }
        Ok(())
    }
}

/// The fields of a line of the pass file, with `\:` and `\\` undone.
fn fields(line: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => field.extend(characters.next()),
            ':' if fields.len() < 4 => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

#[derive(Debug)]
struct Server {
    version: String,
    main: Store,
    mood: Arc<Mutex<Mood>>,
    ip: Ipv4Addr,
    /// Has its history ever owned a shard?
    owned: AtomicBool,
}

async fn accept(listener: TcpListener, role: String, server: Arc<Server>) {
    listener.set_nonblocking(true).expect("a socket");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        _ = stream.set_nodelay(true);
        let (role, server) = (role.clone(), Arc::clone(&server));
        let service = hyper::service::service_fn(move |request| {
            let (role, server) = (role.clone(), Arc::clone(&server));
            async move { Ok::<_, Infallible>(server.answer(&role, request).await) }
        });
        connections.spawn(
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service),
        );
        while connections.try_join_next().is_some() {}
    }
}

impl Server {
    /// The shards that the ring gives to this process' history now: they go round among its members.
    fn shards(&self) -> Vec<i32> {
        let own = |database: &mut Database| {
            let ring = database.members.iter().filter(|(role, _)| *role == 2);
            let ring: Vec<&String> = ring.map(|(_, address)| address).collect();
            let own = self.ip.to_string();
            let place = ring.iter().position(|address| **address == own);
            let all = 1..=database.shards.unwrap_or_default().cast_signed();
            let is_own = |shard: &i32| Some(shard.unsigned_abs() as usize % ring.len()) == place;
            all.filter(|shard| !ring.is_empty() && is_own(shard))
                .collect()
        };
        let shards: Vec<i32> = self.main.with(own).unwrap_or_default();
        if !shards.is_empty() {
            self.owned.store(true, Ordering::Relaxed);
        }
        shards
    }

    async fn answer(
        &self,
        role: &str,
        request: hyper::Request<Incoming>,
    ) -> hyper::Response<tonic::body::Body> {
        let path = request.uri().path().to_owned();
        let workflow = matches!(role, "frontend" | "internal-frontend");
        match path.as_str() {
            "/grpc.health.v1.Health/Check" => {
                let name = match role {
                    "history" => "temporal.api.workflowservice.v1.HistoryService",
                    "matching" => "temporal.api.workflowservice.v1.MatchingService",
                    "worker" => "temporal.api.workflowservice.v1.WorkerService",
                    _ => "temporal.api.workflowservice.v1.WorkflowService",
                };
                self.shards();
                let owned = role != "history" || self.owned.load(Ordering::Relaxed);
                let serves = *lock(&self.mood) == Mood::Serving && owned;
                unary(request, move |asked: HealthRequest| {
                    if asked.service != name {
                        return Err(Status::new(Code::NotFound, "unknown service"));
                    }
                    Ok(HealthResponse {
                        status: if serves { 1 } else { 2 },
                    })
                })
                .await
            }
            "/temporal.api.workflowservice.v1.WorkflowService/ListNamespaces" if workflow => {
                let outcome = self.main.with(|_| ());
                unary(request, move |_: Empty| match outcome {
                    Ok(()) => Ok(Empty {}),
                    Err(why) => Err(Status::new(Code::Unavailable, format!("{why:?}"))),
                })
                .await
            }
            "/temporal.server.api.historyservice.v1.HistoryService/DescribeHistoryHost"
                if role == "history" =>
            {
                let shard_ids = self.shards();
                unary(request, move |_: Empty| Ok(HistoryHost { shard_ids })).await
            }
            "/temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo" if workflow => {
                let server_version = self.version.clone();
                unary(request, move |_: Empty| Ok(SystemInfo { server_version })).await
            }
            _ => {
                let refuse = |_: Empty| Err::<Empty, _>(Status::new(Code::Unimplemented, path));
                unary(request, refuse).await
            }
        }
    }
}

struct Once<F>(Option<F>);

impl<F, Q, A> UnaryService<Q> for Once<F>
where
    F: FnOnce(Q) -> Result<A, Status>,
{
    type Response = A;
    type Future = Ready<Result<tonic::Response<A>, Status>>;

    fn call(&mut self, request: tonic::Request<Q>) -> Self::Future {
        let answer = self.0.take().expect("one call for each request");
        ready(answer(request.into_inner()).map(tonic::Response::new))
    }
}

async fn unary<Q, A>(
    request: hyper::Request<Incoming>,
    answer: impl FnOnce(Q) -> Result<A, Status>,
) -> hyper::Response<tonic::body::Body>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + 'static,
{
    Grpc::new(ProstCodec::<A, Q>::default())
        .unary(Once(Some(answer)), request)
        .await
}

#[derive(Clone, PartialEq, prost::Message)]
struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HistoryHost {
    #[prost(int32, repeated, tag = "2")]
    shard_ids: Vec<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SystemInfo {
    #[prost(string, tag = "1")]
    server_version: String,
}
