//! kubo's own settings, as `ipfs.config` has them. kubo takes a key that it does not know without a word, so
//! what begins with no section of its configuration is refused here. Only computes.

use std::collections::BTreeMap;

use serde_json::Value;

/// kubo's settings: the path of a key, with dots between, and its value.
pub type Config = BTreeMap<String, Value>;

/// The sections of kubo 0.27's configuration.
const SECTIONS: [&str; 22] = [
    "API",
    "Addresses",
    "AutoNAT",
    "Bootstrap",
    "DNS",
    "Datastore",
    "Discovery",
    "Experimental",
    "Gateway",
    "Identity",
    "Internal",
    "Ipns",
    "Migration",
    "Mounts",
    "Peering",
    "Pinning",
    "Plugins",
    "Provider",
    "Pubsub",
    "Reprovider",
    "Routing",
    "Swarm",
];

/// Keys that are not the user's, with the reason.
const NOT_HERE: [(&str, &str); 6] = [
    (
        "API.Authorizations",
        "holds passwords, which no program of the stack would send",
    ),
    (
        "Addresses.API",
        "is where Services, probes and the peer of IPFS Cluster look for the API",
    ),
    ("Addresses.Gateway", "is where the Service leads to"),
    ("Datastore.Spec", "is fixed by the data that a node has"),
    ("Identity", "is each node's own"),
    (
        "Pinning.RemoteServices",
        "holds passwords, and anybody who may read ConfigMaps would see them",
    ),
];

/// What of it kubo, or the stack, would not have.
pub(super) fn problems(config: &Config) -> Vec<String> {
    let problem = |(key, value): (&String, &Value)| {
        let why = refused(key, value)?;
        Some(format!("`ipfs.config`: `{key}` {why}"))
    };
    config.iter().filter_map(problem).collect()
}

fn refused(key: &str, value: &Value) -> Option<String> {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if !key.split('.').all(is_word) {
        return Some("is no key; write one such as `Swarm.ConnMgr.HighWater`".to_owned());
    }
    let (section, rest) = key.split_once('.').unwrap_or((key, ""));
    if !SECTIONS.contains(&section) {
        return Some(format!(
            "begins with no section of kubo's; write one of {}",
            SECTIONS.join(", ")
        ));
    }
    let is_below = |(not_here, _): &&(&str, &str)| {
        key.strip_prefix(not_here)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if let Some((_, why)) = NOT_HERE.iter().find(is_below) {
        return Some(format!("{why}; leave it out"));
    }
    // of all sections only this one is no map
    if rest.is_empty() && section != "Bootstrap" {
        return Some("is a whole section; write its keys one by one".to_owned());
    }
    let is_unreadable = key == "Addresses.Swarm"
        && ["/quic", "/web"]
            .iter()
            .any(|it| value.to_string().contains(it));
    is_unreadable.then(|| {
        "has an address that IPFS Cluster cannot read, which then loses sight of its node; write TCP addresses only"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_that_kubo_has_are_taken_and_others_told() {
        let good = [
            ("Swarm.ConnMgr.HighWater", json!(300)),
            ("Bootstrap", json!([])),
            ("Datastore.StorageMax", json!("90GB")),
            ("Addresses.Swarm", json!(["/ip4/0.0.0.0/tcp/4001"])),
        ];
        let config = |(key, value): (&str, Value)| Config::from([(key.to_owned(), value)]);
        for it in good {
            assert_eq!(
                problems(&config(it.clone())),
                Vec::<String>::new(),
                "{it:?}"
            );
        }
        for (key, value, said) in [
            ("", json!(1), "is no key"),
            ("Swarm..X", json!(1), "is no key"),
            ("Swarm.'; rm", json!(1), "is no key"),
            ("Swram.ConnMgr", json!({}), "begins with no section"),
            ("Swarm", json!({}), "one by one"),
            ("Identity.PeerID", json!("x"), "each node's own"),
            (
                "Addresses.API",
                json!("/ip4/127.0.0.1/tcp/5001"),
                "look for the API",
            ),
            (
                "Addresses.Swarm",
                json!(["/ip4/0.0.0.0/udp/4001/quic-v1"]),
                "TCP addresses only",
            ),
        ] {
            let problems = problems(&config((key, value)));
            assert!(
                problems.len() == 1 && problems[0].contains(said),
                "{key}: {problems:?}"
            );
        }
    }
}
