//! Charms that are processes: environment, tools on PATH, limits, faults.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rehearsal::juju::{Event, Exit, Failure, Fault, PebbleChange, Source, Wire};

use crate::world::World;

/// A world in which `server` is this shell script, settled.
fn settled(script: &str) -> World {
    let mut world = World::shell(script);
    world.settle();
    world
}

fn environment(stdout: &str) -> BTreeMap<String, String> {
    let pairs = stdout.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn last_environment(world: &World) -> BTreeMap<String, String> {
    environment(&world.juju.log().last().unwrap().stdout)
}

#[test]
fn a_hook_gets_jujus_environment_and_nothing_else() {
    let mut world = settled("exec env");
    let install = environment(&world.juju.log()[0].stdout);
    let charm = world.cloud.pod_dir("server/0").join("charm");
    for (name, value) in [
        ("JUJU_DISPATCH_PATH", "hooks/install"),
        ("JUJU_HOOK_NAME", "install"),
        ("JUJU_UNIT_NAME", "server/0"),
        ("JUJU_MODEL_NAME", "prod"),
        ("JUJU_VERSION", "3.6.11"),
        ("JUJU_CHARM_DIR", charm.to_str().unwrap()),
        ("CHARM_DIR", charm.to_str().unwrap()),
        ("PWD", charm.to_str().unwrap()),
        ("JUJU_MACHINE_ID", ""),
        ("JUJU_CHARM_HTTP_PROXY", ""),
        ("JUJU_AGENT_SOCKET_NETWORK", "unix"),
        ("LANG", "C.UTF-8"),
        ("DEBIAN_FRONTEND", "noninteractive"),
    ] {
        assert_eq!(install.get(name).map(String::as_str), Some(value), "{name}");
    }
    let tools = world.directory.path().join("tools");
    assert_eq!(install["PATH"].split(':').next(), tools.to_str());
    assert!(!install.contains_key("HOME") && !install.contains_key("CARGO"));
    assert!(!install.contains_key("JUJU_RELATION") && !install.contains_key("JUJU_ACTION_NAME"));

    world.cloud.boot("server/0", "main");
    world.settle();
    let ready = last_environment(&world);
    assert_eq!(ready["JUJU_HOOK_NAME"], "main-pebble-ready");
    assert_eq!(ready["JUJU_WORKLOAD_NAME"], "main");

    let check = PebbleChange::CheckFailed("up".to_owned());
    let event = Event::Pebble {
        container: "main".to_owned(),
        change: check,
    };
    world.juju.inject("server/0", event).unwrap();
    world.settle();
    let failed = last_environment(&world);
    assert_eq!(failed["JUJU_HOOK_NAME"], "main-pebble-check-failed");
    assert_eq!(failed["JUJU_PEBBLE_CHECK_NAME"], "up");
}

#[test]
fn an_action_has_an_empty_hook_name_and_its_output_as_results() {
    let mut world = World::shell("exit 3");
    let outcome = world
        .juju
        .run_action("server/0", "restart", serde_json::Map::new());
    let error = outcome.unwrap_err().to_string();
    assert!(
        error.contains("install"),
        "not before it is installed: {error}"
    );
    let mut world = settled("test -n \"$JUJU_HOOK_NAME\" && exit 0\nenv; echo oops >&2; exit 3");
    let outcome = world
        .juju
        .run_action("server/0", "restart", serde_json::Map::new())
        .unwrap();
    let seen = environment(&outcome.results["stdout"]);
    assert_eq!(seen["JUJU_HOOK_NAME"], "");
    assert_eq!(seen["JUJU_DISPATCH_PATH"], "actions/restart");
    assert_eq!(seen["JUJU_ACTION_NAME"], "restart");
    assert_eq!(seen["JUJU_ACTION_UUID"], "1");
    assert_eq!(seen["JUJU_ACTION_TAG"], "action-1");
    assert_eq!(
        (outcome.results["stderr"].as_str(), outcome.message.as_str()),
        ("oops\n", "exit status 3")
    );
    assert_eq!(outcome.results["return-code"], "3");
}

#[test]
fn relation_hooks_name_relation_remote_and_departing_unit() {
    let mut world = settled("exec env");
    world.deploy(
        "db",
        "name: db\nsummary: s\ndescription: d\nprovides: {db: {interface: pgsql}}\n",
        1,
    );
    let id = world.juju.integrate("server:db", "db").unwrap();
    world.settle();
    world.juju.remove_relation("server:db", "db").unwrap();
    world.settle();
    let seen = |hook: &str| {
        let run = world
            .juju
            .log()
            .iter()
            .find(|run| run.unit == "server/0" && run.hook == hook);
        environment(&run.unwrap_or_else(|| panic!("{hook} ran")).stdout)
    };
    let created = seen("db-relation-created");
    assert_eq!(created["JUJU_RELATION"], "db");
    assert_eq!(created["JUJU_RELATION_ID"], format!("db:{id}"));
    assert_eq!(
        (
            created["JUJU_REMOTE_APP"].as_str(),
            created["JUJU_REMOTE_UNIT"].as_str()
        ),
        ("db", "")
    );
    assert_eq!(seen("db-relation-joined")["JUJU_REMOTE_UNIT"], "db/0");
    assert_eq!(seen("db-relation-departed")["JUJU_DEPARTING_UNIT"], "db/0");
    assert_eq!(seen("db-relation-broken")["JUJU_REMOTE_UNIT"], "");
    assert!(!seen("db-relation-broken").contains_key("JUJU_DEPARTING_UNIT"));
}

#[test]
fn tools_on_path_speak_to_the_agent_and_are_recorded() {
    let mut world = World::shell(
        "test \"$JUJU_HOOK_NAME\" = start || exit 0\n\
         status-set active 'it works'\n\
         config-get --format=json\n\
         echo '{\"password\": \"hunter2\"}' | relation-set -r 0 --app --file -\n\
         relation-set -r 0 secret=hunter2\n\
         juju-log -l ERROR -- -dashes\n\
         open-port 80 && opened-ports --format=json\n\
         relation-get -r 9 - x/0; echo code $?",
    );
    world.settle();
    let run = world
        .juju
        .log()
        .iter()
        .find(|run| run.hook == "start")
        .unwrap();
    assert_eq!(run.stdout, "{\"level\":\"info\"}\n[\"80/tcp\"]\ncode 2\n");
    assert_eq!(
        run.stderr,
        "ERROR invalid value \"9\" for option -r: relation not found\n"
    );
    assert_eq!(
        world.juju.unit_status("server/0").unwrap().message,
        "it works"
    );
    assert_eq!(world.juju.databag(0, "server")["password"], "hunter2");
    assert_eq!(run.juju_log[0].text, "-dashes");
    let names: Vec<&str> = run.calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "status-set",
            "config-get",
            "relation-set",
            "relation-set",
            "juju-log",
            "open-port",
            "opened-ports",
            "relation-get"
        ]
    );
    assert_eq!(run.calls.last().unwrap().code, 2);
    let shown: String = run.calls.iter().map(ToString::to_string).collect();
    let json = serde_json::to_string(run).unwrap();
    assert!(!shown.contains("hunter2") && !json.contains("hunter2"));
}

#[test]
fn concurrent_tools_are_answered_one_after_another() {
    let script = "for i in 1 2 3 4 5 6 7 8; do is-leader --format=json & done; wait";
    let world = settled(script);
    let run = world.juju.log().last().unwrap();
    assert_eq!(run.stdout, "true\n".repeat(8));
    assert_eq!(run.calls.len(), 8);
}

#[test]
fn a_tool_of_an_old_hook_is_refused() {
    let mut world = settled("JUJU_CONTEXT_ID=old is-leader || true");
    world.juju.update_status("server").unwrap();
    let run = world.settle().pop().unwrap();
    assert_eq!(
        run.stderr,
        "ERROR bad request: wrong context ID; got \"old\"\n"
    );
    assert!(run.calls.is_empty());
}

#[test]
fn the_kernel_limits_one_argument_and_a_file_does_not() {
    let world = settled(
        "long=$(head -c 140000 /dev/zero | tr '\\0' x)\n\
         relation-set -r 0 k=$long 2>/dev/null; echo code $?\n\
         test \"$JUJU_HOOK_NAME\" = start && echo \"k: $long\" | relation-set -r 0 --file -\nexit 0",
    );
    let run = world
        .juju
        .log()
        .iter()
        .find(|run| run.hook == "start")
        .unwrap();
    assert_eq!(run.stdout, "code 126\n", "argument list too long");
    assert_eq!(world.juju.databag(0, "server/0")["k"].len(), 140_000);
}

#[test]
fn a_dispatch_that_runs_too_long_is_killed_with_its_children() {
    let mut world = World::shell("echo $$ > pid; sleep 600 & echo $! >> pid; wait");
    world.juju.hook_limit(Duration::from_millis(300));
    let start = Instant::now();
    let run = world.juju.step().unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!((run.exit, run.flushed), (Exit::TimedOut, false));
    let pids =
        std::fs::read_to_string(world.cloud.pod_dir("server/0").join("charm").join("pid")).unwrap();
    for pid in pids.lines() {
        let gone = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            status.is_empty() || status.contains(") Z ")
        });
        assert!(gone, "process {pid} is gone");
    }
    assert_eq!(world.juju.status().units["server/0"].workload, "error");
}

#[test]
fn a_signal_is_no_error_and_the_hook_runs_again() {
    let mut world = World::shell("test -e again && exit 0; touch again; kill -TERM $$");
    let run = world.juju.step().unwrap().unwrap();
    assert_eq!(run.exit, Exit::Signal(15));
    assert_ne!(world.juju.status().units["server/0"].workload, "error");
    assert_eq!(world.juju.step().unwrap().unwrap().hook, "install");
    world.settle();
}

#[test]
fn a_dispatch_that_cannot_start_is_a_failed_hook() {
    let mut world = World::new();
    let path = world.directory.path().join("x.charm");
    let files: [(&str, &[u8]); 2] = [
        ("metadata.yaml", b"name: x\nsummary: s\ndescription: d\n"),
        ("dispatch", b"#!/nowhere\n"),
    ];
    rehearsal::juju::plain::write_charm(&path, &files).unwrap();
    world.juju.deploy("x", Source::File(path), 1, &[]).unwrap();
    let run = world.juju.step().unwrap().unwrap();
    assert!(matches!(run.exit, Exit::NotStarted(_)) && !run.success());
}

#[test]
fn tools_fail_print_garbage_and_hang_on_request() {
    let mut world = settled(
        "test \"$JUJU_HOOK_NAME\" = update-status || exit 0\n\
         is-leader --format=json; echo $?\n\
         config-get --format=json; echo $?\n\
         timeout 0.3 status-get; echo $?\n\
         opened-ports --format=json",
    );
    let failure = Failure::Exit {
        code: 1,
        stderr: "ERROR leadership status unknown\n".to_owned(),
    };
    world
        .juju
        .fault(Fault::new("is-leader", failure).on("server/0"));
    world
        .juju
        .fault(Fault::new("config-get", Failure::Print("{\"lev".to_owned())).once());
    world
        .juju
        .fault(Fault::new("status-get", Failure::Hang).during("update-status"));
    let delay = Failure::Delay(Duration::from_millis(200));
    world
        .juju
        .fault(Fault::new("opened-ports", delay).with_argument("--format=json"));
    world.juju.update_status("server").unwrap();
    let run = world.settle().pop().unwrap();
    assert_eq!(run.stdout, "1\n{\"lev0\n124\n[]\n");
    assert_eq!(run.stderr, "ERROR leadership status unknown\n");
    assert!(run.calls[3].duration >= Duration::from_millis(200));
    world.juju.clear_faults();
    world.juju.update_status("server").unwrap();
    let run = world.settle().pop().unwrap();
    assert_eq!(
        run.stdout,
        "true\n0\n{\"level\":\"info\"}\n0\nunknown\n0\n[]\n"
    );
}

#[test]
fn charms_are_told_to_use_the_tools_alone() {
    let mut world = settled("echo \"transport $JUJU_HOOK_TRANSPORT\"");
    let said = |world: &World| world.juju.log().last().unwrap().stdout.clone();
    assert_eq!(said(&world), "transport \n");
    world.juju.tools_only(true);
    world.juju.update_status("server").unwrap();
    world.settle();
    assert_eq!(said(&world), "transport tools\n");
}

#[test]
fn a_tool_that_wants_standard_input_is_asked_twice() {
    let mut world = settled("echo 'k: v' | state-set --file -; state-get k; state-set a=b");
    world.juju.update_status("server").unwrap();
    let run = world.settle().pop().unwrap();
    assert_eq!(run.stdout, "v\n");
    let connections: Vec<u64> = run.calls.iter().map(|call| call.connection).collect();
    assert_eq!(connections, [1, 2, 3]);
    assert_eq!((run.traffic.connections, run.traffic.round_trips), (3, 4));
}

/// What comes of `is-leader` over the socket that the charm is told, and then by way of the tool.
fn with_fault(wire: Wire) -> (String, String, Vec<i32>) {
    let mut world = settled(
        "test \"$JUJU_HOOK_NAME\" = update-status || exit 0\n\
         env -u REHEARSAL_TOOLS_SOCKET timeout 5 is-leader 2>&1; is-leader; config-get level",
    );
    world
        .juju
        .fault(Fault::new("is-leader", Failure::Wire(wire)).during("update-status"));
    world.juju.update_status("server").unwrap();
    let run = world.settle().pop().unwrap();
    let (first, rest) = run.stdout.split_once('\n').unwrap();
    let codes = run.calls.iter().map(|call| call.code).collect();
    (first.to_owned(), rest.to_owned(), codes)
}

#[test]
fn the_wire_fails_for_the_charm_and_not_for_its_tools() {
    let lost = "ERROR unexpected EOF";
    for (wire, said, ran) in [
        (Wire::CallLost, lost, false),
        (Wire::AnswerLost, lost, true),
        (Wire::AnswerCut, lost, true),
        (
            Wire::Garbage(b"\x03\xff\xc8\x00".to_vec()),
            "ERROR type 100 is not defined",
            true,
        ),
        (Wire::UnknownType, "ERROR type 1000 is not defined", true),
        (
            Wire::Error("no such luck".to_owned()),
            "ERROR no such luck",
            false,
        ),
    ] {
        let (first, rest, codes) = with_fault(wire.clone());
        assert_eq!(
            (first.as_str(), rest.as_str()),
            (said, "True\ninfo\n"),
            "{wire:?}"
        );
        assert_eq!(codes.len(), 2 + usize::from(ran), "{wire:?}");
    }
    let (first, rest, codes) = with_fault(Wire::Refused);
    assert!(first.contains("Connection refused"), "{first}");
    assert_eq!((rest.as_str(), codes), ("True\ninfo\n", vec![0, 0]));
}

#[test]
fn a_fault_that_strikes_once_leaves_the_next_hook_alone() {
    let mut world = settled("env");
    world
        .juju
        .fault(Fault::new("*", Failure::Wire(Wire::Refused)).once());
    let mut addresses = Vec::new();
    for _ in 0..2 {
        world.juju.update_status("server").unwrap();
        world.settle();
        let seen = last_environment(&world);
        let tools = seen.contains_key("REHEARSAL_TOOLS_SOCKET");
        addresses.push((seen["JUJU_AGENT_SOCKET_ADDRESS"].clone(), tools));
    }
    assert!(addresses[0].0.ends_with("agent.deaf") && addresses[0].1);
    assert!(addresses[1].0.ends_with("agent.socket") && !addresses[1].1);
}

#[test]
fn a_new_pod_has_a_fresh_charm_directory() {
    let mut world = settled("test -e mark && echo old; touch mark");
    assert_eq!(world.juju.log().last().unwrap().stdout, "old\n");
    world.juju.replace_pod("server/0").unwrap();
    let runs = world.settle();
    assert_eq!(
        (runs[0].hook.as_str(), runs[0].stdout.as_str()),
        ("upgrade-charm", "")
    );
}

#[test]
fn refresh_runs_stop_in_the_old_pod_and_upgrade_charm_in_the_new_one() {
    let mut world = settled("echo old");
    let before = world.juju.log().len();
    let path = world.directory.path().join("new.charm");
    let files: [(&str, &[u8]); 4] = [
        ("metadata.yaml", crate::world::SERVER.as_bytes()),
        (
            "manifest.yaml",
            b"bases: [{name: ubuntu, channel: '24.04'}]",
        ),
        ("config.yaml", b"options: {fresh: {type: int, default: 1}}"),
        ("dispatch", b"#!/bin/sh\nconfig-get --format=json\n"),
    ];
    rehearsal::juju::plain::write_charm(&path, &files).unwrap();
    world.juju.refresh("server", Source::File(path)).unwrap();
    world.settle();
    let runs = &world.juju.log()[before..];
    assert_eq!(
        (runs[0].hook.as_str(), runs[0].stdout.as_str()),
        ("stop", "old\n")
    );
    assert_eq!(
        (runs[1].hook.as_str(), runs[1].stdout.as_str()),
        ("upgrade-charm", "{\"fresh\":1}\n")
    );
}
