//! The two stores: gone, changed, down, slow, distrustful, empty.

use rehearsal::counterparts::postgresql::client::Track;

use super::stage::{
    APP, CONFIG, Condition, PASS_FILE, POSTGRESQL, Stage, UNIT, assert_all_active,
    assert_soon_active, assert_status, deploy, deploy_calmly, deploy_counterparts, hear_provider,
    integrate, obey, recover, rests, separate, settle, status, update_status,
};

/// The hook in which the relation breaks stops the server (law S2), and a new relation starts it again.
fn removing_stops_the_server(stage: &mut dyn Stage, endpoint: &str) {
    deploy_calmly(stage, 1, &[]);
    assert_all_active(stage);
    separate(stage, endpoint);
    let broken = format!("{endpoint}-relation-broken");
    loop {
        let run = stage
            .juju()
            .step()
            .expect("the cloud works")
            .expect("the relation breaks");
        assert!(run.success(), "{run}: {}", run.stderr);
        if run.unit == UNIT && run.hook == broken {
            break;
        }
    }
    assert!(
        !stage.runs(UNIT),
        "the server runs on a store that was taken away"
    );
    let remedy = format!("juju integrate {APP}:{endpoint} postgresql-k8s:db");
    assert_status(stage, UNIT, "blocked", &[&format!("`{endpoint}`"), &remedy]);
    assert_eq!(
        stage.file(UNIT, PASS_FILE),
        None,
        "the passwords are still there"
    );
    settle(stage);
    rests(stage);
    integrate(stage, endpoint);
    settle(stage);
    assert_soon_active(stage);
    rests(stage);
}

/// See [`removing_stops_the_server`].
pub(crate) fn removing_db_stops_the_server_in_that_very_hook(stage: &mut dyn Stage) {
    removing_stops_the_server(stage, "db");
}

/// See [`removing_stops_the_server`].
pub(crate) fn removing_visibility_stops_the_server_in_that_very_hook(stage: &mut dyn Stage) {
    removing_stops_the_server(stage, "visibility");
}

/// The provider's new leader makes new passwords with the next change that it hears of.
fn move_provider_leadership(stage: &mut dyn Stage) {
    let unit = stage.juju().add_unit(POSTGRESQL).expect("add-unit");
    settle(stage);
    stage.juju().set_leader(POSTGRESQL, &unit).expect("a unit");
    settle(stage);
    for hidden in [true, false] {
        stage.juju().hide_service_address(APP, hidden);
        settle(stage);
    }
}

/// The pass file is read for every new connection, so that nothing has to restart.
pub(crate) fn a_new_provider_leader_changes_the_password_and_nothing_restarts(
    stage: &mut dyn Stage,
) {
    deploy_calmly(stage, 1, &[]);
    assert_all_active(stage);
    let before = stage.file(UNIT, PASS_FILE).expect("a pass file");
    let made = stage.passwords().len();
    // the admin application's charm fails when it hears of one password and not of the other yet
    stage.juju().retries(5);
    move_provider_leadership(stage);
    assert!(
        stage.passwords().len() > made,
        "the provider has made no new password"
    );
    let after = stage.file(UNIT, PASS_FILE).expect("a pass file");
    assert_ne!(before, after);
    assert_eq!(
        stage.starts(UNIT),
        1,
        "a new password is no reason to restart"
    );
    assert_all_active(stage);
    // the admin application needs it too, for the next schema
    let relation = stage
        .juju()
        .relation("temporal-k8s:admin")
        .expect("related");
    let told = stage.juju().databag(relation, APP)["database_connections"].clone();
    let newest = stage.passwords().last().cloned().expect("a password");
    assert!(
        told.contains(&newest),
        "the admin application has not been told"
    );
    rests(stage);
}

/// Our subnets have changed, and the provider has not heard of it.
pub(crate) fn a_transient_mismatch_of_subnets_stops_nothing(stage: &mut dyn Stage) {
    stage.juju().hide_service_address(APP, true);
    deploy_calmly(stage, 1, &[]);
    assert_all_active(stage);
    stage.juju().drop_events(|unit, event| {
        unit.starts_with(POSTGRESQL) && event.name() == "db-relation-changed"
    });
    stage.juju().hide_service_address(APP, false);
    settle(stage);
    update_status(stage);
    let relation = stage.juju().relation("temporal-k8s:db").expect("related");
    let ours = stage.juju().databag(relation, UNIT)["egress-subnets"].clone();
    let allowed = stage
        .juju()
        .databag(relation, POSTGRESQL)
        .get("allowed-subnets")
        .cloned();
    assert!(
        !allowed.unwrap_or_default().contains(&ours),
        "there is no mismatch to live with"
    );
    assert_all_active(stage);
    assert_eq!(stage.starts(UNIT), 1);
    rests(stage);
}

/// `schema_status` is never reset: the signal alone proves nothing.
pub(crate) fn a_database_made_anew_is_not_trusted_to_the_stale_signal(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    assert_all_active(stage);
    stage.set_container(UNIT, false);
    stage.recreate_database("temporal-k8s_db");
    stage.set_container(UNIT, true);
    settle(stage);
    assert!(!stage.runs(UNIT), "a server runs without a schema");
    assert_status(stage, UNIT, "waiting", &["schema", "`db`"]);
    let starts = stage.starts(UNIT);
    update_status(stage);
    assert_eq!(stage.starts(UNIT), starts, "a start was tried");
    rests(stage);
    // the operator's way out: the admin application does its work again
    separate(stage, "admin");
    settle(stage);
    integrate(stage, "admin");
    settle(stage);
    recover(stage);
    rests(stage);
}

/// Law S1 needs a proof, not a relation.
pub(crate) fn a_proven_schema_needs_no_admin(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    // the databases stay when the application goes
    stage
        .juju()
        .remove_application(APP)
        .expect("remove-application");
    settle(stage);
    deploy(stage, 1, &[]);
    integrate(stage, "db");
    integrate(stage, "visibility");
    settle(stage);
    assert_soon_active(stage);
    rests(stage);
}

/// The admin application has done its work.
pub(crate) fn removing_admin_after_the_set_up_stops_nothing(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    separate(stage, "admin");
    settle(stage);
    assert_all_active(stage);
    assert_eq!(stage.starts(UNIT), 1);
    rests(stage);
    // not even the next start needs it
    stage.restart_container(UNIT);
    settle(stage);
    assert_soon_active(stage);
    rests(stage);
}

/// Everything is related, and the database server is away for a while.
pub(crate) fn a_database_that_is_down_at_the_start_is_waited_for(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    stage.set_container(UNIT, false);
    stage.set_database(Condition::Down);
    stage.set_container(UNIT, true);
    settle(stage);
    assert_status(stage, UNIT, "waiting", &["`db`", "connection refused"]);
    assert!(!stage.runs(UNIT), "a server runs on trust");
    rests(stage);
    stage.set_database(Condition::Up);
    recover(stage);
    rests(stage);
}

/// Merely down is no reason to stop; but it is no reason to say `active` either (law S12).
pub(crate) fn a_database_that_goes_down_stops_nothing(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    stage.set_database(Condition::Down);
    update_status(stage);
    assert_status(stage, UNIT, "waiting", &["database"]);
    assert!(stage.runs(UNIT), "the server was stopped");
    rests(stage);
    stage.set_database(Condition::Up);
    recover(stage);
    assert_eq!(stage.starts(UNIT), 1, "nothing had to restart");
    rests(stage);
}

/// Nobody else would tell: health says that history and matching serve.
pub(crate) fn without_a_frontend_a_database_that_goes_down_is_seen_as_well(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[("services", "history,matching")]);
    assert_soon_active(stage);
    stage.set_database(Condition::Down);
    update_status(stage);
    assert_status(stage, UNIT, "waiting", &["database", "connection refused"]);
    assert!(stage.runs(UNIT), "the server was stopped");
    rests(stage);
    stage.set_database(Condition::Up);
    recover(stage);
    rests(stage);
}

/// The provider's word and the server's do not match.
pub(crate) fn a_wrong_password_is_waited_out(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    stage.set_container(UNIT, false);
    stage.set_database(Condition::Distrustful);
    stage.set_container(UNIT, true);
    settle(stage);
    assert_status(stage, UNIT, "waiting", &["password refused"]);
    assert!(!stage.runs(UNIT));
    rests(stage);
    stage.set_database(Condition::Up);
    recover(stage);
    rests(stage);
}

/// It takes connections and says nothing: every hook still has an end.
pub(crate) fn a_silent_database_is_waited_for(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    stage.set_container(UNIT, false);
    stage.set_database(Condition::Silent);
    stage.set_container(UNIT, true);
    let runs = settle(stage);
    let slowest = runs.iter().map(|run| run.duration).max().expect("a hook");
    assert!(slowest.as_secs() < 20, "{slowest:?}");
    assert_status(stage, UNIT, "waiting", &["no answer"]);
    assert!(!stage.runs(UNIT));
    stage.set_database(Condition::Up);
    recover(stage);
    rests(stage);
}

/// The admin application's tool is of the version before ours.
pub(crate) fn an_old_schema_is_waited_for(stage: &mut dyn Stage) {
    stage.make_old_schema(true);
    deploy_calmly(stage, 1, &[]);
    assert_status(stage, UNIT, "waiting", &["schema", "the server needs"]);
    assert!(!stage.runs(UNIT), "a server runs on an old schema");
    assert_eq!(stage.starts(UNIT), 0);
    rests(stage);
    stage.make_old_schema(false);
    separate(stage, "admin");
    settle(stage);
    integrate(stage, "admin");
    settle(stage);
    recover(stage);
    rests(stage);
}

/// What a provider might make one day. Each must reach the database through the running server, and
/// through the schema tool, as it is.
const HOSTILE: [&str; 5] = [
    "it's \"aye\" & <b> &amp; 'twice'",
    r"a:b:c back\slash\\twice\'",
    "{{ .Env.HOME }} ${HOME} $(id) $1 # no comment",
    "pässwörd-ß-日本 100%s%d%25",
    "--dash=@at/slash?query ",
];

/// See [`HOSTILE`].
pub(crate) fn hostile_passwords_arrive_unharmed(stage: &mut dyn Stage) {
    let long = "x".repeat(200);
    for password in HOSTILE.iter().copied().chain([long.as_str()]) {
        stage.choose_password(password);
    }
    deploy_calmly(stage, 1, &[]);
    loop {
        assert_soon_active(stage);
        rests(stage);
        if stage.passwords().len() > HOSTILE.len() {
            break;
        }
        for endpoint in ["db", "visibility"] {
            separate(stage, endpoint);
        }
        settle(stage);
        for endpoint in ["db", "visibility"] {
            integrate(stage, endpoint);
        }
        settle(stage);
    }
    let all = stage.passwords();
    assert!(
        HOSTILE
            .iter()
            .all(|password| all.contains(&(*password).to_owned())),
        "{all:?}"
    );
}

/// The pass file has one line for each store: such a password cannot be written.
pub(crate) fn a_password_with_a_line_break_is_refused_in_clear_words(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    let before = stage.file(UNIT, CONFIG);
    // the provider's own string would turn it into a space: a hand-made databag does not
    let relation = stage.juju().relation("temporal-k8s:db").expect("related");
    let bag = stage.juju().databag(relation, POSTGRESQL);
    let spoilt = bag["master"].replace("password=", "password='line\nbreak' previous=");
    stage.juju().before_flush(move |unit, _, model| {
        let bag = model
            .relations
            .get_mut(&relation)
            .and_then(|it| it.apps.get_mut(POSTGRESQL));
        if let Some(bag) = bag.filter(|_| unit.starts_with(POSTGRESQL)) {
            bag.apply(&[("master".to_owned(), spoilt.clone())].into());
        }
    });
    stage
        .juju()
        .update_status(POSTGRESQL)
        .expect("the provider is there");
    settle(stage);
    assert_status(stage, UNIT, "blocked", &["`db`", "password", "line break"]);
    assert!(stage.runs(UNIT), "an unusable answer stops nothing");
    assert_eq!(stage.file(UNIT, CONFIG), before);
    rests(stage);
}

/// Its role has the rights on what was there when it came, and not on what the first one's role has made since: here
/// on nothing but the table that tells the schema's version.
pub(crate) fn rights_that_a_second_application_lacks_are_named_with_the_statement(
    stage: &mut dyn Stage,
) {
    const SECOND: &str = "temporal-second/0";
    const DATABASE: &str = "shared_db";
    deploy_calmly(stage, 1, &[("database-prefix", "shared")]);
    let charm = stage.charm();
    let config = [("database-prefix", "shared")];
    let deployed = stage.juju().deploy("temporal-second", charm, 1, &config);
    deployed.expect("deploy");
    stage.juju().boot_grace(std::time::Duration::ZERO);
    stage.set_container(SECOND, false);
    for endpoint in ["db", "visibility"] {
        let ours = format!("temporal-second:{endpoint}");
        let related = stage.juju().integrate(&ours, "postgresql-k8s:db");
        related.expect("integrate");
    }
    settle(stage);
    let relation = stage
        .juju()
        .relation("temporal-second:db")
        .expect("related");
    let role = format!("relation_id_{relation}");
    let revoke = format!("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}");
    stage.type_sql(DATABASE, &revoke);
    let read = format!("GRANT SELECT ON schema_version TO {role}");
    stage.type_sql(DATABASE, &read);
    stage.set_container(SECOND, true);
    settle(stage);
    let grant = format!(
        "`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"public\" TO \"{role}\"`"
    );
    assert_status(
        stage,
        SECOND,
        "blocked",
        &["lacks rights in `db`", DATABASE, &grant],
    );
    assert!(!stage.runs(SECOND), "a server runs without its rights");
    assert_status(stage, UNIT, "active", &[]);
    rests(stage);
    obey(stage, SECOND, DATABASE);
    recover(stage);
    rests(stage);
    // what is taken away from a server that runs is told, too
    stage.type_sql(DATABASE, &revoke);
    update_status(stage);
    assert_status(stage, SECOND, "blocked", &["lacks rights in `db`", &grant]);
    assert!(stage.runs(SECOND), "the server was stopped");
    obey(stage, SECOND, DATABASE);
    recover(stage);
    rests(stage);
}

/// Tools and servers look for their own database's name in the schema.
pub(crate) fn a_restored_database_with_another_name_is_told_with_the_statement(
    stage: &mut dyn Stage,
) {
    deploy_calmly(stage, 1, &[("database-prefix", "old")]);
    let removed = stage.juju().remove_application(APP);
    removed.expect("remove-application");
    settle(stage);
    for suffix in ["_db", "_visibility"] {
        stage.copy_database(&format!("old{suffix}"), &format!("new{suffix}"));
    }
    deploy(stage, 1, &[("database-prefix", "new")]);
    for endpoint in ["db", "visibility"] {
        integrate(stage, endpoint);
    }
    settle(stage);
    for (store, more) in [("db", "(+1 more)"), ("visibility", "`")] {
        let suffix = if store == "db" { "_db" } else { "_visibility" };
        let update = format!(
            "`UPDATE schema_version SET db_name = 'new{suffix}' WHERE db_name = 'old{suffix}'`"
        );
        let copy = format!("the schema in `{store}` is that of old{suffix}");
        assert_status(stage, UNIT, "blocked", &[&copy, &update]);
        assert!(status(stage, UNIT).1.ends_with(more));
        assert!(!stage.runs(UNIT));
        rests(stage);
        obey(stage, UNIT, &format!("new{suffix}"));
        update_status(stage);
    }
    assert_soon_active(stage);
    rests(stage);
}

/// PostgreSQL's charm of track 16 offers `database` alone.
pub(crate) fn todays_provider_has_none_of_the_legacy_endpoints(stage: &mut dyn Stage) {
    stage.terms().track(Track::Sixteen);
    deploy_counterparts(stage, &[POSTGRESQL]);
    deploy(stage, 1, &[]);
    settle(stage);
    for endpoint in ["temporal-k8s:db", "temporal-k8s:visibility"] {
        let refused = stage.juju().integrate(endpoint, "postgresql-k8s:db");
        assert!(refused.is_err(), "{endpoint}: {refused:?}");
    }
    hear_provider(stage);
    assert_status(stage, UNIT, "blocked", &["`db`"]);
    rests(stage);
}
