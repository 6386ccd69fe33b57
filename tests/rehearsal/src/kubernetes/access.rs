//! Who may talk to the API server: its token file, and a kubeconfig for each user.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use k8s_openapi::ByteString;
use serde_json::json;

use super::certificates::Certificates;
use super::program::{private_directory, write_private};
use super::{ClusterError, HOST};

/// A user of the cluster. All are in the group `system:authenticated`, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Member of `system:masters`: may do everything, whatever roles say.
    Admin,
    /// The user `limited`, who has no rights but those that a test grants.
    Limited,
    /// The controller manager.
    ControllerManager,
    /// The scheduler.
    Scheduler,
    /// The pretend node: may do what a kubelet may.
    Node,
}

impl User {
    const ALL: [Self; 5] = [
        Self::Admin,
        Self::Limited,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Node,
    ];

    /// The name that roles are bound to.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Limited => "limited",
            Self::ControllerManager => "system:kube-controller-manager",
            Self::Scheduler => "system:kube-scheduler",
            Self::Node => "system:node:rehearsal-0",
        }
    }

    fn group(self) -> Option<&'static str> {
        match self {
            Self::Admin => Some("system:masters"),
            Self::Node => Some("system:nodes"),
            Self::Limited | Self::ControllerManager | Self::Scheduler => None,
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Admin => "admin.yaml",
            Self::Limited => "limited.yaml",
            Self::ControllerManager => "controller-manager.yaml",
            Self::Scheduler => "scheduler.yaml",
            Self::Node => "node.yaml",
        }
    }
}

/// The directory of the files that let users in.
#[derive(Debug)]
pub(super) struct Access {
    directory: PathBuf,
    admin: PathBuf,
}

impl Access {
    /// Gives every user a new token.
    pub(super) fn lay(
        cluster: &Path,
        port: u16,
        certificates: &Certificates,
    ) -> Result<Self, ClusterError> {
        let directory = cluster.join("access");
        private_directory(&directory)?;
        let access = Self {
            admin: directory.join(User::Admin.file()),
            directory,
        };
        let mut tokens = Vec::new();
        for user in User::ALL {
            let token = token()?;
            let text = kubeconfig(port, certificates.authority_pem(), user.name(), &token);
            write_private(&access.kubeconfig_of(user), &text)?;
            let name = user.name();
            let group = user.group().map(|group| format!(",{group}"));
            tokens.push(format!(
                "{token},{name},{name}{}\n",
                group.unwrap_or_default()
            ));
        }
        write_private(&access.tokens(), &tokens.concat())?;
        Ok(access)
    }

    /// The file of all tokens, with the users and groups that they stand for.
    pub(super) fn tokens(&self) -> PathBuf {
        self.directory.join("tokens.csv")
    }

    pub(super) fn kubeconfig(&self) -> &Path {
        &self.admin
    }

    pub(super) fn kubeconfig_of(&self, user: User) -> PathBuf {
        self.directory.join(user.file())
    }
}

/// The API listens where every user of the machine can reach it, so no token may be guessed.
fn token() -> Result<String, ClusterError> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(ClusterError::file("read", source))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// JSON is YAML, too.
fn kubeconfig(port: u16, authority: &str, user: &str, token: &str) -> String {
    let name = "rehearsal";
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{
            "name": name,
            "context": { "cluster": name, "user": user, "namespace": "default" },
        }],
        "clusters": [{
            "name": name,
            "cluster": {
                "server": format!("https://{HOST}:{port}"),
                "certificate-authority-data": ByteString(authority.as_bytes().to_vec()),
            },
        }],
        "users": [{ "name": user, "user": { "token": token } }],
    })
    .to_string()
}
