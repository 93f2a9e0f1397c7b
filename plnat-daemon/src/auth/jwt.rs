//! JSON Web Tokens (RFC 7519) with RS256 and ES256 signatures, and nothing else.
//!
//! The key says which algorithm it is for, and the token's header must agree: a header cannot talk a public RSA key
//! into being an HMAC secret, and `none` has no key. What a header says about where keys are is not read.

mod claims;
mod issuer;
mod key;
mod keyring;
mod parse;

pub use issuer::{Issuer, IssuerSpec, KeySource};
pub use key::{BadKeys, Key, read_keys};
pub(super) use parse::Jwt;

#[cfg(test)]
mod tests;
