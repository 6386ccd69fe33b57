//! `db` and `visibility`: a PostgreSQL database over the legacy `pgsql` interface.
//!
//! The leader asks for a database by name; the provider's leader answers with a libpq string, in its
//! application's databag and in its own unit's. A later provider leader makes a new password and leaves
//! the old one behind in its predecessor's unit databag, so the application's databag counts first.

mod libpq;
pub mod offers;

use super::endpoint::{Keys, Own, Said, Trouble};
use super::state::State;
use crate::juju::{Databag, Relation};
use crate::secret::Secret;
use crate::temporal::{Store, database_name, is_usable};

pub use libpq::{LibpqError, parse_libpq};

/// The keys that this charm, or the Python charm before it, may have written. `roles` and `extensions`
/// make providers refuse to provide anything.
pub const KEYS: Keys = Keys {
    app: WRITTEN,
    unit: WRITTEN,
};

const WRITTEN: &[&str] = &["database", "extensions", "roles"];

/// What the leader asks for, in the application's and in its own unit's databag.
pub fn publish(name: &str, own: &Own<'_>) -> Option<Said> {
    let (config, store) = (own.config?, Store::of_endpoint(name)?);
    let want = database_name(store, &own.unit.app, config.database_prefix.as_deref());
    own.leader.then(|| Said {
        app: request(&want),
        unit: request(&want),
    })
}

/// A name that [`offers::Offers::of`] refuses is not asked for.
fn request(want: &str) -> Databag {
    let request = is_usable(want).then(|| ("database".to_owned(), Secret::from(want)));
    request.into_iter().collect()
}

/// The server needs both databases.
pub fn trouble(name: &str, own: &Own<'_>, relations: &[Relation]) -> Option<Trouble> {
    if relations.is_empty() {
        return Some(Trouble::Absent {
            partner: "postgresql-k8s:db",
        });
    }
    match own.heard.stores.as_ref()?.get(Store::of_endpoint(name)?) {
        State::Invalid(reason) => Some(Trouble::Invalid(reason.clone())),
        State::Waiting(missing) => Some(Trouble::Waiting(missing.clone())),
        State::Absent | State::Ready(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_needs_quoting_or_cutting_is_not_asked_for() {
        for want in ["a b", "", "a\"b", "ä_db", &"x".repeat(64)] {
            assert!(request(want).is_empty(), "{want}");
        }
        assert_eq!(
            request("temporal-k8s_db")["database"].expose(),
            "temporal-k8s_db"
        );
        assert_eq!(request(&"x".repeat(63)).len(), 1);
    }
}
