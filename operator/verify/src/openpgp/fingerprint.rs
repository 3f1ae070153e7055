//! Full fingerprints, the only names of keys that decide anything.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::digest::Sha256Digest;

/// A full fingerprint of a version 4 (40 hex) or version 6 (64 hex) key, in upper case
/// (RFC 9580 section 5.5.4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

/// Why a text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// Something other than hexadecimal digits.
    #[error("a fingerprint consists of hexadecimal digits only, without spaces or 0x")]
    NotHex,
    /// 8 or 16 digits: a key ID, which anybody can forge.
    #[error("this is a key ID, which can be forged: give all 40 or 64 digits of the fingerprint")]
    KeyId,
    /// Any other length.
    #[error("a fingerprint has 40 or 64 hexadecimal digits, not {0}")]
    Length(usize),
}

impl Fingerprint {
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        matches!(bytes.len(), V4_BYTES | V6_BYTES).then(|| Self(hex::encode_upper(bytes)))
    }

    /// A name of the same shape for a signer of another kind.
    pub fn of_digest(digest: &Sha256Digest) -> Self {
        Self(hex::encode_upper(digest.as_bytes()))
    }

    /// The digits in upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 16 digits of the key ID: the last ones of version 4, the first ones of version 6.
    pub fn key_id(&self) -> &str {
        let digits = self.0.as_str();
        if digits.len() == 2 * V4_BYTES {
            digits.get(24..).unwrap_or(digits)
        } else {
            digits.get(..16).unwrap_or(digits)
        }
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Reads 40 or 64 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(FingerprintError::NotHex);
        }
        match text.len() {
            40 | 64 => Ok(Self(text.to_ascii_uppercase())),
            8 | 16 => Err(FingerprintError::KeyId),
            other => Err(FingerprintError::Length(other)),
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

pub(super) const V4_BYTES: usize = 20;
pub(super) const V6_BYTES: usize = 32;
