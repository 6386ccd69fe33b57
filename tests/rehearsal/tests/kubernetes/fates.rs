//! Each misfortune shows in the status of Pods as a kubelet would show it, and can be ended.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use rehearsal::kubernetes::Fate;

use super::workloads::available;
use super::world::{World, deployment, eventually, job};

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

pub(super) fn is_ready(pod: &Pod) -> Option<bool> {
    let conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let ready = conditions.into_iter().find(|it| it.type_ == "Ready")?;
    Some(ready.status == "True")
}

fn main_container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

fn waits_because(pod: &Pod) -> Option<&str> {
    let state = main_container(pod)?.state.as_ref()?;
    state.waiting.as_ref()?.reason.as_deref()
}

/// A deployment of one Pod with this fate, seen, then ended.
async fn unlucky(app: &'static str, fate: Fate, shows: impl Fn(&Pod) -> bool) -> Pod {
    let world = World::shared().await;
    let space = world.space(app).await;
    world.node.decide(app, fate);
    let _: Deployment = space.create(deployment(app, app, 1)).await;
    let pod = space.pod(app, shows).await;
    let status = space.api::<Deployment>().get(app).await.unwrap().status;
    assert_eq!(status.unwrap_or_default().available_replicas, None);

    world.node.decide(app, Fate::Ready);
    available(&space, app, 1).await;
    let same = space.pods(app).await;
    assert_eq!(same.len(), 1);
    assert_eq!(same[0].metadata.uid, pod.metadata.uid);
    assert_eq!(waits_because(&same[0]), None);
    pod
}

#[tokio::test]
async fn never_ready_runs_and_is_not_ready() {
    let pod = unlucky("never-ready", Fate::NeverReady, |pod| {
        main_container(pod).is_some()
    })
    .await;
    assert_eq!(phase(&pod), Some("Running"));
    assert_eq!(is_ready(&pod), Some(false));
    let state = main_container(&pod).unwrap().state.clone().unwrap();
    assert!(state.running.is_some());
}

#[tokio::test]
async fn crashes_is_a_back_off_with_restarts_and_an_exit_code() {
    let pod = unlucky("crashes", Fate::Crashes, |pod| {
        waits_because(pod) == Some("CrashLoopBackOff")
    })
    .await;
    assert_eq!(phase(&pod), Some("Running"));
    assert_eq!(is_ready(&pod), Some(false));
    let container = main_container(&pod).unwrap();
    assert!(container.restart_count > 0);
    let last = container.last_state.clone().unwrap().terminated.unwrap();
    assert_eq!(last.exit_code, 1);
}

#[tokio::test]
async fn an_image_that_is_not_to_be_had_is_a_back_off_before_the_start() {
    let pod = unlucky("image-pull", Fate::ImagePull, |pod| {
        waits_because(pod) == Some("ImagePullBackOff")
    })
    .await;
    assert_eq!(phase(&pod), Some("Pending"));
    assert_eq!(is_ready(&pod), Some(false));
}

#[tokio::test]
async fn a_ready_pod_meets_its_new_fate() {
    let world = World::shared().await;
    let space = world.space("turning").await;
    let _: Deployment = space.create(deployment("turning", "turning", 1)).await;
    available(&space, "turning", 1).await;
    world.node.decide("turning", Fate::NeverReady);
    eventually("the deployment's loss", async || {
        let deployment = space.api::<Deployment>().get("turning").await.unwrap();
        let available = deployment.status?.available_replicas;
        available.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_job_fails_while_a_deployment_of_that_fate_is_available() {
    let world = World::shared().await;
    let space = world.space("job-fails").await;
    world.node.decide("unlucky", Fate::JobFails);
    let _: Job = space.create(job("once", "unlucky")).await;
    let _: Deployment = space.create(deployment("web", "unlucky", 1)).await;
    let failed = eventually("the Job's failure", async || {
        let conditions = space
            .api::<Job>()
            .get("once")
            .await
            .unwrap()
            .status?
            .conditions?;
        conditions
            .into_iter()
            .find(|it| it.type_ == "Failed" && it.status == "True")
    })
    .await;
    assert_eq!(failed.reason.as_deref(), Some("BackoffLimitExceeded"));
    let pod = space.pod("once", |_| true).await;
    assert_eq!(phase(&pod), Some("Failed"));
    let state = main_container(&pod).unwrap().state.clone().unwrap();
    assert_eq!(state.terminated.unwrap().exit_code, 1);
    available(&space, "web", 1).await;
}
