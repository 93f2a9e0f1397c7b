//! VLAN tags (IEEE 802.1Q, 802.1ad): taken off before a frame is looked into, and put on when it leaves, with the priority that
//! it came with. In between every frame is a plain one.
//!
//! `TAGS` says where the record of a tagged link lies in `INTERFACES`. Written by the daemon alone, entry by entry.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::btf_maps::HashMap;
use aya_ebpf::helpers::bpf_xdp_adjust_head;
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::XdpContext;
use network_types::eth::EthHdr;
use plnat_common::net::Tags;
use plnat_common::record::TagKey;

use crate::context::Context;
use crate::packet::at;

#[btf_map]
static TAGS: HashMap<TagKey, u32, 1024> = HashMap::new();

/// Bytes of a tag.
const LENGTH: usize = 4;

/// By how much the priority of the inner tag lies above that of the outer one.
const INNER: u32 = 8;

/// Bytes of tags that were taken off: they lie below the priority, since a word of its own would take of the stack.
#[inline(always)]
pub(crate) fn taken(priority: u32) -> u64 {
    (priority & 0xff) as u64
}

/// True for a frame with a tag.
#[inline(always)]
pub(crate) fn is_tagged(ctx: &impl Context) -> bool {
    match at::<[u8; EthHdr::LEN]>(ctx, 0) {
        // SAFETY: `at` checked the 14 bytes.
        Some(frame) => is_tag(unsafe { frame.cast::<u8>().add(12).cast::<u16>().read_unaligned() }),
        None => false,
    }
}

#[inline(always)]
pub(crate) fn is_tag(kind: u16) -> bool {
    kind == Tags::CUSTOMER.to_be() || kind == Tags::PROVIDER.to_be()
}

/// Takes the tags off that a link names; a tag that has a priority alone (802.1Q clause 6.9.1) says no more than none. The answer
/// has the place of that link's record in its lower half, which is 0 when no link names them and the frame is as it was, and the
/// priority, with the length of the tags, in its upper half.
#[inline(always)]
pub(crate) fn take_off(ctx: &XdpContext) -> u64 {
    plnat_untag(ctx.ctx)
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_untag(md: *mut xdp_md) -> u64 {
    let ctx = XdpContext::new(md);
    let Some(frame) = at::<[u8; EthHdr::LEN + LENGTH]>(&ctx, 0) else { return 0 };
    let words = frame.cast::<u32>();
    // SAFETY: `at` checked 18 bytes; XDP allows unaligned access.
    let (macs, outer, kind) = unsafe {
        let macs = [words.read_unaligned(), words.add(1).read_unaligned(), words.add(2).read_unaligned()];
        (macs, words.add(3).read_unaligned(), words.add(4).cast::<u16>().read_unaligned())
    };
    let mut inner = 0;
    if is_tag(kind) {
        let Some(word) = at::<u32>(&ctx, EthHdr::LEN + 2) else { return 0 };
        // SAFETY: `at` checked the word.
        inner = unsafe { word.read_unaligned() };
    }
    let tags = Tags([outer & !Tags::PRIORITY, inner & !Tags::PRIORITY]);
    let Some(place) = place(ctx.ingress(), tags) else { return 0 };
    let bytes = if inner == 0 { LENGTH } else { 2 * LENGTH };
    // SAFETY: the context of this run; packet pointers are made anew below.
    if unsafe { bpf_xdp_adjust_head(md, bytes as i32) } != 0 {
        return 0;
    }
    let Some(frame) = at::<[u8; EthHdr::LEN]>(&ctx, 0) else { return 0 };
    let words = frame.cast::<u32>();
    // SAFETY: `at` checked 14 bytes.
    unsafe {
        words.write_unaligned(macs[0]);
        words.add(1).write_unaligned(macs[1]);
        words.add(2).write_unaligned(macs[2]);
    }
    found(place, outer, inner)
}

/// Where the record of the link is that names these tags, which have no priority.
#[inline(always)]
pub(crate) fn place(interface: u32, tags: Tags) -> Option<u32> {
    if tags.0 == [Tags::tag(Tags::CUSTOMER, 0), 0] {
        return Some(interface);
    }
    // SAFETY: entries of a preallocated map are never unmapped, and a place is one aligned word.
    unsafe { TAGS.get(TagKey { interface, tags }) }.copied()
}

/// The answer of [`take_off`].
#[inline(always)]
pub(crate) fn found(place: u32, outer: u32, inner: u32) -> u64 {
    let second = if inner == 0 { outer } else { inner };
    let priority = outer & Tags::PRIORITY | (second & Tags::PRIORITY) << INNER;
    let bytes = if inner == 0 { LENGTH } else { 2 * LENGTH };
    place as u64 | ((priority | bytes as u32) as u64) << 32
}

/// The tags that a frame is to have, with their priority.
#[inline(always)]
pub(crate) fn with_priority(outer: u32, inner: u32, priority: u32) -> [u32; 2] {
    [outer | priority & Tags::PRIORITY, inner | priority >> INNER & Tags::PRIORITY]
}

/// Puts tags on, if there are any; false when the frame cannot have them, and must not leave.
#[inline(always)]
pub(crate) fn put_on(ctx: &XdpContext, tags: Tags, priority: u32) -> bool {
    let Tags([outer, inner]) = tags;
    outer == 0 || plnat_tag(ctx.ctx, outer as u64, inner as u64, priority as u64) != 0
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_tag(md: *mut xdp_md, outer: u64, inner: u64, priority: u64) -> u64 {
    let ctx = XdpContext::new(md);
    let Some(frame) = at::<[u8; EthHdr::LEN]>(&ctx, 0) else { return 0 };
    let words = frame.cast::<u32>();
    // SAFETY: `at` checked 14 bytes; XDP allows unaligned access.
    let macs =
        unsafe { [words.read_unaligned(), words.add(1).read_unaligned(), words.add(2).read_unaligned()] };
    let bytes = if inner == 0 { LENGTH } else { 2 * LENGTH };
    // SAFETY: the context of this run; packet pointers are made anew below.
    if unsafe { bpf_xdp_adjust_head(md, -(bytes as i32)) } != 0 {
        return 0;
    }
    let Some(frame) = at::<[u8; EthHdr::LEN + LENGTH]>(&ctx, 0) else { return 0 };
    let words = frame.cast::<u32>();
    let [outer, tagged] = with_priority(outer as u32, inner as u32, priority as u32);
    // SAFETY: `at` checked 18 bytes, and the inner tag apart from them.
    unsafe {
        words.write_unaligned(macs[0]);
        words.add(1).write_unaligned(macs[1]);
        words.add(2).write_unaligned(macs[2]);
        words.add(3).write_unaligned(outer);
        if inner != 0 {
            let Some(word) = at::<u32>(&ctx, EthHdr::LEN + 2) else { return 0 };
            word.write_unaligned(tagged);
        }
    }
    1
}
