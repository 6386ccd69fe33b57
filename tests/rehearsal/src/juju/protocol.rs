//! The wire between a hook tool and the agent's socket, and the tool's side of it.
//!
//! A frame is a length (four bytes, big-endian) and JSON. One request and one answer per
//! connection. It is our own; Juju's is another, and internal to Juju.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Frames above this are refused; the kernel's limit for arguments and Juju's for bags are below.
const MAX_FRAME: u32 = 64 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) context: String,
    pub(super) tool: String,
    pub(super) args: Vec<String>,
    pub(super) stdin: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

pub(super) fn send<T: Serialize>(stream: &mut UnixStream, message: &T) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|length| *length <= MAX_FRAME)
        .ok_or_else(|| io::Error::other("message too large"))?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&body)
}

pub(super) fn receive<T: DeserializeOwned>(stream: &mut UnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_FRAME {
        return Err(io::Error::other("message too large"));
    }
    let mut body = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

/// Whether a program started under this name is to be a hook tool.
fn is_hook_tool(name: &str) -> bool {
    super::tools::names().any(|tool| tool == name)
}

/// The whole life of this program, if it was started under the name of a hook tool.
pub fn as_hook_tool() -> Option<ExitCode> {
    let program = std::env::args_os().next()?;
    let name = Path::new(&program).file_name()?.to_str()?;
    let code = || u8::try_from(hook_tool_main(name)).unwrap_or(1);
    is_hook_tool(name).then(|| ExitCode::from(code()))
}

/// The whole life of a hook tool: asks the agent, prints the answer, returns the exit code.
pub fn hook_tool_main(name: &str) -> i32 {
    match ask(name) {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("ERROR {error}");
            1
        }
    }
}

fn ask(name: &str) -> io::Result<i32> {
    let variable =
        |name: &str| std::env::var(name).map_err(|_| io::Error::other(format!("{name} not set")));
    let args: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|arg| {
            arg.into_string()
                .map_err(|_| io::Error::other("argument is not UTF-8"))
        })
        .collect::<Result<_, _>>()?;
    let stdin = if wants_stdin(&args) {
        Some(io::read_to_string(io::stdin())?)
    } else {
        None
    };
    let request = Request {
        context: variable("JUJU_CONTEXT_ID")?,
        tool: name.to_owned(),
        args,
        stdin,
    };
    let mut stream = UnixStream::connect(Path::new(&variable("JUJU_AGENT_SOCKET_ADDRESS")?))?;
    send(&mut stream, &request)?;
    let answer: Answer = receive(&mut stream)?;
    io::stderr().write_all(answer.stderr.as_bytes())?;
    io::stdout().write_all(answer.stdout.as_bytes())?;
    Ok(answer.code)
}

/// `--file -` is the only way to make a tool read its standard input.
fn wants_stdin(args: &[String]) -> bool {
    let flags: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .take_while(|arg| *arg != "--")
        .collect();
    flags.contains(&"--file=-") || flags.windows(2).any(|pair| *pair == ["--file", "-"])
}
