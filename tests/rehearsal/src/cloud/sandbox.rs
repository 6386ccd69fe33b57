//! The sandbox: the program runs itself once more inside fresh namespaces, where the host's file
//! system is read-only and nothing that happens to links, mounts or processes reaches the host.
//!
//! `enter` is called by `main` (and [`command`] by tests that start themselves again) before any
//! [`Node`](super::Node). When the outer program dies, by whatever signal, the kernel ends
//! everything inside: the first process of the PID namespace is tied to it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::geteuid;

use super::Error;
use super::mounts;

/// Holds the mount namespace of the program outside; a child knows by it that it is inside.
const MARK: &str = "REHEARSAL_SANDBOX";

/// The first process inside: it runs the program and reaps what others leave behind.
const INIT: &str = r#""$@"; exit $?"#;

/// The files whose content says whether user namespaces are allowed, with the value that does,
/// and the remedy.
const SETTINGS: [(&str, &str); 3] = [
    ("kernel/apparmor_restrict_unprivileged_userns", "0"),
    ("kernel/unprivileged_userns_clone", "1"),
    ("user/max_user_namespaces", ""),
];

/// Why the sandbox cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The machine does not allow the namespaces.
    #[error(
        "this machine does not allow the namespaces that the rehearsal lives in ({said}); {remedy}"
    )]
    Refused {
        /// What `unshare` said.
        said: String,
        /// What to do about it.
        remedy: String,
    },
    /// The program could not be started again.
    #[error("cannot start `{0}`, which is part of util-linux")]
    Start(String, #[source] io::Error),
    /// Signals could not be held back.
    #[error("cannot wait for signals")]
    Signals(#[source] Errno),
    /// The host's file system could not be made read-only.
    #[error("cannot seal the host's file system")]
    Seal(#[source] Error),
    /// A namespace could not be read.
    #[error("cannot read the program's own namespaces")]
    Read(#[source] io::Error),
}

/// On which side of the sandbox the caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Entered {
    /// Inside: go on.
    Inside,
    /// Outside: the program has run inside, to this exit code, and nothing of it is left but the
    /// files in its writable directories.
    Outside(u8),
}

/// Runs the program again inside the sandbox, or says that this is the run inside.
///
/// `writable` are the directories that stay writable inside; they must exist, and the first takes temporary
/// files (`TMPDIR`). Both runs must name the same ones. Outside, an
/// interrupt ends everything inside at once, and `enter` returns 128 plus the signal, so that the
/// caller can remove its directories. Call it before other threads are started: their
/// signals would not be waited for.
pub fn enter(writable: &[PathBuf]) -> Result<Entered, EnterError> {
    if inside().map_err(EnterError::Read)? {
        seal(writable).map_err(EnterError::Seal)?;
        return Ok(Entered::Inside);
    }
    run_inside(writable, std::env::args_os().skip(1)).map(Entered::Outside)
}

/// What [`enter`] does outside, with other arguments for the run inside.
pub fn run_inside(
    writable: &[PathBuf],
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<u8, EnterError> {
    let arguments = arguments.into_iter().collect();
    run_side_by_side([(writable.first().cloned(), arguments)])
}

/// The same several times at once, each in a sandbox of its own: with a writable directory, and arguments. The code is
/// that of the first that did not end well.
pub fn run_side_by_side(
    runs: impl IntoIterator<Item = (Option<PathBuf>, Vec<OsString>)>,
) -> Result<u8, EnterError> {
    allowed()?;
    let program = std::env::current_exe().map_err(EnterError::Read)?;
    let mut children = Vec::new();
    for (writable, arguments) in runs {
        let mut command = command(&program).map_err(EnterError::Read)?;
        if let Some(directory) = writable {
            // The usual place is read-only inside.
            command.env("TMPDIR", directory);
        }
        let child = command.args(arguments).spawn();
        let child = child.map_err(|source| EnterError::Start("setpriv".to_owned(), source))?;
        children.push(child);
    }
    attend(children)
}

/// Whether this program runs inside the sandbox.
pub fn inside() -> io::Result<bool> {
    let own = mount_namespace()?;
    Ok(std::env::var(MARK).is_ok_and(|outer| outer != own))
}

/// The command that runs a program inside the sandbox; arguments may be added.
///
/// The program still has to call [`enter`], which finds itself inside.
pub fn command(program: impl AsRef<OsStr>) -> io::Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "unshare"]);
    if !geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .args(["--mount", "--net", "--pid", "--ipc", "--uts"])
        .args(["--fork", "--kill-child=SIGKILL", "--mount-proc", "--"])
        .args(["sh", "-c", INIT, "sh"])
        .arg(program)
        .env(MARK, mount_namespace()?);
    Ok(command)
}

/// Tries the namespaces, so that a refusal is told in words.
pub fn allowed() -> Result<(), EnterError> {
    let output = command("true")
        .map_err(EnterError::Read)?
        .stdin(Stdio::null())
        .output()
        .map_err(|source| EnterError::Start("setpriv".to_owned(), source))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(EnterError::Refused {
        said,
        remedy: remedy(),
    })
}

fn remedy() -> String {
    if geteuid().is_root() {
        return "as root it needs CAP_SYS_ADMIN and CAP_NET_ADMIN, which containers lack unless \
                they are privileged"
            .to_owned();
    }
    let set = SETTINGS.iter().find_map(|(file, wanted)| {
        let value = fs::read_to_string(Path::new("/proc/sys").join(file)).ok()?;
        let value = value.trim();
        let wrong = if wanted.is_empty() {
            value == "0"
        } else {
            value != *wanted
        };
        let wanted = if wanted.is_empty() { "10000" } else { wanted };
        wrong.then(|| format!("set `{}={wanted}` with sysctl, or", file.replace('/', ".")))
    });
    format!("{} run it as root", set.unwrap_or_default())
        .trim_start()
        .to_owned()
}

fn mount_namespace() -> io::Result<String> {
    Ok(fs::read_link("/proc/self/ns/mnt")?
        .to_string_lossy()
        .into_owned())
}

/// Waits for the runs inside, and ends them when a signal asks for the end.
fn attend(mut children: Vec<Child>) -> Result<u8, EnterError> {
    let mut signals = SigSet::empty();
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGCHLD,
    ] {
        signals.add(signal);
    }
    // The children are running already: they would inherit the mask.
    signals.thread_block().map_err(EnterError::Signals)?;
    let mut code = 0;
    loop {
        let mut running = Vec::new();
        for mut child in children {
            let ended = child
                .try_wait()
                .map_err(|e| EnterError::Start("setpriv".to_owned(), e))?;
            match ended {
                Some(status) if code == 0 => {
                    let own = status.code().and_then(|code| u8::try_from(code).ok());
                    code = own.unwrap_or(255);
                }
                Some(_) => {}
                None => running.push(child),
            }
        }
        children = running;
        if children.is_empty() {
            return Ok(code);
        }
        let signal = signals.wait().map_err(EnterError::Signals)?;
        if signal != Signal::SIGCHLD {
            for child in &mut children {
                child
                    .kill()
                    .and_then(|()| child.wait())
                    .map_err(EnterError::Read)?;
            }
            return Ok(u8::try_from(128 + signal as i32).unwrap_or(255));
        }
    }
}

/// Makes everything read-only but the writable directories and the kernel's own file systems.
fn seal(writable: &[PathBuf]) -> Result<(), Error> {
    static SEALED: Mutex<bool> = Mutex::new(false);
    let mut sealed = SEALED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if *sealed {
        return Ok(());
    }
    let mut keep = vec![PathBuf::from("/proc"), PathBuf::from("/dev")];
    for directory in writable {
        let directory = directory
            .canonicalize()
            .map_err(Error::file("find", directory))?;
        mounts::bind(&directory, &directory)?;
        keep.push(directory);
    }
    mounts::read_only_below(Path::new("/"), &keep)?;
    if Path::new("/dev/shm").is_dir() {
        mounts::tmpfs(Path::new("/dev/shm"), 0o1777, None)?;
    }
    *sealed = true;
    Ok(())
}
