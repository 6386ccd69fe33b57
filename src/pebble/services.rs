//! Services, the changes that start and stop them, and their last output.
#![expect(
    clippy::disallowed_methods,
    reason = "waits for changes until its own deadline"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::client::Pebble;
use super::error::Error;
use super::http::{Request, percent_encoded, shape};

/// How long Pebble is asked to wait for a change in one request; well below the patience of
/// whatever may sit between us, as in Juju's own client.
const WAIT_PER_REQUEST: Duration = Duration::from_secs(4);

/// A service as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ServiceState {
    /// Its name in the plan.
    pub name: String,
    /// `enabled` or `disabled`.
    #[serde(default)]
    pub startup: String,
    /// Whether it runs.
    pub current: ServiceStatus,
}

/// Whether a service runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum ServiceStatus {
    /// It runs, or has been started a moment ago.
    Active,
    /// It is stopped.
    Inactive,
    /// It exited, and Pebble waits before the next start.
    Backoff,
    /// It exited, and Pebble does not start it again.
    Error,
    /// A word that this client does not know.
    Other(String),
}

impl ServiceStatus {
    /// Does it run, or will Pebble start it by itself?
    pub const fn is_up(&self) -> bool {
        matches!(self, Self::Active | Self::Backoff)
    }
}

impl From<String> for ServiceStatus {
    fn from(word: String) -> Self {
        match word.as_str() {
            "active" => Self::Active,
            "inactive" => Self::Inactive,
            "backoff" => Self::Backoff,
            "error" => Self::Error,
            _ => Self::Other(word),
        }
    }
}

/// The identifier of a change, valid until Pebble is restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeId(String);

impl From<String> for ChangeId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A change; [`Pebble::wait`] gives finished ones.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Change {
    /// Its identifier.
    pub id: String,
    /// What it does, for example `start`.
    pub kind: String,
    /// What it does, in a sentence.
    #[serde(default)]
    pub summary: String,
    /// `Done` when all went well.
    #[serde(default)]
    pub status: String,
    /// Whether it is over.
    pub ready: bool,
    /// Why it failed; empty when it did not.
    #[serde(default)]
    pub err: String,
    /// Its steps.
    #[serde(default)]
    pub tasks: Vec<Task>,
}

/// A step of a change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Task {
    /// What it does, for example `start`.
    pub kind: String,
    /// What it does, in a sentence.
    #[serde(default)]
    pub summary: String,
    /// `Done` when it went well.
    #[serde(default)]
    pub status: String,
    /// What happened; for a failed start this has the last lines of the service.
    #[serde(default)]
    pub log: Vec<String>,
    /// What the kind of the task adds, for example the exit code of an exec.
    #[serde(default)]
    pub data: BTreeMap<String, Value>,
}

/// A line that a service wrote.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LogLine {
    /// The service.
    pub service: String,
    /// The line without its end.
    pub message: String,
}

impl Pebble {
    /// The named services, or all when no name is given. Unknown names are left out.
    pub async fn services(&self, names: &[&str]) -> Result<Vec<ServiceState>, Error> {
        let mut request = Request::get("/v1/services");
        if !names.is_empty() {
            request = request.query("names", &names.join(","));
        }
        let services: Option<_> = self.ask(request).await?.sync()?;
        Ok(services.unwrap_or_default())
    }

    /// Starts services and what they require; those that run stay as they are.
    ///
    /// Neither its failure nor its success says whether a service is well: a start counts as good
    /// after one second of life, and a newer Pebble goes on trying after a bad one.
    pub async fn start(&self, services: &[&str]) -> Result<ChangeId, Error> {
        self.change_services("start", services).await
    }

    /// Stops services and what requires them; those that do not run stay as they are.
    pub async fn stop(&self, services: &[&str]) -> Result<ChangeId, Error> {
        self.change_services("stop", services).await
    }

    /// The changes of a service that are not over. A stop begins some moments after it was accepted; from then on
    /// Pebble calls the service inactive, but refuses to start it before the end.
    pub async fn changes_under_way(&self, service: &str) -> Result<Vec<ChangeId>, Error> {
        let request = Request::get("/v1/changes")
            .query("select", "in-progress")
            .query("for", service);
        let changes: Option<Vec<Change>> = self.ask(request).await?.sync()?;
        let changes = changes.unwrap_or_default().into_iter();
        Ok(changes.map(|change| ChangeId(change.id)).collect())
    }

    async fn change_services(&self, action: &str, services: &[&str]) -> Result<ChangeId, Error> {
        let body = json!({ "action": action, "services": services });
        let reply = self.ask(Request::post("/v1/services", &body)).await?;
        let (change, IgnoredAny) = reply.change()?;
        Ok(ChangeId(change))
    }

    /// Waits until a change is over, at most for `limit`.
    ///
    /// A change that failed or was given up is [`Error::Change`], one that takes longer is
    /// [`Error::ChangeTimeout`].
    pub async fn wait(&self, change: &ChangeId, limit: Duration) -> Result<Change, Error> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.wait_once(change, left.min(WAIT_PER_REQUEST)).await {
                Err(Error::Refused { status: 504, .. }) if Instant::now() < deadline => {}
                Err(Error::Refused { status: 504, .. }) => {
                    return Err(Error::ChangeTimeout {
                        change: change.0.clone(),
                        limit,
                    });
                }
                Ok(change) => return outcome(change),
                Err(error) => return Err(error),
            }
        }
    }

    async fn wait_once(&self, change: &ChangeId, time: Duration) -> Result<Change, Error> {
        let request = Request::get(format!("/v1/changes/{}/wait", percent_encoded(&change.0)))
            .query("timeout", &go_duration(time));
        let reply = self.ask_within(request, time + self.request_limit).await?;
        let change: Change = reply.sync()?;
        if change.ready {
            Ok(change)
        } else {
            Err(reply.garbage("the change is not over"))
        }
    }

    /// The last `count` lines that a service wrote, oldest first.
    ///
    /// Before version 1.17 there are none of a server that exited within a second of its start; they
    /// are in the log of [`Error::Change`] in every version.
    pub async fn logs(&self, service: &str, count: u32) -> Result<Vec<LogLine>, Error> {
        let request = Request::get("/v1/logs")
            .query("services", service)
            .query("n", &count.to_string())
            .accept("application/x-ndjson");
        let reply = self.ask(request).await?;
        if reply.status() != 200 {
            reply.sync::<IgnoredAny>()?;
            return Err(reply.garbage("not a log"));
        }
        serde_json::Deserializer::from_slice(reply.body())
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| reply.garbage(shape(&error)))
    }
}

fn outcome(change: Change) -> Result<Change, Error> {
    if change.err.is_empty() && change.status == "Done" {
        return Ok(change);
    }
    let err = if change.err.is_empty() {
        format!("it ended as `{}`", change.status)
    } else {
        change.err
    };
    let log = change.tasks.into_iter().flat_map(|task| task.log).collect();
    Err(Error::Change {
        kind: change.kind,
        err,
        log,
    })
}

/// Go reads no plain numbers; a millisecond is the least we ask for, since 0 means "for ever" to
/// some requests.
pub(super) fn go_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis().max(1))
}
