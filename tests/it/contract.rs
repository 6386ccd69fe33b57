//! The YAML files that Juju reads say the same as the Rust types.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use temporal_k8s::config;
use temporal_k8s::container::CONTAINER;
use temporal_k8s::plan::ACTIONS;
use temporal_k8s::relations::{Count, ENDPOINTS, Side};

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
        // the only option without a default is a number
        Value::Null => "int",
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
fn endpoints_are_those_of_the_table() {
    let metadata = read("metadata.yaml");
    let mut documented = BTreeMap::new();
    for side in ["peers", "requires", "provides"] {
        for (name, endpoint) in metadata[side].as_object().into_iter().flatten() {
            let interface = endpoint["interface"].as_str().unwrap().to_owned();
            let limit = endpoint.get("limit").and_then(Value::as_u64);
            documented.insert(name.clone(), (side, interface, limit));
        }
    }
    let in_the_table = ENDPOINTS.iter().map(|endpoint| {
        let (side, limit) = match (endpoint.side, endpoint.count) {
            (Side::Peers, _) => ("peers", None),
            (Side::Requires, Count::One) => ("requires", Some(1)),
            (Side::Requires, Count::Many) => ("requires", None),
            (Side::Provides, Count::One) => ("provides", Some(1)),
            (Side::Provides, Count::Many) => ("provides", None),
        };
        let interface = endpoint.interface.to_owned();
        (endpoint.name.to_owned(), (side, interface, limit))
    });
    assert_eq!(documented, in_the_table.collect());
}

/// A line of the README's table for each endpoint that a user relates.
#[test]
fn every_endpoint_is_in_the_readme() {
    let path = format!("{}/README.md", env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(path).unwrap();
    for endpoint in ENDPOINTS
        .iter()
        .filter(|endpoint| endpoint.side != Side::Peers)
    {
        let line = format!("| `{}` | `{}` |", endpoint.name, endpoint.interface);
        assert!(readme.contains(&line), "no line begins with {line}");
    }
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
    let names: Vec<&str> = ACTIONS.iter().map(|action| action.name).collect();
    assert_eq!(keys(&actions), names);
    for name in names {
        assert!(actions[name]["description"].is_string(), "{name}");
        assert_eq!(actions[name]["additionalProperties"], false, "{name}");
    }
}
