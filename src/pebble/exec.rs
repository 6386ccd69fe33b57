//! Commands run once in the workload container, with their input and output over websockets.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "speaks with Pebble"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use futures_util::{SinkExt as _, Stream, StreamExt as _};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_websockets::upgrade::Error as UpgradeError;
use tokio_websockets::{ClientBuilder, Error as SocketError, Message, WebSocketStream};

use super::client::Pebble;
use super::error::Error;
use super::http::{Request, percent_encoded};
use super::services::go_duration;
use super::services::{Change, ChangeId};

/// How long Pebble may take, after the limit of the command, to kill it and to say so.
const GRACE: Duration = Duration::from_secs(1);
/// The text message that ends a stream in either direction.
const END: &str = r#"{"command":"end"}"#;
/// How much of the standard input goes into one message.
const CHUNK: usize = 64 * 1024;

/// A command to run. No shell looks at it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Exec {
    /// The program, found on Pebble's `PATH`, and its arguments.
    pub command: Vec<String>,
    /// Variables besides those of the daemon.
    pub environment: BTreeMap<String, String>,
    /// The directory to start in; the home directory when not set.
    pub working_dir: Option<String>,
    /// How long the command may take before Pebble kills it; at least a millisecond.
    pub timeout: Duration,
    /// The whole standard input.
    pub stdin: Vec<u8>,
}

impl fmt::Debug for Exec {
    /// Shows the program only: arguments, variables and input may come from elsewhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.command.first();
        f.debug_struct("Exec")
            .field("program", &program)
            .finish_non_exhaustive()
    }
}

/// How a command ended, and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// The exit code; 128 and the number of the signal for a command that was killed.
    pub exit_code: i32,
    /// The whole standard output.
    pub stdout: Vec<u8>,
    /// The whole standard error.
    pub stderr: Vec<u8>,
    /// The names of the variables that it had: its own, the daemon's, and some that Pebble adds.
    pub variables: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Started {
    task_id: String,
    #[serde(default)]
    #[expect(
        clippy::zero_sized_map_values,
        reason = "the values are nobody's business"
    )]
    environment: BTreeMap<String, IgnoredAny>,
}

type Socket = WebSocketStream<UnixStream>;

impl Pebble {
    /// Runs a command and waits for its end.
    ///
    /// A command that ends with another code than 0 is a result, not an error. A program that does
    /// not exist is [`Error::Refused`], one that cannot be started is [`Error::Change`], and one that
    /// takes too long is [`Error::ExecTimeout`].
    pub async fn exec(&self, exec: &Exec) -> Result<ExecOutput, Error> {
        let mut body = json!({
            "command": exec.command,
            "environment": exec.environment,
            "timeout": go_duration(exec.timeout),
            "split-stderr": true,
        });
        if let (Some(directory), Some(fields)) = (&exec.working_dir, body.as_object_mut()) {
            fields.insert("working-dir".to_owned(), json!(directory));
        }
        let reply = self.ask(Request::post("/v1/exec", &body)).await?;
        let (change, started): (String, Started) = reply.change()?;
        let change = ChangeId::from(change);
        // Pebble starts the command once both are connected, and gives up after 5 s.
        let (stdio, stderr) = tokio::try_join!(
            self.websocket(&started.task_id, "stdio"),
            self.websocket(&started.task_id, "stderr"),
        )?;
        let limit = exec.timeout + GRACE;
        let run = self.run(&change, stdio, stderr, &exec.stdin, limit);
        match timeout(limit, run).await {
            Ok(Err(Error::Change { err, .. })) if err.contains("timed out after") => {
                Err(exec_timeout(exec))
            }
            // A killed command may leave children that hold its output open.
            Ok(Err(Error::ChangeTimeout { .. })) | Err(_) => Err(exec_timeout(exec)),
            Ok(output) => Ok(ExecOutput {
                variables: started.environment.into_keys().collect(),
                ..output?
            }),
        }
    }

    async fn run(
        &self,
        change: &ChangeId,
        stdio: Socket,
        stderr: Socket,
        stdin: &[u8],
        limit: Duration,
    ) -> Result<ExecOutput, Error> {
        let (mut to_stdin, mut from_stdout) = stdio.split();
        let mut from_stderr = stderr;
        let input = async {
            for chunk in stdin.chunks(CHUNK) {
                to_stdin.send(Message::binary(chunk.to_vec())).await?;
            }
            to_stdin.send(Message::text(END)).await
        };
        // All three at the same time, or a command that writes much while it reads much stops.
        let output = async {
            tokio::try_join!(
                received("stdout", &mut from_stdout),
                received("stderr", &mut from_stderr)
            )
        };
        tokio::pin!(output);
        let (stdout, stderr) = tokio::select! {
            biased;
            output = &mut output => output?,
            // A command need not read its input, and a lost connection shows in the output as well.
            _ = input => output.await?,
        };
        let change = self.wait(change, limit).await?;
        Ok(ExecOutput {
            exit_code: exit_code(&change)?,
            stdout,
            stderr,
            variables: BTreeSet::new(),
        })
    }

    async fn websocket(&self, task: &str, stream: &str) -> Result<Socket, Error> {
        let path = format!("/v1/tasks/{}/websocket/{stream}", percent_encoded(task));
        let request = format!("GET {path}");
        let garbage = |reason: String| Error::Garbage {
            request: request.clone(),
            reason,
        };
        let builder = ClientBuilder::new()
            .uri(&format!("ws://localhost{path}"))
            .map_err(|error| garbage(error.to_string()))?;
        let opened = timeout(self.request_limit, async {
            Ok(builder.connect_on(self.connect().await?).await)
        });
        match opened.await {
            Err(_) => Err(Error::Timeout {
                request,
                limit: self.request_limit,
            }),
            Ok(Err(error)) => Err(error),
            Ok(Ok(Ok((socket, _)))) => Ok(socket),
            Ok(Ok(Err(SocketError::Upgrade(UpgradeError::DidNotSwitchProtocols(status))))) => {
                let message = format!("no websocket for the {stream} of the command");
                Err(Error::Refused {
                    request,
                    status,
                    kind: None,
                    message,
                })
            }
            Ok(Ok(Err(error))) => Err(garbage(format!("no websocket: {error}"))),
        }
    }
}

/// All data of a stream up to its end message; a stream without one is incomplete.
async fn received(
    name: &str,
    socket: &mut (impl Stream<Item = Result<Message, SocketError>> + Unpin),
) -> Result<Vec<u8>, Error> {
    let garbage = |reason| Error::Garbage {
        request: format!("{name} of exec"),
        reason,
    };
    let mut data = Vec::new();
    while let Some(message) = socket.next().await {
        let message = message.map_err(|error| garbage(error.to_string()))?;
        if message.is_binary() {
            data.extend_from_slice(message.as_payload());
        } else if message.as_text().is_some_and(is_end) {
            return Ok(data);
        }
    }
    Err(garbage(format!("it breaks off after {} bytes", data.len())))
}

fn is_end(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Command {
        command: String,
    }
    serde_json::from_str(text).is_ok_and(|Command { command }| command == "end")
}

fn exit_code(change: &Change) -> Result<i32, Error> {
    change
        .tasks
        .iter()
        .find_map(|task| task.data.get("exit-code")?.as_i64())
        .and_then(|code| i32::try_from(code).ok())
        .ok_or_else(|| Error::Garbage {
            request: format!("change {}", change.id),
            reason: "it has no exit code".to_owned(),
        })
}

fn exec_timeout(exec: &Exec) -> Error {
    let command = exec.command.first().cloned().unwrap_or_default();
    Error::ExecTimeout {
        command,
        limit: exec.timeout,
    }
}
