//! What applications tell each other over relations: the table of endpoints, and one file for each of them.
//!
//! Every file has the same parts: a typed value with `parse`, `publish` (what our side should hold; what was
//! not told yet becomes a note of the plan) and `trouble`. Nothing here reads the world or knows the event.
//! `observe` reads what the table names, `facts` parses it once, `plan` walks the table to publish and to complain.

pub mod admin;
pub mod database;
mod endpoint;
pub mod host_info;
pub mod ingress;
pub mod peer;
mod state;

pub use endpoint::{
    Bag, Complain, Count, Endpoint, Heard, Keys, Own, Publish, Relations, Said, Side, Trouble,
};
pub use state::State;

use Bag::{OwnUnit, RemoteApp, RemoteUnits, Secrets};
use Count::{Many, One};
use Side::{Peers, Provides, Requires};
use database::{client, pgsql};

use crate::config::Config;
use crate::memory::Memory;
use crate::temporal::{PerStore, Store, database_name, name_in};

/// The endpoint among our own units. Its network binding gives the address at which a unit's server can be reached by
/// the others.
pub const PEER: &str = "peer";

/// Every endpoint of the charm; `metadata.yaml` says the same. In the order in which their troubles are told.
#[rustfmt::skip] // a table: a line for each
pub static ENDPOINTS: &[Endpoint] = &[
    Endpoint::new(PEER, Peers, "temporal", One).says(peer::KEYS, peer::publish),
    Endpoint::new("db", Requires, "pgsql", One).reads(PGSQL).says(pgsql::KEYS, pgsql::publish).trouble(database::trouble),
    Endpoint::new("database", Requires, "postgresql_client", One).reads(CLIENT).says(client::KEYS, client::publish).trouble(database::trouble),
    Endpoint::new("visibility", Requires, "pgsql", One).reads(PGSQL).says(pgsql::KEYS, pgsql::publish).trouble(database::trouble),
    Endpoint::new("visibility-database", Requires, "postgresql_client", One).reads(CLIENT).says(client::KEYS, client::publish).trouble(database::trouble),
    Endpoint::new("admin", Requires, "temporal", One).reads(&[RemoteApp]).says(admin::KEYS, admin::publish),
    Endpoint::new("ingress", Requires, "ingress", One).reads(&[RemoteApp]).says(ingress::KEYS, ingress::publish).trouble(ingress::trouble),
    Endpoint::new("temporal-host-info", Provides, "temporal-host-info", Many).says(host_info::KEYS, host_info::publish),
];

/// Some providers answer in their units' databags only; and whether we are let in depends on our subnets, which Juju
/// writes into this unit's.
const PGSQL: &[Bag] = &[
    RemoteApp,
    RemoteUnits { unless: "master" },
    OwnUnit {
        unless: pgsql::were_accepted,
    },
];

/// The application's databag decides, and names the secrets.
const CLIENT: &[Bag] = &[RemoteApp, Secrets(client::SECRETS)];

/// Parses what the planner has to know of what others say: a line for each endpoint that tells it something. Good
/// options are needed for what they name.
pub fn hear(relations: &Relations, app: &str, config: Option<&Config>, memory: &Memory) -> Heard {
    let one = |name: &str| relations.get(name).and_then(|all| all.first());
    let offers = PerStore::of(|store| {
        database::offers(relations, store, memory.accepted.get(store).as_deref())
    });
    let store = |store: Store| {
        let accepted = memory.accepted.get(store).as_deref();
        let want = match config {
            Some(config) => database_name(store, app, config.database_prefix.as_deref()),
            None => name_in(accepted?)?,
        };
        let offers = offers.get(store).as_ref();
        Some(offers.map_or(State::Absent, |offers| offers.of(&want, accepted)))
    };
    let stores = match (store(Store::Main), store(Store::Visibility)) {
        (Some(main), Some(visibility)) => Some(PerStore { main, visibility }),
        (None, _) | (_, None) => None,
    };
    Heard {
        offers,
        stores,
        admin: one("admin").map(|relation| relation.remote_app.clone()),
        schema: admin::parse(one("admin")),
        ingress: config.map_or(State::Absent, |config| {
            ingress::parse(config.ingress_protocol, one("ingress"))
        }),
    }
}
