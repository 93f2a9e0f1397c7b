//! When to probe what.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, BoxFuture, abortable};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsConnector;

use super::attempt::attempt;
use super::health::Health;
use super::tls::connector;
use super::{Failure, ProbeResult, ProbeTarget};

/// The wanted targets. Of two with one id the later counts.
pub type Targets = Arc<Vec<ProbeTarget>>;

/// Longest wait before a new target's first probe; new backends are wanted soon.
const FIRST_WITHIN: Duration = Duration::from_millis(250);

/// Probes what it is told to.
pub struct Prober {
    wanted: watch::Receiver<Targets>,
    results: mpsc::Sender<ProbeResult>,
    tls: TlsConnector,
    running: HashMap<String, Running>,
    attempts: FuturesUnordered<BoxFuture<'static, Option<Outcome>>>,
    /// Counts attempts for the jitter.
    count: u64,
    random: RandomState,
}

struct Running {
    target: Arc<ProbeTarget>,
    health: Health,
    attempt: AbortHandle,
}

struct Outcome {
    target: Arc<ProbeTarget>,
    started: Instant,
    result: Result<&'static str, Failure>,
}

impl Prober {
    /// A prober of the wanted targets that sends changes of their health to `results`.
    pub fn new(wanted: watch::Receiver<Targets>, results: mpsc::Sender<ProbeResult>) -> Self {
        Self {
            wanted,
            results,
            tls: connector(),
            running: HashMap::new(),
            attempts: FuturesUnordered::new(),
            count: 0,
            random: RandomState::new(),
        }
    }

    /// Probes until the sender of targets or the receiver of results is gone.
    pub async fn run(mut self) {
        self.wanted.mark_changed();
        loop {
            tokio::select! {
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let targets = self.wanted.borrow_and_update().clone();
                    self.follow(&targets);
                }
                Some(outcome) = self.attempts.next() => {
                    let Some(outcome) = outcome else { continue };
                    if let Some(result) = self.observe(outcome)
                        && self.results.send(result).await.is_err()
                    {
                        return;
                    }
                }
                () = self.results.closed() => return,
            }
        }
    }

    /// Starts, changes and ends probing so that exactly `targets` are probed.
    fn follow(&mut self, targets: &[ProbeTarget]) {
        let wanted: HashMap<&str, &ProbeTarget> = targets.iter().map(|it| (it.id.as_str(), it)).collect();
        self.running.retain(|id, running| {
            let keep = wanted.contains_key(id.as_str());
            if !keep {
                running.attempt.abort();
            }
            keep
        });
        for (id, target) in wanted {
            if self.running.get(id).is_some_and(|running| *running.target == *target) {
                continue;
            }
            let target = Arc::new(target.clone());
            let due = Instant::now() + self.part_of(target.interval.min(FIRST_WITHIN));
            let attempt = self.schedule(target.clone(), due);
            match self.running.entry(id.to_owned()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(Running { target, health: Health::default(), attempt });
                }
                Entry::Occupied(mut occupied) => {
                    let running = occupied.get_mut();
                    running.attempt.abort();
                    (running.target, running.attempt) = (target, attempt);
                }
            }
        }
    }

    /// Takes an outcome, schedules the next attempt, and says what changed.
    fn observe(&mut self, outcome: Outcome) -> Option<ProbeResult> {
        let Outcome { target, started, result } = outcome;
        // An attempt that ended just before it was aborted belongs to a target that nobody wants any more.
        if !self.running.get(&target.id).is_some_and(|running| Arc::ptr_eq(&running.target, &target)) {
            return None;
        }
        // A little early, by a random amount: probes that start together drift apart, none is late.
        let pause = target.interval - self.part_of(target.interval / 10);
        let attempt = self.schedule(target.clone(), started + pause);
        let running = self.running.get_mut(&target.id)?;
        running.attempt = attempt;
        let healthy = running.health.observe(result.is_ok(), target.threshold)?;
        let reason = result.map_or_else(|failure| failure.to_string(), str::to_owned);
        Some(ProbeResult { id: target.id.clone(), healthy, reason })
    }

    fn schedule(&self, target: Arc<ProbeTarget>, due: Instant) -> AbortHandle {
        let tls = self.tls.clone();
        let (attempt, handle) = abortable(async move {
            sleep_until(due).await;
            let started = Instant::now();
            let result = attempt(&target, &tls).await;
            Outcome { target, started, result }
        });
        self.attempts.push(Box::pin(async { attempt.await.ok() }));
        handle
    }

    /// A random part of a time.
    fn part_of(&mut self, whole: Duration) -> Duration {
        self.count += 1;
        whole.mul_f64(self.random.hash_one(self.count) as f64 / u64::MAX as f64)
    }
}
