//! The cache on disk: made once, whole or not at all, by one builder at a time.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::PartsError;

/// The user's cache directory: `XDG_CACHE_HOME`, or `.cache` in the home directory, which is taken
/// from the password database when `HOME` is unset.
pub(super) fn cache() -> Result<PathBuf, PartsError> {
    let set = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = || {
        set("HOME").or_else(|| {
            let user = nix::unistd::User::from_uid(nix::unistd::getuid())
                .ok()
                .flatten()?;
            Some(user.dir).filter(|home| home.is_dir())
        })
    };
    set("XDG_CACHE_HOME")
        .or_else(|| Some(home()?.join(".cache")))
        .ok_or(PartsError::NoCache)
}

/// Makes the directory `entry` by filling a staging directory beside it and renaming that; does
/// nothing if it is there. Builders of other processes wait for the first, and find it made.
pub(crate) fn once<E: From<PartsError>>(
    entry: &Path,
    title: &str,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    if entry.is_dir() {
        return Ok(());
    }
    let parent = entry.parent().unwrap_or(entry);
    fs::create_dir_all(parent).map_err(PartsError::file("create the cache directory", parent))?;
    let lock_path = entry.with_added_extension("lock");
    let lock = File::create(&lock_path).map_err(PartsError::file("create the lock", &lock_path))?;
    if matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
        eprintln!("waiting for another process that makes {title}");
        lock.lock()
            .map_err(PartsError::file("take the lock", &lock_path))?;
    }
    if entry.is_dir() {
        return Ok(());
    }
    let staging = tempfile::Builder::new()
        .prefix(".making-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir_in(parent)
        .map_err(PartsError::file("create a directory in", parent))?;
    fill(staging.path())?;
    fs::rename(staging.path(), entry).map_err(PartsError::file("put in place", entry))?;
    // The directory has its lasting name now; what is left to do at the old one is nothing.
    let _renamed = staging.keep();
    Ok(())
}

/// Copies a tree; files keep their mode, directories get `mode`.
pub(crate) fn copy_tree(from: &Path, to: &Path, mode: u32) -> Result<(), PartsError> {
    DirBuilder::new()
        .mode(mode)
        .create(to)
        .map_err(PartsError::file("create the directory", to))?;
    let entries = fs::read_dir(from).map_err(PartsError::file("read the directory", from))?;
    for entry in entries {
        let entry = entry.map_err(PartsError::file("read the directory", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry
            .file_type()
            .map_err(PartsError::file("look at", &source))?;
        if kind.is_dir() {
            copy_tree(&source, &target, mode)?;
        } else {
            fs::copy(&source, &target).map_err(PartsError::file("copy", &source))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_failed_build_leaves_nothing_behind_and_the_next_one_starts_anew() {
        let place = tempfile::tempdir().unwrap();
        let entry = place.path().join("cache/thing-1.0");
        let refused = once(&entry, "a thing", |staging| {
            fs::write(staging.join("half"), "").unwrap();
            Err(PartsError::NoCache)
        });
        assert!(refused.is_err());
        assert!(!entry.exists());
        once(&entry, "a thing", |staging| {
            assert!(!staging.join("half").exists());
            fs::write(staging.join("whole"), "").unwrap();
            Ok::<(), PartsError>(())
        })
        .unwrap();
        assert!(entry.join("whole").exists());
        let mut left: Vec<_> = fs::read_dir(entry.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["thing-1.0", "thing-1.0.lock"]);
    }

    #[test]
    fn of_several_builders_one_builds() {
        let place = tempfile::tempdir().unwrap();
        let entry = place.path().join("thing");
        let built = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    once(&entry, "a thing", |_| {
                        built.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(50));
                        Ok::<(), PartsError>(())
                    })
                    .unwrap();
                });
            }
        });
        assert_eq!(built.load(Ordering::SeqCst), 1);
    }
}
