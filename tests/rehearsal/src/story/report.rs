//! What the story tells while it is played, and the document that it leaves.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::idle::Idle;
use super::restarts::Restarts;
use crate::juju::{HookRun, StatusPage};

/// One step of the story.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Step {
    /// What was to be seen.
    pub(super) name: String,
    /// How long that took.
    pub(super) seconds: f64,
    /// Whether it was seen.
    pub(super) passed: bool,
}

/// Figures for people who compare runs.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Figures {
    /// Size of the `.charm` file, in bytes.
    pub(super) charm_bytes: u64,
    /// From `schema_status=ready` in the databag to the last unit's Active, in seconds.
    pub(super) ready_to_active_seconds: Option<f64>,
    /// What doing nothing costs, if that was watched.
    pub(super) idle: Option<Idle>,
    /// What restarts cost, if there were any.
    pub(super) restarts: Option<Restarts>,
}

/// The document of `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    /// Everything was seen.
    pub(super) passed: bool,
    /// Why not, if not.
    pub(super) failure: Option<String>,
    /// Temporal Server's version.
    pub(super) temporal: &'a str,
    /// Pebble's version.
    pub(super) pebble: &'a str,
    /// Units of our application.
    pub(super) units: u32,
    /// From the first step to the last, in seconds.
    pub(super) seconds: f64,
    /// Steps in order.
    pub(super) steps: &'a [Step],
    /// Some figures.
    pub(super) figures: &'a Figures,
    /// The page at the height of the story.
    pub(super) status: Option<&'a StatusPage>,
    /// Every hook with its tool calls.
    pub(super) hooks: &'a [HookRun],
}

/// Prints the story. Copies tell the same one.
#[derive(Debug, Clone)]
pub(super) struct Teller(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    /// With `--json` standard output is for the document, and the story goes to standard error.
    aside: bool,
    events: bool,
    start: Instant,
}

impl Teller {
    /// Begins now.
    pub(super) fn new(aside: bool, events: bool) -> Self {
        let start = Instant::now();
        Self(Rc::new(RefCell::new(State {
            aside,
            events,
            start,
        })))
    }

    /// Since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.0.borrow().start.elapsed()
    }

    /// A line, or several.
    pub(super) fn line(&self, text: &str) {
        // Nobody is there to be told that nobody listens.
        let _unheard = if self.0.borrow().aside {
            writeln!(std::io::stderr(), "{text}")
        } else {
            writeln!(std::io::stdout(), "{text}")
        };
    }

    /// A hook that has just ended: with its calls if they are wanted, with its complaints if it
    /// failed.
    pub(super) fn hook(&self, run: &HookRun) {
        let at = self.elapsed().as_secs_f64();
        self.line(&format!("  {at:>7.2} s  {run}"));
        if self.0.borrow().events {
            for call in &run.calls {
                let at = call.at.as_secs_f64() * 1000.0;
                self.line(&format!("               {at:>7.1} ms  {call}"));
            }
        }
        if !run.success() {
            self.complaints(run);
        }
    }

    /// What a hook wrote to the log and to standard error.
    pub(super) fn complaints(&self, run: &HookRun) {
        for line in &run.juju_log {
            self.line(&format!("             {} {}", line.level, line.text));
        }
        for line in run.stderr.lines() {
            self.line(&format!("             stderr: {line}"));
        }
    }
}
