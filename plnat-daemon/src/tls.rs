//! TLS of the API: a certificate that the operator gives, or one of an authority that the gateway makes once and keeps.
//!
//! [`Tls`] holds the configuration for the next handshake. [`Tls::refresh`] takes changed files and renews the
//! gateway's own certificate; connections that are open keep what they have, and what is wrong changes nothing.

mod authority;
mod given;
mod secret_file;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(60);

/// Where certificates come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsSpec {
    /// The server's own.
    pub identity: ServerIdentity,
    /// Authorities whose client certificates are accepted; without it no client certificate is asked for. A client
    /// without one may still come and show a token.
    pub client_ca: Option<PathBuf>,
}

/// The server's certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServerIdentity {
    /// Files of the operator.
    Given {
        /// PEM: the server's certificate, then those that lead to an authority.
        certificate: PathBuf,
        /// PEM: its private key.
        key: PathBuf,
    },
    /// Made by the gateway.
    Own {
        /// Directory of authority and certificate, made when it is missing.
        directory: PathBuf,
        /// DNS names and addresses by which clients reach the gateway. `localhost`, 127.0.0.1 and ::1 come to it.
        names: Vec<String>,
    },
}

/// Why there is no TLS, or none other than before.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot {doing} {}: {source}", .path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{}: {what}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// Certificate and key cannot be used, or a certificate cannot be made.
    #[error("the server's certificate cannot be used: {0}")]
    Unusable(String),
}

/// A certificate chain with its key.
struct Material {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// TLS for the API.
pub struct Tls {
    spec: TlsSpec,
    current: RwLock<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    /// Hash over all that the configuration was made of.
    made_of: [u8; 32],
}

impl Tls {
    /// Reads the files, and makes what the gateway makes itself. Blocks.
    pub fn open(spec: TlsSpec, now: Timestamp) -> Result<Self, TlsError> {
        let current = RwLock::new(build(&spec, now)?);
        Ok(Self { spec, current })
    }

    /// What the next handshake uses.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).config.clone()
    }

    /// Takes changed files and renews the gateway's own certificate when that is due; says whether anything changed.
    /// After an error everything is as before. Blocks.
    pub fn refresh(&self, now: Timestamp) -> Result<bool, TlsError> {
        let next = build(&self.spec, now)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let changed = next.made_of != current.made_of;
        if changed {
            *current = next;
        }
        Ok(changed)
    }

    /// Refreshes once a minute, for ever.
    pub async fn keep(self: Arc<Self>) {
        let mut failed = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let tls = self.clone();
            let refreshed = tokio::task::spawn_blocking(move || tls.refresh(Timestamp::now())).await;
            let error = match refreshed {
                Ok(Ok(changed)) => {
                    if changed {
                        tracing::info!("the API has a new certificate");
                    }
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            // Once is enough for a fault that stays.
            if let Some(error) = error.as_ref().filter(|error| failed.as_ref() != Some(*error)) {
                tracing::error!("{error}; the API keeps the certificate that it has");
            }
            failed = error;
        }
    }

    /// The authority's certificate in PEM, for clients to believe; none where the operator gave the certificate.
    pub fn authority(&self) -> Result<Option<String>, TlsError> {
        match &self.spec.identity {
            ServerIdentity::Given { .. } => Ok(None),
            ServerIdentity::Own { directory, .. } => authority::certificate(directory).map(Some),
        }
    }
}

fn build(spec: &TlsSpec, now: Timestamp) -> Result<Current, TlsError> {
    let material = match &spec.identity {
        ServerIdentity::Given { certificate, key } => given::read(certificate, key)?,
        ServerIdentity::Own { directory, names } => authority::server(directory, names, now)?,
    };
    let mut made_of = Context::new(&SHA256);
    material.chain.iter().for_each(|certificate| made_of.update(certificate));
    made_of.update(material.key.secret_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |error: &dyn std::fmt::Display| TlsError::Unusable(error.to_string());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let builder = match &spec.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in given::certificates(path)? {
                made_of.update(&certificate);
                let wrong =
                    |error: rustls::Error| TlsError::Content { path: path.clone(), what: error.to_string() };
                roots.add(certificate).map_err(wrong)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| unusable(&error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config =
        builder.with_single_cert(material.chain, material.key).map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut hash = [0; 32];
    hash.copy_from_slice(made_of.finish().as_ref());
    Ok(Current { config: Arc::new(config), made_of: hash })
}

#[cfg(test)]
mod tests;
