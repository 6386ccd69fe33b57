//! Carries out a plan, phase by phase; each waits until everything before it is ready. Every step may be repeated, so
//! that a run which was cut off anywhere is taken up by the next one, and two at the same time end in the same state.

use std::collections::BTreeMap;

use super::plan::{self, Action, Allowed, Plan, Step};
use super::wait::{self, WORKLOADS, Watch};
use super::{Error, Run};
use crate::kubernetes::{Apply, CONFLICT, Error as ApiError, Kind, Kubernetes, MISSING};
use crate::objects::Phase;
use crate::stack::Wanted;

/// How often a plan is made anew because somebody else wrote Secrets at the same time.
const TRIES: u32 = 10;

/// What was done to each object.
type Done = BTreeMap<(Kind, String), &'static str>;

/// Applies everything. Gives the counts of objects that were made, changed, left and removed.
pub async fn apply(run: &mut Run<'_>, wanted: &Wanted, allowed: Allowed) -> Result<String, Error> {
    wait::until_namespace_gone(run).await?;
    let mut done = Done::new();
    for _ in 0..TRIES {
        let plan = plan::plan(run.kubernetes, wanted, allowed).await?;
        run.progress.warns(&run.kubernetes.warnings());
        let refused = plan.refused();
        if !refused.is_empty() {
            return Err(format!("nothing was changed:\n{}", refused.join("\n")).into());
        }
        if carry_out(run, &plan, allowed, &mut done).await? {
            let [created, changed, removed] = ["created", "changed", "removed"]
                .map(|word| done.values().filter(|it| **it == word).count());
            let is_kept = |step: &&Step| {
                step.action == Action::Keep && !done.contains_key(&(step.kind, step.name.clone()))
            };
            let kept = plan.steps.iter().filter(is_kept).count();
            return Ok(format!(
                "created {created}, changed {changed}, unchanged {kept}, removed {removed}"
            ));
        }
    }
    let problem = "the Secrets are changed all the time by somebody else; try again";
    Err(problem.to_owned().into())
}

/// All steps. `false` when somebody else wrote a Secret in the meantime: whatever follows from it is another now.
async fn carry_out(
    run: &mut Run<'_>,
    plan: &Plan,
    allowed: Allowed,
    done: &mut Done,
) -> Result<bool, Error> {
    let watch = Watch::begin(run.kubernetes, &plan.values).await?;
    for phase in Phase::ALL {
        let mut workloads = Vec::new();
        for step in plan.steps.iter().filter(|it| it.phase == Some(phase)) {
            if !carry_out_one(run, step, allowed, done).await? {
                return Ok(false);
            }
            if WORKLOADS.contains(&step.kind) {
                workloads.push((step.kind, step.name.clone()));
            }
        }
        let ready = watch.until_ready(run, &workloads).await;
        ready.map_err(|error| error.during(phase))?;
        if !workloads.is_empty() {
            run.progress.done(&format!("{phase}: ready"));
        }
    }
    for step in plan.steps.iter().filter(|it| it.phase.is_none()) {
        carry_out_one(run, step, allowed, done).await?;
    }
    Ok(true)
}

async fn carry_out_one(
    run: &mut Run<'_>,
    step: &Step,
    allowed: Allowed,
    done: &mut Done,
) -> Result<bool, Error> {
    let kubernetes = run.kubernetes;
    let (kind, name) = (step.kind, step.name.as_str());
    let is_secret = kind == Kind::Secret;
    match &step.action {
        Action::Keep | Action::Refuse(_) => return Ok(true),
        Action::Create | Action::Change(_) if is_secret => {
            if !write(kubernetes, step).await? {
                return Ok(false);
            }
        }
        Action::Create | Action::Change(_) => send(kubernetes, step, allowed).await?,
        Action::Remove => kubernetes.delete(kind, name).await?,
        Action::Replace(_) => {
            kubernetes.delete(kind, name).await?;
            send(kubernetes, step, allowed).await?;
        }
    }
    let what = format!("{kind} `{name}`");
    let (word, told) = match &step.action {
        Action::Change(keys) if is_secret => {
            ("changed", format!("changed {what}: {}", keys.join(", ")))
        }
        Action::Change(_) => ("changed", format!("changed {what}")),
        Action::Replace(why) => ("changed", format!("replaced {what}, which {why}")),
        Action::Remove => ("removed", format!("removed {what}")),
        Action::Create | Action::Keep | Action::Refuse(_) => ("created", format!("created {what}")),
    };
    run.progress.warns(&kubernetes.warnings());
    run.progress.done(&told);
    done.insert((kind, name.to_owned()), word);
    Ok(true)
}

/// Writes a Secret. Whoever else writes it at the same time counts; then this is `false`.
async fn write(kubernetes: &Kubernetes, step: &Step) -> Result<bool, ApiError> {
    let body = step.body.expose();
    if step.action == Action::Create {
        return Ok(kubernetes.create(step.kind, body).await?.is_some());
    }
    match kubernetes.merge(step.kind, body).await {
        Err(error) if error.is(CONFLICT) || error.is(MISSING) => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

async fn send(kubernetes: &Kubernetes, step: &Step, allowed: Allowed) -> Result<(), Error> {
    let body = step.body.expose();
    if step.kind == Kind::Namespace {
        // one that somebody else has just made stays theirs
        kubernetes.create(step.kind, body).await?;
        return Ok(());
    }
    let how = Apply {
        dry_run: false,
        force: allowed.force_conflicts,
    };
    match kubernetes.apply(step.kind, body, how).await {
        Ok(_) => Ok(()),
        Err(error) => Err(plan::refusal(error)?.into()),
    }
}
