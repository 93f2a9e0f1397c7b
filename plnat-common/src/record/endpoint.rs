//! `ENDPOINTS`: state and service of a private endpoint. Array by endpoint slot, read for every packet.
//!
//! Slot 0 is never used. A slot is given to another endpoint only after a full sweep has freed the sessions that
//! name it.

use bytemuck::{Pod, Zeroable};

use crate::net::Tags;

/// Values of [`Endpoint::state`]: the connection's state, word for word.
pub mod endpoint_state {
    /// The slot is free, or its endpoint was deleted.
    pub const NONE: u32 = 0;
    /// Waiting for the provider's decision.
    pub const PENDING: u32 = 1;
    /// Traffic flows.
    pub const APPROVED: u32 = 2;
    /// The provider said no.
    pub const REJECTED: u32 = 3;
    /// The provider removed the connection.
    pub const DISCONNECTED: u32 = 4;
}

/// One private endpoint.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Endpoint {
    /// One of [`endpoint_state`].
    pub state: u32,
    /// Slot in `SERVICES`.
    pub service: u32,
    /// Link id on which the endpoint lives.
    pub link: u32,
    /// Tags of frames to its clients: the link's.
    pub tags: Tags,
    /// Zero.
    pub reserved: [u32; 3],
}

const _: () = assert!(size_of::<Endpoint>() == 32);
