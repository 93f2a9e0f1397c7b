//! From outcomes to a state that does not flap.

/// State of one backend.
///
/// ```text
/// unknown ── threshold × success ──→ up   ── threshold × failure ──→ down
///    └────── threshold × failure ──→ down ── threshold × success ──→ up
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Health {
    state: Option<bool>,
    /// Last outcome and how often it came in a row.
    streak: Option<(bool, u32)>,
}

impl Health {
    /// Takes an outcome; the new state if it changed.
    pub(super) fn observe(&mut self, healthy: bool, threshold: u32) -> Option<bool> {
        let count = match self.streak {
            Some((last, count)) if last == healthy => count.saturating_add(1),
            _ => 1,
        };
        self.streak = Some((healthy, count));
        if count < threshold.max(1) || self.state == Some(healthy) {
            return None;
        }
        self.state = Some(healthy);
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(threshold: u32, outcomes: &str, told: &str) {
        let mut health = Health::default();
        let all: String = outcomes
            .chars()
            .map(|outcome| match health.observe(outcome == '+', threshold) {
                None => '.',
                Some(true) => 'U',
                Some(false) => 'D',
            })
            .collect();
        assert_eq!(all, told, "{outcomes} with threshold {threshold}");
    }

    #[test]
    fn the_first_outcome_decides_with_threshold_one() {
        check(1, "+", "U");
        check(1, "-", "D");
        check(0, "-", "D");
    }

    #[test]
    fn only_changes_are_told() {
        check(1, "+++--++-", "U..D.U.D");
    }

    #[test]
    fn a_streak_shorter_than_the_threshold_changes_nothing() {
        check(3, "+++--+---+++", "..U.....D..U");
        check(3, "+-+-+-", "......");
    }
}
