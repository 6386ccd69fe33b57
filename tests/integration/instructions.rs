//! How many instructions the charm's program takes for hooks in which nothing happens, by `callgrind`, which counts
//! the same on a busy machine. The other ends are the fakes of the fast tests, in this process and not counted. The
//! program is the one that ships, without link-time optimisation.
//!
//! What is counted is the code of the program, not that of the kernel. On a busy machine it varies by up to a tenth, since
//! answers then come in more pieces, which wakes the program more often; the least of several runs, by two hundredths.
//! Another compiler or another version of a library may change it for no fault of ours: then the file is updated, too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rehearsal::juju::event::{Event, RelationChange, RelationEvent};
use rehearsal::meter;
use rehearsal::pack::{Profile, Progress, pack};
use rehearsal::parts::Parts;

use crate::scenarios::stage::{
    APP, POSTGRESQL, Stage as _, UNIT, assert_all_active, deploy_calmly,
};
use crate::support::stage::FastStage;

/// By hook; the file has one such list for each kind of processor.
type Counts = BTreeMap<String, u64>;

const FILE: &str = "tests/integration/instructions.yaml";
const UPDATE: &str = "UPDATE_INSTRUCTIONS";
const HEAD: &str = "\
# Instructions of settled hooks, as tests/integration/instructions.rs counts them. To count anew:
# UPDATE_INSTRUCTIONS=1 cargo test --package temporal-k8s --test integration instructions
";
/// In percent.
const TOLERANCE: u64 = 10;
/// How often each hook is counted; the least counts.
const RUNS: usize = 5;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program as it is packed.
fn program(directory: &Path) -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    let out = this.parent().expect("a build directory");
    let charm = pack(root(), out, Profile::Ci, Progress::Kept);
    let charm = charm.unwrap_or_else(|error| panic!("{}", rehearsal::chain(&error)));
    let program = directory.join("dispatch");
    meter::unpack_program(&charm, &program).expect("the charm has its program");
    program
}

/// What callgrind says at its end.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains(" Collected : "))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn count() -> Counts {
    let directory = tempfile::tempdir().expect("a directory");
    let program = program(directory.path());
    let valgrind = crate::part(Parts::locate().and_then(|parts| parts.valgrind()));
    let mut stage = FastStage::new();
    stage.cloud.set_program(vec![program.clone().into()]);
    deploy_calmly(&mut stage, 1, &[]);
    assert_all_active(&mut stage);
    let relation = stage.juju().relation(&format!("{APP}:db"));
    let changed = RelationEvent {
        change: RelationChange::Changed,
        endpoint: "db".to_owned(),
        id: relation.expect("related"),
        remote_app: POSTGRESQL.to_owned(),
        remote_unit: Some(format!("{POSTGRESQL}/0")),
        departing: None,
    };
    let callgrind = ["--tool=callgrind", "--callgrind-out-file=/dev/null"].map(Into::into);
    let counted = [valgrind.into()].into_iter().chain(callgrind);
    stage
        .cloud
        .set_program(counted.chain([program.into()]).collect());
    let events = [
        Event::UpdateStatus,
        Event::ConfigChanged,
        Event::Relation(changed),
    ];
    let counts = events.into_iter().map(|event| {
        let counts: Vec<u64> = (0..RUNS)
            .map(|_| {
                let run = stage.juju().repeat(UNIT, &event).expect("a hook");
                assert!(run.success(), "{run}: {}", run.stderr);
                let connections = run.traffic.connections;
                assert_eq!(connections, 1, "{run}: the agent is asked at its socket");
                collected(&run.stderr).unwrap_or_else(|| panic!("{run}: {}", run.stderr))
            })
            .collect();
        println!("{}: {counts:?}", event.name());
        (event.name(), counts.into_iter().min().unwrap_or_default())
    });
    counts.collect()
}

/// How they differ from the noted ones by more than is allowed.
fn differences(noted: &Counts, counted: &Counts) -> Vec<String> {
    let lines = counted.iter().filter_map(|(hook, count)| {
        let Some(noted) = noted.get(hook) else {
            return Some(format!(
                "{hook} takes {count} instructions, of which {FILE} says nothing"
            ));
        };
        let (count, noted) = (*count, *noted);
        let word = if count * 100 > noted * (100 + TOLERANCE) {
            "costs more: if that is worth it"
        } else if count * 100 < noted * (100 - TOLERANCE) {
            "costs less: so that this stays true"
        } else {
            return None;
        };
        Some(format!(
            "{hook} takes {count} instructions in place of {noted}; it {word}, update {FILE}"
        ))
    });
    lines.collect()
}

#[test]
fn settled_hooks_cost_what_is_noted() {
    let path = root().join(FILE);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let mut noted: BTreeMap<String, Counts> = serde_saphyr::from_str(&text).unwrap_or_default();
    let counted = count();
    let here = std::env::consts::ARCH.to_owned();
    if std::env::var_os(UPDATE).is_some() {
        noted.insert(here, counted);
        let text = serde_saphyr::to_string(&noted).expect("plain data");
        fs::write(path, [HEAD, &text].concat()).expect("the source tree");
        return;
    }
    let differences = differences(&noted.remove(&here).unwrap_or_default(), &counted);
    assert!(
        differences.is_empty(),
        "{}:\n{UPDATE}=1 cargo test --package temporal-k8s --test integration instructions",
        differences.join("\n")
    );
}

#[test]
fn a_tenth_more_or_less_is_told() {
    let counts = |count| Counts::from([("update-status".to_owned(), count)]);
    let told = |count| differences(&counts(1000), &counts(count)).join("");
    assert_eq!(told(1100), "");
    assert_eq!(told(900), "");
    assert_eq!(
        told(1101),
        "update-status takes 1101 instructions in place of 1000; it costs more: if that is worth it, update \
         tests/integration/instructions.yaml"
    );
    assert!(told(899).contains("it costs less: so that this stays true, update"));
    let unknown = differences(&Counts::new(), &counts(1)).join("");
    assert!(unknown.contains("says nothing"), "{unknown}");
}
