//! Public keys in PEM, as cosign makes them.

use sigstore_verify::crypto::{KeyAlgorithm, VerificationKey};
use sigstore_verify::types::DerPublicKey;
use x509_cert::der::asn1::UintRef;
use x509_cert::der::{self, Decode as _, Reader as _, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::limits;
use crate::digest::Sha256Digest;
use crate::finding::bounded;

/// A public key by which signatures without a certificate are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub(super) der: DerPublicKey,
    pub(super) algorithm: KeyAlgorithm,
    numbers: Option<Vec<u8>>,
}

/// Why bytes are no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// No block of a public key.
    #[error("this is no public key: expected a `BEGIN PUBLIC KEY` block")]
    Malformed,
    /// The pinned digest is that of another key.
    #[error("the key has fingerprint {found}, not {pinned}")]
    PinnedNotFound {
        /// What was pinned.
        pinned: Sha256Digest,
        /// What it is.
        found: Sha256Digest,
    },
    /// The private half.
    #[error(
        "this contains a PRIVATE key: remove it, replace the key, and give only the public one"
    )]
    SecretKey,
    /// Larger than any key.
    #[error("the key is larger than {limit} bytes")]
    TooLarge {
        /// Most bytes.
        limit: usize,
    },
    /// More than one block.
    #[error("there is more than one block: give one key")]
    TooMany,
    /// An algorithm, curve or size that is not accepted.
    #[error("the key cannot be used: {0}")]
    Unsupported(String),
}

impl PublicKeyError {
    /// One word for conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed | Self::TooMany => "KeyMalformed",
            Self::PinnedNotFound { .. } => "FingerprintMismatch",
            Self::SecretKey => "SecretKey",
            Self::TooLarge { .. } => "KeyTooLarge",
            Self::Unsupported(_) => "KeyUnsupported",
        }
    }
}

impl PublicKey {
    /// Reads one `BEGIN PUBLIC KEY` block: ECDSA on P-256 or P-384, RSA of 2048 to 8192 bits, Ed25519 or
    /// ML-DSA.
    ///
    /// # Errors
    /// If it is anything else, or there is more than one block.
    pub fn parse(pem: &[u8]) -> Result<Self, PublicKeyError> {
        let limit = limits::PUBLIC_KEY_BYTES;
        if pem.len() > limit {
            return Err(PublicKeyError::TooLarge { limit });
        }
        let text = std::str::from_utf8(pem).map_err(|_| PublicKeyError::Malformed)?;
        if text.contains("PRIVATE KEY") {
            return Err(PublicKeyError::SecretKey);
        }
        if text.matches("-----BEGIN ").count() > 1 {
            return Err(PublicKeyError::TooMany);
        }
        let der = DerPublicKey::from_pem(text).map_err(|_| PublicKeyError::Malformed)?;
        let unsupported = |error: sigstore_verify::crypto::Error| {
            PublicKeyError::Unsupported(bounded(&error.to_string()))
        };
        let algorithm = KeyAlgorithm::from_spki(&der).map_err(unsupported)?;
        if algorithm == KeyAlgorithm::Rsa && !has_parameters(der.as_bytes()) {
            let message = "a key of RSA has NULL as parameters, and this one has none: write it again by \
                           `openssl pkey -pubin`";
            return Err(PublicKeyError::Unsupported(message.to_owned()));
        }
        let key = VerificationKey::from_spki(&der).map_err(unsupported)?;
        sigstore_verify::crypto::validate_raw_public_key(key.scheme(), key.as_bytes())
            .map_err(unsupported)?;
        let numbers = openpgp_numbers(algorithm, &key);
        Ok(Self {
            der,
            algorithm,
            numbers,
        })
    }

    /// The same, if the key is the one that is pinned.
    ///
    /// # Errors
    /// As [`Self::parse`], and if the key is another one.
    pub fn parse_pinned(pem: &[u8], pinned: Sha256Digest) -> Result<Self, PublicKeyError> {
        let key = Self::parse(pem)?;
        let found = key.fingerprint();
        if found == pinned {
            return Ok(key);
        }
        Err(PublicKeyError::PinnedNotFound { pinned, found })
    }

    /// The key alone, as one block.
    pub fn pem(&self) -> String {
        self.der.to_pem()
    }

    /// Digest of its `SubjectPublicKeyInfo` (DER), by which it is named.
    pub fn fingerprint(&self) -> Sha256Digest {
        Sha256Digest::of(self.der.as_bytes())
    }

    /// What the packet of an `OpenPGP` key ends with if it is this very key: its numbers, which for RSA are
    /// lengths and numbers (RFC 9580 section 5.5.5).
    pub fn openpgp_numbers(&self) -> Option<&[u8]> {
        self.numbers.as_deref()
    }

    /// What it is, such as `EcdsaP256`.
    pub fn algorithm(&self) -> String {
        format!("{:?}", self.algorithm)
    }
}

/// See [`PublicKey::openpgp_numbers`].
fn openpgp_numbers(algorithm: KeyAlgorithm, key: &VerificationKey) -> Option<Vec<u8>> {
    if algorithm != KeyAlgorithm::Rsa {
        return Some(key.as_bytes().to_vec());
    }
    let mut reader = SliceReader::new(key.as_bytes()).ok()?;
    let read = reader.sequence(|it| Ok::<_, der::Error>([it.decode()?, it.decode()?]));
    let numbers: [UintRef<'_>; 2] = read.ok()?;
    let number = |it: UintRef<'_>| {
        let bytes = it.as_bytes();
        let unused = bytes.first().map_or(0, |first| first.leading_zeros());
        let bits = u16::try_from(bytes.len().checked_mul(8)?).ok()?;
        let bits = bits.checked_sub(u16::try_from(unused).ok()?)?;
        Some([&bits.to_be_bytes(), bytes].concat())
    };
    let numbers: Option<Vec<_>> = numbers.into_iter().map(number).collect();
    Some(numbers?.concat())
}

/// Whether the parameters stand there that RSA has none of (RFC 3279 section 2.3.1). With and without them it is
/// one key with two fingerprints: revoked by one, and counted twice.
fn has_parameters(spki: &[u8]) -> bool {
    let read = SubjectPublicKeyInfoRef::from_der(spki);
    read.is_ok_and(|it| it.algorithm.parameters.is_some())
}
