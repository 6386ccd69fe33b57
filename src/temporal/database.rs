//! A connection to one of the two databases, and what these are called.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::store::Store;
use crate::secret::Secret;

/// The name of the Temporal cluster, kept in the database for ever after the first start.
pub const CLUSTER: &str = "active";

/// PostgreSQL cuts longer names off without a word.
pub const LONGEST_NAME: usize = 63;

/// A connection, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Juju's number of the relation it came from.
    pub relation: u32,
    /// Host of the primary.
    pub host: String,
    /// Port of the primary.
    pub port: u16,
    /// Database name.
    pub name: String,
    /// Role to log in as.
    pub user: String,
    /// The role's password.
    pub password: Secret<String>,
    /// Whom to ask whether the server is the right one: `Some` is encrypted, and verified with these certificates and
    /// [`Database::host`]; `None` is not encrypted.
    pub tls: Option<Authority>,
}

/// The certificates of the authority that vouches for a provider's server, as PEM: public, and as the provider said
/// them, which may be no certificates at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority(String);

impl Authority {
    /// As PEM.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Authority {
    fn from(pem: String) -> Self {
        Self(pem)
    }
}

impl From<&str> for Authority {
    fn from(pem: &str) -> Self {
        Self(pem.to_owned())
    }
}

impl Database {
    /// What makes this another database than before: remembered in the unit's memory. The password and TLS are no part
    /// of it: whatever they are, it is the same database.
    pub fn identity(&self) -> String {
        // JSON, because no part can then be taken for another one.
        serde_json::json!([self.relation, self.user, self.host, self.port, self.name]).to_string()
    }
}

/// The database name in a [`Database::identity`].
pub fn name_in(identity: &str) -> Option<String> {
    let (_, _, _, _, name): (u32, String, String, u16, String) =
        serde_json::from_str(identity).ok()?;
    Some(name)
}

/// Juju's number of the relation in a [`Database::identity`].
pub fn relation_in(identity: &str) -> Option<u32> {
    let parts: Vec<serde_json::Value> = serde_json::from_str(identity).ok()?;
    parts.first()?.as_u64()?.try_into().ok()
}

/// What a store's database is called after its prefix.
pub const fn suffix(store: Store) -> &'static str {
    match store {
        Store::Main => "_db",
        Store::Visibility => "_visibility",
    }
}

/// The name of a store's database: option `database-prefix`, or the application's name, and a suffix.
pub fn database_name(store: Store, app: &str, prefix: Option<&str>) -> String {
    format!("{}{}", prefix.unwrap_or(app), suffix(store))
}

/// Is it a name that needs no quoting anywhere on its way: SQL, connection strings, command lines?
pub fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Is it a name that we may ask for, and that nobody cuts off?
pub fn is_usable(name: &str) -> bool {
    is_plain(name) && name.len() <= LONGEST_NAME
}

/// A host as URLs have it: an IPv6 address in brackets, for what follows has colons too. As it is spelled otherwise:
/// the pass file must name the same host.
pub fn url_host(host: &str) -> Cow<'_, str> {
    match host.parse::<Ipv6Addr>() {
        Ok(_) => format!("[{host}]").into(),
        Err(_) => host.into(),
    }
}

/// A host and a port in one, as URLs have them.
pub fn host_port(host: &str, port: u16) -> String {
    format!("{}:{port}", url_host(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_names_come_from_the_prefix_or_the_application() {
        for (store, prefix, name) in [
            (Store::Main, None, "temporal-k8s_db"),
            (Store::Visibility, None, "temporal-k8s_visibility"),
            (Store::Main, Some("shared"), "shared_db"),
            (Store::Visibility, Some("shared"), "shared_visibility"),
        ] {
            assert_eq!(database_name(store, "temporal-k8s", prefix), name);
        }
    }
}
