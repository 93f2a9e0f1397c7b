//! `RULE_INDEX` (hash: service, protocol and port → rule slot) and `RULES` (array by rule slot): load-balancing
//! rules of all frontends that a service names. Read when a session is opened; slot 0 is never used.

use bytemuck::{Pod, Zeroable};

use crate::net::Port;

/// Protocol in a [`RuleKey`] of an HA-ports rule.
pub const ANY_PROTOCOL: u8 = 0;
/// Port in a [`RuleKey`] of an HA-ports rule.
pub const ANY_PORT: Port = Port(0);

/// Values of [`Rule::distribution`] (Azure's `loadDistribution`).
pub mod distribution {
    /// `Default`: addresses, ports and protocol.
    pub const FIVE_TUPLE: u8 = 0;
    /// `SourceIP`: client and endpoint address.
    pub const SOURCE_IP: u8 = 1;
    /// `SourceIPProtocol`: client and endpoint address and protocol.
    pub const SOURCE_IP_PROTOCOL: u8 = 2;
}

/// Key of `RULE_INDEX`: exact first, then [`ANY_PROTOCOL`] with [`ANY_PORT`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Pod, Zeroable)]
pub struct RuleKey {
    /// Service slot.
    pub service: u32,
    /// Frontend port, or [`ANY_PORT`].
    pub port: Port,
    /// IP protocol number, or [`ANY_PROTOCOL`].
    pub protocol: u8,
    /// Zero.
    pub zero: u8,
}

/// One load-balancing rule.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Rule {
    /// The rule's look-up table in `MAGLEV`: first entry in the high half, number of entries in the low half; one
    /// word, so that a table is swapped by one store. No entries: no backend may take a session.
    pub maglev: u64,
    /// One of [`distribution`].
    pub distribution: u8,
    /// Idle time after which an established session ends, in minutes (1 to 127).
    pub idle_minutes: u8,
    /// 1: both ends of a TCP session hear of its end by a RST.
    pub tcp_reset: u8,
    /// Zero.
    pub reserved: [u8; 5],
}

impl Rule {
    /// The word for a table of `length` entries from entry `first` on.
    pub const fn table(first: u32, length: u32) -> u64 {
        (first as u64) << 32 | length as u64
    }
}

const _: () = assert!(size_of::<RuleKey>() == 8 && size_of::<Rule>() == 16);
