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
use super::faults::{Failure, Fault, Wire, strike};
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
    /// No hook tool made it, as far as that is told apart.
    direct: bool,
    stream: UnixStream,
    decoder: Decoder,
    encoder: Encoder,
    received: Vec<u8>,
    /// The header whose body is still to come.
    call: Option<Call>,
    unsent: Vec<u8>,
    /// Calls read, or begun to be, and not answered.
    open: u64,
    state: State,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The client said its last word; what it asked is done and answered.
    Ended,
    /// A fault ends it: what was answered is sent, and nothing more is done.
    Closing,
    /// The client is gone; what it asked is done.
    Gone,
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
    /// Serves until the other end of `done` is closed, and then what was asked until then. Hook tools
    /// may have a listener of their own.
    pub(super) fn serve(
        mut self,
        listener: &UnixListener,
        tools: Option<&UnixListener>,
        done: &UnixStream,
    ) -> io::Result<(Vec<ToolCall>, Traffic)> {
        let listeners: Vec<_> = [Some((listener, true)), tools.map(|it| (it, false))]
            .into_iter()
            .flatten()
            .collect();
        for (listener, _) in &listeners {
            listener.set_nonblocking(true)?;
        }
        let mut connections: Vec<Connection> = Vec::new();
        let (mut calls, mut traffic) = (Vec::new(), Traffic::default());
        loop {
            let last = wait(&listeners, done, &connections)?;
            for (listener, direct) in &listeners {
                accept(listener, *direct, &mut connections, &mut traffic)?;
            }
            let mut waiting = Vec::new();
            for connection in &mut connections {
                connection.read(&mut waiting, &mut traffic);
            }
            while let Some(next) = self.next(&mut waiting) {
                let asked = |it: &&mut Connection| it.number == next.connection;
                // A client that is gone has asked all the same, and Juju's agent does it.
                if let Some(connection) = connections.iter_mut().find(asked)
                    && connection.state != State::Closing
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
        let asked = (request.tool.as_str(), request.args.as_slice());
        let struck = strike(self.faults, &unit, &event, asked, connection.direct);
        let mut wire = None;
        let answer = match struck {
            None => self.work(&request),
            Some(Failure::Exit { code, stderr }) => Ok(answer(code, "", &stderr)),
            Some(Failure::Print(stdout)) => Ok(answer(0, &stdout, "")),
            Some(Failure::Delay(delay)) => {
                thread::sleep(delay);
                self.work(&request)
            }
            Some(Failure::Hang) => return Some(self.record(connection, request, -1, came)),
            Some(Failure::Wire(Wire::CallLost)) => {
                connection.state = State::Closing;
                return None;
            }
            Some(Failure::Wire(Wire::Error(error))) => Err(error),
            Some(Failure::Wire(fault)) => {
                wire = Some(fault);
                self.work(&request)
            }
        };
        let code = answer.as_ref().ok().map(|answer| answer.code);
        match wire {
            None => connection.answer(call, answer),
            Some(fault) => connection.answer_badly(call, answer, fault),
        }
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
    listeners: &[(&UnixListener, bool)],
    done: &UnixStream,
    connections: &[Connection],
) -> io::Result<bool> {
    let mut waits = vec![PollFd::new(done.as_fd(), PollFlags::POLLIN)];
    for (listener, _) in listeners {
        waits.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
    }
    waits.extend(connections.iter().map(|it| {
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::POLLIN, it.state == State::Open);
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
    direct: bool,
    connections: &mut Vec<Connection>,
    traffic: &mut Traffic,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                traffic.connections += 1;
                let number = traffic.connections;
                connections.push(Connection::new(number, direct, stream));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Connection {
    fn new(number: u64, direct: bool, stream: UnixStream) -> Self {
        Self {
            number,
            direct,
            stream,
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            received: Vec::new(),
            call: None,
            unsent: Vec::new(),
            open: 0,
            state: State::Open,
        }
    }

    /// Reads what there is.
    fn read(&mut self, waiting: &mut Vec<Waiting>, traffic: &mut Traffic) {
        let mut some = [0; 16384];
        while self.state == State::Open {
            match self.stream.read(&mut some) {
                Ok(0) => self.state = State::Ended,
                Ok(count) => {
                    // All was answered, and the client speaks again.
                    let rested = self.open == 0 && self.received.is_empty();
                    traffic.round_trips += u64::from(rested);
                    traffic.bytes_in += count as u64;
                    self.received.extend(some.iter().take(count));
                    // As in Go, bytes that are no header end the connection, after what came before.
                    if self.calls(waiting).is_err() {
                        self.state = State::Ended;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.state = State::Gone,
            }
        }
    }

    /// Takes whole calls out of what was received.
    fn calls(&mut self, waiting: &mut Vec<Waiting>) -> Result<(), Malformed> {
        let mut received = std::mem::take(&mut self.received);
        let mut taken = 0;
        while let Some((content, length)) = first_frame(received.get(taken..).unwrap_or_default())?
        {
            taken += length;
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
        received.drain(..taken);
        self.received = received;
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

    /// Answers as the fault says.
    fn answer_badly(&mut self, call: Call, answer: Result<Answer, String>, fault: Wire) {
        let before = self.unsent.len();
        match fault {
            Wire::UnknownType => {
                self.open = self.open.saturating_sub(1);
                let head = Answered {
                    method: call.method,
                    number: call.number,
                    error: String::new(),
                };
                self.encoder.encode(head, &mut self.unsent);
                // Type 1000, and no field.
                self.unsent.extend([4, 0xfe, 0x07, 0xd0, 0]);
                return;
            }
            Wire::Garbage(bytes) => {
                self.open = self.open.saturating_sub(1);
                self.unsent.extend(bytes);
                return;
            }
            Wire::AnswerCut => {
                self.answer(call, answer);
                let half = (self.unsent.len() - before) / 2;
                self.unsent.truncate(before + half);
            }
            Wire::AnswerLost | Wire::CallLost | Wire::Refused | Wire::Error(_) => {}
        }
        // What was answered before still goes out.
        self.state = State::Closing;
    }

    /// Sends what the client takes now. It may be gone: the work was done all the same.
    fn write(&mut self, traffic: &mut Traffic) {
        while self.state != State::Gone && !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) => {
                    traffic.bytes_out += count as u64;
                    self.unsent.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.state = State::Gone,
            }
        }
    }

    /// Nothing more is to be sent, nor to come.
    fn is_over(&self) -> bool {
        match self.state {
            State::Open => false,
            State::Ended | State::Closing => self.unsent.is_empty(),
            State::Gone => true,
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::thread;
    use std::time::Instant;

    use super::super::charm::{Charm, Source};
    use super::super::event::Event;
    use super::super::gob::{Decoder, Encoder, first_frame};
    use super::super::plain::PlainCloud;
    use super::super::protocol::{Answer, Answered, Call, METHOD, NO_STDIN, Request};
    use super::super::record::{ToolCall, Traffic};
    use super::super::{HookContext, Juju};
    use super::Service;

    struct Quiet;

    impl Charm for Quiet {
        fn metadata(&self) -> &'static str {
            "name: x\nsummary: s\ndescription: d\npeers: {peer: {interface: x}}\n"
        }

        fn dispatch(
            &mut self,
            _: &Event,
            _: &mut HookContext,
        ) -> Result<(), Box<dyn std::error::Error>> {
            Ok(())
        }
    }

    /// Plays `clients` against the socket of one hook, and says what the agent saw. With a seed, calls
    /// at hand run in any order.
    fn during_a_hook(
        seed: Option<u64>,
        clients: impl FnOnce(&dyn Fn() -> Client) + Send,
    ) -> (Vec<ToolCall>, Traffic) {
        let directory = tempfile::tempdir().unwrap();
        let cloud = PlainCloud::new(directory.path());
        let mut juju = Juju::new("m", Box::new(cloud), directory.path()).unwrap();
        let charm = Source::Counterpart(Box::new(|_| Box::new(Quiet)));
        juju.deploy("x", charm, 1, &[]).unwrap();
        let mut hook = HookContext::new(&mut juju.model, "x/0", Event::UpdateStatus);
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let (running, done) = UnixStream::pair().unwrap();
        let service = Service {
            start: Instant::now(),
            context: "now".to_owned(),
            hook: &mut hook,
            faults: &mut [],
            chance: seed.map(fastrand::Rng::with_seed),
        };
        thread::scope(|scope| {
            let serving = scope.spawn(|| service.serve(&listener, None, &done).unwrap());
            // A client that panics must end the service too.
            let running = running;
            clients(&|| Client::new(UnixStream::connect(&path).unwrap()));
            drop(running);
            serving.join().unwrap()
        })
    }

    struct Client {
        stream: UnixStream,
        encoder: Encoder,
        decoder: Decoder,
        received: Vec<u8>,
    }

    fn request(line: &str) -> Request {
        let mut words = line.split_whitespace().map(str::to_owned);
        Request {
            context: "now".to_owned(),
            directory: "/".to_owned(),
            tool: words.next().unwrap_or_default(),
            args: words.collect(),
            ..Request::default()
        }
    }

    impl Client {
        fn new(stream: UnixStream) -> Self {
            Self {
                stream,
                encoder: Encoder::default(),
                decoder: Decoder::default(),
                received: Vec::new(),
            }
        }

        /// The bytes of a call.
        fn bytes(&mut self, method: &str, number: u64, request: Request) -> Vec<u8> {
            let mut out = Vec::new();
            let method = method.to_owned();
            self.encoder.encode(Call { method, number }, &mut out);
            self.encoder.encode(request, &mut out);
            out
        }

        /// Makes calls in one breath, numbered from 0.
        fn send(&mut self, lines: &[&str]) {
            let calls = (0..).zip(lines);
            let calls: Vec<u8> = calls
                .flat_map(|(number, line)| self.bytes(METHOD, number, request(line)))
                .collect();
            self.stream.write_all(&calls).unwrap();
        }

        /// The content of the next frame; none if the agent has hung up.
        fn frame(&mut self) -> Option<Vec<u8>> {
            loop {
                if let Some((content, length)) = first_frame(&self.received).unwrap() {
                    let content = content.to_vec();
                    self.received.drain(..length);
                    return Some(content);
                }
                let mut some = [0; 4096];
                match self.stream.read(&mut some) {
                    Ok(0) | Err(_) => return None,
                    Ok(count) => self.received.extend(&some[..count]),
                }
            }
        }

        /// The next answer: its number, and what the tool printed or the error.
        fn answer(&mut self) -> Option<(u64, Result<String, String>)> {
            let head: Answered = loop {
                let frame = self.frame()?;
                if let Some(head) = self.decoder.decode(&frame).unwrap() {
                    break head;
                }
            };
            let wrong = !head.error.is_empty();
            loop {
                let frame = self.frame()?;
                if wrong {
                    if self.decoder.skip(&frame).unwrap() {
                        return Some((head.number, Err(head.error)));
                    }
                } else if let Some(Answer { stdout, stderr, .. }) =
                    self.decoder.decode(&frame).unwrap()
                {
                    let printed = [stdout, stderr].concat();
                    return Some((head.number, Ok(String::from_utf8(printed).unwrap())));
                }
            }
        }

        fn ask(&mut self, request: Request) -> Result<String, String> {
            let bytes = self.bytes(METHOD, 7, request);
            self.stream.write_all(&bytes).unwrap();
            self.answer().unwrap().1
        }
    }

    #[test]
    fn calls_sent_together_are_one_round_trip() {
        let (calls, traffic) = during_a_hook(None, |dial| {
            let mut client = dial();
            client.send(&["is-leader", "config-get --format=json", "is-leader --x"]);
            assert_eq!(client.answer(), Some((0, Ok("True\n".to_owned()))));
            assert_eq!(client.answer(), Some((1, Ok("{}\n".to_owned()))));
            let refused = "ERROR option provided but not defined: --x\n";
            assert_eq!(client.answer(), Some((2, Ok(refused.to_owned()))));
            client.send(&["status-get"]);
            assert_eq!(client.answer(), Some((0, Ok("waiting\n".to_owned()))));
            let mut other = dial();
            other.send(&["is-leader"]);
            other.answer();
        });
        let seen = |call: &ToolCall| (call.name.clone(), call.code, call.connection);
        let names = [
            "is-leader",
            "config-get",
            "is-leader",
            "status-get",
            "is-leader",
        ];
        let seen: Vec<_> = calls.iter().map(seen).collect();
        let expected: Vec<_> = names
            .into_iter()
            .map(str::to_owned)
            .zip([0, 0, 2, 0, 0])
            .collect();
        let connections = [1, 1, 1, 1, 2];
        let expected: Vec<_> = expected
            .into_iter()
            .zip(connections)
            .map(|((name, code), connection)| (name, code, connection))
            .collect();
        assert_eq!(seen, expected);
        assert_eq!((traffic.connections, traffic.round_trips), (2, 3));
        assert!(
            traffic.bytes_in > 500 && traffic.bytes_out > 200,
            "{traffic:?}"
        );
    }

    #[test]
    fn a_call_that_is_only_half_there_keeps_nobody_waiting() {
        let (calls, traffic) = during_a_hook(None, |dial| {
            let mut slow = dial();
            let bytes = slow.bytes(METHOD, 0, request("is-leader"));
            let (first, second) = bytes.split_at(bytes.len() - 30);
            slow.stream.write_all(first).unwrap();
            let mut other = dial();
            other.send(&["is-leader"]);
            assert!(other.answer().is_some());
            slow.stream.write_all(second).unwrap();
            assert!(slow.answer().is_some());
        });
        assert_eq!(calls.len(), 2);
        assert_eq!(traffic.round_trips, 2, "the halves are one");
    }

    #[test]
    fn a_client_that_does_not_read_keeps_nobody_waiting() {
        let count = 20_000;
        let (calls, _) = during_a_hook(None, |dial| {
            let mut deaf = dial();
            deaf.send(&vec!["network-get peer --format=json"; count]);
            let mut other = dial();
            other.send(&["is-leader"]);
            assert!(other.answer().is_some());
            assert!((0..count).all(|_| deaf.answer().is_some()));
        });
        assert_eq!(calls.len(), count + 1);
    }

    #[test]
    fn what_was_asked_before_the_end_is_done() {
        let (calls, _) = during_a_hook(None, |dial| dial().send(&["is-leader"; 5]));
        assert_eq!(calls.len(), 5);
    }

    #[test]
    fn calls_at_hand_run_in_any_order_when_chance_has_it() {
        let mut answered = BTreeSet::new();
        during_a_hook(Some(1), |dial| {
            let mut client = dial();
            client.send(&["is-leader"; 9]);
            let numbers: Vec<u64> = (0..9).filter_map(|_| Some(client.answer()?.0)).collect();
            assert!(!numbers.is_sorted(), "{numbers:?}");
            answered.extend(numbers);
        });
        assert_eq!(answered.len(), 9);
    }

    #[test]
    fn what_the_agent_refuses_is_an_error_of_the_call_alone() {
        let (calls, _) = during_a_hook(None, |dial| {
            let mut client = dial();
            let old = Request {
                context: "old\u{e9}".to_owned(),
                ..request("is-leader")
            };
            let relative = Request {
                directory: "here".to_owned(),
                ..request("is-leader")
            };
            for (request, error) in [
                (old, "bad request: wrong context ID; got \"oldé\""),
                (relative, "bad request: Dir is not absolute"),
                (request(""), "bad request: command not specified"),
                (
                    request("witchcraft"),
                    "bad request: unknown command: witchcraft",
                ),
                (request("state-set --file -"), NO_STDIN),
            ] {
                assert_eq!(client.ask(request), Err(error.to_owned()));
            }
            for (method, error) in [
                ("Jujuc.Other", "rpc: can't find method Jujuc.Other"),
                ("Juju.Main", "rpc: can't find service Juju.Main"),
                ("Main", "rpc: service/method request ill-formed: Main"),
            ] {
                let bytes = client.bytes(method, 3, request("is-leader"));
                client.stream.write_all(&bytes).unwrap();
                assert_eq!(client.answer(), Some((3, Err(error.to_owned()))));
            }
            // A body that says nothing of a request.
            let mut bytes = Vec::new();
            let method = METHOD.to_owned();
            let call = Call { method, number: 4 };
            client.encoder.encode(call.clone(), &mut bytes);
            client.encoder.encode(call, &mut bytes);
            client.stream.write_all(&bytes).unwrap();
            let (number, error) = client.answer().unwrap();
            assert_eq!((number, error.is_err()), (4, true));
            let with_stdin = Request {
                has_stdin: true,
                stdin: "k: v".into(),
                ..request("state-set --file -")
            };
            assert_eq!(client.ask(with_stdin), Ok(String::new()));
            assert_eq!(client.ask(request("state-get k")), Ok("v\n".to_owned()));
        });
        assert_eq!(calls.len(), 2, "only what ran is a call");
    }

    #[test]
    fn bytes_that_are_no_call_end_the_connection() {
        let (calls, _) = during_a_hook(None, |dial| {
            for bytes in [&b"GET / HTTP/1.1\r\n".repeat(9)[..], &[0xf0], &[2, 6, 0]] {
                let mut client = dial();
                client.stream.write_all(bytes).unwrap();
                assert_eq!(client.answer(), None, "{bytes:x?}");
            }
            let mut client = dial();
            let bytes = client.bytes(METHOD, 0, request("is-leader"));
            client
                .stream
                .write_all(&[&bytes[..], &[0xf0]].concat())
                .unwrap();
            assert!(client.answer().is_some(), "what came before is answered");
            assert_eq!(client.answer(), None);
        });
        assert_eq!(calls.len(), 1);
    }
}
