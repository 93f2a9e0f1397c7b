//! `SERVICES`: the NAT addresses of a service, and what its endpoints may hold. Array by service slot, read when a session is opened; slot 0 is
//! never used.

use bytemuck::{Pod, Zeroable};

use super::port_block::PORTS_PER_BLOCK;
use crate::net::Ip4;

/// NAT addresses a service may have (Azure's limit).
pub const MAX_NAT_ADDRESSES: usize = 8;

/// One private link service.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Service {
    /// Network id of the provider's network: the scope of the NAT addresses and of the backends' answers.
    pub network: u32,
    /// Number of NAT addresses.
    pub count: u16,
    /// Ports of a block that sessions beyond their endpoint's guarantee may hold together.
    pub shared_ports: u16,
    /// NAT addresses by place; `0` where there is none. An address keeps its place for life, so that the sessions
    /// of the others do not notice when one comes or goes.
    pub nat: [Ip4; MAX_NAT_ADDRESSES],
    /// The places that have an address, `count` of them, in ascending order.
    pub order: [u8; MAX_NAT_ADDRESSES],
    /// Sessions that each of its endpoints is guaranteed.
    pub guaranteed: u32,
    /// Most sessions of an endpoint at a time; 0: no limit. See `Account` for what counts.
    pub sessions: u32,
    /// Most half-open TCP sessions of an endpoint at a time; 0: no limit.
    pub half_open: u32,
    /// Nanoseconds from one new session of an endpoint to the next in the long run; 0: no limit.
    pub interval: u32,
}

impl Service {
    /// The record of a service of a provider's network with these NAT addresses, whose endpoints may hold what there is.
    pub fn new(network: u32, nat: [Ip4; MAX_NAT_ADDRESSES]) -> Self {
        let mut service = Self { network, nat, shared_ports: PORTS_PER_BLOCK as u16, ..Self::default() };
        for (place, _) in nat.iter().enumerate().filter(|(_, address)| !address.is_none()) {
            service.order[service.count as usize] = place as u8;
            service.count += 1;
        }
        service
    }
}

const _: () = assert!(size_of::<Service>() == 64);
