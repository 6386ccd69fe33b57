//! TLS to a real `PostgreSQL`: whom `postgres::proof` believes, what it says of the others, and a real Temporal server
//! that runs on it while authority and certificate change.

use std::net::SocketAddr;
use std::time::Instant;

use rehearsal::servers::certificates::{Authority as Issuer, Certificate, Valid};
use temporal_k8s::postgres::{Distrust, LEASE, StoreFacts, proof, turn};
use temporal_k8s::probe::Probe;
use temporal_k8s::secret::Secret;
use temporal_k8s::temporal::health::all_is_well;
use temporal_k8s::temporal::{Authority, Database, PerStore, Role, Store};

use crate::postgres::network;
use crate::server::{Container, LIMIT, PASSWORD, Postgres};

const TITLE: &str = "PostgreSQL";

fn issuer(name: &str, valid: Valid) -> Issuer {
    Issuer::new(name, valid).unwrap()
}

fn authority(issuer: &Issuer) -> Authority {
    Authority::from(issuer.pem())
}

fn issue(issuer: &Issuer, names: &[&str]) -> Certificate {
    issuer.issue(TITLE, names, Valid::Now).unwrap()
}

fn over_tls(database: &Database, authority: Authority) -> Database {
    Database {
        tls: Some(authority),
        ..database.clone()
    }
}

/// What the proof says when it says that, or in the end: PostgreSQL shows another certificate a moment after it was told.
async fn said_at_last(database: &Database, expected: Option<&Distrust>) -> Option<Distrust> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let said = match proof(Store::Main, database, LIMIT).await {
            Probe::Known(StoreFacts { distrust, .. }) => distrust,
            other => panic!("{other:?}"),
        };
        if said.as_ref() == expected || Instant::now() > deadline {
            return said;
        }
        tokio::time::sleep(LIMIT / 100).await;
    }
}

/// How many sessions of an application are encrypted, and how many are not.
async fn sessions(postgres: &Postgres, application: &str) -> (i64, i64) {
    let question = format!(
        "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl)
         FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = '{application}'"
    );
    let row = postgres.ask(&question).await;
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn only_a_server_with_the_name_and_the_issuer_that_were_asked_for_is_believed() {
    const ADDRESS: &str = "127.77.10.1";
    const PLACE: &str = "127.77.10.1:5432";
    let ours = issuer("authority", Valid::Now);
    // another one that calls itself the same, as when an authority was made anew
    let namesake = issuer("authority", Valid::Now);
    let stranger = issuer("stranger", Valid::Now);
    let good = issue(&ours, &[ADDRESS, "localhost"]);
    let postgres = Postgres::start_with_tls("believed", ADDRESS, &good).await;
    let main = postgres.provide(PASSWORD).await.main;
    let encrypted = over_tls(&main, authority(&ours));

    // all that the charm opens is encrypted
    assert_eq!(said_at_last(&encrypted, None).await, None);
    let held = turn(&encrypted, LIMIT, LEASE).await.unwrap();
    assert_eq!(sessions(&postgres, "temporal-k8s").await, (1, 0));
    drop(held);

    // a host name, and an authority among others
    let server = SocketAddr::new(postgres.address, Postgres::PORT);
    let (address, _) = network(server, "127.0.0.1").await;
    let bundle = format!("{}{}", stranger.pem(), ours.pem());
    let named = Database {
        host: "localhost".to_owned(),
        port: address.port(),
        ..over_tls(&main, Authority::from(bundle))
    };
    assert_eq!(said_at_last(&named, None).await, None);

    let others = ["db.example.com", "10.9.9.9", "fd00::9"];
    let valid = |valid| ours.issue(TITLE, &[ADDRESS], valid).unwrap();
    let shown = [
        (
            issue(&ours, &others),
            Distrust::OtherNames {
                asked: ADDRESS.to_owned(),
                has: others.map(str::to_owned).to_vec(),
            },
            "the certificate of 127.77.10.1:5432 is for db.example.com, 10.9.9.9, fd00::9, not for `127.77.10.1`",
        ),
        (
            issue(&ours, &[]),
            Distrust::OtherNames {
                asked: ADDRESS.to_owned(),
                has: Vec::new(),
            },
            "the certificate of 127.77.10.1:5432 has no names, so not `127.77.10.1` either",
        ),
        (
            issue(&stranger, &[ADDRESS]),
            Distrust::Stranger,
            "the certificate of 127.77.10.1:5432 was not issued by the CA that its provider names",
        ),
        (
            issue(&namesake, &[ADDRESS]),
            Distrust::Stranger,
            "the certificate of 127.77.10.1:5432 was not issued by the CA that its provider names",
        ),
        (
            valid(Valid::Until2020),
            Distrust::Ended("2020-12-31T00:00:00Z".to_owned()),
            "the certificate of 127.77.10.1:5432 expired on 2020-12-31T00:00:00Z",
        ),
        (
            valid(Valid::From2090),
            Distrust::Begins("2090-01-01T00:00:00Z".to_owned()),
            "the certificate of 127.77.10.1:5432 is not valid before 2090-01-01T00:00:00Z",
        ),
    ];
    for (certificate, distrust, words) in shown {
        postgres.show(&certificate).await;
        assert_eq!(distrust.words(PLACE), words);
        let said = said_at_last(&encrypted, Some(&distrust)).await;
        assert_eq!(said, Some(distrust));
        let why = turn(&encrypted, LIMIT, LEASE).await.unwrap_err();
        assert_eq!(why, words);
    }
    postgres.show(&good).await;
    assert_eq!(said_at_last(&encrypted, None).await, None);

    let ended = issuer("authority", Valid::Until2020);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (pem, words) in [
        (
            String::new(),
            "cannot be read: there is no certificate in it",
        ),
        (
            "ours".to_owned(),
            "cannot be read: there is no certificate in it",
        ),
        (broken.to_owned(), "cannot be read: "),
        (ended.pem(), "expired on 2020-12-31T00:00:00Z"),
    ] {
        let database = over_tls(&main, Authority::from(pem));
        let why = turn(&database, LIMIT, LEASE).await.unwrap_err();
        let words = format!("the CA for {PLACE} {words}");
        assert!(why.starts_with(&words), "{why}");
    }
    // one that has ended is no harm beside one that has not
    let both = Authority::from(format!("{}{}", ended.pem(), ours.pem()));
    assert_eq!(said_at_last(&over_tls(&main, both), None).await, None);
}

#[tokio::test]
async fn a_server_without_tls_where_its_provider_says_there_is_is_waited_for() {
    let postgres = Postgres::start("open", "127.77.10.2").await;
    let main = postgres.provide(PASSWORD).await.main;
    let encrypted = over_tls(&main, authority(&issuer("authority", Valid::Now)));
    assert_eq!(
        proof(Store::Main, &encrypted, LIMIT).await,
        Probe::Unreachable(
            "127.77.10.2:5432 does not offer TLS, though its provider says so".to_owned()
        )
    );
    // nor does the password go out before the server is known
    let wrong = Database {
        password: Secret::from("wrong"),
        ..encrypted
    };
    let why = turn(&wrong, LIMIT, LEASE).await.unwrap_err();
    assert!(why.contains("does not offer TLS"), "{why}");
}

#[tokio::test]
async fn a_server_is_believed_on_ipv6() {
    let ours = issuer("authority", Valid::Now);
    let postgres = Postgres::start_with_tls("tls-v6", "::1", &issue(&ours, &["::1"])).await;
    let main = postgres.provide(PASSWORD).await.main;
    let encrypted = over_tls(&main, authority(&ours));
    assert_eq!(said_at_last(&encrypted, None).await, None);
    postgres.show(&issue(&ours, &["::2"])).await;
    let other = Distrust::OtherNames {
        asked: "::1".to_owned(),
        has: vec!["::2".to_owned()],
    };
    let said = said_at_last(&encrypted, Some(&other)).await;
    assert_eq!(said, Some(other));
}

/// Ends the server's sessions, so that it opens others, and says whether it serves then.
async fn reconnect(postgres: &Postgres, container: &Container) -> bool {
    postgres
        .execute(&[
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE application_name = 'temporal-server'"
                .to_owned(),
        ])
        .await;
    all_is_well(&container.serving_within(LIMIT * 2).await)
}

/// All sessions of a server are encrypted, and the authority changes under it.
async fn serve(version: &str, database_address: &str, address: &str) {
    let (first, second) = (
        issuer("authority", Valid::Now),
        issuer("authority", Valid::Now),
    );
    let name = format!("tls-{version}");
    let shown = issue(&first, &[database_address]);
    let postgres = Postgres::start_with_tls(&name, database_address, &shown).await;
    let databases = postgres.provide(PASSWORD).await;
    let trusting =
        |issuer: &Issuer| PerStore::of(|store| over_tls(databases.get(store), authority(issuer)));
    let mut container = Container::new(&name, version, address, &Role::ALL, &trusting(&first));
    container.set_up_schema();
    let mut server = container.start();
    container.wait().await;
    let encrypted = async || {
        let (encrypted, open) = sessions(&postgres, "temporal-server").await;
        println!("{version}: {encrypted} encrypted sessions, {open} others");
        assert!(encrypted > 0 && open == 0);
    };
    encrypted().await;

    // the provider has another authority, and nothing is restarted
    postgres.show(&issue(&second, &[database_address])).await;
    container.databases = trusting(&second);
    container.write_read_again();
    let begin = Instant::now();
    assert!(
        reconnect(&postgres, &container).await,
        "{}",
        container.log()
    );
    println!(
        "{version}: serves on the new authority after {:?}",
        begin.elapsed()
    );
    encrypted().await;
    assert!(container.proofs().await.main.distrust.is_none());
    assert_eq!(server.0.try_wait().unwrap(), None, "it has ended");

    // which it believes, and no other
    container.databases = trusting(&first);
    container.write_read_again();
    assert!(!reconnect(&postgres, &container).await);
    assert_eq!(sessions(&postgres, "temporal-server").await, (0, 0));
}

#[tokio::test]
async fn the_newest_server_speaks_tls_and_takes_another_authority_without_a_restart() {
    serve("1.32.2", "127.61.10.1", "127.61.10.2").await;
}

#[tokio::test]
async fn the_server_of_2024_speaks_tls_and_takes_another_authority_without_a_restart() {
    serve("1.23.1", "127.61.10.3", "127.61.10.4").await;
}

#[tokio::test]
async fn the_first_server_speaks_tls_and_takes_another_authority_without_a_restart() {
    serve("1.17.4", "127.61.10.5", "127.61.10.6").await;
}
