//! Links and addresses: a bridge on the node's side, a pair of virtual interfaces for each pod.
//! Everything lives in the sandbox's network namespace and ends with it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;

use futures_util::TryStreamExt;
use nix::sched::CloneFlags;
use nix::unistd::sethostname;
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    new_connection,
};
use tokio::runtime::Runtime;

use super::Error;
use super::namespace::{Namespace, leave, on_thread};

/// The node's address among the pods, and their way out.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const POD_PREFIX: u8 = 16;
/// All addresses of this network belong to the node: the addresses of Services.
const SERVICES: Ipv4Addr = Ipv4Addr::new(10, 152, 183, 1);
const SERVICE_PREFIX: u8 = 24;
const BRIDGE: &str = "pods";
/// Without an address of its own a bridge takes one from its ports, and changes it with them;
/// pods would then send to an address that is no longer there.
const BRIDGE_ADDRESS: [u8; 6] = [0x02, 0x10, 0x01, 0x00, 0x00, 0x01];

/// The namespaces that the containers of a pod have in common.
#[derive(Debug)]
pub(super) struct PodNamespaces {
    pub(super) net: Namespace,
    pub(super) uts: Namespace,
    pub(super) ipc: Namespace,
}

impl PodNamespaces {
    /// Moves the calling thread into the pod.
    pub(super) fn enter(&self) -> Result<(), Error> {
        self.net.enter()?;
        self.uts.enter()?;
        self.ipc.enter()
    }
}

/// The last two bytes of the first and of the last address that pods get: the lower ones are the node's, and
/// 10.1.255.0 and above stay free.
const PODS: RangeInclusive<u16> = 10..=0xfeff;

/// Draws the addresses of pods, each only once in a node's life. Programs that hash their addresses, as
/// Temporal's ring does, so meet another case in every run.
#[derive(Debug)]
pub(super) struct Addresses {
    random: fastrand::Rng,
    drawn: BTreeSet<u16>,
}

impl Addresses {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            drawn: BTreeSet::new(),
        }
    }

    /// Goes on with another seed; what was drawn stays drawn.
    pub(super) fn seed(&mut self, seed: u64) {
        self.random = fastrand::Rng::with_seed(seed);
    }

    /// An address that no pod has had, as long as there is one.
    pub(super) fn draw(&mut self) -> Option<Ipv4Addr> {
        if self.drawn.len() == PODS.len() {
            return None;
        }
        loop {
            let n = self.random.u16(PODS);
            if self.drawn.insert(n) {
                let [high, low] = n.to_be_bytes();
                return Some(Ipv4Addr::new(10, 1, high, low));
            }
        }
    }
}

/// The address of the `n`th Service.
pub(super) fn service_address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 152, 183, n)
}

/// Makes the node's side of the network.
pub(super) fn start() -> Result<(), Error> {
    on_thread(|| {
        let runtime = runtime()?;
        let node = connect(&runtime)?;
        runtime.block_on(async {
            let lo = up(&node, "lo").await?;
            address(&node, lo, SERVICES, SERVICE_PREFIX).await?;
            let bridge = LinkBridge::new(BRIDGE)
                .address(BRIDGE_ADDRESS.to_vec())
                .build();
            node.link()
                .add(bridge)
                .execute()
                .await
                .map_err(Error::link("make the bridge"))?;
            let bridge = up(&node, BRIDGE).await?;
            address(&node, bridge, GATEWAY, POD_PREFIX).await
        })
    })
}

/// Removes the node's side of the network.
pub(super) fn stop() -> Result<(), Error> {
    on_thread(|| {
        let runtime = runtime()?;
        let node = connect(&runtime)?;
        runtime.block_on(async {
            delete(&node, BRIDGE).await?;
            let mut addresses = node.address().get().execute();
            while let Some(message) = addresses
                .try_next()
                .await
                .map_err(Error::link("list the addresses"))?
            {
                if message.header.prefix_len == SERVICE_PREFIX {
                    let deleted = node.address().del(message).execute().await;
                    deleted.map_err(Error::link("remove the address of the Services"))?;
                }
            }
            Ok(())
        })
    })
}

/// Makes the namespaces of a pod and connects them to the bridge by a link of the given name.
pub(super) fn add_pod(host: &str, ip: Ipv4Addr, link: &str) -> Result<PodNamespaces, Error> {
    on_thread(|| {
        let runtime = runtime()?;
        let node = connect(&runtime)?;
        leave(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC)?;
        sethostname(host).map_err(Error::namespace("set the host name of the pod"))?;
        let namespaces = PodNamespaces {
            net: Namespace::of_thread("net", CloneFlags::CLONE_NEWNET)?,
            uts: Namespace::of_thread("uts", CloneFlags::CLONE_NEWUTS)?,
            ipc: Namespace::of_thread("ipc", CloneFlags::CLONE_NEWIPC)?,
        };
        let pod = connect(&runtime)?;
        let inner = LinkMessageBuilder::<LinkUnspec>::new()
            .name("eth0")
            .setns_by_fd(namespaces.net.file().as_raw_fd())
            .build();
        runtime.block_on(async {
            let bridge = index(&node, BRIDGE).await?;
            let pair = LinkMessageBuilder::<LinkVeth>::new(link, "eth0")
                .set_info_data(InfoData::Veth(InfoVeth::Peer(inner)))
                .controller(bridge)
                .up()
                .build();
            node.link()
                .add(pair)
                .execute()
                .await
                .map_err(Error::link("make the pod's link"))?;
            up(&pod, "lo").await?;
            let eth0 = up(&pod, "eth0").await?;
            address(&pod, eth0, ip, POD_PREFIX).await?;
            let route = RouteMessageBuilder::<Ipv4Addr>::new()
                .gateway(GATEWAY)
                .build();
            pod.route()
                .add(route)
                .execute()
                .await
                .map_err(Error::link("add the pod's route"))
        })?;
        Ok(namespaces)
    })
}

/// Takes a pod off the network at once; its namespaces end with its processes.
pub(super) fn remove_pod(link: &str) -> Result<(), Error> {
    on_thread(|| {
        let runtime = runtime()?;
        let node = connect(&runtime)?;
        runtime.block_on(delete(&node, link))
    })
}

fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::runtime("start a runtime"))
}

/// A connection to the kernel that acts on the network namespace which the thread is in now.
fn connect(runtime: &Runtime) -> Result<Handle, Error> {
    let _context = runtime.enter();
    let (connection, handle, _) =
        new_connection().map_err(Error::runtime("ask the kernel about links"))?;
    runtime.spawn(connection);
    Ok(handle)
}

async fn index(handle: &Handle, name: &str) -> Result<u32, Error> {
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    let link = links.try_next().await.map_err(Error::link("find a link"))?;
    link.map(|link| link.header.index)
        .ok_or(rtnetlink::Error::RequestFailed)
        .map_err(Error::link("find a link"))
}

async fn up(handle: &Handle, name: &str) -> Result<u32, Error> {
    let index = index(handle, name).await?;
    let message = LinkUnspec::new_with_index(index).up().build();
    handle
        .link()
        .set(message)
        .execute()
        .await
        .map_err(Error::link("bring a link up"))?;
    Ok(index)
}

async fn address(handle: &Handle, link: u32, ip: Ipv4Addr, prefix: u8) -> Result<(), Error> {
    let added = handle
        .address()
        .add(link, ip.into(), prefix)
        .execute()
        .await;
    added.map_err(Error::link("add an address"))
}

async fn delete(handle: &Handle, link: &str) -> Result<(), Error> {
    let index = index(handle, link).await?;
    handle
        .link()
        .del(index)
        .execute()
        .await
        .map_err(Error::link("remove a link"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    use super::{Addresses, GATEWAY, PODS};

    fn drawn(seed: u64, count: usize) -> Vec<Ipv4Addr> {
        let mut addresses = Addresses::new(seed);
        std::iter::from_fn(|| addresses.draw())
            .take(count)
            .collect()
    }

    #[test]
    fn a_seed_gives_the_same_addresses_again_and_another_one_others() {
        assert_eq!(drawn(7, 5), drawn(7, 5));
        assert_ne!(drawn(7, 5), drawn(8, 5));
    }

    #[test]
    fn pod_addresses_are_distinct_and_stay_in_the_network() {
        let all = drawn(1, usize::MAX);
        assert_eq!(all.len(), PODS.len(), "as many as there are");
        let distinct: BTreeSet<&Ipv4Addr> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(!distinct.contains(&GATEWAY));
        for address in all {
            let [ten, one, high, low] = address.octets();
            assert_eq!((ten, one), (10, 1), "{address}");
            assert!(high < 255 && (high > 0 || low >= 10), "{address}");
        }
    }
}
