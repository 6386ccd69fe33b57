//! `database` and `visibility-database`: a PostgreSQL database over the interface `postgresql_client`.
//!
//! The leader asks for a database by name, in the application's databag. The provider's leader answers there: with the
//! addresses, and with secrets for the user and for TLS, of which the request has named the contents. Providers that
//! give no secrets say the same in plain keys. Passwords and certificates change within their secrets, which
//! `secret-changed` tells, if at all; so each hook reads them anew.

use serde::Deserialize;

use super::offers::{Offer, breaks_line, is_host, port_number};
use crate::juju::{Databag, Relation, is_secret_uri};
use crate::relations::endpoint::{Keys, Own, Said};
use crate::relations::state::State;
use crate::secret::Secret;
use crate::temporal::{Authority, Database, is_usable};

/// The keys that are ours. Never among them: `version`, with which providers would answer in another layout; and
/// `extra-user-roles`, of which postgresql-k8s 16 knows no `admin` (it refuses the request), while without any the user
/// owns what it makes in either track.
pub const KEYS: Keys = Keys {
    app: &["database", "requested-secrets"],
    unit: &[],
};

/// The keys under which the provider says which secrets to read.
pub const SECRETS: &[&str] = &[USER, TLS];

const USER: &str = "secret-user";
const TLS: &str = "secret-tls";

/// The contents that we know how to find in secrets.
const REQUESTED: &str = r#"["username", "password", "tls", "tls-ca", "uris"]"#;

/// What the leader asks for. All of it is told at once: a provider that hears the name of the database before it hears
/// of secrets answers without them for ever.
pub fn publish(name: &str, own: &Own<'_>) -> Option<Said> {
    let want = own.database_to_ask_for(name)?;
    Some(Said {
        app: request(&want),
        unit: Databag::new(),
    })
}

/// A name that [`Offers::of`](super::offers::Offers::of) refuses is not asked for.
fn request(want: &str) -> Databag {
    let all = [("database", want), ("requested-secrets", REQUESTED)];
    let all = all.into_iter().filter(|_| is_usable(want));
    all.map(|(key, value)| (key.to_owned(), Secret::from(value)))
        .collect()
}

/// What the provider offers; `None` if Juju could not read it.
pub(super) fn read(relation: &Relation) -> Option<Vec<Offer>> {
    let bag = relation.remote_app_bag.as_ref()?;
    let connections = Answer { relation, bag }.connections();
    if connections == State::Absent {
        return Some(Vec::new());
    }
    let name = bag.get("database").map(|name| name.expose().clone());
    Some(vec![Offer {
        request: name.filter(|name| !name.is_empty()),
        follows: false,
        connections,
        shut_out: Vec::new(),
    }])
}

/// What a provider says of itself, in `status`: a JSON list.
#[derive(Debug, Deserialize)]
struct Report {
    /// 1xxx is for information, 4xxx passes, 5xxx does not.
    code: u32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    resolution: String,
}

struct Answer<'a> {
    relation: &'a Relation,
    bag: &'a Databag,
}

impl Answer<'_> {
    fn connections(&self) -> State<Vec<Database>> {
        match self.parts() {
            Ok(connections) => State::Ready(connections),
            Err(why) => why,
        }
    }

    /// The connections, or the state that keeps us from having them.
    fn parts(&self) -> Result<Vec<Database>, State<Vec<Database>>> {
        self.reports()?;
        let user = self.said(USER, "username")?;
        let password = self.said(USER, "password")?;
        let endpoints = self.bag.get("endpoints").map(|list| list.expose().as_str());
        let endpoints = endpoints.filter(|list| !list.trim().is_empty());
        let (user, password, endpoints) = match (user, password, endpoints) {
            (Some(user), Some(password), Some(endpoints)) => (user, password, endpoints),
            (None, _, None) => return Err(State::Absent),
            (None, ..) => return Err(lacks("`username`")),
            (_, None, _) => return Err(lacks("`password`")),
            (.., None) => return Err(lacks("`endpoints`")),
        };
        // Both go into the password file, where a line is a connection.
        for (key, value) in [("username", &user), ("password", &password)] {
            if breaks_line(value.expose()) {
                return Err(self.wrong(key, "has a line break, which a password file cannot hold"));
            }
        }
        let tls = self.tls()?;
        let addresses = endpoints.split(',').map(str::trim);
        let addresses = addresses.filter(|address| !address.is_empty());
        addresses
            .map(|address| {
                let (host, port) = host_and_port(address)
                    .ok_or_else(|| self.wrong("endpoints", "is not a list of hosts and ports"))?;
                Ok(Database {
                    relation: self.relation.id,
                    host,
                    port,
                    // that of the request, which it answers
                    name: String::new(),
                    user: user.expose().clone(),
                    password: password.clone(),
                    tls: tls.clone(),
                })
            })
            .collect()
    }

    /// A provider that cannot provide says so.
    fn reports(&self) -> Result<(), State<Vec<Database>>> {
        let Some(text) = self.bag.get("status") else {
            return Ok(());
        };
        // Of another form, it is for others.
        let reports: Vec<Report> = serde_json::from_str(text.expose()).unwrap_or_default();
        let worst = reports.iter().max_by_key(|report| report.code / 1000);
        let Some(report) = worst.filter(|report| (4000..6000).contains(&report.code)) else {
            return Ok(());
        };
        let provider = &self.relation.remote_app;
        let message = report.message.trim();
        Err(if report.code < 5000 {
            State::Waiting(format!("is not ready: {message} ({})", report.code))
        } else {
            let remedy = match report.resolution.trim() {
                "" => "remove the relation, and add it again once that is settled",
                resolution => resolution,
            };
            State::Invalid(format!(
                "{provider} refuses: {message} ({}); {remedy}",
                report.code
            ))
        })
    }

    /// The certificates by which the server is known, if connections are to be encrypted.
    fn tls(&self) -> Result<Option<Authority>, State<Vec<Database>>> {
        let on = self.said(TLS, "tls")?;
        match on.map(|on| on.expose().to_ascii_lowercase()).as_deref() {
            None | Some("" | "false") => return Ok(None),
            Some("true") => {}
            Some(_) => return Err(self.wrong("tls", "is neither `True` nor `False`")),
        }
        let authority = self.said(TLS, "tls-ca")?.ok_or_else(|| lacks("`tls-ca`"))?;
        Ok(Some(Authority::from(authority.expose().as_str())))
    }

    /// A value out of a secret or, where that has none of it, of the databag. `None` if the provider has not said it.
    fn said(
        &self,
        secret: &str,
        key: &str,
    ) -> Result<Option<Secret<String>>, State<Vec<Database>>> {
        let content = match self.bag.get(secret) {
            None => None,
            Some(uri) if !is_secret_uri(uri.expose()) => {
                return Err(self.wrong(secret, "is not the URI of a secret"));
            }
            Some(_) => match self.relation.secrets.get(secret) {
                Some(content) => Some(content),
                None => {
                    return Err(State::Waiting(format!(
                        "does not let us read `{secret}` yet"
                    )));
                }
            },
        };
        let value = content.and_then(|content| content.get(key));
        let value = value.or_else(|| self.bag.get(key));
        Ok(value.filter(|value| !value.expose().is_empty()).cloned())
    }

    fn wrong(&self, key: &str, problem: &str) -> State<Vec<Database>> {
        State::Invalid(format!(
            "`{key}` from {} {problem}; correct it there, or remove the relation and add it again",
            self.relation.remote_app
        ))
    }
}

fn lacks(key: &str) -> State<Vec<Database>> {
    State::Waiting(format!("has not told {key} yet"))
}

/// A host with its port. What follows the last colon is the port, since addresses of IPv6 have colons, with brackets
/// around them or without.
fn host_and_port(address: &str) -> Option<(String, u16)> {
    let (host, port) = match address.rsplit_once(':') {
        Some(("", _)) => return None,
        Some((host, port)) if !address.ends_with(']') => (host, port_number(port)?),
        Some(_) | None => (address, 5432),
    };
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    is_host(host).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::relations::database::offers::Offers;
    use crate::relations::database::offers::samples::{bag, invalid, set, waiting};

    const WANT: &str = "temporal-k8s_db";
    const HOST: &str = "postgresql-k8s-primary.prod.svc.cluster.local";
    const USER_URI: &str = "secret://59060ecc-3b55-4d1e-8d5c-0f4f7a1c2b3d/cjqub6vubg2s77p3nio0";
    const TLS_URI: &str = "secret:cjqub7fubg2s77p3niog";

    /// What postgresql-k8s says when all is well.
    fn relation() -> Relation {
        let mut relation = Relation::unread(7);
        relation.remote_app = "postgresql-k8s".to_owned();
        relation.remote_app_bag = Some(bag(&[
            ("data", r#"{"database": "temporal-k8s_db"}"#),
            ("database", WANT),
            ("endpoints", &format!("{HOST}:5432")),
            ("read-only-endpoints", &format!("{HOST}:5432")),
            ("secret-user", USER_URI),
            ("secret-tls", TLS_URI),
            ("version", "14.12"),
        ]));
        let user = bag(&[("username", "relation-7"), ("password", "q0Z")]);
        let tls = bag(&[("tls", "False")]);
        relation.secrets = [(USER, user), (TLS, tls)]
            .map(|(key, content)| (key.to_owned(), content))
            .into();
        relation
    }

    fn database() -> Database {
        Database {
            relation: 7,
            host: HOST.to_owned(),
            port: 5432,
            name: WANT.to_owned(),
            user: "relation-7".to_owned(),
            password: "q0Z".into(),
            tls: None,
        }
    }

    /// What is read after one mutation.
    fn after(accepted: Option<&str>, change: impl FnOnce(&mut Relation)) -> State<Database> {
        let mut relation = relation();
        change(&mut relation);
        let offers = Offers {
            endpoint: "database",
            provider: relation.remote_app.clone(),
            rival: None,
            each: read(&relation),
        };
        offers.of(WANT, accepted)
    }

    fn said(relation: &mut Relation) -> &mut Databag {
        relation.remote_app_bag.as_mut().unwrap()
    }

    fn secret<'a>(relation: &'a mut Relation, key: &str) -> &'a mut Databag {
        relation.secrets.get_mut(key).unwrap()
    }

    #[test]
    fn all_is_asked_for_at_once_and_never_a_version_or_roles() {
        let request = request(WANT);
        let keys: Vec<&str> = request.keys().map(String::as_str).collect();
        assert_eq!(keys, ["database", "requested-secrets"]);
        let secrets: Vec<String> =
            serde_json::from_str(request["requested-secrets"].expose()).unwrap();
        assert!(
            ["username", "password", "tls", "tls-ca"]
                .iter()
                .all(|key| secrets.contains(&(*key).to_owned()))
        );
        assert!(super::request("a b").is_empty());
        assert_eq!(KEYS.app, keys);
    }

    #[test]
    fn a_complete_answer_is_ready() {
        assert_eq!(after(None, |_| {}), State::Ready(database()));
    }

    #[test]
    fn plain_keys_say_the_same() {
        let state = after(None, |relation| {
            relation.secrets.clear();
            let bag = said(relation);
            bag.retain(|key, _| !key.starts_with("secret-"));
            for (key, value) in [
                ("username", "relation-7"),
                ("password", "q0Z"),
                ("tls", "False"),
            ] {
                set(bag, key, value);
            }
        });
        assert_eq!(state, State::Ready(database()));
        // what a secret lacks may be beside it
        let state = after(None, |relation| {
            secret(relation, USER).remove("username");
            set(said(relation), "username", "relation-7");
        });
        assert_eq!(state, State::Ready(database()));
    }

    #[test]
    fn what_was_not_said_yet_is_waited_for() {
        let why = waiting(after(None, |relation| said(relation).clear()));
        assert_eq!(why, "postgresql-k8s has not offered a database yet");
        for (key, missing) in [
            ("endpoints", "postgresql-k8s has not told `endpoints` yet"),
            ("secret-user", "postgresql-k8s has not told `username` yet"),
        ] {
            let why = waiting(after(None, |relation| {
                said(relation).remove(key);
            }));
            assert_eq!(why, missing);
        }
        let why = waiting(after(None, |relation| {
            secret(relation, USER).remove("password");
        }));
        assert_eq!(why, "postgresql-k8s has not told `password` yet");
        let why = waiting(after(None, |relation| {
            set(secret(relation, TLS), "tls", "True");
        }));
        assert_eq!(why, "postgresql-k8s has not told `tls-ca` yet");
        for key in SECRETS {
            let why = waiting(after(None, |relation| {
                relation.secrets.remove(*key);
            }));
            assert_eq!(
                why,
                format!("postgresql-k8s does not let us read `{key}` yet")
            );
        }
    }

    #[test]
    fn certificates_come_with_tls_only() {
        for (tls, expected) in [
            ("True", Some(Authority::from("PEM"))),
            ("true", Some(Authority::from("PEM"))),
            ("False", None),
        ] {
            let state = after(None, |relation| {
                let content = secret(relation, TLS);
                set(content, "tls", tls);
                set(content, "tls-ca", "PEM");
            });
            let expected = Database {
                tls: expected,
                ..database()
            };
            assert_eq!(state, State::Ready(expected), "{tls}");
        }
        // a provider that knows nothing of TLS
        let state = after(None, |relation| {
            said(relation).remove(TLS);
            relation.secrets.remove(TLS);
        });
        assert_eq!(state, State::Ready(database()));
    }

    #[test]
    fn the_first_address_counts_or_the_one_that_was_accepted() {
        let at = |list: &str, accepted: Option<&str>| {
            let state = after(accepted, |relation| set(said(relation), "endpoints", list));
            match state {
                State::Ready(database) => (database.host, database.port),
                state => panic!("{list}: {state:?}"),
            }
        };
        let b = Database {
            host: "b".to_owned(),
            ..database()
        };
        let accepted = b.identity();
        for (list, host, port) in [
            ("a:5432", "a", 5432),
            ("a", "a", 5432),
            ("a:6432, b:5432", "a", 6432),
            ("10.1.2.3:5432", "10.1.2.3", 5432),
            ("[fd00::7]:6432", "fd00::7", 6432),
            ("[fd00::7]", "fd00::7", 5432),
            ("fd00::7:5432", "fd00::7", 5432),
        ] {
            assert_eq!(at(list, None), (host.to_owned(), port), "{list}");
        }
        for list in ["a:5432,b:5432", "b:5432,a:5432", "b:5432"] {
            assert_eq!(at(list, Some(&accepted)).0, "b", "{list}");
        }
        assert_eq!(at("a:5432,c:5432", Some(&accepted)).0, "a");
    }

    #[test]
    fn what_cannot_be_used_is_invalid_and_not_shown() {
        let cases: [(&str, &str, &str); 8] = [
            (
                "endpoints",
                "/run/postgresql",
                "`endpoints` from postgresql-k8s",
            ),
            ("endpoints", "a:0", "`endpoints` from postgresql-k8s"),
            ("endpoints", ":5432", "`endpoints` from postgresql-k8s"),
            ("endpoints", "a b:5432", "`endpoints` from postgresql-k8s"),
            ("endpoints", "a:5432,b:x", "`endpoints` from postgresql-k8s"),
            (
                "secret-user",
                "secret:",
                "`secret-user` from postgresql-k8s",
            ),
            ("secret-tls", "--help", "`secret-tls` from postgresql-k8s"),
            (
                "database",
                "other",
                "offers another database than `temporal-k8s_db`",
            ),
        ];
        for (key, value, expected) in cases {
            let why = invalid(after(None, |relation| set(said(relation), key, value)));
            assert!(why.contains(expected), "{key}={value}: {why}");
        }
        for (key, value) in [
            ("username", "a\nb"),
            ("password", "q0Z\r"),
            ("password", "q0Z\0"),
        ] {
            let why = invalid(after(None, |relation| {
                set(secret(relation, USER), key, value);
            }));
            assert!(why.contains("line break") && !why.contains("q0Z"), "{why}");
        }
        let why = invalid(after(None, |relation| {
            set(secret(relation, TLS), "tls", "maybe");
        }));
        assert!(why.starts_with("`tls` from postgresql-k8s"), "{why}");
    }

    #[test]
    fn a_provider_that_cannot_provide_is_believed() {
        let with = |status: &str| after(None, |relation| set(said(relation), "status", status));
        let why = invalid(with(
            r#"[{"code": 4100, "message": "later"}, {"code": 5001, "message": "bad name ", "resolution": "choose another"}]"#,
        ));
        assert_eq!(
            why,
            "postgresql-k8s refuses: bad name (5001); choose another"
        );
        let why = invalid(with(r#"[{"code": 5001, "message": "no"}]"#));
        assert!(why.contains("remove the relation"), "{why}");
        let why = waiting(with(r#"[{"code": 4100, "message": "not initialised"}]"#));
        assert_eq!(why, "postgresql-k8s is not ready: not initialised (4100)");
        for harmless in [
            r#"[{"code": 1000, "message": "hello"}]"#,
            "[]",
            "active",
            "{}",
            "",
        ] {
            assert_eq!(with(harmless), State::Ready(database()), "{harmless}");
        }
    }

    #[test]
    fn the_database_is_called_as_was_asked_where_nothing_else_is_said() {
        let state = after(None, |relation| {
            said(relation).remove("database");
        });
        assert_eq!(state, State::Ready(database()));
    }

    #[test]
    fn a_new_password_is_the_same_connection() {
        let state = after(Some(&database().identity()), |relation| {
            set(secret(relation, USER), "password", "new");
        });
        let State::Ready(found) = state else {
            panic!("{state:?}");
        };
        assert_eq!(found.password.expose(), "new");
        assert_eq!(found.identity(), database().identity());
    }

    proptest! {
        #[test]
        fn any_databags_are_an_answer(
            app in prop::collection::btree_map("database|endpoints|secret-user|status|tls|username|password|.{0,5}", ".*", 0..8),
            user in prop::collection::btree_map("username|password|tls|tls-ca", ".*", 0..4),
            endpoints in "[a-z0-9:,\\[\\]. ]{0,30}",
        ) {
            let _any = after(None, |relation| {
                let values = |map: std::collections::BTreeMap<String, String>| map.into_iter().map(|(k, v)| (k, v.into())).collect::<Databag>();
                said(relation).extend(values(app));
                said(relation).insert("endpoints".to_owned(), endpoints.into());
                relation.secrets.insert(USER.to_owned(), values(user.clone()));
                relation.secrets.insert(TLS.to_owned(), values(user));
            });
        }
    }
}
