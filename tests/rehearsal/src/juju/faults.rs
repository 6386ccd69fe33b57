//! Hook tools, and the socket behind them, that fail on purpose: for scenarios in which Juju itself
//! misbehaves.

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
    /// Only what a charm asks over the agent's socket itself: its hook tools work.
    Wire(Wire),
}

/// What goes wrong between a charm and the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire {
    /// Nobody listens at the address that the hook is told, whichever tool is meant.
    Refused,
    /// The connection ends with the call, and no tool ran.
    CallLost,
    /// The tool ran, and the connection ends in place of the answer.
    AnswerLost,
    /// The tool ran, and the connection ends in the middle of the answer.
    AnswerCut,
    /// The tool ran, and these bytes come in place of the answer.
    Garbage(Vec<u8>),
    /// The tool ran, and the answer is of a type that was never defined.
    UnknownType,
    /// No tool ran: the call fails with this text, which no tool says.
    Error(String),
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

impl Fault {
    fn is_aimed_at(&self, unit: &str, hook: &str) -> bool {
        self.unit.as_deref().is_none_or(|wanted| wanted == unit)
            && self.hook.as_deref().is_none_or(|wanted| wanted == hook)
            && self.times != Some(0)
    }

    fn strike(&mut self) -> Failure {
        self.times = self.times.map(|times| times - 1);
        self.failure.clone()
    }
}

/// Whether in this hook calls over the socket itself are to be told from those of hook tools.
pub(super) fn on_the_wire(faults: &[Fault], unit: &str, hook: &str) -> bool {
    let mut aimed = faults.iter().filter(|it| it.is_aimed_at(unit, hook));
    aimed.any(|it| matches!(it.failure, Failure::Wire(_)))
}

/// Whether nobody listens to the charm in this hook, counted down.
pub(super) fn strike_listener(faults: &mut [Fault], unit: &str, hook: &str) -> bool {
    let mut aimed = faults.iter_mut().filter(|it| it.is_aimed_at(unit, hook));
    let refused = Failure::Wire(Wire::Refused);
    aimed
        .find(|it| it.failure == refused)
        .map(Fault::strike)
        .is_some()
}

/// The failure that strikes a call, counted down; `directly` if no hook tool made it.
pub(super) fn strike(
    faults: &mut [Fault],
    unit: &str,
    hook: &str,
    (tool, args): (&str, &[String]),
    directly: bool,
) -> Option<Failure> {
    let fault = faults.iter_mut().find(|it| {
        let strikes = match it.failure {
            Failure::Wire(Wire::Refused) => false,
            Failure::Wire(_) => directly,
            Failure::Exit { .. } | Failure::Print(_) | Failure::Hang | Failure::Delay(_) => true,
        };
        strikes
            && it.is_aimed_at(unit, hook)
            && (it.tool == tool || it.tool == "*")
            && it
                .argument
                .as_ref()
                .is_none_or(|wanted| args.contains(wanted))
    })?;
    Some(fault.strike())
}
