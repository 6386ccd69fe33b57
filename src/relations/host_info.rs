//! `temporal-host-info`: tells applications of this model where the frontend is.
//!
//! The leader says it, to any number of workers, consoles and others that ask for a Temporal server; they say nothing.
//! Where nobody runs a frontend, nothing is said: an address at which nobody answers would be worse.

use super::endpoint::{Keys, Own, Said};
use crate::temporal::Role;

/// The keys that this charm writes.
pub const KEYS: Keys = Keys {
    app: &["host", "port"],
    unit: &[],
};

/// The Service's full name, which stays the same whatever becomes of pods and leaders.
pub fn publish(_: &str, own: &Own<'_>) -> Option<Said> {
    let has_frontend = own.config?.services.contains(&Role::Frontend);
    let (app, model, domain) = (&own.unit.app, own.model, own.cluster_domain);
    let host = format!("{app}.{model}.svc.{domain}");
    let port = Role::Frontend.grpc_port().to_string();
    let pairs = [("host", host), ("port", port)].map(|(key, value)| (key.to_owned(), value.into()));
    Some(Said {
        app: pairs.into_iter().filter(|_| has_frontend).collect(),
        ..Said::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config;
    use crate::juju::Unit;
    use crate::relations::Heard;

    fn said(services: &str) -> Vec<(String, String)> {
        let unit = Unit {
            app: "flows".to_owned(),
            number: 1,
        };
        let options = serde_json::Map::from_iter([("services".to_owned(), json!(services))]);
        let own = Own {
            unit: &unit,
            model: "prod",
            cluster_domain: "k8s.example",
            leader: true,
            address: None,
            config: Some(&config::parse(&options).unwrap()),
            heard: &Heard::default(),
        };
        let said = publish("temporal-host-info", &own).unwrap();
        assert!(said.unit.is_empty());
        let pairs = said.app.into_iter();
        pairs
            .map(|(key, value)| (key, value.expose().clone()))
            .collect()
    }

    #[test]
    fn the_services_name_and_port_are_told() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            said("frontend,history"),
            [
                pair("host", "flows.prod.svc.k8s.example"),
                pair("port", "7233"),
            ]
        );
    }

    #[test]
    fn nothing_is_told_where_there_is_no_frontend() {
        assert_eq!(said("history,matching,worker"), []);
    }
}
