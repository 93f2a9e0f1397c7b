//! Who calls, and what they may do where.
//!
//! A caller shows a token of ours, a JSON Web Token of an issuer that the configuration names, or a client certificate;
//! the configuration binds each to a [`Principal`] with its subscriptions and roles. What is in a URL is a wish and no
//! proof. Nothing here reads a clock or a file but [`KeyKeeper`], which fetches the issuers' keys.

mod authenticator;
mod caller;
mod certificate;
mod credentials;
mod jwt;
mod keeper;
mod principal;
mod refusal;
mod role;
mod token;

pub use authenticator::{Authenticator, Conflict};
pub use caller::{Caller, Shown};
pub use certificate::{BadCertificate, BadCertificateMatch, CertificateIdentity, CertificateMatch};
pub use credentials::Credentials;
pub use jwt::{BadKeys, Issuer, IssuerSpec, Key, KeySource, read_keys};
pub use keeper::{AccessError, KeyError, KeyKeeper};
pub use principal::{ClaimMatch, Principal, Proof, Scope};
pub use refusal::Refusal;
pub use role::{Action, Role};
pub use token::{BadTokenHash, Token, TokenHash};

#[cfg(test)]
mod tests;
