//! The applications on the other sides, acting on the fakes as the real ones act on real servers.
//!
//! Keys, bags and events are those of the real charms; who may write what is the emulated Juju's business.

use std::collections::{BTreeSet, VecDeque};
use std::error::Error;
use std::sync::{Arc, Mutex};

use rehearsal::counterparts::CounterpartError;
use rehearsal::counterparts::postgresql::client::{Backend, Clients, Grant, Track};
use rehearsal::juju::charm::Charm;
use rehearsal::juju::context::HookContext;
use rehearsal::juju::event::{Event, RelationChange, RelationEvent};
use rehearsal::juju::model::Settings;
use serde_json::Value;

use super::lock;
use super::postgres::{Login, Postgres};

type Outcome = Result<(), Box<dyn Error>>;

/// What a scenario may turn on a counterpart while it runs.
#[derive(Debug)]
pub(crate) struct Knobs {
    /// The next passwords that PostgreSQL's charm generates; then the marker with a number.
    pub chosen: VecDeque<String>,
    /// The passwords that it has generated so far.
    pub given: Vec<String>,
    /// Part of every generated password, found nowhere else.
    marker: String,
    /// The schema versions that temporal-admin's tool brings both stores to.
    schema: (String, String),
}

impl Knobs {
    /// As they are in a calm deployment.
    pub(crate) fn new(marker: &str, schema: (&str, &str)) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            chosen: VecDeque::new(),
            given: Vec::new(),
            marker: marker.to_owned(),
            schema: (schema.0.to_owned(), schema.1.to_owned()),
        }))
    }

    /// Which schema the tool makes from now on: of the main store and of the visibility store.
    pub(crate) fn set_schema(&mut self, schema: (&str, &str)) {
        self.schema = (schema.0.to_owned(), schema.1.to_owned());
    }

    fn password(&mut self) -> String {
        let next = format!("{}{}", self.marker, self.given.len());
        let password = self.chosen.pop_front().unwrap_or(next);
        self.given.push(password.clone());
        password
    }
}

/// postgresql-k8s 14 with its endpoints `db` and `database`, or 16 with `database` alone.
pub(crate) struct PostgresqlK8s {
    /// Its server.
    pub postgres: Arc<Postgres>,
    /// See [`Knobs`].
    pub knobs: Arc<Mutex<Knobs>>,
    /// The relations of `database`.
    pub clients: Clients,
}

const FOURTEEN: &str = "name: postgresql-k8s\nsummary: PostgreSQL\ndescription: PostgreSQL\n\
     peers: {database-peers: {interface: postgresql_peers}}\n\
     provides: {db: {interface: pgsql}, database: {interface: postgresql_client}}\n";
const SIXTEEN: &str = "name: postgresql-k8s\nsummary: PostgreSQL\ndescription: PostgreSQL\n\
     peers: {database-peers: {interface: postgresql_peers}}\n\
     provides: {database: {interface: postgresql_client}}\n";

impl Charm for PostgresqlK8s {
    fn metadata(&self) -> &'static str {
        match self.clients.track() {
            Track::Fourteen => FOURTEEN,
            Track::Sixteen => SIXTEEN,
        }
    }

    fn dispatch(&mut self, event: &Event, hook: &mut HookContext) -> Outcome {
        match event {
            Event::Relation(event) if event.endpoint == "db" => match event.change {
                RelationChange::Changed => {
                    self.provide(event.id, event.remote_unit.as_deref(), hook)?;
                }
                RelationChange::Broken => self.postgres.drop_user(&user(event.id)),
                RelationChange::Created | RelationChange::Joined | RelationChange::Departed => {}
            },
            _ => {}
        }
        let mut server = Behind {
            postgres: &self.postgres,
            knobs: &self.knobs,
        };
        self.clients.run(event, hook, &mut server)?;
        match self.clients.blocked() {
            Some(why) => hook.status_set("blocked", why)?,
            None => hook.status_set("active", "")?,
        }
        Ok(())
    }
}

/// The fake server behind the endpoint `database`.
struct Behind<'a> {
    postgres: &'a Postgres,
    knobs: &'a Mutex<Knobs>,
}

impl Backend for Behind<'_> {
    fn is_up(&self) -> bool {
        self.postgres.answers()
    }

    fn version(&self) -> Result<String, CounterpartError> {
        Ok("16.9".to_owned())
    }

    fn new_password(&mut self) -> Result<String, CounterpartError> {
        Ok(lock(self.knobs).password())
    }

    fn grant(&mut self, grant: &Grant) -> Result<(), CounterpartError> {
        self.postgres.set_password(&grant.user, &grant.password);
        self.postgres.create_database(&grant.database, &grant.user);
        Ok(())
    }

    fn alter_password(&mut self, user: &str, password: &str) -> Result<(), CounterpartError> {
        self.postgres.set_password(user, password);
        Ok(())
    }

    fn drop_user(&mut self, user: &str) -> Result<(), CounterpartError> {
        self.postgres.drop_user(user);
        Ok(())
    }

    fn endpoints(&self, _hook: &HookContext<'_>) -> (String, String) {
        let address = self.postgres.address().to_string();
        (address.clone(), address)
    }
}

fn user(relation: u32) -> String {
    format!("relation_id_{relation}")
}

impl PostgresqlK8s {
    fn provide(&self, id: u32, unit: Option<&str>, hook: &mut HookContext) -> Outcome {
        if !hook.is_leader() {
            return Ok(());
        }
        let app = hook.relation_app(id)?;
        let request = hook.relation_get(id, &app)?;
        let of_unit = unit
            .map(|unit| hook.relation_get(id, unit))
            .transpose()?
            .unwrap_or_default();
        let asked = |key: &str| request.get(key).or_else(|| of_unit.get(key)).cloned();
        if asked("extensions").is_some() || request.contains_key("roles") {
            hook.status_set("blocked", "extensions or roles requested through relation")?;
            return Ok(());
        }
        let Some(database) = asked("database") else {
            return Ok(());
        };
        let me = hook.unit().to_owned();
        // the password lives in the leader's own bag: a new leader makes a new one
        let known = hook.relation_get(id, &me)?.get("password").cloned();
        let password = known.unwrap_or_else(|| lock(&self.knobs).password());
        let user = user(id);
        self.postgres.set_password(&user, &password);
        self.postgres.create_database(&database, &user);
        let mut subnets = BTreeSet::new();
        let mut units = BTreeSet::new();
        for unit in hook.relation_list(id)? {
            let bag = hook.relation_get(id, &unit)?;
            let of_bag = bag.get("egress-subnets").cloned().unwrap_or_default();
            subnets.extend(of_bag.split(',').map(|net| net.trim().to_owned()));
            units.insert(unit);
        }
        subnets.remove("");
        let address = self.postgres.address();
        let string = |fallback: &str| {
            libpq(&[
                ("dbname", &database),
                ("fallback_application_name", fallback),
                ("host", &address.ip().to_string()),
                ("password", &password),
                ("port", &address.port().to_string()),
                ("user", &user),
            ])
        };
        let bag = Settings::from(
            [
                ("allowed-subnets", joined(subnets)),
                ("allowed-units", joined(units)),
                ("host", format!("{}-0.postgresql-k8s-endpoints", hook.app())),
                ("port", address.port().to_string()),
                ("user", user.clone()),
                ("password", password.clone()),
                ("database", database.clone()),
                ("master", string(&app)),
                ("standbys", string(&app)),
                ("version", "14.5".to_owned()),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        hook.relation_set_app(id, bag.clone())?;
        hook.relation_set(id, bag)?;
        Ok(())
    }
}

fn joined(items: BTreeSet<String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(",")
}

/// As the provider's own generator writes it: quotes only around a value with a space.
fn libpq(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(key, value)| {
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
    fields.collect::<Vec<_>>().join(" ")
}

/// temporal-admin-k8s.
pub(crate) struct TemporalAdminK8s {
    /// The server that its tool reaches.
    pub postgres: Arc<Postgres>,
    /// See [`Knobs`].
    pub knobs: Arc<Mutex<Knobs>>,
}

impl Charm for TemporalAdminK8s {
    fn metadata(&self) -> &'static str {
        "name: temporal-admin-k8s\nsummary: admin\ndescription: admin\n\
         provides: {admin: {interface: temporal, limit: 1}}\n"
    }

    fn dispatch(&mut self, event: &Event, hook: &mut HookContext) -> Outcome {
        if let Event::Relation(RelationEvent {
            change: RelationChange::Changed,
            id,
            ..
        }) = event
            && hook.is_leader()
        {
            let app = hook.relation_app(*id)?;
            let bag = hook.relation_get(*id, &app)?;
            if let Some(connections) = bag.get("database_connections") {
                self.set_up(&serde_json::from_str(connections)?)?;
                hook.relation_set_app(*id, [("schema_status", "ready")])?;
                hook.status_set("active", "")?;
                return Ok(());
            }
        }
        let ids = hook.relation_ids("admin");
        if ids.is_empty() {
            hook.status_set("blocked", "admin:temporal relation: not available")?;
        }
        Ok(())
    }
}

impl TemporalAdminK8s {
    /// `temporal-sql-tool setup-schema` and `update-schema`, for both stores.
    fn set_up(&self, connections: &Value) -> Outcome {
        let (main, visibility) = lock(&self.knobs).schema.clone();
        for (name, version) in [("db", main), ("visibility", visibility)] {
            let text = |key: &str| {
                let value = connections[name][key].as_str();
                value.ok_or_else(|| format!("`{key}` of `{name}` is no string"))
            };
            let (host, port, database) = (text("host")?, text("port")?, text("dbname")?);
            if format!("{host}:{port}") != self.postgres.address().to_string() {
                return Err(format!("no database at {host}:{port}").into());
            }
            let login = Login {
                user: text("user")?,
                password: text("password")?,
                database,
            };
            self.postgres
                .with(&login, |known| {
                    let schema = known.schema.get_or_insert_default();
                    schema.insert(database.to_owned(), version);
                    known.has_metadata |= name == "db";
                })
                .map_err(|why| format!("schema of `{name}`: {why:?}"))?;
        }
        Ok(())
    }
}

/// An ingress provider that speaks both protocols: v2 and that of early 2023.
pub(crate) struct Ingress;

impl Charm for Ingress {
    fn metadata(&self) -> &'static str {
        "name: nginx-ingress-integrator\nsummary: ingress\ndescription: ingress\n\
         provides: {ingress: {interface: ingress}}\n"
    }

    fn dispatch(&mut self, event: &Event, hook: &mut HookContext) -> Outcome {
        let Event::Relation(event) = event else {
            return Ok(());
        };
        if event.endpoint != "ingress"
            || event.change == RelationChange::Broken
            || !hook.is_leader()
        {
            return Ok(());
        }
        let app = hook.relation_app(event.id)?;
        let bag = hook.relation_get(event.id, &app)?;
        let json = |key: &str| {
            bag.get(key)
                .and_then(|it| serde_json::from_str::<Value>(it).ok())
        };
        let plain = |key: &str| bag.get(key).cloned();
        if let (Some(_), Some(name), Some(port)) = (
            plain("service-hostname"),
            plain("service-name"),
            plain("service-port"),
        ) {
            hook.relation_set_app(event.id, [("url", format!("http://{name}:{port}/"))])?;
            hook.status_set("active", "")?;
        } else if let (Some(model), Some(name), Some(_)) =
            (json("model"), json("name"), json("port"))
        {
            let (model, name) = (
                model.as_str().unwrap_or_default(),
                name.as_str().unwrap_or_default(),
            );
            let answer = serde_json::json!({ "url": format!("http://{model}-{name}.test/") });
            hook.relation_set_app(event.id, [("ingress", answer.to_string())])?;
            hook.status_set("active", "")?;
        } else {
            hook.status_set("blocked", "Missing fields for ingress")?;
        }
        Ok(())
    }
}
