//! The mathematics of one data signature, and what remains of it when the bytes are gone.

use jiff::Timestamp;

use super::acceptance::{Lifespan, accept};
use super::certificate::Certificate;
use super::cleartext::{ClaimedSignature, SignedMessage};
use super::codes::Code;
use super::crypto::{self, Maths, hash_name};
use super::keys::Key;
use super::signature::{Signature, SignaturePacket, TEXT};
use super::time::timestamp;
use super::validity::Made;
use super::verified::{SignatureRecord, VerifiedSignature};

/// Checks one signature of a message against one certificate, whatever the time.
///
/// `Ok` says that a key listed in the certificate made this signature over this text with safe
/// algorithms. Whether that key may be used is answered by [`signature_validity`](super::signature_validity) alone.
///
/// The error is the word for what can never become good, whatever happens to the key.
pub fn verify(
    message: &SignedMessage,
    signature: &ClaimedSignature,
    certificate: &Certificate,
) -> Result<VerifiedSignature, Code> {
    let packet = match signature.packet() {
        Signature::Read(packet) => packet,
        Signature::Unreadable { .. } => return Err(Code::UnsupportedAlgorithm),
    };
    // Key IDs collide on purpose, so that several keys of one certificate may be meant; the one
    // whose mathematics hold is it.
    let mut answer = Err(Code::UnknownKey);
    for signer in claimed_signers(packet, certificate)? {
        answer = verify_by(message, packet, signer, certificate);
        if answer.is_ok() {
            break;
        }
    }
    answer
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
) -> Result<Vec<&'a Key>, Code> {
    if !packet.names_issuer() {
        return Err(Code::NoIssuer);
    }
    if certificate.is_missing() {
        return Err(Code::UnknownKey);
    }
    let issuers = packet.issuers();
    let named: Vec<_> = certificate
        .keys()
        .filter(|key| issuers.name(&key.fingerprint))
        .collect();
    if named.is_empty() {
        Err(Code::UnknownKey)
    } else {
        Ok(named)
    }
}

fn verify_by(
    message: &SignedMessage,
    packet: &SignaturePacket,
    signer: &Key,
    certificate: &Certificate,
) -> Result<VerifiedSignature, Code> {
    // A binary signature may be a detached one made for something else (RFC 9580 section 5.2.1).
    if packet.kind != TEXT || packet.has_intended_recipient() {
        return Err(Code::WrongType);
    }
    // Before the mathematics: what can never count need not be computed.
    let life = accept(packet, signer)?;
    match crypto::check(packet, signer, &[message.hashed()]) {
        Maths::Good => Ok(verified(packet, signer, certificate, life)),
        Maths::Bad => Err(Code::BadSignature),
        Maths::Uncheckable => Err(Code::UnsupportedAlgorithm),
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
