//! `INTERFACES`: which link and network an interface belongs to. Array by interface index; all zero means "not ours".

use bytemuck::{Pod, Zeroable};

use crate::net::Mac;

/// Bits of [`Interface::flags`].
pub mod interface_flag {
    /// Endpoints may be reached over this interface.
    pub const CONSUMER: u32 = 1;
    /// Backends and NAT addresses are behind this interface.
    pub const PROVIDER: u32 = 2;
}

/// One interface of the gateway.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Interface {
    /// Link id of untagged frames; 0 when the interface is not ours.
    pub link: u32,
    /// Network id of that link.
    pub network: u32,
    /// Bits of [`interface_flag`].
    pub flags: u32,
    /// The interface's own address: frames to another unicast address are not ours.
    pub mac: Mac,
    /// MTU of the interface in bytes of IP packet.
    pub mtu: u32,
}

const _: () = assert!(size_of::<Interface>() == 24);
