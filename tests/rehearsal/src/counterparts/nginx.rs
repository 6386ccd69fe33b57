//! The counterpart of nginx-ingress-integrator with a real nginx behind it: today's charm, which
//! speaks `ingress` v2, and the one of early 2023 with its flat keys.
//!
//! It turns what it is told into an Ingress, as the charm does, and nginx serves that Ingress as
//! the controller does: HTTP/1.1 and HTTP/2 on the plain port 80. No key of either protocol
//! says that the backend speaks gRPC: that is up to the operator.

use std::error::Error;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};

use super::{CounterpartError, process};
use crate::cloud::{Node, Running};
use crate::juju::charm::Charm;
use crate::juju::cloud::Cloud;
use crate::juju::context::HookContext;
use crate::juju::event::{Event, RelationChange};
use crate::juju::model::Settings;
use crate::parts::Parts;
use crate::servers::nginx::{Ingress, Nginx as Files};

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
const ENDPOINT: &str = "ingress";
const PROTOCOLS: [&str; 5] = ["HTTP", "HTTPS", "GRPC", "GRPCS", "FCGI"];

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

/// The Ingress that the charm wants, before its endpoints are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Definition {
    hostname: String,
    service: String,
    port: u16,
    path: String,
    protocol: String,
    /// Addresses that the units named themselves; `None` if Kubernetes knows them.
    units: Option<Vec<IpAddr>>,
    url: String,
}

/// What the other side said.
struct Remote {
    app: Settings,
    units: Vec<Settings>,
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

fn option<'a>(config: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    config
        .get(name)
        .and_then(Value::as_str)
        .filter(|value| !value.is_empty())
}

/// Today's charm: everything but the backend comes from the operator.
fn define(config: &Map<String, Value>, remote: &Remote) -> Result<Definition, String> {
    let said = |key: &str| -> Result<Value, String> {
        let text = remote
            .app
            .get(key)
            .ok_or_else(|| format!("failed to validate databag: no {key}"))?;
        serde_json::from_str(text)
            .map_err(|_| format!("failed to validate databag: {key} is no JSON"))
    };
    let text = |key: &str| {
        let value = said(key)?;
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("failed to validate databag: {key}"))
    };
    let (model, service) = (text("model")?, text("name")?);
    let port = said("port")?
        .as_u64()
        .and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or("failed to validate databag: port")?;
    let hostname = option(config, "service-hostname").ok_or(
        "service-hostname is not set for the ingress relation, configure it using `juju config`",
    )?;
    if !is_hostname(hostname) {
        return Err(
            "invalid ingress service-hostname, the hostname must consist of lower case \
                    alphanumeric characters, '-' or '.'"
                .to_owned(),
        );
    }
    let protocol = option(config, "backend-protocol")
        .unwrap_or("HTTP")
        .to_uppercase();
    if !PROTOCOLS.contains(&protocol.as_str()) {
        return Err(format!(
            "invalid backend protocol '{protocol}', valid values: {}",
            PROTOCOLS.join(", ")
        ));
    }
    let mut addresses = Vec::new();
    for unit in &remote.units {
        let ip = unit
            .get("ip")
            .map(|text| serde_json::from_str::<Option<IpAddr>>(text));
        let ip = ip
            .transpose()
            .map_err(|_| "failed to validate databag: ip")?;
        addresses.extend(ip.flatten());
    }
    if addresses.is_empty() {
        return Err("no endpoints with ip are provided in ingress relation".to_owned());
    }
    let default = format!("/{model}-{service}");
    let path = option(config, "path-routes").unwrap_or(&default);
    if path.contains(',') {
        return Err("Ingress relation does not support multiple pathroutes.".to_owned());
    }
    if !path.starts_with('/') {
        return Err("All path routes must start with a forward slash '/'".to_owned());
    }
    Ok(Definition {
        url: format!("http://{hostname}{path}"),
        hostname: hostname.to_owned(),
        service,
        port,
        path: path.to_owned(),
        protocol,
        units: Some(addresses),
    })
}

/// The charm of early 2023: options first, then the newer names of the relation's keys.
fn define_early(config: &Map<String, Value>, app: &Settings) -> Result<Definition, String> {
    let said = |keys: [&str; 2]| {
        keys.iter()
            .find_map(|key| app.get(*key))
            .map(String::as_str)
    };
    let hostname = option(config, "service-hostname").or(said(["host", "service-hostname"]));
    let (service, port) = (
        said(["name", "service-name"]),
        said(["port", "service-port"]),
    );
    let required = [("host", hostname), ("name", service), ("port", port)];
    let missing: Vec<&str> = required
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(key, _)| *key)
        .collect();
    let (Some(hostname), Some(service), Some(port)) = (hostname, service, port) else {
        return Err(format!(
            "Missing fields for ingress: {}",
            missing.join(", ")
        ));
    };
    let path = option(config, "path-routes").or(app.get("path-routes").map(String::as_str));
    Ok(Definition {
        hostname: hostname.to_owned(),
        service: service.to_owned(),
        port: port
            .parse()
            .map_err(|_| format!("invalid service-port {port}"))?,
        path: path.unwrap_or("/").to_owned(),
        protocol: "HTTP".to_owned(),
        units: None,
        // Of no use to anybody, but that is what it answers.
        url: format!("http://{service}:{port}/"),
    })
}

/// What Kubernetes accepts as the host of an Ingress.
fn is_hostname(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.split('.').all(|label| {
        !label.is_empty()
            && label.bytes().all(|byte| plain(byte) || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(items: &[(&str, &str)]) -> Settings {
        items
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn config(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn remote() -> Remote {
        let app = [
            ("model", "\"m\""),
            ("name", "\"temporal-k8s\""),
            ("port", "7233"),
            ("scheme", "\"h2c\""),
        ];
        let unit = [
            ("host", "\"h\""),
            ("ip", "\"10.1.0.7\""),
            ("egress-subnets", "10.152.183.7/32"),
        ];
        Remote {
            app: settings(&app),
            units: vec![settings(&unit)],
        }
    }

    #[test]
    fn todays_charm_takes_the_host_name_from_its_options() {
        let options = config(&json!({
            "service-hostname": "temporal-k8s", "backend-protocol": "grpc", "path-routes": "/"
        }));
        let definition = define(&options, &remote()).unwrap();
        assert_eq!(definition.url, "http://temporal-k8s/");
        assert_eq!(
            (definition.protocol.as_str(), definition.port),
            ("GRPC", 7233)
        );
        assert_eq!(definition.units, Some(vec!["10.1.0.7".parse().unwrap()]));
        let plain = define(&config(&json!({"service-hostname": "a"})), &remote()).unwrap();
        assert_eq!(plain.url, "http://a/m-temporal-k8s");
        assert_eq!(plain.protocol, "HTTP");
    }

    #[test]
    fn todays_charm_says_what_is_missing() {
        let with = |options: Value, change: &dyn Fn(&mut Remote)| {
            let mut remote = remote();
            change(&mut remote);
            define(&config(&options), &remote).unwrap_err()
        };
        let host = json!({"service-hostname": "a"});
        let keep = |_: &mut Remote| {};
        assert!(with(json!({}), &keep).contains("service-hostname is not set"));
        assert!(with(json!({"service-hostname": "A_b"}), &keep).contains("lower case"));
        let tcp = json!({"service-hostname": "a", "backend-protocol": "tcp"});
        assert!(with(tcp, &keep).contains("'TCP'"));
        let relative = json!({"service-hostname": "a", "path-routes": "x"});
        assert!(with(relative, &keep).contains("forward slash"));
        assert!(with(host.clone(), &|it| it.units.clear()).contains("no endpoints"));
        let bare = |it: &mut Remote| {
            it.app.insert("name".to_owned(), "bare".to_owned());
        };
        assert!(with(host, &bare).contains("no JSON"));
    }

    #[test]
    fn the_early_charm_reads_flat_keys_and_knows_no_grpc() {
        let flat = settings(&[
            ("service-hostname", "temporal-k8s"),
            ("service-name", "temporal-k8s"),
            ("service-port", "7233"),
        ]);
        let definition = define_early(&config(&json!({})), &flat).unwrap();
        assert_eq!(definition.url, "http://temporal-k8s:7233/");
        assert_eq!(
            (definition.path.as_str(), definition.protocol.as_str()),
            ("/", "HTTP")
        );
        let missing = define_early(&config(&json!({})), &settings(&[("host", "a")])).unwrap_err();
        assert_eq!(missing, "Missing fields for ingress: name, port");
    }
}
