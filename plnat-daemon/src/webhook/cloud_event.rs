//! CloudEvents 1.0 in the JSON event format (<https://github.com/cloudevents/spec>), structured mode.

use serde_json::{Map, Value};

use crate::events::EventRecord;

/// Media type of one event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// The event with all attributes. An attribute without a value is left out: the specification forbids empty ones.
pub fn structured(record: &EventRecord) -> Value {
    let mut event = Map::new();
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            event.insert(name.to_owned(), value.into());
        }
    };
    put("specversion", "1.0");
    put("id", &record.id);
    put("source", &record.source);
    put("type", &record.event.kind);
    put("subject", &record.event.subject);
    put("time", &record.event.time.to_string());
    if !record.event.data.is_null() {
        put("datacontenttype", "application/json");
        event.insert("data".to_owned(), record.event.data.clone());
    }
    Value::Object(event)
}
