//! From nothing to a whole stack, and back to nothing.

use serde_json::{Value, json};
use temporal_stack::kubernetes::{Apply, Error, INVALID, Kind};
use temporal_stack::secrets;

use crate::world::{World, document};

/// What the document's ConfigMaps become.
const WORKLOADS: [(Kind, &str, u64); 8] = [
    (Kind::StatefulSet, "postgres", 1),
    (Kind::StatefulSet, "rabbitmq", 1),
    (Kind::StatefulSet, "ipfs", 3),
    (Kind::StatefulSet, "temporal-krab", 1),
    (Kind::Deployment, "temporal-api", 1),
    (Kind::Deployment, "temporal-queue-pin", 1),
    (Kind::Deployment, "temporal-queue-cluster", 1),
    (Kind::Deployment, "temporal-queue-key-creation", 1),
];

#[tokio::test]
async fn the_documents_config_maps_become_a_whole_stack_and_a_second_apply_changes_nothing() {
    let place = World::shared().await.place("document").await;
    let first = place.apply(&[]).done();
    assert!(first.out.contains("unchanged 0"), "{}", first.out);
    assert!(
        first
            .out
            .contains("https://temporal-api-service.document:6767"),
        "{}",
        first.out
    );
    for (kind, name, pods) in WORKLOADS {
        let object = place.get(kind, name).await;
        assert_eq!(object["status"]["readyReplicas"], pods, "{name}");
    }
    let before = place.versions().await;
    assert!(before.len() > 40, "{before:?}");
    let second = place.apply(&[]).done();
    assert!(
        second.out.contains("created 0, changed 0,") && second.out.contains("removed 0"),
        "{}",
        second.out
    );
    assert_eq!(place.versions().await, before);

    let status = place.run(&["status"]).done();
    for (_, name, pods) in WORKLOADS {
        let line = status
            .out
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        assert!(
            line.is_some_and(|line| line.contains(&format!("{pods}/{pods}"))),
            "{name}: {}",
            status.out
        );
    }
    let json: Value = serde_json::from_str(&place.run(&["status", "--json"]).done().out).unwrap();
    assert_eq!(json["ready"], true);
    place.run(&["wait", "--timeout", "5s"]).done();
}

#[tokio::test]
async fn rendered_manifests_pass_strict_validation() {
    let place = World::shared().await.place("rendered").await;
    place
        .kubernetes
        .create(
            Kind::Namespace,
            &json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "rendered" },
            }),
        )
        .await
        .unwrap();
    let everything = place.file(
        "mesh: off\n\
         storageClass: rook-ceph-block\n\
         imagePullSecrets: [registry]\n\
         ipfs: {replicas: 5, swarmServiceType: LoadBalancer}\n\
         rabbitmq: {replicas: 3}\n\
         temporal:\n\
         \x20 serviceType: NodePort\n\
         \x20 settings: {SENDGRID_API_KEY: k, SERVICES_RTNS_KEY_NAME: k}\n",
    );
    let with_all = ["render", "-f", everything.as_str()];
    let mut kinds = std::collections::BTreeSet::new();
    for arguments in [&["render"][..], &with_all] {
        let mut command = place.command(arguments);
        command.arg("--from-configmaps").args(document());
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert!(!text.contains("password123"), "{text}");
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert!(documents.len() >= 24, "{}", documents.len());
        for object in documents {
            let kind = [
                Kind::ConfigMap,
                Kind::Service,
                Kind::NetworkPolicy,
                Kind::StatefulSet,
                Kind::Deployment,
                Kind::Job,
            ]
            .into_iter()
            .find(|kind| object["kind"] == kind.word())
            .unwrap_or_else(|| panic!("{}", object["kind"]));
            kinds.insert(kind);
            let how = Apply {
                dry_run: true,
                force: false,
            };
            let valid = place.kubernetes.apply(kind, &object, how).await;
            valid.unwrap_or_else(|error| panic!("{error}"));
        }
    }
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    // the check itself can fail
    let how = Apply {
        dry_run: true,
        force: false,
    };
    let wrong = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "x" },
        "spec": { "ports": [{ "port": 1 }], "selectors": {} },
    });
    let refused = place.kubernetes.apply(Kind::Service, &wrong, how).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(&refused, Error::Refused { code: INVALID, message, .. } if message.contains("selectors")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn passwords_are_in_secrets_only_and_keys_fit_each_other() {
    let place = World::shared().await.place("passwords").await;
    place.apply(&[]).done();
    for ((kind, name), object) in place.all().await {
        let text = object.to_string();
        assert!(
            kind == Kind::Secret || !text.contains("password123"),
            "{} `{name}`",
            kind.word()
        );
    }
    let value = |secret: &Value, key: &str| {
        let read = secrets::Existing::of(secret);
        let value = read.data[key].clone().expect("a text");
        value.expose().clone()
    };
    let temporal = place.get(Kind::Secret, "temporal-secrets").await;
    let rabbitmq = place.get(Kind::Secret, "rabbitmq-secrets").await;
    assert_eq!(value(&temporal, "DATABASE_PASSWORD"), "password123");
    let url = format!(
        "amqp://temporal:{}@rabbitmq:5672/",
        value(&rabbitmq, "RABBITMQ_DEFAULT_PASS")
    );
    assert_eq!(value(&temporal, "RABBITMQ_URL"), url);
    let peer = place.get(Kind::Secret, "ipfs-cluster-first-peer").await;
    let id = value(&peer, "CLUSTER_ID");
    assert!(id.starts_with("12D3KooW"), "{id}");
    assert_eq!(secrets::peer_id(&value(&peer, "CLUSTER_PRIVATEKEY")), id);
    let cluster = place.get(Kind::Secret, "ipfs-cluster-secrets").await;
    let secret = value(&cluster, "CLUSTER_SECRET");
    assert!(
        secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{} characters",
        secret.len()
    );
}

#[tokio::test]
async fn a_cookie_of_the_users_is_kept_as_it_is() {
    let place = World::shared().await.place("cookie").await;
    let make = |kind: Kind, body: Value| {
        let kubernetes = place.kubernetes.clone();
        async move { kubernetes.create(kind, &body).await.unwrap() }
    };
    make(
        Kind::Namespace,
        json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "cookie" },
        }),
    )
    .await;
    make(
        Kind::Secret,
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "rabbitmq-config" },
            "stringData": { "erlang-cookie": "c-is-for-cookie-thats-good-enough-for-me" },
        }),
    )
    .await;
    let before = place.get(Kind::Secret, "rabbitmq-config").await;
    let said = place.apply(&[]).done();
    assert!(
        said.err.contains("erlang-cookie") && said.err.contains("public example"),
        "{}",
        said.err
    );
    assert_eq!(place.get(Kind::Secret, "rabbitmq-config").await, before);
    place.run(&["delete", "--delete-data"]).done();
    // it was there before us
    assert_eq!(place.get(Kind::Secret, "rabbitmq-config").await, before);
}

#[tokio::test]
async fn delete_keeps_the_data_unless_it_is_told_otherwise() {
    let place = World::shared().await.place("deleted").await;
    place.apply(&[]).done();
    let (secrets, before) = (place.secrets().await, claims(&place.all().await));
    assert_eq!(before.len(), 9, "{before:?}");
    let said = place.run(&["delete"]).done();
    assert!(said.out.contains("--delete-data"), "{}", said.out);
    let left = place.all().await;
    assert!(
        left.keys()
            .all(|(kind, _)| matches!(kind, Kind::Secret | Kind::PersistentVolumeClaim)),
        "{:?}",
        left.keys()
    );
    // the data wait for the next stack
    place.apply(&[]).done();
    assert_eq!(place.secrets().await, secrets);
    assert_eq!(claims(&place.all().await), before);
    place.run(&["delete", "--delete-data"]).done();
    assert_eq!(place.all().await.len(), 0);
    let namespace = place.find(Kind::Namespace, "deleted").await;
    assert!(
        namespace.is_none_or(|it| it["metadata"]["deletionTimestamp"].is_string()),
        "the namespace stays"
    );
}

type All = std::collections::BTreeMap<(Kind, String), Value>;

/// Claims with their uids.
fn claims(all: &All) -> Vec<(String, Value)> {
    all.iter()
        .filter(|((kind, _), _)| *kind == Kind::PersistentVolumeClaim)
        .map(|((_, name), object)| (name.clone(), object["metadata"]["uid"].clone()))
        .collect()
}
