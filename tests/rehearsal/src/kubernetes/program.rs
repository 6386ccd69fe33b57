//! The programs of a cluster: started, stopped, started again, and never left behind.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use super::ClusterError;

/// How many of the last lines of its log an error shows of a program that ended.
const TAIL: usize = 20;

/// Below the ports that the system gives to outgoing connections: a client that tries to reach a
/// server which is away must not get the server's port for its own end.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// Ports that nobody listens on, each another one.
pub(super) fn free_ports<const N: usize>() -> Result<[u16; N], ClusterError> {
    // All are held until the last is found.
    let held: Vec<_> = std::iter::repeat_with(|| fastrand::u16(PORTS))
        .take(PORTS.len())
        .filter_map(|port| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
            Some((port, listener))
        })
        .take(N)
        .collect();
    let ports: Vec<_> = held.iter().map(|(port, _)| *port).collect();
    ports.try_into().map_err(|_too_few| ClusterError::NoPort)
}

/// Makes a directory that only its owner can enter; it may be there already.
pub(super) fn private_directory(path: &Path) -> Result<(), ClusterError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(ClusterError::file("make the directory", path))
}

/// Writes a new file that only its owner can read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), ClusterError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(ClusterError::file("write", path))
}

/// Options as all of the programs take them.
pub(super) fn arguments<const N: usize>(options: [(&str, &str); N]) -> Vec<String> {
    options
        .map(|(name, value)| format!("--{name}={value}"))
        .into()
}

/// A command with the place for its answer.
type Request = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts programs on a thread that lives as long as this value.
///
/// The kernel is told to end each program with its parent, whatever happens to the latter. For
/// that, the parent is the *thread* that started it, and threads of tests come and go.
#[derive(Debug)]
pub(super) struct Starter {
    requests: mpsc::Sender<Request>,
}

impl Starter {
    pub(super) fn new() -> Result<Self, ClusterError> {
        let (requests, asked) = mpsc::channel::<Request>();
        std::thread::Builder::new()
            .name("starter".to_owned())
            .spawn(move || {
                for (mut command, answer) in asked {
                    // Whoever asked is waiting for it.
                    let _heard = answer.send(command.spawn());
                }
            })
            .map_err(|source| ClusterError::Process {
                attempt: "start the thread",
                name: "starter".to_owned(),
                source,
            })?;
        Ok(Self { requests })
    }

    fn spawn(&self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other("the thread that starts programs is gone");
        let (answer, spawned) = mpsc::channel();
        self.requests.send((command, answer)).map_err(|_| gone())?;
        spawned.recv().map_err(|_| gone())?
    }
}

/// A program with its log. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Program {
    name: &'static str,
    path: PathBuf,
    arguments: Vec<String>,
    directory: PathBuf,
    child: Option<Child>,
}

impl Program {
    /// Starts it in a cluster's directory, where it also gets its log.
    pub(super) fn start(
        starter: &Starter,
        name: &'static str,
        path: &Path,
        arguments: Vec<String>,
        directory: &Path,
    ) -> Result<Self, ClusterError> {
        let mut this = Self {
            name,
            path: path.to_owned(),
            arguments,
            directory: directory.to_owned(),
            child: None,
        };
        this.start_again(starter)?;
        Ok(this)
    }

    /// Starts it with the same arguments, unless it runs.
    pub(super) fn start_again(&mut self, starter: &Starter) -> Result<(), ClusterError> {
        if self.child.is_some() {
            return Ok(());
        }
        let log = self.log();
        let output = || {
            File::options()
                .create(true)
                .append(true)
                .open(&log)
                .map_err(ClusterError::file("write", &log))
        };
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.path)
            .args(&self.arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(output()?)
            .stderr(output()?);
        let child = starter.spawn(command).map_err(self.failed("start"))?;
        self.child = Some(child);
        Ok(())
    }

    /// An error if it has ended by itself.
    pub(super) fn runs(&mut self) -> Result<(), ClusterError> {
        let ended = match &mut self.child {
            Some(child) => child.try_wait().map_err(self.failed("look at"))?,
            None => None,
        };
        ended.map_or(Ok(()), |status| {
            Err(ClusterError::Ended {
                name: self.name,
                status,
                log: self.tail(),
            })
        })
    }

    /// Ends it at once, unless it is stopped already.
    pub(super) fn stop(&mut self) -> Result<(), ClusterError> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        child
            .kill()
            .and_then(|()| child.wait())
            .map(drop)
            .map_err(self.failed("end"))
    }

    fn log(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.name))
    }

    fn tail(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let skipped = lines.len().saturating_sub(TAIL);
        lines
            .into_iter()
            .skip(skipped)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn failed(&self, attempt: &'static str) -> impl FnOnce(io::Error) -> ClusterError {
        let name = self.name.to_owned();
        move |source| ClusterError::Process {
            attempt,
            name,
            source,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("{}", crate::chain(&error));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn shell(starter: &Starter, script: &str, directory: &Path) -> Program {
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        Program::start(starter, "shell", Path::new("/bin/sh"), arguments, directory).unwrap()
    }

    fn ended(program: &mut Program) -> ClusterError {
        let begin = Instant::now();
        loop {
            if let Err(error) = program.runs() {
                return error;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "it goes on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_program_that_ends_by_itself_is_named_with_its_last_lines() {
        let place = tempfile::tempdir().unwrap();
        let starter = Starter::new().unwrap();
        let script = "seq 1 30; echo 'no room' >&2; exit 3";
        let mut program = shell(&starter, script, place.path());
        let told = ended(&mut program).to_string();
        assert!(
            told.starts_with("`shell` ended with exit status: 3"),
            "{told}"
        );
        assert!(told.ends_with("\n30\nno room"), "{told}");
        assert!(!told.contains("\n11\n"), "{told}");
    }

    /// Ends it, that is, as the kernel does when the whole process ends.
    #[test]
    fn the_end_of_the_starter_ends_its_programs() {
        let place = tempfile::tempdir().unwrap();
        let starter = Starter::new().unwrap();
        let script = "echo started; exec sleep 60";
        let mut program = shell(&starter, script, place.path());
        while program.tail() != "started" {
            program.runs().unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(starter);
        let told = ended(&mut program).to_string();
        assert!(told.contains("SIGKILL"), "{told}");
    }

    #[test]
    fn a_stopped_program_starts_again_and_keeps_its_log() {
        let place = tempfile::tempdir().unwrap();
        let starter = Starter::new().unwrap();
        let mut program = shell(&starter, "echo started; exec sleep 60", place.path());
        for times in 1..=2 {
            while program.tail().lines().count() < times {
                std::thread::sleep(Duration::from_millis(10));
            }
            program.stop().unwrap();
            program.runs().unwrap();
            program.start_again(&starter).unwrap();
        }
    }
}
