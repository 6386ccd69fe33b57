//! Processes of counterparts and clients in a pod: the host's programs, read-only, with one
//! directory of their own to write to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sched::CloneFlags;

use super::Error;
use super::etc::Etc;
use super::mounts;
use super::namespace::{leave, on_thread};
use super::network::PodNamespaces;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How often a process is looked at while its end is waited for.
const LOOK: Duration = Duration::from_millis(10);

/// As whom a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunAs {
    /// The sandbox's root.
    #[default]
    Root,
    /// A user that is not root (`PostgreSQL` insists on that), who owns the process's directory.
    Unprivileged,
}

/// What to run in a pod.
#[derive(Debug, Clone)]
pub struct Process {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    directory: PathBuf,
    name: String,
    run_as: RunAs,
}

impl Process {
    /// A program of the host with the directory that it may write to, which is created, is its
    /// working directory and home, and receives its output.
    pub fn new(program: impl Into<PathBuf>, directory: impl Into<PathBuf>) -> Self {
        let program = program.into();
        let name = program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Self {
            program,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            directory: directory.into(),
            name,
            run_as: RunAs::Root,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable; the process inherits none.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Sets the name of the files that receive the output, by default the program's.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Chooses as whom it runs.
    #[must_use]
    pub fn run_as(mut self, run_as: RunAs) -> Self {
        self.run_as = run_as;
        self
    }

    /// Starts it in a pod; `sealed` becomes read-only but for the process's own directory, and
    /// `aside` is a directory of the pod for
    /// mount points.
    pub(super) fn spawn(
        &self,
        pod: &PodNamespaces,
        etc: &Etc,
        sealed: &Path,
        aside: &Path,
    ) -> Result<Running, Error> {
        fs::create_dir_all(&self.directory).map_err(Error::file("create", &self.directory))?;
        let output = |extension: &str| {
            let path = self.directory.join(format!("{}.{extension}", self.name));
            let file = File::create(&path).map_err(Error::file("create", &path))?;
            Ok::<_, Error>((path, file))
        };
        let (stdout_path, stdout) = output("stdout")?;
        let (stderr_path, stderr) = output("stderr")?;
        mounts::prepare_shadow(aside)?;
        let child = on_thread(|| {
            pod.enter()?;
            leave(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID)?;
            mounts::bind(&self.directory, &self.directory)?;
            mounts::read_only_below(sealed, std::slice::from_ref(&self.directory))?;
            mounts::shadow(Path::new("/etc"), aside, 0o755)?;
            etc.write_here()?;
            mounts::tmpfs(Path::new("/dev/shm"), 0o1777, None)?;
            mounts::shadow(Path::new("/tmp"), aside, 0o1777)?;
            self.command()
                .stdin(Stdio::null())
                .stdout(stdout)
                .stderr(stderr)
                .spawn()
                .map_err(|source| Error::Start {
                    program: self.program.clone(),
                    source,
                })
        })?;
        Ok(Running {
            child: Arc::new(Mutex::new(child)),
            stdout: stdout_path,
            stderr: stderr_path,
        })
    }

    fn command(&self) -> Command {
        let mut command = match self.run_as {
            RunAs::Root => Command::new(&self.program),
            RunAs::Unprivileged => {
                // In a user namespace the same files belong to a user that is not root.
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-user=1000", "--map-group=1000", "--"]);
                command.arg(&self.program);
                command
            }
        };
        command
            .args(&self.arguments)
            .current_dir(&self.directory)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", &self.directory)
            .env("LANG", "C.UTF-8")
            .envs(&self.environment);
        command
    }
}

/// How a process that was waited for has ended, and what it wrote.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A process in a pod. Copies stand for the same process; it ends with its pod.
#[derive(Debug, Clone)]
pub struct Running {
    child: Arc<Mutex<Child>>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it ended, `None` while it runs.
    pub fn status(&self) -> io::Result<Option<ExitStatus>> {
        self.child().try_wait()
    }

    /// What it has written to its standard output.
    pub fn stdout(&self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.stdout)?).into_owned())
    }

    /// What it has written to its standard error.
    pub fn stderr(&self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.stderr)?).into_owned())
    }

    /// Waits for its end, and ends it after `limit` with the error kind `TimedOut`.
    pub fn wait(&self, limit: Duration) -> io::Result<Finished> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.status()? {
                return Ok(Finished {
                    status,
                    stdout: self.stdout()?,
                    stderr: self.stderr()?,
                });
            }
            if begin.elapsed() > limit {
                self.kill()?;
                let text = format!("did not end within {} s", limit.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Sends it a signal, e.g. `SIGTERM` to end it in order.
    pub fn signal(&self, signal: nix::sys::signal::Signal) -> io::Result<()> {
        let mut child = self.child();
        if child.try_wait()?.is_none() {
            let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal)?;
        }
        Ok(())
    }

    /// Ends it at once, with every process that it has started.
    pub fn kill(&self) -> io::Result<()> {
        let mut child = self.child();
        child.kill()?;
        child.wait().map(drop)
    }
}
