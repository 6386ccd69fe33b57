//! What the cluster says beside its answers reaches the user at once.

use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use rehearsal::kubernetes::User;
use serde_json::json;
use temporal_stack::kubernetes::Kind;

use crate::world::{Said, World, document};

/// Enough for a controller to try, on a busy machine, too.
const SOON: [&str; 2] = ["--timeout", "12s"];

#[tokio::test]
async fn a_quota_that_lets_no_pod_in_is_told_while_it_is_waited_for() {
    let world = World::shared().await;
    let place = world.place("quota").await;
    let client = world.cluster.client(User::Admin).await.unwrap();
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "quota" } });
    place
        .kubernetes
        .create(Kind::Namespace, &namespace)
        .await
        .unwrap();
    let quotas: Api<ResourceQuota> = Api::namespaced(client, "quota");
    let quota = serde_json::from_value(json!({
        "metadata": { "name": "nothing" }, "spec": { "hard": { "pods": "0" } },
    }));
    quotas
        .create(&PostParams::default(), &quota.unwrap())
        .await
        .unwrap();
    let said = place.apply(&SOON).refused(&[
        "stores: not ready",
        "StatefulSet `postgres`: FailedCreate",
        "exceeded quota",
    ]);
    let first = said
        .err
        .lines()
        .position(|line| line.contains("exceeded quota"));
    let last = said
        .err
        .lines()
        .position(|line| line.contains("not ready after"));
    assert!(first < last, "it is told at the end only: {}", said.err);
}

#[tokio::test]
async fn what_the_api_server_warns_of_is_told_once() {
    let world = World::shared().await;
    let place = world.place("warned").await;
    let client = world.cluster.client(User::Admin).await.unwrap();
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let policy = serde_json::from_value(json!({
        "metadata": { "name": "warned" },
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["statefulsets"],
                "operations": ["CREATE", "UPDATE"],
            }] },
            "validations": [{ "expression": "false", "message": "the moon is full" }],
        },
    }));
    policies
        .create(&PostParams::default(), &policy.unwrap())
        .await
        .unwrap();
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client);
    let binding = serde_json::from_value(json!({
        "metadata": { "name": "warned" },
        "spec": {
            "policyName": "warned",
            "validationActions": ["Warn"],
            "matchResources": { "namespaceSelector": { "matchLabels": {
                "kubernetes.io/metadata.name": "warned",
            } } },
        },
    }));
    bindings
        .create(&PostParams::default(), &binding.unwrap())
        .await
        .unwrap();
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "warned" } });
    place
        .kubernetes
        .create(Kind::Namespace, &namespace)
        .await
        .unwrap();
    // the API server learns of a new policy a moment later
    let begin = Instant::now();
    let said = loop {
        let said = place.run(&["plan"]).done();
        if said.err.contains("the moon is full") {
            break said;
        }
        assert!(begin.elapsed() < Duration::from_mins(1), "{}", said.err);
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let told = said.err.matches("warning: the API server says: ").count();
    assert_eq!(told, 1, "{}", said.err);
}

#[tokio::test]
async fn mistakes_in_the_settings_are_told_without_a_cluster() {
    let place = World::shared().await.place("nowhere").await;
    let file = place.file("temporal: {settings: {DATABASE_NAME: orders}}\n");
    let output = Command::new(env!("CARGO_BIN_EXE_temporal-stack"))
        .args(["--kubeconfig", "/nowhere", "plan", "-f", &file])
        .output();
    let said =
        Said::from(output.unwrap()).refused(&["`DATABASE_NAME`", "the settings have errors"]);
    assert!(!said.err.contains("kubeconfig"), "{}", said.err);
}

#[tokio::test]
async fn manifests_with_their_secrets_are_a_whole_stack() {
    let place = World::shared().await.place("with-secrets").await;
    let mut render = place.command(&["render", "--with-secrets"]);
    // the document's password is in a Secret, encoded
    let said = Said::from(
        render
            .arg("--from-configmaps")
            .args(document())
            .output()
            .unwrap(),
    )
    .done();
    let secrets = said.out.matches("kind: Secret").count();
    assert!(secrets > 6, "{secrets}");
    assert!(said.out.contains("kind: StatefulSet") && !said.out.contains("is made by"));
    let without = place.run(&["render"]).done();
    assert_eq!(without.out.matches("kind: Secret").count(), 0);
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_is_waited_for() {
    let world = World::shared().await;
    let place = world.place("going").await;
    let client = world.cluster.client(User::Admin).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(client);
    let held = serde_json::from_value(json!({
        "metadata": { "name": "going", "finalizers": ["test.invalid/held"] },
    }));
    namespaces
        .create(&PostParams::default(), &held.unwrap())
        .await
        .unwrap();
    place
        .kubernetes
        .delete(Kind::Namespace, "going")
        .await
        .unwrap();
    let words = ["`going`", "is being deleted"];
    place.run(&["plan"]).refused(&words);
    place.apply(&["--timeout", "2s"]).refused(&words);
    let running = place.applying(&[]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let released = json!({ "metadata": { "finalizers": null } });
    namespaces
        .patch("going", &PatchParams::default(), &Patch::Merge(released))
        .await
        .unwrap();
    Said::from(running.wait_with_output().unwrap()).done();
}
