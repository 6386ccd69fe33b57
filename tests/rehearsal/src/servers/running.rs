//! Programs that run outside a pod: what they print is kept, every wait has an end and a name, and
//! nothing of them outlives its value.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::Start;
use crate::processes::signal_tree;

/// How often a wait looks again.
const LOOK: Duration = Duration::from_millis(50);

/// How many of the last lines of a log an error shows.
const TAIL: usize = 20;

/// What became of a program that was run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started.
    #[error("start `{name}`")]
    Start {
        /// What the program is called.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program could not be waited for, or its log not be read.
    #[error("watch `{name}`")]
    Watch {
        /// What the program is called.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended while it was waited for.
    #[error("`{name}` ended with {status} before {what}\n{log}")]
    Ended {
        /// What the program is called.
        name: String,
        /// What was waited for.
        what: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// It takes longer than it may.
    #[error("`{name}`: {what} not within {} s\n{log}", limit.as_secs())]
    Late {
        /// What the program is called.
        name: String,
        /// What was waited for.
        what: String,
        /// How long it was waited for.
        limit: Duration,
        /// The last lines of its log.
        log: String,
    },
}

/// A program that runs. It ends, at once and with all that it started, when this value goes.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Running {
    /// Starts it; all that it prints goes to the file `log`, which is made anew.
    pub fn start(start: &Start, name: &str, log: &Path) -> Result<Self, RunError> {
        let spawn = || {
            let output = File::create(log)?;
            start
                .command()
                .stdin(Stdio::null())
                .stdout(output.try_clone()?)
                .stderr(output)
                .spawn()
        };
        let child = spawn().map_err(|source| RunError::Start {
            name: name.to_owned(),
            source,
        })?;
        Ok(Self {
            child,
            name: name.to_owned(),
            log: log.to_owned(),
        })
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn log(&self) -> Result<String, RunError> {
        match fs::read(&self.log) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(source) => Err(self.watch(source)),
        }
    }

    /// Waits until `probe` finds `what`, for example "it answers on port 9094", at most `limit`.
    pub fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut() -> bool,
    ) -> Result<(), RunError> {
        self.watched(what, limit, |_| Ok(probe())).map(drop)
    }

    /// Waits until it has printed `text`, at most `limit`.
    pub fn prints(&mut self, text: &str, limit: Duration) -> Result<(), RunError> {
        let what = format!("it prints `{text}`");
        self.watched(&what, limit, |this| Ok(this.log()?.contains(text)))
    }

    /// Waits for its end, at most `limit`.
    pub fn end(&mut self, limit: Duration) -> Result<ExitStatus, RunError> {
        match self.watched("its end", limit, |_| Ok(false)) {
            Err(RunError::Ended { status, .. }) => Ok(status),
            Err(other) => Err(other),
            Ok(()) => self.child.wait().map_err(|source| self.watch(source)),
        }
    }

    fn watched(
        &mut self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut(&Self) -> Result<bool, RunError>,
    ) -> Result<(), RunError> {
        let started = Instant::now();
        loop {
            if probe(self)? {
                return Ok(());
            }
            let ended = match self.child.try_wait() {
                Ok(ended) => ended,
                Err(source) => return Err(self.watch(source)),
            };
            let (name, what) = (self.name.clone(), what.to_owned());
            if let Some(status) = ended {
                let log = tail(&self.log()?);
                return Err(RunError::Ended {
                    name,
                    what,
                    status,
                    log,
                });
            }
            if started.elapsed() >= limit {
                let log = tail(&self.log()?);
                return Err(RunError::Late {
                    name,
                    what,
                    limit,
                    log,
                });
            }
            std::thread::sleep(LOOK);
        }
    }

    fn watch(&self, source: io::Error) -> RunError {
        RunError::Watch {
            name: self.name.clone(),
            source,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Runs a program to its end, at most `limit`, and gives all that it printed.
pub fn finish(start: &Start, name: &str, limit: Duration) -> Result<Output, RunError> {
    let mut command: Command = start.command();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| RunError::Start {
            name: name.to_owned(),
            source,
        })?;
    let id = child.id();
    let (sender, receiver) = mpsc::channel();
    let waiter = std::thread::spawn(move || sender.send(child.wait_with_output()));
    let output = receiver.recv_timeout(limit);
    if output.is_err() {
        // It still runs, so its number is still its own.
        kill_tree(id);
    }
    // Both ends are well: an answer that nobody waits for any more is none to miss.
    drop(waiter.join());
    let late = || RunError::Late {
        name: name.to_owned(),
        what: "its end".to_owned(),
        limit,
        log: String::new(),
    };
    output
        .map_err(|_| late())?
        .map_err(|source| RunError::Watch {
            name: name.to_owned(),
            source,
        })
}

fn end(child: &mut Child) {
    // A child that was waited for has given its number back.
    if matches!(child.try_wait(), Ok(None)) {
        kill_tree(child.id());
        if let Err(error) = child.wait() {
            eprintln!("process {} was not waited for: {error}", child.id());
        }
    }
}

fn kill_tree(id: u32) {
    if let Err(error) = signal_tree(id, Signal::SIGKILL) {
        eprintln!("process {id} was not ended: {error}");
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let from = lines.len().saturating_sub(TAIL);
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Start {
        Start::new(["sh", "-c", script])
    }

    #[test]
    fn a_wait_tells_what_it_waited_for_and_what_was_said() {
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("log");
        let mut running = Running::start(&shell("echo oh; sleep 60"), "it", &log).unwrap();
        running.prints("oh", Duration::from_secs(10)).unwrap();
        let late = running
            .until("the moon is full", Duration::ZERO, || false)
            .unwrap_err();
        assert_eq!(
            late.to_string(),
            "`it`: the moon is full not within 0 s\noh"
        );
        let mut running = Running::start(&shell("echo no >&2; exit 3"), "it", &log).unwrap();
        let ended = running.until("never", Duration::from_secs(10), || false);
        assert_eq!(
            ended.unwrap_err().to_string(),
            "`it` ended with exit status: 3 before never\nno"
        );
        assert_eq!(running.end(Duration::ZERO).unwrap().code(), Some(3));
    }

    #[test]
    fn what_a_program_started_ends_with_it() {
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("log");
        let start = shell("sleep 71 & echo child $! here; wait");
        let mut running = Running::start(&start, "it", &log).unwrap();
        running.prints("here", Duration::from_secs(10)).unwrap();
        let id: u32 = running
            .log()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let lives = || {
            let found = crate::processes::all().unwrap();
            found.iter().any(|it| it.id == id && it.name == "sleep")
        };
        let until = |wanted: bool, what: &str| {
            let started = Instant::now();
            while lives() != wanted {
                assert!(started.elapsed() < Duration::from_secs(10), "{what}");
                std::thread::sleep(LOOK);
            }
        };
        // the shell tells the id of a copy of itself, which becomes the program a moment later
        until(true, "it is not there");
        drop(running);
        until(false, "it lives on");
    }

    #[test]
    fn a_program_that_does_not_finish_is_ended() {
        let late = finish(&shell("sleep 60"), "it", Duration::from_millis(50)).unwrap_err();
        assert_eq!(late.to_string(), "`it`: its end not within 0 s\n");
        let output = finish(&shell("echo yes; exit 4"), "it", Duration::from_secs(10)).unwrap();
        assert_eq!(
            (output.status.code(), &output.stdout[..]),
            (Some(4), &b"yes\n"[..])
        );
    }
}
