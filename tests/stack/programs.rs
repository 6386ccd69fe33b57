//! The environment that the containers get, in the real programs, each test in a network of its own.

mod ipfs;
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use rehearsal::parts::Part;
use rehearsal::servers::Start;
use rehearsal::servers::postgresql::unprivileged;
use rehearsal::servers::rabbitmq::{RabbitMq, RabbitMqPorts, RabbitMqSetup};
use rehearsal::servers::running::Running;
use ring::rand::SystemRandom;
use serde_json::Value;
use temporal_stack::input::{self, File};
use temporal_stack::kubernetes::Kind;
use temporal_stack::objects::{Context, Object};
use temporal_stack::secrets::{self, Values, known};
use temporal_stack::stack::{self, Wanted, wanted};

use crate::sandbox::{UP, listens, sandboxed};
use crate::world::document;

/// The document's stack, with values for all Secrets.
struct Rendered {
    wanted: Wanted,
    values: Values,
}

impl Rendered {
    fn new() -> Self {
        let files = document().map(|path| File {
            name: path.display().to_string(),
            text: fs::read_to_string(&path).unwrap().into(),
        });
        let stack = input::read(None, &files).unwrap();
        let wanted = wanted(stack, "pinning", &BTreeMap::new()).unwrap();
        let none = BTreeMap::new();
        let resolved = secrets::resolve(&wanted.secrets, &none, "pinning", &SystemRandom::new());
        let (values, _) = resolved.unwrap();
        Self { wanted, values }
    }

    fn objects(&self) -> Vec<Object> {
        stack::objects(Context {
            stack: &self.wanted.stack,
            namespace: &self.wanted.namespace,
            environment: &self.wanted.environment,
            values: &self.values,
        })
    }

    fn object(&self, kind: Kind, name: &str) -> Object {
        let found = self
            .objects()
            .into_iter()
            .find(|it| it.kind == kind && it.name() == name);
        found.unwrap_or_else(|| panic!("{} `{name}`", kind.word()))
    }

    /// The environment that a container's `envFrom` makes: a Secret wins over a ConfigMap before it.
    fn environment(&self, workload: &str) -> BTreeMap<String, String> {
        let object = self.object(Kind::StatefulSet, workload);
        self.shared(&object.body["spec"]["template"]["spec"]["containers"][0])
    }

    fn shared(&self, container: &Value) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        for source in container["envFrom"].as_array().into_iter().flatten() {
            if let Some(name) = source["configMapRef"]["name"].as_str() {
                let map = self.object(Kind::ConfigMap, name);
                for (key, value) in map.body["data"].as_object().unwrap() {
                    environment.insert(key.clone(), value.as_str().unwrap().to_owned());
                }
            }
            if let Some(name) = source["secretRef"]["name"].as_str() {
                for (key, value) in &self.values[name] {
                    environment.insert(key.clone(), value.expose().clone());
                }
            }
        }
        environment
    }

    /// All of a container's environment, in a Pod of this name.
    fn environment_of(&self, container: &Value, pod: &str) -> BTreeMap<String, String> {
        let mut environment = self.shared(container);
        for variable in container["env"].as_array().into_iter().flatten() {
            let from = &variable["valueFrom"];
            let value = if let Some(value) = variable["value"].as_str() {
                let put_in = |text: String, (name, value): (&String, &String)| {
                    text.replace(&format!("$({name})"), value)
                };
                environment.iter().fold(value.to_owned(), put_in)
            } else if let Some(name) = from["secretKeyRef"]["name"].as_str() {
                self.secret(name, from["secretKeyRef"]["key"].as_str().unwrap())
            } else {
                assert_eq!(from["fieldRef"]["fieldPath"], "metadata.name");
                pod.to_owned()
            };
            environment.insert(variable["name"].as_str().unwrap().to_owned(), value);
        }
        environment
    }

    fn secret(&self, name: &str, key: &str) -> String {
        known(&self.values, name, key).to_owned()
    }
}

#[test]
fn rabbitmq_takes_the_login_the_cookie_and_the_configuration() {
    const PORTS: RabbitMqPorts = RabbitMqPorts {
        amqp: 5672,
        distribution: 25_672,
        epmd: 4369,
        tools: 35_672,
    };
    let name = "programs::rabbitmq_takes_the_login_the_cookie_and_the_configuration";
    sandboxed(name, &[Part::RabbitMq], |parts, work| {
        let rendered = Rendered::new();
        let files = rendered.object(Kind::ConfigMap, "rabbitmq-server").body["data"].clone();
        let file = |name: &str| files[name].as_str().unwrap().to_owned();
        // no name server here knows the Pod's name
        let conf = file("20-stack.conf").replace("rabbitmq-0.rabbitmq.pinning.svc", "localhost");
        assert!(conf.contains("rabbit@localhost"), "{conf}");
        let setup = RabbitMqSetup {
            environment: rendered.environment("rabbitmq"),
            conf,
            plugins: file("enabled_plugins"),
            cookie: rendered.secret("rabbitmq-config", "erlang-cookie"),
        };
        let server = RabbitMq::lay(parts, work, PORTS, &setup).unwrap();
        let server = server.run(UP).unwrap();
        let ctl = |arguments: &[&str]| {
            let output = server.ctl(arguments).unwrap();
            assert!(output.status.success(), "{arguments:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let url = rendered.secret("temporal-secrets", "RABBITMQ_URL");
        let (login, place) = url
            .strip_prefix("amqp://")
            .unwrap()
            .split_once('@')
            .unwrap();
        let (user, password) = login.split_once(':').unwrap();
        assert_eq!(place, "rabbitmq:5672/");
        ctl(&["authenticate_user", user, password]);
        assert_eq!(
            ctl(&["--silent", "list_users"]),
            format!("{user}\t[administrator]\n"),
            "guest is there"
        );
        assert_eq!(ctl(&["--silent", "list_vhosts"]), "/\n");
        let cookie = ctl(&["eval", "erlang:get_cookie()."]);
        assert!(cookie.contains(&rendered.secret("rabbitmq-config", "erlang-cookie")));
        assert!(listens(15672) && listens(15692), "a plugin does not run");
    });
}

#[test]
fn postgresql_lets_temporal_in_as_its_settings_say() {
    let name = "programs::postgresql_lets_temporal_in_as_its_settings_say";
    sandboxed(name, &[Part::Postgresql], |parts, work| {
        let rendered = Rendered::new();
        let bin = parts.postgresql().unwrap().join("bin");
        let environment = rendered.environment("postgres");
        let (user, database) = (&environment["POSTGRES_USER"], &environment["POSTGRES_DB"]);
        // what the image does with an empty claim
        let (data, password) = (work.join("data"), work.join("password"));
        fs::write(&password, &environment["POSTGRES_PASSWORD"]).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let mut words = unprivileged(true)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>();
            words.push(bin.join(program).display().to_string());
            words.extend(arguments.iter().map(ToString::to_string));
            words
        };
        let text = |path: &Path| path.display().to_string();
        let initdb = run(
            "initdb",
            &[
                "--pgdata",
                &text(&data),
                "--username",
                user,
                "--pwfile",
                &text(&password),
                "--auth",
                "scram-sha-256",
                "--no-sync",
            ],
        );
        let made = Command::new(&initdb[0])
            .args(&initdb[1..])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let postgres = run(
            "postgres",
            &[
                "-D",
                &text(&data),
                "-c",
                "listen_addresses=127.0.0.1",
                "-k",
                &text(work),
            ],
        );
        let start = Start {
            argv: postgres.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
        };
        let mut server = Running::start(&start, "postgres", &work.join("postgres.log")).unwrap();

        // the container's own probe
        let set = rendered.object(Kind::StatefulSet, "postgres");
        let probe = &set.body["spec"]["template"]["spec"]["containers"][0]["readinessProbe"];
        let words: Vec<&str> = probe["exec"]["command"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        let ready = || {
            let status = Command::new(words[0])
                .args(&words[1..])
                .envs(&environment)
                .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
                .status();
            status.is_ok_and(|status| status.success())
        };
        server
            .until("the probe to succeed", UP, ready)
            .unwrap_or_else(|error| panic!("{error}"));

        let temporal = &rendered.wanted.environment.temporal;
        assert_eq!(&temporal["DATABASE_NAME"], database);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let mut config = tokio_postgres::Config::new();
            config
                .host("127.0.0.1")
                .port(temporal["DATABASE_PORT"].parse().unwrap())
                .user(&temporal["DATABASE_USERNAME"])
                .password(rendered.secret("temporal-secrets", "DATABASE_PASSWORD"))
                .dbname("postgres");
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client
                .batch_execute(&format!("CREATE DATABASE {database}"))
                .await
                .unwrap();
            config.dbname(&temporal["DATABASE_NAME"]);
            let (_client, _connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            config.password("another");
            assert!(config.connect(tokio_postgres::NoTls).await.is_err());
        });
    });
}
