//! The certificates of the authorities that vouch for the databases' servers, a file for each store that is reached over
//! TLS. The server reads it again for every new connection, so that a new authority restarts nothing.

use std::collections::BTreeMap;

use crate::secret::Secret;
use crate::temporal::{Database, PerStore, Store};

/// Where a store's file lies in the container.
pub const fn path(store: Store) -> &'static str {
    match store {
        Store::Main => "/etc/temporal/db-ca.pem",
        Store::Visibility => "/etc/temporal/visibility-ca.pem",
    }
}

/// The files, by path. None of them is a secret.
pub fn render(databases: &PerStore<&Database>) -> BTreeMap<&'static str, Secret<String>> {
    let file = |store| {
        let authority = databases.get(store).tls.as_ref()?;
        Some((path(store), authority.as_str().into()))
    };
    Store::ALL.into_iter().filter_map(file).collect()
}
