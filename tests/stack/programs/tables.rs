//! The migration's Job: the tables that RTrade's own modules make are those that its second container waits for.

use std::path::Path;
use std::process::{Command, Output};

use rehearsal::cloud;
use rehearsal::parts::{Part, Parts};
use rehearsal::servers::asker::Asker;
use rehearsal::servers::postgresql::Postgresql;
use rehearsal::servers::running::Running;
use serde_json::Value;
use temporal_stack::kubernetes::Kind;

use super::Rendered;
use crate::sandbox::{UP, sandboxed};

/// As in `psql`, which asks as this role; the document's own is a superuser, who may do everything.
const ROLE: (&str, &str) = ("temporal", "secret");

/// The container's command with its environment, but for the place and the role.
fn prove(rendered: &Rendered, bin: &Path) -> Output {
    let objects = rendered.objects();
    let job = objects.iter().find(|it| it.kind == Kind::Job).unwrap();
    let containers = &job.body["spec"]["template"]["spec"]["containers"];
    let proof = &containers[1];
    assert_eq!(proof["name"], "tables");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let words: Vec<String> = proof["command"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect();
    let mut command = Command::new(bin.join(&words[0]));
    command.args(&words[1..]).env_clear();
    for variable in proof["env"].as_array().unwrap() {
        let source = &variable["valueFrom"];
        let value = match (&source["configMapKeyRef"], &source["secretKeyRef"]) {
            (Value::Null, Value::Null) => text(&variable["value"]),
            (Value::Null, secret) => rendered.secret(&text(&secret["name"]), &text(&secret["key"])),
            (map, _) => {
                let data = rendered.object(Kind::ConfigMap, &text(&map["name"]));
                text(&data.body["data"][text(&map["key"])])
            }
        };
        command.env(text(&variable["name"]), value);
    }
    let (user, password) = ROLE;
    command
        .env("PGHOST", "127.0.0.1")
        .env("PGUSER", user)
        .env("PGPASSWORD", password);
    command.output().unwrap()
}

#[test]
fn a_migration_that_may_make_no_tables_is_found_out_and_one_that_made_them_is_believed() {
    let name = "programs::tables::a_migration_that_may_make_no_tables_is_found_out_and_one_that_made_them_is_believed";
    if !cloud::inside().unwrap() {
        // made once, where the cache can be written
        let place = tempfile::tempdir().unwrap();
        Postgresql::lay(&Parts::locate().unwrap(), place.path(), 5432).unwrap();
    }
    sandboxed(name, &[Part::Postgresql, Part::Asker], |parts, work| {
        let rendered = Rendered::new();
        let bin = parts.postgresql().unwrap().join("bin");
        let server = Postgresql::lay(parts, work, 5432).unwrap();
        let log = work.join("postgres.log");
        let _running = Running::start(&server.start(true), "postgres", &log).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let operator = runtime.block_on(server.ready(UP)).unwrap();
        let (user, password) = ROLE;
        runtime.block_on(async {
            let made = operator.create_role(user, password, false).await;
            made.unwrap();
            operator.create_database("temporal", user).await.unwrap();
        });
        let says = |statement: &str| {
            runtime.block_on(async {
                let client = operator.client("temporal").await.unwrap();
                client.batch_execute(statement).await.unwrap();
            });
        };
        let asker = Asker::new(
            parts,
            &[
                ("DATABASE_URL", "127.0.0.1"),
                ("DATABASE_PORT", "5432"),
                ("DATABASE_USERNAME", user),
                ("DATABASE_PASSWORD", password),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        )
        .unwrap();
        says("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
        asker.ask(&["-db.no_ssl", "migrate"]).unwrap();
        let refused = prove(&rendered, &bin);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success(), "{said}");
        // the last line of a container's log is what is shown
        let remedy = "GRANT CREATE ON SCHEMA public TO temporal";
        assert!(said.lines().last().unwrap().ends_with(remedy), "{said}");
        says(remedy);
        asker.ask(&["-db.no_ssl", "migrate"]).unwrap();
        let proved = prove(&rendered, &bin);
        assert!(proved.status.success(), "{proved:?}");
    });
}
