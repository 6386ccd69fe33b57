//! A pod: namespaces with an address, in which containers and processes live and end together.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::charm::CharmContainer;
use super::container::Container;
use super::etc::{Dns, Etc};
use super::network::{self, PodNamespaces};
use super::{Error, Image, Process, Running};
use crate::juju::cloud::Pod as Description;

/// A pod on the node.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) etc: Etc,
    pub(super) place: PathBuf,
    containers: BTreeMap<String, Container>,
    charm: Option<CharmContainer>,
    processes: Vec<Running>,
    link: String,
    namespaces: PodNamespaces,
    closed: bool,
}

impl Pod {
    /// Makes the pod and starts its containers. `place` is its directory; no other pod has its address or its
    /// link's name.
    pub(super) fn new(
        description: &Description,
        dns: &Dns,
        ip: IpAddr,
        link: String,
        images: &BTreeMap<String, Image>,
        place: PathBuf,
    ) -> Result<Self, Error> {
        let etc = Etc {
            host: description.unit.replace('/', "-"),
            ip,
            app: description.app.clone(),
            model: description.model.clone(),
            dns: dns.clone(),
        };
        fs::create_dir_all(&place).map_err(Error::file("create", &place))?;
        let namespaces = network::add_pod(&etc.host, ip, &link)?;
        let mut pod = Self {
            etc,
            place,
            containers: BTreeMap::new(),
            charm: None,
            processes: Vec::new(),
            link,
            namespaces,
            closed: false,
        };
        pod.start_containers(&description.containers, images)?;
        if let Some(charm) = &description.charm {
            pod.add_charm(description, charm)?;
        }
        Ok(pod)
    }

    fn start_containers(
        &mut self,
        names: &[String],
        images: &BTreeMap<String, Image>,
    ) -> Result<(), Error> {
        let mut names: Vec<&String> = names.iter().collect();
        names.sort();
        for (order, name) in names.into_iter().enumerate() {
            let image = images
                .get(name)
                .ok_or_else(|| Error::NoImage(name.clone()))?;
            let place = self.place.join("containers").join(name);
            let mut container = Container::new(name, order, &place)?;
            container.start(image, &self.namespaces, &self.etc)?;
            self.containers.insert(name.clone(), container);
        }
        Ok(())
    }

    fn add_charm(&mut self, description: &Description, charm: &Path) -> Result<(), Error> {
        let shared: Vec<(&str, &Path)> = self
            .containers
            .iter()
            .map(|(name, container)| (name.as_str(), container.shared.as_path()))
            .collect();
        let place = self.place.join("charm");
        let charm = CharmContainer::new(
            description,
            charm,
            &place,
            &self.namespaces,
            &self.etc,
            &shared,
        )?;
        self.charm = Some(charm);
        Ok(())
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.etc.ip
    }

    /// The names under which the cluster knows the pod: its own, and the one of all pods of the
    /// application.
    pub(super) fn names(&self) -> [String; 2] {
        let endpoints = self.etc.domain();
        [format!("{}.{endpoints}", self.etc.host), endpoints]
    }

    pub(super) fn container(&self, name: &str) -> Option<&Container> {
        self.containers.get(name)
    }

    pub(super) fn container_mut(&mut self, name: &str) -> Option<&mut Container> {
        self.containers.get_mut(name)
    }

    /// Starts a container again from this image.
    pub(super) fn restart(&mut self, name: &str, image: &Image) -> Option<Result<(), Error>> {
        let container = self.containers.get_mut(name)?;
        Some(container.start(image, &self.namespaces, &self.etc))
    }

    /// The command that runs the charm, if the pod has one.
    pub(super) fn charm_command(&self) -> Option<std::process::Command> {
        Some(self.charm.as_ref()?.command(&self.namespaces))
    }

    /// Starts a process; `sealed` is the directory that it may not write to.
    pub(super) fn spawn(&mut self, process: &Process, sealed: &Path) -> Result<Running, Error> {
        let aside = self.place.join("aside");
        let running = process.spawn(&self.namespaces, &self.etc, sealed, &aside)?;
        self.processes
            .retain(|process| process.status().is_ok_and(|status| status.is_none()));
        self.processes.push(running.clone());
        Ok(running)
    }

    /// Ends everything in the pod at once and removes its files.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.closed, true) {
            return Ok(());
        }
        for process in self.processes.drain(..) {
            process.kill().map_err(Error::runtime("end a process"))?;
        }
        self.containers.values_mut().try_for_each(Container::kill)?;
        self.charm = None;
        network::remove_pod(&self.link)?;
        match fs::remove_dir_all(&self.place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::file("remove", &self.place)(error))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // There is nobody to tell; the sandbox ends what is left.
        drop(self.close());
    }
}
