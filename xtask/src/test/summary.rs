//! Counting tests by the line that each test program ends with.

use std::ops::AddAssign;

/// How many tests came out how.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) ignored: u64,
}

impl Tally {
    /// Takes in a line of output: a closing line of a test program is added, everything else means nothing.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(one) = parse(line) {
            *self += one;
        }
    }

    /// Takes in how cargo ended. A test program that dies, or does not compile, prints no closing line; it is one
    /// failure.
    pub(super) fn end(&mut self, success: bool) {
        if !success && self.failed == 0 {
            self.failed = 1;
        }
    }

    /// Tests that were run.
    pub(super) fn ran(&self) -> u64 {
        self.passed + self.failed
    }

    /// True if tests ran and none failed.
    pub(super) fn success(&self) -> bool {
        self.passed > 0 && self.failed == 0
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>8}{:>8}{:>9}", self.passed, self.failed, self.ignored)
    }
}

/// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`.
fn parse(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| {
        counts.split(';').find_map(|part| part.trim().strip_suffix(what)?.trim_end().parse::<u64>().ok())
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")?, ignored: count("ignored")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str, success: bool) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.read(line));
        tally.end(success);
        tally
    }

    #[test]
    fn closing_lines_of_all_programs_are_added() {
        let output = "\nrunning 2 tests\ntest a ... ok\ntest b ... ok\n\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n\
            test result: FAILED. 40 passed; 3 failed; 1 ignored; 0 measured; 7 filtered out; finished in 1.20s\n";
        assert_eq!(tally(output, false), Tally { passed: 42, failed: 3, ignored: 1 });
    }

    #[test]
    fn a_program_that_dies_without_a_closing_line_is_a_failure() {
        let tally = tally("running 2 tests\ntest a ... ok\n", false);
        assert_eq!((tally.failed, tally.success()), (1, false));
    }

    #[test]
    fn no_tests_are_no_success() {
        let output =
            "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.00s";
        assert!(!tally(output, true).success());
        assert!(!tally("", true).success());
    }

    #[test]
    fn what_a_test_prints_is_not_a_closing_line() {
        for line in [
            "  test result: ok. 1 passed; 0 failed; 0 ignored;",
            "test result: unknown",
            "test result: ok. many passed; 0 failed; 0 ignored; 0 measured",
            "test result: ok. 1 passed",
            "3 passed, 0 failed",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
