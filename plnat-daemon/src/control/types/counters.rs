//! Counters and port use.

use std::net::Ipv4Addr;

use plnat_common::reason::{BYTES_TO_BACKEND, BYTES_TO_CLIENT, Reason, Verdict};
use serde::{Deserialize, Serialize};

use super::Protocol;
use crate::dataplane::CounterRow;

/// What a set of counters is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CounterScope {
    /// All links together.
    Total,
    /// One link.
    Link,
    /// One service.
    Service,
}

/// Packets that left by a reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReasonCount {
    /// Name of the reason.
    pub reason: String,
    /// `forward`, `answer`, `pass` or `drop`.
    pub verdict: String,
    /// Packets since the maps were made.
    pub packets: u64,
    /// What the reason means.
    pub help: String,
}

/// Counters of one link, of one service, or of all links.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CounterSet {
    /// What they are about.
    pub scope: CounterScope,
    /// Name of the link or service; empty for the total.
    pub name: String,
    /// Bytes of frames translated towards backends.
    pub bytes_to_backend: u64,
    /// Bytes of frames translated towards clients.
    pub bytes_to_client: u64,
    /// All reasons in the order of their numbers, also those with no packets.
    pub reasons: Vec<ReasonCount>,
}

impl CounterSet {
    /// The set for a row of the data plane.
    pub fn new(scope: CounterScope, name: impl Into<String>, row: &CounterRow) -> Self {
        let count = |&reason: &Reason| ReasonCount {
            reason: reason.name().into(),
            verdict: verdict_name(reason.verdict()).into(),
            packets: row[reason.column()],
            help: reason.help().into(),
        };
        Self {
            scope,
            name: name.into(),
            bytes_to_backend: row[BYTES_TO_BACKEND],
            bytes_to_client: row[BYTES_TO_CLIENT],
            reasons: Reason::ALL.iter().map(count).collect(),
        }
    }
}

/// Name of a verdict in answers and metrics.
pub fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Forward => "forward",
        Verdict::Answer => "answer",
        Verdict::Pass => "pass",
        Verdict::Hold => "hold",
        Verdict::Drop => "drop",
    }
}

/// Ports of a NAT address towards one backend.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NatUse {
    /// Service.
    pub service: String,
    /// NAT address.
    pub address: Ipv4Addr,
    /// Protocol.
    pub protocol: Protocol,
    /// Backend address.
    pub backend_address: Ipv4Addr,
    /// Backend port; 0 for ICMP.
    pub backend_port: u16,
    /// Ports that sessions hold.
    pub in_use: u32,
    /// Ports that rest before they are used again.
    pub resting: u32,
    /// Ports that there are.
    pub capacity: u32,
}
