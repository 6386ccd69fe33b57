//! What an `apply` would do: every object of the stack compared with the cluster's, by the API server itself
//! (a dry run of the very request). Changes nothing; [`super::apply`] carries out what is found here, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use clap::Args;
use getrandom::SysRng;
use serde_json::Value;

use super::ready::{Readiness, readiness};
use super::{Error, delete};
use crate::kubernetes::{
    Apply, CONFLICT, Error as ApiError, INVALID, Kind, Kubernetes, list, name_of, text,
};
use crate::objects::{self, Object, Phase};
use crate::secret::Secret;
use crate::secrets::{self, Existing, Values, Write};
use crate::stack::{self, Wanted};

/// What the user allows.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Take over fields that somebody else has changed since.
    #[arg(long)]
    pub force_conflicts: bool,
    /// Take the place of the document's ConfigMaps that somebody applied by hand: their settings count, unless the files
    /// have others.
    #[arg(long)]
    pub adopt: bool,
    /// Remove parts that hold data and are not wanted any more. Their claims stay.
    #[arg(long)]
    pub remove_stores: bool,
}

/// What happens to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Create,
    /// These fields of it change.
    Change(Vec<String>),
    /// It is removed and made anew. The text says why.
    Replace(&'static str),
    /// Nothing.
    Keep,
    /// It is ours, and not wanted any more.
    Remove,
    /// The cluster would not have it, or it needs a word of the user. The text says why and what to do.
    Refuse(String),
}

/// One object and what happens to it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// When it happens; what is not wanted any more goes at the end.
    pub phase: Option<Phase>,
    /// What happens.
    pub action: Action,
    /// What is sent for that.
    pub(super) body: Secret<Value>,
}

impl Step {
    fn new(
        kind: Kind,
        name: &str,
        phase: Option<Phase>,
        action: Action,
        body: impl Into<Secret<Value>>,
    ) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            phase,
            action,
            body: body.into(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, .. } = self;
        match &self.action {
            Action::Create => write!(f, "create  {kind} `{name}`"),
            Action::Change(fields) => write!(f, "change  {kind} `{name}`: {}", fields.join(", ")),
            Action::Replace(why) => write!(f, "replace {kind} `{name}`, which {why}"),
            Action::Keep => write!(f, "keep    {kind} `{name}`"),
            Action::Remove => write!(f, "remove  {kind} `{name}`"),
            Action::Refuse(why) => write!(f, "REFUSED {kind} `{name}`: {why}"),
        }
    }
}

/// All steps, in the order in which they are taken.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// The values of all Secrets, as they will be.
    pub values: Values,
}

impl Plan {
    /// What stands in the way, a line for each object.
    pub fn refused(&self) -> Vec<String> {
        let why = |step: &Step| match &step.action {
            Action::Refuse(why) => Some(format!("{} `{}`: {why}", step.kind, step.name)),
            _ => None,
        };
        self.steps.iter().filter_map(why).collect()
    }
}

/// Compares everything with the cluster.
pub async fn plan(
    kubernetes: &Kubernetes,
    wanted: &Wanted,
    allowed: Allowed,
) -> Result<Plan, Error> {
    let name = kubernetes.namespace();
    let there = kubernetes.get(Kind::Namespace, name).await?;
    let namespace = |action| {
        let (phase, body) = (Some(Phase::Settings), objects::namespace(name));
        Step::new(Kind::Namespace, name, phase, action, body)
    };
    let mut steps = Vec::new();
    match &there {
        None => steps.push(namespace(Action::Create)),
        Some(there) if is_going(there) => {
            let why = "it is being deleted; wait until it is gone, or choose another namespace";
            // nothing of what will be there then can be asked for now
            return Ok(Plan {
                steps: vec![namespace(Action::Refuse(why.to_owned()))],
                values: Values::new(),
            });
        }
        Some(_) => {}
    }
    let (values, writes) = resolved(kubernetes, wanted).await?;
    steps.extend(secret_steps(wanted, writes));
    let objects = stack::objects(wanted.context(&values));
    let unwanted = superfluous(kubernetes, &objects, allowed).await?;
    for object in objects {
        let action = match there {
            Some(_) => compare(kubernetes, &object, allowed).await?,
            None => Action::Create,
        };
        let (kind, name, phase) = (object.kind, object.name(), Some(object.phase()));
        steps.push(Step::new(kind, name, phase, action, object.body.clone()));
    }
    steps.extend(unwanted);
    Ok(Plan { steps, values })
}

/// Nothing can be made in a namespace that is being deleted.
pub(super) fn is_going(namespace: &Value) -> bool {
    !text(namespace, "/metadata/deletionTimestamp").is_empty()
}

/// The values of all Secrets, and what has to be written for that where there are these.
pub fn resolve(
    wanted: &Wanted,
    existing: &BTreeMap<String, Existing>,
) -> Result<(Values, Vec<Write>), Error> {
    let resolved = secrets::resolve(&wanted.secrets, existing, &wanted.namespace, &mut SysRng);
    resolved.map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        lines.join("\n").into()
    })
}

async fn resolved(kubernetes: &Kubernetes, wanted: &Wanted) -> Result<(Values, Vec<Write>), Error> {
    let mut existing = BTreeMap::new();
    for secret in &wanted.secrets {
        if let Some(found) = kubernetes.get(Kind::Secret, secret.name).await? {
            existing.insert(secret.name.to_owned(), Existing::of(&found));
        }
    }
    resolve(wanted, &existing)
}

fn secret_steps(wanted: &Wanted, mut writes: Vec<Write>) -> impl Iterator<Item = Step> {
    wanted.secrets.iter().map(move |secret| {
        let written = writes.iter().position(|it| it.name == secret.name);
        let (action, body) = match written.map(|place| writes.swap_remove(place)) {
            Some(Write { body, changes, .. }) => {
                (changes.map_or(Action::Create, Action::Change), body)
            }
            None => (Action::Keep, Secret::default()),
        };
        let phase = Some(Phase::Settings);
        Step::new(Kind::Secret, secret.name, phase, action, body)
    })
}

/// What would come of applying one object.
async fn compare(
    kubernetes: &Kubernetes,
    object: &Object,
    allowed: Allowed,
) -> Result<Action, Error> {
    let live = kubernetes.get(object.kind, object.name()).await?;
    let action = live
        .as_ref()
        .and_then(|live| settled(object, live, allowed));
    if let Some(action) = action {
        return Ok(action);
    }
    let how = Apply {
        dry_run: true,
        force: allowed.force_conflicts,
    };
    let outcome = kubernetes.apply(object.kind, &object.body, how).await;
    Ok(match (outcome, live) {
        (Ok(_), None) => Action::Create,
        (Ok(then), Some(now)) => match differences(&now, &then) {
            fields if fields.is_empty() => Action::Keep,
            fields => Action::Change(fields),
        },
        (Err(error), _) => Action::Refuse(refusal(error)?),
    })
}

/// What can be said of an object that is there without asking the server.
fn settled(object: &Object, live: &Value, allowed: Allowed) -> Option<Action> {
    if !objects::is_ours(live) {
        return Some(if allowed.adopt && object.kind == Kind::ConfigMap {
            // a change would keep what is not wanted in it, such as a password
            Action::Replace("was made by somebody else")
        } else {
            Action::Refuse(foreign(object))
        });
    }
    if let (Kind::Job, Readiness::Failed(_)) = (object.kind, readiness(object.kind, live)) {
        // a Job that has failed stays so: a new one is the second try
        return Some(Action::Replace("had failed"));
    }
    immutable(object, live).map(Action::Refuse)
}

fn foreign(object: &Object) -> String {
    let adopt = match object.kind {
        Kind::ConfigMap => "take its place with `--adopt`, ",
        _ => "",
    };
    format!(
        "it is there and was not made by temporal-stack; {adopt}delete it (`kubectl delete {} {}`), or choose another \
         namespace",
        object.kind.word().to_lowercase(),
        object.name()
    )
}

/// What the cluster has against an object, with the remedy; an error if it is none of the object's.
pub(super) fn refusal(error: ApiError) -> Result<String, ApiError> {
    match &error {
        ApiError::Refused {
            code: CONFLICT,
            message,
            ..
        } => Ok(format!(
            "{message}; undo that change, or take the fields over with `--force-conflicts`"
        )),
        ApiError::Refused { code: INVALID, .. } => Ok(error.to_string()),
        _ => Err(error),
    }
}

/// The fields of a StatefulSet or Deployment that the API lets nobody change, where they differ.
fn immutable(object: &Object, live: &Value) -> Option<String> {
    let fields: &[&str] = match object.kind {
        Kind::StatefulSet => &["serviceName", "selector", "podManagementPolicy"],
        Kind::Deployment => &["selector"],
        _ => return None,
    };
    let kind = object.kind.word();
    let remedy = format!(
        "no such field of an existing {kind} can be changed; delete it and keep its Pods (`kubectl delete {} {} \
         --cascade=orphan`), then apply again",
        kind.to_lowercase(),
        object.name(),
    );
    let differs = |field: &&&str| {
        let pointer = format!("/spec/{field}");
        object.body.pointer(&pointer) != live.pointer(&pointer)
    };
    if let Some(field) = fields.iter().find(differs) {
        return Some(format!("`spec.{field}` is another one: {remedy}"));
    }
    let claims = "/spec/volumeClaimTemplates";
    let (want, have) = (list(&object.body, claims), list(live, claims));
    if want.clone().count() != have.clone().count() {
        return Some(format!("its claims are others: {remedy}"));
    }
    let parts = want.zip(have).flat_map(|(want, have)| {
        let size = ("size", "/spec/resources/requests/storage");
        let class = ("StorageClass", "/spec/storageClassName");
        [size, class].map(|(what, pointer)| {
            (
                what,
                name_of(want),
                text(want, pointer),
                text(have, pointer),
            )
        })
    });
    let differs = |(_, _, want, have): &(_, _, &str, &str)| !want.is_empty() && want != have;
    let (what, claim, want, have) = parts.into_iter().find(differs)?;
    let have = match have {
        "" => "the default one".to_owned(),
        have => format!("\"{have}\""),
    };
    Some(format!(
        "the {what} of claim `{claim}` is {have} and \"{want}\" is wanted: {remedy}; claims that exist keep their \
         {what}, so change those by themselves where the storage allows it"
    ))
}

/// The fields that differ between an object now and then, by their paths, without what the server keeps for
/// itself.
fn differences(now: &Value, then: &Value) -> Vec<String> {
    let mut paths = BTreeSet::new();
    compare_values(now, then, "", &mut paths);
    paths.into_iter().collect()
}

fn compare_values(now: &Value, then: &Value, path: &str, paths: &mut BTreeSet<String>) {
    const DEEPEST: usize = 6;
    const KEPT: [&str; 6] = [
        "status",
        "metadata.managedFields",
        "metadata.resourceVersion",
        "metadata.generation",
        "metadata.uid",
        "metadata.creationTimestamp",
    ];
    if now == then || KEPT.contains(&path) {
        return;
    }
    match (now, then) {
        (Value::Object(now), Value::Object(then)) if path.matches('.').count() < DEEPEST => {
            for key in now.keys().chain(then.keys()) {
                let path = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                let [now, then] = [now, then].map(|map| map.get(key).unwrap_or(&Value::Null));
                compare_values(now, then, &path, paths);
            }
        }
        _ => _ = paths.insert(path.to_owned()),
    }
}

/// The removal of what is ours in the cluster and not wanted any more. Secrets and claims hold data, and stay.
async fn superfluous(
    kubernetes: &Kubernetes,
    objects: &[Object],
    allowed: Allowed,
) -> Result<Vec<Step>, Error> {
    let wanted: BTreeSet<(Kind, &str)> = objects.iter().map(|it| (it.kind, it.name())).collect();
    let mut steps = Vec::new();
    for kind in delete::KINDS {
        let action = if kind == Kind::StatefulSet && !allowed.remove_stores {
            Action::Refuse(
                "it holds data, and the settings do not want it any more: they send its users elsewhere, or leave it \
                 out; correct them, or remove it with `--remove-stores`, which keeps its claims"
                    .to_owned(),
            )
        } else {
            Action::Remove
        };
        for object in kubernetes.list(kind, &objects::ours()).await? {
            let name = name_of(&object);
            if !wanted.contains(&(kind, name)) {
                steps.push(Step::new(kind, name, None, action.clone(), Value::Null));
            }
        }
    }
    Ok(steps)
}
