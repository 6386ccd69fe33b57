//! PostgreSQL: one server with one claim. Two of them behind one Service, as the original had, would each hold
//! half of the data.

pub(crate) mod settings;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Settings, given_or_made, plain, secret, set};
use crate::names::{POSTGRES_CONFIG, POSTGRES_SECRETS};
use crate::objects::pod::{Pods, container, environment_from, ports, probes};
use crate::objects::{Component, Context, Face, Object, Phase, config_map, service};
use crate::secrets::{self, Change};
use crate::settings::Program;

const COMPONENT: Component = Component::Postgres;
const PORTS: [(&str, u16, &str); 1] = [("postgres", 5432, "TCP")];
/// The user of the official image.
const USER: (u32, u32) = (999, 999);

/// Where the data are, unless the settings say otherwise.
pub const DATA: &str = "/var/lib/postgresql/data/pgdata";

/// The name of the Service, and the port.
pub const ADDRESS: (&str, u16) = ("postgres", 5432);

const CHANGED_PASSWORD: &str = "the database keeps the password that it was made with; change it there first \
    (`ALTER ROLE … PASSWORD …`), then in the Secret, then apply again";

/// What the image finds in its environment, without secrets.
pub(crate) fn environment(settings: &Settings) -> BTreeMap<String, String> {
    let mut plain = plain(Program::Postgres, &settings.postgres);
    set(&mut plain, "POSTGRES_DB", "temporal");
    set(&mut plain, "POSTGRES_USER", settings.user());
    plain
        .entry("PGDATA".to_owned())
        .or_insert_with(|| DATA.to_owned());
    plain
}

/// The Secret of this part.
pub(crate) fn secrets(settings: &Settings) -> Vec<secrets::Wanted> {
    let password = settings
        .postgres
        .value("POSTGRES_PASSWORD")
        .or_else(|| settings.temporal("DATABASE_PASSWORD"));
    let source = given_or_made(password, Change::Refuse(CHANGED_PASSWORD));
    let keys = vec![("POSTGRES_PASSWORD".to_owned(), source)];
    vec![secret(POSTGRES_SECRETS, COMPONENT, keys)]
}

/// Its objects.
pub(crate) fn objects(context: Context<'_>) -> Vec<Object> {
    let settings = &context.environment.postgres;
    vec![
        config_map(context, POSTGRES_CONFIG, COMPONENT, settings),
        service(context, ADDRESS.0, COMPONENT, Face::Inside, &PORTS),
        stateful_set(context),
    ]
}

fn stateful_set(context: Context<'_>) -> Object {
    let part = &context.stack.postgres;
    let mut server = container("postgres", &part.image, &part.resources);
    server["envFrom"] = environment_from(POSTGRES_CONFIG, POSTGRES_SECRETS);
    server["ports"] = ports(&PORTS);
    server["volumeMounts"] = json!([{ "name": "data", "mountPath": mount_path(context) }]);
    // while it makes a new database, a temporary server answers on its Unix socket only
    let ready = json!({ "exec": { "command": [
        "sh", "-c", "exec pg_isready -h 127.0.0.1 -U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\"",
    ] } });
    probes(&mut server, &ready);
    let pods = Pods {
        component: COMPONENT,
        phase: Phase::Stores,
        fingerprint: context.fingerprints(&context.environment.postgres, &[POSTGRES_SECRETS]),
        user: Some(USER),
        grace: 120,
        containers: vec![server],
        init_containers: Vec::<Value>::new(),
        volumes: Vec::new(),
    };
    pods.stateful_set(context, ADDRESS.0, 1, &[("data", &part.storage)])
}

/// The claim is where the data are: one above, since its own directory is not empty on some storage.
fn mount_path(context: Context<'_>) -> &str {
    let data = context.environment.postgres.get("PGDATA");
    let data = data.map_or(DATA, String::as_str).trim_end_matches('/');
    match data.rsplit_once('/') {
        Some(("", _)) | None => data,
        Some((parent, _)) => parent,
    }
}
