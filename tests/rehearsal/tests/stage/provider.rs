//! The endpoint `database` of the counterpart of postgresql-k8s, on its real server, with a client that asks for the
//! least.

use std::error::Error;
use std::net::IpAddr;

use rehearsal::counterparts::postgresql::client::Track;
use rehearsal::juju::cloud::Cloud as _;
use rehearsal::juju::secrets::Secret;
use rehearsal::juju::{Charm, Event, HookContext, RelationChange, Settings, Source};
use rehearsal::stage::programme::Outcome;
use rehearsal::stage::{Options, POSTGRESQL, Setup, Stage};
use tokio_postgres::{Config, NoTls};

use super::{SOON, expect};

const ASKER: &str = "asker";
const ENDS: (&str, &str) = ("asker:database", "postgresql-k8s:database");
const DATABASE: &str = "asked";
const OWNER: &str = "SELECT tableowner FROM pg_tables WHERE tablename = 'kept'";

/// Asks for a database, and for the password in a secret.
struct Asker;

impl Charm for Asker {
    fn metadata(&self) -> &'static str {
        "name: asker\nsummary: s\ndescription: d\nrequires:\n  database: {interface: postgresql_client}\n  \
         db: {interface: pgsql}\n"
    }

    fn dispatch(&mut self, event: &Event, hook: &mut HookContext) -> Outcome {
        if let Some(event) = event.relation()
            && event.change == RelationChange::Created
        {
            let request = [
                ("database", DATABASE),
                ("requested-secrets", r#"["username", "password"]"#),
            ];
            hook.relation_set_app(event.id, request)?;
        }
        hook.status_set("active", "")?;
        Ok(())
    }
}

fn open(setup: &Setup, track: Track) -> Result<Stage, Box<dyn Error>> {
    let mut stage = Stage::new(setup, &Options::default())?;
    stage.terms.track(track);
    stage.deploy_postgresql(1)?;
    let asker = Source::Counterpart(Box::new(|_| Box::new(Asker)));
    stage.juju.deploy(ASKER, asker, 1, &[])?;
    stage.until_active(SOON)?;
    Ok(stage)
}

/// Relates both and waits for the answer; gives the relation's number.
fn relate(stage: &mut Stage) -> Result<u32, Box<dyn Error>> {
    let id = stage.juju.integrate(ENDS.0, ENDS.1)?;
    stage.until("an answer", SOON, |stage| {
        stage
            .juju
            .databag(id, POSTGRESQL)
            .contains_key("secret-user")
    })?;
    Ok(id)
}

fn separate(stage: &mut Stage) -> Outcome {
    stage.juju.remove_relation(ENDS.0, ENDS.1)?;
    stage.until("the end of the relation", SOON, |stage| {
        stage.juju.relation(ENDS.0).is_none()
    })?;
    Ok(())
}

/// The provider's next hook, with all that follows.
fn provider_acts(stage: &mut Stage) -> Outcome {
    stage.juju.update_status(POSTGRESQL)?;
    Ok(stage.until_active(SOON)?)
}

/// User and password that a relation has now.
fn credentials(stage: &Stage, id: u32) -> Result<(String, String), Box<dyn Error>> {
    let bag: Settings = stage.juju.databag(id, POSTGRESQL);
    let uri = bag.get("secret-user").ok_or("no secret")?;
    let content = |it: &Secret| Some(it.revisions.get(&it.latest)?.content.clone());
    let secret = stage.juju.model().secrets.get(uri).and_then(content);
    let mut secret = secret.ok_or("the secret is gone")?;
    let found = secret.remove("username").zip(secret.remove("password"));
    Ok(found.ok_or("no credentials")?)
}

/// Logs in over TCP, as a client in another pod does, and says these statements.
fn say(
    stage: &Stage,
    (user, password): &(String, String),
    statements: &str,
) -> Result<(), Box<dyn Error>> {
    let host: IpAddr = stage.node.pod_ip("postgresql-k8s/0").ok_or("no pod")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (client, connection) = Config::new()
            .host(host.to_string())
            .user(user)
            .password(password)
            .dbname(DATABASE)
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client.batch_execute(statements).await?)
    })
}

pub(super) fn todays(setup: &Setup) -> Outcome {
    let mut stage = open(setup, Track::Sixteen)?;
    let id = relate(&mut stage)?;
    let first = credentials(&stage, id)?;
    say(&stage, &first, "CREATE TABLE kept (n int)")?;
    let owner = stage.database.query(DATABASE, OWNER)?;
    expect(owner == ["charmed_asked_owner"], format!("{owner:?}"))?;

    stage.terms.rotate_password(id);
    provider_acts(&mut stage)?;
    let second = credentials(&stage, id)?;
    expect(
        second.0 == first.0 && second.1 != first.1,
        "no new password",
    )?;
    expect(say(&stage, &first, "").is_err(), "the old password goes on")?;
    say(&stage, &second, "ALTER TABLE kept ADD m int")?;

    stage.terms.replace_user(id);
    provider_acts(&mut stage)?;
    let third = credentials(&stage, id)?;
    expect(third.0 != second.0, "no new user")?;
    for user in [&second, &third] {
        say(&stage, user, "INSERT INTO kept VALUES (1)")?;
    }

    stage.database.recreate_database(DATABASE)?;
    say(&stage, &third, "CREATE TABLE kept (n int)")?;

    separate(&mut stage)?;
    let left = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'relation_id_%'";
    let left = stage.database.query("postgres", left)?;
    expect(left.is_empty(), format!("{left:?} are left"))?;
    let id = relate(&mut stage)?;
    let fourth = credentials(&stage, id)?;
    say(&stage, &fourth, "ALTER TABLE kept ADD m int")
}

pub(super) fn both(setup: &Setup) -> Outcome {
    let mut stage = open(setup, Track::Fourteen)?;
    let id = relate(&mut stage)?;
    let user = credentials(&stage, id)?;
    say(&stage, &user, "CREATE TABLE kept (n int)")?;
    let owner = stage.database.query(DATABASE, OWNER)?;
    expect(owner == [user.0], format!("{owner:?}"))?;

    let legacy = ("asker:db", "postgresql-k8s:db");
    let id = stage.juju.integrate(legacy.0, legacy.1)?;
    let blocked = |stage: &Stage| {
        let status = stage.juju.unit_status("postgresql-k8s/0");
        status.is_some_and(|it| it.status == "blocked" && it.message.contains("choose one"))
    };
    stage.until("postgresql-k8s to be blocked", SOON, blocked)?;
    let answer = stage.juju.databag(id, POSTGRESQL);
    expect(answer.is_empty(), format!("{answer:?}"))?;

    stage.juju.remove_relation(legacy.0, legacy.1)?;
    stage.until_active(SOON)?;
    separate(&mut stage)?;
    let owner = stage.database.query(DATABASE, OWNER)?;
    expect(owner == ["operator"], format!("{owner:?}"))?;
    let id = relate(&mut stage)?;
    let user = credentials(&stage, id)?;
    say(&stage, &user, "ALTER TABLE kept ADD m int")
}
