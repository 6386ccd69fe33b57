//! Takes the stack away again. Claims and Secrets stay unless the user says otherwise: the ones hold the data,
//! the others the keys to it.

use super::{Error, Run, wait};
use crate::kubernetes::{Error as ApiError, Kind, name_of};
use crate::objects;

/// The kinds that hold no data, in the order in which they go: what asks before what answers.
pub const KINDS: [Kind; 6] = [
    Kind::Deployment,
    Kind::Job,
    Kind::StatefulSet,
    Kind::Service,
    Kind::NetworkPolicy,
    Kind::ConfigMap,
];

/// Deletes, and waits until it is gone: with `data` claims, Secrets, and the Namespace if we made it, too.
pub async fn delete(run: &mut Run<'_>, data: bool) -> Result<(), Error> {
    for kind in KINDS {
        remove(run, kind).await?;
    }
    wait::until_gone(run, Kind::Pod).await?;
    if !data {
        return Ok(());
    }
    for kind in [Kind::PersistentVolumeClaim, Kind::Secret] {
        remove(run, kind).await?;
    }
    wait::until_gone(run, Kind::PersistentVolumeClaim).await?;
    let name = run.kubernetes.namespace();
    let there = run.kubernetes.get(Kind::Namespace, name).await?;
    if there.as_ref().is_some_and(objects::is_ours) {
        run.kubernetes.delete(Kind::Namespace, name).await?;
        run.progress.done(&format!("removed Namespace `{name}`"));
    }
    Ok(())
}

async fn remove(run: &mut Run<'_>, kind: Kind) -> Result<(), ApiError> {
    for object in run.kubernetes.list(kind, &objects::ours()).await? {
        let name = name_of(&object);
        run.kubernetes.delete(kind, name).await?;
        run.progress.done(&format!("removed {kind} `{name}`"));
    }
    Ok(())
}
