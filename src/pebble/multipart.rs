//! The `multipart/form-data` that Pebble carries files in; written and read for `files` only.
//!
//! Pebble is stricter and laxer than a web server: the boundary has at least 32 characters, a file's
//! name is its whole path, and a reply names its parts with the same two parameters.

/// A part of a form; `filename` is set for files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) name: String,
    pub(super) filename: Option<String>,
    pub(super) content: &'a [u8],
}

/// A form and the value of the `Content-Type` header that describes it.
pub(super) struct Form {
    pub(super) content_type: String,
    pub(super) body: Vec<u8>,
}

/// A request in JSON, followed by files as (path, content).
pub(super) fn write(request: &str, files: &[(&str, &[u8])]) -> Form {
    let boundary = boundary(request, files);
    let mut body = Vec::new();
    body.extend_from_slice(
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"request\"\r\n\
             Content-Type: application/json\r\n\r\n{request}"
        )
        .as_bytes(),
    );
    for (path, content) in files {
        let filename = path.replace('\\', "\\\\").replace('"', "\\\"");
        body.extend_from_slice(
            format!(
                "\r\n--{boundary}\r\n\
                 Content-Disposition: form-data; name=\"files\"; filename=\"{filename}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            )
            .as_bytes(),
        );
        body.extend_from_slice(content);
    }
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    Form {
        content_type: format!("multipart/form-data; boundary=\"{boundary}\""),
        body,
    }
}

/// The first of a fixed series of boundaries that occurs in no part, so equal requests are equal bytes.
fn boundary(request: &str, files: &[(&str, &[u8])]) -> String {
    let occurs = |boundary: &str| {
        let within = |content: &[u8]| find(content, boundary.as_bytes()).is_some();
        within(request.as_bytes()) || files.iter().any(|(_, content)| within(content))
    };
    let mut number = 0_u64;
    loop {
        let boundary = format!("temporal-k8s-form-boundary-{number:020}");
        if !occurs(&boundary) {
            return boundary;
        }
        number += 1;
    }
}

/// The boundary that a `Content-Type` header announces.
pub(super) fn announced_boundary(content_type: &str) -> Option<String> {
    if !content_type.starts_with("multipart/form-data") {
        return None;
    }
    parameter(content_type, "boundary")
}

/// The parts of a form; `None` when it breaks off or is not one.
pub(super) fn read<'a>(body: &'a [u8], boundary: &str) -> Option<Vec<Part<'a>>> {
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(delimiter.trim_start().as_bytes())?;
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        let (head, tail) = split(rest.strip_prefix(b"\r\n")?, b"\r\n\r\n")?;
        let (content, tail) = split(tail, delimiter.as_bytes())?;
        let disposition = disposition(std::str::from_utf8(head).ok()?)?;
        parts.push(Part {
            name: parameter(disposition, "name")?,
            filename: parameter(disposition, "filename"),
            content,
        });
        rest = tail;
    }
    Some(parts)
}

fn disposition(head: &str) -> Option<&str> {
    head.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case("content-disposition")
            .then_some(value)
    })
}

/// A parameter of a header such as `form-data; name="files"; filename="/a;\"b\""`.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let (_, mut rest) = header.split_once(';')?;
    loop {
        let (key, value) = rest.split_once('=')?;
        let (value, tail) = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => match value.split_once(';') {
                Some((value, tail)) => (value.trim().to_owned(), tail),
                None => (value.trim().to_owned(), ""),
            },
        };
        if key.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = tail.trim_start().trim_start_matches(';');
    }
}

fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return text.get(index + 1..).map(|tail| (value, tail)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = find(bytes, separator)?;
    Some((bytes.get(..at)?, bytes.get(at + separator.len()..)?))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part<'a>(name: &str, filename: Option<&str>, content: &'a [u8]) -> Part<'a> {
        Part {
            name: name.to_owned(),
            filename: filename.map(str::to_owned),
            content,
        }
    }

    #[test]
    fn hostile_paths_and_contents_come_back() {
        let files: [(&str, &[u8]); 5] = [
            ("/plain", b"text"),
            ("/with \"quotes\"; name=\"request\"", b""),
            (
                "/back\\slash",
                b"\r\n--temporal-k8s-form-boundary-00000000000000000000--\r\n",
            ),
            ("/ümlaut", b"\r\n\r\n--\0\xff"),
            ("/", b"\r\n"),
        ];
        let form = write("{}", &files);
        let boundary = announced_boundary(&form.content_type).unwrap();
        assert_eq!(boundary, "temporal-k8s-form-boundary-00000000000000000001");
        let mut expected = vec![part("request", None, b"{}")];
        expected.extend(
            files
                .iter()
                .map(|(path, content)| part("files", Some(path), content)),
        );
        assert_eq!(read(&form.body, &boundary), Some(expected));
    }

    #[test]
    fn a_form_cut_anywhere_before_its_last_mark_is_refused() {
        let form = write("{}", &[("/a", b"content")]);
        let boundary = announced_boundary(&form.content_type).unwrap();
        let complete = form.body.len() - "\r\n".len();
        for length in 0..complete {
            assert_eq!(
                read(&form.body[..length], &boundary),
                None,
                "cut at {length}"
            );
        }
        assert!(read(&form.body[..complete], &boundary).is_some());
    }

    #[test]
    fn only_a_form_announces_a_boundary() {
        let unquoted = "multipart/form-data; charset=utf-8; boundary=abc";
        assert_eq!(announced_boundary(unquoted).as_deref(), Some("abc"));
        assert_eq!(announced_boundary("multipart/form-data"), None);
        assert_eq!(
            announced_boundary("multipart/form-data; boundary=\"abc"),
            None
        );
        assert_eq!(announced_boundary("text/html; boundary=abc"), None);
    }
}
