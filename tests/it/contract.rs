//! The YAML files that Juju reads say the same as the Rust types.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use temporal_k8s::relations::{admin, ingress, peer};
use temporal_k8s::server::{CONTAINER, Store};
use temporal_k8s::{config, hook};

fn read(name: &str) -> Value {
    let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn keys(map: &Value) -> Vec<&str> {
    map.as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// Juju's name for the type of a value.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "int",
        Value::Number(_) => "float",
        Value::String(_) => "string",
        value => panic!("no option can be {value}"),
    }
}

#[test]
fn options_have_the_names_types_and_defaults_of_the_parser() {
    let options = read("config.yaml")["options"].clone();
    let documented: Map<String, Value> = options
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, option)| (name.clone(), option["default"].clone()))
        .collect();
    assert_eq!(documented, config::defaults());
    for (name, default) in config::defaults() {
        assert_eq!(options[&name]["type"], type_name(&default), "{name}");
        assert!(options[&name]["description"].is_string(), "{name}");
    }
}

#[test]
fn the_documented_defaults_are_a_valid_configuration() {
    assert_eq!(
        config::parse(&config::defaults()),
        config::parse(&Map::new())
    );
    assert!(config::parse(&config::defaults()).is_ok());
}

#[test]
fn every_option_is_checked() {
    for name in config::defaults().keys() {
        let bad = config::parse(&Map::from_iter([(name.clone(), json!({}))])).unwrap_err();
        assert_eq!(bad.len(), 1, "{name}");
        assert_eq!(bad[0].option, name);
    }
}

#[test]
fn endpoints_are_those_of_the_relation_files() {
    let metadata = read("metadata.yaml");
    assert_eq!(
        metadata["peers"],
        json!({ peer::ENDPOINT: { "interface": "temporal" } })
    );
    let required: BTreeMap<&str, (&str, i64)> = metadata["requires"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, endpoint)| {
            let interface = endpoint["interface"].as_str().unwrap();
            (
                name.as_str(),
                (interface, endpoint["limit"].as_i64().unwrap()),
            )
        })
        .collect();
    let mut expected = BTreeMap::from([
        (admin::ENDPOINT, ("temporal", 1)),
        (ingress::ENDPOINT, ("ingress", 1)),
    ]);
    expected.extend(Store::ALL.map(|store| (store.endpoint(), ("pgsql", 1))));
    assert_eq!(required, expected);
    assert_eq!(metadata.get("provides"), None);
}

#[test]
fn the_container_takes_its_image_from_the_resource() {
    let metadata = read("metadata.yaml");
    assert_eq!(
        metadata["containers"],
        json!({ CONTAINER: { "resource": "temporal-server-image" } })
    );
    assert_eq!(keys(&metadata["resources"]), ["temporal-server-image"]);
    assert_eq!(
        metadata["resources"]["temporal-server-image"]["type"],
        "oci-image"
    );
}

#[test]
fn the_charm_asks_for_a_juju_that_opens_ports_on_kubernetes() {
    let metadata = read("metadata.yaml");
    assert_eq!(metadata["assumes"], json!(["juju >= 3.1", "k8s-api"]));
    assert_eq!(metadata["name"], env!("CARGO_PKG_NAME"));
    for field in ["summary", "description"] {
        assert!(!metadata[field].as_str().unwrap().trim().is_empty());
    }
}

/// Nothing answers there, for good.
const PLACEHOLDER: &str = "temporal-k8s.invalid";

/// What Charmhub shows beside name, summary and description.
#[test]
fn who_finds_the_charm_finds_its_title_people_source_issues_and_documentation() {
    let metadata = read("metadata.yaml");
    let title = metadata["display-name"].as_str().unwrap();
    assert!((2..=40).contains(&title.chars().count()), "{title}");
    assert!(metadata["summary"].as_str().unwrap().chars().count() <= 78);
    let mut hosts = Vec::new();
    for field in ["source", "issues", "docs", "website"] {
        let address = metadata[field].as_str().unwrap();
        let host = address.strip_prefix("https://").unwrap();
        hosts.push(host.split('/').next().unwrap());
    }
    let maintainers = metadata["maintainers"].as_array().unwrap();
    assert!(!maintainers.is_empty());
    for maintainer in maintainers {
        let (name, mail) = maintainer.as_str().unwrap().split_once(" <").unwrap();
        assert!(!name.trim().is_empty());
        hosts.push(mail.strip_suffix('>').unwrap().split_once('@').unwrap().1);
    }
    // A charm that is published must not have some of both.
    let placeholders = hosts.iter().filter(|&&host| host == PLACEHOLDER).count();
    assert!([0, hosts.len()].contains(&placeholders), "{hosts:?}");
    assert!(!hosts.contains(&""));
}

/// A square canvas of 100 pixels with a circle of one flat colour, and the logo in it.
#[test]
fn the_icon_is_what_charmhub_asks_for() {
    let path = format!("{}/icon.svg", env!("CARGO_MANIFEST_DIR"));
    let icon = std::fs::read_to_string(path).unwrap();
    let (canvas, shapes) = icon.split_once('>').unwrap();
    for attribute in [
        r#"xmlns="http://www.w3.org/2000/svg""#,
        r#"width="100""#,
        r#"height="100""#,
        r#"viewBox="0 0 100 100""#,
    ] {
        assert!(canvas.contains(attribute), "{attribute}");
    }
    let drawn = shapes.split_once("</title>").unwrap().1.trim_start();
    let circle = r##"<circle cx="50" cy="50" r="50" fill="#"##;
    assert!(drawn.starts_with(circle), "{drawn}");
    // It is all there is: nothing to fetch, nothing to run.
    for foreign in ["<script", "<image", "href", "url("] {
        assert!(!icon.contains(foreign), "{foreign}");
    }
}

#[test]
fn actions_are_those_of_the_code_and_take_nothing_unknown() {
    let actions = read("actions.yaml");
    assert_eq!(keys(&actions), hook::ACTIONS);
    for name in hook::ACTIONS {
        assert!(actions[name]["description"].is_string(), "{name}");
        assert_eq!(actions[name]["additionalProperties"], false, "{name}");
    }
}
