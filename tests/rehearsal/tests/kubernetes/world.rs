use std::path::Path;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, Resource};
use rehearsal::kubernetes::{Cluster, Node, Provisioner, User};
use rehearsal::parts::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

/// Short, but long enough to see a Pod before its fate.
pub(super) const PAUSE: Duration = Duration::from_millis(300);

/// What takes longer than this on two busy cores does not come.
const LIMIT: Duration = Duration::from_mins(2);

/// A cluster, and all that is pretended in it.
pub(super) struct World {
    // In this order: clients end before their servers.
    pub(super) node: Node,
    _provisioner: Provisioner,
    pub(super) cluster: Cluster,
}

impl World {
    /// Starts one with a default storage class.
    pub(super) async fn start(directory: &Path) -> Self {
        let cluster = Cluster::start(&Parts::locate().unwrap(), directory).unwrap();
        cluster.storage_class("pretended", true).await.unwrap();
        Self {
            node: Node::start(&cluster, PAUSE).unwrap(),
            _provisioner: Provisioner::start(&cluster).unwrap(),
            cluster,
        }
    }

    /// The one that most tests share. It ends with the process, its logs stay in the target directory.
    pub(super) async fn shared() -> &'static Self {
        static SHARED: OnceCell<World> = OnceCell::const_new();
        SHARED
            .get_or_init(async || {
                let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubernetes");
                if directory.exists() {
                    std::fs::remove_dir_all(&directory).unwrap();
                }
                Self::start(&directory).await
            })
            .await
    }

    /// A namespace of a test's own, and the administrator's hands in it.
    pub(super) async fn space(&self, name: &'static str) -> Space {
        let client = self.cluster.client(User::Admin).await.unwrap();
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        Space { client, name }
    }
}

pub(super) struct Space {
    pub(super) client: Client,
    name: &'static str,
}

impl Space {
    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.name)
    }

    pub(super) async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let object = serde_json::from_value(object).unwrap();
        self.api()
            .create(&PostParams::default(), &object)
            .await
            .unwrap()
    }

    /// The Pods with the label `app` of this value.
    pub(super) async fn pods(&self, app: &str) -> Vec<Pod> {
        let these = ListParams::default().labels(&format!("app={app}"));
        self.api::<Pod>().list(&these).await.unwrap().items
    }

    /// The first Pod of `app` that `is_as_expected`, waited for.
    pub(super) async fn pod(&self, app: &str, is_as_expected: impl Fn(&Pod) -> bool) -> Pod {
        eventually(&format!("the expected Pod of `{app}`"), async || {
            self.pods(app).await.into_iter().find(&is_as_expected)
        })
        .await
    }
}

/// Asks again until there is an answer.
pub(super) async fn eventually<T>(awaited: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begin.elapsed() < LIMIT, "{awaited} did not come");
        sleep(Duration::from_millis(100)).await;
    }
}

/// The Pods' template of an app; `component` is what its fate hangs on.
fn template(app: &str, component: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": app, "app.kubernetes.io/component": component } },
        "spec": {
            "initContainers": [{ "name": "before", "image": "example.invalid/before:1" }],
            "containers": [{ "name": "main", "image": "example.invalid/main:1" }],
        },
    })
}

pub(super) fn deployment(app: &str, component: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": app },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": app } },
            "template": template(app, component),
        },
    })
}

/// With one volume of the default class for each Pod.
pub(super) fn stateful_set(app: &str, replicas: u32) -> Value {
    json!({
        "metadata": { "name": app },
        "spec": {
            "replicas": replicas,
            "serviceName": app,
            "selector": { "matchLabels": { "app": app } },
            "template": template(app, app),
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": { "requests": { "storage": "1Gi" } },
                },
            }],
        },
    })
}

pub(super) fn job(app: &str, component: &str) -> Value {
    let mut job = json!({
        "metadata": { "name": app },
        "spec": { "backoffLimit": 0, "template": template(app, component) },
    });
    job["spec"]["template"]["spec"]["restartPolicy"] = "Never".into();
    job
}
