//! A real IPFS node (kubo) that knows nobody: alone in a private network, it dials nothing.
//!
//! Called by tests of what needs a node. All its files are below the directory it is given. Like the node
//! of the stack it has no profile, whose filters keep Pods apart, and its swarm is TCP only: IPFS Cluster
//! 0.14 cannot read the addresses of its QUIC.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use super::Start;
use super::http::ask;
use super::running::{RunError, Running, finish};
use crate::parts::{Parts, PartsError};

/// How long its own programs may take.
const LIMIT: Duration = Duration::from_mins(1);

/// Keeps nodes apart that are none of ours; it guards nothing and is no secret.
const SWARM_KEY: &str = "/key/swarm/psk/1.0.0/\n/base16/\n\
                         72656865617273616c2d6f662d7468652d737461636b2d72656865617273616c\n";

/// What stopped a step.
#[derive(Debug, thiserror::Error)]
pub enum IpfsError {
    /// The program could not be had.
    #[error("get kubo ready")]
    Parts(#[from] PartsError),
    /// It did not run as it should.
    #[error(transparent)]
    Run(#[from] RunError),
    /// `ipfs init` refused.
    #[error("`ipfs init` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end())]
    Init {
        /// What it said.
        output: Output,
    },
    /// A file could not be read or written.
    #[error("edit `{}`", path.display())]
    Edit {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The ports of one node on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpfsPorts {
    /// Other nodes.
    pub swarm: u16,
    /// The RPC API: full control, POST only.
    pub api: u16,
    /// The HTTP gateway.
    pub gateway: u16,
}

/// A node whose files are laid out.
#[derive(Debug, Clone)]
pub struct Ipfs {
    program: PathBuf,
    repository: PathBuf,
    ports: IpfsPorts,
}

impl Ipfs {
    /// Makes a fresh node below the existing directory `root`: without bootstrap peers, local
    /// discovery, port mapping and routing. It takes connections on TCP only.
    pub fn lay(parts: &Parts, root: &Path, ports: IpfsPorts) -> Result<Self, IpfsError> {
        let ipfs = Self {
            program: parts.kubo()?,
            repository: root.join("ipfs"),
            ports,
        };
        let init = ipfs.with(&["init", "--empty-repo"]);
        let output = finish(&init, "ipfs init", LIMIT)?;
        if !output.status.success() {
            return Err(IpfsError::Init { output });
        }
        ipfs.configure()?;
        Ok(ipfs)
    }

    /// How to start it in the foreground, logging to stderr.
    pub fn start(&self) -> Start {
        self.with(&["daemon"])
    }

    /// Starts it here and waits until its API answers, at most `limit`.
    pub fn run(&self, limit: Duration) -> Result<Running, IpfsError> {
        let log = self.repository.with_extension("log");
        let mut running = Running::start(&self.start(), "ipfs daemon", &log)?;
        let what = format!("its API answers on port {}", self.ports.api);
        running.until(&what, limit, || {
            ask(self.ports.api, "POST", "/api/v0/id", None).is_ok_and(|it| it.status == 200)
        })?;
        Ok(running)
    }

    /// Runs `ipfs` with other arguments on the same node, to its end.
    pub fn tool(&self, arguments: &[&str]) -> Result<Output, IpfsError> {
        Ok(finish(&self.with(arguments), "ipfs", LIMIT)?)
    }

    fn with(&self, arguments: &[&str]) -> Start {
        let program = self.program.as_os_str();
        let mut start = Start::new(
            [program]
                .into_iter()
                .chain(arguments.iter().map(AsRef::as_ref)),
        );
        start.environment = vec![
            (
                "IPFS_PATH".to_owned(),
                self.repository.clone().into_os_string(),
            ),
            // Without its swarm key it ends instead of going out.
            ("LIBP2P_FORCE_PNET".to_owned(), "1".into()),
        ];
        start
    }

    fn configure(&self) -> Result<(), IpfsError> {
        let path = self.repository.join("config");
        let edit = || {
            let mut config: Value = serde_json::from_slice(&fs::read(&path)?)?;
            let at = |port| format!("/ip4/127.0.0.1/tcp/{port}");
            for (pointer, value) in [
                ("/Addresses/Swarm", json!([at(self.ports.swarm)])),
                ("/Addresses/API", json!(at(self.ports.api))),
                ("/Addresses/Gateway", json!(at(self.ports.gateway))),
                ("/Bootstrap", json!([])),
                ("/Discovery/MDNS/Enabled", json!(false)),
                ("/Swarm/DisableNatPortMap", json!(true)),
                ("/Routing", json!({ "Type": "none" })),
            ] {
                let place = config.pointer_mut(pointer);
                *place.ok_or(io::ErrorKind::InvalidData)? = value;
            }
            fs::write(&path, config.to_string())?;
            fs::write(self.repository.join("swarm.key"), SWARM_KEY)
        };
        edit().map_err(|source| IpfsError::Edit {
            path: path.clone(),
            source,
        })
    }
}
