//! Tokens of ours: 256 random bits in text. The configuration holds only their hash.
//!
//! A single round of SHA-256 is enough since nobody can guess 256 random bits, and only texts of the exact form are
//! ever looked up: a password cannot be made a token by hashing it by hand.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use subtle::{Choice, ConstantTimeEq};

/// Length of the random part in base64.
const RANDOM: usize = 43;

/// A secret. Shown by [`Token::reveal`] alone.
pub struct Token(String);

impl Token {
    /// What a token begins with, for people and for scanners that look for leaked secrets.
    pub const PREFIX: &str = "plnat_";

    /// A new one from the system's generator. Fails when the system has no randomness.
    pub fn generate() -> Result<Self, std::io::Error> {
        let mut random = [0; 32];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random)
            .map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
        Ok(Self(format!("{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(random))))
    }

    /// The secret, for the one who will use it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the configuration holds.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }

    /// Whether the text looks like one of ours.
    pub(super) fn is_ours(text: &str) -> bool {
        text.starts_with(Self::PREFIX)
    }

    /// Whether the text has the exact form of one of ours.
    pub(super) fn has_form(text: &str) -> bool {
        let random = text.strip_prefix(Self::PREFIX).unwrap_or_default();
        random.len() == RANDOM && URL_SAFE_NO_PAD.decode(random).is_ok_and(|bytes| bytes.len() == 32)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// SHA-256 over a token, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

/// Why a text is no hash of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadTokenHash {
    /// The secret itself was written.
    #[error("this is a token itself, and a configuration holds only its hash")]
    Token,
    /// Something else.
    #[error("this is no hash of a token: `sha256:` and 64 hexadecimal digits")]
    Form,
}

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }

    /// Whether they are equal, in a time that does not tell how far.
    pub(super) fn matches(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl FromStr for TokenHash {
    type Err = BadTokenHash;

    fn from_str(text: &str) -> Result<Self, BadTokenHash> {
        if Token::is_ours(text) {
            return Err(BadTokenHash::Token);
        }
        text.strip_prefix("sha256:").and_then(from_hex).map(Self).ok_or(BadTokenHash::Form)
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", to_hex(&self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({self})")
    }
}

/// 32 bytes of 64 hexadecimal digits.
pub(super) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |it: u8| char::from(it).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

/// Hexadecimal digits in lower case.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
