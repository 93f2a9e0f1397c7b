//! Answers as tables.

mod events;
mod names;
mod remote;
mod resources;
mod status;
mod traffic;
mod webhooks;

pub(super) use events::{EventStream, events};
pub(super) use names::names;
pub(super) use remote::{
    RemoteConnection, connection_state, frontends_of_service, network_of_balancer, remote_connection,
    remote_connections, resource, resources,
};
pub(super) use resources::{connection, connections, decided, endpoint, endpoints, service, services};
pub(super) use status::{reload, status};
pub(super) use traffic::{counters, nat, session_grid, session_row, whois};
pub(super) use webhooks::{dead_letters, webhooks};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A list in a cell.
fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// A time in the machine's time zone, to the second.
fn time(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// 0 means any.
fn port(port: u16) -> String {
    if port == 0 { "any".into() } else { port.to_string() }
}

/// A share in per cent, rounded down: 100 is full.
fn percent(part: u64, whole: u64) -> String {
    format!("{}%", (part as u128 * 100).checked_div(whole as u128).unwrap_or(0))
}
