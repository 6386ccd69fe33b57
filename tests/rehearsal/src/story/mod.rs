//! The main job: one deployment from `juju deploy` to `juju remove-application`, on real parts.
//!
//! `main.rs` calls it. Outside the sandbox it makes the parts and the charm; inside it plays. It
//! passes only if everything was seen: a step either sees what it names or ends the story.

mod acts;
mod idle;
mod report;
mod restarts;

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use crate::chain;
use crate::cloud::{self, Entered, Family};
use crate::pack::Profile;
use crate::stage::{self, Interface, Setup, Stage, programme};
use report::{Document, Figures, Step, Teller};

/// Play a real deployment of temporal-k8s on this machine, from deploy to remove.
#[derive(Debug, Clone, Parser)]
#[command(name = "rehearsal")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Options {
    /// Units of temporal-k8s.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=9))]
    units: u32,
    /// An option of temporal-k8s; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    config: Vec<(String, String)>,
    /// After the deployment works, leave it alone for so many seconds and tell what that costs.
    #[arg(long, value_name = "SECONDS")]
    idle: Option<u32>,
    /// After the deployment works, restart each server so many times under a client that writes without pause, and
    /// tell what that costs.
    #[arg(long, value_name = "TIMES")]
    restarts: Option<u32>,
    /// Over which interface the databases are related.
    #[arg(long, value_enum, default_value_t)]
    database: Interface,
    /// PostgreSQL has TLS, and gets another certificate and authority while the servers run; needs `--database modern`,
    /// since `pgsql` tells nobody of it.
    #[arg(long)]
    tls: bool,
    /// Play on a cluster that has IPv6 only.
    #[arg(long)]
    ipv6: bool,
    /// Version of Temporal Server.
    #[arg(long, default_value = "1.32.2")]
    temporal_version: String,
    /// Version of Pebble.
    #[arg(long, default_value = "1.19.2")]
    pebble_version: String,
    /// From which the addresses of pods and the order of hooks are drawn, where real Juju has none; another one
    /// in every run if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Leave the deployment running to play with, until Ctrl-C; its end is not played.
    #[arg(long)]
    keep: bool,
    /// Print each hook's calls of hook tools.
    #[arg(long)]
    events: bool,
    /// Print one JSON document at the end; the story goes to standard error.
    #[arg(long)]
    json: bool,
    /// The `.charm` file to deploy, in place of one that is packed now.
    #[arg(long)]
    charm: Option<PathBuf>,
    /// Pack the charm as it ships, which takes longer.
    #[arg(long, conflicts_with = "charm")]
    release: bool,
    /// The directory of the run inside the sandbox.
    #[arg(long, hide = true, requires = "charm")]
    inside: Option<PathBuf>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Plays it. The exit code is 0 only if everything was seen.
pub fn main(options: &Options) -> ExitCode {
    let outcome = match &options.inside {
        Some(workdir) => inside(options, workdir),
        None => outside(options),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("rehearsal: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn outside(options: &Options) -> Result<u8, Box<dyn Error>> {
    if options.tls && options.database == Interface::Legacy {
        return Err("`--tls` needs `--database modern`: over `pgsql` nobody is told of TLS".into());
    }
    cloud::allowed()?;
    if options.tls {
        programme::prepare_tls()?;
    }
    let (temporal, pebble) = ([&*options.temporal_version], [&*options.pebble_version]);
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(charm) = &options.charm {
        charm
            .metadata()
            .map_err(|error| format!("{}: {error}", charm.display()))?;
        programme::prepare(&temporal, &pebble)?;
    } else {
        let profile = if options.release {
            Profile::Release
        } else {
            Profile::Ci
        };
        let charm = programme::prepare_and_pack(&temporal, &pebble, profile)?;
        arguments.retain(|argument| argument != "--release");
        arguments.extend(["--charm".into(), charm.into()]);
    }
    let workdir = programme::workdir()?;
    arguments.extend(["--inside".into(), workdir.path().into()]);
    Ok(cloud::run_inside(&[workdir.path().to_owned()], arguments)?)
}

fn inside(options: &Options, workdir: &Path) -> Result<u8, Box<dyn Error>> {
    if let Entered::Outside(code) = cloud::enter(&[workdir.to_owned()])? {
        return Ok(code);
    }
    let charm = options.charm.clone().unwrap_or_default().canonicalize()?;
    let setup = Setup {
        charm,
        workdir: workdir.to_owned(),
    };
    Ok(Story::begin(options, &setup)?.play())
}

/// A story that is being played.
struct Story<'a> {
    options: &'a Options,
    stage: Stage,
    teller: Teller,
    steps: Vec<Step>,
    figures: Figures,
    status: Option<crate::juju::StatusPage>,
}

impl<'a> Story<'a> {
    fn begin(options: &'a Options, setup: &Setup) -> Result<Self, Box<dyn Error>> {
        let teller = Teller::new(options.json, options.events);
        let drawn = || u64::from(fastrand::u16(..));
        let seed = options
            .seed
            .or_else(crate::given_seed)
            .unwrap_or_else(drawn);
        teller.line(&format!("seed {seed}: --seed {seed} plays the same again"));
        let mut stage = Stage::new(
            setup,
            &stage::Options {
                seed: Some(seed),
                temporal: options.temporal_version.clone(),
                pebble: options.pebble_version.clone(),
                family: if options.ipv6 { Family::V6 } else { Family::V4 },
                databases: options.database,
                tls: options.tls,
                ..stage::Options::default()
            },
        )?;
        let listener = teller.clone();
        stage.juju.on_hook(move |run| listener.hook(run));
        let charm_bytes = setup.charm.metadata()?.len();
        let figures = Figures {
            charm_bytes,
            ..Figures::default()
        };
        Ok(Self {
            options,
            stage,
            teller,
            steps: Vec::new(),
            figures,
            status: None,
        })
    }

    fn play(mut self) -> u8 {
        let outcome = self.acts();
        let failure = outcome.err().map(|error| chain(&*error));
        if let Some(failure) = &failure {
            self.explain(failure);
        } else {
            let seconds = self.teller.elapsed().as_secs_f64();
            self.teller
                .line(&format!("\nall of it was seen, in {seconds:.1} s"));
        }
        if self.options.json {
            self.print_document(failure.clone());
        }
        u8::from(failure.is_some())
    }

    /// One step: says what it is, does it, says how long it took.
    fn step(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut Self) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        self.teller.line(&format!("\n{name}"));
        let begin = Instant::now();
        let outcome = act(self);
        let seconds = begin.elapsed().as_secs_f64();
        let passed = outcome.is_ok();
        let word = if passed { "seen" } else { "FAILED" };
        self.teller.line(&format!("  {word} after {seconds:.1} s"));
        self.steps.push(Step {
            name: name.to_owned(),
            seconds,
            passed,
        });
        outcome
    }

    /// What a person needs to find the fault.
    fn explain(&self, failure: &str) {
        const HOOKS: usize = 8;
        const LINES: usize = 40;
        let step = self
            .steps
            .last()
            .map(|step| step.name.as_str())
            .unwrap_or_default();
        self.teller
            .line(&format!("\nfailed: {step}: {failure}\n\nthe last hooks:"));
        let hooks = self.stage.juju.log();
        for run in hooks.iter().skip(hooks.len().saturating_sub(HOOKS)) {
            self.teller.line(&format!("  {run}"));
            self.teller.complaints(run);
        }
        for unit in self.stage.juju.model().units_of(stage::APP) {
            let log = self
                .stage
                .node
                .container_log(&unit, stage::CONTAINER)
                .unwrap_or_default();
            self.teller
                .line(&format!("\nthe end of the log of the container of {unit}:"));
            let lines: Vec<&str> = log.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(LINES)) {
                self.teller.line(&format!("  {line}"));
            }
        }
        self.teller.line(&format!("\n{}", self.stage.juju.status()));
    }

    fn print_document(&self, failure: Option<String>) {
        let document = Document {
            passed: failure.is_none(),
            failure,
            temporal: &self.options.temporal_version,
            pebble: &self.options.pebble_version,
            units: self.options.units,
            seconds: self.teller.elapsed().as_secs_f64(),
            steps: &self.steps,
            figures: &self.figures,
            status: self.status.as_ref(),
            hooks: self.stage.juju.log(),
        };
        match serde_json::to_string_pretty(&document) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("cannot write the document: {error}"),
        }
    }
}
