//! Targets that are measured in turns: repetition number `i` of one runs next to number `i` of every other, so that what disturbs
//! the machine disturbs all of them, and ratios are taken within pairs.

use std::convert::Infallible;
use std::time::Instant;

use anyhow::Result;

use crate::figures::Spread;
use crate::report::progress;
use crate::target::{Standing, Target};

/// A target while it is measured.
pub(crate) struct Contender<K> {
    standing: Standing,
    /// What the benchmark keeps for it: servers, or what it found.
    kept: K,
    refused: Option<String>,
    costs: Vec<f64>,
}

impl<K> Contender<K> {
    /// With nothing measured.
    pub(crate) fn new(standing: Standing, kept: K) -> Self {
        Self { standing, kept, refused: None, costs: Vec::new() }
    }

    /// Does something, unless the target was refused before; an error is why it gets no figure.
    pub(crate) fn attempt<T>(&mut self, work: impl FnOnce(&Standing, &mut K) -> Result<T>) -> Option<T> {
        if self.refused.is_some() {
            return None;
        }
        match work(&self.standing, &mut self.kept) {
            Ok(done) => Some(done),
            Err(error) => {
                progress(&format!("{} gets no figure: {error:#}", self.target().name()));
                self.refused = Some(format!("{error:#}"));
                None
            }
        }
    }

    /// Which target it is.
    pub(crate) fn target(&self) -> Target {
        self.standing.target
    }
}

/// Measures all contenders anew: `work` gives the cost of one repetition.
pub(crate) fn measure<K>(
    contenders: &mut [Contender<K>],
    what: &str,
    repetitions: u32,
    mut work: impl FnMut(&Standing, &mut K, u32) -> Result<f64>,
) {
    contenders.iter_mut().for_each(|it| it.costs.clear());
    let Ok(()) = in_turns(contenders, what, repetitions, |contender, repetition| {
        let cost = contender.attempt(|standing, kept| work(standing, kept, repetition));
        contender.costs.extend(cost);
        Ok::<(), Infallible>(())
    });
}

/// Lets all of them take their turn, once a repetition. Whoever begins has the caches that the last one of the round before left:
/// so each begins in its turn.
pub(crate) fn in_turns<C, E>(
    contenders: &mut [C],
    what: &str,
    repetitions: u32,
    mut turn: impl FnMut(&mut C, u32) -> Result<(), E>,
) -> Result<(), E> {
    let begun = Instant::now();
    for repetition in 0..repetitions {
        let left = match repetition {
            0 => String::new(),
            done => format!(
                ", {:.0} s more",
                begun.elapsed().as_secs_f64() / f64::from(done) * f64::from(repetitions - done)
            ),
        };
        progress(&format!("{what}: repetition {} of {repetitions}{left}", repetition + 1));
        let first = repetition as usize % contenders.len();
        let (before, from) = contenders.split_at_mut(first);
        from.iter_mut().chain(before).try_for_each(|contender| turn(contender, repetition))?;
    }
    Ok(())
}

/// What a contest said of one target.
pub(crate) struct Outcome<'a, K> {
    all: &'a [Contender<K>],
    this: &'a Contender<K>,
}

impl<K> Outcome<'_, K> {
    /// Which target it is.
    pub(crate) fn target(&self) -> Target {
        self.this.target()
    }

    /// Why there is no figure.
    pub(crate) fn refused(&self) -> Option<String> {
        self.this.refused.clone()
    }

    /// What a repetition cost.
    pub(crate) fn cost(&self) -> Option<Spread> {
        Spread::of(self.costs(self.target()))
    }

    /// The same less what it cost another target.
    pub(crate) fn less(&self, other: Target) -> Option<Spread> {
        self.with(other, |own, other| own - other)
    }

    /// Cost as a multiple of another target's.
    pub(crate) fn cost_of(&self, other: Target) -> Option<Spread> {
        self.with(other, |own, other| own / other)
    }

    /// Rate as a multiple of another target's.
    pub(crate) fn rate_of(&self, other: Target) -> Option<Spread> {
        self.with(other, |own, other| other / own)
    }

    fn with(&self, other: Target, of: impl Fn(f64, f64) -> f64) -> Option<Spread> {
        Spread::of_pairs(self.costs(self.target()), self.costs(other), of)
    }

    /// Of a target that was refused, its costs are not told: one that does not do its work is no measure for others either.
    fn costs(&self, target: Target) -> &[f64] {
        let found = self.all.iter().find(|it| it.target() == target && it.refused.is_none());
        found.map_or(&[], |it| &it.costs)
    }
}

/// What was measured, target by target.
pub(crate) fn figures<K, F>(contenders: &[Contender<K>], figure: impl Fn(Outcome<'_, K>) -> F) -> Vec<F> {
    contenders.iter().map(|this| figure(Outcome { all: contenders, this })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_begins_in_its_turn_and_nobody_is_left_out() {
        let mut contenders = ['a', 'b', 'c'];
        let mut order = String::new();
        let Ok(()) = in_turns(&mut contenders, "test", 4, |name, _| {
            order.push(*name);
            Ok::<(), Infallible>(())
        });
        assert_eq!(order, "abcbcacababc");
        assert_eq!(contenders, ['a', 'b', 'c']);
    }
}
