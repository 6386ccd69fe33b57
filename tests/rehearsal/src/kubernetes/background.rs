//! Threads of the cluster's own, each with a runtime: callers may be in a runtime or in none.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kube::Client;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::{Cluster, ClusterError, LOOK, User, client};

/// How long the first look may take to succeed.
const FIRST_LIMIT: Duration = Duration::from_secs(30);

/// Something that does its work in looks: each compares what is with what should be, and does what
/// is missing. So it survives an API server that goes away, and may be started at any time.
pub(super) trait Look: Send + 'static {
    /// Looks once. An error leaves the rest to the next look.
    async fn look(&mut self, client: &Client) -> Result<(), kube::Error>;
}

/// A [`Look`] that goes on until this is dropped.
#[derive(Debug)]
pub(super) struct Background {
    /// Dropping it tells the thread to end.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts it, and blocks until its first look has succeeded. Its later troubles are written to
    /// `<name>.log` in the cluster's directory.
    pub(super) fn start(
        name: &'static str,
        cluster: &Cluster,
        user: User,
        look: impl Look,
    ) -> Result<Self, ClusterError> {
        let kubeconfig = cluster.kubeconfig_of(user);
        let path = cluster.directory.join(format!("{name}.log"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(ClusterError::file("write", &path))?;
        let runtime = runtime(name)?;
        let (stop, stopped) = oneshot::channel();
        let (report, reports) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(go_on(&kubeconfig, look, stopped, report, log)))
            .map_err(failed(name))?;
        let this = Self {
            stop: Some(stop),
            thread: Some(thread),
        };
        first_success(name, &reports)?;
        Ok(this)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it has panicked, that was printed already.
            let _ended = thread.join();
        }
    }
}

/// Why the latest look failed, or that it did not.
type Report = Result<(), ClusterError>;

async fn go_on(
    kubeconfig: &Path,
    mut look: impl Look,
    mut stopped: oneshot::Receiver<()>,
    reports: mpsc::Sender<Report>,
    mut log: File,
) {
    // Reports are listened to until the first success. Where no log can be written, nothing more
    // can be said.
    let client = match client(kubeconfig).await {
        Ok(client) => client,
        Err(error) => {
            let _unheard = reports.send(Err(error));
            return;
        }
    };
    let mut trouble_before = None;
    loop {
        let result = tokio::select! {
            biased;
            _ = &mut stopped => return,
            result = look.look(&client) => result,
        };
        let trouble = result.as_ref().err().map(|error| crate::chain(error));
        if let Some(trouble) = &trouble
            && Some(trouble) != trouble_before.as_ref()
        {
            let _unwritten = writeln!(log, "{trouble}");
        }
        trouble_before = trouble;
        let _unheard = reports.send(result.map_err(ClusterError::refused("look at the cluster")));
        tokio::select! {
            _ = &mut stopped => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn first_success(awaited: &'static str, reports: &mpsc::Receiver<Report>) -> Report {
    let begin = Instant::now();
    let mut refused = None;
    loop {
        match reports.recv_timeout(FIRST_LIMIT.saturating_sub(begin.elapsed())) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => refused = Some(error),
            Err(_too_long_or_ended) => break,
        }
    }
    Err(ClusterError::NotReady {
        awaited,
        limit: FIRST_LIMIT,
        seen: refused.map_or_else(|| "nothing".to_owned(), |error| crate::chain(&error)),
    })
}

/// Runs a future to its end on a thread of its own, since the caller may be in a runtime, where
/// blocking on another one is refused.
pub(super) fn block_on<T: Send>(
    name: &'static str,
    work: impl AsyncFnOnce() -> Result<T, ClusterError> + Send,
) -> Result<T, ClusterError> {
    let runtime = runtime(name)?;
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .spawn_scoped(scope, move || runtime.block_on(work()))
            .map_err(failed(name))?
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn runtime(name: &'static str) -> Result<Runtime, ClusterError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed(name))
}

fn failed(name: &'static str) -> impl FnOnce(io::Error) -> ClusterError {
    move |source| ClusterError::Process {
        attempt: "start the thread",
        name: name.to_owned(),
        source,
    }
}
