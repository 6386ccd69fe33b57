//! Takes the stack away again. Claims and Secrets stay unless the user says otherwise: the ones hold the data,
//! the others the keys to it.

use std::time::Duration;

use super::wait::{self, Progress};
use crate::kubernetes::{Error, Kind, Kubernetes, name_of};
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

/// Why the stack is not gone.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The cluster.
    #[error(transparent)]
    Api(#[from] Error),
    /// Something is still there.
    #[error(transparent)]
    Late(#[from] wait::Error),
}

/// What to take away.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Claims, Secrets, and the Namespace if we made it, too.
    pub data: bool,
    /// How long Pods may take to end.
    pub limit: Duration,
}

/// Deletes, and waits until it is gone.
pub async fn delete(
    kubernetes: &Kubernetes,
    namespace: &str,
    options: Options,
    progress: &mut dyn Progress,
) -> Result<(), Failed> {
    let labels = objects::ours();
    for kind in KINDS {
        remove(kubernetes, kind, namespace, &labels, progress).await?;
    }
    wait::until_gone(kubernetes, Kind::Pod, namespace, options.limit, progress).await?;
    if !options.data {
        return Ok(());
    }
    for kind in [Kind::PersistentVolumeClaim, Kind::Secret] {
        remove(kubernetes, kind, namespace, &labels, progress).await?;
    }
    let kind = Kind::PersistentVolumeClaim;
    wait::until_gone(kubernetes, kind, namespace, options.limit, progress).await?;
    let there = kubernetes.get(Kind::Namespace, "", namespace).await?;
    if there.as_ref().is_some_and(objects::is_ours) {
        kubernetes
            .delete(Kind::Namespace, "", namespace, None)
            .await?;
        progress.done(&format!("removed Namespace `{namespace}`"));
    }
    Ok(())
}

async fn remove(
    kubernetes: &Kubernetes,
    kind: Kind,
    namespace: &str,
    labels: &str,
    progress: &mut dyn Progress,
) -> Result<(), Error> {
    for object in kubernetes.list(kind, namespace, labels).await? {
        let name = name_of(&object);
        kubernetes.delete(kind, namespace, name, None).await?;
        progress.done(&format!("removed {} `{name}`", kind.word()));
    }
    Ok(())
}
