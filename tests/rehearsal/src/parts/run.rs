//! Runs one program of a build to its end, with what it says as progress.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::PartsError;
use super::progress::Progress;

/// The newest Temporal takes under five minutes on two cores; beyond this a download hangs.
const LIMIT: Duration = Duration::from_mins(40);

/// How many of the last lines of a failed build an error shows.
const TAIL: usize = 20;

/// Runs to the end, showing stderr as progress; gives stdout. `remedy` is what a failure advises.
pub(super) fn run(
    part: &str,
    mut command: Command,
    remedy: &'static str,
    progress: &mut Progress,
) -> Result<String, PartsError> {
    let shown = shown(&command);
    let program = Path::new(command.get_program()).to_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| PartsError::Start {
            part: part.to_owned(),
            command: shown.clone(),
            source,
        })?;
    // read from the beginning: a child whose pipe is full waits for its reader
    let stdout = child.stdout.take().map(|mut stdout| {
        std::thread::spawn(move || {
            let mut printed = String::new();
            stdout.read_to_string(&mut printed).map(|_| printed)
        })
    });
    let (status, tail) =
        follow(&mut child, progress).map_err(PartsError::file("follow", &program))?;
    let printed = stdout.map_or_else(|| Ok(String::new()), joined);
    let printed = printed.map_err(PartsError::file("read what was printed by", &program))?;
    if status.is_some_and(|status| status.success()) {
        return Ok(printed);
    }
    Err(PartsError::Failed {
        part: part.to_owned(),
        command: shown,
        status: status.map_or_else(
            || format!("no end within {} minutes", LIMIT.as_secs() / 60),
            |status| status.to_string(),
        ),
        remedy,
        output: tail.join("\n"),
    })
}

fn joined(reader: JoinHandle<io::Result<String>>) -> io::Result<String> {
    let ended = reader.join();
    ended.unwrap_or_else(|_| Err(io::Error::other("its reader panicked")))
}

/// Follows stderr to its end; gives the exit status, or none for a child that was stopped because
/// it took too long, and the last lines.
fn follow(
    child: &mut Child,
    progress: &mut Progress,
) -> io::Result<(Option<ExitStatus>, Vec<String>)> {
    let started = Instant::now();
    let (lines, printed) = mpsc::channel();
    if let Some(stderr) = child.stderr.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
    }
    let mut tail = VecDeque::new();
    loop {
        match printed.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => {
                progress.line(&line);
                tail.push_back(line);
                tail.drain(..tail.len().saturating_sub(TAIL));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Ok((Some(child.wait()?), tail.into()));
            }
        }
        progress.tick();
        if started.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            return Ok((None, tail.into()));
        }
    }
}

/// The command line as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::progress::{Agenda, Job};
    use super::*;

    /// The list of Kubernetes' packages is such an output.
    #[test]
    fn more_than_a_pipe_holds_is_read() {
        const PIPE: usize = 64 * 1024;
        let mut agenda = Agenda::new(vec![Job {
            title: "long".to_owned(),
            seconds: 1.0,
        }]);
        let mut progress = Progress::start(&mut agenda, "printing");
        let mut command = Command::new("head");
        command.args(["-c", &(PIPE * 4).to_string(), "/dev/zero"]);
        let printed = run("long", command, "", &mut progress);
        assert_eq!(printed.map(|text| text.len()).ok(), Some(PIPE * 4));
    }
}
