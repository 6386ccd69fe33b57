//! Makes the cluster what is wanted, phase by phase; each waits until everything before it is ready. Every step
//! may be repeated, so that a run which was cut off anywhere is taken up by the next one, and two at the same
//! time end in the same state.

use std::time::Duration;

use serde_json::Value;

use super::objects::{self, Object, Phase};
use super::plan::{self, Error as PlanError};
use super::ready::{Readiness, readiness};
use super::secrets::{Values, Write};
use super::wait::{self, Progress, WORKLOADS};
use super::wanted::Wanted;
use super::{MANAGER, objects::all};
use crate::kubernetes::{Apply, Error as ApiError, Kind, Kubernetes};

/// How often Secrets are read again because somebody else wrote them at the same time.
const TRIES: u32 = 10;

/// Why the stack is not what is wanted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading, or making up values.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The cluster.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Something does not become ready.
    #[error("{phase}: {source}")]
    Wait {
        /// In which phase.
        phase: Phase,
        /// What is in the way.
        source: wait::Error,
    },
    /// The cluster would not have some objects; nothing was changed.
    #[error("nothing was changed:\n{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// The cluster does not take an object.
    #[error("{0}")]
    Object(String),
    /// Secrets change as fast as they are read.
    #[error("the Secrets are changed all the time by somebody else; try again")]
    Unsettled,
}

/// How to apply.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Take over fields that others have changed.
    pub force: bool,
    /// How long each phase may take.
    pub limit: Duration,
}

/// How many objects were made, changed, left and removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// New ones.
    pub created: u32,
    /// Changed ones.
    pub changed: u32,
    /// Those that were right already.
    pub kept: u32,
    /// Those that are not wanted any more.
    pub removed: u32,
}

/// Applies everything.
pub async fn apply(
    kubernetes: &Kubernetes,
    wanted: &Wanted,
    options: Options,
    progress: &mut dyn Progress,
) -> Result<Summary, Error> {
    let mut run = Run {
        kubernetes,
        namespace: &wanted.namespace,
        options,
        summary: Summary::default(),
    };
    // what would be made up here is forgotten: nothing is written while something stands in the way
    let (values, _) = plan::resolved(kubernetes, wanted).await?;
    run.refuse(&all(plan::context(wanted, &values))).await?;
    let values = run.before(wanted, progress).await?;
    let objects = all(plan::context(wanted, &values));
    for phase in Phase::ALL {
        run.phase(&objects, phase, progress).await?;
    }
    for (kind, name) in plan::superfluous(kubernetes, &wanted.namespace, &objects).await? {
        kubernetes
            .delete(kind, &wanted.namespace, &name, None)
            .await?;
        run.summary.removed += 1;
        progress.done(&format!("removed {} `{name}`", kind.word()));
    }
    Ok(run.summary)
}

struct Run<'a> {
    kubernetes: &'a Kubernetes,
    namespace: &'a str,
    options: Options,
    summary: Summary,
}

impl Run<'_> {
    /// Namespace and Secrets.
    async fn before(
        &mut self,
        wanted: &Wanted,
        progress: &mut dyn Progress,
    ) -> Result<Values, Error> {
        let made = self.namespace(progress).await?;
        let values = self.secrets(wanted, progress).await?;
        self.summary.created += u32::from(made);
        Ok(values)
    }

    async fn namespace(&self, progress: &mut dyn Progress) -> Result<bool, Error> {
        let name = self.namespace;
        if self
            .kubernetes
            .get(Kind::Namespace, "", name)
            .await?
            .is_some()
        {
            return Ok(false);
        }
        let object = objects::namespace(name);
        let made = self
            .kubernetes
            .create(Kind::Namespace, "", &object, MANAGER);
        let made = made.await?.is_some();
        if made {
            progress.done(&format!("created Namespace `{name}`"));
        }
        Ok(made)
    }

    /// Writes what is missing. Whoever else writes at the same time counts: then everything is read again.
    async fn secrets(
        &mut self,
        wanted: &Wanted,
        progress: &mut dyn Progress,
    ) -> Result<Values, Error> {
        let all = u32::try_from(wanted.secrets.len()).unwrap_or_default();
        for _ in 0..TRIES {
            let (values, writes) = plan::resolved(self.kubernetes, wanted).await?;
            if writes.is_empty() {
                let written = self.summary.created + self.summary.changed;
                self.summary.kept += all.saturating_sub(written);
                return Ok(values);
            }
            for write in &writes {
                self.write(write, progress).await?;
            }
        }
        Err(Error::Unsettled)
    }

    async fn write(&mut self, write: &Write, progress: &mut dyn Progress) -> Result<(), Error> {
        match write {
            Write::Create { object, name } => {
                let made =
                    self.kubernetes
                        .create(Kind::Secret, self.namespace, object.expose(), MANAGER);
                if made.await?.is_some() {
                    self.summary.created += 1;
                    progress.done(&format!("created Secret `{name}`"));
                }
            }
            Write::Update { patch, name, keys } => {
                let changed =
                    self.kubernetes
                        .merge(Kind::Secret, self.namespace, patch.expose(), MANAGER);
                match changed.await {
                    Ok(_) => {
                        self.summary.changed += 1;
                        let keys = keys.join(", ");
                        progress.done(&format!("changed Secret `{name}`: {keys}"));
                    }
                    // somebody else was faster
                    Err(ApiError::Conflict { .. } | ApiError::Refused { code: 404, .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// What cannot be changed, and what is not ours, is told before anything is changed.
    async fn refuse(&self, objects: &[Object]) -> Result<(), Error> {
        let mut refused = Vec::new();
        for object in objects {
            let live = self
                .kubernetes
                .get(object.kind, self.namespace, object.name())
                .await?;
            if let Some(why) = live.and_then(|live| plan::refusal(object, &live)) {
                refused.push(format!("{object}: {why}"));
            }
        }
        if refused.is_empty() {
            Ok(())
        } else {
            Err(Error::Refused(refused))
        }
    }

    async fn phase(
        &mut self,
        objects: &[Object],
        phase: Phase,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let of_phase: Vec<&Object> = objects.iter().filter(|it| it.phase == phase).collect();
        for object in &of_phase {
            self.object(object, progress).await?;
        }
        let workloads: Vec<wait::Workload> = of_phase
            .iter()
            .filter(|object| WORKLOADS.contains(&object.kind))
            .map(|object| (object.kind, object.name().to_owned()))
            .collect();
        let (namespace, limit) = (self.namespace, self.options.limit);
        wait::until_ready(self.kubernetes, namespace, &workloads, limit, progress)
            .await
            .map_err(|source| Error::Wait { phase, source })?;
        if !workloads.is_empty() {
            progress.done(&format!("{phase}: ready"));
        }
        Ok(())
    }

    async fn object(&mut self, object: &Object, progress: &mut dyn Progress) -> Result<(), Error> {
        let (kind, name) = (object.kind, object.name());
        let mut live = self.kubernetes.get(kind, self.namespace, name).await?;
        if let Some(failed) = live.as_ref().filter(|live| has_failed(kind, live)) {
            // a Job that has failed stays so: a new one is the second try
            let uid = failed.pointer("/metadata/uid").and_then(Value::as_str);
            self.kubernetes
                .delete(kind, self.namespace, name, uid)
                .await?;
            progress.done(&format!("removed {object}, which had failed"));
            live = None;
        }
        let how = Apply {
            manager: MANAGER,
            dry_run: false,
            force: self.options.force,
        };
        let applied = self
            .kubernetes
            .apply(kind, self.namespace, &object.body, how);
        let applied = applied.await.map_err(|error| match error {
            ApiError::Conflict { .. } => Error::Object(plan::explained(&error)),
            error => Error::Api(error),
        })?;
        let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
        match live {
            None => {
                self.summary.created += 1;
                progress.done(&format!("created {object}"));
            }
            Some(live) if version(&live) != version(&applied) && changed(&live, &applied) => {
                self.summary.changed += 1;
                progress.done(&format!("changed {object}"));
            }
            Some(_) => self.summary.kept += 1,
        }
        Ok(())
    }
}

/// The version moves with the status, too, which is not our doing.
fn changed(before: &Value, after: &Value) -> bool {
    !plan::differences(before, after).is_empty()
}

fn has_failed(kind: Kind, live: &Value) -> bool {
    kind == Kind::Job && matches!(readiness(kind, live), Readiness::Failed(_))
}
