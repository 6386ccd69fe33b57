//! Runs one dispatch as a process: its environment, its hook tools, its end.
//!
//! While the process runs, one thread answers the agent's socket, one request at a time as Juju's
//! agent does. The process group is killed when the dispatch takes too long.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::context::HookContext;
use super::event::Event;
use super::faults::{Failure, Fault, strike};
use super::model::Model;
use super::protocol::{Answer, Request, receive, send};
use super::record::{Exit, ToolCall};
use super::tools;

/// A client that connects and says nothing is given up after this.
const CLIENT_PATIENCE: Duration = Duration::from_secs(5);

/// Everything about a dispatch that is not the model.
pub(super) struct Dispatch<'a> {
    pub(super) command: Command,
    pub(super) context: String,
    pub(super) listener: &'a UnixListener,
    pub(super) socket: &'a Path,
    pub(super) faults: &'a mut [Fault],
    pub(super) limit: Duration,
}

/// How it ended.
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) duration: Duration,
    pub(super) calls: Vec<ToolCall>,
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
    let ended = |exit, calls, stdout, stderr| Ended {
        exit,
        duration: start.elapsed(),
        calls,
        stdout,
        stderr,
    };
    let not_started = |error: io::Error| {
        ended(
            Exit::NotStarted(error.to_string()),
            Vec::new(),
            String::new(),
            String::new(),
        )
    };
    let (mut stdout, mut stderr) = match attempt() {
        Ok(files) => files,
        Err(error) => return not_started(error),
    };
    let Dispatch {
        command,
        context,
        listener,
        socket,
        faults,
        limit,
    } = dispatch;
    let child = match spawn(command, &stdout, &stderr) {
        Ok(child) => child,
        Err(error) => return not_started(error),
    };
    let done = &AtomicBool::new(false);
    let (exit, calls) = thread::scope(|scope| {
        let mut service = Service {
            start,
            context,
            hook,
            faults,
            hanging: Vec::new(),
        };
        let answering = scope.spawn(move || service.serve(listener, done));
        let exit = wait(child, limit);
        done.store(true, Ordering::SeqCst);
        // Wakes the accept; a failure means that there is nothing to wake.
        drop(UnixStream::connect(socket));
        (exit, answering.join().unwrap_or_default())
    });
    ended(exit, calls, text_of(&mut stdout), text_of(&mut stderr))
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

/// The agent's side of the socket during one hook.
struct Service<'a, 'm> {
    start: Instant,
    context: String,
    hook: &'a mut HookContext<'m>,
    faults: &'a mut [Fault],
    /// Connections that are never answered; they close when the hook is over.
    hanging: Vec<UnixStream>,
}

impl Service<'_, '_> {
    fn serve(&mut self, listener: &UnixListener, done: &AtomicBool) -> Vec<ToolCall> {
        let mut calls = Vec::new();
        for stream in listener.incoming() {
            if done.load(Ordering::SeqCst) {
                break;
            }
            // A client that went away, or sends nonsense, is its own problem.
            if let Ok(Some(call)) = stream.and_then(|stream| self.answer(stream)) {
                calls.push(call);
            }
        }
        calls
    }

    fn answer(&mut self, mut stream: UnixStream) -> io::Result<Option<ToolCall>> {
        let accepted = Instant::now();
        stream.set_read_timeout(Some(CLIENT_PATIENCE))?;
        stream.set_write_timeout(Some(CLIENT_PATIENCE))?;
        let Request {
            context,
            tool,
            args,
            stdin,
        } = receive(&mut stream)?;
        if context != self.context {
            let stderr = "bad request: bad context id\n".to_owned();
            let refused = Answer {
                code: 1,
                stdout: String::new(),
                stderr,
            };
            return send(&mut stream, &refused).map(|()| None);
        }
        let unit = self.hook.unit().to_owned();
        let name = self.hook.event.name();
        let answer = match strike(self.faults, &unit, &name, &tool, &args) {
            None => self.work(&tool, &args, stdin.as_deref()),
            Some(Failure::Exit { code, stderr }) => Answer {
                code,
                stdout: String::new(),
                stderr,
            },
            Some(Failure::Print(stdout)) => Answer {
                code: 0,
                stdout,
                stderr: String::new(),
            },
            Some(Failure::Delay(delay)) => {
                thread::sleep(delay);
                self.work(&tool, &args, stdin.as_deref())
            }
            Some(Failure::Hang) => {
                self.hanging.push(stream);
                return Ok(Some(self.call(tool, args, -1, accepted)));
            }
        };
        let call = self.call(tool, args, answer.code, accepted);
        // The work is done and recorded even if the client did not wait for it.
        drop(send(&mut stream, &answer));
        Ok(Some(call))
    }

    fn work(&mut self, tool: &str, args: &[String], stdin: Option<&str>) -> Answer {
        let tools::Reply {
            code,
            stdout,
            stderr,
        } = tools::run(self.hook, tool, args, stdin);
        Answer {
            code,
            stdout,
            stderr,
        }
    }

    fn call(&self, name: String, args: Vec<String>, code: i32, accepted: Instant) -> ToolCall {
        let at = accepted.duration_since(self.start);
        ToolCall {
            name,
            args,
            code,
            at,
            duration: accepted.elapsed(),
        }
    }
}
