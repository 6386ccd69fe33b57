//! The whole deployment of applications of different sizes: what it costs each of the units.

use std::path::Path;

use rehearsal::counterparts::postgresql::client::Track;
use rehearsal::juju::HookRun;
use rehearsal::stage::Interface;

use temporal_k8s::temporal::Store;

use crate::fakes;
use crate::figures::Sample;
use crate::scenarios::stage::{
    ADMIN, APP, POSTGRESQL, Stage as _, assert_all_active, deploy, deploy_counterparts, integrate,
};

/// How many units the applications have where nothing else is asked for.
pub(crate) const SIZES: [u32; 3] = [1, 10, 30];

/// Hooks of one kind in a deployment, a unit's share of them.
#[derive(Debug)]
pub(crate) struct Share {
    /// How many.
    hooks: f64,
    /// What they took.
    pub sum: Sample,
}

/// One deployment.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// The interface of the databases.
    pub interface: Interface,
    /// The number of units.
    pub units: u32,
    /// Hooks about the unit itself and its relations.
    pub own: Share,
    /// Hooks about something that the databases' provider said. Over the legacy interface it says the units anew for each
    /// that joins.
    pub told: Share,
    /// Hooks that ask nothing: units that come and change at an endpoint of which nothing is read.
    pub idle: Share,
}

/// Deploys them.
pub(crate) fn play(program: &Path, interface: Interface, sizes: &[u32]) -> Vec<Deployment> {
    let each = sizes.iter();
    each.map(|size| play_one(program, interface, *size))
        .collect()
}

fn play_one(program: &Path, interface: Interface, units: u32) -> Deployment {
    let mut stage = fakes::stage(program);
    stage.terms().track(match interface {
        Interface::Legacy => Track::Fourteen,
        Interface::Modern => Track::Sixteen,
    });
    let stores = match interface {
        Interface::Legacy => Store::ALL.map(Store::pgsql),
        Interface::Modern => Store::ALL.map(Store::client),
    };
    deploy_counterparts(&mut stage, &[POSTGRESQL, ADMIN]);
    deploy(&mut stage, units, &[]);
    fakes::settle(&mut stage);
    for endpoint in stores.into_iter().chain(["admin"]) {
        integrate(&mut stage, endpoint);
        fakes::settle(&mut stage);
    }
    stage.juju().update_status(APP).expect("our application");
    fakes::settle(&mut stage);
    assert_all_active(&mut stage);
    let all = stage.juju().log().iter();
    let ours = all.filter(|run| run.unit.starts_with(APP));
    let (idle, asking): (Vec<&HookRun>, Vec<_>) = ours.partition(|run| run.calls.is_empty());
    let (told, own) = asking.into_iter().partition(|run| {
        let endpoint = run.hook.strip_suffix("-relation-changed");
        endpoint.is_some_and(|endpoint| stores.contains(&endpoint))
    });
    let share = |runs: Vec<&HookRun>| Share {
        hooks: f64::from(u32::try_from(runs.len()).unwrap_or(u32::MAX)) / f64::from(units),
        sum: Sample::sum(runs.into_iter().map(Sample::of)).of_each(units),
    };
    Deployment {
        interface,
        units,
        own: share(own),
        told: share(told),
        idle: share(idle),
    }
}

/// The table.
pub(crate) fn print(deployments: &[Deployment]) {
    println!(
        "\nWhole deployments on the fakes, asking directly; one each, all figures are for one unit:"
    );
    println!(
        "\n| databases over | units | hooks | how many | calls | round trips | KiB | CPU ms | CPU ms each |"
    );
    println!("|---|--:|---|--:|--:|--:|--:|--:|--:|");
    for it in deployments {
        let interface = match it.interface {
            Interface::Legacy => "pgsql",
            Interface::Modern => "postgresql_client",
        };
        for (kind, share) in [
            ("about itself", &it.own),
            ("about the databases", &it.told),
            ("that ask nothing", &it.idle),
        ] {
            let Share { hooks, sum } = share;
            println!(
                "| {interface} | {} | {kind} | {hooks:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} |",
                it.units,
                sum.calls,
                sum.round_trips,
                sum.traffic,
                sum.processor,
                sum.processor / hooks.max(1.0),
            );
        }
    }
}
