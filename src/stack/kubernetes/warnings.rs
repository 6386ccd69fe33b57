//! What the API server says beside its answers: the header `Warning` (RFC 9110, code 299), as kubectl prints it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use http::header::WARNING;

/// The warnings of one connection. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Warnings(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    all: BTreeSet<String>,
    new: Vec<String>,
}

impl Warnings {
    /// Looks at the headers of an answer.
    pub(super) fn hear(&self, headers: &HeaderMap) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for value in headers.get_all(WARNING) {
            let text = value.to_str().ok().and_then(text_of);
            if let Some(text) = text.filter(|text| heard.all.insert(text.clone())) {
                heard.new.push(text);
            }
        }
    }

    /// Those that were not taken yet.
    pub(super) fn take(&self) -> Vec<String> {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut heard.new)
    }
}

/// `299 - "text"`, where the text has a backslash before each quote and backslash of its own.
fn text_of(header: &str) -> Option<String> {
    let quoted = header.strip_prefix("299 ")?.split_once(' ')?.1.trim();
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        text.push(if letter == '\\' {
            letters.next()?
        } else {
            letter
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_told_once() {
        let warnings = Warnings::default();
        let mut headers = HeaderMap::new();
        for value in [
            r#"299 - "would violate PodSecurity \"restricted:latest\"""#,
            "no warning",
            r#"299 - "would violate PodSecurity \"restricted:latest\"""#,
            r#"299 - "a \\ b""#,
        ] {
            headers.append(WARNING, value.parse().unwrap());
        }
        warnings.hear(&headers);
        let told = ["would violate PodSecurity \"restricted:latest\"", r"a \ b"];
        assert_eq!(warnings.take(), told);
        warnings.hear(&headers);
        assert!(warnings.take().is_empty());
    }
}
