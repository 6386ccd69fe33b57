//! What nginx-ingress-integrator makes of its options and of what the other side says, as pure
//! functions with the charm's own words of refusal.

use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::juju::model::Settings;

const PROTOCOLS: [&str; 5] = ["HTTP", "HTTPS", "GRPC", "GRPCS", "FCGI"];

/// The Ingress that the charm wants, before its endpoints are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) hostname: String,
    pub(super) service: String,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) protocol: String,
    /// Addresses that the units named themselves; `None` if Kubernetes knows them.
    pub(super) units: Option<Vec<IpAddr>>,
    pub(super) url: String,
}

/// What the other side said.
pub(super) struct Remote {
    pub(super) app: Settings,
    pub(super) units: Vec<Settings>,
}

fn option<'a>(config: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    config
        .get(name)
        .and_then(Value::as_str)
        .filter(|value| !value.is_empty())
}

/// Today's charm: everything but the backend comes from the operator.
pub(super) fn define(config: &Map<String, Value>, remote: &Remote) -> Result<Definition, String> {
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
pub(super) fn define_early(
    config: &Map<String, Value>,
    app: &Settings,
) -> Result<Definition, String> {
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
    use serde_json::json;

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
