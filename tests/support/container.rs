//! A workload container as its Pebble knows it: files, layers, services, changes. No transport here.
//!
//! Changes are finished at once, and a service that is to be restarted after a delay is restarted when
//! somebody looks at it next: nothing in a fast test waits for a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use serde_json::{Map, Value, json};

use super::lock;
use super::temporal::{Files, Image, Process};

/// What goes wrong on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Replies to paths that begin so break off in the middle.
    Truncate(&'static str),
    /// Requests to paths that begin so are never answered.
    Silence(&'static str),
    /// The file system is full.
    NoSpace,
    /// Commands run through exec end with this code and print this.
    Exec(i32, &'static str),
    /// The server exits as soon as it is started, with these last words.
    Crash(&'static str),
}

/// A file in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// What is in it.
    pub content: Vec<u8>,
    /// Three octal digits.
    pub permissions: String,
}

/// A request that may change something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    /// The path.
    pub path: String,
    /// What was asked; of files only where, not what.
    pub body: String,
}

/// What Pebble answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Done.
    Sync(Value),
    /// Begun.
    Change(u64, Value),
    /// Refused: HTTP status, kind, message.
    Error(u16, &'static str, String),
    /// A multipart form: content type and body.
    Form(String, Vec<u8>),
    /// One JSON document per line.
    Lines(String),
    /// Nothing, ever.
    Silence,
}

impl Reply {
    fn bad(message: impl Into<String>) -> Self {
        Self::Error(400, "", message.into())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Current {
    Active,
    Inactive,
    Backoff,
}

#[derive(Debug)]
struct Service {
    current: Current,
    /// What it was last started with.
    config: Value,
    process: Option<Process>,
}

#[derive(Debug, Default)]
struct State {
    boot: u32,
    faults: Vec<Fault>,
    files: Files,
    layers: Vec<(String, Map<String, Value>)>,
    services: BTreeMap<String, Service>,
    changes: BTreeMap<u64, Value>,
    execs: BTreeMap<u64, (i32, Vec<u8>)>,
    logs: Vec<(String, String)>,
    writes: Vec<Write>,
    starts: u32,
    stops: u32,
}

/// The container; its image is what its server is made of.
#[derive(Debug)]
pub(crate) struct Container {
    image: Image,
    name: String,
    state: Mutex<State>,
}

/// A parsed HTTP request.
#[derive(Debug)]
pub(crate) struct Request {
    /// `GET` or `POST`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Decoded.
    pub query: Vec<(String, String)>,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Request {
    fn values(&self, key: &str) -> Vec<&str> {
        self.query
            .iter()
            .filter(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    fn value(&self, key: &str) -> &str {
        self.values(key).first().copied().unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Container {
    /// An empty container. `name` makes its boot ids unique.
    pub(crate) fn new(name: &str, image: Image) -> Self {
        Self {
            image,
            name: name.to_owned(),
            state: Mutex::default(),
        }
    }

    /// The container dies and comes back: nothing of it is left but the image.
    pub(crate) fn reset(&self) {
        let mut state = lock(&self.state);
        let boot = state.boot + 1;
        let (writes, faults) = (
            std::mem::take(&mut state.writes),
            std::mem::take(&mut state.faults),
        );
        *state = State {
            boot,
            writes,
            faults,
            starts: state.starts,
            stops: state.stops,
            ..State::default()
        };
    }

    /// What goes wrong from now on, instead of what did before.
    pub(crate) fn set_faults(&self, faults: &[Fault]) {
        lock(&self.state).faults = faults.to_vec();
    }

    /// Everything that was asked of it and may change something, oldest first.
    pub(crate) fn writes(&self) -> Vec<Write> {
        lock(&self.state).writes.clone()
    }

    /// How often the server was started, whatever came of it.
    pub(crate) fn starts(&self) -> u32 {
        lock(&self.state).starts
    }

    /// A file, if it is there.
    pub(crate) fn file(&self, path: &str) -> Option<File> {
        self.files().get(path).cloned()
    }

    /// All files.
    pub(crate) fn files(&self) -> BTreeMap<String, File> {
        lock(&lock(&self.state).files).clone()
    }

    /// Does this service run?
    pub(crate) fn runs(&self, service: &str) -> bool {
        lock(&self.state)
            .services
            .get(service)
            .is_some_and(|it| it.current == Current::Active)
    }

    /// The combined plan, as text.
    pub(crate) fn plan(&self) -> String {
        plan_text(&lock(&self.state).layers)
    }

    pub(super) fn boot_id(&self) -> String {
        format!("{}-{}", self.name, lock(&self.state).boot)
    }

    pub(super) fn truncates(&self, path: &str) -> bool {
        let cut = |it: &Fault| matches!(it, Fault::Truncate(prefix) if path.starts_with(prefix));
        lock(&self.state).faults.iter().any(cut)
    }

    /// The output of a task of exec.
    pub(super) fn exec_output(&self, task: &str) -> Option<Vec<u8>> {
        let state = lock(&self.state);
        state
            .execs
            .get(&task.parse().ok()?)
            .map(|(_, output)| output.clone())
    }

    /// Answers a request.
    pub(super) fn answer(&self, request: &Request) -> Reply {
        let mut state = lock(&self.state);
        let silent =
            |it: &Fault| matches!(it, Fault::Silence(prefix) if request.path.starts_with(prefix));
        if state.faults.iter().any(silent) {
            return Reply::Silence;
        }
        if request.method == "POST" {
            let body = noted(request);
            state.writes.push(Write {
                path: request.path.clone(),
                body,
            });
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v1/system-info") => {
                let boot = format!("{}-{}", self.name, state.boot);
                Reply::Sync(json!({ "version": "v1.19.2", "boot-id": boot }))
            }
            ("GET", "/v1/plan") => Reply::Sync(Value::from(plan_text(&state.layers))),
            ("POST", "/v1/layers") => state.add_layer(&request.json()),
            ("GET", "/v1/services") => state.list_services(&self.image, request.value("names")),
            ("POST", "/v1/services") => state.act(&self.image, &request.json()),
            ("GET", "/v1/files") => match request.value("action") {
                "read" => state.read(&request.values("path")),
                "list" => state.list(request.value("path")),
                _ => Reply::bad("invalid action"),
            },
            ("POST", "/v1/files") => state.change_files(request),
            ("POST", "/v1/exec") => state.exec(&self.image, &request.json()),
            ("GET", "/v1/logs") => state.logs(request.value("n")),
            ("GET", path) => state.change(path),
            _ => Reply::Error(404, "", "invalid API endpoint requested".to_owned()),
        }
    }
}

/// What a test may know of a request: the contents of files are nobody's business.
fn noted(request: &Request) -> String {
    let text = String::from_utf8_lossy(&request.body);
    if request
        .headers
        .get("content-type")
        .is_some_and(|kind| kind.starts_with("multipart/"))
    {
        return form_parts(request)
            .into_iter()
            .flatten()
            .find(|part| part.name == "request")
            .map(|part| String::from_utf8_lossy(&part.content).into_owned())
            .unwrap_or_default();
    }
    text.into_owned()
}

fn combined(layers: &[(String, Map<String, Value>)]) -> BTreeMap<String, Map<String, Value>> {
    let mut services: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for (_, layer) in layers {
        let declared = layer
            .get("services")
            .and_then(Value::as_object)
            .into_iter()
            .flatten();
        for (name, config) in declared {
            let config = config.as_object().cloned().unwrap_or_default();
            let known = services.entry(name.clone()).or_default();
            if config.get("override") == Some(&json!("replace")) {
                *known = config;
            } else {
                known.extend(config);
            }
        }
    }
    services
}

fn plan_text(layers: &[(String, Map<String, Value>)]) -> String {
    let services = combined(layers);
    if services.is_empty() {
        return "{}\n".to_owned();
    }
    serde_saphyr::to_string(&json!({ "services": services })).expect("plain data")
}

const SERVICE_KEYS: [&str; 21] = [
    "override",
    "command",
    "summary",
    "description",
    "startup",
    "after",
    "before",
    "requires",
    "environment",
    "user",
    "user-id",
    "group",
    "group-id",
    "working-dir",
    "on-success",
    "on-failure",
    "on-check-failure",
    "backoff-delay",
    "backoff-factor",
    "backoff-limit",
    "kill-delay",
];

impl State {
    fn add_layer(&mut self, body: &Value) -> Reply {
        let text = body["layer"].as_str().unwrap_or_default();
        let Ok(layer) = serde_saphyr::from_str::<Map<String, Value>>(text) else {
            return Reply::bad("cannot parse layer");
        };
        for (name, config) in layer
            .get("services")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let Some(config) = config.as_object() else {
                return Reply::bad(format!("cannot parse layer: service \"{name}\" is no map"));
            };
            if let Some(key) = config
                .keys()
                .find(|key| !SERVICE_KEYS.contains(&key.as_str()))
            {
                return Reply::bad(format!("cannot parse layer: field {key} not found"));
            }
            if !matches!(
                config.get("override").and_then(Value::as_str),
                Some("replace" | "merge")
            ) {
                return Reply::bad(format!(
                    "layer must define \"override\" for service \"{name}\""
                ));
            }
        }
        if let Some(section) = layer.keys().find(|key| {
            !matches!(
                key.as_str(),
                "summary" | "description" | "services" | "checks" | "log-targets"
            )
        }) {
            return Reply::bad(format!("cannot parse layer: unknown section \"{section}\""));
        }
        let label = body["label"].as_str().unwrap_or_default().to_owned();
        match self.layers.iter().position(|(known, _)| *known == label) {
            Some(_) if body["combine"] != json!(true) => {
                return Reply::bad(format!("layer \"{label}\" already exists"));
            }
            Some(at) => {
                let services = combined(&[self.layers[at].clone(), (label, layer)]);
                self.layers[at]
                    .1
                    .insert("services".to_owned(), json!(services));
            }
            None => self.layers.push((label, layer)),
        }
        Reply::Sync(json!(true))
    }

    fn list_services(&mut self, image: &Image, names: &str) -> Reply {
        let waiting: Vec<String> = self
            .services
            .iter()
            .filter(|(_, service)| service.current == Current::Backoff)
            .map(|(name, _)| name.clone())
            .collect();
        for name in waiting {
            let config = self.services[&name].config.clone();
            _ = self.launch(image, &name, config);
        }
        let wanted: BTreeSet<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
        let listed: Vec<Value> = combined(&self.layers)
            .iter()
            .filter(|(name, _)| wanted.is_empty() || wanted.contains(name.as_str()))
            .map(|(name, config)| {
                let current = match self.services.get(name).map(|it| it.current) {
                    Some(Current::Active) => "active",
                    Some(Current::Backoff) => "backoff",
                    Some(Current::Inactive) | None => "inactive",
                };
                let startup = config.get("startup").cloned().unwrap_or(json!("disabled"));
                json!({ "name": name, "startup": startup, "current": current })
            })
            .collect();
        Reply::Sync(json!(listed))
    }

    fn act(&mut self, image: &Image, body: &Value) -> Reply {
        let plan = combined(&self.layers);
        let action = body["action"].as_str().unwrap_or_default();
        let named: Vec<String> = body["services"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        if let Some(unknown) = named.iter().find(|name| !plan.contains_key(*name)) {
            let message = format!("cannot {action} services: service \"{unknown}\" does not exist");
            return Reply::bad(message);
        }
        let mut failures = Vec::new();
        let names = if action == "replan" {
            plan.keys().cloned().collect()
        } else {
            named
        };
        for name in names {
            let config = json!(plan[&name]);
            let known = self.services.get(&name);
            let runs = known.is_some_and(|it| it.current == Current::Active);
            let same = known.is_some_and(|it| it.config == config);
            let starts = match action {
                "start" => !runs,
                "restart" => true,
                "replan" => (!runs && config["startup"] == json!("enabled")) || (runs && !same),
                _ => false,
            };
            if action == "stop" || (starts && runs) {
                self.halt(&name);
            }
            if starts && let Err(failure) = self.launch(image, &name, config) {
                failures.push(failure);
            }
        }
        let error = (!failures.is_empty()).then(|| {
            format!(
                "cannot perform the following tasks:\n{}",
                failures.join("\n")
            )
        });
        let id = self.add_change(action, error, json!({}));
        Reply::Change(id, Value::Null)
    }

    fn halt(&mut self, name: &str) {
        if let Some(service) = self.services.get_mut(name) {
            if service.current == Current::Active {
                self.stops += 1;
            }
            service.current = Current::Inactive;
            service.process = None;
        }
    }

    fn launch(&mut self, image: &Image, name: &str, config: Value) -> Result<(), String> {
        self.starts += 1;
        let crash = self.faults.iter().find_map(|fault| match fault {
            Fault::Crash(words) => Some((*words).to_owned()),
            _ => None,
        });
        let started = crash.map_or_else(|| image.start(&config, &self.files), Err);
        let (current, process, outcome) = match started {
            Ok(process) => (Current::Active, Some(process), Ok(())),
            Err(output) => {
                self.logs.push((name.to_owned(), output));
                let failure = format!(
                    "- Start service \"{name}\" (cannot start service: exited quickly with code 1, \
                     will restart)"
                );
                (Current::Backoff, None, Err(failure))
            }
        };
        self.services.insert(
            name.to_owned(),
            Service {
                current,
                config,
                process,
            },
        );
        outcome
    }

    fn add_change(&mut self, kind: &str, error: Option<String>, data: Value) -> u64 {
        let id = u64::try_from(self.changes.len()).unwrap_or_default() + 1;
        let status = if error.is_some() { "Error" } else { "Done" };
        let log: Vec<&str> = error.iter().map(String::as_str).collect();
        let task = json!({
            "id": id.to_string(), "kind": kind, "summary": kind, "status": status, "log": log,
            "progress": { "label": "", "done": 1, "total": 1 }, "data": data,
        });
        let mut change = json!({
            "id": id.to_string(), "kind": kind, "summary": kind, "status": status, "ready": true,
            "tasks": [task],
        });
        if let Some(error) = error {
            change["err"] = Value::from(error);
        }
        self.changes.insert(id, change);
        id
    }

    fn change(&self, path: &str) -> Reply {
        let rest = path.strip_prefix("/v1/changes/").unwrap_or_default();
        let id = rest.strip_suffix("/wait").unwrap_or(rest);
        let Some(change) = id.parse().ok().and_then(|id: u64| self.changes.get(&id)) else {
            return Reply::Error(
                404,
                "not-found",
                format!("cannot find change with id \"{id}\""),
            );
        };
        Reply::Sync(change.clone())
    }

    fn exec(&mut self, image: &Image, body: &Value) -> Reply {
        let command: Vec<&str> = body["command"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let broken = self.faults.iter().find_map(|fault| match fault {
            Fault::Exec(code, output) => Some((*code, (*output).to_owned())),
            _ => None,
        });
        let (code, output) = match (command.as_slice(), broken) {
            (["temporal-server", "--version"], Some(broken)) => broken,
            (["temporal-server", "--version"], None) => (0, image.version_output()),
            (command, _) => {
                let program = command.first().copied().unwrap_or_default();
                return Reply::bad(format!("cannot find executable \"{program}\""));
            }
        };
        let id = self.add_change("exec", None, json!({ "exit-code": code }));
        self.execs.insert(id, (code, output.into_bytes()));
        Reply::Change(
            id,
            json!({ "task-id": id.to_string(), "environment": {}, "working-dir": "/" }),
        )
    }

    fn logs(&self, count: &str) -> Reply {
        let count: usize = count.parse().unwrap_or(30);
        let skip = self.logs.len().saturating_sub(count);
        let lines = self.logs.iter().skip(skip).map(|(service, message)| {
            let time = "2026-01-01T00:00:00.000Z";
            format!(
                "{}\n",
                json!({ "time": time, "service": service, "message": message })
            )
        });
        Reply::Lines(lines.collect())
    }

    fn read(&self, paths: &[&str]) -> Reply {
        let boundary = "0123456789abcdef0123456789abcdef";
        let mut body = Vec::new();
        let mut items = Vec::new();
        for path in paths {
            items.push(match lock(&self.files).get(*path) {
                Some(file) => {
                    let head = format!(
                        "--{boundary}\r\nContent-Disposition: form-data; name=\"files\"; \
                         filename=\"{path}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
                    );
                    body.extend(head.into_bytes());
                    body.extend(&file.content);
                    body.extend(b"\r\n");
                    json!({ "path": path })
                }
                None => json!({ "path": path, "error": {
                    "kind": "not-found", "message": format!("open {path}: no such file or directory"),
                }}),
            });
        }
        let response = json!({
            "type": "sync", "status-code": 200, "status": "OK", "result": items,
        });
        let tail = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"response\"\r\n\
             Content-Type: application/json\r\n\r\n{response}\r\n--{boundary}--\r\n"
        );
        body.extend(tail.into_bytes());
        Reply::Form(format!("multipart/form-data; boundary={boundary}"), body)
    }

    fn list(&self, directory: &str) -> Reply {
        let below = format!("{}/", directory.trim_end_matches('/'));
        let entries: Vec<Value> = lock(&self.files)
            .iter()
            .filter_map(|(path, file)| {
                let name = path
                    .strip_prefix(&below)
                    .filter(|name| !name.contains('/'))?;
                Some(json!({
                    "path": path, "name": name, "type": "file", "size": file.content.len(),
                    "permissions": file.permissions,
                }))
            })
            .collect();
        if entries.is_empty() {
            let message = format!("stat {directory}: no such file or directory");
            return Reply::Error(404, "not-found", message);
        }
        Reply::Sync(json!(entries))
    }

    fn change_files(&mut self, request: &Request) -> Reply {
        if let Some(parts) = form_parts(request) {
            return self.write(&parts);
        }
        let body = request.json();
        let each = |list: &str| -> Vec<String> {
            let items = body[list].as_array().into_iter().flatten();
            items
                .filter_map(|item| item["path"].as_str().map(str::to_owned))
                .collect()
        };
        let items: Vec<Value> = match body["action"].as_str() {
            Some("make-dirs") => each("dirs")
                .iter()
                .map(|path| json!({ "path": path }))
                .collect(),
            Some("remove") => each("paths")
                .iter()
                .map(|path| match lock(&self.files).remove(path) {
                    Some(_) => json!({ "path": path }),
                    None => json!({ "path": path, "error": {
                        "kind": "not-found",
                        "message": format!("remove {path}: no such file or directory"),
                    }}),
                })
                .collect(),
            _ => return Reply::bad("invalid action"),
        };
        Reply::Sync(json!(items))
    }

    fn write(&mut self, parts: &[Part]) -> Reply {
        let Some(order) = parts.iter().find(|part| part.name == "request") else {
            return Reply::bad("metadata part is missing");
        };
        let order: Value = serde_json::from_slice(&order.content).unwrap_or_default();
        let full = self.faults.contains(&Fault::NoSpace);
        let mut items = Vec::new();
        for file in order["files"].as_array().into_iter().flatten() {
            let path = file["path"].as_str().unwrap_or_default().to_owned();
            let content = parts
                .iter()
                .find(|part| part.filename.as_deref() == Some(path.as_str()));
            let Some(content) = content else {
                return Reply::bad("no file content");
            };
            if full {
                items.push(json!({ "path": path, "error": {
                    "kind": "generic-file-error",
                    "message": format!("write {path}.tmp: no space left on device"),
                }}));
                continue;
            }
            let permissions = file["permissions"].as_str().unwrap_or("644").to_owned();
            items.push(json!({ "path": path }));
            lock(&self.files).insert(
                path,
                File {
                    content: content.content.clone(),
                    permissions,
                },
            );
        }
        Reply::Sync(json!(items))
    }
}

struct Part {
    name: String,
    filename: Option<String>,
    content: Vec<u8>,
}

/// The parts of a multipart body; `None`: it is none.
fn form_parts(request: &Request) -> Option<Vec<Part>> {
    let kind = request.headers.get("content-type")?;
    let boundary = kind.split_once("boundary=")?.1.trim_matches('"');
    // as Pebble does
    if !kind.starts_with("multipart/form-data") || boundary.len() < 32 {
        return None;
    }
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut rest = request.body.as_slice();
    rest = rest.strip_prefix(delimiter.as_bytes())?;
    let delimiter = format!("\r\n--{boundary}");
    while let Some(inner) = rest.strip_prefix(b"\r\n") {
        let end = find(inner, delimiter.as_bytes())?;
        let (part, after) = inner.split_at(end);
        let head_end = find(part, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&part[..head_end]).into_owned();
        let quoted = |key: &str| {
            let value = head.split_once(&format!("; {key}=\""))?.1;
            Some(value.split('"').next().unwrap_or_default().to_owned())
        };
        parts.push(Part {
            name: quoted("name")?,
            filename: quoted("filename"),
            content: part[head_end + 4..].to_vec(),
        });
        rest = after.strip_prefix(delimiter.as_bytes())?;
    }
    Some(parts)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}
