//! The emulated Kubernetes node: pods with their containers, a network, Services and names, made
//! of namespaces. The emulated Juju drives it through [`Cloud`]; counterparts and the story run
//! their processes in its pods.
//!
//! It works inside the sandbox only ([`enter`]) and writes to no directory but its own.

mod charm;
mod container;
mod error;
mod etc;
mod image;
mod mounts;
mod names;
mod namespace;
mod network;
mod pod;
mod process;
mod sandbox;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;

pub use error::Error;
pub use image::Image;
pub use network::Family;
pub use process::{Finished, Process, RunAs, Running};
pub use sandbox::{
    EnterError, Entered, allowed, command, enter, inside, run_inside, run_side_by_side,
};

use crate::juju::cloud::{self, CheckNotice, Cloud, CloudError};
use etc::Dns;
use names::Names;
use network::Addresses;
use pod::Pod;
use service::Service;

/// The first address that Services get; the lower ones are the cluster's own.
const FIRST_SERVICE: u8 = 20;

/// How long the end of the proxies is waited for.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// The node. Copies stand for the same node, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct Node(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    workdir: PathBuf,
    images: BTreeMap<String, Image>,
    pods: BTreeMap<String, Pod>,
    services: BTreeMap<String, Service>,
    family: Family,
    names: Names,
    /// What it tells pods of names.
    dns: Dns,
    /// The number of pods so far.
    pods_so_far: u32,
    /// No address is used twice, as a pod that comes back to life in Kubernetes has another address.
    addresses: Addresses,
    /// Runs the proxies and the name server; taken when the node ends.
    runtime: Option<Runtime>,
}

impl Node {
    /// An empty node that writes below `workdir` only; `images` are the images of workload
    /// containers by container name.
    pub fn new(
        workdir: impl AsRef<Path>,
        images: BTreeMap<String, Image>,
        family: Family,
    ) -> Result<Self, Error> {
        let workdir = workdir.as_ref();
        if !inside().map_err(Error::runtime("read the program's own namespaces"))? {
            return Err(Error::Outside);
        }
        fs::create_dir_all(workdir).map_err(Error::file("create", workdir))?;
        let workdir = workdir
            .canonicalize()
            .map_err(Error::file("find", &workdir))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(Error::runtime("start the proxies"))?;
        network::start(family)?;
        let names = Names::default();
        names.serve(family.name_server(), runtime.handle())?;
        Ok(Self(Arc::new(Mutex::new(State {
            workdir,
            images,
            pods: BTreeMap::new(),
            services: BTreeMap::new(),
            family,
            names,
            dns: Dns::new(family.name_server()),
            pods_so_far: 0,
            addresses: Addresses::new(family, crate::seed()),
            runtime: Some(runtime),
        }))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws the addresses of pods made from now on anew, from this seed.
    pub fn seed(&self, seed: u64) {
        self.state().addresses.seed(seed);
    }

    /// The cluster's domain, in which all names of pods and Services end.
    pub fn domain(&self) -> String {
        self.state().dns.domain.clone()
    }

    /// Another domain, for pods and Services made from now on.
    pub fn set_domain(&self, domain: &str) {
        domain.clone_into(&mut self.state().dns.domain);
    }

    /// Other options of the resolver, for pods made from now on: a pod's `dnsConfig`.
    pub fn set_resolver(&self, options: &str) {
        options.clone_into(&mut self.state().dns.options);
    }

    /// Gives a container the image that it will be started from the next time.
    pub fn set_image(&self, container: &str, image: Image) {
        self.state().images.insert(container.to_owned(), image);
    }

    /// Restarts a container: its files are those of its image again, its Pebble knows nothing.
    pub fn restart_container(&self, unit: &str, container: &str) -> Result<(), Error> {
        let mut state = self.state();
        let missing = || Error::NoImage(container.to_owned());
        let image = state.images.get(container).cloned().ok_or_else(missing)?;
        let restarted = state.pod(unit)?.restart(container, &image);
        restarted.unwrap_or_else(|| Err(no_container(unit, container)))
    }

    /// Stops a container at once; it stays away until [`Node::restart_container`].
    pub fn kill_container(&self, unit: &str, container: &str) -> Result<(), Error> {
        let mut state = self.state();
        let found = state.pod(unit)?.container_mut(container);
        found.ok_or_else(|| no_container(unit, container))?.kill()
    }

    /// What a container's Pebble, and the services that it logs for, have written so far.
    pub fn container_log(&self, unit: &str, container: &str) -> Result<String, Error> {
        let mut state = self.state();
        let found = state.pod(unit)?.container(container);
        let path = &found.ok_or_else(|| no_container(unit, container))?.log;
        let bytes = fs::read(path).map_err(Error::file("read", path))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The number of a container's first process, or nothing while it is stopped. Once its Pebble
    /// answers, `/proc/<number>/root` is the container's file system.
    pub fn container_process(&self, unit: &str, container: &str) -> Result<Option<u32>, Error> {
        let mut state = self.state();
        let found = state.pod(unit)?.container(container);
        Ok(found
            .ok_or_else(|| no_container(unit, container))?
            .process())
    }

    /// What a container's Pebble answers to a GET of this path: the `result`.
    pub fn ask_pebble(&self, unit: &str, container: &str, path: &str) -> Result<Value, Error> {
        let mut state = self.state();
        let found = state.pod(unit)?.container(container);
        let answer = found
            .ok_or_else(|| no_container(unit, container))?
            .ask(path);
        answer.map_err(Error::runtime("ask Pebble"))
    }

    /// Whether anything of an application is there: a pod, or its Service.
    pub fn knows(&self, app: &str) -> bool {
        let state = self.state();
        state.services.contains_key(app) || state.pods.values().any(|pod| pod.etc.app == app)
    }

    /// Starts a process in a pod. It sees the host's files, read-only, and the pod's network.
    pub fn spawn_in_pod(&self, unit: &str, process: &Process) -> Result<Running, Error> {
        let mut state = self.state();
        let workdir = state.workdir.clone();
        state.pod(unit)?.spawn(process, &workdir)
    }

    /// The directory of a pod, in which counterparts keep their files; it is removed with the pod.
    pub fn pod_directory(&self, unit: &str) -> Result<PathBuf, Error> {
        Ok(self.state().pod(unit)?.place.clone())
    }

    /// Lets pods find `host` (a full name, e.g. that of an Ingress) at `ip`.
    pub fn name(&self, host: &str, ip: IpAddr) {
        self.state().names.add(host, ip);
    }

    /// Lets the name server drop every question, or answer again.
    pub fn silence_names(&self, silent: bool) {
        self.state().names.silence(silent);
    }

    /// Takes a name back.
    pub fn unname(&self, host: &str) {
        self.state().names.forget(host);
    }
}

impl State {
    fn pod(&mut self, unit: &str) -> Result<&mut Pod, Error> {
        self.pods
            .get_mut(unit)
            .ok_or_else(|| Error::NoPod(unit.to_owned()))
    }

    fn create_pod(&mut self, description: &cloud::Pod) -> Result<(), Error> {
        let unit = &description.unit;
        if self.pods.contains_key(unit) {
            return Err(Error::PodExists(unit.clone()));
        }
        let place = self.workdir.join("pods").join(unit.replace('/', "-"));
        let number = self.pods_so_far;
        self.pods_so_far += 1;
        let address = self.addresses.draw().ok_or(Error::NoAddress("pod"))?;
        self.add_service(&description.app, &description.model)?;
        let link = format!("pod{number}");
        let dns = &self.dns;
        let pod = Pod::new(description, dns, address, link, &self.images, place)?;
        for name in pod.names() {
            self.names.add(&name, pod.ip());
        }
        if let Some(service) = self.services.get(&description.app) {
            service.add(pod.ip());
        }
        self.pods.insert(unit.clone(), pod);
        Ok(())
    }

    fn delete_pod(&mut self, unit: &str) -> Result<(), Error> {
        let mut pod = self
            .pods
            .remove(unit)
            .ok_or_else(|| Error::NoPod(unit.to_owned()))?;
        if let Some(service) = self.services.get(&pod.etc.app) {
            service.remove(pod.ip());
        }
        for name in pod.names() {
            self.names.remove(&name, pod.ip());
        }
        pod.close()
    }

    /// Gives the application its Service, if this is its first pod.
    fn add_service(&mut self, app: &str, model: &str) -> Result<(), Error> {
        if !self.services.contains_key(app) {
            let used: BTreeSet<IpAddr> = self.services.values().map(|s| s.ip).collect();
            let ip = (FIRST_SERVICE..=254)
                .map(|n| self.family.service(n))
                .find(|ip| !used.contains(ip))
                .ok_or(Error::NoAddress("Service"))?;
            let name = format!("{app}.{model}.svc.{}", self.dns.domain);
            self.names.add(&name, ip);
            self.services.insert(app.to_owned(), Service::new(ip, name));
        }
        Ok(())
    }

    fn expose(&mut self, app: &str, ports: &BTreeSet<u16>) -> Result<(), Error> {
        let Self {
            services, runtime, ..
        } = self;
        let Some(service) = services.get_mut(app) else {
            // The Service comes with the first pod: until then there is nothing to close.
            let none = ports.is_empty();
            return if none {
                Ok(())
            } else {
                Err(Error::NoService(app.to_owned()))
            };
        };
        match runtime {
            Some(runtime) => service.expose(ports, runtime.handle()),
            None => Ok(()),
        }
    }

    fn delete_application(&mut self, app: &str) -> Result<(), Error> {
        let units: Vec<String> = self
            .pods
            .iter()
            .filter(|(_, pod)| pod.etc.app == app)
            .map(|(unit, _)| unit.clone())
            .collect();
        units.iter().try_for_each(|unit| self.delete_pod(unit))?;
        if let Some(mut service) = self.services.remove(app) {
            self.names.forget(&service.name);
            service.close();
        }
        Ok(())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // Errors have nobody to tell; the sandbox ends what is left.
        self.pods.clear();
        self.services.clear();
        if let Some(runtime) = self.runtime.take() {
            // The last owner may be a task of another runtime, on whose thread nothing may block;
            // afterwards every port is free again.
            namespace::on_thread(|| runtime.shutdown_timeout(SHUTDOWN));
        }
        drop(network::stop(self.family));
    }
}

fn no_container(unit: &str, container: &str) -> Error {
    Error::NoContainer {
        unit: unit.to_owned(),
        container: container.to_owned(),
    }
}

impl Cloud for Node {
    fn create_pod(&mut self, pod: &cloud::Pod) -> Result<(), CloudError> {
        Ok(self.state().create_pod(pod)?)
    }

    fn delete_pod(&mut self, unit: &str) -> Result<(), CloudError> {
        Ok(self.state().delete_pod(unit)?)
    }

    fn charm_command(&self, unit: &str) -> Result<Command, CloudError> {
        let command = self.state().pod(unit)?.charm_command();
        Ok(command.ok_or_else(|| no_container(unit, "charm"))?)
    }

    fn charm_dir(&self, unit: &str) -> PathBuf {
        charm::directory(unit)
    }

    fn boot_id(&self, unit: &str, container: &str) -> Option<String> {
        self.state().pods.get(unit)?.container(container)?.boot_id()
    }

    fn check_notices(&self, unit: &str, container: &str, after: Option<&str>) -> Vec<CheckNotice> {
        let state = self.state();
        let pod = state.pods.get(unit);
        let found = pod.and_then(|pod| pod.container(container));
        found.map_or_else(Vec::new, |container| container.check_notices(after))
    }

    fn pod_ip(&self, unit: &str) -> Option<IpAddr> {
        Some(self.state().pods.get(unit)?.ip())
    }

    fn service_ip(&self, app: &str) -> Option<IpAddr> {
        Some(self.state().services.get(app)?.ip)
    }

    fn expose(&mut self, app: &str, ports: &BTreeSet<u16>) -> Result<(), CloudError> {
        Ok(self.state().expose(app, ports)?)
    }

    fn delete_application(&mut self, app: &str) -> Result<(), CloudError> {
        Ok(self.state().delete_application(app)?)
    }
}
