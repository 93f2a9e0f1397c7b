//! Those whose tokens count.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use axum::http::Uri;
use jiff::Timestamp;

use super::super::refusal::Refusal;
use super::claims::Claims;
use super::key::Key;
use super::keyring::Keyring;
use super::parse::Jwt;
use crate::model::Name;

/// What the configuration says about an issuer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IssuerSpec {
    /// Its name in the configuration.
    pub name: Name,
    /// `iss` of its tokens, byte by byte.
    pub issuer: String,
    /// `aud` of tokens that are for us: one of these.
    pub audiences: Vec<String>,
    /// Seconds by which its clock and ours may differ.
    pub skew: u32,
    /// Where its keys are.
    pub keys: KeySource,
}

/// Where keys are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySource {
    /// A file: PEM or JSON Web Keys.
    File(PathBuf),
    /// A URL of JSON Web Keys.
    Url {
        /// https, or http to this machine.
        url: Uri,
        /// Certificate authorities to believe instead of the system's.
        ca_file: Option<PathBuf>,
    },
}

/// An issuer with its keys.
#[derive(Debug)]
pub struct Issuer {
    spec: IssuerSpec,
    keys: RwLock<Keyring>,
}

impl Issuer {
    /// An issuer without keys yet: until they come each token is refused.
    pub fn new(spec: IssuerSpec) -> Self {
        Self { spec, keys: RwLock::default() }
    }

    /// What the configuration says.
    pub fn spec(&self) -> &IssuerSpec {
        &self.spec
    }

    /// Puts keys of a file in place of the former.
    pub fn fix_keys(&self, keys: Vec<Key>) {
        self.change(|ring| *ring = Keyring::fixed(keys));
    }

    /// Puts keys that were fetched now in place of the former.
    pub fn replace_keys(&self, keys: Vec<Key>, now: Timestamp) {
        self.change(|ring| ring.replace(keys, now));
    }

    /// Whether keys should be fetched, without anybody asking.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.read(|ring| ring.is_due(now))
    }

    /// Notes an attempt to fetch, unless the last was just now; then the answer is no.
    pub fn begin_try(&self, now: Timestamp) -> bool {
        self.change(|ring| {
            let may = ring.may_try(now);
            if may {
                ring.note_try(now);
            }
            may
        })
    }

    /// When the keys were fetched last.
    pub fn fetched(&self) -> Option<Timestamp> {
        self.read(Keyring::fetched)
    }

    /// The token's claims, if it is this issuer's, for us, and good now.
    pub(in crate::auth) fn verify(&self, jwt: Jwt<'_>, now: Timestamp) -> Result<Claims, Refusal> {
        self.read(|ring| {
            let candidates = ring.candidates(jwt.algorithm, jwt.key_id.as_deref(), now);
            if candidates.is_empty() {
                return Err(Refusal::UnknownKey { issuer: self.spec.name.clone() });
            }
            if candidates.iter().any(|key| key.verifies(jwt.signed, &jwt.signature)) {
                return Ok(());
            }
            // A token that names no key may be of one that is newer than ours.
            match jwt.key_id {
                None => Err(Refusal::UnknownKey { issuer: self.spec.name.clone() }),
                Some(_) => Err(Refusal::Signature),
            }
        })?;
        Claims::check(jwt.claims, &self.spec, now)
    }

    fn read<T>(&self, read: impl FnOnce(&Keyring) -> T) -> T {
        read(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Keyring) -> T) -> T {
        change(&mut self.keys.write().unwrap_or_else(PoisonError::into_inner))
    }
}
