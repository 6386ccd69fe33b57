//! The server behind `PgBouncer`, which gives its sessions to whoever comes next.

use std::time::Duration;

use rehearsal::servers::certificates::{Authority as Issuer, Valid};
use temporal_k8s::postgres::{LEASE, turn};
use temporal_k8s::temporal::health::all_is_well;
use temporal_k8s::temporal::{Authority, Database, PerStore, Role};

use crate::postgres::{Mode, pooler, session};
use crate::server::{Container, LIMIT, Postgres};

/// How long the server works: its own workers run workflows from the first second on.
const WORK: Duration = Duration::from_secs(8);

/// A server that has its databases through a pooler works, and the charm's own questions do.
async fn serves(version: &str, mode: Mode, network: &str, with_tls: bool) {
    let name = format!("{mode:?}-{version}-{with_tls}").to_lowercase();
    let host = |number: u8| format!("{network}.{number}");
    let issuer = Issuer::new("pooler", Valid::Now).unwrap();
    let issue = || issuer.issue("PgBouncer", &[&host(2)], Valid::Now).unwrap();
    let certificate = with_tls.then(issue);
    let postgres = Postgres::start(&name, &host(1)).await;
    let databases = postgres.provide("pooled").await;
    Container::new(&name, version, &host(3), &Role::ALL, &databases).set_up_schema();
    let main = &databases.main;
    let (_process, _directory, pooled) = pooler(main, &host(2), mode, certificate.as_ref()).await;
    let pooled = |of: &Database| Database {
        name: of.name.clone(),
        tls: with_tls.then(|| Authority::from(issuer.pem())),
        ..pooled.clone()
    };
    let through = PerStore {
        main: pooled(&databases.main),
        visibility: pooled(&databases.visibility),
    };

    let name = format!("{name}-pooled");
    let container = Container::new(&name, version, &host(3), &Role::ALL, &through);
    let _server = container.start();
    let serving = container.wait().await;
    assert!(all_is_well(&serving), "{serving:?}");
    tokio::time::sleep(WORK).await;
    let serving = container.look().await;
    assert!(all_is_well(&serving), "{serving:?}\n{}", container.log());
    for hit in ["prepared statement", "bind message", "unsupported jsonb"] {
        assert!(!container.log().contains(hit), "{hit}: {}", container.log());
    }
    let visibility = postgres.superuser(&databases.visibility.name);
    let client = session(&visibility, "127.0.0.1", "test").await;
    let question = "SELECT count(*) FROM executions_visibility";
    let count: i64 = client.query_one(question, &[]).await.unwrap().get(0);
    assert!(count > 0, "no workflow was ever seen");

    let proofs = container.proofs().await;
    assert_eq!(proofs.main.shards, Some(4));
    assert!(!proofs.main.members.is_empty());
    drop(turn(&through.main, LIMIT, LEASE).await.unwrap());
}

#[tokio::test]
async fn the_newest_server_serves_through_a_pooler_of_transactions() {
    serves("1.32.2", Mode::Transaction, "127.61.11", false).await;
}

#[tokio::test]
async fn the_newest_server_serves_through_a_pooler_with_tls() {
    serves("1.32.2", Mode::Transaction, "127.61.12", true).await;
}

#[tokio::test]
async fn the_newest_server_serves_through_a_pooler_of_sessions() {
    serves("1.32.2", Mode::Session, "127.61.13", false).await;
}

#[tokio::test]
async fn the_server_of_2024_serves_through_a_pooler_of_transactions() {
    serves("1.23.1", Mode::Transaction, "127.61.14", false).await;
}

#[tokio::test]
async fn the_first_server_serves_through_a_pooler_of_transactions() {
    serves("1.17.4", Mode::Transaction, "127.61.15", false).await;
}
