//! Warnings among the cluster's Events: why Pods are not even made, not scheduled, not started. Only computes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::kubernetes::{number, text};

/// How often each Event had been told when a wait began: what an earlier try has left behind is not about this one.
pub(super) type Before = BTreeMap<String, u64>;

pub(super) fn before(events: &[Value]) -> Before {
    let told = |event: &Value| (text(event, "/metadata/uid").to_owned(), count(event));
    events.iter().map(told).collect()
}

/// The server counts a repeated Event up, in one of two places.
fn count(event: &Value) -> u64 {
    number(event, "/count").max(number(event, "/series/count"))
}

/// The newest warning about a workload, its Pods or their claims that was not told before.
pub(super) fn newest(events: &[Value], workload: &str, before: &Before) -> Option<String> {
    let is_new = |event: &&Value| {
        before
            .get(text(event, "/metadata/uid"))
            .is_none_or(|told| count(event) > *told)
    };
    let time = |event: &Value| {
        ["/series/lastObservedTime", "/lastTimestamp", "/eventTime"]
            .map(|pointer| text(event, pointer).to_owned())
            .into_iter()
            .max()
    };
    let newest = events
        .iter()
        .filter(|event| text(event, "/type") == "Warning" && concerns(event, workload))
        // the Pod itself says it, and only for as long as it is so
        .filter(|event| !matches!(text(event, "/reason"), "BackOff" | "FailedScheduling"))
        .filter(is_new)
        .max_by_key(|event| time(event))?;
    let about = newest.pointer("/involvedObject")?;
    Some(format!(
        "{} `{}`: {}: {}",
        text(about, "/kind"),
        text(about, "/name"),
        text(newest, "/reason"),
        text(newest, "/message").trim().trim_end_matches('.'),
    ))
}

/// A workload's Pods and `ReplicaSet`s begin with its name and a dash, its claims have them in the middle.
fn concerns(event: &Value, workload: &str) -> bool {
    let name = text(event, "/involvedObject/name");
    let made_of = |name: &str| {
        name.strip_prefix(workload)
            .is_some_and(|rest| rest.is_empty() || is_made(rest))
    };
    match text(event, "/involvedObject/kind") {
        "PersistentVolumeClaim" => name.split_once('-').is_some_and(|(_, rest)| made_of(rest)),
        _ => made_of(name),
    }
}

/// A number, or what Kubernetes draws: `-0`, `-6d4b75cb6d`, `-6d4b75cb6d-hx2vq`. Another workload's name is neither.
fn is_made(rest: &str) -> bool {
    let mut parts = rest.split('-').skip(1);
    parts.all(|part| !part.is_empty() && part.bytes().all(|byte| DRAWN.contains(&byte)))
}

/// The letters that Kubernetes draws names from: no vowels, so that no words come of them.
const DRAWN: &[u8] = b"0123456789bcdfghjklmnpqrstvwxz";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(uid: &str, kind: &str, name: &str, message: &str, count: u64) -> Value {
        json!({
            "metadata": { "uid": uid },
            "type": "Warning", "reason": "FailedCreate", "message": message, "count": count,
            "involvedObject": { "kind": kind, "name": name },
            "lastTimestamp": format!("2026-11-28T00:00:{count:02}Z"),
        })
    }

    #[test]
    fn the_newest_warning_about_a_workload_is_told() {
        let events = [
            event("a", "StatefulSet", "ipfs", "exceeded quota", 1),
            event("b", "StatefulSet", "ipfs-cluster", "another", 9),
            event(
                "c",
                "ReplicaSet",
                "temporal-api-6d4b75cb6d",
                "violates PodSecurity",
                2,
            ),
            event(
                "d",
                "PersistentVolumeClaim",
                "data-postgres-0",
                "no disk",
                3,
            ),
            event(
                "e",
                "Pod",
                "temporal-queue-pin-6d4b75cb6d-hx2vq",
                "a webhook",
                4,
            ),
        ];
        let none = Before::new();
        for (workload, said) in [
            ("ipfs", "StatefulSet `ipfs`: FailedCreate: exceeded quota"),
            (
                "temporal-api",
                "ReplicaSet `temporal-api-6d4b75cb6d`: FailedCreate: violates PodSecurity",
            ),
            (
                "postgres",
                "PersistentVolumeClaim `data-postgres-0`: FailedCreate: no disk",
            ),
        ] {
            assert_eq!(newest(&events, workload, &none).unwrap(), said);
        }
        assert_eq!(newest(&events, "temporal-queue", &none), None);
        assert_eq!(newest(&events, "rabbitmq", &none), None);
    }

    #[test]
    fn what_an_earlier_try_left_behind_counts_when_it_comes_again() {
        let before = before(&[event("a", "StatefulSet", "ipfs", "exceeded quota", 3)]);
        let now = |count| [event("a", "StatefulSet", "ipfs", "exceeded quota", count)];
        assert_eq!(newest(&now(3), "ipfs", &before), None);
        assert!(newest(&now(4), "ipfs", &before).is_some());
    }
}
