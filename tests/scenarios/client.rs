//! The two stores over `postgresql_client`, from a PostgreSQL charm of today.

use rehearsal::counterparts::postgresql::client::{Status, Track};

use super::stage::{
    APP, PASS_FILE, POSTGRESQL, Stage, UNIT, assert_all_active, assert_soon_active, assert_status,
    deploy, deploy_counterparts, hear_provider, integrate, rests, separate, settle, update_status,
};

const ENDPOINTS: [&str; 2] = ["database", "visibility-database"];

/// Everything one after the other, with the PostgreSQL of this track.
pub(crate) fn deploy_calmly(stage: &mut dyn Stage, track: Track, units: u32) {
    stage.terms().track(track);
    deploy_counterparts(stage, &[POSTGRESQL, super::stage::ADMIN]);
    deploy(stage, units, &[]);
    settle(stage);
    for endpoint in ENDPOINTS.into_iter().chain(["admin"]) {
        integrate(stage, endpoint);
        settle(stage);
    }
    assert_soon_active(stage);
}

fn relation(stage: &mut dyn Stage, endpoint: &str) -> u32 {
    let endpoint = format!("{APP}:{endpoint}");
    stage.juju().relation(&endpoint).expect("related")
}

/// The pass file, and what the admin application is told, have the newest password.
fn assert_told(stage: &mut dyn Stage) {
    let newest = stage.passwords().last().cloned().expect("a password");
    let file = stage.file(UNIT, PASS_FILE).expect("a pass file").0;
    assert!(String::from_utf8_lossy(&file).contains(&newest));
    let relation = relation(stage, "admin");
    let told = &stage.juju().databag(relation, APP)["database_connections"];
    assert!(told.contains(&newest), "the admin application was not told");
}

/// Secrets bring new passwords, and a hook that is lost is made good by the next.
pub(crate) fn rotated_passwords_of_todays_provider_restart_nothing(stage: &mut dyn Stage) {
    deploy_calmly(stage, Track::Sixteen, 1);
    rests(stage);
    // the admin application's charm fails when it hears of one password and not of the other yet
    stage.juju().retries(5);
    for lost in [false, true] {
        let made = stage.passwords().len();
        for endpoint in ENDPOINTS {
            let relation = relation(stage, endpoint);
            stage.terms().rotate_password(relation);
        }
        if lost {
            stage
                .juju()
                .drop_events(|unit, event| unit == UNIT && event.name() == "secret-changed");
        }
        hear_provider(stage);
        if lost {
            update_status(stage);
        }
        assert_eq!(stage.passwords().len(), made + 2);
        assert_told(stage);
        assert_all_active(stage);
        assert_eq!(stage.starts(UNIT), 1, "nothing is to be restarted");
        rests(stage);
    }
}

/// Another user is another connection, which a server takes when it starts.
pub(crate) fn another_user_of_todays_provider_restarts_once(stage: &mut dyn Stage) {
    deploy_calmly(stage, Track::Fourteen, 1);
    let relation = relation(stage, "database");
    stage.terms().replace_user(relation);
    hear_provider(stage);
    assert_soon_active(stage);
    assert_eq!(stage.starts(UNIT), 2);
    assert_told(stage);
    rests(stage);
}

/// On a Juju without secrets, providers write the same into their databag.
pub(crate) fn a_provider_without_secrets_serves_as_well(stage: &mut dyn Stage) {
    stage.terms().plain(true);
    deploy_calmly(stage, Track::Sixteen, 1);
    let relation = relation(stage, "visibility-database");
    stage.terms().rotate_password(relation);
    hear_provider(stage);
    assert_all_active(stage);
    assert_told(stage);
    assert_eq!(stage.starts(UNIT), 1);
    rests(stage);
}

/// What cannot be read for a while is waited for, and what is served goes on.
pub(crate) fn secrets_that_are_taken_away_stop_nothing(stage: &mut dyn Stage) {
    deploy_calmly(stage, Track::Sixteen, 1);
    let relation = relation(stage, "database");
    stage.terms().revoke_secrets(relation);
    hear_provider(stage);
    update_status(stage);
    let words = ["waiting for `database`", "does not let us read"];
    assert_status(stage, UNIT, "waiting", &words);
    assert!(stage.runs(UNIT));
    stage.terms().grant_secrets(relation);
    hear_provider(stage);
    update_status(stage);
    assert_all_active(stage);
    assert_eq!(stage.starts(UNIT), 1);
    rests(stage);
}

/// A provider says itself that it is not ready, or never will be.
pub(crate) fn what_todays_provider_says_of_itself_is_shown(stage: &mut dyn Stage) {
    stage.terms().track(Track::Sixteen);
    stage.terms().hold(true);
    deploy_counterparts(stage, &[POSTGRESQL, super::stage::ADMIN]);
    deploy(stage, 1, &[]);
    settle(stage);
    for endpoint in ENDPOINTS.into_iter().chain(["admin"]) {
        integrate(stage, endpoint);
        settle(stage);
    }
    let words = "waiting for `database`: postgresql-k8s has not offered a database yet";
    assert_status(stage, UNIT, "waiting", &[words]);
    let says = |code: u16| Status {
        code,
        message: "the cluster has no primary".to_owned(),
        resolution: "wait, or look at its units".to_owned(),
    };
    for (code, level, words) in [
        (
            4001,
            "waiting",
            "postgresql-k8s is not ready: the cluster has no primary (4001)",
        ),
        (
            5001,
            "blocked",
            "postgresql-k8s refuses: the cluster has no primary (5001); wait, or look at its units",
        ),
    ] {
        stage.terms().statuses(Some(&[says(code)]));
        hear_provider(stage);
        assert_status(stage, UNIT, level, &["`database`", words]);
        assert!(!stage.runs(UNIT));
    }
    stage.terms().statuses(None);
    stage.terms().hold(false);
    hear_provider(stage);
    assert_soon_active(stage);
    rests(stage);
}

/// Law S2 holds for these endpoints too; and what is integrated twice is told, whatever is served goes on.
pub(crate) fn a_store_has_one_database_over_either_interface(stage: &mut dyn Stage) {
    deploy_calmly(stage, Track::Fourteen, 1);
    integrate(stage, "db");
    settle(stage);
    let command = format!("juju remove-relation {APP}:db {POSTGRESQL}");
    assert_status(
        stage,
        UNIT,
        "blocked",
        &["`db`", "`database` is related as well", &command],
    );
    assert!(stage.runs(UNIT));
    separate(stage, "db");
    settle(stage);
    assert_all_active(stage);
    assert_eq!(stage.starts(UNIT), 1);

    separate(stage, "database");
    settle(stage);
    assert!(
        !stage.runs(UNIT),
        "the server runs on a store that was taken away"
    );
    assert_eq!(stage.file(UNIT, PASS_FILE), None);
    let command = format!("juju integrate {APP}:database {POSTGRESQL}:database");
    assert_status(
        stage,
        UNIT,
        "blocked",
        &["`database` has no database", &command],
    );
    rests(stage);
    integrate(stage, "database");
    settle(stage);
    assert_soon_active(stage);
    rests(stage);
}
