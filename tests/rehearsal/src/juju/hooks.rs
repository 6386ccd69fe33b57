//! Runs one dispatch as a process: its environment, its hook tools, its end.
//!
//! While the process runs, another thread serves the agent's socket. The process group is killed when
//! the dispatch takes too long.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::context::HookContext;
use super::event::Event;
use super::faults::Fault;
use super::model::Model;
use super::record::{Exit, ToolCall, Traffic};
use super::socket::Service;

/// Everything about a dispatch that is not the model.
pub(super) struct Dispatch<'a> {
    pub(super) command: Command,
    pub(super) context: String,
    pub(super) listener: &'a UnixListener,
    /// Where hook tools call if what a charm asks itself is to be told from that.
    pub(super) tools: Option<UnixListener>,
    pub(super) faults: &'a mut [Fault],
    /// Draws the order of calls that are made at the same time.
    pub(super) chance: Option<fastrand::Rng>,
    pub(super) limit: Duration,
}

/// How it ended.
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) duration: Duration,
    pub(super) calls: Vec<ToolCall>,
    pub(super) traffic: Traffic,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Where a hook runs, as far as its environment tells it.
pub(super) struct Place<'a> {
    pub(super) charm_dir: &'a Path,
    pub(super) tools: &'a Path,
    pub(super) socket: &'a Path,
    pub(super) context: &'a str,
}

/// The whole environment of a hook. `HOME` is not in it.
pub(super) fn environment(
    model: &Model,
    unit: &str,
    event: &Event,
    place: &Place,
) -> Vec<(&'static str, String)> {
    let (major, minor, patch) = model.juju;
    let charm_dir = place.charm_dir.display().to_string();
    let mut variables = vec![
        ("JUJU_UNIT_NAME", unit.to_owned()),
        ("JUJU_MODEL_NAME", model.name.clone()),
        ("JUJU_MODEL_UUID", model.uuid.clone()),
        ("JUJU_VERSION", format!("{major}.{minor}.{patch}")),
        ("JUJU_CHARM_DIR", charm_dir.clone()),
        ("CHARM_DIR", charm_dir),
        ("JUJU_CONTEXT_ID", place.context.to_owned()),
        (
            "JUJU_AGENT_SOCKET_ADDRESS",
            place.socket.display().to_string(),
        ),
        ("JUJU_AGENT_SOCKET_NETWORK", "unix".to_owned()),
        ("JUJU_API_ADDRESSES", "10.152.183.2:17070".to_owned()),
        ("CLOUD_API_VERSION", "1.33.0".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("DEBIAN_FRONTEND", "noninteractive".to_owned()),
        ("TERM", "tmux-256color".to_owned()),
        (
            "PATH",
            format!(
                "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                place.tools.display()
            ),
        ),
    ];
    let empty = [
        "JUJU_MACHINE_ID",
        "JUJU_PRINCIPAL_UNIT",
        "JUJU_AVAILABILITY_ZONE",
        "JUJU_CHARM_HTTP_PROXY",
        "JUJU_CHARM_HTTPS_PROXY",
        "JUJU_CHARM_FTP_PROXY",
        "JUJU_CHARM_NO_PROXY",
    ];
    variables.extend(empty.map(|name| (name, String::new())));
    if major < 4 {
        variables.push(("JUJU_SLA", "unsupported".to_owned()));
    }
    variables.extend(event.variables());
    variables
}

/// Runs it to its end, whatever that is.
pub(super) fn run(dispatch: Dispatch, hook: &mut HookContext) -> Ended {
    let start = Instant::now();
    let attempt =
        || -> io::Result<(File, File)> { Ok((tempfile::tempfile()?, tempfile::tempfile()?)) };
    let not_started = |error: io::Error| Ended {
        exit: Exit::NotStarted(error.to_string()),
        duration: start.elapsed(),
        calls: Vec::new(),
        traffic: Traffic::default(),
        stdout: String::new(),
        stderr: String::new(),
    };
    let (mut stdout, mut stderr) = match attempt() {
        Ok(files) => files,
        Err(error) => return not_started(error),
    };
    let (running, done) = match UnixStream::pair() {
        Ok(ends) => ends,
        Err(error) => return not_started(error),
    };
    let Dispatch {
        command,
        context,
        listener,
        tools,
        faults,
        chance,
        limit,
    } = dispatch;
    let child = match spawn(command, &stdout, &stderr) {
        Ok(child) => child,
        Err(error) => return not_started(error),
    };
    let (exit, served) = thread::scope(|scope| {
        let service = Service {
            start,
            context,
            hook,
            faults,
            chance,
        };
        let serving = scope.spawn(move || service.serve(listener, tools.as_ref(), &done));
        let exit = wait(child, limit);
        drop(running);
        (exit, serving.join())
    });
    let (calls, traffic) = match served {
        Ok(Ok(served)) => served,
        Ok(Err(error)) => return not_started(error),
        Err(panic) => std::panic::resume_unwind(panic),
    };
    Ended {
        exit,
        duration: start.elapsed(),
        calls,
        traffic,
        stdout: text_of(&mut stdout),
        stderr: text_of(&mut stderr),
    }
}

fn spawn(mut command: Command, stdout: &File, stderr: &File) -> io::Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?);
    command.process_group(0);
    // A file just unpacked may still be open for writing in another thread's child for a moment.
    for _ in 0..100 {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
    command.spawn()
}

fn wait(mut child: Child, limit: Duration) -> Exit {
    let group = child.id().try_into().map(Pid::from_raw);
    let (sender, receiver) = mpsc::channel();
    let waiting = thread::spawn(move || sender.send(child.wait()));
    let result = receiver.recv_timeout(limit);
    let exit = match result {
        Ok(Ok(status)) => exit_of(status),
        Ok(Err(error)) => Exit::NotStarted(error.to_string()),
        Err(_) => {
            if let Ok(group) = group {
                // Fails only if the group ended by itself just now.
                killpg(group, Signal::SIGKILL).ok();
            }
            Exit::TimedOut
        }
    };
    drop(waiting.join());
    exit
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

fn text_of(file: &mut File) -> String {
    let mut bytes = Vec::new();
    match file.rewind().and_then(|()| file.read_to_end(&mut bytes)) {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(output lost: {error})"),
    }
}
