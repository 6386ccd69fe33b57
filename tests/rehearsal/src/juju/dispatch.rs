//! One hook from its environment to its flush, in a process or, for a counterpart, in this one.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Instant;

use super::context::{ActionSaid, HookContext};
use super::event::Event;
use super::faults;
use super::hooks::{self, Dispatch, Ended, Place};
use super::protocol::TOOLS_SOCKET;
use super::record::{ActionOutcome, ActionStatus, Exit, HookRun, Traffic};
use super::{Juju, JujuError, OrderOfEvents};

impl Juju {
    /// Runs a hook although nothing has happened, to measure it. What it changes is committed; what the agent has
    /// told its charm stays as it is.
    pub fn repeat(&mut self, unit: &str, event: &Event) -> Result<HookRun, JujuError> {
        let (run, ..) = self.dispatch(unit, event.clone())?;
        self.log.push(run.clone());
        Ok(run)
    }

    /// Runs it, and commits its changes if it ended well. Says also what an action said, and
    /// whether the charm set its status.
    pub(super) fn dispatch(
        &mut self,
        unit: &str,
        event: Event,
    ) -> Result<(HookRun, ActionSaid, bool), JujuError> {
        let context = format!("{unit}-{}-{}", event.name(), self.log.len());
        let (socket, charm_dir) = (self.socket_of(unit), self.cloud.charm_dir(unit));
        let place = Place {
            charm_dir: &charm_dir,
            tools: &self.tools,
            socket: &socket,
            context: &context,
        };
        let environment = hooks::environment(&self.model, unit, &event, &place);
        let mut hook = HookContext::new(&mut self.model, unit, event.clone());
        let ended = match (self.charms.get_mut(unit), self.listeners.get(unit)) {
            (Some(charm), _) => play(charm.as_mut(), &event, &mut hook),
            (None, Some(listener)) => {
                let command = self.cloud.charm_command(unit);
                let mut command = command
                    .map_err(|source| JujuError::cloud("enter the charm of", unit, source))?;
                command.envs(environment);
                if self.tools_only {
                    command.env("JUJU_HOOK_TRANSPORT", "tools");
                }
                let (faults, limit) = (self.faults.as_mut_slice(), self.hook_limit);
                let mut tools = None;
                if faults::on_the_wire(faults, unit, &event.name()) {
                    let own = socket.with_extension("tools");
                    tools = Some(listen(&own)?);
                    command.env(TOOLS_SOCKET, own);
                }
                if faults::strike_listener(faults, unit, &event.name()) {
                    let deaf = socket.with_extension("deaf");
                    drop(listen(&deaf)?);
                    command.env("JUJU_AGENT_SOCKET_ADDRESS", deaf);
                }
                let chance = match &mut self.order {
                    OrderOfEvents::Calm => None,
                    OrderOfEvents::Shuffled(chance) => Some(chance.fork()),
                };
                let dispatch = Dispatch {
                    command,
                    context,
                    listener,
                    tools,
                    faults,
                    chance,
                    limit,
                };
                hooks::run(dispatch, &mut hook)
            }
            (None, None) => {
                return Err(super::relate::Refusal::NoUnit(unit.to_owned()).into());
            }
        };
        if let Some(before_flush) = &mut self.before_flush {
            before_flush(unit, &event, hook.model);
        }
        let flush = if ended.exit.success() {
            Some(hook.flush())
        } else {
            None
        };
        let run = HookRun {
            unit: unit.to_owned(),
            hook: event.name(),
            event,
            exit: ended.exit,
            flushed: flush == Some(Ok(())),
            flush_error: flush.and_then(Result::err).map(|error| error.to_string()),
            duration: ended.duration,
            calls: ended.calls,
            traffic: ended.traffic,
            stdout: ended.stdout,
            stderr: ended.stderr,
            juju_log: std::mem::take(&mut hook.log),
        };
        Ok((run, std::mem::take(&mut hook.said), hook.status_set))
    }
}

/// A socket of its own at a path; its file stays when nobody listens any more.
pub(super) fn listen(path: &Path) -> Result<UnixListener, JujuError> {
    let attempt = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        if path.exists() {
            fs::remove_file(path)?;
        }
        UnixListener::bind(path)
    };
    attempt().map_err(|source| JujuError::Io {
        attempt: format!("listen on {}", path.display()),
        source,
    })
}

/// Runs a counterpart's hook in this process.
fn play(charm: &mut dyn super::Charm, event: &Event, hook: &mut HookContext) -> Ended {
    let start = Instant::now();
    let (exit, stderr) = match charm.dispatch(event, hook) {
        Ok(()) => (Exit::Code(0), String::new()),
        Err(error) => {
            let causes = std::iter::successors(Some(&*error), |error| error.source());
            let chain: Vec<String> = causes.map(ToString::to_string).collect();
            (Exit::Code(1), chain.join(": "))
        }
    };
    let duration = start.elapsed();
    Ended {
        exit,
        duration,
        calls: Vec::new(),
        traffic: Traffic::default(),
        stdout: String::new(),
        stderr,
    }
}

pub(super) fn outcome(run: &HookRun, said: ActionSaid) -> ActionOutcome {
    let mut results = said.results;
    let code = match run.exit {
        Exit::Code(code) => code,
        Exit::Signal(_) | Exit::TimedOut | Exit::NotStarted(_) => 1,
    };
    results.insert("return-code".to_owned(), code.to_string());
    for (key, text) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        if !text.is_empty() {
            results.insert(key.to_owned(), text.clone());
        }
    }
    let failure = match (&run.exit, &run.flush_error) {
        (exit, _) if !exit.success() => said.failure.or_else(|| Some(exit.to_string())),
        (_, Some(error)) => Some(error.clone()),
        _ => said.failure,
    };
    let status = if failure.is_some() {
        ActionStatus::Failed
    } else {
        ActionStatus::Completed
    };
    ActionOutcome {
        status,
        results,
        message: failure.unwrap_or_default(),
        log: said.log,
    }
}
