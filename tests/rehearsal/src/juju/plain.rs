//! A cloud of plain processes, for fast tests: a pod is a directory, a container's Pebble is a
//! boot id that the test sets, addresses are made up.
//!
//! Cloning gives another handle to the same cloud, so a test keeps one while Juju owns the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cloud::{CheckNotice, Cloud, CloudError, Pod};

#[derive(Debug, Default)]
struct State {
    pods: BTreeMap<String, Pod>,
    boots: BTreeMap<(String, String), Option<String>>,
    notices: BTreeMap<(String, String), Vec<CheckNotice>>,
    pod_ips: BTreeMap<String, IpAddr>,
    services: BTreeMap<String, (IpAddr, BTreeSet<u16>)>,
    environment: BTreeMap<String, String>,
    counter: u32,
    address: u8,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct PlainCloud {
    root: PathBuf,
    state: Arc<Mutex<State>>,
}

impl PlainCloud {
    /// A cloud whose pods live below a directory.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            state: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a variable to every dispatch, for what a test must tell the charm.
    pub fn set_variable(&self, name: &str, value: &str) {
        self.state()
            .environment
            .insert(name.to_owned(), value.to_owned());
    }

    /// Takes a container's Pebble down.
    pub fn stop(&self, unit: &str, container: &str) {
        self.state()
            .boots
            .insert((unit.to_owned(), container.to_owned()), None);
    }

    /// Boots a container's Pebble, again or for the first time.
    pub fn boot(&self, unit: &str, container: &str) {
        let mut state = self.state();
        state.counter += 1;
        let boot = Some(format!("boot-{}", state.counter));
        state
            .boots
            .insert((unit.to_owned(), container.to_owned()), boot);
    }

    /// A container's Pebble notices a change of this kind about a check, with the status that the change has.
    pub fn notice(&self, unit: &str, container: &str, kind: &str, check: &str, status: &str) {
        let mut state = self.state();
        state.counter += 1;
        let notice = CheckNotice {
            repeated: format!("{:09}", state.counter),
            kind: kind.to_owned(),
            check: check.to_owned(),
            status: (!status.is_empty()).then(|| status.to_owned()),
        };
        let of = (unit.to_owned(), container.to_owned());
        state.notices.entry(of).or_default().push(notice);
    }

    /// The ports of an application's Service, `None` if there is no such Service.
    pub fn exposed(&self, app: &str) -> Option<BTreeSet<u16>> {
        self.state()
            .services
            .get(app)
            .map(|(_, ports)| ports.clone())
    }

    /// Units that have a pod.
    pub fn pods(&self) -> Vec<String> {
        self.state().pods.keys().cloned().collect()
    }

    /// The directory of a unit's pod.
    pub fn pod_dir(&self, unit: &str) -> PathBuf {
        self.root.join(unit.replace('/', "-"))
    }
}

impl Cloud for PlainCloud {
    fn create_pod(&mut self, pod: &Pod) -> Result<(), CloudError> {
        let directory = self.charm_dir(&pod.unit);
        fs::create_dir_all(&directory)?;
        if let Some(charm) = &pod.charm {
            zip::ZipArchive::new(File::open(charm)?)?.extract(&directory)?;
        }
        for container in &pod.containers {
            self.boot(&pod.unit, container);
        }
        let mut state = self.state();
        state.address += 1;
        let address = IpAddr::V4(Ipv4Addr::new(10, 1, 0, state.address));
        state.pod_ips.insert(pod.unit.clone(), address);
        state.pods.insert(pod.unit.clone(), pod.clone());
        Ok(())
    }

    fn delete_pod(&mut self, unit: &str) -> Result<(), CloudError> {
        let mut state = self.state();
        state.pods.remove(unit);
        state.pod_ips.remove(unit);
        state.boots.retain(|(of, _), _| of != unit);
        state.notices.retain(|(of, _), _| of != unit);
        drop(state);
        Ok(fs::remove_dir_all(self.pod_dir(unit))?)
    }

    fn charm_command(&self, unit: &str) -> Result<Command, CloudError> {
        let directory = self.charm_dir(unit);
        let mut command = Command::new(directory.join("dispatch"));
        command
            .current_dir(directory)
            .env_clear()
            .envs(&self.state().environment);
        Ok(command)
    }

    fn charm_dir(&self, unit: &str) -> PathBuf {
        self.pod_dir(unit).join("charm")
    }

    fn boot_id(&self, unit: &str, container: &str) -> Option<String> {
        self.state()
            .boots
            .get(&(unit.to_owned(), container.to_owned()))
            .cloned()
            .flatten()
    }

    fn check_notices(&self, unit: &str, container: &str, after: Option<&str>) -> Vec<CheckNotice> {
        let state = self.state();
        let of = (unit.to_owned(), container.to_owned());
        let notices = state.notices.get(&of).into_iter().flatten();
        notices
            .filter(|it| after.is_none_or(|after| it.repeated.as_str() > after))
            .cloned()
            .collect()
    }

    fn pod_ip(&self, unit: &str) -> Option<IpAddr> {
        self.state().pod_ips.get(unit).copied()
    }

    fn service_ip(&self, app: &str) -> Option<IpAddr> {
        self.state().services.get(app).map(|(address, _)| *address)
    }

    fn expose(&mut self, app: &str, ports: &BTreeSet<u16>) -> Result<(), CloudError> {
        let mut state = self.state();
        state.address += 1;
        let address = IpAddr::V4(Ipv4Addr::new(10, 152, 183, state.address));
        let service = state.services.entry(app.to_owned());
        service
            .or_insert_with(|| (address, BTreeSet::new()))
            .1
            .clone_from(ports);
        Ok(())
    }

    fn delete_application(&mut self, app: &str) -> Result<(), CloudError> {
        self.state().services.remove(app);
        Ok(())
    }
}

/// Writes a `.charm` archive; `dispatch` gets its executable bit.
pub fn write_charm(path: &Path, files: &[(&str, &[u8])]) -> io::Result<()> {
    let mut archive = zip::ZipWriter::new(File::create(path)?);
    for (name, content) in files {
        let mode = if *name == "dispatch" { 0o755 } else { 0o644 };
        let options = zip::write::SimpleFileOptions::default().unix_permissions(mode);
        archive.start_file(*name, options)?;
        archive.write_all(content)?;
    }
    archive.finish()?;
    Ok(())
}
