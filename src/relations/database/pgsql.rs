//! `db` and `visibility`: a PostgreSQL database over the legacy `pgsql` interface.
//!
//! The leader asks for a database by name; the provider's leader answers with a libpq string, in its
//! application's databag and in its own unit's. A later provider leader makes a new password and leaves
//! the old one behind in its predecessor's unit databag, so the application's databag counts first.

use std::collections::BTreeSet;

use super::libpq::parse_libpq;
use super::offers::{Offer, breaks_line, is_host, port_number};
use crate::juju::{Databag, Relation};
use crate::memory::Memory;
use crate::probe::Probe;
use crate::relations::endpoint::{Keys, Own, Said};
use crate::relations::state::State;
use crate::secret::Secret;
use crate::temporal::{Database, PerStore, is_usable};

/// The keys that this charm, or the Python charm before it, may have written. `roles` and `extensions`
/// make providers refuse to provide anything.
pub const KEYS: Keys = Keys {
    app: WRITTEN,
    unit: WRITTEN,
};

const WRITTEN: &[&str] = &["database", "extensions", "roles"];

/// What the leader asks for, in the application's and in its own unit's databag.
pub fn publish(name: &str, own: &Own<'_>) -> Option<Said> {
    let want = own.database_to_ask_for(name)?;
    Some(Said {
        app: request(&want),
        unit: request(&want),
    })
}

/// A name that [`Offers::of`](super::offers::Offers::of) refuses is not asked for.
fn request(want: &str) -> Databag {
    let request = is_usable(want).then(|| ("database".to_owned(), Secret::from(want)));
    request.into_iter().collect()
}

/// Is all that the provider offers what was accepted before? Then it does not matter which subnets are ours.
pub fn were_accepted(relation: &Relation, memory: &Memory) -> bool {
    let PerStore { main, visibility } = &memory.accepted;
    let offers = read(relation).unwrap_or_default();
    offers.iter().all(|offer| match &offer.connections {
        State::Ready(connections) => connections.iter().all(|database| {
            let identity = Some(database.identity());
            identity == *main || identity == *visibility
        }),
        State::Absent | State::Waiting(_) | State::Invalid(_) => false,
    })
}

/// What the provider offers, in the order in which it counts; `None` if Juju could not read it.
pub(super) fn read(relation: &Relation) -> Option<Vec<Offer>> {
    let bags = std::iter::once(relation.remote_app_bag.as_ref()?);
    let ours = match &relation.own_unit_bag {
        Probe::Known(bag) => subnets(bag, "egress-subnets"),
        Probe::NotAsked => BTreeSet::new(),
        Probe::Unreachable(_) => return None,
    };
    let bags = bags.chain(relation.remote_unit_bags.values());
    let offer = |bag| offer(bag, relation, &ours);
    Some(bags.filter_map(offer).collect())
}

/// `None` for a databag that offers nothing.
fn offer(bag: &Databag, relation: &Relation, ours: &BTreeSet<&str>) -> Option<Offer> {
    let said = |key: &str| bag.get(key).map_or("", |value| value.expose().as_str());
    let master = said("master");
    if master.is_empty() {
        return None;
    }
    let allowed = subnets(bag, "allowed-subnets");
    let request = said("database");
    let extras = !said("roles").is_empty() || !said("extensions").is_empty();
    let connections = match connection(master, relation.id, request) {
        _ if extras => {
            State::Waiting("still offers roles or extensions that nobody asks for".to_owned())
        }
        Ok(database) => State::Ready(vec![database]),
        Err(problem) => State::Invalid(format!(
            "`master` from {} {problem}; correct it there, or remove the relation and add it again",
            relation.remote_app
        )),
    };
    Some(Offer {
        request: Some(request.to_owned()),
        follows: true,
        connections,
        shut_out: ours.difference(&allowed).map(ToString::to_string).collect(),
    })
}

/// The subnets as texts. The provider copies them from us, so there is no arithmetic to do.
fn subnets<'a>(bag: &'a Databag, key: &str) -> BTreeSet<&'a str> {
    bag.get(key)
        .into_iter()
        .flat_map(|list| list.expose().split(','))
        .map(str::trim)
        .filter(|subnet| !subnet.is_empty())
        .collect()
}

/// A libpq string as a connection, to the requested database if it names none; the error is what is wrong with it,
/// without quoting it.
fn connection(master: &str, relation: u32, request: &str) -> Result<Database, String> {
    let mut parts =
        parse_libpq(master).map_err(|error| format!("is not a connection string: {error}"))?;
    let mut part = |key: &str| parts.remove(key).filter(|value| !value.is_empty());
    let host = part("host")
        .or_else(|| part("hostaddr"))
        .ok_or("has no host")?;
    let port = part("port").map_or(Some(5432), |port| port_number(&port));
    let user = part("user").ok_or("has no user")?;
    let password = part("password").ok_or("has no password")?;
    if !is_host(&host) {
        return Err("has something else than one host name or address as host".to_owned());
    }
    // Both go into the password file, where a line is a connection.
    if breaks_line(&user) {
        return Err("has a user with a line break".to_owned());
    }
    if breaks_line(&password) {
        return Err(
            "has a password with a line break, which a password file cannot hold".to_owned(),
        );
    }
    Ok(Database {
        relation,
        host,
        port: port.ok_or("has a port that is not a number from 1 to 65535")?,
        name: part("dbname").unwrap_or_else(|| request.to_owned()),
        user,
        password: Secret::new(password),
        tls: None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::relations::database::offers::Offers;
    use crate::relations::database::offers::samples::{bag, invalid, set, waiting};

    const WANT: &str = "temporal-k8s_db";
    const MASTER: &str = "dbname=temporal-k8s_db fallback_application_name=temporal-k8s \
        host=postgresql-k8s-primary.prod.svc.cluster.local password=q0Z port=5432 user=relation_id_7";

    /// What postgresql-k8s says when all is well.
    fn provided() -> Databag {
        bag(&[
            ("allowed-subnets", "10.152.183.61/32"),
            ("allowed-units", "temporal-k8s/0,temporal-k8s/1"),
            ("database", WANT),
            (
                "host",
                "postgresql-k8s-0.postgresql-k8s-endpoints.prod.svc.cluster.local",
            ),
            ("master", MASTER),
            ("password", "q0Z"),
            ("port", "5432"),
            ("user", "relation_id_7"),
            ("version", "14.5"),
        ])
    }

    fn relation() -> Relation {
        Relation {
            id: 7,
            remote_app: "postgresql-k8s".to_owned(),
            remote_app_bag: Some(provided()),
            remote_unit_bags: [("postgresql-k8s/0".to_owned(), provided())].into(),
            secrets: BTreeMap::new(),
            own_app_bag: Probe::NotAsked,
            own_unit_bag: Probe::Known(bag(&[
                ("egress-subnets", "10.152.183.61/32"),
                ("ingress-address", "10.152.183.61"),
                ("private-address", "10.152.183.61"),
            ])),
        }
    }

    fn database() -> Database {
        Database {
            relation: 7,
            host: "postgresql-k8s-primary.prod.svc.cluster.local".to_owned(),
            port: 5432,
            name: WANT.to_owned(),
            user: "relation_id_7".to_owned(),
            password: "q0Z".into(),
            tls: None,
        }
    }

    /// What the provider's application says.
    fn app(relation: &mut Relation) -> &mut Databag {
        relation.remote_app_bag.as_mut().unwrap()
    }

    fn read_of(relation: Option<&Relation>, want: &str, accepted: Option<&str>) -> State<Database> {
        relation.map_or(State::Absent, |relation| {
            let offers = Offers {
                endpoint: "db",
                provider: relation.remote_app.clone(),
                rival: None,
                each: read(relation),
            };
            offers.of(want, accepted)
        })
    }

    /// What is read after one mutation.
    fn after(change: impl FnOnce(&mut Relation)) -> State<Database> {
        let mut relation = relation();
        change(&mut relation);
        read_of(Some(&relation), WANT, None)
    }

    /// What is read of a provider that writes `master` everywhere.
    fn with_master(master: &str) -> State<Database> {
        after(|relation| {
            set(app(relation), "master", master);
            relation.remote_unit_bags.clear();
        })
    }

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

    #[test]
    fn a_complete_offer_is_ready() {
        assert_eq!(after(|_| {}), State::Ready(database()));
        assert_eq!(read_of(None, WANT, None), State::Absent);
    }

    #[test]
    fn an_offer_in_a_unit_databag_is_enough() {
        let state = after(|relation| app(relation).clear());
        assert_eq!(state, State::Ready(database()));
    }

    #[test]
    fn nothing_said_yet_is_waiting() {
        let why = waiting(after(|relation| {
            app(relation).clear();
            relation.remote_unit_bags.clear();
        }));
        assert_eq!(why, "postgresql-k8s has not offered a database yet");
    }

    #[test]
    fn an_offer_that_does_not_echo_the_request_is_waiting() {
        for (key, value, said) in [
            ("database", "other", "does not offer database"),
            ("database", "", "does not offer database"),
            ("roles", "admin", "roles"),
            ("extensions", "btree_gin", "extensions"),
            ("allowed-subnets", "", "subnet 10.152.183.61/32"),
            ("allowed-subnets", "10.152.183.6/32", "subnet"),
            ("allowed-subnets", "10.152.183.0/24", "subnet"),
        ] {
            let why = waiting(after(|relation| {
                set(app(relation), key, value);
                relation.remote_unit_bags.clear();
            }));
            assert!(why.contains(said), "{key}={value}: {why}");
        }
        assert!(
            waiting(with_master(&MASTER.replace("temporal-k8s_db", "old")))
                .contains("does not offer")
        );
    }

    #[test]
    fn a_unit_databag_counts_when_the_applications_does_not_fit() {
        let state = after(|relation| set(app(relation), "database", "other"));
        assert_eq!(state, State::Ready(database()));
    }

    #[test]
    fn empty_roles_and_unknown_keys_do_not_matter() {
        for (key, value) in [
            ("roles", ""),
            ("extensions", ""),
            ("allowed_units", "temporal-k8s/0"),
            ("state", "standalone"),
        ] {
            let state = after(|relation| set(app(relation), key, value));
            assert_eq!(state, State::Ready(database()), "{key}");
        }
    }

    #[test]
    fn subnets_are_a_set_with_any_spacing() {
        for (own, allowed) in [
            ("", ""),
            ("", "10.0.0.1/32"),
            ("10.0.0.1/32", "10.0.0.2/32, 10.0.0.1/32"),
            ("10.0.0.2/32,10.0.0.1/32", "10.0.0.1/32,10.0.0.2/32"),
        ] {
            let state = after(|relation| {
                relation.own_unit_bag = Probe::Known(bag(&[("egress-subnets", own)]));
                set(app(relation), "allowed-subnets", allowed);
                relation.remote_unit_bags.clear();
            });
            assert_eq!(state, State::Ready(database()), "{own:?} in {allowed:?}");
        }
    }

    /// Our address has changed, and the provider does not know it yet.
    fn readdressed() -> Relation {
        let mut relation = relation();
        relation.own_unit_bag = Probe::Known(bag(&[("egress-subnets", "10.9.9.9/32")]));
        relation
    }

    #[test]
    fn a_mismatch_of_subnets_does_not_undo_an_accepted_connection() {
        let accepted = database().identity();
        let state = read_of(Some(&readdressed()), WANT, Some(&accepted));
        assert_eq!(state, State::Ready(database()));
        waiting(read_of(Some(&readdressed()), WANT, None));
    }

    #[test]
    fn another_connection_than_the_accepted_one_has_to_match() {
        let accepted = database().identity();
        for (from, to) in [
            ("relation_id_7", "relation_id_8"),
            ("postgresql-k8s-primary", "elsewhere"),
            ("5432", "5433"),
        ] {
            let mut relation = readdressed();
            for bag in relation
                .remote_unit_bags
                .values_mut()
                .chain(&mut relation.remote_app_bag)
            {
                set(bag, "master", &MASTER.replace(from, to));
            }
            waiting(read_of(Some(&relation), WANT, Some(&accepted)));
        }
        let mut relation = readdressed();
        relation.id = 8;
        waiting(read_of(Some(&relation), WANT, Some(&accepted)));
    }

    #[test]
    fn a_new_password_of_an_accepted_connection_is_taken() {
        let mut relation = readdressed();
        set(app(&mut relation), "master", &MASTER.replace("q0Z", "new"));
        let accepted = database().identity();
        let State::Ready(found) = read_of(Some(&relation), WANT, Some(&accepted)) else {
            panic!("not ready");
        };
        assert_eq!(found.password.expose(), "new");
        assert_eq!(found.identity(), accepted);
    }

    #[test]
    fn a_new_provider_leaders_password_wins_over_stale_unit_databags() {
        let State::Ready(found) = after(|relation| {
            set(app(relation), "master", &MASTER.replace("q0Z", "new"));
        }) else {
            panic!("not ready");
        };
        assert_eq!(found.password.expose(), "new");
    }

    #[test]
    fn parts_of_the_connection_have_their_defaults() {
        for (master, expected) in [
            (MASTER.replace(" port=5432", ""), database()),
            (MASTER.replace("port=5432", "port=''"), database()),
            (MASTER.replace("dbname=temporal-k8s_db", ""), database()),
            (
                MASTER.replace(
                    "host=postgresql-k8s-primary.prod.svc.cluster.local",
                    "hostaddr=fd00::1",
                ),
                Database {
                    host: "fd00::1".to_owned(),
                    ..database()
                },
            ),
            (
                MASTER.replace("port=5432", "port=65535"),
                Database {
                    port: 65535,
                    ..database()
                },
            ),
            (
                "postgresql://relation_id_7:q0Z@postgresql-k8s-primary.prod.svc.cluster.local:5432\
                 /temporal-k8s_db?fallback_application_name=temporal-k8s"
                    .to_owned(),
                database(),
            ),
        ] {
            assert_eq!(with_master(&master), State::Ready(expected), "{master}");
        }
    }

    #[test]
    fn a_connection_that_cannot_be_used_is_invalid_and_not_shown() {
        for (from, to, said) in [
            ("host=", "nohost=", "no host"),
            ("host=postgresql", "host=a,postgresql", "one host"),
            ("host=postgresql", "host=/run/postgresql", "one host"),
            ("host=postgresql", "host='a b", "does not end"),
            ("port=5432", "port=0", "port"),
            ("port=5432", "port=65536", "port"),
            ("port=5432", "port=+5432", "port"),
            ("port=5432", "port=5432,5433", "port"),
            ("user=relation_id_7", "", "no user"),
            ("user=relation_id_7", "user=''", "no user"),
            (
                "user=relation_id_7",
                "user='a\nb'",
                "user with a line break",
            ),
            ("password=q0Z", "", "no password"),
            ("password=q0Z", "password=''", "no password"),
            ("password=q0Z", "password='q0Z\nx'", "line break"),
            ("password=q0Z", "password=q0Z\0x", "line break"),
            ("password=q0Z", "password='q0Z\r'", "line break"),
            ("password=q0Z", "password=x q0Z", "not a connection string"),
        ] {
            let why = invalid(with_master(&MASTER.replace(from, to)));
            assert!(why.contains(said), "{to:?}: {why}");
            assert!(!why.contains("q0Z"), "{why}");
            assert!(why.starts_with("`master` from postgresql-k8s"), "{why}");
        }
    }

    #[test]
    fn a_broken_offer_of_the_application_is_not_hidden_by_a_stale_one() {
        let why = invalid(after(|relation| {
            set(app(relation), "master", "garbage");
        }));
        assert!(why.contains("not a connection string"));
    }

    #[test]
    fn passwords_of_any_printable_characters_arrive_as_they_are() {
        for (written, password) in [
            (r"it\'s", "it's"),
            (r"a\\b", r"a\b"),
            (r#"'a b"c'"#, r#"a b"c"#),
            ("{{x}}$y#z&<>:", "{{x}}$y#z&<>:"),
            ("pässwörd😀", "pässwörd😀"),
            (&"x".repeat(200), &"x".repeat(200)),
        ] {
            let State::Ready(found) = with_master(&MASTER.replace("q0Z", written)) else {
                panic!("{written}");
            };
            assert_eq!(found.password.expose(), password);
        }
    }

    #[test]
    fn a_name_that_needs_quoting_or_cutting_is_not_used() {
        for want in ["a b", "", "a\"b", "ä_db", &"x".repeat(64)] {
            let why = invalid(read_of(Some(&relation()), want, None));
            assert!(why.contains("`database-prefix`"), "{why}");
        }
    }

    #[test]
    fn identities_differ_in_every_part_but_the_password() {
        let changed = [
            Database {
                relation: 8,
                ..database()
            },
            Database {
                host: "h".to_owned(),
                ..database()
            },
            Database {
                port: 1,
                ..database()
            },
            Database {
                name: "n".to_owned(),
                ..database()
            },
            Database {
                user: "u".to_owned(),
                ..database()
            },
        ];
        let mut identities: BTreeSet<String> = changed.iter().map(Database::identity).collect();
        identities.insert(database().identity());
        assert_eq!(identities.len(), 6);
        let rotated = Database {
            password: "new".into(),
            ..database()
        };
        assert_eq!(rotated.identity(), database().identity());
        assert!(!database().identity().contains("q0Z"));
    }

    proptest! {
        #[test]
        fn any_databags_are_an_answer(
            app in prop::collection::btree_map("database|master|roles|allowed-subnets|.{0,5}", ".*", 0..6),
            master in "(postgresql://)?[a-z=' \\\\@:/%0-9]{0,40}",
            want in "temporal-k8s_db|.*",
        ) {
            let mut relation = relation();
            relation.remote_app_bag = Some(app.into_iter().map(|(k, v)| (k, v.into())).collect());
            let unit = relation.remote_unit_bags.get_mut("postgresql-k8s/0").unwrap();
            unit.insert("master".to_owned(), master.into());
            let _any = read_of(Some(&relation), &want, None);
        }
    }
}
