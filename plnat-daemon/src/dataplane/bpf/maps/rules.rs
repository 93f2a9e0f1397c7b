//! `RULES`, whose tables are swapped under traffic.

use std::os::fd::AsFd;

use aya::Ebpf;
use plnat_common::record::Rule;

use super::full;
use super::slots::Slots;
use crate::dataplane::PlaneError;
use crate::dataplane::bpf::error::kernel;
use crate::dataplane::bpf::mapping::{Access, Mapping};

/// `RULES`: two words a rule, each written by one store.
pub(super) struct Rules {
    pub(super) slots: Slots<Rule>,
    words: Mapping,
}

impl Rules {
    const WORDS: usize = size_of::<Rule>() / 8;

    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, PlaneError> {
        let slots = Slots::<Rule>::take(ebpf, "RULES")?;
        let words = Mapping::new(slots.fd.as_fd(), slots.array.len() as usize * Self::WORDS, Access::Write)
            .map_err(|error| kernel("mapping RULES", error))?;
        Ok(Self { slots, words })
    }

    pub(super) fn set(&mut self, slot: u32, rule: Option<&Rule>) -> Result<(), PlaneError> {
        self.slots.room_for(slot)?;
        let [table, rest]: [u64; Self::WORDS] = bytemuck::cast(rule.copied().unwrap_or_default());
        let at = slot as usize * Self::WORDS;
        // A rule appears with its table and disappears with it: no packet is spread over a table in another rule's way.
        let stored = match rule {
            Some(_) => self.words.store(at + 1, rest) && self.words.store(at, table),
            None => self.words.store(at, table) && self.words.store(at + 1, rest),
        };
        if stored { Ok(()) } else { Err(full("RULES", self.slots.array.len(), slot)) }
    }
}
