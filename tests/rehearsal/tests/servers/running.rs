use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rehearsal::parts::Parts;
use rehearsal::servers::Start;
use rehearsal::servers::certificates::Certificate;
use rehearsal::servers::postgresql::{Operator, Postgresql};
use tempfile::{NamedTempFile, TempDir};

/// A server that ends with the test, and whose log is shown if that failed.
pub(super) struct Running {
    child: Child,
    signal: Signal,
    log: NamedTempFile,
}

impl Running {
    pub(super) fn start(start: &Start, signal: Signal) -> Self {
        let log = NamedTempFile::new().unwrap();
        let output = log.reopen().unwrap();
        let child = start
            .command()
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { child, signal, log }
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(self.signal);
        self.child.wait().unwrap();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.log.path()).unwrap());
        }
    }
}

/// A port that nobody listens on, below those that the system itself gives out: Temporal keeps its
/// ports in a signed column of 16 bits.
pub(super) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + u16::try_from(std::process::id() % 1_000).unwrap() * 20;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 500;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

pub(super) fn listens(port: u16, limit: Duration) {
    let started = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(
            started.elapsed() < limit,
            "nothing listens on port {port} after {limit:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A PostgreSQL of the test's own.
pub(super) struct Database {
    pub(super) port: u16,
    pub(super) operator: Operator,
    // In this order: the server ends before its files go.
    _running: Running,
    _root: TempDir,
}

pub(super) async fn postgresql() -> Database {
    let (root, port) = (tempfile::tempdir().unwrap(), free_port());
    let server = Postgresql::lay(&Parts::locate().unwrap(), root.path(), port);
    started(server.unwrap(), root, port).await
}

pub(super) async fn postgresql_with_tls(shows: &Certificate) -> Database {
    let (root, port) = (tempfile::tempdir().unwrap(), free_port());
    let server = Postgresql::lay_with_tls(&Parts::locate().unwrap(), root.path(), port, shows);
    started(server.unwrap(), root, port).await
}

async fn started(server: Postgresql, root: TempDir, port: u16) -> Database {
    let is_root = nix::unistd::geteuid().is_root();
    let running = Running::start(&server.start(is_root), Signal::SIGINT);
    let operator = server.ready(Duration::from_secs(30)).await.unwrap();
    Database {
        port,
        operator,
        _running: running,
        _root: root,
    }
}
