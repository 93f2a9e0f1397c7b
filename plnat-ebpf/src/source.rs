//! `SOURCES`: whether a client may have its address (RFC 2827). Written by the daemon alone, entry by entry; asked once for each
//! session, whose key holds the source from then on, and for each answer of the gateway's own.

use aya_ebpf::btf_maps::LpmTrie;
use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::macros::btf_map;
use plnat_common::net::Ip4;
use plnat_common::reason::Reason;
use plnat_common::record::{Interface, SourceKey, in_prefix};

use crate::link;

#[btf_map]
static SOURCES: LpmTrie<SourceKey, u32, 16384> = LpmTrie::new();

/// Out, unless the link's clients may have this address.
#[inline(always)]
pub(crate) fn admit(interface: &Interface, address: Ip4) -> Result<(), Reason> {
    let key = SourceKey { scope: link::consumer_scope(interface), address };
    match SOURCES.get(&Key::new(in_prefix(32), key)) {
        Some(_) => Ok(()),
        None => Err(Reason::SourceOutside),
    }
}
