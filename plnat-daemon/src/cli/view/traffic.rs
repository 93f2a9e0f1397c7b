//! Sessions, ports and counters.

use std::io;
use std::net::Ipv4Addr;

use super::percent;
use crate::cli::args::Output;
use crate::cli::output::{Grid, facts, line};
use crate::control::types::{CounterScope, CounterSet, NatUse, Session};

/// The table of sessions, empty.
pub(in crate::cli) fn session_grid(output: Output) -> Grid {
    let mut headers =
        vec!["PROTO", "SERVICE", "LINK", "CLIENT", "ENDPOINT", "NAT", "BACKEND", "STATE", "IDLE"];
    if output == Output::Wide {
        headers.extend(["ENDPOINT NAME", "NETWORK"]);
    }
    Grid::new(output, &headers)
}

/// Adds a session to the table.
pub(in crate::cli) fn session_row(grid: &mut Grid, output: Output, it: &Session) {
    let narrow = [
        it.protocol.to_string(),
        it.service.clone(),
        it.link.clone(),
        place(it.client_address, it.client_port),
        place(it.endpoint_address, it.endpoint_port),
        place(it.nat_address, it.nat_port),
        place(it.backend_address, it.backend_port),
        it.state.clone(),
        format!("{}s", it.idle_seconds),
    ];
    if output == Output::Wide {
        let [a, b, c, d, e, f, g, h, i] = narrow;
        grid.row([a, b, c, d, e, f, g, h, i, it.endpoint.clone(), it.network.clone()]);
    } else {
        grid.row(narrow);
    }
}

fn place(address: Ipv4Addr, port: u16) -> String {
    format!("{address}:{port}")
}

pub(in crate::cli) fn whois(sessions: Vec<Session>, _output: Output) -> io::Result<()> {
    for (at, it) in sessions.into_iter().enumerate() {
        if at > 0 {
            line("")?;
        }
        facts(&[
            ("client", place(it.client_address, it.client_port)),
            ("network", it.network),
            ("link", it.link),
            ("endpoint", format!("{} ({})", it.endpoint, place(it.endpoint_address, it.endpoint_port))),
            ("service", it.service),
            ("seen as", place(it.nat_address, it.nat_port)),
            ("by backend", place(it.backend_address, it.backend_port)),
            ("session", format!("{} {}, idle for {} s", it.protocol, it.state, it.idle_seconds)),
        ])?;
    }
    Ok(())
}

pub(in crate::cli) fn nat(uses: Vec<NatUse>, output: Output) -> io::Result<()> {
    let headers = ["SERVICE", "NAT ADDRESS", "PROTO", "BACKEND", "IN USE", "RESTING", "PORTS", "FULL"];
    let mut grid = Grid::new(output, &headers);
    for it in uses {
        let full = percent(it.in_use.into(), it.capacity.into());
        let backend = place(it.backend_address, it.backend_port);
        let (address, protocol) = (it.address.to_string(), it.protocol.to_string());
        let [in_use, resting, ports] = [it.in_use, it.resting, it.capacity].map(|n| n.to_string());
        grid.row([it.service, address, protocol, backend, in_use, resting, ports, full]);
    }
    grid.print("no NAT addresses in use")
}

pub(in crate::cli) fn counters(sets: Vec<CounterSet>, output: Output) -> io::Result<()> {
    for (at, set) in sets.into_iter().enumerate() {
        if at > 0 {
            line("")?;
        }
        line(&match set.scope {
            CounterScope::Total => "all links".into(),
            CounterScope::Link => format!("link {}", set.name),
            CounterScope::Service => format!("service {}", set.name),
        })?;
        let mut headers = vec!["REASON", "VERDICT", "PACKETS", "BYTES"];
        if output == Output::Wide {
            headers.push("MEANING");
        }
        let mut grid = Grid::new(output, &headers);
        for it in set.reasons.into_iter().filter(|it| it.packets > 0) {
            let bytes = match it.reason.as_str() {
                "to_backend" => set.bytes_to_backend.to_string(),
                "to_client" => set.bytes_to_client.to_string(),
                _ => String::new(),
            };
            let packets = it.packets.to_string();
            if output == Output::Wide {
                grid.row([it.reason, it.verdict, packets, bytes, it.help]);
            } else {
                grid.row([it.reason, it.verdict, packets, bytes]);
            }
        }
        grid.print("no packets")?;
    }
    Ok(())
}
