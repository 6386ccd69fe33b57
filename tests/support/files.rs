//! The files of a fake container: Pebble's multipart forms in and out.

use serde_json::{Value, json};

use super::container::{Fault, File, Reply, Request, State};
use super::lock;

impl State {
    pub(super) fn read(&self, paths: &[&str]) -> Reply {
        let boundary = "0123456789abcdef0123456789abcdef";
        let mut body = Vec::new();
        let mut items = Vec::new();
        for path in paths {
            items.push(match lock(&self.files).get(*path) {
                Some(file) => {
                    let head = format!(
                        "--{boundary}\r\nContent-Disposition: form-data; name=\"files\"; \
                         filename=\"{path}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
                    );
                    body.extend(head.into_bytes());
                    body.extend(&file.content);
                    body.extend(b"\r\n");
                    json!({ "path": path })
                }
                None => json!({ "path": path, "error": {
                    "kind": "not-found", "message": format!("open {path}: no such file or directory"),
                }}),
            });
        }
        let response = json!({
            "type": "sync", "status-code": 200, "status": "OK", "result": items,
        });
        let tail = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"response\"\r\n\
             Content-Type: application/json\r\n\r\n{response}\r\n--{boundary}--\r\n"
        );
        body.extend(tail.into_bytes());
        Reply::Form(format!("multipart/form-data; boundary={boundary}"), body)
    }

    pub(super) fn list(&self, directory: &str) -> Reply {
        let below = format!("{}/", directory.trim_end_matches('/'));
        let entries: Vec<Value> = lock(&self.files)
            .iter()
            .filter_map(|(path, file)| {
                // another file than a directory is its own entry
                let name = match path.strip_prefix(&below) {
                    Some(name) => Some(name).filter(|name| !name.contains('/')),
                    None if path == directory => path.rsplit('/').next(),
                    None => None,
                }?;
                Some(json!({
                    "path": path, "name": name, "type": "file", "size": file.content.len(),
                    "permissions": file.permissions,
                }))
            })
            .collect();
        if entries.is_empty() {
            let message = format!("stat {directory}: no such file or directory");
            return Reply::Error(404, "not-found", message);
        }
        Reply::Sync(json!(entries))
    }

    pub(super) fn change_files(&mut self, request: &Request) -> Reply {
        if let Some(parts) = form_parts(request) {
            return self.write(&parts);
        }
        let body = request.json();
        let each = |list: &str| -> Vec<String> {
            let items = body[list].as_array().into_iter().flatten();
            items
                .filter_map(|item| item["path"].as_str().map(str::to_owned))
                .collect()
        };
        let items: Vec<Value> = match body["action"].as_str() {
            Some("make-dirs") => each("dirs")
                .iter()
                .map(|path| json!({ "path": path }))
                .collect(),
            Some("remove") => each("paths")
                .iter()
                .map(|path| match lock(&self.files).remove(path) {
                    Some(_) => json!({ "path": path }),
                    None => json!({ "path": path, "error": {
                        "kind": "not-found",
                        "message": format!("remove {path}: no such file or directory"),
                    }}),
                })
                .collect(),
            _ => return Reply::bad("invalid action"),
        };
        Reply::Sync(json!(items))
    }

    pub(super) fn write(&mut self, parts: &[Part]) -> Reply {
        let Some(order) = parts.iter().find(|part| part.name == "request") else {
            return Reply::bad("metadata part is missing");
        };
        let order: Value = serde_json::from_slice(&order.content).unwrap_or_default();
        let full = self.faults.contains(&Fault::NoSpace);
        let mut items = Vec::new();
        for file in order["files"].as_array().into_iter().flatten() {
            let path = file["path"].as_str().unwrap_or_default().to_owned();
            let content = parts
                .iter()
                .find(|part| part.filename.as_deref() == Some(path.as_str()));
            let Some(content) = content else {
                return Reply::bad("no file content");
            };
            if full {
                items.push(json!({ "path": path, "error": {
                    "kind": "generic-file-error",
                    "message": format!("write {path}.tmp: no space left on device"),
                }}));
                continue;
            }
            let permissions = file["permissions"].as_str().unwrap_or("644").to_owned();
            items.push(json!({ "path": path }));
            lock(&self.files).insert(
                path,
                File {
                    content: content.content.clone(),
                    permissions,
                },
            );
        }
        Reply::Sync(json!(items))
    }
}

pub(super) struct Part {
    pub(super) name: String,
    filename: Option<String>,
    pub(super) content: Vec<u8>,
}

/// The parts of a multipart body; `None`: it is none.
pub(super) fn form_parts(request: &Request) -> Option<Vec<Part>> {
    let kind = request.headers.get("content-type")?;
    let boundary = kind.split_once("boundary=")?.1.trim_matches('"');
    // as Pebble does
    if !kind.starts_with("multipart/form-data") || boundary.len() < 32 {
        return None;
    }
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut rest = request.body.as_slice();
    rest = rest.strip_prefix(delimiter.as_bytes())?;
    let delimiter = format!("\r\n--{boundary}");
    while let Some(inner) = rest.strip_prefix(b"\r\n") {
        let end = find(inner, delimiter.as_bytes())?;
        let (part, after) = inner.split_at(end);
        let head_end = find(part, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&part[..head_end]).into_owned();
        let quoted = |key: &str| {
            let value = head.split_once(&format!("; {key}=\""))?.1;
            Some(value.split('"').next().unwrap_or_default().to_owned())
        };
        parts.push(Part {
            name: quoted("name")?,
            filename: quoted("filename"),
            content: part[head_end + 4..].to_vec(),
        });
        rest = after.strip_prefix(delimiter.as_bytes())?;
    }
    Some(parts)
}

pub(super) fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}
