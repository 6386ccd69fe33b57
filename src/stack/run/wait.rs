//! Waiting, with an end, and with words for what is waited for.
#![expect(clippy::disallowed_methods, reason = "waits for a cluster")]

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::events::{Before, before, newest};
use super::plan::is_going;
use super::ready::{Readiness, counts, readiness, trouble};
use super::{Error, Run};
use crate::kubernetes::{Error as ApiError, Kind, Kubernetes, name_of, text};
use crate::names::MANAGER;
use crate::objects;
use crate::secret::Secret;
use crate::secrets::{Existing, Values};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// The kinds that become ready some time after they were made.
pub const WORKLOADS: [Kind; 3] = [Kind::StatefulSet, Kind::Deployment, Kind::Job];

/// A workload by kind and name.
pub type Workload = (Kind, String);

/// The workloads of the stack in the cluster.
pub(super) async fn workloads(kubernetes: &Kubernetes) -> Result<Vec<(Kind, Value)>, ApiError> {
    let mut found = Vec::new();
    for kind in WORKLOADS {
        let listed = kubernetes.list(kind, &objects::ours()).await?;
        found.extend(listed.into_iter().map(|object| (kind, object)));
    }
    Ok(found)
}

/// What one look has seen of what is waited for.
#[derive(Default)]
struct Look {
    ready: u64,
    wanted: u64,
    /// What is in the way, a line for each; it is over when there is nothing.
    waiting: Vec<String>,
    /// The same in short, where it is many lines.
    short: Option<String>,
}

/// Looks again and again, until nothing is in the way.
async fn until(
    run: &mut Run<'_>,
    mut look: impl AsyncFnMut() -> Result<Look, Error>,
) -> Result<(), Error> {
    let deadline = Instant::now() + run.limit;
    loop {
        let seen = look().await;
        run.progress.warns(&run.kubernetes.warnings());
        let look = seen?;
        if look.waiting.is_empty() {
            return Ok(());
        }
        let short = look.short.unwrap_or_else(|| look.waiting.join("; "));
        run.progress.waits(&short, look.ready, look.wanted);
        if Instant::now() + PAUSE > deadline {
            let (seconds, found) = (run.limit.as_secs(), look.waiting.join("\n"));
            return Err(format!("not ready after {seconds} s:\n{found}").into());
        }
        sleep(PAUSE).await;
    }
}

/// Looks at workloads until they are ready.
pub struct Watch<'a> {
    kubernetes: &'a Kubernetes,
    hidden: Vec<Secret<String>>,
    before: Before,
    may_list_events: bool,
}

impl<'a> Watch<'a> {
    /// From now on: what is told of an earlier time is not about this wait. None of these values is ever shown, whoever
    /// says it.
    pub async fn begin(kubernetes: &'a Kubernetes, values: &Values) -> Result<Self, ApiError> {
        let hidden = values.values().flat_map(|data| data.values().cloned());
        let mut watch = Self {
            kubernetes,
            hidden: hidden.collect(),
            before: Before::new(),
            may_list_events: kubernetes.may("list", Kind::Event).await?,
        };
        watch.before = before(&watch.events().await?);
        Ok(watch)
    }

    /// Waits until all of these are ready.
    pub async fn until_ready(
        &self,
        run: &mut Run<'_>,
        workloads: &[Workload],
    ) -> Result<(), Error> {
        until(run, async || self.look(workloads).await).await
    }

    async fn look(&self, workloads: &[Workload]) -> Result<Look, Error> {
        let mut look = Look::default();
        let mut events: Option<Vec<Value>> = None;
        for (kind, name) in workloads {
            let Some(object) = self.kubernetes.get(*kind, name).await? else {
                look.wanted += 1;
                let line = format!("{kind} `{name}`: it is not there");
                look.waiting.push(line);
                continue;
            };
            let (wanted, ready) = counts(*kind, &object);
            look.wanted += wanted;
            look.ready += ready.min(wanted);
            let readiness = readiness(*kind, &object);
            let Some(why) = readiness.problem() else {
                continue;
            };
            let troubles = self.troubles(&object).await?;
            let mut more: Vec<String> = troubles.into_iter().take(1).collect();
            if let Readiness::Waiting(_) = readiness {
                let events = match &mut events {
                    Some(events) => events,
                    none => none.insert(self.events().await?),
                };
                more.extend(newest(events, name, &self.before));
            }
            let mut line = format!("{kind} `{name}`: {why}");
            if !more.is_empty() {
                line = format!("{line} ({})", more.join("; "));
            }
            if let Readiness::Failed(_) = readiness {
                return Err(line.into());
            }
            look.waiting.push(line);
        }
        Ok(look)
    }

    async fn events(&self) -> Result<Vec<Value>, ApiError> {
        if !self.may_list_events {
            return Ok(Vec::new());
        }
        self.kubernetes.list(Kind::Event, "").await
    }

    /// What is in the way of the Pods of a workload.
    pub async fn troubles(&self, workload: &Value) -> Result<Vec<String>, ApiError> {
        let label = "/metadata/labels/app.kubernetes.io~1component";
        let labels = objects::ours_of(text(workload, label));
        let pods = self.kubernetes.list(Kind::Pod, &labels).await?;
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
pub async fn values_of(kubernetes: &Kubernetes) -> Result<Values, ApiError> {
    if !kubernetes.may("list", Kind::Secret).await? {
        return Ok(Values::new());
    }
    let secrets = kubernetes.list(Kind::Secret, &objects::ours()).await?;
    let all = secrets.iter().flat_map(|secret| {
        let name = name_of(secret);
        let data = Existing::of(secret).data.into_iter();
        data.filter_map(move |(key, value)| Some((format!("{name}/{key}"), value?)))
    });
    Ok(Values::from([(MANAGER, all.collect())]))
}

/// Waits until everything that is installed is ready. Gives the number of workloads.
pub async fn until_all_ready(run: &mut Run<'_>) -> Result<usize, Error> {
    let kubernetes = run.kubernetes;
    let found = workloads(kubernetes).await?.into_iter();
    let workloads: Vec<Workload> = found
        .map(|(kind, object)| (kind, name_of(&object).to_owned()))
        .collect();
    if workloads.is_empty() {
        let namespace = kubernetes.namespace();
        return Err(format!("namespace `{namespace}` has no stack in it").into());
    }
    let watch = Watch::begin(kubernetes, &values_of(kubernetes).await?).await?;
    watch.until_ready(run, &workloads).await?;
    Ok(workloads.len())
}

/// Waits while the namespace is being deleted, as it is for a while after an earlier stack was.
pub async fn until_namespace_gone(run: &mut Run<'_>) -> Result<(), Error> {
    let kubernetes = run.kubernetes;
    let name = kubernetes.namespace();
    let what = format!("namespace `{name}` is being deleted");
    until(run, async || {
        let there = kubernetes.get(Kind::Namespace, name).await?;
        let is_there = there.as_ref().is_some_and(is_going);
        let line = format!(
            "{what}; see what it waits for in its conditions (`kubectl get namespace {name} -o yaml`)"
        );
        Ok(Look {
            wanted: 1,
            waiting: is_there.then_some(line).into_iter().collect(),
            short: Some(what.clone()),
            ..Look::default()
        })
    })
    .await
}

/// Waits until there is no object of ours of this kind.
pub async fn until_gone(run: &mut Run<'_>, kind: Kind) -> Result<(), Error> {
    let kubernetes = run.kubernetes;
    let mut most = 0;
    until(run, async || {
        let left = kubernetes.list(kind, &objects::ours()).await?;
        let count = left.len() as u64;
        most = most.max(count);
        let named = |object: &Value| format!("{kind} `{}` is still there", name_of(object));
        Ok(Look {
            ready: most - count,
            wanted: most,
            waiting: left.iter().map(named).collect(),
            short: Some(format!("{count} {} to go", kind.resource().plural)),
        })
    })
    .await
}
