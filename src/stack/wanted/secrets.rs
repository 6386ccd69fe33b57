//! Which Secrets there must be, and where each of their values comes from.

use super::{
    API_TLS, CLUSTER_SECRETS, COOKIE_KEY, FIRST_PEER, Own, POSTGRES_SECRETS, RABBITMQ_CONFIG,
    RABBITMQ_SECRETS, SALT_KEY, STACK_SECRET, Settings, TEMPORAL_SECRETS,
};
use crate::secret::Secret;
use crate::stack::input::Stack;
use crate::stack::objects::{Component, rabbitmq, temporal};
use crate::stack::secrets::{self, Change, Source, Values, known};
use crate::stack::settings::amqp::AmqpUrl;
use crate::stack::settings::{self, Checked, Program};

impl Settings {
    /// All Secrets, each in an order in which values need only earlier ones.
    pub(super) fn secrets(&self, stack: &Stack, own: Own, namespace: &str) -> Vec<secrets::Wanted> {
        let secret = |name, component, keys| secrets::Wanted {
            name,
            component,
            kind: None,
            keys,
        };
        let mut all = vec![secret(
            STACK_SECRET,
            Component::Stack,
            vec![(SALT_KEY.to_owned(), secrets::random_hex())],
        )];
        if own.postgres {
            let password = self
                .postgres
                .value("POSTGRES_PASSWORD")
                .or_else(|| self.temporal("DATABASE_PASSWORD"));
            let source = given_or_made(password, Change::Refuse(CHANGED_PASSWORD));
            let keys = vec![("POSTGRES_PASSWORD".to_owned(), source)];
            all.push(secret(POSTGRES_SECRETS, Component::Postgres, keys));
        }
        if own.rabbitmq {
            let cookie = vec![(COOKIE_KEY.to_owned(), secrets::random_hex())];
            all.push(secret(RABBITMQ_CONFIG, Component::Rabbitmq, cookie));
            all.push(secret(
                RABBITMQ_SECRETS,
                Component::Rabbitmq,
                self.rabbitmq_secrets(),
            ));
        }
        if own.cluster {
            all.push(secret(
                CLUSTER_SECRETS,
                Component::IpfsCluster,
                self.cluster_secrets(),
            ));
            all.push(secret(
                FIRST_PEER,
                Component::IpfsCluster,
                self.first_peer(),
            ));
        }
        all.push(secret(
            TEMPORAL_SECRETS,
            Component::Api,
            self.temporal_secrets(own),
        ));
        let brought = stack.temporal.tls_secret.is_some();
        if self.certificate(brought).is_some() && !brought {
            let service = temporal::API.0;
            let names = vec![
                service.to_owned(),
                format!("{service}.{namespace}"),
                format!("{service}.{namespace}.svc"),
                format!("{service}.{namespace}.svc.cluster.local"),
                "localhost".to_owned(),
            ];
            let certificate = secrets::certificate(API_TLS, "tls.key", names);
            all.push(secrets::Wanted {
                name: API_TLS,
                component: Component::Api,
                kind: Some("kubernetes.io/tls"),
                keys: vec![
                    ("tls.key".to_owned(), secrets::tls_key()),
                    ("tls.crt".to_owned(), certificate),
                ],
            });
        }
        all
    }

    fn rabbitmq_secrets(&self) -> Vec<(String, Source)> {
        let login = self.broker().and_then(|url| url.credentials);
        let user = login.as_ref().map_or("temporal", |(user, _)| user.as_str());
        let password = login
            .as_ref()
            .map(|(_, password)| password.expose().as_str());
        let refuse = Change::Refuse(CHANGED_LOGIN);
        let vhost = self.broker().map_or("/".to_owned(), |url| url.vhost);
        vec![
            (
                "RABBITMQ_DEFAULT_VHOST".to_owned(),
                Source::Given(vhost.into(), refuse),
            ),
            (
                "RABBITMQ_DEFAULT_USER".to_owned(),
                Source::Given(user.into(), refuse),
            ),
            (
                "RABBITMQ_DEFAULT_PASS".to_owned(),
                given_or_made(password, refuse),
            ),
        ]
    }

    fn cluster_secrets(&self) -> Vec<(String, Source)> {
        let secret = self.cluster.value("CLUSTER_SECRET");
        let mut keys = vec![(
            "CLUSTER_SECRET".to_owned(),
            given_or_made(secret, Change::Refuse(CHANGED_SECRET)),
        )];
        let made = ["CLUSTER_SECRET", "CLUSTER_PRIVATEKEY", "CLUSTER_ID"];
        keys.extend(others(Program::IpfsCluster, &self.cluster, &made));
        keys
    }

    fn first_peer(&self) -> Vec<(String, Source)> {
        let given = |name| self.cluster.value(name);
        let refuse = Change::Refuse(CHANGED_PEER);
        let key = given("CLUSTER_PRIVATEKEY")
            .map_or_else(secrets::peer_key, |key| Source::Given(key.into(), refuse));
        let id = given("CLUSTER_ID").map_or_else(
            || {
                Source::Derived(Box::new(|values: &Values| {
                    secrets::peer_id(known(values, FIRST_PEER, "CLUSTER_PRIVATEKEY")).into()
                }))
            },
            |id| Source::Given(id.into(), refuse),
        );
        vec![
            ("CLUSTER_PRIVATEKEY".to_owned(), key),
            ("CLUSTER_ID".to_owned(), id),
        ]
    }

    fn temporal_secrets(&self, own: Own) -> Vec<(String, Source)> {
        let mut keys = Vec::new();
        let mut add = |name: &str, source| keys.push((name.to_owned(), source));
        if own.postgres {
            add(
                "DATABASE_PASSWORD",
                derived(|values| known(values, POSTGRES_SECRETS, "POSTGRES_PASSWORD").to_owned()),
            );
        } else if let Some(password) = self.temporal("DATABASE_PASSWORD") {
            add(
                "DATABASE_PASSWORD",
                Source::Given(password.into(), Change::Replace),
            );
        }
        if own.rabbitmq {
            add("RABBITMQ_URL", derived(own_url));
        } else if let Some(url) = self.temporal("RABBITMQ_URL") {
            add("RABBITMQ_URL", Source::Given(url.into(), Change::Replace));
        }
        let made = [
            ("API_JWT_KEY", Change::Replace),
            ("SERVICES_KRAB_AUTH_KEY", Change::Replace),
            (
                "SERVICES_KRAB_KEYSTORE_PASSWORD",
                Change::Refuse(CHANGED_KEYSTORE),
            ),
        ];
        for (name, change) in made {
            add(name, given_or_made(self.temporal(name), change));
        }
        for (name, of) in [
            ("SERVICES_KRAB_FALLBACK_AUTH_KEY", "SERVICES_KRAB_AUTH_KEY"),
            (
                "SERVICES_KRAB_FALLBACK_KEYSTORE_PASSWORD",
                "SERVICES_KRAB_KEYSTORE_PASSWORD",
            ),
        ] {
            match self.temporal(name) {
                Some(given) => add(name, Source::Given(given.into(), Change::Replace)),
                None => add(
                    name,
                    derived(move |values| known(values, TEMPORAL_SECRETS, of).to_owned()),
                ),
            }
        }
        let known: Vec<String> = keys.iter().map(|(name, _)| name.clone()).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        keys.extend(others(Program::Temporal, &self.temporal, &known));
        keys
    }
}

const CHANGED_PASSWORD: &str = "the database keeps the password that it was made with; change it there first \
    (`ALTER ROLE … PASSWORD …`), then in the Secret, then apply again";
const CHANGED_LOGIN: &str = "the broker keeps the user that it was made with; change it there first \
    (`rabbitmqctl change_password …`), then in the Secret, then apply again";
const CHANGED_SECRET: &str = "another secret would cut the peers off from each other while they restart; write the \
    old one into the settings, or delete the key from the Secret to change it on all peers";
const CHANGED_PEER: &str =
    "the first peer is known to the others by its key; write the old one into the settings";
const CHANGED_KEYSTORE: &str = "the keys in the store are encrypted with the old password; write that one into the \
    settings";

/// The settings that are secrets, without those that are dealt with one by one.
fn others(program: Program, checked: &Checked, without: &[&str]) -> Vec<(String, Source)> {
    checked
        .values
        .iter()
        .filter(|(name, _)| settings::is_secret(program, name) && !without.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), Source::Given(value.clone(), Change::Replace)))
        .collect()
}

fn given_or_made(given: Option<&str>, change: Change) -> Source {
    given.map_or_else(secrets::random_hex, |value| {
        Source::Given(value.into(), change)
    })
}

fn derived(derive: impl Fn(&Values) -> String + 'static) -> Source {
    Source::Derived(Box::new(move |values| Secret::new(derive(values))))
}

/// The URL of our own broker, with the login in it.
fn own_url(values: &Values) -> String {
    let login = |key| known(values, RABBITMQ_SECRETS, key).to_owned();
    let url = AmqpUrl {
        tls: false,
        credentials: Some((
            login("RABBITMQ_DEFAULT_USER"),
            login("RABBITMQ_DEFAULT_PASS").into(),
        )),
        host: rabbitmq::ADDRESS.0.to_owned(),
        port: rabbitmq::ADDRESS.1,
        vhost: login("RABBITMQ_DEFAULT_VHOST"),
    };
    url.to_url().expose().clone()
}
