//! From a proof to the principal that it is bound to.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use subtle::{Choice, ConditionallySelectable};

use super::caller::{Caller, Shown};
use super::certificate::CertificateIdentity;
use super::credentials::Credentials;
use super::jwt::{Issuer, Jwt};
use super::principal::{Principal, Proof};
use super::refusal::Refusal;
use super::token::{Token, TokenHash};
use crate::model::Name;

/// Why principals and issuers do not fit together.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Conflict {
    /// Two principals have a name.
    #[error("principal `{0}` is there twice")]
    Name(Name),
    /// Two principals have a proof.
    #[error("principals `{0}` and `{1}` have the same token, claim or certificate")]
    Proof(Name, Name),
    /// A claim is of an issuer that is not there.
    #[error("principal `{principal}` names issuer `{issuer}`, which is not there")]
    NoIssuer {
        /// The principal.
        principal: Name,
        /// What it names.
        issuer: Name,
    },
    /// Two issuers have a name, or sign as the same.
    #[error("issuers `{0}` and `{1}` have the same name or sign as the same issuer")]
    Issuer(Name, Name),
}

/// All principals and the issuers whose tokens count. The default one knows nobody.
#[derive(Debug, Default)]
pub struct Authenticator {
    principals: Vec<Principal>,
    /// Hashes of tokens with the place of the principal.
    tokens: Vec<(TokenHash, u32)>,
    issuers: Vec<Arc<Issuer>>,
}

impl Authenticator {
    /// Checks that each proof leads to one principal.
    pub fn new(principals: Vec<Principal>, issuers: Vec<Arc<Issuer>>) -> Result<Self, Conflict> {
        for (at, issuer) in issuers.iter().enumerate() {
            let (mine, same) = (issuer.spec(), |other: &&Arc<Issuer>| {
                let other = other.spec();
                other.name == issuer.spec().name || other.issuer == issuer.spec().issuer
            });
            if let Some(other) = issuers[..at].iter().find(same) {
                return Err(Conflict::Issuer(other.spec().name.clone(), mine.name.clone()));
            }
        }
        let mut owners: BTreeMap<&Proof, &Name> = BTreeMap::new();
        let mut tokens = vec![];
        for (at, principal) in (0u32..).zip(&principals) {
            let name = &principal.name;
            if principals[..at as usize].iter().any(|other| other.name == *name) {
                return Err(Conflict::Name(name.clone()));
            }
            for proof in &principal.proofs {
                if let Some(other) = owners.insert(proof, name) {
                    return Err(Conflict::Proof(other.clone(), name.clone()));
                }
                match proof {
                    Proof::Token(hash) => tokens.push((*hash, at)),
                    Proof::Claim(claim) if issuers.iter().all(|it| it.spec().name != claim.issuer) => {
                        let (principal, issuer) = (name.clone(), claim.issuer.clone());
                        return Err(Conflict::NoIssuer { principal, issuer });
                    }
                    Proof::Claim(_) | Proof::Certificate(_) => {}
                }
            }
        }
        Ok(Self { principals, tokens, issuers })
    }

    /// The issuers.
    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    /// Who it is. After [`Refusal::UnknownKey`] it is worth fetching the issuer's keys and asking once more, which
    /// [`super::KeyKeeper::authenticate`] does.
    pub fn authenticate(&self, shown: Credentials<'_>, now: Timestamp) -> Result<Caller, Refusal> {
        match shown {
            Credentials::Bearer(text) if Token::is_ours(text) => self.by_token(text),
            Credentials::Bearer(text) => self.by_jwt(text, now),
            Credentials::Certificate(der) => self.by_certificate(der, now),
        }
    }

    fn by_token(&self, text: &str) -> Result<Caller, Refusal> {
        if !Token::has_form(text) {
            return Err(Refusal::Malformed);
        }
        let shown = TokenHash::of(text);
        // All are compared, whichever fits: the time tells nothing.
        let (mut found, mut owner) = (Choice::from(0), 0u32);
        for (hash, at) in &self.tokens {
            let fits = hash.matches(&shown);
            owner.conditional_assign(at, fits);
            found |= fits;
        }
        let owner = self.principals.get(owner as usize).filter(|_| found.into());
        owner.map(|owner| Caller::new(owner, Shown::Token)).ok_or(Refusal::UnknownToken)
    }

    fn by_jwt(&self, text: &str, now: Timestamp) -> Result<Caller, Refusal> {
        let jwt = Jwt::read(text)?;
        let named = jwt.issuer().ok_or(Refusal::Malformed)?;
        let issuer = self.issuers.iter().find(|it| it.spec().issuer == named);
        let issuer = issuer.ok_or(Refusal::UnknownIssuer)?;
        let claims = issuer.verify(jwt, now)?;
        let name = &issuer.spec().name;
        let shown = Shown::Jwt { issuer: name.clone(), subject: claims.subject().map(str::to_owned) };
        self.the_one(shown, |proof| match proof {
            Proof::Claim(wanted) => wanted.issuer == *name && claims.says(&wanted.claim, &wanted.value),
            Proof::Token(_) | Proof::Certificate(_) => false,
        })
    }

    fn by_certificate(&self, der: &[u8], now: Timestamp) -> Result<Caller, Refusal> {
        let certificate = CertificateIdentity::read(der).map_err(|_| Refusal::Certificate)?;
        // The handshake looked at the time, too, but a connection may live longer than its certificate.
        if !certificate.is_valid_at(now) {
            return Err(Refusal::CertificateTime);
        }
        let shown = Shown::Certificate { fingerprint: certificate.fingerprint_text() };
        self.the_one(shown, |proof| match proof {
            Proof::Certificate(wanted) => certificate.fits(wanted),
            Proof::Token(_) | Proof::Claim(_) => false,
        })
    }

    /// The one principal with such a proof. Several are as good as none: which roles were meant is not ours to guess.
    fn the_one(&self, shown: Shown, fits: impl Fn(&Proof) -> bool) -> Result<Caller, Refusal> {
        let mut fitting = self.principals.iter().filter(|principal| principal.proofs.iter().any(&fits));
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => Ok(Caller::new(one, shown)),
            (None, _) => Err(Refusal::Nobody { shown: shown.to_string() }),
            (Some(_), Some(_)) => Err(Refusal::Ambiguous { shown: shown.to_string() }),
        }
    }
}
