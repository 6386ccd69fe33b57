//! A real Kubernetes control plane on loopback, with a pretend node and a pretend storage driver.
//!
//! ```text
//! Parts -> Cluster (etcd, API server, controller manager, scheduler)
//!             ^          ^
//!             Node       Provisioner     both of ours; no container runs, no disk is made
//! ```
//!
//! Everything that a client can see of the API is real: admission, server-side apply, roles, the
//! controllers' and the scheduler's work. What a kubelet and a CSI driver would do is pretended, so
//! that misfortunes can be had when a test wants them. Works as root and as an ordinary user,
//! writes below one directory, listens on 127.0.0.1.

mod access;
mod background;
mod certificates;
mod node;
mod pod;
mod program;
mod volumes;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, GetParams, PostParams};
use kube::{Client, Config};

use access::Access;
pub use access::User;
use certificates::Certificates;
pub use node::{NODE, Node};
pub use pod::{COMPONENT, Fate};
use program::{Program, Starter, arguments, free_ports};
pub use volumes::{PROVISIONER, Provisioner};

use crate::parts::{KUBERNETES_VERSIONS, Parts, PartsError};

/// The address of everything.
const HOST: &str = "127.0.0.1";

/// On two busy cores the API server takes some ten seconds to be ready.
const START_LIMIT: Duration = Duration::from_mins(2);

/// How often something that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What stopped a step.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The programs could not be had.
    #[error("get Kubernetes ready")]
    Parts(#[from] PartsError),
    /// A file or directory could not be read or written.
    #[error("{attempt} `{}`", path.display())]
    File {
        /// What was attempted.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A certificate or key could not be made.
    #[error("make the cluster's certificates")]
    Certificates(#[from] rcgen::Error),
    /// The range has too few free ports.
    #[error("too few free ports on {HOST}")]
    NoPort,
    /// A program or thread could not be started or ended.
    #[error("{attempt} `{name}`")]
    Process {
        /// What was attempted.
        attempt: &'static str,
        /// The program or thread.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program ended by itself.
    #[error("`{name}` ended with {status}:\n{log}")]
    Ended {
        /// The program.
        name: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// Something that must come did not.
    #[error("waited {} s for {awaited}; last seen: {seen}", limit.as_secs())]
    NotReady {
        /// What was waited for.
        awaited: &'static str,
        /// How long.
        limit: Duration,
        /// What was there instead.
        seen: String,
    },
    /// A kubeconfig cannot be used.
    #[error("use `{}`", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<kube::config::KubeconfigError>,
    },
    /// The API server refused.
    #[error("{attempt}")]
    Refused {
        /// What was attempted.
        attempt: String,
        /// What it said.
        source: Box<kube::Error>,
    },
}

impl ClusterError {
    fn file(attempt: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File {
            attempt,
            path: path.to_owned(),
            source,
        }
    }

    fn refused(attempt: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Refused {
            attempt: attempt.into(),
            source: Box::new(source),
        }
    }
}

/// A running control plane. Dropping it ends its programs; so does the end of this process. The
/// directory stays, with a log of each program.
#[derive(Debug)]
pub struct Cluster {
    access: Access,
    directory: PathBuf,
    version: String,
    // In this order: clients end before their servers.
    _scheduler: Program,
    _controllers: Program,
    api: Mutex<Program>,
    _etcd: Program,
    starter: Starter,
}

impl Cluster {
    /// Starts one in `directory`, which must be empty or not there yet, and blocks until its API
    /// and its controllers work. There is no [`Node`] yet: Pods stay pending.
    pub fn start(parts: &Parts, directory: &Path) -> Result<Self, ClusterError> {
        let [version] = KUBERNETES_VERSIONS;
        let programs = parts.kubernetes(version)?;
        program::private_directory(directory)?;
        let directory = directory
            .canonicalize()
            .map_err(ClusterError::file("find", directory))?;
        let [store, peers, port] = free_ports()?;
        let certificates = Certificates::make(&directory)?;
        let access = Access::lay(&directory, port, &certificates)?;
        let starter = Starter::new()?;
        let start = |name, program: &Path, arguments| {
            Program::start(&starter, name, program, arguments, &directory)
        };
        let mut etcd = start(
            "etcd",
            &programs.etcd,
            etcd(&directory.join("etcd"), store, peers),
        )?;
        let mut api = start(
            "kube-apiserver",
            &programs.apiserver,
            api_server(store, port, &certificates, &access),
        )?;
        ready(&access, &mut [&mut etcd, &mut api])?;
        let mut controllers = start(
            "kube-controller-manager",
            &programs.controller_manager,
            controller_manager(&certificates, &access),
        )?;
        let mut scheduler = start("kube-scheduler", &programs.scheduler, scheduler(&access))?;
        controllers_work(
            &access,
            &mut [&mut etcd, &mut api, &mut controllers, &mut scheduler],
        )?;
        Ok(Self {
            access,
            directory,
            version: programs.version,
            _scheduler: scheduler,
            _controllers: controllers,
            api: Mutex::new(api),
            _etcd: etcd,
            starter,
        })
    }

    /// The version that the API server calls itself, without the `v`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The administrator's kubeconfig. Whoever reads it may do everything, so only its owner can.
    pub fn kubeconfig(&self) -> &Path {
        self.access.kubeconfig()
    }

    /// A user's kubeconfig.
    pub fn kubeconfig_of(&self, user: User) -> PathBuf {
        self.access.kubeconfig_of(user)
    }

    /// The API as a user sees it. The client belongs to the runtime that it is made in.
    pub async fn client(&self, user: User) -> Result<Client, ClusterError> {
        client(&self.kubeconfig_of(user)).await
    }

    /// Takes the API server away at once, as when its machine dies. The others go on and try to
    /// reach it. Does nothing if it is away.
    pub fn stop_api(&self) -> Result<(), ClusterError> {
        self.api().stop()
    }

    /// Brings the API server back on its port, and blocks until it is ready. Does nothing if it is
    /// there.
    pub fn start_api(&self) -> Result<(), ClusterError> {
        let mut api = self.api();
        api.start_again(&self.starter)?;
        ready(&self.access, &mut [&mut api])
    }

    /// Makes a storage class whose volumes come from the [`Provisioner`] as soon as they are
    /// claimed, and go with their claims. Claims that name no class get the default one.
    pub async fn storage_class(&self, name: &str, is_default: bool) -> Result<(), ClusterError> {
        let classes: Api<StorageClass> = Api::all(self.client(User::Admin).await?);
        classes
            .create(&PostParams::default(), &volumes::class(name, is_default))
            .await
            .map_err(ClusterError::refused(format!(
                "make the storage class `{name}`"
            )))?;
        Ok(())
    }

    fn api(&self) -> std::sync::MutexGuard<'_, Program> {
        self.api.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that reports what went wrong the first time: whoever wants to try again does so himself.
async fn client(kubeconfig: &Path) -> Result<Client, ClusterError> {
    let wrong = |source| ClusterError::Kubeconfig {
        path: kubeconfig.to_owned(),
        source: Box::new(source),
    };
    let file = kube::config::Kubeconfig::read_from(kubeconfig).map_err(wrong)?;
    let mut config =
        Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
            .await
            .map_err(wrong)?;
    config.default_retry = false;
    Client::try_from(config).map_err(ClusterError::refused("make a client"))
}

/// Waits until the API server says that it is ready.
fn ready(access: &Access, programs: &mut [&mut Program]) -> Result<(), ClusterError> {
    wait("the API server", access, programs, async |client| {
        let request = kube::core::Request::new("").get("readyz", &GetParams::default());
        let request = request.map_err(kube::Error::BuildRequest)?;
        client.request_text(request).await.map(drop)
    })
}

/// Waits until the controller manager has given the first namespace its service account, without
/// which no Pod is admitted.
fn controllers_work(access: &Access, programs: &mut [&mut Program]) -> Result<(), ClusterError> {
    wait("the controllers", access, programs, async |client| {
        let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
        accounts.get("default").await.map(drop)
    })
}

/// Asks the API until it gives what is awaited, in a bounded time, while the programs run.
fn wait(
    awaited: &'static str,
    access: &Access,
    programs: &mut [&mut Program],
    ask: impl AsyncFn(Client) -> Result<(), kube::Error> + Sync,
) -> Result<(), ClusterError> {
    background::block_on(awaited, async || {
        let client = client(access.kubeconfig()).await?;
        let begin = Instant::now();
        loop {
            let Err(refusal) = ask(client.clone()).await else {
                return Ok(());
            };
            programs.iter_mut().try_for_each(|program| program.runs())?;
            if begin.elapsed() > START_LIMIT {
                return Err(ClusterError::NotReady {
                    awaited,
                    limit: START_LIMIT,
                    seen: crate::chain(&refusal),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    })
}

/// Nothing here outlives the test, so nothing needs to be safe on disk.
fn etcd(data: &Path, port: u16, peers: u16) -> Vec<String> {
    let clients = format!("http://{HOST}:{port}");
    let peers = format!("http://{HOST}:{peers}");
    arguments([
        ("name", "rehearsal"),
        ("data-dir", &data.display().to_string()),
        ("listen-client-urls", &clients),
        ("advertise-client-urls", &clients),
        ("listen-peer-urls", &peers),
        ("initial-advertise-peer-urls", &peers),
        ("initial-cluster", &format!("rehearsal={peers}")),
        ("unsafe-no-fsync", "true"),
    ])
}

/// The node's address is not reachable, so the API server must not publish its own either.
fn api_server(etcd: u16, port: u16, certificates: &Certificates, access: &Access) -> Vec<String> {
    let issuer = "https://kubernetes.default.svc";
    arguments([
        ("etcd-servers", &*format!("http://{HOST}:{etcd}")),
        ("bind-address", HOST),
        ("advertise-address", HOST),
        ("secure-port", &port.to_string()),
        ("endpoint-reconciler-type", "none"),
        ("tls-cert-file", &certificates.server()),
        ("tls-private-key-file", &certificates.server_key()),
        ("token-auth-file", &access.tokens().display().to_string()),
        ("authorization-mode", "Node,RBAC"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("allow-privileged", "true"),
        ("service-cluster-ip-range", "10.96.0.0/24"),
        ("service-account-issuer", issuer),
        ("service-account-key-file", &certificates.accounts()),
        (
            "service-account-signing-key-file",
            &certificates.accounts_key(),
        ),
    ])
}

/// Volumes that the [`Provisioner`] made are bound within two seconds.
fn controller_manager(certificates: &Certificates, access: &Access) -> Vec<String> {
    let kubeconfig = access.kubeconfig_of(User::ControllerManager);
    arguments([
        ("kubeconfig", &*kubeconfig.display().to_string()),
        ("leader-elect", "false"),
        ("secure-port", "0"),
        (
            "service-account-private-key-file",
            &certificates.accounts_key(),
        ),
        ("root-ca-file", &certificates.authority()),
        ("use-service-account-credentials", "true"),
        ("pvclaimbinder-sync-period", "2s"),
    ])
}

fn scheduler(access: &Access) -> Vec<String> {
    let kubeconfig = access.kubeconfig_of(User::Scheduler);
    arguments([
        ("kubeconfig", &*kubeconfig.display().to_string()),
        ("leader-elect", "false"),
        ("secure-port", "0"),
    ])
}
