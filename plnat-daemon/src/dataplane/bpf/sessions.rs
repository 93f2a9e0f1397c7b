//! Reading sessions and port blocks through mappings while programs write them.

use std::ops::Range;
use std::os::fd::AsFd;

use aya::Ebpf;
use bytemuck::Zeroable;
use plnat_common::record::{Account, Line, PortBlock};

use super::error::kernel;
use super::mapping::{Access, Mapping};
use super::maps::descriptor;
use crate::dataplane::{PlaneError, PortUse, Session};

const LINE_WORDS: usize = size_of::<Line>() / 8;
const ACCOUNT_WORDS: usize = size_of::<Account>() / 8;
const BLOCK_WORDS: usize = size_of::<PortBlock>() / 8;

/// `SESSIONS`, `PORT_BLOCKS` and `ACCOUNTS`, for reading.
pub(super) struct Tables {
    lines: Mapping,
    line_count: u32,
    blocks: Mapping,
    block_count: u32,
    accounts: Mapping,
    account_count: u32,
}

impl Tables {
    /// Maps `lines` lines, the spare ones counted, and all port blocks and accounts. To be called before the maps are taken.
    pub(super) fn map(ebpf: &Ebpf, lines: u32, blocks: u32, accounts: u32) -> Result<Self, PlaneError> {
        let map = |name: &'static str, words: usize| {
            Mapping::new(descriptor(ebpf, name)?.as_fd(), words, Access::Read)
                .map_err(|error| kernel(format!("mapping {name}"), error))
        };
        Ok(Self {
            lines: map("SESSIONS", lines as usize * LINE_WORDS)?,
            line_count: lines,
            blocks: map("PORT_BLOCKS", blocks as usize * BLOCK_WORDS)?,
            block_count: blocks,
            accounts: map("ACCOUNTS", accounts as usize * ACCOUNT_WORDS)?,
            account_count: accounts,
        })
    }

    /// Calls `each` for what endpoints hold, by slot.
    pub(super) fn accounts(&self, slots: Range<u32>, each: &mut dyn FnMut(u32, &Account)) {
        for slot in slots.start..slots.end.min(self.account_count) {
            let mut words = [0; ACCOUNT_WORDS];
            if self.accounts.copy(slot as usize * ACCOUNT_WORDS, &mut words) {
                each(slot, &bytemuck::cast(words));
            }
        }
    }

    /// Calls `each` for every session whose two lines belong together at the moment they are read. `now` is the
    /// low half of jiffies.
    pub(super) fn each(&self, lines: Range<u32>, now: u32, hz: u32, each: &mut dyn FnMut(&Session)) {
        for at in lines.start..lines.end.min(self.line_count) {
            let Some(session) = self.session(at, now, hz) else { continue };
            each(&session);
        }
    }

    fn session(&self, at: u32, now: u32, hz: u32) -> Option<Session> {
        let forward = self.line(at).filter(|line| line.is_live() && line.is_forward())?;
        let back = self.line(forward.peer).filter(|line| line.is_live() && !line.is_forward())?;
        // Both lines were copied at different moments, and each word by word: the session is one only when nothing that
        // identifies it changed meanwhile, neither by its end nor by another that took the place.
        let again = self.line(at)?;
        let unchanged =
            again.key() == forward.key() && again.endpoint == forward.endpoint && again.peer == forward.peer;
        let pair = back.peer == at && back.endpoint == forward.endpoint;
        let idle = age(now, forward.seen).min(age(now, back.seen));
        (unchanged && pair).then_some(Session { forward, back, idle_seconds: idle / hz.max(1) })
    }

    fn line(&self, at: u32) -> Option<Line> {
        if at >= self.line_count {
            return None;
        }
        let mut words = [0; LINE_WORDS];
        self.lines.copy(at as usize * LINE_WORDS, &mut words).then(|| bytemuck::cast(words))
    }

    /// Use of a block.
    pub(super) fn port_use(&self, block: u32) -> Result<PortUse, PlaneError> {
        let mut copy = PortBlock::zeroed();
        let words = bytemuck::cast_slice_mut(std::slice::from_mut(&mut copy));
        if !self.blocks.copy(block as usize * BLOCK_WORDS, words) {
            return Err(PlaneError::Full {
                map: "PORT_BLOCKS",
                capacity: self.block_count,
                wanted: block,
                setting: "port_blocks",
            });
        }
        Ok(PortUse { in_use: copy.in_use(), resting: copy.resting() })
    }
}

/// Jiffies since `seen`. A packet that came after `now` was read makes it negative, which is none.
fn age(now: u32, seen: u32) -> u32 {
    match now.wrapping_sub(seen) {
        age if age as i32 >= 0 => age,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn an_age_survives_the_wrap_of_jiffies_and_a_packet_from_the_future() {
        assert_eq!(age(5, u32::MAX - 4), 10);
        assert_eq!(age(100, 103), 0);
        assert_eq!(age(100, 40), 60);
    }
}
