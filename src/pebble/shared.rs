//! The directory of Pebble's socket: Juju mounts it in the charm's container and in the workload container.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::client::Pebble;

/// Where the workload container sees it.
pub const SHARED: &str = "/charm/container";

impl Pebble {
    /// Does the workload container see this very program under `name`? Another revision of the charm comes with
    /// another pod, so that the size is enough to know it by.
    pub fn shares_program(&self, name: &str) -> bool {
        let about = |path: PathBuf| {
            let about = fs::metadata(path).ok()?;
            Some((about.len(), about.permissions().mode() & 0o555))
        };
        let own = std::env::current_exe().ok().and_then(about);
        own.is_some() && own == about(self.socket.with_file_name(name))
    }

    /// Shows this very program to the workload container.
    pub fn share_program(&self, name: &str) -> io::Result<()> {
        let own = std::env::current_exe()?;
        let new = self.socket.with_file_name(format!(".{name}.new"));
        fs::copy(own, &new)?;
        fs::rename(&new, self.socket.with_file_name(name))
    }
}
