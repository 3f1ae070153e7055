//! What remains of a verified signature when its bytes are gone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::time::{begins, timestamp};
use crate::seal::Attestation;

/// A signature whose mathematics were checked with a key of a certificate.
///
/// # Guarantees
/// Made by [`verify`] or restored from evidence; nothing about the time is promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature(pub(super) SignatureRecord);

/// The content of a [`VerifiedSignature`], to be kept as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignatureRecord {
    /// The primary key of the certificate.
    pub primary: Fingerprint,
    /// The key that made the signature: the primary key or a subkey.
    pub signer: Fingerprint,
    /// When the signature was made, as the signer says.
    pub created: Timestamp,
    /// When the signature itself expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The algorithm and size of the key, such as `RSA-4096`.
    pub algorithm: String,
    /// The hash algorithm, such as `SHA512`.
    pub hash: String,
}

impl VerifiedSignature {
    /// Restores a signature that was verified earlier, from a record that is attested to be our own.
    pub fn restore(record: SignatureRecord, _: Attestation) -> Self {
        Self(record)
    }

    /// The same signature as that of another certificate, which claims the key that made it as its own.
    pub(crate) fn as_of(&self, primary: Fingerprint) -> Self {
        let record = SignatureRecord {
            primary,
            ..self.0.clone()
        };
        Self(record)
    }

    /// The content, to be kept under an authentication tag.
    pub fn record(&self) -> &SignatureRecord {
        &self.0
    }

    /// The fingerprint of the primary key, by which signers are counted.
    pub fn primary(&self) -> &Fingerprint {
        &self.0.primary
    }

    /// The fingerprint of the primary key or subkey that made the signature.
    pub fn signer(&self) -> &Fingerprint {
        &self.0.signer
    }

    /// When the signature was made, as the signer says.
    pub fn created(&self) -> Timestamp {
        self.0.created
    }

    /// When the signature itself expires.
    pub fn expires(&self) -> Option<Timestamp> {
        self.0.expires
    }

    /// Instants at which time alone changes what it is worth: its beginning, if it was dated ahead, and
    /// its end.
    pub fn turns(&self) -> impl Iterator<Item = Timestamp> {
        let begins = timestamp(begins(self.0.created.as_second()));
        [begins].into_iter().chain(self.0.expires)
    }

    /// The algorithm and size of the key.
    pub fn algorithm(&self) -> &str {
        &self.0.algorithm
    }

    /// The hash algorithm.
    pub fn hash(&self) -> &str {
        &self.0.hash
    }
}
