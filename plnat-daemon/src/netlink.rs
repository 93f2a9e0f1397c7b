//! What the machine's network looks like: interfaces, and the next hop towards each backend.
//!
//! The data path asks nobody for routes or neighbours, so the daemon does, keeps the answers fresh (translated packets
//! do not touch the host's neighbour table, which would forget them), and hears when something changes.

mod changes;
pub mod facts;
pub mod redirects;
mod route;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use futures_util::{Stream, TryStreamExt};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{
    InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, VlanProtocol,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use plnat_common::net::Tags;
use rtnetlink::{Handle, IpVersion, RouteMessageBuilder};

pub use self::changes::Changes;
use self::route::Way;

/// Pause before a neighbour that does not answer is asked for again.
const RETRY: Duration = Duration::from_secs(1);
/// Pause before a neighbour is confirmed again that the host has not heard of for a while.
const CONFIRM: Duration = Duration::from_secs(10);

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Index, unique while the interface exists.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Ethernet address; none for an interface that is no Ethernet.
    pub mac: Option<[u8; 6]>,
    /// MTU in bytes of IP packet.
    pub mtu: u32,
    /// Whether it is up and has a carrier.
    pub up: bool,
    /// For a VLAN device: the interface under it, protocol identifier and number of its tag.
    pub vlan: Option<(u32, u16, u16)>,
}

/// A network's interfaces, and the backends that are behind them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Network {
    /// Durable network id.
    pub id: u32,
    /// Indexes of its interfaces. Only ways out of these count, so that networks may overlap.
    pub interfaces: Vec<u32>,
    /// Backends in it.
    pub backends: Vec<Ipv4Addr>,
}

/// The next hop towards a backend.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NextHop {
    /// Durable network id.
    pub network: u32,
    /// The backend.
    pub backend: Ipv4Addr,
    /// Index of the interface towards it.
    pub egress: u32,
    /// Ethernet address of the backend, or of the router towards it.
    pub mac: [u8; 6],
}

/// The kernel did not answer a question about the network.
#[derive(Debug, thiserror::Error)]
#[error("asking the kernel for its {what}: {source}")]
pub struct NetlinkError {
    what: &'static str,
    #[source]
    source: rtnetlink::Error,
}

/// Asks the kernel of the network namespace in which it was opened.
pub struct Netlink {
    handle: Handle,
    asked: HashMap<Way, Instant>,
}

/// Opens the questions, the stream of changes, and the work that drives both, which the caller spawns. To be called in a
/// tokio runtime.
///
/// # Errors
/// When the kernel gives no socket.
pub fn open() -> io::Result<(Netlink, Changes, impl Future<Output = ()> + Send)> {
    let (questions, handle, _) = rtnetlink::new_connection()?;
    let (notifications, changes) = changes::open()?;
    let work = async move {
        futures_util::future::join(questions, notifications).await;
    };
    Ok((Netlink { handle, asked: HashMap::new() }, changes, work))
}

impl Netlink {
    /// All interfaces.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub async fn interfaces(&self) -> Result<Vec<Interface>, NetlinkError> {
        let links = collect("interfaces", self.handle.link().get().execute()).await?;
        Ok(links.iter().map(interface).collect())
    }

    /// Next hops of all backends whose next hop is known, sorted. For the others resolution is started, and its end
    /// shows as a change. To be called after every change and every few seconds besides, which keeps known ones fresh.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub async fn next_hops(&mut self, networks: &[Network]) -> Result<Vec<NextHop>, NetlinkError> {
        let addresses: Vec<AddressMessage> =
            collect("addresses", self.handle.address().get().execute()).await?;
        let question = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let routes = collect("routes", self.handle.route().get(question).execute()).await?;
        let routes = route::table(&addresses, &routes);
        let neighbours =
            collect("neighbours", self.handle.neighbours().get().set_family(IpVersion::V4).execute()).await?;
        let neighbours: HashMap<Way, Neighbour> = neighbours.iter().filter_map(neighbour).collect();

        let mut hops = Vec::new();
        let mut used = HashMap::new();
        for network in networks {
            for &backend in &network.backends {
                let Some(way) = route::way(&routes, &network.interfaces, backend) else { continue };
                let neighbour = neighbours.get(&way).copied().unwrap_or_default();
                if let Some(mac) = neighbour.mac {
                    hops.push(NextHop { network: network.id, backend, egress: way.interface, mac });
                }
                used.insert(way, neighbour);
            }
        }
        self.asked.retain(|way, _| used.contains_key(way));
        for (way, neighbour) in used {
            match neighbour {
                Neighbour { mac: None, .. } => self.ask(way, RETRY).await,
                Neighbour { stale: true, .. } => self.ask(way, CONFIRM).await,
                Neighbour { .. } => {}
            }
        }
        hops.sort_unstable();
        hops.dedup();
        Ok(hops)
    }

    /// Has the host's neighbour table ask for an address, or confirm it, as a packet of the host's own would.
    async fn ask(&mut self, way: Way, pause: Duration) {
        let now = Instant::now();
        if self.asked.get(&way).is_some_and(|&last| now.duration_since(last) < pause) {
            return;
        }
        self.asked.insert(way, now);
        let request = self
            .handle
            .neighbours()
            .add(way.interface, IpAddr::V4(way.address))
            .state(NeighbourState::None)
            .flags(NeighbourFlags::Use)
            .replace();
        if let Err(error) = request.execute().await {
            tracing::warn!(interface = way.interface, address = %way.address, %error, "cannot resolve a next hop");
        }
    }
}

/// A neighbour as far as it matters.
#[derive(Clone, Copy, Default)]
struct Neighbour {
    /// Its address, while it is good to use.
    mac: Option<[u8; 6]>,
    /// Whether the host has not heard of it for a while.
    stale: bool,
}

fn neighbour(message: &NeighbourMessage) -> Option<(Way, Neighbour)> {
    if message.header.family != AddressFamily::Inet {
        return None;
    }
    let mut address = None;
    let mut mac = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(to)) => address = Some(*to),
            NeighbourAttribute::LinkLocalAddress(octets) => mac = <[u8; 6]>::try_from(octets.as_slice()).ok(),
            _ => {}
        }
    }
    let state = message.header.state;
    let usable = matches!(
        state,
        NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Permanent
            | NeighbourState::Noarp
    );
    let neighbour =
        Neighbour { mac: mac.filter(|mac| usable && *mac != [0; 6]), stale: state == NeighbourState::Stale };
    Some((Way { interface: message.header.ifindex, address: address? }, neighbour))
}

fn interface(link: &LinkMessage) -> Interface {
    let ethernet = link.header.link_layer_type == LinkLayerType::Ether;
    let mut interface = Interface {
        index: link.header.index,
        name: String::new(),
        mac: None,
        mtu: 0,
        up: link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        vlan: None,
    };
    let (mut under, mut tag) = (None, None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            LinkAttribute::Address(octets) if ethernet => interface.mac = octets.as_slice().try_into().ok(),
            LinkAttribute::Link(index) => under = Some(*index),
            LinkAttribute::LinkInfo(info) => tag = vlan(info),
            _ => {}
        }
    }
    interface.vlan = under.zip(tag).map(|(under, (protocol, number))| (under, protocol, number));
    interface
}

/// Protocol identifier and number of a VLAN device's tag.
fn vlan(info: &[LinkInfo]) -> Option<(u16, u16)> {
    let data = info.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vlan(data)) => Some(data),
        _ => None,
    })?;
    let number = data.iter().find_map(|it| if let InfoVlan::Id(id) = it { Some(*id) } else { None })?;
    let protocol = data.iter().find_map(|it| match it {
        InfoVlan::Protocol(VlanProtocol::Ieee8021Ad) => Some(Tags::PROVIDER),
        _ => None,
    });
    Some((protocol.unwrap_or(Tags::CUSTOMER), number))
}

async fn collect<T>(
    what: &'static str,
    answers: impl Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<Vec<T>, NetlinkError> {
    std::pin::pin!(answers).try_collect().await.map_err(|source| NetlinkError { what, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles only if a task may look for next hops.
    fn spawnable(mut netlink: Netlink, networks: Vec<Network>) -> impl Future + Send {
        async move { (netlink.next_hops(&networks).await, netlink.interfaces().await) }
    }

    #[tokio::test]
    async fn the_loopback_interface_is_up_and_no_backend_is_behind_it() {
        let (netlink, _, work) = open().unwrap();
        tokio::spawn(work);
        let interfaces = netlink.interfaces().await.unwrap();
        assert!(interfaces.iter().any(|interface| interface.name == "lo" && interface.mac.is_none()));
        let networks = vec![Network { id: 1, interfaces: vec![1], backends: vec![[203, 0, 113, 1].into()] }];
        spawnable(netlink, networks).await;
    }
}
