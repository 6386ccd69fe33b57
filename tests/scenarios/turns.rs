//! Law S6: units restart one after the other, and a change that is bad for one goes no further.

use super::stage::{
    APP, CONFIG, Stage, assert_soon_active, assert_status, deploy_calmly, recover, rests, settle,
    status, units, update_status,
};

/// Those of our units whose server was configured anew.
fn changed(stage: &mut dyn Stage) -> Vec<String> {
    let mut changed = units(stage);
    changed.retain(|unit| {
        let (config, _) = stage.file(unit, CONFIG).expect("a configuration");
        String::from_utf8_lossy(&config).contains("level: \"debug\"")
    });
    changed
}

/// The first unit that restarts does not come up again: the others keep what they have, and serve.
pub(crate) fn a_bad_change_rolls_into_one_unit_only(stage: &mut dyn Stage) {
    deploy_calmly(stage, 3, &[]);
    assert_soon_active(stage);
    let starts: Vec<u32> = units(stage).iter().map(|unit| stage.starts(unit)).collect();
    stage.bar_newcomers(true);
    let config = [("log-level", "debug")];
    stage.juju().config(APP, &config).expect("config");
    settle(stage);
    for _ in 0..2 {
        update_status(stage);
    }
    let broken = changed(stage);
    assert_eq!(broken.len(), 1, "{broken:?}");
    let names = format!("`{}` does not serve", broken[0]);
    for unit in units(stage) {
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
    stage.juju().config(APP, &config).expect("config");
    settle(stage);
    assert_soon_active(stage);
    for (unit, before) in units(stage).into_iter().zip(starts) {
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
    stage.juju().config(APP, &config).expect("config");
    settle(stage);
    recover(stage);
    assert_eq!(changed(stage).len(), 3);
    rests(stage);
}
