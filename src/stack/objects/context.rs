//! What the objects of all parts are made from.

use std::collections::BTreeMap;

use crate::input::{Stack, Worker};
use crate::names::{SALT_KEY, STACK_SECRET};
use crate::secrets::{self, Values};

/// The parts that the settings do not send elsewhere, and that are therefore installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for a part")]
pub struct Own {
    /// PostgreSQL.
    pub postgres: bool,
    /// RabbitMQ.
    pub rabbitmq: bool,
    /// The IPFS nodes.
    pub ipfs: bool,
    /// IPFS Cluster.
    pub cluster: bool,
    /// krab, the key store.
    pub krab: bool,
}

/// Where the API finds its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePaths {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// What the programs find in their environments, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Of all of Temporal's programs.
    pub temporal: BTreeMap<String, String>,
    /// Of the IPFS Cluster peers.
    pub cluster: BTreeMap<String, String>,
    /// Of PostgreSQL.
    pub postgres: BTreeMap<String, String>,
    /// What is installed.
    pub own: Own,
    /// Which workers run.
    pub workers: Vec<Worker>,
    /// Set when the API serves TLS.
    pub certificate: Option<CertificatePaths>,
}

/// What objects are made from.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// What the user wants.
    pub stack: &'a Stack,
    /// Where.
    pub namespace: &'a str,
    /// The settings of the programs.
    pub environment: &'a Environment,
    /// Passwords and keys.
    pub values: &'a Values,
}

impl Context<'_> {
    /// Differs whenever one of these settings does; see [`secrets::fingerprint`].
    pub(crate) fn fingerprints(
        self,
        config: &BTreeMap<String, String>,
        secrets: &[&str],
    ) -> String {
        let salt = secrets::known(self.values, STACK_SECRET, SALT_KEY);
        let data = secrets.iter().filter_map(|name| self.values.get(name));
        secrets::fingerprint(salt, config.iter(), data.flatten())
    }
}
