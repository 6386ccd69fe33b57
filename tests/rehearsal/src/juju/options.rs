//! `config.yaml`: typed options, and the values people type for them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::metadata::{MetadataError, yaml};

/// The type of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptionType {
    /// Any text.
    String,
    /// A whole number.
    Int,
    /// Any number.
    Float,
    /// `true` or `false`.
    Boolean,
    /// A secret's URI.
    Secret,
}

impl OptionType {
    fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Secret => "secret",
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Secret => value.as_str().is_some_and(|it| it.is_empty() || is_uri(it)),
            Self::Int => value.is_i64(),
            Self::Float => value.is_number(),
            Self::Boolean => value.is_boolean(),
        }
    }

    fn parse(self, text: &str) -> Option<Value> {
        match self {
            Self::String => Some(Value::from(text)),
            Self::Secret => is_uri(text).then(|| Value::from(text)),
            Self::Int => text.parse::<i64>().ok().map(Value::from),
            Self::Float => text.parse::<f64>().ok().map(Value::from),
            Self::Boolean => match text {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(Value::from(true)),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(Value::from(false)),
                _ => None,
            },
        }
    }
}

fn is_uri(text: &str) -> bool {
    text.starts_with("secret:")
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Declared {
    r#type: OptionType,
    #[serde(default)]
    default: Value,
}

/// The options a charm declares.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options(BTreeMap<String, Declared>);

/// Why `juju config` refuses a value; the texts are Juju's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Not in `config.yaml`.
    #[error("unknown option \"{0}\"")]
    Unknown(String),
    /// A value of another type.
    #[error("option \"{name}\" expected {wanted}, got \"{given}\"")]
    Type {
        /// The option.
        name: String,
        /// Its type.
        wanted: &'static str,
        /// What was typed.
        given: String,
    },
}

impl Options {
    /// Parses `config.yaml`; an empty text declares nothing.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        const FILE: &str = "config.yaml";
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default)]
            options: BTreeMap<String, Declared>,
        }
        let document = if text.trim().is_empty() {
            Value::Null
        } else {
            yaml(FILE, text)?
        };
        if document.is_null() {
            return Ok(Self::default());
        }
        let raw: Raw = serde_json::from_value(document)
            .map_err(|source| MetadataError::Shape { file: FILE, source })?;
        for (name, option) in &raw.options {
            if !option.default.is_null() && !option.r#type.fits(&option.default) {
                return Err(MetadataError::invalid(format!(
                    "invalid config default: option \"{name}\" expected {}, got {}",
                    option.r#type.word(),
                    option.default
                )));
            }
        }
        Ok(Self(raw.options))
    }

    /// Turns typed text into the option's value.
    pub fn value(&self, name: &str, text: &str) -> Result<Value, OptionError> {
        let option = self
            .0
            .get(name)
            .ok_or_else(|| OptionError::Unknown(name.to_owned()))?;
        option.r#type.parse(text).ok_or_else(|| OptionError::Type {
            name: name.to_owned(),
            wanted: option.r#type.word(),
            given: text.to_owned(),
        })
    }

    /// Whether the option is declared.
    pub fn declares(&self, name: &str) -> Result<(), OptionError> {
        self.0
            .get(name)
            .map(|_| ())
            .ok_or_else(|| OptionError::Unknown(name.to_owned()))
    }

    /// What the charm sees: set values, else defaults; options with neither only if `all`.
    pub fn effective(&self, set: &BTreeMap<String, Value>, all: bool) -> Map<String, Value> {
        self.0
            .iter()
            .map(|(name, option)| {
                (
                    name.clone(),
                    set.get(name).unwrap_or(&option.default).clone(),
                )
            })
            .filter(|(_, value)| all || !value.is_null())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::Options;

    const TEXT: &str = "options:\n  name: {type: string, default: \"\"}\n  size: {type: int}\n  \
                        fast: {type: boolean, default: true}\n  rate: {type: float, default: 1.5}\n";

    #[test]
    fn an_option_without_value_and_default_is_omitted() {
        let options = Options::parse(TEXT).unwrap();
        let seen = options.effective(&BTreeMap::new(), false);
        assert_eq!(json!(seen), json!({"name": "", "fast": true, "rate": 1.5}));
        assert!(options.effective(&BTreeMap::new(), true)["size"].is_null());
    }

    #[test]
    fn values_have_the_options_type() {
        let options = Options::parse(TEXT).unwrap();
        assert_eq!(options.value("size", "4"), Ok(json!(4)));
        assert_eq!(
            options.value("size", "four").unwrap_err().to_string(),
            "option \"size\" expected int, got \"four\""
        );
        assert_eq!(options.value("fast", "false"), Ok(json!(false)));
        assert!(options.value("fast", "yes").is_err());
        let unknown = options.value("colour", "red").unwrap_err().to_string();
        assert_eq!(unknown, "unknown option \"colour\"");
    }

    #[test]
    fn a_default_of_another_type_is_refused() {
        assert!(Options::parse("options:\n  a: {type: int, default: x}\n").is_err());
        assert!(Options::parse("options:\n  a: {type: number}\n").is_err());
        assert!(Options::parse("").is_ok());
    }
}
