//! Day two: containers, pods and units come and go, disks fill, people restart things.

use rehearsal::juju::record::{ActionOutcome, ActionStatus};
use serde_json::Map;

use super::stage::{
    APP, CONFIG, PASS_FILE, Stage, UNIT, assert_soon_active, assert_status, deploy_calmly,
    is_of_the_check, recover, rests, settle, status, units, until_status, update_status,
};

/// A new boot id means that files, plan and service are gone.
pub(crate) fn a_restarted_container_gets_everything_again(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    let before = stage.files(UNIT);
    stage.restart_container(UNIT);
    assert!(
        stage.files(UNIT).is_empty(),
        "the container has kept something"
    );
    let runs = settle(stage);
    let hooks = runs.iter().filter(|run| !is_of_the_check(run));
    assert_eq!(
        hooks.map(|run| run.hook.as_str()).collect::<Vec<_>>(),
        ["temporal-pebble-ready"]
    );
    assert_eq!(stage.files(UNIT), before);
    assert_soon_active(stage);
    rests(stage);
    // the same when nobody tells of it
    stage
        .juju()
        .drop_events(|_, event| event.name() == "temporal-pebble-ready");
    stage.restart_container(UNIT);
    update_status(stage);
    assert_eq!(stage.files(UNIT), before);
    assert_soon_active(stage);
    rests(stage);
}

/// Kubernetes takes the pod away and makes another, with another address.
pub(crate) fn a_replaced_pod_gets_everything_again(stage: &mut dyn Stage) {
    deploy_calmly(stage, 2, &[]);
    let (before, _) = stage.file(UNIT, CONFIG).expect("a configuration");
    stage.juju().replace_pod(UNIT).expect("the cloud works");
    settle(stage);
    assert_soon_active(stage);
    let (after, _) = stage.file(UNIT, CONFIG).expect("a configuration");
    assert_ne!(
        before, after,
        "the other units must find it at its new address"
    );
    rests(stage);
}

/// With a warning, the server may finish its work.
pub(crate) fn a_drained_pod_stops_its_server_first(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    stage.juju().drain_pod(UNIT).expect("the cloud works");
    settle(stage);
    assert_soon_active(stage);
    rests(stage);
}

fn restart(stage: &mut dyn Stage, unit: &str) -> ActionOutcome {
    stage
        .juju()
        .run_action(unit, "restart", Map::new())
        .expect("the action is declared")
}

/// With one shard, one of two units has none. Its history calls itself not serving unless it has owned the shard once,
/// which it has if the other was down in its lifetime: so each is restarted, and the first once more if it was the
/// first that owns the shard.
pub(crate) fn a_unit_whose_history_owns_no_shard_is_active_and_says_so(stage: &mut dyn Stage) {
    deploy_calmly(stage, 2, &[("num-history-shards", "1")]);
    assert_soon_active(stage);
    let resting = |stage: &mut dyn Stage| {
        let units = units(stage).into_iter();
        let says = units.map(|unit| status(stage, &unit).1);
        let rests = says.filter(|message| message.starts_with("history rests: "));
        rests.count()
    };
    for unit in [UNIT, "temporal-k8s/1", UNIT] {
        let outcome = restart(stage, unit);
        let done = outcome.status == ActionStatus::Completed;
        assert!(done, "{unit}: {}", outcome.message);
        settle(stage);
        update_status(stage);
        assert_soon_active(stage);
        if resting(stage) == 1 {
            break;
        }
    }
    assert_eq!(resting(stage), 1);
    rests(stage);
}

/// The result tells the truth.
pub(crate) fn the_restart_action_restarts_and_says_so(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    let outcome = restart(stage, UNIT);
    assert_eq!(
        outcome.status,
        ActionStatus::Completed,
        "{}",
        outcome.message
    );
    assert!(
        outcome.results["result"].contains("restarted"),
        "{:?}",
        outcome.results
    );
    assert_eq!(stage.starts(UNIT), 2);
    settle(stage);
    assert_soon_active(stage);
    rests(stage);
}

/// Neither a crash nor a false success.
pub(crate) fn the_restart_action_fails_honestly_without_a_container(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    stage.set_container(UNIT, false);
    let outcome = restart(stage, UNIT);
    assert_eq!(outcome.status, ActionStatus::Failed);
    assert!(outcome.message.contains("container"), "{}", outcome.message);
    assert_eq!(outcome.results["return-code"], "0", "{:?}", outcome.results);
    stage.set_container(UNIT, true);
    settle(stage);
    assert_soon_active(stage);
    // nothing to restart without a database
    super::stage::separate(stage, "db");
    settle(stage);
    let outcome = restart(stage, UNIT);
    assert_eq!(outcome.status, ActionStatus::Failed);
    assert!(outcome.message.contains("`db`"), "{}", outcome.message);
    assert!(!stage.runs(UNIT), "the action has started it");
    rests(stage);
}

/// The container's file system is full when the server is to be configured anew.
pub(crate) fn a_full_disk_is_told_and_forgotten(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    let before = stage.file(UNIT, CONFIG);
    stage.fill_disk(UNIT, true);
    let config = [("log-level", "debug")];
    stage.juju().config(APP, &config).expect("config");
    settle(stage);
    let told = ["write", "no space left on device"];
    assert_status(stage, UNIT, "blocked", &told);
    assert!(stage.runs(UNIT), "the server was stopped");
    assert_eq!(stage.starts(UNIT), 1);
    assert_eq!(stage.file(UNIT, CONFIG), before, "half a file");
    stage.fill_disk(UNIT, false);
    recover(stage);
    assert_eq!(stage.starts(UNIT), 2);
    rests(stage);
}

/// It is full from the start. The real Pebble cannot even note then that it was asked for something, and does
/// not answer: what the status says differs.
pub(crate) fn a_disk_that_is_full_from_the_start_starts_nothing(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    stage.restart_container(UNIT);
    stage.fill_disk(UNIT, true);
    settle(stage);
    assert_ne!(status(stage, UNIT).0, "active");
    assert!(!stage.runs(UNIT));
    stage.fill_disk(UNIT, false);
    recover(stage);
    rests(stage);
}

/// Nothing else than Pebble's check tells of it.
pub(crate) fn a_server_that_stops_serving_and_begins_again_is_told_of_without_the_timer(
    stage: &mut dyn Stage,
) {
    deploy_calmly(stage, 1, &[]);
    let before = stage.juju().log().len();
    for (frozen, word) in [(true, "waiting"), (false, "active")] {
        stage.freeze(UNIT, frozen);
        until_status(stage, UNIT, word);
    }
    let log = stage.juju().log();
    assert!(log.iter().skip(before).all(is_of_the_check), "{log:?}");
    assert_eq!(stage.starts(UNIT), 1);
    rests(stage);
}

/// The server ignores a pass file that others may read, and says nothing: its next connection fails.
pub(crate) fn a_pass_file_that_others_may_read_is_closed_again(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    let before = stage.files(UNIT);
    for path in [PASS_FILE, CONFIG] {
        stage.set_mode(UNIT, path, 0o644);
    }
    update_status(stage);
    assert_eq!(stage.files(UNIT), before);
    assert_eq!(stage.starts(UNIT), 1, "no reason to restart");
    assert_soon_active(stage);
    rests(stage);
}

/// Every unit has its own files and server, and leaves without a trace.
pub(crate) fn units_come_and_go(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    stage.juju().add_unit(APP).expect("add-unit");
    stage.juju().add_unit(APP).expect("add-unit");
    settle(stage);
    assert_eq!(units(stage).len(), 3);
    assert_soon_active(stage);
    assert_eq!(stage.starts(UNIT), 1, "more units are no reason to restart");
    rests(stage);
    stage
        .juju()
        .set_leader(APP, "temporal-k8s/2")
        .expect("a unit");
    settle(stage);
    stage.juju().remove_unit(APP).expect("remove-unit");
    settle(stage);
    assert_eq!(units(stage).len(), 2);
    assert_soon_active(stage);
    rests(stage);
}
