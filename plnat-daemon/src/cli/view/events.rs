//! Events, listed and followed.

use std::io::{self, Write};

use serde::Deserialize;
use serde_json::Value;

use super::time;
use crate::cli::args::Output;
use crate::cli::exit::Failure;
use crate::cli::output::line;
use crate::control::types::EventList;
use crate::events::EventRecord;

pub(in crate::cli) fn events(list: &EventList) -> io::Result<()> {
    if list.events.is_empty() {
        return line("no events");
    }
    list.events.iter().try_for_each(event)
}

fn event(record: &EventRecord) -> io::Result<()> {
    let more = match &record.event.data {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("  {name}={}", plain(value))).collect()
        }
        Value::Null => String::new(),
        other => format!("  {}", plain(other)),
    };
    let EventRecord { id, event, .. } = record;
    line(&format!("{}  {id:>6}  {:<32}  {}{more}", time(event.time), event.kind, event.subject))
}

/// Words without quotes where that is not misleading.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains([' ', '=', '"']) => text.clone(),
        other => other.to_string(),
    }
}

/// Longest line of a stream. An event is one, and far shorter.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// Prints server-sent events as they come.
pub(in crate::cli) struct EventStream {
    output: Output,
    /// What an event named `error` means.
    fails: fn(&[u8]) -> Failure,
    rest: Vec<u8>,
    name: String,
    data: String,
    last: Option<u64>,
}

impl EventStream {
    pub(in crate::cli) fn new(output: Output, fails: fn(&[u8]) -> Failure) -> Self {
        Self { output, fails, rest: vec![], name: String::new(), data: String::new(), last: None }
    }

    /// Another stream goes on here. What the one before left half said comes again.
    pub(in crate::cli) fn begin(&mut self) {
        self.rest.clear();
        self.name.clear();
        self.data.clear();
    }

    /// Takes a piece of the stream.
    pub(in crate::cli) fn take(&mut self, piece: &[u8]) -> Result<(), Failure> {
        self.rest.extend_from_slice(piece);
        let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else {
            let short = self.rest.len() <= LONGEST_LINE;
            return if short { Ok(()) } else { Err(Failure::Strange("a line without an end".into())) };
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        let text = String::from_utf8(whole).map_err(|error| Failure::Strange(error.to_string()))?;
        text.lines().try_for_each(|line| self.line(line))
    }

    /// Takes a line; an empty one ends an event, which is printed.
    pub(in crate::cli) fn line(&mut self, text: &str) -> Result<(), Failure> {
        if text.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            return if data.is_empty() { Ok(()) } else { self.event(&name, &data) };
        }
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.into(),
            "data" => self.data.push_str(value),
            // The id is in the data as well; comments have an empty field.
            _ => {}
        }
        Ok(())
    }

    fn event(&mut self, name: &str, data: &str) -> Result<(), Failure> {
        let strange = |error: serde_json::Error| Failure::Strange(error.to_string());
        if name == "error" {
            return Err((self.fails)(data.as_bytes()));
        }
        if name == "gap" {
            let gap: Gap = serde_json::from_str(data).map_err(strange)?;
            eprintln!(
                "plnat: the events after {} and before {} are no longer in the log",
                gap.after, gap.next
            );
            return Ok(());
        }
        let record: EventRecord = serde_json::from_str(data).map_err(strange)?;
        if self.output == Output::Json {
            let mut shown: Value = serde_json::from_str(data).map_err(strange)?;
            // What the resource API adds to be a CloudEvent by itself, and the control socket does not.
            for constant in ["specversion", "datacontenttype"] {
                shown.as_object_mut().and_then(|event| event.remove(constant));
            }
            writeln!(io::stdout().lock(), "{shown}")?;
        } else {
            event(&record)?;
        }
        self.last = Some(record.sequence());
        Ok(())
    }

    /// The last event.
    pub(in crate::cli) fn last(&self) -> Option<u64> {
        self.last
    }

    /// How to go on where the stream ended.
    pub(in crate::cli) fn resume_hint(&self) -> String {
        self.last.map(|id| format!("; go on with --since {id}")).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Gap {
    after: u64,
    next: u64,
}
