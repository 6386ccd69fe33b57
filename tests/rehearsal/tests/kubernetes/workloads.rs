//! What the real controllers and the pretend node make of workloads together.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams};
use rehearsal::kubernetes::{NODE, PROVISIONER};
use serde_json::json;

use super::fates::is_ready;
use super::world::{Space, World, deployment, eventually, job, stateful_set};

pub(super) async fn available(space: &Space, app: &str, replicas: i32) {
    eventually(&format!("`{app}` with all of its Pods"), async || {
        let status = space.api::<Deployment>().get(app).await.unwrap().status?;
        (status.available_replicas == Some(replicas)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deployment_becomes_available_and_replaces_a_pod_that_is_deleted() {
    let space = World::shared().await.space("deployments").await;
    let _: Deployment = space.create(deployment("web", "web", 2)).await;
    available(&space, "web", 2).await;
    let pods = space.pods("web").await;
    let addresses: BTreeSet<_> = pods
        .iter()
        .map(|pod| pod.status.clone().unwrap().pod_ip.unwrap())
        .collect();
    assert_eq!(addresses.len(), 2);
    for pod in &pods {
        assert_eq!(pod.spec.as_ref().unwrap().node_name.as_deref(), Some(NODE));
    }

    let deleted = pods[0].name_any();
    let api = space.api::<Pod>();
    api.delete(&deleted, &DeleteParams::default())
        .await
        .unwrap();
    eventually("the deleted Pod's end", async || {
        api.get_opt(&deleted).await.unwrap().is_none().then_some(())
    })
    .await;
    available(&space, "web", 2).await;
}

#[tokio::test]
async fn a_stateful_set_gets_volumes_that_stay_until_their_claims_go() {
    let space = World::shared().await.space("stateful-sets").await;
    let _: StatefulSet = space.create(stateful_set("store", 2)).await;
    let sets = space.api::<StatefulSet>();
    eventually("all Pods of the set", async || {
        let status = sets.get("store").await.unwrap().status?;
        (status.ready_replicas == Some(2)).then_some(())
    })
    .await;

    sets.delete("store", &DeleteParams::default())
        .await
        .unwrap();
    eventually("the Pods' end", async || {
        space.pods("store").await.is_empty().then_some(())
    })
    .await;
    let claims = space.api::<PersistentVolumeClaim>();
    let volumes: Api<PersistentVolume> = Api::all(space.client.clone());
    for name in ["data-store-0", "data-store-1"] {
        let claim = claims.get(name).await.unwrap();
        assert_eq!(claim.status.unwrap().phase.as_deref(), Some("Bound"));
        let spec = claim.spec.unwrap();
        assert_eq!(spec.storage_class_name.as_deref(), Some("pretended"));
        let volume = spec.volume_name.unwrap();
        assert!(volumes.get_opt(&volume).await.unwrap().is_some());

        claims.delete(name, &DeleteParams::default()).await.unwrap();
        eventually("the volume's end", async || {
            volumes
                .get_opt(&volume)
                .await
                .unwrap()
                .is_none()
                .then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_class_that_waits_for_a_pod_gives_a_volume_when_there_is_one() {
    let space = World::shared().await.space("waiting").await;
    let class = serde_json::from_value(json!({
        "metadata": { "name": "waiting" },
        "provisioner": PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
    }));
    let classes: Api<StorageClass> = Api::all(space.client.clone());
    classes
        .create(&PostParams::default(), &class.unwrap())
        .await
        .unwrap();
    let mut set = stateful_set("store", 1);
    set["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] = "waiting".into();
    let mut early = set["spec"]["volumeClaimTemplates"][0].clone();
    early["metadata"]["name"] = "early".into();
    let _: PersistentVolumeClaim = space.create(early).await;
    let _: StatefulSet = space.create(set).await;
    let claims = space.api::<PersistentVolumeClaim>();
    let phase = async |name: &str| claims.get(name).await.unwrap().status.unwrap().phase;
    space.pod("store", |pod| is_ready(pod) == Some(true)).await;
    assert_eq!(phase("data-store-0").await.as_deref(), Some("Bound"));
    assert_eq!(phase("early").await.as_deref(), Some("Pending"));
}

#[tokio::test]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let space = World::shared().await.space("leaving").await;
    let _: StatefulSet = space.create(stateful_set("store", 1)).await;
    space.pod("store", |pod| is_ready(pod) == Some(true)).await;
    let namespaces: Api<Namespace> = Api::all(space.client.clone());
    namespaces
        .delete("leaving", &DeleteParams::default())
        .await
        .unwrap();
    eventually("the namespace's end", async || {
        let namespace = namespaces.get_opt("leaving").await.unwrap();
        namespace.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_job_completes() {
    let space = World::shared().await.space("jobs").await;
    let _: Job = space.create(job("once", "once")).await;
    let status = eventually("the Job's end", async || {
        let status = space.api::<Job>().get("once").await.unwrap().status?;
        status.completion_time.is_some().then_some(status)
    })
    .await;
    assert_eq!((status.succeeded, status.failed), (Some(1), None));
}
