//! Internet checksums changed in place (RFC 1624, equation 3) and, for the daemon and tests, in full (RFC 1071).
//!
//! Differences are collected in 64 bits and folded once. One's-complement sums do not depend on byte order, so all
//! values are used as they lie in memory.

/// What replacing `old` by `new` (32 bits as they lie in the packet) adds to a checksum's complement.
#[inline(always)]
pub const fn difference(old: u32, new: u32) -> u64 {
    !old as u64 + new as u64
}

/// As [`difference`] for a 16-bit field.
#[inline(always)]
pub const fn difference16(old: u16, new: u16) -> u64 {
    !old as u64 + new as u64
}

/// Folds an accumulator of fewer than 2¹⁶ additions to 16 bits.
#[inline(always)]
pub const fn fold(mut sum: u64) -> u16 {
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The checksum that `old` becomes by `differences`.
#[inline(always)]
pub const fn update(old: u16, differences: u64) -> u16 {
    !fold(!old as u64 + differences)
}

/// As [`update`] for UDP (RFC 768): no checksum stays none, and a computed zero is sent as all ones.
#[inline(always)]
pub const fn update_udp(old: u16, differences: u64) -> u16 {
    if old == 0 {
        return 0;
    }
    match update(old, differences) {
        0 => 0xffff,
        new => new,
    }
}

/// One's-complement sum of `bytes` as 16-bit words in memory order, the last odd byte padded with zero, added to
/// `initial`; not folded, not complemented.
pub fn sum(bytes: &[u8], initial: u64) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let sum = words.iter().fold(initial, |sum, word| sum + u16::from_ne_bytes(*word) as u64);
    rest.first().map_or(sum, |&byte| sum + u16::from_ne_bytes([byte, 0]) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Verifies by RFC 1071: the sum over data and checksum is all ones.
    fn verifies(bytes: &[u8]) -> bool {
        fold(sum(bytes, 0)) == 0xffff
    }

    proptest! {
        #[test]
        fn an_updated_checksum_verifies_like_a_recomputed_one(
            mut bytes in proptest::collection::vec(any::<u8>(), 12..64),
            new in any::<u32>(),
            new16 in any::<u16>(),
        ) {
            // Never all zero: RFC 1624 section 3 leaves the corner of an all-zero header out.
            bytes[8] = 0x45;
            bytes[0] = 0;
            bytes[1] = 0;
            let checksum = !fold(sum(&bytes, 0));
            let old = u32::from_ne_bytes(bytes[2..6].try_into().unwrap());
            let old16 = u16::from_ne_bytes(bytes[6..8].try_into().unwrap());
            bytes[2..6].copy_from_slice(&new.to_ne_bytes());
            bytes[6..8].copy_from_slice(&new16.to_ne_bytes());
            let updated = update(checksum, difference(old, new) + difference16(old16, new16));
            bytes[0..2].copy_from_slice(&updated.to_ne_bytes());
            prop_assert!(verifies(&bytes));
        }

        #[test]
        fn udp_zero_stays_zero_and_is_never_made(old in any::<u16>(), a in any::<u32>(), b in any::<u32>()) {
            let new = update_udp(old, difference(a, b));
            prop_assert_eq!(new == 0, old == 0);
        }
    }

    #[test]
    fn the_example_of_rfc_1624_section_4_gives_ffff_not_zero() {
        // Header field 0x5555 becomes 0x3285 under a checksum of 0xDD2F.
        assert_eq!(update(0xdd2f, difference16(0x5555, 0x3285)), 0x0000);
    }
}
