//! The emulated node with real Pebbles. Each test starts itself again inside a sandbox of its own.
//!
//! The parts are the rehearsal's; the test that runs as an ordinary user hands copies of them down in the
//! directory that `REHEARSAL_PARTS` names, since that user may not see ours.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rehearsal::cloud::{self, Family, Image, Node, Process, RunAs};
use rehearsal::juju::cloud::{Cloud, Pod};
use zip::write::SimpleFileOptions;

const PARTS: &str = "REHEARSAL_PARTS";
const WORK: &str = "REHEARSAL_TEST_WORK";
const LIMIT: Duration = Duration::from_secs(20);
const PROBE: u16 = 38813;

const PEBBLE: &str = "pebble-1.19.2/pebble";
const TEMPORAL: &str = "temporal-1.32.2/temporal-server";

const DISPATCH: &str = r#"#!/bin/sh
case "$1" in
look) pwd; id -u; hostname; env; ls -A / /tmp /home /charm/containers 2>&1; true ;;
write) echo x > "$2" ;;
tool) "$2" ;;
health) HOME=/tmp PEBBLE_SOCKET="$2" "$3" health ;;
esac
"#;

/// Runs `test` inside a sandbox, in a process of its own.
fn sandboxed(name: &str, test: impl FnOnce(&Path)) {
    if cloud::inside().unwrap() {
        let work = PathBuf::from(std::env::var_os(WORK).unwrap());
        assert_eq!(
            cloud::enter(std::slice::from_ref(&work)).unwrap(),
            cloud::Entered::Inside
        );
        test(&work);
        fs::write(work.join("ran"), "").unwrap();
        return;
    }
    cloud::allowed().unwrap();
    let work = tempfile::tempdir().unwrap();
    let status = cloud::command(std::env::current_exe().unwrap())
        .unwrap()
        .args([name, "--exact", "--nocapture"])
        .env(WORK, work.path())
        .env("TMPDIR", work.path())
        .status()
        .unwrap();
    assert!(status.success());
    assert!(
        work.path().join("ran").exists(),
        "no test is named `{name}`"
    );
}

fn part(name: &str) -> PathBuf {
    if let Some(copies) = std::env::var_os(PARTS) {
        return Path::new(&copies).join(name);
    }
    let (part, _) = name.split_once('/').unwrap();
    match part.split_once('-').unwrap() {
        ("pebble", version) => rehearsal::parts::pebble(version).unwrap(),
        (_, version) => rehearsal::parts::temporal(version).unwrap().server,
    }
}

fn image() -> Image {
    Image::new(part(PEBBLE)).working_directory("/etc/temporal")
}

fn node_with(work: &Path, image: Image) -> Node {
    let images = BTreeMap::from([("temporal".to_owned(), image)]);
    Node::new(work, images, Family::V4).unwrap()
}

fn node(work: &Path) -> Node {
    node_with(work, image())
}

fn charm(work: &Path) -> PathBuf {
    let path = work.join("test.charm");
    let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
    let program = SimpleFileOptions::default().unix_permissions(0o755);
    archive.start_file("dispatch", program).unwrap();
    archive.write_all(DISPATCH.as_bytes()).unwrap();
    let text = SimpleFileOptions::default().unix_permissions(0o644);
    archive.start_file("metadata.yaml", text).unwrap();
    archive.finish().unwrap();
    path
}

fn description(work: &Path, app: &str, n: u32) -> Pod {
    let tools = work.join("tools");
    fs::create_dir_all(&tools).unwrap();
    fs::create_dir_all(work.join("sockets")).unwrap();
    Pod {
        model: "model".to_owned(),
        app: app.to_owned(),
        unit: format!("{app}/{n}"),
        charm: Some(charm(work)),
        containers: vec!["temporal".to_owned()],
        tools,
        agent_socket: work.join("sockets/agent.socket"),
    }
}

fn create(node: &mut Node, work: &Path, app: &str, n: u32) -> String {
    let pod = description(work, app, n);
    node.create_pod(&pod).unwrap();
    boot_id(node, &pod.unit)
}

fn boot_id(node: &Node, unit: &str) -> String {
    let begin = Instant::now();
    loop {
        if let Some(id) = node.boot_id(unit, "temporal") {
            return id;
        }
        let log = node.container_log(unit, "temporal").unwrap();
        assert!(begin.elapsed() < LIMIT, "no Pebble on {unit}: {log}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Pebble's own command line, through the socket that the charm has.
fn pebble(node: &Node, unit: &str, arguments: &[&str]) -> Output {
    let shared = node
        .pod_directory(unit)
        .unwrap()
        .join("containers/temporal/shared");
    Command::new(part(PEBBLE))
        .args(arguments)
        .env("PEBBLE_SOCKET", shared.join("pebble.socket"))
        .env("HOME", &shared)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the charm and gives back whether it succeeded, and its output.
fn dispatch(node: &Node, unit: &str, arguments: &[&str]) -> (bool, String) {
    let output = node
        .charm_command(unit)
        .unwrap()
        .args(arguments)
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    (
        output.status.success(),
        text(&output.stdout) + &text(&output.stderr),
    )
}

fn shell(node: &Node, unit: &str, script: &str) -> cloud::Finished {
    let directory = node.pod_directory(unit).unwrap().join("shell");
    let process = Process::new("bash", directory).args(["-c", script]);
    node.spawn_in_pod(unit, &process)
        .unwrap()
        .wait(LIMIT)
        .unwrap()
}

/// A request for the boot id of whatever Pebble is at that address, from within a pod.
fn who_is(node: &Node, from: &str, host: &str) -> String {
    let request = format!(
        "exec 3<>/dev/tcp/{host}/{PROBE} && \
         printf 'GET /v1/system-info HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3"
    );
    let finished = shell(node, from, &request);
    assert!(finished.status.success(), "{host}: {}", finished.stderr);
    finished.stdout
}

fn connects(address: IpAddr, port: u16) -> std::io::Result<()> {
    TcpStream::connect_timeout(&SocketAddr::new(address, port), LIMIT).map(drop)
}

#[test]
fn containers_see_their_own_files_only() {
    sandboxed("containers_see_their_own_files_only", |work| {
        let image = image().text("/etc/temporal/hello", "from the image", 0o640);
        let mut node = node_with(work, image);
        create(&mut node, work, "a", 0);
        create(&mut node, work, "b", 0);

        let pushed = pebble(&node, "a/0", &["mkdir", "/srv"]);
        assert!(pushed.status.success(), "{}", text(&pushed.stderr));
        let listed = |unit: &str| text(&pebble(&node, unit, &["ls", "/"]).stdout);
        assert!(listed("a/0").contains("srv"));
        assert!(!listed("b/0").contains("srv"), "{}", listed("b/0"));
        for of_the_host in ["home", "boot", "sys", "lib", "sbin"] {
            let words = listed("a/0");
            assert!(
                !words.split_whitespace().any(|word| word == of_the_host),
                "{words}"
            );
        }
        let mode = text(&pebble(&node, "a/0", &["ls", "-l", "/etc/temporal/hello"]).stdout);
        assert!(mode.starts_with("-rw-r-----"), "{mode}");
    });
}

#[test]
fn a_real_server_answers_in_its_container_as_pebble_starts_it() {
    sandboxed(
        "a_real_server_answers_in_its_container_as_pebble_starts_it",
        |work| {
            let server = "/usr/bin/temporal-server";
            let mut node = node_with(work, image().file(part(TEMPORAL), server));
            create(&mut node, work, "temporal-k8s", 0);
            let output = pebble(
                &node,
                "temporal-k8s/0",
                &["exec", "--", server, "--version"],
            );
            assert!(output.status.success(), "{}", text(&output.stderr));
            assert!(
                text(&output.stdout).contains("1.32.2"),
                "{}",
                text(&output.stdout)
            );
        },
    );
}

#[test]
fn the_charm_sees_its_directories_and_nothing_else_of_the_host() {
    sandboxed(
        "the_charm_sees_its_directories_and_nothing_else_of_the_host",
        |work| {
            let mut node = node(work);
            let pod = description(work, "temporal-k8s", 0);
            let tool = pod.tools.join("pebble");
            std::os::unix::fs::symlink(part(PEBBLE), &tool).unwrap();
            node.create_pod(&pod).unwrap();
            boot_id(&node, &pod.unit);
            let unit = "temporal-k8s/0";
            let directory = "/var/lib/juju/agents/unit-temporal-k8s-0/charm";
            assert_eq!(node.charm_dir(unit), Path::new(directory));

            let (ok, seen) = dispatch(&node, unit, &["look"]);
            assert!(ok, "{seen}");
            let mut lines = seen.lines();
            assert_eq!(lines.next(), Some(directory));
            assert_eq!(lines.next(), Some("0"));
            assert_eq!(lines.next(), Some("temporal-k8s-0"));
            assert!(seen.contains("/charm/containers:\ntemporal\n"), "{seen}");
            assert!(
                !seen.contains("REHEARSAL"),
                "the environment is inherited: {seen}"
            );
            assert!(seen.contains("/home"), "{seen}");
            assert!(
                seen.contains("No such file"),
                "the host's /home is there: {seen}"
            );

            let socket = "/charm/containers/temporal/pebble.socket";
            let client = tool.to_str().unwrap();
            let (ok, health) = dispatch(&node, unit, &["health", socket, client]);
            assert!(ok && health.contains("healthy"), "{health}");

            let (ok, said) = dispatch(&node, unit, &["write", "/usr/bin/planted"]);
            assert!(!ok && said.contains("Read-only"), "{said}");
            assert!(dispatch(&node, unit, &["write", "kept"]).0);
            assert!(dispatch(&node, unit, &["write", "/tmp/scratch"]).0);
            assert!(!Path::new("/tmp/scratch").exists());
        },
    );
}

#[test]
fn hook_tools_that_are_links_work_where_they_are() {
    sandboxed("hook_tools_that_are_links_work_where_they_are", |work| {
        let program = work.join("multi/call");
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, "#!/bin/sh\necho \"called as ${0##*/}\"\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut node = node(work);
        let pod = description(work, "app", 0);
        let tool = pod.tools.join("status-set");
        std::os::unix::fs::symlink(&program, &tool).unwrap();
        node.create_pod(&pod).unwrap();
        let (ok, said) = dispatch(&node, "app/0", &["tool", tool.to_str().unwrap()]);
        assert!(ok && said.contains("called as status-set"), "{said}");
    });
}

#[test]
fn entering_the_charm_container_takes_milliseconds() {
    sandboxed("entering_the_charm_container_takes_milliseconds", |work| {
        let mut node = node(work);
        create(&mut node, work, "app", 0);
        let mut times: Vec<Duration> = (0..30)
            .map(|_| {
                let begin = Instant::now();
                assert!(dispatch(&node, "app/0", &["none"]).0);
                begin.elapsed()
            })
            .collect();
        times.sort();
        println!(
            "dispatch in the charm container: fastest {:?}, median {:?}",
            times[0], times[15]
        );
        assert!(times[0] < Duration::from_millis(50), "{times:?}");
    });
}

#[test]
fn pods_reach_each_other_by_address_and_by_name() {
    sandboxed("pods_reach_each_other_by_address_and_by_name", |work| {
        let mut node = node(work);
        let a = create(&mut node, work, "app", 0);
        let b = create(&mut node, work, "app", 1);
        assert_ne!(a, b);
        let ip = node.pod_ip("app/1").unwrap().to_string();
        let long = "app-1.app-endpoints.model.svc.cluster.local";
        for host in [ip.as_str(), long, "app-1.app-endpoints"] {
            assert!(who_is(&node, "app/0", host).contains(&b), "{host}");
        }
        assert!(who_is(&node, "app/0", "127.0.0.1").contains(&a));
        assert!(who_is(&node, "app/0", "app-0").contains(&a));

        let begin = Instant::now();
        let unknown = shell(&node, "app/0", "exec 3<>/dev/tcp/nowhere.example.com/1");
        assert!(unknown.stderr.contains("not known"), "{}", unknown.stderr);
        assert!(
            begin.elapsed() < Duration::from_secs(1),
            "{:?}",
            begin.elapsed()
        );

        node.name("nowhere.example.com", Ipv4Addr::LOCALHOST.into());
        assert!(who_is(&node, "app/0", "nowhere.example.com").contains(&a));
        node.unname("nowhere.example.com");
        let unknown = shell(&node, "app/0", "exec 3<>/dev/tcp/nowhere.example.com/1");
        assert!(unknown.stderr.contains("not known"), "{}", unknown.stderr);
    });
}

#[test]
fn a_service_forwards_its_exposed_ports_in_turn() {
    sandboxed("a_service_forwards_its_exposed_ports_in_turn", |work| {
        let mut node = node(work);
        let a = create(&mut node, work, "app", 0);
        let b = create(&mut node, work, "app", 1);
        create(&mut node, work, "other", 0);
        let service = node.service_ip("app").unwrap();
        assert_ne!(node.service_ip("other"), Some(service));

        assert!(
            connects(service, PROBE).is_err(),
            "open although not exposed"
        );
        node.expose("app", &BTreeSet::from([PROBE])).unwrap();
        let answers: String = ["app", "app.model", "app.model.svc.cluster.local"]
            .map(|host| who_is(&node, "other/0", host))
            .concat();
        assert!(answers.contains(&a) && answers.contains(&b), "{answers}");
        assert!(connects(service, PROBE + 1).is_err());

        node.expose("app", &BTreeSet::new()).unwrap();
        assert!(connects(service, PROBE).is_err(), "open although closed");
        node.expose("app", &BTreeSet::from([PROBE])).unwrap();
        node.expose("app", &BTreeSet::from([PROBE])).unwrap();
        who_is(&node, "other/0", "app");

        node.kill_container("app/0", "temporal").unwrap();
        for _ in 0..2 {
            assert!(who_is(&node, "other/0", "app").contains(&b));
        }
        node.delete_pod("app/1").unwrap();
        // Nobody is left to forward to: the connection is reset, perhaps before it is known here.
        let answer = TcpStream::connect((service, PROBE)).and_then(|mut client| {
            let mut answer = String::new();
            client.read_to_string(&mut answer)
        });
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::ConnectionReset);
        node.delete_application("app").unwrap();
        let refused = connects(service, PROBE).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(node.service_ip("app"), None);
        assert_eq!(node.pod_ip("app/0"), None);
    });
}

#[test]
fn a_node_of_ipv6_has_no_other_addresses() {
    sandboxed("a_node_of_ipv6_has_no_other_addresses", |work| {
        let images = BTreeMap::from([("temporal".to_owned(), image())]);
        let mut node = Node::new(work, images.clone(), Family::V6).unwrap();
        let a = create(&mut node, work, "app", 0);
        let b = create(&mut node, work, "app", 1);
        create(&mut node, work, "other", 0);
        let pod = node.pod_ip("app/1").unwrap();
        let service = node.service_ip("app").unwrap();
        assert!(pod.is_ipv6() && service.is_ipv6(), "{pod}, {service}");
        let ip = pod.to_string();
        for host in [&ip, "app-1.app-endpoints.model.svc.cluster.local"] {
            assert!(who_is(&node, "app/0", host).contains(&b), "{host}");
        }
        assert!(who_is(&node, "app/0", "app-0").contains(&a));
        let addresses = shell(&node, "app/1", "cat /proc/net/fib_trie");
        let beyond = |line: &&str| {
            line.contains("|--") && !line.contains("127.") && !line.contains("0.0.0.0")
        };
        let others: Vec<&str> = addresses.stdout.lines().filter(beyond).collect();
        assert!(others.is_empty(), "{others:?}");
        let resolver = shell(&node, "app/0", "cat /etc/resolv.conf").stdout;
        assert!(resolver.contains("nameserver fd98::a\n"), "{resolver}");

        assert!(
            connects(service, PROBE).is_err(),
            "open although not exposed"
        );
        node.expose("app", &BTreeSet::from([PROBE])).unwrap();
        let answers: String = ["app", "app.model"]
            .map(|host| who_is(&node, "other/0", host))
            .concat();
        assert!(answers.contains(&a) && answers.contains(&b), "{answers}");
        node.delete_application("app").unwrap();
        let refused = connects(service, PROBE).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        // The place is free for the next one.
        drop(node);
        drop(Node::new(work, images, Family::V6).unwrap());
    });
}

#[test]
fn a_restarted_container_has_a_new_boot_id_and_fresh_files() {
    sandboxed(
        "a_restarted_container_has_a_new_boot_id_and_fresh_files",
        |work| {
            let mut node = node(work);
            let first = create(&mut node, work, "app", 0);
            assert!(
                pebble(&node, "app/0", &["mkdir", "/etc/temporal/config"])
                    .status
                    .success()
            );
            node.kill_container("app/0", "temporal").unwrap();
            assert_eq!(node.boot_id("app/0", "temporal"), None);
            node.restart_container("app/0", "temporal").unwrap();
            assert_ne!(boot_id(&node, "app/0"), first);
            let listed = pebble(&node, "app/0", &["ls", "/etc/temporal"]);
            assert!(listed.status.success());
            assert_eq!(text(&listed.stdout), "");
        },
    );
}

#[test]
fn every_pinned_pebble_runs_as_juju_runs_it() {
    sandboxed("every_pinned_pebble_runs_as_juju_runs_it", |work| {
        let mut node = node(work);
        create(&mut node, work, "app", 0);
        for version in ["1.4.0", "1.26.0", "1.19.2"] {
            let pebble = part(&format!("pebble-{version}/pebble"));
            node.set_image("temporal", Image::new(pebble));
            node.restart_container("app/0", "temporal").unwrap();
            boot_id(&node, "app/0");
            let info = who_is(&node, "app/0", "127.0.0.1");
            assert!(
                info.contains(&format!("v{version}")) || version == "1.4.0",
                "{info}"
            );
        }
    });
}

/// Waits for the notice that a change of this kind has ended so, and gives its time.
fn await_check(node: &Node, after: Option<&str>, kind: &str, status: &str) -> String {
    let begin = Instant::now();
    loop {
        let notices = node.check_notices("app/0", "temporal", after);
        let ended = notices
            .iter()
            .find(|it| it.kind == kind && it.status.as_deref() == Some(status));
        if let Some(ended) = ended {
            assert_eq!(ended.check, "other");
            return ended.repeated.clone();
        }
        assert!(begin.elapsed() < LIMIT, "no {kind} {status}: {notices:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn pebble_notices_a_check_that_fails_and_recovers() {
    sandboxed("pebble_notices_a_check_that_fails_and_recovers", |work| {
        for version in ["1.19.2", "1.26.0"] {
            let pebble_of = Image::new(part(&format!("pebble-{version}/pebble")));
            let mut node = node_with(&work.join(version), pebble_of);
            for n in [0, 1] {
                create(&mut node, work, "app", n);
            }
            let other = node.pod_ip("app/1").unwrap();
            let layer = work.join("layer.yaml");
            let check = format!(
                "checks:\n  other: {{override: replace, period: 100ms, timeout: 50ms, threshold: 2, \
                 tcp: {{host: {other}, port: {PROBE}}}}}\n"
            );
            fs::write(&layer, check).unwrap();
            let added = pebble(&node, "app/0", &["add", "checks", layer.to_str().unwrap()]);
            assert!(added.status.success(), "{}", text(&added.stderr));

            node.kill_container("app/1", "temporal").unwrap();
            let failed = await_check(&node, None, "perform-check", "Error");
            node.restart_container("app/1", "temporal").unwrap();
            let well = await_check(&node, Some(&failed), "recover-check", "Done");
            // A change may end between its first notice and the question for its status: then its
            // last notice tells of the same end once more, to Juju as well.
            let later = node.check_notices("app/0", "temporal", Some(&well));
            let other = later
                .iter()
                .find(|it| it.kind != "recover-check" && it.status.as_deref() != Some("Doing"));
            assert!(other.is_none(), "{later:?}");
        }
    });
}

#[test]
fn a_seed_gives_the_addresses_of_pods() {
    sandboxed("a_seed_gives_the_addresses_of_pods", |work| {
        let addresses = |seed: u64| {
            let mut node = node(&work.join(seed.to_string()));
            node.seed(seed);
            let units = [0, 1, 2].map(|n| format!("app/{n}"));
            for n in [0, 1, 2] {
                create(&mut node, work, "app", n);
            }
            let first = units.map(|unit| node.pod_ip(&unit).unwrap());
            node.delete_pod("app/0").unwrap();
            create(&mut node, work, "app", 0);
            let again = node.pod_ip("app/0").unwrap();
            assert!(!first.contains(&again), "a new pod has a new address");
            first
        };
        assert_eq!(addresses(7), addresses(7));
        assert_ne!(addresses(7), addresses(8));
    });
}

#[test]
fn a_full_disk_is_full_for_its_container_only() {
    sandboxed("a_full_disk_is_full_for_its_container_only", |work| {
        let mut node = node_with(work, image().size(256 * 1024));
        create(&mut node, work, "app", 0);
        let large = work.join("large");
        fs::write(&large, vec![0; 1024 * 1024]).unwrap();
        let push = |unit: &str| {
            pebble(
                &node,
                unit,
                &["push", large.to_str().unwrap(), "/etc/temporal/large"],
            )
        };
        let refused = push("app/0");
        assert!(!refused.status.success());
        assert!(
            text(&refused.stderr).contains("no space left"),
            "{}",
            text(&refused.stderr)
        );
        node.set_image("temporal", image());
        node.restart_container("app/0", "temporal").unwrap();
        boot_id(&node, "app/0");
        assert!(push("app/0").status.success());
    });
}

#[test]
fn a_process_in_a_pod_writes_to_its_own_directory_only() {
    sandboxed(
        "a_process_in_a_pod_writes_to_its_own_directory_only",
        |work| {
            let mut node = node(work);
            create(&mut node, work, "app", 0);
            let directory = node.pod_directory("app/0").unwrap().join("data");
            let script = format!(
                "id -u; echo own > own; stat -c %u own; mktemp -p /tmp > new && echo tmp; \
             echo x > {0}/planted || echo x > /usr/planted || echo x > /etc/hosts; \
             cat /etc/hostname; ls -d {0}",
                work.display()
            );
            for (run_as, uid) in [(RunAs::Unprivileged, "1000"), (RunAs::Root, "0")] {
                let process = Process::new("bash", &directory)
                    .args(["-c", &script])
                    .run_as(run_as);
                let finished = node
                    .spawn_in_pod("app/0", &process)
                    .unwrap()
                    .wait(LIMIT)
                    .unwrap();
                let seen: Vec<&str> = finished.stdout.lines().collect();
                let work = work.to_str().unwrap();
                assert_eq!(
                    seen,
                    [uid, uid, "tmp", "app-0", work],
                    "{}",
                    finished.stderr
                );
                assert!(finished.stderr.matches("Read-only file system").count() >= 2);
            }
            assert_eq!(fs::read_to_string(directory.join("own")).unwrap(), "own\n");
            assert!(!work.join("planted").exists());
        },
    );
}

#[test]
fn a_process_ends_with_all_its_children() {
    sandboxed("a_process_ends_with_all_its_children", |work| {
        let mut node = node(work);
        create(&mut node, work, "app", 0);
        let directory = node.pod_directory("app/0").unwrap().join("data");
        let process = Process::new("bash", directory).args(["-c", "sleep 3141 & sleep 3141"]);
        let running = node.spawn_in_pod("app/0", &process).unwrap();
        let begin = Instant::now();
        while processes("sleep 3141") < 2 {
            assert!(begin.elapsed() < LIMIT);
        }
        assert_eq!(
            running.wait(Duration::ZERO).unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        while processes("sleep 3141") > 0 {
            assert!(begin.elapsed() < LIMIT);
        }
        assert!(running.status().unwrap().is_some());
    });
}

/// How many processes have this command line, as far as `/proc` shows.
fn processes(command: &str) -> usize {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| text(line).replace('\0', " ").contains(command))
        .count()
}

#[test]
fn nothing_is_left_of_a_node() {
    sandboxed("nothing_is_left_of_a_node", |work| {
        let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
        let links = || fs::read_to_string("/proc/net/dev").unwrap().lines().count();
        let tasks = || {
            let entries = fs::read_dir("/proc").unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names
                .filter(|name| name.parse::<u32>().is_ok())
                .collect::<Vec<_>>()
        };
        let before = (mounts(), links(), tasks());
        let mut node = node(work);
        create(&mut node, work, "app", 0);
        create(&mut node, work, "app", 1);
        node.expose("app", &BTreeSet::from([80])).unwrap();
        let directory = node.pod_directory("app/0").unwrap().join("data");
        node.spawn_in_pod("app/0", &Process::new("sleep", directory).arg("1000"))
            .unwrap();
        assert!(links() > before.1);
        assert!(tasks().len() > before.2.len());
        drop(node);
        assert_eq!((mounts(), links(), tasks()), before);
        assert_eq!(fs::read_dir(work.join("pods")).unwrap().count(), 0);
        // The place is free for the next one.
        drop(Node::new(work, BTreeMap::new(), Family::V4).unwrap());
    });
}

#[test]
fn the_host_is_read_only_inside() {
    sandboxed("the_host_is_read_only_inside", |work| {
        for place in [
            "/planted",
            "/usr/planted",
            "/var/tmp/planted",
            "/tmp/planted",
        ] {
            let refused = fs::write(place, "").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem, "{place}");
        }
        fs::write(work.join("own"), "").unwrap();
        fs::write("/dev/shm/own", "").unwrap();
    });
    assert!(cloud::inside().unwrap() || !Path::new("/dev/shm/own").exists());
}

#[test]
fn nothing_outlives_the_program_outside() {
    let begin = Instant::now();
    let mut outside = cloud::command("sh")
        .unwrap()
        .args(["-c", "setsid sleep 2718 & sleep 2718"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    while processes("sleep 2718") < 3 {
        assert!(begin.elapsed() < LIMIT);
    }
    outside.kill().unwrap();
    outside.wait().unwrap();
    while processes("sleep 2718") > 0 {
        assert!(begin.elapsed() < LIMIT, "something outlives the sandbox");
    }
}

/// As root, runs the other tests once more as a user without any rights; an ordinary user has done
/// that already.
#[test]
fn everything_works_for_an_ordinary_user() {
    if !nix::unistd::geteuid().is_root() || cloud::inside().unwrap() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // What is used must be in reach of that user.
    let exe = place.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    for name in [
        PEBBLE,
        TEMPORAL,
        "pebble-1.4.0/pebble",
        "pebble-1.26.0/pebble",
    ] {
        let copy = place.path().join(name);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(part(name), copy).unwrap();
    }
    let output = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--inh-caps=-all",
            "--",
        ])
        .arg(&exe)
        .current_dir(place.path())
        .env(PARTS, place.path())
        .env("TMPDIR", "/tmp")
        .output()
        .unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("a_service_forwards_its_exposed_ports_in_turn ... ok"),
        "{said}"
    );
}
