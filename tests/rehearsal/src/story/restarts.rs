//! What the restart of a server costs its clients, who write without pause, and when Juju is told that it serves again.

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::Story;
use crate::juju::ActionStatus;
use crate::juju::cloud::Cloud;
use crate::stage::{APP, Written};

/// The port of history, where its health is asked.
const HISTORY: u16 = 7234;
/// How long a client may take to begin, and how long the ring has to settle after a restart: work on moved shards
/// stalls for some seconds.
const CALM: Duration = Duration::from_secs(5);
/// Pebble itself waits so long before it calls a start done, in seconds.
const PEBBLE: f64 = 1.0;
/// How much later than the charm the client may see that history serves, in seconds.
const SEEN: f64 = 1.0;
/// How long a unit may take to be active again.
const ACTIVE: Duration = Duration::from_mins(1);

/// One restart, in seconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Restart {
    /// From the order to the new process's first answer, which is usually that it does not serve.
    answers: f64,
    /// From that to its health's SERVING; `None` of a history that gets no shard, and says that it does not serve.
    serves: Option<f64>,
    /// From that, or from the first answer, to the unit's Active: what the charm adds.
    told: f64,
    /// The longest time without a completed workflow, until the next restart.
    gap: f64,
    /// Calls that failed although the client repeated them.
    failed: usize,
}

/// All of them.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Restarts {
    each: Vec<Restart>,
    /// Completed workflows.
    completed: usize,
    /// Workflows whose start was confirmed and that never completed.
    lost: u64,
}

/// An order to restart.
struct Order {
    address: String,
    begin: f64,
    active: f64,
}

impl Story<'_> {
    /// Restarts every unit's server so many times, one after the other, under a client that writes without pause.
    pub(super) fn restarts(&mut self, times: u32) -> Result<(), Box<dyn Error>> {
        let units = self.stage.juju.model().units_of(APP);
        let address = |unit: &String| Some(SocketAddr::new(self.stage.node.pod_ip(unit)?, HISTORY));
        let addresses: Vec<String> = units
            .iter()
            .filter_map(address)
            .map(|address| address.to_string())
            .collect();
        let writer = self.stage.write("temporal-k8s:7233", &addresses)?;
        std::thread::sleep(CALM);
        let mut orders = Vec::new();
        for _ in 0..times {
            for (unit, address) in units.iter().zip(&addresses) {
                let begin = seconds(SystemTime::now());
                let outcome = self.stage.run(unit, "restart", &[])?;
                if outcome.status != ActionStatus::Completed {
                    return Err(outcome.message.into());
                }
                self.stage.until_active(ACTIVE)?;
                let status = self.stage.juju.unit_status(unit).ok_or("no unit")?;
                orders.push(Order {
                    address: address.clone(),
                    begin,
                    active: seconds(status.since),
                });
                std::thread::sleep(CALM);
            }
        }
        let end = seconds(SystemTime::now());
        let written = writer.end()?;
        let ends = orders.iter().skip(1).map(|order| order.begin).chain([end]);
        let each: Option<Vec<Restart>> = orders
            .iter()
            .zip(ends)
            .map(|(order, end)| order.read(end, &written))
            .collect();
        let restarts = Restarts {
            each: each.ok_or("a history's health was not seen to come and go")?,
            completed: written.completed.len(),
            lost: written.lost,
        };
        self.tell(&restarts);
        let lost = restarts.lost;
        self.figures.restarts = Some(restarts);
        if lost > 0 {
            return Err(format!("{lost} workflows were lost").into());
        }
        Ok(())
    }

    fn tell(&self, restarts: &Restarts) {
        for it in &restarts.each {
            let serves = it.serves.map_or_else(
                || "has no shard".to_owned(),
                |seconds| format!("serves after another {seconds:.2} s"),
            );
            self.teller.line(&format!(
                "  answers after {:.2} s, {serves}, Active {:.3} s later; longest gap {:.2} s, {} failed",
                it.answers, it.told, it.gap, it.failed
            ));
        }
        let each = || restarts.each.iter();
        let failed: usize = each().map(|it| it.failed).sum();
        self.teller.line(&format!(
            "  medians: {:.2} s, {:.2} s, {:.3} s; longest gap {:.2} s; {failed} failed in all; \
             {} workflows completed, {} lost",
            median(each().map(|it| it.answers)),
            median(each().filter_map(|it| it.serves)),
            restarts.added(),
            median(each().map(|it| it.gap)),
            restarts.completed,
            restarts.lost
        ));
    }
}

impl Restarts {
    /// What the charm adds to a server's time: the median. What serves within Pebble's own second is no measure.
    fn added(&self) -> f64 {
        let slow = |it: &&Restart| it.serves.is_some_and(|seconds| seconds > PEBBLE);
        median(self.each.iter().filter(slow).map(|it| it.told))
    }
}

impl Order {
    fn read(&self, end: f64, written: &Written) -> Option<Restart> {
        let health = written.health.get(&self.address)?;
        let after = |begin: f64, state: &str| {
            let mut changes = health.iter();
            changes.find_map(|(at, to)| (*at > begin && to == state).then_some(*at))
        };
        let down = after(self.begin, "down")?;
        // one that has no shard may get some later, when another unit restarts
        let serving = after(down, "serving").filter(|at| *at < self.active + SEEN);
        // servers before 1.28 serve as soon as they answer
        let starting = after(down, "starting");
        let answers = [starting, serving].into_iter().flatten().reduce(f64::min)?;
        let within = |at: &f64| *at > self.begin && *at <= end;
        let completed = written.completed.iter().copied().filter(within);
        let mut times: Vec<f64> = [self.begin].into_iter().chain(completed).collect();
        times.push(end);
        times.sort_by(f64::total_cmp);
        let gaps = times.windows(2).map(|pair| match pair {
            [before, after] => after - before,
            _ => 0.0,
        });
        Some(Restart {
            answers: answers - self.begin,
            serves: serving.map(|at| at - answers),
            told: self.active - serving.unwrap_or(answers),
            gap: gaps.fold(0.0, f64::max),
            failed: written.failed.iter().filter(|(at, _)| within(at)).count(),
        })
    }
}

fn seconds(at: SystemTime) -> f64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// The middle one; of an even number the upper of the two.
fn median(of: impl Iterator<Item = f64>) -> f64 {
    let mut of: Vec<f64> = of.collect();
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}
