//! Namespaces of threads. A namespace is entered by a thread that lives for one piece of work;
//! processes that it starts inherit what it sees. So no code runs between fork and exec.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};

use super::Error;

/// Runs a piece of work on a thread of its own, which may change its namespaces, and waits for it.
pub(super) fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Gives the calling thread namespaces of its own.
pub(super) fn leave(kinds: CloneFlags) -> Result<(), Error> {
    unshare(kinds).map_err(Error::namespace("make a namespace"))
}

/// A namespace, alive for as long as this value.
#[derive(Debug)]
pub(super) struct Namespace {
    file: File,
    kind: CloneFlags,
}

impl Namespace {
    /// The one that the calling thread is in; `name` as in `/proc/self/ns`.
    pub(super) fn of_thread(name: &str, kind: CloneFlags) -> Result<Self, Error> {
        let path = Path::new("/proc/thread-self/ns").join(name);
        let file = File::open(&path).map_err(Error::file("open", &path))?;
        Ok(Self { file, kind })
    }

    /// Moves the calling thread into it.
    pub(super) fn enter(&self) -> Result<(), Error> {
        setns(&self.file, self.kind).map_err(Error::namespace("enter a namespace"))
    }

    /// A path by which another process can open it.
    pub(super) fn path(&self) -> PathBuf {
        path_of(&self.file)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

/// A path by which another process can open a file that this one holds open.
pub(super) fn path_of(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}
