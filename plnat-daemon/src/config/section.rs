//! A table of the file that is read key by key. What was not asked for is unknown.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::Reader;
use super::value::Read;
use crate::model::{Name, nearest};

/// A table.
pub(super) struct Section<'a> {
    pub(super) reader: &'a Reader,
    entries: &'a DeTable<'a>,
    /// Where it begins: its header.
    pub(super) span: Range<usize>,
    /// Keys and positions that lead to it.
    path: String,
    /// Its header as people write it.
    title: String,
    asked: RefCell<Vec<&'static str>>,
}

/// What there is under a key.
enum Found<T> {
    Nothing,
    Wrong,
    Good(T),
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(reader: &'a Reader, entries: &'a DeTable<'a>) -> Self {
        Self {
            reader,
            entries,
            span: 0..0,
            path: String::new(),
            title: String::new(),
            asked: RefCell::default(),
        }
    }

    /// The same table for another reader.
    pub(super) fn with<'b>(&self, reader: &'b Reader) -> Section<'b>
    where
        'a: 'b,
    {
        let (span, path, title) = (self.span.clone(), self.path.clone(), self.title.clone());
        Section { reader, entries: self.entries, span, path, title, asked: RefCell::default() }
    }

    /// A value that must be there; `example` shows how it is written.
    pub(super) fn required<T>(&self, key: &'static str, example: &str, read: impl Read<T>) -> Option<T> {
        match self.find(key, read) {
            Found::Good(value) => Some(value),
            Found::Wrong => None,
            Found::Nothing => {
                let message = format!("`{key}` is missing in {}", self.title);
                self.reader.wrong(self.span.clone(), message, format!("write {key} = {example}"));
                None
            }
        }
    }

    /// A value that may be missing.
    pub(super) fn optional<T>(&self, key: &'static str, read: impl Read<T>) -> Option<T> {
        match self.find(key, read) {
            Found::Good(value) => Some(value),
            Found::Wrong | Found::Nothing => None,
        }
    }

    /// A value that may be missing, with what counts then and what counts when it is wrong.
    pub(super) fn either<T>(&self, key: &'static str, read: impl Read<T>, missing: T, wrong: T) -> T {
        match self.find(key, read) {
            Found::Good(value) => value,
            Found::Nothing => missing,
            Found::Wrong => wrong,
        }
    }

    /// The readable entries of a list that may be missing, each with where it is written.
    pub(super) fn list<T>(&self, key: &'static str, example: &str, read: impl Read<T>) -> Vec<T> {
        self.asked.borrow_mut().push(key);
        let Some(value) = self.entries.get(key) else { return vec![] };
        let DeValue::Array(items) = value.get_ref() else {
            let message = format!("`{key}` is a list, not {}", kind(value.get_ref()));
            self.reader.wrong(value.span(), message, format!("write {key} = {example}"));
            self.reader.kept(self.path_of(key), vec![]);
            return vec![];
        };
        self.keep(key, items.iter().map(|item| self.value(item, &read)).collect())
    }

    /// The tables `[[key]]` in this one.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'a>> {
        self.asked.borrow_mut().push(key);
        let Some(value) = self.entries.get(key) else { return vec![] };
        let title = self.title_of(key);
        let DeValue::Array(items) = value.get_ref() else {
            let message = format!("`{key}` is a list of tables, not {}", kind(value.get_ref()));
            self.reader.wrong(value.span(), message, format!("write {title} as a header"));
            self.reader.broken(key, None);
            self.reader.kept(self.path_of(key), vec![]);
            return vec![];
        };
        let mut sections = vec![];
        for (at, item) in items.iter().enumerate() {
            match item.get_ref() {
                DeValue::Table(entries) => sections.push(self.section(entries, item.span(), key, Some(at))),
                other => {
                    let message = format!("`{key}` is a list of tables, and this is {}", kind(other));
                    self.reader.wrong(item.span(), message, format!("write {title} as a header"));
                    self.reader.broken(key, None);
                }
            }
        }
        sections
    }

    /// The table `[key]` in this one.
    pub(super) fn table(&self, key: &'static str) -> Option<Section<'a>> {
        self.asked.borrow_mut().push(key);
        let value = self.entries.get(key)?;
        match value.get_ref() {
            DeValue::Table(entries) => Some(self.section(entries, value.span(), key, None)),
            other => {
                let message = format!("`{key}` is a table, not {}", kind(other));
                let help = format!("write {}", self.table_title(key));
                self.reader.wrong(value.span(), message, help);
                None
            }
        }
    }

    /// What `read` makes of the tables `[[key]]`, as far as it can.
    pub(super) fn build<T>(&self, key: &'static str, read: impl Fn(&Section<'a>) -> Option<T>) -> Vec<T> {
        let mut built = vec![];
        for section in self.sections(key) {
            let spec = read(&section);
            section.finish();
            if spec.is_none() {
                let name = section.peek("name").filter(|name| name.parse::<Name>().is_ok());
                self.reader.broken(key, name);
            }
            built.push(spec);
        }
        self.keep(key, built)
    }

    /// Says what was not asked for.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.entries.iter().filter(|(key, _)| !asked.contains(&key.get_ref().as_ref())) {
            let place = if self.title.is_empty() { "the file".to_owned() } else { self.title.clone() };
            let message = format!("`{}` is no key of {place}", key.get_ref());
            let help = match nearest(key.get_ref(), asked.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys are {}", asked.join(", ")),
            };
            self.reader.wrong(key.span(), message, help);
        }
    }

    /// Whether the key is there, whatever it holds.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The stretch of the text in which the key's value is written.
    pub(super) fn span_of(&self, key: &str) -> Range<usize> {
        self.entries.get(key).map_or_else(|| self.span.clone(), |value| value.span())
    }

    /// The text under a key, if that is what it is; nothing is said and the key stays unasked.
    pub(super) fn peek(&self, key: &str) -> Option<&'a str> {
        self.entries.get(key).and_then(|value| value.get_ref().as_str())
    }

    fn find<T>(&self, key: &'static str, read: impl Read<T>) -> Found<T> {
        self.asked.borrow_mut().push(key);
        match self.entries.get(key) {
            None => Found::Nothing,
            Some(value) => self.value(value, &read).map_or(Found::Wrong, Found::Good),
        }
    }

    fn value<T>(&self, value: &Spanned<DeValue<'_>>, read: &impl Read<T>) -> Option<T> {
        match read.read(value.get_ref()) {
            Ok(good) => Some(good),
            Err((message, help)) => {
                self.reader.wrong(value.span(), message, help);
                None
            }
        }
    }

    fn keep<T>(&self, key: &str, read: Vec<Option<T>>) -> Vec<T> {
        if read.iter().any(Option::is_none) {
            let positions = read.iter().enumerate().filter(|(_, item)| item.is_some()).map(|(at, _)| at);
            self.reader.kept(self.path_of(key), positions.collect());
        }
        read.into_iter().flatten().collect()
    }

    fn section(
        &self,
        entries: &'a DeTable<'a>,
        span: Range<usize>,
        key: &str,
        at: Option<usize>,
    ) -> Section<'a> {
        let (path, title) = match at {
            Some(at) => (format!("{}[{at}]", self.path_of(key)), self.title_of(key)),
            None => (self.path_of(key), self.table_title(key)),
        };
        Section { reader: self.reader, entries, span, path, title, asked: RefCell::default() }
    }

    fn path_of(&self, key: &str) -> String {
        format!("{}{}{key}", self.path, if self.path.is_empty() { "" } else { "." })
    }

    fn title_of(&self, key: &str) -> String {
        format!("[{}]", self.table_title(key))
    }

    fn table_title(&self, key: &str) -> String {
        let outer = self.title.trim_matches(['[', ']']);
        format!("[{outer}{}{key}]", if outer.is_empty() { "" } else { "." })
    }
}

/// A kind of value, with its article.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
