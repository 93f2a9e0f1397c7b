//! `[api]`: where the resource API is served.

use std::net::SocketAddr;

use toml::de::DeValue;

use super::section::Section;
use super::value::{Complaint, text};

/// Settings of the resource API.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Api {
    /// Where it is served, on loopback and without TLS: whoever can reach it may do everything. None when it is off.
    pub listen: Option<SocketAddr>,
}

pub(super) fn read(root: &Section<'_>) -> Api {
    let Some(section) = root.table("api") else { return Api::default() };
    let listen = section.optional("listen", listener).unwrap_or_default();
    section.finish();
    Api { listen }
}

fn listener(value: &DeValue<'_>) -> Result<Option<SocketAddr>, Complaint> {
    let help = || "write \"127.0.0.1:8080\", or \"off\"".to_owned();
    match text(value)?.as_str() {
        "off" => Ok(None),
        text => match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Some(address)),
            Ok(_) => Err((format!("`{text}` is not on loopback, and the API is served without TLS"), help())),
            Err(_) => Err((format!("`{text}` is no address with a port"), help())),
        },
    }
}
