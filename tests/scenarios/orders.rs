//! Laws L2 and L3: no order of events and no loss of events changes where a deployment ends.

use rehearsal::juju::OrderOfEvents;
use rehearsal::juju::event::Event;

use super::stage::{
    ADMIN, APP, POSTGRESQL, Stage, UNIT, assert_all_active, assert_soon_active, assert_status,
    deploy, deploy_calmly, deploy_counterparts, integrate, rests, settle, state, update_status,
};

/// What an operator does, in some order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Deploy,
    Integrate(&'static str),
}

/// Integrating needs both applications; everything else is free.
pub(crate) fn every_order_of_integrating_ends_in_the_same_state(stage: &mut dyn Stage) {
    use Step::{Deploy, Integrate};
    deploy_counterparts(stage, &[POSTGRESQL, ADMIN]);
    let (db, visibility, admin) = (Integrate("db"), Integrate("visibility"), Integrate("admin"));
    let orders = [
        [Deploy, db, visibility, admin],
        [Deploy, visibility, db, admin],
        [Deploy, admin, db, visibility],
        [Deploy, admin, visibility, db],
        [Deploy, db, admin, visibility],
        [Deploy, visibility, admin, db],
    ];
    let mut calm = None;
    for (number, order) in orders.iter().enumerate() {
        // settled after each step, or all at once
        let settled = number != 5;
        for step in order {
            match step {
                Deploy => deploy(stage, 1, &[]),
                Integrate(endpoint) => integrate(stage, endpoint),
            }
            if settled {
                settle(stage);
            }
        }
        settle(stage);
        assert_all_active(stage);
        let end = state(stage);
        assert_eq!(*calm.get_or_insert_with(|| end.clone()), end, "{order:?}");
        rests(stage);
        let removed = stage.juju().remove_application(APP);
        removed.expect("remove-application");
        settle(stage);
        empty_databases(stage);
    }
}

/// Nothing of an earlier deployment is left.
fn empty_databases(stage: &mut dyn Stage) {
    for database in ["temporal-k8s_db", "temporal-k8s_visibility"] {
        stage.recreate_database(database);
    }
}

/// Whatever Juju may do next, it does, several times over.
pub(crate) fn every_legal_order_of_events_ends_in_the_same_state(stage: &mut dyn Stage) {
    deploy_calmly(stage, 2, &[]);
    assert_soon_active(stage);
    let calm = state(stage);
    for seed in stage.seeds() {
        for app in [APP, ADMIN] {
            let removed = stage.juju().remove_application(app);
            removed.expect("remove-application");
        }
        settle(stage);
        empty_databases(stage);
        stage.juju().order(OrderOfEvents::shuffled(seed));
        deploy_counterparts(stage, &[ADMIN]);
        deploy(stage, 2, &[]);
        for endpoint in ["db", "visibility", "admin"] {
            integrate(stage, endpoint);
        }
        settle(stage);
        stage.juju().order(OrderOfEvents::Calm);
        assert_soon_active(stage);
        assert_eq!(state(stage), calm, "seed {seed}");
        rests(stage);
    }
}

/// Law L2: our charm hears of nothing but `install` and the timer.
pub(crate) fn update_status_alone_is_enough(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[]);
    let calm = state(stage);
    stage
        .juju()
        .remove_application(APP)
        .expect("remove-application");
    settle(stage);
    stage.juju().drop_events(|unit, event| {
        unit.starts_with(APP) && !matches!(event, Event::UpdateStatus | Event::Install)
    });
    deploy(stage, 1, &[]);
    for endpoint in ["db", "visibility", "admin"] {
        integrate(stage, endpoint);
    }
    settle(stage);
    // ask for databases; tell them to admin; start
    for _ in 0..3 {
        update_status(stage);
    }
    assert_soon_active(stage);
    assert_eq!(state(stage), calm);
    rests(stage);
}

/// The container is slower than everything else.
pub(crate) fn pebble_may_come_up_late(stage: &mut dyn Stage) {
    deploy_counterparts(stage, &[POSTGRESQL, ADMIN]);
    deploy(stage, 1, &[]);
    stage.juju().boot_grace(std::time::Duration::ZERO);
    stage.set_container(UNIT, false);
    for endpoint in ["db", "visibility", "admin"] {
        integrate(stage, endpoint);
    }
    settle(stage);
    assert_status(stage, UNIT, "waiting", &["container `temporal`"]);
    stage.set_container(UNIT, true);
    settle(stage);
    assert_all_active(stage);
    assert_eq!(
        stage.juju().hooks_of(UNIT).last(),
        Some(&"temporal-pebble-ready")
    );
    rests(stage);
}

/// Juju tells the units' subnets when the Service has got its address, and the provider answers later.
pub(crate) fn the_address_of_the_service_may_come_late(stage: &mut dyn Stage) {
    stage.juju().hide_service_address(APP, true);
    deploy_calmly(stage, 1, &[]);
    assert_all_active(stage);
    stage.juju().hide_service_address(APP, false);
    settle(stage);
    assert_all_active(stage);
    assert_eq!(stage.starts(UNIT), 1);
    rests(stage);
}
