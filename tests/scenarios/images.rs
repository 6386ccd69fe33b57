//! Images: what they bring besides the server, and how they are made.

use super::stage::{
    APP, Stage, UNIT, assert_soon_active, assert_status, deploy_calmly, recover, rests, settle,
};

/// As in Canonical's images, where services are enabled at the start of the container: one of our name, one that it
/// requires, one that requires it, and one of another server.
const SERVICES: &str = r"
services:
  temporal:
    override: replace
    command: /usr/bin/sleep 2000
    startup: enabled
    requires: [ui]
    on-failure: ignore
    environment: {TEMPORAL_ROOT: /nowhere}
  ui: {override: replace, command: /usr/bin/sleep 3000, startup: enabled}
  leech: {override: replace, command: /usr/bin/sleep 4000, startup: enabled, requires: [temporal]}
  temporal-server: {override: replace, command: temporal-server start, startup: enabled}
";
const MORE: &str = r"
services:
  temporal: {override: merge, environment: {TEMPORAL_CONFIG_DIR: nowhere}, before: [ui]}
";

/// Law S16.
pub(crate) fn nothing_that_an_image_brings_runs_beside_the_server(stage: &mut dyn Stage) {
    let files = [
        ("/var/lib/pebble/default/layers/001-temporal.yaml", SERVICES),
        ("/var/lib/pebble/default/layers/002-more.yaml", MORE),
    ];
    stage.set_image(&files, &[]);
    deploy_calmly(stage, 1, &[]);
    assert_soon_active(stage);
    assert_eq!(stage.running(UNIT), ["temporal"]);
    rests(stage);
    let config = [("log-level", "debug")];
    stage.juju().config(APP, &config).expect("config");
    settle(stage);
    assert_soon_active(stage);
    assert_eq!(stage.running(UNIT), ["temporal"]);
    assert_eq!(stage.starts(UNIT), 2);
    rests(stage);
}

/// A server from 1.30 on refuses any other way to name its configuration then, even if the variable is empty.
pub(crate) fn a_variable_that_names_the_configuration_file_is_heeded(stage: &mut dyn Stage) {
    stage.set_image(&[], &[("TEMPORAL_SERVER_CONFIG_FILE_PATH", "")]);
    deploy_calmly(stage, 1, &[]);
    assert_soon_active(stage);
    rests(stage);
}

/// Nothing helps but another image, and the status says so.
pub(crate) fn variables_that_contradict_each_other_are_named(stage: &mut dyn Stage) {
    let file = (
        "TEMPORAL_SERVER_CONFIG_FILE_PATH",
        "/etc/temporal/theirs.yaml",
    );
    let directory = ("TEMPORAL_ENVIRONMENT", "docker");
    stage.set_image(&[], &[file, directory]);
    deploy_calmly(stage, 1, &[]);
    let told = [file.0, directory.0, "temporal-server-image"];
    assert_status(stage, UNIT, "blocked", &told);
    assert!(!stage.runs(UNIT));
    rests(stage);
    stage.set_image(&[], &[directory]);
    stage.restart_container(UNIT);
    settle(stage);
    recover(stage);
    rests(stage);
}

/// A server that does not find out who it is cannot log in to a database.
pub(crate) fn nobody_in_the_image_and_no_home(stage: &mut dyn Stage) {
    let files = [("/etc/passwd", ""), ("/etc/group", "")];
    stage.set_image(&files, &[("HOME", "/nowhere")]);
    deploy_calmly(stage, 1, &[]);
    assert_soon_active(stage);
    rests(stage);
    stage.set_image(&files, &[("HOME", "")]);
    stage.restart_container(UNIT);
    settle(stage);
    assert_soon_active(stage);
    rests(stage);
}
