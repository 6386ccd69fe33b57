//! RabbitMQ: one node, or an odd number of them whose queues are replicated.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Settings, given_or_made, secret};
use crate::names::{COOKIE_KEY, RABBITMQ_CONFIG, RABBITMQ_SECRETS, RABBITMQ_SERVER};
use crate::objects::pod::{Container, Pods};
use crate::objects::{Component, Context, Face, Object, config_map, service};
use crate::secrets::{self, Change, Source, Values, known};
use crate::settings::amqp::AmqpUrl;

const COMPONENT: Component = Component::Rabbitmq;
const PORTS: [(&str, u16, &str); 5] = [
    ("amqp", 5672, "TCP"),
    ("epmd", 4369, "TCP"),
    ("distribution", 25672, "TCP"),
    ("management", 15672, "TCP"),
    ("metrics", 15692, "TCP"),
];
/// The user of the official image on Debian or Ubuntu.
const USER: (u32, u32) = (999, 999);
/// From so many nodes on, a majority outlives the loss of one.
const REPLICATED: u32 = 3;

/// The name of the Service, and the port.
pub const ADDRESS: (&str, u16) = ("rabbitmq", 5672);

/// Where the server reads the cookie, which must be a file that only its user can read.
pub const COOKIE_FILE: &str = "/var/lib/rabbitmq/.erlang.cookie";

/// The name of a node, by which the others know it.
pub fn node(namespace: &str, number: u32) -> String {
    format!("rabbit@rabbitmq-{number}.rabbitmq.{namespace}.svc")
}

/// The server's configuration file, for so many nodes with so many bytes of memory each.
///
/// Temporal names no type for its queues, and a queue keeps the one that it was declared with: so they are of the
/// replicated type from the first day, with one node too, and get a replica on each node that comes later. That type
/// would throw away a message which workers have left unfinished twenty times; Temporal expects that it is kept.
pub fn configuration(namespace: &str, replicas: u32, memory: Option<u64>) -> String {
    let nodes = (0..replicas).map(|number| {
        let node = node(namespace, number);
        format!(
            "cluster_formation.classic_config.nodes.{} = {node}\n",
            number + 1
        )
    });
    // otherwise it takes the machine's for its own
    let memory = memory.map(|it| format!("total_memory_available_override_value = {it}\n"));
    let partition = match replicas {
        REPLICATED.. => "cluster_partition_handling = pause_minority\n",
        _ => "",
    };
    format!(
        "cluster_formation.peer_discovery_backend = classic_config\n\
         loopback_users.guest = true\n\
         log.console = true\n\
         log.file = false\n\
         {nodes}{memory}\
         default_queue_type = quorum\n\
         quorum_queue.continuous_membership_reconciliation.enabled = true\n\
         default_policies.operator.keep.vhost_pattern = .*\n\
         default_policies.operator.keep.queue_pattern = .*\n\
         default_policies.operator.keep.delivery_limit = 1000000000\n\
         quorum_queue.continuous_membership_reconciliation.target_group_size = {replicas}\n\
         {partition}",
        nodes = nodes.collect::<String>(),
        memory = memory.unwrap_or_default(),
    )
}

/// The file with that configuration.
const FILE: &str = "20-stack.conf";
/// The plugins that run: the management pages, and metrics.
pub const PLUGINS: &str = "[rabbitmq_management,rabbitmq_prometheus].\n";

fn files(context: Context<'_>) -> BTreeMap<String, String> {
    let part = &context.stack.rabbitmq;
    let memory = part.resources.limit_in_bytes();
    let configuration = configuration(context.namespace, part.replicas, memory);
    BTreeMap::from([
        (FILE.to_owned(), configuration),
        ("enabled_plugins".to_owned(), PLUGINS.to_owned()),
    ])
}

const CHANGED_LOGIN: &str = "the broker keeps the user that it was made with; change it there first \
    (`rabbitmqctl change_password …`), then in the Secret, then apply again";

const FEWER: &str = "a node that goes takes its vote in every queue along, and the rest may be no majority; write the old \
    number. For fewer nodes make the broker anew: wait until the queues are empty, delete the StatefulSet `rabbitmq`, its \
    claims `data-rabbitmq-…` and this key of the Secret `temporal-stack`, and apply";

/// How many nodes hold the queues.
pub(crate) fn fact(settings: &Settings<'_>) -> (&'static str, Source) {
    let replicas = settings.stack.rabbitmq.replicas.to_string().into();
    (
        "rabbitmq.replicas",
        Source::Given(replicas, Change::Grows(FEWER)),
    )
}

/// The Secrets of this part: the document's with the cookie, and ours with the login.
pub(crate) fn secrets(settings: &Settings<'_>) -> Vec<secrets::Wanted> {
    let broker = settings.broker();
    let vhost = broker.as_ref().map_or("/", |url| &url.vhost);
    let login = broker.as_ref().and_then(|url| url.credentials.as_ref());
    let (user, password) = login.map_or(("temporal", None), |(user, password)| {
        (user, Some(password.expose().as_str()))
    });
    let refuse = Change::Refuse(CHANGED_LOGIN);
    let given = |value: &str| Source::Given(value.into(), refuse);
    let cookie = vec![(COOKIE_KEY, secrets::random_hex())];
    let login = vec![
        ("RABBITMQ_DEFAULT_VHOST", given(vhost)),
        ("RABBITMQ_DEFAULT_USER", given(user)),
        ("RABBITMQ_DEFAULT_PASS", given_or_made(password, refuse)),
    ];
    vec![
        secret(RABBITMQ_CONFIG, COMPONENT, cookie),
        secret(RABBITMQ_SECRETS, COMPONENT, login),
    ]
}

/// The URL of our own broker, with the login in it.
pub(crate) fn own_url(values: &Values) -> String {
    let login = |key| known(values, RABBITMQ_SECRETS, key).to_owned();
    let url = AmqpUrl {
        tls: false,
        credentials: Some((
            login("RABBITMQ_DEFAULT_USER"),
            login("RABBITMQ_DEFAULT_PASS").into(),
        )),
        host: ADDRESS.0.to_owned(),
        port: ADDRESS.1,
        vhost: login("RABBITMQ_DEFAULT_VHOST"),
    };
    url.to_url().expose().clone()
}

/// Its objects.
pub(crate) fn objects(context: Context<'_>) -> Vec<Object> {
    let (pages, port) = ("rabbitmq-management", [("management", 15672, "TCP")]);
    vec![
        config_map(context, RABBITMQ_SERVER, COMPONENT, &files(context)),
        service(context, ADDRESS.0, COMPONENT, Face::Headless, &PORTS),
        service(context, pages, COMPONENT, Face::Inside, &port),
        stateful_set(context),
    ]
}

fn stateful_set(context: Context<'_>) -> Object {
    let part = &context.stack.rabbitmq;
    let name = format!("rabbit@$(POD_NAME).rabbitmq.{}.svc", context.namespace);
    let server = Container::new("rabbitmq", &part.image, &part.resources)
        .secret(RABBITMQ_SECRETS)
        .pod_name()
        .variable("RABBITMQ_USE_LONGNAME", "true")
        .variable("RABBITMQ_NODENAME", &name)
        .ports(&PORTS)
        .mount("data", "/var/lib/rabbitmq")
        .mount_file("config", FILE, "/etc/rabbitmq/conf.d/20-stack.conf")
        .mount_file("config", "enabled_plugins", "/etc/rabbitmq/enabled_plugins")
        // the diagnostics start an Erlang of their own each time: too dear to ask every few seconds
        .probes(&json!({ "tcpSocket": { "port": "amqp" } }))
        .with(
            "livenessProbe",
            json!({
                "exec": { "command": ["rabbitmq-diagnostics", "-q", "ping"] },
                "periodSeconds": 60,
                "timeoutSeconds": 20,
                "failureThreshold": 3,
            }),
        );
    let cookie = Container::new("cookie", &part.image, &part.resources)
        .command(&["sh", "-c", &cookie_script()])
        .mount("data", "/var/lib/rabbitmq")
        .mount_to_read("cookie", "/cookie");
    let cookie_only = json!([{ "key": COOKIE_KEY, "path": COOKIE_KEY }]);
    let mut pods = Pods::new(context, COMPONENT, USER, 120);
    pods.fingerprint = context.fingerprints(&files(context), &[RABBITMQ_SECRETS, RABBITMQ_CONFIG]);
    pods.containers.push(server);
    pods.init_containers.push(cookie);
    pods.volume("config", "configMap", &json!({ "name": RABBITMQ_SERVER }));
    pods.volume(
        "cookie",
        "secret",
        &json!({ "secretName": RABBITMQ_CONFIG, "items": cookie_only }),
    );
    pods.claim("data", &part.storage);
    pods.stateful_set(ADDRESS.0, part.replicas)
}

/// A mounted Secret has another owner or mode than Erlang asks for.
fn cookie_script() -> String {
    format!(
        "umask 077 && cat /cookie/{COOKIE_KEY} > {COOKIE_FILE}.new && mv {COOKIE_FILE}.new {COOKIE_FILE}"
    )
}
