//! Links and addresses: a bridge on the node's side, a pair of virtual interfaces for each pod.
//! Everything lives in the sandbox's network namespace and ends with it.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;

use futures_util::TryStreamExt;
use nix::sched::CloneFlags;
use nix::unistd::sethostname;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::packet_route::route::{RouteMessage, RouteScope, RouteType};
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    new_connection,
};
use tokio::runtime::Runtime;

use super::Error;
use super::namespace::{Namespace, leave, on_thread};

const BRIDGE: &str = "pods";
/// Without an address of its own a bridge takes one from its ports, and changes it with them;
/// pods would then send to an address that is no longer there.
const BRIDGE_ADDRESS: [u8; 6] = [0x02, 0x10, 0x01, 0x00, 0x00, 0x01];

/// Lets a program listen at an IPv6 address that is the node's by its route only, as it may with IPv4.
const LISTEN_BY_ROUTE: &str = "/proc/sys/net/ipv6/ip_nonlocal_bind";

/// Which kind of addresses pods and Services have: a cluster may be of either kind alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Family {
    /// IPv4 only.
    #[default]
    V4,
    /// IPv6 only. As everywhere, `127.0.0.1` is there too, within each pod.
    V6,
}

impl Family {
    const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The `n`th address among the pods.
    fn pod(self, n: u16) -> IpAddr {
        let [high, low] = n.to_be_bytes();
        match self {
            Self::V4 => Ipv4Addr::new(10, 1, high, low).into(),
            Self::V6 => Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, n).into(),
        }
    }

    const fn pod_prefix(self) -> u8 {
        match self {
            Self::V4 => 16,
            Self::V6 => 64,
        }
    }

    /// The node's address among the pods, and their way out.
    fn gateway(self) -> IpAddr {
        self.pod(1)
    }

    /// The address of the `n`th Service.
    pub(super) fn service(self, n: u8) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(10, 152, 183, n).into(),
            Self::V6 => Ipv6Addr::new(0xfd98, 0, 0, 0, 0, 0, 0, n.into()).into(),
        }
    }

    /// The address of the name server: that of the tenth Service, as in `MicroK8s`.
    pub(super) fn name_server(self) -> IpAddr {
        self.service(10)
    }

    /// The route by which all addresses of Services are the node's own.
    fn services(self, lo: u32) -> RouteMessage {
        let mut route = match self.service(0) {
            IpAddr::V4(first) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(first, 24)
                .output_interface(lo)
                .build(),
            IpAddr::V6(first) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(first, 108)
                .output_interface(lo)
                .build(),
        };
        route.header.kind = RouteType::Local;
        route.header.table = nix::libc::RT_TABLE_LOCAL;
        route.header.scope = RouteScope::Host;
        route
    }

    /// The route by which pods send whatever is not for their neighbours.
    fn way_out(self) -> RouteMessage {
        match self.gateway() {
            IpAddr::V4(gateway) => RouteMessageBuilder::<Ipv4Addr>::new()
                .gateway(gateway)
                .build(),
            IpAddr::V6(gateway) => RouteMessageBuilder::<Ipv6Addr>::new()
                .gateway(gateway)
                .build(),
        }
    }
}

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

/// The numbers of the first and of the last address that pods get: the lower ones are the node's, and
/// 10.1.255.0 and above stay free.
const PODS: RangeInclusive<u16> = 10..=0xfeff;

/// Draws the addresses of pods, each only once in a node's life. Programs that hash their addresses, as
/// Temporal's ring does, so meet another case in every run.
#[derive(Debug)]
pub(super) struct Addresses {
    family: Family,
    random: fastrand::Rng,
    drawn: BTreeSet<u16>,
}

impl Addresses {
    pub(super) fn new(family: Family, seed: u64) -> Self {
        Self {
            family,
            random: fastrand::Rng::with_seed(seed),
            drawn: BTreeSet::new(),
        }
    }

    /// Goes on with another seed; what was drawn stays drawn.
    pub(super) fn seed(&mut self, seed: u64) {
        self.random = fastrand::Rng::with_seed(seed);
    }

    /// An address that no pod has had, as long as there is one.
    pub(super) fn draw(&mut self) -> Option<IpAddr> {
        if self.drawn.len() == PODS.len() {
            return None;
        }
        loop {
            let n = self.random.u16(PODS);
            if self.drawn.insert(n) {
                return Some(self.family.pod(n));
            }
        }
    }
}

/// Makes the node's side of the network.
pub(super) fn start(family: Family) -> Result<(), Error> {
    on_thread(|| {
        if family == Family::V6 {
            fs::write(LISTEN_BY_ROUTE, "1").map_err(Error::file("write", LISTEN_BY_ROUTE))?;
        }
        let runtime = runtime()?;
        let node = connect(&runtime)?;
        runtime.block_on(async {
            let lo = up(&node, "lo").await?;
            let services = node.route().add(family.services(lo)).execute().await;
            services.map_err(Error::link("add the route to the Services"))?;
            let bridge = LinkBridge::new(BRIDGE)
                .address(BRIDGE_ADDRESS.to_vec())
                .build();
            node.link()
                .add(bridge)
                .execute()
                .await
                .map_err(Error::link("make the bridge"))?;
            let bridge = up(&node, BRIDGE).await?;
            address(&node, bridge, family.gateway()).await
        })
    })
}

/// Removes the node's side of the network.
pub(super) fn stop(family: Family) -> Result<(), Error> {
    on_thread(|| {
        let runtime = runtime()?;
        let node = connect(&runtime)?;
        runtime.block_on(async {
            delete(&node, BRIDGE).await?;
            let lo = index(&node, "lo").await?;
            let services = node.route().del(family.services(lo)).execute().await;
            services.map_err(Error::link("remove the route to the Services"))
        })
    })
}

/// Makes the namespaces of a pod and connects them to the bridge by a link of the given name.
pub(super) fn add_pod(host: &str, ip: IpAddr, link: &str) -> Result<PodNamespaces, Error> {
    let family = Family::of(ip);
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
            address(&pod, eth0, ip).await?;
            pod.route()
                .add(family.way_out())
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

async fn address(handle: &Handle, link: u32, ip: IpAddr) -> Result<(), Error> {
    let mut add = handle.address().add(link, ip, Family::of(ip).pod_prefix());
    // Nobody else has it. With IPv6 the kernel would ask around for a second, in which nobody can use it.
    add.message_mut().header.flags |= AddressHeaderFlags::Nodad;
    let added = add.execute().await;
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
    use std::net::IpAddr;

    use super::{Addresses, Family, PODS};

    fn drawn_of(family: Family, seed: u64, count: usize) -> Vec<IpAddr> {
        let mut addresses = Addresses::new(family, seed);
        std::iter::from_fn(|| addresses.draw())
            .take(count)
            .collect()
    }

    fn drawn(seed: u64, count: usize) -> Vec<IpAddr> {
        drawn_of(Family::V4, seed, count)
    }

    #[test]
    fn a_seed_gives_the_same_addresses_again_and_another_one_others() {
        assert_eq!(drawn(7, 5), drawn(7, 5));
        assert_ne!(drawn(7, 5), drawn(8, 5));
    }

    #[test]
    fn pod_addresses_are_distinct_and_stay_in_the_network() {
        for (family, network) in [(Family::V4, "10.1."), (Family::V6, "fd01::")] {
            let all = drawn_of(family, 1, usize::MAX);
            assert_eq!(all.len(), PODS.len(), "as many as there are");
            let distinct: BTreeSet<&IpAddr> = all.iter().collect();
            assert_eq!(distinct.len(), all.len());
            assert!(!distinct.contains(&family.gateway()));
            for address in all {
                let text = address.to_string();
                assert!(text.starts_with(network), "{text}");
                assert!(!text.starts_with("10.1.255."), "{text}");
            }
        }
    }
}
