//! The keyed hash of the session table and of Maglev's choice.
//!
//! Two rounds of multiply and shift for each 64-bit word, started from a secret of 128 bits that is drawn when the maps are
//! made: fast in BPF, which has no 128-bit multiplication, and not to be steered by who does not know the secret.

use crate::net::{Ip4, Scope};
use crate::record::{DatagramKey, LineKey, distribution};

const K1: u64 = 0x9fb2_1c65_1e98_df25;
const K2: u64 = 0xd6e8_feb8_6659_fd93;

#[inline(always)]
const fn mix(mut h: u64, word: u64) -> u64 {
    h = (h ^ word).wrapping_mul(K1);
    h ^= h >> 29;
    h = h.wrapping_mul(K2);
    h ^ (h >> 32)
}

/// Hash of a session's key. The halves are used as two independent values.
#[inline(always)]
pub const fn line(key: &LineKey, seed: [u64; 2]) -> u64 {
    let [a, b] = key.words();
    mix(mix(mix(seed[0], a), b), key.protocol as u64 ^ seed[1])
}

/// Hash of a datagram that comes in fragments. The halves are used as two independent values.
#[inline(always)]
pub const fn datagram(key: &DatagramKey, seed: [u64; 2]) -> u64 {
    let [a, b] = key.words();
    mix(mix(seed[1] ^ K2, a), b)
}

/// Home of choice `choice` for a key with hash `hash` in a table of `lines` lines.
#[inline(always)]
pub const fn home(hash: u64, choice: u32, lines: u32) -> u32 {
    let step = (hash >> 32) | 1;
    let h = (hash as u32).wrapping_add((step as u32).wrapping_mul(choice));
    ((h as u64 * lines as u64) >> 32) as u32
}

/// Hash by which a rule spreads sessions over its backends; `mode` is one of [`distribution`].
#[inline(always)]
pub const fn spread(key: &LineKey, mode: u8, seed: [u64; 2]) -> u32 {
    let addresses = (key.source.0 as u64) << 32 | key.destination.0 as u64;
    let rest = match mode {
        distribution::SOURCE_IP => 0,
        distribution::SOURCE_IP_PROTOCOL => (key.protocol as u64) << 32,
        _ => (key.protocol as u64) << 32 | key.ports.0 as u64,
    };
    (mix(mix(mix(seed[1], addresses), rest), key.scope.0 as u64 ^ seed[0]) >> 32) as u32
}

/// Hash of a client for the choice of its first NAT address and port: `salt` makes the two differ.
#[inline(always)]
pub const fn client(scope: Scope, source: Ip4, salt: u64, seed: [u64; 2]) -> u64 {
    mix(mix(seed[0] ^ K2, (scope.0 as u64) << 32 | source.0 as u64), salt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Port, Ports, TCP};

    const SEED: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

    fn key(scope: u32, host: u8, port: u16) -> LineKey {
        LineKey {
            scope: Scope(scope),
            source: Ip4::from_octets([10, 0, 0, host]),
            destination: Ip4::from_octets([10, 0, 1, 4]),
            ports: Ports::new(Port::new(port), Port::new(443)),
            protocol: TCP as u32,
        }
    }

    #[test]
    fn sequential_ports_spread_evenly_over_the_table() {
        const LINES: u32 = 4096;
        let mut filled = [0u16; LINES as usize];
        for host in 0..4 {
            for port in 1024..17408 {
                filled[home(line(&key(1, host, port), SEED), 0, LINES) as usize] += 1;
            }
        }
        // 65,536 keys over 4,096 lines: 16 on average, standard deviation 4.
        assert!(filled.iter().all(|&n| n > 0 && n < 48), "worst {:?}", filled.iter().max());
    }

    #[test]
    fn the_same_client_on_another_link_hashes_elsewhere() {
        assert_ne!(line(&key(1, 5, 5000), SEED), line(&key(2, 5, 5000), SEED));
        assert_ne!(
            spread(&key(1, 5, 5000), distribution::SOURCE_IP, SEED),
            spread(&key(2, 5, 5000), distribution::SOURCE_IP, SEED)
        );
    }

    #[test]
    fn source_address_mode_ignores_ports_and_protocol() {
        let mut other = key(1, 5, 6000);
        other.protocol = 17;
        let mode = distribution::SOURCE_IP;
        assert_eq!(spread(&key(1, 5, 5000), mode, SEED), spread(&other, mode, SEED));
        let mode = distribution::SOURCE_IP_PROTOCOL;
        assert_ne!(spread(&key(1, 5, 5000), mode, SEED), spread(&other, mode, SEED));
    }

    #[test]
    fn every_home_lies_in_the_table() {
        for choice in 0..crate::record::CHOICES {
            for hash in [0, 1, u64::MAX, u32::MAX as u64, 0xffff_ffff_0000_0000] {
                assert!(home(hash, choice, 1000) < 1000);
            }
        }
    }
}
