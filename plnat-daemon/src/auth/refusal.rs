//! Why a proof was not accepted. The audit log says it; the caller only hears that it was not.

use crate::model::Name;

/// Why somebody is not let in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// Neither a header nor a certificate.
    #[error("nothing was shown")]
    Nothing,
    /// More than one `Authorization` header.
    #[error("more than one Authorization header")]
    Several,
    /// Another scheme than `Bearer`, or no token behind it.
    #[error("the Authorization header is no bearer token")]
    NotBearer,
    /// Longer than any token.
    #[error("the token is too long")]
    TooLong,
    /// Neither a token of ours nor a JSON Web Token.
    #[error("the token has no known form")]
    Malformed,
    /// A token of ours by its form, but not in the configuration.
    #[error("the token is unknown")]
    UnknownToken,
    /// The JSON Web Token's header asks for something else than RS256 or ES256.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// The JSON Web Token is of no issuer in the configuration.
    #[error("the token's issuer is unknown")]
    UnknownIssuer,
    /// No key of the issuer has the id that the token names. Its keys may have changed.
    #[error("issuer `{issuer}` has no key like the token's")]
    UnknownKey {
        /// The issuer.
        issuer: Name,
    },
    /// The signature is not of the issuer's keys.
    #[error("the token's signature is wrong")]
    Signature,
    /// The token is for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// The token's time is over.
    #[error("the token has expired")]
    Expired,
    /// The token's time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// The certificate cannot be read.
    #[error("the certificate cannot be read")]
    Certificate,
    /// The certificate's time is over or has not come.
    #[error("the certificate is not valid now")]
    CertificateTime,
    /// The proof is good, but the configuration binds it to nobody.
    #[error("{shown} is no principal's")]
    Nobody {
        /// What was shown, without secrets.
        shown: String,
    },
    /// The proof is good, but the configuration binds it to several principals.
    #[error("{shown} is several principals'")]
    Ambiguous {
        /// What was shown, without secrets.
        shown: String,
    },
}

impl Refusal {
    /// Value of the `WWW-Authenticate` header of the 401 (RFC 6750 section 3). The same for each bad token: why it is
    /// bad would help to guess a good one.
    pub fn challenge(&self) -> &'static str {
        match self {
            Self::Nothing => "Bearer",
            _ => "Bearer error=\"invalid_token\"",
        }
    }
}
