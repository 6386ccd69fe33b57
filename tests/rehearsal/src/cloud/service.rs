//! Services: an address of the cluster that forwards its exposed TCP ports to the pods of an
//! application in turn. A pod that refuses is passed over, as Kubernetes does with a pod that is
//! not ready; a port that is not exposed refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::Error;

/// How long a pod may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// How long the closing of a port is waited for.
const CLOSE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Endpoints {
    pods: Mutex<Vec<IpAddr>>,
    turn: AtomicUsize,
}

impl Endpoints {
    /// The pods, the one whose turn it is first.
    fn in_turn(&self) -> Vec<IpAddr> {
        let mut pods = self
            .pods
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if !pods.is_empty() {
            let first = self.turn.fetch_add(1, Ordering::Relaxed) % pods.len();
            pods.rotate_left(first);
        }
        pods
    }
}

#[derive(Debug)]
struct Port {
    task: JoinHandle<()>,
    /// Disconnects when the listener is closed.
    closed: mpsc::Receiver<()>,
}

/// The Service of an application.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) ip: IpAddr,
    pub(super) name: String,
    endpoints: Arc<Endpoints>,
    ports: BTreeMap<u16, Port>,
}

impl Service {
    pub(super) fn new(ip: IpAddr, name: String) -> Self {
        Self {
            ip,
            name,
            endpoints: Arc::default(),
            ports: BTreeMap::new(),
        }
    }

    pub(super) fn add(&self, pod: IpAddr) {
        self.endpoints
            .pods
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(pod);
    }

    pub(super) fn remove(&self, pod: IpAddr) {
        let mut pods = self
            .endpoints
            .pods
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        pods.retain(|address| *address != pod);
    }

    /// Listens on exactly these ports.
    pub(super) fn expose(&mut self, wanted: &BTreeSet<u16>, runtime: &Handle) -> Result<(), Error> {
        self.close_all_but(wanted);
        for port in wanted {
            if !self.ports.contains_key(port) {
                self.ports.insert(*port, self.listen(*port, runtime)?);
            }
        }
        Ok(())
    }

    /// Stops listening; connections go on until one of their ends goes.
    pub(super) fn close(&mut self) {
        self.close_all_but(&BTreeSet::new());
    }

    fn close_all_but(&mut self, wanted: &BTreeSet<u16>) {
        self.ports.retain(|number, port| {
            let keep = wanted.contains(number);
            if !keep {
                port.task.abort();
                // What comes is the disconnection: nothing is ever sent.
                port.closed.recv_timeout(CLOSE).unwrap_or_default();
            }
            keep
        });
    }

    fn listen(&self, port: u16, runtime: &Handle) -> Result<Port, Error> {
        let address = SocketAddr::new(self.ip, port);
        let listener = std::net::TcpListener::bind(address)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|source| Error::Listen { address, source })?;
        let (open, closed) = mpsc::channel();
        let endpoints = Arc::clone(&self.endpoints);
        let task = runtime.spawn(serve(listener, endpoints, port, open));
        Ok(Port { task, closed })
    }
}

/// Accepts connections; `open` is dropped after the listener.
async fn serve(
    listener: std::net::TcpListener,
    endpoints: Arc<Endpoints>,
    port: u16,
    open: mpsc::Sender<()>,
) {
    let _open = open;
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    loop {
        if let Ok((client, _)) = listener.accept().await {
            tokio::spawn(forward(client, Arc::clone(&endpoints), port));
        }
    }
}

async fn forward(mut client: TcpStream, endpoints: Arc<Endpoints>, port: u16) {
    for pod in endpoints.in_turn() {
        let connecting = TcpStream::connect((pod, port));
        if let Ok(Ok(mut server)) = tokio::time::timeout(CONNECT, connecting).await {
            // Small messages go both ways: waiting to fill packets would delay each of them.
            drop(
                client
                    .set_nodelay(true)
                    .and_then(|()| server.set_nodelay(true)),
            );
            // How a connection ends is the business of its two ends.
            drop(copy_bidirectional(&mut client, &mut server).await);
            return;
        }
    }
    // Nobody is there: the nearest to a refusal that is left after the accept is a reset.
    drop(client.set_zero_linger());
}
