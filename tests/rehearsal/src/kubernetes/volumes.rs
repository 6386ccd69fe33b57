//! The pretend storage driver: gives every claim of its classes a volume, and takes back those that
//! were released. No disk is made, since no container ever mounts one.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, Error, ResourceExt};
use serde_json::json;

use super::background::{Background, Look};
use super::{Cluster, ClusterError, User};

/// The name by which storage classes call the pretend driver.
pub const PROVISIONER: &str = "csi.rehearsal.invalid";

/// The volume controller's call for a driver. It is made when a volume is due: for classes that
/// wait for the first consumer, when there is one.
const CALLED: &str = "volume.kubernetes.io/storage-provisioner";

/// Who takes a volume back. Without it the volume controller would try to do that itself.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// The pretend storage driver while it runs; volumes stay when it is dropped.
#[derive(Debug)]
pub struct Provisioner {
    _background: Background,
}

impl Provisioner {
    /// Starts it; blocks until it has served the claims that were waiting.
    pub fn start(cluster: &Cluster) -> Result<Self, ClusterError> {
        let background = Background::start("provisioner", cluster, User::Admin, Driver)?;
        Ok(Self {
            _background: background,
        })
    }
}

/// Needs no memory: each look starts from what is there.
struct Driver;

impl Look for Driver {
    async fn look(&mut self, client: &Client) -> Result<(), Error> {
        let all = ListParams::default();
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        let existing = volumes.list(&all).await?.items;
        for released in existing.iter().filter(|it| is_to_be_deleted(it)) {
            let name = released.name_any();
            ignoring(404, volumes.delete(&name, &DeleteParams::default()).await)?;
        }
        let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
        for claim in claims.list(&all).await?.items {
            if !waits(&claim)
                || existing
                    .iter()
                    .any(|it| it.name_any() == volume_name(&claim))
            {
                continue;
            }
            let name = claim
                .spec
                .as_ref()
                .and_then(|it| it.storage_class_name.as_deref());
            let classes: Api<StorageClass> = Api::all(client.clone());
            let Some(class) = classes.get_opt(name.unwrap_or_default()).await? else {
                continue;
            };
            let volume = volume(&claim, &class)?;
            ignoring(409, volumes.create(&PostParams::default(), &volume).await)?;
        }
        Ok(())
    }
}

/// Somebody else was quicker.
fn ignoring<T>(code: u16, result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Err(Error::Api(status)) if status.code == code => Ok(()),
        other => other.map(drop),
    }
}

fn is_to_be_deleted(volume: &PersistentVolume) -> bool {
    let phase = volume.status.as_ref().and_then(|it| it.phase.as_deref());
    let policy = volume
        .spec
        .as_ref()
        .and_then(|it| it.persistent_volume_reclaim_policy.as_deref());
    volume.annotations().get(PROVISIONED_BY).map(String::as_str) == Some(PROVISIONER)
        && phase == Some("Released")
        && policy == Some("Delete")
        && volume.metadata.deletion_timestamp.is_none()
}

fn waits(claim: &PersistentVolumeClaim) -> bool {
    let phase = claim.status.as_ref().and_then(|it| it.phase.as_deref());
    claim.annotations().get(CALLED).map(String::as_str) == Some(PROVISIONER)
        && phase == Some("Pending")
        && claim.metadata.deletion_timestamp.is_none()
}

/// One for each claim, whatever claims of the same name came before it.
fn volume_name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", claim.uid().unwrap_or_default())
}

/// A volume that only this claim can be bound to. It is of a kind that the scheduler does not count.
fn volume(claim: &PersistentVolumeClaim, class: &StorageClass) -> Result<PersistentVolume, Error> {
    let name = volume_name(claim);
    let spec = claim.spec.clone().unwrap_or_default();
    let volume = json!({
        "metadata": {
            "name": name,
            "annotations": { PROVISIONED_BY: PROVISIONER },
        },
        "spec": {
            "capacity": spec.resources.and_then(|it| it.requests),
            "accessModes": spec.access_modes,
            "volumeMode": spec.volume_mode,
            "storageClassName": class.name_any(),
            "persistentVolumeReclaimPolicy": class.reclaim_policy,
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": claim.namespace(),
                "name": claim.name_any(),
                "uid": claim.uid(),
            },
            "hostPath": { "path": format!("/nonexistent/{name}") },
        },
    });
    serde_json::from_value(volume).map_err(Error::SerdeError)
}

/// A storage class of the pretend driver.
pub(super) fn class(name: &str, is_default: bool) -> StorageClass {
    let mut class = StorageClass {
        provisioner: PROVISIONER.to_owned(),
        reclaim_policy: Some("Delete".to_owned()),
        volume_binding_mode: Some("Immediate".to_owned()),
        ..StorageClass::default()
    };
    class.metadata.name = Some(name.to_owned());
    if is_default {
        let mark = "storageclass.kubernetes.io/is-default-class";
        class
            .annotations_mut()
            .insert(mark.to_owned(), "true".to_owned());
    }
    class
}
