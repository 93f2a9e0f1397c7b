//! Tables without clutter, and text that cannot command a terminal.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::args::Output;

/// Text from the daemon for a terminal: consumers choose some of it, and control characters could command the
/// terminal. They are shown by name.
pub(super) fn clean(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// As [`clean`], with line ends left as they are.
pub(super) fn clean_lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// A table that may come in pieces.
pub(super) struct Grid {
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    fits_terminal: bool,
    /// Widths of the pieces printed before.
    widths: Option<Vec<u16>>,
}

impl Grid {
    /// A table with columns.
    pub(super) fn new(output: Output, headers: &[&'static str]) -> Self {
        let fits_terminal = output == Output::Table && io::stdout().is_terminal();
        Self { headers: headers.to_vec(), rows: Vec::new(), fits_terminal, widths: None }
    }

    /// Adds a row.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows
            .push(cells.iter().map(|cell| if cell.is_empty() { "-".into() } else { clean(cell) }).collect());
    }

    /// Rows that wait to be printed.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Prints the rows that wait, with the headers before the first of all, and `nothing` if there never was one.
    pub(super) fn print(&mut self, nothing: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.rows.is_empty() && self.widths.is_none() {
            return writeln!(out, "{nothing}");
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        let arrangement =
            if self.fits_terminal { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
        table.set_content_arrangement(arrangement);
        if self.widths.is_none() {
            table.set_header(self.headers.iter().map(Cell::new));
        }
        table.add_rows(self.rows.drain(..));
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        if let Some(widths) = &self.widths {
            let at_least = |&width| ColumnConstraint::LowerBoundary(Width::Fixed(width + 2));
            table.set_constraints(widths.iter().map(at_least));
        } else {
            self.widths = Some(table.column_max_content_widths());
        }
        for line in table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Lines of `name: value` with the values under each other. Empty values are left out.
pub(super) fn facts(facts: &[(&str, String)]) -> io::Result<()> {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    let mut out = io::stdout().lock();
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, "{:width$}  {}", format!("{name}:"), clean(value))?;
    }
    Ok(())
}

/// A line.
pub(super) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", clean(text))
}
