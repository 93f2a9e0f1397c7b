//! `EVENTS`: what the programs tell the daemon. Ring buffer of fixed-size records, rate-limited in the kernel.

use bytemuck::{Pod, Zeroable};

use crate::net::{Ip4, Ports};

/// Values of [`Event::kind`].
pub mod event_kind {
    /// A packet came for an endpoint whose connection is Pending; at most one a second and endpoint.
    pub const PENDING_TRAFFIC: u32 = 1;
    /// The first fragment of a datagram came after others: they can be sent now. [`Event::count`] says how many.
    pub const FRAGMENTS_READY: u32 = 2;
}

/// One event.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Event {
    /// One of [`event_kind`].
    pub kind: u32,
    /// Endpoint slot.
    pub endpoint: u32,
    /// Link id on which the packet came.
    pub link: u32,
    /// Client address.
    pub source: Ip4,
    /// Endpoint address.
    pub destination: Ip4,
    /// Client and service port; zero for ICMP.
    pub ports: Ports,
    /// IP protocol number.
    pub protocol: u32,
    /// How many fragments can be sent; else zero.
    pub count: u32,
}

const _: () = assert!(size_of::<Event>() == 32);
