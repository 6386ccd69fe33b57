//! The cluster's certificates and keys, made anew for each cluster.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::program::{private_directory, write_private};
use super::{ClusterError, HOST};

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
        let mut root = CertificateParams::default();
        root.distinguished_name
            .push(DnType::CommonName, "rehearsal authority");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;

        let mut server = CertificateParams::new(
            [
                HOST,
                "10.96.0.1",
                "localhost",
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
            ]
            .map(str::to_owned),
        )?;
        server
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let server = server.signed_by(&key, &root)?;
        let accounts = KeyPair::generate()?;

        let made = Self {
            directory,
            authority: root.pem(),
        };
        for (path, text) in [
            (made.authority(), root.pem()),
            (made.server(), server.pem()),
            (made.server_key(), key.serialize_pem()),
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
