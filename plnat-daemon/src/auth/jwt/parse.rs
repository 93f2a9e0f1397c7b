//! The compact form of RFC 7515 section 7.1: three parts in base64.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::super::refusal::Refusal;
use super::key::Algorithm;

/// A token that reads well. Nothing in it is believed yet.
pub(in crate::auth) struct Jwt<'a> {
    /// What the signature has to be made with.
    pub(super) algorithm: Algorithm,
    /// The id of the key that it was made with, if the header says it.
    pub(super) key_id: Option<String>,
    /// What is signed.
    pub(super) signed: &'a [u8],
    /// The signature.
    pub(super) signature: Vec<u8>,
    /// The claims as they stand in the token.
    pub(super) claims: Map<String, Value>,
}

impl<'a> Jwt<'a> {
    /// Reads a token.
    pub(in crate::auth) fn read(text: &'a str) -> Result<Self, Refusal> {
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed);
        };
        let signed = &text.as_bytes()[..header.len() + 1 + claims.len()];
        let header = object(header)?;
        let algorithm = match header.get("alg") {
            Some(Value::String(name)) => Algorithm::named(name).ok_or(Refusal::Algorithm)?,
            _ => return Err(Refusal::Malformed),
        };
        // RFC 7515 section 4.1.11: what is critical and not understood has to be refused, and nothing is understood.
        if header.contains_key("crit") {
            return Err(Refusal::Malformed);
        }
        let is_jwt = |name: &str| {
            let name = name.to_ascii_lowercase();
            matches!(name.strip_prefix("application/").unwrap_or(&name), "jwt" | "at+jwt")
        };
        match header.get("typ") {
            None => {}
            Some(Value::String(name)) if is_jwt(name) => {}
            Some(_) => return Err(Refusal::Malformed),
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(Refusal::Malformed),
        };
        let claims = object(claims)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Malformed)?;
        Ok(Self { algorithm, key_id, signed, signature, claims })
    }

    /// Who says to have signed it.
    pub(in crate::auth) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }
}

fn object(part: &str) -> Result<Map<String, Value>, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Refusal::Malformed)
}
