//! Certificates and keys in files of the operator.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Material, TlsError};

/// A chain and its key. Whether they belong together is found out when they are used.
pub(super) fn read(certificate: &Path, key: &Path) -> Result<Material, TlsError> {
    let chain = certificates(certificate)?;
    let text = bytes(key)?;
    let found = PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        Error::NoItemsFound => wrong(key, "it holds no private key in PEM, or an encrypted one".into()),
        error => wrong(key, error.to_string()),
    })?;
    let mode = std::fs::metadata(key).map_or(0, |it| it.permissions().mode());
    if mode & 0o004 != 0 {
        tracing::warn!("everybody on this machine can read the private key {}: chmod o-r it", key.display());
    }
    Ok(Material { chain, key: found })
}

/// All certificates of a file; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(path)?).collect();
    let all = all.map_err(|error| wrong(path, error.to_string()))?;
    if all.is_empty() { Err(wrong(path, "it holds no certificate in PEM".into())) } else { Ok(all) }
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    let file = |source| TlsError::File { doing: "read", path: path.to_owned(), source };
    std::fs::read(path).map_err(file)
}

fn wrong(path: &Path, what: String) -> TlsError {
    TlsError::Content { path: path.to_owned(), what }
}
