//! Tags of a link's frames (IEEE 802.1Q, 802.1ad): what comes without the right ones belongs to no link, and what leaves has
//! those of its way out, with the priority that it came with.

use anyhow::{Result, ensure};
use plnat_common::net::Tags;
use plnat_common::reason::Reason;

use plnat_tests::gate::MTU;
use plnat_tests::ring;

use super::chance::Chance;
use super::sums::half;

/// Protocol and number of a link's tags, outer first; none for a link of plain frames.
pub(crate) type Wire = &'static [(u16, u16)];

/// Priorities of outer and inner tag, as they lie in tags.
pub(crate) type Priority = [u16; 2];

/// What the links of a gateway are by side.
pub(crate) const PLAIN: [Wire; 3] = [&[], &[], &[]];
/// One of each kind.
pub(crate) const TAGGED: [Wire; 3] =
    [&[(Tags::CUSTOMER, 100)], &[(Tags::PROVIDER, 100), (Tags::CUSTOMER, 7)], &[(Tags::CUSTOMER, 100)]];

/// A frame below its tags.
pub(crate) enum Bare {
    /// Of the link, with its priority.
    Frame(Vec<u8>, Priority),
    /// Of no link: it leaves as it came, if it does, and is counted for the interface's own link or for none.
    Stray(Reason),
}

/// The tags as records have them.
pub(crate) fn record(wire: Wire) -> Tags {
    let tag = |at: usize| wire.get(at).map_or(0, |&(protocol, number)| Tags::tag(protocol, number));
    Tags([tag(0), tag(1)])
}

/// What such a link carries: a device has room for one tag beside its MTU.
pub(crate) fn mtu(wire: Wire) -> u16 {
    MTU - if wire.len() > 1 { 4 } else { 0 }
}

fn is_tag(kind: u16) -> bool {
    kind == Tags::CUSTOMER || kind == Tags::PROVIDER
}

/// Takes the tags off a frame that came over a link's interface, which has no other links.
pub(crate) fn bare(wire: Wire, frame: &[u8]) -> Bare {
    let untagged = |frame: Vec<u8>| match wire {
        [] => Bare::Frame(frame, [0; 2]),
        _ => Bare::Stray(Reason::Untagged),
    };
    let stray = || Bare::Stray(if wire.is_empty() { Reason::Tagged } else { Reason::UnknownTag });
    let mut found = Vec::new();
    let mut at = 12;
    while found.len() < 2 && at + 2 <= frame.len() && is_tag(half(frame, at)) {
        if at + 4 > frame.len() {
            return stray();
        }
        found.push((half(frame, at), half(frame, at + 2)));
        at += 4;
    }
    if found.is_empty() {
        return untagged(frame.to_vec());
    }
    let rest = [&frame[..12], &frame[at..]].concat();
    if rest.len() < 14 {
        return stray();
    }
    let identity: Vec<_> = found.iter().map(|(protocol, tag)| (*protocol, tag & 0xfff)).collect();
    if identity == [(Tags::CUSTOMER, 0)] {
        // A priority alone says no more than no tag (802.1Q clause 6.9.1).
        return untagged(rest);
    }
    if identity != wire {
        return stray();
    }
    let outer = found[0].1 & 0xf000;
    Bare::Frame(rest, [outer, found.get(1).map_or(outer, |inner| inner.1 & 0xf000)])
}

/// Puts a link's tags on a plain frame.
pub(crate) fn clothe(wire: Wire, priority: Priority, frame: &[u8]) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    for (&(protocol, number), priority) in wire.iter().zip(priority) {
        out.extend(protocol.to_be_bytes());
        out.extend((number | priority).to_be_bytes());
    }
    out.extend(&frame[12..]);
    out
}

/// A link's frame, and sometimes one with other tags.
pub(crate) fn dress(chance: &mut Chance, wire: Wire, frame: &[u8]) -> Vec<u8> {
    const OTHERS: [Wire; 6] = [
        &[],
        &[(Tags::CUSTOMER, 101)],
        &[(Tags::PROVIDER, 100)],
        &[(Tags::CUSTOMER, 0)],
        &[(Tags::CUSTOMER, 100), (Tags::CUSTOMER, 7)],
        &[(Tags::PROVIDER, 100), (Tags::CUSTOMER, 8)],
    ];
    let wire = if chance.one_in(25) { chance.pick(&OTHERS) } else { wire };
    let priority = [chance.next() as u16 & 0xf000, chance.next() as u16 & 0xf000];
    clothe(wire, priority, frame)
}

/// What left, below the tags that it must have.
pub(crate) fn left(wire: Wire, priority: Priority, out: &[u8]) -> Result<Vec<u8>> {
    // A socket buffer has the outer one beside it.
    let (wire, priority) =
        if ring::is("tcx") && !wire.is_empty() { (&wire[1..], [priority[1], 0]) } else { (wire, priority) };
    let end = 12 + 4 * wire.len();
    ensure!(out.len() >= end + 2, "left with {} bytes", out.len());
    let plain = [&out[..12], &out[end..]].concat();
    ensure!(clothe(wire, priority, &plain) == out, "left with other tags than {wire:?}");
    Ok(plain)
}
