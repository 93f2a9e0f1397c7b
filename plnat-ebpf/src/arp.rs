//! ARP for endpoint, NAT and DNS addresses (RFC 826, RFC 5227). The host owns none of them, so two links may have the same.

use network_types::eth::EthHdr;
use plnat_common::net::{Ip4, Mac, MacPair};
use plnat_common::reason::Reason;
use plnat_common::record::Interface;

use crate::address::{self, Target};
use crate::context::Context;
use crate::packet::at;
use crate::{Trip, endpoint, rewrite};

/// Ethernet and IPv4 with their address lengths: the first six bytes of every ARP message that we know.
const KIND: [u16; 3] = [1_u16.to_be(), 0x0800_u16.to_be(), 0x0604_u16.to_be()];
const REQUEST: u16 = 1_u16.to_be();
const REPLY: u16 = 2_u16.to_be();

/// An ARP message as halfwords, so that no field is unaligned.
#[repr(C)]
#[derive(Clone, Copy)]
struct Message {
    kind: [u16; 3],
    operation: u16,
    sender_mac: [u16; 3],
    sender: [u16; 2],
    target_mac: [u16; 3],
    target: [u16; 2],
}

/// Answers a request for one of our addresses; a message that claims one of them is dropped, all else passes.
#[inline(always)]
pub(crate) fn answer(ctx: &impl Context, interface: &Interface, trip: &mut Trip) -> Result<Reason, Reason> {
    let ethernet: *mut u8 = at::<[u8; EthHdr::LEN]>(ctx, 0).ok_or(Reason::Truncated)?.cast();
    let message: *mut Message = at(ctx, EthHdr::LEN).ok_or(Reason::Truncated)?;
    // SAFETY: `at` checked the message's 28 bytes.
    let old = unsafe { *message };
    if old.kind != KIND {
        return Err(Reason::NotOurs);
    }
    let (sender, target) = (whole(old.sender), whole(old.target));
    if trip_of(interface, sender, trip)? {
        return Err(Reason::Spoofed);
    }
    if old.operation != REQUEST || sender == target || !trip_of(interface, target, trip)? {
        return Err(Reason::NotOurs);
    }
    let mac = interface.mac.octets();
    let ours = [
        u16::from_ne_bytes([mac[0], mac[1]]),
        u16::from_ne_bytes([mac[2], mac[3]]),
        u16::from_ne_bytes([mac[4], mac[5]]),
    ];
    // SAFETY: as above.
    unsafe {
        (*message).operation = REPLY;
        (*message).sender_mac = ours;
        (*message).sender = old.target;
        (*message).target_mac = old.sender_mac;
        (*message).target = old.sender;
    }
    rewrite::ethernet(ethernet, MacPair::new(mac_of(old.sender_mac), interface.mac));
    Ok(Reason::ArpReply)
}

/// Whether the address is ours on this link, and whose traffic it is.
#[inline(always)]
fn trip_of(interface: &Interface, address: Ip4, trip: &mut Trip) -> Result<bool, Reason> {
    match address::classify(interface, address) {
        Target::Endpoint(slot) => trip.service = endpoint::record(slot)?.service,
        Target::Nat(service) => trip.service = service,
        Target::Dns(_) => {}
        Target::NatElsewhere | Target::Foreign => return Ok(false),
    }
    Ok(true)
}

#[inline(always)]
fn whole(halves: [u16; 2]) -> Ip4 {
    Ip4(halves[0] as u32 | (halves[1] as u32) << 16)
}

#[inline(always)]
fn mac_of(halves: [u16; 3]) -> Mac {
    Mac { head: halves[0] as u32 | (halves[1] as u32) << 16, tail: halves[2], zero: 0 }
}
