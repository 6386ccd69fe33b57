//! The pretend node: registers, renews its Lease, and says of the Pods that the scheduler bound to
//! it what a kubelet would. No container runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node as Registration, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, Error, ResourceExt};
use serde_json::json;

use super::background::{Background, Look};
use super::pod::{COMPONENT, Fate, status};
use super::{Cluster, ClusterError, HOST, User};

/// The name of the pretend node.
pub const NODE: &str = "rehearsal-0";

/// A kubelet's own pace.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The namespace of nodes' Leases.
const LEASES: &str = "kube-node-lease";

/// The pretend node while it runs; dropping it is pulling its plug: its Pods stay as they are.
#[derive(Debug)]
pub struct Node {
    fates: Fates,
    _background: Background,
}

/// By the label [`COMPONENT`].
type Fates = Arc<Mutex<BTreeMap<String, Fate>>>;

impl Node {
    /// Registers the node and blocks until it can take Pods. A Pod meets its fate when it has been
    /// here for `pause`.
    pub fn start(cluster: &Cluster, pause: Duration) -> Result<Self, ClusterError> {
        let fates = Fates::default();
        let kubelet = Kubelet {
            fates: Arc::clone(&fates),
            pause,
            heartbeat: None,
            seen: HashMap::new(),
            addresses: 0,
        };
        let background = Background::start("node", cluster, User::Node, kubelet)?;
        Ok(Self {
            fates,
            _background: background,
        })
    }

    /// Decides what becomes of the Pods whose label `app.kubernetes.io/component` has this value,
    /// those to come and those that are here. Pods that nobody decided about are ready.
    pub fn decide(&self, component: &str, fate: Fate) {
        let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        fates.insert(component.to_owned(), fate);
    }
}

/// What the node's thread knows.
struct Kubelet {
    fates: Fates,
    pause: Duration,
    /// The last one that arrived.
    heartbeat: Option<Instant>,
    /// When each Pod, by its UID, was first seen, and the address it got.
    seen: HashMap<String, (Instant, String)>,
    /// How many addresses were given out.
    addresses: u16,
}

impl Look for Kubelet {
    async fn look(&mut self, client: &Client) -> Result<(), Error> {
        if self
            .heartbeat
            .is_none_or(|last| last.elapsed() >= HEARTBEAT)
        {
            register(client).await?;
            self.heartbeat = Some(Instant::now());
        }
        let mine = ListParams::default().fields(&format!("spec.nodeName={NODE}"));
        let pods = Api::<Pod>::all(client.clone()).list(&mine).await?.items;
        self.seen.retain(|uid, _| {
            pods.iter()
                .any(|pod| pod.metadata.uid.as_ref() == Some(uid))
        });
        let mut result = Ok(());
        for pod in pods {
            result = result.and(self.tend(client, pod).await);
        }
        result
    }
}

impl Kubelet {
    async fn tend(&mut self, client: &Client, mut pod: Pod) -> Result<(), Error> {
        let name = pod.name_any();
        let pods: Api<Pod> = Api::namespaced(
            client.clone(),
            pod.namespace().as_deref().unwrap_or_default(),
        );
        if pod.metadata.deletion_timestamp.is_some() {
            let this_one = Preconditions {
                uid: pod.uid(),
                ..Preconditions::default()
            };
            let at_once = DeleteParams::default()
                .grace_period(0)
                .preconditions(this_one);
            return unless_changed(pods.delete(&name, &at_once).await);
        }
        let (since, address) = self.seen(&pod);
        if since.elapsed() < self.pause {
            return Ok(());
        }
        let now = Time(Timestamp::now());
        let Some(status) = status(&pod, self.fate(&pod), &address, &now) else {
            return Ok(());
        };
        pod.status = Some(status);
        unless_changed(
            pods.replace_status(&name, &PostParams::default(), &pod)
                .await,
        )
    }

    fn seen(&mut self, pod: &Pod) -> (Instant, String) {
        let entry = self.seen.entry(pod.uid().unwrap_or_default());
        entry
            .or_insert_with(|| {
                self.addresses = self.addresses.wrapping_add(1);
                let [high, low] = self.addresses.to_be_bytes();
                (Instant::now(), format!("10.77.{high}.{low}"))
            })
            .clone()
    }

    fn fate(&self, pod: &Pod) -> Fate {
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        let fate = pod.labels().get(COMPONENT).and_then(|it| fates.get(it));
        fate.copied().unwrap_or_default()
    }
}

/// A Pod that went away or changed meanwhile is what the next look is for.
fn unless_changed<T>(result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Err(Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other.map(drop),
    }
}

/// Makes the node's objects if they are not there, and says that it is well.
async fn register(client: &Client) -> Result<(), Error> {
    let nodes: Api<Registration> = Api::all(client.clone());
    if nodes.get_opt(NODE).await?.is_none() {
        let node = json!({
            "metadata": {
                "name": NODE,
                "labels": {
                    "kubernetes.io/hostname": NODE,
                    "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64",
                },
            },
        });
        let node = serde_json::from_value(node).map_err(Error::SerdeError)?;
        nodes.create(&PostParams::default(), &node).await?;
    }
    let now = Time(Timestamp::now());
    let room = json!({
        "cpu": "32", "memory": "256Gi", "pods": "250", "ephemeral-storage": "1Ti",
    });
    let conditions = [
        ("Ready", "True"),
        ("MemoryPressure", "False"),
        ("DiskPressure", "False"),
        ("PIDPressure", "False"),
    ]
    .map(|(name, status)| {
        json!({
            "type": name, "status": status, "reason": "Pretended", "message": "",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    });
    let status = json!({ "status": {
        "capacity": room,
        "allocatable": room,
        "conditions": conditions,
        "addresses": [
            { "type": "InternalIP", "address": HOST },
            { "type": "Hostname", "address": NODE },
        ],
    } });
    nodes
        .patch_status(NODE, &PatchParams::default(), &Patch::Strategic(status))
        .await?;
    renew(client).await
}

async fn renew(client: &Client) -> Result<(), Error> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASES);
    let lease = json!({
        "metadata": { "name": NODE },
        "spec": {
            "holderIdentity": NODE,
            "leaseDurationSeconds": 40,
            "renewTime": MicroTime(Timestamp::now()),
        },
    });
    if leases.get_opt(NODE).await?.is_some() {
        leases
            .patch(NODE, &PatchParams::default(), &Patch::Merge(lease))
            .await?;
    } else {
        let lease = serde_json::from_value(lease).map_err(Error::SerdeError)?;
        leases.create(&PostParams::default(), &lease).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The API server gives a kubelet its rights by its name.
    #[test]
    fn the_user_is_named_after_the_node() {
        assert_eq!(User::Node.name(), format!("system:node:{NODE}"));
    }
}
