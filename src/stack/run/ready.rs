//! Is an object of the API ready, and if not, what is in the way? Pure.

use serde_json::Value;

use crate::error::shorten;
use crate::kubernetes::{Kind, list, name_of, number, text};

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

impl Readiness {
    /// What is missing, or why it has failed.
    pub fn problem(&self) -> Option<&str> {
        match self {
            Self::Ready => None,
            Self::Waiting(why) | Self::Failed(why) => Some(why),
        }
    }
}

/// Looks at a workload; other kinds are ready as soon as they are there. Ready means all Pods, of the newest
/// template, and not merely running.
pub fn readiness(kind: Kind, object: &Value) -> Readiness {
    match kind {
        Kind::StatefulSet => stateful_set(object),
        Kind::Deployment => deployment(object),
        Kind::Job => job(object),
        _ => Readiness::Ready,
    }
}

/// Pods that are wanted and Pods that are ready.
pub fn counts(kind: Kind, object: &Value) -> (u64, u64) {
    match kind {
        Kind::Job => (1, number(object, "/status/succeeded")),
        _ => (wanted(object), lasting(object)),
    }
}

/// Pods that are ready, and for as long as the workload asks for: one that crashes again and again is ready in between.
fn lasting(object: &Value) -> u64 {
    if number(object, "/spec/minReadySeconds") == 0 {
        number(object, "/status/readyReplicas")
    } else {
        number(object, "/status/availableReplicas")
    }
}

fn wanted(object: &Value) -> u64 {
    object
        .pointer("/spec/replicas")
        .and_then(Value::as_u64)
        .unwrap_or(1)
}

fn pods(object: &Value, updated: u64) -> Readiness {
    let (wanted, ready) = (wanted(object), lasting(object));
    let seen = number(object, "/status/observedGeneration");
    if seen < number(object, "/metadata/generation") {
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
    if condition(object, "Complete", "True").is_some() {
        return Readiness::Ready;
    }
    match condition(object, "Failed", "True") {
        Some(failed) => {
            let message = text(failed, "/message").trim_end_matches('.');
            Readiness::Failed(format!("it has failed: {message}"))
        }
        None => Readiness::Waiting("it has not completed yet".to_owned()),
    }
}

/// The condition of this type, if it has this status.
fn condition<'a>(object: &'a Value, kind: &str, status: &str) -> Option<&'a Value> {
    list(object, "/status/conditions")
        .find(|it| text(it, "/type") == kind && text(it, "/status") == status)
}

/// What is in the way of a Pod, if it is something that a person may have to change. `says` is allowed to show a
/// container's last line, without what is secret in it.
pub fn trouble(pod: &Value, says: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let name = name_of(pod);
    let unscheduled = condition(pod, "PodScheduled", "False").map(|it| text(it, "/message"));
    if let Some(message) = unscheduled.filter(|message| !message.is_empty()) {
        return Some(format!("Pod `{name}`: {message}"));
    }
    let mut statuses = ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .flat_map(|pointer| list(pod, pointer));
    statuses.find_map(|status| {
        let what = in_container(status, says)?;
        let container = text(status, "/name");
        Some(format!("Pod `{name}`, container `{container}`: {what}"))
    })
}

fn in_container(status: &Value, says: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    Some(match text(status, "/state/waiting/reason") {
        // it is not started again, as in the Pods of Jobs
        "" if number(status, "/state/terminated/exitCode") > 0 => {
            last_words(status.pointer("/state/terminated")?, says)
        }
        "" if number(status, "/restartCount") == 0 => return None,
        "" if status.pointer("/ready").and_then(Value::as_bool) == Some(true) => return None,
        // between two crashes it runs for a moment
        "" => last_words(status.pointer("/lastState/terminated")?, says),
        "ContainerCreating" | "PodInitializing" => return None,
        // the two take turns
        "ErrImagePull" | "ImagePullBackOff" => {
            format!("the image `{}` cannot be pulled", text(status, "/image"))
        }
        reason => {
            let message = text(status, "/state/waiting/message");
            match status.pointer("/lastState/terminated") {
                Some(ended) => format!("{reason}: {}", last_words(ended, says)),
                None if message.is_empty() => reason.to_owned(),
                None => format!("{reason}: {message}"),
            }
        }
    })
}

/// How a container has ended.
fn last_words(ended: &Value, says: &dyn Fn(&str) -> Option<String>) -> String {
    let reason = match text(ended, "/reason") {
        "OOMKilled" => " (out of memory)",
        _ => "",
    };
    let code = number(ended, "/exitCode");
    let line = text(ended, "/message")
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .and_then(says)
        .map(|line| format!(": {}", shorten(&line)));
    format!("it ended with {code}{reason}{}", line.unwrap_or_default())
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
    fn with_a_time_to_last_only_pods_that_have_lasted_count() {
        let mut crashing = set();
        crashing["spec"]["minReadySeconds"] = json!(30);
        for kind in [Kind::StatefulSet, Kind::Deployment] {
            assert_eq!(
                readiness(kind, &crashing),
                Readiness::Waiting("0 of 3 Pods are ready".to_owned())
            );
        }
        crashing["status"]["availableReplicas"] = json!(3);
        assert_eq!(readiness(Kind::Deployment, &crashing), Readiness::Ready);
    }

    #[test]
    fn a_pod_tells_what_is_in_its_way() {
        let says = |line: &str| Some(line.replace("hunter2", "(secret)"));
        let trouble = |pod: &Value| trouble(pod, &says);
        let waiting = |reason: &str, last: Value| {
            json!({
                "metadata": { "name": "postgres-0" },
                "status": { "containerStatuses": [{
                    "name": "postgres",
                    "image": "postgres:17",
                    "restartCount": 2,
                    "ready": false,
                    "state": { "waiting": { "reason": reason, "message": "back-off" } },
                    "lastState": last,
                }] },
            })
        };
        let ended = json!({ "terminated": { "exitCode": 1 } });
        let with_words = json!({ "terminated": {
            "exitCode": 1, "message": "starting\nFATAL: no role for hunter2\n\n",
        } });
        for (reason, last, said) in [
            (
                "CrashLoopBackOff",
                ended.clone(),
                "CrashLoopBackOff: it ended with 1",
            ),
            (
                "CrashLoopBackOff",
                with_words.clone(),
                "CrashLoopBackOff: it ended with 1: FATAL: no role for (secret)",
            ),
            (
                "",
                with_words,
                "it ended with 1: FATAL: no role for (secret)",
            ),
            (
                "CrashLoopBackOff",
                json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } }),
                "CrashLoopBackOff: it ended with 137 (out of memory)",
            ),
            (
                "ErrImagePull",
                json!({}),
                "the image `postgres:17` cannot be pulled",
            ),
            (
                "ImagePullBackOff",
                json!({}),
                "the image `postgres:17` cannot be pulled",
            ),
            (
                "CreateContainerConfigError",
                json!({}),
                "CreateContainerConfigError: back-off",
            ),
        ] {
            assert_eq!(
                trouble(&waiting(reason, last)).unwrap(),
                format!("Pod `postgres-0`, container `postgres`: {said}")
            );
        }
        assert_eq!(trouble(&waiting("ContainerCreating", json!({}))), None);
        let of_job = json!({
            "metadata": { "name": "migrate" },
            "status": { "containerStatuses": [
                { "name": "migrate", "state": { "terminated": { "exitCode": 0 } } },
                { "name": "tables", "state": { "terminated": {
                    "exitCode": 1, "message": "ERROR:  tables are missing\n",
                } } },
            ] },
        });
        assert_eq!(
            trouble(&of_job).unwrap(),
            "Pod `migrate`, container `tables`: it ended with 1: ERROR:  tables are missing"
        );
        let mut well = waiting("", ended);
        well["status"]["containerStatuses"][0]["ready"] = json!(true);
        assert_eq!(trouble(&well), None);
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
