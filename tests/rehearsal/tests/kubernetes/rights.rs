//! What the real API server refuses.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Error;
use kube::api::{Api, ListParams, Patch, PatchParams};
use rehearsal::kubernetes::User;
use serde_json::json;

use super::world::{World, deployment, eventually};

#[tokio::test]
async fn the_limited_user_has_no_rights_but_those_that_are_granted() {
    let world = World::shared().await;
    let space = world.space("granted").await;
    let limited = world.cluster.client(User::Limited).await.unwrap();
    let all = ListParams::default();
    let granted: Api<ConfigMap> = Api::namespaced(limited.clone(), "granted");
    let others: Api<ConfigMap> = Api::namespaced(limited, "default");
    for refused in [granted.list(&all).await, others.list(&all).await] {
        let Err(Error::Api(status)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(status.code, 403);
        assert!(status.message.contains("\"limited\""), "{}", status.message);
    }

    let binding = json!({
        "metadata": { "name": "limited" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": User::Limited.name() }],
    });
    let _: RoleBinding = space.create(binding).await;
    eventually("the granted right", async || granted.list(&all).await.ok()).await;
    assert!(others.list(&all).await.is_err());
}

#[tokio::test]
async fn a_field_that_is_not_known_is_refused() {
    let space = World::shared().await.space("strict").await;
    let deployments = space.api::<Deployment>();
    let strict = PatchParams::apply("test").validation_strict();
    let mut web = deployment("web", "web", 0);
    deployments
        .patch("web", &strict, &Patch::Apply(&web))
        .await
        .unwrap();
    web["spec"]["replicsa"] = 1.into();
    let refused = deployments.patch("web", &strict, &Patch::Apply(&web)).await;
    let Err(Error::Api(status)) = refused else {
        panic!("{refused:?}");
    };
    assert!(status.message.contains("replicsa"), "{}", status.message);
}
