//! Every byte of what leaves: answers are built anew and compared, translations may differ from what came in the fields that
//! they are about, and checksums keep their errors.

use anyhow::{Context as _, Result, ensure};
use plnat_common::net::{ICMP, TCP, UDP};
use plnat_common::reason::Reason::{self, *};
use plnat_tests::frame::{Frame, MacBytes, Upper, arp, flag};
use plnat_tests::gate::Side;

use super::oracle::{Session, side_of};
use super::place::{BACKENDS, backend_mac};
use super::sums::{Carried, Packet, address, half, sum};

fn mac(frame: &[u8], at: usize) -> MacBytes {
    [frame[at], frame[at + 1], frame[at + 2], frame[at + 3], frame[at + 4], frame[at + 5]]
}

/// A reply from the link's own Ethernet address, for the address that was asked for, to who asked.
pub(crate) fn arp_reply(side: Side, frame: &[u8], out: &[u8]) -> Result<()> {
    let (asker, asked) = ((mac(frame, 22), address(frame, 28)), address(frame, 38));
    let mut wanted = arp(2, side.mac(), asker.0, (side.mac(), asked), asker);
    wanted.extend(&frame[42..]);
    ensure!(out == wanted, "ARP reply, expected {}", super::hex(&wanted));
    Ok(())
}

/// The request with its ends exchanged, and the reply's type.
pub(crate) fn echo_reply(side: Side, frame: &[u8], out: &[u8]) -> Result<()> {
    let packet = Packet::read(frame).ok().context("echo reply to what is no packet")?;
    let mut wanted = frame.to_vec();
    wanted[..6].copy_from_slice(&frame[6..12]);
    wanted[6..12].copy_from_slice(&side.mac());
    wanted[22] = 64;
    wanted[26..30].copy_from_slice(&frame[30..34]);
    wanted[30..34].copy_from_slice(&frame[26..30]);
    wanted[packet.upper] = 0;
    compare(frame, &packet, wanted, out)
}

/// The ICMP error that says why the frame was dropped (docs/operations.md).
pub(crate) fn refusal(side: Side, frame: &[u8], reason: Reason, mtu: u16, out: &[u8]) -> Result<()> {
    let kind = match reason {
        TtlExpired => (11, 0),
        Pending | Rejected | Disconnected | SessionQuota => (3, 13),
        NoRule | DnsRefused => (3, 3),
        TooBig => (3, 4),
        NoBackend | NoPort | PortShare | TableFull | SessionShare => (3, 1),
        _ => anyhow::bail!("an error was sent for {}", reason.name()),
    };
    let packet = Packet::read(frame).ok().context("an error about what is no packet")?;
    ensure!(packet.protocol != ICMP || frame[packet.upper] == 8, "an error about an error");
    ensure!((1..224).contains(&packet.source.octets()[0]), "an error to {}", packet.source);
    let mut rest = [0; 4];
    if reason == TooBig {
        rest[2..].copy_from_slice(&mtu.to_be_bytes());
    }
    let mut wanted =
        Frame::new(side.mac(), mac(frame, 6), packet.destination, packet.source, Upper::Icmp { kind, rest });
    (wanted.id, wanted.payload) = (0, frame[14..42].to_vec());
    ensure!(out == wanted.bytes(), "error, expected {}", super::hex(&wanted.bytes()));
    Ok(())
}

/// What a session makes of a packet in one direction.
pub(crate) fn translation(
    frame: &[u8],
    packet: &Packet,
    session: &Session,
    to_backend: bool,
    mtu: u16,
    out: &[u8],
) -> Result<()> {
    let (front, back) = (session.front, session.back);
    let (to, from, source, destination, ports) = if to_backend {
        let host = BACKENDS.iter().position(|host| *host == back.backend).context("no backend")?;
        let ports = (back.ports.1, back.ports.0);
        (backend_mac(host), Side::Provider.mac(), back.nat, back.backend, ports)
    } else {
        let ports = (front.ports.1, front.ports.0);
        (session.mac, side_of(front.link).mac(), front.endpoint, front.client, ports)
    };
    let mut wanted = frame.to_vec();
    wanted[..6].copy_from_slice(&to);
    wanted[6..12].copy_from_slice(&from);
    wanted[22] = packet.ttl - 1;
    if frame[20] & 0x40 == 0 && out.len() == frame.len() {
        // A fresh identification for what may be fragmented.
        wanted[18..20].copy_from_slice(&out[18..20]);
    }
    wanted[26..30].copy_from_slice(&source.octets());
    wanted[30..34].copy_from_slice(&destination.octets());
    if packet.protocol == ICMP {
        let carried = Carried::read(frame, packet).context("an error that carries nothing was sent on")?;
        return translated_error(frame, packet, &carried, wanted, ports, out);
    }
    wanted[packet.upper..packet.upper + 2].copy_from_slice(&ports.0.to_be_bytes());
    wanted[packet.upper + 2..packet.upper + 4].copy_from_slice(&ports.1.to_be_bytes());
    if packet.tcp_flags(frame) & flag::SYN != 0
        && packet.protocol == TCP
        && let Some(at) = packet.mss_at(frame)
        && half(frame, at) > mtu - 40
    {
        wanted[at..at + 2].copy_from_slice(&(mtu - 40).to_be_bytes());
    }
    compare(frame, packet, wanted, out)
}

fn translated_error(
    frame: &[u8],
    packet: &Packet,
    carried: &Carried,
    mut wanted: Vec<u8>,
    ports: (u16, u16),
    out: &[u8],
) -> Result<()> {
    // The carried packet went the other way.
    wanted.copy_within(30..34, carried.ip + 12);
    wanted.copy_within(26..30, carried.ip + 16);
    wanted[carried.upper..carried.upper + 2].copy_from_slice(&ports.1.to_be_bytes());
    wanted[carried.upper + 2..carried.upper + 4].copy_from_slice(&ports.0.to_be_bytes());
    let mut open = vec![carried.ip + 10];
    open.extend(carried.checksum);
    for at in open {
        wanted[at..at + 2].copy_from_slice(&out[at..at + 2]);
    }
    let kept = |what: &str, before: u32, after: u32| {
        ensure!(before == after, "{what} checksum was off by {before:#x}, is by {after:#x}");
        Ok(())
    };
    let (before, after) = (carried.errors(frame), carried.errors(out));
    kept("the carried IP header's", before.0, after.0)?;
    match (before.1, after.1) {
        (Some(before), Some(after)) => kept("the carried packet's", before, after)?,
        (before, after) => {
            ensure!(before.is_some() == after.is_some(), "the carried packet's checksum came or went");
        }
    }
    compare(frame, packet, wanted, out)
}

/// `wanted` with the checksums that `out` has, which must be off by as much as those of `frame`.
fn compare(frame: &[u8], packet: &Packet, mut wanted: Vec<u8>, out: &[u8]) -> Result<()> {
    ensure!(out.len() == wanted.len(), "{} bytes became {}", frame.len(), out.len());
    for at in [24, packet.checksum_at()] {
        wanted[at..at + 2].copy_from_slice(&out[at..at + 2]);
    }
    ensure!(out == wanted, "expected {}", super::hex(&wanted));
    let (before, after) = (packet.errors(frame), packet.errors(out));
    ensure!(before.0 == after.0, "IP header checksum was off by {:#x}, is by {:#x}", before.0, after.0);
    match (before.1, after.1) {
        (Some(before), Some(after)) => {
            ensure!(before == after, "checksum was off by {before:#x}, is by {after:#x}");
        }
        (None, None) => {}
        _ => anyhow::bail!("a UDP checksum came or went"),
    }
    // A checksum has two zeros; only that of UDP may not have the first (RFC 768).
    let at = packet.checksum_at();
    ensure!(packet.protocol != UDP || before.1.is_none() || half(out, at) != 0, "UDP checksum became none");
    debug_assert_eq!(sum(&[&[0xff, 0xff]]), 0);
    Ok(())
}
