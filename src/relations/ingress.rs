//! `ingress`: a way in from outside the model, by host name.
//!
//! Two protocols share the endpoint's name. In v2 every value is JSON and each unit adds its address;
//! the nginx integrator of early 2023 reads flat texts from the application alone. Nothing in the data
//! tells which one the other side speaks, so option `ingress-protocol` does.

use serde_json::{Value, json};

use super::endpoint::{Keys, Own, Said, Trouble};
use super::state::State;
use crate::config::IngressProtocol;
use crate::juju::{Databag, Relation, Unit};
use crate::temporal::Role;

/// All keys that either protocol, this charm or the Python charm has ever written, in either databag.
/// What is not published now has to go: a key of one protocol spoils the other.
pub const KEYS: Keys = Keys {
    app: WRITTEN,
    unit: WRITTEN,
};

const WRITTEN: &[&str] = &[
    "backend-protocol",
    "healthcheck_params",
    "host",
    "ip",
    "model",
    "name",
    "path-routes",
    "port",
    "redirect-https",
    "scheme",
    "service-hostname",
    "service-name",
    "service-namespace",
    "service-port",
    "strip-prefix",
    "tls-secret-name",
];

/// What the leader and each unit publish: nothing where there is no frontend to lead to.
pub fn publish(_: &str, own: &Own<'_>) -> Option<Said> {
    let config = own.config?;
    if !config.services.contains(&Role::Frontend) {
        return Some(Said::default());
    }
    Some(match config.ingress_protocol {
        IngressProtocol::V2 => v2(own),
        IngressProtocol::Nginx2023 => {
            nginx_2023(own.unit, own.model, config.external_hostname.as_deref())
        }
    })
}

/// An ingress that is not ready yet takes nothing from those who come from inside, and is no trouble.
pub fn trouble(_: &str, own: &Own<'_>, relations: &[Relation]) -> Option<Trouble> {
    let (config, relation) = (own.config?, relations.first()?);
    if !config.services.contains(&Role::Frontend) {
        return Some(Trouble::NeedsFrontend {
            remote: relation.remote_app.clone(),
        });
    }
    match &own.heard.ingress {
        State::Invalid(reason) => Some(Trouble::Invalid(reason.clone())),
        State::Absent | State::Waiting(_) | State::Ready(_) => None,
    }
}

/// The host name is the other side's to choose.
fn v2(own: &Own<'_>) -> Said {
    let (app, pod, model) = (&own.unit.app, own.unit.pod(), own.model);
    let host = format!("{pod}.{app}-endpoints.{model}.svc.{}", own.cluster_domain);
    Said {
        app: encoded([
            ("model", Some(json!(model))),
            ("name", Some(json!(app))),
            ("port", Some(json!(Role::Frontend.grpc_port()))),
            // Plaintext HTTP/2, which is what gRPC without TLS speaks.
            ("scheme", Some(json!("h2c"))),
        ]),
        unit: encoded([
            ("host", Some(json!(host))),
            ("ip", own.address.map(|address| json!(address))),
        ]),
    }
}

fn encoded<const N: usize>(pairs: [(&str, Option<Value>); N]) -> Databag {
    pairs
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?.to_string().into())))
        .collect()
}

/// The host name is the application's name unless it is given.
fn nginx_2023(unit: &Unit, model: &str, external_hostname: Option<&str>) -> Said {
    let (app, port) = (unit.app.as_str(), Role::Frontend.grpc_port().to_string());
    let hostname = external_hostname.unwrap_or(app);
    Said {
        app: [
            ("service-hostname", hostname),
            ("service-name", app),
            ("service-port", &port),
            // The same again under the names that the integrator prefers since September 2022.
            ("host", hostname),
            ("name", app),
            ("port", &port),
            ("model", model),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect(),
        unit: Databag::new(),
    }
}

/// The URL that the other side offers.
pub fn parse(protocol: IngressProtocol, relation: Option<&Relation>) -> State<String> {
    let Some(relation) = relation else {
        return State::Absent;
    };
    let Some(bag) = &relation.remote_app_bag else {
        return State::unread();
    };
    let said = |key: &str| {
        let text = bag.get(key)?.expose();
        (!text.is_empty()).then_some(text.as_str())
    };
    let remote = &relation.remote_app;
    let waiting = || State::Waiting(format!("{remote} has not offered a URL yet"));
    let (key, url) = match protocol {
        IngressProtocol::Nginx2023 => match said("url") {
            Some(url) => ("url", url.to_owned()),
            None => return waiting(),
        },
        IngressProtocol::V2 => match said("ingress").map(offered) {
            Some(Some(Offered::Url(url))) => ("ingress", url),
            None | Some(Some(Offered::Nothing)) => return waiting(),
            Some(None) => {
                return State::Invalid(format!(
                    "`ingress` from {remote} is not JSON with a `url`; set option `ingress-protocol` to \
                     what {remote} speaks"
                ));
            }
        },
    };
    if url.starts_with("http://") || url.starts_with("https://") {
        State::Ready(url)
    } else {
        State::Invalid(format!(
            "`{key}` from {remote} has a URL that is not HTTP; correct the configuration of {remote}"
        ))
    }
}

/// What v2's one value says.
enum Offered {
    /// Taken back, or not there yet.
    Nothing,
    Url(String),
}

/// `{"url": "…"}`; `None` when it is something else.
fn offered(text: &str) -> Option<Offered> {
    match serde_json::from_str(text).ok()? {
        Value::Null => Some(Offered::Nothing),
        Value::Object(mut offer) => match offer.remove("url") {
            None | Some(Value::Null) => Some(Offered::Nothing),
            Some(Value::String(url)) if url.is_empty() => Some(Offered::Nothing),
            Some(Value::String(url)) => Some(Offered::Url(url)),
            Some(_) => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::juju::entries;
    use crate::probe::Probe;
    use crate::relations::Heard;

    fn unit() -> Unit {
        Unit {
            app: "temporal-k8s".to_owned(),
            number: 1,
        }
    }

    fn bag(pairs: &[(&str, &str)]) -> Databag {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).into()))
            .collect()
    }

    fn relation(pairs: &[(&str, &str)]) -> Relation {
        Relation {
            id: 3,
            remote_app: "traefik-k8s".to_owned(),
            remote_app_bag: Some(bag(pairs)),
            remote_unit_bags: BTreeMap::new(),
            secrets: BTreeMap::new(),
            own_unit_bag: Probe::NotAsked,
            own_app_bag: Probe::NotAsked,
        }
    }

    fn exposed(bag: &Databag) -> Vec<(&str, &str)> {
        bag.iter()
            .map(|(key, value)| (key.as_str(), value.expose().as_str()))
            .collect()
    }

    fn said_v2(address: Option<IpAddr>) -> Said {
        v2(&Own {
            unit: &unit(),
            model: "prod",
            cluster_domain: "k8s.example",
            leader: true,
            address,
            config: None,
            heard: &Heard::default(),
        })
    }

    fn published(protocol: IngressProtocol) -> Said {
        match protocol {
            IngressProtocol::V2 => said_v2(Some([10, 1, 0, 7].into())),
            IngressProtocol::Nginx2023 => nginx_2023(&unit(), "prod", Some("temporal.example.com")),
        }
    }

    #[test]
    fn v2_speaks_json_and_each_unit_adds_its_address() {
        let said = published(IngressProtocol::V2);
        assert_eq!(
            exposed(&said.app),
            [
                ("model", r#""prod""#),
                ("name", r#""temporal-k8s""#),
                ("port", "7233"),
                ("scheme", r#""h2c""#),
            ]
        );
        assert_eq!(
            exposed(&said.unit),
            [
                (
                    "host",
                    r#""temporal-k8s-1.temporal-k8s-endpoints.prod.svc.k8s.example""#
                ),
                ("ip", r#""10.1.0.7""#),
            ]
        );
    }

    #[test]
    fn v2_leaves_out_an_address_that_is_not_known() {
        let said = said_v2(None);
        assert_eq!(said.unit.keys().collect::<Vec<_>>(), ["host"]);
    }

    #[test]
    fn nginx_2023_speaks_flat_texts_under_both_names() {
        let said = published(IngressProtocol::Nginx2023);
        assert_eq!(
            exposed(&said.app),
            [
                ("host", "temporal.example.com"),
                ("model", "prod"),
                ("name", "temporal-k8s"),
                ("port", "7233"),
                ("service-hostname", "temporal.example.com"),
                ("service-name", "temporal-k8s"),
                ("service-port", "7233"),
            ]
        );
        assert!(said.unit.is_empty());
    }

    #[test]
    fn the_host_name_is_the_applications_name_unless_it_is_given() {
        let said = nginx_2023(&unit(), "prod", None);
        assert_eq!(said.app["service-hostname"].expose(), "temporal-k8s");
        assert_eq!(said.app["host"].expose(), "temporal-k8s");
    }

    #[test]
    fn a_change_of_protocol_leaves_exactly_the_other_one_and_jujus_keys() {
        let juju = bag(&[
            ("egress-subnets", "10.0.0.1/32"),
            ("ingress-address", "10.0.0.1"),
            ("private-address", "10.0.0.1"),
        ]);
        for (from, to) in [
            (IngressProtocol::V2, IngressProtocol::Nginx2023),
            (IngressProtocol::Nginx2023, IngressProtocol::V2),
        ] {
            let (from, to) = (published(from), published(to));
            for (mut have, want) in [(from.app, to.app), (from.unit, to.unit)] {
                have.extend(juju.clone());
                for (key, value) in entries(&want, WRITTEN) {
                    match value {
                        Some(value) => have.insert(key, value),
                        None => have.remove(&key),
                    };
                }
                let mut expected = want;
                expected.extend(juju.clone());
                assert_eq!(exposed(&have), exposed(&expected));
            }
        }
    }

    #[test]
    fn every_published_key_is_owned() {
        for protocol in [IngressProtocol::V2, IngressProtocol::Nginx2023] {
            let said = published(protocol);
            for key in said.app.keys() {
                assert!(KEYS.app.contains(&key.as_str()), "{key}");
            }
            for key in said.unit.keys() {
                assert!(KEYS.unit.contains(&key.as_str()), "{key}");
            }
        }
    }

    #[test]
    fn an_offered_url_is_read() {
        for (protocol, key, value, url) in [
            (
                IngressProtocol::V2,
                "ingress",
                r#"{"url": "http://host/prod-temporal-k8s"}"#,
                "http://host/prod-temporal-k8s",
            ),
            (
                IngressProtocol::V2,
                "ingress",
                r#"{"url":"https://t","more":1}"#,
                "https://t",
            ),
            (
                IngressProtocol::Nginx2023,
                "url",
                "http://temporal-k8s:7233/",
                "http://temporal-k8s:7233/",
            ),
        ] {
            let state = parse(protocol, Some(&relation(&[(key, value)])));
            assert_eq!(state, State::Ready(url.to_owned()));
        }
    }

    #[test]
    fn what_was_not_said_or_was_taken_back_is_waiting() {
        let waiting = State::Waiting("traefik-k8s has not offered a URL yet".to_owned());
        for (protocol, pairs) in [
            (IngressProtocol::V2, &[] as &[(&str, &str)]),
            (IngressProtocol::V2, &[("ingress", "")]),
            (IngressProtocol::V2, &[("ingress", "null")]),
            (IngressProtocol::V2, &[("ingress", "{}")]),
            (IngressProtocol::V2, &[("ingress", r#"{"url":null}"#)]),
            (IngressProtocol::V2, &[("ingress", r#"{"url":""}"#)]),
            (IngressProtocol::V2, &[("url", "http://t")]),
            (IngressProtocol::Nginx2023, &[]),
            (
                IngressProtocol::Nginx2023,
                &[("ingress", r#"{"url":"http://t"}"#)],
            ),
        ] {
            assert_eq!(
                parse(protocol, Some(&relation(pairs))),
                waiting,
                "{pairs:?}"
            );
        }
        assert_eq!(parse(IngressProtocol::V2, None), State::Absent);
    }

    #[test]
    fn what_is_malformed_is_invalid_with_a_remedy() {
        for (protocol, key, value, said) in [
            (IngressProtocol::V2, "ingress", "{", "`ingress-protocol`"),
            (
                IngressProtocol::V2,
                "ingress",
                "http://t",
                "`ingress-protocol`",
            ),
            (IngressProtocol::V2, "ingress", "[1]", "`ingress-protocol`"),
            (
                IngressProtocol::V2,
                "ingress",
                r#"{"url":1}"#,
                "`ingress-protocol`",
            ),
            (
                IngressProtocol::V2,
                "ingress",
                r#"{"url":"ftp://t"}"#,
                "not HTTP",
            ),
            (IngressProtocol::Nginx2023, "url", "t", "not HTTP"),
        ] {
            let State::Invalid(why) = parse(protocol, Some(&relation(&[(key, value)]))) else {
                panic!("{value}");
            };
            assert!(why.contains(said) && why.contains("traefik-k8s"), "{why}");
        }
    }

    proptest! {
        #[test]
        fn any_databag_is_an_answer(value: String, near in r#"[{}\[\]"url:0n]{0,12}"#, v2: bool) {
            let protocol = if v2 { IngressProtocol::V2 } else { IngressProtocol::Nginx2023 };
            for value in [value, near] {
                let _any = parse(protocol, Some(&relation(&[("ingress", &value), ("url", &value)])));
            }
        }
    }
}
