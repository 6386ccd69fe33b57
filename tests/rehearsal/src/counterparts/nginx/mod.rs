//! The counterpart of nginx-ingress-integrator with a real nginx behind it: today's charm, which
//! speaks `ingress` v2, and the one of early 2023 with its flat keys.
//!
//! It turns what it is told into an Ingress, as the charm does, and nginx serves that Ingress as
//! the controller does: HTTP/1.1 and HTTP/2 on the plain port 80. No key of either protocol
//! says that the backend speaks gRPC: that is up to the operator.

mod definition;

use std::error::Error;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::{CounterpartError, process, tail};
use crate::cloud::{Node, Running};
use crate::juju::charm::Charm;
use crate::juju::cloud::Cloud;
use crate::juju::context::HookContext;
use crate::juju::event::{Event, RelationChange};
use crate::parts::Parts;
use crate::servers::nginx::{Ingress, Nginx as Files};
use definition::{Definition, Remote, define, define_early};

/// The endpoint of both charms.
const METADATA: &str = "\
name: nginx-ingress-integrator
summary: the counterpart of nginx-ingress-integrator
description: a real nginx behind the interface ingress
provides:
  ingress: {interface: ingress}
";

/// The options that matter here; the real charm has more.
const CONFIG: &str = "\
options:
  service-hostname: {type: string, default: \"\", description: host name of the Ingress}
  backend-protocol: {type: string, default: \"\", description: HTTP, HTTPS, GRPC, GRPCS or FCGI}
  path-routes: {type: string, default: \"\", description: paths of the Ingress}
";

const PORT: u16 = 80;
const READY: Duration = Duration::from_secs(10);
const ENDPOINT: &str = "ingress";

/// Which integrator is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// `ingress` v2.
    Today,
    /// Flat keys; the backend's protocol can only be set on the Ingress by hand.
    Early2023,
}

/// The Ingress in the cluster, for operators who edit it by hand. Copies stand for the same one.
#[derive(Clone, Default)]
pub struct Annotations(Arc<Mutex<Option<String>>>);

impl Annotations {
    /// `kubectl annotate ingress … nginx.ingress.kubernetes.io/backend-protocol=…`: taken up with
    /// the charm's next hook, and lost if that hook writes the Ingress anew.
    pub fn backend_protocol(&self, protocol: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(protocol.to_owned());
    }

    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The charm.
pub struct Nginx {
    node: Node,
    parts: Arc<Parts>,
    generation: Generation,
    annotations: Annotations,
    server: Option<(Files, Running)>,
    hostname: Option<String>,
    written: Option<Definition>,
}

impl Nginx {
    /// The charm in one of its generations.
    pub fn new(node: Node, parts: Arc<Parts>, generation: Generation) -> Self {
        Self {
            node,
            parts,
            generation,
            annotations: Annotations::default(),
            server: None,
            hostname: None,
            written: None,
        }
    }

    /// The annotations of its Ingress.
    pub fn annotations(&self) -> Annotations {
        self.annotations.clone()
    }

    fn start(&mut self, unit: &str) -> Result<(), CounterpartError> {
        let root = self.node.pod_directory(unit)?.join("nginx");
        std::fs::create_dir_all(&root).map_err(CounterpartError::io("make a directory"))?;
        let files = Files::lay(&self.parts, &root, PORT)?;
        let running = self
            .node
            .spawn_in_pod(unit, &process(&files.start(), &root, "nginx"))?;
        ready(&running, &root)?;
        self.server = Some((files, running));
        Ok(())
    }

    fn update(
        &mut self,
        hook: &mut HookContext<'_>,
        broken: Option<u32>,
    ) -> Result<(), CounterpartError> {
        if !hook.is_leader() {
            let text = "this charm only supports a single unit, please remove the additional units \
                        using `juju scale-application nginx-ingress-integrator 1`";
            return Ok(hook.status_set("blocked", text)?);
        }
        let relation = hook
            .relation_ids(ENDPOINT)
            .into_iter()
            .find(|id| Some(*id) != broken);
        let remote = relation.map(|id| remote(hook, id)).transpose()?;
        let said = remote.filter(|remote| !remote.app.is_empty()).zip(relation);
        let Some((remote, id)) = said else {
            self.write(hook, None)?;
            return Ok(hook.status_set("waiting", "waiting for relation")?);
        };
        let config = hook.config(false)?;
        let definition = match self.generation {
            Generation::Today => define(&config, &remote),
            Generation::Early2023 => define_early(&config, &remote.app),
        };
        match definition {
            Ok(definition) => {
                let url = match self.generation {
                    Generation::Today => ("ingress", json!({"url": definition.url}).to_string()),
                    Generation::Early2023 => ("url", definition.url.clone()),
                };
                self.write(hook, Some(definition))?;
                hook.relation_set_app(id, [url])?;
                let ip = self.node.pod_ip(hook.unit());
                let ip = ip
                    .map(|ip| format!("Ingress IP(s): {ip}"))
                    .unwrap_or_default();
                Ok(hook.status_set("active", &ip)?)
            }
            Err(why) => Ok(hook.status_set("blocked", &why)?),
        }
    }

    /// Makes nginx serve exactly this, and the world outside find the host name.
    fn write(
        &mut self,
        hook: &HookContext<'_>,
        definition: Option<Definition>,
    ) -> Result<(), CounterpartError> {
        let ip = self.node.pod_ip(hook.unit());
        let hostname = definition.as_ref().map(|it| it.hostname.clone());
        if self.hostname != hostname {
            if let Some(gone) = &self.hostname {
                self.node.unname(gone);
            }
            if let Some((hostname, ip)) = hostname.as_ref().zip(ip) {
                self.node.name(hostname, ip);
            }
            self.hostname = hostname;
        }
        // The charm replaces the whole object, an annotation made by hand with it.
        let annotated = self
            .annotations
            .take()
            .filter(|_| self.written == definition);
        self.written.clone_from(&definition);
        let Some((files, running)) = &self.server else {
            return Ok(());
        };
        // Calls of gRPC are never below another path, so what is served there does not matter here.
        let ingress = definition.filter(|it| it.path == "/").map(|it| {
            let pods = || hook_pods(&self.node, hook, &it.service);
            Ingress {
                host: it.hostname,
                endpoints: it.units.unwrap_or_else(pods),
                service: it.service,
                service_port: it.port,
                ..Ingress::default()
            }
            .backend_protocol(annotated.as_deref().unwrap_or(&it.protocol))
        });
        files.configure(ingress.as_slice())?;
        alive(running)?;
        running
            .signal(Signal::SIGHUP)
            .map_err(CounterpartError::io("reload nginx"))
    }

    fn run(&mut self, event: &Event, hook: &mut HookContext<'_>) -> Result<(), CounterpartError> {
        match event {
            Event::Start => {
                self.start(hook.unit())?;
                self.update(hook, None)
            }
            Event::ConfigChanged | Event::UpdateStatus => self.update(hook, None),
            Event::Relation(event) if event.endpoint == ENDPOINT => {
                let broken = event.change == RelationChange::Broken;
                self.update(hook, broken.then_some(event.id))
            }
            _ => Ok(()),
        }
    }
}

impl Charm for Nginx {
    fn metadata(&self) -> &str {
        METADATA
    }

    fn config(&self) -> &str {
        CONFIG
    }

    fn dispatch(
        &mut self,
        event: &Event,
        hook: &mut HookContext<'_>,
    ) -> Result<(), Box<dyn Error>> {
        Ok(self.run(event, hook)?)
    }
}

/// Waits until it can be told to reload: before its pid file is there, SIGHUP would end it.
fn ready(nginx: &Running, root: &Path) -> Result<(), CounterpartError> {
    let begin = Instant::now();
    while !root.join("nginx.pid").exists() {
        alive(nginx)?;
        if begin.elapsed() > READY {
            let late = std::io::ErrorKind::TimedOut.into();
            return Err(CounterpartError::io("wait for nginx")(late));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn alive(nginx: &Running) -> Result<(), CounterpartError> {
    let look = CounterpartError::io("look after nginx");
    match nginx.status().map_err(look)? {
        None => Ok(()),
        Some(status) => Err(CounterpartError::Program {
            program: "nginx".to_owned(),
            status: status.to_string(),
            said: tail(&nginx.stderr().unwrap_or_default()),
        }),
    }
}

fn remote(hook: &HookContext<'_>, id: u32) -> Result<Remote, CounterpartError> {
    let app = hook.relation_get(id, &hook.relation_app(id)?)?;
    let units = hook.relation_list(id)?;
    let units = units
        .iter()
        .map(|unit| hook.relation_get(id, unit))
        .collect::<Result<_, _>>()?;
    Ok(Remote { app, units })
}

/// The pods behind the Service that the charm makes for an application of its model.
fn hook_pods(node: &Node, hook: &HookContext<'_>, app: &str) -> Vec<IpAddr> {
    let units = hook
        .relation_ids(ENDPOINT)
        .into_iter()
        .filter_map(|id| hook.relation_list(id).ok());
    let units = units
        .flatten()
        .filter(|unit| unit.split('/').next() == Some(app));
    units.filter_map(|unit| node.pod_ip(&unit)).collect()
}
