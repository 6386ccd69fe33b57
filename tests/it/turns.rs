//! Whole processes and their turn to restart, on a database that keeps it back.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::scenarios::stage::{
    APP, POSTGRESQL, Stage as _, UNIT, assert_all_active, assert_status, deploy_calmly, settle,
    units, update_status,
};
use crate::support::stage::FastStage;
use crate::support::temporal::Mood;

/// The database server is at another address, with everything in it, and the provider says so for both stores at once.
fn relocate(stage: &mut FastStage) {
    let old = stage.postgres.address().ip().to_string();
    stage.postgres.relocate();
    let new = stage.postgres.address().ip().to_string();
    let relations = ["db", "visibility"].map(|endpoint| {
        let relation = stage.juju().relation(&format!("{APP}:{endpoint}"));
        relation.expect("related")
    });
    stage.juju().before_flush(move |unit, _, model| {
        for relation in relations.iter().filter(|_| unit.starts_with(POSTGRESQL)) {
            let relation = model.relations.get_mut(relation);
            let bag = relation.and_then(|it| it.apps.get_mut(POSTGRESQL));
            let bag = bag.expect("the provider has answered");
            let master = bag.settings["master"].replace(&old, &new);
            bag.apply(&[("master".to_owned(), master)].into());
        }
    });
    let provider = stage.juju().update_status(POSTGRESQL);
    provider.expect("the provider is there");
    settle(stage);
}

#[test]
fn a_restart_waits_for_its_turn_and_comes_with_it() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    assert_eq!(
        stage.postgres.turns(),
        (0, 0),
        "a first start needs no turn"
    );
    stage.postgres.keep_turn(2);
    stage
        .juju()
        .config(APP, &[("log-level", "debug")])
        .expect("config");
    settle(&mut stage);
    assert_eq!(stage.postgres.turns(), (3, 1));
    assert_eq!(stage.starts(UNIT), 2);
    assert_all_active(&mut stage);
}

#[test]
fn units_leave_a_changed_store_each_in_its_turn() {
    let mut stage = FastStage::new();
    stage.juju().retries(5);
    deploy_calmly(&mut stage, 3, &[]);
    assert_all_active(&mut stage);
    stage.postgres.keep_turn(2);
    relocate(&mut stage);
    assert_all_active(&mut stage);
    for unit in units(&mut stage) {
        assert_eq!(stage.starts(&unit), 2, "{unit}");
    }
    assert_eq!(stage.postgres.turns(), (5, 3));
}

/// Another one may take longer to serve than its hook lasts.
#[test]
fn a_unit_that_serves_leaves_a_changed_store_when_the_others_serve() {
    let mut stage = FastStage::new();
    stage.juju().retries(5);
    // what these roles answer does not depend on the old address, where nothing is any more
    deploy_calmly(&mut stage, 2, &[("services", "history,matching")]);
    assert_all_active(&mut stage);
    let other = format!("{APP}/1");
    stage.set_server_mood(&other, Mood::NotServing);
    let (cloud, postgres) = (stage.cloud.clone(), Arc::clone(&stage.postgres));
    let begins_to_serve = thread::spawn({
        let other = other.clone();
        move || {
            while postgres.turns().1 == 0 {
                thread::sleep(Duration::from_millis(50));
            }
            thread::sleep(Duration::from_secs(2));
            let starts = cloud.container(UNIT, |pebble| pebble.container().starts());
            cloud.with(&other, |pod| pod.image.set_mood(Mood::Serving));
            starts
        }
    });
    // the other one does not hear of it yet
    stage.juju().drop_events(move |unit, _| unit == other);
    relocate(&mut stage);
    let starts = begins_to_serve.join().expect("a thread");
    assert_eq!(
        starts, 1,
        "it had its turn, and went with the other one down"
    );
    assert_eq!(stage.starts(UNIT), 2);
    stage.juju().keep_events();
    update_status(&mut stage);
    assert_all_active(&mut stage);
}

#[test]
fn nobody_stays_on_a_changed_store_for_want_of_a_turn() {
    let mut stage = FastStage::new();
    stage.juju().retries(5);
    deploy_calmly(&mut stage, 1, &[]);
    stage.postgres.break_turns();
    stage
        .juju()
        .config(APP, &[("log-level", "debug")])
        .expect("config");
    settle(&mut stage);
    assert_status(
        &mut stage,
        UNIT,
        "waiting",
        &["its turn to restart the server"],
    );
    assert_eq!(stage.starts(UNIT), 1);
    relocate(&mut stage);
    update_status(&mut stage);
    assert_eq!(stage.starts(UNIT), 2);
    assert_all_active(&mut stage);
}
