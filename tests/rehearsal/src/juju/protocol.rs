//! What a hook tool and the agent say to each other, and the tool's side of it.
//!
//! It is Juju's own protocol: Go's `net/rpc`, one method, in the encoding of [`super::gob`]. A call is
//! a header and a body, its answer too; an answer has the number of its call, so several may be under
//! way on a connection. Go's documentation of `net/rpc` names the headers' fields, Juju's bodies are
//! known from its agents.

use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::process::ExitCode;

use super::gob::{Decoder, Encoder, Field, Malformed, Message, first_frame};

/// The one method.
pub(super) const METHOD: &str = "Jujuc.Main";
/// The error for a tool that reads its standard input and has none: the client is to send it.
pub(super) const NO_STDIN: &str = "hook tool requires stdin, none supplied";
/// Where hook tools find the agent if the address that Juju tells is out of order on purpose.
pub(super) const TOOLS_SOCKET: &str = "REHEARSAL_TOOLS_SOCKET";

/// The header of a call.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) number: u64,
}

impl Message for Call {
    const NAME: &'static str = "Request";

    fn fields(&mut self) -> Vec<(&'static str, Field<'_>)> {
        vec![
            ("ServiceMethod", Field::Text(&mut self.method)),
            ("Seq", Field::Uint(&mut self.number)),
        ]
    }
}

/// The body of a call: a tool and its arguments.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) context: String,
    pub(super) directory: String,
    pub(super) tool: String,
    pub(super) args: Vec<String>,
    /// Whether `stdin` counts; nothing may be in it.
    pub(super) has_stdin: bool,
    pub(super) stdin: Vec<u8>,
    /// For agents on another machine; a unit's own agent wants none.
    pub(super) token: String,
}

impl Message for Request {
    const NAME: &'static str = "Request";

    fn fields(&mut self) -> Vec<(&'static str, Field<'_>)> {
        vec![
            ("ContextId", Field::Text(&mut self.context)),
            ("Dir", Field::Text(&mut self.directory)),
            ("CommandName", Field::Text(&mut self.tool)),
            ("Args", Field::Texts(&mut self.args)),
            ("StdinSet", Field::Bool(&mut self.has_stdin)),
            ("Stdin", Field::Bytes(&mut self.stdin)),
            ("Token", Field::Text(&mut self.token)),
        ]
    }
}

/// The header of an answer.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) method: String,
    pub(super) number: u64,
    /// The call itself failed, and the body is [`Nothing`].
    pub(super) error: String,
}

impl Message for Answered {
    const NAME: &'static str = "Response";

    fn fields(&mut self) -> Vec<(&'static str, Field<'_>)> {
        vec![
            ("ServiceMethod", Field::Text(&mut self.method)),
            ("Seq", Field::Uint(&mut self.number)),
            ("Error", Field::Text(&mut self.error)),
        ]
    }
}

/// The body of an answer: what a tool prints and how it ends.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) code: i64,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

impl Message for Answer {
    const NAME: &'static str = "ExecResponse";

    fn fields(&mut self) -> Vec<(&'static str, Field<'_>)> {
        vec![
            ("Code", Field::Int(&mut self.code)),
            ("Stdout", Field::Bytes(&mut self.stdout)),
            ("Stderr", Field::Bytes(&mut self.stderr)),
        ]
    }
}

/// The body of an answer that is an error.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Nothing;

impl Message for Nothing {
    const NAME: &'static str = "";

    fn fields(&mut self) -> Vec<(&'static str, Field<'_>)> {
        Vec::new()
    }
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
        Ok(code) => code,
        Err(error) => {
            eprintln!("ERROR {error}");
            1
        }
    }
}

fn variable(name: &str) -> io::Result<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.ok_or_else(|| io::Error::other(format!("{name} not set")))
}

fn ask(name: &str) -> io::Result<i32> {
    let args: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|arg| {
            arg.into_string()
                .map_err(|_| io::Error::other("argument is not UTF-8"))
        })
        .collect::<Result<_, _>>()?;
    let mut request = Request {
        context: variable("JUJU_CONTEXT_ID")?,
        directory: std::env::current_dir()?.display().to_string(),
        tool: name.to_owned(),
        args,
        ..Request::default()
    };
    let address = variable("JUJU_AGENT_SOCKET_ADDRESS")?;
    match variable("JUJU_AGENT_SOCKET_NETWORK")?.as_str() {
        "unix" => {}
        network => return Err(io::Error::other(format!("dial {network}: unknown network"))),
    }
    let mut agent = Client::dial(&variable(TOOLS_SOCKET).unwrap_or(address))?;
    // Juju's tools find out by asking whether standard input is wanted, and so do these.
    let mut answer = agent.call(request.clone())?;
    if answer.as_ref().is_err_and(|error| error == NO_STDIN) {
        io::stdin().read_to_end(&mut request.stdin)?;
        request.has_stdin = true;
        answer = agent.call(request)?;
    }
    let answer = answer.map_err(io::Error::other)?;
    io::stdout().write_all(&answer.stdout)?;
    io::stderr().write_all(&answer.stderr)?;
    Ok(i32::try_from(answer.code).unwrap_or(1))
}

/// A connection to the agent, with one call at a time.
#[derive(Debug)]
struct Client {
    stream: UnixStream,
    encoder: Encoder,
    decoder: Decoder,
    received: Vec<u8>,
    calls: u64,
}

impl Client {
    /// An address that begins with `@` is a name outside the file system, as Go has it.
    fn dial(address: &str) -> io::Result<Self> {
        let stream = match address.strip_prefix('@') {
            Some(name) => UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?),
            None => UnixStream::connect(address),
        };
        let named = |error| io::Error::other(format!("dial unix {address}: {error}"));
        Ok(Self {
            stream: stream.map_err(named)?,
            encoder: Encoder::default(),
            decoder: Decoder::default(),
            received: Vec::new(),
            calls: 0,
        })
    }

    /// The answer, or the error that came in its place.
    fn call(&mut self, request: Request) -> io::Result<Result<Answer, String>> {
        let call = Call {
            method: METHOD.to_owned(),
            number: self.calls,
        };
        self.calls += 1;
        let mut bytes = Vec::new();
        self.encoder.encode(call.clone(), &mut bytes);
        self.encoder.encode(request, &mut bytes);
        self.stream.write_all(&bytes)?;
        let head: Answered = self.receive(Decoder::decode)?;
        if head.number != call.number {
            return Err(io::Error::other("the answer is to another call"));
        }
        if !head.error.is_empty() {
            self.receive(|decoder, frame| Ok(decoder.skip(frame)?.then_some(())))?;
            return Ok(Err(head.error));
        }
        self.receive(Decoder::decode).map(Ok)
    }

    fn receive<T>(
        &mut self,
        read: impl Fn(&mut Decoder, &[u8]) -> Result<Option<T>, Malformed>,
    ) -> io::Result<T> {
        loop {
            while let Some((content, length)) =
                first_frame(&self.received).map_err(io::Error::other)?
            {
                let message = read(&mut self.decoder, content).map_err(io::Error::other)?;
                self.received.drain(..length);
                if let Some(message) = message {
                    return Ok(message);
                }
            }
            let mut some = [0; 8192];
            match self.stream.read(&mut some)? {
                0 => return Err(io::Error::other("unexpected EOF")),
                count => self.received.extend(some.iter().take(count)),
            }
        }
    }
}
