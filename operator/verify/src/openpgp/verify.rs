//! The mathematics of one data signature, and what remains of it when the bytes are gone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::acceptance::{Lifespan, accept};
use super::certificate::Certificate;
use super::cleartext::{ClaimedSignature, SignedMessage};
use super::crypto::{self, Maths, hash_name};
use super::fingerprint::Fingerprint;
use super::keys::Key;
use super::signature::{Signature, SignaturePacket, TEXT};
use super::time::timestamp;
use super::validity::Made;
use super::words::Word;

/// Checks one signature of a message against one certificate, whatever the time.
///
/// `Ok` says that a key listed in the certificate made this signature over this text with safe
/// algorithms. Whether that key may be used is answered by [`standing`](super::standing) alone.
///
/// The error is the word for what can never become good, whatever happens to the key.
pub fn verify(
    message: &SignedMessage,
    signature: &ClaimedSignature,
    certificate: &Certificate,
) -> Result<VerifiedSignature, Word> {
    let packet = match signature.packet() {
        Signature::Read(packet) => packet,
        Signature::Unreadable { .. } => return Err(Word::UnsupportedAlgorithm),
    };
    let mut answer = Err(Word::UnknownKey);
    for signer in claimed_signers(packet, certificate)? {
        answer = verify_by(message, packet, signer, certificate);
        if answer.is_ok() {
            break;
        }
    }
    answer
}

/// A signature whose mathematics were checked with a key of a certificate.
///
/// # Guarantees
/// Made by [`verify`] or restored from evidence; nothing about the time is promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature(SignatureRecord);

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
    /// Restores a signature that was verified earlier.
    ///
    /// Only from evidence whose authentication tag was checked: this is believed without proof.
    pub fn restore(record: SignatureRecord) -> Self {
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

    /// The algorithm and size of the key.
    pub fn algorithm(&self) -> &str {
        &self.0.algorithm
    }

    /// The hash algorithm.
    pub fn hash(&self) -> &str {
        &self.0.hash
    }
}

impl<'a> Made<'a> {
    pub(super) fn of(signature: &'a VerifiedSignature) -> Self {
        let record = signature.record();
        let life = Lifespan {
            created: record.created.as_second(),
            expires: record.expires.map(Timestamp::as_second),
        };
        Self {
            primary: &record.primary,
            signer: &record.signer,
            life,
        }
    }
}

/// The keys that the signature names; never empty.
fn claimed_signers<'a>(
    packet: &SignaturePacket,
    certificate: &'a Certificate,
) -> Result<Vec<&'a Key>, Word> {
    let issuers = packet.issuers();
    if issuers.is_empty() || packet.has_unreadable_issuer() || !issuers.agree() {
        return Err(Word::NoIssuer);
    }
    let named: Vec<_> = certificate
        .keys()
        .filter(|key| issuers.name(&key.fingerprint))
        .collect();
    if named.is_empty() {
        Err(Word::UnknownKey)
    } else {
        Ok(named)
    }
}

fn verify_by(
    message: &SignedMessage,
    packet: &SignaturePacket,
    signer: &Key,
    certificate: &Certificate,
) -> Result<VerifiedSignature, Word> {
    // A binary signature may be a detached one made for something else (RFC 9580 section 5.2.1).
    if packet.kind != TEXT || packet.has_intended_recipient() {
        return Err(Word::WrongType);
    }
    let life = accept(packet, signer)?;
    match crypto::check(packet, signer, &[message.hashed()]) {
        Maths::Good => Ok(verified(packet, signer, certificate, life)),
        Maths::Bad => Err(Word::BadSignature),
        Maths::Uncheckable => Err(Word::UnsupportedAlgorithm),
    }
}

fn verified(
    packet: &SignaturePacket,
    signer: &Key,
    certificate: &Certificate,
    life: Lifespan,
) -> VerifiedSignature {
    VerifiedSignature(SignatureRecord {
        primary: certificate.fingerprint().clone(),
        signer: signer.fingerprint.clone(),
        created: timestamp(life.created),
        expires: life.expires.map(timestamp),
        algorithm: signer.algorithm_name(),
        hash: hash_name(packet.hash_algorithm).to_owned(),
    })
}
