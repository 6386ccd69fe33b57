//! The agent's socket and the hook tools say the same: random calls of the functions with which the charm speaks to
//! Juju, in two models that are alike but for the transport.

#[path = "../support/calls.rs"]
mod calls;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use rehearsal::juju::plain::{PlainCloud, write_charm};
use rehearsal::juju::{
    ActionOutcome, Charm, Event, HookContext, HookRun, Juju, LogLine, Source, StatusPage,
};
use serde_json::Map;
use tempfile::TempDir;

use self::calls::Call;
use crate::support::stage::{HOOK_TOOL, example};

const METADATA: &str = "name: server\nsummary: s\ndescription: d\ncontainers: {}\n\
    peers: {peer: {interface: x}}\nrequires: {db: {interface: pgsql}}\n";
const CONFIG: &str =
    "options: {grüße: {type: string, default: 'ä\u{1f600}'}, n: {type: int, default: 7}}";
const ACTIONS: &str = "go:\n  description: d\n  params: {p: {type: string, default: ö}}\n";
const MANIFEST: &str = "bases: [{name: ubuntu, channel: '22.04', architectures: [amd64]}]";

/// The other side of `db`.
struct Database;

impl Charm for Database {
    fn metadata(&self) -> &'static str {
        "name: db\nsummary: s\ndescription: d\nprovides: {db: {interface: pgsql}}\n"
    }

    fn dispatch(&mut self, event: &Event, hook: &mut HookContext) -> Result<(), Box<dyn Error>> {
        if let Event::Relation(event) = event {
            hook.relation_set_app(event.id, [("k", "größe\n\u{1f600} '\"\\")])?;
            hook.relation_set(event.id, [("k", "a=b")])?;
        }
        Ok(())
    }
}

/// Two units with a peer relation (0) and a database (1), whose `update-status` and action perform the calls.
struct World {
    juju: Juju,
    directory: TempDir,
}

impl World {
    fn new(tools_only: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let cloud = PlainCloud::new(&directory.path().join("pods"));
        let juju = Juju::with_tools("prod", Box::new(cloud), directory.path(), &HOOK_TOOL);
        let mut juju = juju.expect("a model");
        juju.seed(1);
        juju.tools_only(tools_only);
        let script = format!(
            "#!/bin/sh\ncase $JUJU_DISPATCH_PATH in hooks/update-status|actions/*) ;; *) exit 0; esac\n\
             exec '{}' <'{place}/calls' >'{place}/answers'\n",
            example("asks").display(),
            place = directory.path().display()
        );
        let charm = directory.path().join("server.charm");
        let files = [
            ("metadata.yaml", METADATA.as_bytes()),
            ("config.yaml", CONFIG.as_bytes()),
            ("actions.yaml", ACTIONS.as_bytes()),
            ("manifest.yaml", MANIFEST.as_bytes()),
            ("dispatch", script.as_bytes()),
        ];
        write_charm(&charm, &files).expect("a charm");
        let mut world = Self { juju, directory };
        let database = Source::Counterpart(Box::new(|_| Box::new(Database)));
        for (name, source, units) in [("server", Source::File(charm), 2), ("db", database, 1)] {
            world.juju.deploy(name, source, units, &[]).expect("deploy");
        }
        world.settle();
        world.juju.integrate("server:db", "db").expect("integrate");
        world.settle();
        world
    }

    fn settle(&mut self) -> Vec<HookRun> {
        let settled = self.juju.settle(Duration::from_mins(1));
        settled.unwrap_or_else(|error| panic!("{error}"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What comes of the calls, one after the other in one hook or action of a unit.
    fn perform(&mut self, unit: &str, in_action: bool, calls: &[Call]) -> Outcome {
        let text = serde_json::to_string(calls).expect("JSON");
        std::fs::write(self.file("calls"), text).expect("a file");
        let mut action = None;
        if in_action {
            let ran = self.juju.run_action(unit, "go", Map::new());
            action = Some(ran.expect("an action"));
        } else {
            let fired = self.juju.inject(unit, Event::UpdateStatus);
            fired.expect("a unit");
            self.settle();
        }
        let performs = |run: &&HookRun| ["update-status", "go"].contains(&run.hook.as_str());
        let run = self.juju.log().iter().rfind(performs).expect("it ran");
        assert!(run.exit.success(), "{run}: {}", run.stderr);
        let answers = std::fs::read_to_string(self.file("answers")).expect("a file");
        let mut made: Vec<_> = run
            .calls
            .iter()
            .map(|call| (call.name.clone(), call.args.clone(), call.code))
            .collect();
        // ports are opened at the same time
        made.sort();
        Outcome {
            answers: serde_json::from_str(&answers).expect("answers"),
            made,
            log: run.juju_log.clone(),
            connections: run.traffic.connections,
            action,
            after: self.after(),
        }
    }

    /// All that the model holds of what a charm may write.
    fn after(&self) -> (StatusPage, Vec<String>) {
        let model = self.juju.model();
        let units = model.units_of("server");
        let units = units.iter().map(|name| {
            let unit = model.unit(name).expect("a unit");
            format!("{name}: {:?} {:?}", unit.state, unit.ports)
        });
        let bags = [0, 1].into_iter().flat_map(|id| {
            let whose = ["server", "server/0", "server/1"];
            whose.map(|who| format!("{id} {who}: {:?}", self.juju.databag(id, who)))
        });
        (self.juju.status(), units.chain(bags).collect())
    }
}

/// What came of a hook.
#[derive(Debug)]
struct Outcome {
    answers: Vec<String>,
    /// The tools that ran, with their arguments and how they ended.
    made: Vec<(String, Vec<String>, i32)>,
    log: Vec<LogLine>,
    connections: u64,
    action: Option<ActionOutcome>,
    after: (StatusPage, Vec<String>),
}

/// Short and odd, or long.
fn text() -> impl Strategy<Value = String> {
    let odd = select(vec![
        "",
        " ",
        "-",
        "--help",
        "größe",
        "\u{1f600}'\"$`\\",
        "a=b",
        "x: y\n\tz\r\n",
        "\u{85}\u{2028}\u{feff}\u{7f}\u{1}",
        "@/etc/passwd",
        "null",
    ]);
    prop_oneof![
        8 => odd.prop_map(str::to_owned),
        4 => "\\PC{0,40}",
        1 => (0..3_u32).prop_map(|size| "ü".repeat(40_000 << size)),
    ]
}

/// A short text, as an argument that is none of the charm's own.
fn word() -> impl Strategy<Value = String> {
    let right = select(vec!["server", "db", "server/0", "server/1", "db/0", "peer"]);
    let wrong = select(vec![
        "", "-", "--app", "server/9", "ghost", "server/x", "größe", "a b",
    ]);
    prop_oneof![3 => right, 2 => wrong].prop_map(str::to_owned)
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z][a-z-]{0,9}", 1 => text().prop_map(|text| text.chars().take(20).collect())]
}

fn call() -> impl Strategy<Value = Call> {
    let id = || prop_oneof![4 => 0..2_u32, 1 => 2..4_u32];
    let ports = || btree_set(select(vec![0, 1, 80, 7233, 65535]), 0..4);
    let reads = prop_oneof![
        select(vec![
            Call::ConfigGet,
            Call::IsLeader,
            Call::StatusGet,
            Call::StatusGetApplication,
            Call::OpenedPorts,
            Call::StateGet,
            Call::ActionGet,
        ]),
        word().prop_map(Call::RelationIds),
        word().prop_map(Call::NetworkGet),
        word().prop_map(Call::IsDying),
        id().prop_map(Call::RelationApp),
        id().prop_map(Call::RelationUnits),
        (id(), word()).prop_map(|(id, app)| Call::RelationGetApp(id, app)),
        (id(), word()).prop_map(|(id, unit)| Call::RelationGetUnit(id, unit)),
    ];
    let entries = btree_map(key(), proptest::option::of(text()), 0..4);
    let writes = prop_oneof![
        (id(), any::<bool>(), entries).prop_map(|(id, app, them)| Call::RelationSet(id, app, them)),
        (any::<bool>(), text()).prop_map(|(app, message)| Call::StatusSet(app, message)),
        text().prop_map(Call::VersionSet),
        ports().prop_map(Call::OpenPorts),
        ports().prop_map(Call::ClosePorts),
        text().prop_map(Call::Log),
        btree_map(key(), text(), 0..4).prop_map(Call::StateSet),
        key().prop_map(Call::StateDelete),
        btree_map(key(), text(), 0..4).prop_map(Call::ActionSet),
        text().prop_map(Call::ActionFail),
        text().prop_map(Call::ActionLog),
    ];
    prop_oneof![1 => reads, 1 => writes]
}

proptest! {
    // each case is two models
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn both_transports_give_the_same_answers(
        calls in vec(call(), 1..40),
        unit in select(vec!["server/0", "server/1"]),
        in_action: bool,
    ) {
        let direct = World::new(false).perform(unit, in_action, &calls);
        let tools = World::new(true).perform(unit, in_action, &calls);
        for (call, (direct, tools)) in calls.iter().zip(direct.answers.iter().zip(&tools.answers)) {
            prop_assert_eq!(direct, tools, "{:?}", call);
        }
        prop_assert_eq!(direct.made, tools.made);
        prop_assert_eq!(direct.log, tools.log);
        prop_assert_eq!(direct.action, tools.action);
        prop_assert_eq!(direct.after, tools.after);
        prop_assert_eq!(direct.connections, 1);
    }
}
