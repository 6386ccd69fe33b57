//! PostgreSQL in the environment and on the claim that its container gets.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rehearsal::parts::{Part, Parts};
use rehearsal::servers::Start;
use rehearsal::servers::postgresql::unprivileged;
use rehearsal::servers::running::Running;
use serde_json::Value;
use temporal_stack::kubernetes::Kind;
use tokio_postgres::{Client, Config, NoTls};

use crate::programs::Rendered;
use crate::sandbox::{UP, sandboxed};

/// The Pod's storage: a claim, which outlives it, and the volume that the image asks for, which does not.
struct Pod<'a> {
    rendered: Rendered,
    /// What the image declares as a `VOLUME`.
    volume: &'a str,
    claim: &'a Path,
    thrown_away: PathBuf,
}

impl<'a> Pod<'a> {
    /// A new Pod on the same claim.
    fn new(claim: &'a Path, work: &Path, volume: &'a str, data: Option<&str>) -> Self {
        let rendered = Rendered::with(|stack| {
            if let Some(data) = data {
                let settings = &mut stack.postgres.settings;
                settings.insert("PGDATA".to_owned(), data.into());
            }
        });
        let thrown_away = work.join("thrown-away");
        if thrown_away.exists() {
            fs::remove_dir_all(&thrown_away).unwrap();
        }
        fs::create_dir(&thrown_away).unwrap();
        Self {
            rendered,
            volume,
            claim,
            thrown_away,
        }
    }

    fn spec(&self) -> Value {
        let set = self.rendered.object(Kind::StatefulSet, "postgres");
        set.body["spec"]["template"]["spec"].clone()
    }

    fn environment(&self) -> BTreeMap<String, String> {
        self.rendered.environment("postgres")
    }

    /// Where a path of the container is here: of all mounts that it is in, the deepest counts, and the image's own
    /// volume gives way to one at the very same place.
    fn place(&self, path: &str) -> PathBuf {
        let container = &self.spec()["containers"][0];
        let mounts = container["volumeMounts"].as_array().unwrap();
        let mut known = BTreeMap::from([(self.volume.to_owned(), self.thrown_away.clone())]);
        for mount in mounts {
            let text = |key: &str| mount[key].as_str().unwrap_or_default();
            assert_eq!(text("name"), "data");
            known.insert(
                text("mountPath").to_owned(),
                self.claim.join(text("subPath")),
            );
        }
        let inside = |at: &str| {
            let rest = path.strip_prefix(at)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
        };
        let found = known
            .iter()
            .filter_map(|(at, here)| Some((at.len(), here.join(inside(at)?))))
            .max();
        let (_, found) = found.unwrap_or_else(|| panic!("{path} goes with the container"));
        found
    }

    /// The init container.
    fn prepare(&self) -> Output {
        let container = &self.spec()["initContainers"][0];
        let mount = &container["volumeMounts"][0];
        assert_eq!(mount["subPath"], Value::Null);
        let words = container["command"].as_array().unwrap();
        let words: Vec<&str> = words.iter().map(|word| word.as_str().unwrap()).collect();
        let at = mount["mountPath"].as_str().unwrap();
        let script = words[2].replace(at, &self.claim.display().to_string());
        run(words[0], &[words[1], &script])
    }

    /// What the image does: a new database where there is none, then the server.
    fn start(&self, bin: &Path, work: &Path) -> Running {
        let prepared = self.prepare();
        assert!(prepared.status.success(), "{prepared:?}");
        let environment = self.environment();
        let data = self.place(&environment["PGDATA"]);
        assert!(data.exists(), "Kubernetes would make it as root");
        let text = |path: &Path| path.display().to_string();
        if !data.join("PG_VERSION").exists() {
            let password = work.join("password");
            fs::write(&password, &environment["POSTGRES_PASSWORD"]).unwrap();
            let arguments = [
                "--pgdata",
                &text(&data),
                "--username",
                &environment["POSTGRES_USER"],
                "--pwfile",
                &text(&password),
                "--auth",
                "scram-sha-256",
                "--no-sync",
            ];
            let made = run(&text(&bin.join("initdb")), &arguments);
            assert!(made.status.success(), "{made:?}");
        }
        let mut words = words(&text(&bin.join("postgres")));
        words.extend(
            [
                "-D",
                &text(&data),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "fsync=off",
                "-k",
                &text(work),
            ]
            .map(str::to_owned),
        );
        let start = Start {
            argv: words.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
        };
        let mut server = Running::start(&start, "postgres", &work.join("postgres.log")).unwrap();
        let ready = || self.is_ready(bin);
        server
            .until("the probe to succeed", UP, ready)
            .unwrap_or_else(|error| panic!("{error}"));
        server
    }

    /// The container's own probe.
    fn is_ready(&self, bin: &Path) -> bool {
        let probe = &self.spec()["containers"][0]["readinessProbe"];
        let words = probe["exec"]["command"].as_array().unwrap();
        let words: Vec<&str> = words.iter().map(|word| word.as_str().unwrap()).collect();
        let status = Command::new(words[0])
            .args(&words[1..])
            .envs(self.environment())
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .status();
        status.is_ok_and(|status| status.success())
    }

    /// How Temporal logs in.
    fn login(&self) -> Config {
        let temporal = &self.rendered.wanted.environment.temporal;
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(temporal["DATABASE_PORT"].parse().unwrap())
            .user(&temporal["DATABASE_USERNAME"])
            .password(
                self.rendered
                    .secret("temporal-secrets", "DATABASE_PASSWORD"),
            )
            .dbname("postgres");
        config
    }
}

fn words(program: &str) -> Vec<String> {
    let before = unprivileged(true).iter().map(ToString::to_string);
    before.chain([program.to_owned()]).collect()
}

/// As the image's own user, to the end.
fn run(program: &str, arguments: &[&str]) -> Output {
    let words = words(program);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(arguments).output().unwrap()
}

fn programs(parts: &Parts) -> PathBuf {
    parts.postgresql().unwrap().join("bin")
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future);
}

/// Where the images up to 17 have their volume, and where 18 has it.
const VOLUMES: [&str; 2] = ["/var/lib/postgresql/data", "/var/lib/postgresql"];

#[test]
fn postgresql_lets_temporal_in_as_its_settings_say() {
    let name = "postgres::postgresql_lets_temporal_in_as_its_settings_say";
    sandboxed(name, &[Part::Postgresql], |parts, work| {
        let claim = work.join("claim");
        fs::create_dir(&claim).unwrap();
        let pod = Pod::new(&claim, work, VOLUMES[0], None);
        let _server = pod.start(&programs(parts), work);
        block_on(async {
            let mut config = pod.login();
            let database = &pod.environment()["POSTGRES_DB"];
            let made = connect(&config).await;
            made.batch_execute(&format!("CREATE DATABASE {database}"))
                .await
                .unwrap();
            config.dbname("temporal");
            connect(&config).await;
            config.password("another");
            assert!(config.connect(NoTls).await.is_err());
        });
    });
}

#[test]
fn postgresql_keeps_its_data_over_pods_of_every_image_and_folder() {
    let name = "postgres::postgresql_keeps_its_data_over_pods_of_every_image_and_folder";
    sandboxed(name, &[Part::Postgresql], |parts, work| {
        let (bin, claim) = (programs(parts), work.join("claim"));
        // storage whose root is not empty
        fs::create_dir_all(claim.join("lost+found")).unwrap();
        let folders = [
            None,
            Some("/var/lib/postgresql/data"),
            Some("/var/lib/postgresql/data/"),
            Some("/var/lib/postgresql/18/docker"),
            Some("/pgdata"),
        ];
        let mut pods = 0;
        for volume in VOLUMES {
            for folder in folders {
                let pod = Pod::new(&claim, work, volume, folder);
                let server = pod.start(&bin, work);
                block_on(async {
                    let client = connect(&pod.login()).await;
                    let kept = client
                        .batch_execute("CREATE TABLE IF NOT EXISTS kept (pod int)")
                        .await;
                    kept.unwrap();
                    let rows = client.query("SELECT * FROM kept", &[]).await.unwrap();
                    assert_eq!(rows.len(), pods, "{volume} {folder:?}");
                    client
                        .execute("INSERT INTO kept VALUES (1)", &[])
                        .await
                        .unwrap();
                });
                drop(server);
                _ = fs::remove_file(claim.join("pgdata/postmaster.pid"));
                pods += 1;
            }
        }
        assert_eq!(pods, 10);
    });
}

#[test]
fn postgresql_begins_no_empty_database_beside_another_one() {
    let name = "postgres::postgresql_begins_no_empty_database_beside_another_one";
    sandboxed(name, &[], |_, work| {
        for found in ["PG_VERSION", "data/PG_VERSION"] {
            let claim = work.join("claim");
            fs::create_dir_all(claim.join("data")).unwrap();
            fs::write(claim.join(found), "17").unwrap();
            let pod = Pod::new(&claim, work, VOLUMES[0], None);
            let refused = pod.prepare();
            let said = String::from_utf8(refused.stdout).unwrap();
            assert!(!refused.status.success(), "{said}");
            assert!(
                said.contains(found) && said.contains("into pgdata"),
                "{said}"
            );
            assert!(!claim.join("pgdata").exists());
            fs::remove_dir_all(&claim).unwrap();
        }
    });
}
