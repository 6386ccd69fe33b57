//! The user's settings, checked and completed: what each program will find in its environment, which
//! Secrets there must be, and which parts of the stack are installed at all. Pure.

mod secrets;

use std::collections::BTreeMap;

use super::input::{Stack, Worker};
use super::objects::{cluster, ipfs, postgres, temporal};
use super::settings::amqp::AmqpUrl;
use super::settings::{self, Checked, Finding, Program, Severity};

/// The document's ConfigMap with Temporal's settings.
pub const TEMPORAL_CONFIG: &str = "temporal-config";
/// The document's ConfigMap with IPFS Cluster's settings.
pub const CLUSTER_CONFIG: &str = "ipfs-cluster-config";
/// The document's ConfigMap with PostgreSQL's settings.
pub const POSTGRES_CONFIG: &str = "postgres-config";
/// The document's Secret with the Erlang cookie.
pub const RABBITMQ_CONFIG: &str = "rabbitmq-config";
/// Its key.
pub const COOKIE_KEY: &str = "erlang-cookie";
/// The ConfigMap with RabbitMQ's own files.
pub const RABBITMQ_SERVER: &str = "rabbitmq-server";
/// The settings of Temporal that are secrets.
pub const TEMPORAL_SECRETS: &str = "temporal-secrets";
/// The settings of IPFS Cluster that are secrets.
pub const CLUSTER_SECRETS: &str = "ipfs-cluster-secrets";
/// The key and the name of the first IPFS Cluster peer.
pub const FIRST_PEER: &str = "ipfs-cluster-first-peer";
/// The password of PostgreSQL.
pub const POSTGRES_SECRETS: &str = "postgres-secrets";
/// The user of RabbitMQ and its password.
pub const RABBITMQ_SECRETS: &str = "rabbitmq-secrets";
/// The API's certificate.
pub const API_TLS: &str = "temporal-api-tls";
/// What only this program needs.
pub const STACK_SECRET: &str = "temporal-stack";
/// Its key, which goes into every hash of settings.
pub const SALT_KEY: &str = "salt";

/// The parts that the settings do not send elsewhere, and that are therefore installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for a part")]
pub struct Own {
    /// PostgreSQL.
    pub postgres: bool,
    /// RabbitMQ.
    pub rabbitmq: bool,
    /// The IPFS nodes.
    pub ipfs: bool,
    /// IPFS Cluster.
    pub cluster: bool,
}

/// Where the API finds its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePaths {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// What the programs find in their environments, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Of all of Temporal's programs.
    pub temporal: BTreeMap<String, String>,
    /// Of the IPFS Cluster peers.
    pub cluster: BTreeMap<String, String>,
    /// Of PostgreSQL.
    pub postgres: BTreeMap<String, String>,
    /// What is installed.
    pub own: Own,
    /// Which workers run.
    pub workers: Vec<Worker>,
    /// Set when the API serves TLS.
    pub certificate: Option<CertificatePaths>,
}

/// Everything that can be known without a cluster.
#[derive(Debug)]
pub struct Wanted {
    /// What the user wrote.
    pub stack: Stack,
    /// Where it is installed.
    pub namespace: String,
    /// The settings of the programs.
    pub environment: Environment,
    /// The Secrets that must be there.
    pub secrets: Vec<super::secrets::Wanted>,
    /// What the user should know of the settings; none of it is an error.
    pub findings: Vec<Finding>,
}

/// Checks and completes; the error holds all findings, at least one of which is an error.
pub fn wanted(stack: Stack, namespace: &str) -> Result<Wanted, Vec<Finding>> {
    let given = Settings::check(&stack);
    let mut findings = given.findings();
    let own = given.own();
    let mut notes = Notes(Vec::new());
    let certificate = given.certificate(stack.temporal.tls_secret.is_some());
    let environment = Environment {
        temporal: given.temporal_environment(own, certificate.as_ref(), &mut notes),
        cluster: given.cluster_environment(),
        postgres: given.postgres_environment(),
        own,
        workers: given.workers(&stack, &mut notes),
        certificate,
    };
    findings.extend(notes.0);
    if findings
        .iter()
        .any(|finding| finding.severity == Severity::Error)
    {
        return Err(findings);
    }
    let secrets = given.secrets(&stack, own, namespace);
    Ok(Wanted {
        stack,
        namespace: namespace.to_owned(),
        environment,
        secrets,
        findings,
    })
}

/// Findings that come from completing.
struct Notes(Vec<Finding>);

impl Notes {
    fn add(&mut self, severity: Severity, name: &str, problem: String) {
        self.0.push(Finding {
            severity,
            program: Program::Temporal,
            name: name.to_owned(),
            problem,
        });
    }
}

/// The settings of all programs, checked.
struct Settings {
    temporal: Checked,
    cluster: Checked,
    postgres: Checked,
}

impl Settings {
    fn check(stack: &Stack) -> Self {
        Self {
            temporal: settings::check(Program::Temporal, &stack.temporal.settings),
            cluster: settings::check(Program::IpfsCluster, &stack.ipfs_cluster.settings),
            postgres: settings::check(Program::Postgres, &stack.postgres.settings),
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let each = [&self.temporal, &self.cluster, &self.postgres];
        let mut all: Vec<Finding> = each
            .iter()
            .flat_map(|checked| checked.findings.iter().cloned())
            .collect();
        all.extend(settings::agree(&self.temporal, &self.postgres));
        all
    }

    fn temporal(&self, name: &str) -> Option<&str> {
        self.temporal.value(name)
    }

    /// A setting that is missing, or that names the machine itself as in the document's example, means ours.
    fn own(&self) -> Own {
        let is_own = |name| self.temporal(name).is_none_or(settings::is_own);
        Own {
            postgres: is_own("DATABASE_URL"),
            rabbitmq: is_own("RABBITMQ_URL"),
            ipfs: is_own("IPFS_API_CONNECTION_HOST"),
            cluster: is_own("IPFS_CLUSTER_API_CONNECTION_HOST"),
        }
    }

    fn user(&self) -> &str {
        self.postgres
            .value("POSTGRES_USER")
            .or_else(|| self.temporal("DATABASE_USERNAME"))
            .unwrap_or("postgres")
    }

    fn broker(&self) -> Option<AmqpUrl> {
        AmqpUrl::parse(self.temporal("RABBITMQ_URL")?).ok()
    }

    /// Where the settings put the certificate; a Secret that is there for it is reason enough to have one.
    fn certificate(&self, is_brought: bool) -> Option<CertificatePaths> {
        let path = |name, usual: &str| {
            let usual = is_brought.then_some(usual);
            self.temporal(name).or(usual).map(str::to_owned)
        };
        let (certificate, key) = temporal::CERTIFICATE_FILES;
        Some(CertificatePaths {
            certificate: path(CERTIFICATE_PATH, certificate)?,
            key: path(KEY_PATH, key)?,
        })
    }

    fn temporal_environment(
        &self,
        own: Own,
        certificate: Option<&CertificatePaths>,
        notes: &mut Notes,
    ) -> BTreeMap<String, String> {
        let mut plain = plain(Program::Temporal, &self.temporal);
        plain.remove("RABBITMQ_URL");
        // it would name a file, and then no variable is read; the command line says so anyway
        plain.remove("CONFIG_DAG");
        if own.postgres {
            set(&mut plain, "DATABASE_URL", postgres::ADDRESS.0);
            set(&mut plain, "DATABASE_PORT", &postgres::ADDRESS.1);
            set(&mut plain, "DATABASE_NAME", "temporal");
            set(&mut plain, "DATABASE_USERNAME", self.user());
        } else if self.temporal("DATABASE_PASSWORD").is_none() {
            let problem = "is not set, but the database is not the stack's own; set it";
            notes.add(Severity::Error, "DATABASE_PASSWORD", problem.to_owned());
        }
        for (ours, prefix, address) in [
            (own.ipfs, "IPFS_API_CONNECTION", ipfs::ADDRESS),
            (own.cluster, "IPFS_CLUSTER_API_CONNECTION", cluster::ADDRESS),
        ] {
            if ours {
                set(&mut plain, &format!("{prefix}_HOST"), address.0);
                set(&mut plain, &format!("{prefix}_PORT"), &address.1);
            }
        }
        let krab = format!("{}:{}", temporal::KRAB.0, temporal::KRAB.1);
        for name in ["SERVICES_KRAB_URL", "SERVICES_KRAB_FALLBACK_URL"] {
            if self.temporal(name).is_none_or(settings::is_own) {
                set(&mut plain, name, &krab);
            }
        }
        if self.temporal("IPFS_KEYSTORE_PATH").is_some() {
            let problem =
                "is not used: the key store is on a claim of its own, where it outlives its Pod";
            notes.add(Severity::Note, "IPFS_KEYSTORE_PATH", problem.to_owned());
        }
        if let Some(paths) = certificate {
            set(&mut plain, CERTIFICATE_PATH, &paths.certificate);
            set(&mut plain, KEY_PATH, &paths.key);
        }
        let listen = "API_CONNECTION_LISTEN_ADDRESS";
        if self.temporal(listen).is_some_and(settings::is_own) {
            plain.remove(listen);
        }
        for (name, default) in [
            ("LOG_DIR", temporal::LOG_DIR),
            // read as a number with every upload, which fails without one
            ("API_SIZE_LIMIT_IN_GIGA_BYTES", "10"),
        ] {
            plain
                .entry(name.to_owned())
                .or_insert_with(|| default.to_owned());
        }
        plain
    }

    fn cluster_environment(&self) -> BTreeMap<String, String> {
        let mut plain = plain(Program::IpfsCluster, &self.cluster);
        for by_number in ["CLUSTER_PEERNAME", "CLUSTER_ID"] {
            plain.remove(by_number);
        }
        let rest = format!("/ip4/0.0.0.0/tcp/{}", cluster::ADDRESS.1);
        set(&mut plain, "CLUSTER_RESTAPI_HTTPLISTENMULTIADDRESS", &rest);
        // all of them are ours, and nobody else knows the secret
        plain
            .entry("CLUSTER_CRDT_TRUSTEDPEERS".to_owned())
            .or_insert_with(|| "*".to_owned());
        plain
    }

    fn postgres_environment(&self) -> BTreeMap<String, String> {
        let mut plain = plain(Program::Postgres, &self.postgres);
        set(&mut plain, "POSTGRES_DB", "temporal");
        set(&mut plain, "POSTGRES_USER", self.user());
        plain
            .entry("PGDATA".to_owned())
            .or_insert_with(|| postgres::DATA.to_owned());
        plain
    }

    /// The workers that were asked for, or all whose settings are there.
    fn workers(&self, stack: &Stack, notes: &mut Notes) -> Vec<Worker> {
        let lacks = |worker: &Worker| worker.needs().filter(|name| self.temporal(name).is_none());
        if let Some(asked) = &stack.temporal.workers {
            for worker in asked {
                if let Some(name) = lacks(worker) {
                    let problem = format!(
                        "is not set, and the worker `{}` ends without it; set it, or leave the worker out \
                         of `temporal.workers`",
                        worker.name()
                    );
                    notes.add(Severity::Error, name, problem);
                }
            }
            let mut workers = asked.clone();
            workers.sort();
            workers.dedup();
            return workers;
        }
        let (complete, rest): (Vec<_>, Vec<_>) = Worker::ALL
            .into_iter()
            .partition(|worker| lacks(worker).is_none());
        for worker in rest {
            let problem = format!(
                "is not set, so the worker `{}` is not installed",
                worker.name()
            );
            notes.add(Severity::Note, worker.needs().unwrap_or_default(), problem);
        }
        complete
    }
}

const CERTIFICATE_PATH: &str = "API_CONNECTION_CERTIFICATES_CERTPATH";
const KEY_PATH: &str = "API_CONNECTION_CERTIFICATES_KEYPATH";

/// The settings that anybody may read.
fn plain(program: Program, checked: &Checked) -> BTreeMap<String, String> {
    checked
        .values
        .iter()
        .filter(|(name, _)| !settings::is_secret(program, name))
        .map(|(name, value)| (name.clone(), value.expose().clone()))
        .collect()
}

fn set(plain: &mut BTreeMap<String, String>, name: &str, value: &(impl ToString + ?Sized)) {
    plain.insert(name.to_owned(), value.to_string());
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use serde_json::{Value, json};

    use super::*;
    use crate::kubernetes::Kind;
    use crate::stack::objects::{self, Context, Object};
    use crate::stack::secrets::{self, Values, known};

    fn of(settings: &[(&str, &str)]) -> Result<Wanted, Vec<Finding>> {
        with(settings, |_| {})
    }

    fn with(
        settings: &[(&str, &str)],
        change: impl FnOnce(&mut Stack),
    ) -> Result<Wanted, Vec<Finding>> {
        let mut stack = Stack::default();
        stack.temporal.settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect();
        change(&mut stack);
        wanted(stack, "n")
    }

    fn values(wanted: &Wanted) -> Values {
        let none = BTreeMap::new();
        let resolved = secrets::resolve(&wanted.secrets, &none, "n", &SystemRandom::new());
        resolved.unwrap().0
    }

    fn objects(wanted: &Wanted) -> Vec<Object> {
        objects::all(Context {
            stack: &wanted.stack,
            namespace: "n",
            environment: &wanted.environment,
            values: &values(wanted),
        })
    }

    #[test]
    fn without_settings_everything_is_the_stacks_own() {
        let wanted = of(&[]).unwrap();
        let temporal = &wanted.environment.temporal;
        for (name, value) in [
            ("DATABASE_URL", "postgres"),
            ("DATABASE_NAME", "temporal"),
            ("IPFS_API_CONNECTION_HOST", "ipfs-api"),
            ("IPFS_CLUSTER_API_CONNECTION_HOST", "ipfs-cluster-service"),
            ("SERVICES_KRAB_URL", "temporal-krab:10000"),
        ] {
            assert_eq!(temporal[name], value);
        }
        assert_eq!(wanted.environment.certificate, None);
        let values = values(&wanted);
        let password = known(&values, POSTGRES_SECRETS, "POSTGRES_PASSWORD");
        assert_eq!(
            known(&values, TEMPORAL_SECRETS, "DATABASE_PASSWORD"),
            password
        );
        assert!(password.len() >= 32);
        // an empty key would let anyone make tokens
        assert!(known(&values, TEMPORAL_SECRETS, "API_JWT_KEY").len() >= 32);
    }

    #[test]
    fn what_is_elsewhere_is_not_installed() {
        let wanted = of(&[
            ("DATABASE_URL", "db.example.com"),
            ("DATABASE_PASSWORD", "hunter2"),
            ("RABBITMQ_URL", "amqps://u:p@mq.example.com/"),
            ("IPFS_API_CONNECTION_HOST", "ipfs.example.com"),
            ("IPFS_CLUSTER_API_CONNECTION_HOST", "cluster.example.com"),
        ])
        .unwrap();
        let objects = objects(&wanted);
        let sets: Vec<&str> = objects
            .iter()
            .filter(|object| object.kind == Kind::StatefulSet)
            .map(Object::name)
            .collect();
        assert_eq!(sets, ["temporal-krab"]);
        let values = values(&wanted);
        assert_eq!(
            known(&values, TEMPORAL_SECRETS, "RABBITMQ_URL"),
            "amqps://u:p@mq.example.com/"
        );
        let lacking = of(&[("DATABASE_URL", "db.example.com")]).unwrap_err();
        assert!(
            lacking.iter().any(|it| it.name == "DATABASE_PASSWORD"),
            "{lacking:?}"
        );
    }

    #[test]
    fn a_login_in_the_brokers_url_becomes_the_brokers() {
        let wanted = of(&[("RABBITMQ_URL", "amqp://us%40er:p%2Fw@127.0.0.1:5672/vh")]).unwrap();
        let values = values(&wanted);
        for (key, value) in [
            ("RABBITMQ_DEFAULT_USER", "us@er"),
            ("RABBITMQ_DEFAULT_PASS", "p/w"),
            ("RABBITMQ_DEFAULT_VHOST", "vh"),
        ] {
            assert_eq!(known(&values, RABBITMQ_SECRETS, key), value);
        }
        assert_eq!(
            known(&values, TEMPORAL_SECRETS, "RABBITMQ_URL"),
            "amqp://us%40er:p%2Fw@rabbitmq:5672/vh"
        );
    }

    #[test]
    fn a_certificate_is_brought_or_made_or_not_there() {
        let of = |settings, secret: Option<&str>| {
            with(settings, |stack| {
                stack.temporal.tls_secret = secret.map(str::to_owned);
            })
            .unwrap()
        };
        let named = [
            (CERTIFICATE_PATH, "/temporal/api.cert"),
            (KEY_PATH, "/temporal/api.key"),
        ];
        for (settings, secret, serves, makes) in [
            (&[][..], None, false, false),
            (&named, None, true, true),
            (&named, Some("mine"), true, false),
            (&[], Some("mine"), true, false),
        ] {
            let wanted = of(settings, secret);
            assert_eq!(wanted.environment.certificate.is_some(), serves);
            assert_eq!(
                wanted.environment.temporal.contains_key(CERTIFICATE_PATH),
                serves
            );
            let made = wanted.secrets.iter().any(|secret| secret.name == API_TLS);
            assert_eq!(made, makes);
        }
    }

    #[test]
    fn workers_run_when_their_settings_are_there() {
        let names = |wanted: Wanted| -> Vec<&str> {
            wanted
                .environment
                .workers
                .iter()
                .map(|it| it.name())
                .collect()
        };
        assert_eq!(names(of(&[]).unwrap()), ["pin", "cluster", "key-creation"]);
        let mail = of(&[("SENDGRID_API_KEY", "k")]).unwrap();
        assert_eq!(
            names(mail),
            ["pin", "cluster", "key-creation", "email-send"]
        );
        let asked = |worker: Worker| {
            with(&[], |stack| {
                stack.temporal.workers = Some(vec![worker, worker]);
            })
        };
        assert_eq!(names(asked(Worker::Pin).unwrap()), ["pin"]);
        assert!(asked(Worker::EmailSend).is_err());
    }

    #[test]
    fn all_pods_are_confined_and_all_services_lead_to_ports_that_exist() {
        let everything = [
            ("SENDGRID_API_KEY", "k"),
            ("SERVICES_RTNS_KEY_NAME", "k"),
            ("API_CONNECTION_CERTIFICATES_CERTPATH", "/temporal/api.cert"),
            ("API_CONNECTION_CERTIFICATES_KEYPATH", "/temporal/api.key"),
        ];
        let wanted = with(&everything, |stack| {
            stack.rabbitmq.replicas = 3;
            stack.ipfs.swarm_service_type = Some(crate::stack::input::ServiceType::NodePort);
        })
        .unwrap();
        let objects = objects(&wanted);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut ports: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
        for object in &objects {
            let Some(spec) = object.body.pointer("/spec/template/spec") else {
                continue;
            };
            let name = object.name();
            assert_eq!(spec["enableServiceLinks"], false, "{name}");
            assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
            let all = ["initContainers", "containers"]
                .iter()
                .filter_map(|key| spec[key].as_array())
                .flatten();
            for container in all {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
                assert_eq!(
                    security["capabilities"],
                    json!({ "drop": ["ALL"] }),
                    "{name}"
                );
                assert!(
                    container["resources"]["limits"]["memory"].is_string(),
                    "{name}"
                );
                for port in container["ports"].as_array().into_iter().flatten() {
                    let of_pod = ports.entry(object.component.name()).or_default();
                    of_pod.push((text(&port["name"]), port["protocol"].clone()));
                }
            }
        }
        for object in objects.iter().filter(|object| object.kind == Kind::Service) {
            for port in object.body["spec"]["ports"].as_array().unwrap() {
                let target = (text(&port["targetPort"]), port["protocol"].clone());
                assert!(
                    ports[&object.component.name()].contains(&target),
                    "{} leads to {target:?}",
                    object.name()
                );
            }
            // only these two are for others
            let open = object.body["spec"]["type"] != "ClusterIP"
                && object.body["spec"]["clusterIP"] != "None";
            assert_eq!(open, object.name() == "ipfs-swarm", "{}", object.name());
        }
    }

    #[test]
    fn no_object_but_a_secret_holds_a_secret() {
        let wanted = of(&[
            ("DATABASE_PASSWORD", "hunter2hunter2"),
            ("STRIPE_SECRET_KEY", "hunter3hunter3"),
        ])
        .unwrap();
        let values = values(&wanted);
        let secret: Vec<&str> = values
            .values()
            .flatten()
            .filter(|(key, _)| *key != "CLUSTER_ID" && !key.contains("DEFAULT_USER"))
            .map(|(_, value)| value.expose().as_str())
            .filter(|value| value.len() > 8)
            .collect();
        assert!(secret.contains(&"hunter3hunter3"), "nothing to look for");
        for object in objects(&wanted) {
            let text = object.body.to_string();
            for value in &secret {
                assert!(!text.contains(value), "{object}");
            }
        }
    }

    #[test]
    fn the_same_input_gives_the_same_objects() {
        let wanted = of(&[]).unwrap();
        let values = values(&wanted);
        let context = Context {
            stack: &wanted.stack,
            namespace: "n",
            environment: &wanted.environment,
            values: &values,
        };
        assert_eq!(objects::all(context), objects::all(context));
    }

    #[test]
    fn claims_are_mounted_where_the_settings_put_the_data() {
        let mounts = |data: &[(&str, &str)], folder: &[(&str, &str)]| {
            let given = |settings: &[(&str, &str)]| {
                let of = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).into());
                settings.iter().map(of).collect()
            };
            let wanted = with(&[], |stack| {
                stack.postgres.settings = given(data);
                stack.ipfs_cluster.settings = given(folder);
            })
            .unwrap();
            let objects = objects(&wanted);
            ["postgres", "ipfs-cluster"].map(|name| {
                let mut sets = objects.iter().filter(|it| it.kind == Kind::StatefulSet);
                let set = sets.find(|it| it.name() == name).unwrap();
                let mounts = &set.body["spec"]["template"]["spec"]["containers"][0]["volumeMounts"];
                mounts[0]["mountPath"].as_str().unwrap().to_owned()
            })
        };
        assert_eq!(
            mounts(&[], &[]),
            ["/var/lib/postgresql/data", "/data/ipfs-cluster"]
        );
        let elsewhere = mounts(
            &[("PGDATA", "/pg/17/data/")],
            &[("IPFS_CLUSTER_PATH", "/peer")],
        );
        assert_eq!(elsewhere, ["/pg/17", "/peer"]);
        assert_eq!(mounts(&[("PGDATA", "/pgdata")], &[])[0], "/pgdata");
    }

    #[test]
    fn other_settings_are_another_migration() {
        let job = |settings: &[(&str, &str)]| {
            let objects = objects(&of(settings).unwrap());
            let job = objects.iter().find(|object| object.kind == Kind::Job);
            job.unwrap().name().to_owned()
        };
        let (one, other) = (job(&[]), job(&[("DATABASE_USERNAME", "temporal")]));
        assert!(
            one.starts_with("temporal-migrate-") && one.len() == 27,
            "{one}"
        );
        assert_ne!(one, other);
    }
}
