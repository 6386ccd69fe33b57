//! Waiting, with an end, and with words for what is waited for.
#![expect(clippy::disallowed_methods, reason = "waits for a cluster")]

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::events::{Before, before, newest};
use super::plan::is_going;
use super::ready::{Readiness, counts, readiness, trouble};
use crate::kubernetes::{Error as ApiError, Kind, Kubernetes, name_of};
use crate::names::MANAGER;
use crate::objects;
use crate::secret::Secret;
use crate::secrets::{Existing, Values};

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
    /// The API server has warned.
    fn warns(&mut self, warnings: &[String]);
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

/// Looks at workloads until they are ready.
pub struct Watch<'a> {
    kubernetes: &'a Kubernetes,
    namespace: &'a str,
    hidden: Vec<Secret<String>>,
    before: Before,
    may_list_events: bool,
}

impl<'a> Watch<'a> {
    /// From now on: what is told of an earlier time is not about this wait. None of these values is ever shown, whoever
    /// says it.
    pub async fn begin(
        kubernetes: &'a Kubernetes,
        namespace: &'a str,
        values: &Values,
    ) -> Result<Self, ApiError> {
        let may_list_events = kubernetes.may("list", Kind::Event, Some(namespace)).await?;
        let mut watch = Self {
            kubernetes,
            namespace,
            hidden: values
                .values()
                .flat_map(|data| data.values().cloned())
                .collect(),
            before: Before::new(),
            may_list_events,
        };
        watch.before = before(&watch.events().await?);
        Ok(watch)
    }

    /// Waits until all of these are ready.
    pub async fn until_ready(
        &mut self,
        workloads: &[Workload],
        limit: Duration,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        loop {
            let look = self.look(workloads).await?;
            progress.warns(&self.kubernetes.warnings());
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

    async fn look(&self, workloads: &[Workload]) -> Result<Look, ApiError> {
        let mut look = Look {
            ready: 0,
            wanted: 0,
            waiting: Vec::new(),
            failed: None,
        };
        let mut events = None;
        for (kind, name) in workloads {
            let label = format!("{} `{name}`", kind.word());
            let Some(object) = self.kubernetes.get(*kind, self.namespace, name).await? else {
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
                    look.failed = Some(match self.troubles(&object).await?.first() {
                        Some(words) => format!("{label}: {why} ({words})"),
                        None => format!("{label}: {why}"),
                    });
                    continue;
                }
            };
            if events.is_none() {
                events = Some(self.events().await?);
            }
            let troubles = self.troubles(&object).await?.into_iter().take(1);
            let warned = newest(events.as_deref().unwrap_or_default(), name, &self.before);
            let more: Vec<String> = troubles.chain(warned).collect();
            look.waiting.push(if more.is_empty() {
                format!("{label}: {why}")
            } else {
                format!("{label}: {why} ({})", more.join("; "))
            });
        }
        Ok(look)
    }

    async fn events(&self) -> Result<Vec<Value>, ApiError> {
        if !self.may_list_events {
            return Ok(Vec::new());
        }
        self.kubernetes.list(Kind::Event, self.namespace, "").await
    }

    /// What is in the way of the Pods of a workload.
    pub async fn troubles(&self, workload: &Value) -> Result<Vec<String>, ApiError> {
        let component = workload
            .pointer("/metadata/labels/app.kubernetes.io~1component")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let labels = format!(
            "{},app.kubernetes.io/component={component}",
            objects::ours()
        );
        let pods = self
            .kubernetes
            .list(Kind::Pod, self.namespace, &labels)
            .await?;
        let says = |line: &str| hide(line, &self.hidden);
        Ok(pods.iter().filter_map(|pod| trouble(pod, &says)).collect())
    }
}

/// A text without the values that must not be shown; nothing if it is not known which these are. Short values are words
/// like any other, and stand for no secret.
fn hide(text: &str, hidden: &[Secret<String>]) -> Option<String> {
    const SHORTEST: usize = 6;
    if hidden.is_empty() {
        return None;
    }
    let long = hidden
        .iter()
        .map(Secret::expose)
        .filter(|it| it.len() >= SHORTEST);
    Some(long.fold(text.to_owned(), |text, value| {
        text.replace(value.as_str(), "(secret)")
    }))
}

/// The values of the stack's Secrets, if the user may read them: for looks at a stack whose settings are not at hand.
pub async fn values_of(kubernetes: &Kubernetes, namespace: &str) -> Result<Values, ApiError> {
    if !kubernetes
        .may("list", Kind::Secret, Some(namespace))
        .await?
    {
        return Ok(Values::new());
    }
    let secrets = kubernetes
        .list(Kind::Secret, namespace, &objects::ours())
        .await?;
    let all = secrets.iter().flat_map(|secret| {
        let name = name_of(secret);
        let data = Existing::of(secret).data.into_iter();
        data.filter_map(move |(key, value)| Some((format!("{name}/{key}"), value?)))
    });
    Ok(Values::from([(MANAGER, all.collect())]))
}

/// What one look at workloads has seen.
struct Look {
    ready: u64,
    wanted: u64,
    waiting: Vec<String>,
    failed: Option<String>,
}

/// Waits while the namespace is being deleted, as it is for a while after an earlier stack was.
pub async fn until_namespace_gone(
    kubernetes: &Kubernetes,
    namespace: &str,
    limit: Duration,
    progress: &mut dyn Progress,
) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    loop {
        let there = kubernetes.get(Kind::Namespace, "", namespace).await?;
        if !there.as_ref().is_some_and(is_going) {
            return Ok(());
        }
        let what = format!("namespace `{namespace}` is being deleted");
        progress.waits(&what, 0, 1);
        if Instant::now() + PAUSE > deadline {
            let found = vec![format!(
                "{what}; see what it waits for in its conditions (`kubectl get namespace {namespace} -o yaml`)"
            )];
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
