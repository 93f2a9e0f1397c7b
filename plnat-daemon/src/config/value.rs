//! Single values: from what TOML has to what the model has.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use toml::de::DeValue;

use super::section::kind;
use crate::model::{Location, Name, nearest};

/// What is wrong with a value, and what to write instead.
pub(super) type Complaint = (String, String);

/// Something that reads a value.
pub(super) trait Read<T> {
    fn read(&self, value: &DeValue<'_>) -> Result<T, Complaint>;
}

impl<T, F: Fn(&DeValue<'_>) -> Result<T, Complaint>> Read<T> for F {
    fn read(&self, value: &DeValue<'_>) -> Result<T, Complaint> {
        self(value)
    }
}

/// A string.
pub(super) fn text(value: &DeValue<'_>) -> Result<String, Complaint> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        other => {
            let written = match other {
                DeValue::Integer(number) => format!("write \"{number}\""),
                _ => "write a text in quotes".to_owned(),
            };
            Err((format!("expected a string, found {}", kind(other)), written))
        }
    }
}

/// A name.
pub(super) fn name(value: &DeValue<'_>) -> Result<Name, Complaint> {
    let text = text(value)?;
    let help = || {
        let good = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '-' };
        let near: String = text.chars().map(good).take(Name::LONGEST).collect();
        let near = near.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        if near.is_empty() { "write a name like \"web\"".to_owned() } else { format!("write \"{near}\"") }
    };
    text.parse().map_err(|error: crate::model::BadName| (error.to_string(), help()))
}

/// A region.
pub(super) fn location(value: &DeValue<'_>) -> Result<Location, Complaint> {
    let bad = |error: crate::model::BadLocation| {
        (error.to_string(), "write a location like \"westeurope\"".to_owned())
    };
    text(value)?.parse().map_err(bad)
}

/// An IPv4 address.
pub(super) fn address(value: &DeValue<'_>) -> Result<Ipv4Addr, Complaint> {
    let text = text(value)?;
    let help = || match text.parse::<Ipv4Net>() {
        Ok(prefix) => format!("write the address alone: \"{}\"", prefix.addr()),
        Err(_) => "write four numbers from 0 to 255, like \"10.0.1.4\"".to_owned(),
    };
    text.parse().map_err(|_| (format!("`{text}` is no IPv4 address"), help()))
}

/// An IPv4 prefix.
pub(super) fn prefix(value: &DeValue<'_>) -> Result<Ipv4Net, Complaint> {
    let text = text(value)?;
    let help = || match text.parse::<Ipv4Addr>() {
        Ok(address) => format!("write the number of network bits behind it, like \"{address}/24\""),
        Err(_) => "write an address and a length, like \"10.0.1.0/24\"".to_owned(),
    };
    text.parse().map_err(|_| (format!("`{text}` is no IPv4 prefix"), help()))
}

/// An absolute path.
pub(super) fn path(value: &DeValue<'_>) -> Result<PathBuf, Complaint> {
    let text = text(value)?;
    if text.starts_with('/') {
        return Ok(text.into());
    }
    Err((
        format!("`{text}` is no absolute path"),
        format!("write \"/{text}\", or another path from the root on"),
    ))
}

/// `true` or `false`.
pub(super) fn truth(value: &DeValue<'_>) -> Result<bool, Complaint> {
    let bad = || (format!("expected true or false, found {}", kind(value)), "write true or false".to_owned());
    value.as_bool().ok_or_else(bad)
}

/// A whole number in a range.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl Read<T>
where
    T: TryFrom<i64> + PartialOrd + Copy + std::fmt::Display,
{
    move |value: &DeValue<'_>| {
        let (from, to) = (range.start(), range.end());
        let help = || format!("write a whole number from {from} to {to}");
        let DeValue::Integer(integer) = value else {
            return Err((format!("expected a whole number, found {}", kind(value)), help()));
        };
        let read = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = read.and_then(|number| T::try_from(number).ok()).filter(|number| range.contains(number));
        number.ok_or_else(|| (format!("{integer} is not between {from} and {to}"), help()))
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(words: &[(&'static str, T)]) -> impl Read<T> {
    move |value: &DeValue<'_>| {
        let list = || words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let DeValue::String(text) = value else {
            return Err((
                format!("expected a string, found {}", kind(value)),
                format!("write one of {}", list()),
            ));
        };
        if let Some((_, meant)) = words.iter().find(|(word, _)| word == text) {
            return Ok(*meant);
        }
        let help = match nearest(text, words.iter().map(|(word, _)| *word)) {
            Some(near) => format!("write \"{near}\"; the words are {}", list()),
            None => format!("write one of {}", list()),
        };
        Err((format!("`{text}` is not known here"), help))
    }
}
