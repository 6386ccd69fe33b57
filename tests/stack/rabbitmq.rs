//! RabbitMQ in the environment, and with the files, that its container gets.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rehearsal::parts::{Part, Parts};
use rehearsal::servers::rabbitmq::{RabbitMq, RabbitMqPorts, RabbitMqSetup, RunningRabbitMq};
use temporal_stack::kubernetes::Kind;

use crate::programs::Rendered;
use crate::sandbox::{UP, listens, sandboxed};

const PORTS: RabbitMqPorts = RabbitMqPorts {
    amqp: 5672,
    distribution: 25_672,
    epmd: 4369,
    tools: 35_672,
};

/// Lines of the configuration that a RabbitMQ before 3.13, as older systems have it, takes for a mistake.
const YOUNG: [&str; 3] = ["default_queue_type", "quorum_queue.", "default_policies."];

/// The node of a container, whose configuration may be older than the one that the stack installs.
struct Broker {
    rendered: Rendered,
    node: RabbitMq,
    is_old: bool,
}

impl Broker {
    fn lay(parts: &Parts, work: &Path) -> Self {
        let rendered = Rendered::new();
        let files = rendered.object(Kind::ConfigMap, "rabbitmq-server").body["data"].clone();
        let file = |name: &str| files[name].as_str().unwrap().to_owned();
        let is_old = version(parts) < (3, 13);
        let old = |line: &&str| !is_old || !YOUNG.iter().any(|young| line.starts_with(young));
        // no name server here knows the Pod's name
        let conf = file("20-stack.conf").replace("rabbitmq-0.rabbitmq.pinning.svc", "localhost");
        assert!(conf.contains("rabbit@localhost"), "{conf}");
        let setup = RabbitMqSetup {
            environment: rendered.environment("rabbitmq"),
            conf: conf
                .lines()
                .filter(old)
                .fold(String::new(), |all, line| all + line + "\n"),
            plugins: file("enabled_plugins"),
            cookie: rendered.secret("rabbitmq-config", "erlang-cookie"),
        };
        let node = RabbitMq::lay(parts, work, PORTS, &setup).unwrap();
        Self {
            rendered,
            node,
            is_old,
        }
    }

    fn run(&self) -> RunningRabbitMq {
        self.node.run(UP).unwrap()
    }

    fn login(&self) -> (String, String) {
        let url = self.rendered.secret("temporal-secrets", "RABBITMQ_URL");
        let (login, place) = url
            .strip_prefix("amqp://")
            .unwrap()
            .split_once('@')
            .unwrap();
        assert_eq!(place, "rabbitmq:5672/");
        let (user, password) = login.split_once(':').unwrap();
        (user.to_owned(), password.to_owned())
    }

    /// Declares a queue over the management pages, which say to a channel what they are told: the status.
    fn declare(&self, name: &str, body: &str) -> u16 {
        let (user, password) = self.login();
        let login = BASE64.encode(format!("{user}:{password}"));
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 15672)).unwrap();
        write!(
            stream,
            "PUT /api/queues/%2F/{name} HTTP/1.0\r\nAuthorization: Basic {login}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// Major and minor of the part.
fn version(parts: &Parts) -> (u32, u32) {
    let server = parts.rabbitmq().unwrap().join("rabbitmq");
    let server = server.canonicalize().unwrap();
    let name = server.file_name().unwrap().to_str().unwrap().to_owned();
    let (_, version) = name.split_once('-').unwrap();
    let mut numbers = version.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn ctl(server: &RunningRabbitMq, arguments: &[&str]) -> String {
    let output = server.ctl(arguments).unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn rabbitmq_takes_the_login_the_cookie_and_the_configuration() {
    let name = "rabbitmq::rabbitmq_takes_the_login_the_cookie_and_the_configuration";
    sandboxed(name, &[Part::RabbitMq], |parts, work| {
        let broker = Broker::lay(parts, work);
        let server = broker.run();
        let (user, password) = broker.login();
        ctl(&server, &["authenticate_user", &user, &password]);
        assert_eq!(
            ctl(&server, &["--silent", "list_users"]),
            format!("{user}\t[administrator]\n"),
            "guest is there"
        );
        assert_eq!(ctl(&server, &["--silent", "list_vhosts"]), "/\n");
        let cookie = ctl(&server, &["eval", "erlang:get_cookie()."]);
        assert!(cookie.contains(&broker.rendered.secret("rabbitmq-config", "erlang-cookie")));
        let memory = ctl(&server, &["eval", "vm_memory_monitor:get_total_memory()."]);
        assert_eq!(memory.trim(), (1_u64 << 30).to_string());
        assert!(listens(15672) && listens(15692), "a plugin does not run");
    });
}

/// What Temporal's programs say when they start, and nothing else: a name, and that it is durable.
const DECLARED: &str = r#"{"durable": true}"#;

#[test]
fn queues_that_name_no_type_are_replicated_ones_and_stay_so() {
    let name = "rabbitmq::queues_that_name_no_type_are_replicated_ones_and_stay_so";
    sandboxed(name, &[Part::RabbitMq], |parts, work| {
        let broker = Broker::lay(parts, work);
        let server = broker.run();
        if broker.is_old {
            // what the configuration says to newer ones, this one is told by hand
            let (user, _) = broker.login();
            ctl(&server, &["delete_vhost", "/"]);
            let quorum = ["--default-queue-type", "quorum"];
            ctl(&server, &["add_vhost", "/", quorum[0], quorum[1]]);
            ctl(&server, &["set_permissions", &user, ".*", ".*", ".*"]);
        } else {
            let policies = ctl(&server, &["--silent", "list_operator_policies"]);
            assert!(
                policies.contains("\"delivery-limit\":1000000000"),
                "{policies}"
            );
        }
        let queues = ["ipfs-pin-queue", "ipfs-cluster-add-queue"];
        for queue in queues {
            assert_eq!(broker.declare(queue, DECLARED), 201, "{queue}");
        }
        drop(server);
        // the workers and the node itself begin anew
        let server = broker.run();
        let listed = ctl(&server, &["--silent", "list_queues", "name", "type"]);
        for queue in queues {
            assert!(listed.contains(&format!("{queue}\tquorum")), "{listed}");
            assert_eq!(broker.declare(queue, DECLARED), 204, "{queue}");
        }
        // as they would be with another type from the second day on: the worker ends for good
        let other = r#"{"durable": true, "arguments": {"x-queue-type": "classic"}}"#;
        assert_eq!(broker.declare(queues[0], other), 400);
    });
}
