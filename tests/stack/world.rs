//! A cluster, namespaces in it, and the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rehearsal::kubernetes::{Cluster, Node, Provisioner, User};
use rehearsal::parts::Parts;
use serde_json::Value;
use temporal_stack::kubernetes::{Access, Kind, Kubernetes, name_of};
use temporal_stack::objects;
use temporal_stack::run::delete;
use tokio::sync::OnceCell;

/// How long a pretended Pod takes to become ready.
const PAUSE: Duration = Duration::from_millis(100);
/// What takes longer than this on two busy cores does not come.
const LIMIT: Duration = Duration::from_mins(2);

/// The document's ConfigMaps, as printed there.
pub(crate) fn document() -> [PathBuf; 3] {
    [
        "temporal-config.yaml",
        "ipfs-cluster-config.yaml",
        "postgres-configmap.yaml",
    ]
    .map(|name| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/stack/document")
            .join(name)
    })
}

/// A cluster, and all that is pretended in it.
pub(crate) struct World {
    // In this order: clients end before their servers.
    node: Node,
    _provisioner: Provisioner,
    pub(crate) cluster: Cluster,
}

impl World {
    /// One of its own, for a test that harms it.
    pub(crate) async fn start(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if directory.exists() {
            std::fs::remove_dir_all(&directory).expect("remove the last run's directory");
        }
        let parts = Parts::locate().expect("a cache");
        let cluster = Cluster::start(&parts, &directory).unwrap_or_else(|error| panic!("{error}"));
        cluster
            .storage_class("pretended", true)
            .await
            .expect("a storage class");
        cluster
            .storage_class("rook-ceph-block", false)
            .await
            .expect("a storage class");
        Self {
            node: Node::start(&cluster, PAUSE).expect("a node"),
            _provisioner: Provisioner::start(&cluster).expect("a storage driver"),
            cluster,
        }
    }

    /// The one that most tests share, each in a namespace of its own.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<World> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start("stack")).await
    }

    /// A place to install into.
    pub(crate) async fn place(&self, namespace: &str) -> Place<'_> {
        let access = Access {
            kubeconfig: Some(self.cluster.kubeconfig().to_owned()),
            context: None,
            manager: "somebody",
        };
        let kubernetes = Kubernetes::connect(&access).await.expect("the cluster");
        Place {
            world: self,
            kubernetes: kubernetes.within(namespace),
            kubeconfig: self.cluster.kubeconfig().to_owned(),
            namespace: namespace.to_owned(),
        }
    }
}

/// A namespace, and a user who works in it.
pub(crate) struct Place<'a> {
    pub(crate) world: &'a World,
    /// The administrator's eyes.
    pub(crate) kubernetes: Kubernetes,
    kubeconfig: PathBuf,
    pub(crate) namespace: String,
}

impl Place<'_> {
    /// The same place for a user with few rights.
    pub(crate) fn limited(mut self) -> Self {
        self.kubeconfig = self.world.cluster.kubeconfig_of(User::Limited);
        self
    }

    /// The program with these arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_temporal-stack"));
        command
            .args(["--kubeconfig".as_ref(), self.kubeconfig.as_os_str()])
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().expect("the program runs");
        Said::from(output)
    }

    /// `apply` of the document's ConfigMaps, and of more arguments.
    pub(crate) fn apply(&self, more: &[&str]) -> Said {
        Said::from(self.applying(more).wait_with_output().expect("it runs"))
    }

    /// The same, while it runs.
    pub(crate) fn applying(&self, more: &[&str]) -> Child {
        self.command(&["apply"])
            .args(more)
            .arg("--from-configmaps")
            .args(document())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }

    /// A `stack.yaml` for this test.
    pub(crate) fn file(&self, text: &str) -> String {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.yaml", self.namespace));
        std::fs::write(&path, text).expect("write stack.yaml");
        path.display().to_string()
    }

    /// An object that must be there.
    pub(crate) async fn get(&self, kind: Kind, name: &str) -> Value {
        let found = self.find(kind, name).await;
        found.unwrap_or_else(|| panic!("{} `{name}` is not there", kind.word()))
    }

    /// An object that may be there.
    pub(crate) async fn find(&self, kind: Kind, name: &str) -> Option<Value> {
        let found = self.kubernetes.get(kind, name).await;
        found.expect("the API answers")
    }

    /// Everything of ours, by kind and name.
    pub(crate) async fn all(&self) -> BTreeMap<(Kind, String), Value> {
        let mut all = BTreeMap::new();
        for kind in
            delete::KINDS
                .into_iter()
                .chain([Kind::Secret, Kind::PersistentVolumeClaim, Kind::Pod])
        {
            let listed = self.kubernetes.list(kind, &objects::ours()).await;
            for object in listed.expect("the API answers") {
                all.insert((kind, name_of(&object).to_owned()), object);
            }
        }
        all
    }

    /// The version of everything of ours, once nothing moves any more.
    pub(crate) async fn versions(&self) -> BTreeMap<(Kind, String), String> {
        let version = |object: &Value| {
            let version = object.pointer("/metadata/resourceVersion");
            version.map(ToString::to_string).unwrap_or_default()
        };
        let mut last = BTreeMap::new();
        let begin = Instant::now();
        loop {
            let all = self.all().await;
            let now: BTreeMap<_, _> = all
                .into_iter()
                .map(|(key, object)| (key, version(&object)))
                .collect();
            if now == last {
                return now;
            }
            assert!(begin.elapsed() < LIMIT, "it never comes to rest");
            last = now;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    /// The values of all Secrets of ours, encoded.
    pub(crate) async fn secrets(&self) -> BTreeMap<String, Value> {
        self.all()
            .await
            .into_iter()
            .filter(|((kind, _), _)| *kind == Kind::Secret)
            .map(|((_, name), object)| (name, object["data"].clone()))
            .collect()
    }

    /// What becomes of the Pods of a component, in every namespace.
    pub(crate) fn decide(&self, component: &str, fate: rehearsal::kubernetes::Fate) {
        self.world.node.decide(component, fate);
    }
}

/// What the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let said = Self {
            success: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        for text in [&said.out, &said.err] {
            assert!(!text.contains("password123"), "a password is shown: {text}");
            assert!(!text.contains("panicked"), "{text}");
        }
        said
    }
}

impl Said {
    /// It has done what it was told.
    pub(crate) fn done(self) -> Self {
        assert!(self.success, "{}\n{}", self.out, self.err);
        self
    }

    /// It has refused, with these words.
    pub(crate) fn refused(self, words: &[&str]) -> Self {
        assert!(!self.success, "{}\n{}", self.out, self.err);
        for word in words {
            assert!(
                self.err.contains(word) || self.out.contains(word),
                "{word:?} is not in\n{}\n{}",
                self.out,
                self.err
            );
        }
        self
    }
}
