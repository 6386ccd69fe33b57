//! `PostgreSQL` with as many connections as it has by default, and fewer: only the real one counts them.

use super::stage::RealStage;
use crate::scenarios::stage::{
    APP, Stage as _, UNIT, assert_soon_active, assert_status, deploy, deploy_calmly,
    deploy_counterparts, integrate, recover, rests, settle, units, update_status,
};

/// The unit that would be too many is told so before it starts, and those that run go on.
pub(crate) fn units_that_may_want_too_many_connections_are_told_before_they_start(
    stage: &mut RealStage,
) {
    const TOO_MANY: &str = "36";
    deploy_counterparts(stage, &["postgresql-k8s", "temporal-admin-k8s"]);
    deploy(stage, 3, &[("database-connections", TOO_MANY)]);
    for endpoint in ["db", "visibility", "admin"] {
        integrate(stage, endpoint);
    }
    settle(stage);
    for _ in 0..4 {
        update_status(stage);
    }
    let all = units(stage);
    let running: Vec<&String> = all.iter().filter(|unit| stage.runs(unit)).collect();
    assert_eq!(running.len(), 2, "{running:?}");
    for unit in all.iter().filter(|unit| !running.contains(unit)) {
        assert_eq!(stage.starts(unit), 0, "{unit}");
        let parts = [
            "takes 97 connections",
            "3 units may want 35 each: raise its `max_connections` by ",
            "or `juju config temporal-k8s database-connections=3",
        ];
        assert_status(stage, unit, "blocked", &parts);
    }
    rests(stage);
    let fewer = [("database-connections", "25")];
    stage.juju().config(APP, &fewer).expect("config");
    settle(stage);
    recover(stage);
    for unit in &all {
        let (config, _) = stage
            .file(unit, crate::scenarios::stage::CONFIG)
            .expect("a file");
        assert!(
            String::from_utf8_lossy(&config).contains("maxConns: 3"),
            "{unit}"
        );
    }
    rests(stage);
}

/// A server that runs is told of, and goes on.
pub(crate) fn a_limit_that_falls_below_what_a_server_may_want_is_told(stage: &mut RealStage) {
    deploy_calmly(stage, 1, &[]);
    assert_soon_active(stage);
    let relation = stage.juju().relation("temporal-k8s:db").expect("related");
    let limit = format!("ALTER ROLE relation_id_{relation} CONNECTION LIMIT 14");
    stage.type_sql("postgres", &limit);
    update_status(stage);
    let remedy = format!("`ALTER ROLE \"relation_id_{relation}\" CONNECTION LIMIT 15`");
    let parts = ["may have 14 connections", "this unit may want 15", &remedy];
    assert_status(stage, UNIT, "blocked", &parts);
    assert!(stage.runs(UNIT), "the server was stopped");
    rests(stage);
    let (_, message) = crate::scenarios::stage::status(stage, UNIT);
    let statement = message.split('`').nth(1).expect("a statement");
    stage.type_sql("postgres", statement);
    recover(stage);
    assert_eq!(stage.starts(UNIT), 1);
    rests(stage);
}
