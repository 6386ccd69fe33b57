//! One test for each defect of the Python charm that lay in what a whole hook does; those of options,
//! databags and single values are in `regressions_relations`.

use rehearsal::juju::record::HookRun;

use crate::scenarios::stage::{
    APP, CONFIG, Condition, PASS_FILE, Stage, UNIT, assert_all_active, assert_status, deploy,
    deploy_calmly, integrate, rests, separate, settle, units, update_status,
};
use crate::scenarios::{databases, deployment, operation};
use crate::support::stage::FastStage;

fn no_hook_failed(runs: &[HookRun]) {
    for run in runs {
        assert!(run.success(), "{run}: {}", run.stderr);
    }
}

#[test]
fn issue_133_a_replan_before_the_schema_exists_is_no_hook_error() {
    let mut stage = FastStage::new();
    stage.make_old_schema(true);
    deploy_calmly(&mut stage, 1, &[]);
    no_hook_failed(stage.juju().log());
    assert_eq!(stage.starts(UNIT), 0);
    rests(&mut stage);
}

#[test]
fn issue_133_a_signal_from_an_earlier_life_starts_nothing() {
    databases::a_database_made_anew_is_not_trusted_to_the_stale_signal(&mut FastStage::new());
}

#[test]
fn issue_133_applications_without_a_frontend_wait_for_the_schema_too() {
    let mut stage = FastStage::new();
    stage.make_old_schema(true);
    deploy_calmly(&mut stage, 1, &[("services", "history,matching,worker")]);
    assert_status(&mut stage, UNIT, "waiting", &["schema"]);
    assert_eq!(stage.starts(UNIT), 0);
    rests(&mut stage);
}

#[test]
fn issue_134_update_status_asks_the_server_and_its_database() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    stage.set_database(Condition::Down);
    no_hook_failed(&update_status(&mut stage));
    assert_status(&mut stage, UNIT, "waiting", &["database"]);
    stage.set_database(Condition::Up);
    update_status(&mut stage);
    assert_all_active(&mut stage);
}

#[test]
fn issue_46_another_endpoint_of_the_database_reaches_every_unit() {
    let mut stage = FastStage::new();
    stage.juju().retries(5);
    deploy_calmly(&mut stage, 2, &[]);
    let old = stage.postgres.address().ip().to_string();
    stage.postgres.relocate();
    let new = stage.postgres.address().ip().to_string();
    // the provider says so with the next change that it hears of
    for hidden in [true, false] {
        stage.juju().hide_service_address(APP, hidden);
        settle(&mut stage);
    }
    update_status(&mut stage);
    for unit in units(&mut stage) {
        for path in [CONFIG, PASS_FILE] {
            let (content, _) = stage.file(&unit, path).expect("a file");
            let content = String::from_utf8_lossy(&content).into_owned();
            assert!(
                content.contains(&new) && !content.contains(&old),
                "{unit} {path}"
            );
        }
    }
    assert_all_active(&mut stage);
    rests(&mut stage);
}

#[test]
fn issue_61_relating_the_databases_again_needs_no_new_word_from_admin() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    for endpoint in ["db", "visibility"] {
        separate(&mut stage, endpoint);
        settle(&mut stage);
        integrate(&mut stage, endpoint);
        settle(&mut stage);
    }
    assert_all_active(&mut stage);
    rests(&mut stage);
}

#[test]
fn passwords_are_not_escaped_for_html() {
    let mut stage = FastStage::new();
    for password in ["a<b>&'c\"d", "&amp;<>"] {
        stage.choose_password(password);
    }
    deploy_calmly(&mut stage, 1, &[]);
    assert_all_active(&mut stage);
    let (file, _) = stage.file(UNIT, PASS_FILE).expect("a pass file");
    let file = String::from_utf8_lossy(&file).into_owned();
    assert!(
        file.contains("a<b>&'c\"d") && file.contains("&amp;<>"),
        "it is escaped"
    );
}

#[test]
fn active_comes_in_the_hook_that_makes_it_true_and_not_with_the_next_update_status() {
    deployment::a_fresh_deployment_in_the_calm_order_becomes_active(&mut FastStage::new());
}

#[test]
fn non_leaders_become_active_and_a_new_leader_knows_all_it_needs() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 2, &[]);
    assert_all_active(&mut stage);
    stage
        .juju()
        .set_leader(APP, "temporal-k8s/1")
        .expect("a unit");
    settle(&mut stage);
    assert_all_active(&mut stage);
    stage.restart_container("temporal-k8s/1");
    settle(&mut stage);
    assert_all_active(&mut stage);
    // the unit that led forgets what it told for the application
    update_status(&mut stage);
    rests(&mut stage);
}

#[test]
fn every_unit_tells_the_others_its_own_address() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 2, &[]);
    let mut told = std::collections::BTreeSet::new();
    for unit in units(&mut stage) {
        let (config, _) = stage.file(&unit, CONFIG).expect("a configuration");
        let config = String::from_utf8_lossy(&config).into_owned();
        let line = config
            .lines()
            .find(|line| line.contains("broadcastAddress"))
            .expect("an address");
        assert!(!line.contains("0.0.0.0"), "{line}");
        told.insert(line.to_owned());
    }
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn nothing_is_readable_by_everybody_and_the_plan_holds_no_secret() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    assert!(stage.files(UNIT).values().all(|(_, mode)| mode == "600"));
    let passwords = stage.passwords();
    let public = stage.public_texts(UNIT);
    assert!(!passwords.is_empty() && !public.is_empty());
    for text in public {
        assert!(
            passwords.iter().all(|password| !text.contains(password)),
            "{text}"
        );
    }
}

#[test]
fn no_check_of_ours_makes_kubernetes_restart_the_container() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    let public = stage.public_texts(UNIT);
    assert!(
        public.iter().all(|text| !text.contains("alive")),
        "{public:?}"
    );
}

#[test]
fn the_restart_action_does_not_crash_without_a_container() {
    operation::the_restart_action_fails_honestly_without_a_container(&mut FastStage::new());
}

#[test]
fn the_server_does_not_depend_on_the_working_directory_of_the_image() {
    let mut stage = FastStage::new();
    deploy_calmly(&mut stage, 1, &[]);
    let public = stage.public_texts(UNIT);
    assert!(
        public
            .iter()
            .any(|text| text.contains("--root /etc/temporal")),
        "{public:?}"
    );
}

#[test]
fn another_name_of_the_application_is_as_good() {
    let mut stage = FastStage::new();
    crate::scenarios::stage::deploy_counterparts(
        &mut stage,
        &[
            crate::scenarios::stage::POSTGRESQL,
            crate::scenarios::stage::ADMIN,
        ],
    );
    let charm = stage.charm();
    stage
        .juju()
        .deploy("orders", charm, 1, &[])
        .expect("deploy");
    for (endpoint, remote) in [
        ("db", "postgresql-k8s:db"),
        ("visibility", "postgresql-k8s:db"),
        ("admin", "temporal-admin-k8s:admin"),
    ] {
        stage
            .juju()
            .integrate(&format!("orders:{endpoint}"), remote)
            .expect("integrate");
    }
    settle(&mut stage);
    let status = stage
        .juju()
        .unit_status("orders/0")
        .expect("a unit")
        .clone();
    assert_eq!(
        (status.status.as_str(), status.message.as_str()),
        ("active", "")
    );
    let (config, _) = stage.file("orders/0", CONFIG).expect("a configuration");
    assert!(String::from_utf8_lossy(&config).contains("orders_db"));
}

#[test]
fn a_broken_database_relation_is_noticed() {
    let mut stage = FastStage::new();
    deploy(&mut stage, 1, &[]);
    crate::scenarios::stage::deploy_counterparts(
        &mut stage,
        &[crate::scenarios::stage::POSTGRESQL],
    );
    integrate(&mut stage, "db");
    settle(&mut stage);
    separate(&mut stage, "db");
    settle(&mut stage);
    assert_status(&mut stage, UNIT, "blocked", &["`db`", "juju integrate"]);
    rests(&mut stage);
}
