//! `actions.yaml`: which actions there are, and which parameters they take.
//!
//! Parameters are described in JSON schema; the words of it that charms use are checked, and a
//! charm that uses others is refused rather than half checked.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::metadata::{MetadataError, yaml};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Declared {
    #[serde(default)]
    description: String,
    #[serde(default)]
    params: Map<String, Value>,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default, rename = "additionalProperties")]
    additional_properties: Option<bool>,
    #[serde(default)]
    parallel: bool,
    #[serde(default)]
    execution_group: String,
    #[serde(default)]
    title: String,
}

/// The actions a charm declares.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Actions(BTreeMap<String, Declared>);

/// Why `juju run` refuses an action before the charm sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// Not in `actions.yaml`.
    #[error("action \"{0}\" not defined on unit")]
    Undefined(String),
    /// The parameters do not fit the schema.
    #[error("validation failed: {0}")]
    Parameters(String),
}

impl Actions {
    /// Parses `actions.yaml`; an empty text declares nothing.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        const FILE: &str = "actions.yaml";
        let document = if text.trim().is_empty() {
            Value::Null
        } else {
            yaml(FILE, text)?
        };
        let Value::Object(document) = document else {
            return match document {
                Value::Null => Ok(Self::default()),
                _ => Err(MetadataError::invalid(
                    "actions.yaml: a map of actions is expected",
                )),
            };
        };
        let mut all = BTreeMap::new();
        for (name, value) in document {
            let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.starts_with("juju") || !name.chars().all(lower) || name.ends_with('-') {
                return Err(MetadataError::invalid(format!(
                    "bad action name \"{name}\""
                )));
            }
            // An action may be nothing but its name.
            let value = if value.is_null() {
                Value::Object(Map::new())
            } else {
                value
            };
            let declared: Declared = serde_json::from_value(value)
                .map_err(|source| MetadataError::Shape { file: FILE, source })?;
            for (param, schema) in &declared.params {
                check_schema(&format!("{name}.{param}"), schema)?;
            }
            all.insert(name, declared);
        }
        Ok(Self(all))
    }

    /// Checks parameters and adds the defaults.
    pub fn parameters(
        &self,
        action: &str,
        mut given: Map<String, Value>,
    ) -> Result<Map<String, Value>, ActionError> {
        let declared = self
            .0
            .get(action)
            .ok_or_else(|| ActionError::Undefined(action.to_owned()))?;
        for (name, schema) in &declared.params {
            if let Some(default) = schema.get("default")
                && !given.contains_key(name)
            {
                given.insert(name.clone(), default.clone());
            }
        }
        check_object(
            "(root)",
            &declared.params,
            &declared.required,
            declared.additional_properties.unwrap_or(true),
            &given,
        )
        .map_err(ActionError::Parameters)?;
        Ok(given)
    }
}

const WORDS: [&str; 11] = [
    "type",
    "description",
    "default",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "properties",
    "required",
    "additionalProperties",
    "title",
];
const TYPES: [&str; 6] = ["string", "integer", "number", "boolean", "object", "array"];

fn check_schema(place: &str, schema: &Value) -> Result<(), MetadataError> {
    let invalid = |text: &str| Err(MetadataError::Invalid(format!("action {place}: {text}")));
    let Value::Object(schema) = schema else {
        return invalid("a schema is expected");
    };
    if let Some(word) = schema.keys().find(|word| !WORDS.contains(&word.as_str())) {
        return invalid(&format!("schema word \"{word}\" is not emulated"));
    }
    match schema.get("type") {
        None => {}
        Some(Value::String(name)) if TYPES.contains(&name.as_str()) => {}
        Some(other) => return invalid(&format!("unknown type {other}")),
    }
    for (name, inner) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        check_schema(&format!("{place}.{name}"), inner)?;
    }
    Ok(())
}

fn check_object(
    place: &str,
    properties: &Map<String, Value>,
    required: &[String],
    additional: bool,
    given: &Map<String, Value>,
) -> Result<(), String> {
    if let Some(missing) = required.iter().find(|name| !given.contains_key(*name)) {
        return Err(format!(
            "{place} : \"{missing}\" property is missing and required"
        ));
    }
    for (name, value) in given {
        match properties.get(name) {
            Some(schema) => check_value(&format!("{place}.{name}"), schema, value)?,
            None if additional => {}
            None => {
                return Err(format!(
                    "{place} : additional property \"{name}\" is not allowed"
                ));
            }
        }
    }
    Ok(())
}

fn check_value(place: &str, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(wanted) = schema.get("type").and_then(Value::as_str) {
        let fits = match wanted {
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            _ => value.is_object(),
        };
        if !fits {
            return Err(format!("{place} : must be of type {wanted}, given {value}"));
        }
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        return Err(format!(
            "{place} : must match one of the enum values, given {value}"
        ));
    }
    let bound = |word: &str| schema.get(word).and_then(Value::as_f64);
    if let Some(number) = value.as_f64() {
        if bound("minimum").is_some_and(|least| number < least) {
            return Err(format!(
                "{place} : must be greater than or equal to the minimum"
            ));
        }
        if bound("maximum").is_some_and(|most| number > most) {
            return Err(format!(
                "{place} : must be less than or equal to the maximum"
            ));
        }
    }
    if let (Some(text), Some(least)) = (
        value.as_str(),
        schema.get("minLength").and_then(Value::as_u64),
    ) && (text.chars().count() as u64) < least
    {
        return Err(format!(
            "{place} : must be at least {least} characters long"
        ));
    }
    if let (Some(inner), Some(properties)) = (
        value.as_object(),
        schema.get("properties").and_then(Value::as_object),
    ) {
        let required: Vec<String> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|it| it.as_str().map(str::to_owned))
            .collect();
        let additional = schema
            .get("additionalProperties")
            .and_then(Value::as_bool)
            .unwrap_or(true);
        check_object(place, properties, &required, additional, inner)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::Actions;

    const TEXT: &str = "restart: {description: again}\ntctl:\n  params:\n    args: {type: string}\n    \
                        level: {type: string, enum: [low, high], default: low}\n  required: [args]\n  \
                        additionalProperties: false\n";

    fn run(action: &str, params: Value) -> Result<Map<String, Value>, String> {
        let Value::Object(params) = params else {
            panic!("an object")
        };
        Actions::parse(TEXT)
            .unwrap()
            .parameters(action, params)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_filled_in() {
        let params = run("tctl", json!({"args": "x"})).unwrap();
        assert_eq!(json!(params), json!({"args": "x", "level": "low"}));
        assert_eq!(run("restart", json!({})).unwrap().len(), 0);
    }

    #[test]
    fn parameters_are_validated_before_the_charm_runs() {
        for (action, params, why) in [
            ("nothing", json!({}), "not defined"),
            ("tctl", json!({}), "missing and required"),
            ("tctl", json!({"args": 5}), "must be of type string"),
            ("tctl", json!({"args": "a", "level": "mid"}), "enum"),
            ("tctl", json!({"args": "a", "other": 1}), "not allowed"),
        ] {
            let error = run(action, params).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_schema_that_cannot_be_checked_is_refused() {
        assert!(Actions::parse("a: {params: {p: {type: string, pattern: x}}}").is_err());
        assert!(Actions::parse("juju-x: {}").is_err());
        assert!(Actions::parse("a: {unknown: 1}").is_err());
    }
}
