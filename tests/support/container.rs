//! A workload container as its Pebble knows it: files, layers, services, changes. No transport here.
//!
//! Changes are finished at once, and a service that is to be restarted after a delay is restarted when
//! somebody looks at it next: nothing in a fast test waits for a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use rehearsal::juju::cloud::CheckNotice;
use serde_json::{Map, Value, json};

use super::files::form_parts;
use super::lock;
use super::services::{combined, list_checks, plan_text};
use super::temporal::{Files, Image, Process};

/// What goes wrong on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This many requests that change something are carried out, and no more: what a hook leaves behind that dies
    /// there.
    OnlyFirst(u32),
    /// Layers are refused.
    RefuseLayers,
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
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::Error(400, "", message.into())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Current {
    Active,
    Inactive,
    Backoff,
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) current: Current,
    /// What it was last started with.
    pub(super) config: Value,
    pub(super) process: Option<Process>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) boot: u32,
    pub(super) faults: Vec<Fault>,
    pub(super) files: Files,
    pub(super) layers: Vec<(String, Map<String, Value>)>,
    pub(super) services: BTreeMap<String, Service>,
    pub(super) changes: BTreeMap<u64, Value>,
    pub(super) execs: BTreeMap<u64, (i32, Vec<u8>)>,
    pub(super) logs: Vec<(String, String)>,
    /// Checks that are down.
    pub(super) down: BTreeSet<String>,
    pub(super) notices: Vec<CheckNotice>,
    pub(super) writes: Vec<Write>,
    pub(super) starts: u32,
    pub(super) stops: u32,
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
    pub(super) fn values(&self, key: &str) -> Vec<&str> {
        self.query
            .iter()
            .filter(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub(super) fn value(&self, key: &str) -> &str {
        self.values(key).first().copied().unwrap_or_default()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Container {
    /// A container as its image makes it. `name` makes its boot ids unique.
    pub(crate) fn new(name: &str, image: Image) -> Self {
        let state = State::of(&image);
        Self {
            image,
            name: name.to_owned(),
            state: Mutex::new(state),
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
            ..State::of(&self.image)
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

    /// What a service was started with, and what Pebble's plan says of it.
    pub(crate) fn started_and_planned(&self, service: &str) -> (Value, Value) {
        let state = lock(&self.state);
        let started = state.services.get(service);
        let planned = combined(&state.layers).remove(service);
        (
            started.map(|it| it.config.clone()).unwrap_or_default(),
            json!(planned),
        )
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

    /// The services that run.
    pub(crate) fn running(&self) -> Vec<String> {
        let state = lock(&self.state);
        let running = state.services.iter();
        let running = running.filter(|(_, it)| it.current != Current::Inactive);
        running.map(|(name, _)| name.clone()).collect()
    }

    /// Changes the mode of a file.
    pub(crate) fn set_mode(&self, path: &str, mode: u32) {
        let state = lock(&self.state);
        let mut files = lock(&state.files);
        let file = files.get_mut(path).expect("a file");
        file.permissions = format!("{mode:03o}");
    }

    /// A check goes down, having failed as often as it may, or up again: Pebble ends the change that performed
    /// or recovered it, and notices that.
    pub(crate) fn set_check(&self, check: &str, up: bool) {
        let mut state = lock(&self.state);
        let known = if up {
            state.down.remove(check)
        } else {
            state.down.insert(check.to_owned())
        };
        if !known {
            return;
        }
        let (kind, error) = if up {
            ("recover-check", None)
        } else {
            ("perform-check", Some(format!("check \"{check}\" failed")))
        };
        let id = state.add_change(kind, error, &json!({ "check-name": check }));
        // Boots count, too: a Pebble that was started again has no old notices.
        let notice = CheckNotice {
            repeated: format!("{:06}-{id:06}", state.boot),
            kind: kind.to_owned(),
            check: check.to_owned(),
            status: Some(if up { "Done" } else { "Error" }.to_owned()),
        };
        state.notices.push(notice);
    }

    /// The notices about checks after this one.
    pub(crate) fn check_notices(&self, after: Option<&str>) -> Vec<CheckNotice> {
        let state = lock(&self.state);
        let later = |it: &&CheckNotice| after.is_none_or(|after| it.repeated.as_str() > after);
        state.notices.iter().filter(later).cloned().collect()
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
            for fault in &mut state.faults {
                if let Fault::OnlyFirst(left) = fault {
                    match left.checked_sub(1) {
                        Some(less) => *left = less,
                        None => return Reply::bad("that is enough"),
                    }
                }
            }
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
            ("POST", "/v1/layers") if state.faults.contains(&Fault::RefuseLayers) => {
                Reply::bad("plan is not to my taste")
            }
            ("POST", "/v1/layers") => state.add_layer(&request.json()),
            ("GET", "/v1/checks") => list_checks(&state.layers, &state.down),
            ("GET", "/v1/services") => state.list_services(&self.image, request.value("names")),
            ("POST", "/v1/services") => state.act(&self.image, &request.json()),
            ("GET", "/v1/files") => match request.value("action") {
                "read" => state.read(&request.values("path")),
                "list" => state.list(request.value("path")),
                _ => Reply::bad("invalid action"),
            },
            ("POST", "/v1/files") => state.change_files(request),
            // each is over at once
            ("GET", "/v1/changes") => Reply::Sync(json!([])),
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

impl State {
    /// With the layers of the image.
    fn of(image: &Image) -> Self {
        let layers = image.brings().layers.into_iter();
        let layers = layers.map(|(label, text)| {
            let layer = serde_saphyr::from_str(&text).expect("a layer");
            (label, layer)
        });
        Self {
            layers: layers.collect(),
            ..Self::default()
        }
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
        let id = self.add_change("exec", None, &json!({ "exit-code": code }));
        self.execs.insert(id, (code, output.into_bytes()));
        Reply::Change(
            id,
            json!({
                "task-id": id.to_string(),
                "environment": image.brings().variables,
                "working-dir": "/",
            }),
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
}
