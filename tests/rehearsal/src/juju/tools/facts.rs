//! Configuration, leadership, status, version, ports, network, log, and what Kubernetes refuses.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::super::model::{Port, StatusEntry};
use super::super::scopes::subnet;
use super::args::{Args, Flag, switch, value};
use super::{HookContext, ToolError};

pub(super) const CONFIG_FLAGS: &[Flag] = &[switch(&["a", "all"])];
pub(super) const PORT_FLAGS: &[Flag] = &[value(&["endpoints"])];
pub(super) const OPENED_FLAGS: &[Flag] = &[switch(&["endpoints"])];
pub(super) const LOG_FLAGS: &[Flag] = &[switch(&["debug"]), value(&["l", "log-level"])];
pub(super) const STATUS_SET_FLAGS: &[Flag] = &[switch(&["application"])];
pub(super) const STATUS_GET_FLAGS: &[Flag] = &[switch(&["application"]), switch(&["include-data"])];
pub(super) const NETWORK_FLAGS: &[Flag] = &[
    switch(&["bind-address"]),
    switch(&["ingress-address"]),
    switch(&["egress-subnets"]),
    switch(&["primary-address"]),
    value(&["r", "relation"]),
];

type Outcome = Result<Option<Value>, ToolError>;

pub(super) fn config_get(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(1)?;
    let config = hook.config(args.has("a"))?;
    Ok(Some(match args.at(0) {
        None | Some("-" | "") => json!(config),
        Some(key) => json!(config.get(key)),
    }))
}

pub(super) fn is_leader(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(0)?;
    Ok(Some(json!(hook.is_leader())))
}

pub(super) fn status_set(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    let missing = || ToolError::Arguments("invalid args, require <status> [message]".to_owned());
    let status = args.at(0).ok_or_else(missing)?;
    args.at_most(2)?;
    let message = args.at(1).unwrap_or_default();
    if args.has("application") {
        hook.status_set_app(status, message)?;
    } else {
        hook.status_set(status, message)?;
    }
    Ok(None)
}

fn details(entry: &StatusEntry, data: bool) -> Map<String, Value> {
    let mut details = Map::new();
    details.insert("status".to_owned(), json!(entry.status));
    details.insert("message".to_owned(), json!(entry.message));
    if data {
        details.insert("status-data".to_owned(), json!({}));
    }
    details
}

pub(super) fn status_get(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(0)?;
    let data = args.has("include-data");
    let short = !data && matches!(args.flag("format"), None | Some("smart"));
    if !args.has("application") {
        let entry = hook.status_get()?;
        let shown = if short {
            json!(entry.status)
        } else {
            json!(details(&entry, data))
        };
        return Ok(Some(shown));
    }
    let (entry, units) = hook.status_get_app()?;
    if short {
        return Ok(Some(json!(entry.status)));
    }
    let mut shown = details(&entry, data);
    let units: Map<String, Value> = units
        .into_iter()
        .map(|(name, entry)| (name, json!(details(&entry, data))))
        .collect();
    shown.insert("units".to_owned(), json!(units));
    Ok(Some(json!({"application-status": shown})))
}

pub(super) fn application_version_set(
    hook: &mut HookContext,
    args: &Args,
    _: Option<&str>,
) -> Outcome {
    args.at_most(1)?;
    hook.application_version_set(args.need(0, "version")?)?;
    Ok(None)
}

fn port(text: &str) -> Result<Port, ToolError> {
    let invalid = || ToolError::Arguments(format!("invalid port \"{text}\""));
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if text == "icmp" {
        return Ok(Port {
            number: 0,
            protocol: "icmp".to_owned(),
        });
    }
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp") {
        return Err(invalid());
    }
    if range.contains('-') {
        return Err(ToolError::refused(
            "port ranges are not supported for k8s applications",
        ));
    }
    let number: u16 = range.parse().map_err(|_| invalid())?;
    if number == 0 {
        Err(invalid())
    } else {
        Ok(Port { number, protocol })
    }
}

fn change_port(hook: &mut HookContext, args: &Args, open: bool) -> Outcome {
    args.at_most(1)?;
    let port = port(args.need(0, "port or protocol")?)?;
    let endpoints: Vec<String> = args
        .flag("endpoints")
        .into_iter()
        .flat_map(|list| list.split(','))
        .map(|it| it.trim().to_owned())
        .collect();
    let known = &hook.application()?.metadata.endpoints;
    if let Some(unknown) = endpoints.iter().find(|it| !known.contains_key(*it)) {
        return Err(ToolError::Refused(format!(
            "unknown endpoint \"{unknown}\""
        )));
    }
    hook.change_port(&port, &endpoints, open);
    Ok(None)
}

pub(super) fn open_port(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    change_port(hook, args, true)
}

pub(super) fn close_port(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    change_port(hook, args, false)
}

pub(super) fn opened_ports(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(0)?;
    let ports = hook.opened_ports()?;
    let shown: std::collections::BTreeSet<String> = ports
        .iter()
        .map(
            |(port, endpoint)| match (args.has("endpoints"), endpoint.as_str()) {
                (false, _) => port.to_string(),
                (true, "") => format!("{port} (*)"),
                (true, endpoint) => format!("{port} ({endpoint})"),
            },
        )
        .collect();
    Ok(Some(json!(shown)))
}

pub(super) fn network_get(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(1)?;
    let endpoint = args.need(0, "arguments")?;
    let network = match args.flag("r") {
        Some(_) => hook.network_of(endpoint, Some(super::relations::relation(hook, args)?))?,
        None => hook.network_get(endpoint)?,
    };
    let ingress: Vec<IpAddr> = network.ingress_address.into_iter().collect();
    let egress: Vec<String> = ingress.iter().copied().map(subnet).collect();
    let answers = [
        ("bind-address", json!(network.bind_address)),
        ("primary-address", json!(network.bind_address)),
        ("ingress-address", json!(ingress.first())),
        ("egress-subnets", json!(egress)),
    ];
    let asked: Map<String, Value> = answers
        .into_iter()
        .filter(|(flag, _)| args.has(flag))
        .map(|(flag, value)| (flag.to_owned(), value))
        .collect();
    match asked.len() {
        0 => Ok(Some(json!({
            "bind-addresses": [{
                "mac-address": "",
                "interface-name": "",
                "addresses": [{"hostname": "", "value": network.bind_address, "cidr": ""}],
            }],
            "egress-subnets": egress,
            "ingress-addresses": ingress,
        }))),
        1 => Ok(asked.into_iter().next().map(|(_, value)| value)),
        _ => Ok(Some(json!(asked))),
    }
}

pub(super) fn juju_log(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.need(0, "message")?;
    let level = if args.has("debug") {
        "DEBUG"
    } else {
        args.flag("l").unwrap_or("INFO")
    };
    hook.log(level, &args.positional.join(" "));
    Ok(None)
}

pub(super) fn goal_state(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(0)?;
    hook.goal_state().map(Some)
}

pub(super) fn credential_get(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(0)?;
    let text = if hook.application()?.trust {
        "this cloud has no credential to give"
    } else {
        "cannot access cloud credentials"
    };
    Err(ToolError::refused(text))
}

pub(super) fn resource_get(hook: &mut HookContext, args: &Args, _: Option<&str>) -> Outcome {
    args.at_most(1)?;
    let name = args.need(0, "resource name")?;
    let kind = hook.application()?.metadata.resources.get(name);
    let why = match kind.map(String::as_str) {
        None => format!("resource \"{name}\" not found"),
        Some("oci-image") => format!("resource \"{name}\" is the image of a container, not a file"),
        Some(_) => format!("resource \"{name}\" has no file"),
    };
    Err(ToolError::Refused(format!(
        "could not download resource: {why}"
    )))
}
