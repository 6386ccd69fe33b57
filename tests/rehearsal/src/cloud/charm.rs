//! The charm container: the unpacked charm on the host's programs and libraries, which stand for
//! the Ubuntu image, in a file system that holds nothing else of the host.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::CloneFlags;

use super::Error;
use super::etc::Etc;
use super::mounts::Root;
use super::namespace::{Namespace, leave, on_thread, path_of};
use super::network::PodNamespaces;
use crate::juju::cloud::Pod;

/// A charm container. No process runs in it between hooks.
#[derive(Debug)]
pub(super) struct CharmContainer {
    files: Namespace,
    working_directory: File,
    directory: PathBuf,
}

/// Where Juju unpacks the charm of a unit.
pub(super) fn directory(unit: &str) -> PathBuf {
    let agent = format!("unit-{}", unit.replace('/', "-"));
    Path::new("/var/lib/juju/agents").join(agent).join("charm")
}

impl CharmContainer {
    /// Unpacks the charm and makes its container. `place` is the container's directory on the
    /// host, `containers` the names of the workload containers and their shared directories.
    pub(super) fn new(
        pod: &Pod,
        charm: &Path,
        place: &Path,
        namespaces: &PodNamespaces,
        etc: &Etc,
        containers: &[(&str, &Path)],
    ) -> Result<Self, Error> {
        let unpacked = place.join("charm");
        unpack(charm, &unpacked)?;
        let directory = directory(&pod.unit);
        let (files, working_directory) = on_thread(|| {
            namespaces.enter()?;
            leave(CloneFlags::CLONE_NEWNS)?;
            let root = Root::new(&place.join("root"), None)?;
            root.system()?;
            etc.write_to(&root)?;
            for path in ["/etc/alternatives", "/etc/ssl", "/etc/ld.so.cache"].map(Path::new) {
                if path.exists() {
                    root.show_read_only(path, path)?;
                }
            }
            root.show(Path::new("/proc"), "/proc")?;
            root.show(&unpacked, &directory)?;
            for (name, shared) in containers {
                root.show(shared, Path::new("/charm/containers").join(name))?;
            }
            agent(pod, &root)?;
            root.pivot()?;
            let files = Namespace::of_thread("mnt", CloneFlags::CLONE_NEWNS)?;
            let opened = File::open(&directory).map_err(Error::file("open", &directory))?;
            Ok::<_, Error>((files, opened))
        })?;
        Ok(Self {
            files,
            working_directory,
            directory,
        })
    }

    /// The command that runs `dispatch` in the container and its directory.
    pub(super) fn command(&self, pod: &PodNamespaces) -> Command {
        let option = |name: &str, path: PathBuf| format!("--{name}={}", path.display());
        let mut command = Command::new("/usr/bin/nsenter");
        command
            .arg(option("net", pod.net.path()))
            .arg(option("uts", pod.uts.path()))
            .arg(option("ipc", pod.ipc.path()))
            .arg(option("mount", self.files.path()))
            .arg(option("wd", path_of(&self.working_directory)))
            .arg("--")
            .arg(self.directory.join("dispatch"))
            .env_clear();
        command
    }
}

/// Shows the hook tools and the agent's socket where they are.
fn agent(pod: &Pod, root: &Root) -> Result<(), Error> {
    if let Some(sockets) = pod.agent_socket.parent() {
        root.show(sockets, sockets)?;
    }
    root.show_read_only(&pod.tools, &pod.tools)?;
    // A tool is a link to the one program that is all of them.
    for entry in fs::read_dir(&pod.tools).map_err(Error::file("list", &pod.tools))? {
        let path = entry.map_err(Error::file("list", &pod.tools))?.path();
        if path.is_symlink() {
            let program = path.canonicalize().map_err(Error::file("find", &path))?;
            if !root.at(&program).exists() {
                root.show_read_only(&program, &program)?;
            }
        }
    }
    Ok(())
}

fn unpack(charm: &Path, to: &Path) -> Result<(), Error> {
    let failed = |source| Error::Unpack {
        path: charm.to_owned(),
        source,
    };
    let file = File::open(charm).map_err(Error::file("open", charm))?;
    // The archive keeps the modes: `dispatch` stays a program.
    zip::ZipArchive::new(file)
        .and_then(|mut archive| archive.extract(to))
        .map_err(failed)
}
