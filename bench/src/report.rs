//! What comes out: a table for people, JSON for programs, and pictures.

pub(crate) mod machine;
mod page;
pub(crate) mod picture;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Serialize;

pub(crate) use self::page::Goal;

/// Where results go.
pub(crate) struct Output {
    /// JSON instead of tables on standard output.
    pub(crate) json: bool,
    /// Directory for tables, JSON and pictures.
    pub(crate) save: Option<PathBuf>,
    /// Page whose part about the benchmark is replaced.
    pub(crate) page: Option<PathBuf>,
}

/// Results of one benchmark.
pub(crate) struct Results<'a, T> {
    /// Its verb.
    pub(crate) verb: &'static str,
    /// All figures.
    pub(crate) report: &'a T,
    /// The same in Markdown.
    pub(crate) table: String,
    /// File name and content.
    pub(crate) pictures: Vec<(String, String)>,
    /// What plnat has to reach.
    pub(crate) goals: Vec<Goal>,
}

impl Output {
    /// Prints results, and saves them where that was asked for.
    pub(crate) fn give<T: Serialize>(&self, results: &Results<'_, T>) -> Result<()> {
        let json = serde_json::to_string_pretty(results.report)?;
        if self.json {
            println!("{json}");
        } else {
            println!("{}", results.table);
        }
        if let Some(page) = &self.page {
            page::write(page, results, &json)?;
        }
        let Some(directory) = &self.save else { return Ok(()) };
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        let files = [
            (format!("{}.json", results.verb), json + "\n"),
            (format!("{}.md", results.verb), results.table.clone()),
        ];
        for (name, content) in files.iter().chain(&results.pictures) {
            let path = directory.join(name);
            fs::write(&path, content).with_context(|| path.display().to_string())?;
            eprintln!("wrote {}", path.display());
        }
        Ok(())
    }
}

/// Says what is going on, on standard error.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// A Markdown table.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count(), 3]).max().unwrap_or(3)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(at, (cell, &width))| {
                    if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let mut text = line(head.to_vec());
    let rules: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(at, &width)| "-".repeat(width - (at > 0) as usize) + if at > 0 { ":" } else { "" })
        .collect();
    text += &line(rules.iter().map(String::as_str).collect());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

/// A paragraph a target that gets no figure, by name and reason.
pub(crate) fn refusals<'a, N: std::fmt::Display>(refused: impl Iterator<Item = (N, &'a str)>) -> String {
    refused.map(|(name, why)| format!("No figure: {name}: {why}.\n\n")).collect()
}

/// A number with commas between thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_between_thousands() {
        assert_eq!([0, 999, 1000, 1_048_576].map(count), ["0", "999", "1,000", "1,048,576"]);
    }

    #[test]
    fn a_table_is_aligned() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "23".to_owned()]];
        let wanted = "| what |  ns |\n| ---- | --: |\n| a    |   1 |\n| long |  23 |\n";
        assert_eq!(table(&["what", "ns"], &rows), wanted);
    }
}
