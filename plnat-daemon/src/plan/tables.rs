//! Look-up tables of rules, made anew only where the members differ.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use plnat_common::maglev::{self, Member, Turn};

use super::records::Table;

/// The last table of each rule.
#[derive(Debug, Default)]
pub(super) struct Tables {
    by_rule: BTreeMap<u32, Made>,
    turns: Vec<Turn>,
}

#[derive(Debug)]
struct Made {
    members: Vec<Member>,
    seed: [u64; 2],
    table: Table,
    digest: u64,
}

impl Tables {
    /// The table of `size` entries over `members` for the rule in slot `rule`, and a hash of its contents that stays
    /// the same for as long as rows are kept.
    pub(super) fn make(
        &mut self,
        rule: u32,
        size: u32,
        members: Vec<Member>,
        seed: [u64; 2],
    ) -> (Table, u64) {
        if let Some(made) = self.by_rule.get(&rule)
            && made.members == members
            && made.seed == seed
            && made.table.len() == size as usize
        {
            return (made.table.clone(), made.digest);
        }
        let mut entries = vec![0; size as usize];
        self.turns.resize(self.turns.len().max(members.len()), Turn::default());
        maglev::fill(&mut entries, &members, seed, &mut self.turns);
        let digest = digest(&entries);
        let table: Table = Arc::from(entries);
        self.by_rule.insert(rule, Made { members, seed, table: table.clone(), digest });
        (table, digest)
    }

    /// Forgets the table of a rule.
    pub(super) fn forget(&mut self, rule: u32) {
        self.by_rule.remove(&rule);
    }
}

/// What tells a backend from the others in every table, whatever slot it has.
pub(super) fn identity(address: Ipv4Addr) -> u64 {
    let mut h = (u32::from(address) as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

/// FNV-1a over the entries, which no compiler release changes.
fn digest(entries: &[u32]) -> u64 {
    entries.iter().fold(0xcbf2_9ce4_8422_2325, |h, &entry| (h ^ entry as u64).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(weights: &[u32]) -> Vec<Member> {
        (1..)
            .zip(weights)
            .map(|(slot, &weight)| Member { slot, identity: identity(Ipv4Addr::from(slot)), weight })
            .collect()
    }

    #[test]
    fn the_same_members_get_the_very_same_table() {
        let mut tables = Tables::default();
        let (first, digest) = tables.make(1, 251, members(&[1, 2]), [3, 4]);
        let (second, same) = tables.make(1, 251, members(&[1, 2]), [3, 4]);
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(digest, same);
    }

    #[test]
    fn another_weight_size_or_seed_gives_another_table() {
        let mut tables = Tables::default();
        let (_, digest) = tables.make(1, 251, members(&[1, 2]), [3, 4]);
        assert_ne!(tables.make(1, 251, members(&[1, 3]), [3, 4]).1, digest);
        assert_ne!(tables.make(1, 1021, members(&[1, 2]), [3, 4]).1, digest);
        assert_ne!(tables.make(1, 251, members(&[1, 2]), [3, 5]).1, digest);
        assert_eq!(tables.make(1, 251, members(&[1, 2]), [3, 4]).1, digest);
    }
}
