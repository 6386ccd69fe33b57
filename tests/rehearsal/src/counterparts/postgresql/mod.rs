//! The counterpart of postgresql-k8s, revision 14, with its legacy endpoints `db` and `db-admin`.
//!
//! One role for each relation, never a dropped database, the answer in the application's bag and
//! in the leader's unit bag. The first unit runs the real server;
//! further units take part in leadership only, as there is no replication here.

mod pgsql;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

pub use server::Server;

use super::CounterpartError;
use crate::cloud::Node;
use crate::juju::charm::Charm;
use crate::juju::cloud::Cloud;
use crate::juju::context::HookContext;
use crate::juju::event::{Event, RelationChange, RelationEvent};
use pgsql::{Grant, Places, Request, answer, request};

pub use pgsql::role;

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
            let primary = service(hook, &state.node, "primary");
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
        let answer = answer(&grant, &units, &Places::of(hook, &state.node));
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

fn service(hook: &HookContext<'_>, node: &Node, service: &str) -> String {
    let (app, model, domain) = (hook.app(), hook.model(), node.domain());
    format!("{app}-{service}.{model}.svc.{domain}")
}

impl Places {
    fn of(hook: &HookContext<'_>, node: &Node) -> Self {
        let pod = hook.unit().replace('/', "-");
        let service = |name| service(hook, node, name);
        Self {
            pod: format!("{pod}.{}", service("endpoints")),
            primary: service("primary"),
            replicas: service("replicas"),
        }
    }
}
