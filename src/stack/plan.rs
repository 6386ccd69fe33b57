//! What an `apply` would do: every object of the stack compared with the cluster's, by the API server itself
//! (a dry run of the very request). Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ring::rand::SystemRandom;
use serde_json::Value;

use super::objects::{self, Context, Object};
use super::secrets::{self, Existing, Values, Write};
use super::wanted::Wanted;
use super::{MANAGER, delete};
use crate::kubernetes::{Apply, Error as ApiError, Kind, Kubernetes, name_of};

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

/// What happens to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Create,
    /// These fields of it change.
    Change(Vec<String>),
    /// Nothing.
    Keep,
    /// It is ours, and not wanted any more.
    Remove,
    /// The cluster would not have it. The text says why and what to do.
    Refuse(String),
}

/// One object and what happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What happens.
    pub action: Action,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = (self.kind.word(), &self.name);
        match &self.action {
            Action::Create => write!(f, "create  {kind} `{name}`"),
            Action::Change(fields) => write!(f, "change  {kind} `{name}`: {}", fields.join(", ")),
            Action::Keep => write!(f, "keep    {kind} `{name}`"),
            Action::Remove => write!(f, "remove  {kind} `{name}`"),
            Action::Refuse(why) => write!(f, "REFUSED {kind} `{name}`: {why}"),
        }
    }
}

/// All steps, in the order in which `apply` takes them.
pub async fn plan(
    kubernetes: &Kubernetes,
    wanted: &Wanted,
    force: bool,
) -> Result<Vec<Step>, Error> {
    let namespace = wanted.namespace.as_str();
    let mut steps = Vec::new();
    let there = kubernetes.get(Kind::Namespace, "", namespace).await?;
    if there.is_none() {
        steps.push(Step {
            kind: Kind::Namespace,
            name: namespace.to_owned(),
            action: Action::Create,
        });
    }
    let (values, writes) = resolved(kubernetes, wanted).await?;
    steps.extend(secret_steps(wanted, &writes));
    let objects = objects::all(context(wanted, &values));
    for object in &objects {
        let action = if there.is_some() {
            compare(kubernetes, namespace, object, force).await?
        } else {
            Action::Create
        };
        steps.push(Step {
            kind: object.kind,
            name: object.name().to_owned(),
            action,
        });
    }
    for (kind, name) in superfluous(kubernetes, namespace, &objects).await? {
        let action = Action::Remove;
        steps.push(Step { kind, name, action });
    }
    Ok(steps)
}

/// What objects are made from.
pub(super) fn context<'a>(wanted: &'a Wanted, values: &'a Values) -> Context<'a> {
    Context {
        stack: &wanted.stack,
        namespace: &wanted.namespace,
        environment: &wanted.environment,
        values,
    }
}

/// The values of all Secrets, and what has to be written for that.
pub(super) async fn resolved(
    kubernetes: &Kubernetes,
    wanted: &Wanted,
) -> Result<(Values, Vec<Write>), Error> {
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

fn secret_steps(wanted: &Wanted, writes: &[Write]) -> Vec<Step> {
    let action = |name: &str| {
        writes
            .iter()
            .find_map(|write| match write {
                Write::Create { name: it, .. } if *it == name => Some(Action::Create),
                Write::Update { name: it, keys, .. } if *it == name => {
                    Some(Action::Change(keys.clone()))
                }
                Write::Create { .. } | Write::Update { .. } => None,
            })
            .unwrap_or(Action::Keep)
    };
    let step = |secret: &secrets::Wanted| Step {
        kind: Kind::Secret,
        name: secret.name.to_owned(),
        action: action(secret.name),
    };
    wanted.secrets.iter().map(step).collect()
}

/// What would come of applying one object.
async fn compare(
    kubernetes: &Kubernetes,
    namespace: &str,
    object: &Object,
    force: bool,
) -> Result<Action, Error> {
    let live = kubernetes
        .get(object.kind, namespace, object.name())
        .await?;
    if let Some(why) = live.as_ref().and_then(|live| refusal(object, live)) {
        return Ok(Action::Refuse(why));
    }
    let how = Apply {
        manager: MANAGER,
        dry_run: true,
        force,
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

/// A refusal with its remedy.
pub(super) fn explained(error: &ApiError) -> String {
    match error {
        ApiError::Conflict { message, .. } => {
            format!("{message}; undo that change, or take the fields over with `--force-conflicts`")
        }
        other => other.to_string(),
    }
}

/// Why an object that is there is not to be touched.
pub fn refusal(object: &Object, live: &Value) -> Option<String> {
    if objects::is_ours(live) {
        return immutable(object, live);
    }
    // somebody's own ConfigMap, for one, would keep its passwords
    Some(format!(
        "it is there and was not made by temporal-stack; delete it (`kubectl delete {} {}`), or choose another \
         namespace",
        object.kind.word().to_lowercase(),
        object.name()
    ))
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
pub(super) async fn superfluous(
    kubernetes: &Kubernetes,
    namespace: &str,
    objects: &[Object],
) -> Result<Vec<(Kind, String)>, ApiError> {
    let wanted: BTreeSet<(Kind, &str)> = objects.iter().map(|it| (it.kind, it.name())).collect();
    let mut found = Vec::new();
    for kind in delete::KINDS {
        for object in kubernetes.list(kind, namespace, &objects::ours()).await? {
            let name = name_of(&object);
            if !wanted.contains(&(kind, name)) {
                found.push((kind, name.to_owned()));
            }
        }
    }
    Ok(found)
}
