//! Makes an account, by a Job in the stack's namespace that is taken away again.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use super::wait::{self, Progress, Watch};
use crate::kubernetes::{Error as ApiError, Kind, Kubernetes, name_of};
use crate::names::MANAGER;
use crate::objects::{self, Component};
use crate::parts::temporal::account::{self, Account};
use crate::secret::Secret;
use crate::secrets::{self, Existing};

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Nothing is installed there.
    #[error("namespace `{0}` has no migrated stack in it: run `temporal-stack apply` first")]
    NoStack(String),
    /// The Secret that was named has no such key.
    #[error(
        "Secret `{secret}` of namespace `{namespace}` has no text under the key `{key}`: add it, or name another"
    )]
    NoPassword {
        /// The Secret.
        secret: String,
        /// The key.
        key: String,
        /// Where.
        namespace: String,
    },
    /// The program said no, or did not come to say anything.
    #[error("no account was made")]
    Failed(#[from] wait::Error),
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    NoRandom,
}

/// The password in a Secret of the namespace.
pub async fn password_of(
    kubernetes: &Kubernetes,
    namespace: &str,
    secret: &str,
    key: &str,
) -> Result<Secret<String>, Error> {
    let found = kubernetes.get(Kind::Secret, namespace, secret).await?;
    let password = found.and_then(|object| Existing::of(&object).data.remove(key).flatten());
    password.ok_or_else(|| Error::NoPassword {
        secret: secret.to_owned(),
        key: key.to_owned(),
        namespace: namespace.to_owned(),
    })
}

/// Makes an account, and waits until the program says that it did.
pub async fn add(
    kubernetes: &Kubernetes,
    namespace: &str,
    account: Account<'_>,
    password: &Secret<String>,
    limit: Duration,
    progress: &mut dyn Progress,
) -> Result<(), Error> {
    let migration = migration(kubernetes, namespace).await?;
    let name = format!("temporal-user-{}", some_digits()?);
    let job = account::job(&migration, namespace, &name, account)
        .ok_or_else(|| Error::NoStack(namespace.to_owned()))?;
    let mut values = wait::values_of(kubernetes, namespace).await?;
    values
        .entry(MANAGER)
        .or_default()
        .insert(name.clone(), password.clone());
    let mut watch = Watch::begin(kubernetes, namespace, &values).await?;
    let secret = account::password(namespace, &name, password.expose());
    kubernetes
        .create(Kind::Secret, namespace, &secret, MANAGER)
        .await?;
    let outcome = match send(kubernetes, namespace, &job).await {
        Ok(()) => {
            let workload = [(Kind::Job, name.clone())];
            let ready = watch.until_ready(&workload, limit, progress).await;
            ready.map_err(Error::from)
        }
        Err(error) => Err(error.into()),
    };
    for kind in [Kind::Job, Kind::Secret] {
        kubernetes.delete(kind, namespace, &name, None).await?;
    }
    outcome
}

/// The Job, to which the Secret belongs from then on: it goes with it, should we not be there any more.
async fn send(kubernetes: &Kubernetes, namespace: &str, job: &Value) -> Result<(), ApiError> {
    let made = kubernetes
        .create(Kind::Job, namespace, job, MANAGER)
        .await?;
    let uid = made.as_ref().and_then(|job| job.pointer("/metadata/uid"));
    let name = name_of(job);
    let owner = json!({
        "apiVersion": Kind::Job.api_version(), "kind": Kind::Job.word(), "name": name, "uid": uid,
    });
    let patch = json!({ "metadata": { "name": name, "ownerReferences": [owner] } });
    kubernetes
        .merge(Kind::Secret, namespace, &patch, MANAGER)
        .await?;
    Ok(())
}

/// The newest one.
async fn migration(kubernetes: &Kubernetes, namespace: &str) -> Result<Value, Error> {
    let component = Component::Migrate;
    let labels = format!(
        "{},app.kubernetes.io/component={component}",
        objects::ours()
    );
    let made = |job: &Value| {
        let time = job.pointer("/metadata/creationTimestamp");
        time.and_then(Value::as_str).map(str::to_owned)
    };
    let jobs = kubernetes.list(Kind::Job, namespace, &labels).await?;
    let newest = jobs.into_iter().max_by_key(made);
    newest.ok_or_else(|| Error::NoStack(namespace.to_owned()))
}

fn some_digits() -> Result<String, Error> {
    let mut bytes = [0; 5];
    let random = SystemRandom::new();
    random.fill(&mut bytes).map_err(|_| Error::NoRandom)?;
    Ok(secrets::to_hex(&bytes))
}
