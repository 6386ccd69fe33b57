//! The counterpart of temporal-admin-k8s: makes the schema with the real `temporal-sql-tool` and
//! offers the actions `tctl` and `cli`.
//!
//! It never resets `schema_status`, as the real charm does not. A tool that fails in
//! relation-changed is a hook error.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{CounterpartError, process, tail, tctl};
use crate::cloud::{Finished, Node, Process};
use crate::juju::charm::Charm;
use crate::juju::context::HookContext;
use crate::juju::event::{Event, RelationChange};
use crate::parts::{Parts, Temporal};
use crate::servers::Start;
use crate::servers::temporal::{Database, Store, write_pass_file};

/// The endpoint and the actions of the real charm.
const METADATA: &str = "\
name: temporal-admin-k8s
summary: the counterpart of temporal-admin-k8s
description: makes Temporal's schema and offers its command line
provides:
  admin: {interface: temporal}
";

/// `tctl` of the charm's first year, `cli` of its later ones.
const ACTIONS: &str = "\
tctl:
  description: run `tctl namespace register`
  params:
    args: {type: string, description: arguments}
  required: [args]
cli:
  description: run the `temporal` command line
  params:
    args: {type: string, description: arguments}
  required: [args]
";

/// Where the charm expects the server; the name is that of our application.
const ADDRESS: &str = "temporal-k8s:7233";
const TOOL: Duration = Duration::from_mins(1);
const KEY: &str = "database_connections";

/// What the server's charm publishes for one store. Everything is a text; more keys may come.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Connection {
    dbname: String,
    host: String,
    port: String,
    user: String,
    password: String,
    #[serde(default)]
    tls: bool,
}

/// The charm.
pub struct Admin {
    node: Node,
    parts: Arc<Parts>,
    temporal: Temporal,
    old_schema: Rc<Cell<bool>>,
    connections: Option<Vec<(Store, Connection)>>,
}

impl Admin {
    /// The charm whose workload has the tools of `temporal`. While `old_schema` holds, they are
    /// those of the last version that made one step less of the main store.
    pub fn new(
        node: Node,
        parts: Arc<Parts>,
        temporal: Temporal,
        old_schema: Rc<Cell<bool>>,
    ) -> Self {
        Self {
            node,
            parts,
            temporal,
            old_schema,
            connections: None,
        }
    }

    fn on_changed(&mut self, hook: &mut HookContext<'_>, id: u32) -> Result<(), CounterpartError> {
        if !hook.is_leader() {
            return Ok(());
        }
        hook.status_set("waiting", "handling admin change")?;
        let remote = hook.relation_app(id)?;
        if let Some(text) = hook.relation_get(id, &remote)?.get(KEY) {
            self.connections = Some(connections(text)?);
        }
        self.update(hook)
    }

    /// Makes the schema and says so, or says what is missing.
    fn update(&self, hook: &mut HookContext<'_>) -> Result<(), CounterpartError> {
        let Some(connections) = &self.connections else {
            let text = "admin:temporal relation: database connections info not available";
            return Ok(hook.status_set("blocked", text)?);
        };
        for (store, connection) in connections {
            self.make_schema(hook, *store, connection)?;
        }
        for id in hook.relation_ids("admin") {
            hook.relation_set_app(id, [("schema_status", "ready")])?;
        }
        hook.application_version_set(&self.temporal.version)?;
        if hook.relation_ids("admin").is_empty() {
            return Ok(hook.status_set("blocked", "admin:temporal relation: not available")?);
        }
        Ok(hook.status_set("active", "")?)
    }

    fn make_schema(
        &self,
        hook: &HookContext<'_>,
        store: Store,
        connection: &Connection,
    ) -> Result<(), CounterpartError> {
        let directory = self.node.pod_directory(hook.unit())?.join("admin");
        std::fs::create_dir_all(&directory).map_err(CounterpartError::io("make a directory"))?;
        let pass_file = directory.join("pgpass");
        write_pass_file(&pass_file, &connection.password)
            .map_err(CounterpartError::io("write the pass file"))?;
        let unreadable = |_| CounterpartError::Databag {
            key: KEY,
            reason: "bad port".to_owned(),
        };
        let database = Database {
            host: connection.host.clone(),
            port: connection.port.parse().map_err(unreadable)?,
            user: connection.user.clone(),
            name: connection.dbname.clone(),
            pass_file,
            tls: connection.tls,
        };
        let steps = [
            ("setup-schema", self.temporal.setup_schema(&database)),
            ("update-schema", self.update_schema(store, &database)?),
        ];
        for (step, start) in steps {
            let name = format!("temporal-sql-tool-{step}");
            let finished = self.finish(hook, &process(&start, &directory, &name))?;
            if !finished.status.success() {
                return Err(CounterpartError::Program {
                    program: format!("temporal-sql-tool {step}"),
                    status: finished.status.to_string(),
                    said: tail(&(finished.stdout + &finished.stderr)),
                });
            }
        }
        Ok(())
    }

    fn update_schema(&self, store: Store, database: &Database) -> Result<Start, CounterpartError> {
        if !self.old_schema.get() || store == Store::Visibility {
            return Ok(self.temporal.update_schema(store, database));
        }
        let steps = self.temporal.steps(store);
        let steps = steps.map_err(CounterpartError::io("list the steps of the schema"))?;
        let last_but_one = steps.iter().rev().nth(1).map_or("0.0", String::as_str);
        Ok(self
            .temporal
            .update_schema_to(last_but_one, store, database))
    }

    fn finish(
        &self,
        hook: &HookContext<'_>,
        process: &Process,
    ) -> Result<Finished, CounterpartError> {
        let running = self.node.spawn_in_pod(hook.unit(), process)?;
        running
            .wait(TOOL)
            .map_err(CounterpartError::io("wait for a tool"))
    }

    /// Runs the `temporal` CLI and reports as the real charm does, which splits its arguments at
    /// white space.
    fn act(&self, hook: &mut HookContext<'_>, name: &str) -> Result<(), CounterpartError> {
        let params = hook.action_params()?;
        let words: Vec<&str> = args(&params).split_whitespace().collect();
        let words = match name {
            "tctl" => tctl::translate(&words),
            _ => Ok(words.into_iter().map(str::to_owned).collect()),
        };
        let words = match words {
            Ok(words) => words,
            Err(refused) => return Ok(hook.action_fail(&format!("command failed: {refused}"))?),
        };
        let program = self.parts.temporal_cli().map_err(|source| {
            CounterpartError::io("find the temporal CLI")(std::io::Error::other(source))
        })?;
        let directory = self.node.pod_directory(hook.unit())?.join("cli");
        let process = Process::new(program, directory)
            .args(words)
            .args(["--address", ADDRESS]);
        let finished = self.finish(hook, &process)?;
        if !finished.status.success() {
            let said = tail(&finished.stderr);
            return Ok(hook.action_fail(&format!("command failed: {said}"))?);
        }
        hook.action_set("result", "command succeeded")?;
        Ok(hook.action_set("output", &finished.stdout)?)
    }

    fn run(&mut self, event: &Event, hook: &mut HookContext<'_>) -> Result<(), CounterpartError> {
        match event {
            Event::Install => {
                Ok(hook.status_set("maintenance", "installing temporal admin tools")?)
            }
            // The real charm does it when Pebble is ready.
            Event::Start if hook.is_leader() => self.update(hook),
            Event::Action(action) => self.act(hook, &action.name),
            Event::Relation(event) if event.endpoint == "admin" => match event.change {
                RelationChange::Changed => self.on_changed(hook, event.id),
                RelationChange::Broken => {
                    self.connections = None;
                    self.update(hook)
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

impl Charm for Admin {
    fn metadata(&self) -> &str {
        METADATA
    }

    fn actions(&self) -> &str {
        ACTIONS
    }

    fn dispatch(
        &mut self,
        event: &Event,
        hook: &mut HookContext<'_>,
    ) -> Result<(), Box<dyn Error>> {
        Ok(self.run(event, hook)?)
    }
}

fn args(params: &Map<String, Value>) -> &str {
    params
        .get("args")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The stores in the order in which they are named.
fn connections(text: &str) -> Result<Vec<(Store, Connection)>, CounterpartError> {
    // The parser's own message might quote the text, which carries passwords.
    let unreadable = |reason: &str| CounterpartError::Databag {
        key: KEY,
        reason: reason.to_owned(),
    };
    let all: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| unreadable("it is no JSON object"))?;
    let one = |(name, value): (String, Value)| {
        let store = match name.as_str() {
            "db" => Store::Default,
            "visibility" => Store::Visibility,
            _ => return Err(unreadable("it names a store that is unknown")),
        };
        let connection = serde_json::from_value(value)
            .map_err(|_| unreadable("a connection lacks a key or has one that is no text"))?;
        Ok((store, connection))
    };
    all.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(Store, Connection)>, String> {
        connections(text).map_err(|error| error.to_string())
    }

    #[test]
    fn both_stores_are_read_and_more_keys_are_ignored() {
        let one =
            r#"{"dbname":"d","host":"h","port":"5432","user":"u","password":"p","tls":false}"#;
        let both = parse(&format!(r#"{{"db": {one}, "visibility": {one}}}"#)).unwrap();
        let stores: Vec<Store> = both.iter().map(|(store, _)| *store).collect();
        assert_eq!(stores, [Store::Default, Store::Visibility]);
        assert_eq!(both[0].1.port, "5432");
    }

    #[test]
    fn a_port_that_is_a_number_is_refused_without_telling_the_password() {
        let text =
            r#"{"db": {"dbname":"d","host":"h","port":5432,"user":"u","password":"hunter2"}}"#;
        let refused = parse(text).unwrap_err();
        assert!(
            refused.contains("no text") && !refused.contains("hunter2"),
            "{refused}"
        );
        assert!(parse("[]").is_err());
        assert!(parse(r#"{"other": {}}"#).is_err());
    }
}
