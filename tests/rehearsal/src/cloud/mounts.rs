//! File systems as processes of the node see them. Everything here acts on the mount namespace of
//! the calling *thread*, which a caller has made for the purpose ([`super::namespace::on_thread`]).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, pivot_root};

use super::Error;

const NOTHING: Option<&str> = None;
/// In a directory that covers another: the covered one.
const HOST: &str = ".host";
const COVER: &str = "cover";
const COVERED: &str = "covered";
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Directories of the host that hold programs and libraries.
const SYSTEM: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Mounts a fresh, empty file system.
pub(super) fn tmpfs(path: &Path, mode: u32, size: Option<u64>) -> Result<(), Error> {
    let size = size
        .map(|bytes| format!(",size={bytes}"))
        .unwrap_or_default();
    let options = format!("mode={mode:o}{size}");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("tmpfs"),
        path,
        Some("tmpfs"),
        flags,
        Some(options.as_str()),
    )
    .map_err(Error::mount("mount a file system on", path))
}

/// Shows `source`, with all that is mounted below it, at `target`.
pub(super) fn bind(source: &Path, target: &Path) -> Result<(), Error> {
    mount(
        Some(source),
        target,
        NOTHING,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        NOTHING,
    )
    .map_err(Error::mount("bind a path to", target))
}

fn transfer(from: &Path, to: &Path) -> Result<(), Error> {
    mount(Some(from), to, NOTHING, MsFlags::MS_MOVE, NOTHING)
        .map_err(Error::mount("move a mount to", to))
}

/// Makes every mount at or below `path` read-only, but those at or below a path in `keep`.
///
/// A mount that cannot be reached from here cannot be written to either and is passed over.
pub(super) fn read_only_below(path: &Path, keep: &[PathBuf]) -> Result<(), Error> {
    for point in mount_points()? {
        if !point.starts_with(path) || keep.iter().any(|kept| point.starts_with(kept)) {
            continue;
        }
        match read_only(&point) {
            Ok(()) | Err(Errno::EACCES | Errno::ENOENT) => {}
            Err(errno) => return Err(Error::mount("make read-only", &point)(errno)),
        }
    }
    Ok(())
}

fn read_only(point: &Path) -> Result<(), Errno> {
    // A remount must repeat the flags that the mount has: in a user namespace they are locked.
    let has = statvfs(point)?.flags();
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    for (flag, same) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        flags.set(same, has.contains(flag));
    }
    mount(NOTHING, point, NOTHING, flags, NOTHING)
}

/// The mount points of the calling thread's namespace.
fn mount_points() -> Result<Vec<PathBuf>, Error> {
    let table = "/proc/thread-self/mountinfo";
    let text = fs::read_to_string(table).map_err(Error::file("read", table))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape)
        .collect())
}

/// The kernel writes space, tab, newline and backslash in paths as octal escapes.
fn unescape(point: &str) -> PathBuf {
    [
        (r"\040", " "),
        (r"\011", "\t"),
        (r"\012", "\n"),
        (r"\134", r"\"),
    ]
    .iter()
    .fold(point.to_owned(), |text, (escape, plain)| {
        text.replace(escape, plain)
    })
    .into()
}

/// Makes what [`shadow`] needs in a directory that may then become read-only.
pub(super) fn prepare_shadow(aside: &Path) -> Result<(), Error> {
    for place in [aside.join(COVERED), aside.join(COVER)] {
        fs::create_dir_all(&place).map_err(Error::file("create", &place))?;
    }
    Ok(())
}

/// Covers `directory` by a writable one that leads to the same content.
///
/// Files that are put into it hide the host's ones; everything else is found through links. The
/// two mounts are made in `aside`, which may lie below `directory` itself.
pub(super) fn shadow(directory: &Path, aside: &Path, mode: u32) -> Result<(), Error> {
    let (covered, cover) = (aside.join(COVERED), aside.join(COVER));
    bind(directory, &covered)?;
    tmpfs(&cover, mode, None)?;
    let inside = cover.join(HOST);
    fs::create_dir(&inside).map_err(Error::file("create", &inside))?;
    transfer(&covered, &inside)?;
    transfer(&cover, directory)?;
    let host = directory.join(HOST);
    for entry in fs::read_dir(&host).map_err(Error::file("list", &host))? {
        let entry = entry.map_err(Error::file("list", &host))?;
        let from = entry.path();
        // The text of a relative link means something only from its own place.
        let to = if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            fs::read_link(&from).map_err(Error::file("read", &from))?
        } else {
            from
        };
        let link = directory.join(entry.file_name());
        symlink(to, &link).map_err(Error::file("link", &link))?;
    }
    Ok(())
}

/// Writes a file, over a link or a file that is there.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    if path.is_symlink() {
        fs::remove_file(path).map_err(Error::file("replace", path))?;
    }
    fs::write(path, content).map_err(Error::file("write", path))?;
    permit(path, mode)
}

fn permit(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(Error::file("set the mode of", path))
}

/// The root of a container, under construction at a path of the host. All paths given to its
/// methods are absolute paths inside.
pub(super) struct Root {
    place: PathBuf,
}

impl Root {
    /// An empty root, `size` bytes large at most, with the directories that every container has.
    pub(super) fn new(place: &Path, size: Option<u64>) -> Result<Self, Error> {
        fs::create_dir_all(place).map_err(Error::file("create", place))?;
        tmpfs(place, 0o755, size)?;
        let root = Self {
            place: place.to_owned(),
        };
        for directory in [
            "/etc", "/proc", "/root", "/run", "/usr/bin", "/var/lib", "/var/log",
        ] {
            root.directory(directory)?;
        }
        root.directory("/tmp")?;
        permit(&root.at("/tmp"), 0o1777)?;
        root.devices()?;
        Ok(root)
    }

    /// Where a path of the inside is for the host.
    pub(super) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.place.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Makes a directory and its parents, mode 755.
    pub(super) fn directory(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let mut made = self.place.clone();
        let path = path.as_ref();
        for part in path.strip_prefix("/").unwrap_or(path) {
            made.push(part);
            // Links of the system directories (`/bin`) lead to the right place by themselves.
            if !made.exists() {
                fs::create_dir(&made).map_err(Error::file("create", &made))?;
                permit(&made, 0o755)?;
            }
        }
        Ok(())
    }

    /// Writes a file.
    pub(super) fn file(&self, path: &str, content: &[u8], mode: u32) -> Result<(), Error> {
        self.parent(Path::new(path))?;
        write(&self.at(path), content, mode)
    }

    /// Shows a file or directory of the host.
    pub(super) fn show(&self, source: &Path, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let target = self.at(path);
        if source.is_dir() {
            self.directory(path)?;
        } else {
            self.parent(path)?;
            if !target.exists() {
                fs::write(&target, "").map_err(Error::file("create", &target))?;
            }
        }
        bind(source, &target)
    }

    /// Shows a file or directory of the host, read-only.
    pub(super) fn show_read_only(
        &self,
        source: &Path,
        path: impl AsRef<Path>,
    ) -> Result<(), Error> {
        let path = path.as_ref();
        self.show(source, path)?;
        read_only_below(&self.at(path), &[])
    }

    /// Shows the host's programs and libraries, as an image of a whole distribution has them.
    pub(super) fn system(&self) -> Result<(), Error> {
        for name in SYSTEM {
            let source = Path::new("/").join(name);
            if source.is_symlink() {
                let to = fs::read_link(&source).map_err(Error::file("read", &source))?;
                let link = self.at(&source);
                symlink(to, &link).map_err(Error::file("link", &link))?;
            } else if source.is_dir() {
                self.show_read_only(&source, &source)?;
            }
        }
        Ok(())
    }

    fn parent(&self, path: &Path) -> Result<(), Error> {
        path.parent()
            .map_or(Ok(()), |parent| self.directory(parent))
    }

    fn devices(&self) -> Result<(), Error> {
        for device in DEVICES {
            let path = Path::new("/dev").join(device);
            self.show(&path, &path)?;
        }
        for (name, to) in [
            ("fd", ""),
            ("stdin", "/0"),
            ("stdout", "/1"),
            ("stderr", "/2"),
        ] {
            let link = self.at("/dev").join(name);
            symlink(format!("/proc/self/fd{to}"), &link).map_err(Error::file("link", &link))?;
        }
        self.directory("/dev/shm")?;
        permit(&self.at("/dev/shm"), 0o1777)
    }

    /// Makes it the root of the calling thread, with nothing of the host left in sight.
    pub(super) fn pivot(self) -> Result<(), Error> {
        let failed = |attempt| Error::mount(attempt, &self.place);
        // The thread has left the process's file system attributes with its mount namespace, so
        // that this moves no other thread.
        chdir(&self.place).map_err(failed("go to"))?;
        pivot_root(".", ".").map_err(failed("make a root of"))?;
        umount2(".", MntFlags::MNT_DETACH).map_err(failed("leave the host behind for"))
    }
}
