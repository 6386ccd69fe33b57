//! A model on plain processes, and a charm whose hooks are closures of the test.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rehearsal::juju::plain::{PlainCloud, write_charm};
use rehearsal::juju::{Charm, Event, HookContext, HookRun, Juju, Source, tools};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) type Outcome = Result<(), Box<dyn Error>>;
type Act = Box<dyn FnMut(&Event, &mut HookContext) -> Outcome>;

/// What the hooks of one application do, changeable while it runs.
#[derive(Clone, Default)]
pub(crate) struct Script(Rc<RefCell<Option<Act>>>);

impl Script {
    pub(crate) fn set(&self, act: impl FnMut(&Event, &mut HookContext) -> Outcome + 'static) {
        *self.0.borrow_mut() = Some(Box::new(act));
    }

    pub(crate) fn clear(&self) {
        *self.0.borrow_mut() = None;
    }
}

struct Scripted {
    metadata: String,
    config: String,
    actions: String,
    script: Script,
}

impl Charm for Scripted {
    fn metadata(&self) -> &str {
        &self.metadata
    }

    fn config(&self) -> &str {
        &self.config
    }

    fn actions(&self) -> &str {
        &self.actions
    }

    fn dispatch(&mut self, event: &Event, hook: &mut HookContext) -> Outcome {
        match &mut *self.script.0.borrow_mut() {
            Some(act) => act(event, hook),
            None => Ok(()),
        }
    }
}

const LIMIT: Duration = Duration::from_secs(30);

/// A server charm and a database charm, deployed as the test likes.
pub(crate) struct World {
    pub(crate) juju: Juju,
    pub(crate) cloud: PlainCloud,
    pub(crate) directory: TempDir,
    pub(crate) scripts: BTreeMap<String, Script>,
}

pub(crate) const SERVER: &str = "name: server
summary: s
description: d
peers: {peer: {interface: servers}}
requires:
  db: {interface: pgsql, limit: 1}
  visibility: {interface: pgsql, limit: 1}
  web: {interface: http}
containers: {main: {resource: image}}
resources: {image: {type: oci-image}}
";
const SERVER_CONFIG: &str = "options:
  level: {type: string, default: info}
  shards: {type: int}
";
const SERVER_ACTIONS: &str = "restart: {}
query: {params: {sql: {type: string}, limit: {type: integer, default: 5}}, required: [sql]}
";
pub(crate) const DATABASE: &str = "name: database
summary: s
description: d
peers: {replicas: {interface: replicas}}
provides: {db: {interface: pgsql}}
";

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cloud = PlainCloud::new(&directory.path().join("pods"));
        let program = Path::new(env!("CARGO_BIN_EXE_rehearsal"));
        let owned = Box::new(cloud.clone());
        let juju = Juju::with_tools("prod", owned, directory.path(), program).unwrap();
        Self {
            juju,
            cloud,
            directory,
            scripts: BTreeMap::new(),
        }
    }

    /// `server` and `db`, each with that many units, not yet related, nothing run.
    pub(crate) fn deployed(servers: u32, databases: u32) -> Self {
        let mut world = Self::new();
        world.deploy("server", SERVER, servers);
        world.deploy("db", DATABASE, databases);
        world
    }

    /// The same, settled.
    pub(crate) fn settled(servers: u32, databases: u32) -> Self {
        let mut world = Self::deployed(servers, databases);
        world.settle();
        world
    }

    /// The same, related as `server:db db:db` and settled; returns the relation's number too.
    pub(crate) fn related(servers: u32, databases: u32) -> (Self, u32) {
        let mut world = Self::settled(servers, databases);
        let id = world.juju.integrate("server:db", "db").unwrap();
        world.settle();
        (world, id)
    }

    pub(crate) fn deploy(&mut self, app: &str, metadata: &str, units: u32) {
        let script = Script::default();
        self.scripts.insert(app.to_owned(), script.clone());
        let metadata = metadata.to_owned();
        let (config, actions) = if metadata == SERVER {
            (SERVER_CONFIG, SERVER_ACTIONS)
        } else {
            ("", "")
        };
        let make = move |_: &str| -> Box<dyn Charm> {
            Box::new(Scripted {
                metadata: metadata.clone(),
                config: config.to_owned(),
                actions: actions.to_owned(),
                script: script.clone(),
            })
        };
        self.juju
            .deploy(app, Source::Counterpart(Box::new(make)), units, &[])
            .unwrap();
    }

    /// Deploys `server` as an archive with this shell script as its `dispatch`.
    pub(crate) fn shell(script: &str) -> Self {
        let mut world = Self::new();
        let path = world.directory.path().join("server.charm");
        let script = format!("#!/bin/sh\n{script}\n");
        let files: [(&str, &[u8]); 5] = [
            ("metadata.yaml", SERVER.as_bytes()),
            ("config.yaml", SERVER_CONFIG.as_bytes()),
            ("actions.yaml", SERVER_ACTIONS.as_bytes()),
            (
                "manifest.yaml",
                b"bases: [{name: ubuntu, channel: '22.04', architectures: [amd64]}]",
            ),
            ("dispatch", script.as_bytes()),
        ];
        write_charm(&path, &files).unwrap();
        world
            .juju
            .deploy("server", Source::File(path), 1, &[])
            .unwrap();
        world
    }

    pub(crate) fn script(
        &self,
        app: &str,
        act: impl FnMut(&Event, &mut HookContext) -> Outcome + 'static,
    ) {
        self.scripts[app].set(act);
    }

    pub(crate) fn settle(&mut self) -> Vec<HookRun> {
        self.juju.settle(LIMIT).unwrap()
    }

    /// Settles and names the hooks that ran, like `server/0 db-relation-changed db/0`.
    pub(crate) fn hooks(&mut self) -> Vec<String> {
        self.settle().iter().map(shown).collect()
    }

    /// Runs `act` in the next update-status of a unit, alone.
    pub(crate) fn in_hook<T: 'static>(
        &mut self,
        unit: &str,
        act: impl FnOnce(&mut HookContext) -> T + 'static,
    ) -> T {
        self.settle();
        let app = unit.split('/').next().unwrap().to_owned();
        let (name, slot) = (unit.to_owned(), Rc::new(RefCell::new(None)));
        let (mut act, out) = (Some(act), slot.clone());
        self.script(&app, move |event, hook| {
            if *event == Event::UpdateStatus && hook.unit() == name {
                *out.borrow_mut() = act.take().map(|act| act(hook));
            }
            Ok(())
        });
        self.juju.update_status(&app).unwrap();
        self.settle();
        self.scripts[&app].clear();
        slot.take().expect("update-status ran")
    }
}

pub(crate) fn shown(run: &HookRun) -> String {
    let unit = run.event.relation().and_then(|it| it.remote_unit.clone());
    let unit = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
    format!("{} {}{unit}", run.unit, run.hook)
}

/// Runs a hook tool by its command line, split at spaces.
pub(crate) fn tool(hook: &mut HookContext, line: &str) -> tools::Reply {
    tool_with(hook, line, None)
}

pub(crate) fn tool_with(hook: &mut HookContext, line: &str, stdin: Option<&str>) -> tools::Reply {
    let mut words = line.split(' ').map(str::to_owned);
    let name = words.next().unwrap_or_default();
    let args: Vec<String> = words.collect();
    tools::run(hook, &name, &args, stdin)
}

/// The JSON that a tool prints.
pub(crate) fn json(hook: &mut HookContext, line: &str) -> Value {
    let reply = tool(hook, &format!("{line} --format=json"));
    assert_eq!(reply.code, 0, "{line}: {}", reply.stderr);
    serde_json::from_str(&reply.stdout).unwrap()
}

/// Exit code and standard error of a tool that is refused.
pub(crate) fn refused(hook: &mut HookContext, line: &str) -> (i32, String) {
    let reply = tool(hook, line);
    assert_ne!(reply.code, 0, "{line}");
    (reply.code, reply.stderr.trim_end().to_owned())
}
