//! The whole program where Juju's tools, Pebble or the server misbehave in ways that real ones cannot be made to.

use std::collections::BTreeSet;
use std::time::Duration;

use rehearsal::juju::record::{ActionStatus, Exit};
use rehearsal::juju::{Cloud as _, Failure, Fault as ToolFault};
use serde_json::Map;

use crate::scenarios::stage::{
    ADMIN, APP, CONFIG, PASS_FILE, POSTGRESQL, Stage, UNIT, assert_all_active, assert_status,
    deploy, deploy_calmly, deploy_counterparts, integrate, rests, settle, state, units,
    update_status,
};
use crate::support::container::Fault;
use crate::support::stage::FastStage;
use crate::support::temporal::Mood;

/// The tools that an idle hook calls, with how often.
fn idle_calls(stage: &mut FastStage, unit: &str) -> Vec<String> {
    let runs = update_status(stage);
    let run = runs
        .into_iter()
        .find(|run| run.unit == unit)
        .expect("a hook");
    run.calls.into_iter().map(|call| call.name).collect()
}

#[test]
fn an_idle_hook_asks_no_more_than_it_needs() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 2, &[]);
    // options, leadership, state, ports, address, status and six endpoints; for each of three relations its
    // application and two databags, and for the leader its own application's; among peers the unit's own
    let leader = idle_calls(&mut stage, UNIT);
    assert!(leader.len() <= 24, "{}: {leader:?}", leader.len());
    let other = idle_calls(&mut stage, "temporal-k8s/1");
    assert!(other.len() <= 21, "{}: {other:?}", other.len());
    rests(&mut stage);
}

#[test]
fn a_tool_that_fails_or_prints_garbage_fails_the_hook_in_clear_words() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    let tools: BTreeSet<String> = idle_calls(&mut stage, UNIT).into_iter().collect();
    assert!(tools.len() >= 8, "{tools:?}");
    let before = stage
        .juju()
        .unit_status(UNIT)
        .map(|it| (it.status.clone(), it.message.clone()));
    for tool in tools {
        let refused = Failure::Exit {
            code: 1,
            stderr: "ERROR connection is shut down\n".to_owned(),
        };
        for (failure, said) in [
            (refused, "connection is shut down"),
            (Failure::Print("{".to_owned()), ""),
        ] {
            stage.juju().fault(ToolFault::new(&tool, failure).once());
            stage
                .juju()
                .update_status(APP)
                .expect("the application is there");
            let run = stage
                .juju()
                .step()
                .expect("the cloud works")
                .expect("a hook");
            assert_eq!(run.exit, Exit::Code(1), "{tool}");
            assert!(!run.flushed, "{tool}");
            assert!(
                run.stderr.contains(&tool) && run.stderr.contains(said),
                "{tool}: {}",
                run.stderr
            );
            assert_eq!(run.stderr.trim().lines().count(), 1, "{}", run.stderr);
            let after = stage
                .juju()
                .unit_status(UNIT)
                .map(|it| (it.status.clone(), it.message.clone()));
            assert_eq!(before, after, "{tool}: Juju shows the error, not the charm");
            settle(&mut stage);
        }
    }
    assert_all_active(&mut stage);
    rests(&mut stage);
}

#[test]
fn a_leadership_that_is_not_known_is_none() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    let stderr = "ERROR leadership status unknown\n".to_owned();
    stage
        .juju()
        .fault(ToolFault::new("is-leader", Failure::Exit { code: 1, stderr }).once());
    for run in update_status(&mut stage) {
        assert!(run.success(), "{run}: {}", run.stderr);
    }
    assert_all_active(&mut stage);
    // it leads again, and tells once more what another leader may have told
    update_status(&mut stage);
    rests(&mut stage);
}

/// What Juju refused is not remembered as told.
#[test]
fn what_could_not_be_told_is_told_by_the_next_hook() {
    let mut stage = FastStage::new();
    deploy_counterparts(&mut stage, &[POSTGRESQL]);
    deploy(&mut stage, 1, &[]);
    settle(&mut stage);
    let stderr = "ERROR settings not found\n".to_owned();
    let refused = ToolFault::new("relation-set", Failure::Exit { code: 1, stderr });
    stage.juju().fault(refused.during("db-relation-created"));
    integrate(&mut stage, "db");
    settle(&mut stage);
    update_status(&mut stage);
    let relation = stage.juju().relation(&format!("{APP}:db"));
    let told = stage.juju().databag(relation.expect("related"), APP);
    assert_eq!(
        told.get("database").map(String::as_str),
        Some("temporal-k8s_db")
    );
}

/// `relation-ids` still lists the relation, so it has not ended, whatever the tools that read it say.
#[test]
fn a_relation_that_cannot_be_read_stops_nothing() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    let before = state(&mut stage);
    let refused = |words: &str| Failure::Exit {
        code: 1,
        stderr: format!("ERROR {words}\n"),
    };
    for (tool, argument, words) in [
        ("relation-list", "--app", r#"relation "a:b c:d" not found"#),
        ("relation-get", POSTGRESQL, "settings not found"),
        ("relation-get", ADMIN, "application not found"),
        ("relation-get", UNIT, "relation unit not found"),
        ("relation-get", APP, "permission denied"),
        ("relation-get", "-", "relation not found"),
    ] {
        let fault = ToolFault::new(tool, refused(words)).with_argument(argument);
        stage.juju().fault(fault);
        for run in update_status(&mut stage) {
            assert!(run.success(), "{words}: {run}: {}", run.stderr);
            let wrote = run.calls.iter().any(|call| call.name == "relation-set");
            assert!(!wrote, "{words}: {run}: written over what is not known");
        }
        let (word, message) = crate::scenarios::stage::status(&mut stage, UNIT);
        assert_ne!(word, "blocked", "{words}: {message}");
        assert!(stage.runs(UNIT), "{tool} {argument}: {words}");
        assert!(stage.file(UNIT, PASS_FILE).is_some(), "{words}");
        stage.juju().clear_faults();
    }
    stage.juju().fault(ToolFault::new(
        "relation-get",
        refused("settings not found"),
    ));
    update_status(&mut stage);
    let parts = ["waiting for `db`: Juju cannot read it at the moment"];
    assert_status(&mut stage, UNIT, "waiting", &parts);
    stage.juju().clear_faults();
    update_status(&mut stage);
    assert_all_active(&mut stage);
    assert_eq!(stage.starts(UNIT), 1);
    assert_eq!(state(&mut stage), before);
    rests(&mut stage);
}

#[test]
fn a_write_that_fails_keeps_nothing_and_the_hook_is_run_again() {
    let mut stage = FastStage::new();
    stage.juju().retries(20);
    for tool in [
        "relation-set",
        "state-set",
        "status-set",
        "open-port",
        "application-version-set",
    ] {
        let stderr = "ERROR connection is shut down\n".to_owned();
        let fault = ToolFault::new(tool, Failure::Exit { code: 1, stderr })
            .once()
            .on(UNIT);
        stage.juju().fault(fault);
    }
    deploy_calmly(&mut stage, 1, &[]);
    let failed = stage
        .juju()
        .log()
        .iter()
        .filter(|run| run.unit == UNIT && !run.success())
        .count();
    assert_eq!(failed, 5, "each fault has failed one hook");
    assert_all_active(&mut stage);
    assert_eq!(
        stage.starts(UNIT),
        1,
        "a hook that is run again does not start the server again"
    );
    rests(&mut stage);
}

#[test]
fn a_tool_that_hangs_is_given_up() {
    let mut stage = FastStage::new();
    deploy(&mut stage, 1, &[]);
    settle(&mut stage);
    stage
        .juju()
        .fault(ToolFault::new("relation-ids", Failure::Hang));
    stage
        .juju()
        .update_status(APP)
        .expect("the application is there");
    let run = stage
        .juju()
        .step()
        .expect("the cloud works")
        .expect("a hook");
    assert_eq!(run.exit, Exit::Code(1));
    assert!(!run.flushed);
    assert!(
        run.stderr.contains("`relation-ids") && run.stderr.contains("no answer"),
        "{}",
        run.stderr
    );
    assert!(run.duration < Duration::from_secs(40), "{:?}", run.duration);
    stage.juju().clear_faults();
    settle(&mut stage);
    rests(&mut stage);
}

#[test]
fn a_hook_of_a_newer_juju_is_no_error() {
    let mut stage = FastStage::new();
    deploy(&mut stage, 1, &[]);
    settle(&mut stage);
    for path in [
        "hooks/brand-new",
        "hooks/temporal-pebble-brand-new",
        "hooks/db-relation-brand-new",
    ] {
        let mut command = stage.cloud.charm_command(UNIT).expect("a pod");
        let name = path.trim_start_matches("hooks/");
        let output = command
            .env("JUJU_DISPATCH_PATH", path)
            .env("JUJU_HOOK_NAME", name)
            .env("JUJU_UNIT_NAME", UNIT)
            .env("JUJU_MODEL_NAME", "test")
            .env("JUJU_VERSION", "5.0.0")
            .env("JUJU_CHARM_DIR", stage.cloud.charm_dir(UNIT))
            .env("PATH", "/usr/bin:/bin")
            .output()
            .expect("the program starts");
        assert!(
            output.status.success(),
            "{path}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            output.stderr.is_empty(),
            "{path}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn an_action_that_only_actions_yaml_knows_is_answered() {
    let mut stage = FastStage::new();
    let charm = stage.charm_with("dance:\n  description: nobody has written it\n");
    stage.juju().deploy(APP, charm, 1, &[]).expect("deploy");
    settle(&mut stage);
    let outcome = stage
        .juju()
        .run_action(UNIT, "dance", Map::new())
        .expect("declared");
    assert_eq!(outcome.status, ActionStatus::Failed);
    assert!(
        outcome.message.contains("unknown action `dance`"),
        "{}",
        outcome.message
    );
    assert!(
        !outcome.results.contains_key("stderr"),
        "{:?}",
        outcome.results
    );
}

#[test]
fn replies_of_pebble_that_break_off_are_waited_out() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    for path in [
        "/v1/system-info",
        "/v1/plan",
        "/v1/services",
        "/v1/files",
        "/v1/layers",
        "/v1/changes",
        "/v1/exec",
    ] {
        stage.restart_container(UNIT);
        stage.set_faults(UNIT, &[Fault::Truncate(path)]);
        for run in settle(&mut stage) {
            assert!(run.success(), "{path}: {run}: {}", run.stderr);
        }
        let (word, message) = crate::scenarios::stage::status(&mut stage, UNIT);
        assert_ne!(word, "active", "{path}: {message}");
        assert!(
            message.contains("pebble") || message.contains(path),
            "{path}: {message}"
        );
        stage.set_faults(UNIT, &[]);
        update_status(&mut stage);
        assert_all_active(&mut stage);
    }
    rests(&mut stage);
}

/// Law S18: what Pebble's plan says is what the server was started with, wherever a hook breaks off.
#[test]
fn s18_a_change_that_breaks_off_anywhere_is_finished_by_the_next_hook() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    for (step, level) in ["debug", "info"].into_iter().cycle().take(8).enumerate() {
        let step = u32::try_from(step).expect("a few");
        stage.set_faults(UNIT, &[Fault::OnlyFirst(step)]);
        stage
            .juju()
            .config(APP, &[("log-level", level)])
            .expect("an option");
        settle(&mut stage);
        stage.set_faults(UNIT, &[]);
        update_status(&mut stage);
        assert_all_active(&mut stage);
        let (started, planned) = stage.cloud.container(UNIT, |pebble| {
            pebble.container().started_and_planned("temporal")
        });
        assert_eq!(started, planned, "after {step} changes");
        let (config, _) = stage.file(UNIT, CONFIG).expect("a configuration");
        let config = String::from_utf8_lossy(&config).into_owned();
        assert!(config.contains(&format!("level: \"{level}\"")), "{config}");
        rests(&mut stage);
    }
}

#[test]
fn a_server_that_was_stopped_for_a_layer_that_is_refused_runs_again_at_once() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    stage.set_faults(UNIT, &[Fault::RefuseLayers]);
    stage
        .juju()
        .config(APP, &[("services", "frontend,history,matching")])
        .expect("an option");
    settle(&mut stage);
    let told = ["could not tell Pebble about the server", "not to my taste"];
    assert_status(&mut stage, UNIT, "blocked", &told);
    assert!(stage.runs(UNIT), "it stays down");
    stage.set_faults(UNIT, &[]);
    update_status(&mut stage);
    assert_all_active(&mut stage);
    rests(&mut stage);
}

#[test]
fn a_silent_pebble_is_given_up() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    stage.set_faults(UNIT, &[Fault::Silence("/v1/system-info")]);
    let runs = update_status(&mut stage);
    assert!(
        runs.iter()
            .all(|run| run.success() && run.duration < Duration::from_secs(15))
    );
    assert_status(
        &mut stage,
        UNIT,
        "waiting",
        &["container `temporal`", "did not reply"],
    );
    assert!(stage.runs(UNIT));
    stage.set_faults(UNIT, &[]);
    update_status(&mut stage);
    assert_all_active(&mut stage);
    rests(&mut stage);
}

#[test]
fn an_image_that_does_not_tell_its_version_is_blocked() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    for fault in [
        Fault::Exec(1, ""),
        Fault::Exec(0, "bonjour\n"),
        Fault::Exec(0, "temporal version x.y\n"),
    ] {
        stage.restart_container(UNIT);
        stage.set_faults(UNIT, &[fault]);
        settle(&mut stage);
        assert_status(
            &mut stage,
            UNIT,
            "blocked",
            &["server version", "`temporal-server-image`"],
        );
        assert!(!stage.runs(UNIT));
        stage.set_faults(UNIT, &[]);
        update_status(&mut stage);
        assert_all_active(&mut stage);
    }
    rests(&mut stage);
}

#[test]
fn a_server_that_exits_at_once_is_a_status_and_no_hook_error() {
    let mut stage = FastStage::new();
    deploy_counterparts(&mut stage, &[POSTGRESQL, crate::scenarios::stage::ADMIN]);
    deploy(&mut stage, 1, &[]);
    settle(&mut stage);
    stage.set_faults(
        UNIT,
        &[Fault::Crash(
            "panic: the end of a very long line is what counts",
        )],
    );
    for endpoint in ["db", "visibility", "admin"] {
        integrate(&mut stage, endpoint);
        for run in settle(&mut stage) {
            assert!(run.success(), "{run}: {}", run.stderr);
        }
    }
    let log = "the end of a very long line is what counts";
    assert_status(&mut stage, UNIT, "blocked", &[log]);
    stage.set_faults(UNIT, &[]);
    update_status(&mut stage);
    assert_all_active(&mut stage);
    rests(&mut stage);
}

#[test]
fn a_server_that_runs_and_does_not_serve_is_not_active_and_not_restarted() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    stage.set_server_mood(UNIT, Mood::NotServing);
    update_status(&mut stage);
    assert_status(&mut stage, UNIT, "waiting", &["frontend"]);
    assert_eq!(stage.starts(UNIT), 1);
    rests(&mut stage);
    let outcome = stage
        .juju()
        .run_action(UNIT, "restart", Map::new())
        .expect("declared");
    assert_eq!(outcome.status, ActionStatus::Failed);
    assert!(
        outcome.message.contains("does not serve"),
        "{}",
        outcome.message
    );
    assert_eq!(stage.starts(UNIT), 2);
    stage.set_server_mood(UNIT, Mood::Serving);
    update_status(&mut stage);
    assert_all_active(&mut stage);
    rests(&mut stage);
}

#[test]
fn leadership_that_is_lost_before_the_commit_writes_nothing() {
    let mut stage = FastStage::new();
    stage.juju().retries(5);
    deploy_counterparts(&mut stage, &[POSTGRESQL, crate::scenarios::stage::ADMIN]);
    deploy(&mut stage, 2, &[]);
    settle(&mut stage);
    let mut once = true;
    stage.juju().before_flush(move |unit, event, model| {
        let created = event.name().ends_with("-relation-created");
        if unit == UNIT && created && std::mem::take(&mut once) {
            let app = model.applications.get_mut(APP).expect("our application");
            app.leader = Some("temporal-k8s/1".to_owned());
        }
    });
    for endpoint in ["db", "visibility", "admin"] {
        integrate(&mut stage, endpoint);
    }
    settle(&mut stage);
    let lost = stage
        .juju()
        .log()
        .iter()
        .any(|run| run.flush_error.is_some());
    assert!(lost, "nothing was lost");
    assert_eq!(units(&mut stage).len(), 2);
    assert_all_active(&mut stage);
    assert!(stage.file(UNIT, CONFIG).is_some());
    rests(&mut stage);
}
