//! What a test may do to a deployment, besides what Juju ([`Stage::juju`]), the node
//! ([`Stage::node`]) and the database ([`Stage::database`]) offer.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Brings, CONTAINER, LOOK, Options, POSTGRESQL, Stage, StageError, image};

/// How long a new Pebble may take until it answers.
const BOOT: Duration = Duration::from_secs(20);

impl Stage {
    /// A change of postgresql-k8s' leader, after which the new leader renews the password of every
    /// relation in which it hears of a change. Needs two units of it.
    pub fn move_database_leader(&mut self, unit: &str) -> Result<(), StageError> {
        self.juju.set_leader(POSTGRESQL, unit)?;
        Ok(())
    }

    /// Fills what is left of our container's disk, or gives it back; needs [`Options::disk`].
    pub fn fill_disk(&self, unit: &str, full: bool) -> Result<(), StageError> {
        let path = self.root(unit)?.join("filler");
        if !full {
            return fs::remove_file(path).map_err(StageError::io("give the disk's space back"));
        }
        let failed = StageError::io("fill the disk");
        let written = File::create(path).and_then(|mut file| {
            let zeros = io::repeat(0).take(self.disk.unwrap_or_default());
            io::copy(&mut { zeros }, &mut file)
        });
        match written {
            Err(error) if error.kind() == ErrorKind::StorageFull => Ok(()),
            Err(error) => Err(failed(error)),
            Ok(_) => Err(failed(io::Error::other("there is room left"))),
        }
    }

    /// Restarts our container, also one that was stopped: its files are those of the image again.
    /// Its Pebble answers when this returns.
    pub fn restart_container(&self, unit: &str) -> Result<(), StageError> {
        self.node.restart_container(unit, CONTAINER)?;
        let begin = Instant::now();
        while self
            .node
            .ask_pebble(unit, CONTAINER, "/v1/system-info")
            .is_err()
        {
            if begin.elapsed() > BOOT {
                return Err(StageError::Late {
                    what: format!("Pebble of {unit}"),
                    limit: BOOT,
                    found: self.statuses(),
                });
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Stops our container at once, until [`Stage::restart_container`].
    pub fn stop_container(&self, unit: &str) -> Result<(), StageError> {
        Ok(self.node.kill_container(unit, CONTAINER)?)
    }

    /// Gives our containers another image from their next start on, as `juju attach-resource` does.
    pub fn set_temporal(&mut self, version: &str) -> Result<(), StageError> {
        self.temporal = self.parts.temporal(version)?;
        self.set_image(Brings::default());
        Ok(())
    }

    /// The same server in an image that brings something else.
    pub fn set_image(&mut self, brings: Brings) {
        let options = Options {
            disk: self.disk,
            brings,
            ..Options::default()
        };
        self.node
            .set_image(CONTAINER, image(&self.temporal, &self.pebble, &options));
    }

    /// Stops the processes of a unit's servers, without their knowledge, or lets them go on.
    pub fn freeze(&self, unit: &str, frozen: bool) -> Result<(), StageError> {
        let signal = if frozen {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        };
        for process in self.servers(unit)? {
            let process = Pid::from_raw(process.cast_signed());
            kill(process, signal)
                .map_err(io::Error::from)
                .map_err(StageError::io("send a signal"))?;
        }
        Ok(())
    }

    /// Changes the mode of a file in our container.
    pub fn set_mode(&self, unit: &str, path: &str, mode: u32) -> Result<(), StageError> {
        let path = self.root(unit)?.join(path.trim_start_matches('/'));
        let mode = Permissions::from_mode(mode);
        fs::set_permissions(path, mode).map_err(StageError::io("change a file's mode"))
    }
}
