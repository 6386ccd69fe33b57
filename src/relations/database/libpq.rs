//! libpq's connection strings: `key=value` pairs, and the URI form of the same thing. Total over any
//! text; what it means is decided in `database`.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// Why a text is not a connection string. It says where, and never quotes: the text holds a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibpqError {
    /// Something else than letters, digits and underscores stands where a key must begin.
    #[error("no key at byte {0}")]
    Key(usize),
    /// A key without a value.
    #[error("no `=` after the key at byte {0}")]
    Equals(usize),
    /// A quoted value without its end.
    #[error("the quoted value of the key at byte {0} does not end")]
    Quote(usize),
    /// An address in brackets without its end, or with something else than a port after it.
    #[error("the host's brackets do not match")]
    Brackets,
    /// A `%` without two hexadecimal digits, or bytes that are no text.
    #[error("a percent sign that encodes nothing")]
    Percent,
}

/// Reads a connection string of either form. As in libpq, a repeated key has its last value, and a
/// backslash takes the next character as it is, quoted or not.
pub fn parse_libpq(text: &str) -> Result<BTreeMap<String, String>, LibpqError> {
    ["postgresql://", "postgres://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .map_or_else(|| pairs(text), uri)
}

/// C's `isspace`, which libpq uses; a no-break space belongs to the value.
const fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

fn pairs(text: &str) -> Result<BTreeMap<String, String>, LibpqError> {
    let mut found = BTreeMap::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let at = text.len() - rest.len();
        let end = rest
            .find(|char: char| !char.is_ascii_alphanumeric() && char != '_')
            .unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        if key.is_empty() {
            return Err(LibpqError::Key(at));
        }
        let after = after
            .trim_start_matches(is_space)
            .strip_prefix('=')
            .ok_or(LibpqError::Equals(at))?;
        let (value, after) =
            value(after.trim_start_matches(is_space)).ok_or(LibpqError::Quote(at))?;
        found.insert(key.to_owned(), value);
        rest = after.trim_start_matches(is_space);
    }
    Ok(found)
}

/// The value that a text begins with, and what follows it; `None` when its quote does not end.
fn value(text: &str) -> Option<(String, &str)> {
    let (quoted, body) = text
        .strip_prefix('\'')
        .map_or((false, text), |body| (true, body));
    let mut value = String::new();
    let mut chars = body.chars();
    loop {
        let rest = chars.as_str();
        match chars.next() {
            Some('\'') if quoted => return Some((value, chars.as_str())),
            Some(char) if !quoted && is_space(char) => return Some((value, rest)),
            Some('\\') => value.extend(chars.next()),
            Some(char) => value.push(char),
            None => return (!quoted).then_some((value, "")),
        }
    }
}

/// `[user[:password]@][host[:port]][/dbname][?key=value&…]`, every part percent-encoded.
fn uri(text: &str) -> Result<BTreeMap<String, String>, LibpqError> {
    let mut found = BTreeMap::new();
    let mut keep = |key: &str, encoded: &str| {
        if !encoded.is_empty() {
            found.insert(decode(key)?, decode(encoded)?);
        }
        Ok(())
    };
    let mut rest = text;
    // As in libpq: credentials end at the first `@` before any slash.
    if let Some((credentials, after)) = text.split_once('@')
        && !credentials.contains('/')
    {
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        keep("user", user)?;
        keep("password", password)?;
        rest = after;
    }
    let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (address, name) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match address.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']').ok_or(LibpqError::Brackets)?;
            match after.strip_prefix(':') {
                Some(port) => (host, port),
                None if after.is_empty() => (host, ""),
                None => return Err(LibpqError::Brackets),
            }
        }
        None => address.split_once(':').unwrap_or((address, "")),
    };
    keep("host", host)?;
    keep("port", port)?;
    keep("dbname", name)?;
    for parameter in parameters.split('&').filter(|part| !part.is_empty()) {
        let at = text.len() - parameters.len();
        let (key, encoded) = parameter.split_once('=').ok_or(LibpqError::Equals(at))?;
        keep(key, encoded)?;
    }
    Ok(found)
}

fn decode(text: &str) -> Result<String, LibpqError> {
    // the library leaves a percent sign that encodes nothing as it is, libpq refuses it
    let encodes = |after: &str| {
        let mut digits = after.bytes().take(2).filter(u8::is_ascii_hexdigit);
        digits.next().is_some() && digits.next().is_some()
    };
    if !text.split('%').skip(1).all(encodes) {
        return Err(LibpqError::Percent);
    }
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| LibpqError::Percent)?.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, LibpqError> {
        parse_libpq(text).map(|found| found.into_iter().collect())
    }

    #[test]
    fn every_spelling_of_a_pair_is_read() {
        for (text, expected) in [
            ("", vec![]),
            (" \t\n", vec![]),
            ("a=b", vec![("a", "b")]),
            ("  a=b  c=d ", vec![("a", "b"), ("c", "d")]),
            ("a = b\nc\t=\t'd'", vec![("a", "b"), ("c", "d")]),
            ("a=''", vec![("a", "")]),
            ("a='' b=c", vec![("a", ""), ("b", "c")]),
            ("a=", vec![("a", "")]),
            ("a= b=c", vec![("a", "b=c")]),
            ("a='b c'", vec![("a", "b c")]),
            ("a='b'c=d", vec![("a", "b"), ("c", "d")]),
            (r"a='it\'s' b=1", vec![("a", "it's"), ("b", "1")]),
            (r"a=it\'s b=1", vec![("a", "it's"), ("b", "1")]),
            (r"a=\\ b='\\'", vec![("a", r"\"), ("b", r"\")]),
            (r"a=b\ c", vec![("a", "b c")]),
            (r"a=b\", vec![("a", "b")]),
            ("a=it's", vec![("a", "it's")]),
            ("a=b=c", vec![("a", "b=c")]),
            ("a=1 a=2", vec![("a", "2")]),
            ("a='two\nlines'", vec![("a", "two\nlines")]),
            ("a=x\u{a0}y", vec![("a", "x\u{a0}y")]),
            ("a=é😀", vec![("a", "é😀")]),
        ] {
            let expected = expected
                .into_iter()
                .map(|(key, value): (&str, &str)| (key.to_owned(), value.to_owned()))
                .collect();
            assert_eq!(read(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn the_uri_form_says_the_same() {
        for (text, expected) in [
            ("postgresql://", vec![]),
            (
                "postgresql://u:p@h:1/d?application_name=x",
                vec![
                    ("application_name", "x"),
                    ("dbname", "d"),
                    ("host", "h"),
                    ("password", "p"),
                    ("port", "1"),
                    ("user", "u"),
                ],
            ),
            (
                "postgres://u%40x:a%2Fb%3Ac%25@[fe80::1]:1",
                vec![
                    ("host", "fe80::1"),
                    ("password", "a/b:c%"),
                    ("port", "1"),
                    ("user", "u@x"),
                ],
            ),
            (
                "postgres://u:a?b:c@[::1]/d",
                vec![
                    ("dbname", "d"),
                    ("host", "::1"),
                    ("password", "a?b:c"),
                    ("user", "u"),
                ],
            ),
            ("postgres:///d@e", vec![("dbname", "d@e")]),
            (
                "postgres://h?user=%C3%A9",
                vec![("host", "h"), ("user", "é")],
            ),
        ] {
            let expected = expected
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            assert_eq!(read(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_located_and_not_quoted() {
        for (text, error) in [
            ("hunter2", LibpqError::Equals(0)),
            ("a=b hunter2 c=d", LibpqError::Equals(4)),
            ("=hunter2", LibpqError::Key(0)),
            ("a=b é=hunter2", LibpqError::Key(4)),
            ("a='hunter2", LibpqError::Quote(0)),
            (r"a='hunter2\'", LibpqError::Quote(0)),
            ("postgres://[::1/hunter2", LibpqError::Brackets),
            ("postgres://[::1]hunter2", LibpqError::Brackets),
            ("postgres://u:hunter2%@h", LibpqError::Percent),
            ("postgres://u:hunter2%4g@h", LibpqError::Percent),
            ("postgres://u:hunter2%ff@h", LibpqError::Percent),
            ("postgres://h/d?hunter2", LibpqError::Equals(4)),
        ] {
            assert_eq!(read(text), Err(error), "{text:?}");
            assert!(!error.to_string().contains("hunter"));
        }
    }

    /// What postgresql-k8s writes: sorted, escaped, quoted only where there is a space.
    fn generate(pairs: &BTreeMap<String, String>) -> String {
        let texts: Vec<String> = pairs
            .iter()
            .map(|(key, value)| {
                let escaped = value.replace('\\', r"\\").replace('\'', r"\'");
                if escaped.contains(' ') {
                    format!("{key}='{escaped}'")
                } else {
                    format!("{key}={escaped}")
                }
            })
            .collect();
        texts.join(" ")
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer(text: String, prefix in "(postgres://)?") {
            let _either = parse_libpq(&format!("{prefix}{text}"));
        }

        #[test]
        fn text_near_the_grammar_is_an_answer(text in r"(postgresql://)?[a=' \\@:/?%\[\]0é]{0,30}") {
            let _either = parse_libpq(&text);
        }

        #[test]
        fn what_the_provider_writes_is_read_back(
            pairs in prop::collection::btree_map("[a-z_]{1,8}", r"[ -~é😀\\' ]{1,20}", 0..6)
        ) {
            prop_assert_eq!(parse_libpq(&generate(&pairs)), Ok(pairs));
        }
    }
}
