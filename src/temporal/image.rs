//! What the image of the server says of itself.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::version::{Error, Version};

/// What the image of the server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What its server answers to `--version`.
    pub version: Version,
    /// Those of [`VARIABLES`] that it sets, to whatever: the server takes an empty one as set, and a service of
    /// Pebble's cannot unset any.
    pub variables: BTreeSet<String>,
}

/// The variable that names the whole configuration file, for servers from 1.30 on.
const CONFIG_FILE: &str = "TEMPORAL_SERVER_CONFIG_FILE_PATH";

/// The variables that say where the server's configuration is. Up to 1.29 the flags of the command line are stronger
/// than all of them; later servers refuse the first, or its flag, together with any of the others or their
/// flags (`cmd/server/main.go`, which knows the misspelt one, too).
pub const VARIABLES: [&str; 6] = [
    CONFIG_FILE,
    "TEMPORAL_ROOT",
    "TEMPORAL_CONFIG_DIR",
    "TEMPORAL_ENVIRONMENT",
    "TEMPORAL_AVAILABILITY_ZONE",
    "TEMPORAL_AVAILABILTY_ZONE",
];

impl Image {
    /// Must the server be given its configuration as one file, and not as directory and environment?
    pub fn takes_one_file(&self) -> bool {
        self.version.has_config_file() && self.variables.contains(CONFIG_FILE)
    }

    /// The variables with which the server takes no configuration in any way; empty when it does.
    pub fn contradiction(&self) -> Vec<&str> {
        let all: Vec<&str> = self.variables.iter().map(String::as_str).collect();
        if self.takes_one_file() && all.len() > 1 {
            all
        } else {
            Vec::new()
        }
    }
}

/// The version and the variables, with blanks between them.
impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.version)?;
        self.variables
            .iter()
            .try_for_each(|name| write!(f, " {name}"))
    }
}

impl FromStr for Image {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (version, variables) = text.split_once(' ').unwrap_or((text, ""));
        Ok(Self {
            version: version.parse()?,
            variables: variables.split_whitespace().map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &str) -> Image {
        let image: Image = text.parse().unwrap();
        assert_eq!(image.to_string(), text);
        image
    }

    #[test]
    fn a_server_that_knows_it_takes_the_file_that_the_image_names() {
        assert!(!image("1.32.2").takes_one_file());
        assert!(!image("1.32.2 TEMPORAL_ROOT").takes_one_file());
        assert!(image("1.30.0 TEMPORAL_SERVER_CONFIG_FILE_PATH").takes_one_file());
        assert!(!image("1.29.9 TEMPORAL_SERVER_CONFIG_FILE_PATH").takes_one_file());
    }

    #[test]
    fn only_both_ways_at_once_are_a_contradiction() {
        let both = "TEMPORAL_ROOT TEMPORAL_SERVER_CONFIG_FILE_PATH";
        let all: Vec<&str> = both.split(' ').collect();
        assert_eq!(image(&format!("1.30.0 {both}")).contradiction(), all);
        for text in [
            &format!("1.29.9 {both}"),
            "1.32.2 TEMPORAL_CONFIG_DIR TEMPORAL_ROOT",
            "1.32.2 TEMPORAL_SERVER_CONFIG_FILE_PATH",
        ] {
            assert!(image(text).contradiction().is_empty(), "{text}");
        }
    }
}
