//! Whether a target does its work: every packet of every session, at its backend and back at its client, byte by byte.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail, ensure};
use plnat_common::bench::{FRAME, IP_CHECKSUM, Seen, TCP_CHECKSUM, UDP_CHECKSUM};
use plnat_tests::frame::verify;

use crate::topology::{BACKEND_PORT, BACKENDS, Lane, PORT};
use crate::traffic::{Ends, Traffic};

/// What a target does with packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Work {
    /// Nothing: they are answered where the gateway would be.
    None,
    /// Ethernet addresses.
    Ethernet,
    /// Ethernet addresses and time to live.
    Forward,
    /// Everything, with these NAT addresses.
    Translate(Vec<Ipv4Addr>),
    /// Connections end at the gateway, which makes others of its own.
    Proxy,
}

/// Backend, NAT address and NAT port of a session.
pub(crate) type Mapping = (u32, Ipv4Addr, u16);

/// Holds what arrived against what was sent, one packet of each session `first..first + mappings' length`.
///
/// # Errors
/// Names the first session whose packet was lost, came more than once, came to the wrong place or is not what it must be.
pub(crate) fn round(
    lane: &Lane,
    work: &Work,
    traffic: Traffic,
    at_backend: &[Seen],
    at_client: &[Seen],
) -> Result<Vec<Mapping>> {
    let mut mappings = Vec::with_capacity(at_backend.len());
    let mut owners = HashMap::new();
    for (session, (there, back)) in at_backend.iter().zip(at_client).enumerate() {
        let session = session as u32;
        let mapping = one(lane, work, traffic, session, there, back)
            .with_context(|| format!("session {session}: {:?}", Ends::sent(session, lane.endpoint())))?;
        if matches!(work, Work::Translate(_))
            && let Some(other) = owners.insert(mapping, session)
        {
            bail!("sessions {other} and {session} share {mapping:?}");
        }
        mappings.push(mapping);
    }
    Ok(mappings)
}

fn one(
    lane: &Lane,
    work: &Work,
    traffic: Traffic,
    session: u32,
    there: &Seen,
    back: &Seen,
) -> Result<Mapping> {
    ensure!(there.count > 0, "lost on its way to a backend");
    ensure!(back.count > 0, "lost on its way back");
    ensure!((there.count, back.count) == (1, 1), "came {} and {} times", there.count, back.count);
    let sent = Ends::sent(session, lane.endpoint());
    let (number, near, far) = match work {
        Work::None => (0, lane.client_end(), lane.gateway_end()),
        _ => {
            let number = (0..BACKENDS).find(|&at| lane.backend_end(at).index == there.interface);
            let number = number.context("came to an interface that is no backend's")?;
            (number, lane.provider_end(number), lane.backend_end(number))
        }
    };
    let bytes: [u8; FRAME] = bytemuck::cast(there.frame);
    let nat =
        (Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[26..30])?), u16::from_be_bytes([bytes[34], bytes[35]]));
    let ends = match work {
        Work::Translate(addresses) => {
            ensure!(addresses.contains(&nat.0), "came from {}, which is no NAT address", nat.0);
            Ends { source: nat, destination: (lane.backend(number), BACKEND_PORT) }
        }
        _ => sent,
    };
    let aged = matches!(work, Work::Forward | Work::Translate(_)) as u8;
    let mut wanted = traffic.frame(near.to(&far), session, ends, false);
    wanted.ttl -= aged;
    same(&bytes, wanted.bytes(), traffic).context("at the backend")?;
    let (near, far) = match work {
        Work::None => (far, near),
        _ => (lane.gateway_end(), lane.client_end()),
    };
    ensure!(sent.destination.1 == PORT && back.interface == lane.client_end().index, "another client got it");
    let mut wanted = traffic.frame(near.to(&far), session, sent.reversed(), true);
    wanted.ttl -= 2 * aged;
    same(&bytemuck::cast(back.frame), wanted.bytes(), traffic).context("back at the client")?;
    Ok((number, nat.0, nat.1))
}

/// Compares all but the checksums, which need not be written alike to be right, and verifies these in full.
fn same(frame: &[u8; FRAME], mut wanted: Vec<u8>, traffic: Traffic) -> Result<()> {
    let upper = if traffic.is_tcp() { TCP_CHECKSUM } else { UDP_CHECKSUM };
    for at in [IP_CHECKSUM, upper] {
        wanted[at..at + 2].copy_from_slice(&frame[at..at + 2]);
    }
    ensure!(frame[..] == wanted, "\n{frame:02x?}, expected\n{wanted:02x?}");
    ensure!(frame[upper..upper + 2] != [0, 0] || traffic.is_tcp(), "the checksum was taken away");
    verify(frame).map_err(|which| anyhow::anyhow!("{which} is wrong in {frame:02x?}"))
}
