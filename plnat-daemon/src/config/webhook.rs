//! `[[webhook]]`: receivers of events.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use toml::de::DeValue;

use super::access::url;
use super::section::Section;
use super::value::{Complaint, name, number, path, text};
use crate::events::kind;
use crate::model::{Name, nearest};
use crate::webhook::{BadPattern, EventPattern, WebhookSpec};

pub(super) fn read(root: &Section<'_>) -> Vec<WebhookSpec> {
    let names: RefCell<BTreeSet<Name>> = RefCell::default();
    root.build("webhook", |section| {
        let called = section.required("name", "\"tickets\"", name);
        if let Some(called) = &called
            && !names.borrow_mut().insert(called.clone())
        {
            let message = format!("another [[webhook]] is called `{called}`");
            section.reader.wrong(section.span_of("name"), message, "give it another name");
        }
        let url = section.required("url", "\"https://example.com/hook\"", url);
        let secret_file = section.required("secret_file", "\"/etc/plnat/tickets.secret\"", path);
        let ca_file = section.optional("ca_file", path);
        let events = section.list("events", "[\"connection.*\"]", pattern);
        let subscriptions = section.list("subscriptions", "[\"contoso\"]", name);
        let timeout = section.optional("timeout_in_seconds", number(1..=60)).map(Duration::from_secs);
        let hours = section.optional("give_up_after_in_hours", number(1..=168));
        let hours = hours.map(|hours: u64| Duration::from_secs(hours * 3600));
        Some(WebhookSpec {
            name: called?,
            url: url?,
            secret_file: secret_file?,
            ca_file,
            events,
            subscriptions,
            timeout: timeout.unwrap_or(WebhookSpec::TIMEOUT),
            give_up: hours.unwrap_or(WebhookSpec::GIVE_UP),
            pause: WebhookSpec::PAUSE,
        })
    })
}

fn pattern(value: &DeValue<'_>) -> Result<EventPattern, Complaint> {
    text(value)?.parse().map_err(|error: BadPattern| {
        let help = match nearest(&error.0, kind::ALL.into_iter()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the kinds are {}, or with `.*` all that begin alike", kind::ALL.join(", ")),
        };
        (error.to_string(), help)
    })
}
