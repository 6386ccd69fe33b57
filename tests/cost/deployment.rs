//! The whole deployment of applications of different sizes: what it costs each of the units.

use std::path::Path;

use rehearsal::juju::HookRun;

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
    /// The number of units.
    pub units: u32,
    /// Hooks about the unit itself and its relations.
    pub own: Share,
    /// Hooks about something that the databases' provider said: it says the units anew for each that joins.
    pub told: Share,
    /// Hooks that ask nothing: units that come and change at an endpoint of which nothing is read.
    pub idle: Share,
}

/// Deploys them.
pub(crate) fn play(program: &Path, sizes: &[u32]) -> Vec<Deployment> {
    sizes.iter().map(|size| play_one(program, *size)).collect()
}

fn play_one(program: &Path, units: u32) -> Deployment {
    let mut stage = fakes::stage(program);
    deploy_counterparts(&mut stage, &[POSTGRESQL, ADMIN]);
    deploy(&mut stage, units, &[]);
    fakes::settle(&mut stage);
    for endpoint in ["db", "visibility", "admin"] {
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
        ["db-relation-changed", "visibility-relation-changed"].contains(&run.hook.as_str())
    });
    let share = |runs: Vec<&HookRun>| Share {
        hooks: f64::from(u32::try_from(runs.len()).unwrap_or(u32::MAX)) / f64::from(units),
        sum: Sample::sum(runs.into_iter().map(Sample::of)).of_each(units),
    };
    Deployment {
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
    println!("\n| units | hooks | how many | calls | round trips | KiB | CPU ms | CPU ms each |");
    println!("|--:|---|--:|--:|--:|--:|--:|--:|");
    for it in deployments {
        for (kind, share) in [
            ("about itself", &it.own),
            ("about the databases", &it.told),
            ("that ask nothing", &it.idle),
        ] {
            let Share { hooks, sum } = share;
            println!(
                "| {} | {kind} | {hooks:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} |",
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
