//! The endpoint `database` with its interface `postgresql_client`, in the layout of `data_interfaces` v0.
//!
//! The leader acts on relation-changed: a name of a database that has come makes a user and the database, and every
//! later hook brings what is said of them up to date. The charm of this rehearsal and that of the fast tests run it, each
//! on a [`Backend`] of its own.

mod request;
mod terms;

use std::collections::{BTreeMap, BTreeSet};

pub use request::Track;
pub use terms::{Status, Terms};

use super::pgsql::role;
use crate::counterparts::CounterpartError;
use crate::juju::context::{HookContext, ToolError};
use crate::juju::event::{Event, RelationChange};
use crate::juju::model::Settings;
use crate::juju::secrets::{Reading, SecretChanges, SecretOwner};
use request::{extra_roles, news, requested_secrets};
use terms::Act;

/// The endpoint's name.
pub const ENDPOINT: &str = "database";
/// What goes into which secret, by the secret's name.
const GROUPS: [(&str, &[&str]); 2] = [
    ("user", &["username", "password", "uris"]),
    ("tls", &["tls", "tls-ca"]),
];

/// Whom a relation is to have as its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whose rules there are.
    pub track: Track,
    /// The role's name.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The database, to be made if it is not there.
    pub database: String,
    /// The roles that were asked for, in lower case.
    pub roles: BTreeSet<String>,
    /// No other relation uses this database.
    pub alone: bool,
}

/// The server behind the endpoint.
pub trait Backend {
    /// It takes statements.
    fn is_up(&self) -> bool;

    /// The server's version.
    fn version(&self) -> Result<String, CounterpartError>;

    /// A new password.
    fn new_password(&mut self) -> Result<String, CounterpartError>;

    /// Makes a user and its database.
    fn grant(&mut self, grant: &Grant) -> Result<(), CounterpartError>;

    /// Gives a user another password.
    fn alter_password(&mut self, user: &str, password: &str) -> Result<(), CounterpartError>;

    /// Removes a user. What it owned stays.
    fn drop_user(&mut self, user: &str) -> Result<(), CounterpartError>;

    /// `host:port` of the primary and of the replicas.
    fn endpoints(&self, hook: &HookContext<'_>) -> (String, String);
}

/// The relations of the endpoint, as one unit of the provider sees them.
#[derive(Debug)]
pub struct Clients {
    terms: Terms,
    /// Requests that wait for the server, as ops' `defer` keeps them.
    deferred: BTreeSet<u32>,
    refused: BTreeMap<u32, &'static str>,
}

/// A user's name and password.
type Credentials = (String, String);

impl Clients {
    /// Those of a provider with these terms.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            deferred: BTreeSet::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Which charm this is.
    pub fn track(&self) -> Track {
        self.terms.state().track
    }

    /// What the charm is to say while a request is refused; its status is Blocked then.
    pub fn blocked(&self) -> Option<&'static str> {
        self.refused.values().next().copied()
    }

    /// The endpoint's part of a hook.
    pub fn run(
        &mut self,
        event: &Event,
        hook: &mut HookContext<'_>,
        backend: &mut impl Backend,
    ) -> Result<(), CounterpartError> {
        let event = event.relation().filter(|it| it.endpoint == ENDPOINT);
        let broken = event.filter(|it| it.change == RelationChange::Broken);
        if let Some(event) = broken {
            self.deferred.remove(&event.id);
            self.refused.remove(&event.id);
        }
        if !hook.is_leader() {
            return Ok(());
        }
        if let Some(event) = broken {
            // Their secrets stay with nobody who could read them.
            let users = self.terms.state().users.remove(&event.id);
            for user in users.unwrap_or_default() {
                backend.drop_user(&user)?;
            }
        }
        if let Some(event) = event.filter(|it| it.change == RelationChange::Changed) {
            let own = own_bag(hook, event.id)?;
            let news = news(own.get("data"), &client_bag(hook, event.id)?)?;
            hook.relation_set_app(event.id, [("data", news.data)])?;
            if news.asks {
                self.deferred.insert(event.id);
            }
        }
        if !backend.is_up() {
            return Ok(());
        }
        let living = hook.relation_ids(ENDPOINT).into_iter();
        let living: Vec<u32> = living
            .filter(|id| broken.is_none_or(|it| it.id != *id))
            .collect();
        if !self.terms.state().held {
            for id in std::mem::take(&mut self.deferred) {
                if living.contains(&id) {
                    self.set_up(hook, id, backend)?;
                }
            }
        }
        let acts = std::mem::take(&mut self.terms.state().acts);
        let acts = acts.into_iter().filter(|(id, _)| living.contains(id));
        let mut removed = BTreeSet::new();
        for (id, act) in acts {
            self.act(hook, id, act, backend)?;
            if act == Act::Remove {
                removed.insert(id);
            }
        }
        for id in living.iter().copied().filter(|id| !removed.contains(id)) {
            if client_bag(hook, id)?.contains_key("database") {
                self.tell_status(hook, id)?;
                if let Some(known) = credentials(hook, id)? {
                    self.publish(hook, id, &known, backend)?;
                }
            }
        }
        Ok(())
    }

    fn set_up(
        &mut self,
        hook: &mut HookContext<'_>,
        id: u32,
        backend: &mut impl Backend,
    ) -> Result<(), CounterpartError> {
        let client = client_bag(hook, id)?;
        let Some(database) = client.get("database") else {
            return Ok(());
        };
        if let Some(why) = self.track().refuses(database, &extra_roles(&client)) {
            self.refused.insert(id, why);
            return Ok(());
        }
        let user = role(id);
        let credentials = (user, backend.new_password()?);
        self.grant(hook, id, &credentials, backend)?;
        self.publish(hook, id, &credentials, backend)
    }

    /// Makes a relation's user, new or another one.
    fn grant(
        &self,
        hook: &HookContext<'_>,
        id: u32,
        (user, password): &Credentials,
        backend: &mut impl Backend,
    ) -> Result<(), CounterpartError> {
        let client = client_bag(hook, id)?;
        let database = client.get("database").cloned().unwrap_or_default();
        let mut asking = 0;
        for endpoint in [ENDPOINT, "db", "db-admin"] {
            for id in hook.relation_ids(endpoint) {
                asking += u32::from(client_bag(hook, id)?.get("database") == Some(&database));
            }
        }
        let mut state = self.terms.state();
        backend.grant(&Grant {
            track: state.track,
            user: user.clone(),
            password: password.clone(),
            database,
            roles: extra_roles(&client),
            alone: asking < 2,
        })?;
        state.users.entry(id).or_default().push(user.clone());
        Ok(())
    }

    fn act(
        &self,
        hook: &mut HookContext<'_>,
        id: u32,
        act: Act,
        backend: &mut impl Backend,
    ) -> Result<(), CounterpartError> {
        let client = hook.relation_app(id)?;
        let own = own_bag(hook, id)?;
        let secrets = GROUPS
            .iter()
            .filter_map(|(group, _)| own.get(&format!("secret-{group}")));
        match act {
            Act::Rotate => {
                if let Some((user, _)) = credentials(hook, id)? {
                    let password = backend.new_password()?;
                    backend.alter_password(&user, &password)?;
                    self.publish(hook, id, &(user, password), backend)?;
                }
            }
            Act::Rename => {
                let number = self.terms.state().users.get(&id).map_or(0, Vec::len);
                let user = format!("{}_{number}", role(id));
                let credentials = (user, backend.new_password()?);
                self.grant(hook, id, &credentials, backend)?;
                self.publish(hook, id, &credentials, backend)?;
            }
            Act::Revoke => {
                for uri in secrets {
                    hook.secret_revoke(uri, &client)?;
                }
            }
            Act::Grant => {
                for uri in secrets {
                    hook.secret_grant(uri, id, None)?;
                }
            }
            Act::Remove => {
                for uri in secrets {
                    hook.secret_remove(uri, None)?;
                }
            }
        }
        Ok(())
    }

    fn tell_status(&self, hook: &mut HookContext<'_>, id: u32) -> Result<(), CounterpartError> {
        let statuses = self.terms.state().statuses.clone();
        let text = statuses.map(|it| serde_json::json!(it).to_string());
        Ok(hook.relation_set_app(id, [("status", text.unwrap_or_default())])?)
    }

    /// Says all that there is to say, each key in a secret or in the bag.
    fn publish(
        &self,
        hook: &mut HookContext<'_>,
        id: u32,
        (user, password): &Credentials,
        backend: &impl Backend,
    ) -> Result<(), CounterpartError> {
        let client = client_bag(hook, id)?;
        let own = own_bag(hook, id)?;
        let database = client.get("database").cloned().unwrap_or_default();
        let (primary, replicas) = backend.endpoints(hook);
        let state = self.terms.state();
        let endpoints = state.endpoints.clone().unwrap_or(primary);
        let uri = format!("postgresql://{user}:{password}@{endpoints}/{database}");
        let tls = if state.ca.is_some() { "True" } else { "False" };
        let mut values = BTreeMap::from([
            ("username", user.clone()),
            ("password", password.clone()),
            ("uris", uri),
            ("tls", tls.to_owned()),
            ("tls-ca", state.ca.clone().unwrap_or_default()),
            ("endpoints", endpoints),
            (
                "read-only-endpoints",
                state.read_only.clone().unwrap_or(replicas),
            ),
            ("version", backend.version()?),
            ("database", database),
        ]);
        let mut requested = requested_secrets(&client);
        // A relation that has begun without secrets goes on without.
        if state.plain || requested.iter().any(|key| own.contains_key(key)) {
            requested.clear();
        }
        drop(state);
        for (group, keys) in GROUPS {
            let content: Settings = keys
                .iter()
                .filter(|key| requested.contains(**key))
                .filter_map(|key| values.remove_entry(key))
                .map(|(key, value)| (key.to_owned(), value))
                .collect();
            if !content.is_empty() {
                put(hook, id, group, content, &own)?;
            }
        }
        Ok(hook.relation_set_app(id, values)?)
    }
}

/// Puts content into the secret of a relation, which is made and granted if there is none.
fn put(
    hook: &mut HookContext<'_>,
    id: u32,
    group: &str,
    content: Settings,
    own: &Settings,
) -> Result<(), CounterpartError> {
    let label = label(id, group);
    let field = format!("secret-{group}");
    if let Some(uri) = own.get(&field) {
        let Some(mut known) = secret(hook, &label)? else {
            // It was removed; the library says so in its log, and no more.
            return Ok(());
        };
        known.extend(content);
        return Ok(hook.secret_set(uri, SecretChanges::content(known))?);
    }
    let changes = SecretChanges::content(content).label(&label);
    let uri = hook.secret_add(SecretOwner::Application, changes)?;
    hook.secret_grant(&uri, id, None)?;
    let bare = uri.trim_start_matches("secret:");
    let uri = format!("secret://{}/{bare}", hook.model_uuid());
    Ok(hook.relation_set_app(id, [(field, uri)])?)
}

/// The library's label.
fn label(id: u32, group: &str) -> String {
    format!("{ENDPOINT}.{id}.{group}.secret")
}

/// The content of an own secret, unless it is gone.
fn secret(hook: &mut HookContext<'_>, label: &str) -> Result<Option<Settings>, CounterpartError> {
    match hook.secret_get(None, Some(label), Reading::Refresh) {
        Ok(content) => Ok(Some(content)),
        Err(ToolError::Refused(_) | ToolError::SecretNotFound(_)) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

/// What a relation was given, as the real charm reads it: from its own bag or its own secret.
fn credentials(
    hook: &mut HookContext<'_>,
    id: u32,
) -> Result<Option<Credentials>, CounterpartError> {
    let mut bag = own_bag(hook, id)?;
    if !bag.contains_key("password") {
        bag = secret(hook, &label(id, "user"))?.unwrap_or_default();
    }
    Ok(bag.remove("username").zip(bag.remove("password")))
}

fn own_bag(hook: &HookContext<'_>, id: u32) -> Result<Settings, CounterpartError> {
    Ok(hook.relation_get(id, hook.app())?)
}

fn client_bag(hook: &HookContext<'_>, id: u32) -> Result<Settings, CounterpartError> {
    let client = hook.relation_app(id)?;
    Ok(hook.relation_get(id, &client)?)
}
