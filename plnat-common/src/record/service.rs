//! `SERVICES`: the NAT addresses of a service. Array by service slot, read when a session is opened; slot 0 is
//! never used.

use bytemuck::{Pod, Zeroable};

use crate::net::Ip4;

/// NAT addresses a service may have (Azure's limit).
pub const MAX_NAT_ADDRESSES: usize = 8;

/// One private link service.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Service {
    /// Network id of the provider's network: the scope of the NAT addresses and of the backends' answers.
    pub network: u32,
    /// Zero.
    pub flags: u32,
    /// NAT addresses by place; `0` where there is none. An address keeps its place for life, so that the sessions
    /// of the others do not notice when one comes or goes.
    pub nat: [Ip4; MAX_NAT_ADDRESSES],
    /// Zero.
    pub reserved: [u32; 6],
}

const _: () = assert!(size_of::<Service>() == 64);
