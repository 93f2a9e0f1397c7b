//! Sessions.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Protocol of a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP echo; ports are the identifier.
    Icmp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        })
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "icmp" => Ok(Self::Icmp),
            _ => Err(format!("{text:?} is no protocol: write tcp, udp or icmp")),
        }
    }
}

/// A session with its translation: client → endpoint becomes NAT address → backend.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Session {
    /// Protocol.
    pub protocol: Protocol,
    /// Link on which the client is.
    pub link: String,
    /// The consumer's network.
    pub network: String,
    /// Endpoint.
    pub endpoint: String,
    /// Service.
    pub service: String,
    /// Client address.
    pub client_address: Ipv4Addr,
    /// Client port.
    pub client_port: u16,
    /// Endpoint address.
    pub endpoint_address: Ipv4Addr,
    /// Port at the endpoint.
    pub endpoint_port: u16,
    /// NAT address.
    pub nat_address: Ipv4Addr,
    /// NAT port.
    pub nat_port: u16,
    /// Backend address.
    pub backend_address: Ipv4Addr,
    /// Backend port.
    pub backend_port: u16,
    /// `syn_sent`, `established` and so on; `established` for UDP and ICMP.
    pub state: String,
    /// Seconds since the last packet.
    pub idle_seconds: u32,
}

/// Which sessions are meant: all that match every field that is there.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionFilter {
    /// Name of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Name of the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Client address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Ipv4Addr>,
}

impl SessionFilter {
    /// True for a session that the filter lets through.
    pub fn matches(&self, session: &Session) -> bool {
        self.service.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(&session.service))
            && self.endpoint.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(&session.endpoint))
            && self.client.is_none_or(|client| client == session.client_address)
    }
}

/// Some sessions.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SessionPage {
    /// The sessions; a page may be empty and still not the last.
    pub sessions: Vec<Session>,
    /// Where the next page starts; `None` after the last.
    pub next: Option<u64>,
}
