//! Clients of the server: a pod in the model and one elsewhere, with the real SDK and the real CLI.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{Stage, StageError};
use crate::cloud::{Finished, Process};
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
