//! What a kubelet would say of a Pod. Only computes.

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodSpec, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::SignedDuration;
use kube::ResourceExt;

use super::HOST;

/// The label whose value the fate of a Pod hangs on.
pub const COMPONENT: &str = "app.kubernetes.io/component";

/// What becomes of Pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// They run and are ready; those of Jobs succeed.
    #[default]
    Ready,
    /// They run and are never ready; those of Jobs never end.
    NeverReady,
    /// Their containers end as soon as they start: `CrashLoopBackOff`.
    Crashes,
    /// Their images are not to be had: `ImagePullBackOff`.
    ImagePull,
    /// Those of Jobs fail; the others are ready.
    JobFails,
}

/// Restarts of a container that crashes.
const RESTARTS: i32 = 3;

/// The status that shows a Pod's fate; none if that is what is shown already, and none for a Pod
/// that has ended, since nothing becomes of it.
pub(super) fn status(pod: &Pod, fate: Fate, address: &str, now: &Time) -> Option<PodStatus> {
    let shown = pod.status.clone().unwrap_or_default();
    let spec = pod.spec.as_ref()?;
    if matches!(shown.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let course = course(fate, is_of_job(pod));
    let address = shown.pod_ip.clone().unwrap_or_else(|| address.to_owned());
    let wanted = PodStatus {
        phase: Some(course.phase().to_owned()),
        conditions: Some(conditions(course, &shown, now)),
        init_container_statuses: Some(initial_containers(spec, &shown, now)),
        container_statuses: Some(containers(spec, course, &shown, now)),
        start_time: shown.start_time.clone().or_else(|| Some(now.clone())),
        host_ip: Some(HOST.to_owned()),
        host_ips: Some(vec![HostIP {
            ip: HOST.to_owned(),
        }]),
        pod_ips: Some(vec![PodIP {
            ip: address.clone(),
        }]),
        pod_ip: Some(address),
        ..shown.clone()
    };
    (wanted != shown).then_some(wanted)
}

/// How a Pod fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Runs,
    RunsUnready,
    Crashes,
    WaitsForImage,
    Succeeds,
    Fails,
}

impl Course {
    fn phase(self) -> &'static str {
        match self {
            Self::Runs | Self::RunsUnready | Self::Crashes => "Running",
            Self::WaitsForImage => "Pending",
            Self::Succeeds => "Succeeded",
            Self::Fails => "Failed",
        }
    }
}

fn course(fate: Fate, is_of_job: bool) -> Course {
    match (fate, is_of_job) {
        (Fate::Ready, true) => Course::Succeeds,
        (Fate::JobFails, true) => Course::Fails,
        (Fate::Ready | Fate::JobFails, false) => Course::Runs,
        (Fate::NeverReady, _) => Course::RunsUnready,
        (Fate::Crashes, _) => Course::Crashes,
        (Fate::ImagePull, _) => Course::WaitsForImage,
    }
}

fn is_of_job(pod: &Pod) -> bool {
    pod.owner_references().iter().any(|it| it.kind == "Job")
}

/// The conditions that a kubelet keeps, among those of others. What stays as it was keeps its time.
fn conditions(course: Course, shown: &PodStatus, now: &Time) -> Vec<PodCondition> {
    let is_ready = course == Course::Runs;
    let reason = match course {
        Course::Runs => None,
        Course::Succeeds => Some("PodCompleted"),
        Course::Fails => Some("PodFailed"),
        Course::RunsUnready | Course::Crashes | Course::WaitsForImage => Some("ContainersNotReady"),
    };
    let mut conditions = shown.conditions.clone().unwrap_or_default();
    for (name, is_true, reason) in [
        ("PodReadyToStartContainers", true, None),
        ("Initialized", true, None),
        ("ContainersReady", is_ready, reason),
        ("Ready", is_ready, reason),
    ] {
        let status = if is_true { "True" } else { "False" };
        let is_as_wanted = |it: &PodCondition| {
            it.type_ == name && it.status == status && it.reason.as_deref() == reason
        };
        if conditions.iter().any(is_as_wanted) {
            continue;
        }
        let since = if name == "Ready" && is_true {
            long_ago(now)
        } else {
            now.clone()
        };
        conditions.retain(|it| it.type_ != name);
        conditions.push(PodCondition {
            type_: name.to_owned(),
            status: status.to_owned(),
            reason: reason.map(str::to_owned),
            last_transition_time: Some(since),
            ..PodCondition::default()
        });
    }
    conditions
}

/// So that nobody waits for Pods which must have been ready for a while before they count.
fn long_ago(now: &Time) -> Time {
    Time(
        now.0
            .checked_sub(SignedDuration::from_hours(1))
            .unwrap_or(now.0),
    )
}

/// They are done in every course, but those that stay beside the containers.
fn initial_containers(spec: &PodSpec, shown: &PodStatus, now: &Time) -> Vec<ContainerStatus> {
    let shown = shown.init_container_statuses.as_deref().unwrap_or_default();
    let containers = spec.init_containers.iter().flatten();
    containers
        .map(|container| {
            let stays = container.restart_policy.as_deref() == Some("Always");
            let course = if stays {
                Course::Runs
            } else {
                Course::Succeeds
            };
            let status = container_status(container, course, shown, now);
            kept(
                ContainerStatus {
                    ready: true,
                    ..status
                },
                shown,
            )
        })
        .collect()
}

fn containers(
    spec: &PodSpec,
    course: Course,
    shown: &PodStatus,
    now: &Time,
) -> Vec<ContainerStatus> {
    let shown = shown.container_statuses.as_deref().unwrap_or_default();
    let containers = spec.containers.iter();
    containers
        .map(|container| kept(container_status(container, course, shown, now), shown))
        .collect()
}

/// What is shown of a container if that is the same but for its times, else what is wanted.
fn kept(wanted: ContainerStatus, shown: &[ContainerStatus]) -> ContainerStatus {
    let reason = |status: &ContainerStatus| {
        let state = status.state.clone().unwrap_or_default();
        let waiting = state.waiting.and_then(|it| it.reason);
        let ended = state.terminated.and_then(|it| it.reason);
        (state.running.is_some(), waiting, ended)
    };
    shown
        .iter()
        .find(|it| it.name == wanted.name)
        .filter(|it| it.ready == wanted.ready && reason(it) == reason(&wanted))
        .cloned()
        .unwrap_or(wanted)
}

fn container_status(
    container: &Container,
    course: Course,
    shown: &[ContainerStatus],
    now: &Time,
) -> ContainerStatus {
    let image = container.image.clone().unwrap_or_default();
    let restarts = shown
        .iter()
        .find(|it| it.name == container.name)
        .map_or(0, |it| it.restart_count);
    let (state, last_state, restarts) = match course {
        Course::Runs | Course::RunsUnready => (running(now), None, restarts),
        Course::Crashes => {
            let message = format!(
                "back-off 40s restarting failed container={}",
                container.name
            );
            let state = waiting("CrashLoopBackOff", message);
            (state, Some(ended(1, now)), restarts.max(RESTARTS))
        }
        Course::WaitsForImage => {
            let message = format!("Back-off pulling image \"{image}\"");
            (waiting("ImagePullBackOff", message), None, restarts)
        }
        Course::Succeeds => (ended(0, now), None, restarts),
        Course::Fails => (ended(1, now), None, restarts),
    };
    ContainerStatus {
        name: container.name.clone(),
        image,
        ready: course == Course::Runs,
        started: Some(matches!(course, Course::Runs | Course::RunsUnready)),
        restart_count: restarts,
        state: Some(state),
        last_state,
        ..ContainerStatus::default()
    }
}

fn running(now: &Time) -> ContainerState {
    ContainerState {
        running: Some(ContainerStateRunning {
            started_at: Some(now.clone()),
        }),
        ..ContainerState::default()
    }
}

fn waiting(reason: &str, message: String) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: Some(message),
        }),
        ..ContainerState::default()
    }
}

fn ended(exit_code: i32, now: &Time) -> ContainerState {
    let reason = if exit_code == 0 { "Completed" } else { "Error" };
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code,
            reason: Some(reason.to_owned()),
            started_at: Some(now.clone()),
            finished_at: Some(now.clone()),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;

    const FATES: [Fate; 5] = [
        Fate::Ready,
        Fate::NeverReady,
        Fate::Crashes,
        Fate::ImagePull,
        Fate::JobFails,
    ];

    fn pod(owner: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "one",
                "ownerReferences": [
                    { "apiVersion": "v1", "kind": owner, "name": "owner", "uid": "1" },
                ],
            },
            "spec": {
                "initContainers": [
                    { "name": "before", "image": "example.invalid/before:1" },
                    { "name": "beside", "image": "example.invalid/beside:1", "restartPolicy": "Always" },
                ],
                "containers": [{ "name": "main", "image": "example.invalid/main:1" }],
            },
            "status": { "conditions": [{ "type": "PodScheduled", "status": "True" }] },
        }))
        .unwrap()
    }

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn shown(mut pod: Pod, fate: Fate, second: i64) -> Pod {
        pod.status = Some(status(&pod, fate, "10.0.0.1", &at(second)).unwrap());
        pod
    }

    fn condition<'a>(pod: &'a Pod, name: &str) -> &'a PodCondition {
        let conditions = pod.status.as_ref().unwrap().conditions.as_ref().unwrap();
        let mut found = conditions.iter().filter(|it| it.type_ == name);
        let one = found.next().unwrap();
        assert_eq!(found.next(), None);
        one
    }

    #[test]
    fn what_is_shown_is_not_shown_again() {
        for owner in ["ReplicaSet", "Job"] {
            for fate in FATES {
                let shown = shown(pod(owner), fate, 1);
                assert_eq!(status(&shown, fate, "10.0.0.2", &at(2)), None, "{fate:?}");
            }
        }
    }

    #[test]
    fn a_change_of_fate_keeps_what_does_not_change() {
        let ready = shown(pod("ReplicaSet"), Fate::Ready, 1);
        let crashed = shown(ready, Fate::Crashes, 2);
        assert_eq!(condition(&crashed, "Ready").status, "False");
        assert_eq!(
            condition(&crashed, "Ready").last_transition_time,
            Some(at(2))
        );
        assert_eq!(
            condition(&crashed, "Initialized").last_transition_time,
            Some(at(1))
        );
        assert_eq!(condition(&crashed, "PodScheduled").status, "True");
        let healed = shown(crashed, Fate::Ready, 3);
        assert_eq!(
            condition(&healed, "Ready").last_transition_time,
            Some(at(3 - 3600))
        );
        assert_eq!(condition(&healed, "Ready").reason, None);
        let status = healed.status.unwrap();
        let main = &status.container_statuses.unwrap()[0];
        assert_eq!((main.ready, main.restart_count), (true, RESTARTS));
        assert_eq!(status.start_time, Some(at(1)));
        assert_eq!(status.pod_ip.as_deref(), Some("10.0.0.1"));
    }

    #[test]
    fn a_pod_that_has_ended_stays_so() {
        for fate in [Fate::Ready, Fate::JobFails] {
            let ended = shown(pod("Job"), fate, 1);
            for later in FATES {
                assert_eq!(status(&ended, later, "10.0.0.1", &at(2)), None);
            }
        }
    }
}
