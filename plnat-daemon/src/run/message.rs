//! What can reach the gateway's thread.

use crate::api;
use crate::control::Call;
use crate::metrics::Scrape;
use crate::netlink;
use crate::probe::ProbeResult;

/// One thing for the gateway to do.
#[derive(Debug)]
pub enum Message {
    /// A client of the control socket asks.
    Call(Call),
    /// A client of the resource API asks.
    Api(api::Call),
    /// Prometheus asks.
    Scrape(Scrape),
    /// The configuration file is to be read again.
    Reload,
    /// The configuration file was written, perhaps with what it said before.
    Written,
    /// The machine's network looks like this now.
    Network(Vec<netlink::Interface>, Vec<netlink::NextHop>),
    /// A backend's health changed.
    Probe(ProbeResult),
    /// The programs wrote events.
    Events,
    /// The daemon ends; the data plane goes on.
    Stop,
}
