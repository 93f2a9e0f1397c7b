//! Addresses and ports as they lie in a packet: network byte order, told apart from host integers by type.

use bytemuck::{Pod, Zeroable};

/// An IPv4 address in network byte order (RFC 791); `0` means "none" wherever a record allows it.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Pod, Zeroable)]
pub struct Ip4(pub u32);

impl Ip4 {
    /// The address with these octets, most significant first.
    pub const fn from_octets(octets: [u8; 4]) -> Self {
        Self(u32::from_ne_bytes(octets))
    }

    /// The four octets, most significant first.
    pub const fn octets(self) -> [u8; 4] {
        self.0.to_ne_bytes()
    }

    /// True for 0.0.0.0.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl From<core::net::Ipv4Addr> for Ip4 {
    fn from(address: core::net::Ipv4Addr) -> Self {
        Self::from_octets(address.octets())
    }
}

impl From<Ip4> for core::net::Ipv4Addr {
    fn from(address: Ip4) -> Self {
        address.octets().into()
    }
}

/// A TCP or UDP port in network byte order.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Pod, Zeroable)]
pub struct Port(pub u16);

impl Port {
    /// The port with this host-order number.
    pub const fn new(number: u16) -> Self {
        Self(number.to_be())
    }

    /// The number in host order.
    pub const fn number(self) -> u16 {
        u16::from_be(self.0)
    }
}

/// Source and destination port as the four bytes at the start of a TCP or UDP header.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Pod, Zeroable)]
pub struct Ports(pub u32);

impl Ports {
    /// The pair as it lies in the header.
    pub const fn new(source: Port, destination: Port) -> Self {
        let (s, d) = (source.0.to_ne_bytes(), destination.0.to_ne_bytes());
        Self(u32::from_ne_bytes([s[0], s[1], d[0], d[1]]))
    }

    /// The source port.
    pub const fn source(self) -> Port {
        let b = self.0.to_ne_bytes();
        Port(u16::from_ne_bytes([b[0], b[1]]))
    }

    /// The destination port.
    pub const fn destination(self) -> Port {
        let b = self.0.to_ne_bytes();
        Port(u16::from_ne_bytes([b[2], b[3]]))
    }

    /// The pair of the opposite direction.
    pub const fn reversed(self) -> Self {
        Self(self.0.rotate_left(16))
    }
}

/// A MAC address as words that a program copies without a byte loop.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Pod, Zeroable)]
pub struct Mac {
    /// Octets 0 to 3 in memory order.
    pub head: u32,
    /// Octets 4 and 5 in memory order.
    pub tail: u16,
    /// Always zero.
    pub zero: u16,
}

impl Mac {
    /// The address with these octets in transmission order.
    pub const fn from_octets(o: [u8; 6]) -> Self {
        Self {
            head: u32::from_ne_bytes([o[0], o[1], o[2], o[3]]),
            tail: u16::from_ne_bytes([o[4], o[5]]),
            zero: 0,
        }
    }

    /// The six octets in transmission order.
    pub const fn octets(self) -> [u8; 6] {
        let (h, t) = (self.head.to_ne_bytes(), self.tail.to_ne_bytes());
        [h[0], h[1], h[2], h[3], t[0], t[1]]
    }
}

/// First bytes of marks of DNS queries; the second is for interfaces whose address begins with the first.
const MARKS: [u32; 2] = [u32::from_ne_bytes(*b"\x02PLN"), u32::from_ne_bytes(*b"\x06PLN")];

/// What the data path writes as the destination of a DNS query of a link that came to an interface with this address: locally
/// administered, unicast, and never the interface's own. So the host's stack takes the frame for another host's, and only
/// a packet socket sees it.
#[inline(always)]
pub const fn dns_mac(interface: Mac, link: u32) -> Mac {
    let head = if interface.head == MARKS[0] { MARKS[1] } else { MARKS[0] };
    Mac { head, tail: (link as u16).to_be(), zero: 0 }
}

/// Whether an address begins with these bytes that only the data path writes.
#[inline(always)]
pub const fn is_dns_mark(head: u32) -> bool {
    head == MARKS[0] || head == MARKS[1]
}

/// Destination and source MAC address: the first twelve bytes of an Ethernet frame, written as three words.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Pod, Zeroable)]
pub struct MacPair(pub [u32; 3]);

impl MacPair {
    /// The pair for a frame from `source` to `destination`.
    pub const fn new(destination: Mac, source: Mac) -> Self {
        let (d, s) = (destination.octets(), source.octets());
        Self([
            u32::from_ne_bytes([d[0], d[1], d[2], d[3]]),
            u32::from_ne_bytes([d[4], d[5], s[0], s[1]]),
            u32::from_ne_bytes([s[2], s[3], s[4], s[5]]),
        ])
    }

    /// The destination address.
    pub const fn destination(self) -> Mac {
        let (a, b) = (self.0[0].to_ne_bytes(), self.0[1].to_ne_bytes());
        Mac::from_octets([a[0], a[1], a[2], a[3], b[0], b[1]])
    }

    /// The source address.
    pub const fn source(self) -> Mac {
        let (b, c) = (self.0[1].to_ne_bytes(), self.0[2].to_ne_bytes());
        Mac::from_octets([b[2], b[3], c[0], c[1], c[2], c[3]])
    }
}

/// Outer and inner VLAN tag as they lie in a frame: protocol identifier, then priority and number (IEEE 802.1Q clause 9). No tag
/// is zero, and no inner one is without an outer one.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Pod, Zeroable)]
pub struct Tags(pub [u32; 2]);

impl Tags {
    /// Protocol identifier of a customer's tag (802.1Q).
    pub const CUSTOMER: u16 = 0x8100;
    /// Protocol identifier of a provider's tag (802.1ad).
    pub const PROVIDER: u16 = 0x88a8;
    /// Bits of a tag that are not its identity: PCP and DEI.
    pub const PRIORITY: u32 = u32::from_ne_bytes([0, 0, 0xf0, 0]);

    /// One tag of this protocol and number.
    pub const fn tag(protocol: u16, number: u16) -> u32 {
        let (p, n) = (protocol.to_be_bytes(), number.to_be_bytes());
        u32::from_ne_bytes([p[0], p[1], n[0], n[1]])
    }

    /// Number of tags.
    pub const fn count(self) -> u32 {
        (self.0[0] != 0) as u32 + (self.0[1] != 0) as u32
    }
}

/// Where a consumer-side or provider-side key is valid: a link id, or a network id with [`Scope::PROVIDER`] set, or
/// [`Scope::ANY`]. Two consumers with the same addresses differ in this and in nothing else.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Pod, Zeroable)]
pub struct Scope(pub u32);

impl Scope {
    /// Bit that tells a network id from a link id.
    pub const PROVIDER: u32 = 1 << 31;
    /// No link and no network; used for "this is a NAT address of some network".
    pub const ANY: Self = Self(0);

    /// The consumer side of a link; link ids start at 1.
    pub const fn link(id: u32) -> Self {
        Self(id)
    }

    /// The provider side of a network; network ids start at 1.
    pub const fn network(id: u32) -> Self {
        Self(Self::PROVIDER | id)
    }

    /// True for the provider side of a network.
    pub const fn is_provider(self) -> bool {
        self.0 & Self::PROVIDER != 0
    }
}

/// IP protocol number of ICMP (RFC 792).
pub const ICMP: u8 = 1;
/// IP protocol number of TCP (RFC 9293).
pub const TCP: u8 = 6;
/// IP protocol number of UDP (RFC 768).
pub const UDP: u8 = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_a_query_is_unicast_locally_administered_and_never_the_interfaces_own() {
        let plain = dns_mac(Mac::from_octets([2, 0, 1, 2, 3, 4]), 7);
        for own in [Mac::from_octets([2, 0, 1, 2, 3, 4]), plain, dns_mac(plain, 7)] {
            let mark = dns_mac(own, 7);
            assert_ne!(mark, own);
            assert_eq!(mark.octets()[0] & 3, 2);
            assert!(is_dns_mark(mark.head));
            assert_ne!(mark, dns_mac(own, 8), "links of one interface have marks of their own");
        }
    }
}
