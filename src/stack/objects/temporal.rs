//! Temporal itself: the migration, the key store krab, the API and the queue workers. One workload for each, so
//! that a worker which lacks its settings cannot take the API with it.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::pod::{Pods, container, environment_from, ports, probes};
use super::{Component, Context, Face, Object, Phase, config_map, policy, service};
use crate::stack::input::Worker;
use crate::stack::secrets;
use crate::stack::wanted::{API_TLS, TEMPORAL_CONFIG, TEMPORAL_SECRETS};

/// Where the API is: Service and port.
pub const API: (&str, u16) = ("temporal-api-service", 6767);
/// Where the key store is.
pub const KRAB: (&str, u16) = ("temporal-krab", 10000);
/// Where the publisher of IPNS records speaks with other nodes.
const PUBLISHER: [(&str, u16, &str); 1] = [("libp2p", 3999, "TCP")];
/// Where the API finds its certificate, where a Secret is named and the settings name no files.
pub const CERTIFICATE_FILES: (&str, &str) = ("/temporal/api.cert", "/temporal/api.key");
/// Where the programs write their logs, unless the settings say otherwise.
pub const LOG_DIR: &str = "/var/log/temporal";

pub(super) fn objects(context: Context<'_>) -> Vec<Object> {
    let settings = &context.environment.temporal;
    let api = [("api", API.1, "TCP")];
    let krab = [("krab", KRAB.1, "TCP")];
    let face = Face::Typed(context.stack.temporal.service_type);
    let everybody = json!([{ "ports": [{ "port": API.1, "protocol": "TCP" }] }]);
    let mut objects = vec![
        config_map(context, TEMPORAL_CONFIG, Component::Api, settings),
        service(context, API.0, Component::Api, face, &api),
        service(context, KRAB.0, Component::Krab, Face::Inside, &krab),
        policy(context, Component::Api, &everybody),
        migration(context),
        key_store(context),
        api_deployment(context),
    ];
    for worker in &context.environment.workers {
        objects.extend(worker_objects(context, *worker));
    }
    objects
}

/// A container of Temporal's program, with the settings of all of them.
fn program(context: Context<'_>, name: &str, arguments: &[&str]) -> Value {
    let part = &context.stack.temporal;
    let mut program = container(name, &part.image, &part.resources);
    // the image's own entry point names a file, and with a file the environment is not read
    let words = ["temporal", "-config", ""].iter().chain(arguments);
    program["command"] = words.copied().collect();
    program["envFrom"] = environment_from(TEMPORAL_CONFIG, TEMPORAL_SECRETS);
    let log = context.environment.temporal.get("LOG_DIR");
    let log = log.map_or(LOG_DIR, String::as_str);
    program["volumeMounts"] = json!([{ "name": "log", "mountPath": log }]);
    program
}

fn pods(context: Context<'_>, component: Component, phase: Phase, program: Value) -> Pods {
    Pods {
        component,
        phase,
        fingerprint: context.fingerprints(&context.environment.temporal, &[TEMPORAL_SECRETS]),
        // the image's user is not known to us
        user: None,
        grace: 30,
        containers: vec![program],
        init_containers: Vec::new(),
        volumes: vec![json!({ "name": "log", "emptyDir": {} })],
    }
}

/// Makes the tables. Its name follows from all of it, since a Job cannot be changed: other settings are another
/// Job.
fn migration(context: Context<'_>) -> Object {
    let tls: &[&str] = if context.stack.temporal.database_tls {
        &["migrate"]
    } else {
        // without TLS it must be told so; the other programs find out by themselves
        &["-db.no_ssl", "migrate"]
    };
    let program = program(context, "migrate", tls);
    let pods = pods(context, Component::Migrate, Phase::Migration, program);
    let mut job = pods.job(context, "");
    let name = format!("temporal-migrate-{}", short_hash(&job.body));
    job.body["metadata"]["name"] = name.into();
    job
}

fn short_hash(body: &Value) -> String {
    let hash = Sha256::digest(body.to_string());
    secrets::to_hex(hash.get(..5).unwrap_or_default())
}

fn key_store(context: Context<'_>) -> Object {
    let mut program = program(context, "krab", &["krab"]);
    program["env"] = json!([
        // here the setting says where to listen, for the others where to call
        { "name": "SERVICES_KRAB_URL", "value": format!("0.0.0.0:{}", KRAB.1) },
        { "name": "IPFS_KEYSTORE_PATH", "value": "/krab/keystore" },
    ]);
    program["ports"] = ports(&[("krab", KRAB.1, "TCP")]);
    mount(
        &mut program,
        &json!({ "name": "keys", "mountPath": "/krab" }),
    );
    probes(&mut program, &json!({ "tcpSocket": { "port": "krab" } }));
    let pods = pods(context, Component::Krab, Phase::KeyStore, program);
    let storage = &context.stack.temporal.storage;
    pods.stateful_set(context, KRAB.0, 1, &[("keys", storage)])
}

fn api_deployment(context: Context<'_>) -> Object {
    let mut program = program(context, "api", &["api"]);
    program["ports"] = ports(&[("api", API.1, "TCP")]);
    // every route counts against the limit of requests of an address, and a probe over HTTP would use it up
    probes(&mut program, &json!({ "tcpSocket": { "port": "api" } }));
    let tls = context.environment.certificate.as_ref();
    if let Some(paths) = tls {
        for (path, key) in [(&paths.certificate, "tls.crt"), (&paths.key, "tls.key")] {
            let file = json!({
                "name": "tls",
                "mountPath": path,
                "subPath": key,
                "readOnly": true,
            });
            mount(&mut program, &file);
        }
    }
    let mut pods = pods(context, Component::Api, Phase::Temporal, program);
    if tls.is_some() {
        let secret = context.stack.temporal.tls_secret.as_deref();
        pods.volumes.push(json!({
            "name": "tls",
            "secret": { "secretName": secret.unwrap_or(API_TLS) },
        }));
        pods.fingerprint =
            context.fingerprints(&context.environment.temporal, &[TEMPORAL_SECRETS, API_TLS]);
    }
    pods.deployment(context, context.stack.temporal.replicas)
}

fn worker_objects(context: Context<'_>, worker: Worker) -> Vec<Object> {
    let component = Component::Worker(worker);
    let mut program = program(context, worker.name(), worker.arguments());
    match worker {
        Worker::Pin | Worker::Cluster | Worker::KeyCreation | Worker::EmailSend => {
            let pods = pods(context, component, Phase::Temporal, program);
            vec![pods.deployment(context, 1)]
        }
        // it publishes its records again and again, and keeps them for that
        Worker::IpnsEntry => {
            let path = "/records/datastore";
            program["env"] = json!([{ "name": "SERVICES_RTNS_DATASTORE_PATH", "value": path }]);
            program["ports"] = ports(&PUBLISHER);
            mount(
                &mut program,
                &json!({ "name": "records", "mountPath": "/records" }),
            );
            let name = component.name();
            let pods = pods(context, component, Phase::Temporal, program);
            let claims = [("records", context.stack.temporal.storage.as_str())];
            vec![
                service(context, &name, component, Face::Headless, &PUBLISHER),
                pods.stateful_set(context, &name, 1, &claims),
            ]
        }
    }
}

fn mount(program: &mut Value, volume: &Value) {
    if let Some(mounts) = program["volumeMounts"].as_array_mut() {
        mounts.push(volume.clone());
    }
}
