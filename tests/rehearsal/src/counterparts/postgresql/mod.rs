//! The counterpart of postgresql-k8s: of track 14 with its legacy endpoints `db` and `db-admin` and with `database`, or of
//! track 16, which has `database` alone.
//!
//! One role for each relation, never a dropped database. On the legacy endpoints the answer is in the application's bag and
//! in the leader's unit bag, on `database` in secrets too (`client`). The first unit runs the real server;
//! further units take part in leadership only, as there is no replication here.

pub mod client;
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
use client::{Backend, Clients, Grant as ClientGrant, Terms, Track};
use pgsql::{Grant, Places, Request, answer, request};

pub use pgsql::role;

/// The endpoints of the real charms that clients use.
const FOURTEEN: &str = "\
name: postgresql-k8s
summary: the counterpart of postgresql-k8s, track 14
description: runs a real PostgreSQL and speaks the interfaces pgsql and postgresql_client
provides:
  database: {interface: postgresql_client}
  db: {interface: pgsql}
  db-admin: {interface: pgsql}
peers:
  database-peers: {interface: postgresql_peers}
";
const SIXTEEN: &str = "\
name: postgresql-k8s
summary: the counterpart of postgresql-k8s, track 16
description: runs a real PostgreSQL and speaks the interface postgresql_client
provides:
  database: {interface: postgresql_client}
peers:
  database-peers: {interface: postgresql_peers}
";

const LEGACY: [&str; 2] = ["db", "db-admin"];
const MIXED: &str =
    "Please choose one endpoint to use. No need to relate all of them simultaneously!";
const ACTIVE: &str = "Primary";

/// The charm. Juju runs one for each unit; all share the server.
pub struct Postgresql {
    server: Server,
    clients: Clients,
    /// Relations to set up as soon as the server runs, as ops' `defer` would.
    deferred: BTreeSet<(String, u32)>,
    /// What the status says of the endpoint `database`.
    blocked: Option<&'static str>,
}

impl Postgresql {
    /// The charm of an application whose primary is `server`. `terms` are those of its endpoint `database`.
    pub fn new(server: Server, terms: Terms) -> Self {
        Self {
            server,
            clients: Clients::new(terms),
            deferred: BTreeSet::new(),
            blocked: None,
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
        Ok(hook.status_set("active", ACTIVE)?)
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
        if !LEGACY.contains(&event.endpoint.as_str()) || !hook.is_leader() {
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
        if is_mixed(hook) {
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
            Event::Relation(event) => self.on_relation(hook, event)?,
            Event::Remove => return self.on_remove(hook),
            _ => {}
        }
        self.clients.run(event, hook, &mut *self.server.state())?;
        self.tell(hook)
    }

    /// Says what is wrong with the endpoint `database`, and when that is over.
    fn tell(&mut self, hook: &mut HookContext<'_>) -> Result<(), CounterpartError> {
        let blocked = is_mixed(hook).then_some(MIXED).or(self.clients.blocked());
        let before = std::mem::replace(&mut self.blocked, blocked);
        match blocked {
            Some(why) => hook.status_set("blocked", why)?,
            None if before.is_some() => hook.status_set("active", ACTIVE)?,
            None => {}
        }
        Ok(())
    }
}

/// Whether both kinds of endpoints are in use, which the charm of track 14 does not want.
fn is_mixed(hook: &HookContext<'_>) -> bool {
    let used = |endpoint: &&str| !hook.relation_ids(endpoint).is_empty();
    hook.is_leader() && used(&client::ENDPOINT) && LEGACY.iter().any(used)
}

impl Charm for Postgresql {
    fn metadata(&self) -> &str {
        match self.clients.track() {
            Track::Fourteen => FOURTEEN,
            Track::Sixteen => SIXTEEN,
        }
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

impl Backend for server::State {
    fn is_up(&self) -> bool {
        Self::is_up(self)
    }

    fn version(&self) -> Result<String, CounterpartError> {
        Ok(self.query("postgres", "SHOW server_version")?.join(""))
    }

    fn new_password(&mut self) -> Result<String, CounterpartError> {
        Self::new_password(self)
    }

    fn grant(&mut self, grant: &ClientGrant) -> Result<(), CounterpartError> {
        Ok(self.make_client(grant)?)
    }

    fn alter_password(&mut self, user: &str, password: &str) -> Result<(), CounterpartError> {
        Ok(Self::alter_password(self, user, password)?)
    }

    fn drop_user(&mut self, user: &str) -> Result<(), CounterpartError> {
        Ok(self.drop_role(user)?)
    }

    fn endpoints(&self, hook: &HookContext<'_>) -> (String, String) {
        // There is no replica here, and the charm names the primary then.
        let primary = format!("{}:{}", service(hook, &self.node, "primary"), pgsql::PORT);
        (primary.clone(), primary)
    }
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
