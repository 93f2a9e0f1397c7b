//! Request and answer of the `plnat_sweep` program, which the daemon runs on a made-up packet that holds them.
//!
//! One program frees sessions and lets ports rest, because only a program can do it next to running traffic. It
//! needs no selector: each session is held against the records it names, and one that they no longer allow is freed.

use bytemuck::{Pod, Zeroable};

/// Values of [`SweepRequest::mode`].
pub mod sweep_mode {
    /// Free the sessions in the stripe that are idle too long, whose endpoint is not approved, whose backend is
    /// gone (or down, for UDP), or whose NAT address their service no longer has. `first` and `count` are lines.
    pub const SESSIONS: u32 = 1;
    /// Free the older half of the resting ports and make the younger half the older. `first` and `count` are blocks.
    pub const PORTS: u32 = 2;
}

/// What to do, as it lies at the start of the made-up packet.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct SweepRequest {
    /// One of [`sweep_mode`].
    pub mode: u32,
    /// First line or block.
    pub first: u32,
    /// Number of lines or blocks.
    pub count: u32,
    /// Jiffies in a minute.
    pub minute: u32,
    /// Idle jiffies of a session whose handshake is not complete.
    pub half_open: u32,
    /// Idle jiffies of a half-closed or closed session (RFC 5382 REQ-5).
    pub transitory: u32,
    /// Zero.
    pub zero: [u32; 2],
}

/// What was done, as it lies behind the request.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct SweepReport {
    /// Sessions (not lines) that stay.
    pub live: u32,
    /// Sessions freed because they were idle.
    pub idle: u32,
    /// Sessions freed because their endpoint, backend or NAT address no longer allows them.
    pub revoked: u32,
    /// Ports that became free.
    pub ports: u32,
    /// `bpf_jiffies64` when the sweep ran.
    pub jiffies: u64,
    /// `bpf_ktime_get_ns` when the sweep ran; with `jiffies` of two runs it gives the length of a jiffy.
    pub nanoseconds: u64,
    /// RSTs that wait to be sent.
    pub resets: u32,
    /// Zero.
    pub zero: u32,
}

const _: () = assert!(size_of::<SweepRequest>() == 32 && size_of::<SweepReport>() == 40);
