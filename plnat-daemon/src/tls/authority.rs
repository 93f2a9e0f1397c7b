//! The gateway's own certificate authority and the certificate that it gives the gateway.
//!
//! `ca-key.pem` is made once. `ca.pem` and `server.pem` follow from it and are made anew when they are missing, damaged,
//! nearly over, or for other names; clients believe `ca.pem` and need not be told of a new `server.pem`, nor of a `ca.pem`
//! that was made anew, since its key and name stay.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use ring::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;

use super::secret_file::{self, PUBLIC, SECRET};
use super::{Material, TlsError};
use crate::auth::{CertificateIdentity, CertificateMatch};

const CA_KEY: &str = "ca-key.pem";
const CA: &str = "ca.pem";
const SERVER: &str = "server.pem";

/// Days for which the authority's certificate is made, and days before its end when it is made anew.
const CA_DAYS: (i64, i64) = (3650, 365);
/// The same for the server's.
const SERVER_DAYS: (i64, i64) = (90, 30);
/// Names by which the gateway is always reached.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The server's certificate and key, good at `now` and for these names.
pub(super) fn server(directory: &Path, names: &[String], now: Timestamp) -> Result<Material, TlsError> {
    let file = |source| TlsError::File { doing: "make", path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(file)?;
    let key = authority_key(directory)?;
    let params = authority_params(&key, now)?;
    let authority = authority_certificate(directory, &key, &params, now)?;
    let wanted: BTreeSet<String> =
        names.iter().map(String::as_str).chain(LOCAL).map(str::to_ascii_lowercase).collect();
    let path = directory.join(SERVER);
    if let Some(found) = secret_file::read(&path)?
        && let Some(material) = material(&found)
        && is_good(&material, &authority, &wanted, now)
    {
        return Ok(material);
    }
    let text = issue(&wanted, &Issuer::from_params(&params, &key), now)?;
    secret_file::write(&path, &text, SECRET)?;
    material(&text).ok_or_else(|| TlsError::Unusable("a new certificate cannot be read back".into()))
}

/// The authority's certificate in PEM.
pub(super) fn certificate(directory: &Path) -> Result<String, TlsError> {
    let path = directory.join(CA);
    fs::read_to_string(&path).map_err(|source| TlsError::File { doing: "read", path, source })
}

fn authority_key(directory: &Path) -> Result<KeyPair, TlsError> {
    let path = directory.join(CA_KEY);
    if let Some(text) = secret_file::read(&path)? {
        // Another key would be another authority, which no client believes: that is the operator's decision.
        return KeyPair::from_pem(&text).map_err(|error| {
            let what = format!(
                "it holds no private key ({error}): restore it, or remove it and give clients the new {CA}"
            );
            TlsError::Content { path, what }
        });
    }
    let key = KeyPair::generate().map_err(unusable)?;
    secret_file::write(&path, &key.serialize_pem(), SECRET)?;
    Ok(key)
}

fn authority_params(key: &KeyPair, now: Timestamp) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(vec![]).map_err(unusable)?;
    let print = digest(&SHA256, key.public_key_raw());
    let print: String = print.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("plnat gateway authority {print}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_days(&mut params, now, CA_DAYS.0)?;
    Ok(params)
}

/// The authority's certificate, as it stands in the file or made anew.
fn authority_certificate(
    directory: &Path,
    key: &KeyPair,
    params: &CertificateParams,
    now: Timestamp,
) -> Result<CertificateDer<'static>, TlsError> {
    let path = directory.join(CA);
    let found = fs::read(&path).ok().and_then(|text| CertificateDer::from_pem_slice(&text).ok());
    if let Some(found) = found
        && lasts(&found, CA_DAYS.1, now)
        && holds_key(&found, key)
    {
        return Ok(found);
    }
    let made = params.self_signed(key).map_err(unusable)?;
    secret_file::write(&path, &made.pem(), PUBLIC)?;
    Ok(made.der().clone())
}

/// Key and certificate in one text, so that no crash leaves one without the other.
fn issue(
    names: &BTreeSet<String>,
    authority: &Issuer<'_, &KeyPair>,
    now: Timestamp,
) -> Result<String, TlsError> {
    let names: Vec<String> = names.iter().cloned().collect();
    let mut params = CertificateParams::new(names).map_err(unusable)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "plnat gateway");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_days(&mut params, now, SERVER_DAYS.0)?;
    let key = KeyPair::generate().map_err(unusable)?;
    let certificate = params.signed_by(&key, authority).map_err(unusable)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

fn material(text: &str) -> Option<Material> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().ok()?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).ok()?;
    (!chain.is_empty()).then_some(Material { chain, key })
}

/// Whether the certificate is of this authority, for these names, has this key, and will do for a while.
fn is_good(
    material: &Material,
    authority: &CertificateDer<'_>,
    names: &BTreeSet<String>,
    now: Timestamp,
) -> bool {
    let certificate = &material.chain[0];
    let wanted: BTreeSet<CertificateMatch> = names
        .iter()
        .map(|name| match name.parse::<IpAddr>() {
            Ok(address) => CertificateMatch::Ip(address),
            Err(_) => CertificateMatch::Dns(name.clone()),
        })
        .collect();
    let same_names = CertificateIdentity::read(certificate)
        .is_ok_and(|it| it.names.into_iter().collect::<BTreeSet<_>>() == wanted);
    let key = KeyPair::try_from(&material.key).is_ok_and(|key| holds_key(certificate, &key));
    same_names && key && lasts(certificate, SERVER_DAYS.1, now) && is_signed(certificate, authority, now)
}

fn is_signed(certificate: &CertificateDer<'_>, authority: &CertificateDer<'_>, now: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let time = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0));
    roots.add(authority.clone().into_owned()).is_ok()
        && ParsedCertificate::try_from(certificate).is_ok_and(|parsed| {
            let time = UnixTime::since_unix_epoch(time);
            verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], time, algorithms.all).is_ok()
        })
}

/// Whether the certificate is good now and has more than so many days left.
fn lasts(certificate: &CertificateDer<'_>, days: i64, now: Timestamp) -> bool {
    CertificateIdentity::read(certificate)
        .is_ok_and(|it| it.is_valid_at(now) && it.not_after - now.as_second() > days * 86_400)
}

fn holds_key(certificate: &CertificateDer<'_>, key: &KeyPair) -> bool {
    use x509_parser::prelude::{FromDer, X509Certificate};
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, found)| found.public_key().subject_public_key.data.as_ref() == key.public_key_raw())
}

/// Good from the day before, for clients whose clock is behind, and for so many days.
fn set_days(params: &mut CertificateParams, now: Timestamp, count: i64) -> Result<(), TlsError> {
    let day = |days: i64| {
        let date = now.checked_add((days * 24).hours()).map_err(unusable)?;
        let date = date.to_zoned(jiff::tz::TimeZone::UTC).date();
        let part = |number: i8| u8::try_from(number).map_err(unusable);
        Ok(rcgen::date_time_ymd(date.year().into(), part(date.month())?, part(date.day())?))
    };
    params.not_before = day(-1)?;
    params.not_after = day(count)?;
    Ok(())
}

fn unusable(error: impl std::fmt::Display) -> TlsError {
    TlsError::Unusable(error.to_string())
}
