//! From repetitions to figures. Repetitions are paired: number `i` of one target ran next to number `i` of every other.

use serde::Serialize;

/// What repetitions say.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Spread {
    /// The least: what it costs when nothing disturbs.
    pub(crate) best: f64,
    /// Below this is a tenth.
    pub(crate) low: f64,
    pub(crate) median: f64,
    /// Above this is a tenth.
    pub(crate) high: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted.get(((sorted.len() - 1) as f64 * share).round() as usize).copied();
        (!sorted.is_empty()).then_some(())?;
        Some(Self { best: at(0.0)?, low: at(0.1)?, median: at(0.5)?, high: at(0.9)? })
    }

    /// Of `of(one, other)` for each pair.
    pub(crate) fn of_pairs(one: &[f64], other: &[f64], of: impl Fn(f64, f64) -> f64) -> Option<Self> {
        let values: Vec<f64> = one.iter().zip(other).map(|(&one, &other)| of(one, other)).collect();
        Self::of(&values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_names_the_least_the_middle_and_the_tenths() {
        let values: Vec<f64> = (1..=21).rev().map(f64::from).collect();
        assert_eq!(Spread::of(&values), Some(Spread { best: 1.0, low: 3.0, median: 11.0, high: 19.0 }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn ratios_are_taken_within_pairs() {
        // The machine became twice as slow for both: the ratio does not see it.
        let spread = Spread::of_pairs(&[4.0, 8.0, 4.0], &[2.0, 4.0, 2.0], |one, other| one / other);
        assert_eq!(spread.map(|it| (it.best, it.high)), Some((2.0, 2.0)));
    }
}
