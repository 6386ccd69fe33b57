use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rehearsal::parts::{Part, Parts};
use rehearsal::processes;
use rehearsal::servers::rabbitmq::{RabbitMq, RabbitMqPorts, RabbitMqSetup, RunningRabbitMq};

use super::sandbox::{UP, listens, sandboxed};
use super::variables;

const PORTS: RabbitMqPorts = RabbitMqPorts {
    amqp: 5672,
    distribution: 25_672,
    epmd: 4369,
    tools: 35_672,
};

const COOKIE: &str = "a-cookie-of-more-than-twenty-characters";

/// One node in a fixed list, as the installer writes it for a cluster.
const CONF: &str = "\
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = rabbit@localhost
loopback_users.guest = false
listeners.tcp.default = 1672
";

fn setup() -> RabbitMqSetup {
    RabbitMqSetup {
        environment: variables(&[
            ("RABBITMQ_DEFAULT_USER", "stack"),
            ("RABBITMQ_DEFAULT_PASS", "a pass:w@rd/%"),
            ("RABBITMQ_DEFAULT_VHOST", "pins"),
        ]),
        conf: CONF.to_owned(),
        plugins: String::new(),
        cookie: COOKIE.to_owned(),
    }
}

fn node(parts: &Parts, root: &Path, setup: &RabbitMqSetup) -> RabbitMq {
    RabbitMq::lay(parts, root, PORTS, setup).unwrap()
}

fn says(server: &RunningRabbitMq, arguments: &[&str]) -> String {
    let output = server.ctl(arguments).unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_fresh_node_has_the_user_and_host_of_its_variables_and_no_guest() {
    let name =
        "programs::rabbitmq::a_fresh_node_has_the_user_and_host_of_its_variables_and_no_guest";
    sandboxed(name, &[Part::RabbitMq], |parts, work| {
        let node = node(parts, work, &setup());
        let mut server = node.run(UP).unwrap();
        assert!(listens(PORTS.amqp) && !listens(1672));
        assert_eq!(
            says(&server, &["--silent", "list_users"]),
            "stack\t[administrator]\n"
        );
        assert_eq!(says(&server, &["--silent", "list_vhosts"]), "pins\n");
        says(&server, &["authenticate_user", "stack", "a pass:w@rd/%"]);
        let guest = server
            .ctl(&["authenticate_user", "guest", "guest"])
            .unwrap();
        assert!(!guest.status.success());
        let cookie = says(&server, &["eval", "erlang:get_cookie()."]);
        assert_eq!(cookie.trim(), format!("'{COOKIE}'"));
        let mode = fs::metadata(node.cookie()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        // Whoever has another cookie is no part of the cluster.
        fs::write(node.cookie(), "another-cookie-of-twenty-characters").unwrap();
        assert!(!server.ctl(&["list_users"]).unwrap().status.success());

        let started = [server.server().id(), server.epmd().id()]
            .map(|id| processes::tree(id).unwrap())
            .concat();
        assert!(
            started.iter().any(|it| it.name == "beam.smp"),
            "{started:?}"
        );
        drop(server);
        let left = || {
            let all = processes::all().unwrap();
            all.into_iter()
                .filter(|it| started.contains(it))
                .collect::<Vec<_>>()
        };
        let patience = std::time::Instant::now();
        while !left().is_empty() {
            assert!(patience.elapsed() < Duration::from_secs(10), "{:?}", left());
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(!listens(PORTS.epmd));
    });
}

#[test]
fn a_second_start_keeps_the_first_password_and_ends_on_sigterm() {
    let name = "programs::rabbitmq::a_second_start_keeps_the_first_password_and_ends_on_sigterm";
    sandboxed(name, &[Part::RabbitMq], |parts, work| {
        let mut setup = setup();
        let mut server = node(parts, work, &setup).run(UP).unwrap();
        let id = i32::try_from(server.server().id()).unwrap();
        kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
        assert!(server.server().end(UP).unwrap().success());
        drop(server);
        setup
            .environment
            .insert("RABBITMQ_DEFAULT_PASS".to_owned(), "newer".to_owned());
        setup.cookie.clear();
        let server = node(parts, work, &setup).run(UP).unwrap();
        says(&server, &["authenticate_user", "stack", "a pass:w@rd/%"]);
    });
}

#[test]
fn a_cookie_that_others_may_read_stops_it() {
    let name = "programs::rabbitmq::a_cookie_that_others_may_read_stops_it";
    sandboxed(name, &[Part::RabbitMq], |parts, work| {
        let node = node(parts, work, &setup());
        fs::set_permissions(node.cookie(), Permissions::from_mode(0o644)).unwrap();
        let refused = node.run(UP).unwrap_err().to_string();
        assert!(refused.contains("ended with"), "{refused}");
        assert!(!listens(PORTS.epmd));
    });
}

/// Its variables make a user and a host on a node that has nothing to load, and only there.
#[test]
fn definitions_are_loaded_instead_of_the_default_user() {
    let name = "programs::rabbitmq::definitions_are_loaded_instead_of_the_default_user";
    sandboxed(name, &[Part::RabbitMq], |parts, work| {
        let definitions = work.join("definitions.json");
        let text = r#"{
            "vhosts": [{ "name": "pins" }],
            "queues": [{
                "name": "ipfs-pin-queue", "vhost": "pins",
                "durable": true, "auto_delete": false, "arguments": {}
            }]
        }"#;
        fs::write(&definitions, text).unwrap();
        let mut setup = setup();
        let file = definitions.display();
        setup.conf = format!("{CONF}load_definitions = {file}\n");
        let server = node(parts, work, &setup).run(UP).unwrap();
        let queues = says(
            &server,
            &["--silent", "list_queues", "-p", "pins", "name", "durable"],
        );
        assert_eq!(queues, "ipfs-pin-queue\ttrue\n");
        assert_eq!(says(&server, &["--silent", "list_users"]).trim(), "");
        let stack = ["authenticate_user", "stack", "a pass:w@rd/%"];
        assert!(!server.ctl(&stack).unwrap().status.success());
    });
}

#[test]
fn an_unknown_setting_stops_it() {
    let name = "programs::rabbitmq::an_unknown_setting_stops_it";
    sandboxed(name, &[Part::RabbitMq], |parts, work| {
        let mut setup = setup();
        setup.conf += "no_such_setting = 1\n";
        let node = node(parts, work, &setup);
        let refused = node.run(UP).unwrap_err().to_string();
        // The script tells nobody by its exit status.
        assert!(refused.contains("ended with exit status: 0"), "{refused}");
        let log = fs::read_to_string(node.log()).unwrap();
        assert!(log.contains("no_such_setting"), "{log}");
    });
}

#[test]
fn the_probes_of_a_container_tell_when_it_is_down() {
    let name = "programs::rabbitmq::the_probes_of_a_container_tell_when_it_is_down";
    sandboxed(name, &[Part::RabbitMq], |parts, work| {
        let node = node(parts, work, &setup());
        let mut server = node.run(UP).unwrap();
        let passes = |probe: &str| {
            let output = node.tool("rabbitmq-diagnostics", &["-q", probe]).unwrap();
            output.status.success()
        };
        assert!(passes("ping") && passes("check_port_connectivity"));
        let id = server.server().id();
        processes::signal_tree(id, Signal::SIGKILL).unwrap();
        server.server().end(UP).unwrap();
        assert!(!passes("ping"));
    });
}
