//! Temporal itself: the migration, the key store krab, the API and the queue workers. One workload for each, so
//! that a worker which lacks its settings cannot take the API with it.

pub mod account;
mod migration;
pub(crate) mod settings;
mod variables;

use std::collections::BTreeMap;

use serde_json::json;

use super::ipfs::{node, peer};
use super::{Settings, derived, given_or_made, others, plain, postgres, rabbitmq, secret, set};
use crate::input::Worker;
use crate::names::{API_TLS, POSTGRES_SECRETS, TEMPORAL_CONFIG, TEMPORAL_SECRETS};
use crate::objects::pod::{Container, Pods, probe};
use crate::objects::{
    CertificatePaths, Component, Context, Face, Object, config_map, policy, service,
};
use crate::secrets::{self, Change, Source, known};
use crate::settings::{Checked, Finding, Program, Severity, is_own};

/// Where the API is: Service and port.
pub const API: (&str, u16) = ("temporal-api-service", 6767);
/// Where the key store is.
pub const KRAB: (&str, u16) = ("temporal-krab", 10000);
const API_PORT: [(&str, u16, &str); 1] = [("api", API.1, "TCP")];
const KRAB_PORT: [(&str, u16, &str); 1] = [("krab", KRAB.1, "TCP")];
/// Where the publisher of IPNS records speaks with other nodes.
const PUBLISHER: [(&str, u16, &str); 1] = [("libp2p", 3999, "TCP")];
/// Where the API finds its certificate, where a Secret is named and the settings name no files.
const CERTIFICATE_FILES: (&str, &str) = ("/temporal/api.cert", "/temporal/api.key");
/// Where the programs write their logs, unless the settings say otherwise.
const LOG_DIR: &str = "/var/log/temporal/";
/// What the API is asked for, to know that it answers.
pub const HEALTH: &str = "/v2/systems/check";
/// Any user but root: the image names none, and its program needs none. The group owns the volumes.
const USER: (u32, u32) = (1000, 1000);
/// A worker has no port that could be asked. One that cannot work ends within seconds, over and over, and would be ready
/// in between.
const WORKER_LASTS: u32 = 30;
/// What the program does not work without, or would use without a word.
const DEFAULTS: [(&str, &str); 9] = [
    // part of a name without a slash, so that some logs would go beside the folder
    ("LOG_DIR", LOG_DIR),
    // without one each request of somebody who has logged in fails
    ("API_JWT_REALM", "temporal"),
    // read as a number with every upload, which fails without one
    ("API_SIZE_LIMIT_IN_GIGA_BYTES", "10"),
    // the program's own, in plain sight
    ("API_CONNECTION_LIMIT", "50"),
    ("DATABASE_NAME", "temporal"),
    ("DATABASE_USERNAME", "postgres"),
    // the program has no ports of its own for these: it would dial none, or this machine
    ("DATABASE_PORT", "5432"),
    ("IPFS_API_CONNECTION_PORT", "5001"),
    ("IPFS_CLUSTER_API_CONNECTION_PORT", "9094"),
];

pub(crate) const CERTIFICATE_PATH: &str = "API_CONNECTION_CERTIFICATES_CERTPATH";
pub(crate) const KEY_PATH: &str = "API_CONNECTION_CERTIFICATES_KEYPATH";
const CHANGED_KEYSTORE: &str = "the keys in the store are encrypted with the old password; write that one into the \
    settings";

/// Where the settings put the certificate; a Secret that is there for it is reason enough to have one.
pub(crate) fn certificate(settings: &Settings<'_>) -> Option<CertificatePaths> {
    let is_brought = settings.stack.temporal.tls_secret.is_some();
    let path = |name, usual: &str| {
        let usual = is_brought.then_some(usual);
        settings.temporal(name).or(usual).map(str::to_owned)
    };
    let (certificate, key) = CERTIFICATE_FILES;
    Some(CertificatePaths {
        certificate: path(CERTIFICATE_PATH, certificate)?,
        key: path(KEY_PATH, key)?,
    })
}

/// What the programs find in their environment, without secrets.
pub(crate) fn environment(
    settings: &Settings<'_>,
    certificate: Option<&CertificatePaths>,
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, String> {
    let own = settings.own;
    let mut plain = plain(Program::Temporal, &settings.temporal);
    plain.remove("RABBITMQ_URL");
    // it would name a file, and then no variable is read; the command line says so anyway
    plain.remove("CONFIG_DAG");
    if own.postgres {
        set(&mut plain, "DATABASE_URL", postgres::ADDRESS.0);
        set(&mut plain, "DATABASE_PORT", &postgres::ADDRESS.1);
        set(&mut plain, "DATABASE_USERNAME", settings.user());
    } else if settings.temporal("DATABASE_PASSWORD").is_none() {
        let problem = "is not set, but the database is not the stack's own; set it";
        say(findings, Severity::Error, "DATABASE_PASSWORD", problem);
    }
    for (ours, prefix, address) in [
        (own.ipfs, "IPFS_API_CONNECTION", node::ADDRESS),
        (own.cluster, "IPFS_CLUSTER_API_CONNECTION", peer::ADDRESS),
    ] {
        if ours {
            set(&mut plain, &format!("{prefix}_HOST"), address.0);
            set(&mut plain, &format!("{prefix}_PORT"), &address.1);
        }
    }
    if own.krab {
        let url = format!("{}:{}", KRAB.0, KRAB.1);
        set(&mut plain, "SERVICES_KRAB_URL", &url);
    }
    if !has_second_krab(&settings.temporal) {
        for what in ["URL", "TLS_CERT_PATH"] {
            let first = plain.get(&format!("SERVICES_KRAB_{what}")).cloned();
            let second = format!("SERVICES_KRAB_FALLBACK_{what}");
            match first {
                Some(first) => set(&mut plain, &second, &first),
                None => _ = plain.remove(&second),
            }
        }
    }
    if own.krab && settings.temporal("IPFS_KEYSTORE_PATH").is_some() {
        let problem =
            "is not used: the key store is on a claim of its own, where it outlives its Pod";
        say(findings, Severity::Note, "IPFS_KEYSTORE_PATH", problem);
    }
    if let Some(paths) = certificate {
        set(&mut plain, CERTIFICATE_PATH, &paths.certificate);
        set(&mut plain, KEY_PATH, &paths.key);
    }
    let listen = "API_CONNECTION_LISTEN_ADDRESS";
    if settings.temporal(listen).is_some_and(is_own) {
        plain.remove(listen);
    }
    for (name, default) in DEFAULTS {
        plain.entry(name.into()).or_insert_with(|| default.into());
    }
    if let Some(log) = plain.get_mut("LOG_DIR").filter(|log| !log.ends_with('/')) {
        log.push('/');
    }
    plain
}

/// Is there a second krab? With one krab, the settings of both are the first one's.
fn has_second_krab(settings: &Checked) -> bool {
    settings
        .value("SERVICES_KRAB_FALLBACK_URL")
        .is_some_and(|url| !is_own(url))
}

fn say(findings: &mut Vec<Finding>, severity: Severity, name: &str, problem: impl Into<String>) {
    findings.push(Finding::new(severity, Program::Temporal, name, problem));
}

/// The workers that were asked for, or all whose settings are there.
pub(crate) fn workers(settings: &Settings<'_>, findings: &mut Vec<Finding>) -> Vec<Worker> {
    let asked = settings.stack.temporal.workers.as_ref();
    let mut workers = asked.cloned().unwrap_or_else(|| Worker::ALL.to_vec());
    workers.sort();
    workers.dedup();
    workers.retain(|worker| {
        let lacks = worker.needs().filter(|name| settings.temporal(name).is_none());
        let Some(name) = lacks else {
            return true;
        };
        let worker = worker.name();
        let (severity, problem) = if asked.is_some() {
            let problem = format!(
                "is not set, and the worker `{worker}` ends without it; set it, or leave the worker out of \
                 `temporal.workers`"
            );
            (Severity::Error, problem)
        } else {
            let problem = format!("is not set, so the worker `{worker}` is not installed");
            (Severity::Note, problem)
        };
        say(findings, severity, name, problem);
        false
    });
    workers
}

/// The Secrets of this part, each key after those that it needs.
pub(crate) fn secrets(settings: &Settings<'_>) -> Vec<secrets::Wanted> {
    let mut all = vec![secret(TEMPORAL_SECRETS, Component::Api, keys(settings))];
    if certificate(settings).is_some() && settings.stack.temporal.tls_secret.is_none() {
        let namespace = settings.namespace;
        let service = API.0;
        let names = vec![
            service.to_owned(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            "localhost".to_owned(),
        ];
        let keys = vec![
            ("tls.key", secrets::tls_key()),
            ("tls.crt", secrets::certificate(API_TLS, "tls.key", names)),
        ];
        all.push(secrets::Wanted {
            kind: Some("kubernetes.io/tls"),
            ..secret(API_TLS, Component::Api, keys)
        });
    }
    all
}

fn keys<'a>(settings: &'a Settings<'_>) -> Vec<(&'a str, Source)> {
    let own = settings.own;
    let made = |name, change| (name, given_or_made(settings.temporal(name), change));
    let mut keys = Vec::new();
    if own.postgres {
        let password = |values: &_| known(values, POSTGRES_SECRETS, "POSTGRES_PASSWORD").to_owned();
        keys.push(("DATABASE_PASSWORD", derived(password)));
    }
    if own.rabbitmq {
        keys.push(("RABBITMQ_URL", derived(rabbitmq::own_url)));
    }
    keys.push(made("API_JWT_KEY", Change::Replace));
    // the word that a krab elsewhere wants to hear is not ours to make up, nor is what it encrypts with
    if own.krab {
        let refuse = Change::Refuse(CHANGED_KEYSTORE);
        keys.push(made("SERVICES_KRAB_AUTH_KEY", Change::Replace));
        keys.push(made("SERVICES_KRAB_KEYSTORE_PASSWORD", refuse));
    }
    let mut without: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
    let fallback = "SERVICES_KRAB_FALLBACK_AUTH_KEY";
    let is_one_krab = !has_second_krab(&settings.temporal);
    if is_one_krab {
        without.push(fallback);
    }
    keys.extend(others(Program::Temporal, &settings.temporal, &without));
    if is_one_krab {
        let word =
            |values: &_| known(values, TEMPORAL_SECRETS, "SERVICES_KRAB_AUTH_KEY").to_owned();
        keys.push((fallback, derived(word)));
    }
    keys
}

/// Its objects.
pub(crate) fn objects(context: Context<'_>) -> Vec<Object> {
    let settings = &context.environment.temporal;
    let face = Face::Typed(context.stack.temporal.service_type);
    let everybody = json!({ "ports": [{ "port": API.1, "protocol": "TCP" }] });
    let mut objects = vec![
        config_map(context, TEMPORAL_CONFIG, Component::Api, settings),
        service(context, API.0, Component::Api, face, &API_PORT),
        policy(context, Component::Api, &everybody),
        migration::job(context),
        api_deployment(context),
    ];
    if context.environment.own.krab {
        let (component, face) = (Component::Krab, Face::Inside);
        objects.push(service(context, KRAB.0, component, face, &KRAB_PORT));
        objects.push(key_store(context));
    }
    for worker in &context.environment.workers {
        objects.extend(worker_objects(context, *worker));
    }
    objects
}

/// A container of Temporal's program, with the settings of all of them.
fn program(context: Context<'_>, name: &str, arguments: &[&str]) -> Container {
    let part = &context.stack.temporal;
    let log = context.environment.temporal.get("LOG_DIR");
    let log = log.map_or(LOG_DIR, String::as_str).trim_end_matches('/');
    Container::new(name, &part.image, &part.resources)
        // the image's own entry point names a file, and with a file the environment is not read
        .command(&[&["temporal", "-config", ""], arguments].concat())
        .config_map(TEMPORAL_CONFIG)
        .secret(TEMPORAL_SECRETS)
        .mount("log", log)
}

fn pods(context: Context<'_>, component: Component, program: Container) -> Pods<'_> {
    let mut pods = Pods::new(context, component, USER, 30);
    pods.fingerprint = context.fingerprints(&context.environment.temporal, &[TEMPORAL_SECRETS]);
    pods.containers.push(program);
    // the program never takes a log away; a Pod whose logs outgrow this is replaced
    let limit = json!({ "sizeLimit": context.stack.temporal.log_limit });
    pods.volume("log", "emptyDir", &limit);
    pods
}

fn key_store(context: Context<'_>) -> Object {
    let program = program(context, "krab", &["krab"])
        // here the setting says where to listen, for the others where to call
        .variable("SERVICES_KRAB_URL", &format!("0.0.0.0:{}", KRAB.1))
        .variable("IPFS_KEYSTORE_PATH", "/krab/keystore")
        .ports(&KRAB_PORT)
        .mount("keys", "/krab")
        .probes(&json!({ "tcpSocket": { "port": "krab" } }));
    let mut pods = pods(context, Component::Krab, program);
    pods.claim("keys", &context.stack.temporal.storage);
    pods.stateful_set(KRAB.0, 1)
}

fn api_deployment(context: Context<'_>) -> Object {
    let tls = context.environment.certificate.as_ref();
    let scheme = if tls.is_some() { "HTTPS" } else { "HTTP" };
    let answers = json!({ "httpGet": { "path": HEALTH, "port": "api", "scheme": scheme } });
    let listens = json!({ "tcpSocket": { "port": "api" } });
    let mut program = program(context, "api", &["api"])
        .ports(&API_PORT)
        // each request counts against the limit of its address, which is 50 an hour and is forgotten when the program
        // ends: 30 bad answers at the most, then it is started anew, and after a good one no more of them
        .with("startupProbe", probe(&answers, 10, 30))
        .with("readinessProbe", probe(&listens, 10, 3));
    if let Some(paths) = tls {
        program = program
            .mount_file("tls", "tls.crt", &paths.certificate)
            .mount_file("tls", "tls.key", &paths.key);
    }
    let mut pods = pods(context, Component::Api, program);
    if tls.is_some() {
        let name = context.stack.temporal.tls_secret.as_deref();
        let secret = json!({ "secretName": name.unwrap_or(API_TLS) });
        pods.volume("tls", "secret", &secret);
        let secrets = [TEMPORAL_SECRETS, API_TLS];
        pods.fingerprint = context.fingerprints(&context.environment.temporal, &secrets);
    }
    pods.deployment(context.stack.temporal.replicas)
}

fn worker_objects(context: Context<'_>, worker: Worker) -> Vec<Object> {
    let component = Component::Worker(worker);
    let name = component.name();
    let program = program(context, worker.name(), &worker.arguments());
    let mut objects = if worker == Worker::IpnsEntry {
        // it publishes its records again and again, and keeps them for that
        let program = program
            .variable("SERVICES_RTNS_DATASTORE_PATH", "/records/datastore")
            .ports(&PUBLISHER)
            .mount("records", "/records");
        let mut pods = pods(context, component, program);
        pods.claim("records", &context.stack.temporal.storage);
        vec![
            service(context, &name, component, Face::Headless, &PUBLISHER),
            pods.stateful_set(&name, 1),
        ]
    } else {
        vec![pods(context, component, program).deployment(1)]
    };
    if let Some(workload) = objects.last_mut() {
        workload.body["spec"]["minReadySeconds"] = WORKER_LASTS.into();
    }
    objects
}
