//! How a hook's cost grows with the model around it: remote units, units of our own, relations.

use std::collections::BTreeSet;
use std::path::Path;

use rehearsal::juju::Model;
use rehearsal::juju::event::{Event, RelationChange, RelationEvent};
use rehearsal::juju::metadata::Role;
use rehearsal::juju::model::{Bag, Relation, Side};

use crate::fakes;
use crate::figures::Sample;
use crate::scenarios::stage::{
    APP, POSTGRESQL, Stage as _, UNIT, assert_all_active, deploy_calmly,
};
use crate::support::stage::FastStage;

/// How many there are.
const SIZES: [u32; 4] = [1, 10, 100, 1000];
/// How often each hook runs.
const RUNS: usize = 20;
/// Numbers of relations that no command has made.
const MADE: u32 = 1000;

/// What a hook takes at each size.
#[derive(Debug)]
pub(crate) struct Curve {
    /// Of what there is more and more.
    pub what: &'static str,
    /// The hook.
    pub hook: String,
    /// Sizes and figures.
    pub points: Vec<(u32, Sample)>,
}

/// All curves.
#[derive(Debug)]
pub(crate) struct Growth(pub Vec<Curve>);

/// What grows.
struct Dimension {
    what: &'static str,
    /// The endpoint whose hook is measured, too, besides the timer's.
    endpoint: &'static str,
    remote: &'static str,
    grow: fn(&mut Model, u32),
}

const DIMENSIONS: [Dimension; 3] = [
    Dimension {
        what: "units of `postgresql-k8s`",
        endpoint: "db",
        remote: POSTGRESQL,
        grow: |model, size| {
            add_units(model, "db", POSTGRESQL, size);
            add_units(model, "visibility", POSTGRESQL, size);
        },
    },
    Dimension {
        what: "units of our own",
        endpoint: "peer",
        remote: APP,
        grow: |model, size| add_units(model, "peer", APP, size),
    },
    Dimension {
        what: "relations at `temporal-host-info`",
        endpoint: "temporal-host-info",
        remote: "worker-0",
        grow: add_relations,
    },
];

/// Puts units into our relation at an endpoint, like the first one there.
fn add_units(model: &mut Model, endpoint: &str, app: &str, size: u32) {
    let id = model.relations_of(APP).find_map(|relation| {
        let ours = relation.side(APP)?.endpoint == endpoint;
        ours.then_some(relation.id)
    });
    let relation = id.and_then(|id| model.relations.get_mut(&id));
    let relation = relation.expect("related");
    let like = relation.units.get(&format!("{app}/0")).cloned();
    for number in 1..=size {
        let unit = format!("{app}/{number}");
        relation.scope.insert(unit.clone());
        relation
            .units
            .insert(unit, like.clone().unwrap_or_default());
    }
}

/// Relates applications that ask where the frontend is.
fn add_relations(model: &mut Model, size: u32) {
    const ENDPOINT: &str = "temporal-host-info";
    for number in 0..size {
        let worker = format!("worker-{number}");
        let side = |app: &str, role| Side {
            app: app.to_owned(),
            endpoint: ENDPOINT.to_owned(),
            role,
        };
        let units = [UNIT.to_owned(), format!("{worker}/0")];
        let bags = |of: &[String]| of.iter().map(|it| (it.clone(), Bag::default())).collect();
        let relation = Relation {
            id: MADE + number,
            sides: vec![side(&worker, Role::Requirer), side(APP, Role::Provider)],
            interface: ENDPOINT.to_owned(),
            dying: false,
            gone: false,
            scope: units.iter().cloned().collect(),
            leaving: BTreeSet::new(),
            apps: bags(&[APP.to_owned(), worker]),
            units: bags(&units),
        };
        model.relations.entry(relation.id).or_insert(relation);
    }
}

/// Measures them.
pub(crate) fn play(program: &Path) -> Growth {
    Growth(
        DIMENSIONS
            .iter()
            .flat_map(|dimension| grow(program, dimension))
            .collect(),
    )
}

fn grow(program: &Path, dimension: &Dimension) -> Vec<Curve> {
    let mut stage = fakes::stage(program);
    deploy_calmly(&mut stage, 1, &[]);
    assert_all_active(&mut stage);
    let curve = |hook: String| Curve {
        what: dimension.what,
        hook,
        points: Vec::new(),
    };
    let mut first = curve("the first hook afterwards".to_owned());
    let mut timer = curve(Event::UpdateStatus.name());
    let mut changed = curve(String::new());
    for size in SIZES {
        (dimension.grow)(stage.juju().model_mut(), size);
        first
            .points
            .push((size, fakes::repeated(&mut stage, &Event::UpdateStatus, 1)));
        let settled = fakes::repeated(&mut stage, &Event::UpdateStatus, RUNS);
        timer.points.push((size, settled));
        let event = change(&mut stage, dimension);
        changed.hook = event.name();
        let settled = fakes::repeated(&mut stage, &event, RUNS);
        changed.points.push((size, settled));
    }
    vec![first, timer, changed]
}

/// The other side's unit has changed.
fn change(stage: &mut FastStage, dimension: &Dimension) -> Event {
    let model = stage.juju().model();
    let relation = model.relations_of(APP).find_map(|relation| {
        let ours = relation.side(APP)?.endpoint == dimension.endpoint;
        ours.then_some(relation.id)
    });
    let number = u32::from(dimension.remote == APP);
    Event::Relation(RelationEvent {
        change: RelationChange::Changed,
        endpoint: dimension.endpoint.to_owned(),
        id: relation.expect("related"),
        remote_app: dimension.remote.to_owned(),
        remote_unit: Some(format!("{}/{number}", dimension.remote)),
        departing: None,
    })
}

impl Growth {
    /// The table.
    pub(crate) fn print(&self) {
        println!(
            "\nHooks of one unit on the fakes while the model grows, asking directly; medians of {RUNS} runs:"
        );
        println!("\n| how many | of what | hook | calls | round trips | KiB | CPU ms | MiB |");
        println!("|--:|---|---|--:|--:|--:|--:|--:|");
        for curve in &self.0 {
            for (size, it) in &curve.points {
                println!(
                    "| {size} | {} | {} | {} | {} | {:.1} | {:.2} | {:.1} |",
                    curve.what,
                    curve.hook,
                    it.calls,
                    it.round_trips,
                    it.traffic,
                    it.processor,
                    it.memory
                );
            }
        }
    }
}
