//! Waiting, with an end, and with words for what is waited for.
#![expect(clippy::disallowed_methods, reason = "waits for a cluster")]

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::objects;
use super::ready::{Readiness, counts, readiness, trouble};
use crate::kubernetes::{Error as ApiError, Kind, Kubernetes, name_of};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// The kinds that become ready some time after they were made.
pub const WORKLOADS: [Kind; 3] = [Kind::StatefulSet, Kind::Deployment, Kind::Job];

/// Who tells a person how it goes.
pub trait Progress {
    /// Something was done.
    fn done(&mut self, what: &str);
    /// Something is waited for: so many of so many things are as they should be, and what is in the way.
    fn waits(&mut self, what: &str, ready: u64, wanted: u64);
}

/// Why the end of a wait is not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Not in time.
    #[error("not ready after {} s:\n{}", limit.as_secs(), found.join("\n"))]
    Late {
        /// How long it was waited.
        limit: Duration,
        /// What is in the way, a line for each.
        found: Vec<String>,
    },
    /// It will not come right by itself.
    #[error("{0}")]
    Failed(String),
}

/// A workload by kind and name.
pub type Workload = (Kind, String);

/// Waits until all of these are ready.
pub async fn until_ready(
    kubernetes: &Kubernetes,
    namespace: &str,
    workloads: &[Workload],
    limit: Duration,
    progress: &mut dyn Progress,
) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    loop {
        let look = look(kubernetes, namespace, workloads).await?;
        if let Some(failed) = look.failed {
            return Err(Error::Failed(failed));
        }
        if look.waiting.is_empty() {
            return Ok(());
        }
        progress.waits(&look.waiting.join("; "), look.ready, look.wanted);
        if Instant::now() + PAUSE > deadline {
            let found = look.waiting;
            return Err(Error::Late { limit, found });
        }
        sleep(PAUSE).await;
    }
}

/// Waits until there is no object of ours of this kind.
pub async fn until_gone(
    kubernetes: &Kubernetes,
    kind: Kind,
    namespace: &str,
    limit: Duration,
    progress: &mut dyn Progress,
) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    let mut most = 0;
    loop {
        let left = kubernetes.list(kind, namespace, &objects::ours()).await?;
        if left.is_empty() {
            return Ok(());
        }
        let count = left.len() as u64;
        most = most.max(count);
        let what = format!("{} {} to go", left.len(), kind.names().3);
        progress.waits(&what, most - count, most);
        if Instant::now() + PAUSE > deadline {
            let named =
                |object: &Value| format!("{} `{}` is still there", kind.word(), name_of(object));
            let found = left.iter().map(named).collect();
            return Err(Error::Late { limit, found });
        }
        sleep(PAUSE).await;
    }
}

/// What one look at workloads has seen.
struct Look {
    ready: u64,
    wanted: u64,
    waiting: Vec<String>,
    failed: Option<String>,
}

async fn look(
    kubernetes: &Kubernetes,
    namespace: &str,
    workloads: &[Workload],
) -> Result<Look, ApiError> {
    let mut look = Look {
        ready: 0,
        wanted: 0,
        waiting: Vec::new(),
        failed: None,
    };
    for (kind, name) in workloads {
        let label = format!("{} `{name}`", kind.word());
        let Some(object) = kubernetes.get(*kind, namespace, name).await? else {
            look.wanted += 1;
            look.waiting.push(format!("{label}: it is not there"));
            continue;
        };
        let (wanted, ready) = counts(*kind, &object);
        look.wanted += wanted;
        look.ready += ready.min(wanted);
        let why = match readiness(*kind, &object) {
            Readiness::Ready => continue,
            Readiness::Waiting(why) => why,
            Readiness::Failed(why) => {
                look.failed = Some(format!("{label}: {why}"));
                continue;
            }
        };
        let troubles = troubles(kubernetes, namespace, &object).await?;
        let first = troubles.into_iter().next();
        let more = first.map(|it| format!(" ({it})")).unwrap_or_default();
        look.waiting.push(format!("{label}: {why}{more}"));
    }
    Ok(look)
}

/// What is in the way of the Pods of a workload.
pub async fn troubles(
    kubernetes: &Kubernetes,
    namespace: &str,
    workload: &Value,
) -> Result<Vec<String>, ApiError> {
    let component = workload
        .pointer("/metadata/labels/app.kubernetes.io~1component")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let labels = format!(
        "{},app.kubernetes.io/component={component}",
        objects::ours()
    );
    let pods = kubernetes.list(Kind::Pod, namespace, &labels).await?;
    Ok(pods.iter().filter_map(trouble).collect())
}
