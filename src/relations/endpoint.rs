//! What an endpoint is: a line of the table in `relations`, and the values that its functions take and give.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::database::Offers;
use super::state::State;
use crate::config::Config;
use crate::juju::{Databag, Relation, Unit};
use crate::memory::Memory;
use crate::temporal::{Database, PerStore, Store, database_name};

/// What is said on a relation of the endpoint with this name.
pub type Publish = fn(name: &str, own: &Own<'_>) -> Option<Said>;
/// What is wrong with the relations of the endpoint with this name.
pub type Complain = fn(name: &str, own: &Own<'_>, relations: &[Relation]) -> Option<Trouble>;

/// An endpoint of `metadata.yaml`, as the charm deals with it.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Its name.
    pub name: &'static str,
    /// Which side of the relation it is.
    pub side: Side,
    /// The interface that both sides speak.
    pub interface: &'static str,
    /// How many relations it may have.
    pub count: Count,
    /// The databags that a hook reads of each of its relations. What we have said in our own is remembered, and read
    /// only where that may not be true any more: by a new leader, and by a new revision of the charm.
    pub reads: &'static [Bag],
    /// The keys that we may ever have written.
    pub keys: Keys,
    /// What our side should hold. `None` leaves it as it is.
    pub publish: Publish,
    /// What keeps the endpoint from doing its part, if anything does.
    pub trouble: Complain,
}

impl Endpoint {
    /// An endpoint on which nothing is read and nothing said.
    pub const fn new(
        name: &'static str,
        side: Side,
        interface: &'static str,
        count: Count,
    ) -> Self {
        Self {
            name,
            side,
            interface,
            count,
            reads: &[],
            keys: Keys::NONE,
            publish: |_, _| None,
            trouble: |_, _, _| None,
        }
    }

    /// The same with [`Endpoint::reads`].
    #[must_use]
    pub const fn reads(self, reads: &'static [Bag]) -> Self {
        Self { reads, ..self }
    }

    /// The same with [`Endpoint::keys`] and [`Endpoint::publish`].
    #[must_use]
    pub const fn says(self, keys: Keys, publish: Publish) -> Self {
        Self {
            keys,
            publish,
            ..self
        }
    }

    /// The same with [`Endpoint::trouble`].
    #[must_use]
    pub const fn trouble(self, trouble: Complain) -> Self {
        Self { trouble, ..self }
    }
}

/// Which side of a relation an endpoint is, in the words of `metadata.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The units of this application among themselves.
    Peers,
    /// We need something.
    Requires,
    /// We offer something.
    Provides,
}

/// How many relations an endpoint may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// `limit: 1`; of several, the one with the lowest number counts.
    One,
    /// Any number.
    Many,
}

/// One of the databags of a relation.
#[derive(Clone, Copy, Debug)]
pub enum Bag {
    /// The other application's, and with it the application's name.
    RemoteApp,
    /// Those of the other application's units, unless the application's own has this key.
    RemoteUnits {
        /// The key.
        unless: &'static str,
    },
    /// The contents of the secrets whose URIs the other application's has under these keys, as they are now.
    Secrets(&'static [&'static str]),
    /// This unit's, for the keys that Juju maintains there, unless what the other side says makes them needless.
    OwnUnit {
        /// Says so.
        unless: fn(&Relation, &Memory) -> bool,
    },
}

/// Keys that are ours in both databags of our side. One that is no longer wanted is deleted; others, such as Juju's
/// own, are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// In the application's.
    pub app: &'static [&'static str],
    /// In each unit's.
    pub unit: &'static [&'static str],
}

impl Keys {
    /// Nothing is said.
    pub const NONE: Self = Self {
        app: &[],
        unit: &[],
    };

    /// Is nothing ever said?
    pub const fn is_empty(self) -> bool {
        self.app.is_empty() && self.unit.is_empty()
    }
}

/// The relations that exist, by the name of their endpoint.
pub type Relations = BTreeMap<&'static str, Vec<Relation>>;

/// What this unit knows of itself, for what it says to others.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// This unit.
    pub unit: &'a Unit,
    /// The model, which on Kubernetes is the namespace.
    pub model: &'a str,
    /// The cluster's domain, such as `cluster.local`.
    pub cluster_domain: &'a str,
    /// Is it the leader?
    pub leader: bool,
    /// Where the other units reach it.
    pub address: Option<IpAddr>,
    /// The options, if they are good.
    pub config: Option<&'a Config>,
    /// What the endpoints have heard.
    pub heard: &'a Heard,
}

impl Own<'_> {
    /// The name of the database that the leader asks for at an endpoint.
    pub fn database_to_ask_for(&self, endpoint: &str) -> Option<String> {
        let (config, store) = (self.config?, Store::of_endpoint(endpoint)?);
        let prefix = config.database_prefix.as_deref();
        let name = || database_name(store, &self.unit.app, prefix);
        self.leader.then(name)
    }
}

/// What the planner has to know of what others say; each part is parsed once in a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// What the providers of the databases offer; `None` where nobody is related.
    pub offers: PerStore<Option<Offers>>,
    /// The databases that we want, out of those. While the options are bad, which name them, those that were
    /// accepted before; `None` if there are none.
    pub stores: Option<PerStore<State<Database>>>,
    /// The application on `admin`.
    pub admin: Option<String>,
    /// Has it reported the schema ready?
    pub schema: State<()>,
    /// The URL that the ingress offers. `Absent` while the options are bad, since they name the protocol.
    pub ingress: State<String>,
}

impl Heard {
    /// The endpoint that provides a store, or would if somebody were related: both speak the same interface.
    pub fn endpoint(&self, store: Store) -> &'static str {
        let other = || {
            let other = self.offers.get(store.other()).as_ref()?;
            (other.endpoint == store.other().client()).then(|| store.client())
        };
        let offers = self.offers.get(store).as_ref();
        let related = offers.map(|offers| offers.endpoint);
        related.or_else(other).unwrap_or(store.pgsql())
    }

    /// Both connections, once both are complete.
    pub fn connections(&self) -> Option<PerStore<&Database>> {
        let stores = self.stores.as_ref()?;
        match (&stores.main, &stores.visibility) {
            (State::Ready(main), State::Ready(visibility)) => Some(PerStore { main, visibility }),
            _ => None,
        }
    }
}

/// What our side of a relation should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// In the application's databag. Only a leader's is written.
    pub app: Databag,
    /// In this unit's databag.
    pub unit: Databag,
}

/// What keeps an endpoint from doing its part. The words are on the page of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody is related, and the server cannot do without.
    Absent {
        /// Who would be, such as `postgresql-k8s:db`.
        partner: &'static str,
        /// Another endpoint that would do, and who would be related there.
        or: Option<(&'static str, &'static str)>,
    },
    /// The other side said something unusable: what, and the remedy.
    Invalid(String),
    /// The other side has not said enough yet: what is missing.
    Waiting(String),
    /// It is of use only where the frontend runs, which is elsewhere.
    NeedsFrontend {
        /// The application on the other side.
        remote: String,
    },
}
