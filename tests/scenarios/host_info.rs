//! `temporal-host-info`: workers and consoles ask where the server is.

use std::collections::BTreeMap;
use std::error::Error;

use rehearsal::juju::event::Event;
use rehearsal::juju::{Charm, HookContext, Source};

use super::stage::{
    APP, INGRESS, Stage, UNIT, assert_all_active, deploy_calmly, deploy_counterparts, integrate,
    rests, settle,
};

/// Anybody who wants to know.
struct Asks;

impl Charm for Asks {
    fn metadata(&self) -> &'static str {
        "name: asks\nsummary: asks\ndescription: asks\n\
         requires: {temporal-host-info: {interface: temporal-host-info, limit: 1}}\n"
    }

    fn dispatch(&mut self, _: &Event, _: &mut HookContext) -> Result<(), Box<dyn Error>> {
        Ok(())
    }
}

/// A cluster has the domain that its pods are told, and that is where its names are found.
pub(crate) fn the_clusters_domain_is_that_of_the_pods(stage: &mut dyn Stage) {
    stage.set_cluster_domain("k8s.example");
    deploy_calmly(stage, 1, &[]);
    assert_all_active(stage);
    let asks = Source::Counterpart(Box::new(|_| Box::new(Asks)));
    stage.juju().deploy("worker", asks, 1, &[]).expect("deploy");
    let ours = format!("{APP}:temporal-host-info");
    let related = stage.juju().integrate(&ours, "worker:temporal-host-info");
    let relation = related.expect("integrate");
    deploy_counterparts(stage, &[INGRESS]);
    integrate(stage, "ingress");
    settle(stage);
    let model = stage.juju().model().name.clone();
    assert_eq!(
        stage.juju().databag(relation, APP)["host"],
        format!("{APP}.{model}.svc.k8s.example")
    );
    let ingress = stage.juju().relation("temporal-k8s:ingress");
    assert_eq!(
        stage.juju().databag(ingress.expect("related"), UNIT)["host"],
        format!("\"temporal-k8s-0.{APP}-endpoints.{model}.svc.k8s.example\"")
    );
    rests(stage);
}

/// Each of them is told the same; without a frontend nobody is told anything.
pub(crate) fn everybody_who_asks_is_told_where_the_frontend_is(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    let mut relations = Vec::new();
    for name in ["worker", "console"] {
        let asks = Source::Counterpart(Box::new(|_| Box::new(Asks)));
        stage.juju().deploy(name, asks, 1, &[]).expect("deploy");
        let relation = stage.juju().integrate(
            &format!("{APP}:temporal-host-info"),
            &format!("{name}:temporal-host-info"),
        );
        relations.push(relation.expect("integrate"));
    }
    settle(stage);
    let model = stage.juju().model().name.clone();
    let told = BTreeMap::from([
        (
            "host".to_owned(),
            format!("{APP}.{model}.svc.cluster.local"),
        ),
        ("port".to_owned(), "7233".to_owned()),
    ]);
    for relation in &relations {
        assert_eq!(stage.juju().databag(*relation, APP), told);
    }
    rests(stage);
    let services = ("services", "history,matching,worker");
    let set = stage.juju().config(APP, &[services]);
    set.expect("an option");
    settle(stage);
    for relation in &relations {
        assert_eq!(stage.juju().databag(*relation, APP), BTreeMap::new());
    }
}
