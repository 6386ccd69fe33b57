//! How a hook tool is reached: at the agent's socket or, where that does not do, as a process. Only [`Juju::ask`] and
//! [`Juju::tell`] are called from outside, by the functions in `tools`. Errors keep the command and what it said, and
//! never a databag's value.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "starts Juju's hook tools"
)]

use std::ffi::OsString;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::OnceCell;
use tracing::debug;

use super::context::Agent;
use super::direct::{Direct, Surprise};
use crate::error::chain;
use crate::secret::Secret;

/// The longest text for one argument. The kernel takes 128 KiB for one; Juju adds to log lines.
const TEXT_LIMIT: usize = 100 * 1024;

/// The way to Juju's agent while a hook runs. Cheap to clone; all calls may run at the same time.
#[derive(Clone, Debug)]
pub struct Juju {
    path: Option<OsString>,
    limit: Duration,
    agent: Option<Agent>,
    link: Arc<Link>,
}

/// The connection to the agent, made for the first question.
#[derive(Debug, Default)]
struct Link {
    direct: OnceCell<Option<Direct>>,
    /// Did it answer with a surprise? Then the tools are used for the rest of the hook.
    given_up: AtomicBool,
}

impl Default for Juju {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a hook tool gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tool could not be started.
    #[error("cannot start the hook tool `{tool}`: is this a Juju hook?")]
    Spawn {
        /// The tool.
        tool: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The tool went away in the middle of the conversation.
    #[error("cannot talk to the hook tool `{tool}`")]
    Talk {
        /// The tool.
        tool: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The tool ended with an error.
    #[error("`{tool}{}` failed ({status}): {stderr}", shown(args))]
    Failed {
        /// The tool.
        tool: &'static str,
        /// Its arguments. No databag value is ever among them.
        args: Vec<String>,
        /// How it ended.
        status: ExitStatus,
        /// What it said, without words of its input.
        stderr: String,
    },
    /// The tool's answer is not what Juju documents.
    #[error("`{tool}` printed {what}")]
    Garbage {
        /// The tool.
        tool: &'static str,
        /// What is wrong with the answer, without quoting it: it may hold a password.
        what: String,
    },
    /// The connection to the agent broke after it was told something.
    #[error("it is not known whether `{tool}` was done, so it is not repeated: {why}")]
    Unsure {
        /// The tool.
        tool: &'static str,
        /// What broke it.
        why: String,
    },
    /// The tool did not end.
    #[error("`{tool}` gave no answer within {} s: is the unit's agent alive?", limit.as_secs_f32())]
    Timeout {
        /// The tool.
        tool: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
}

impl Error {
    /// Is what was asked about not there: a relation, an application or a unit in it, or its databag? It may go
    /// between two calls of one hook. The words of Juju 3, and of Juju 4 where it has others.
    pub fn is_not_found(&self) -> bool {
        const WORDS: [&str; 4] = [
            "relation not found",
            "settings not found",
            "relation unit not found",
            "application not found",
        ];
        self.says(&WORDS) || (self.says(&["relation \""]) && self.says(&["not found"]))
    }

    /// Was this refused because another unit is the leader now?
    pub fn is_not_leader(&self) -> bool {
        self.says(&["not the leader", "cannot write relation settings"])
    }

    /// Was this refused because it is none of this unit's business any more: the application's databag, since
    /// another unit leads now, or a relation that Juju 4 has taken the unit out of, since it is dying?
    pub fn is_denied(&self) -> bool {
        self.says(&["permission denied"])
    }

    pub(super) fn says(&self, any: &[&str]) -> bool {
        matches!(self, Self::Failed { stderr, .. } if any.iter().any(|text| stderr.contains(text)))
    }
}

/// What a tool is for: a question, or something to be done, with what it reads from standard input.
enum Input<'a> {
    Reads,
    Writes(Option<&'a Secret<String>>),
}

impl Input<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Reads | Self::Writes(None) => None,
            Self::Writes(Some(text)) => Some(text.expose()),
        }
    }
}

impl Juju {
    /// The tools that Juju put first on `PATH`. Each may take 30 s, which is far more than a healthy
    /// agent needs and far less than a person would wait.
    pub fn new() -> Self {
        Self {
            path: None,
            limit: Duration::from_secs(30),
            agent: None,
            link: Arc::default(),
        }
    }

    /// The agent itself, if it can be asked; the tools where it cannot.
    #[must_use]
    pub fn with_agent(mut self, agent: Option<Agent>) -> Self {
        self.agent = agent;
        self
    }

    /// The tools on another `PATH`.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<OsString>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Another limit for each tool.
    #[must_use]
    pub const fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// A tool whose answer is JSON. `null` and no output at all are both "nothing there".
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        tool: &'static str,
        args: &[&str],
    ) -> Result<Option<T>, Error> {
        let args: Vec<&str> = ["--format=json"].iter().chain(args).copied().collect();
        let stdout = self.run(tool, &args, &Input::Reads).await?;
        if stdout.trim_ascii().is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&stdout).map_err(|error| {
            // Only the place: serde's own text quotes the value, which may be a password.
            let kind = if error.is_data() {
                "JSON of another form than documented"
            } else {
                "no valid JSON"
            };
            let (line, column) = (error.line(), error.column());
            garbage(tool, &format!("{kind} (line {line}, column {column})"))
        })
    }

    /// A tool without an answer.
    pub(super) async fn tell(
        &self,
        tool: &'static str,
        args: &[&str],
        input: Option<&Secret<String>>,
    ) -> Result<(), Error> {
        self.run(tool, args, &Input::Writes(input)).await.map(drop)
    }

    /// The one place that reaches the agent.
    async fn run(
        &self,
        tool: &'static str,
        args: &[&str],
        input: &Input<'_>,
    ) -> Result<Vec<u8>, Error> {
        let limit = self.limit;
        let output = tokio::time::timeout(limit, self.converse(tool, args, input))
            .await
            .map_err(|_| Error::Timeout { tool, limit })??;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(Error::Failed {
            tool,
            args: args.iter().map(ToString::to_string).collect(),
            status: output.status,
            stderr: without_input(stderr.trim(), input.text().unwrap_or_default()),
        })
    }

    /// Directly, if that goes. A question may be asked again; what may have been done is not repeated.
    async fn converse(
        &self,
        tool: &'static str,
        args: &[&str],
        input: &Input<'_>,
    ) -> Result<Output, Error> {
        if let Some(direct) = self.direct().await {
            let asking = direct.run(tool, args, input.text().map(str::as_bytes));
            let answer = match input {
                // an agent that does not understand may be silent; its tools have what is left of the time
                Input::Reads => tokio::time::timeout(self.limit / 3, asking)
                    .await
                    .unwrap_or_else(|_| Err(Surprise::new("is silent", true))),
                Input::Writes(_) => asking.await,
            };
            match answer {
                Ok(output) => return Ok(output),
                Err(Surprise { why, seen }) => {
                    self.give_up(&why);
                    if seen && matches!(input, Input::Writes(_)) {
                        return Err(Error::Unsure { tool, why });
                    }
                }
            }
        }
        self.start(tool, args, input.text()).await
    }

    async fn direct(&self) -> Option<&Direct> {
        if self.link.given_up.load(Ordering::Relaxed) {
            return None;
        }
        let connect = || async {
            let connected = Direct::connect(self.agent.as_ref()?).await;
            let connected = connected.map_err(|error| self.give_up(&chain(&error)));
            connected.ok()
        };
        self.link.direct.get_or_init(connect).await.as_ref()
    }

    /// Said once in a hook.
    fn give_up(&self, why: &str) {
        if !self.link.given_up.swap(true, Ordering::Relaxed) {
            debug!("asks Juju by its hook tools: {why}");
        }
    }

    async fn start(
        &self,
        tool: &'static str,
        args: &[&str],
        input: Option<&str>,
    ) -> Result<Output, Error> {
        let mut command = Command::new(tool);
        command
            .args(args)
            .kill_on_drop(true)
            .stdin(if input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        let mut child = command
            .spawn()
            .map_err(|source| Error::Spawn { tool, source })?;
        let pipe = child.stdin.take();
        let feed = async move {
            if let (Some(mut pipe), Some(input)) = (pipe, input) {
                pipe.write_all(input.as_bytes()).await?;
            }
            Ok(())
        };
        let (fed, output) = tokio::join!(feed, child.wait_with_output());
        let output = output.map_err(|source| Error::Talk { tool, source })?;
        // A tool that refuses its arguments may end before it has read its input: then its own words
        // tell more than the broken pipe.
        if output.status.success() {
            fed.map_err(|source| Error::Talk { tool, source })?;
        }
        Ok(output)
    }
}

pub(super) fn garbage(tool: &'static str, what: &str) -> Error {
    Error::Garbage {
        tool,
        what: what.to_owned(),
    }
}

/// A YAML map of strings as JSON text, which is YAML too but for a few characters: Go's YAML reader
/// refuses control characters above ASCII's, and takes U+0085, U+2028 and U+2029 for line ends.
pub(super) fn encode<'a>(map: impl Iterator<Item = (&'a str, &'a str)>) -> Secret<String> {
    let map: Map<String, Value> = map
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .collect();
    let mut text = Value::Object(map).to_string();
    for char in
        ('\u{7f}'..='\u{9f}').chain(['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'])
    {
        if text.contains(char) {
            text = text.replace(char, &format!("\\u{:04x}", u32::from(char)));
        }
    }
    Secret::new(text)
}

/// A text that fits into one argument of a process.
pub(super) fn argument(text: &str) -> String {
    let text = text.replace('\0', "\u{fffd}");
    pieces(&text).next().unwrap_or_default().to_owned()
}

/// A text in pieces of at most [`TEXT_LIMIT`] bytes, none of them in the middle of a character.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at_checked(rest.floor_char_boundary(TEXT_LIMIT))?;
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// What a tool said, with every word of four or more letters that it may have from its input struck
/// out: YAML errors quote values.
fn without_input(said: &str, input: &str) -> String {
    said.split_inclusive(|char: char| !char.is_alphanumeric())
        .map(|word| {
            let bare = word.trim_end_matches(|char: char| !char.is_alphanumeric());
            if bare.chars().count() >= 4 && input.contains(bare) {
                word.replace(bare, "…")
            } else {
                word.to_owned()
            }
        })
        .collect()
}

/// Arguments in an error: long texts shortened.
fn shown(args: &[String]) -> String {
    args.iter().fold(String::new(), |mut line, arg| {
        line.push(' ');
        line.extend(arg.chars().take(80));
        if arg.chars().nth(80).is_some() {
            line.push('…');
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_json_that_a_yaml_reader_takes_as_it_is() {
        let text = encode([("k", "a\u{85}\u{2028}é😀\"\\\n\u{7f}")].into_iter());
        assert_eq!(text.expose(), r#"{"k":"a\u0085\u2028é😀\"\\\n\u007f"}"#);
    }

    #[test]
    fn words_of_the_input_are_struck_out_of_what_a_tool_says() {
        assert_eq!(
            without_input(
                "ERROR cannot unmarshal !!str `hunter2...` into map",
                r#"{"password":"hunter2"}"#
            ),
            "ERROR cannot unmarshal !!str `…...` into map"
        );
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = "é".repeat(TEXT_LIMIT);
        let cut: Vec<&str> = pieces(&text).collect();
        assert_eq!(cut.concat(), text);
        assert!(cut.iter().all(|piece| piece.len() <= TEXT_LIMIT));
        assert_eq!(cut.len(), 2);
        assert_eq!(pieces("").count(), 0);
    }
}
