//! Reading sessions and port blocks through mappings while programs write them.

use std::ops::Range;
use std::os::fd::AsFd;

use aya::Ebpf;
use bytemuck::Zeroable;
use plnat_common::record::{Line, PortBlock};

use super::error::kernel;
use super::mapping::{Access, Mapping};
use super::maps::descriptor;
use crate::dataplane::{PlaneError, PortUse, Session};

const LINE_WORDS: usize = size_of::<Line>() / 8;
const BLOCK_WORDS: usize = size_of::<PortBlock>() / 8;

/// `SESSIONS` and `PORT_BLOCKS`, for reading.
pub(super) struct Tables {
    lines: Mapping,
    line_count: u32,
    blocks: Mapping,
    block_count: u32,
}

impl Tables {
    /// Maps `lines` lines, the spare ones counted, and all port blocks. To be called before the maps are taken.
    pub(super) fn map(ebpf: &Ebpf, lines: u32, blocks: u32) -> Result<Self, PlaneError> {
        let (sessions, port_blocks) = (descriptor(ebpf, "SESSIONS")?, descriptor(ebpf, "PORT_BLOCKS")?);
        Ok(Self {
            lines: Mapping::new(sessions.as_fd(), lines as usize * LINE_WORDS, Access::Read)
                .map_err(|error| kernel("mapping SESSIONS", error))?,
            line_count: lines,
            blocks: Mapping::new(port_blocks.as_fd(), blocks as usize * BLOCK_WORDS, Access::Read)
                .map_err(|error| kernel("mapping PORT_BLOCKS", error))?,
            block_count: blocks,
        })
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
