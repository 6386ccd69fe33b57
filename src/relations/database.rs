//! The databases: each store has two endpoints, one for each interface that PostgreSQL charms speak, and is related to
//! one of them.

pub mod client;
mod libpq;
mod offers;
pub mod pgsql;

use super::endpoint::{Own, Relations, Trouble};
use super::state::State;
use crate::juju::Relation;
use crate::temporal::{Store, relation_in};

pub use libpq::{LibpqError, parse_libpq};
pub use offers::{Offers, Rival};

/// What is offered for a store; `None` if nobody is related. If both endpoints are, the one counts whose database was
/// accepted before; it is called by its [`identity`](crate::temporal::Database::identity).
pub fn offers(relations: &Relations, store: Store, accepted: Option<&str>) -> Option<Offers> {
    let accepted = accepted.and_then(relation_in);
    let is_accepted = |relation: &Relation| accepted == Some(relation.id);
    let one = |endpoint| Some((endpoint, relations.get(endpoint)?.first()?));
    let related = store.endpoints().into_iter().filter_map(one);
    let mut related: Vec<(&'static str, &Relation)> = related.collect();
    related.sort_by_key(|(_, relation)| !is_accepted(relation));
    let mut related = related.into_iter();
    let (endpoint, relation) = related.next()?;
    let rival = related.next().map(|(endpoint, _)| Rival {
        endpoint,
        is_settled: is_accepted(relation),
    });
    let read = if endpoint == store.pgsql() {
        pgsql::read
    } else {
        client::read
    };
    Some(Offers {
        endpoint,
        provider: relation.remote_app.clone(),
        rival,
        each: read(relation),
    })
}

/// The server needs both databases, each from one endpoint, and from one provider by one interface only.
pub fn trouble(name: &str, own: &Own<'_>, relations: &[Relation]) -> Option<Trouble> {
    let (heard, app) = (own.heard, &own.unit.app);
    let store = Store::of_endpoint(name)?;
    let counts = heard.endpoint(store);
    if name != counts {
        let remote = &relations.first()?.remote_app;
        return Some(Trouble::Invalid(format!(
            "`{counts}` is related as well, and a store has one database: `juju remove-relation {app}:{name} {remote}`"
        )));
    }
    let other = heard.offers.get(store.other()).as_ref();
    let Some(offers) = heard.offers.get(store) else {
        return Some(absent(name, store, other.is_none()));
    };
    let (legacy, todays) = (store.other().pgsql(), store.other().client());
    let is_mixed = |other: &&Offers| {
        let same = other.provider == offers.provider && !offers.provider.is_empty();
        same && name == store.client() && other.endpoint == legacy
    };
    if let Some(Offers { provider, .. }) = other.filter(is_mixed) {
        return Some(Trouble::Invalid(format!(
            "`{legacy}` is related to {provider} too, which serves one of the two interfaces only: `juju \
             remove-relation {app}:{legacy} {provider}`, then `juju integrate {app}:{todays} {provider}:database`"
        )));
    }
    match heard.stores.as_ref()?.get(store) {
        State::Invalid(reason) => Some(Trouble::Invalid(reason.clone())),
        State::Waiting(missing) => Some(Trouble::Waiting(missing.clone())),
        State::Absent | State::Ready(_) => None,
    }
}

/// Which interface to take is open as long as neither store has one.
fn absent(name: &str, store: Store, is_open: bool) -> Trouble {
    let is_pgsql = name == store.pgsql();
    Trouble::Absent {
        partner: if is_pgsql {
            "postgresql-k8s:db"
        } else {
            "postgresql-k8s:database"
        },
        or: is_open.then(|| (store.client(), "postgresql-k8s:database")),
    }
}
