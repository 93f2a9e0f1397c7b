//! Work that a signal must not cut short.

use nix::sys::signal::{SigSet, SigmaskHow};

/// Keeps signals away from this thread while it lives; those for the process go to its other threads. The verifier gives
/// up with `EAGAIN` when a signal waits for the thread that loads.
pub(super) struct Undisturbed {
    before: Option<SigSet>,
}

impl Undisturbed {
    pub(super) fn new() -> Self {
        Self { before: SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK).ok() }
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        // Only a mask that is none could be refused.
        let _ = self.before.map(|before| before.thread_set_mask());
    }
}
