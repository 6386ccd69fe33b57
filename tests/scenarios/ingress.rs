//! The `ingress` endpoint in both of its protocols.

use rehearsal::juju::Settings;

use super::stage::{
    APP, INGRESS, Stage, UNIT, assert_all_active, assert_status, deploy_calmly,
    deploy_counterparts, integrate, rests, separate, settle,
};

fn deploy_with_ingress(stage: &mut dyn Stage, config: &[(&str, &str)]) {
    deploy_calmly(stage, 1, config);
    deploy_counterparts(stage, &[INGRESS]);
    integrate(stage, "ingress");
    settle(stage);
}

fn said(stage: &mut dyn Stage, who: &str) -> Settings {
    let relation = stage
        .juju()
        .relation("temporal-k8s:ingress")
        .expect("related");
    stage.juju().databag(relation, who)
}

/// JSON values, with host and address of each unit.
pub(crate) fn the_v2_protocol_is_spoken_by_default(stage: &mut dyn Stage) {
    deploy_with_ingress(stage, &[]);
    assert_all_active(stage);
    let app = said(stage, APP);
    assert_eq!(app["name"], "\"temporal-k8s\"");
    assert_eq!(app["model"], format!("\"{}\"", stage.juju().model().name));
    assert_eq!(app["port"], "7233");
    assert_eq!(app["scheme"], "\"h2c\"");
    let unit = said(stage, UNIT);
    assert!(
        unit["host"].starts_with("\"temporal-k8s-0.temporal-k8s-endpoints."),
        "{unit:?}"
    );
    assert!(unit.contains_key("ip"), "{unit:?}");
    assert_eq!(stage.starts(UNIT), 1, "an ingress is no reason to restart");
    rests(stage);
    separate(stage, "ingress");
    settle(stage);
    assert_all_active(stage);
    rests(stage);
}

/// Flat keys; the host name is ours to choose.
pub(crate) fn the_protocol_of_early_2023_is_spoken_when_asked_for(stage: &mut dyn Stage) {
    let config = [
        ("ingress-protocol", "nginx-2023"),
        ("external-hostname", "temporal.example.com"),
    ];
    deploy_with_ingress(stage, &config);
    assert_all_active(stage);
    let app = said(stage, APP);
    assert_eq!(app["service-hostname"], "temporal.example.com");
    assert_eq!(app["service-name"], "temporal-k8s");
    assert_eq!(app["service-port"], "7233");
    rests(stage);
    stage
        .juju()
        .config(APP, &[("external-hostname", "")])
        .expect("config");
    settle(stage);
    assert_eq!(
        said(stage, APP)["service-hostname"],
        "temporal-k8s",
        "the default is our name"
    );
    rests(stage);
}

/// Forth and back.
pub(crate) fn switching_protocols_leaves_no_stale_key(stage: &mut dyn Stage) {
    deploy_with_ingress(stage, &[]);
    let (v2, v2_unit) = (said(stage, APP), said(stage, UNIT));
    stage
        .juju()
        .config(APP, &[("ingress-protocol", "nginx-2023")])
        .expect("config");
    settle(stage);
    let flat = said(stage, APP);
    assert!(flat.contains_key("service-hostname"), "{flat:?}");
    // some names are the same in both: a relation that never knew the other protocol tells which
    separate(stage, "ingress");
    settle(stage);
    integrate(stage, "ingress");
    settle(stage);
    assert_eq!(
        said(stage, APP),
        flat,
        "something of the other protocol was left over"
    );
    stage
        .juju()
        .config(APP, &[("ingress-protocol", "v2")])
        .expect("config");
    settle(stage);
    stage
        .juju()
        .config(APP, &[("ingress-protocol", "nginx-2023")])
        .expect("config");
    settle(stage);
    assert_eq!(said(stage, APP), flat);
    let unit = said(stage, UNIT);
    assert!(
        !unit.contains_key("host") && !unit.contains_key("ip"),
        "{unit:?}"
    );
    assert!(
        unit.contains_key("egress-subnets"),
        "Juju's own keys were cleared: {unit:?}"
    );
    rests(stage);
    stage
        .juju()
        .config(APP, &[("ingress-protocol", "v2")])
        .expect("config");
    settle(stage);
    assert_eq!((said(stage, APP), said(stage, UNIT)), (v2, v2_unit));
    assert_all_active(stage);
    rests(stage);
}

/// There is nothing behind it.
pub(crate) fn an_ingress_on_an_application_without_a_frontend_is_blocked(stage: &mut dyn Stage) {
    deploy_with_ingress(stage, &[("services", "history,matching")]);
    assert_status(
        stage,
        UNIT,
        "blocked",
        &["`ingress`", "`frontend`", "juju remove-relation"],
    );
    assert!(stage.runs(UNIT), "the server was stopped");
    let app = said(stage, APP);
    assert!(app.is_empty(), "{app:?}");
    rests(stage);
    separate(stage, "ingress");
    settle(stage);
    assert_all_active(stage);
    rests(stage);
}
