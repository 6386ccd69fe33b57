use super::*;
use crate::parts::tests::{Case, each_gives_one_finding, findings, given};

const P: Program = Program::Temporal;

/// The document's `temporal-config`.
const DOCUMENT: [(&str, &str); 14] = [
    ("CONFIG_DAG", ""),
    ("API_CONNECTION_CERTIFICATES_CERTPATH", "/temporal/api.cert"),
    ("API_CONNECTION_CERTIFICATES_KEYPATH", "/temporal/api.key"),
    ("DATABASE_NAME", "temporal"),
    ("DATABASE_URL", "0.0.0.0.0"),
    ("DATABASE_PORT", "5432"),
    ("DATABASE_USERNAME", "postgres"),
    ("DATABASE_PASSWORD", "password123"),
    ("IPFS_API_CONNECTION_HOST", "127.0.0.1"),
    ("IPFS_API_CONNECTION_PORT", "5001"),
    ("IPFS_KEYSTORE_PATH", "/tmp"),
    ("IPFS_CLUSTER_API_CONNECTION_HOST", "127.0.0.1"),
    ("IPFS_CLUSTER_API_CONNECTION_PORT", "9094"),
    ("RABBITMQ_URL", "amqp://127.0.0.1:5672/"),
];

#[test]
fn the_documents_settings_are_kept_under_its_names() {
    let checked = crate::parts::check(P, &given(&DOCUMENT));
    let mut wanted = given(&DOCUMENT);
    wanted.remove("CONFIG_DAG");
    assert_eq!(checked.values, wanted);
    let shown: Vec<String> = checked.findings.iter().map(ToString::to_string).collect();
    let own = |name, service| {
        format!(
            "temporal-config: `{name}`: means the stack's own {service}; the installer writes that one's address"
        )
    };
    assert_eq!(
        shown,
        [
            "temporal-config: `DATABASE_PASSWORD`: is the public example of the documentation; write a \
             password of your own"
                .to_owned(),
            own("DATABASE_URL", "PostgreSQL"),
            own("IPFS_API_CONNECTION_HOST", "IPFS node"),
            own("IPFS_CLUSTER_API_CONNECTION_HOST", "IPFS Cluster"),
            own("RABBITMQ_URL", "RabbitMQ"),
        ]
    );
}

/// One setting, one finding.
const CASES: &[Case] = &[
    (
        "CONFIG_DAG",
        "/temporal/config.json",
        Severity::Error,
        "leave it empty",
    ),
    (
        "CONFIG_DAG",
        "config.json",
        Severity::Error,
        "begins with `/`",
    ),
    (
        "DATABASE_NAME",
        "other",
        Severity::Error,
        "write `temporal`",
    ),
    (
        "DATABASE_URL",
        "postgres://a:hunter2@db/temporal",
        Severity::Error,
        "write the host alone",
    ),
    (
        "DATABASE_URL",
        "db:5432",
        Severity::Error,
        "in its own variable",
    ),
    ("DATABASE_URL", "", Severity::Note, "counts as not set"),
    (
        "DATABASE_URL",
        "localhost:5432",
        Severity::Note,
        "own PostgreSQL",
    ),
    (
        "DATABASE_PORT",
        "postgres",
        Severity::Error,
        "from 1 to 65535",
    ),
    ("DATABASE_PASSWORD", "", Severity::Note, "counts as not set"),
    (
        "DATABASE_PASSWORD",
        "password123",
        Severity::Warning,
        "public example",
    ),
    (
        "RABBITMQ_URL",
        "amqp://a:hunter2@b@mq/",
        Severity::Error,
        "percent-encoded",
    ),
    (
        "RABBITMQ_URL",
        "mq:5672",
        Severity::Error,
        "`amqp://user:password@host:5672/`",
    ),
    (
        "RABBIT_MQ_URL",
        "amqp://localhost",
        Severity::Note,
        "own RabbitMQ",
    ),
    (
        "SERVICES_KRAB_URL",
        "127.0.0.1:10000",
        Severity::Note,
        "own krab",
    ),
    ("SERVICES_KRAB_URL", "krab", Severity::Error, "`host:port`"),
    (
        "SERVICES_LENS_OPTIONS_ENGINE_QUEUE_RATE",
        "fast",
        Severity::Error,
        "digits alone",
    ),
    ("V3_API_JWT_TIMEOUT", "24h", Severity::Error, "digits alone"),
    (
        "API_CONNECTION_LIMIT",
        "many",
        Severity::Error,
        "digits alone",
    ),
    (
        "API_CONNECTION_LISTEN_ADDRESS",
        "127.0.0.1",
        Severity::Warning,
        "leave it out",
    ),
    (
        "API_CONNECTION_CERTIFICATES_CERT_PATH",
        "/a",
        Severity::Error,
        "KEYPATH` as well",
    ),
    (
        "RABBITMQ_TLSCONFIG_CERTFILE",
        "/a",
        Severity::Error,
        "CA_CERT_FILE` as well",
    ),
    (
        "API_PROMETHEUS_IP",
        "::",
        Severity::Warning,
        "write `API_CONNECTION_PROMETHEUS_IP`",
    ),
    ("API_ADMIN_USER", "al", Severity::Warning, "leave it out"),
    (
        "KRAB_URL",
        "krab:1",
        Severity::Warning,
        "write `SERVICES_KRAB_URL`",
    ),
    (
        "KRAB_TLS_CERTPATH",
        "/a",
        Severity::Warning,
        "write `SERVICES_KRAB_TLS_CERT_PATH`",
    ),
    (
        "krab_authkey",
        "hunter2",
        Severity::Warning,
        "write `SERVICES_KRAB_AUTH_KEY`",
    ),
    (
        "SERVICES_RTNS_MULTI_ADDRESS",
        "/ip4/0.0.0.0/tcp/3999",
        Severity::Warning,
        "MULTI_ADDRESSES`",
    ),
    (
        "IPFSCLUSTER_API_CONNECTION_HOST",
        "a",
        Severity::Error,
        "write `IPFS_CLUSTER_API_CONNECTION_HOST`",
    ),
    ("Database_Url", "a", Severity::Error, "write `DATABASE_URL`"),
    (
        "DATABASE_PASWORD",
        "hunter2",
        Severity::Warning,
        "`DATABASE_PASSWORD`",
    ),
    (
        "POSTGRES_PASSWORD",
        "hunter2",
        Severity::Warning,
        "write it in `postgres-config`",
    ),
    (
        "database_url",
        "db.example.com",
        Severity::Note,
        "names another host, so the stack's own PostgreSQL is not installed",
    ),
    (
        "RABBITMQ_URL",
        "amqps://al:p%40ss@mq.example.com/temporal",
        Severity::Note,
        "RabbitMQ is not installed",
    ),
    (
        "SOMETHING_ELSE_ENTIRELY",
        "hunter2",
        Severity::Warning,
        "leave it out",
    ),
];

#[test]
fn one_setting_one_finding() {
    each_gives_one_finding(P, CASES);
}

#[test]
fn good_settings_are_not_worth_a_word() {
    for (name, value) in [
        ("CONFIG_DAG", ""),
        ("LOG_DIR", ""),
        ("LOGDIR", "/tmp/"),
        ("apikeys_chainrider", "x"),
        ("IPFSCLUSTER_APICONNECTION_PORT", "9094"),
        ("API_CONNECTION_LISTEN_ADDRESS", "0.0.0.0"),
        ("SERVICES_RTNS_MULTI_ADDRESSES", "/ip4/0.0.0.0/tcp/3999"),
        ("RECAPTCHA_KEY", "x"),
    ] {
        assert_eq!(findings(P, &[(name, value)]), [], "{name}");
    }
}

#[test]
fn every_spelling_ends_under_one_name() {
    for name in [
        "RABBITMQ_URL",
        "RABBIT_MQ_URL",
        "rabbitmq_url",
        "rabbit_mq_url",
    ] {
        let checked = crate::parts::check(P, &given(&[(name, "amqp://mq/")]));
        assert_eq!(checked.value("RABBITMQ_URL"), Some("amqp://mq/"), "{name}");
    }
}

#[test]
fn two_spellings_need_one_value() {
    assert_eq!(findings(P, &[("LOGDIR", "/a"), ("LOG_DIR", "/a")]), []);
    assert_eq!(findings(P, &[("LOGDIR", ""), ("LOG_DIR", "/a")]), []);
    let found = findings(P, &[("LOGDIR", "/a"), ("LOG_DIR", "/b")]);
    assert!(found[0].problem.contains("in two spellings"), "{found:?}");
}

#[test]
fn two_spellings_differ_in_breaks_of_words_alone() {
    for variable in VARIABLES {
        for other in variable.also {
            assert_eq!(other.replace('_', ""), variable.name.replace('_', ""));
        }
    }
}

#[test]
fn the_lists_of_names_are_names_of_the_table() {
    let own = OWN.iter().map(|(name, ..)| *name);
    let names = own.chain(RENAMED_TO.iter().map(|(name, _)| *name));
    let together = TOGETHER.into_iter().flatten().copied();
    for name in names.chain(EMPTY_MATTERS).chain(together) {
        assert!(
            VARIABLES.iter().any(|variable| variable.name == name),
            "{name}"
        );
    }
}

/// [`RENAMED`], the right names first.
const RENAMED_TO: [(&str, &str); 3] = [
    (RENAMED[0].1, RENAMED[0].0),
    (RENAMED[1].1, RENAMED[1].0),
    (RENAMED[2].1, RENAMED[2].0),
];

#[test]
fn what_is_secret_by_nature_is_so() {
    for name in [
        "API_JWT_KEY",
        "API_KEYS_CHAIN_RIDER",
        "AWS_SECRET",
        "DATABASE_PASSWORD",
        "ETHEREUM_ACCOUNT_KEY_PASS",
        "PAY_AUTH_KEY",
        "RABBITMQ_URL",
        "SENDGRID_API_KEY",
        "SERVICES_KRAB_AUTH_KEY",
        "SERVICES_KRAB_FALLBACK_AUTH_KEY",
        "SERVICES_KRAB_FALLBACK_KEYSTORE_PASSWORD",
        "SERVICES_KRAB_KEYSTORE_PASSWORD",
        "SERVICES_LENS_AUTH_KEY",
        "SERVICES_NEXUS_KEY",
        "SERVICES_RAVEN_PASS",
        "STRIPE_SECRET_KEY",
        "V3_API_JWT_KEY",
    ] {
        assert!(
            VARIABLES.iter().any(|one| one.name == name && one.secret),
            "{name}"
        );
    }
}
