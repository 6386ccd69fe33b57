//! RabbitMQ: one node, or an odd number of them whose queues are replicated.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde_json::json;

use super::{Settings, given_or_made, secret};
use crate::input::Stack;
use crate::names::{COOKIE_KEY, RABBITMQ_CONFIG, RABBITMQ_SECRETS, RABBITMQ_SERVER};
use crate::objects::pod::{Pods, container, pod_name, ports, probes};
use crate::objects::{Component, Context, Face, Object, Phase, config_map, service};
use crate::secret::Secret;
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
pub fn configuration(namespace: &str, replicas: u32, memory: Option<u64>) -> String {
    let mut text = String::from(
        "cluster_formation.peer_discovery_backend = classic_config\nloopback_users.guest = true\n\
         log.console = true\nlog.file = false\n",
    );
    let mut line = |name: &str, value: &dyn fmt::Display| {
        // writing to a string cannot fail
        _ = writeln!(text, "{name} = {value}");
    };
    for number in 0..replicas {
        let name = format!("cluster_formation.classic_config.nodes.{}", number + 1);
        line(&name, &node(namespace, number));
    }
    if let Some(memory) = memory {
        // otherwise it takes the machine's for its own
        line("total_memory_available_override_value", &memory);
    }
    for (name, value) in QUEUES {
        line(name, &value);
    }
    line(
        "quorum_queue.continuous_membership_reconciliation.target_group_size",
        &replicas,
    );
    if replicas >= REPLICATED {
        line("cluster_partition_handling", &"pause_minority");
    }
    text
}

/// Temporal names no type for its queues, and a queue keeps the one that it was declared with: so they are of the
/// replicated type from the first day, with one node too, and get a replica on each node that comes later. That type
/// would throw away a message which workers have left unfinished twenty times; Temporal expects that it is kept.
const QUEUES: [(&str, &str); 5] = [
    ("default_queue_type", "quorum"),
    (
        "quorum_queue.continuous_membership_reconciliation.enabled",
        "true",
    ),
    ("default_policies.operator.keep.vhost_pattern", ".*"),
    ("default_policies.operator.keep.queue_pattern", ".*"),
    (
        "default_policies.operator.keep.delivery_limit",
        "1000000000",
    ),
];

/// The plugins that run: the management pages, and metrics.
pub const PLUGINS: &str = "[rabbitmq_management,rabbitmq_prometheus].\n";

fn files(context: Context<'_>) -> BTreeMap<String, String> {
    let part = &context.stack.rabbitmq;
    let memory = part.resources.limit_in_bytes();
    BTreeMap::from([
        (
            "20-stack.conf".to_owned(),
            configuration(context.namespace, part.replicas, memory),
        ),
        ("enabled_plugins".to_owned(), PLUGINS.to_owned()),
    ])
}

const CHANGED_LOGIN: &str = "the broker keeps the user that it was made with; change it there first \
    (`rabbitmqctl change_password …`), then in the Secret, then apply again";

const FEWER: &str = "a node that goes takes its vote in every queue along, and the rest may be no majority; write the old \
    number. For fewer nodes make the broker anew: wait until the queues are empty, delete the StatefulSet `rabbitmq`, its \
    claims `data-rabbitmq-…` and this key of the Secret `temporal-stack`, and apply";

/// How many nodes hold the queues.
pub(crate) fn fact(stack: &Stack) -> (&'static str, Source) {
    let replicas = Secret::new(stack.rabbitmq.replicas.to_string());
    (
        "rabbitmq.replicas",
        Source::Given(replicas, Change::Grows(FEWER)),
    )
}

/// The Secrets of this part: the document's with the cookie, and ours with the login.
pub(crate) fn secrets(settings: &Settings) -> Vec<secrets::Wanted> {
    let broker = settings.broker();
    let vhost = broker.as_ref().map_or("/", |url| &url.vhost);
    let login = broker.as_ref().and_then(|url| url.credentials.as_ref());
    let (user, password) = login.map_or(("temporal", None), |(user, password)| {
        (user, Some(password.expose().as_str()))
    });
    let refuse = Change::Refuse(CHANGED_LOGIN);
    let cookie = vec![(COOKIE_KEY, secrets::random_hex())];
    let login = vec![
        (
            "RABBITMQ_DEFAULT_VHOST",
            Source::Given(vhost.into(), refuse),
        ),
        ("RABBITMQ_DEFAULT_USER", Source::Given(user.into(), refuse)),
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
    let management = &[("management", 15672, "TCP")];
    vec![
        config_map(context, RABBITMQ_SERVER, COMPONENT, &files(context)),
        service(context, ADDRESS.0, COMPONENT, Face::Headless, &PORTS),
        service(
            context,
            "rabbitmq-management",
            COMPONENT,
            Face::Inside,
            management,
        ),
        stateful_set(context),
    ]
}

fn stateful_set(context: Context<'_>) -> Object {
    let part = &context.stack.rabbitmq;
    let files = files(context);
    let mut server = container("rabbitmq", &part.image, &part.resources);
    server["envFrom"] = json!([{ "secretRef": { "name": RABBITMQ_SECRETS } }]);
    server["env"] = json!([
        pod_name(),
        { "name": "RABBITMQ_USE_LONGNAME", "value": "true" },
        {
            "name": "RABBITMQ_NODENAME",
            "value": format!("rabbit@$(POD_NAME).rabbitmq.{}.svc", context.namespace),
        },
    ]);
    server["ports"] = ports(&PORTS);
    server["volumeMounts"] = json!([
        { "name": "data", "mountPath": "/var/lib/rabbitmq" },
        {
            "name": "config",
            "mountPath": "/etc/rabbitmq/conf.d/20-stack.conf",
            "subPath": "20-stack.conf",
            "readOnly": true,
        },
        {
            "name": "config",
            "mountPath": "/etc/rabbitmq/enabled_plugins",
            "subPath": "enabled_plugins",
            "readOnly": true,
        },
    ]);
    // the diagnostics start an Erlang of their own each time: too dear to ask every few seconds
    probes(&mut server, &json!({ "tcpSocket": { "port": "amqp" } }));
    server["livenessProbe"] = json!({
        "exec": { "command": ["rabbitmq-diagnostics", "-q", "ping"] },
        "periodSeconds": 60,
        "timeoutSeconds": 20,
        "failureThreshold": 3,
    });
    let mut cookie = container("cookie", &part.image, &part.resources);
    cookie["command"] = json!(["sh", "-c", cookie_script()]);
    cookie["volumeMounts"] = json!([
        { "name": "data", "mountPath": "/var/lib/rabbitmq" },
        { "name": "cookie", "mountPath": "/cookie", "readOnly": true },
    ]);
    let pods = Pods {
        component: COMPONENT,
        phase: Phase::Stores,
        fingerprint: context.fingerprints(&files, &[RABBITMQ_SECRETS, RABBITMQ_CONFIG]),
        user: USER,
        grace: 120,
        containers: vec![server],
        init_containers: vec![cookie],
        volumes: vec![
            json!({ "name": "config", "configMap": { "name": RABBITMQ_SERVER } }),
            json!({ "name": "cookie", "secret": {
                "secretName": RABBITMQ_CONFIG,
                "items": [{ "key": COOKIE_KEY, "path": COOKIE_KEY }],
            } }),
        ],
    };
    pods.stateful_set(
        context,
        ADDRESS.0,
        part.replicas,
        &[("data", &part.storage)],
    )
}

/// A mounted Secret has another owner or mode than Erlang asks for.
fn cookie_script() -> String {
    format!(
        "umask 077 && cat /cookie/{COOKIE_KEY} > {COOKIE_FILE}.new && mv {COOKIE_FILE}.new {COOKIE_FILE}"
    )
}
