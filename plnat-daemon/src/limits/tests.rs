//! Buckets, permits and silence.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const RATE: Rate = Rate { per_second: 10, burst: 5 };

#[test]
fn a_burst_is_taken_and_then_the_rate() {
    let (rates, start) = (Rates::new(RATE, 10), Instant::now());
    for _ in 0..5 {
        assert_eq!(rates.take("a", start), Ok(()));
    }
    let late = rates.take("a", start).unwrap_err();
    assert_eq!((late.0, late.retry_after()), (Duration::from_millis(100), 1));
    assert_eq!(rates.take("b", start), Ok(()), "another's bucket");
    assert!(rates.take("a", start + Duration::from_millis(99)).is_err());
    assert_eq!(rates.take("a", start + late.0), Ok(()), "when it was promised");
    assert!(rates.take("a", start + late.0).is_err());
    for _ in 0..5 {
        assert_eq!(rates.take("a", start + Duration::from_secs(3600)), Ok(()), "a pause fills it, once");
    }
    assert!(rates.take("a", start + Duration::from_secs(3600)).is_err());
}

#[test]
fn retry_after_is_rounded_up() {
    for (millis, seconds) in [(1, 1), (1000, 1), (1001, 2)] {
        assert_eq!(TooMany(Duration::from_millis(millis)).retry_after(), seconds);
    }
}

#[test]
fn a_flood_of_callers_neither_grows_without_bound_nor_gets_past_the_rate() {
    let (rates, start) = (Rates::new(RATE, 100), Instant::now());
    let let_in = (0..10_000).filter(|caller| rates.take(*caller, start).is_ok()).count();
    assert_eq!(let_in, 100 + 5);
    // When the buckets are full again, they are forgotten for others.
    let later = start + Duration::from_secs(10);
    assert!((20_000..20_100).all(|caller| rates.take(caller, later).is_ok()));
}

proptest! {
    #[test]
    fn nobody_ever_gets_more_than_rate_and_burst(
        per_second in 1u32..50, burst in 1u32..20, steps in proptest::collection::vec(0u64..200, 1..300),
    ) {
        let rates = Rates::new(Rate { per_second, burst }, 10);
        let start = Instant::now();
        let (mut now, mut taken) = (start, 0u32);
        for step in steps {
            now += Duration::from_millis(step);
            match rates.take((), now) {
                Ok(()) => taken += 1,
                // What is promised is kept, and not a moment earlier.
                Err(late) => {
                    prop_assert!(rates.take((), now + late.0 - Duration::from_nanos(1)).is_err());
                }
            }
            let most = f64::from(burst) + (now - start).as_secs_f64() * f64::from(per_second);
            prop_assert!(f64::from(taken) <= most + 1e-3, "{taken} of {most}");
        }
    }
}

#[test]
fn connections_are_counted_in_all_and_by_address() {
    let connections = Connections::new(4, 2);
    let a: Vec<_> = (0..2).map(|_| connections.admit(ip("10.0.0.1")).unwrap()).collect();
    assert!(connections.admit(ip("10.0.0.1")).is_none());
    assert!(connections.admit(ip("::ffff:10.0.0.1")).is_none(), "the same machine");
    let b = connections.admit(ip("2001:db8::1")).unwrap();
    let c = connections.admit(ip("2001:db8::ffff:2")).unwrap();
    assert!(connections.admit(ip("2001:db8::3")).is_none(), "the same /64");
    assert!(connections.admit(ip("10.0.0.2")).is_none(), "four in all");
    drop(b);
    let d = connections.admit(ip("2001:db8:0:1::1")).unwrap();
    assert_eq!(connections.count(), 4);
    drop((a, c, d));
    assert_eq!(connections.count(), 0);
    assert!(connections.admit(ip("10.0.0.1")).is_some());
}

#[tokio::test]
async fn a_silent_stream_breaks_and_one_that_trickles_does_not() {
    let (mut far, near) = tokio::io::duplex(64);
    let patience = Duration::from_secs(1);
    let mut near = Idle::new(near, patience);
    let mut trickle = tokio::time::interval(patience / 4);
    for _ in 0..7 {
        trickle.tick().await;
        far.write_all(b"x").await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), b'x');
    }
    let start = Instant::now();
    assert_eq!(near.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    assert!(start.elapsed() >= patience - Duration::from_millis(50));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_stops_the_writer() {
    let (_far, near) = tokio::io::duplex(64);
    let mut near = Idle::new(near, Duration::from_millis(50));
    assert_eq!(near.write_all(&[0; 100]).await.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}
