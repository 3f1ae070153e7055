//! SHA-256 digests as plain values. Touches nothing but bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A SHA-256 digest: 32 bytes, written as `sha256:<64 lower-case hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest([u8; 32]);

/// A text is not `sha256:` followed by 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not `sha256:` followed by 64 lower-case hex digits")]
pub struct InvalidDigest;

impl Sha256Digest {
    /// Computes the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Takes 32 bytes that are already a digest.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Bytes together with their digest, so that large ones are digested once.
#[derive(Clone, Copy, Debug)]
pub struct Digested<'a> {
    bytes: &'a [u8],
    digest: Sha256Digest,
}

impl<'a> Digested<'a> {
    /// Digests bytes.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            digest: Sha256Digest::of(bytes),
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Their digest.
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(PREFIX).ok_or(InvalidDigest)?;
        if digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(InvalidDigest);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| InvalidDigest)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Computes a digest of bytes that arrive in pieces.
pub(crate) struct Hasher(aws_lc_rs::digest::Context);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Hashes `bytes` after their length, so that neighbouring fields cannot run into each other.
    pub(crate) fn field(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.update(bytes);
    }

    /// Hashes a count.
    pub(crate) fn number(&mut self, number: usize) {
        self.update(&u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes());
    }

    pub(crate) fn finish(self) -> Sha256Digest {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(self.0.finish().as_ref()) {
            *to = *from;
        }
        Sha256Digest(bytes)
    }
}

const PREFIX: &str = "sha256:";

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digest_of_nothing_is_the_well_known_one() {
        assert_eq!(Sha256Digest::of(b"").to_string(), EMPTY);
    }

    #[test]
    fn text_survives_a_round_trip() {
        assert_eq!(
            EMPTY.parse::<Sha256Digest>().unwrap(),
            Sha256Digest::of(b"")
        );
        let json = serde_json::to_string(&Sha256Digest::of(b"")).unwrap();
        assert_eq!(
            serde_json::from_str::<Sha256Digest>(&json).unwrap(),
            Sha256Digest::of(b"")
        );
    }

    #[test]
    fn upper_case_missing_prefix_and_wrong_length_are_refused() {
        for text in [
            &EMPTY.to_uppercase(),
            &EMPTY.replace("e3b0", "E3B0"),
            &EMPTY.replace("sha256:", ""),
            &EMPTY.replace("sha256:", "sha512:"),
            &EMPTY[..EMPTY.len() - 2],
            &format!("{EMPTY}00"),
            &format!("{EMPTY} "),
            "",
        ] {
            assert_eq!(text.parse::<Sha256Digest>(), Err(InvalidDigest), "{text}");
        }
    }
}
