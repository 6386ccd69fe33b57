//! Clients of the server: a pod in the model and one elsewhere, with the real SDK and the real CLI.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::Value;

use super::{Stage, StageError};
use crate::cloud::{Finished, Process, Running};
use crate::counterparts::process;
use crate::juju::cloud::Pod;
use crate::servers;

/// How long a quick client may take, in any case.
const LIMIT: Duration = Duration::from_secs(30);

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// In the model: it finds the Services.
    Inside,
    /// Elsewhere: it finds the host names of Ingresses.
    Outside,
}

impl Client {
    fn unit(self) -> &'static str {
        match self {
            Self::Inside => "client/0",
            Self::Outside => "visitor/0",
        }
    }
}

/// What a client has written, and which health it saw: see [`Writer::end`].
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Written {
    /// When workflows completed. All times are seconds since the epoch.
    pub completed: Vec<f64>,
    /// When calls failed although they were repeated, and why.
    pub failed: Vec<(f64, String)>,
    /// Workflows whose start was confirmed, and that did not complete within a minute of the end.
    pub lost: u64,
    /// By address, the changes of a history's health: `down`, `starting` or `serving`.
    pub health: BTreeMap<String, Vec<(f64, String)>>,
}

/// A client that writes without pause.
#[derive(Debug)]
pub struct Writer(Running);

impl Writer {
    /// Ends it.
    pub fn end(self) -> Result<Written, StageError> {
        let io = StageError::io("end the client that writes");
        self.0.signal(Signal::SIGTERM).map_err(io)?;
        let io = StageError::io("wait for the client that writes");
        let finished = self.0.wait(LIMIT * 4).map_err(io)?;
        serde_json::from_str(&finished.stdout).map_err(|_| program("write", &finished))
    }
}

impl Stage {
    /// Starts a workflow, has a worker execute it and waits for its result: all through `address`,
    /// whose host is also the authority.
    pub fn hello(
        &self,
        client: Client,
        address: &str,
        id: &str,
        limit: Duration,
    ) -> Result<Value, StageError> {
        let interpreter = self.parts.interpreter()?;
        let start = servers::temporal::hello(&interpreter, address, "default", id, limit);
        let directory = self.node.pod_directory(client.unit())?.join(id);
        // It has a limit of its own, and is given a moment to say what it waited for.
        let finished = self.finish(client, &process(&start, directory, "hello"), limit + LIMIT)?;
        let unreadable = |_| program("hello", &finished);
        serde_json::from_str(&finished.stdout).map_err(unreadable)
    }

    /// A client in the model that writes without pause to `address`, and watches the health of these histories.
    pub fn write(&self, address: &str, histories: &[String]) -> Result<Writer, StageError> {
        let interpreter = self.parts.interpreter()?;
        let start = servers::temporal::write(&interpreter, address, histories);
        let unit = Client::Inside.unit();
        let directory = self.node.pod_directory(unit)?.join("write");
        let process = process(&start, directory, "write");
        Ok(Writer(self.node.spawn_in_pod(unit, &process)?))
    }

    /// The program of the `temporal` CLI.
    pub fn temporal_cli(&self) -> Result<PathBuf, StageError> {
        Ok(self.parts.temporal_cli()?)
    }

    /// Runs the `temporal` CLI in the model, against our Service.
    pub fn cli(&self, arguments: &[&str]) -> Result<String, StageError> {
        let directory = self.node.pod_directory(Client::Inside.unit())?.join("cli");
        let process = Process::new(self.parts.temporal_cli()?, directory)
            .args(arguments)
            .args(["--address", "temporal-k8s:7233"]);
        let finished = self.finish(Client::Inside, &process, LIMIT)?;
        Ok(finished.stdout)
    }

    fn finish(
        &self,
        client: Client,
        process: &Process,
        limit: Duration,
    ) -> Result<Finished, StageError> {
        let running = self.node.spawn_in_pod(client.unit(), process)?;
        let finished = running
            .wait(limit)
            .map_err(StageError::io("wait for a client"))?;
        if finished.status.success() {
            Ok(finished)
        } else {
            Err(program("client", &finished))
        }
    }
}

fn program(name: &str, finished: &Finished) -> StageError {
    StageError::Program {
        program: name.to_owned(),
        status: finished.status.to_string(),
        said: format!("{}{}", finished.stdout, finished.stderr),
    }
}

/// A pod without containers; what it says of tools and sockets is used for charms only.
pub(super) fn client_pod(client: Client, model: &str, directory: &Path) -> Pod {
    let unit = client.unit().to_owned();
    Pod {
        model: model.to_owned(),
        app: unit.split('/').next().unwrap_or_default().to_owned(),
        unit,
        charm: None,
        containers: Vec::new(),
        tools: directory.to_owned(),
        agent_socket: directory.to_owned(),
    }
}
