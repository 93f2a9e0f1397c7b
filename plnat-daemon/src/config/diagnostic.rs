//! What is said about a file: where, what is wrong, what to write instead.

use std::fmt;
use std::ops::Range;

use crate::auth::Token;

/// A file's name and text.
#[derive(Clone, Debug)]
pub(super) struct Source {
    name: String,
    text: String,
}

impl Source {
    pub(super) fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Something about a stretch of the text, in bytes.
    pub(super) fn diagnostic(&self, span: Range<usize>, message: String, help: Option<String>) -> Diagnostic {
        let start = self.boundary(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let rest = &self.text[line_start..];
        let quote = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let quote = conceal(&quote.replace('\t', " "));
        let column = self.text[line_start..start].chars().count() + 1;
        let end = self.boundary(span.end.max(start));
        let wanted = self.text[start..end].split('\n').next().unwrap_or_default().chars().count();
        let length = wanted.min((quote.chars().count() + 1).saturating_sub(column)).max(1);
        let line = self.text[..start].matches('\n').count() + 1;
        let place = Some(Place { line, column, length, quote });
        Diagnostic { file: self.name.clone(), place, message, help }
    }

    /// The start of the character at a position, or the end.
    fn boundary(&self, at: usize) -> usize {
        (0..=at.min(self.text.len())).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0)
    }

    /// Something about the file as a whole.
    pub(super) fn general(&self, message: String, help: Option<String>) -> Diagnostic {
        Diagnostic { file: self.name.clone(), place: None, message, help }
    }
}

/// The line without the tokens that stand in it by mistake: what is said goes to logs. As long as before.
fn conceal(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(Token::PREFIX) {
        let (before, found) = rest.split_at(at + Token::PREFIX.len());
        let secret = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let length = found.find(|c| !secret(c)).unwrap_or(found.len());
        shown.push_str(before);
        shown.extend(std::iter::repeat_n('*', length));
        rest = &found[length..];
    }
    shown + rest
}

/// One thing that is wrong with a configuration file. Displayed as compilers do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    file: String,
    place: Option<Place>,
    message: String,
    help: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    line: usize,
    column: usize,
    length: usize,
    quote: String,
}

impl Diagnostic {
    /// The file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Line, from 1; none when no single line is to blame.
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.line)
    }

    /// Column in characters, from 1.
    pub fn column(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.column)
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to write instead.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, place, message, help } = self;
        writeln!(f, "error: {message}")?;
        let width = place.as_ref().map_or(0, |place| place.line.to_string().len());
        let margin = " ".repeat(width);
        match place {
            Some(Place { line, column, length, quote }) => {
                writeln!(f, "{margin}--> {file}:{line}:{column}")?;
                writeln!(f, "{margin} |")?;
                writeln!(f, "{line} | {quote}")?;
                writeln!(f, "{margin} | {}{}", " ".repeat(column - 1), "^".repeat(*length))?;
            }
            None => writeln!(f, "--> {file}")?,
        }
        if let Some(help) = help {
            writeln!(f, "{margin} = help: {help}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration file, from top to bottom; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    pub(super) fn new(mut found: Vec<Diagnostic>) -> Self {
        let place = |it: &Diagnostic| (it.line().unwrap_or(usize::MAX), it.column());
        found.sort_by_key(place);
        found.dedup();
        Self(found)
    }

    pub(super) fn of_file(file: &str, message: String, help: &str) -> Self {
        Self(vec![Diagnostic { file: file.to_owned(), place: None, message, help: Some(help.to_owned()) }])
    }

    /// From top to bottom.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.0 {
            writeln!(f, "{diagnostic}")?;
        }
        let count = self.0.len();
        write!(f, "{count} error{} in the configuration", if count == 1 { "" } else { "s" })
    }
}

impl std::error::Error for Diagnostics {}
