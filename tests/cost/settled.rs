//! Settled hooks on the real parts: Pebble, PostgreSQL, Temporal Server and nginx, in the containers of the rehearsal.

use std::collections::BTreeMap;
use std::time::Duration;

use rehearsal::juju::event::{Event, RelationChange, RelationEvent};
use rehearsal::juju::{HookRun, PebbleChange};
use rehearsal::stage::{APP, CONTAINER, NGINX, Options, Setup, Stage};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::figures::{Pair, Sample, print_pairs};
use crate::life::Life;
use crate::scenarios::stage::UNIT;

/// The file in which the figures come out of the sandbox.
pub(crate) const TOLD: &str = "settled.json";

/// How often each hook runs on each transport, after a first run that does not count.
const RUNS: usize = 25;
/// How long a change may take to come to rest.
const LIMIT: Duration = Duration::from_mins(3);

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Each hook, with everything related and running.
    pub hooks: Vec<Pair>,
    /// The timer's hook where all relations are read, and no database or server is asked.
    alone: Pair,
    /// The whole life around these measurements, asking directly.
    life: Life,
}

/// Plays the rehearsal's life of one unit, and in its middle every settled hook again and again.
pub(crate) fn play(setup: &Setup) -> Outcome<Told> {
    let mut stage = Stage::new(setup, &Options::default())?;
    let mut lived = Vec::new();
    live(&mut stage, &mut lived, |stage| {
        stage.open(1, &[]).map_err(Into::into)
    })?;
    live(&mut stage, &mut lived, ingress)?;
    live(&mut stage, &mut lived, |stage| {
        stage.juju.update_status(APP)?;
        Ok(stage.until_active(LIMIT)?)
    })?;
    let events = settled_events(&lived);
    let hooks = measure(&mut stage, &events)?;
    // an option that is refused: every relation is read all the same
    stage.juju.config(APP, &[("log-level", "loud")])?;
    stage.until_status("blocked", LIMIT)?;
    let mut alone = measure(&mut stage, &[Event::UpdateStatus])?;
    let mut alone = alone.remove(0);
    alone.name = "update-status, no server asked".to_owned();
    stage.juju.reset_config(APP, &["log-level"])?;
    stage.until_active(LIMIT)?;
    live(&mut stage, &mut lived, |stage| {
        let sides = ("temporal-k8s:db", "postgresql-k8s:db");
        stage.juju.remove_relation(sides.0, sides.1)?;
        stage.until_status("blocked", LIMIT)?;
        stage.juju.integrate(sides.0, sides.1)?;
        Ok(stage.until_active(LIMIT)?)
    })?;
    live(&mut stage, &mut lived, |stage| {
        stage.juju.remove_application(APP)?;
        let gone = |stage: &Stage| !stage.juju.model().applications.contains_key(APP);
        Ok(stage.until("the application to be gone", LIMIT, gone)?)
    })?;
    let life = Life::of(&lived);
    Ok(Told { hooks, alone, life })
}

fn ingress(stage: &mut Stage) -> Outcome<()> {
    stage.deploy_nginx(&[])?;
    stage
        .juju
        .integrate("temporal-k8s:ingress", "nginx-ingress-integrator:ingress")?;
    let options = [
        ("service-hostname", APP),
        ("path-routes", "/"),
        ("backend-protocol", "GRPC"),
    ];
    stage.juju.config(NGINX, &options)?;
    Ok(stage.until_active(LIMIT)?)
}

/// Keeps the hooks of our unit that an act has brought.
fn live(
    stage: &mut Stage,
    lived: &mut Vec<HookRun>,
    act: impl FnOnce(&mut Stage) -> Outcome<()>,
) -> Outcome<()> {
    let before = stage.juju.log().len();
    act(stage)?;
    let of_act = stage.juju.log().iter().skip(before);
    lived.extend(of_act.filter(|run| run.unit == UNIT).cloned());
    Ok(())
}

/// The hooks of a life that may come again and change nothing, and those of other units and of Pebble's check, which
/// come or do not.
fn settled_events(lived: &[HookRun]) -> Vec<Event> {
    let mut events: BTreeMap<String, Event> = BTreeMap::new();
    for run in lived {
        let ends = match &run.event {
            Event::Install | Event::Stop | Event::Remove | Event::Action(_) => true,
            Event::Relation(event) => {
                matches!(
                    event.change,
                    RelationChange::Departed | RelationChange::Broken
                )
            }
            _ => false,
        };
        if !ends {
            events.insert(run.hook.clone(), run.event.clone());
        }
    }
    let peers = events
        .get("peer-relation-created")
        .and_then(Event::relation);
    let peer = peers.map(|peers| {
        Event::Relation(RelationEvent {
            change: RelationChange::Changed,
            remote_unit: Some(format!("{APP}/1")),
            ..peers.clone()
        })
    });
    let check = |change: fn(String) -> PebbleChange| Event::Pebble {
        container: CONTAINER.to_owned(),
        change: change("serves".to_owned()),
    };
    let more = [
        Some(Event::UpgradeCharm),
        peer,
        Some(check(PebbleChange::CheckFailed)),
        Some(check(PebbleChange::CheckRecovered)),
    ];
    let more = more
        .into_iter()
        .flatten()
        .map(|event| (event.name(), event));
    events.extend(more);
    events.into_values().collect()
}

/// Each on both transports, which take turns in going first.
fn measure(stage: &mut Stage, events: &[Event]) -> Outcome<Vec<Pair>> {
    let mut samples = vec![[Vec::new(), Vec::new()]; events.len()];
    for round in 0..=RUNS {
        for (event, samples) in events.iter().zip(&mut samples) {
            let first = round % 2;
            for tools in [first, 1 - first] {
                stage.juju.tools_only(tools == 1);
                let sample = Sample::of(&stage.juju.repeat(UNIT, event)?);
                if round > 0 {
                    samples[tools].push(sample);
                }
            }
        }
    }
    stage.juju.tools_only(false);
    let pairs = events.iter().zip(samples);
    let pairs = pairs.map(|(event, [direct, tools])| Pair {
        name: event.name(),
        direct: Sample::median(&direct),
        tools: Sample::median(&tools),
    });
    Ok(pairs.collect())
}

impl Told {
    /// The table.
    pub(crate) fn print(&self) {
        println!(
            "\nSettled hooks of one unit on the real parts, medians of {RUNS} runs on each transport:"
        );
        let mut pairs = self.hooks.clone();
        pairs.push(self.alone.clone());
        print_pairs("hook", &pairs);
        println!("\nThe whole life of that unit, asking directly:");
        self.life.print();
    }

    /// What is wanted, and what is.
    pub(crate) fn print_goals(&self) {
        let alone = &self.alone;
        let all = self.hooks.iter().find(|it| it.name == "update-status");
        let all = all.expect("update-status was measured");
        let ratio = |pair: &Pair| pair.tools.processor / pair.direct.processor;
        println!("\n| goal | wanted | measured |\n|---|--:|--:|");
        println!(
            "| a settled update-status, servers apart | 5 ms | {:.1} ms |",
            alone.direct.wall
        );
        println!("| its round trips | 12 | {} |", all.direct.round_trips);
        println!(
            "| its CPU beside that with tools, servers apart (with them) | 10 times less | {:.1} ({:.1}) |",
            ratio(alone),
            ratio(all)
        );
        println!(
            "| round trips of a life outside of starts | 300 | {} |",
            self.life.calm().round_trips
        );
        println!("| memory | 6 MiB | {:.1} MiB |", all.direct.memory);
    }
}
