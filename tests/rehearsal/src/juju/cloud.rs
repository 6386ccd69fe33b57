//! What Kubernetes does for Juju: pods, addresses and Services, as the unit agents see them.
//!
//! [`super::Juju`] calls it; the real pods and the plain processes of fast tests implement it. It
//! knows no hook, no relation and no rule of Juju's.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

/// Whatever went wrong in the cloud; Juju only reports it.
pub type CloudError = Box<dyn Error + Send + Sync>;

/// One unit's pod: a charm container and one container per workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Model, and so the Kubernetes namespace.
    pub model: String,
    /// Application, and so the `StatefulSet` and the Service.
    pub app: String,
    /// Unit, like `temporal-k8s/0`.
    pub unit: String,
    /// The `.charm` archive to unpack; `None` for a counterpart, which runs in our own process.
    pub charm: Option<PathBuf>,
    /// Workload containers, each started as a held Pebble.
    pub containers: Vec<String>,
    /// Directory with the hook-tool links; the same path inside and outside the container.
    pub tools: PathBuf,
    /// The unit agent's socket; the same path inside and outside the container.
    pub agent_socket: PathBuf,
}

/// What Pebble noticed of one of its checks: a notice of type `change-update` about a change of kind
/// `perform-check` or `recover-check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckNotice {
    /// When it was last repeated, in a form that [`Cloud::check_notices`] takes.
    pub repeated: String,
    /// The kind of the change.
    pub kind: String,
    /// The check.
    pub check: String,
    /// The status that the change has now, nothing if Pebble has forgotten it.
    pub status: Option<String>,
}

/// The cloud below one model. All calls return quickly; what takes time is polled for.
pub trait Cloud {
    /// Unpacks the charm, starts the charm container and each workload container with Pebble.
    fn create_pod(&mut self, pod: &Pod) -> Result<(), CloudError>;

    /// Ends every process of the unit's pod and forgets its file systems.
    fn delete_pod(&mut self, unit: &str) -> Result<(), CloudError>;

    /// The command that runs `<charm dir>/dispatch` inside the charm container, with the charm
    /// directory as its working directory and a cleared environment; the agent adds the variables.
    fn charm_command(&self, unit: &str) -> Result<Command, CloudError>;

    /// The charm directory as seen inside the charm container.
    fn charm_dir(&self, unit: &str) -> PathBuf;

    /// Pebble's boot id, `None` while that Pebble does not answer.
    fn boot_id(&self, unit: &str, container: &str) -> Option<String>;

    /// The notices of a container's Pebble about its checks, oldest first: those after `after`, or all that it has.
    fn check_notices(&self, unit: &str, container: &str, after: Option<&str>) -> Vec<CheckNotice>;

    /// The pod's address, once it has one.
    fn pod_ip(&self, unit: &str) -> Option<IpAddr>;

    /// The cluster address of the Service named like the application.
    fn service_ip(&self, app: &str) -> Option<IpAddr>;

    /// Gives the application's Service exactly these ports: the union over its units.
    fn expose(&mut self, app: &str, ports: &BTreeSet<u16>) -> Result<(), CloudError>;

    /// Removes the application's Service and whatever else is left of it.
    fn delete_application(&mut self, app: &str) -> Result<(), CloudError>;
}
