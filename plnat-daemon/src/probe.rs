//! Health probes: asks each backend again and again, and tells when its answer changes.
//!
//! Semantics are those of Azure's load balancer: a TCP probe is healthy when the connection opens, an HTTP or HTTPS
//! probe when the answer is 200 before the timeout, and certificates are not verified
//! (<https://learn.microsoft.com/azure/load-balancer/load-balancer-custom-probes>). As many probes in a row as the
//! threshold says change the state, up as well as down.
//!
//! All probes share one task: whoever runs [`Prober::run`] pays for no other, and dropping it ends them all.

mod attempt;
mod failure;
mod health;
mod prober;
mod tls;

pub use failure::Failure;
pub use prober::{Prober, Targets};

use std::net::Ipv4Addr;
use std::time::Duration;

/// What a probe says to the backend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ProbeProtocol {
    /// Opens a connection.
    Tcp,
    /// GET over HTTP/1.1.
    Http,
    /// GET over HTTP/1.1 and TLS; whose certificate it is does not matter.
    Https,
}

/// A backend to probe.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ProbeTarget {
    /// Names the target in [`ProbeResult`]; the same id with other settings keeps its health.
    pub id: String,
    /// Interface that probes leave by whatever the host's routes say (`SO_BINDTODEVICE`), so that two providers may
    /// have backends with the same address.
    pub interface: Option<String>,
    /// Address of the backend.
    pub address: Ipv4Addr,
    /// Port to ask.
    pub port: u16,
    /// What to ask.
    pub protocol: ProbeProtocol,
    /// Path with [`ProbeProtocol::Http`] and [`ProbeProtocol::Https`], from the slash on.
    pub path: String,
    /// From one probe to the next, at most.
    pub interval: Duration,
    /// Probes in a row with the same outcome that change the state; 0 counts as 1.
    pub threshold: u32,
    /// Longest time for one probe; the interval if that is shorter.
    pub timeout: Duration,
}

/// A backend's health changed, or is known for the first time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeResult {
    /// [`ProbeTarget::id`].
    pub id: String,
    /// Whether it takes sessions.
    pub healthy: bool,
    /// The last probe's outcome in words.
    pub reason: String,
}

#[cfg(test)]
mod tests;
