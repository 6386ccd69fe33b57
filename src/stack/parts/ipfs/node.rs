//! IPFS nodes. Port 5001 is full control without a password: nobody but the stack reaches it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{COMPONENT, host};
use crate::names::IPFS_NODE;
use crate::objects::pod::Container;
use crate::objects::{Context, Face, Object, config_map, policy, service};

pub(super) const PORTS: [(&str, u16, &str); 3] = [
    ("swarm", 4001, "TCP"),
    ("api", 5001, "TCP"),
    ("gateway", 8080, "TCP"),
];
/// The claim with the blocks and the node's identity.
pub(super) const CLAIM: &str = "data";
/// Where the image runs scripts from, each time before the daemon starts.
const HOOK: (&str, &str) = ("50-stack.sh", "/container-init.d/50-stack.sh");
/// The key under which a node is known by its Pod's name, whatever the user adds to it.
const NAMES: &str = "Addresses.AppendAnnounce";

/// The Service for Temporal, which stays with one node, and the port.
pub const ADDRESS: (&str, u16) = ("ipfs-api", 5001);

/// What the nodes are told unless `ipfs.config` says otherwise: kubo's key, the value, the reason.
pub const SETTINGS: [(&str, &str, &str); 5] = [
    (
        "Addresses.Swarm",
        r#"["/ip4/0.0.0.0/tcp/4001","/ip6/::/tcp/4001"]"#,
        "TCP only: IPFS Cluster 0.14 cannot read addresses of newer transports, and then does not know its node",
    ),
    (
        "Addresses.NoAnnounce",
        r#"["/ip4/10.0.0.0/ipcidr/8","/ip4/100.64.0.0/ipcidr/10","/ip4/127.0.0.0/ipcidr/8","/ip4/169.254.0.0/ipcidr/16","/ip4/172.16.0.0/ipcidr/12","/ip4/192.168.0.0/ipcidr/16","/ip6/::1/ipcidr/128","/ip6/fc00::/ipcidr/7","/ip6/fe80::/ipcidr/10"]"#,
        "the world is told no private address; the stack's nodes dial each other by their Pods' names, which are \
         added to `Addresses.AppendAnnounce`",
    ),
    (
        "Discovery.MDNS.Enabled",
        "false",
        "neighbours in the network of a data centre are no peers, and Pods on other machines do not hear it",
    ),
    (
        "Swarm.DisableNatPortMap",
        "true",
        "no router in front of a Pod can be asked for a port",
    ),
    (
        "Swarm.RelayClient.Enabled",
        "false",
        "a relay gives a node addresses of newer transports, see `Addresses.Swarm`",
    ),
];

/// A Markdown table of what the nodes are told.
pub fn reference() -> String {
    let rows = SETTINGS.map(|(key, value, reason)| format!("| `{key}` | `{value}` | {reason} |\n"));
    let head = "| key | value | reason |\n| --- | --- | --- |\n";
    head.to_owned() + &rows.concat()
}

/// Its objects but the Pods.
pub(super) fn objects(context: Context<'_>) -> Vec<Object> {
    let [swarm, inside @ ..] = PORTS;
    let mut api = service(context, ADDRESS.0, COMPONENT, Face::Inside, &inside);
    api.body["spec"]["sessionAffinity"] = "ClientIP".into();
    let mut objects = vec![
        config_map(context, IPFS_NODE, COMPONENT, &files(context)),
        api,
    ];
    if let Some(kind) = context.stack.ipfs.swarm_service_type {
        let face = Face::Typed(kind);
        objects.push(service(context, "ipfs-swarm", COMPONENT, face, &[swarm]));
        let everybody = json!({ "ports": [{ "port": swarm.1, "protocol": swarm.2 }] });
        objects.push(policy(context, COMPONENT, &everybody));
    }
    objects
}

/// The container.
pub(super) fn container(context: Context<'_>) -> Container {
    let part = &context.stack.ipfs;
    // the API takes POST only, which a probe over HTTP cannot send
    let api = format!("--api=/ip4/127.0.0.1/tcp/{}", ADDRESS.1);
    Container::new("ipfs", &part.image, &part.resources)
        .pod_name()
        .ports(&PORTS)
        .mount(CLAIM, "/data/ipfs")
        .mount_file("hook", HOOK.0, HOOK.1)
        .probes(&json!({ "exec": { "command": ["ipfs", api, "id"] } }))
}

/// The script that the image runs before the daemon.
pub(super) fn files(context: Context<'_>) -> BTreeMap<String, String> {
    let mut settings: BTreeMap<&str, Value> = SETTINGS
        .iter()
        .map(|(key, value, _)| (*key, serde_json::from_str(value).unwrap_or_default()))
        .collect();
    let given = context.stack.ipfs.config.iter();
    settings.extend(given.map(|(key, value)| (key.as_str(), value.clone())));
    let names = settings.entry(NAMES).or_insert_with(|| json!([]));
    if let Some(names) = names.as_array_mut() {
        names.push(format!("/dns4/{}/tcp/4001", host(context, "$POD_NAME")).into());
    }
    let mut script = String::from(
        "# older volumes: `ipfs config` takes none before it is brought up to date\n\
         ipfs repo migrate\n\
         # the profile `server`, which alone names the network of benchmarks, keeps Pods apart: what it brought goes\n\
         if ipfs config show | grep -q '\"/ip4/198.18.0.0/ipcidr/15\"'; then\n\
         \x20 ipfs config profile apply local-discovery\n\
         fi\n",
    );
    for (key, value) in settings {
        // writing to a string cannot fail
        _ = writeln!(script, "ipfs config --json {key} {}", quoted(&value));
    }
    BTreeMap::from([(HOOK.0.to_owned(), script)])
}

/// A value as one word of the shell, in which only the Pod's name is put in.
fn quoted(value: &Value) -> String {
    let word = value.to_string().replace('\'', r"'\''");
    format!("'{}'", word.replace("$POD_NAME", "'\"$POD_NAME\"'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_reach_kubo_as_they_are() {
        for (value, word) in [
            (json!(["a'b", "$(c) `d`"]), r#"'["a'\''b","$(c) `d`"]'"#),
            (json!("/dns4/$POD_NAME.x"), r#"'"/dns4/'"$POD_NAME"'.x"'"#),
        ] {
            assert_eq!(quoted(&value), word);
        }
    }

    #[test]
    fn the_table_is_json_and_its_keys_may_be_changed() {
        for (key, value, _) in SETTINGS {
            assert!(serde_json::from_str::<Value>(value).is_ok(), "{key}");
        }
    }
}
