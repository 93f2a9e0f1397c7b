//! Public keys, each for one algorithm, from PEM or JSON Web Keys (RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use rustls::pki_types::pem::{PemObject, SectionKind};
use serde_json::{Map, Value};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey as Parsed;

/// How a token is signed (RFC 7518 section 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 using SHA-256.
    Rs256,
    /// ECDSA using P-256 and SHA-256.
    Es256,
}

impl Algorithm {
    /// The algorithm of this name; each but two is refused.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// A public key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    id: Option<String>,
    public: Public,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Public {
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point.
    P256(Vec<u8>),
}

/// Why there are no keys in a text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadKeys {
    /// Neither PEM nor JSON.
    #[error("it is neither PEM nor a set of JSON Web Keys: {0}")]
    Form(String),
    /// A private key where a public one belongs.
    #[error("it holds a private key: give the public key alone, and treat the private one as leaked")]
    Private,
    /// Nothing usable.
    #[error("it holds no public key for RS256 (RSA with 2048 bits or more) or ES256 (P-256)")]
    None,
    /// More than anybody has.
    #[error("it holds more than {MOST} keys")]
    Many,
}

/// Most keys of an issuer.
const MOST: usize = 64;
/// Bytes of the shortest RSA modulus, 2048 bits, and of the longest, 8192 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;
/// X9.62 prime256v1.
const P256: &str = "1.2.840.10045.3.1.7";

/// The keys in a text: PEM (`PUBLIC KEY` or `CERTIFICATE`), one JSON Web Key, or a set of them. Keys of a set that are
/// for something else are passed over.
pub fn read_keys(text: &str) -> Result<Vec<Key>, BadKeys> {
    let keys = if text.contains("-----BEGIN ") { from_pem(text)? } else { from_json(text)? };
    match keys.len() {
        0 => Err(BadKeys::None),
        1..=MOST => Ok(keys),
        _ => Err(BadKeys::Many),
    }
}

impl Key {
    /// What it is for.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self.public {
            Public::Rsa { .. } => Algorithm::Rs256,
            Public::P256(_) => Algorithm::Es256,
        }
    }

    /// Whether it may be meant by a token that names this key, or none.
    pub(super) fn answers_to(&self, id: Option<&str>) -> bool {
        match (&self.id, id) {
            (Some(mine), Some(asked)) => mine == asked,
            (None, _) | (_, None) => true,
        }
    }

    /// Whether the signature over the message is its owner's.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.public {
            Public::Rsa { n, e } => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            Public::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
        }
    }

    fn rsa(id: Option<String>, n: &[u8], e: &[u8]) -> Option<Self> {
        let trim = |bytes: &[u8]| bytes.iter().copied().skip_while(|&byte| byte == 0).collect::<Vec<_>>();
        let (n, e) = (trim(n), trim(e));
        let good = MODULUS.contains(&n.len()) && (1..=8).contains(&e.len());
        good.then_some(Self { id, public: Public::Rsa { n, e } })
    }

    fn p256(id: Option<String>, point: Vec<u8>) -> Option<Self> {
        (point.len() == 65 && point[0] == 4).then_some(Self { id, public: Public::P256(point) })
    }
}

fn from_pem(text: &str) -> Result<Vec<Key>, BadKeys> {
    let mut keys = vec![];
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        let (kind, der) = section.map_err(|error| BadKeys::Form(error.to_string()))?;
        match kind {
            SectionKind::PublicKey => {
                let (_, info) =
                    SubjectPublicKeyInfo::from_der(&der).map_err(|e| BadKeys::Form(e.to_string()))?;
                keys.extend(from_info(&info));
            }
            SectionKind::Certificate => {
                let (_, found) = X509Certificate::from_der(&der).map_err(|e| BadKeys::Form(e.to_string()))?;
                keys.extend(from_info(found.public_key()));
            }
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err(BadKeys::Private);
            }
            _ => {}
        }
    }
    Ok(keys)
}

fn from_info(info: &SubjectPublicKeyInfo<'_>) -> Option<Key> {
    match info.parsed().ok()? {
        Parsed::RSA(key) => Key::rsa(None, key.modulus, key.exponent),
        Parsed::EC(point) => {
            let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
            if curve.to_id_string() == P256 { Key::p256(None, point.data().to_vec()) } else { None }
        }
        _ => None,
    }
}

fn from_json(text: &str) -> Result<Vec<Key>, BadKeys> {
    let root: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| BadKeys::Form(error.to_string()))?;
    let all = match root.get("keys") {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_object).collect(),
        Some(_) => return Err(BadKeys::Form("`keys` is no list".into())),
        None => vec![&root],
    };
    // `d` is the private part of RSA and EC keys, `k` a shared secret.
    if all.iter().any(|key| key.contains_key("d") || key.contains_key("k")) {
        return Err(BadKeys::Private);
    }
    Ok(all.into_iter().filter_map(from_jwk).collect())
}

fn from_jwk(jwk: &Map<String, Value>) -> Option<Key> {
    let text = |name| jwk.get(name).and_then(Value::as_str);
    let bytes = |name| text(name).and_then(|it| URL_SAFE_NO_PAD.decode(it).ok());
    let id = match jwk.get("kid") {
        None => None,
        Some(id) => Some(id.as_str()?.to_owned()),
    };
    if text("use").is_some_and(|it| it != "sig") {
        return None;
    }
    if let Some(Value::Array(uses)) = jwk.get("key_ops")
        && !uses.iter().any(|it| it == "verify")
    {
        return None;
    }
    let key = match text("kty")? {
        "RSA" => Key::rsa(id, &bytes("n")?, &bytes("e")?)?,
        "EC" if text("crv") == Some("P-256") => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            // RFC 7518 section 6.2.1.2: the full size of a coordinate.
            if (x.len(), y.len()) != (32, 32) {
                return None;
            }
            Key::p256(id, [&[4][..], &x, &y].concat())?
        }
        _ => return None,
    };
    match jwk.get("alg") {
        None => Some(key),
        Some(name) => (Algorithm::named(name.as_str()?) == Some(key.algorithm())).then_some(key),
    }
}
