//! Law S6: units restart one after the other, and a change that is bad for one goes no further.

use super::deployment::deploy_beside;
use super::stage::{
    APP, CONFIG, Stage, assert_soon_active, assert_status, deploy_calmly, recover, rests, settle,
    status, units, update_status,
};

/// Those of an application's units whose server was configured anew.
fn changed(stage: &mut dyn Stage, app: &str) -> Vec<String> {
    let mut changed = units_of(stage, app);
    changed.retain(|unit| {
        let (config, _) = stage.file(unit, CONFIG).expect("a configuration");
        String::from_utf8_lossy(&config).contains("level: \"debug\"")
    });
    changed
}

fn units_of(stage: &mut dyn Stage, app: &str) -> Vec<String> {
    let mut all = units(stage);
    all.retain(|unit| unit.starts_with(&format!("{app}/")));
    all
}

/// The first unit that restarts does not come up again: the others keep what they have, and serve.
pub(crate) fn a_bad_change_rolls_into_one_unit_only(stage: &mut dyn Stage) {
    deploy_calmly(stage, 3, &[]);
    rolls_into_one_unit_only(stage, APP);
}

/// The same where nobody listens who would be asked as the other roles are.
pub(crate) fn a_bad_change_rolls_into_one_worker_only(stage: &mut dyn Stage) {
    split_off_workers(stage);
}

/// Before 1.31, workers tell nobody whether they serve.
pub(crate) fn a_bad_change_rolls_into_one_old_worker_only(stage: &mut dyn Stage) {
    stage.set_server_version("1.23.1");
    split_off_workers(stage);
}

fn split_off_workers(stage: &mut dyn Stage) {
    const WORKERS: &str = "temporal-worker";
    deploy_calmly(stage, 1, &[("services", "frontend,history,matching")]);
    let config = [("services", "worker"), ("database-prefix", APP)];
    deploy_beside(stage, WORKERS, 3, &config);
    rolls_into_one_unit_only(stage, WORKERS);
}

fn rolls_into_one_unit_only(stage: &mut dyn Stage, app: &str) {
    assert_soon_active(stage);
    let ours = units_of(stage, app);
    let starts: Vec<u32> = ours.iter().map(|unit| stage.starts(unit)).collect();
    stage.bar_newcomers(true);
    let config = [("log-level", "debug")];
    stage.juju().config(app, &config).expect("config");
    settle(stage);
    for _ in 0..2 {
        update_status(stage);
    }
    let broken = changed(stage, app);
    assert_eq!(broken.len(), 1, "{broken:?}");
    let names = format!("`{}` does not serve", broken[0]);
    for unit in units_of(stage, app) {
        if broken.contains(&unit) {
            assert_ne!(status(stage, &unit).0, "active");
        } else {
            assert_status(stage, &unit, "waiting", &["its turn to restart", &names]);
            assert!(stage.runs(&unit), "{unit} was stopped");
        }
    }
    // what was wrong is put right
    stage.bar_newcomers(false);
    let config = [("log-level", "info")];
    stage.juju().config(app, &config).expect("config");
    settle(stage);
    assert_soon_active(stage);
    for (unit, before) in ours.into_iter().zip(starts) {
        if !broken.contains(&unit) {
            assert_eq!(
                stage.starts(&unit),
                before,
                "{unit} had no reason to restart"
            );
        }
    }
    rests(stage);
    // and so is a change that is good
    let config = [("log-level", "debug")];
    stage.juju().config(app, &config).expect("config");
    settle(stage);
    recover(stage);
    assert_eq!(changed(stage, app).len(), 3);
    rests(stage);
}
