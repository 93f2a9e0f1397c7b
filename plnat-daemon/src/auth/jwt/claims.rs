//! Claims of a token whose signature is good.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::refusal::Refusal;
use super::issuer::IssuerSpec;

/// Claims that are the issuer's words, for us, and now.
pub(in crate::auth) struct Claims(Map<String, Value>);

impl Claims {
    /// Checks who says it, for whom and when. A time that is no number is no time.
    pub(super) fn check(
        claims: Map<String, Value>,
        by: &IssuerSpec,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        if claims.get("iss").and_then(Value::as_str) != Some(&by.issuer) {
            return Err(Refusal::UnknownIssuer);
        }
        let ours = |it: &Value| it.as_str().is_some_and(|it| by.audiences.iter().any(|ours| ours == it));
        let for_us = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().all(Value::is_string) && all.iter().any(ours),
            Some(one) => ours(one),
            None => false,
        };
        if !for_us {
            return Err(Refusal::Audience);
        }
        // In whole seconds both are exact; fractions that an issuer may send do not matter beside the skew.
        let (now, skew) = (now.as_second() as f64, f64::from(by.skew));
        let seconds = |claim| match claims.get(claim) {
            None => Ok(None),
            Some(value) => value.as_f64().filter(|it| it.is_finite()).map(Some).ok_or(Refusal::Malformed),
        };
        let ends = seconds("exp")?.ok_or(Refusal::Malformed)?;
        if now >= ends + skew {
            return Err(Refusal::Expired);
        }
        for claim in ["nbf", "iat"] {
            if seconds(claim)?.is_some_and(|begins| begins > now + skew) {
                return Err(Refusal::NotYet);
            }
        }
        Ok(Self(claims))
    }

    /// Whether the claim is this text, or a list with it.
    pub(in crate::auth) fn says(&self, claim: &str, value: &str) -> bool {
        match self.0.get(claim) {
            Some(Value::String(text)) => text == value,
            Some(Value::Array(list)) => list.iter().any(|it| it.as_str() == Some(value)),
            _ => false,
        }
    }

    /// Whom the token is about.
    pub(in crate::auth) fn subject(&self) -> Option<&str> {
        self.0.get("sub").and_then(Value::as_str)
    }
}
