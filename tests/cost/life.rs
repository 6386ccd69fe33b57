//! A unit's whole life, as a story on the fakes: from its deployment to its removal.

use std::collections::BTreeMap;
use std::path::Path;

use rehearsal::juju::HookRun;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::fakes;
use crate::figures::{Pair, Sample, print_pairs};
use crate::scenarios::stage::{
    ADMIN, APP, INGRESS, POSTGRESQL, Stage as _, UNIT, assert_all_active, deploy,
    deploy_counterparts, integrate, separate,
};
use crate::support::stage::FastStage;

/// How often it is lived on each transport.
const LIVES: usize = 20;

/// The hooks of one life.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Life {
    /// In their order.
    hooks: Vec<Hook>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Hook {
    name: String,
    /// Has it started a server?
    starts: bool,
    sample: Sample,
}

impl Life {
    /// Of a unit's hooks.
    pub(crate) fn of(runs: &[HookRun]) -> Self {
        let starts = |run: &HookRun| {
            let mut lines = run.stdout.lines();
            lines.any(|line| line == "plan: start the server") || run.event.is_action()
        };
        let hooks = runs.iter().map(|run| Hook {
            name: run.hook.clone(),
            starts: starts(run),
            sample: Sample::of(run),
        });
        Self {
            hooks: hooks.collect(),
        }
    }

    /// All hooks together.
    fn whole(&self) -> Sample {
        Sample::sum(self.hooks.iter().map(|hook| hook.sample))
    }

    /// Those that start no server.
    pub(crate) fn calm(&self) -> Sample {
        let calm = self.hooks.iter().filter(|hook| !hook.starts);
        Sample::sum(calm.map(|hook| hook.sample))
    }

    /// Its sums.
    pub(crate) fn print(&self) {
        let starts = self.hooks.iter().filter(|hook| hook.starts).count();
        println!("\n| | hooks | calls | round trips | KiB | s | CPU ms |");
        println!("|---|--:|--:|--:|--:|--:|--:|");
        for (name, hooks, sum) in [
            ("all hooks", self.hooks.len(), self.whole()),
            (
                "those that start no server",
                self.hooks.len() - starts,
                self.calm(),
            ),
        ] {
            println!(
                "| {name} | {hooks} | {} | {} | {:.1} | {:.2} | {:.0} |",
                sum.calls,
                sum.round_trips,
                sum.traffic,
                sum.wall / 1e3,
                sum.processor
            );
        }
    }
}

/// Lives on both transports, one after the other.
#[derive(Debug)]
pub(crate) struct Lives {
    direct: Vec<Life>,
    tools: Vec<Life>,
}

/// Lives them.
pub(crate) fn play(program: &Path) -> Lives {
    let mut lives = Lives {
        direct: Vec::new(),
        tools: Vec::new(),
    };
    for _ in 0..LIVES {
        lives.direct.push(live(program, false));
        lives.tools.push(live(program, true));
    }
    lives
}

fn live(program: &Path, tools: bool) -> Life {
    let mut stage = fakes::stage(program);
    stage.juju().tools_only(tools);
    deploy_counterparts(&mut stage, &[POSTGRESQL, ADMIN, INGRESS]);
    deploy(&mut stage, 1, &[]);
    fakes::settle(&mut stage);
    for endpoint in ["db", "visibility", "admin", "ingress"] {
        integrate(&mut stage, endpoint);
        fakes::settle(&mut stage);
    }
    timer(&mut stage);
    let changed = stage.juju().config(APP, &[("log-level", "debug")]);
    changed.expect("an option");
    fakes::settle(&mut stage);
    timer(&mut stage);
    let restarted = stage.juju().run_action(UNIT, "restart", Map::new());
    restarted.expect("an action");
    separate(&mut stage, "db");
    fakes::settle(&mut stage);
    integrate(&mut stage, "db");
    fakes::settle(&mut stage);
    timer(&mut stage);
    assert_all_active(&mut stage);
    let removed = stage.juju().remove_application(APP);
    removed.expect("remove-application");
    fakes::settle(&mut stage);
    let ours = stage.juju().log().iter().filter(|run| run.unit == UNIT);
    Life::of(&ours.cloned().collect::<Vec<_>>())
}

fn timer(stage: &mut FastStage) {
    stage.juju().update_status(APP).expect("our application");
    fakes::settle(stage);
}

impl Lives {
    /// The table: each hook by name, and the sums.
    pub(crate) fn print(&self) {
        println!(
            "\nA unit's whole life on the fakes, medians of {LIVES} lives on each transport; of hooks that come \
             several times, of all together:"
        );
        let by_name = |lives: &[Life]| {
            let mut by_name: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
            for hook in lives.iter().flat_map(|life| &life.hooks) {
                let samples = by_name.entry(hook.name.clone()).or_default();
                samples.push(hook.sample);
            }
            by_name
        };
        let (direct, mut tools) = (by_name(&self.direct), by_name(&self.tools));
        let mut pairs: Vec<Pair> = direct
            .into_iter()
            .map(|(name, direct)| {
                let tools = tools.remove(&name).unwrap_or_default();
                Pair {
                    direct: Sample::median(&direct),
                    tools: Sample::median(&tools),
                    name: format!("{name} ({})", direct.len() / self.direct.len()),
                }
            })
            .collect();
        let sums = |sum: fn(&Life) -> Sample, lives: &[Life]| {
            Sample::median(&lives.iter().map(sum).collect::<Vec<_>>())
        };
        let hooks = self.direct.first().map_or(0, |life| life.hooks.len());
        pairs.push(Pair {
            name: format!("all {hooks}"),
            direct: sums(Life::whole, &self.direct),
            tools: sums(Life::whole, &self.tools),
        });
        pairs.push(Pair {
            name: "all that start no server".to_owned(),
            direct: sums(Life::calm, &self.direct),
            tools: sums(Life::calm, &self.tools),
        });
        print_pairs("hook (times)", &pairs);
    }
}
