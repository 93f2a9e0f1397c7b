//! `[gateway]` and `[capacity]`: settings of the daemon.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::de::DeValue;

use super::section::Section;
use super::value::{Complaint, location, number, path, text, word};
use crate::dataplane::Capacity;
use crate::model::Location;

/// Settings of the daemon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gateway {
    /// Region of resources that name none.
    pub location: Location,
    /// Directory of the store.
    pub state_dir: PathBuf,
    /// Directory of the control socket.
    pub run_dir: PathBuf,
    /// Where metrics are served; none when they are off.
    pub metrics: Option<SocketAddr>,
    /// Which packets the program in the kernel writes a line about.
    pub packet_trace: PacketTrace,
    /// Idle seconds after which a session whose handshake is not complete ends.
    pub half_open_timeout: u32,
    /// Idle seconds after which a half-closed or closed session ends (RFC 5382 REQ-5).
    pub transitory_timeout: u32,
}

/// Which packets the program in the kernel writes a line about. Fixed when the program is loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PacketTrace {
    /// None: the code for it is not in the kernel.
    Off,
    /// Those that are dropped.
    Drops,
    /// All.
    All,
}

const WORDS: [(&str, PacketTrace); 3] =
    [("off", PacketTrace::Off), ("drops", PacketTrace::Drops), ("all", PacketTrace::All)];

/// The transitory connection idle-timeout of RFC 5382 REQ-5 in seconds.
const TRANSITORY: u32 = 240;

impl Default for Gateway {
    fn default() -> Self {
        Self {
            location: Location::default(),
            state_dir: "/var/lib/plnat".into(),
            run_dir: "/run/plnat".into(),
            metrics: Some(([127, 0, 0, 1], 9464).into()),
            packet_trace: PacketTrace::Off,
            half_open_timeout: TRANSITORY,
            transitory_timeout: TRANSITORY,
        }
    }
}

pub(super) fn read(root: &Section<'_>) -> (Gateway, Capacity) {
    (root.table("gateway").map_or_else(Gateway::default, read_gateway), read_capacity(root))
}

fn read_gateway(section: Section<'_>) -> Gateway {
    let default = Gateway::default();
    let seconds = || number(1..=86_400);
    let gateway = Gateway {
        location: section.optional("location", location).unwrap_or(default.location),
        state_dir: section.optional("state_dir", path).unwrap_or(default.state_dir),
        run_dir: section.optional("run_dir", path).unwrap_or(default.run_dir),
        metrics: section.optional("metrics", listener).unwrap_or(default.metrics),
        packet_trace: section.optional("packet_trace", word(&WORDS)).unwrap_or(default.packet_trace),
        half_open_timeout: section
            .optional("half_open_timeout_in_seconds", seconds())
            .unwrap_or(default.half_open_timeout),
        transitory_timeout: section
            .optional("transitory_timeout_in_seconds", seconds())
            .unwrap_or(default.transitory_timeout),
    };
    section.finish();
    gateway
}

fn read_capacity(root: &Section<'_>) -> Capacity {
    let default = Capacity::default();
    let Some(section) = root.table("capacity") else { return default };
    let size = |key, highest, default| section.optional(key, number(1..=highest)).unwrap_or(default);
    let capacity = Capacity {
        sessions: size("sessions", 1 << 26, default.sessions),
        endpoints: size("endpoints", 1 << 24, default.endpoints),
        services: size("services", 1 << 20, default.services),
        rules: size("rules", 1 << 20, default.rules),
        backends: size("backends", 1 << 22, default.backends),
        port_blocks: size("port_blocks", 1 << 20, default.port_blocks),
        maglev_entries: size("maglev_entries", 1 << 28, default.maglev_entries),
        links: size("links", 1 << 16, default.links),
        interfaces: size("interfaces", 1 << 24, default.interfaces),
    };
    section.finish();
    capacity
}

fn listener(value: &DeValue<'_>) -> Result<Option<SocketAddr>, Complaint> {
    match text(value)?.as_str() {
        "off" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            let help = "write \"127.0.0.1:9464\", or \"off\"".to_owned();
            (format!("`{text}` is no address with a port"), help)
        }),
    }
}
