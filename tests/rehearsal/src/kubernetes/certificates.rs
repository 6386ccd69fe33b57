//! The cluster's certificates and keys, made anew for each cluster.

use std::path::{Path, PathBuf};

use rcgen::KeyPair;

use super::program::{private_directory, write_private};
use super::{ClusterError, HOST};
use crate::servers::certificates::{Authority, Valid};

/// The directory that holds them. The authority's own key is kept nowhere: nothing is signed later.
#[derive(Debug)]
pub(super) struct Certificates {
    directory: PathBuf,
    authority: String,
}

impl Certificates {
    /// Makes an authority, the API server's certificate and the key that signs the tokens of
    /// service accounts.
    pub(super) fn make(cluster: &Path) -> Result<Self, ClusterError> {
        let directory = cluster.join("certificates");
        private_directory(&directory)?;
        let root = Authority::new("rehearsal authority", Valid::Now)?;
        let names = [
            HOST,
            "10.96.0.1",
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        let server = root.issue("kube-apiserver", &names, Valid::Now)?;
        let accounts = KeyPair::generate()?;

        let made = Self {
            directory,
            authority: root.pem(),
        };
        for (path, text) in [
            (made.authority(), root.pem()),
            (made.server(), server.certificate),
            (made.server_key(), server.key),
            (made.accounts(), accounts.public_key_pem()),
            (made.accounts_key(), accounts.serialize_pem()),
        ] {
            write_private(Path::new(&path), &text)?;
        }
        Ok(made)
    }

    /// The authority's certificate itself.
    pub(super) fn authority_pem(&self) -> &str {
        &self.authority
    }

    pub(super) fn authority(&self) -> String {
        self.file("authority.crt")
    }

    pub(super) fn server(&self) -> String {
        self.file("server.crt")
    }

    pub(super) fn server_key(&self) -> String {
        self.file("server.key")
    }

    pub(super) fn accounts(&self) -> String {
        self.file("accounts.pub")
    }

    pub(super) fn accounts_key(&self) -> String {
        self.file("accounts.key")
    }

    /// A path as an argument.
    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}
