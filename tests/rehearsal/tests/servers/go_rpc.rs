//! The emulated agent and its hook tools, understood by Go's own `net/rpc` and `encoding/gob`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rehearsal::juju::plain::{PlainCloud, write_charm};
use rehearsal::juju::{HookRun, Juju, Source};
use rehearsal::parts::Parts;
use serde_json::{Value, json};
use tempfile::TempDir;

fn go_rpc() -> PathBuf {
    Parts::locate().unwrap().go_rpc().unwrap()
}

#[test]
fn the_golden_bytes_are_gos() {
    let output = Command::new(go_rpc()).arg("golden").output().unwrap();
    let kept = include_str!("../../src/juju/golden/calls.txt");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), kept);
}

/// One unit whose hooks are a shell script. It runs once, in `update-status`.
struct World {
    juju: Juju,
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cloud = PlainCloud::new(&directory.path().join("pods"));
        let program = Path::new(env!("CARGO_BIN_EXE_rehearsal"));
        let juju = Juju::with_tools("prod", Box::new(cloud), directory.path(), program).unwrap();
        Self { juju, directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn hook(&mut self, script: &str) -> HookRun {
        let charm = self.file("server.charm");
        let script =
            format!("#!/bin/sh\n[ $JUJU_HOOK_NAME = update-status ] || exit 0\n{script}\n");
        let metadata: &[u8] = b"name: server\nsummary: s\ndescription: d\n\
            peers: {peer: {interface: x}}\ncontainers: {}\n";
        let config: &[u8] = "options: {grüße: {type: string, default: 'ä\u{1f600}'}}".as_bytes();
        let manifest: &[u8] = b"bases: [{name: ubuntu, channel: '22.04', architectures: [amd64]}]";
        let files = [
            ("metadata.yaml", metadata),
            ("config.yaml", config),
            ("manifest.yaml", manifest),
            ("dispatch", script.as_bytes()),
        ];
        write_charm(&charm, &files).unwrap();
        let limit = Duration::from_mins(1);
        let juju = &mut self.juju;
        juju.deploy("server", Source::File(charm), 1, &[]).unwrap();
        juju.settle(limit).unwrap();
        juju.update_status("server").unwrap();
        let run = juju.settle(limit).unwrap().pop().unwrap();
        assert!(run.success(), "{run}: {}", run.stderr);
        run
    }

    /// Makes calls in Go's words in one hook: their answers, and the hook's record.
    fn ask(&mut self, connections: &Value, together: bool) -> (Value, HookRun) {
        let (calls, answers) = (self.file("calls.json"), self.file("answers.json"));
        std::fs::write(&calls, connections.to_string()).unwrap();
        let run = self.hook(&format!(
            "sed \"s|CONTEXT|$JUJU_CONTEXT_ID|g\" '{}' | '{}' ask \"$JUJU_AGENT_SOCKET_ADDRESS\" {} >'{}'",
            calls.display(),
            go_rpc().display(),
            if together { "together" } else { "" },
            answers.display()
        ));
        let answers = std::fs::read_to_string(answers).unwrap();
        (serde_json::from_str(&answers).unwrap(), run)
    }
}

/// A call; standard input is that of the tool if it wants one.
#[derive(Debug, Clone)]
struct Call {
    tool: &'static str,
    args: Vec<String>,
    stdin: Option<String>,
}

impl Call {
    fn json(&self) -> Value {
        json!({
            "ContextId": "CONTEXT",
            "Dir": "/",
            "CommandName": self.tool,
            "Args": self.args,
            "StdinSet": self.stdin.is_some(),
            "Stdin": self.stdin.clone().unwrap_or_default(),
        })
    }
}

/// Texts that are dear to encodings: none, of two to four bytes a character, with the shell's signs.
const TEXTS: [&str; 8] = [
    "",
    " ",
    "größe",
    "日本",
    "\u{1f600}'\"$`\\",
    "a=b",
    "-",
    "x: y\n\tz",
];

/// Calls that read, write, fail and are nonsense, some with a mebibyte of standard input.
fn calls(chance: &mut fastrand::Rng, count: usize) -> Vec<Call> {
    let mut calls = Vec::new();
    for number in 0..count {
        let mut text = || TEXTS[chance.usize(..TEXTS.len())].to_owned();
        let (one, other) = (text(), text());
        let words = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
        let (tool, args, stdin): (_, Vec<String>, _) = match chance.u8(..11) {
            0 => ("is-leader", words(&["--format=json"]), None),
            1 => ("config-get", words(&["--format=json"]), None),
            2 => ("config-get", words(&["--", &one]), None),
            3 => (
                "state-set",
                words(&["--", &format!("k{number}={one}{other}")]),
                None,
            ),
            4 => ("state-get", Vec::new(), None),
            5 => ("status-set", words(&["active", "--", &one]), None),
            6 => (
                "relation-set",
                words(&["-r", "0", "--", &format!("{one}k={other}")]),
                None,
            ),
            7 => ("relation-get", words(&["-r", "0", "-", "server/0"]), None),
            8 => ("juju-log", words(&["--", &one, &other]), None),
            9 => {
                let text = "ü".repeat(1 << chance.u32(..=19));
                let stdin = json!({format!("large{number}"): text}).to_string();
                (
                    "relation-set",
                    words(&["-r", "0", "--file", "-"]),
                    Some(stdin),
                )
            }
            _ => ("state-get", words(&["--nonsense", &one]), None),
        };
        calls.push(Call { tool, args, stdin });
    }
    calls
}

/// The same calls by way of the hook tools.
fn by_tools(world: &mut World, calls: &[Call]) -> (Value, HookRun) {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let mut script = String::new();
    for (number, call) in calls.iter().enumerate() {
        let args: Vec<String> = call.args.iter().map(|it| quoted(it)).collect();
        let stdin = call.stdin.as_ref().map(|stdin| {
            let path = world.file(&format!("{number}.in"));
            std::fs::write(&path, stdin).unwrap();
            path
        });
        let stdin = stdin.unwrap_or_else(|| PathBuf::from("/dev/null"));
        let out = world.file(&number.to_string());
        let line = format!(
            "{} {} <'{}' >'{out}.out' 2>'{out}.err'; echo $? >'{out}.code'\n",
            call.tool,
            args.join(" "),
            stdin.display(),
            out = out.display(),
        );
        script.push_str(&line);
    }
    let run = world.hook(&script);
    let read = |name: String| std::fs::read_to_string(world.file(&name)).unwrap();
    let answers = (0..calls.len()).map(|number| {
        let code: i32 = read(format!("{number}.code")).trim().parse().unwrap();
        json!({
            "Code": code,
            "Stdout": read(format!("{number}.out")),
            "Stderr": read(format!("{number}.err")),
            "Error": "",
        })
    });
    (Value::Array(vec![answers.collect()]), run)
}

#[test]
fn go_gets_the_answers_that_hook_tools_print() {
    let mut chance = fastrand::Rng::with_seed(rehearsal::seed());
    let calls = calls(&mut chance, 120);
    let (mut one, mut other) = (World::new(), World::new());
    let (printed, tools) = by_tools(&mut one, &calls);
    let asked: Vec<Value> = calls.iter().map(Call::json).collect();
    let (answers, direct) = other.ask(&json!([asked]), false);
    for (number, call) in calls.iter().enumerate() {
        let both = (&printed[0][number], &answers[0][number]);
        assert_eq!(both.0, both.1, "{} {:?}", call.tool, call.args);
    }
    let names = |run: &HookRun| {
        let seen = run.calls.iter();
        let seen = seen.map(|it| (it.name.clone(), it.args.clone(), it.code));
        seen.collect::<Vec<_>>()
    };
    assert_eq!(names(&tools), names(&direct));
    assert_eq!(tools.juju_log, direct.juju_log);
    assert_eq!(
        one.juju.databag(0, "server/0"),
        other.juju.databag(0, "server/0")
    );
    let said = |world: &World| world.juju.unit_status("server/0").unwrap().message.clone();
    assert_eq!(said(&one), said(&other));
    // Hook tools are asked for standard input first; Go's client said at once that it has some.
    let with_stdin = calls.iter().filter(|call| call.stdin.is_some()).count() as u64;
    assert!(with_stdin > 0);
    assert_eq!(tools.traffic.connections, 120);
    assert_eq!(tools.traffic.round_trips, 120 + with_stdin);
    assert_eq!(
        (direct.traffic.connections, direct.traffic.round_trips),
        (1, 120)
    );
}

#[test]
fn go_may_ask_all_at_once_on_many_connections() {
    let text = "x".repeat(1 << 20);
    let calls = |connection: usize| -> Vec<Value> {
        let call = |number| Call {
            tool: "state-set",
            args: vec!["--file".to_owned(), "-".to_owned()],
            stdin: Some(match number {
                0 if connection == 0 => json!({ "large": text }).to_string(),
                _ => json!({format!("{connection}-{number}"): "ö"}).to_string(),
            }),
        };
        (0..25).map(|number| call(number).json()).collect()
    };
    let mut world = World::new();
    let connections: Vec<_> = (0..8).map(calls).collect();
    let (answers, run) = world.ask(&json!(connections), true);
    let fine = json!({"Code": 0, "Stdout": "", "Stderr": "", "Error": ""});
    let all = answers.as_array().unwrap().iter();
    let all: Vec<_> = all.flat_map(|it| it.as_array().unwrap()).collect();
    assert_eq!(all.len(), 200);
    assert!(all.iter().all(|it| **it == fine));
    assert_eq!((run.calls.len(), run.traffic.connections), (200, 8));
    assert!(run.traffic.bytes_in > 1 << 20);
}

#[test]
fn go_is_told_what_the_agent_refuses() {
    let mut world = World::new();
    let call = |change: Value| {
        let mut call = json!({"ContextId": "CONTEXT", "Dir": "/", "CommandName": "is-leader"});
        for (key, value) in change.as_object().unwrap() {
            call[key] = value.clone();
        }
        call
    };
    let refused = [
        (
            json!({"ContextId": "old"}),
            "bad request: wrong context ID; got \"old\"",
        ),
        (json!({"Dir": ""}), "bad request: Dir is not absolute"),
        (
            json!({"CommandName": ""}),
            "bad request: command not specified",
        ),
        (
            json!({"CommandName": "leader-get"}),
            "bad request: unknown command: leader-get",
        ),
        (
            json!({"Method": "Jujuc.Other"}),
            "rpc: can't find method Jujuc.Other",
        ),
        (
            json!({"Method": "Juju.Main"}),
            "rpc: can't find service Juju.Main",
        ),
        (
            json!({"Method": "Main"}),
            "rpc: service/method request ill-formed: Main",
        ),
        (
            json!({"CommandName": "state-set", "Args": ["--file", "-"]}),
            "hook tool requires stdin, none supplied",
        ),
        (json!({}), ""),
    ];
    let calls: Vec<Value> = refused
        .iter()
        .map(|(change, _)| call(change.clone()))
        .collect();
    let (answers, run) = world.ask(&json!([calls]), false);
    for ((change, error), answer) in refused.iter().zip(answers[0].as_array().unwrap()) {
        assert_eq!(answer["Error"], *error, "{change}");
    }
    assert_eq!(answers[0][8]["Stdout"], "True\n");
    assert_eq!(run.calls.len(), 1);
}

/// An agent that is Go's, until it is dropped.
struct Agent {
    child: Child,
    directory: TempDir,
}

impl Agent {
    fn start(table: &Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (socket, file) = (
            directory.path().join("socket"),
            directory.path().join("table"),
        );
        std::fs::write(&file, table.to_string()).unwrap();
        let mut command = Command::new(go_rpc());
        command.arg("serve").arg(socket).arg(file);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { child, directory }
    }

    /// Runs a hook tool: code, standard output and error.
    fn tool(&self, words: &[&str], stdin: &str) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rehearsal"));
        command.arg0(words[0]).args(&words[1..]).current_dir("/");
        command.envs([
            ("JUJU_CONTEXT_ID", "ctx"),
            ("JUJU_AGENT_SOCKET_NETWORK", "unix"),
        ]);
        let socket = self.directory.path().join("socket");
        command.env("JUJU_AGENT_SOCKET_ADDRESS", socket);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A tool that was not asked for it does not read it.
        drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn hook_tools_ask_gos_agent() {
    let agent = Agent::start(&json!({
        "status-set active größe": {"Code": 3, "Stdout": "out\n", "Stderr": "ERROR err\n"},
        "is-leader": {"Error": "bad request: wrong context ID; got \"ctx\""},
    }));
    let (code, stdout, stderr) = agent.tool(&["config-get", "", "日本"], "nobody reads this");
    assert_eq!((code, stderr.as_str()), (0, ""));
    let told: Value = serde_json::from_str(&stdout).unwrap();
    let mut expected = json!({
        "Method": "", "ContextId": "ctx", "Dir": "/", "CommandName": "config-get",
        "Args": ["", "日本"], "StdinSet": false, "Stdin": "", "Token": "",
    });
    assert_eq!(told, expected);

    let large = "ü".repeat(1 << 19);
    let (_, stdout, _) = agent.tool(&["relation-set", "--file", "-"], &large);
    let told: Value = serde_json::from_str(&stdout).unwrap();
    expected["CommandName"] = json!("relation-set");
    expected["Args"] = json!(["--file", "-"]);
    expected["StdinSet"] = json!(true);
    expected["Stdin"] = json!(large);
    assert!(told == expected, "{} bytes", stdout.len());

    let (_, stdout, _) = agent.tool(&["state-set", "-"], "");
    let told: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(told["StdinSet"], true, "empty, but there");

    let told = agent.tool(&["status-set", "active", "größe"], "");
    assert_eq!(told, (3, "out\n".to_owned(), "ERROR err\n".to_owned()));
    let (code, _, stderr) = agent.tool(&["is-leader"], "");
    let error = "ERROR bad request: wrong context ID; got \"ctx\"\n";
    assert_eq!((code, stderr.as_str()), (1, error));
}
