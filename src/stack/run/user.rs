//! Makes an account, by a Job in the stack's namespace that is taken away again.

use getrandom::SysRng;
use serde_json::{Value, json};

use super::wait::{self, Watch};
use super::{Error, Run};
use crate::kubernetes::{Error as ApiError, Kind, Kubernetes, name_of, text};
use crate::names::MANAGER;
use crate::objects::{self, Component};
use crate::parts::temporal::account::{self, Account};
use crate::secret::Secret;
use crate::secrets::{self, Existing};

/// The password in a Secret of the namespace.
pub async fn password_of(
    kubernetes: &Kubernetes,
    secret: &str,
    key: &str,
) -> Result<Secret<String>, Error> {
    let found = kubernetes.get(Kind::Secret, secret).await?;
    let password = found.and_then(|object| Existing::of(&object).data.remove(key).flatten());
    password.ok_or_else(|| {
        Error::from(format!(
            "Secret `{secret}` of namespace `{}` has no text under the key `{key}`: add it, or name another",
            kubernetes.namespace()
        ))
    })
}

/// Makes an account, and waits until the program says that it did.
pub async fn add(
    run: &mut Run<'_>,
    account: Account<'_>,
    password: &Secret<String>,
) -> Result<(), Error> {
    let kubernetes = run.kubernetes;
    let namespace = kubernetes.namespace();
    let drawn = secrets::bytes::<5>(&mut SysRng).map_err(|error| error.to_string())?;
    let name = format!("temporal-user-{}", secrets::to_hex(&drawn));
    let migration = migration(kubernetes).await?;
    let job = migration.and_then(|it| account::job(&it, namespace, &name, account));
    let job = job.ok_or_else(|| {
        format!(
            "namespace `{namespace}` has no migrated stack in it: run `temporal-stack apply` first"
        )
    })?;
    let mut values = wait::values_of(kubernetes).await?;
    let ours = values.entry(MANAGER).or_default();
    ours.insert(name.clone(), password.clone());
    let watch = Watch::begin(kubernetes, &values).await?;
    let secret = account::password(namespace, &name, password.expose());
    kubernetes.create(Kind::Secret, &secret).await?;
    let outcome = match send(kubernetes, &job).await {
        Ok(()) => watch.until_ready(run, &[(Kind::Job, name.clone())]).await,
        Err(error) => Err(error.into()),
    };
    for kind in [Kind::Job, Kind::Secret] {
        kubernetes.delete(kind, &name).await?;
    }
    outcome.map_err(|error| error.during("no account was made"))
}

/// The Job, to which the Secret belongs from then on: it goes with it, should we not be there any more.
async fn send(kubernetes: &Kubernetes, job: &Value) -> Result<(), ApiError> {
    let resource = Kind::Job.resource();
    let made = kubernetes.create(Kind::Job, job).await?;
    let uid = made.as_ref().map(|job| text(job, "/metadata/uid"));
    let name = name_of(job);
    let owner = json!({
        "apiVersion": resource.api_version, "kind": resource.kind, "name": name, "uid": uid,
    });
    let patch = json!({ "metadata": { "name": name, "ownerReferences": [owner] } });
    kubernetes.merge(Kind::Secret, &patch).await
}

/// The newest one.
async fn migration(kubernetes: &Kubernetes) -> Result<Option<Value>, ApiError> {
    let labels = objects::ours_of(&Component::Migrate.name());
    let jobs = kubernetes.list(Kind::Job, &labels).await?;
    let made = |job: &Value| text(job, "/metadata/creationTimestamp").to_owned();
    Ok(jobs.into_iter().max_by_key(made))
}
