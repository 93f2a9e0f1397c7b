//! Keeps the issuers' keys fresh, and asks once more when a token names a key that is not known yet.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::authenticator::{Authenticator, Conflict};
use super::caller::Caller;
use super::credentials::Credentials;
use super::jwt::{BadKeys, Issuer, IssuerSpec, KeySource, read_keys};
use super::principal::Principal;
use super::refusal::Refusal;
use crate::model::Name;
use crate::outgoing::{HttpClient, OutgoingError};

/// Longest set of keys in bytes.
const LONGEST: usize = 256 * 1024;
/// How long a request for keys may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(15);

/// Why an issuer's keys could not be taken. The former ones stay.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read.
    #[error("issuer `{issuer}`: cannot read {}: {source}", .path.display())]
    Read {
        /// The issuer.
        issuer: Name,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// What is in the file or at the URL is no keys.
    #[error("issuer `{issuer}`: {place}: {source}")]
    Keys {
        /// The issuer.
        issuer: Name,
        /// File or URL.
        place: String,
        /// What is wrong.
        #[source]
        source: BadKeys,
    },
    /// The URL does not answer.
    #[error("issuer `{issuer}`: {url}: {source}")]
    Fetch {
        /// The issuer.
        issuer: Name,
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: OutgoingError,
    },
    /// The URL answers with something else.
    #[error("issuer `{issuer}`: {url} answers {status}")]
    Status {
        /// The issuer.
        issuer: Name,
        /// The URL.
        url: String,
        /// The answer's status.
        status: u16,
    },
}

/// Why nobody can be let in by a configuration.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Principals or issuers contradict each other.
    #[error("{0}")]
    Conflict(#[from] Conflict),
    /// An issuer's keys cannot be taken.
    #[error("{0}")]
    Keys(#[from] KeyError),
}

/// An authenticator with its keys.
pub struct KeyKeeper {
    authenticator: Authenticator,
    /// One for each issuer, held while its keys are fetched; with a client where they are fetched from a URL.
    fetchers: Vec<Mutex<Option<HttpClient>>>,
}

impl KeyKeeper {
    /// Reads the key files. Keys at URLs come with [`KeyKeeper::run`], or when the first token asks for them.
    pub fn new(authenticator: Authenticator) -> Result<Self, KeyError> {
        let mut fetchers = vec![];
        for issuer in authenticator.issuers() {
            let spec = issuer.spec();
            fetchers.push(Mutex::new(match &spec.keys {
                KeySource::File(_) => {
                    read_file(issuer)?;
                    None
                }
                KeySource::Url { url, ca_file } => {
                    let client = HttpClient::new(ca_file.as_deref());
                    let (issuer, url) = (spec.name.clone(), url.to_string());
                    Some(client.map_err(|source| KeyError::Fetch { issuer, url, source })?)
                }
            }));
        }
        Ok(Self { authenticator, fetchers })
    }

    /// One that lets nobody in.
    pub fn nobody() -> Self {
        let authenticator = Authenticator::default();
        Self { authenticator, fetchers: vec![] }
    }

    /// One for other principals and issuers in place of this one. Issuers that stay as they are keep their keys.
    pub fn replaced(
        &self,
        principals: Vec<Principal>,
        issuers: Vec<IssuerSpec>,
    ) -> Result<Self, AccessError> {
        let issuer = |spec: IssuerSpec| {
            let same = self.authenticator.issuers().iter().find(|it| *it.spec() == spec);
            same.cloned().unwrap_or_else(|| Arc::new(Issuer::new(spec)))
        };
        let issuers = issuers.into_iter().map(issuer).collect();
        Ok(Self::new(Authenticator::new(principals, issuers)?)?)
    }

    /// The authenticator.
    pub fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// Who it is; waits for the issuer's keys where the token names one that is not known yet.
    pub async fn authenticate(&self, shown: Credentials<'_>) -> Result<Caller, Refusal> {
        let first = self.authenticator.authenticate(shown, Timestamp::now());
        let Err(Refusal::UnknownKey { issuer }) = &first else { return first };
        let issuers = self.authenticator.issuers();
        let Some(at) = issuers.iter().position(|it| it.spec().name == *issuer) else { return first };
        let before = issuers[at].fetched();
        let fetched = self.fetch(at, |issuer, now| issuer.fetched() == before && issuer.begin_try(now)).await;
        if let Err(error) = fetched {
            tracing::warn!("{error}");
        }
        if issuers[at].fetched() == before {
            return first;
        }
        self.authenticator.authenticate(shown, Timestamp::now())
    }

    /// Reads the key files again and fetches keys as they fall due, for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            for at in 0..self.fetchers.len() {
                let due = |issuer: &Issuer, now| issuer.is_due(now) && issuer.begin_try(now);
                if let Err(error) = self.fetch(at, due).await {
                    tracing::warn!("{error}");
                }
            }
            sleep(LOOK).await;
        }
    }

    async fn fetch(&self, at: usize, wanted: impl Fn(&Issuer, Timestamp) -> bool) -> Result<(), KeyError> {
        let issuer = &self.authenticator.issuers()[at];
        let spec = issuer.spec();
        let client = self.fetchers[at].lock().await;
        if !wanted(issuer, Timestamp::now()) {
            return Ok(());
        }
        let (KeySource::Url { url, .. }, Some(client)) = (&spec.keys, &*client) else {
            return read_file(issuer);
        };
        let (name, place) = (spec.name.clone(), url.to_string());
        let answer = match client.get(url, LONGEST, PATIENCE).await {
            Ok(answer) => answer,
            Err(source) => return Err(KeyError::Fetch { issuer: name, url: place, source }),
        };
        if answer.status != 200 {
            return Err(KeyError::Status { issuer: name, url: place, status: answer.status.as_u16() });
        }
        let text = String::from_utf8_lossy(&answer.body);
        let keys = read_keys(&text).map_err(|source| KeyError::Keys { issuer: name, place, source })?;
        issuer.replace_keys(keys, Timestamp::now());
        Ok(())
    }
}

/// Takes the keys of an issuer's file; nothing to do for one with a URL.
fn read_file(issuer: &Issuer) -> Result<(), KeyError> {
    let spec = issuer.spec();
    let KeySource::File(path) = &spec.keys else { return Ok(()) };
    let text = std::fs::read_to_string(path).map_err(|source| {
        let (issuer, path) = (spec.name.clone(), path.clone());
        KeyError::Read { issuer, path, source }
    })?;
    let keys = read_keys(&text).map_err(|source| {
        let (issuer, place) = (spec.name.clone(), path.display().to_string());
        KeyError::Keys { issuer, place, source }
    })?;
    issuer.fix_keys(keys);
    Ok(())
}
