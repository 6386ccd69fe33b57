//! `temporal-host-info`: workers and consoles ask where the server is.

use std::collections::BTreeMap;
use std::error::Error;

use rehearsal::juju::event::Event;
use rehearsal::juju::{Charm, HookContext, Source};

use super::stage::{APP, Stage, deploy_calmly, rests, settle};

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
