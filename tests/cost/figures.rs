//! Samples, their medians, and tables of them.

use rehearsal::juju::HookRun;
use rehearsal::meter::Cost;
use serde::{Deserialize, Serialize};

/// What one hook, or several together, took.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Calls of hook tools.
    pub calls: f64,
    /// How often it was waited for Juju's agent.
    pub round_trips: f64,
    /// KiB to and from the agent.
    pub traffic: f64,
    /// Milliseconds.
    pub wall: f64,
    /// Milliseconds of the program and its tools.
    pub processor: f64,
    /// MiB of the program; 0 where it ended too quickly to be seen.
    pub memory: f64,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
impl Sample {
    /// Of a metered hook that ended well.
    pub(crate) fn of(run: &HookRun) -> Self {
        assert!(run.success(), "{run}: {}", run.stderr);
        let cost = Cost::of(run).unwrap_or_else(|| panic!("{run} is not metered"));
        Self {
            calls: run.calls.len() as f64,
            round_trips: run.traffic.round_trips as f64,
            traffic: (run.traffic.bytes_in + run.traffic.bytes_out) as f64 / 1024.0,
            wall: cost.wall.as_secs_f64() * 1e3,
            processor: cost.processor.as_secs_f64() * 1e3,
            memory: cost.memory as f64 / 1024.0 / 1024.0,
        }
    }

    /// All of them together; of memory the largest.
    pub(crate) fn sum(samples: impl IntoIterator<Item = Self>) -> Self {
        samples.into_iter().fold(Self::default(), |sum, it| Self {
            calls: sum.calls + it.calls,
            round_trips: sum.round_trips + it.round_trips,
            traffic: sum.traffic + it.traffic,
            wall: sum.wall + it.wall,
            processor: sum.processor + it.processor,
            memory: sum.memory.max(it.memory),
        })
    }

    /// The same share of it for each of several.
    pub(crate) fn of_each(self, count: u32) -> Self {
        let count = f64::from(count);
        Self {
            calls: self.calls / count,
            round_trips: self.round_trips / count,
            traffic: self.traffic / count,
            wall: self.wall / count,
            processor: self.processor / count,
            memory: self.memory,
        }
    }

    /// The median of each figure by itself.
    pub(crate) fn median(samples: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(samples.iter().map(figure).collect());
        let seen = samples.iter().map(|it| it.memory).filter(|it| *it > 0.0);
        Self {
            calls: of(|it| it.calls),
            round_trips: of(|it| it.round_trips),
            traffic: of(|it| it.traffic),
            wall: of(|it| it.wall),
            processor: of(|it| it.processor),
            memory: median(seen.collect()),
        }
    }
}

/// 0 of none.
fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    let (low, high) = (all.len().saturating_sub(1) / 2, all.len() / 2);
    match (all.get(low), all.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => 0.0,
    }
}

/// A hook on both transports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pair {
    /// The hook.
    pub name: String,
    /// Asking the agent's socket.
    pub direct: Sample,
    /// Starting hook tools.
    pub tools: Sample,
}

/// Prints a table of hooks.
pub(crate) fn print_pairs(first: &str, pairs: &[Pair]) {
    println!(
        "\n| {first} | calls | round trips | KiB | ms | with tools | CPU ms | with tools | ratio | MiB | with tools |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for Pair {
        name,
        direct,
        tools,
    } in pairs
    {
        println!(
            "| {name} | {} | {} | {:.1} | {:.1} | {:.1} | {:.2} | {:.1} | {:.1} | {:.1} | {:.1} |",
            direct.calls,
            direct.round_trips,
            direct.traffic,
            direct.wall,
            tools.wall,
            direct.processor,
            tools.processor,
            tools.processor / direct.processor,
            direct.memory,
            tools.memory,
        );
    }
}
