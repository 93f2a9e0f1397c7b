//! Requests a second: a token bucket for each caller.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often something may be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Times a second in the long run; at least 1.
    pub per_second: u32,
    /// Times at once after a pause; at least 1.
    pub burst: u32,
}

/// It was too often.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too many requests; the next is accepted in {} s", .0.as_secs_f32())]
pub struct TooMany(
    /// After this long the next is accepted.
    pub Duration,
);

impl TooMany {
    /// Value of the `Retry-After` header: whole seconds, rounded up.
    pub fn retry_after(&self) -> u64 {
        self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0)
    }
}

/// Buckets by caller. Their number is bounded: when there are too many, those that are full again are forgotten, and if
/// none is, newcomers share one.
#[derive(Debug)]
pub struct Rates<K> {
    rate: Rate,
    most: usize,
    buckets: Mutex<Buckets<K>>,
}

#[derive(Debug)]
struct Buckets<K> {
    by_caller: HashMap<K, Bucket>,
    shared: Option<Bucket>,
}

/// Full up to a moment: what is missing is the time since then that was used up in advance.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// When it will be full again.
    full_at: Instant,
}

impl<K: Eq + Hash> Rates<K> {
    /// The rate for each, and for how many callers at most a bucket is kept.
    pub fn new(rate: Rate, most: usize) -> Self {
        let rate = Rate { per_second: rate.per_second.max(1), burst: rate.burst.max(1) };
        let buckets = Buckets { by_caller: HashMap::new(), shared: None };
        Self { rate, most, buckets: Mutex::new(buckets) }
    }

    /// Counts one more of this caller, or says when it may be.
    pub fn take(&self, caller: K, now: Instant) -> Result<(), TooMany> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets { by_caller, shared } = &mut *buckets;
        if let Some(bucket) = by_caller.get_mut(&caller) {
            return bucket.take(self.rate, now);
        }
        if by_caller.len() >= self.most {
            by_caller.retain(|_, bucket| bucket.full_at > now);
        }
        let fresh = Bucket { full_at: now };
        if by_caller.len() < self.most {
            by_caller.entry(caller).or_insert(fresh).take(self.rate, now)
        } else {
            shared.get_or_insert(fresh).take(self.rate, now)
        }
    }
}

impl Bucket {
    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), TooMany> {
        let one = Duration::from_secs(1) / rate.per_second;
        let full_at = self.full_at.max(now) + one;
        let depth = one * rate.burst;
        match full_at.duration_since(now).checked_sub(depth) {
            None | Some(Duration::ZERO) => {
                self.full_at = full_at;
                Ok(())
            }
            Some(wait) => Err(TooMany(wait)),
        }
    }
}
