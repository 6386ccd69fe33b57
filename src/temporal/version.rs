//! Server versions and the schema that each of them needs. `observe` parses what the binary and the
//! frontend say; `plan` compares. Never assumes that a server calls itself exactly what its tag says.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::store::PerStore;

/// A server version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 1.
    pub major: u32,
    /// The number that decides about features and schema.
    pub minor: u32,
    /// Never compared exactly: the tag 1.17.4 calls itself 1.17.3.
    pub patch: u32,
}

/// A schema version such as 1.10, which is above 1.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaVersion {
    /// Before the dot.
    pub major: u32,
    /// After the dot.
    pub minor: u32,
}

/// A text that was expected to be, or to hold, a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Parsing a server version.
    #[error("`{0}` is not a server version")]
    ParseVersion(String),
    /// Parsing a schema version.
    #[error("`{0}` is not a schema version")]
    ParseSchema(String),
    /// Looking for the version in what `temporal-server --version` printed.
    #[error("`temporal-server --version` printed no version")]
    FindVersion,
}

/// A server older than this charm can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "server version {version} is too old, attach a `temporal-server-image` with {FIRST_MAJOR}.{FIRST_MINOR} or newer"
)]
pub struct Unsupported {
    /// What the server calls itself.
    pub version: Version,
}

const FIRST_MAJOR: u32 = 1;
const FIRST_MINOR: u32 = 17;

impl Version {
    /// Finds the version in the output of `temporal-server --version`, which other lines may surround.
    pub fn from_output(output: &str) -> Result<Self, Error> {
        output
            .lines()
            .filter_map(|line| line.trim().strip_prefix("temporal version "))
            .find_map(|version| version.trim().parse().ok())
            .ok_or(Error::FindVersion)
    }

    /// The database plugin: lib/pq in every version, since it reads the pass file for each new
    /// connection. Up to 1.19 there is only `postgres`, from 1.24 on only `postgres12`.
    pub const fn plugin(self) -> &'static str {
        if self.at_least(1, 20) {
            "postgres12"
        } else {
            "postgres"
        }
    }

    /// Does this version have the role [`crate::temporal::Role::InternalFrontend`]?
    pub const fn has_internal_frontend(self) -> bool {
        self.at_least(1, 20)
    }

    /// Does the worker of this version say at its gRPC port whether it serves? Before, nothing listens there.
    pub const fn has_worker_health(self) -> bool {
        self.at_least(1, 31)
    }

    /// Does this version take its configuration as one file, by flag or variable?
    pub const fn has_config_file(self) -> bool {
        self.at_least(1, 30)
    }

    const fn at_least(self, major: u32, minor: u32) -> bool {
        self.major > major || (self.major == major && self.minor >= minor)
    }
}

/// Two numbers, compared as such.
type Pair = (u32, u32);

/// The lowest schemas with which a server starts: (1.x from this minor and patch on, main store, visibility
/// store).
///
/// From `schema/postgresql/{,v12/}version.go` of every release tag. Up to 1.19 the visibility schema is
/// that of directory `v96`, later that of `v12`, as the plugin asks.
const REQUIRED: [(Pair, Pair, Pair); 16] = [
    ((17, 0), (1, 8), (1, 1)),
    ((19, 0), (1, 9), (1, 1)),
    ((20, 0), (1, 9), (1, 2)),
    ((21, 0), (1, 10), (1, 3)),
    ((23, 0), (1, 11), (1, 4)),
    ((24, 0), (1, 12), (1, 5)),
    ((24, 1), (1, 12), (1, 6)),
    ((25, 0), (1, 14), (1, 6)),
    ((26, 2), (1, 14), (1, 7)),
    ((27, 0), (1, 15), (1, 9)),
    ((27, 1), (1, 16), (1, 9)),
    ((28, 0), (1, 17), (1, 9)),
    ((29, 0), (1, 18), (1, 9)),
    ((30, 0), (1, 18), (1, 13)),
    ((31, 0), (1, 19), (1, 14)),
    ((32, 0), (1, 19), (1, 14)),
];

/// The schema versions that a server needs at least. A server newer than all that are known gets
/// the newest row: it needs no less, and checks for more itself.
pub fn required_schema(version: Version) -> Result<PerStore<SchemaVersion>, Unsupported> {
    let known = match version.major.cmp(&FIRST_MAJOR) {
        Ordering::Greater => REQUIRED.last(),
        Ordering::Equal => REQUIRED
            .iter()
            .rev()
            .find(|(from, ..)| *from <= (version.minor, version.patch)),
        Ordering::Less => None,
    };
    let (_, main, visibility) = known.ok_or(Unsupported { version })?;
    let schema = |&(major, minor): &Pair| SchemaVersion { major, minor };
    Ok(PerStore {
        main: schema(main),
        visibility: schema(visibility),
    })
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = Error;

    /// Takes `1.23.1`, and drops what follows a `-` or `+`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let release = text.split(['-', '+']).next().unwrap_or(text);
        match numbers(release).as_deref() {
            Some(&[major, minor, patch]) => Ok(Self {
                major,
                minor,
                patch,
            }),
            _ => Err(Error::ParseVersion(text.to_owned())),
        }
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for SchemaVersion {
    type Err = Error;

    /// Takes `1.10`, and drops a third number.
    fn from_str(text: &str) -> Result<Self, Error> {
        match numbers(text).as_deref() {
            Some(&[major, minor] | &[major, minor, _]) => Ok(Self { major, minor }),
            _ => Err(Error::ParseSchema(text.to_owned())),
        }
    }
}

/// Numbers with dots between them; `None` for anything else, signs and spaces included.
fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split('.')
        .map(|part| {
            let digits = part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse().ok()).flatten()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn required(text: &str) -> (String, String) {
        let needed = required_schema(version(text)).unwrap();
        (needed.main.to_string(), needed.visibility.to_string())
    }

    #[test]
    fn the_binarys_answer_is_found_between_other_lines() {
        let output = "WARN: image 1.2.3 runs as root\ntemporal version 1.23.1\n\nbye 9.9.9\n";
        assert_eq!(Version::from_output(output), Ok(version("1.23.1")));
    }

    #[test]
    fn an_answer_without_a_version_is_an_error() {
        for garbage in [
            "",
            "temporal",
            "temporal version ",
            "temporal version one",
            "1.23.1",
            "NAME:\n   temporal - Temporal server\n",
        ] {
            assert_eq!(
                Version::from_output(garbage),
                Err(Error::FindVersion),
                "{garbage:?}"
            );
        }
    }

    #[test]
    fn server_versions_parse_and_print() {
        assert_eq!(version("1.17.3").to_string(), "1.17.3");
        assert_eq!(version("1.32.0-161.2"), version("1.32.0"));
        for garbage in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "1.x.3",
            "+1.2.3",
            "1. 2.3",
            "1.2.99999999999",
        ] {
            assert!(garbage.parse::<Version>().is_err(), "{garbage:?}");
        }
    }

    #[test]
    fn schema_versions_compare_by_number() {
        let schema = |text: &str| text.parse::<SchemaVersion>().unwrap();
        assert!(schema("1.10") > schema("1.9"));
        assert!(schema("2.0") > schema("1.99"));
        assert_eq!(schema("1.10.2"), schema("1.10"));
        assert_eq!(schema("1.10").to_string(), "1.10");
        for garbage in [
            "", "1", "1.", ".1", "v1.1", "1.1.1.1", "1.1 ", "-1.1", "0x1.1",
        ] {
            assert!(garbage.parse::<SchemaVersion>().is_err(), "{garbage:?}");
        }
    }

    #[test]
    fn every_minor_has_its_schema() {
        for (server, main, visibility) in [
            ("1.17.3", "1.8", "1.1"),
            ("1.18.5", "1.8", "1.1"),
            ("1.19.1", "1.9", "1.1"),
            ("1.20.0", "1.9", "1.2"),
            ("1.21.6", "1.10", "1.3"),
            ("1.22.0", "1.10", "1.3"),
            ("1.23.1", "1.11", "1.4"),
            ("1.24.0", "1.12", "1.5"),
            ("1.24.2", "1.12", "1.6"),
            ("1.25.2", "1.14", "1.6"),
            ("1.26.0", "1.14", "1.6"),
            ("1.26.2", "1.14", "1.7"),
            ("1.27.0", "1.15", "1.9"),
            ("1.27.4", "1.16", "1.9"),
            ("1.28.0", "1.17", "1.9"),
            ("1.29.7", "1.18", "1.9"),
            ("1.30.6", "1.18", "1.13"),
            ("1.31.5", "1.19", "1.14"),
            ("1.32.2", "1.19", "1.14"),
            ("1.40.0", "1.19", "1.14"),
            ("2.0.0", "1.19", "1.14"),
        ] {
            let expected = (main.to_owned(), visibility.to_owned());
            assert_eq!(required(server), expected, "{server}");
        }
    }

    #[test]
    fn a_server_before_1_17_is_refused_with_the_way_out() {
        for old in ["1.16.2", "0.99.0"] {
            let error = required_schema(version(old)).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "server version {old} is too old, attach a `temporal-server-image` with 1.17 or newer"
                )
            );
        }
    }

    #[test]
    fn what_comes_with_which_version() {
        assert_eq!(version("1.17.3").plugin(), "postgres");
        assert_eq!(version("1.19.1").plugin(), "postgres");
        assert_eq!(version("1.20.0").plugin(), "postgres12");
        assert_eq!(version("2.0.0").plugin(), "postgres12");
        assert!(!version("1.19.1").has_internal_frontend());
        assert!(version("1.20.0").has_internal_frontend());
        assert!(!version("1.30.6").has_worker_health());
        assert!(version("1.31.0").has_worker_health());
        assert!(!version("1.29.1").has_config_file());
        assert!(version("1.30.0").has_config_file());
    }
}
