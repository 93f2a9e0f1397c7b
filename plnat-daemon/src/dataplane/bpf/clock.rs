//! How many jiffies a second has: the kernel does not say, so two readings of both its clocks tell.

use std::time::Duration;

use plnat_common::record::SweepReport;

use crate::dataplane::PlaneError;

/// Values of `CONFIG_HZ` on the machines that plnat runs on.
const USUAL: [u32; 4] = [100, 250, 300, 1000];
/// How long a first measurement takes; the second takes twice as long, and so on.
const SPAN: Duration = Duration::from_millis(40);
const ATTEMPTS: u32 = 4;

/// Measures jiffies in a second with `read`, which gives both clocks.
pub(super) fn calibrate(
    mut read: impl FnMut() -> Result<SweepReport, PlaneError>,
) -> Result<u32, PlaneError> {
    let mut estimate = 0.0;
    for attempt in 0..ATTEMPTS {
        let from = edge(&mut read)?;
        std::thread::sleep(SPAN * 2u32.pow(attempt));
        let to = edge(&mut read)?;
        estimate = rate(&from, &to);
        if let Some(hz) = usual(estimate) {
            return Ok(hz);
        }
    }
    tracing::warn!(
        jiffies_per_second = estimate,
        "the kernel's tick has an unusual length; times may be some per cent off"
    );
    Ok((estimate.round() as u32).max(1))
}

/// A reading right after jiffies went on.
fn edge(read: &mut impl FnMut() -> Result<SweepReport, PlaneError>) -> Result<SweepReport, PlaneError> {
    let first = read()?;
    loop {
        let next = read()?;
        if next.jiffies != first.jiffies || next.nanoseconds.saturating_sub(first.nanoseconds) > 1_000_000_000
        {
            return Ok(next);
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn rate(from: &SweepReport, to: &SweepReport) -> f64 {
    let nanoseconds = to.nanoseconds.saturating_sub(from.nanoseconds).max(1);
    to.jiffies.saturating_sub(from.jiffies) as f64 * 1e9 / nanoseconds as f64
}

/// The usual value within 5 % of an estimate. A reading comes late on a busy machine, but two of the values are never so close.
fn usual(estimate: f64) -> Option<u32> {
    USUAL.into_iter().find(|&hz| (estimate / f64::from(hz) - 1.0).abs() < 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(hz: u64, step: u64) -> impl FnMut() -> Result<SweepReport, PlaneError> {
        let mut now = 0;
        move || {
            now += step;
            Ok(SweepReport { jiffies: now * hz / 1_000_000_000, nanoseconds: now, ..SweepReport::default() })
        }
    }

    #[test]
    fn a_usual_tick_is_found_exactly() {
        for hz in USUAL {
            // A reading every 30 µs of the kernel's time.
            assert_eq!(
                usual(rate(&edge(&mut kernel(hz.into(), 30_000)).unwrap(), &{
                    let mut read = kernel(hz.into(), 30_000);
                    for _ in 0..20_000 {
                        read().unwrap();
                    }
                    edge(&mut read).unwrap()
                })),
                Some(hz)
            );
        }
    }

    #[test]
    fn an_unusual_tick_is_not_taken_for_a_usual_one() {
        assert_eq!(usual(90.0), None);
        assert_eq!(usual(0.0), None);
    }
}
