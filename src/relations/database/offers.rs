//! What a provider of a database offers, whatever the interface, and whether it fits what we asked for.

use std::fmt;

use crate::relations::state::State;
use crate::temporal::{Database, LONGEST_NAME, is_usable};

/// What a provider offers, in its databags: none of it is fit for use before [`Offers::of`] has said so.
#[derive(Clone, PartialEq, Eq)]
pub struct Offers {
    /// The endpoint at which it does.
    pub endpoint: &'static str,
    /// The provider's application.
    pub provider: String,
    /// The other endpoint for the same store, if it is related as well.
    pub rival: Option<Rival>,
    /// In the order in which they count; `None` if Juju could not read them.
    pub(super) each: Option<Vec<Offer>>,
}

/// Nothing of it was judged yet, and any word of a databag may be a password.
impl fmt::Debug for Offers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { provider, each, .. } = self;
        match each {
            Some(offers) => write!(f, "{} offers of {provider}", offers.len()),
            None => write!(f, "unread offers of {provider}"),
        }
    }
}

/// Another endpoint for the same store that is related.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Its name.
    pub endpoint: &'static str,
    /// Is it known which of the two counts, since its database was accepted?
    pub is_settled: bool,
}

/// What one databag offers.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Offer {
    /// The request that it answers: the database's name, unless the provider does not say it.
    pub(super) request: Option<String>,
    /// Does the provider answer a request that changes while the relation lives?
    pub(super) follows: bool,
    /// The ways to the database, the preferred one first, or what is missing or wrong. One without a name is to the
    /// database of the request.
    pub(super) connections: State<Vec<Database>>,
    /// The subnets of ours that the provider does not let in.
    pub(super) shut_out: Vec<String>,
}

impl Offers {
    /// The connection to the database that we want. `accepted` is the [`Database::identity`] that was complete
    /// before. A mismatch of subnets does not undo it: the provider learns of a new address of ours only some time
    /// after us. Nor does another order of the hosts.
    pub fn of(&self, want: &str, accepted: Option<&str>) -> State<Database> {
        if !is_usable(want) {
            return State::Invalid(format!(
                "database name `{want}` must be 1 to {LONGEST_NAME} letters, digits, dashes and underscores; \
                 set option `database-prefix`"
            ));
        }
        if let Some(rival) = self.rival.as_ref().filter(|rival| !rival.is_settled) {
            return State::Waiting(format!("`{}` is related as well", rival.endpoint));
        }
        let Some(offers) = &self.each else {
            return State::unread();
        };
        let mut waiting = None;
        for offer in offers {
            match offer.of(&self.provider, want, accepted) {
                State::Waiting(why) => waiting = waiting.or(Some(why)),
                State::Ready(database) => return State::Ready(database),
                State::Invalid(why) if waiting.is_none() => return State::Invalid(why),
                // What an earlier databag lacks is nearer to the truth than a later one's garbage.
                State::Absent | State::Invalid(_) => {}
            }
        }
        State::Waiting(
            waiting.unwrap_or_else(|| format!("{} has not offered a database yet", self.provider)),
        )
    }
}

impl Offer {
    fn of(&self, provider: &str, want: &str, accepted: Option<&str>) -> State<Database> {
        let offered = self.request.as_deref().unwrap_or(want);
        if offered != want {
            return self.another(provider, want);
        }
        let connections = match &self.connections {
            State::Ready(connections) => connections,
            State::Absent => return State::Absent,
            State::Waiting(missing) => return State::Waiting(format!("{provider} {missing}")),
            State::Invalid(problem) => return State::Invalid(problem.clone()),
        };
        let named = connections.iter().cloned().map(|mut database| {
            if database.name.is_empty() {
                want.clone_into(&mut database.name);
            }
            database
        });
        let named: Vec<Database> = named.collect();
        let is_accepted = |database: &&Database| accepted == Some(&database.identity());
        match named.iter().find(is_accepted).or(named.first()) {
            None => State::Absent,
            Some(database) if database.name != want => self.another(provider, want),
            Some(database) if self.shut_out.is_empty() || is_accepted(&database) => {
                State::Ready(database.clone())
            }
            Some(_) => State::Waiting(format!(
                "{provider} has not allowed subnet {} yet",
                self.shut_out.join(", ")
            )),
        }
    }

    /// The name that is offered is not shown: any word of a databag may be a password.
    fn another(&self, provider: &str, want: &str) -> State<Database> {
        if self.follows {
            return State::Waiting(format!("{provider} does not offer database `{want}` yet"));
        }
        State::Invalid(format!(
            "{provider} offers another database than `{want}`, and hears of no new name while the relation lives: set \
             option `database-prefix` back, or remove the relation and add it again"
        ))
    }
}

/// A port, and nothing else.
pub(super) fn port_number(text: &str) -> Option<u16> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
        .filter(|port| *port != 0)
}

/// One host that can be dialled: no list, no socket's directory, nothing that needs quoting.
pub(super) fn is_host(text: &str) -> bool {
    !text.is_empty()
        && (text.parse::<std::net::IpAddr>().is_ok()
            || text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')))
}

/// A carriage return at the end of a line is taken off by readers, and a NUL ends the text for some.
pub(super) fn breaks_line(text: &str) -> bool {
    text.contains(['\n', '\r', '\0'])
}

/// What the tests of both interfaces need.
#[cfg(test)]
pub(super) mod samples {
    use crate::juju::Databag;
    use crate::relations::state::State;
    use crate::temporal::Database;

    pub(in super::super) fn bag(pairs: &[(&str, &str)]) -> Databag {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).into()))
            .collect()
    }

    pub(in super::super) fn set(bag: &mut Databag, key: &str, value: &str) {
        bag.insert(key.to_owned(), value.into());
    }

    pub(in super::super) fn waiting(state: State<Database>) -> String {
        match state {
            State::Waiting(why) => why,
            state => panic!("{state:?}"),
        }
    }

    pub(in super::super) fn invalid(state: State<Database>) -> String {
        match state {
            State::Invalid(why) => why,
            state => panic!("{state:?}"),
        }
    }
}
