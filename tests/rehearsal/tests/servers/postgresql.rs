use std::time::{Duration, Instant};

use rehearsal::parts::Parts;
use rehearsal::servers::certificates::{Authority, Valid};
use rehearsal::servers::postgresql::{Login, Postgresql};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_postgres::{Client, Config, Error, NoTls};

use super::running::{Database, postgresql, postgresql_with_tls};

/// Logs in over TCP with a password, as a client in another pod does.
async fn log_in(
    database: &Database,
    user: &str,
    password: &str,
    name: &str,
) -> Result<Client, Error> {
    let (client, connection) = Config::new()
        .host("127.0.0.1")
        .port(database.port)
        .user(user)
        .password(password)
        .dbname(name)
        .connect(NoTls)
        .await?;
    tokio::spawn(connection);
    Ok(client)
}

#[tokio::test]
async fn any_password_reaches_the_server_and_only_the_newest_is_let_in() {
    let database = postgresql().await;
    let operator = &database.operator;
    let long = "x".repeat(200);
    let passwords = [
        "plain16charsABCD",
        r#"a'b"c d\e:f%I%L$1{{2}}#&<"#,
        "grün ☃ 'ß",
        "' OR true --",
        &long,
    ];
    for password in passwords {
        operator
            .create_role("relation_id_7", password, false)
            .await
            .unwrap();
        log_in(&database, "relation_id_7", password, "postgres")
            .await
            .unwrap();
    }
    operator
        .alter_password("relation_id_7", "newer")
        .await
        .unwrap();
    log_in(&database, "relation_id_7", "newer", "postgres")
        .await
        .unwrap();
    let refused = log_in(&database, "relation_id_7", &long, "postgres")
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code().unwrap().code(), "28P01");
}

#[tokio::test]
async fn a_removed_relation_leaves_its_database_to_the_next_role() {
    let database = postgresql().await;
    let operator = &database.operator;
    let name = "temporal-k8s_db";
    operator
        .create_role("relation_id_7", "first", false)
        .await
        .unwrap();
    operator
        .create_database(name, "relation_id_7")
        .await
        .unwrap();
    let first = log_in(&database, "relation_id_7", "first", name)
        .await
        .unwrap();
    let fill =
        "CREATE EXTENSION btree_gin; CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)";
    first.batch_execute(fill).await.unwrap();
    drop(first);

    operator.drop_role("relation_id_7").await.unwrap();
    operator.drop_role("relation_id_7").await.unwrap();
    assert!(
        log_in(&database, "relation_id_7", "first", name)
            .await
            .is_err()
    );
    let owner = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'kept'";
    let row = operator
        .client(name)
        .await
        .unwrap()
        .query_one(owner, &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "operator");

    operator
        .create_role("relation_id_9", "second", false)
        .await
        .unwrap();
    operator
        .create_role("stranger", "third", false)
        .await
        .unwrap();
    operator
        .create_database(name, "relation_id_9")
        .await
        .unwrap();
    let second = log_in(&database, "relation_id_9", "second", name)
        .await
        .unwrap();
    second
        .batch_execute("INSERT INTO kept SELECT n + 1 FROM kept")
        .await
        .unwrap();
    let row = second
        .query_one("SELECT max(n) FROM kept", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i32>(0), 43);
    assert!(log_in(&database, "stranger", "third", name).await.is_err());
}

const NAME: &str = "temporal-k8s_db";

fn login(role: &'static str) -> Login<'static> {
    Login {
        role,
        password: "secret",
        database: NAME,
    }
}

async fn text(client: &Client, statement: &str) -> String {
    client.query_one(statement, &[]).await.unwrap().get(0)
}

const FILL: &str = "CREATE TABLE kept (n serial); CREATE VIEW seen AS SELECT n FROM kept;
    CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'; INSERT INTO kept DEFAULT VALUES";
const CHANGE: &str = "ALTER TABLE kept ADD m int; DROP VIEW seen; DROP FUNCTION one()";
const OWNER: &str = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'kept'";

#[tokio::test]
async fn in_track_14_the_only_user_of_a_database_takes_what_an_earlier_one_has_left() {
    let database = postgresql().await;
    let operator = &database.operator;
    for role in ["relation_id_1", "relation_id_2"] {
        operator
            .grant_ownership(login(role), &["admin"], true)
            .await
            .unwrap();
        let client = log_in(&database, role, "secret", NAME).await.unwrap();
        if role == "relation_id_1" {
            client.batch_execute(FILL).await.unwrap();
            drop(client);
            operator.drop_role(role).await.unwrap();
        } else {
            assert_eq!(text(&client, OWNER).await, role);
            client.batch_execute(CHANGE).await.unwrap();
        }
    }
    operator
        .grant_ownership(login("relation_id_3"), &[], false)
        .await
        .unwrap();
    let client = log_in(&database, "relation_id_3", "secret", NAME)
        .await
        .unwrap();
    let read = "SELECT n FROM kept; CREATE TABLE more (n int)";
    client.batch_execute(read).await.unwrap();
    let refused = client.batch_execute("ALTER TABLE kept ADD o int").await;
    assert_eq!(refused.unwrap_err().code().unwrap().code(), "42501");
}

#[tokio::test]
async fn in_track_16_every_session_is_that_of_the_owner_of_the_database() {
    let database = postgresql().await;
    let operator = &database.operator;
    let owner = format!("charmed_{NAME}_owner");
    for role in ["relation_id_1", "relation_id_2"] {
        operator.grant_roles(login(role), &[]).await.unwrap();
        let client = log_in(&database, role, "secret", NAME).await.unwrap();
        let who = "SELECT session_user || ' as ' || current_user";
        assert_eq!(text(&client, who).await, format!("{role} as {owner}"));
        if role == "relation_id_1" {
            client.batch_execute(FILL).await.unwrap();
            drop(client);
            operator.drop_role(role).await.unwrap();
        } else {
            assert_eq!(text(&client, OWNER).await, owner);
            client.batch_execute(CHANGE).await.unwrap();
            client
                .batch_execute("CREATE EXTENSION btree_gin")
                .await
                .unwrap();
            // What a pooler does to a connection that it gives to the next client.
            client.batch_execute("DISCARD ALL").await.unwrap();
            assert_eq!(text(&client, who).await, format!("{role} as {role}"));
            let refused = client.batch_execute("ALTER TABLE kept ADD o int").await;
            assert_eq!(refused.unwrap_err().code().unwrap().code(), "42501");
        }
    }
    let reader = login("relation_id_3");
    operator
        .grant_roles(reader, &["charmed_read"])
        .await
        .unwrap();
    let client = log_in(&database, reader.role, "secret", NAME)
        .await
        .unwrap();
    client.batch_execute("SELECT n FROM kept").await.unwrap();
    let refused = client.batch_execute("DELETE FROM kept").await;
    assert_eq!(refused.unwrap_err().code().unwrap().code(), "42501");
}

#[tokio::test]
async fn a_second_server_is_up_in_a_moment() {
    drop(postgresql().await);
    let started = Instant::now();
    drop(postgresql().await);
    // It takes a quarter of this on two idle cores.
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_server_that_does_not_run_is_waited_for_in_bounds() {
    let root = tempfile::tempdir().unwrap();
    let server = Postgresql::lay(&Parts::locate().unwrap(), root.path(), 1).unwrap();
    let refused = server.ready(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(refused.to_string(), "PostgreSQL did not answer within 0 s");
}

/// What a server answers to a client that asks for TLS: S if it has it, N if not.
async fn asked_for_tls(port: u16) -> u8 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream
        .write_all(&[0, 0, 0, 8, 4, 210, 22, 47])
        .await
        .unwrap();
    stream.read_u8().await.unwrap()
}

#[tokio::test]
async fn a_server_with_tls_offers_it_and_the_other_does_not() {
    let without = postgresql().await;
    assert_eq!(asked_for_tls(without.port).await, b'N');
    let issuer = Authority::new("authority", Valid::Now).unwrap();
    let certificate = issuer.issue("PostgreSQL", &["127.0.0.1"], Valid::Now);
    let certificate = certificate.unwrap();
    let with = postgresql_with_tls(&certificate).await;
    assert_eq!(asked_for_tls(with.port).await, b'S');
    with.operator.reload().await.unwrap();
    // all that is done on the other works on this one, of another version
    let name = "temporal-k8s_db";
    with.operator
        .create_role("relation_id_7", "first", false)
        .await
        .unwrap();
    with.operator
        .create_database(name, "relation_id_7")
        .await
        .unwrap();
    let client = log_in(&with, "relation_id_7", "first", name).await.unwrap();
    let fill = "CREATE EXTENSION btree_gin; CREATE TABLE kept (n int)";
    client.batch_execute(fill).await.unwrap();
}
