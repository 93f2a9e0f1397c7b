//! Proofs of all kinds, good ones, and bad ones made from them.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};

use super::*;
use crate::model::Name;

/// A key that guards nothing.
const RSA: &str = include_str!("tests/rsa.pem");
const RSA_PUBLIC: &str = include_str!("tests/rsa.pub.pem");

const ISSUER: &str = "https://login.example.com/tenant/v2.0";
const AUDIENCE: &str = "https://plnat.example.com";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn principal(called: &str, subscriptions: &[&str], roles: &[Role], proofs: Vec<Proof>) -> Principal {
    let scope = match subscriptions {
        ["*"] => Scope::All,
        some => Scope::Only(some.iter().map(|it| name(it)).collect()),
    };
    Principal { name: name(called), scope, roles: roles.iter().copied().collect(), proofs }
}

fn claim(claim: &str, value: &str) -> Proof {
    Proof::Claim(ClaimMatch { issuer: name("entra"), claim: claim.into(), value: value.into() })
}

fn issuer() -> Arc<Issuer> {
    Arc::new(Issuer::new(IssuerSpec {
        name: name("entra"),
        issuer: ISSUER.into(),
        audiences: vec![AUDIENCE.into(), "api://plnat".into()],
        skew: 60,
        keys: KeySource::File("/nonexistent".into()),
    }))
}

/// Somebody who signs tokens.
enum Signer {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
}

impl Signer {
    fn rsa() -> Self {
        let text: String = RSA.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        Self::Rsa(Box::new(RsaKeyPair::from_pkcs8(&der).unwrap()))
    }

    fn ec() -> Self {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random).unwrap();
        Self::Ec(Box::new(pair))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
        }
    }

    fn jwk(&self, id: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(pair) => {
                let key: ring::signature::RsaPublicKeyComponents<Vec<u8>> = pair.public().into();
                json!({ "kty": "RSA", "use": "sig", "kid": id, "n": text(&key.n), "e": text(&key.e) })
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (text(&point[1..33]), text(&point[33..]));
                json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": id, "x": x, "y": y })
            }
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Ec(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// With the usual header.
    fn token(&self, id: &str, claims: &Value) -> String {
        self.sign(&json!({ "alg": self.algorithm(), "typ": "JWT", "kid": id }), claims)
    }
}

fn claims() -> Value {
    let now = now().as_second();
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "contoso-ci", "iat": now - 5, "nbf": now - 5, "exp": now + 600 })
}

fn keys_of(all: &[Value]) -> Vec<Key> {
    read_keys(&json!({ "keys": all }).to_string()).unwrap()
}

/// The claims with some put in, or with `null` taken out.
fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => _ = claims.as_object_mut().unwrap().remove(key),
            value => claims[key] = value.clone(),
        }
    }
    claims
}

mod certificates;
mod headers;
mod jwt;
mod keeper;
mod roles;
mod tokens;
