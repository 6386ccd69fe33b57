//! The Kubernetes API, as far as we need it: one function for each kind of request.
//!
//! Objects go in and out as JSON, since most of what we send is written by hand and checked by the server
//! (field validation is strict). Every request may be repeated without harm, so an API server that is
//! away for a moment, as in an upgrade of the control plane, is waited for. Decides nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "waits for an API server that is away"
)]

mod error;
mod kind;
mod warnings;

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
    ValidationDirective,
};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tower::util::MapResponseLayer;

pub use self::error::{CONFLICT, Error, INVALID, MISSING};
use self::error::{is_passing, refusal};
pub use self::kind::Kind;
use self::warnings::Warnings;

/// How long an API server may be away in the middle of our work.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long the first answer may take: a wrong address should be told soon.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);
/// How long one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The pauses between two tries double from the first to the last of these.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

/// Which cluster, and as whom. Everything that is not set is what `kubectl` would take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The kubeconfig file, in place of `KUBECONFIG` and of the home directory's.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it.
    pub context: Option<String>,
    /// The field manager, by whose name the server knows which fields are ours.
    pub manager: &'static str,
}

/// How to apply an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apply {
    /// Only look what would come of it.
    pub dry_run: bool,
    /// Take over fields that another manager holds with another value.
    pub force: bool,
}

/// The way to one namespace of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
    namespace: String,
    manager: &'static str,
    warnings: Warnings,
}

impl Kubernetes {
    /// Reads the kubeconfig; the first request connects. The namespace is the context's.
    pub async fn connect(access: &Access) -> Result<Self, Error> {
        let options = KubeConfigOptions {
            context: access.context.clone(),
            ..KubeConfigOptions::default()
        };
        let mut config = match &access.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(Error::Configure)?;
                Config::from_custom_kubeconfig(file, &options).await
            }
            None => Config::from_kubeconfig(&options).await,
        }
        .map_err(Error::Configure)?;
        config.connect_timeout = Some(Duration::from_secs(5));
        config.read_timeout = Some(REQUEST_LIMIT);
        config.write_timeout = Some(REQUEST_LIMIT);
        let namespace = config.default_namespace.clone();
        let manager = access.manager;
        let warnings = Warnings::default();
        let hears = warnings.clone();
        let listen = MapResponseLayer::new(move |response: http::Response<_>| {
            hears.hear(response.headers());
            response
        });
        let builder = ClientBuilder::try_from(config).map_err(Error::Connect)?;
        Ok(Self {
            client: builder.with_layer(&listen).build(),
            namespace,
            manager,
            warnings,
        })
    }

    /// The same cluster, and another namespace.
    #[must_use]
    pub fn within(self, namespace: &str) -> Self {
        let namespace = namespace.to_owned();
        Self { namespace, ..self }
    }

    /// Where all requests go.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What the API server has warned of since this was asked last, such as a Pod that the namespace's `PodSecurity` will
    /// not let in. Each text is given once.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    /// Major and minor version of the API server. To be asked first, since it is not waited for long.
    pub async fn version(&self) -> Result<(u32, u32), Error> {
        let attempt = "ask for the API server's version";
        let ask = || self.client.apiserver_version();
        let info = repeat_for(FIRST_PATIENCE, attempt, ask).await?;
        // a cloud's minor may be "34+"
        let number = |text: &str| {
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or_default()
        };
        Ok((number(&info.major), number(&info.minor)))
    }

    /// Does the server serve this API group?
    pub async fn has_group(&self, group: &str) -> Result<bool, Error> {
        let groups = repeat("list the API groups", || self.client.list_api_groups()).await?;
        Ok(groups.groups.iter().any(|it| it.name == group))
    }

    /// May we do that to objects of this kind?
    pub async fn may(&self, verb: &str, kind: Kind) -> Result<bool, Error> {
        let resource = kind.resource();
        // to look at the namespace itself may be allowed in it
        let is_inside = kind.is_namespaced() || (kind, verb) == (Kind::Namespace, "get");
        let mut review = SelfSubjectAccessReview::default();
        review.spec.resource_attributes = Some(ResourceAttributes {
            group: Some(resource.group),
            resource: Some(resource.plural.clone()),
            verb: Some(verb.to_owned()),
            namespace: is_inside.then(|| self.namespace.clone()),
            ..ResourceAttributes::default()
        });
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let attempt = format!("ask whether we may {verb} {}", resource.plural);
        let parameters = PostParams::default();
        let answer = repeat(&attempt, || api.create(&parameters, &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// An object, if it is there.
    pub async fn get(&self, kind: Kind, name: &str) -> Result<Option<Value>, Error> {
        let api = self.api(kind);
        let attempt = format!("get {kind} `{name}`");
        let found = repeat(&attempt, || api.get_opt(name)).await?;
        Ok(found.map(|object| to_json(&object)))
    }

    /// The objects with these labels (all of them with an empty text), sorted by name.
    pub async fn list(&self, kind: Kind, labels: &str) -> Result<Vec<Value>, Error> {
        let api = self.api(kind);
        let parameters = ListParams::default().labels(labels);
        let attempt = format!("list {}", kind.resource().plural);
        let list = repeat(&attempt, || api.list(&parameters)).await?;
        Ok(list.items.iter().map(to_json).collect())
    }

    /// Server-side apply. Gives the object as it is then, or with a dry run as it would be.
    pub async fn apply(&self, kind: Kind, object: &Value, how: Apply) -> Result<Value, Error> {
        let name = name_of(object);
        let api = self.api(kind);
        let parameters = PatchParams {
            dry_run: how.dry_run,
            force: how.force,
            field_manager: Some(self.manager.to_owned()),
            field_validation: Some(ValidationDirective::Strict),
        };
        let attempt = format!("apply {kind} `{name}`");
        let patch = Patch::Apply(object);
        let applied = repeat(&attempt, || api.patch(name, &parameters, &patch)).await?;
        Ok(to_json(&applied))
    }

    /// Makes an object; `None` when one of that name is there already.
    pub async fn create(&self, kind: Kind, object: &Value) -> Result<Option<Value>, Error> {
        let attempt = format!("create {kind} `{}`", name_of(object));
        let api = self.api(kind);
        let parameters = PostParams {
            field_manager: Some(self.manager.to_owned()),
            ..PostParams::default()
        };
        let object: DynamicObject = serde_json::from_value(object.clone())
            .map_err(|error| refusal(&attempt, kube::Error::SerdeError(error)))?;
        match repeat(&attempt, || api.create(&parameters, &object)).await {
            Ok(made) => Ok(Some(to_json(&made))),
            Err(error) if error.is(CONFLICT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes single fields. With a `resourceVersion` in the patch an object that has changed since is a [`CONFLICT`].
    pub async fn merge(&self, kind: Kind, patch: &Value) -> Result<(), Error> {
        let name = name_of(patch);
        let api = self.api(kind);
        let parameters = PatchParams::apply(self.manager);
        let attempt = format!("change {kind} `{name}`");
        let patch = Patch::Merge(patch);
        repeat(&attempt, || api.patch(name, &parameters, &patch)).await?;
        Ok(())
    }

    /// Removes an object and what belongs to it; one that is gone already is no error.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<(), Error> {
        let api = self.api(kind);
        let attempt = format!("delete {kind} `{name}`");
        let parameters = DeleteParams::background();
        match repeat(&attempt, || api.delete(name, &parameters)).await {
            Err(error) if !error.is(MISSING) && !error.is(CONFLICT) => Err(error),
            _ => Ok(()),
        }
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        let resource = kind.resource();
        if kind.is_namespaced() {
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }
}

/// The name in an object's metadata; empty when it has none.
pub fn name_of(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// A text inside an object, by its JSON pointer; empty when it is not there.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let found = object.pointer(pointer);
    found.and_then(Value::as_str).unwrap_or_default()
}

/// A number likewise; 0 when it is not there.
pub fn number(object: &Value, pointer: &str) -> u64 {
    let found = object.pointer(pointer);
    found.and_then(Value::as_u64).unwrap_or_default()
}

/// The entries of a list likewise; none when it is not there.
pub fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + Clone {
    let found = object.pointer(pointer).and_then(Value::as_array);
    found.into_iter().flatten()
}

fn to_json(object: &DynamicObject) -> Value {
    // maps with text keys always have a JSON form
    serde_json::to_value(object).unwrap_or_default()
}

/// Asks until there is an answer, for [`PATIENCE`] at the most.
async fn repeat<T, F: Future<Output = Result<T, kube::Error>>>(
    attempt: &str,
    ask: impl Fn() -> F,
) -> Result<T, Error> {
    repeat_for(PATIENCE, attempt, ask).await
}

async fn repeat_for<T, F: Future<Output = Result<T, kube::Error>>>(
    patience: Duration,
    attempt: &str,
    ask: impl Fn() -> F,
) -> Result<T, Error> {
    let begin = Instant::now();
    let [mut pause, longest] = PAUSES;
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !is_passing(&error) {
            return Err(refusal(attempt, error));
        }
        if begin.elapsed() + pause > patience {
            return Err(Error::Unreachable {
                attempt: attempt.to_owned(),
                waited: begin.elapsed(),
                source: Box::new(error),
            });
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}
