//! What a client may ask for on the endpoint `database`, as pure functions.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::counterparts::CounterpartError;
use crate::juju::model::Settings;

const ROLES: &str = "invalid role(s) for extra user roles";
const NAME: &str = "invalid database name";
/// Databases that are nobody's to ask for.
const RESERVED: [&str; 4] = ["databases", "postgres", "template0", "template1"];
/// Roles by which the charm tells apart who comes; not to be asked for.
const GROUPS: [&str; 3] = ["identity_access", "internal_access", "relation_access"];

/// Which postgresql-k8s is played.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Track {
    /// The last one with the legacy endpoints; a user owns what it makes.
    #[default]
    Fourteen,
    /// Today's, with the endpoint `database` alone; what a user makes belongs to a role of the database.
    Sixteen,
}

impl Track {
    /// Why a request is refused, if it is.
    pub(super) fn refuses(self, database: &str, roles: &BTreeSet<String>) -> Option<&'static str> {
        match self {
            Self::Fourteen => {
                let known = |role: &String| {
                    matches!(
                        role.as_str(),
                        "admin" | "createdb" | "createrole" | "superuser"
                    ) || role.starts_with("pg_")
                };
                (!roles.iter().all(known)).then_some(ROLES)
            }
            Self::Sixteen => {
                const KNOWN: [&str; 6] = [
                    "charmed_stats",
                    "charmed_read",
                    "charmed_dml",
                    "charmed_admin",
                    "createdb",
                    "superuser",
                ];
                // Names of roles are made of it.
                if database.len() > 49 || RESERVED.contains(&database) {
                    return Some(NAME);
                }
                let known = roles.iter().all(|role| KNOWN.contains(&role.as_str()));
                let together = roles.len() < 2
                    || roles
                        .iter()
                        .map(String::as_str)
                        .eq(["charmed_admin", "createdb"]);
                (!known || !together).then_some(ROLES)
            }
        }
    }
}

/// The roles that a client asks for, as the charm reads them.
pub(super) fn extra_roles(client: &Settings) -> BTreeSet<String> {
    let text = client.get("extra-user-roles");
    text.into_iter()
        .flat_map(|text| text.split(','))
        .map(str::to_lowercase)
        .filter(|role| !role.is_empty() && !GROUPS.contains(&role.as_str()))
        .collect()
}

/// The keys that a client wants in secrets.
pub(super) fn requested_secrets(client: &Settings) -> BTreeSet<String> {
    let list = client.get("requested-secrets");
    let list = list.and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    list.unwrap_or_default().into_iter().collect()
}

/// What is new in a client's bag since the hook that wrote the key `data`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    /// The name of a database has come: only then is one made.
    pub(super) asks: bool,
    /// The bag as it is now, for the key `data`.
    pub(super) data: String,
}

/// Compares a client's bag with the one of before. The library throws when the roles have become others.
pub(super) fn news(data: Option<&String>, client: &Settings) -> Result<News, CounterpartError> {
    let before: Settings = data
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let now: Settings = client
        .iter()
        .filter(|(key, _)| *key != "data")
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let roles = "extra-user-roles";
    if let (Some(old), Some(new)) = (before.get(roles), now.get(roles))
        && old != new
    {
        return Err(CounterpartError::Databag {
            key: roles,
            reason: "it cannot change after the relation has been created".to_owned(),
        });
    }
    let map = now
        .iter()
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    Ok(News {
        asks: now.contains_key("database") && !before.contains_key("database"),
        data: Value::Object(map.collect()).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bag(items: &[(&str, &str)]) -> Settings {
        items
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn refusal(track: Track, roles: &str) -> Option<&'static str> {
        track.refuses("d", &extra_roles(&bag(&[("extra-user-roles", roles)])))
    }

    #[test]
    fn the_role_admin_is_known_to_track_14_alone() {
        use Track::{Fourteen, Sixteen};
        for (track, roles, refused) in [
            (Fourteen, "admin", None),
            (Fourteen, "ADMIN,createdb,relation_access", None),
            (Fourteen, "charmed_admin", Some(ROLES)),
            (Sixteen, "", None),
            (Sixteen, "admin", Some(ROLES)),
            (Sixteen, "charmed_admin", None),
            (Sixteen, "CREATEDB,charmed_admin", None),
            (Sixteen, "charmed_admin,charmed_dml", Some(ROLES)),
        ] {
            assert_eq!(refusal(track, roles), refused, "{track:?} {roles}");
        }
    }

    #[test]
    fn a_name_must_leave_room_for_the_names_of_roles() {
        let none = BTreeSet::new();
        let longest = "x".repeat(49);
        assert_eq!(Track::Sixteen.refuses(&longest, &none), None);
        for name in [format!("{longest}x"), "template1".to_owned()] {
            assert_eq!(Track::Sixteen.refuses(&name, &none), Some(NAME), "{name}");
            assert_eq!(Track::Fourteen.refuses(&name, &none), None, "{name}");
        }
    }

    #[test]
    fn only_a_name_that_has_come_asks_for_a_database() {
        let asked = |before: &[(&str, &str)], now: &[(&str, &str)]| {
            let before = news(None, &bag(before)).unwrap().data;
            news(Some(&before), &bag(now)).unwrap().asks
        };
        assert!(asked(&[], &[("database", "d")]));
        assert!(!asked(&[("database", "d")], &[("database", "d")]));
        assert!(!asked(&[("database", "d")], &[("database", "other")]));
        let before = news(None, &bag(&[("extra-user-roles", "admin")])).unwrap();
        let changed = bag(&[("extra-user-roles", "createdb")]);
        assert!(news(Some(&before.data), &changed).is_err());
    }
}
