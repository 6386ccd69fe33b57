//! A test program of scenarios on real parts: its whole `main`.
//!
//! The usual harness runs tests on many threads of a process that has entered nothing. Here the
//! program (a test target with `harness = false`) starts itself again inside two sandboxes and plays
//! half of its scenarios in each, one after another, each on a stage of its own.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use super::{Setup, StageError};
use crate::chain;
use crate::cloud::{self, Entered};
use crate::counterparts::CounterpartError;
use crate::juju::{self, HookRun};
use crate::pack::{PackError, Profile, Progress, pack};
use crate::parts::{Part, Parts};
use crate::servers::certificates::{Authority, Valid};
use crate::servers::postgresql::Postgresql;

/// How many hooks a failure shows.
const HOOKS: usize = 12;
const INSIDE: &str = "--inside";
/// Which part of the scenarios a run plays: number and count.
const PART: &str = "--part=";
/// How many scenarios are played at the same time, each part of them in a sandbox of its own.
const SIDE_BY_SIDE: usize = 2;

thread_local! {
    static LAST: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
    static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static TALKATIVE: Cell<bool> = const { Cell::new(false) };
}

/// Keeps a line for the story of a failure, however long that is.
pub(super) fn note(line: &str) {
    NOTES.with_borrow_mut(|notes| notes.push(line.to_owned()));
}

/// Keeps a hook for the story of a failure.
pub(super) fn remember(run: &HookRun) {
    let log = run
        .juju_log
        .iter()
        .map(|line| format!("\n    {} {}", line.level, line.text));
    let stderr = run
        .stderr
        .lines()
        .map(|line| format!("\n    stderr: {line}"));
    let text = format!(
        "  {run}{}{}",
        log.collect::<String>(),
        stderr.collect::<String>()
    );
    if TALKATIVE.get() {
        println!("{text}");
        return;
    }
    LAST.with_borrow_mut(|last| {
        last.push_back(text);
        if last.len() > HOOKS {
            last.pop_front();
        }
    });
}

/// A scenario's end: anything but `Ok` is a failure, and so is a panic.
pub type Outcome = Result<(), Box<dyn Error>>;

/// A scenario on real parts.
pub struct Scenario {
    /// A sentence in snake case.
    pub name: &'static str,
    /// Plays it on stages of its own.
    pub play: fn(&Setup) -> Outcome,
}

/// Makes the parts that stages need and packs the charm of this source tree, beside this program; outside the sandbox,
/// where the network is. An interrupt leaves nothing that the next build does not use.
///
/// What is missing is made while cargo compiles: the compilers wait for the network and for their linkers often enough
/// that the first rehearsal is ready in 0.85 of the time (measured with empty caches on two cores).
pub fn prepare_and_pack(
    temporal: &[&str],
    pebble: &[&str],
    profile: Profile,
) -> Result<PathBuf, Box<dyn Error>> {
    let parts = Parts::locate()?;
    let needed = needed(temporal, pebble);
    if parts.missing(&needed)?.is_empty() {
        prepare(temporal, pebble)?;
        return Ok(packed(profile, Progress::Shown)?);
    }
    std::thread::scope(|scope| {
        let charm = scope.spawn(|| packed(profile, Progress::Kept));
        let told = "meanwhile cargo compiles the charm";
        parts.prepare(&needed, Some(told))?;
        prepare(temporal, pebble)?;
        if !charm.is_finished() {
            eprintln!("cargo still compiles the charm");
        }
        let charm = charm.join().map_err(|_| "packing the charm panicked")?;
        Ok(charm?)
    })
}

fn packed(profile: Profile, progress: Progress) -> Result<PathBuf, PackError> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = here.ancestors().nth(2).unwrap_or(here);
    let program = std::env::current_exe().map_err(|source| PackError::Read {
        path: workspace.to_owned(),
        source,
    })?;
    pack(
        workspace,
        program.parent().unwrap_or(here),
        profile,
        progress,
    )
}

/// Plays the scenarios whose names contain one of the program's arguments, or all; `--list` lists
/// them, and `--nocapture` shows every hook. `temporal` and `pebble` are the versions that they need.
///
/// It ends with the line `N passed, N failed`, and with 0 only if none failed and one was played.
pub fn play_all(scenarios: &[Scenario], temporal: &[&str], pebble: &[&str]) -> ExitCode {
    if let Some(code) = juju::as_hook_tool() {
        return code;
    }
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [first, charm, workdir, names @ ..] if first == INSIDE => inside(
            scenarios,
            &Setup {
                charm: charm.into(),
                workdir: workdir.into(),
            },
            names,
        ),
        [only] if only == "--list" => {
            for scenario in scenarios {
                println!("{}: test", scenario.name);
            }
            Ok(0)
        }
        names => outside(temporal, pebble, names),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn outside(temporal: &[&str], pebble: &[&str], names: &[OsString]) -> Result<u8, Box<dyn Error>> {
    cloud::allowed()?;
    let charm = prepare_and_pack(temporal, pebble, Profile::Ci)?;
    // Scenarios wait for most of their time. Whoever names some wants to read them in order.
    let parts = if names.is_empty() { SIDE_BY_SIDE } else { 1 };
    let mut workdirs = Vec::new();
    let mut runs = Vec::new();
    for part in 0..parts {
        let workdir = workdir()?;
        let path = workdir.path().to_owned();
        let part = format!("{PART}{part}/{parts}").into();
        let own = [
            INSIDE.into(),
            charm.clone().into(),
            path.clone().into(),
            part,
        ];
        let arguments = own.into_iter().chain(names.iter().cloned());
        runs.push((Some(path), arguments.collect()));
        workdirs.push(workdir);
    }
    Ok(cloud::run_side_by_side(runs)?)
}

fn inside(scenarios: &[Scenario], setup: &Setup, names: &[OsString]) -> Result<u8, Box<dyn Error>> {
    if let Entered::Outside(code) = cloud::enter(std::slice::from_ref(&setup.workdir))? {
        return Ok(code);
    }
    let names = names.iter().filter_map(|name| name.to_str());
    let (options, names): (Vec<_>, Vec<_>) = names.partition(|name| name.starts_with('-'));
    // Other options of the usual harness mean nothing here.
    TALKATIVE.set(options.contains(&"--nocapture"));
    let wanted = |scenario: &&Scenario| {
        names.is_empty() || names.iter().any(|name| scenario.name.contains(name))
    };
    let part = options.iter().find_map(|option| {
        let (part, parts) = option.strip_prefix(PART)?.split_once('/')?;
        Some((part.parse::<usize>().ok()?, parts.parse::<usize>().ok()?))
    });
    let (part, parts) = part.unwrap_or((0, 1));
    let (mut passed, mut failed) = (0, 0);
    for scenario in scenarios.iter().filter(wanted).skip(part).step_by(parts) {
        LAST.take();
        NOTES.take();
        let begin = Instant::now();
        let outcome = play(scenario, setup);
        let seconds = begin.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                passed += 1;
                println!("test {} ... ok ({seconds:.1} s)", scenario.name);
            }
            Err(why) => {
                failed += 1;
                println!("test {} ... FAILED ({seconds:.1} s): {why}", scenario.name);
                NOTES.with_borrow(|notes| notes.iter().for_each(|line| println!("  {line}")));
                LAST.with_borrow(|last| last.iter().for_each(|line| println!("{line}")));
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(u8::from(failed > 0 || passed == 0))
}

fn play(scenario: &Scenario, setup: &Setup) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| (scenario.play)(setup))) {
        Ok(outcome) => outcome.map_err(|error| chain(&*error)),
        // The message has been printed.
        Err(_) => Err("it panicked".to_owned()),
    }
}

/// Makes the parts that stages need; outside the sandbox, where the network is.
pub fn prepare(temporal: &[&str], pebble: &[&str]) -> Result<(), StageError> {
    let parts = Parts::locate()?;
    parts.prepare(&needed(temporal, pebble), None)?;
    // Laying one out makes the cached data directory.
    let first = tempfile::tempdir().map_err(StageError::io("make a directory"))?;
    let port = 5432;
    Postgresql::lay(&parts, first.path(), port).map_err(CounterpartError::from)?;
    Ok(())
}

/// What a stage needs besides, whose PostgreSQL has TLS.
pub fn prepare_tls() -> Result<(), Box<dyn Error>> {
    let parts = Parts::locate()?;
    parts.prepare(&[Part::PostgresqlWithTls], None)?;
    let first = tempfile::tempdir()?;
    let issuer = Authority::new("nobody", Valid::Now)?;
    let certificate = issuer.issue("nobody", &["localhost"], Valid::Now)?;
    Postgresql::lay_with_tls(&parts, first.path(), 5432, &certificate)?;
    Ok(())
}

fn needed(temporal: &[&str], pebble: &[&str]) -> Vec<Part> {
    let versions = |all: &[&str], part: fn(String) -> Part| -> Vec<Part> {
        all.iter()
            .map(|version| part((*version).to_owned()))
            .collect()
    };
    let found = [
        Part::Postgresql,
        Part::TemporalCli,
        Part::Nginx,
        Part::Python,
    ];
    versions(temporal, Part::Temporal)
        .into_iter()
        .chain(versions(pebble, Part::Pebble))
        .chain(found)
        .collect()
}

/// A new directory for [`Setup::workdir`]; its path is short.
pub fn workdir() -> Result<tempfile::TempDir, StageError> {
    let made = tempfile::Builder::new().prefix("rehearsal-").tempdir();
    made.map_err(StageError::io("make the working directory"))
}
