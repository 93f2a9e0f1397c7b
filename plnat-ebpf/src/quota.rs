//! `ACCOUNTS` and `SHARED_SESSIONS`: what an endpoint may hold of what all share. Written by the programs alone.
//!
//! Each endpoint of a service is *guaranteed* a number of sessions, with a port and a place in the table for each. What
//! nobody is guaranteed is *shared*: one flood may use it up, and no more. A session says in its line on which of both it
//! stands, and gives that back when its port rests; so an endpoint that falls below its guarantee has it again at once.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use aya_ebpf::macros::btf_map;
use plnat_common::reason::Reason;
use plnat_common::record::{Account, GUARANTEED, LINES_PER_SESSION};

use crate::{atomic, endpoint, port, secret, service};

/// How much of its rate an endpoint may use at once.
const BURST: u64 = 1_000_000_000;
/// No limit.
const ANY: u32 = u32::MAX;

#[btf_map]
static ACCOUNTS: Array<Account, 16384, { aya_ebpf::bindings::BPF_F_MMAPABLE as usize }> = Array::new();
/// Sessions of all endpoints that stand on no guarantee.
#[btf_map]
static SHARED_SESSIONS: Array<u64, 1> = Array::new();

/// What a refusal for this reason is as an answer: no mark, and no port in its lowest 16 bits.
pub(crate) const fn refusal(reason: Reason) -> u64 {
    (reason as u64) << 16
}

/// The name of a refusal. Taken from the number, and not matched: the verifier would walk all that follows for each.
#[inline(always)]
pub(crate) fn reason(refusal: u64) -> Reason {
    Reason::of_number((refusal >> 16) as u8 as u32).unwrap_or(Reason::Internal)
}

/// Counts a new session of the endpoint. The answer is its mark, [`GUARANTEED`] or 0, or a refusal.
#[inline(always)]
pub(crate) fn enter(endpoint: u32, half_open: bool) -> u64 {
    plnat_quota_enter(endpoint as u64, half_open as u64)
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_quota_enter(slot: u64, half_open: u64) -> u64 {
    let (Ok(endpoint), Some(account)) = (endpoint::record(slot as u32), ACCOUNTS.get_ptr_mut(slot as u32))
    else {
        return refusal(Reason::Internal);
    };
    let (Some(service), Some(shared)) = (service::record(endpoint.service), SHARED_SESSIONS.get_ptr_mut(0))
    else {
        return refusal(Reason::Internal);
    };
    let limit = |value: u32| if value == 0 { ANY } else { value };
    // SAFETY: aligned words of values of maps.
    unsafe {
        if service.interval != 0 && !in_time(&raw mut (*account).full_at, service.interval as u64) {
            return refuse(account, Reason::RateQuota);
        }
        if half_open != 0 && !atomic::count32(&raw mut (*account).half_open, limit(service.half_open)) {
            return refuse(account, Reason::HalfOpenQuota);
        }
        if !atomic::count32(&raw mut (*account).sessions, limit(service.sessions)) {
            uncount_half_open(account, half_open);
            return refuse(account, Reason::SessionQuota);
        }
        if atomic::count32(&raw mut (*account).guaranteed, service.guaranteed) {
            return GUARANTEED as u64;
        }
        // The table holds twice as many; the half beyond is what guarantees stand on.
        if atomic::count64(shared, (secret::lines() / LINES_PER_SESSION) as u64) {
            return 0;
        }
        atomic::uncount32(&raw mut (*account).sessions);
        uncount_half_open(account, half_open);
        refuse(account, Reason::SessionShare)
    }
}

/// Takes one from the endpoint's allowance of new sessions (a token bucket, kept as the time at which it is full again).
///
/// # Safety
/// `full_at` is a word of a map's value.
#[inline(always)]
unsafe fn in_time(full_at: *mut u64, interval: u64) -> bool {
    // SAFETY: as the caller says; the helper has no argument.
    unsafe {
        let now = bpf_ktime_get_coarse_ns();
        for _ in 0..4 {
            let old = read_volatile(full_at);
            let then = if old > now { old } else { now };
            if then - now >= BURST {
                return false;
            }
            if atomic::replace64(full_at, old, then + interval) {
                return true;
            }
        }
    }
    false
}

/// # Safety
/// `account` is a value of the map.
#[inline(always)]
unsafe fn refuse(account: *mut Account, reason: Reason) -> u64 {
    // SAFETY: as the caller says.
    unsafe {
        write_volatile(&raw mut (*account).why, reason as u32);
        atomic::count64(&raw mut (*account).refused, u64::MAX);
    }
    refusal(reason)
}

/// As [`leave`] of a session that got no port, and for which reason.
#[inline(always)]
pub(crate) fn leave_without(endpoint: u32, mark: u8, half_open: bool, refused: u64) -> u64 {
    leave(endpoint, 0, mark, half_open);
    if refused == refusal(Reason::PortShare)
        && let Some(account) = ACCOUNTS.get_ptr_mut(endpoint)
    {
        // SAFETY: a value of the map.
        unsafe { refuse(account, Reason::PortShare) };
    }
    refused
}

/// # Safety
/// `account` is a value of the map.
#[inline(always)]
unsafe fn uncount_half_open(account: *mut Account, half_open: u64) {
    if half_open != 0 {
        // SAFETY: as the caller says.
        unsafe { atomic::uncount32(&raw mut (*account).half_open) };
    }
}

/// Gives back what a session held, beside its port: `block` is the port's, 0 when it got none.
#[inline(always)]
pub(crate) fn leave(endpoint: u32, block: u32, mark: u8, half_open: bool) {
    plnat_quota_leave(endpoint as u64, block as u64, mark as u64, half_open as u64);
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_quota_leave(slot: u64, block: u64, mark: u64, half_open: u64) -> u64 {
    let (Some(account), Some(shared)) = (ACCOUNTS.get_ptr_mut(slot as u32), SHARED_SESSIONS.get_ptr_mut(0))
    else {
        return 0;
    };
    // SAFETY: aligned words of values of maps.
    unsafe {
        uncount_half_open(account, half_open);
        atomic::uncount32(&raw mut (*account).sessions);
        if mark & GUARANTEED as u64 != 0 {
            atomic::uncount32(&raw mut (*account).guaranteed);
        } else {
            atomic::uncount64(shared);
            port::unshare(block as u32);
        }
    }
    1
}

/// Counts a session again that was closed and is open again, on what it stood on before: it was promised already.
#[inline(always)]
pub(crate) fn again(endpoint: u32, block: u32, mark: u8, half_open: bool) {
    plnat_quota_again(endpoint as u64, block as u64, mark as u64, half_open as u64);
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_quota_again(slot: u64, block: u64, mark: u64, half_open: u64) -> u64 {
    let (Some(account), Some(shared)) = (ACCOUNTS.get_ptr_mut(slot as u32), SHARED_SESSIONS.get_ptr_mut(0))
    else {
        return 0;
    };
    // SAFETY: aligned words of values of maps.
    unsafe {
        if half_open != 0 {
            atomic::count32(&raw mut (*account).half_open, ANY);
        }
        atomic::count32(&raw mut (*account).sessions, ANY);
        if mark & GUARANTEED as u64 != 0 {
            atomic::count32(&raw mut (*account).guaranteed, ANY);
        } else {
            atomic::count64(shared, u64::MAX);
            port::share(block as u32);
        }
    }
    1
}

/// The session's handshake is complete.
#[inline(always)]
pub(crate) fn established(endpoint: u32) {
    if let Some(account) = ACCOUNTS.get_ptr_mut(endpoint) {
        // SAFETY: an aligned word of a value of the map.
        unsafe { atomic::uncount32(&raw mut (*account).half_open) };
    }
}
