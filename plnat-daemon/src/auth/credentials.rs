//! What a request shows: taken from its parts, not believed yet.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::refusal::Refusal;

/// Longest token in bytes. Those of large issuers stay below 8 KiB.
const LONGEST: usize = 16 * 1024;

/// A request's proof.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// A bearer token.
    Bearer(&'a str),
    /// A client certificate in DER, whose chain and possession the handshake has verified.
    Certificate(&'a [u8]),
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer(…)",
            Self::Certificate(_) => "Certificate(…)",
        })
    }
}

impl<'a> Credentials<'a> {
    /// What the headers say; `certificate` is the connection's, in DER. A header decides alone: one that is wrong is
    /// not made good by a certificate.
    pub fn of(headers: &'a HeaderMap, certificate: Option<&'a [u8]>) -> Result<Self, Refusal> {
        let mut headers = headers.get_all(AUTHORIZATION).iter();
        let Some(header) = headers.next() else {
            return certificate.map(Self::Certificate).ok_or(Refusal::Nothing);
        };
        if headers.next().is_some() {
            return Err(Refusal::Several);
        }
        if header.len() > LONGEST {
            return Err(Refusal::TooLong);
        }
        let text = header.to_str().map_err(|_| Refusal::NotBearer)?;
        let (scheme, token) = text.split_once(' ').ok_or(Refusal::NotBearer)?;
        // RFC 6750 section 2.1: the scheme, one or more spaces, b64token.
        let token = token.trim_start_matches(' ');
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || !token.bytes().all(known) {
            return Err(Refusal::NotBearer);
        }
        Ok(Self::Bearer(token))
    }
}
