//! Maglev's look-up table (Eisenbud et al., NSDI 2016, section 3.4) with weights.

/// Sizes that a table may have: primes, so that every backend's steps visit every entry.
pub const SIZES: [u32; 5] = [251, 1_021, 4_093, 16_381, 65_521];

/// A backend as the table sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// What is written into the table: the backend's slot.
    pub slot: u32,
    /// Identity that does not change when other members come and go.
    pub identity: u64,
    /// Share of the entries, relative to the others'; 0 gets none.
    pub weight: u32,
}

/// The smallest size with at least a hundred entries for each of `members` backends, or the largest there is: shares
/// differ by about a hundredth then.
pub fn size_for(members: usize) -> u32 {
    let wanted = (members as u32).saturating_mul(100);
    SIZES.into_iter().find(|&size| size >= wanted).unwrap_or(SIZES[SIZES.len() - 1])
}

/// Where a member starts and how far it steps in a table of `size` entries.
fn walk(identity: u64, seed: [u64; 2], size: u32) -> (u32, u32) {
    let h = spread(identity ^ seed[0], seed[1]);
    let offset = (h % size as u64) as u32;
    let skip = (spread(h, seed[0]) % (size as u64 - 1)) as u32 + 1;
    (offset, skip)
}

fn spread(a: u64, b: u64) -> u64 {
    let mut h = (a ^ b.rotate_left(32)).wrapping_mul(0x9fb2_1c65_1e98_df25);
    h ^= h >> 32;
    h = h.wrapping_mul(0xd6e8_feb8_6659_fd93);
    h ^ (h >> 29)
}

/// State of one member while a table is filled; the caller lends one for each member.
#[derive(Clone, Copy, Default, Debug)]
pub struct Turn {
    next: u32,
    skip: u32,
    credit: u64,
}

/// Fills `table` (one of [`SIZES`] long) with the members' slots in proportion to their weights. With no member of
/// positive weight the table is filled with 0, which is no backend.
///
/// Weights are served by credit: in each round a member gains its weight and takes one entry for every `heaviest`
/// it has saved, so that the heaviest takes one entry a round and another with half its weight every second round.
///
/// # Panics
/// If `turns` is shorter than `members`, or `table` has fewer than two entries.
pub fn fill(table: &mut [u32], members: &[Member], seed: [u64; 2], turns: &mut [Turn]) {
    let size = table.len() as u32;
    table.fill(0);
    let Some(heaviest) = members.iter().map(|m| m.weight).max().filter(|&w| w > 0) else { return };
    for (turn, member) in turns.iter_mut().zip(members) {
        let (next, skip) = walk(member.identity, seed, size);
        *turn = Turn { next, skip, credit: 0 };
    }
    let mut left = size;
    loop {
        for (turn, member) in turns.iter_mut().zip(members) {
            turn.credit += member.weight as u64;
            if turn.credit < heaviest as u64 {
                continue;
            }
            turn.credit -= heaviest as u64;
            while table[turn.next as usize] != 0 {
                turn.next = (turn.next + turn.skip) % size;
            }
            table[turn.next as usize] = member.slot;
            left -= 1;
            if left == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    const SEED: [u64; 2] = [7, 9];

    fn table(members: &[Member]) -> Vec<u32> {
        let mut table = vec![0; size_for(members.len()) as usize];
        fill(&mut table, members, SEED, &mut vec![Turn::default(); members.len()]);
        table
    }

    fn member(slot: u32, weight: u32) -> Member {
        Member { slot, identity: slot as u64 * 0x1234_5678_9abc, weight }
    }

    fn share(table: &[u32], slot: u32) -> usize {
        table.iter().filter(|&&entry| entry == slot).count()
    }

    #[test]
    fn shares_follow_weights() {
        let table = table(&[member(1, 1), member(2, 2), member(3, 5), member(4, 0)]);
        let unit = table.len() as f64 / 8.0;
        for (slot, weight) in [(1, 1.0), (2, 2.0), (3, 5.0), (4, 0.0)] {
            let share = share(&table, slot) as f64;
            assert!(
                (share - unit * weight).abs() <= unit * 0.1 + 1.0,
                "slot {slot}: {share} of {}",
                table.len()
            );
        }
    }

    #[test]
    fn no_member_leaves_an_empty_table() {
        assert!(table(&[member(1, 0)]).iter().all(|&entry| entry == 0));
        assert!(table(&[]).iter().all(|&entry| entry == 0));
    }

    proptest! {
        #[test]
        fn a_removed_member_moves_few_entries_of_the_others(count in 3u32..40, gone in 0u32..40) {
            let gone = gone % count + 1;
            let all: Vec<_> = (1..=count).map(|slot| member(slot, 1)).collect();
            let rest: Vec<_> = all.iter().copied().filter(|m| m.slot != gone).collect();
            // The same size for both, as when a backend fails: the size follows the pool, not its health.
            let size = size_for(all.len()) as usize;
            let (mut before, mut after) = (vec![0; size], vec![0; size]);
            let mut turns = vec![Turn::default(); all.len()];
            fill(&mut before, &all, SEED, &mut turns);
            fill(&mut after, &rest, SEED, &mut turns);
            prop_assert!(after.iter().all(|&entry| entry != 0 && entry != gone));
            let moved = before.iter().zip(&after).filter(|(b, a)| **b != gone && b != a).count();
            prop_assert!(moved * 4 <= size, "{moved} of {size} entries moved although their backend stayed");
        }

        #[test]
        fn every_entry_is_a_member(weights in proptest::collection::vec(0u32..1000, 1..30)) {
            let members: Vec<_> = weights.iter().enumerate().map(|(at, &w)| member(at as u32 + 1, w)).collect();
            let table = table(&members);
            let some = weights.iter().any(|&w| w > 0);
            let right = |entry: u32| if some { entry > 0 && weights[entry as usize - 1] > 0 } else { entry == 0 };
            prop_assert!(table.iter().all(|&entry| right(entry)));
        }
    }
}
