//! A page for people. What the benchmarks say lies between marks, one pair for each benchmark and one for what is to be reached; all
//! else is written by hand and stays.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{Results, table};

/// The part with what is to be reached.
const GOALS: &str = "goals";
/// Head of its table.
const HEAD: [&str; 6] = ["benchmark", "work", "must reach", "tries for", "measured", "reached"];

/// Something that plnat has to reach.
pub(crate) struct Goal {
    work: String,
    /// Whether less is better.
    at_most: bool,
    must: f64,
    aim: f64,
    unit: &'static str,
    measured: Option<f64>,
    /// Whether plnat was refused a figure.
    refused: bool,
}

impl Goal {
    /// Reached by no more than `must`, and the aim by no more than `aim`.
    pub(crate) fn at_most(
        work: String,
        must: f64,
        aim: f64,
        unit: &'static str,
        measured: Option<f64>,
    ) -> Self {
        Self { work, at_most: true, must, aim, unit, measured, refused: false }
    }

    /// Reached by no less than `must`, and the aim by no less than `aim`.
    pub(crate) fn at_least(
        work: String,
        must: f64,
        aim: f64,
        unit: &'static str,
        measured: Option<f64>,
    ) -> Self {
        Self { at_most: false, ..Self::at_most(work, must, aim, unit, measured) }
    }

    /// Says that plnat gets no figure for want of doing the work.
    pub(crate) fn unless(self, refused: bool) -> Self {
        Self { refused, ..self }
    }

    fn verdict(&self) -> &'static str {
        let Some(measured) = self.measured else {
            return if self.refused { "no: no figure, for the reason below" } else { "not measured" };
        };
        let holds = |limit: f64| if self.at_most { measured <= limit } else { measured >= limit };
        match (holds(self.must), holds(self.aim)) {
            (true, true) if self.must != self.aim => "yes, the aim too",
            (true, _) => "yes",
            (false, _) => "no",
        }
    }

    fn row(&self, verb: &str) -> Vec<String> {
        let number = |value: f64| {
            let digits = if self.unit == "×" { 2 } else { 0 };
            format!("{value:.digits$} {}", self.unit).trim_end().to_owned()
        };
        let sign = if self.at_most { "≤" } else { "≥" };
        let aim = if self.aim == self.must { "–".into() } else { format!("{sign} {}", number(self.aim)) };
        vec![
            verb.to_owned(),
            self.work.clone(),
            format!("{sign} {}", number(self.must)),
            aim,
            self.measured.map_or("–".into(), number),
            self.verdict().to_owned(),
        ]
    }
}

/// Writes a benchmark's part of a page anew, and its JSON and pictures into the directory of the page's name beside it.
///
/// # Errors
/// When the page is not there or has no marks for this benchmark, and when it cannot be written.
pub(super) fn write<T: Serialize>(page: &Path, results: &Results<'_, T>, json: &str) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let directory = page.with_extension("");
    let name = directory.file_name().and_then(|name| name.to_str()).context("a page without a name")?;
    let mut part = results.table.clone();
    for (picture, _) in &results.pictures {
        part += &format!("\n![{}]({name}/{picture})\n", results.verb);
    }
    let rows: Vec<Vec<String>> = results.goals.iter().map(|goal| goal.row(results.verb)).collect();
    let text = replace(&text, results.verb, &part)?;
    let text = replace(&text, GOALS, &merged(&part_of(&text, GOALS)?, results.verb, rows))?;
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    for (name, content) in
        [(format!("{}.json", results.verb), format!("{json}\n"))].iter().chain(&results.pictures)
    {
        let path = directory.join(name);
        fs::write(&path, content).with_context(|| path.display().to_string())?;
    }
    // Whole or not at all: what is written by hand is not lost to a full disk.
    let fresh = page.with_extension("md.new");
    fs::write(&fresh, text).with_context(|| fresh.display().to_string())?;
    fs::rename(&fresh, page).with_context(|| page.display().to_string())?;
    eprintln!("wrote {}", page.display());
    Ok(())
}

/// The table of goals with the rows of one benchmark in place of those it had, and with all others.
fn merged(before: &str, verb: &str, rows: Vec<Vec<String>>) -> String {
    let cells = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
    };
    let old: Vec<Vec<String>> =
        before.lines().filter(|line| line.starts_with('|')).skip(2).map(cells).collect();
    let at = old.iter().position(|row| row[0] == verb).unwrap_or(old.len());
    let mut kept: Vec<Vec<String>> = old.into_iter().filter(|row| row[0] != verb).collect();
    let at = at.min(kept.len());
    kept.splice(at..at, rows);
    table(&HEAD, &kept)
}

/// Where a part begins and ends.
fn place(text: &str, part: &str) -> Result<(usize, usize)> {
    let (begin, end) = (format!("<!-- measured: {part} -->\n"), format!("<!-- end of {part} -->"));
    let from = text.find(&begin).with_context(|| format!("the page has no line {begin}"))? + begin.len();
    let length = text[from..].find(&end).with_context(|| format!("the page has no line {end}"))?;
    Ok((from, from + length))
}

fn part_of(text: &str, part: &str) -> Result<String> {
    let (from, to) = place(text, part)?;
    Ok(text[from..to].to_owned())
}

fn replace(text: &str, part: &str, by: &str) -> Result<String> {
    let (from, to) = place(text, part)?;
    Ok(format!("{}\n{}\n\n{}", &text[..from], by.trim(), &text[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "by hand\n<!-- measured: goals -->\n<!-- end of goals -->\n<!-- measured: one -->\nold\n<!-- end of one -->\nmore by hand\n";

    #[test]
    fn a_part_is_replaced_and_the_rest_stays() {
        let once = replace(PAGE, "one", "new").unwrap();
        assert_eq!(once, PAGE.replace("\nold\n", "\n\nnew\n\n"));
        assert_eq!(replace(&once, "one", "new").unwrap(), once, "again changes nothing");
        assert!(replace(PAGE, "two", "new").is_err());
    }

    #[test]
    fn goals_of_other_benchmarks_stay_and_own_ones_keep_their_place() {
        let row =
            |verb: &str, measured| vec![Goal::at_most("work".into(), 1.0, 0.5, "×", measured).row(verb)];
        let text = merged("", "one", row("one", Some(0.9)));
        let text = merged(&text, "two", row("two", None));
        let text = merged(&text, "one", row("one", Some(2.0)));
        let verdicts: Vec<&str> = text
            .lines()
            .skip(2)
            .map(|line| line.trim_matches(['|', ' ']).rsplit(" | ").next().unwrap().trim())
            .collect();
        assert_eq!(verdicts, ["no", "not measured"], "{text}");
    }

    #[test]
    fn what_is_reached_is_reckoned_from_the_figures() {
        let verdict = |measured| Goal::at_least(String::new(), 4.0, 5.0, "×", Some(measured)).verdict();
        assert_eq!([3.9, 4.0, 5.0].map(verdict), ["no", "yes", "yes, the aim too"]);
        let refused = Goal::at_most(String::new(), 1.0, 1.0, "", None).unless(true);
        assert_eq!(refused.verdict(), "no: no figure, for the reason below");
    }
}
