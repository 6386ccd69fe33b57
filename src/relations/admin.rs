//! `admin`: temporal-admin-k8s sets up the schema of both databases and says when it is ready.
//!
//! The server's application requires this endpoint and the admin application provides it. The leader
//! publishes both connections; the other side's leader answers once its schema tool has run. The answer
//! is never taken back, so it alone does not prove a schema (see `plan`).

use std::borrow::Cow;

use serde::Serialize;

use super::endpoint::{Keys, Own, Said};
use super::state::State;
use crate::juju::{Databag, Relation};
use crate::temporal::{Database, PerStore, url_host};

/// The keys that this charm writes.
pub const KEYS: Keys = Keys {
    app: &["database_connections"],
    unit: &[],
};

/// Has the admin application reported the schema ready? The Temporal UI can be related here by mistake,
/// since Juju compares interfaces only; it never reports anything.
pub fn parse(relation: Option<&Relation>) -> State<()> {
    let Some(relation) = relation else {
        return State::Absent;
    };
    let Some(said) = &relation.remote_app_bag else {
        return State::unread();
    };
    match said.get("schema_status") {
        Some(status) if status.expose() == "ready" => State::Ready(()),
        _ => State::Waiting(format!(
            "{} has not reported the schema ready yet",
            relation.remote_app
        )),
    }
}

/// Both connections, for the admin application's schema tool. While one is missing, the last ones stay: no revision
/// of the admin application expects the key to go, and the database's role does not outlive its relation.
pub fn publish(_: &str, own: &Own<'_>) -> Option<Said> {
    let app = databag(&own.heard.connections()?);
    Some(Said {
        app,
        ..Said::default()
    })
}

fn databag(databases: &PerStore<&Database>) -> Databag {
    let connections = Connections {
        db: databases.main.into(),
        visibility: databases.visibility.into(),
    };
    // A struct of texts always has a JSON form; without one there would be nothing to say.
    serde_json::to_string(&connections)
        .ok()
        .map(|text| ("database_connections".to_owned(), text.into()))
        .into_iter()
        .collect()
}

/// In the order in which the admin application sets them up.
#[derive(Serialize)]
struct Connections<'a> {
    db: Connection<'a>,
    visibility: Connection<'a>,
}

/// One connection, as the admin application hands it to its tool.
#[derive(Serialize)]
struct Connection<'a> {
    dbname: &'a str,
    /// An argument of the other side's tool, which puts a colon and the port behind it: it takes an IPv6 address in
    /// brackets only, and nothing else in brackets.
    host: Cow<'a, str>,
    /// A text: the other side passes it on as an argument of a command.
    port: String,
    user: &'a str,
    password: &'a str,
    /// Is the connection encrypted? The other side's tool encrypts then, and verifies nothing.
    tls: bool,
}

impl<'a> From<&'a Database> for Connection<'a> {
    fn from(database: &'a Database) -> Self {
        Self {
            dbname: &database.name,
            host: url_host(&database.host),
            port: database.port.to_string(),
            user: &database.user,
            password: database.password.expose(),
            tls: database.tls.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::probe::Probe;

    fn relation(pairs: &[(&str, &str)]) -> Relation {
        Relation {
            id: 9,
            remote_app: "temporal-admin-k8s".to_owned(),
            remote_app_bag: Some(
                pairs
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).into()))
                    .collect(),
            ),
            remote_unit_bags: BTreeMap::new(),
            secrets: BTreeMap::new(),
            own_unit_bag: Probe::NotAsked,
            own_app_bag: Probe::NotAsked,
        }
    }

    fn database(relation: u32, name: &str) -> Database {
        Database {
            relation,
            host: "postgresql-k8s-primary.m.svc.cluster.local".to_owned(),
            port: 5432,
            name: name.to_owned(),
            user: format!("relation_id_{relation}"),
            password: "x".into(),
            tls: None,
        }
    }

    #[test]
    fn only_the_one_literal_is_ready() {
        assert_eq!(parse(None), State::Absent);
        let said = |pairs| parse(Some(&relation(pairs)));
        assert_eq!(said(&[("schema_status", "ready")]), State::Ready(()));
        for pairs in [
            &[] as &[(&str, &str)],
            &[("schema_status", "")],
            &[("schema_status", "Ready")],
            &[("schema_status", "ready ")],
            &[("schema_ready", "true")],
            &[("server_status", "ready")],
        ] {
            assert_eq!(
                said(pairs),
                State::Waiting(
                    "temporal-admin-k8s has not reported the schema ready yet".to_owned()
                )
            );
        }
    }

    #[test]
    fn connections_are_published_in_the_order_of_their_use() {
        let (main, visibility) = (
            database(7, "temporal-k8s_db"),
            database(8, "temporal-k8s_visibility"),
        );
        let bag = databag(&PerStore {
            main: &main,
            visibility: &visibility,
        });
        assert_eq!(bag.keys().collect::<Vec<_>>(), KEYS.app);
        assert_eq!(
            bag["database_connections"].expose(),
            concat!(
                r#"{"db":{"dbname":"temporal-k8s_db","#,
                r#""host":"postgresql-k8s-primary.m.svc.cluster.local","port":"5432","#,
                r#""user":"relation_id_7","password":"x","tls":false},"#,
                r#""visibility":{"dbname":"temporal-k8s_visibility","#,
                r#""host":"postgresql-k8s-primary.m.svc.cluster.local","port":"5432","#,
                r#""user":"relation_id_8","password":"x","tls":false}}"#
            )
        );
    }
}
