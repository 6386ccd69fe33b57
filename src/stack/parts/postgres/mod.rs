//! PostgreSQL: one server with one claim. Two of them behind one Service, as the original had, would each hold
//! half of the data.

pub(crate) mod settings;

use std::collections::BTreeMap;

use serde_json::json;

use super::{Settings, given_or_made, plain, secret, set};
use crate::names::{POSTGRES_CONFIG, POSTGRES_SECRETS};
use crate::objects::pod::{Container, Pods};
use crate::objects::{Component, Context, Face, Object, config_map, service};
use crate::secrets::{self, Change, Source};
use crate::settings::Program;

const COMPONENT: Component = Component::Postgres;
const PORTS: [(&str, u16, &str); 1] = [("postgres", 5432, "TCP")];
/// The user of the official image.
const USER: (u32, u32) = (999, 999);

/// Where the server finds the data, unless the settings say otherwise. No generation of the image refuses it: 18 takes
/// its own default for a sign of old data when anything is mounted one above this.
pub const DATA: &str = "/var/lib/postgresql/data/pgdata";
/// Where the data are on the claim, wherever the server finds them: not its root, which is not empty on some storage.
const FOLDER: &str = "pgdata";
/// Where the claim is while that folder is made.
pub const CLAIM: &str = "/claim";

/// The name of the Service, and the port.
pub const ADDRESS: (&str, u16) = ("postgres", 5432);

/// From this version on the image asks for passwords by SCRAM where the settings do not say how.
const SCRAM: u32 = 14;

const ONLY_NEW: &str = "PostgreSQL reads it only when it makes a new database; write the old value. Where the database was \
    changed by hand, remove this key from the Secret `temporal-stack`, and apply again";
const CHANGED_VERSION: &str = "no major version reads the files of another, and the image has no `pg_upgrade`; write the old \
    image. To change it, dump the database (`pg_dump`), delete the StatefulSet `postgres`, the claim `data-postgres-0` and \
    this key of the Secret `temporal-stack`, apply, and restore the dump";
const CHANGED_PASSWORD: &str = "the database keeps the password that it was made with; change it there first \
    (`ALTER ROLE … PASSWORD …`), then in the Secret, then apply again";

/// What the image finds in its environment, without secrets.
pub(crate) fn environment(settings: &Settings<'_>) -> BTreeMap<String, String> {
    let mut plain = plain(Program::Postgres, &settings.postgres);
    set(&mut plain, "POSTGRES_DB", "temporal");
    set(&mut plain, "POSTGRES_USER", settings.user());
    let data = settings.postgres.value("PGDATA").unwrap_or(DATA);
    set(&mut plain, "PGDATA", data.trim_end_matches('/'));
    plain
}

/// What the data are made with: what the image reads only while its folder is empty, and the form of the files.
pub(crate) fn facts(settings: &Settings<'_>) -> Vec<(&'static str, Source)> {
    let given = |name| settings.postgres.value(name);
    let version = settings.stack.postgres.major().unwrap_or_default();
    let login = if version < SCRAM {
        "md5"
    } else {
        "scram-sha-256"
    };
    let arguments = given("POSTGRES_INITDB_ARGS").unwrap_or_default().trim();
    let how = given("POSTGRES_HOST_AUTH_METHOD").unwrap_or(login);
    let fact = |value: &str, remedy| Source::Given(value.into(), Change::Fixed(remedy));
    vec![
        ("POSTGRES_USER", fact(settings.user(), ONLY_NEW)),
        ("POSTGRES_INITDB_ARGS", fact(arguments, ONLY_NEW)),
        ("POSTGRES_HOST_AUTH_METHOD", fact(how, ONLY_NEW)),
        (
            "postgres.version",
            fact(&version.to_string(), CHANGED_VERSION),
        ),
    ]
}

/// The Secret of this part.
pub(crate) fn secrets(settings: &Settings<'_>) -> Vec<secrets::Wanted> {
    let given = settings.postgres.value("POSTGRES_PASSWORD");
    let password = given.or_else(|| settings.temporal("DATABASE_PASSWORD"));
    let source = given_or_made(password, Change::Refuse(CHANGED_PASSWORD));
    let keys = vec![("POSTGRES_PASSWORD", source)];
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
    let settings = &context.environment.postgres;
    // while it makes a new database, a temporary server answers on its Unix socket only
    let ready = json!({ "exec": { "command": [
        "sh", "-c", "exec pg_isready -h 127.0.0.1 -U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\"",
    ] } });
    // exactly there: between a mount above it and the data, the image would put a volume of its own, which goes with
    // the Pod
    let data = json!({ "name": "data", "mountPath": settings.get("PGDATA"), "subPath": FOLDER });
    let server = Container::new("postgres", &part.image, &part.resources)
        .config_map(POSTGRES_CONFIG)
        .secret(POSTGRES_SECRETS)
        .ports(&PORTS)
        .with("volumeMounts", json!([data]))
        .probes(&ready);
    let folder = Container::new("folder", &part.image, &part.resources)
        .command(&["sh", "-c", &folder_script()])
        .mount("data", CLAIM);
    let mut pods = Pods::new(context, COMPONENT, USER, 120);
    pods.fingerprint = context.fingerprints(settings, &[POSTGRES_SECRETS]);
    pods.containers.push(server);
    pods.init_containers.push(folder);
    pods.claim("data", &part.storage);
    pods.stateful_set(ADDRESS.0, 1)
}

/// Makes the folder: Kubernetes would make it as root, and then nobody else may change its mode. A database elsewhere on
/// the claim is somebody's data, beside which no empty one is begun.
fn folder_script() -> String {
    format!(
        "set -eu\n\
         cd {CLAIM}\n\
         for found in PG_VERSION */PG_VERSION; do\n\
         \x20 if [ -e \"$found\" ] && [ ! -e {FOLDER}/PG_VERSION ]; then\n\
         \x20   echo \"the claim has a database at $found: move all of it into {FOLDER}\"\n\
         \x20   exit 1\n\
         \x20 fi\n\
         done\n\
         mkdir -p {FOLDER}\n\
         chmod 700 {FOLDER}"
    )
}
