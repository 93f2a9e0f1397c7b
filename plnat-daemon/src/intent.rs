//! What the model wants of the data plane: everything resolved, nothing of the API's shapes, no slot numbers yet.
//!
//! The model makes an [`Intent`]; the planner turns it into records. Neither knows the other.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use plnat_common::net::Tags;
use plnat_common::record::MAX_NAT_ADDRESSES;

/// All that the gateway has to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Intent {
    /// Attachments of networks.
    pub links: Vec<Link>,
    /// Services with their rules and backends.
    pub services: Vec<Service>,
    /// Endpoints with the state of their connection.
    pub endpoints: Vec<Endpoint>,
}

/// What is other than before. Identities that are not named here stay what they were.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Delta {
    /// All links, where one of them is another.
    pub links: Option<Vec<Link>>,
    /// Services by key; none: it is gone.
    pub services: Vec<(String, Option<Arc<Service>>)>,
    /// Endpoints by key; none: it is gone.
    pub endpoints: Vec<(String, Option<Arc<Endpoint>>)>,
}

impl Delta {
    /// True when nothing is other than before.
    pub fn is_empty(&self) -> bool {
        self.links.is_none() && self.services.is_empty() && self.endpoints.is_empty()
    }
}

/// An interface that belongs to a network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Durable link id, 1 or more, dense.
    pub id: u32,
    /// Name of the interface.
    pub interface: String,
    /// The tag of its frames; none for plain ones.
    pub vlan: Option<Vlan>,
    /// Durable network id, 1 or more.
    pub network: u32,
    /// Addresses that its clients may have.
    pub sources: Vec<Ipv4Net>,
    /// The DNS server that is reached over it.
    pub dns: Option<Dns>,
}

/// The address of a link's DNS server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dns {
    /// The address, in the consumer's network.
    pub address: Ipv4Addr,
    /// Queries a second in the long run, 1 or more.
    pub queries_per_second: u32,
}

impl Link {
    /// What people call it: the interface, and the numbers of its tags.
    pub fn name(&self) -> String {
        link_name(&self.interface, self.vlan)
    }

    /// The tags of its frames.
    pub fn tags(&self) -> Tags {
        self.vlan.map_or(Tags::default(), Vlan::tags)
    }
}

/// What people call a link.
pub(crate) fn link_name(interface: &str, vlan: Option<Vlan>) -> String {
    match vlan {
        None => interface.to_owned(),
        Some(Vlan { number, inner: None, .. }) => format!("{interface}.{number}"),
        Some(Vlan { number, inner: Some(inner), .. }) => format!("{interface}.{number}.{inner}"),
    }
}

/// The tag, or the two tags, of a link's frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Vlan {
    /// Number in the outer tag, 1 to 4094.
    pub number: u16,
    /// Number in the inner tag, which is of 802.1Q.
    pub inner: Option<u16>,
    /// Protocol of the outer tag.
    pub protocol: VlanProtocol,
}

/// Protocol of a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum VlanProtocol {
    /// 802.1Q, 0x8100.
    Customer,
    /// 802.1ad, 0x88a8.
    Provider,
}

impl Vlan {
    /// As they lie in a frame.
    pub fn tags(self) -> Tags {
        let protocol = match self.protocol {
            VlanProtocol::Customer => Tags::CUSTOMER,
            VlanProtocol::Provider => Tags::PROVIDER,
        };
        let inner = self.inner.map_or(0, |inner| Tags::tag(Tags::CUSTOMER, inner));
        Tags([Tags::tag(protocol, self.number), inner])
    }
}

/// A private link service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Identity for life, the service's GUID for example.
    pub key: String,
    /// Durable id of the provider's network.
    pub network: u32,
    /// NAT addresses; an address keeps its place for life.
    pub nat: [Option<Ipv4Addr>; MAX_NAT_ADDRESSES],
    /// Rules of all frontends that the service names.
    pub rules: Vec<Rule>,
    /// What each of its endpoints may hold.
    pub quotas: Quotas,
}

/// What an endpoint may hold, on each of its links. None: no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Quotas {
    /// Most sessions at a time. A TCP connection that is closed is none any more.
    pub sessions: Option<u32>,
    /// Most TCP sessions at a time whose handshake is not complete.
    pub half_open: Option<u32>,
    /// New sessions a second in the long run; as many may come at once.
    pub new_sessions_per_second: Option<u32>,
    /// Sessions for which a port and room are kept, whatever others do; none: [`Self::GUARANTEED`].
    pub guaranteed_sessions: Option<u32>,
}

impl Quotas {
    /// Sessions that an endpoint is guaranteed where nothing is said.
    pub const GUARANTEED: u32 = 1024;
    /// What a limit may be.
    pub const LIMIT: std::ops::RangeInclusive<u32> = 1..=1 << 24;
    /// What a guarantee may be.
    pub const GUARANTEE: std::ops::RangeInclusive<u32> = 0..=1 << 19;
}

/// A load-balancing rule as one service uses it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Identity within the service, for life.
    pub key: String,
    /// What it matches.
    pub protocol: Protocol,
    /// Frontend port; 0 with [`Protocol::All`]: all ports.
    pub port: u16,
    /// Backend port; 0 keeps the client's.
    pub backend_port: u16,
    /// How sessions are spread.
    pub distribution: Distribution,
    /// Idle timeout in minutes, 1 to 127.
    pub idle_minutes: u8,
    /// Whether both ends of a TCP session hear of its end by a RST.
    pub tcp_reset: bool,
    /// Backends of the pool, healthy or not.
    pub members: Vec<Member>,
}

/// Protocol of a rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protocol {
    /// TCP only.
    Tcp,
    /// UDP only.
    Udp,
    /// TCP and UDP on all ports (HA ports).
    All,
}

/// How a rule spreads sessions over backends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Distribution {
    /// Addresses, ports and protocol.
    FiveTuple,
    /// Client and endpoint address.
    SourceIp,
    /// Client and endpoint address and protocol.
    SourceIpProtocol,
}

/// A backend in a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its address in the provider's network.
    pub address: Ipv4Addr,
    /// Its share of new sessions relative to the others, 1 or more.
    pub weight: u32,
    /// Whether it takes sessions.
    pub state: MemberState,
}

/// Whether a backend takes sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberState {
    /// Takes sessions.
    Up,
    /// Keeps its sessions and takes no new one.
    Draining,
    /// Its probe failed: keeps TCP sessions, loses UDP sessions, takes no new one.
    Down,
}

/// A private endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Identity for life, the connection's GUID for example.
    pub key: String,
    /// Durable ids of the links of the endpoint's network: its address is answered on all of them.
    pub links: Vec<u32>,
    /// Its address in the consumer's network.
    pub address: Ipv4Addr,
    /// Key of the service.
    pub service: String,
    /// State of the connection.
    pub state: ConnectionState,
}

/// State of a private endpoint connection (Azure's words).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub enum ConnectionState {
    /// Waiting for the provider's decision.
    Pending,
    /// Traffic flows.
    Approved,
    /// The provider said no.
    Rejected,
    /// The provider removed the connection; the endpoint is of no use any more and can only be deleted.
    Disconnected,
}
