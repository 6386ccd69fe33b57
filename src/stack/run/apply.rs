//! Carries out a plan, phase by phase; each waits until everything before it is ready. Every step may be repeated, so
//! that a run which was cut off anywhere is taken up by the next one, and two at the same time end in the same state.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::plan::{self, Action, Allowed, Error as PlanError, Plan, Send, Step};
use super::wait::{self, Progress, WORKLOADS, Watch};
use crate::kubernetes::{Apply, Error as ApiError, Kind, Kubernetes};
use crate::names::MANAGER;
use crate::objects::Phase;
use crate::secrets::Write;
use crate::stack::Wanted;

/// How often a plan is made anew because somebody else wrote Secrets at the same time.
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
    /// The namespace of an earlier stack does not go.
    #[error(transparent)]
    Namespace(wait::Error),
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
    /// What the user allows.
    pub allowed: Allowed,
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
    let namespace = wanted.namespace.as_str();
    wait::until_namespace_gone(kubernetes, namespace, options.limit, progress)
        .await
        .map_err(Error::Namespace)?;
    let mut run = Run {
        kubernetes,
        namespace,
        options,
        done: BTreeMap::new(),
    };
    for _ in 0..TRIES {
        let plan = plan::plan(kubernetes, wanted, options.allowed).await?;
        progress.warns(&kubernetes.warnings());
        let refused = plan.refused();
        if !refused.is_empty() {
            return Err(Error::Refused(refused));
        }
        if run.carry_out(&plan, progress).await? {
            return Ok(run.summary(&plan));
        }
    }
    Err(Error::Unsettled)
}

/// What was done to an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Created,
    Changed,
    Removed,
}

struct Run<'a> {
    kubernetes: &'a Kubernetes,
    namespace: &'a str,
    options: Options,
    done: BTreeMap<(Kind, String), Done>,
}

impl Run<'_> {
    /// All steps. `false` when somebody else wrote a Secret in the meantime: whatever follows from it is another now.
    async fn carry_out(&mut self, plan: &Plan, progress: &mut dyn Progress) -> Result<bool, Error> {
        let mut watch = Watch::begin(self.kubernetes, self.namespace, &plan.values).await?;
        for phase in Phase::ALL {
            let steps: Vec<&Step> = plan
                .steps
                .iter()
                .filter(|step| step.phase == Some(phase))
                .collect();
            for step in &steps {
                if !self.step(step, progress).await? {
                    return Ok(false);
                }
            }
            let workloads: Vec<wait::Workload> = steps
                .iter()
                .filter(|step| WORKLOADS.contains(&step.kind))
                .map(|step| (step.kind, step.name.clone()))
                .collect();
            watch
                .until_ready(&workloads, self.options.limit, progress)
                .await
                .map_err(|source| Error::Wait { phase, source })?;
            if !workloads.is_empty() {
                progress.done(&format!("{phase}: ready"));
            }
        }
        for step in plan.steps.iter().filter(|step| step.phase.is_none()) {
            self.step(step, progress).await?;
        }
        Ok(true)
    }

    async fn step(&mut self, step: &Step, progress: &mut dyn Progress) -> Result<bool, Error> {
        let (kind, name) = (step.kind, step.name.as_str());
        let label = format!("{} `{name}`", kind.word());
        let (done, told) = match (&step.action, &step.send) {
            (Action::Keep | Action::Refuse(_), _) => return Ok(true),
            (Action::Remove, _) => {
                self.remove(kind, name).await?;
                (Done::Removed, format!("removed {label}"))
            }
            (_, Send::Secret(write)) => {
                if !self.write(write).await? {
                    return Ok(false);
                }
                match &step.action {
                    Action::Change(keys) => (
                        Done::Changed,
                        format!("changed {label}: {}", keys.join(", ")),
                    ),
                    _ => (Done::Created, format!("created {label}")),
                }
            }
            (Action::Replace(why), Send::Object(object)) => {
                self.remove(kind, name).await?;
                self.send(kind, object).await?;
                (Done::Changed, format!("replaced {label}, which {why}"))
            }
            (Action::Change(_), Send::Object(object)) => {
                self.send(kind, object).await?;
                (Done::Changed, format!("changed {label}"))
            }
            (Action::Create, Send::Object(object)) => {
                self.send(kind, object).await?;
                (Done::Created, format!("created {label}"))
            }
            (Action::Create | Action::Change(_) | Action::Replace(_), Send::Nothing) => {
                return Ok(true);
            }
        };
        progress.warns(&self.kubernetes.warnings());
        progress.done(&told);
        self.done.insert((kind, name.to_owned()), done);
        Ok(true)
    }

    async fn remove(&self, kind: Kind, name: &str) -> Result<(), Error> {
        let removed = self.kubernetes.delete(kind, self.namespace, name, None);
        Ok(removed.await?)
    }

    async fn send(&self, kind: Kind, object: &Value) -> Result<(), Error> {
        if kind == Kind::Namespace {
            // one that somebody else has just made stays theirs
            self.kubernetes.create(kind, "", object, MANAGER).await?;
            return Ok(());
        }
        let how = Apply {
            manager: MANAGER,
            dry_run: false,
            force: self.options.allowed.force,
        };
        let applied = self.kubernetes.apply(kind, self.namespace, object, how);
        match applied.await {
            Ok(_) => Ok(()),
            Err(error @ ApiError::Conflict { .. }) => Err(Error::Object(plan::explained(&error))),
            Err(error) => Err(Error::Api(error)),
        }
    }

    /// Whoever else writes at the same time counts; then this is `false`.
    async fn write(&self, write: &Write) -> Result<bool, Error> {
        let (kind, namespace) = (Kind::Secret, self.namespace);
        match write {
            Write::Create { object, .. } => {
                let made = self
                    .kubernetes
                    .create(kind, namespace, object.expose(), MANAGER);
                Ok(made.await?.is_some())
            }
            Write::Update { patch, .. } => {
                let changed = self
                    .kubernetes
                    .merge(kind, namespace, patch.expose(), MANAGER);
                match changed.await {
                    Ok(_) => Ok(true),
                    Err(ApiError::Conflict { .. } | ApiError::Refused { code: 404, .. }) => {
                        Ok(false)
                    }
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    fn summary(&self, plan: &Plan) -> Summary {
        let mut summary = Summary::default();
        for done in self.done.values() {
            match done {
                Done::Created => summary.created += 1,
                Done::Changed => summary.changed += 1,
                Done::Removed => summary.removed += 1,
            }
        }
        for step in plan.steps.iter().filter(|step| step.action == Action::Keep) {
            let touched = self.done.contains_key(&(step.kind, step.name.clone()));
            summary.kept += u32::from(!touched);
        }
        summary
    }
}
