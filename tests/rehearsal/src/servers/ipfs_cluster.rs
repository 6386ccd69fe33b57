//! A real peer of IPFS Cluster, configured by environment variables as in a container.
//!
//! Called by tests of what is rendered for such a container. What it listens on is the variables'
//! business: [`IpfsClusterPorts::environment`] has those that keep it on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use super::Start;
use super::http::ask;
use super::running::{RunError, Running, finish};
use crate::parts::{Parts, PartsError};

/// How long `init` may take.
const LIMIT: Duration = Duration::from_mins(1);

/// What stopped a step.
#[derive(Debug, thiserror::Error)]
pub enum IpfsClusterError {
    /// The program could not be had.
    #[error("get IPFS Cluster ready")]
    Parts(#[from] PartsError),
    /// It did not run as it should.
    #[error(transparent)]
    Run(#[from] RunError),
    /// `init` refused, most often a value of a variable.
    #[error("`ipfs-cluster-service init` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end())]
    Init {
        /// What it said.
        output: Output,
    },
}

/// The ports of one peer on 127.0.0.1, and of its IPFS node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpfsClusterPorts {
    /// Other peers.
    pub swarm: u16,
    /// The REST API.
    pub rest: u16,
    /// The IPFS proxy.
    pub proxy: u16,
    /// The RPC API of the IPFS node.
    pub ipfs: u16,
}

impl IpfsClusterPorts {
    /// The variables that put a peer on these ports, and keep it from looking for others.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let at = |port| format!("/ip4/127.0.0.1/tcp/{port}");
        let variables = [
            ("CLUSTER_LISTENMULTIADDRESS", at(self.swarm)),
            ("CLUSTER_RESTAPI_HTTPLISTENMULTIADDRESS", at(self.rest)),
            ("CLUSTER_IPFSPROXY_LISTENMULTIADDRESS", at(self.proxy)),
            ("CLUSTER_IPFSPROXY_NODEMULTIADDRESS", at(self.ipfs)),
            ("CLUSTER_IPFSHTTP_NODEMULTIADDRESS", at(self.ipfs)),
            ("CLUSTER_MDNSINTERVAL", "0s".to_owned()),
        ];
        variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// A peer whose files are laid out.
#[derive(Debug, Clone)]
pub struct IpfsCluster {
    program: PathBuf,
    folder: PathBuf,
    environment: BTreeMap<String, String>,
}

impl IpfsCluster {
    /// Makes the files of a peer in the directory `ipfs-cluster` below the existing `root`, as the
    /// image does at its first start: `service.json` and `identity.json`.
    pub fn lay(
        parts: &Parts,
        root: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, IpfsClusterError> {
        let cluster = Self {
            program: parts.ipfs_cluster()?,
            folder: root.join("ipfs-cluster"),
            environment: environment.clone(),
        };
        let init = cluster.with(&["init", "--consensus", "crdt"]);
        let output = finish(&init, "ipfs-cluster-service init", LIMIT)?;
        if output.status.success() {
            Ok(cluster)
        } else {
            Err(IpfsClusterError::Init { output })
        }
    }

    /// The same files with other variables, for a later start.
    #[must_use]
    pub fn with_environment(&self, environment: &BTreeMap<String, String>) -> Self {
        Self {
            environment: environment.clone(),
            ..self.clone()
        }
    }

    /// The directory with its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How to start it in the foreground, logging to stderr; `arguments` follow `daemon`.
    pub fn start(&self, arguments: &[&str]) -> Start {
        self.with(&[&["daemon"], arguments].concat())
    }

    /// Starts it here and waits until it tells its id on the port `rest`, at most `limit`. It has no route
    /// for its health before 1.0.
    pub fn run(
        &self,
        arguments: &[&str],
        rest: u16,
        limit: Duration,
    ) -> Result<Running, IpfsClusterError> {
        let log = self.folder.with_extension("log");
        let name = "ipfs-cluster-service daemon";
        let mut running = Running::start(&self.start(arguments), name, &log)?;
        let what = format!("its REST API answers on port {rest}");
        running.until(&what, limit, || {
            // 401 where there are credentials: then whoever asks that is up
            ask(rest, "GET", "/id", None).is_ok_and(|it| it.status < 500)
        })?;
        Ok(running)
    }

    fn with(&self, arguments: &[&str]) -> Start {
        let program = self.program.as_os_str();
        let mut start = Start::new(
            [program]
                .into_iter()
                .chain(arguments.iter().map(AsRef::as_ref)),
        );
        let given = self.environment.iter();
        start.environment = given
            .map(|(name, value)| (name.clone(), value.into()))
            .chain([(
                "IPFS_CLUSTER_PATH".to_owned(),
                self.folder.clone().into_os_string(),
            )])
            .collect();
        start
    }
}
