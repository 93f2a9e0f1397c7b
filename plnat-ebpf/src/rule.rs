//! `RULE_INDEX`, `RULES` and `MAGLEV`: which backend takes a new session. Written by the daemon alone. A table is written
//! in full before a rule names it, the rule names it by one store of one word, and its entries rest before they are
//! written again, so a program sees the old table or the new one.

use aya_ebpf::btf_maps::{Array, HashMap};
use aya_ebpf::macros::btf_map;
use plnat_common::hash;
use plnat_common::net::Port;
use plnat_common::reason::Reason;
use plnat_common::record::{ANY_PORT, ANY_PROTOCOL, LineKey, Rule, RuleKey};

use crate::secret;

const MMAPABLE: usize = aya_ebpf::bindings::BPF_F_MMAPABLE as usize;

#[btf_map]
static RULE_INDEX: HashMap<RuleKey, u32, 8192> = HashMap::new();
#[btf_map]
static RULES: Array<Rule, 4096, MMAPABLE> = Array::new();
#[btf_map]
static MAGLEV: Array<u32, 1048576> = Array::new();

#[inline(always)]
fn slot(service: u32, port: Port, protocol: u8) -> Option<u32> {
    // SAFETY: entries of a preallocated map are never unmapped, and a slot is one aligned word.
    unsafe { RULE_INDEX.get(RuleKey { service, port, protocol, zero: 0 }) }.copied()
}

/// The rule for a protocol and port of a service: the exact one, else HA ports.
#[inline(always)]
pub(crate) fn find(service: u32, port: Port, protocol: u8) -> Result<&'static Rule, Reason> {
    slot(service, port, protocol)
        .or_else(|| slot(service, ANY_PORT, ANY_PROTOCOL))
        .and_then(|slot| RULES.get(slot))
        .ok_or(Reason::NoRule)
}

/// The slot of the backend that takes the session of `key`.
#[inline(always)]
pub(crate) fn pick(rule: &Rule, key: &LineKey) -> Result<u32, Reason> {
    // SAFETY: an aligned word of a map's value; volatile, so that both halves come from one load.
    let table = unsafe { core::ptr::read_volatile(&rule.maglev) };
    let (first, length) = ((table >> 32) as u32, table as u32);
    let spread = hash::spread(key, rule.distribution, secret::seed());
    let entry = first.wrapping_add(((spread as u64 * length as u64) >> 32) as u32);
    match MAGLEV.get(entry) {
        Some(&backend) if length != 0 && backend != 0 => Ok(backend),
        _ => Err(Reason::NoBackend),
    }
}
