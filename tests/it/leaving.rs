//! Units that come and go, by the rules of two Jujus and in several orders of events.

use rehearsal::juju::record::HookRun;
use rehearsal::juju::{Failure, Fault as ToolFault};

use crate::scenarios::stage::{
    APP, Stage, assert_all_active, deploy_calmly, recover, rests, settle, units, update_status,
};
use crate::support::stage::FastStage;

/// With Juju 4, the controller takes dying units out of their relations.
const JUJUS: [(u32, u32, u32); 2] = [(3, 6, 11), (4, 1, 0)];

/// Plays something with each Juju and some seeds of what has no fixed order.
fn with_every_juju(play: impl Fn(&mut FastStage)) {
    for version in JUJUS {
        for seed in 0..3 {
            let mut stage = FastStage::new();
            stage.juju().set_version(version);
            stage.juju().seed(seed);
            play(&mut stage);
        }
    }
}

fn statuses(run: &HookRun) -> impl Iterator<Item = String> {
    let set = run.calls.iter().filter(|call| call.name == "status-set");
    set.map(|call| call.args.join(" "))
}

/// Whatever this unit does while it leaves ends well; it is never blocked, and says nothing of the application.
fn assert_leaves_quietly(unit: &str, runs: &[HookRun]) {
    let ours = runs.iter().filter(|run| run.unit == unit);
    let endings = ["departed", "broken", "stop"];
    for run in ours.filter(|run| endings.iter().any(|it| run.hook.ends_with(it))) {
        assert!(run.success(), "{run}: {}", run.stderr);
        for status in statuses(run) {
            assert!(!status.contains("blocked"), "{run}: {status}");
            assert!(!status.contains("--application"), "{run}: {status}");
        }
        let warned = run.juju_log.iter().any(|line| line.level == "WARNING");
        assert!(!warned, "{run}: {:?}", run.juju_log);
    }
}

#[test]
fn a_leader_that_is_scaled_away_says_nothing_of_the_application() {
    with_every_juju(|stage| {
        deploy_calmly(stage, 2, &[]);
        stage
            .juju()
            .set_leader(APP, "temporal-k8s/1")
            .expect("a unit");
        settle(stage);
        stage.juju().remove_unit(APP).expect("remove-unit");
        let runs = settle(stage);
        assert_leaves_quietly("temporal-k8s/1", &runs);
        assert_all_active(stage);
        rests(stage);
    });
}

#[test]
fn at_zero_units_the_application_says_nothing_false() {
    with_every_juju(|stage| {
        deploy_calmly(stage, 1, &[]);
        stage.juju().remove_unit(APP).expect("remove-unit");
        let runs = settle(stage);
        assert_leaves_quietly("temporal-k8s/0", &runs);
        let status = stage.juju().app_status(APP).map(|it| it.message.clone());
        assert_eq!(status.as_deref(), Some(""));
        stage.juju().add_unit(APP).expect("add-unit");
        settle(stage);
        recover(stage);
    });
}

#[test]
fn a_removal_ends_well_and_warns_of_nothing() {
    with_every_juju(|stage| {
        deploy_calmly(stage, 2, &[]);
        let ours = units(stage);
        stage
            .juju()
            .remove_application(APP)
            .expect("remove-application");
        let runs = settle(stage);
        for unit in &ours {
            assert_leaves_quietly(unit, &runs);
        }
        assert!(!stage.juju().model().applications.contains_key(APP));
    });
}

#[test]
fn a_unit_that_comes_names_no_command_and_tells_its_version() {
    with_every_juju(|stage| {
        deploy_calmly(stage, 1, &[]);
        stage.juju().add_unit(APP).expect("add-unit");
        let runs = settle(stage);
        let install = runs.iter().find(|run| run.hook == "install");
        for status in statuses(install.expect("a new unit")) {
            assert!(!status.contains("blocked"), "{status}");
        }
        recover(stage);
        let version = stage.juju().model().applications[APP].version().to_owned();
        assert_eq!(version, "1.32.2", "that of the newest unit");
    });
}

#[test]
fn a_leadership_that_is_lost_in_a_long_hook_is_no_hook_error() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 2, &[]);
    stage
        .juju()
        .config(APP, &[("log-level", "loud")])
        .expect("an option");
    let stderr = "ERROR setting application status: this unit is not the leader\n".to_owned();
    let lost = |number: u32| {
        let refused = Failure::Exit {
            code: 1,
            stderr: stderr.clone(),
        };
        ToolFault::new("status-set", refused)
            .once()
            .on(&format!("{APP}/{number}"))
    };
    // whatever it tells first is refused, and the rest of the hook goes on
    stage.juju().fault(lost(0));
    for run in settle(&mut stage) {
        assert!(run.success(), "{run}: {}", run.stderr);
    }
    stage.juju().clear_faults();
    stage
        .juju()
        .config(APP, &[("log-level", "info")])
        .expect("an option");
    settle(&mut stage);
    update_status(&mut stage);
    assert_all_active(&mut stage);
    rests(&mut stage);
}
