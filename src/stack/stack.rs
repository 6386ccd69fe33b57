//! The parts joined: the user's settings, checked and completed; which parts are installed at all, what each program
//! finds in its environment, which Secrets there must be, and all objects. Pure.

use crate::input::Stack;
use crate::names::{SALT_KEY, STACK_SECRET};
use crate::objects::{Component, Context, Environment, Object, from_stack, policy};
use crate::parts::ipfs::peer;
use crate::parts::{Settings, ipfs, postgres, rabbitmq, secret, temporal};
use crate::secrets;
use crate::settings::{Addresses, Finding, Home, is_refused};

/// Everything that can be known without a cluster.
#[derive(Debug)]
pub struct Wanted {
    /// What the user wrote.
    pub stack: Stack,
    /// Where it is installed.
    pub namespace: String,
    /// The settings of the programs.
    pub environment: Environment,
    /// The Secrets that must be there.
    pub secrets: Vec<secrets::Wanted>,
    /// What the user should know of the settings; none of it is an error.
    pub findings: Vec<Finding>,
}

impl Wanted {
    /// What objects are made from.
    pub const fn context<'a>(&'a self, values: &'a secrets::Values) -> Context<'a> {
        Context {
            stack: &self.stack,
            namespace: self.namespace.as_str(),
            environment: &self.environment,
            values,
        }
    }
}

/// Checks and completes; the error holds all findings, at least one of which is an error. `addresses` are those of the
/// stack's Services that are there already.
pub fn wanted(
    stack: Stack,
    namespace: &str,
    addresses: &Addresses,
) -> Result<Wanted, Vec<Finding>> {
    let home = Home {
        namespace,
        addresses,
    };
    let given = Settings::check(&stack, home);
    let mut findings = given.findings();
    let certificate = temporal::certificate(&given);
    let environment = Environment {
        temporal: temporal::environment(&given, certificate.as_ref(), &mut findings),
        cluster: peer::environment(&given, &mut findings),
        postgres: postgres::environment(&given),
        own: given.own,
        workers: temporal::workers(&given, &mut findings),
        certificate,
    };
    if is_refused(&findings) {
        return Err(findings);
    }
    Ok(Wanted {
        namespace: namespace.to_owned(),
        environment,
        secrets: secrets(&given),
        findings,
        stack,
    })
}

/// All Secrets, each in an order in which values need only earlier ones.
fn secrets(settings: &Settings<'_>) -> Vec<secrets::Wanted> {
    let own = settings.own;
    let mut known = vec![(SALT_KEY, secrets::random_hex())];
    let mut all = Vec::new();
    if own.postgres {
        known.extend(postgres::facts(settings));
        all.extend(postgres::secrets(settings));
    }
    if own.rabbitmq {
        known.push(rabbitmq::fact(settings));
        all.extend(rabbitmq::secrets(settings));
    }
    if own.cluster {
        all.extend(peer::secrets(settings));
    }
    all.insert(0, secret(STACK_SECRET, Component::Stack, known));
    all.extend(temporal::secrets(settings));
    all
}

/// All objects but Namespace and Secrets, in the order in which they are made.
pub fn objects(context: Context<'_>) -> Vec<Object> {
    let mut objects = vec![policy(context, Component::Stack, &from_stack())];
    if context.environment.own.postgres {
        objects.extend(postgres::objects(context));
    }
    if context.environment.own.rabbitmq {
        objects.extend(rabbitmq::objects(context));
    }
    objects.extend(ipfs::objects(context));
    objects.extend(temporal::objects(context));
    objects.sort_by_key(Object::phase);
    objects
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use getrandom::SysRng;
    use serde_json::{Value, json};

    use super::*;
    use crate::input::Worker;
    use crate::kubernetes::Kind;
    use crate::names::{API_TLS, POSTGRES_SECRETS, RABBITMQ_SECRETS, TEMPORAL_SECRETS};
    use crate::objects::Object;
    use crate::parts::temporal::{CERTIFICATE_PATH, KEY_PATH};
    use crate::secrets::{self, Values, known};

    fn of(settings: &[(&str, &str)]) -> Result<Wanted, Vec<Finding>> {
        with(settings, |_| {})
    }

    fn with(
        settings: &[(&str, &str)],
        change: impl FnOnce(&mut Stack),
    ) -> Result<Wanted, Vec<Finding>> {
        let mut stack = Stack::default();
        stack.temporal.settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect();
        change(&mut stack);
        wanted(stack, "n", &Addresses::new())
    }

    fn values(wanted: &Wanted) -> Values {
        let none = BTreeMap::new();
        let resolved = secrets::resolve(&wanted.secrets, &none, "n", &mut SysRng);
        resolved.unwrap().0
    }

    fn objects(wanted: &Wanted) -> Vec<Object> {
        super::objects(wanted.context(&values(wanted)))
    }

    #[test]
    fn without_settings_everything_is_the_stacks_own() {
        let wanted = of(&[]).unwrap();
        let temporal = &wanted.environment.temporal;
        for (name, value) in [
            ("DATABASE_URL", "postgres"),
            ("DATABASE_NAME", "temporal"),
            ("IPFS_API_CONNECTION_HOST", "ipfs-api"),
            ("IPFS_CLUSTER_API_CONNECTION_HOST", "ipfs-cluster-service"),
            ("SERVICES_KRAB_URL", "temporal-krab:10000"),
        ] {
            assert_eq!(temporal[name], value);
        }
        assert_eq!(wanted.environment.certificate, None);
        let values = values(&wanted);
        let password = known(&values, POSTGRES_SECRETS, "POSTGRES_PASSWORD");
        assert_eq!(
            known(&values, TEMPORAL_SECRETS, "DATABASE_PASSWORD"),
            password
        );
        assert!(password.len() >= 32);
        // an empty key would let anyone make tokens
        assert!(known(&values, TEMPORAL_SECRETS, "API_JWT_KEY").len() >= 32);
    }

    #[test]
    fn what_is_elsewhere_is_not_installed() {
        let wanted = of(&[
            ("DATABASE_URL", "db.example.com"),
            ("DATABASE_PASSWORD", "hunter2"),
            ("RABBITMQ_URL", "amqps://u:p@mq.example.com/"),
            ("IPFS_API_CONNECTION_HOST", "ipfs.example.com"),
            ("IPFS_CLUSTER_API_CONNECTION_HOST", "cluster.example.com"),
        ])
        .unwrap();
        let objects = objects(&wanted);
        let sets: Vec<&str> = objects
            .iter()
            .filter(|object| object.kind == Kind::StatefulSet)
            .map(Object::name)
            .collect();
        assert_eq!(sets, ["temporal-krab"]);
        let values = values(&wanted);
        assert_eq!(
            known(&values, TEMPORAL_SECRETS, "RABBITMQ_URL"),
            "amqps://u:p@mq.example.com/"
        );
        let lacking = of(&[("DATABASE_URL", "db.example.com")]).unwrap_err();
        assert!(
            lacking.iter().any(|it| it.name == "DATABASE_PASSWORD"),
            "{lacking:?}"
        );
    }

    /// The containers of the Pods with IPFS, and what they keep.
    fn ipfs(wanted: &Wanted) -> (Vec<String>, Vec<String>, Value) {
        let objects = objects(wanted);
        let mut sets = objects.iter().filter(|it| it.kind == Kind::StatefulSet);
        let spec = &sets.find(|it| it.name() == "ipfs").unwrap().body["spec"];
        let names = |list: &Value, pointer: &str| {
            let name = |it: &Value| it.pointer(pointer).unwrap().as_str().unwrap().to_owned();
            list.as_array().unwrap().iter().map(name).collect()
        };
        (
            names(&spec["template"]["spec"]["containers"], "/name"),
            names(&spec["volumeClaimTemplates"], "/metadata/name"),
            spec["replicas"].clone(),
        )
    }

    #[test]
    fn a_node_and_its_peer_are_in_one_pod_and_one_that_is_elsewhere_is_not() {
        let ipfs_is = ("IPFS_API_CONNECTION_HOST", "ipfs.example.com");
        let cluster_is = ("IPFS_CLUSTER_API_CONNECTION_HOST", "cluster.example.com");
        for (elsewhere, containers, claims, pods) in [
            (
                &[][..],
                &["ipfs", "ipfs-cluster"][..],
                &["data", "peer"][..],
                3,
            ),
            (&[cluster_is], &["ipfs"], &["data"], 3),
            (&[ipfs_is], &["ipfs-cluster"], &["peer"], 1),
        ] {
            let wanted = of(elsewhere).unwrap();
            let (names, kept, replicas) = ipfs(&wanted);
            assert_eq!(
                (names, kept),
                (
                    containers.iter().map(ToString::to_string).collect(),
                    claims.iter().map(ToString::to_string).collect(),
                )
            );
            assert_eq!(replicas, pods);
        }
    }

    #[test]
    fn a_peer_looks_after_the_node_that_temporal_asks() {
        const NODE: &str = "CLUSTER_IPFSHTTP_NODEMULTIADDRESS";
        let node = |host: Option<&str>, given: Option<&str>| {
            let host = host.map(|host| ("IPFS_API_CONNECTION_HOST", host));
            let wanted = with(host.as_slice(), |stack| {
                let given = given.map(|value| (NODE.to_owned(), value.into()));
                stack.ipfs_cluster.settings = given.into_iter().collect();
            });
            wanted.map(|wanted| wanted.environment.cluster[NODE].clone())
        };
        let own = "/ip4/127.0.0.1/tcp/5001";
        let other = "/dns4/other/tcp/5001";
        for (host, given, found) in [
            (None, None, own),
            (None, Some(own), own),
            (
                Some("ipfs.example.com"),
                None,
                "/dns/ipfs.example.com/tcp/5001",
            ),
            (Some("10.0.0.1"), Some(own), "/ip4/10.0.0.1/tcp/5001"),
            (Some("fd00::1"), None, "/ip6/fd00::1/tcp/5001"),
            (Some("ipfs.example.com"), Some(other), other),
        ] {
            assert_eq!(node(host, given).unwrap(), found);
        }
        let refused = node(None, Some(other)).unwrap_err();
        assert!(
            refused.iter().any(|it| it.problem.contains("another node")),
            "{refused:?}"
        );
    }

    #[test]
    fn kubo_is_told_what_the_user_says_and_its_pods_name() {
        let wanted = with(&[], |stack| {
            stack.ipfs.config = [
                (
                    "Addresses.AppendAnnounce",
                    json!(["/dns4/ipfs.example.com/tcp/4001"]),
                ),
                ("Discovery.MDNS.Enabled", json!(true)),
            ]
            .map(|(key, value)| (key.to_owned(), value))
            .into();
        });
        let objects = objects(&wanted.unwrap());
        let script = objects.iter().find(|it| it.name() == "ipfs-node").unwrap();
        let script = script.body["data"]["50-stack.sh"].as_str().unwrap();
        for line in [
            "ipfs config --json Addresses.AppendAnnounce \
             '[\"/dns4/ipfs.example.com/tcp/4001\",\"/dns4/'\"$POD_NAME\"'.ipfs.n.svc/tcp/4001\"]'\n",
            "ipfs config --json Discovery.MDNS.Enabled 'true'\n",
            "ipfs config --json Swarm.DisableNatPortMap 'true'\n",
        ] {
            assert!(script.contains(line), "{line} is not in {script}");
        }
    }

    #[test]
    fn a_krab_elsewhere_is_not_installed_and_its_words_are_not_made_up() {
        let url = ("SERVICES_KRAB_URL", "krab.example.com:443");
        let lacking = of(&[url]).unwrap_err();
        assert!(
            lacking.iter().any(|it| it.name == "SERVICES_KRAB_AUTH_KEY"),
            "{lacking:?}"
        );
        let path = ("SERVICES_KRAB_TLS_CERT_PATH", "/etc/ssl/krab.pem");
        let wanted = of(&[url, path, ("SERVICES_KRAB_AUTH_KEY", "its-word")]).unwrap();
        let objects = objects(&wanted);
        assert!(!objects.iter().any(|it| it.name() == "temporal-krab"));
        // with one krab, the second is the first
        let temporal = &wanted.environment.temporal;
        assert_eq!(temporal["SERVICES_KRAB_FALLBACK_URL"], url.1);
        assert_eq!(temporal["SERVICES_KRAB_FALLBACK_TLS_CERT_PATH"], path.1);
        let values = values(&wanted);
        let value = |key| known(&values, TEMPORAL_SECRETS, key);
        assert_eq!(value("SERVICES_KRAB_AUTH_KEY"), "its-word");
        assert_eq!(value("SERVICES_KRAB_FALLBACK_AUTH_KEY"), "its-word");
        assert_eq!(value("SERVICES_KRAB_KEYSTORE_PASSWORD"), "");
        let second = ("SERVICES_KRAB_FALLBACK_URL", "krab.example.com:443");
        let lacking = of(&[second]).unwrap_err();
        assert!(
            lacking
                .iter()
                .any(|it| it.name == "SERVICES_KRAB_FALLBACK_AUTH_KEY"),
            "{lacking:?}"
        );
    }

    #[test]
    fn credentials_that_temporal_cannot_send_are_refused_where_both_are_ours() {
        let with_password = |settings: &[(&str, &str)]| {
            with(settings, |stack| {
                let name = "CLUSTER_RESTAPI_BASICAUTHCREDENTIALS".to_owned();
                let settings = &mut stack.ipfs_cluster.settings;
                settings.insert(name, "al:hunter2".into());
            })
        };
        let refused = with_password(&[]).unwrap_err();
        assert!(refused[0].problem.contains("leave it out"), "{refused:?}");
        with_password(&[("IPFS_CLUSTER_API_CONNECTION_HOST", "cluster.example.com")]).unwrap();
    }

    #[test]
    fn what_the_program_cannot_do_without_is_always_there() {
        for settings in [
            &[][..],
            &[
                ("LOG_DIR", "/var/log/temporal"),
                ("DATABASE_URL", "db.example.com"),
                ("DATABASE_PASSWORD", "hunter2"),
                ("IPFS_API_CONNECTION_HOST", "ipfs.example.com"),
                ("IPFS_CLUSTER_API_CONNECTION_HOST", "cluster.example.com"),
            ],
        ] {
            let wanted = of(settings).unwrap();
            for (name, value) in [
                ("API_JWT_REALM", "temporal"),
                ("LOG_DIR", "/var/log/temporal/"),
                ("API_CONNECTION_LIMIT", "50"),
                ("API_SIZE_LIMIT_IN_GIGA_BYTES", "10"),
                ("DATABASE_PORT", "5432"),
                ("DATABASE_USERNAME", "postgres"),
                ("IPFS_API_CONNECTION_PORT", "5001"),
                ("IPFS_CLUSTER_API_CONNECTION_PORT", "9094"),
            ] {
                assert_eq!(wanted.environment.temporal[name], value, "{name}");
            }
        }
    }

    #[test]
    fn the_api_is_asked_within_its_own_limit_and_workers_have_to_last() {
        let wanted = of(&[("SERVICES_RTNS_KEY_NAME", "k")]).unwrap();
        let limit: u64 = wanted.environment.temporal["API_CONNECTION_LIMIT"]
            .parse()
            .unwrap();
        let objects = objects(&wanted);
        for object in &objects {
            let spec = &object.body["spec"];
            let probe = &spec["template"]["spec"]["containers"][0]["startupProbe"];
            match object.component {
                Component::Api if object.kind == Kind::Deployment => {
                    assert_eq!(probe["httpGet"]["path"], "/v2/systems/check");
                    let asked = probe["failureThreshold"].as_u64().unwrap();
                    assert!(asked < limit, "{asked}");
                }
                Component::Worker(_) if object.kind != Kind::Service => {
                    assert_eq!(spec["minReadySeconds"], 30, "{object}");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_login_in_the_brokers_url_becomes_the_brokers() {
        let wanted = of(&[("RABBITMQ_URL", "amqp://us%40er:p%2Fw@127.0.0.1:5672/vh")]).unwrap();
        let values = values(&wanted);
        for (key, value) in [
            ("RABBITMQ_DEFAULT_USER", "us@er"),
            ("RABBITMQ_DEFAULT_PASS", "p/w"),
            ("RABBITMQ_DEFAULT_VHOST", "vh"),
        ] {
            assert_eq!(known(&values, RABBITMQ_SECRETS, key), value);
        }
        assert_eq!(
            known(&values, TEMPORAL_SECRETS, "RABBITMQ_URL"),
            "amqp://us%40er:p%2Fw@rabbitmq:5672/vh"
        );
    }

    #[test]
    fn a_certificate_is_brought_or_made_or_not_there() {
        let of = |settings, secret: Option<&str>| {
            with(settings, |stack| {
                stack.temporal.tls_secret = secret.map(str::to_owned);
            })
            .unwrap()
        };
        let named = [
            (CERTIFICATE_PATH, "/temporal/api.cert"),
            (KEY_PATH, "/temporal/api.key"),
        ];
        for (settings, secret, serves, makes) in [
            (&[][..], None, false, false),
            (&named, None, true, true),
            (&named, Some("mine"), true, false),
            (&[], Some("mine"), true, false),
        ] {
            let wanted = of(settings, secret);
            assert_eq!(wanted.environment.certificate.is_some(), serves);
            assert_eq!(
                wanted.environment.temporal.contains_key(CERTIFICATE_PATH),
                serves
            );
            let made = wanted.secrets.iter().any(|secret| secret.name == API_TLS);
            assert_eq!(made, makes);
        }
    }

    #[test]
    fn workers_run_when_their_settings_are_there() {
        let names = |wanted: Wanted| -> Vec<&str> {
            wanted
                .environment
                .workers
                .iter()
                .map(|it| it.name())
                .collect()
        };
        assert_eq!(names(of(&[]).unwrap()), ["pin", "cluster", "key-creation"]);
        let mail = of(&[("SENDGRID_API_KEY", "k")]).unwrap();
        assert_eq!(
            names(mail),
            ["pin", "cluster", "key-creation", "email-send"]
        );
        let asked = |worker: Worker| {
            with(&[], |stack| {
                stack.temporal.workers = Some(vec![worker, worker]);
            })
        };
        assert_eq!(names(asked(Worker::Pin).unwrap()), ["pin"]);
        assert!(asked(Worker::EmailSend).is_err());
    }

    #[test]
    fn all_pods_are_confined_and_all_services_lead_to_ports_that_exist() {
        let everything = [
            ("SENDGRID_API_KEY", "k"),
            ("SERVICES_RTNS_KEY_NAME", "k"),
            ("API_CONNECTION_CERTIFICATES_CERTPATH", "/temporal/api.cert"),
            ("API_CONNECTION_CERTIFICATES_KEYPATH", "/temporal/api.key"),
        ];
        let wanted = with(&everything, |stack| {
            stack.rabbitmq.replicas = 3;
            stack.ipfs.swarm_service_type = Some(crate::input::ServiceType::NodePort);
        })
        .unwrap();
        let objects = objects(&wanted);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut ports: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
        for object in &objects {
            let Some(spec) = object.body.pointer("/spec/template/spec") else {
                continue;
            };
            let name = object.name();
            assert_eq!(spec["enableServiceLinks"], false, "{name}");
            assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
            // the PodSecurity level `restricted` wants this, and what follows for each container
            let security = &spec["securityContext"];
            assert_eq!(security["runAsNonRoot"], true, "{name}");
            assert_eq!(
                security["seccompProfile"]["type"], "RuntimeDefault",
                "{name}"
            );
            let all = ["initContainers", "containers"]
                .iter()
                .filter_map(|key| spec[key].as_array())
                .flatten();
            for container in all {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
                let words = &container["terminationMessagePolicy"];
                assert_eq!(words, "FallbackToLogsOnError", "{name}");
                assert_eq!(
                    security["capabilities"],
                    json!({ "drop": ["ALL"] }),
                    "{name}"
                );
                assert!(
                    container["resources"]["limits"]["memory"].is_string(),
                    "{name}"
                );
                for port in container["ports"].as_array().into_iter().flatten() {
                    let of_pod = ports.entry(object.component.name()).or_default();
                    of_pod.push((text(&port["name"]), port["protocol"].clone()));
                }
            }
        }
        for object in objects.iter().filter(|object| object.kind == Kind::Service) {
            for port in object.body["spec"]["ports"].as_array().unwrap() {
                let target = (text(&port["targetPort"]), port["protocol"].clone());
                assert!(
                    ports[&object.component.name()].contains(&target),
                    "{} leads to {target:?}",
                    object.name()
                );
            }
            // only these two are for others
            let open = object.body["spec"]["type"] != "ClusterIP"
                && object.body["spec"]["clusterIP"] != "None";
            assert_eq!(open, object.name() == "ipfs-swarm", "{}", object.name());
        }
    }

    #[test]
    fn no_object_but_a_secret_holds_a_secret() {
        let wanted = of(&[
            ("DATABASE_PASSWORD", "hunter2hunter2"),
            ("STRIPE_SECRET_KEY", "hunter3hunter3"),
        ])
        .unwrap();
        let values = values(&wanted);
        let secret: Vec<&str> = values
            .values()
            .flatten()
            .filter(|(key, _)| *key != "CLUSTER_ID" && !key.contains("DEFAULT_USER"))
            .map(|(_, value)| value.expose().as_str())
            .filter(|value| value.len() > 8)
            .collect();
        assert!(secret.contains(&"hunter3hunter3"), "nothing to look for");
        for object in objects(&wanted) {
            let text = object.body.to_string();
            for value in &secret {
                assert!(!text.contains(value), "{object}");
            }
        }
    }

    #[test]
    fn the_same_input_gives_the_same_objects() {
        let wanted = of(&[]).unwrap();
        let values = values(&wanted);
        let context = wanted.context(&values);
        assert_eq!(super::objects(context), super::objects(context));
    }

    #[test]
    fn claims_are_mounted_where_the_settings_put_the_data() {
        let mounts = |data: &[(&str, &str)], folder: &[(&str, &str)]| {
            let given = |settings: &[(&str, &str)]| {
                let of = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).into());
                settings.iter().map(of).collect()
            };
            let wanted = with(&[], |stack| {
                stack.postgres.settings = given(data);
                stack.ipfs_cluster.settings = given(folder);
            })
            .unwrap();
            let objects = objects(&wanted);
            [("postgres", 0), ("ipfs", 1)].map(|(name, container)| {
                let mut sets = objects.iter().filter(|it| it.kind == Kind::StatefulSet);
                let set = sets.find(|it| it.name() == name).unwrap();
                let containers = &set.body["spec"]["template"]["spec"]["containers"];
                let mounts = &containers[container]["volumeMounts"];
                mounts[0]["mountPath"].as_str().unwrap().to_owned()
            })
        };
        assert_eq!(
            mounts(&[], &[]),
            ["/var/lib/postgresql/data/pgdata", "/data/ipfs-cluster"]
        );
        let elsewhere = mounts(
            &[("PGDATA", "/pg/17/data/")],
            &[("IPFS_CLUSTER_PATH", "/peer")],
        );
        assert_eq!(elsewhere, ["/pg/17/data", "/peer"]);
    }

    #[test]
    fn names_and_addresses_of_the_stacks_services_mean_its_own_parts() {
        let addresses = Addresses::from([([10, 96, 0, 7].into(), "ipfs-api".to_owned())]);
        let own = |settings: &[(&str, &str)]| {
            let mut stack = Stack::default();
            stack.temporal.settings = settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                .collect();
            wanted(stack, "n", &addresses).map(|wanted| wanted.environment)
        };
        let said = own(&[
            ("DATABASE_URL", "postgres.n.svc.cluster.local"),
            ("RABBITMQ_URL", "amqp://al:secret@rabbitmq.n.svc:5672/"),
            ("IPFS_API_CONNECTION_HOST", "10.96.0.7"),
            ("IPFS_CLUSTER_API_CONNECTION_HOST", "ipfs-cluster-service"),
            ("SERVICES_KRAB_URL", "temporal-krab:10000"),
        ])
        .unwrap();
        assert_eq!(said.own, own(&[]).unwrap().own);
        assert_eq!(said.temporal["IPFS_API_CONNECTION_HOST"], "ipfs-api");
        let other = [
            ("DATABASE_URL", "postgres.other"),
            ("DATABASE_PASSWORD", "x"),
            ("IPFS_API_CONNECTION_HOST", "10.96.0.8"),
        ];
        let elsewhere = own(&other).unwrap().own;
        assert!(!elsewhere.postgres && !elsewhere.ipfs && elsewhere.rabbitmq);
    }

    #[test]
    fn what_the_parts_data_are_made_with_is_known_of_installed_parts() {
        let facts = |wanted: &Wanted| -> BTreeMap<String, String> {
            let all = values(wanted).remove(crate::names::STACK_SECRET).unwrap();
            let told = all.into_iter().filter(|(key, _)| key != SALT_KEY);
            told.map(|(key, value)| (key, value.expose().clone()))
                .collect()
        };
        let expected = [
            ("POSTGRES_HOST_AUTH_METHOD", "scram-sha-256"),
            ("POSTGRES_INITDB_ARGS", ""),
            ("POSTGRES_USER", "postgres"),
            ("postgres.version", "17"),
            ("rabbitmq.replicas", "1"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(facts(&of(&[]).unwrap()), BTreeMap::from(expected));
        let other = with(
            &[
                ("DATABASE_USERNAME", "al"),
                ("RABBITMQ_URL", "amqps://u:p@mq.example.com/"),
            ],
            |stack| {
                stack.postgres.image = "registry:5000/x/postgres:13-alpine".to_owned();
            },
        );
        let facts = facts(&other.unwrap());
        assert_eq!(facts["POSTGRES_USER"], "al");
        assert_eq!(facts["POSTGRES_HOST_AUTH_METHOD"], "md5");
        assert_eq!(facts["postgres.version"], "13");
        assert!(!facts.contains_key("rabbitmq.replicas"));
    }

    #[test]
    fn rabbitmq_knows_its_containers_memory_and_how_many_nodes_there_are() {
        let wanted = with(&[], |stack| {
            stack.rabbitmq.replicas = 3;
            stack.rabbitmq.resources.memory_limit = "1.5Gi".to_owned();
        });
        let objects = objects(&wanted.unwrap());
        let map = objects.iter().find(|it| it.name() == "rabbitmq-server");
        let file = map.unwrap().body["data"]["20-stack.conf"].as_str().unwrap();
        for line in [
            "total_memory_available_override_value = 1610612736",
            "quorum_queue.continuous_membership_reconciliation.target_group_size = 3",
            "cluster_partition_handling = pause_minority",
            "default_queue_type = quorum",
        ] {
            assert!(file.lines().any(|it| it == line), "{line}\n{file}");
        }
    }

    #[test]
    fn other_settings_are_another_migration() {
        let job = |settings: &[(&str, &str)]| {
            let objects = objects(&of(settings).unwrap());
            let job = objects.iter().find(|object| object.kind == Kind::Job);
            job.unwrap().name().to_owned()
        };
        let (one, other) = (job(&[]), job(&[("DATABASE_USERNAME", "temporal")]));
        assert!(
            one.starts_with("temporal-migrate-") && one.len() == 27,
            "{one}"
        );
        assert_ne!(one, other);
    }
}
