//! Hook tools that fail on purpose, for scenarios in which Juju itself misbehaves.

use std::time::Duration;

/// What a tool does instead of its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Ends with this code and standard error.
    Exit {
        /// The exit code.
        code: i32,
        /// What it prints on standard error.
        stderr: String,
    },
    /// Prints this and exits 0.
    Print(String),
    /// Never answers.
    Hang,
    /// Does its work, but this much later.
    Delay(Duration),
}

/// Which calls are hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The tool, `*` for all.
    pub tool: String,
    /// Only calls of this unit.
    pub unit: Option<String>,
    /// Only calls in this hook.
    pub hook: Option<String>,
    /// Only calls with this argument.
    pub argument: Option<String>,
    /// How often it still strikes; for ever if `None`.
    pub times: Option<u32>,
    /// What happens.
    pub failure: Failure,
}

impl Fault {
    /// A fault of one tool on all units, for ever.
    pub fn new(tool: &str, failure: Failure) -> Self {
        let tool = tool.to_owned();
        Self {
            tool,
            unit: None,
            hook: None,
            argument: None,
            times: None,
            failure,
        }
    }

    /// Strikes once only.
    #[must_use]
    pub fn once(self) -> Self {
        Self {
            times: Some(1),
            ..self
        }
    }

    /// Strikes one unit only.
    #[must_use]
    pub fn on(self, unit: &str) -> Self {
        Self {
            unit: Some(unit.to_owned()),
            ..self
        }
    }

    /// Strikes in one hook only.
    #[must_use]
    pub fn during(self, hook: &str) -> Self {
        Self {
            hook: Some(hook.to_owned()),
            ..self
        }
    }

    /// Strikes only calls that have this argument.
    #[must_use]
    pub fn with_argument(self, argument: &str) -> Self {
        Self {
            argument: Some(argument.to_owned()),
            ..self
        }
    }
}

/// The failure that strikes a call, counted down.
pub(super) fn strike(
    faults: &mut [Fault],
    unit: &str,
    hook: &str,
    tool: &str,
    args: &[String],
) -> Option<Failure> {
    let fault = faults.iter_mut().find(|it| {
        (it.tool == tool || it.tool == "*")
            && it.unit.as_deref().is_none_or(|wanted| wanted == unit)
            && it.hook.as_deref().is_none_or(|wanted| wanted == hook)
            && it
                .argument
                .as_ref()
                .is_none_or(|wanted| args.contains(wanted))
            && it.times != Some(0)
    })?;
    fault.times = fault.times.map(|times| times - 1);
    Some(fault.failure.clone())
}
