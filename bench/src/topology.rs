//! One lane: a client, a gateway and four backends, each in a network namespace with a MAC address of its own. Every target is
//! measured on a lane of its own, all of them alike, so that nothing is set up or torn down while targets take turns.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Result;
use plnat_common::net::{Mac, MacPair};
use serde::Serialize;

use crate::namespace::Namespace;

/// Backends of a lane.
pub(crate) const BACKENDS: u32 = 4;
/// The address that clients send to: the endpoint's, where there is one.
pub(crate) const ENDPOINT: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
/// The port that clients send to.
pub(crate) const PORT: u16 = 53;
/// The backends' port, where it is translated.
pub(crate) const BACKEND_PORT: u16 = 5353;
/// NAT addresses, where there are any: 10.2.1.1 and the following.
pub(crate) const NAT_ADDRESSES: u8 = 8;

/// The address of a NAT address by place.
pub(crate) fn nat(place: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 1, 1 + place)
}

/// The address of a backend.
pub(crate) fn backend(number: u32) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 0, 11 + number as u8)
}

/// One end of a pair of interfaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    /// Interface index, unique over all lanes.
    pub(crate) index: u32,
    /// Its Ethernet address.
    pub(crate) mac: [u8; 6],
}

impl End {
    fn new(lane: u32, place: u32) -> Self {
        Self {
            index: 100 * (lane + 1) + place,
            mac: [2, 0, 0x0b, lane as u8, (place / 10) as u8, place as u8],
        }
    }

    /// Its Ethernet address, as programs want it.
    pub(crate) fn mac_text(&self) -> String {
        self.mac.map(|octet| format!("{octet:02x}")).join(":")
    }

    /// Ethernet addresses of a frame from here.
    pub(crate) fn to(&self, other: &End) -> MacPair {
        MacPair::new(Mac::from_octets(other.mac), Mac::from_octets(self.mac))
    }
}

/// What the interfaces of a lane leave to who comes after them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Offloads {
    /// Nothing that XDP cannot see: whole checksums, no segments to be cut later.
    Off,
    /// What the kernel gives a new pair.
    Fresh,
}

impl Offloads {
    /// Name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Offloads::Off => "off",
            Offloads::Fresh => "as a new pair has them",
        }
    }
}

/// Client, gateway and backends.
pub(crate) struct Lane {
    pub(crate) client: Namespace,
    pub(crate) gateway: Arc<Namespace>,
    pub(crate) backends: Vec<Namespace>,
    pub(crate) offloads: Offloads,
    number: u32,
    /// 1 for a lane beside another at the same gateway.
    wing: u32,
}

impl Lane {
    /// Makes a lane; the interfaces are up and have neither addresses nor routes.
    pub(crate) fn new(number: u32) -> Result<Self> {
        Self::with(number, Offloads::Off)
    }

    /// As [`Self::new`], with these offloads.
    pub(crate) fn with(number: u32, offloads: Offloads) -> Result<Self> {
        let gateway = Namespace::new()?;
        gateway.sysctl("ipv6/conf/default/disable_ipv6", "1").ok();
        Self::at(Arc::new(gateway), number, 0, offloads)
    }

    /// Another client, with backends and an endpoint of its own, at the gateway of this one.
    pub(crate) fn beside(&self, number: u32) -> Result<Self> {
        Self::at(Arc::clone(&self.gateway), number, self.wing + 1, self.offloads)
    }

    fn at(gateway: Arc<Namespace>, number: u32, wing: u32, offloads: Offloads) -> Result<Self> {
        let backends = (0..BACKENDS).map(|_| Namespace::new()).collect::<Result<_>>()?;
        let this = Self { client: Namespace::new()?, gateway, backends, offloads, number, wing };
        this.pair(&this.consumer(), this.gateway_end(), &this.client, this.client_end())?;
        for at in 0..BACKENDS {
            let (near, far) = (this.provider_end(at), this.backend_end(at));
            this.pair(&this.provider(at), near, &this.backends[at as usize], far)?;
        }
        Ok(this)
    }

    /// Which of the lanes of its gateway it is.
    pub(crate) fn wing(&self) -> u32 {
        self.wing
    }

    /// Name of the gateway's interface towards the client.
    pub(crate) fn consumer(&self) -> String {
        consumer(self.wing)
    }

    /// Name of the gateway's interface towards a backend.
    pub(crate) fn provider(&self, backend: u32) -> String {
        provider(self.wing, backend)
    }

    /// The address that its clients send to.
    pub(crate) fn endpoint(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(ENDPOINT) + self.wing)
    }

    /// The address of a backend of its own.
    pub(crate) fn backend(&self, number: u32) -> Ipv4Addr {
        backend(BACKENDS * self.wing + number)
    }

    /// A NAT address of its own by place.
    pub(crate) fn nat(&self, place: u8) -> Ipv4Addr {
        nat(NAT_ADDRESSES * self.wing as u8 + place)
    }

    /// The gateway's address towards a backend, where it has any.
    pub(crate) fn provider_address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::new(10, 2, 0, 1 + (BACKENDS * self.wing + number) as u8)
    }

    /// The gateway's address towards the client, where it has any.
    pub(crate) fn consumer_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, self.wing as u8 * 16, 1)
    }

    /// The client's address towards the gateway.
    pub(crate) fn client_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, self.wing as u8 * 16, 10)
    }

    /// Second octet of the addresses of the clients, which are behind the client's end.
    pub(crate) fn clients(&self) -> u8 {
        64 + self.wing as u8
    }

    /// The client's end of its pair.
    pub(crate) fn client_end(&self) -> End {
        End::new(self.number, 10)
    }

    /// The gateway's end towards the client, `consumer`.
    pub(crate) fn gateway_end(&self) -> End {
        End::new(self.number, 20)
    }

    /// The gateway's end towards a backend; see [`provider`].
    pub(crate) fn provider_end(&self, backend: u32) -> End {
        End::new(self.number, 30 + backend)
    }

    /// A backend's end of its pair.
    pub(crate) fn backend_end(&self, backend: u32) -> End {
        End::new(self.number, 40 + backend)
    }

    fn pair(&self, name: &str, near: End, other: &Namespace, far: End) -> Result<()> {
        let batch = format!(
            "link add {name} index {} address {} type veth peer name eth0 index {} address {} netns {}\nlink set {name} up\n",
            near.index,
            near.mac_text(),
            far.index,
            far.mac_text(),
            other.path(),
        );
        self.gateway.run(&["ip", "-batch", "-"], &batch)?;
        other.sysctl("ipv6/conf/all/disable_ipv6", "1").ok();
        other.run(&["ip", "-batch", "-"], "link set eth0 up\n")?;
        match self.offloads {
            Offloads::Off => without_offloads(&self.gateway, name),
            Offloads::Fresh => Ok(()),
        }
    }

    /// Gives the gateway's stack addresses, routes and neighbours, and lets it forward. Clients are behind the client's end.
    pub(crate) fn route(&self) -> Result<()> {
        let (consumer, client) = (self.consumer(), self.client_address());
        let mut batch = format!(
            "address add {}/24 dev {consumer}\nneigh add {client} lladdr {} dev {consumer} nud permanent\nroute add 10.{}.0.0/16 via {client}\n",
            self.consumer_address(),
            self.client_end().mac_text(),
            self.clients(),
        );
        for at in 0..BACKENDS {
            let (name, host) = (self.provider(at), self.backend(at));
            let mac = self.backend_end(at).mac_text();
            batch += &format!(
                "address add {}/32 dev {name}\nroute add {host}/32 dev {name}\nneigh add {host} lladdr {mac} dev {name} nud permanent\n",
                self.provider_address(at)
            );
        }
        self.gateway.run(&["ip", "-batch", "-"], &batch)?;
        self.gateway.sysctl("ipv4/conf/all/rp_filter", "0")?;
        for name in std::iter::once(consumer).chain((0..BACKENDS).map(|at| self.provider(at))) {
            self.gateway.sysctl(&format!("ipv4/conf/{name}/rp_filter"), "0")?;
        }
        self.gateway.sysctl("ipv4/ip_forward", "1")
    }
}

/// Lets an interface do all that XDP cannot see. A frame that is redirected into a pair is taken only where GRO (or XDP) is on;
/// where the stack forwards, it is on as on a NIC.
pub(crate) fn without_offloads(place: &Namespace, name: &str) -> Result<()> {
    let offloads = ["ethtool", "-K", name, "gro", "on", "tx", "off", "txvlan", "off"];
    place.run(&offloads, "")
}

/// Name of the interface towards the client of a lane of a gateway.
pub(crate) fn consumer(wing: u32) -> String {
    if wing == 0 { "consumer".into() } else { format!("client{wing}") }
}

/// Name of the interface towards a backend of a lane of a gateway; all of a lane begin alike.
pub(crate) fn provider(wing: u32, backend: u32) -> String {
    if wing == 0 { format!("provider{backend}") } else { format!("backend{wing}-{backend}") }
}
