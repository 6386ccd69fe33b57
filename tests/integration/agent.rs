//! The agent asked directly, where it is Go's own `net/rpc` and `encoding/gob`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use rehearsal::parts::Parts;
use serde_json::{Value, json};
use tempfile::TempDir;
use temporal_k8s::juju::{Agent, Databag, Error, Juju, Level, LogLevel, Status};
use tokio::task::JoinSet;

use crate::part;

const CONTEXT: &str = "temporal-k8s/0-größe-1";

/// An agent that answers by a table, until it is dropped.
struct GoAgent {
    child: Child,
    address: String,
    _directory: TempDir,
}

impl GoAgent {
    fn start(table: &Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket").display().to_string();
        Self::listen(socket, table, directory)
    }

    fn listen(address: String, table: &Value, directory: TempDir) -> Self {
        let file = directory.path().join("table");
        std::fs::write(&file, table.to_string()).unwrap();
        let program = part(Parts::locate().and_then(|parts| parts.go_rpc()));
        let mut command = Command::new(program);
        command.arg("serve").arg(&address).arg(file);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self {
            child,
            address,
            _directory: directory,
        }
    }

    /// No hook tool can be started, so whatever is answered came over the socket.
    fn juju(&self) -> Juju {
        let agent = Agent {
            address: self.address.clone(),
            context: CONTEXT.to_owned(),
        };
        Juju::new().with_path("/nowhere").with_agent(Some(agent))
    }
}

impl Drop for GoAgent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn go_reads_all_of_a_request() {
    let agent = GoAgent::start(&json!({}));
    let told = agent.juju().config_get().await.unwrap();
    let expected = json!({
        "Method": "", "ContextId": CONTEXT, "Dir": "/", "CommandName": "config-get",
        "Args": ["--format=json"], "StdinSet": false, "Stdin": "", "Token": "",
    });
    assert_eq!(Value::Object(told), expected);
}

#[tokio::test]
async fn an_abstract_name_is_gos() {
    let name = format!("@temporal-k8s-{}/agent.socket", std::process::id());
    let agent = GoAgent::listen(name, &json!({}), tempfile::tempdir().unwrap());
    let told = agent.juju().action_get().await.unwrap();
    assert_eq!(told["CommandName"], "action-get");
}

/// Every tool that reads standard input is told at once that there is some: Go's agent asks whoever does not.
#[tokio::test]
async fn a_mebibyte_of_standard_input_arrives_and_one_comes_back() {
    let large = "ü".repeat(1 << 19);
    let line = json!({ "k": large }).to_string();
    let agent = GoAgent::start(&json!({
        "*": {"Code": 9, "Stderr": "ERROR not as it should be\n"},
        format!("relation-set -r 7 --app --file - < {line}"): {},
        format!("state-set --file - < {line}"): {},
        "relation-get --format=json -r 7 - pg/0": {"Stdout": line},
    }));
    let juju = agent.juju();
    let changes = BTreeMap::from([("k".to_owned(), Some(large.as_str().into()))]);
    juju.relation_set(7, true, &changes).await.unwrap();
    let values = BTreeMap::from([("k".to_owned(), large.clone())]);
    juju.state_set(&values).await.unwrap();
    let bag = juju.relation_get_unit(7, "pg/0").await.unwrap().unwrap();
    assert!(bag["k"].expose() == &large);
    // none at all is there too
    let error = juju.state_set(&BTreeMap::new()).await.unwrap_err();
    assert!(error.to_string().contains("not as it should be"), "{error}");
}

#[tokio::test]
async fn errors_are_the_tools_or_lead_to_the_tools() {
    let agent = GoAgent::start(&json!({
        "is-leader --format=json": {"Code": 258, "Stdout": "x", "Stderr": "ERROR größe\n"},
        "status-get --format=json --include-data": {"Error": "bad request: wrong context ID"},
    }));
    let juju = agent.juju();
    let error = juju.is_leader().await.unwrap_err().to_string();
    let words = "`is-leader --format=json` failed (exit status: 2): ERROR größe";
    assert_eq!(error, words);
    let error = juju.status_get().await.unwrap_err();
    assert!(matches!(error, Error::Spawn { .. }), "{error}");
    let error = juju.is_leader().await.unwrap_err();
    assert!(
        matches!(error, Error::Spawn { .. }),
        "for the rest: {error}"
    );
}

/// A call with what should come of it.
#[derive(Clone, Debug)]
enum Call {
    Get(u32, bool, String, BTreeMap<String, String>),
    Refused(u32, String, u8),
    Set(u32, BTreeMap<String, String>),
    Status(String),
    Log(String),
}

fn call() -> impl Strategy<Value = Call> {
    // what is JSON as it is, whoever writes it
    let text = || prop_oneof![Just(String::new()), "[ -~]{0,60}", "[a-zäöü日本😀]{1,80}"];
    let bag = || btree_map("[a-zäö_-]{1,12}", text(), 0..6);
    prop_oneof![
        (any::<u32>(), any::<bool>(), text(), bag())
            .prop_map(|(id, app, who, bag)| Call::Get(id, app, who, bag)),
        (any::<u32>(), text(), 1..=255_u8).prop_map(|(id, who, code)| Call::Refused(id, who, code)),
        (any::<u32>(), bag()).prop_map(|(id, bag)| Call::Set(id, bag)),
        text().prop_map(Call::Status),
        text().prop_map(Call::Log),
    ]
}

impl Call {
    /// The line of the agent's table.
    fn line(&self) -> (String, Value) {
        match self {
            Self::Get(id, app, who, bag) => {
                let app = if *app { " --app" } else { "" };
                let line = format!("relation-get --format=json -r {id}{app} - {who}");
                (line, json!({ "Stdout": json!(bag).to_string() }))
            }
            Self::Refused(id, who, code) => {
                let line = format!("relation-get --format=json -r {id} - refused/{who}");
                (
                    line,
                    json!({"Code": code, "Stderr": format!("ERROR {who}\n")}),
                )
            }
            Self::Set(id, bag) => {
                let line = format!("relation-set -r {id} --file - < {}", json!(bag));
                (line, json!({}))
            }
            Self::Status(text) => (format!("status-set -- waiting {text}"), json!({})),
            Self::Log(text) => (format!("juju-log -l INFO -- {text}"), json!({})),
        }
    }

    async fn perform(self, juju: Juju) {
        let shown = format!("{self:?}");
        match self {
            Self::Get(id, app, who, bag) => {
                let got = if app {
                    juju.relation_get_app(id, &who).await
                } else {
                    juju.relation_get_unit(id, &who).await
                };
                let bag = bag.into_iter().map(|(key, value)| (key, value.into()));
                assert_eq!(got.unwrap(), Some(bag.collect::<Databag>()), "{shown}");
            }
            Self::Refused(id, who, code) => {
                let got = juju.relation_get_unit(id, &format!("refused/{who}")).await;
                let Err(Error::Failed { status, stderr, .. }) = got else {
                    panic!("{shown}: {got:?}");
                };
                assert_eq!(status.code(), Some(code.into()), "{shown}");
                assert_eq!(stderr, format!("ERROR {who}").trim(), "{shown}");
            }
            Self::Set(id, bag) => {
                let bag = bag.into_iter();
                let bag = bag.map(|(key, value)| (key, Some(value.into())));
                let set = juju.relation_set(id, false, &bag.collect()).await;
                set.unwrap_or_else(|error| panic!("{shown}: {error}"));
            }
            Self::Status(message) => {
                let level = Level::Waiting;
                let set = juju.status_set(&Status { level, message }, false).await;
                set.unwrap_or_else(|error| panic!("{shown}: {error}"));
            }
            Self::Log(text) => {
                let logged = juju.juju_log(LogLevel::Info, &text).await;
                logged.unwrap_or_else(|error| panic!("{shown}: {error}"));
            }
        }
    }
}

/// Random calls with an agent that knows their answers, and nothing else.
fn random_calls(count: usize) -> (Vec<Call>, GoAgent) {
    let mut runner = TestRunner::default();
    let calls = vec(call(), count).new_tree(&mut runner).unwrap().current();
    // of two with one line the last is meant
    let last: BTreeMap<String, (Call, Value)> = calls
        .into_iter()
        .map(|call| {
            let (line, answer) = call.line();
            (line, (call, answer))
        })
        .collect();
    let mut table = json!({"*": {"Code": 99, "Stderr": "ERROR nobody should ask this\n"}});
    let mut calls = Vec::new();
    for (line, (call, answer)) in last {
        table[line] = answer;
        calls.push(call);
    }
    (calls, GoAgent::start(&table))
}

#[tokio::test]
async fn random_calls_one_after_another_are_understood() {
    let (calls, agent) = random_calls(1000);
    let juju = agent.juju();
    for call in calls {
        call.perform(juju.clone()).await;
    }
}

/// Go runs each in a routine of its own, so answers come in any order.
#[tokio::test]
async fn random_calls_at_the_same_time_are_understood() {
    let (calls, agent) = random_calls(2000);
    let juju = agent.juju();
    let mut all = JoinSet::new();
    for call in calls {
        all.spawn(call.perform(juju.clone()));
    }
    all.join_all().await;
}

/// Whoever stops waiting, before or after the call is sent, takes nothing from the others.
#[tokio::test]
async fn calls_that_nobody_waits_for_disturb_no_other() {
    let (calls, agent) = random_calls(500);
    let juju = agent.juju();
    let mut all = JoinSet::new();
    for (number, call) in calls.into_iter().enumerate() {
        let patience = Duration::from_micros(if number % 2 == 0 { 0 } else { 150 });
        let given_up = call.clone().perform(juju.clone());
        _ = tokio::time::timeout(patience, given_up).await;
        all.spawn(call.perform(juju.clone()));
    }
    all.join_all().await;
}

#[tokio::test]
async fn an_agent_that_dies_leaves_the_tools() {
    let (_, agent) = random_calls(1);
    let juju = agent.juju();
    let refused = juju.is_leader().await.unwrap_err();
    assert!(matches!(refused, Error::Failed { .. }), "{refused}");
    drop(agent);
    let left = juju.is_leader().await.unwrap_err();
    assert!(matches!(left, Error::Spawn { .. }), "{left}");
}
