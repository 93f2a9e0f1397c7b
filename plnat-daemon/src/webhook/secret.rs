//! Signatures as <https://www.standardwebhooks.com> has them: HMAC-SHA256 over id, time and body.

use std::fmt;
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::hmac::{HMAC_SHA256, Key, sign, verify};

const PREFIX: &str = "whsec_";
/// Bytes that a secret may have.
const LENGTH: std::ops::RangeInclusive<usize> = 24..=64;
/// Seconds by which a receiver lets a message's time differ from its own clock.
const TOLERANCE: i64 = 300;

/// Secrets of a receiver: the first signs, and so do the others while they are being replaced.
#[derive(Clone)]
pub struct Secret(Vec<Key>);

/// The text is no secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no secret: each line is `whsec_` and 24 to 64 random bytes in base64")]
pub struct BadSecret;

impl Secret {
    /// A new secret in text, for the receiver and for the file that the configuration names.
    pub fn generate() -> Result<String, std::io::Error> {
        let mut random = [0; 32];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random)
            .map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
        Ok(format!("{PREFIX}{}", STANDARD.encode(random)))
    }

    /// The headers that show who sends the body and when.
    pub(super) fn headers(&self, id: &str, time: Timestamp, body: &[u8]) -> HeaderMap {
        let content = content(id, time.as_second(), body);
        let each = |key| format!("v1,{}", STANDARD.encode(sign(key, &content)));
        let signatures = self.0.iter().map(each).collect::<Vec<_>>().join(" ");
        let time = time.as_second().to_string();
        [("webhook-id", id), ("webhook-timestamp", &time), ("webhook-signature", &signatures)]
            .into_iter()
            .filter_map(|(name, value)| {
                Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
            })
            .collect()
    }

    /// What a receiver does: whether the body is of somebody who has one of the secrets, and recent.
    pub fn accepts(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> bool {
        let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
        let (Some(id), Some(time), Some(signatures)) =
            (text("webhook-id"), text("webhook-timestamp"), text("webhook-signature"))
        else {
            return false;
        };
        let Ok(seconds) = time.parse::<i64>() else { return false };
        let recent = now.as_second().checked_sub(seconds).is_some_and(|age| age.abs() <= TOLERANCE);
        let content = content(id, seconds, body);
        let tags = signatures.split(' ').filter_map(|it| STANDARD.decode(it.strip_prefix("v1,")?).ok());
        recent && tags.into_iter().any(|tag| self.0.iter().any(|key| verify(key, &content, &tag).is_ok()))
    }
}

fn content(id: &str, seconds: i64, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{seconds}.").as_bytes(), body].concat()
}

impl FromStr for Secret {
    type Err = BadSecret;

    fn from_str(text: &str) -> Result<Self, BadSecret> {
        let read = |line: &str| {
            let bytes = STANDARD.decode(line.strip_prefix(PREFIX)?).ok()?;
            LENGTH.contains(&bytes.len()).then(|| Key::new(HMAC_SHA256, &bytes))
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys: Vec<_> = lines.map(read).collect::<Option<_>>().ok_or(BadSecret)?;
        if keys.is_empty() { Err(BadSecret) } else { Ok(Self(keys)) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
