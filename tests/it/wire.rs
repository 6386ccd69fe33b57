//! Whole hooks where what the charm asks over the agent's socket goes wrong. A question is asked again by its tool, and
//! so is the rest of the hook; a write that may have been done is not repeated, and the hook is run again.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use rehearsal::juju::record::{Exit, HookRun, ToolCall};
use rehearsal::juju::{Failure, Fault, Wire};

use crate::scenarios::stage::{
    APP, Stage as _, UNIT, assert_all_active, deploy_calmly, rests, settle, update_status,
};
use crate::support::stage::FastStage;

const WRITES: [&str; 7] = [
    "relation-set",
    "state-set",
    "state-delete",
    "status-set",
    "open-port",
    "application-version-set",
    "juju-log",
];

/// Bytes that are at once seen to be no answer.
const GARBAGE: [&[u8]; 4] = [
    b"\x03\xff\xc8\x00",
    b"\xf0",
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n",
    &[0; 20],
];

fn is_write(call: &ToolCall) -> bool {
    WRITES.contains(&call.name.as_str())
}

/// One line says why the tools are used.
fn says_once(run: &HookRun) {
    let said = |line: &&str| line.starts_with("asks Juju by its hook tools: ");
    let lines: Vec<&str> = run.stdout.lines().filter(said).collect();
    assert_eq!(lines.len(), 1, "{run}: {}", run.stdout);
}

fn no_write_twice(run: &HookRun) {
    let mut seen = BTreeSet::new();
    for call in run.calls.iter().filter(|call| is_write(call)) {
        let first = seen.insert((&call.name, &call.args));
        assert!(first, "{run}: {} twice", call.name);
    }
}

/// Hooks that ask and write much, of which a question fails like this.
fn a_question_is_asked_again(wires: &[Wire]) {
    let mut stage = FastStage::new();
    stage.juju().tools_only(false);
    deploy_calmly(&mut stage, 1, &[]);
    let mut levels = ["debug", "info"].into_iter().cycle();
    for wire in wires {
        let failure = Failure::Wire(wire.clone());
        let fault = Fault::new("config-get", failure).during("config-changed");
        stage.juju().fault(fault.once());
        let level = levels.next().expect("it goes round");
        let config = stage.juju().config(APP, &[("log-level", level)]);
        config.expect("an option");
        let runs = settle(&mut stage);
        let run = runs.iter().find(|run| run.hook == "config-changed");
        let run = run.expect("it ran");
        assert!(run.success(), "{wire:?}: {run}: {}", run.stderr);
        assert_eq!(run.stderr, "", "{wire:?}");
        says_once(run);
        no_write_twice(run);
        let direct = u64::from(*wire != Wire::Refused);
        asks_the_rest_by_tools(run, direct);
        assert_all_active(&mut stage);
        rests(&mut stage);
        let calm = update_status(&mut stage);
        let anew = calm.iter().all(|run| run.traffic.connections == 1);
        assert!(anew, "{wire:?}: the next hook begins anew");
    }
}

/// After so many connections of its own. The first questions go out together, so each of them may be there twice.
fn asks_the_rest_by_tools(run: &HookRun, direct: u64) {
    let by_tool = || run.calls.iter().filter(|call| call.connection > direct);
    let names: BTreeSet<&str> = by_tool().map(|call| call.name.as_str()).collect();
    assert!(names.contains("config-get"), "{run}: {names:?}");
    assert!(names.contains("status-set"), "{run}: {names:?}");
    for call in run.calls.iter().filter(|call| is_write(call)) {
        assert!(call.connection > direct, "{run}: {}", call.name);
    }
    let connections: BTreeSet<u64> = by_tool().map(|call| call.connection).collect();
    assert_eq!(connections.len(), by_tool().count(), "a process for each");
    let mut questions = BTreeSet::new();
    for call in by_tool().filter(|call| !is_write(call)) {
        let first = questions.insert((&call.name, &call.args));
        assert!(first, "{run}: {} {:?} twice", call.name, call.args);
    }
}

#[test]
fn a_question_where_nobody_listens_is_asked_again() {
    a_question_is_asked_again(&[Wire::Refused]);
}

#[test]
fn a_question_that_is_lost_is_asked_again() {
    a_question_is_asked_again(&[Wire::CallLost]);
}

#[test]
fn a_question_whose_answer_is_lost_is_asked_again() {
    a_question_is_asked_again(&[Wire::AnswerLost]);
}

#[test]
fn a_question_whose_answer_is_cut_off_is_asked_again() {
    a_question_is_asked_again(&[Wire::AnswerCut]);
}

#[test]
fn a_question_that_is_answered_with_garbage_is_asked_again() {
    a_question_is_asked_again(&GARBAGE.map(|bytes| Wire::Garbage(bytes.to_vec())));
}

#[test]
fn a_question_whose_answer_is_of_an_unknown_type_is_asked_again() {
    a_question_is_asked_again(&[Wire::UnknownType]);
}

#[test]
fn a_question_that_is_refused_as_no_tool_would_is_asked_again() {
    let errors = [
        "bad request: wrong context ID",
        "rpc: can't find service Jujuc.Main",
    ];
    a_question_is_asked_again(&errors.map(|error| Wire::Error(error.to_owned())));
}

/// Every write of a deployment fails once like this.
fn deployed_with(wire: &Wire) -> (FastStage, Vec<HookRun>) {
    let mut stage = FastStage::new();
    stage.juju().tools_only(false);
    stage.juju().retries(20);
    for tool in TOLD {
        let fault = Fault::new(tool, Failure::Wire(wire.clone()));
        stage.juju().fault(fault.once().on(UNIT));
    }
    deploy_calmly(&mut stage, 1, &[]);
    let ours = |run: &&HookRun| run.unit == UNIT;
    let runs = stage.juju().log().iter().filter(ours).cloned().collect();
    (stage, runs)
}

/// What a fresh deployment writes, but for the log.
const TOLD: [&str; 5] = [
    "relation-set",
    "state-set",
    "status-set",
    "open-port",
    "application-version-set",
];

/// The state that a deployment ends in: which keys are where, and what is open.
fn held(stage: &mut FastStage) -> String {
    let juju = stage.juju();
    let unit = juju.model().unit(UNIT).expect("a unit");
    let bags = juju.model().relations.keys().map(|id| {
        let keys = [APP, UNIT].map(|who| juju.databag(*id, who).into_keys().collect::<Vec<_>>());
        format!("{id} {keys:?}")
    });
    let bags: Vec<String> = bags.collect();
    let state: Vec<&String> = unit.state.keys().collect();
    format!("{bags:?} {state:?} {:?} {}", unit.ports, unit.version)
}

/// What is held where nothing goes wrong.
static CALM: LazyLock<String> = LazyLock::new(|| {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    held(&mut stage)
});

fn a_write_is_not_repeated(wire: &Wire, done: bool) {
    let (mut stage, runs) = deployed_with(wire);
    let failed: Vec<&HookRun> = runs.iter().filter(|run| !run.success()).collect();
    assert_eq!(
        failed.len(),
        TOLD.len(),
        "each has failed one hook: {failed:?}"
    );
    for run in failed {
        assert_eq!((&run.exit, run.flushed), (&Exit::Code(1), false), "{run}");
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        let words = "it is not known whether `";
        let (_, rest) = run
            .stderr
            .split_once(words)
            .unwrap_or_else(|| panic!("{}", run.stderr));
        let (tool, rest) = rest.split_once('`').expect("a tool");
        assert!(
            rest.starts_with(" was done, so it is not repeated: the agent's socket "),
            "{rest}"
        );
        assert!(TOLD.contains(&tool), "{tool}");
        says_once(run);
        no_write_twice(run);
        // ports are opened at the same time, and some may be open before the fault
        if tool != "open-port" {
            let last = run
                .calls
                .iter()
                .rfind(|call| TOLD.contains(&call.name.as_str()));
            let struck = last.is_some_and(|call| call.name == tool && call.connection == 1);
            assert_eq!(struck, done, "{run}: {:?}", run.calls);
        }
    }
    assert_all_active(&mut stage);
    assert_eq!(
        stage.starts(UNIT),
        1,
        "a hook that is run again does not start the server again"
    );
    assert_eq!(held(&mut stage), *CALM);
    rests(&mut stage);
}

#[test]
fn a_write_that_is_lost_is_not_repeated() {
    a_write_is_not_repeated(&Wire::CallLost, false);
}

#[test]
fn a_write_whose_answer_is_lost_is_not_repeated() {
    a_write_is_not_repeated(&Wire::AnswerLost, true);
}

#[test]
fn a_write_whose_answer_is_cut_off_is_not_repeated() {
    a_write_is_not_repeated(&Wire::AnswerCut, true);
}

#[test]
fn a_write_that_is_answered_with_garbage_is_not_repeated() {
    a_write_is_not_repeated(&Wire::Garbage(GARBAGE[0].to_vec()), true);
}

#[test]
fn a_write_whose_answer_is_of_an_unknown_type_is_not_repeated() {
    a_write_is_not_repeated(&Wire::UnknownType, true);
}

#[test]
fn a_write_that_fails_as_no_tool_would_is_not_repeated() {
    a_write_is_not_repeated(&Wire::Error("no such luck".to_owned()), false);
}

/// The agent has looked at a bad request, and done nothing.
#[test]
fn a_write_that_is_a_bad_request_is_done_by_its_tool() {
    let (mut stage, runs) = deployed_with(&Wire::Error("bad request: wrong context ID".to_owned()));
    let mut refused = 0;
    for run in runs {
        assert!(run.success(), "{run}: {}", run.stderr);
        if run.stdout.contains("asks Juju by its hook tools: ") {
            refused += 1;
            says_once(&run);
            no_write_twice(&run);
            let last = run.calls.iter().rfind(|call| is_write(call));
            assert!(
                last.is_some_and(|call| call.connection > 1),
                "{run}: {:?}",
                run.calls
            );
        }
    }
    // what is told once only may have been told by the tool
    assert!(refused >= 3, "{refused}");
    assert_all_active(&mut stage);
    rests(&mut stage);
}

/// Where nobody listens the first question says so, and the writes are made by the tools.
#[test]
fn a_write_where_nobody_listens_is_done_by_its_tool() {
    let (mut stage, runs) = deployed_with(&Wire::Refused);
    assert!(runs.iter().all(HookRun::success));
    assert_all_active(&mut stage);
    rests(&mut stage);
}

/// A line of the log may be lost, which is no reason to run the hook again, and is never there twice.
#[test]
fn a_line_of_the_log_that_may_be_lost_fails_no_hook() {
    let mut stage = FastStage::new();
    stage.juju().tools_only(false);
    deploy_calmly(&mut stage, 1, &[]);
    let levels = ["debug", "info"].into_iter().cycle();
    let wires = [
        (Wire::CallLost, 0),
        (Wire::AnswerLost, 1),
        (Wire::AnswerCut, 1),
        (Wire::Garbage(GARBAGE[1].to_vec()), 1),
        (Wire::UnknownType, 1),
        (Wire::Error("no such luck".to_owned()), 0),
        (Wire::Error("bad request: no such luck".to_owned()), 1),
    ];
    for ((wire, lines), level) in wires.into_iter().zip(levels) {
        let failure = Failure::Wire(wire.clone());
        stage.juju().fault(Fault::new("juju-log", failure).once());
        stage
            .juju()
            .config(APP, &[("log-level", level)])
            .expect("an option");
        let runs = settle(&mut stage);
        assert!(runs.iter().all(HookRun::success), "{wire:?}");
        let struck = |run: &&HookRun| run.stdout.contains("asks Juju by its hook tools: ");
        let run = runs.iter().find(struck).expect("it struck");
        says_once(run);
        let all: Vec<&str> = run.juju_log.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(all.len(), lines, "{wire:?}: {all:?}");
        assert_all_active(&mut stage);
        rests(&mut stage);
    }
}

#[test]
fn a_hook_asks_all_on_one_connection_or_all_by_the_tools() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    for tools_only in [false, true] {
        stage.juju().tools_only(tools_only);
        let run = update_status(&mut stage).pop().expect("a hook");
        let calls = run.calls.len() as u64;
        assert!(run.success() && calls > 5, "{run}");
        let expected = if tools_only { calls } else { 1 };
        assert_eq!(run.traffic.connections, expected);
        assert!(
            !run.stdout.contains("asks Juju by"),
            "no surprise: {}",
            run.stdout
        );
    }
}

/// Of an agent on another machine, or of none, only the tools know something.
#[test]
fn where_no_local_agent_is_told_the_tools_are_asked_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let (socket, tools) = (
        directory.path().join("socket"),
        directory.path().join("tools"),
    );
    std::fs::create_dir(&tools).expect("a directory");
    for tool in rehearsal::juju::tools::names() {
        let path = tools.join(tool);
        std::fs::write(&path, "#!/bin/sh\necho by the tool >&2\nexit 1\n").expect("a file");
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("a mode");
    }
    let agent = UnixListener::bind(&socket).expect("a socket");
    agent.set_nonblocking(true).expect("a socket");
    for (changes, connects) in [
        (&[][..], true),
        (&[("JUJU_AGENT_SOCKET_NETWORK", "tcp")], false),
        (&[("JUJU_AGENT_SOCKET_NETWORK", "")], false),
        (&[("JUJU_AGENT_SOCKET_ADDRESS", "")], false),
        (&[("JUJU_CONTEXT_ID", "")], false),
        (&[("JUJU_HOOK_TRANSPORT", "tools")], false),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dispatch"));
        command.env_clear().envs([
            ("JUJU_DISPATCH_PATH", "hooks/update-status"),
            ("JUJU_UNIT_NAME", UNIT),
            ("JUJU_MODEL_NAME", "test"),
            ("JUJU_CONTEXT_ID", "now"),
            ("JUJU_AGENT_SOCKET_NETWORK", "unix"),
        ]);
        command.env("JUJU_AGENT_SOCKET_ADDRESS", &socket);
        command.env("PATH", format!("{}:/bin", tools.display()));
        command.envs(changes.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut connected = false;
        while child.try_wait().expect("a child").is_none() {
            // hangs up on whoever calls
            connected |= agent.accept().is_ok();
            std::thread::sleep(Duration::from_millis(2));
        }
        connected |= agent.accept().is_ok();
        assert_eq!(connected, connects, "{changes:?}");
        let output = child.wait_with_output().expect("a child");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("by the tool"), "{stderr}");
    }
}
