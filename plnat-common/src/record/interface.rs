//! `INTERFACES`: which link and network an interface belongs to. Array by interface index; all zero means "not ours". Behind the
//! last index, by link id, lie the records of tagged links, and `TAGS` (hash) leads there.

use bytemuck::{Pod, Zeroable};

use crate::net::{Mac, Tags};

/// Bits of [`Interface::flags`].
pub mod interface_flag {
    /// Endpoints may be reached over this interface.
    pub const CONSUMER: u32 = 1;
    /// Backends and NAT addresses are behind this interface.
    pub const PROVIDER: u32 = 2;
    /// The interface has links of tagged frames.
    pub const TAGGED: u32 = 4;
}

/// One interface of the gateway, or one tagged link.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Interface {
    /// Link id; for an interface, of untagged frames, and 0 when it has none.
    pub link: u32,
    /// Network id of that link.
    pub network: u32,
    /// Bits of [`interface_flag`].
    pub flags: u32,
    /// The interface's own address: frames to another unicast address are not ours.
    pub mac: Mac,
    /// MTU of the link in bytes of IP packet.
    pub mtu: u32,
    /// Tags of the link's frames, without priority.
    pub tags: Tags,
}

/// Key of `TAGS`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Pod, Zeroable)]
pub struct TagKey {
    /// Interface index.
    pub interface: u32,
    /// Tags of the frame, without priority.
    pub tags: Tags,
}

const _: () = assert!(size_of::<Interface>() == 32 && size_of::<TagKey>() == 12);
