//! What happened: one record per hook, with its tool calls and its outcome.
//!
//! Shown as hooks happen, printed as JSON, asserted on. No value that a charm passes to a tool is
//! ever shown: a databag may carry passwords.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::event::Event;

/// How a dispatch ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// Its exit code.
    Code(i32),
    /// Ended by a signal; Juju runs the hook again without calling it an error.
    Signal(i32),
    /// Ran longer than allowed and was killed with its process group.
    TimedOut,
    /// Could not be started.
    NotStarted(String),
}

impl Exit {
    /// Whether the buffered changes may be flushed.
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::NotStarted(why) => write!(f, "not started: {why}"),
        }
    }
}

/// One call of a hook tool.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    /// The tool.
    pub name: String,
    /// Its arguments as given; `Display` and JSON leave out values.
    #[serde(serialize_with = "shown_args")]
    pub args: Vec<String>,
    /// Its exit code; -1 if no answer was given.
    pub code: i32,
    /// The connection that it came over, counted from 1 in each hook.
    pub connection: u64,
    /// Since the start of the hook.
    #[serde(serialize_with = "milliseconds")]
    pub at: Duration,
    /// From the request to the answer, without the client process.
    #[serde(serialize_with = "milliseconds")]
    pub duration: Duration,
}

/// Tools whose `key=value` arguments carry data.
const CARRIES_VALUES: [&str; 5] = [
    "relation-set",
    "state-set",
    "action-set",
    "secret-add",
    "secret-set",
];

fn redacted(call: &ToolCall) -> Vec<String> {
    let hide = |arg: &String| match arg.split_once('=') {
        Some((key, _)) if CARRIES_VALUES.contains(&call.name.as_str()) => format!("{key}=…"),
        _ => arg.clone(),
    };
    call.args.iter().map(hide).collect()
}

#[expect(clippy::ptr_arg, reason = "serde hands over a reference to the field")]
fn shown_args<S: Serializer>(args: &Vec<String>, serializer: S) -> Result<S::Ok, S::Error> {
    // The tool's name is not at hand here, so every value goes.
    let shown = args.iter().map(|arg| match arg.split_once('=') {
        Some((key, _)) if !key.starts_with('-') => format!("{key}=…"),
        _ => arg.clone(),
    });
    serializer.collect_seq(shown)
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64() * 1000.0)
}

impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        for arg in redacted(self) {
            write!(f, " {arg}")?;
        }
        if self.code != 0 {
            write!(f, " → {}", self.code)?;
        }
        write!(f, " ({:.1} ms)", self.duration.as_secs_f64() * 1000.0)
    }
}

/// What went over the agent's socket in one hook.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Connections, whatever came over them: one a hook tool.
    pub connections: u64,
    /// How often a client spoke to an agent that had answered all and waited: calls sent together
    /// count once.
    pub round_trips: u64,
    /// Bytes from the clients.
    pub bytes_in: u64,
    /// Bytes to them.
    pub bytes_out: u64,
}

/// One line of `juju-log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// `INFO`, `DEBUG`, …
    pub level: String,
    /// The text, with Juju's relation prefix.
    pub text: String,
}

/// One hook or action, run to its end.
#[derive(Debug, Clone, Serialize)]
pub struct HookRun {
    /// The unit.
    pub unit: String,
    /// The hook's or action's name.
    pub hook: String,
    /// The whole event.
    #[serde(skip)]
    pub event: Event,
    /// How the process ended.
    pub exit: Exit,
    /// Buffered changes were committed.
    pub flushed: bool,
    /// Why the commit was refused, if it was.
    pub flush_error: Option<String>,
    /// Wall time of the dispatch.
    #[serde(serialize_with = "milliseconds")]
    pub duration: Duration,
    /// Tool calls in the order they were answered.
    pub calls: Vec<ToolCall>,
    /// What these calls took on the agent's socket.
    pub traffic: Traffic,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// What it logged.
    pub juju_log: Vec<LogLine>,
}

impl HookRun {
    /// The hook counts as done: exit 0 and everything committed.
    pub fn success(&self) -> bool {
        self.exit.success() && self.flushed
    }
}

impl fmt::Display for HookRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.duration.as_secs_f64() * 1000.0;
        write!(
            f,
            "{:<22} {:<44} {milliseconds:>8.0} ms {:>3} calls",
            self.unit,
            self.event.to_string(),
            self.calls.len()
        )?;
        if !self.exit.success() {
            write!(f, "  {}", self.exit)?;
        }
        if let Some(error) = &self.flush_error {
            write!(f, "  {error}")?;
        }
        Ok(())
    }
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionStatus {
    /// Exit 0 and no `action-fail`.
    Completed,
    /// Anything else.
    Failed,
}

/// What `juju run` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActionOutcome {
    /// Completed or failed.
    pub status: ActionStatus,
    /// Results, nested keys joined by dots; with `return-code`, `stdout` and `stderr` as Juju adds them.
    pub results: std::collections::BTreeMap<String, String>,
    /// The text of `action-fail`, or why it failed without one.
    pub message: String,
    /// Lines of `action-log`.
    pub log: Vec<String>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::ToolCall;

    #[test]
    fn values_are_never_shown() {
        let call = ToolCall {
            name: "relation-set".to_owned(),
            args: ["-r", "7", "password=hunter2"].map(str::to_owned).to_vec(),
            code: 0,
            connection: 1,
            at: Duration::ZERO,
            duration: Duration::ZERO,
        };
        assert_eq!(call.to_string(), "relation-set -r 7 password=… (0.0 ms)");
        assert!(!format!("{call:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&call).unwrap().contains("hunter2"));
    }
}
