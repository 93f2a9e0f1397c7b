//! Events, listed and followed.

use std::io::{self, Write};

use serde::Deserialize;
use serde_json::Value;

use super::time;
use crate::cli::args::Output;
use crate::cli::client::refusal;
use crate::cli::exit::Failure;
use crate::cli::output::line;
use crate::control::types::EventList;
use crate::events::EventRecord;

pub(in crate::cli) fn events(list: EventList, _output: Output) -> io::Result<()> {
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

/// Reads server-sent events line by line.
#[derive(Default)]
pub(in crate::cli) struct EventStream {
    name: String,
    data: String,
    last: Option<String>,
}

impl EventStream {
    /// Takes a line; an empty one ends an event, which is printed.
    pub(in crate::cli) fn line(&mut self, text: &str, output: Output) -> Result<(), Failure> {
        if text.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            return if data.is_empty() { Ok(()) } else { self.event(&name, &data, output) };
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

    fn event(&mut self, name: &str, data: &str, output: Output) -> Result<(), Failure> {
        let strange = |error: serde_json::Error| Failure::Strange(error.to_string());
        if name == "error" {
            return Err(refusal(data.as_bytes()));
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
        if output == Output::Json {
            writeln!(io::stdout().lock(), "{data}")?;
        } else {
            event(&record)?;
        }
        self.last = Some(record.id);
        Ok(())
    }

    /// How to go on where the stream ended.
    pub(in crate::cli) fn resume_hint(&self) -> String {
        self.last.as_ref().map(|id| format!("; go on with --since {id}")).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Gap {
    after: u64,
    next: u64,
}
