//! What each hook asks Juju: the table in `docs/performance.md`, and that it does not grow with the units of others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rehearsal::counterparts::postgresql::client::Track;
use rehearsal::juju::Event;
use rehearsal::juju::event::{
    ActionEvent, PebbleChange, RelationChange, RelationEvent, SecretChange, SecretEvent,
};
use rehearsal::juju::record::{HookRun, ToolCall};
use rehearsal::stage::Interface;
use temporal_k8s::relations::ENDPOINTS;

use crate::scenarios::client;
use crate::scenarios::stage::{
    APP, INGRESS, POSTGRESQL, Stage, UNIT, assert_all_active, deploy_calmly, deploy_counterparts,
    integrate, settle, update_status,
};
use crate::support::stage::FastStage;

/// Every question there is, as a person would type it, and what it is for.
const QUESTIONS: [(&str, &str); 16] = [
    ("config-get", "the options decide what should run"),
    ("is-leader", "only a leader may speak for the application"),
    (
        "state-get",
        "what earlier hooks noted: what was told, what the image said, which databases were accepted",
    ),
    (
        "opened-ports",
        "ports are opened and closed where they differ",
    ),
    (
        "network-get peer",
        "where the other units reach this one, which may be another place after any restart of the pod",
    ),
    (
        "relation-ids",
        "one for each endpoint of the charm: a relation exists as long as it is listed here",
    ),
    (
        "status-get",
        "the status is set where it differs; one that does not lead, starts or ends asks for its own",
    ),
    (
        "status-get --application",
        "the leader's own, and the application's",
    ),
    (
        "relation-list --app",
        "which application is at the other end, where neither the hook's environment nor a note tells",
    ),
    (
        "relation-get --app",
        "what it says, for each endpoint of which that is read",
    ),
    (
        "relation-list",
        "its units, where it has not said itself what decides (`db` and `visibility`: `master`)",
    ),
    ("relation-get", "what they say, then"),
    (
        "secret-get",
        "user and password, and what is needed for TLS, where the answer names secrets (`database` and `visibility-database`): as they are now, since Juju may lose the event",
    ),
    (
        "relation-get --app (our own)",
        "what our application says: a new leader does not know what others said before, nor a new revision",
    ),
    (
        "relation-get (our own)",
        "our subnets, which Juju writes there, until a database is accepted; and what this unit says, which a new revision does not know",
    ),
    (
        "goal-state",
        "is it this unit that goes? Juju tells only in the departed hooks before",
    ),
];

/// A question as in [`QUESTIONS`].
fn question(call: &ToolCall) -> Option<String> {
    let args: Vec<&str> = call.args.iter().map(String::as_str).collect();
    let is_ours = |args: &[&str]| args.iter().any(|it| it.starts_with(APP));
    Some(match (call.name.as_str(), args.as_slice()) {
        (
            "relation-set"
            | "state-set"
            | "state-delete"
            | "status-set"
            | "open-port"
            | "close-port"
            | "application-version-set"
            | "juju-log"
            | "action-set"
            | "action-fail",
            _,
        ) => return None,
        ("relation-get", args) => {
            let app = if args.contains(&"--app") {
                " --app"
            } else {
                ""
            };
            let ours = if is_ours(args) { " (our own)" } else { "" };
            format!("relation-get{app}{ours}")
        }
        ("status-get", args) if args.contains(&"--application") => {
            "status-get --application".to_owned()
        }
        ("network-get", [_, endpoint]) => format!("network-get {endpoint}"),
        ("relation-list", args) if args.contains(&"--app") => "relation-list --app".to_owned(),
        (name, _) => name.to_owned(),
    })
}

/// How often each question was asked.
fn questions(run: &HookRun) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for question in run.calls.iter().filter_map(question) {
        *asked.entry(question).or_default() += 1;
    }
    asked
}

/// An application of two units, with everything related: as the first documentation has it, or with a PostgreSQL of today.
fn related(interface: Interface) -> FastStage {
    let mut stage = FastStage::new();
    match interface {
        Interface::Legacy => deploy_calmly(&mut stage, 2, &[]),
        Interface::Modern => client::deploy_calmly(&mut stage, Track::Sixteen, 2),
    }
    deploy_counterparts(&mut stage, &[INGRESS]);
    integrate(&mut stage, "ingress");
    settle(&mut stage);
    assert_all_active(&mut stage);
    stage
}

/// The hook of one more event.
fn hook(stage: &mut FastStage, unit: &str, event: &Event) -> HookRun {
    let injected = stage.juju().inject(unit, event.clone());
    injected.expect("a unit");
    let runs = settle(stage);
    let of = |run: &&HookRun| run.unit == unit && run.event == *event;
    runs.iter().find(of).expect("it was run").clone()
}

fn relation(stage: &mut FastStage, endpoint: &str, change: RelationChange, remote: &str) -> Event {
    let side = format!("{APP}:{endpoint}");
    let (app, unit) = (remote.split('/').next(), remote.contains('/'));
    Event::Relation(RelationEvent {
        change,
        endpoint: endpoint.to_owned(),
        id: stage.juju().relation(&side).expect("related"),
        remote_app: app.expect("a name").to_owned(),
        remote_unit: unit.then(|| remote.to_owned()),
        departing: (change == RelationChange::Departed).then(|| remote.to_owned()),
    })
}

/// The hook of this name that was run last.
fn last(stage: &mut FastStage, name: &str) -> HookRun {
    let of = |run: &&HookRun| run.unit == UNIT && run.hook == name;
    let mut log = stage.juju().log().iter().rev();
    log.find(of).expect("it was run").clone()
}

/// Every event of a settled unit, in an order in which one takes nothing from the next.
fn events(stage: &mut FastStage, interface: Interface) -> Vec<Event> {
    use RelationChange::{Broken, Changed, Created, Departed, Joined};
    let container = || "temporal".to_owned();
    let check = || "temporal".to_owned();
    let mut events = vec![
        Event::LeaderElected,
        Event::ConfigChanged,
        Event::Start,
        Event::UpdateStatus,
        Event::UpgradeCharm,
        Event::PebbleReady {
            container: container(),
        },
        Event::Pebble {
            container: container(),
            change: PebbleChange::CheckFailed(check()),
        },
        Event::Pebble {
            container: container(),
            change: PebbleChange::CheckRecovered(check()),
        },
    ];
    let database = match interface {
        Interface::Legacy => "db",
        Interface::Modern => {
            events.push(Event::Secret(SecretEvent {
                id: "secret:cjqub6vubg2s77p3nio0".to_owned(),
                label: String::new(),
                change: SecretChange::Changed,
                revision: None,
            }));
            "database"
        }
    };
    for (endpoint, remote) in [
        ("peer", "temporal-k8s/1"),
        (database, "postgresql-k8s/0"),
        ("admin", "temporal-admin-k8s/0"),
        ("ingress", "nginx-ingress-integrator/0"),
    ] {
        let app = remote.split('/').next().unwrap_or_default();
        events.push(relation(stage, endpoint, Created, app));
        for change in [Joined, Changed, Departed] {
            events.push(relation(stage, endpoint, change, remote));
        }
    }
    events.push(relation(
        stage,
        "ingress",
        Broken,
        "nginx-ingress-integrator",
    ));
    events.push(Event::Action(ActionEvent {
        id: 1,
        name: "restart".to_owned(),
        params: serde_json::Map::new(),
    }));
    events
}

fn cell(asked: &BTreeMap<String, usize>) -> String {
    let each = QUESTIONS.iter().filter_map(|(question, _)| {
        let times = asked.get(*question)?;
        let often = if *times == 1 {
            String::new()
        } else {
            format!("{times} × ")
        };
        Some(format!("{often}`{question}`"))
    });
    let each: Vec<String> = each.collect();
    match each.as_slice() {
        [] => "nothing".to_owned(),
        each => format!("{}: {}", asked.values().sum::<usize>(), each.join(", ")),
    }
}

/// A table, and all that was asked from the first hook to the last.
fn table(interface: Interface) -> (String, BTreeSet<String>) {
    let mut stage = related(interface);
    let mut rows = Vec::<(Vec<String>, String)>::new();
    let mut runs = vec![last(&mut stage, "install")];
    for event in events(&mut stage, interface) {
        runs.push(hook(&mut stage, UNIT, &event));
    }
    let removed = stage.juju().remove_application(APP);
    removed.expect("the application is there");
    settle(&mut stage);
    runs.extend(["stop", "remove"].map(|name| last(&mut stage, name)));
    for run in runs {
        assert!(run.success(), "{run}: {}", run.stderr);
        let (name, cell) = (format!("`{}`", run.hook), cell(&questions(&run)));
        match rows.iter_mut().find(|(_, before)| *before == cell) {
            Some((names, _)) => names.push(name),
            None => rows.push((vec![name], cell)),
        }
    }
    let over = match interface {
        Interface::Legacy => "pgsql",
        Interface::Modern => "postgresql_client",
    };
    let mut table = format!(
        "| event | what a settled leader asks, with databases over `{over}` |\n|---|---|\n"
    );
    for (names, cell) in rows {
        _ = writeln!(table, "| {} | {cell} |", names.join(", "));
    }
    let log = stage.juju().log().iter();
    let asked = log.filter(|run| run.unit == UNIT).flat_map(questions);
    (table, asked.map(|(question, _)| question).collect())
}

/// All tables, and all that was asked.
fn tables() -> (String, BTreeSet<String>) {
    let mut tables = String::new();
    let mut all = BTreeSet::new();
    for interface in [Interface::Legacy, Interface::Modern] {
        let (table, asked) = table(interface);
        _ = writeln!(tables, "{table}");
        all.extend(asked);
    }
    tables.push_str("| question | why |\n|---|---|\n");
    for (question, why) in QUESTIONS {
        _ = writeln!(tables, "| `{question}` | {why} |");
    }
    (tables, all)
}

#[test]
fn the_table_of_questions_is_what_hooks_ask() {
    const BEGIN: &str = "<!-- questions -->\n";
    const END: &str = "<!-- end of questions -->";
    let (table, asked) = tables();
    let known = QUESTIONS.map(|(question, _)| question.to_owned()).into();
    let unknown: Vec<&String> = asked.difference(&known).collect();
    assert!(unknown.is_empty(), "without a reason: {unknown:?}");
    let path = format!("{}/docs/performance.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("a table");
    let (shown, after) = rest.split_once(END).expect("its end");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let text = format!("{before}{BEGIN}{table}{END}{after}");
        std::fs::write(path, text).unwrap();
        return;
    }
    assert_eq!(
        shown, table,
        "hooks ask something else: UPDATE_DOCS=1 cargo test --test it questions"
    );
}

/// What a settled `update-status` asks, by the leader and by the other unit.
fn settled(stage: &mut FastStage) -> Vec<BTreeMap<String, usize>> {
    // the first one may have to note something
    update_status(stage);
    let runs = update_status(stage);
    runs.iter().map(questions).collect()
}

#[test]
fn fifty_units_on_the_other_side_are_asked_no_more_than_one() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    let alone = settled(&mut stage);
    for _ in 1..50 {
        stage.juju().add_unit(POSTGRESQL).expect("a unit");
        settle(&mut stage);
    }
    assert_eq!(settled(&mut stage), alone);
}

#[test]
fn an_endpoint_more_is_a_question_more_and_another_unit_of_ours_is_none() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    let before = settled(&mut stage);
    let sum = |asked: &BTreeMap<String, usize>| asked.values().sum::<usize>();
    let expected = 6 + ENDPOINTS.len() + 3;
    assert_eq!(sum(&before[0]), expected, "{:?}", before[0]);
    deploy_counterparts(&mut stage, &[INGRESS]);
    integrate(&mut stage, "ingress");
    settle(&mut stage);
    assert_eq!(sum(&settled(&mut stage)[0]), expected + 1);
    stage.juju().add_unit(APP).expect("a unit");
    settle(&mut stage);
    for asked in settled(&mut stage) {
        assert_eq!(sum(&asked), expected + 1, "{asked:?}");
    }
}
