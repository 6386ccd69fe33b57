//! What postgresql-k8s reads and writes on its legacy interface `pgsql`, as pure functions.

use std::collections::{BTreeMap, BTreeSet};

use crate::juju::model::Settings;

/// Where the servers listen.
pub(super) const PORT: u16 = 5432;
const EXTENSIONS: &str = "extensions requested through relation";
const ROLES: &str = "roles requested through relation, use postgresql_client interface instead";

/// The name of the role of a relation.
pub fn role(id: u32) -> String {
    format!("relation_id_{id}")
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Nothing,
    Refused(&'static str),
    Database(String),
}

/// What the client asks for: in the application's bag, else in the bag of one of its units.
pub(super) fn request(app: &Settings, units: &BTreeMap<String, Settings>) -> Request {
    if app.contains_key("extensions") || units.values().any(|bag| bag.contains_key("extensions")) {
        return Request::Refused(EXTENSIONS);
    }
    if app.contains_key("roles") {
        return Request::Refused(ROLES);
    }
    let wanted = std::iter::once(app)
        .chain(units.values())
        .find_map(|bag| bag.get("database"));
    wanted.map_or(Request::Nothing, |name| Request::Database(name.clone()))
}

pub(super) struct Grant {
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) client: String,
    pub(super) version: String,
}

/// Where the servers are, in the words of the real charm.
pub(super) struct Places {
    pub(super) pod: String,
    pub(super) primary: String,
    pub(super) replicas: String,
}

pub(super) fn answer(
    grant: &Grant,
    units: &BTreeMap<String, Settings>,
    places: &Places,
) -> Settings {
    let connection = |host: &str| {
        connection_string(&[
            ("host", host),
            ("dbname", &grant.database),
            ("port", &PORT.to_string()),
            ("user", &grant.user),
            ("password", &grant.password),
            ("fallback_application_name", &grant.client),
        ])
    };
    let subnets: BTreeSet<&str> = units
        .values()
        .filter_map(|bag| bag.get("egress-subnets"))
        .flat_map(|subnets| subnets.split(','))
        .map(str::trim)
        .filter(|subnet| !subnet.is_empty())
        .collect();
    [
        (
            "allowed-subnets",
            subnets.into_iter().collect::<Vec<_>>().join(","),
        ),
        (
            "allowed-units",
            units.keys().cloned().collect::<Vec<_>>().join(","),
        ),
        ("host", places.pod.clone()),
        ("master", connection(&places.primary)),
        ("port", PORT.to_string()),
        ("standbys", connection(&places.replicas)),
        ("version", grant.version.clone()),
        ("user", grant.user.clone()),
        ("password", grant.password.clone()),
        ("database", grant.database.clone()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// The real charm's writer: sorted keys, no empty values, quotes only around spaces.
fn connection_string(items: &[(&str, &str)]) -> String {
    let sorted: BTreeMap<&str, &str> = items.iter().copied().collect();
    let written = sorted
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| {
            let value = value
                .replace('\\', r"\\")
                .replace('\'', r"\'")
                .replace('\n', " ");
            if value.contains(' ') {
                format!("{key}='{value}'")
            } else {
                format!("{key}={value}")
            }
        });
    written.collect::<Vec<_>>().join(" ")
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

    #[test]
    fn values_are_quoted_as_the_real_charm_quotes_them() {
        let written =
            |password| connection_string(&[("user", "u"), ("password", password), ("x", "")]);
        assert_eq!(written("plain"), "password=plain user=u");
        assert_eq!(written("a b"), "password='a b' user=u");
        assert_eq!(written(r"it's\"), r"password=it\'s\\ user=u");
        assert_eq!(written("a\nb"), "password='a b' user=u");
    }

    #[test]
    fn the_database_is_asked_for_in_either_bag_and_nothing_else_may_be() {
        let none = BTreeMap::new();
        let units = |items: &[(&str, &str)]| BTreeMap::from([("a/0".to_owned(), bag(items))]);
        let wanted = Request::Database("d".to_owned());
        assert_eq!(request(&bag(&[]), &none), Request::Nothing);
        assert_eq!(request(&bag(&[("database", "d")]), &none), wanted);
        assert_eq!(request(&bag(&[]), &units(&[("database", "d")])), wanted);
        let extensions = request(&bag(&[("database", "d")]), &units(&[("extensions", "x")]));
        assert_eq!(extensions, Request::Refused(EXTENSIONS));
        let roles = request(&bag(&[("database", "d"), ("roles", "admin")]), &none);
        assert_eq!(roles, Request::Refused(ROLES));
    }

    #[test]
    fn the_answer_names_all_client_units_and_their_networks() {
        let unit = |subnets| bag(&[("egress-subnets", subnets)]);
        let units = BTreeMap::from([
            ("web/1".to_owned(), unit("10.0.0.9/32, 10.0.0.8/32")),
            ("web/0".to_owned(), unit("10.0.0.8/32")),
            ("web/2".to_owned(), bag(&[])),
        ]);
        let grant = Grant {
            database: "d".to_owned(),
            user: role(7),
            password: "p".to_owned(),
            client: "web".to_owned(),
            version: "14.5".to_owned(),
        };
        let places = Places {
            pod: "pg-0".to_owned(),
            primary: "pg-primary".to_owned(),
            replicas: "pg-replicas".to_owned(),
        };
        let answer = answer(&grant, &units, &places);
        assert_eq!(answer["allowed-subnets"], "10.0.0.8/32,10.0.0.9/32");
        assert_eq!(answer["allowed-units"], "web/0,web/1,web/2");
        assert_eq!(
            answer["master"],
            "dbname=d fallback_application_name=web host=pg-primary password=p port=5432 \
             user=relation_id_7"
        );
        assert!(answer["standbys"].contains("host=pg-replicas "));
    }
}
