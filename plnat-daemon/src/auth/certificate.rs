//! Client certificates: what one says about its owner, and what the configuration asks of one.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name};

use super::token::{from_hex, to_hex};

/// What a certificate says. Whether it says the truth is for the handshake to find out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateIdentity {
    /// SHA-256 over the DER.
    pub fingerprint: [u8; 32],
    /// The subject as RFC 4514 writes it; empty without one.
    pub subject: String,
    /// The subject's alternative names.
    pub names: Vec<CertificateMatch>,
    /// Valid from this second on.
    pub not_before: i64,
    /// Valid up to this second.
    pub not_after: i64,
}

/// What a certificate has to be. Written `sha256:…`, `subject:…`, `DNS:…`, `URI:…`, `email:…` or `IP:…`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CertificateMatch {
    /// Exactly this one, by SHA-256 over its DER.
    Fingerprint([u8; 32]),
    /// With this subject, as RFC 4514 writes it (`openssl x509 -noout -subject -nameopt RFC2253`).
    Subject(String),
    /// With this alternative name of the kind DNS, in lower case.
    Dns(String),
    /// With this alternative name of the kind URI.
    Uri(String),
    /// With this alternative name of the kind e-mail.
    Email(String),
    /// With this alternative name of the kind IP address.
    Ip(IpAddr),
}

/// The bytes are no certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("these bytes are no X.509 certificate")]
pub struct BadCertificate;

/// Why a text matches no certificate.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` says nothing about a certificate")]
pub struct BadCertificateMatch(pub String);

impl CertificateIdentity {
    /// Reads a certificate; bytes behind it are none of its own and not accepted.
    pub fn read(der: &[u8]) -> Result<Self, BadCertificate> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| BadCertificate)?;
        if !rest.is_empty() {
            return Err(BadCertificate);
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, der).as_ref());
        let mut names = Vec::new();
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(found) => {
                    names.extend(found.general_names.iter().filter_map(name));
                }
                ParsedExtension::ParseError { .. } => return Err(BadCertificate),
                _ => {}
            }
        }
        Ok(Self {
            fingerprint,
            subject: rfc4514(certificate.subject()),
            names,
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }

    /// Whether its time has come and is not over.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now.as_second())
    }

    /// Whether it is what is asked for.
    pub fn fits(&self, wanted: &CertificateMatch) -> bool {
        match wanted {
            CertificateMatch::Fingerprint(fingerprint) => self.fingerprint == *fingerprint,
            CertificateMatch::Subject(subject) => !subject.is_empty() && self.subject == *subject,
            name => self.names.contains(name),
        }
    }

    /// The fingerprint in hexadecimal.
    pub fn fingerprint_text(&self) -> String {
        to_hex(&self.fingerprint)
    }
}

fn name(name: &GeneralName<'_>) -> Option<CertificateMatch> {
    match name {
        GeneralName::DNSName(text) => Some(CertificateMatch::Dns(text.to_ascii_lowercase())),
        GeneralName::URI(text) => Some(CertificateMatch::Uri((*text).to_owned())),
        GeneralName::RFC822Name(text) => Some(CertificateMatch::Email((*text).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from).ok();
            let address = four.or_else(|| <[u8; 16]>::try_from(*bytes).map(IpAddr::from).ok());
            address.map(CertificateMatch::Ip)
        }
        _ => None,
    }
}

/// Short names of RFC 4514 section 3, and the e-mail address as OpenSSL writes it.
const SHORT: [(&str, &str); 10] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "street"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The name in one unambiguous text (RFC 4514 section 2): what a value holds cannot be taken for another attribute.
fn rfc4514(name: &X509Name<'_>) -> String {
    let set = |set: &x509_parser::x509::RelativeDistinguishedName<'_>| {
        let attributes = set.iter().map(|attribute| {
            let oid = attribute.attr_type().to_id_string();
            let short = SHORT.iter().find(|(dotted, _)| *dotted == oid);
            match (short, attribute.as_str()) {
                (Some((_, short)), Ok(value)) => format!("{short}={}", escape(value)),
                _ => format!("{oid}=#{}", to_hex(attribute.as_slice())),
            }
        });
        attributes.collect::<Vec<_>>().join("+")
    };
    let mut sets: Vec<String> = name.iter().map(set).collect();
    sets.reverse();
    sets.join(",")
}

/// RFC 4514 section 2.4.
fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::new();
    for (at, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
            '#' if at == 0 => text.push_str("\\#"),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            c if c.is_ascii_control() => text.push_str(&format!("\\{:02X}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

impl FromStr for CertificateMatch {
    type Err = BadCertificateMatch;

    fn from_str(text: &str) -> Result<Self, BadCertificateMatch> {
        let bad = || BadCertificateMatch(text.to_owned());
        let (kind, value) = text.split_once(':').ok_or_else(bad)?;
        if value.is_empty() {
            return Err(bad());
        }
        match kind {
            "sha256" => from_hex(&value.replace(':', "")).map(Self::Fingerprint).ok_or_else(bad),
            "subject" => Ok(Self::Subject(value.to_owned())),
            "DNS" => Ok(Self::Dns(value.to_ascii_lowercase())),
            "URI" => Ok(Self::Uri(value.to_owned())),
            "email" => Ok(Self::Email(value.to_owned())),
            "IP" => value.parse().map(Self::Ip).map_err(|_| bad()),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for CertificateMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(bytes) => write!(f, "sha256:{}", to_hex(bytes)),
            Self::Subject(text) => write!(f, "subject:{text}"),
            Self::Dns(text) => write!(f, "DNS:{text}"),
            Self::Uri(text) => write!(f, "URI:{text}"),
            Self::Email(text) => write!(f, "email:{text}"),
            Self::Ip(address) => write!(f, "IP:{address}"),
        }
    }
}
