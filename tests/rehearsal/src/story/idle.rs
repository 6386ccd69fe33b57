//! What a deployment costs while nobody uses it: processor time and memory of the servers, work of the database.

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Story;
use crate::processes;
use crate::stage::APP;

/// The kernel counts processor time in hundredths of a second for programs that ask it, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;
/// Servers have things to do in their first seconds.
const CALM: Duration = Duration::from_secs(20);

/// What was used in a second of doing nothing, of all units together where nothing else is said.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Idle {
    /// How long it was watched, in seconds.
    seconds: f64,
    /// Processor time of the servers, in seconds per second.
    servers: f64,
    /// Processor time of PostgreSQL, in seconds per second.
    postgresql: f64,
    /// Transactions of both databases per second.
    transactions: f64,
    /// Connections to both databases at the end.
    connections: u64,
    /// Memory of the largest server that is its own, in MiB.
    largest_server: u64,
}

struct Reading {
    at: Instant,
    servers: f64,
    postgresql: f64,
    transactions: f64,
}

impl Story<'_> {
    /// Leaves the deployment alone, and tells what that cost.
    pub(super) fn idle(&mut self, seconds: u32) -> Result<(), Box<dyn Error>> {
        std::thread::sleep(CALM);
        let before = self.read()?;
        std::thread::sleep(Duration::from_secs(seconds.into()));
        let after = self.read()?;
        let seconds = after.at.duration_since(before.at).as_secs_f64();
        let per_second = |after: f64, before: f64| (after - before) / seconds;
        let idle = Idle {
            seconds,
            servers: per_second(after.servers, before.servers),
            postgresql: per_second(after.postgresql, before.postgresql),
            transactions: per_second(after.transactions, before.transactions),
            connections: self.number(
                "SELECT sum(numbackends) FROM pg_stat_database WHERE datname LIKE 'temporal%'",
            )?,
            largest_server: self.largest_server()?,
        };
        self.teller.line(&format!(
            "  of a second: servers {:.3} s of a processor, PostgreSQL {:.3} s, {:.1} transactions; {} connections; \
             the largest server has {} MiB",
            idle.servers, idle.postgresql, idle.transactions, idle.connections, idle.largest_server
        ));
        self.figures.idle = Some(idle);
        Ok(())
    }

    fn read(&self) -> Result<Reading, Box<dyn Error>> {
        let all = processes::all()?;
        let used = |name: &str| {
            let named = all.iter().filter(|it| it.name == name);
            named.map(|it| processor_seconds(it.id)).sum()
        };
        let transactions = self.number(
            "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname LIKE 'temporal%'",
        )?;
        Ok(Reading {
            at: Instant::now(),
            servers: used("temporal-server"),
            postgresql: used("postgres"),
            transactions: f64::from(u32::try_from(transactions)?),
        })
    }

    fn number(&self, statement: &str) -> Result<u64, Box<dyn Error>> {
        let rows = self.stage.database.query("postgres", statement)?;
        Ok(rows.join("").trim().parse()?)
    }

    fn largest_server(&self) -> Result<u64, Box<dyn Error>> {
        let mut largest = 0;
        for unit in self.stage.juju.model().units_of(APP) {
            for id in self.stage.servers(&unit)? {
                largest = largest.max(own_memory(id)?);
            }
        }
        Ok(largest)
    }
}

/// The processor time that a process has used; none if it is gone.
fn processor_seconds(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace());
    // after the name in parentheses: state is the third field of all, utime and stime the 14th and 15th
    let ticks = fields.into_iter().flatten().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

/// Anonymous memory: what is no page of a file.
fn own_memory(id: u32) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.unwrap_or_default().trim().trim_end_matches(" kB");
    Ok(kib.parse::<u64>()? / 1024)
}
