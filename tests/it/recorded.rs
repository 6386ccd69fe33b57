//! The plans of a unit's whole life, as approved: what a change of the code does to them is read in a diff.

use std::fmt::Write as _;

use rehearsal::juju::record::HookRun;

use crate::scenarios::stage::{
    ADMIN, APP, INGRESS, POSTGRESQL, Stage, UNIT, deploy, deploy_counterparts, integrate, masked,
    separate, settle, update_status,
};
use crate::support::stage::FastStage;

/// The plans that a hook has printed.
fn plans(run: &HookRun) -> String {
    let lines = run.stdout.lines();
    let lines: Vec<&str> = lines.filter_map(|it| it.strip_prefix("plan: ")).collect();
    lines.join("\n")
}

#[test]
fn the_plans_of_a_whole_life_are_the_approved_ones() {
    let mut stage = FastStage::new();
    stage.juju().seed(0);
    let mut told = String::new();
    let mut tell = |title: &str, runs: &[HookRun]| {
        writeln!(told, "# {title}\n").unwrap();
        for run in runs.iter().filter(|run| run.unit.starts_with(APP)) {
            writeln!(told, "{} {}", run.unit, run.event).unwrap();
            for line in plans(run).lines() {
                writeln!(told, "  {line}").unwrap();
            }
        }
        told.push('\n');
    };
    deploy_counterparts(&mut stage, &[POSTGRESQL, ADMIN, INGRESS]);
    deploy(&mut stage, 1, &[]);
    tell("deploy", &settle(&mut stage));
    for endpoint in ["db", "visibility", "admin", "ingress"] {
        integrate(&mut stage, endpoint);
        tell(&format!("integrate {endpoint}"), &settle(&mut stage));
    }
    tell("update-status", &update_status(&mut stage));
    for change in [
        ("log-level", "loud"),
        ("log-level", "debug"),
        ("services", "history,matching,worker"),
        ("services", "frontend,history,matching,worker"),
        ("ingress-protocol", "nginx-2023"),
        ("external-hostname", "temporal.example.com"),
        ("num-history-shards", "8"),
        ("num-history-shards", "512"),
    ] {
        let set = stage.juju().config(APP, &[change]);
        set.expect("an option");
        tell(&format!("{}={}", change.0, change.1), &settle(&mut stage));
    }
    stage.juju().add_unit(APP).expect("a unit");
    tell("add-unit", &settle(&mut stage));
    stage.restart_container(UNIT);
    tell("the container is restarted", &settle(&mut stage));
    for endpoint in ["admin", "visibility", "ingress"] {
        separate(&mut stage, endpoint);
        tell(&format!("remove {endpoint}"), &settle(&mut stage));
    }
    let removed = stage.juju().remove_application(APP);
    removed.expect("remove-application");
    tell("remove-application", &settle(&mut stage));
    let told = masked(&told, &stage.passwords());
    insta::assert_snapshot!("whole_life", told);
}
