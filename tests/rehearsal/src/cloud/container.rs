//! A workload container: a file system of its own, with Pebble as the first process.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sched::CloneFlags;
use serde_json::Value;

use super::etc::Etc;
use super::mounts::Root;
use super::namespace::{leave, on_thread, path_of};
use super::network::PodNamespaces;
use super::{Error, Image};
use crate::juju::cloud::CheckNotice;

/// Where Juju's init container puts Pebble.
pub(super) const PEBBLE: &str = "/charm/bin/pebble";
/// Where Juju mounts, in a workload container, the directory that the charm sees as
/// `/charm/containers/<name>`.
const SHARED: &str = "/charm/container";
const DIRECTORY: &str = "/var/lib/pebble/default";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The probe port of the first container by name; the next ones follow.
const PROBE_PORT: usize = 38813;
const ANSWER: Duration = Duration::from_secs(2);

/// A workload container, running or stopped.
#[derive(Debug)]
pub(super) struct Container {
    name: String,
    /// On the host: the root (empty but for the container's own eyes), Pebble's socket, its output.
    root: PathBuf,
    pub(super) shared: PathBuf,
    pub(super) log: PathBuf,
    probe_port: usize,
    pebble: Option<Child>,
}

impl Container {
    /// Prepares the container; `place` is its directory on the host, `order` its place among the
    /// containers of its pod.
    pub(super) fn new(name: &str, order: usize, place: &Path) -> Result<Self, Error> {
        let shared = place.join("shared");
        fs::create_dir_all(&shared).map_err(Error::file("create", &shared))?;
        Ok(Self {
            name: name.to_owned(),
            root: place.join("root"),
            shared,
            log: place.join("log"),
            probe_port: PROBE_PORT + order,
            pebble: None,
        })
    }

    /// Starts it, again if it runs, with the files of the image and a fresh Pebble.
    pub(super) fn start(
        &mut self,
        image: &Image,
        pod: &PodNamespaces,
        etc: &Etc,
    ) -> Result<(), Error> {
        self.kill()?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .and_then(|file| file.try_clone().map(|copy| (file, copy)))
            .map_err(Error::file("open", &self.log))?;
        let pebble = on_thread(|| {
            pod.enter()?;
            leave(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID)?;
            let root = Root::new(&self.root, image.size)?;
            root.directory(DIRECTORY)?;
            root.show(&self.shared, SHARED)?;
            etc.write_to(&root)?;
            image.fill(&root)?;
            self.command(image)
                .stdin(Stdio::null())
                .stdout(log.0)
                .stderr(log.1)
                .spawn()
                .map_err(|source| Error::Start {
                    program: "unshare".into(),
                    source,
                })
        })?;
        self.pebble = Some(pebble);
        Ok(())
    }

    /// `unshare` only because `/proc` must be mounted by a process of the new PID namespace; it
    /// becomes Pebble.
    fn command(&self, image: &Image) -> Command {
        let mut command = Command::new("unshare");
        command
            .arg("--mount-proc=/proc")
            .arg(format!("--root={}", self.root.display()))
            .arg(format!("--wd={}", image.working_directory.display()))
            .args(["--", PEBBLE, "run", "--create-dirs", "--hold", "--verbose"])
            .arg(format!("--http=:{}", self.probe_port))
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", "/root")
            .env("JUJU_CONTAINER_NAME", &self.name)
            .env("PEBBLE", DIRECTORY)
            .env("PEBBLE_SOCKET", format!("{SHARED}/pebble.socket"))
            .envs(&image.environment);
        command
    }

    /// Stops it at once; the kernel ends every process in it with the first one.
    pub(super) fn kill(&mut self) -> Result<(), Error> {
        let Some(mut pebble) = self.pebble.take() else {
            return Ok(());
        };
        pebble
            .kill()
            .and_then(|()| pebble.wait())
            .map(drop)
            .map_err(Error::runtime("stop a container"))
    }

    /// The boot id of its Pebble, if that answers.
    pub(super) fn boot_id(&self) -> Option<String> {
        let info = self.ask("/v1/system-info").ok()?;
        Some(info.get("boot-id")?.as_str()?.to_owned())
    }

    /// What its Pebble noticed of its checks, oldest first.
    pub(super) fn check_notices(&self, after: Option<&str>) -> Vec<CheckNotice> {
        let after = after.map(|it| format!("&after={}", it.replace('+', "%2B")));
        let path = format!(
            "/v1/notices?types=change-update{}",
            after.unwrap_or_default()
        );
        let notices = self.ask(&path).unwrap_or_default();
        let text = |value: &Value, pointer: &str| -> Option<String> {
            Some(value.pointer(pointer)?.as_str()?.to_owned())
        };
        let read = |notice: &Value| {
            let kind = text(notice, "/last-data/kind")
                .filter(|kind| matches!(kind.as_str(), "perform-check" | "recover-check"))?;
            let key = text(notice, "/key")?;
            let change = self.ask(&format!("/v1/changes/{key}")).ok()?;
            Some(CheckNotice {
                repeated: text(notice, "/last-repeated")?,
                kind,
                check: text(notice, "/last-data/check-name")?,
                status: text(&change, "/status"),
            })
        };
        let notices = notices.as_array().into_iter().flatten();
        notices.filter_map(read).collect()
    }

    /// What its Pebble answers to a GET.
    pub(super) fn ask(&self, path: &str) -> io::Result<Value> {
        // The path of a socket is limited to 107 bytes, the path of this directory is not.
        let directory = File::open(&self.shared)?;
        let mut socket = UnixStream::connect(path_of(&directory).join("pebble.socket"))?;
        socket.set_read_timeout(Some(ANSWER))?;
        socket.set_write_timeout(Some(ANSWER))?;
        // HTTP/1.0: the end of the answer is the end of the connection, and it is not chunked.
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let (_, body) = answer
            .split_once("\r\n\r\n")
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut body: Value = serde_json::from_str(body)?;
        Ok(body.get_mut("result").map(Value::take).unwrap_or_default())
    }

    /// Its first process, while it is not stopped.
    pub(super) fn process(&self) -> Option<u32> {
        self.pebble.as_ref().map(Child::id)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // There is nobody left to tell; the sandbox ends what is left.
        drop(self.kill());
    }
}
