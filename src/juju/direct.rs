//! The agent asked at its socket, without a process for each question.
//!
//! A hook tool is a small program that sends one request to the agent's socket and prints the answer. This is the
//! same request: Go's `net/rpc`, method `Jujuc.Main`, in [`gob`]. One connection serves a hook, and
//! whatever is asked at the same time goes out together. Juju promises nothing of it, so anything unexpected is a
//! [`Surprise`], after which the tools themselves are used.
#![expect(clippy::disallowed_types, reason = "dials the unit's agent")]

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Output};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::context::Agent;
use super::gob::{self, Decoder, Encoder, Fields, Request, Value};

/// Why there is no answer. Nothing here quotes a databag.
#[derive(Clone, Debug)]
pub(super) struct Surprise {
    pub(super) why: String,
    /// Was the request seen, so that it may have been carried out?
    pub(super) seen: bool,
}

impl Surprise {
    pub(super) fn new(why: impl Into<String>, seen: bool) -> Self {
        let why = format!("the agent's socket {}", why.into());
        Self { why, seen }
    }
}

/// A connection to the agent. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Direct {
    calls: mpsc::UnboundedSender<Call>,
}

#[derive(Debug)]
struct Call {
    tool: &'static str,
    args: Vec<String>,
    input: Option<Vec<u8>>,
    answer: oneshot::Sender<Result<Output, Surprise>>,
}

/// The calls under way, by number; why there can be no more, once that is so.
#[derive(Debug, Default)]
struct Pending {
    calls: BTreeMap<u64, oneshot::Sender<Result<Output, Surprise>>>,
    over: Option<String>,
}

impl Direct {
    /// Connects. Needs a runtime, on which the connection lives.
    pub(super) async fn connect(agent: &Agent) -> io::Result<Self> {
        // an abstract name begins with an `@` in Go, and with a zero for the kernel
        let stream = match agent.address.strip_prefix('@') {
            Some(name) => UnixStream::connect(format!("\0{name}")).await?,
            None => UnixStream::connect(&agent.address).await?,
        };
        let (from_agent, to_agent) = stream.into_split();
        let (calls, queue) = mpsc::unbounded_channel();
        let pending = Arc::new(Mutex::new(Pending::default()));
        tokio::spawn(write(
            to_agent,
            queue,
            agent.context.clone(),
            pending.clone(),
        ));
        tokio::spawn(read(from_agent, pending));
        Ok(Self { calls })
    }

    /// What the hook tool would say.
    pub(super) async fn run(
        &self,
        tool: &'static str,
        args: &[&str],
        input: Option<&[u8]>,
    ) -> Result<Output, Surprise> {
        let (answer, answered) = oneshot::channel();
        let call = Call {
            tool,
            args: args.iter().map(ToString::to_string).collect(),
            input: input.map(<[u8]>::to_vec),
            answer,
        };
        let gone = |seen| Surprise::new("is no longer served", seen);
        self.calls.send(call).map_err(|_| gone(false))?;
        answered.await.map_err(|_| gone(true))?
    }
}

/// Whatever waits to be asked goes out in one piece, unless whoever asked has gone.
async fn write(
    mut to_agent: OwnedWriteHalf,
    mut queue: mpsc::UnboundedReceiver<Call>,
    context: String,
    pending: Arc<Mutex<Pending>>,
) {
    let (mut encoder, mut number, mut calls) = (Encoder::default(), 0, Vec::new());
    while queue.recv_many(&mut calls, usize::MAX).await > 0 {
        let (mut bytes, first) = (Vec::new(), number);
        for call in calls.drain(..).filter(|call| !call.answer.is_closed()) {
            let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(why) = &pending.over {
                // whoever asks has the answer, or has gone
                _ = call.answer.send(Err(Surprise::new(why, false)));
                continue;
            }
            let args: Vec<&str> = call.args.iter().map(String::as_str).collect();
            bytes.extend(encoder.request(&Request {
                number,
                context: &context,
                // a file named in an argument would be looked for here; no argument of ours names one
                directory: "/",
                tool: call.tool,
                args: &args,
                input: call.input.as_deref(),
            }));
            pending.calls.insert(number, call.answer);
            number += 1;
        }
        if let Err(error) = to_agent.write_all(&bytes).await {
            // what went out before may have its answer on the way
            let why = format!("cannot be written to: {}", error.kind());
            give_up(&pending, first, why);
        }
    }
}

async fn read(mut from_agent: OwnedReadHalf, pending: Arc<Mutex<Pending>>) {
    let why = match read_answers(&mut from_agent, &pending).await {
        Ok(()) => "was closed".to_owned(),
        Err(why) => why,
    };
    give_up(&pending, 0, why);
}

/// Nothing from this number on will be answered, and it may have been carried out.
fn give_up(pending: &Mutex<Pending>, first: u64, why: String) {
    let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
    for answer in pending.calls.split_off(&first).into_values() {
        _ = answer.send(Err(Surprise::new(&why, true)));
    }
    pending.over.get_or_insert(why);
}

/// Reads to the end of the stream, or to the first thing that is not as it should be.
async fn read_answers(
    from_agent: &mut OwnedReadHalf,
    pending: &Mutex<Pending>,
) -> Result<(), String> {
    let (mut decoder, mut header) = (Decoder::default(), None);
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        let mut taken = 0;
        while let Some(message) = next(buffer.get(taken..).unwrap_or_default(), &mut taken)? {
            let fields = decoder
                .message(message)
                .map_err(|error| format!("answered {error}"))?;
            let Some(fields) = fields else {
                continue;
            };
            match header.take() {
                None => header = Some(Header::of(fields)?),
                Some(Header { number, error }) => {
                    let answer = answer(fields, error);
                    let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
                    let asked = pending.calls.remove(&number);
                    // whoever asked may have stopped waiting
                    _ = asked.ok_or("answered what nobody asked")?.send(answer);
                }
            }
        }
        buffer.drain(..taken);
        let read = from_agent.read_buf(&mut buffer).await;
        match read.map_err(|error| format!("cannot be read from: {}", error.kind()))? {
            0 if buffer.is_empty() && header.is_none() => return Ok(()),
            0 => return Err("was closed in the middle of an answer".to_owned()),
            _ => {}
        }
    }
}

/// The next whole message of what was read.
fn next<'a>(buffer: &'a [u8], taken: &mut usize) -> Result<Option<&'a [u8]>, String> {
    let length = gob::length(buffer).map_err(|error| format!("answered {error}"))?;
    let Some((length, head)) = length else {
        return Ok(None);
    };
    let message = buffer.get(head..head + length);
    *taken += message.map_or(0, |_| head + length);
    Ok(message)
}

/// What `net/rpc` puts before an answer.
struct Header {
    number: u64,
    error: Option<String>,
}

impl Header {
    fn of(mut fields: Fields) -> Result<Self, String> {
        let number = match fields.remove("Seq") {
            None => 0,
            Some(Value::Uint(number)) => number,
            Some(_) => return Err("answered a header of another form".to_owned()),
        };
        let error = text(fields.remove("Error"))?;
        let error = String::from_utf8_lossy(&error).into_owned();
        let error = (!error.is_empty()).then_some(error);
        Ok(Self { number, error })
    }
}

fn text(field: Option<Value>) -> Result<Vec<u8>, String> {
    match field {
        None => Ok(Vec::new()),
        Some(Value::Bytes(bytes)) => Ok(bytes),
        Some(_) => Err("answered a field of another form".to_owned()),
    }
}

/// An error is what no tool would say: it refuses a request before anything is done, if it calls that bad.
fn answer(mut fields: Fields, error: Option<String>) -> Result<Output, Surprise> {
    if let Some(error) = error {
        let seen = !error.starts_with("bad request");
        return Err(Surprise::new(format!("refused a request: {error}"), seen));
    }
    let code = match fields.remove("Code") {
        None => Ok(0),
        Some(Value::Int(code)) => i32::try_from(code & 0xff),
        Some(_) => return Err(Surprise::new("answered a code of another form", true)),
    };
    let mut text = |name| text(fields.remove(name)).map_err(|why| Surprise::new(why, true));
    Ok(Output {
        // as a process that ends with this code
        status: ExitStatus::from_raw(code.unwrap_or_default() << 8),
        stdout: text("Stdout")?,
        stderr: text("Stderr")?,
    })
}
