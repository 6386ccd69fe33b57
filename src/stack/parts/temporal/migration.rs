//! The tables: a Job makes them and proves that they are there. The program's own `migrate` is content when the database
//! lets it make none, and says nothing.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{pods, program};
use crate::names::{TEMPORAL_CONFIG, TEMPORAL_SECRETS};
use crate::objects::pod::Container;
use crate::objects::{Component, Context, Object};
use crate::secrets;

/// What `migrate` makes, by the names that its library gives the program's records
/// (`RTradeLtd/database:database.go`, the same ten from v2.5 to v2.7.6).
const TABLES: [&str; 10] = [
    "uploads",
    "encrypted_uploads",
    "users",
    "payments",
    // so the library breaks `IPNS`
    "ip_ns",
    "hosted_networks",
    "zones",
    "records",
    "usages",
    "organizations",
];

/// Makes the tables. Its name follows from all of it, since a Job cannot be changed: other settings are another
/// Job.
pub(super) fn job(context: Context<'_>) -> Object {
    let database_tls = context.stack.temporal.database_tls;
    let words: &[&str] = if database_tls {
        &["migrate"]
    } else {
        // without TLS it must be told so; the other programs find out by themselves
        &["-db.no_ssl", "migrate"]
    };
    let migrate = program(context, "migrate", words);
    let mut pods = pods(context, Component::Migrate, migrate);
    // beside it and not after it: what runs before the others has no mesh
    pods.containers.push(proof(context, database_tls));
    let mut job = pods.job("");
    let hash = Sha256::digest(job.body.to_string());
    let hash = secrets::to_hex(hash.get(..5).unwrap_or_default());
    job.body["metadata"]["name"] = format!("temporal-migrate-{hash}").into();
    job
}

/// PostgreSQL's own client, which goes to the database by the program's settings, wherever that is.
fn proof(context: Context<'_>, tls: bool) -> Container {
    let stack = context.stack;
    let config = ("configMapKeyRef", TEMPORAL_CONFIG);
    let secret = ("secretKeyRef", TEMPORAL_SECRETS);
    let variables = [
        ("PGHOST", config, "DATABASE_URL"),
        ("PGPORT", config, "DATABASE_PORT"),
        ("PGUSER", config, "DATABASE_USERNAME"),
        ("PGDATABASE", config, "DATABASE_NAME"),
        ("PGPASSWORD", secret, "DATABASE_PASSWORD"),
    ];
    let client = Container::new("tables", &stack.postgres.image, &stack.temporal.resources);
    variables
        .into_iter()
        .fold(client, |client, (name, (kind, source), key)| {
            client.variable_from(name, kind, &json!({ "name": source, "key": key }))
        })
        .variable("PGSSLMODE", if tls { "require" } else { "disable" })
        .variable("PGCONNECT_TIMEOUT", "10")
        .command(&[
            "psql",
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            "--set=VERBOSITY=terse",
            &format!("--command={}", question()),
        ])
}

/// Waits for the tables, but not for what the role may not make. What is said ends with what to do, since of a long
/// line the end is shown.
fn question() -> String {
    let tables = TABLES.join(",");
    format!(
        "DO $proof$\n\
         DECLARE missing text;\n\
         BEGIN\n\
         \x20 LOOP\n\
         \x20   SELECT string_agg(name, ', ') INTO missing\n\
         \x20     FROM unnest(string_to_array('{tables}', ',')) AS name WHERE NOT EXISTS\n\
         \x20       (SELECT FROM pg_class WHERE relname = name AND relkind IN ('r', 'p') AND pg_table_is_visible(oid));\n\
         \x20   EXIT WHEN missing IS NULL;\n\
         \x20   IF NOT has_schema_privilege(coalesce(current_schema(), 'public'), 'CREATE') THEN\n\
         \x20     RAISE EXCEPTION 'tables are missing (%) that this role may not make; as a superuser: GRANT CREATE ON SCHEMA % TO %',\n\
         \x20       missing, quote_ident(coalesce(current_schema(), 'public')), quote_ident(current_user);\n\
         \x20   END IF;\n\
         \x20   IF clock_timestamp() > now() + interval '2 minutes' THEN\n\
         \x20     RAISE EXCEPTION 'the migration has not made the tables %', missing;\n\
         \x20   END IF;\n\
         \x20   PERFORM pg_sleep(1);\n\
         \x20 END LOOP;\n\
         END\n\
         $proof$"
    )
}
