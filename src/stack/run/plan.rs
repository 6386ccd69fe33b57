//! What an `apply` would do: every object of the stack compared with the cluster's, by the API server itself
//! (a dry run of the very request). Changes nothing; [`super::apply`] carries out what is found here, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ring::rand::SystemRandom;
use serde_json::Value;

use super::delete;
use super::ready::{Readiness, readiness};
use crate::kubernetes::{Apply, Error as ApiError, Kind, Kubernetes, name_of};
use crate::names::MANAGER;
use crate::objects::{self, Object, Phase};
use crate::secrets::{self, Existing, Values, Write};
use crate::stack::{self, Wanted};

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Passwords and keys.
    #[error("{}", lines(.0))]
    Secrets(Vec<secrets::Error>),
}

fn lines(errors: &[secrets::Error]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// What the user allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// To take over fields that others have changed.
    pub force: bool,
    /// To take the place of ConfigMaps that somebody made by hand.
    pub adopt: bool,
    /// To remove a part that holds data. Its claims stay.
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

/// What is sent for a step.
#[derive(Clone, Debug)]
pub(super) enum Send {
    Nothing,
    Secret(Write),
    Object(Value),
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
    pub(super) send: Send,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = (self.kind.word(), &self.name);
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
            Action::Refuse(why) => Some(format!("{} `{}`: {why}", step.kind.word(), step.name)),
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
    let namespace = wanted.namespace.as_str();
    let there = kubernetes.get(Kind::Namespace, "", namespace).await?;
    let mut steps: Vec<Step> = namespace_step(namespace, there.as_ref())
        .into_iter()
        .collect();
    if steps
        .iter()
        .any(|step| matches!(step.action, Action::Refuse(_)))
    {
        // nothing of what will be there then can be asked for now
        return Ok(Plan {
            steps,
            values: Values::new(),
        });
    }
    let (values, writes) = resolved(kubernetes, wanted).await?;
    steps.extend(secret_steps(wanted, writes));
    let objects = stack::objects(wanted.context(&values));
    let unwanted = superfluous(kubernetes, namespace, &objects).await?;
    for object in objects {
        let action = if there.is_some() {
            compare(kubernetes, namespace, &object, allowed).await?
        } else {
            Action::Create
        };
        steps.push(Step {
            kind: object.kind,
            name: object.name().to_owned(),
            phase: Some(object.phase),
            action,
            send: Send::Object(object.body),
        });
    }
    steps.extend(unwanted.iter().map(|object| removal(object, allowed)));
    Ok(Plan { steps, values })
}

fn namespace_step(name: &str, there: Option<&Value>) -> Option<Step> {
    let action = match there {
        None => Action::Create,
        Some(namespace) if is_going(namespace) => Action::Refuse(
            "it is being deleted; wait until it is gone, or choose another namespace".to_owned(),
        ),
        Some(_) => return None,
    };
    Some(Step {
        kind: Kind::Namespace,
        name: name.to_owned(),
        phase: Some(Phase::Settings),
        action,
        send: Send::Object(objects::namespace(name)),
    })
}

/// Nothing can be made in a namespace that is being deleted.
pub(super) fn is_going(namespace: &Value) -> bool {
    namespace.pointer("/metadata/deletionTimestamp").is_some()
}

/// The values of all Secrets where there are none yet.
pub fn from_nothing(wanted: &Wanted) -> Result<(Values, Vec<Write>), Error> {
    let random = SystemRandom::new();
    let none = BTreeMap::new();
    secrets::resolve(&wanted.secrets, &none, &wanted.namespace, &random).map_err(Error::Secrets)
}

/// The values of all Secrets, and what has to be written for that.
async fn resolved(kubernetes: &Kubernetes, wanted: &Wanted) -> Result<(Values, Vec<Write>), Error> {
    let mut existing = BTreeMap::new();
    for secret in &wanted.secrets {
        let found = kubernetes
            .get(Kind::Secret, &wanted.namespace, secret.name)
            .await?;
        if let Some(object) = found {
            existing.insert(secret.name.to_owned(), Existing::of(&object));
        }
    }
    let random = SystemRandom::new();
    secrets::resolve(&wanted.secrets, &existing, &wanted.namespace, &random).map_err(Error::Secrets)
}

fn secret_steps(wanted: &Wanted, writes: Vec<Write>) -> Vec<Step> {
    let mut writes: BTreeMap<&str, Write> = writes
        .into_iter()
        .map(|write| (write.name(), write))
        .collect();
    let mut step = |secret: &secrets::Wanted| {
        let write = writes.remove(secret.name);
        Step {
            kind: Kind::Secret,
            name: secret.name.to_owned(),
            phase: Some(Phase::Settings),
            action: match &write {
                Some(Write::Create { .. }) => Action::Create,
                Some(Write::Update { keys, .. }) => Action::Change(keys.clone()),
                None => Action::Keep,
            },
            send: write.map_or(Send::Nothing, Send::Secret),
        }
    };
    wanted.secrets.iter().map(&mut step).collect()
}

/// What would come of applying one object.
async fn compare(
    kubernetes: &Kubernetes,
    namespace: &str,
    object: &Object,
    allowed: Allowed,
) -> Result<Action, Error> {
    let live = kubernetes
        .get(object.kind, namespace, object.name())
        .await?;
    if let Some(action) = live
        .as_ref()
        .and_then(|live| settled(object, live, allowed))
    {
        return Ok(action);
    }
    let how = Apply {
        manager: MANAGER,
        dry_run: true,
        force: allowed.force,
    };
    let outcome = kubernetes
        .apply(object.kind, namespace, &object.body, how)
        .await;
    Ok(match (outcome, live) {
        (Ok(_), None) => Action::Create,
        (Ok(then), Some(now)) => {
            let fields = differences(&now, &then);
            if fields.is_empty() {
                Action::Keep
            } else {
                Action::Change(fields)
            }
        }
        (Err(error @ (ApiError::Conflict { .. } | ApiError::Invalid { .. })), _) => {
            Action::Refuse(explained(&error))
        }
        (Err(error), _) => return Err(error.into()),
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
    let delete = format!(
        "kubectl delete {} {}",
        object.kind.word().to_lowercase(),
        object.name()
    );
    let remedy = if object.kind == Kind::ConfigMap {
        format!("take its place with `--adopt`, delete it (`{delete}`)")
    } else {
        format!("delete it (`{delete}`)")
    };
    format!("it is there and was not made by temporal-stack; {remedy}, or choose another namespace")
}

/// A refusal with its remedy.
pub(super) fn explained(error: &ApiError) -> String {
    match error {
        ApiError::Conflict { message, .. } => {
            format!("{message}; undo that change, or take the fields over with `--force-conflicts`")
        }
        other => other.to_string(),
    }
}

/// Removing an object of ours that is not wanted any more.
fn removal((kind, object): &(Kind, Value), allowed: Allowed) -> Step {
    let holds_data = *kind == Kind::StatefulSet;
    let action = if holds_data && !allowed.remove_stores {
        Action::Refuse(
            "it holds data, and the settings do not want it any more: they send its users elsewhere, or leave it \
             out; correct them, or remove it with `--remove-stores`, which keeps its claims"
                .to_owned(),
        )
    } else {
        Action::Remove
    };
    Step {
        kind: *kind,
        name: name_of(object).to_owned(),
        phase: None,
        action,
        send: Send::Nothing,
    }
}

/// The fields of a StatefulSet or Deployment that the API lets nobody change, where they differ.
fn immutable(object: &Object, live: &Value) -> Option<String> {
    let (want, have) = (&object.body, live);
    let differs = |pointer: &str| want.pointer(pointer) != have.pointer(pointer);
    let fields: &[&str] = match object.kind {
        Kind::StatefulSet => &[
            "/spec/serviceName",
            "/spec/selector",
            "/spec/podManagementPolicy",
        ],
        Kind::Deployment => &["/spec/selector"],
        _ => return None,
    };
    let remedy = format!(
        "no such field of an existing {} can be changed; delete it and keep its Pods \
         (`kubectl delete {} {} --cascade=orphan`), then apply again",
        object.kind.word(),
        object.kind.word().to_lowercase(),
        object.name(),
    );
    if let Some(field) = fields.iter().find(|field| differs(field)) {
        let field = field.trim_start_matches('/').replace('/', ".");
        return Some(format!("`{field}` is another one: {remedy}"));
    }
    let claims = |object: &Value| {
        let claims = object.pointer("/spec/volumeClaimTemplates");
        let claims = claims.and_then(Value::as_array);
        claims.cloned().unwrap_or_default()
    };
    let (want, have) = (claims(want), claims(have));
    if want.len() != have.len() {
        return Some(format!("its claims are others: {remedy}"));
    }
    want.iter().zip(&have).find_map(|(want, have)| {
        let name = name_of(want);
        [
            ("size", "/spec/resources/requests/storage"),
            ("StorageClass", "/spec/storageClassName"),
        ]
        .iter()
        .find_map(|(what, pointer)| {
            let want = want.pointer(pointer)?.as_str()?;
            let have = have.pointer(pointer).and_then(Value::as_str);
            (have != Some(want)).then(|| {
                format!(
                    "the {what} of claim `{name}` is {} and \"{want}\" is wanted: {remedy}; claims that exist \
                     keep their {what}, so change those by themselves where the storage allows it",
                    have.map_or("the default one".to_owned(), |have| format!("\"{have}\"")),
                )
            })
        })
    })
}

/// The fields that differ between an object now and then, by their paths, without what the server keeps for
/// itself.
pub(super) fn differences(now: &Value, then: &Value) -> Vec<String> {
    const KEPT: [&str; 5] = [
        "managedFields",
        "resourceVersion",
        "generation",
        "uid",
        "creationTimestamp",
    ];
    let strip = |object: &Value| {
        let mut object = object.clone();
        if let Some(object) = object.as_object_mut() {
            object.remove("status");
        }
        if let Some(metadata) = object
            .pointer_mut("/metadata")
            .and_then(Value::as_object_mut)
        {
            metadata.retain(|key, _| !KEPT.contains(&key.as_str()));
        }
        object
    };
    let mut paths = BTreeSet::new();
    compare_values(&strip(now), &strip(then), "", &mut paths);
    paths.into_iter().collect()
}

fn compare_values(now: &Value, then: &Value, path: &str, paths: &mut BTreeSet<String>) {
    const DEEPEST: usize = 6;
    if now == then {
        return;
    }
    match (now, then) {
        (Value::Object(now), Value::Object(then)) if path.matches('.').count() < DEEPEST => {
            for key in now.keys().chain(then.keys()) {
                let null = Value::Null;
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                let at = |map: &serde_json::Map<String, Value>| map.get(key).cloned();
                let (now, then) = (at(now), at(then));
                compare_values(
                    now.as_ref().unwrap_or(&null),
                    then.as_ref().unwrap_or(&null),
                    &path,
                    paths,
                );
            }
        }
        _ => _ = paths.insert(path.to_owned()),
    }
}

/// Objects of ours in the cluster that are not wanted any more. Secrets and claims hold data, and stay.
async fn superfluous(
    kubernetes: &Kubernetes,
    namespace: &str,
    objects: &[Object],
) -> Result<Vec<(Kind, Value)>, ApiError> {
    let wanted: BTreeSet<(Kind, &str)> = objects.iter().map(|it| (it.kind, it.name())).collect();
    let mut found = Vec::new();
    for kind in delete::KINDS {
        for object in kubernetes.list(kind, namespace, &objects::ours()).await? {
            if !wanted.contains(&(kind, name_of(&object))) {
                found.push((kind, object));
            }
        }
    }
    Ok(found)
}
