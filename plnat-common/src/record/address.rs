//! `ADDRESSES`: the addresses that the gateway answers for. Hash by scope and address.

use bytemuck::{Pod, Zeroable};

use crate::net::{Ip4, Scope};

/// Values of [`Address::kind`].
pub mod address_kind {
    /// A private endpoint's address; the scope is its link.
    pub const ENDPOINT: u32 = 1;
    /// A service's NAT address; the scope is the provider's network.
    pub const NAT: u32 = 2;
    /// A NAT address of some network, under [`crate::net::Scope::ANY`]: a packet to it from elsewhere is dropped.
    pub const NAT_ELSEWHERE: u32 = 3;
    /// The address of a link's DNS server; the scope is the link.
    pub const DNS: u32 = 4;
}

/// Key: where, and which address.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Pod, Zeroable)]
pub struct AddressKey {
    /// Link (endpoints, DNS servers), network (NAT addresses) or [`Scope::ANY`].
    pub scope: Scope,
    /// The address.
    pub address: Ip4,
}

/// What the address is.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Address {
    /// One of [`address_kind`].
    pub kind: u32,
    /// Slot in `ENDPOINTS` for an endpoint, in `SERVICES` for a NAT address; 0 for `NAT_ELSEWHERE`. For a DNS
    /// server the nanoseconds from one query to the next in the long run.
    pub slot: u32,
}

const _: () = assert!(size_of::<AddressKey>() == 8 && size_of::<Address>() == 8);
