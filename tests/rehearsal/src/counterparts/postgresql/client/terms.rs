//! What a test makes of the endpoint `database`. Copies stand for the same provider; whatever is told takes effect in
//! the next hook of its leader.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::Track;

/// One of the provider's statuses, the value of the key `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// 1xxx informs, 4xxx passes, 5xxx stays until the relation is removed.
    pub code: u16,
    /// What is the case.
    pub message: String,
    /// What to do.
    pub resolution: String,
}

/// Something that the provider does once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Rotate,
    Rename,
    Revoke,
    Grant,
    Remove,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) track: Track,
    pub(super) plain: bool,
    pub(super) held: bool,
    pub(super) endpoints: Option<String>,
    pub(super) read_only: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) statuses: Option<Vec<Status>>,
    pub(super) acts: VecDeque<(u32, Act)>,
    /// The users of each relation, the newest last.
    pub(super) users: BTreeMap<u32, Vec<String>>,
}

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Terms(Arc<Mutex<State>>);

impl Terms {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which charm it is; to be told before it is deployed.
    pub fn track(&self, track: Track) {
        self.state().track = track;
    }

    /// Gives no secrets, even if asked for, as on a Juju that has none; to be told before a relation is made.
    pub fn plain(&self, plain: bool) {
        self.state().plain = plain;
    }

    /// Leaves new requests unanswered, as before the cluster is initialised.
    pub fn hold(&self, held: bool) {
        self.state().held = held;
    }

    /// The value of `endpoints`, `host:port` with commas between; without, the server's own.
    pub fn endpoints(&self, endpoints: Option<&str>) {
        self.state().endpoints = endpoints.map(str::to_owned);
    }

    /// The value of `read-only-endpoints`.
    pub fn read_only_endpoints(&self, endpoints: Option<&str>) {
        self.state().read_only = endpoints.map(str::to_owned);
    }

    /// Says that the server has TLS, with a certificate of this authority (PEM), or that it has none. The server itself
    /// is another matter.
    pub fn tls(&self, ca: Option<&str>) {
        self.state().ca = ca.map(str::to_owned);
    }

    /// The value of `status`, in the order of the codes; `None` takes the key away.
    pub fn statuses(&self, statuses: Option<&[Status]>) {
        let mut statuses = statuses.map(<[Status]>::to_vec);
        if let Some(all) = &mut statuses {
            all.sort_by_key(|it| it.code);
        }
        self.state().statuses = statuses;
    }

    /// Gives the user of a relation another password, on the server and in what the client reads.
    pub fn rotate_password(&self, relation: u32) {
        self.act(relation, Act::Rotate);
    }

    /// Gives a relation another user. The one of before may still log in, until the relation ends.
    pub fn replace_user(&self, relation: u32) {
        self.act(relation, Act::Rename);
    }

    /// Takes away the right to read the secrets of a relation. Their URIs stay in the databag.
    pub fn revoke_secrets(&self, relation: u32) {
        self.act(relation, Act::Revoke);
    }

    /// Gives that right back.
    pub fn grant_secrets(&self, relation: u32) {
        self.act(relation, Act::Grant);
    }

    /// Removes the secrets of a relation. Their URIs stay in the databag.
    pub fn remove_secrets(&self, relation: u32) {
        self.act(relation, Act::Remove);
    }

    fn act(&self, relation: u32, act: Act) {
        self.state().acts.push_back((relation, act));
    }
}
