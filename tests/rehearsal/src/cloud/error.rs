//! What can go wrong on the node.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// A failed attempt of the node.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program has not entered its sandbox, so that the node would change the host.
    #[error("the node needs the sandbox: call `enter` first")]
    Outside,
    /// The unit has no pod.
    #[error("unit `{0}` has no pod")]
    NoPod(String),
    /// The pod has no such container, or no charm.
    #[error("unit `{unit}` has no container `{container}`")]
    NoContainer {
        /// The unit.
        unit: String,
        /// The container.
        container: String,
    },
    /// The application has no Service: it has had no pod yet.
    #[error("application `{0}` has no Service")]
    NoService(String),
    /// No image was given for a container of the pod.
    #[error("there is no image for container `{0}`")]
    NoImage(String),
    /// The pod exists already.
    #[error("unit `{0}` has a pod already")]
    PodExists(String),
    /// The address range is used up.
    #[error("there is no free {0} address left")]
    NoAddress(&'static str),
    /// A file operation.
    #[error("cannot {attempt} `{}`", path.display())]
    File {
        /// What was attempted.
        attempt: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A mount.
    #[error("cannot {attempt} `{}`", path.display())]
    Mount {
        /// What was attempted.
        attempt: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: Errno,
    },
    /// A namespace operation.
    #[error("cannot {attempt}")]
    Namespace {
        /// What was attempted.
        attempt: &'static str,
        /// Why it failed.
        source: Errno,
    },
    /// A link, an address or a route.
    #[error("cannot {attempt}")]
    Link {
        /// What was attempted.
        attempt: &'static str,
        /// Why it failed.
        source: rtnetlink::Error,
    },
    /// The runtime of the proxies or of netlink.
    #[error("cannot {attempt}")]
    Runtime {
        /// What was attempted.
        attempt: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The `.charm` file.
    #[error("cannot unpack `{}`", path.display())]
    Unpack {
        /// The archive.
        path: PathBuf,
        /// Why it failed.
        source: zip::result::ZipError,
    },
    /// A process.
    #[error("cannot start `{}`", program.display())]
    Start {
        /// Its program.
        program: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A port of a Service.
    #[error("cannot listen on {address}")]
    Listen {
        /// Address and port.
        address: std::net::SocketAddr,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    pub(super) fn file(
        attempt: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            attempt,
            path: path.as_ref().to_owned(),
            source,
        }
    }

    pub(super) fn mount(
        attempt: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(Errno) -> Self {
        move |source| Self::Mount {
            attempt,
            path: path.as_ref().to_owned(),
            source,
        }
    }

    pub(super) fn namespace(attempt: &'static str) -> impl FnOnce(Errno) -> Self {
        move |source| Self::Namespace { attempt, source }
    }

    pub(super) fn link(attempt: &'static str) -> impl FnOnce(rtnetlink::Error) -> Self {
        move |source| Self::Link { attempt, source }
    }

    pub(super) fn runtime(attempt: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Runtime { attempt, source }
    }
}
