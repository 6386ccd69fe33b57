//! What a workload container's file system starts with, in place of an OCI image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Error;
use super::mounts::Root;

/// The files of a container and how it is run.
///
/// The programs must be static, since there is no libc beside them.
#[derive(Debug, Clone)]
pub struct Image {
    pebble: PathBuf,
    programs: Vec<(PathBuf, PathBuf)>,
    texts: Vec<(String, Vec<u8>, u32)>,
    directories: Vec<PathBuf>,
    pub(super) working_directory: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) size: Option<u64>,
}

impl Image {
    /// An image with nothing but Pebble (`pebble`: the program on the host), which Juju's init
    /// container would bring.
    pub fn new(pebble: impl Into<PathBuf>) -> Self {
        Self {
            pebble: pebble.into(),
            programs: Vec::new(),
            texts: Vec::new(),
            directories: Vec::new(),
            working_directory: PathBuf::from("/"),
            environment: BTreeMap::new(),
            size: None,
        }
    }

    /// Adds a file or directory of the host, read-only and with the modes that it has there.
    #[must_use]
    pub fn file(mut self, host: impl Into<PathBuf>, path: impl Into<PathBuf>) -> Self {
        self.programs.push((host.into(), path.into()));
        self
    }

    /// Adds a file with the given content and mode. It may be changed in the container.
    #[must_use]
    pub fn text(mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.texts.push((path.to_owned(), content.into(), mode));
        self
    }

    /// Adds an empty directory, mode 755.
    #[must_use]
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directories.push(path.into());
        self
    }

    /// Adds a directory in which Pebble and its services start.
    #[must_use]
    pub fn working_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.working_directory = path.into();
        let path = self.working_directory.clone();
        self.directory(path)
    }

    /// Sets an environment variable of Pebble, which its services inherit.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Limits what the container may write, in bytes; beyond that its disk is full.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Fills a fresh root.
    pub(super) fn fill(&self, root: &Root) -> Result<(), Error> {
        root.show_read_only(&self.pebble, Path::new(super::container::PEBBLE))?;
        root.show_read_only(&self.pebble, Path::new("/usr/bin/pebble"))?;
        for directory in &self.directories {
            root.directory(directory)?;
        }
        for (host, path) in &self.programs {
            root.show_read_only(host, path)?;
        }
        for (path, content, mode) in &self.texts {
            root.file(path, content, *mode)?;
        }
        Ok(())
    }
}
