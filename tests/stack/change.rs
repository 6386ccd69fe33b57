//! What is installed changes: settings, parts, and what others have done to it.

use std::path::Path;

use serde_json::{Value, json};
use temporal_stack::kubernetes::{Apply, Kind};
use temporal_stack::secrets::Existing;

use crate::world::{Place, Said, World, document};

/// The hash of the settings that a workload's Pods have.
async fn fingerprint(place: &Place<'_>, kind: Kind, name: &str) -> Value {
    let object = place.get(kind, name).await;
    let annotations = &object["spec"]["template"]["metadata"]["annotations"];
    annotations["temporal-stack/settings"].clone()
}

const POSTGRES: (Kind, &str) = (Kind::StatefulSet, "postgres");
const API: (Kind, &str) = (Kind::Deployment, "temporal-api");
const IPFS: (Kind, &str) = (Kind::StatefulSet, "ipfs");

#[tokio::test]
async fn changed_settings_roll_the_pods_that_read_them_and_no_others() {
    let place = World::shared().await.place("changed").await;
    place.apply(&[]).done();
    let of = async |(kind, name)| fingerprint(&place, kind, name).await;
    let before = (of(POSTGRES).await, of(API).await, of(IPFS).await);
    let file = place.file("temporal: {settings: {API_CONNECTION_LIMIT: \"100\"}}\n");
    let planned = place.run_with_document(&["plan", "-f", &file]);
    assert!(
        planned
            .out
            .contains("change  ConfigMap `temporal-config`: data.API_CONNECTION_LIMIT"),
        "{}",
        planned.out
    );
    assert!(
        planned.out.contains("keep    StatefulSet `postgres`"),
        "{}",
        planned.out
    );
    // the plan itself has done nothing
    assert_eq!(of(API).await, before.1);
    let said = place.apply(&["-f", &file]).done();
    assert!(
        said.err.contains("changed Deployment `temporal-api`"),
        "{}",
        said.err
    );
    assert_eq!(of(POSTGRES).await, before.0);
    assert_ne!(of(API).await, before.1);
    assert_eq!(of(IPFS).await, before.2);
    // a secret is a setting too
    let file = place.file(
        "temporal: {settings: {API_CONNECTION_LIMIT: \"100\", STRIPE_SECRET_KEY: a-secret-of-stripe}}\n",
    );
    let before = of(API).await;
    let said = place.apply(&["-f", &file]).done();
    assert!(
        said.err
            .contains("changed Secret `temporal-secrets`: STRIPE_SECRET_KEY"),
        "{}",
        said.err
    );
    assert!(!said.err.contains("a-secret-of-stripe"));
    assert_ne!(of(API).await, before);
    // and can be taken back
    let said = place.apply(&[]).done();
    assert!(said.err.contains("-STRIPE_SECRET_KEY"), "{}", said.err);
    let secret = place.get(Kind::Secret, "temporal-secrets").await;
    assert_eq!(secret["data"]["STRIPE_SECRET_KEY"], Value::Null);
}

#[tokio::test]
async fn parts_that_are_not_wanted_any_more_go_and_data_stay() {
    let place = World::shared().await.place("fewer").await;
    place.apply(&[]).done();
    let elsewhere = |settings: &str| {
        place.file(&format!(
            "temporal: {{workers: [pin], settings: {{{settings}}}}}\n"
        ))
    };
    let before = place.versions().await;
    // its Pods would lose a claim
    let file = elsewhere("IPFS_API_CONNECTION_HOST: ipfs.example.com");
    place.run(&["apply", "-f", &file]).refused(&[
        "nothing was changed",
        "`ipfs`",
        "--cascade=orphan",
    ]);
    let file = elsewhere(
        "IPFS_API_CONNECTION_HOST: ipfs.example.com, IPFS_CLUSTER_API_CONNECTION_HOST: cluster.example.com",
    );
    place.run(&["apply", "-f", &file]).refused(&[
        "nothing was changed",
        "StatefulSet `ipfs`",
        "`--remove-stores`",
    ]);
    assert_eq!(place.versions().await, before);
    let said = place.run(&["apply", "-f", &file, "--remove-stores"]).done();
    assert!(
        said.err
            .contains("removed Deployment `temporal-queue-cluster`"),
        "{}",
        said.err
    );
    assert!(
        said.err.contains("removed StatefulSet `ipfs`"),
        "{}",
        said.err
    );
    assert_eq!(place.find(Kind::Service, "ipfs-api").await, None);
    place.get(Kind::Deployment, "temporal-queue-pin").await;
    place.get(Kind::PersistentVolumeClaim, "data-ipfs-0").await;
    let config = place.get(Kind::ConfigMap, "temporal-config").await;
    assert_eq!(
        config["data"]["IPFS_API_CONNECTION_HOST"],
        "ipfs.example.com"
    );
}

#[tokio::test]
async fn what_others_have_changed_is_told_and_taken_over_only_on_demand() {
    let place = World::shared().await.place("conflicts").await;
    place.apply(&[]).done();
    let scaled = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "temporal-api" },
        "spec": { "replicas": 2 },
    });
    let how = Apply {
        dry_run: false,
        force: true,
    };
    place
        .kubernetes
        .apply(Kind::Deployment, &scaled, how)
        .await
        .unwrap();
    let words = ["somebody", ".spec.replicas", "--force-conflicts"];
    place.run_with_document(&["plan"]).refused(&words);
    place.apply(&[]).refused(&words);
    let replicas =
        async || place.get(Kind::Deployment, "temporal-api").await["spec"]["replicas"].clone();
    assert_eq!(replicas().await, 2);
    place.apply(&["--force-conflicts"]).done();
    assert_eq!(replicas().await, 1);
}

#[tokio::test]
async fn what_kubernetes_lets_nobody_change_is_explained_before_anything_is_changed() {
    let place = World::shared().await.place("immutable").await;
    place.apply(&[]).done();
    let before = place.versions().await;
    for (text, words) in [
        (
            "postgres: {storage: 20Gi}\nipfs: {storage: 1Ti}\n",
            &[
                "postgres",
                "`data` is \"10Gi\"",
                "\"20Gi\"",
                "`ipfs`",
                "--cascade=orphan",
            ][..],
        ),
        (
            "storageClass: rook-ceph-block\n",
            &["StorageClass of claim", "\"rook-ceph-block\""],
        ),
    ] {
        let file = place.file(text);
        place
            .apply(&["-f", &file])
            .refused(&["nothing was changed"])
            .refused(words);
        place
            .run_with_document(&["plan", "-f", &file])
            .refused(words);
    }
    assert_eq!(place.versions().await, before);
}

#[tokio::test]
async fn objects_of_others_are_left_alone() {
    let place = World::shared().await.place("foreign").await;
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "foreign" },
    });
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "temporal-config" },
        "data": { "DATABASE_PASSWORD": "in-the-open" },
    });
    for (kind, object) in [(Kind::Namespace, &namespace), (Kind::ConfigMap, &theirs)] {
        let made = place.kubernetes.create(kind, object);
        made.await.unwrap();
    }
    let words = [
        "`temporal-config`",
        "was not made by temporal-stack",
        "kubectl delete configmap temporal-config",
    ];
    place.run_with_document(&["plan"]).refused(&words);
    place.apply(&[]).refused(&words);
    let config = place.get(Kind::ConfigMap, "temporal-config").await;
    assert_eq!(config["data"], theirs["data"]);
    assert_eq!(place.all().await.len(), 0, "something was made");
    // two values for one setting: nobody knows which of them is meant
    place.apply(&["--adopt"]).refused(&[
        "ConfigMap `temporal-config`",
        "`DATABASE_PASSWORD` has another value",
    ]);
    let said = place.run(&["apply", "--adopt"]).done();
    assert!(
        said.err
            .contains("replaced ConfigMap `temporal-config`, which was made by somebody else"),
        "{}",
        said.err
    );
    let config = place.get(Kind::ConfigMap, "temporal-config").await;
    assert_eq!(config["data"]["DATABASE_PASSWORD"], Value::Null);
    let secret = place.get(Kind::Secret, "temporal-secrets").await;
    let kept = Existing::of(&secret).data["DATABASE_PASSWORD"].clone();
    assert_eq!(kept.unwrap().expose(), "in-the-open");
    place.run(&["delete", "--delete-data"]).done();
    // the namespace is somebody else's, too
    place.get(Kind::Namespace, "foreign").await;
}

#[tokio::test]
async fn values_that_data_were_written_with_are_not_replaced() {
    let place = World::shared().await.place("kept").await;
    place.apply(&[]).done();
    let before = place.secrets().await;
    let hex = "0123456789abcdef".repeat(4);
    let file = place.file(&format!(
        "ipfsCluster: {{settings: {{CLUSTER_SECRET: \"{hex}\"}}}}\n\
         postgres: {{settings: {{POSTGRES_PASSWORD: another-one}}}}\n\
         temporal: {{settings: {{DATABASE_PASSWORD: another-one}}}}\n"
    ));
    let said = place.run(&["apply", "-f", &file]).refused(&[
        "`postgres-secrets`",
        "ALTER ROLE",
        "`ipfs-cluster-secrets`",
        "`CLUSTER_SECRET`",
    ]);
    assert!(
        !said.err.contains("another-one") && !said.err.contains(&hex),
        "{}",
        said.err
    );
    assert_eq!(place.secrets().await, before);
}

#[tokio::test]
async fn settings_that_data_were_made_with_are_refused_for_as_long_as_there_are_data() {
    let place = World::shared().await.place("made-with").await;
    place.apply(&[]).done();
    let before = place.secrets().await;
    for (text, words) in [
        (
            "postgres: {image: \"postgres:18\"}\n",
            &[
                "`postgres.version` was \"17\"",
                "\"18\" is wanted",
                "pg_dump",
                "data-postgres-0",
            ][..],
        ),
        (
            "postgres: {settings: {POSTGRES_INITDB_ARGS: --data-checksums}}\n",
            &["`POSTGRES_INITDB_ARGS` was \"\"", "--data-checksums"],
        ),
        (
            "postgres: {settings: {POSTGRES_HOST_AUTH_METHOD: md5}}\n",
            &["`POSTGRES_HOST_AUTH_METHOD` was \"scram-sha-256\""],
        ),
    ] {
        let file = place.file(text);
        place.apply(&["-f", &file]).refused(words);
        place
            .run_with_document(&["plan", "-f", &file])
            .refused(words);
    }
    let other = "postgres: {settings: {POSTGRES_USER: al}}\n";
    let file = place.file(other);
    place
        .run(&["apply", "-f", &file])
        .refused(&["`POSTGRES_USER` was \"postgres\"", "\"al\" is wanted"]);
    assert_eq!(place.secrets().await, before);
    // the claims outlive this, and so does what is known of them
    place.run(&["delete"]).done();
    place
        .run(&["apply", "-f", &file])
        .refused(&["`POSTGRES_USER`"]);
    place.run(&["delete", "--delete-data"]).done();
    place.run(&["apply", "-f", &file]).done();
}

#[tokio::test]
async fn a_broker_grows_and_does_not_shrink() {
    let place = World::shared().await.place("broker").await;
    place.apply(&[]).done();
    let replicas =
        async || place.get(Kind::StatefulSet, "rabbitmq").await["spec"]["replicas"].clone();
    let file = place.file("rabbitmq: {replicas: 3}\n");
    place.apply(&["-f", &file]).done();
    assert_eq!(replicas().await, 3);
    place.apply(&[]).refused(&[
        "`rabbitmq.replicas` was \"3\"",
        "\"1\" is wanted",
        "no majority",
    ]);
    assert_eq!(replicas().await, 3);
}

#[tokio::test]
async fn what_the_cluster_shows_of_a_stack_means_that_stack() {
    let place = World::shared().await.place("shown").await;
    place.apply(&[]).done();
    let service = place.get(Kind::Service, "postgres").await;
    let mut files = Vec::new();
    for name in ["temporal-config", "ipfs-cluster-config", "postgres-config"] {
        let mut map = place.get(Kind::ConfigMap, name).await;
        if name == "temporal-config" {
            assert_eq!(map["data"]["DATABASE_URL"], "postgres");
            map["data"]["DATABASE_URL"] = service["spec"]["clusterIP"].clone();
            map["data"]["RABBITMQ_URL"] = "amqp://rabbitmq.shown.svc.cluster.local:5672/".into();
        }
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shown-{name}.yaml"));
        std::fs::write(&path, map.to_string()).unwrap();
        files.push(path);
    }
    let run = |what: &str| {
        let mut command = place.command(&[what, "--from-configmaps"]);
        Said::from(command.args(&files).output().expect("it runs"))
    };
    let planned = run("plan").done();
    assert!(
        planned.out.lines().all(|line| line.starts_with("keep")),
        "{}",
        planned.out
    );
    let said = run("apply").done();
    assert!(
        said.out.contains("created 0, changed 0") && said.out.contains("removed 0"),
        "{}",
        said.out
    );
    // a host of the same name in another namespace is another host, and that is said
    let file = place.file(
        "temporal: {settings: {DATABASE_URL: postgres.other, DATABASE_PASSWORD: not-to-be-shown}}\n\
         postgres: {settings: {POSTGRES_USER: al}}\n",
    );
    let said = place.run(&["plan", "-f", &file]).refused(&[
        "`DATABASE_URL`: names another host, so the stack's own PostgreSQL is not installed",
        "`POSTGRES_USER`: is read by nobody",
        "REFUSED StatefulSet `postgres`",
    ]);
    assert!(!said.err.contains("not-to-be-shown"), "{}", said.err);
}

impl Place<'_> {
    /// Any command that takes the document's ConfigMaps.
    fn run_with_document(&self, arguments: &[&str]) -> Said {
        let mut command = self.command(arguments);
        command.arg("--from-configmaps").args(document());
        command.output().expect("the program runs").into()
    }
}
