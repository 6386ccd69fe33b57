//! Options: good, bad, changed.

use super::stage::{
    APP, CONFIG, Stage, UNIT, assert_all_active, assert_soon_active, assert_status, deploy_calmly,
    rests, settle,
};

fn set(stage: &mut dyn Stage, option: &str, value: &str) {
    stage
        .juju()
        .config(APP, &[(option, value)])
        .expect("config");
    settle(stage);
}

/// Law S3. The database's value wins, and the operator reads both.
pub(crate) fn another_number_of_shards_is_blocked_and_the_server_keeps_running(
    stage: &mut dyn Stage,
) {
    deploy_calmly(stage, 1, &[("num-history-shards", "8")]);
    assert_all_active(stage);
    let before = stage.file(UNIT, CONFIG).expect("a configuration");
    set(stage, "num-history-shards", "16");
    assert_status(
        stage,
        UNIT,
        "blocked",
        &["16", "8", "juju config temporal-k8s num-history-shards=8"],
    );
    assert!(stage.runs(UNIT), "the server was stopped");
    assert_eq!(stage.starts(UNIT), 1);
    assert_eq!(
        stage.file(UNIT, CONFIG),
        Some(before),
        "the running server's file was touched"
    );
    rests(stage);
    set(stage, "num-history-shards", "8");
    assert_all_active(stage);
    assert_eq!(stage.starts(UNIT), 1, "the way back needs no restart");
    rests(stage);
}

/// The status shows the first and how many there are; the log has them all.
pub(crate) fn every_bad_option_is_reported_at_once(stage: &mut dyn Stage) {
    let bad = [
        ("services", "frontend,,histroy"),
        ("log-level", "loud"),
        ("num-history-shards", "6"),
        ("ingress-protocol", "v9"),
        ("external-hostname", "not a name"),
        ("database-prefix", "white space"),
    ];
    deploy_calmly(stage, 1, &bad);
    assert_status(stage, UNIT, "blocked", &["more)"]);
    assert!(!stage.runs(UNIT));
    let said: Vec<String> = stage
        .juju()
        .log()
        .iter()
        .filter(|run| run.unit == UNIT)
        .flat_map(|run| run.juju_log.iter().map(|line| line.text.clone()))
        .collect();
    for (option, _) in bad {
        assert!(
            said.iter().any(|text| text.contains(option)),
            "`{option}` is not in {said:?}"
        );
    }
    rests(stage);
    let good = [
        ("services", "frontend,history,matching,worker"),
        ("log-level", "info"),
        ("num-history-shards", "4"),
        ("ingress-protocol", "v2"),
        ("external-hostname", ""),
        ("database-prefix", ""),
    ];
    stage.juju().config(APP, &good).expect("config");
    settle(stage);
    assert_all_active(stage);
    rests(stage);
    // a running server survives the operator's slip
    set(stage, "log-level", "loud");
    assert_status(stage, UNIT, "blocked", &["`log-level`", "loud"]);
    assert!(stage.runs(UNIT), "the server was stopped");
    assert_eq!(stage.starts(UNIT), 1);
    rests(stage);
}

/// The file has changed, so the server restarts: once, in that hook.
pub(crate) fn a_changed_log_level_restarts_once(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    assert_eq!(stage.starts(UNIT), 1);
    for (name, level, starts) in [
        ("debug", "debug", 2),
        ("warning", "warn", 3),
        ("warn", "warn", 3),
        ("critical", "fatal", 4),
    ] {
        set(stage, "log-level", name);
        assert_soon_active(stage);
        assert_eq!(stage.starts(UNIT), starts, "after {name}");
        let (config, _) = stage.file(UNIT, CONFIG).expect("a configuration");
        let config = String::from_utf8_lossy(&config).into_owned();
        assert!(config.contains(&format!("level: \"{level}\"")), "{config}");
        rests(stage);
    }
}

/// Blanks mean nothing, doubles and blanks alone are refused.
pub(crate) fn services_are_trimmed_and_split(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[("services", " history ,  matching")]);
    assert_all_active(stage);
    let mut ports = stage.juju().opened_ports(UNIT);
    ports.sort();
    assert_eq!(ports, ["6934/tcp", "6935/tcp", "7234/tcp", "7235/tcp"]);
    rests(stage);
    for (value, said) in [
        ("history,history", "history"),
        (" , ", "services"),
        ("", "services"),
    ] {
        set(stage, "services", value);
        assert_status(stage, UNIT, "blocked", &["`services`", said]);
        assert!(stage.runs(UNIT), "the server was stopped");
        rests(stage);
    }
    set(stage, "services", "matching, history");
    assert_all_active(stage);
    assert_eq!(stage.starts(UNIT), 1, "the order of services means nothing");
    rests(stage);
}
