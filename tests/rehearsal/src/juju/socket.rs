//! The agent's side of its socket while one hook runs.
//!
//! One thread serves all connections: it waits until something comes, reads what there is, and runs
//! the tools that were asked for, one after another as Juju's agent does. A connection may carry any
//! number of calls, and many before the first answer; the answers have their numbers. Juju's agent
//! promises no order among calls that it has at the same time: see [`Service::chance`].

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::context::HookContext;
use super::faults::{Failure, Fault, strike};
use super::gob::{Decoder, Encoder, Malformed, first_frame};
use super::protocol::{Answer, Answered, Call, METHOD, Nothing, Request};
use super::record::{ToolCall, Traffic};
use super::tools;

/// The agent during one hook.
pub(super) struct Service<'a, 'm> {
    pub(super) start: Instant,
    pub(super) context: String,
    pub(super) hook: &'a mut HookContext<'m>,
    pub(super) faults: &'a mut [Fault],
    /// Draws which of the calls at hand runs next; they run as they came without.
    pub(super) chance: Option<fastrand::Rng>,
}

/// One client.
struct Connection {
    number: u64,
    stream: UnixStream,
    decoder: Decoder,
    encoder: Encoder,
    received: Vec<u8>,
    /// The header whose body is still to come.
    call: Option<Call>,
    unsent: Vec<u8>,
    /// Calls read, or begun to be, and not answered.
    open: u64,
    /// The client said its last word.
    ended: bool,
    /// Nothing more is to be done for it.
    broken: bool,
}

/// A call at hand.
struct Waiting {
    connection: u64,
    call: Call,
    /// The request, or why it is none.
    request: Result<Request, String>,
    came: Instant,
}

impl Service<'_, '_> {
    /// Serves until the other end of `done` is closed, and then what was asked until then.
    pub(super) fn serve(
        mut self,
        listener: &UnixListener,
        done: &UnixStream,
    ) -> io::Result<(Vec<ToolCall>, Traffic)> {
        listener.set_nonblocking(true)?;
        let mut connections: Vec<Connection> = Vec::new();
        let (mut calls, mut traffic) = (Vec::new(), Traffic::default());
        loop {
            let last = wait(listener, done, &connections)?;
            accept(listener, &mut connections, &mut traffic)?;
            let mut waiting = Vec::new();
            for connection in &mut connections {
                connection.read(&mut waiting, &mut traffic);
            }
            while let Some(next) = self.next(&mut waiting) {
                let asked = |it: &&mut Connection| it.number == next.connection;
                if let Some(connection) = connections.iter_mut().find(asked)
                    && !connection.broken
                {
                    calls.extend(self.answer(connection, next));
                    connection.write(&mut traffic);
                }
            }
            for connection in &mut connections {
                connection.write(&mut traffic);
            }
            connections.retain(|it| !it.is_over());
            if last {
                return Ok((calls, traffic));
            }
        }
    }

    fn next(&mut self, waiting: &mut Vec<Waiting>) -> Option<Waiting> {
        if waiting.is_empty() {
            return None;
        }
        let chance = self.chance.as_mut();
        let at = chance.map_or(0, |chance| chance.usize(..waiting.len()));
        Some(waiting.remove(at))
    }

    /// Puts the answer to what is to be sent, if there is one, and says which tool ran.
    fn answer(&mut self, connection: &mut Connection, waiting: Waiting) -> Option<ToolCall> {
        let Waiting {
            call,
            request,
            came,
            ..
        } = waiting;
        let request = match request.and_then(|request| self.accepted(request)) {
            Ok(request) => request,
            Err(error) => {
                connection.answer(call, Err(error));
                return None;
            }
        };
        let unit = self.hook.unit().to_owned();
        let event = self.hook.event.name();
        let struck = strike(self.faults, &unit, &event, &request.tool, &request.args);
        let answer = match struck {
            None => self.work(&request),
            Some(Failure::Exit { code, stderr }) => Ok(answer(code, "", &stderr)),
            Some(Failure::Print(stdout)) => Ok(answer(0, &stdout, "")),
            Some(Failure::Delay(delay)) => {
                thread::sleep(delay);
                self.work(&request)
            }
            Some(Failure::Hang) => return Some(self.record(connection, request, -1, came)),
        };
        let code = answer.as_ref().ok().map(|answer| answer.code);
        connection.answer(call, answer);
        let code = i32::try_from(code?).unwrap_or(-1);
        Some(self.record(connection, request, code, came))
    }

    /// What Juju's agent looks at before it runs a tool.
    fn accepted(&self, request: Request) -> Result<Request, String> {
        if request.tool.is_empty() {
            return Err("bad request: command not specified".to_owned());
        }
        if !Path::new(&request.directory).is_absolute() {
            return Err("bad request: Dir is not absolute".to_owned());
        }
        if request.context != self.context {
            let got = request.context;
            return Err(format!("bad request: wrong context ID; got {got:?}"));
        }
        Ok(request)
    }

    fn work(&mut self, request: &Request) -> Result<Answer, String> {
        let Request { tool, args, .. } = request;
        let stdin = String::from_utf8_lossy(&request.stdin);
        let stdin = request.has_stdin.then_some(&*stdin);
        let reply = tools::serve(self.hook, tool, args, stdin)?;
        Ok(answer(reply.code, &reply.stdout, &reply.stderr))
    }

    fn record(
        &self,
        connection: &Connection,
        request: Request,
        code: i32,
        came: Instant,
    ) -> ToolCall {
        ToolCall {
            name: request.tool,
            args: request.args,
            code,
            connection: connection.number,
            at: came.duration_since(self.start),
            duration: came.elapsed(),
        }
    }
}

fn answer(code: i32, stdout: &str, stderr: &str) -> Answer {
    Answer {
        code: code.into(),
        stdout: stdout.as_bytes().to_vec(),
        stderr: stderr.as_bytes().to_vec(),
    }
}

/// Waits until there is something to do; whether it is the last time.
fn wait(
    listener: &UnixListener,
    done: &UnixStream,
    connections: &[Connection],
) -> io::Result<bool> {
    let mut waits = vec![
        PollFd::new(done.as_fd(), PollFlags::POLLIN),
        PollFd::new(listener.as_fd(), PollFlags::POLLIN),
    ];
    waits.extend(connections.iter().map(|it| {
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::POLLIN, !it.ended);
        wanted.set(PollFlags::POLLOUT, !it.unsent.is_empty());
        PollFd::new(it.stream.as_fd(), wanted)
    }));
    match poll(&mut waits, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(waits.first().and_then(PollFd::any).unwrap_or(false))
}

fn accept(
    listener: &UnixListener,
    connections: &mut Vec<Connection>,
    traffic: &mut Traffic,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                traffic.connections += 1;
                connections.push(Connection::new(traffic.connections, stream));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Connection {
    fn new(number: u64, stream: UnixStream) -> Self {
        Self {
            number,
            stream,
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            received: Vec::new(),
            call: None,
            unsent: Vec::new(),
            open: 0,
            ended: false,
            broken: false,
        }
    }

    /// Reads what there is.
    fn read(&mut self, waiting: &mut Vec<Waiting>, traffic: &mut Traffic) {
        let mut some = [0; 16384];
        while !self.ended && !self.broken {
            match self.stream.read(&mut some) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    // All was answered, and the client speaks again.
                    let rested = self.open == 0 && self.received.is_empty();
                    traffic.round_trips += u64::from(rested);
                    traffic.bytes_in += count as u64;
                    self.received.extend(some.iter().take(count));
                    // As in Go, bytes that are no header end the connection.
                    self.broken |= self.calls(waiting).is_err();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.broken = true,
            }
        }
    }

    /// Takes whole calls out of what was received.
    fn calls(&mut self, waiting: &mut Vec<Waiting>) -> Result<(), Malformed> {
        let received = std::mem::take(&mut self.received);
        let mut rest = received.as_slice();
        while let Some((content, length)) = first_frame(rest)? {
            rest = rest.get(length..).unwrap_or_default();
            let Some(call) = self.call.take() else {
                self.call = self.decoder.decode(content)?;
                self.open += u64::from(self.call.is_some());
                continue;
            };
            // An error in a body is the answer to that call alone.
            let request = if call.method == METHOD {
                let request = self.decoder.decode(content);
                request.map_err(|error| error.to_string()).transpose()
            } else {
                match self.decoder.skip(content) {
                    Ok(false) => None,
                    Ok(true) | Err(_) => Some(Err(unserved(&call.method))),
                }
            };
            let Some(request) = request else {
                self.call = Some(call);
                continue;
            };
            waiting.push(Waiting {
                connection: self.number,
                call,
                request,
                came: Instant::now(),
            });
        }
        self.received = rest.to_vec();
        Ok(())
    }

    fn answer(&mut self, call: Call, answer: Result<Answer, String>) {
        self.open = self.open.saturating_sub(1);
        let (encoder, unsent) = (&mut self.encoder, &mut self.unsent);
        let head = |error| Answered {
            method: call.method,
            number: call.number,
            error,
        };
        match answer {
            Ok(answer) => {
                encoder.encode(head(String::new()), unsent);
                encoder.encode(answer, unsent);
            }
            Err(error) => {
                encoder.encode(head(error), unsent);
                encoder.encode(Nothing, unsent);
            }
        }
    }

    /// Sends what the client takes now. It may be gone: the work was done all the same.
    fn write(&mut self, traffic: &mut Traffic) {
        while !self.broken && !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) => {
                    traffic.bytes_out += count as u64;
                    self.unsent.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.broken = true,
            }
        }
    }

    /// The client is gone and nothing is left to be sent.
    fn is_over(&self) -> bool {
        self.broken || self.ended && self.unsent.is_empty()
    }
}

/// What `net/rpc` says of a method that is not there.
fn unserved(method: &str) -> String {
    let (service, name) = METHOD.rsplit_once('.').unwrap_or_default();
    match method.rsplit_once('.') {
        None => format!("rpc: service/method request ill-formed: {method}"),
        Some((asked, _)) if asked != service => format!("rpc: can't find service {method}"),
        Some((_, asked)) if asked != name => format!("rpc: can't find method {method}"),
        Some(_) => String::new(),
    }
}
