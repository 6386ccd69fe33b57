//! What a test may do to a deployment, besides what Juju ([`Stage::juju`]), the node
//! ([`Stage::node`]) and the database ([`Stage::database`]) offer.

use super::{CONTAINER, Options, POSTGRESQL, Stage, StageError, image};

impl Stage {
    /// A change of postgresql-k8s' leader, after which the new leader renews the password of every
    /// relation in which it hears of a change. Needs two units of it.
    pub fn move_database_leader(&mut self, unit: &str) -> Result<(), StageError> {
        self.juju.set_leader(POSTGRESQL, unit)?;
        Ok(())
    }

    /// Fills what is left of our container's disk; needs [`Options::disk`].
    pub fn fill_disk(&self, unit: &str) -> Result<(), StageError> {
        const SMALLEST: u64 = 512;
        let mut size = self.disk.unwrap_or_default();
        let mut number = 0;
        while size >= SMALLEST {
            number += 1;
            // Pebble writes aside and renames: a file that does not fit leaves nothing behind.
            if !self.push_zeros(unit, &format!("/fill-{number}"), size)? {
                size /= 2;
            }
        }
        Ok(())
    }

    fn push_zeros(&self, unit: &str, path: &str, size: u64) -> Result<bool, StageError> {
        let directory = self
            .node
            .pod_directory(unit)?
            .join("containers")
            .join(CONTAINER);
        let zeros = tempfile::NamedTempFile::new_in(&directory)
            .and_then(|file| file.as_file().set_len(size).map(|()| file))
            .map_err(StageError::io("make a large file"))?;
        let mut command = std::process::Command::new(&self.pebble);
        command
            .arg("push")
            .arg(zeros.path())
            .arg(path)
            .env("PEBBLE_SOCKET", directory.join("shared/pebble.socket"));
        let output = command.output().map_err(StageError::io("push a file"))?;
        Ok(output.status.success())
    }

    /// Restarts our container: its files are those of the image again.
    pub fn restart_container(&self, unit: &str) -> Result<(), StageError> {
        Ok(self.node.restart_container(unit, CONTAINER)?)
    }

    /// Gives our containers another image from their next start on, as `juju attach-resource` does.
    pub fn set_temporal(&mut self, version: &str) -> Result<(), StageError> {
        self.temporal = self.parts.temporal(version)?;
        let options = Options {
            disk: self.disk,
            ..Options::default()
        };
        self.node
            .set_image(CONTAINER, image(&self.temporal, &self.pebble, &options));
        Ok(())
    }
}
