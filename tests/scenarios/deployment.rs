//! From nothing to a serving application, and back to nothing.

use super::stage::{
    ADMIN, APP, CONFIG, POSTGRESQL, Stage, UNIT, assert_all_active, assert_soon_active,
    assert_status, deploy, deploy_calmly, deploy_counterparts, integrate, ports, recover, rests,
    settle, status, units, update_status,
};

/// The ports of all roles of the newest server, as `juju status` has them.
const ALL_PORTS: [&str; 10] = [
    "6933/tcp", "6934/tcp", "6935/tcp", "6936/tcp", "6939/tcp", "7233/tcp", "7234/tcp", "7235/tcp",
    "7236/tcp", "7239/tcp",
];

/// Every step of the README, with what the operator sees after it.
pub(crate) fn a_fresh_deployment_in_the_calm_order_becomes_active(stage: &mut dyn Stage) {
    deploy_counterparts(stage, &[POSTGRESQL, ADMIN]);
    deploy(stage, 1, &[]);
    settle(stage);
    assert_status(
        stage,
        UNIT,
        "blocked",
        &["`db`", "juju integrate temporal-k8s:db postgresql-k8s:db"],
    );
    integrate(stage, "db");
    settle(stage);
    assert_status(
        stage,
        UNIT,
        "blocked",
        &["`visibility`", "juju integrate temporal-k8s:visibility"],
    );
    integrate(stage, "visibility");
    settle(stage);
    assert_status(
        stage,
        UNIT,
        "blocked",
        &["schema", "juju integrate temporal-k8s:admin"],
    );
    assert!(!stage.runs(UNIT), "nothing may run without a schema");
    integrate(stage, "admin");
    let runs = settle(stage);
    assert_all_active(stage);
    assert!(
        runs.iter().all(|run| run.hook != "update-status"),
        "active in the hook that made it possible"
    );
    assert_eq!(stage.starts(UNIT), 1, "one start is enough");

    assert_eq!(ports(stage, UNIT), ALL_PORTS);
    assert_eq!(stage.juju().model().applications[APP].version(), "1.32.2");
    for (endpoint, name) in [
        ("db", "temporal-k8s_db"),
        ("visibility", "temporal-k8s_visibility"),
    ] {
        let relation = stage
            .juju()
            .relation(&format!("{APP}:{endpoint}"))
            .expect("related");
        assert_eq!(stage.juju().databag(relation, APP)["database"], name);
    }
    let relation = stage
        .juju()
        .relation("temporal-k8s:admin")
        .expect("related");
    let told = stage.juju().databag(relation, APP)["database_connections"].clone();
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["db"]["dbname"], "temporal-k8s_db");
    assert_eq!(told["visibility"]["dbname"], "temporal-k8s_visibility");
    assert!(
        told["db"]["port"].is_string(),
        "the admin application wants texts only"
    );
    let modes: Vec<(String, String)> = stage
        .files(UNIT)
        .into_iter()
        .map(|(path, (_, mode))| (path, mode))
        .collect();
    let expected = [
        CONFIG,
        "/etc/temporal/config/dynamicconfig/docker.yaml",
        "/etc/temporal/pgpass",
    ];
    assert_eq!(
        modes,
        expected.map(|path| (path.to_owned(), "600".to_owned()))
    );
    rests(stage);
}

/// Only the leader writes application data, whoever that is, and everybody serves.
pub(crate) fn three_units_become_active_and_leadership_may_move_at_any_time(stage: &mut dyn Stage) {
    deploy_counterparts(stage, &[POSTGRESQL, ADMIN]);
    deploy(stage, 3, &[]);
    for endpoint in ["db", "visibility", "admin"] {
        integrate(stage, endpoint);
    }
    // after every third hook the next unit leads
    let mut hooks = 0;
    while let Some(run) = stage.juju().step().expect("the cloud works") {
        assert!(run.success(), "{run}: {}", run.stderr);
        hooks += 1;
        if hooks % 3 == 0 && hooks < 90 {
            let next = format!("{APP}/{}", (hooks / 3) % 3);
            if units(stage).contains(&next) {
                stage.juju().set_leader(APP, &next).expect("a unit");
            }
        }
        assert!(hooks < 500, "it never comes to rest");
    }
    settle(stage);
    assert_soon_active(stage);
    for run in stage.juju().log().to_vec() {
        for call in run.calls.iter().filter(|call| call.name == "relation-set") {
            assert_eq!(call.code, 0, "{}: Juju has refused {call}", run.hook);
        }
    }
    stage
        .juju()
        .set_leader(APP, "temporal-k8s/2")
        .expect("a unit");
    settle(stage);
    assert_soon_active(stage);
    // who led forgets what it told for the application
    update_status(stage);
    rests(stage);
}

/// Another application of our charm, without an admin: it asks the database itself.
pub(crate) fn deploy_beside(stage: &mut dyn Stage, app: &str, units: u32, config: &[(&str, &str)]) {
    let charm = stage.charm();
    let deployed = stage.juju().deploy(app, charm, units, config);
    deployed.expect("deploy");
    integrate_databases(stage, app);
}

fn integrate_databases(stage: &mut dyn Stage, app: &str) {
    for endpoint in ["db", "visibility"] {
        let ours = format!("{app}:{endpoint}");
        let related = stage.juju().integrate(&ours, "postgresql-k8s:db");
        related.expect("integrate");
    }
    settle(stage);
}

/// One role of a split deployment; alone it would have nobody to work for.
pub(crate) fn a_worker_only_application_opens_only_its_ports(stage: &mut dyn Stage) {
    const WORKER: &str = "temporal-worker/0";
    let rest = [
        ("services", "frontend,history,matching"),
        ("database-prefix", "shared"),
    ];
    deploy_calmly(stage, 1, &rest);
    let config = [("services", "worker"), ("database-prefix", "shared")];
    deploy_beside(stage, "temporal-worker", 1, &config);
    assert_all_active(stage);
    assert_eq!(ports(stage, WORKER), ["6939/tcp", "7239/tcp"]);
    rests(stage);
    // roles that come and go take their ports with them
    for (services, open) in [
        (
            "worker,matching",
            &["6935/tcp", "6939/tcp", "7235/tcp", "7239/tcp"][..],
        ),
        ("matching", &["6935/tcp", "7235/tcp"]),
    ] {
        let config = [("services", services)];
        stage
            .juju()
            .config("temporal-worker", &config)
            .expect("config");
        settle(stage);
        assert_eq!(ports(stage, WORKER), open);
        recover(stage);
        rests(stage);
    }
}

/// Its process lives for a minute, ends, and is started again, for ever.
pub(crate) fn a_worker_without_a_frontend_is_not_active(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &[("services", "worker")]);
    assert_status(stage, UNIT, "waiting", &["worker", "`frontend`"]);
    rests(stage);
}

/// Law S15.
pub(crate) fn removing_the_application_leaves_nothing(stage: &mut dyn Stage) {
    deploy_calmly(stage, 2, &[]);
    assert_all_active(stage);
    rests(stage);
    stage
        .juju()
        .remove_application(APP)
        .expect("remove-application");
    settle(stage);
    assert!(
        !stage.juju().model().applications.contains_key(APP),
        "the model knows it still"
    );
    assert!(!stage.cloud_knows(APP), "the cloud knows it still");
    let left: Vec<String> = stage
        .juju()
        .model()
        .relations
        .values()
        .map(rehearsal::juju::model::Relation::key)
        .collect();
    assert!(left.iter().all(|key| !key.contains(APP)), "{left:?}");
}

const FRONT: [(&str, &str); 2] = [
    ("services", "frontend,history"),
    ("database-prefix", "shared"),
];
const REST: &str = "temporal-rest";
const REST_UNIT: &str = "temporal-rest/0";
const REST_CONFIG: [(&str, &str); 2] = [
    ("services", "matching,worker"),
    ("database-prefix", "shared"),
];

/// Two applications, one cluster: only the first has an admin.
pub(crate) fn split_applications_share_one_pair_of_databases(stage: &mut dyn Stage) {
    deploy_calmly(stage, 1, &FRONT);
    deploy_beside(stage, REST, 1, &REST_CONFIG);
    recover(stage);
    for unit in [UNIT, REST_UNIT] {
        let (config, _) = stage.file(unit, CONFIG).expect("a configuration");
        let config = String::from_utf8_lossy(&config).into_owned();
        assert!(
            config.contains("shared_db") && config.contains("shared_visibility"),
            "{config}"
        );
    }
    rests(stage);
}

/// The one without `admin` is there first, all alone.
pub(crate) fn the_rest_of_a_split_deployment_may_come_first(stage: &mut dyn Stage) {
    deploy_counterparts(stage, &[POSTGRESQL, ADMIN]);
    deploy_beside(stage, REST, 1, &REST_CONFIG);
    assert_waits_for_the_front(stage);
    deploy(stage, 1, &FRONT);
    for endpoint in ["db", "visibility", "admin"] {
        integrate(stage, endpoint);
        settle(stage);
    }
    finish_the_rest(stage);
}

/// Both are related to their databases before anybody sets up the schema; only the one with a frontend asks for that.
pub(crate) fn both_parts_of_a_split_deployment_may_come_at_once(stage: &mut dyn Stage) {
    deploy_counterparts(stage, &[POSTGRESQL, ADMIN]);
    deploy(stage, 1, &FRONT);
    deploy_beside(stage, REST, 1, &REST_CONFIG);
    for endpoint in ["visibility", "db"] {
        integrate(stage, endpoint);
    }
    settle(stage);
    assert_waits_for_the_front(stage);
    let command = "juju integrate temporal-k8s:admin temporal-admin-k8s:admin";
    assert_status(stage, UNIT, "blocked", &["no schema in `db`", command]);
    integrate(stage, "admin");
    settle(stage);
    finish_the_rest(stage);
}

fn assert_waits_for_the_front(stage: &mut dyn Stage) {
    let words = "waiting for the application with `frontend`, whose `admin` sets up the schema";
    assert_status(stage, REST_UNIT, "waiting", &[words, "no schema in `db`"]);
    assert!(!stage.runs(REST_UNIT), "nothing may run without a schema");
}

/// It looks again at the next `update-status`. A role that PostgreSQL's charm has let use the tables before there were
/// any gets its rights when it is integrated again.
fn finish_the_rest(stage: &mut dyn Stage) {
    update_status(stage);
    let (_, message) = status(stage, REST_UNIT);
    if message.contains("permission denied") || message.contains("lacks rights") {
        for endpoint in ["db", "visibility"] {
            let ours = format!("{REST}:{endpoint}");
            let removed = stage.juju().remove_relation(&ours, "postgresql-k8s:db");
            removed.expect("remove-relation");
        }
        settle(stage);
        integrate_databases(stage, REST);
    }
    assert_soon_active(stage);
    rests(stage);
}

/// The first server that the charm was made for has no internal frontend, another plugin and an older schema.
pub(crate) fn an_old_server_is_run_as_well(stage: &mut dyn Stage) {
    stage.set_server_version("1.17.4");
    deploy_calmly(stage, 1, &[]);
    assert_status(stage, UNIT, "active", &[]);
    let ports = stage.juju().opened_ports(UNIT);
    assert!(!ports.contains(&"7236/tcp".to_owned()), "{ports:?}");
    // the tag 1.17.4 calls itself 1.17.3
    let version = stage.juju().model().applications[APP].version().to_owned();
    assert!(version.starts_with("1.17."), "{version}");
    update_status(stage);
    rests(stage);
}
