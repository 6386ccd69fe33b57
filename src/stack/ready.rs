//! Is an object of the API ready, and if not, what is in the way? Pure.

use serde_json::Value;

use crate::kubernetes::{Kind, name_of};

/// How far an object has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It does what it is for.
    Ready,
    /// Not yet. The text says what is missing.
    Waiting(String),
    /// It will not come right by itself. The text says why.
    Failed(String),
}

/// Looks at a workload; other kinds are ready as soon as they are there. Ready means all Pods, of the newest
/// template, and not merely running.
pub fn readiness(kind: Kind, object: &Value) -> Readiness {
    match kind {
        Kind::StatefulSet => stateful_set(object),
        Kind::Deployment => deployment(object),
        Kind::Job => job(object),
        Kind::Namespace
        | Kind::Secret
        | Kind::ConfigMap
        | Kind::Service
        | Kind::NetworkPolicy
        | Kind::Pod
        | Kind::PersistentVolumeClaim
        | Kind::StorageClass
        | Kind::Node => Readiness::Ready,
    }
}

/// Pods that are wanted and Pods that are ready.
pub fn counts(kind: Kind, object: &Value) -> (u64, u64) {
    match kind {
        Kind::Job => (1, number(object, "/status/succeeded")),
        _ => (wanted(object), number(object, "/status/readyReplicas")),
    }
}

fn number(object: &Value, pointer: &str) -> u64 {
    object
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn wanted(object: &Value) -> u64 {
    object
        .pointer("/spec/replicas")
        .and_then(Value::as_u64)
        .unwrap_or(1)
}

fn is_observed(object: &Value) -> bool {
    number(object, "/status/observedGeneration") >= number(object, "/metadata/generation")
}

fn pods(object: &Value, updated: u64) -> Readiness {
    let (wanted, ready) = (wanted(object), number(object, "/status/readyReplicas"));
    if !is_observed(object) {
        Readiness::Waiting("its controller has not seen it yet".to_owned())
    } else if updated < wanted {
        Readiness::Waiting(format!("{updated} of {wanted} Pods are made anew"))
    } else if ready < wanted {
        Readiness::Waiting(format!("{ready} of {wanted} Pods are ready"))
    } else {
        Readiness::Ready
    }
}

fn stateful_set(object: &Value) -> Readiness {
    // while nothing is rolled out, the count of updated Pods may be missing
    let same = text(object, "/status/currentRevision") == text(object, "/status/updateRevision");
    let updated = if same {
        number(object, "/status/replicas")
    } else {
        number(object, "/status/updatedReplicas")
    };
    pods(object, updated)
}

fn deployment(object: &Value) -> Readiness {
    let updated = number(object, "/status/updatedReplicas");
    let rest = number(object, "/status/replicas").saturating_sub(updated);
    match pods(object, updated) {
        Readiness::Ready if rest > 0 => Readiness::Waiting(format!("{rest} old Pods have to go")),
        other => other,
    }
}

fn job(object: &Value) -> Readiness {
    let conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let holds = |kind: &str| {
        conditions
            .into_iter()
            .flatten()
            .find(|it| text(it, "/type") == kind && text(it, "/status") == "True")
    };
    if holds("Complete").is_some() {
        return Readiness::Ready;
    }
    if let Some(failed) = holds("Failed") {
        return Readiness::Failed(format!(
            "it has failed: {}",
            text(failed, "/message").trim_end_matches('.')
        ));
    }
    Readiness::Waiting("it has not completed yet".to_owned())
}

/// What is in the way of a Pod, if it is something that a person may have to change.
pub fn trouble(pod: &Value) -> Option<String> {
    let name = name_of(pod);
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let unscheduled = conditions.into_iter().flatten().find(|it| {
        text(it, "/type") == "PodScheduled"
            && text(it, "/status") == "False"
            && !text(it, "/message").is_empty()
    });
    if let Some(condition) = unscheduled {
        return Some(format!("Pod `{name}`: {}", text(condition, "/message")));
    }
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .filter_map(|pointer| pod.pointer(pointer)?.as_array())
        .flatten();
    for status in statuses {
        let reason = text(status, "/state/waiting/reason");
        if matches!(reason, "" | "ContainerCreating" | "PodInitializing") {
            continue;
        }
        let last = last_words(status);
        let container = text(status, "/name");
        let message = text(status, "/state/waiting/message");
        return Some(format!(
            "Pod `{name}`, container `{container}`: {reason}{}{}",
            if message.is_empty() { "" } else { ": " },
            if last.is_empty() { message } else { &last },
        ));
    }
    None
}

/// How a container that starts over and over has ended.
fn last_words(status: &Value) -> String {
    match status.pointer("/lastState/terminated/exitCode") {
        Some(code) => format!("it ended with {code}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set() -> Value {
        json!({
            "metadata": { "generation": 2 },
            "spec": { "replicas": 3 },
            "status": {
                "observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 3,
                "currentRevision": "b", "updateRevision": "b",
            },
        })
    }

    fn after(kind: Kind, pointer: &str, value: Value) -> Readiness {
        let mut object = set();
        *object.pointer_mut(pointer).unwrap() = value;
        readiness(kind, &object)
    }

    #[test]
    fn ready_is_all_pods_of_the_newest_template() {
        for kind in [Kind::StatefulSet, Kind::Deployment] {
            assert_eq!(readiness(kind, &set()), Readiness::Ready);
            for (pointer, value, said) in [
                ("/metadata/generation", json!(3), "has not seen"),
                ("/status/readyReplicas", json!(2), "2 of 3 Pods are ready"),
                ("/status/readyReplicas", json!(null), "0 of 3"),
            ] {
                let Readiness::Waiting(why) = after(kind, pointer, value) else {
                    panic!("{pointer}");
                };
                assert!(why.contains(said), "{why}");
            }
        }
        let mut rolling = set();
        rolling["status"]["updateRevision"] = json!("c");
        rolling["status"]["updatedReplicas"] = json!(1);
        assert_eq!(
            readiness(Kind::StatefulSet, &rolling),
            Readiness::Waiting("1 of 3 Pods are made anew".to_owned())
        );
        assert_eq!(
            after(Kind::Deployment, "/status/replicas", json!(4)),
            Readiness::Waiting("1 old Pods have to go".to_owned())
        );
    }

    #[test]
    fn a_job_is_ready_when_it_is_complete() {
        let with = |kind: &str| {
            json!({ "status": { "conditions": [
                { "type": kind, "status": "True", "message": "Job has reached the limit." },
            ] } })
        };
        assert_eq!(readiness(Kind::Job, &with("Complete")), Readiness::Ready);
        assert_eq!(
            readiness(Kind::Job, &with("Failed")),
            Readiness::Failed("it has failed: Job has reached the limit".to_owned())
        );
        assert!(matches!(
            readiness(Kind::Job, &with("Suspended")),
            Readiness::Waiting(_)
        ));
        assert!(matches!(
            readiness(Kind::Job, &json!({})),
            Readiness::Waiting(_)
        ));
    }

    #[test]
    fn a_pod_tells_what_is_in_its_way() {
        let waiting = |reason: &str, last: Value| {
            json!({
                "metadata": { "name": "postgres-0" },
                "status": { "containerStatuses": [{
                    "name": "postgres",
                    "state": { "waiting": { "reason": reason, "message": "back-off" } },
                    "lastState": last,
                }] },
            })
        };
        let ended = json!({ "terminated": { "exitCode": 1 } });
        assert_eq!(
            trouble(&waiting("CrashLoopBackOff", ended)).unwrap(),
            "Pod `postgres-0`, container `postgres`: CrashLoopBackOff: it ended with 1"
        );
        assert_eq!(
            trouble(&waiting("ImagePullBackOff", json!({}))).unwrap(),
            "Pod `postgres-0`, container `postgres`: ImagePullBackOff: back-off"
        );
        assert_eq!(trouble(&waiting("ContainerCreating", json!({}))), None);
        let unscheduled = json!({
            "metadata": { "name": "ipfs-0" },
            "status": { "conditions": [{
                "type": "PodScheduled", "status": "False", "message": "0/1 nodes are available",
            }] },
        });
        assert_eq!(
            trouble(&unscheduled).unwrap(),
            "Pod `ipfs-0`: 0/1 nodes are available"
        );
    }
}
