//! Pods without Kubernetes: an address, fake Pebbles, and a mount namespace in which the charm finds
//! their sockets where it looks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};

use rehearsal::juju::cloud::{CheckNotice, Cloud, CloudError, Pod};

use super::address::Address;
use super::container::Container;
use super::lock;
use super::pebble::Pebble;
use super::postgres::Postgres;
use super::temporal::{Brings, Image};

/// The program under test, without what debuggers need: it is copied into every pod.
static DISPATCH: LazyLock<PathBuf> = LazyLock::new(|| {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_dispatch"));
    let small = built.with_extension("small");
    let made = |path: &Path| path.metadata().and_then(|it| it.modified()).ok();
    if made(&small) < made(&built) {
        let new = built.with_extension(format!("small.{}", std::process::id()));
        let strip = Command::new("strip")
            .arg(&built)
            .arg("-o")
            .arg(&new)
            .status();
        if !strip.is_ok_and(|status| status.success()) {
            return built;
        }
        fs::rename(&new, &small).expect("the program's directory");
    }
    small
});
/// What makes a pod's view of the file system.
const HOLD: &str = include_str!("hold.sh");

/// One unit's pod.
#[derive(Debug)]
pub(crate) struct FakePod {
    address: Address,
    directory: PathBuf,
    namespace: Option<Namespace>,
    /// What its containers are made of.
    pub image: Image,
    /// By container.
    pub pebbles: BTreeMap<String, Pebble>,
}

#[derive(Debug)]
struct State {
    directory: tempfile::TempDir,
    version: String,
    domain: String,
    brings: Brings,
    program: Vec<OsString>,
    pods: BTreeMap<String, FakePod>,
    services: BTreeMap<String, (Address, BTreeSet<u16>)>,
}

/// The cloud; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct FakeCloud {
    postgres: Arc<Postgres>,
    state: Arc<Mutex<State>>,
}

impl FakeCloud {
    /// An empty cloud whose Temporal image has this version.
    pub(crate) fn new(version: &str, postgres: &Arc<Postgres>) -> Self {
        let state = State {
            directory: tempfile::tempdir().expect("a directory"),
            version: version.to_owned(),
            domain: "cluster.local".to_owned(),
            brings: Brings::default(),
            program: vec![DISPATCH.clone().into()],
            pods: BTreeMap::new(),
            services: BTreeMap::new(),
        };
        Self {
            postgres: Arc::clone(postgres),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// What is run for a hook, in place of the program that was built with the tests: with its arguments.
    #[allow(
        dead_code,
        reason = "the fast tests have no other program than their own"
    )]
    pub(crate) fn set_program(&self, program: Vec<OsString>) {
        lock(&self.state).program = program;
    }

    /// The directory of this cloud, for whatever else a test has to put somewhere.
    pub(crate) fn directory(&self) -> PathBuf {
        lock(&self.state).directory.path().to_owned()
    }

    /// The server version of pods made from now on.
    pub(crate) fn version(&self) -> String {
        lock(&self.state).version.clone()
    }

    /// Another image is attached.
    pub(crate) fn set_version(&self, version: &str) {
        version.clone_into(&mut lock(&self.state).version);
    }

    /// The cluster's domain, for pods made from now on.
    pub(crate) fn set_domain(&self, domain: &str) {
        domain.clone_into(&mut lock(&self.state).domain);
    }

    /// What the image of containers made from now on brings besides the server.
    pub(crate) fn set_brings(&self, brings: Brings) {
        let mut state = lock(&self.state);
        for pod in state.pods.values() {
            pod.image.set_brings(brings.clone());
        }
        state.brings = brings;
    }

    /// Looks at a pod.
    pub(crate) fn with<R>(&self, unit: &str, look: impl FnOnce(&FakePod) -> R) -> R {
        look(
            lock(&self.state)
                .pods
                .get(unit)
                .unwrap_or_else(|| panic!("`{unit}` has no pod")),
        )
    }

    /// Do servers that start from now on never serve?
    pub(crate) fn bar_newcomers(&self, barred: bool) {
        let state = lock(&self.state);
        state.pods.values().for_each(|pod| pod.image.bar(barred));
    }

    /// Looks at the workload container of a unit.
    pub(crate) fn container<R>(&self, unit: &str, look: impl FnOnce(&Pebble) -> R) -> R {
        self.with(unit, |pod| look(&pod.pebbles["temporal"]))
    }

    /// Whether anything of an application is left.
    pub(crate) fn knows(&self, app: &str) -> bool {
        let state = lock(&self.state);
        let of_app = |unit: &String| unit.split('/').next() == Some(app);
        state.services.contains_key(app) || state.pods.keys().any(of_app)
    }
}

/// A process that keeps a mount namespace alive. It ends when its standard input does, so also with us.
#[derive(Debug)]
struct Namespace {
    holder: Child,
}

impl Namespace {
    fn new(root: &Path, containers: &Path, resolv_conf: &Path) -> Result<Self, CloudError> {
        fs::create_dir_all(root)?;
        let mut command = Command::new("unshare");
        if !is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command
            .args(["--mount", "sh", "-c", HOLD, "hold.sh"])
            .args([root, containers, resolv_conf]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn()?;
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.trim() != "ready" {
            return Err(
                "this machine does not allow mount namespaces: run the tests as root, or \
                        allow unprivileged user namespaces"
                    .into(),
            );
        }
        Ok(Self { holder })
    }

    /// Runs a program inside.
    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.env_clear();
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        let target = self.holder.id().to_string();
        command.args(["--target", &target, "--mount", "--root", "--"]);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        _ = self.holder.wait();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

impl Cloud for FakeCloud {
    fn create_pod(&mut self, pod: &Pod) -> Result<(), CloudError> {
        let mut state = lock(&self.state);
        let directory = state.directory.path().join(pod.unit.replace('/', "-"));
        let containers = directory.join("containers");
        fs::create_dir_all(&containers)?;
        fs::create_dir_all(directory.join("charm"))?;
        let address = Address::new();
        let image = Image::new(&state.version, address.ip(), &self.postgres);
        image.set_brings(state.brings.clone());
        let mut pebbles = BTreeMap::new();
        for name in &pod.containers {
            let place = containers.join(name);
            fs::create_dir_all(&place)?;
            let socket = place.join("pebble.socket");
            let container = Container::new(&format!("{}-{name}", address.ip()), image.clone());
            pebbles.insert(name.clone(), Pebble::start(&socket, container));
        }
        let namespace = match pod.charm {
            Some(_) => {
                let (model, domain) = (&pod.model, &state.domain);
                let resolv_conf = directory.join("resolv.conf");
                fs::write(
                    &resolv_conf,
                    format!("search {model}.svc.{domain} svc.{domain} {domain}\n"),
                )?;
                let root = directory.join("root");
                Some(Namespace::new(&root, &containers, &resolv_conf)?)
            }
            None => None,
        };
        if !state.services.contains_key(&pod.app) {
            state
                .services
                .insert(pod.app.clone(), (Address::new(), BTreeSet::new()));
        }
        let made = FakePod {
            address,
            directory,
            namespace,
            image,
            pebbles,
        };
        state.pods.insert(pod.unit.clone(), made);
        Ok(())
    }

    fn delete_pod(&mut self, unit: &str) -> Result<(), CloudError> {
        let removed = lock(&self.state).pods.remove(unit);
        if let Some(pod) = removed {
            let directory = pod.directory.clone();
            drop(pod);
            fs::remove_dir_all(directory)?;
        }
        Ok(())
    }

    fn charm_command(&self, unit: &str) -> Result<Command, CloudError> {
        let state = lock(&self.state);
        let pod = state.pods.get(unit).ok_or("no such pod")?;
        let namespace = pod.namespace.as_ref().ok_or("no charm in this pod")?;
        let mut command = namespace.command();
        command
            .arg("/usr/bin/env")
            .arg("--chdir")
            .arg(pod.directory.join("charm"))
            .args(&state.program);
        Ok(command)
    }

    fn charm_dir(&self, unit: &str) -> PathBuf {
        self.with(unit, |pod| pod.directory.join("charm"))
    }

    fn boot_id(&self, unit: &str, container: &str) -> Option<String> {
        lock(&self.state)
            .pods
            .get(unit)?
            .pebbles
            .get(container)?
            .boot_id()
    }

    fn check_notices(&self, unit: &str, container: &str, after: Option<&str>) -> Vec<CheckNotice> {
        let state = lock(&self.state);
        let pod = state.pods.get(unit);
        let pebble = pod.and_then(|pod| pod.pebbles.get(container));
        pebble.map_or_else(Vec::new, |pebble| pebble.container().check_notices(after))
    }

    fn pod_ip(&self, unit: &str) -> Option<IpAddr> {
        let ip: Ipv4Addr = lock(&self.state).pods.get(unit)?.address.ip();
        Some(IpAddr::V4(ip))
    }

    fn service_ip(&self, app: &str) -> Option<IpAddr> {
        lock(&self.state)
            .services
            .get(app)
            .map(|(address, _)| IpAddr::V4(address.ip()))
    }

    fn expose(&mut self, app: &str, ports: &BTreeSet<u16>) -> Result<(), CloudError> {
        if let Some((_, exposed)) = lock(&self.state).services.get_mut(app) {
            exposed.clone_from(ports);
        }
        Ok(())
    }

    fn delete_application(&mut self, app: &str) -> Result<(), CloudError> {
        let mut state = lock(&self.state);
        state.services.remove(app);
        Ok(())
    }
}
