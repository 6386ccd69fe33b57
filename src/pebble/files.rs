//! Files in the workload container. Pebble answers "OK" when single paths failed, so each item of
//! each reply is looked at.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::client::Pebble;
use super::error::{Error, FileError, FileErrorKind};
use super::http::{Reply, Request};
use super::multipart;
use crate::secret::Secret;

const PATH: &str = "/v1/files";

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The absolute path in the workload container, without control characters.
    pub path: String,
    /// The whole content.
    pub content: Secret<Vec<u8>>,
    /// The permission bits, for example `0o600`; more than `0o777` is refused by Pebble.
    pub permissions: u32,
}

/// What is known of a file without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileInfo {
    /// The absolute path.
    pub path: String,
    /// The last part of the path.
    pub name: String,
    /// What it is.
    pub r#type: FileType,
    /// The length in bytes, for files.
    #[serde(default)]
    pub size: Option<u64>,
    /// The permission bits.
    #[serde(deserialize_with = "octal")]
    pub permissions: u32,
    /// The owner's number.
    #[serde(default)]
    pub user_id: Option<u32>,
    /// The owner's name, empty where the container knows none.
    #[serde(default)]
    pub user: String,
    /// The group's number.
    #[serde(default)]
    pub group_id: Option<u32>,
    /// The group's name, empty where the container knows none.
    #[serde(default)]
    pub group: String,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A socket, a pipe, a device, or a word that this client does not know.
    Other(String),
}

impl From<String> for FileType {
    fn from(word: String) -> Self {
        match word.as_str() {
            "file" => Self::File,
            "directory" => Self::Directory,
            "symlink" => Self::Symlink,
            _ => Self::Other(word),
        }
    }
}

fn octal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let digits = String::deserialize(deserializer)?;
    u32::from_str_radix(&digits, 8).map_err(serde::de::Error::custom)
}

/// What Pebble says of one path of a request.
#[derive(Deserialize)]
struct Item {
    path: String,
    #[serde(default)]
    error: Option<ItemError>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ItemError {
    kind: String,
    message: String,
}

impl ItemError {
    fn about(&self, attempt: &'static str, path: &str) -> FileError {
        FileError {
            attempt,
            path: path.to_owned(),
            kind: FileErrorKind::from(self.kind.as_str()),
            message: self.message.clone(),
        }
    }
}

impl Pebble {
    /// The contents of files, in the order of `paths`; `None` for a file that does not exist.
    pub async fn read_files(
        &self,
        paths: &[&str],
    ) -> Result<Vec<Result<Option<Secret<Vec<u8>>>, FileError>>, Error> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let request = Request::get(PATH)
            .query("action", "read")
            .accept("multipart/form-data");
        let request = paths
            .iter()
            .fold(request, |request, path| request.query("path", path));
        let reply = self.ask(request).await?;
        let (items, contents) = read_reply(&reply)?;
        let mut files = Vec::with_capacity(paths.len());
        for &path in paths {
            files.push(match (items.get(path), contents.get(path)) {
                (
                    Some(Item {
                        error: Some(error), ..
                    }),
                    _,
                ) => {
                    match error.about("read", path) {
                        // A file that vanished while it was read has a part as well.
                        FileError {
                            kind: FileErrorKind::NotFound,
                            ..
                        } => Ok(None),
                        error => Err(error),
                    }
                }
                (Some(_), Some(content)) => Ok(Some(Secret::new(content.to_vec()))),
                _ => return Err(reply.garbage(format!("it does not tell of `{path}`"))),
            });
        }
        Ok(files)
    }

    /// Writes files, each atomically, and makes missing directories above them (mode 755).
    ///
    /// The error is that of the first path that failed; the others may have been written.
    pub async fn write_files(&self, files: &[File]) -> Result<(), Error> {
        if files.is_empty() {
            return Ok(());
        }
        if let Some(file) = files
            .iter()
            .find(|file| file.path.contains(char::is_control))
        {
            return Err(Error::Unsendable {
                request: format!("POST {PATH}"),
                reason: format!("control characters in the path {:?}", file.path),
            });
        }
        let items: Vec<_> = files
            .iter()
            .map(|file| {
                let permissions = format!("{:03o}", file.permissions);
                json!({ "path": file.path, "make-dirs": true, "permissions": permissions })
            })
            .collect();
        let contents: Vec<_> = files
            .iter()
            .map(|file| (file.path.as_str(), file.content.expose().as_slice()))
            .collect();
        let request = json!({ "action": "write", "files": items }).to_string();
        let form = multipart::write(&request, &contents);
        let reply = self
            .ask(Request::post_as(PATH, form.content_type, form.body.into()))
            .await?;
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        check_items(&reply, "write", &paths, |_| false)
    }

    /// The entries of a directory, or a single one for another kind of file.
    ///
    /// A missing path is a [`FileError`] of the kind [`FileErrorKind::NotFound`].
    pub async fn list_files(&self, path: &str) -> Result<Vec<FileInfo>, Error> {
        let request = Request::get(PATH)
            .query("action", "list")
            .query("path", path);
        match self.ask(request).await?.sync::<Option<Vec<FileInfo>>>() {
            Ok(entries) => Ok(entries.unwrap_or_default()),
            Err(Error::Refused {
                kind: Some(kind),
                message,
                ..
            }) => Err(ItemError { kind, message }.about("list", path).into()),
            Err(error) => Err(error),
        }
    }

    /// Removes files, and with `recursive` directories with all that is in them.
    ///
    /// A path that does not exist is fine: what was asked for is that it be gone.
    pub async fn remove_files(&self, paths: &[&str], recursive: bool) -> Result<(), Error> {
        let item = |path| json!({ "path": path, "recursive": recursive });
        let missing = |error: &FileError| error.kind == FileErrorKind::NotFound;
        self.post_items("remove", "remove", "paths", paths, item, missing)
            .await
    }

    async fn post_items<'a>(
        &self,
        attempt: &'static str,
        action: &str,
        list: &str,
        paths: &[&'a str],
        item: impl Fn(&'a str) -> Value,
        is_fine: impl Fn(&FileError) -> bool,
    ) -> Result<(), Error> {
        if paths.is_empty() {
            return Ok(());
        }
        let items: Vec<_> = paths.iter().map(|&path| item(path)).collect();
        let body = json!({ "action": action, list: items });
        let reply = self.ask(Request::post(PATH, &body)).await?;
        check_items(&reply, attempt, paths, is_fine)
    }
}

type ReadReply<'a> = (BTreeMap<String, Item>, BTreeMap<String, &'a [u8]>);

/// The two halves of a read: what Pebble says of each path, and the contents that it sends.
fn read_reply(reply: &Reply) -> Result<ReadReply<'_>, Error> {
    let Some(boundary) = multipart::announced_boundary(reply.content_type()) else {
        // A refusal comes as plain JSON.
        reply.sync::<Value>()?;
        return Err(reply.garbage("expected a multipart form"));
    };
    let parts = multipart::read(reply.body(), &boundary)
        .ok_or_else(|| reply.garbage("the multipart form is broken or breaks off"))?;
    let mut items = None;
    let mut contents = BTreeMap::new();
    for part in parts {
        match (part.name.as_str(), part.filename) {
            ("files", Some(path)) => {
                contents.insert(path, part.content);
            }
            ("response", None) => {
                items = Some(reply.sync_part::<Vec<Item>>(part.content)?);
            }
            _ => return Err(reply.garbage("the multipart form has an unknown part")),
        }
    }
    let items = items.ok_or_else(|| reply.garbage("the multipart form says nothing of paths"))?;
    Ok((
        items
            .into_iter()
            .map(|item| (item.path.clone(), item))
            .collect(),
        contents,
    ))
}

fn check_items(
    reply: &Reply,
    attempt: &'static str,
    paths: &[&str],
    is_fine: impl Fn(&FileError) -> bool,
) -> Result<(), Error> {
    let items: Option<Vec<Item>> = reply.sync()?;
    let items: BTreeMap<_, _> = items
        .unwrap_or_default()
        .into_iter()
        .map(|item| (item.path, item.error))
        .collect();
    for &path in paths {
        match items.get(path) {
            Some(None) => {}
            Some(Some(error)) => {
                let error = error.about(attempt, path);
                if !is_fine(&error) {
                    return Err(error.into());
                }
            }
            None => return Err(reply.garbage(format!("it does not tell of `{path}`"))),
        }
    }
    Ok(())
}
