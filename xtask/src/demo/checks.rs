//! The claims of the demo: each is printed with what came of it, and one that did not hold makes the demo fail.

use std::fmt::{Debug, Display};

/// What held and what differed.
#[derive(Default)]
pub(super) struct Checks {
    held: usize,
    differed: Vec<String>,
}

impl Checks {
    /// A claim that holds or does not.
    pub(super) fn that(&mut self, claim: impl Display, holds: bool) {
        self.note(claim.to_string(), holds.then_some(()).ok_or_else(String::new));
    }

    /// A claim that something is `wanted`.
    pub(super) fn is<T: PartialEq + Debug>(&mut self, claim: impl Display, found: &T, wanted: &T) {
        let outcome = if found == wanted { Ok(()) } else { Err(format!(": {found:?}, and not {wanted:?}")) };
        self.note(claim.to_string(), outcome);
    }

    /// A claim that there is nothing in a list.
    pub(super) fn none<T: Debug>(&mut self, claim: impl Display, found: &[T]) {
        let outcome = match found {
            [] => Ok(()),
            [first, ..] => Err(format!(": {} differ, the first is {first:?}", found.len())),
        };
        self.note(claim.to_string(), outcome);
    }

    /// How many claims held, and the others with what was found.
    pub(super) fn result(&self) -> (usize, &[String]) {
        (self.held, &self.differed)
    }

    fn note(&mut self, claim: String, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                println!("  [ok] {claim}");
                self.held += 1;
            }
            Err(found) => {
                println!("  [DIFFERS] {claim}{found}");
                self.differed.push(format!("{claim}{found}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_kept_with_what_was_found() {
        let mut checks = Checks::default();
        checks.that("water is wet", true);
        checks.is("two and two", &5, &4);
        checks.none("no strangers", &["one", "two"]);
        checks.none("no strangers", &[] as &[&str]);
        let (held, differed) = checks.result();
        assert_eq!(held, 2);
        assert_eq!(differed, ["two and two: 5, and not 4", "no strangers: 2 differ, the first is \"one\""]);
    }
}
