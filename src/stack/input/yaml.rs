//! Reads YAML, and so JSON, and says in our own words what is wrong with it: with the line, and never with what stands
//! there, which may be a password. Only computes.

use serde::de::DeserializeOwned;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, from_multiple_with_options};

use super::{File, Problem};
use crate::settings::nearest;

/// What to do with a key that is written twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Twice {
    /// It is wrong.
    Refused,
    /// The last one counts, as it does for kubectl.
    Last,
}

/// All documents of a file; those with nothing in them are none.
pub(super) fn documents<T: DeserializeOwned>(file: &File, twice: Twice) -> Result<Vec<T>, Problem> {
    let options = || {
        serde_saphyr::options! {
            duplicate_keys: match twice {
                Twice::Refused => DuplicateKeyPolicy::Error,
                Twice::Last => DuplicateKeyPolicy::LastWins,
            },
        }
    };
    let text = file.text.expose();
    // the original documentation prints a file with a space in front of its first line
    from_multiple_with_options(text, options())
        .or_else(|error| {
            from_multiple_with_options(text.trim_start(), options()).map_err(|_| error)
        })
        .map_err(|error| problem(file, &error))
}

/// A problem on a line of a file.
pub(super) fn at(file: &File, line: u64, text: &str) -> Problem {
    file.problem(format!("line {line}: {text}"))
}

fn problem(file: &File, error: &Error) -> Problem {
    let error = error.without_snippet();
    match error.location() {
        Some(location) if location.line() > 0 => at(file, location.line(), &words(error)),
        _ => file.problem(words(error)),
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("`{key}` is written twice; leave one of them out")
        }
        Error::SerdeUnknownField {
            field, expected, ..
        } => unknown_field(field, expected),
        Error::SerdeUnknownVariant { expected, .. } => {
            format!(
                "is not one of the words that can stand here; write `{}`",
                expected.join("`, `")
            )
        }
        Error::SerdeMissingField { field, .. } => format!("`{field}` is missing; write it"),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("something else stands here; write {expected}")
        }
        Error::InvalidScalar { ty, .. } => format!("something else stands here; write a {ty}"),
        Error::Unexpected { expected, .. } => {
            format!("something else stands here; write a {expected}")
        }
        _ => "this is no YAML; look for a missing quote, colon or bracket and for wrong indentation, here or \
              on the lines before"
            .to_owned(),
    }
}

/// The nearest field, or all of them.
fn unknown_field(field: &str, expected: &[&str]) -> String {
    let remedy = match nearest(expected.iter().copied(), field, 2) {
        Some(known) => format!("write `{known}`"),
        None => format!("there are `{}`", expected.join("`, `")),
    };
    format!("`{field}` is no field here; {remedy}")
}
