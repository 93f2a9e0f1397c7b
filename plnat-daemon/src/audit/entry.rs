//! One line.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest text of a field in bytes; the rest is left out.
const LONGEST: usize = 1024;

/// A call that was denied or that changes something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// When it was decided.
    pub time: Timestamp,
    /// The caller's principal; none for somebody unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// By what the caller was known ([`crate::auth::Shown`]), never the proof itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// The other end of the connection; none on the control socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<SocketAddr>,
    /// The request's method.
    pub method: String,
    /// The request's path, without its query.
    pub path: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Status of the answer.
    pub status: u16,
    /// Why it was denied or failed: a refusal in words, or the error's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Id of the request, as the answer's header says it.
    pub request: String,
}

/// What came of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Done,
    /// The caller may not.
    Denied,
    /// The caller may, but it could not be done.
    Failed,
}

impl AuditEntry {
    /// The line with its end. JSON escapes what would look like another line.
    pub(super) fn line(mut self) -> String {
        if let Some(at) = self.path.find('?') {
            self.path.truncate(at);
        }
        let texts = [&mut self.principal, &mut self.shown, &mut self.reason].into_iter().flatten();
        for text in texts.chain([&mut self.method, &mut self.path, &mut self.request]) {
            shorten(text);
        }
        // Plain fields without maps or floats always have a JSON form.
        serde_json::to_string(&self).unwrap_or_default() + "\n"
    }
}

fn shorten(text: &mut String) {
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}
