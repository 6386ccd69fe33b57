//! A look into our workload containers from outside. Nothing in there is asked to help but Pebble,
//! which changes nothing for it. In a stopped container there is nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{CONTAINER, EMPTY, Stage, StageError};
use crate::processes::{self, Process};

/// What Pebble and the kubelet write themselves.
const NOT_OURS: [&str; 3] = ["/var/lib/pebble", "/etc/", "/filler"];
/// Below `/etc`, where the kubelet's files are, there is a directory of the server's.
const HOME: &str = "/etc/temporal/";

/// A file in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerFile {
    /// Its content.
    pub content: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
    /// Inode and time of the last change in nanoseconds: they differ once it was written again.
    pub written: (u64, i128),
}

impl Stage {
    /// The file system of a unit's container.
    pub(super) fn root(&self, unit: &str) -> Result<PathBuf, StageError> {
        let process = self.first_process(unit)?;
        let stopped = || StageError::io("look into a container")(ErrorKind::NotFound.into());
        Ok(format!("/proc/{}/root", process.ok_or_else(stopped)?).into())
    }

    fn first_process(&self, unit: &str) -> Result<Option<u32>, StageError> {
        Ok(self.node.container_process(unit, CONTAINER)?)
    }

    /// The files that somebody has put into a unit's container, or changed there, by path.
    pub fn files(&self, unit: &str) -> Result<BTreeMap<String, ContainerFile>, StageError> {
        let mut files = BTreeMap::new();
        if self.first_process(unit)?.is_none() {
            return Ok(files);
        }
        let root = self.root(unit)?;
        collect(&root, &root, &mut files).map_err(StageError::io("read a container's files"))?;
        files.retain(|path, file| {
            let of_image = path == EMPTY && file.content.is_empty() && file.mode == 0o644;
            !of_image && (path.starts_with(HOME) || !NOT_OURS.iter().any(|it| path.starts_with(it)))
        });
        Ok(files)
    }

    /// All processes in a unit's container, Pebble first; none while it is stopped.
    pub fn processes(&self, unit: &str) -> Result<Vec<Process>, StageError> {
        match self.first_process(unit)? {
            Some(first) => processes::tree(first).map_err(StageError::io("list the processes")),
            None => Ok(Vec::new()),
        }
    }

    /// The processes of servers in a unit's container.
    pub fn servers(&self, unit: &str) -> Result<Vec<u32>, StageError> {
        let all = self.processes(unit)?.into_iter();
        let servers = all.filter(|it| it.name == "temporal-server");
        Ok(servers.map(|it| it.id).collect())
    }

    /// How often Pebble, in this life of it, has started a service of this name: by itself, too.
    pub fn starts(&self, unit: &str, service: &str) -> Result<usize, StageError> {
        let log = self.node.container_log(unit, CONTAINER)?;
        let start = format!("[pebble] Service {service:?} starting: ");
        let this_life = log.rsplit("[pebble] Started daemon.").next();
        Ok(this_life.unwrap_or_default().matches(&start).count())
    }

    /// Pebble's plan.
    pub fn plan(&self, unit: &str) -> Result<String, StageError> {
        let plan = self.ask(unit, "/v1/plan?format=yaml")?;
        Ok(plan.as_str().unwrap_or_default().to_owned())
    }

    /// The services that run, by name.
    pub fn running(&self, unit: &str) -> Result<Vec<String>, StageError> {
        let services = self.ask(unit, "/v1/services")?;
        let text = |service: &Value, key: &str| {
            let text = service.get(key).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let all = services.as_array().into_iter().flatten();
        let running = all.filter(|it| matches!(&*text(it, "current"), "active" | "backoff"));
        Ok(running.map(|it| text(it, "name")).collect())
    }

    /// Pebble's changes: number, kind and summary of each. A look at a program's version is none, nor is what Pebble
    /// does for its checks.
    pub fn changes(&self, unit: &str) -> Result<Vec<String>, StageError> {
        let changes = self.ask(unit, "/v1/changes?select=all")?;
        let text = |change: &Value, key: &str| {
            let text = change.get(key).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let all = changes.as_array().into_iter().flatten();
        let mut lines: Vec<String> = all
            .filter(|change| {
                let kind = text(change, "kind");
                !matches!(&*kind, "exec" | "perform-check" | "recover-check")
            })
            .map(|change| {
                ["id", "kind", "summary"]
                    .map(|key| text(change, key))
                    .join(" ")
            })
            .collect();
        // Pebble has no order.
        lines.sort();
        Ok(lines)
    }

    fn ask(&self, unit: &str, path: &str) -> Result<Value, StageError> {
        match self.first_process(unit)? {
            Some(_) => Ok(self.node.ask_pebble(unit, CONTAINER, path)?),
            None => Ok(Value::Null),
        }
    }

    /// What others than its owner may read of a unit's container: the plan, the changes, the log of
    /// Pebble and its services, command lines and environments.
    pub fn public_texts(&self, unit: &str) -> Result<Vec<String>, StageError> {
        let mut texts = vec![self.node.container_log(unit, CONTAINER)?];
        texts.push(self.plan(unit)?);
        texts.extend(self.changes(unit)?);
        for process in self.processes(unit)? {
            texts.push(process.arguments.join(" "));
            texts.push(processes::environment(process.id));
        }
        Ok(texts)
    }
}

/// Collects the regular files of a root's own file system.
fn collect(
    root: &Path,
    directory: &Path,
    files: &mut BTreeMap<String, ContainerFile>,
) -> io::Result<()> {
    let own = fs::metadata(root.join("."))?.dev();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let about = fs::symlink_metadata(&path)?;
        if about.dev() != own {
            continue;
        }
        if about.is_dir() {
            collect(root, &path, files)?;
        } else if about.is_file() {
            let inside = path.strip_prefix(root).unwrap_or(&path);
            let nanoseconds = i128::from(about.mtime()) * 1_000_000_000;
            let file = ContainerFile {
                content: fs::read(&path)?,
                mode: about.mode() & 0o7777,
                written: (about.ino(), nanoseconds + i128::from(about.mtime_nsec())),
            };
            files.insert(format!("/{}", inside.display()), file);
        }
    }
    Ok(())
}
