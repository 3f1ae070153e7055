//! Revocations of primary keys and subkeys (RFC 9580 sections 5.2.1.11, 5.2.1.12, 5.2.3.31).
//!
//! They are looked at before and apart from everything else. One that verifies counts, however
//! badly it is made; one that may be ours and cannot be checked stops the key from being used.

use std::sync::Arc;

use jiff::Timestamp;
use pgp::crypto::hash::HashAlgorithm;

use super::budget::Budget;
use super::crypto::Maths;
use super::error::CertificateError;
use super::fingerprint::Fingerprint;
use super::keys::Key;
use super::signature::{Signature, SignaturePacket};
use super::time::timestamp;

/// A revocation for status, events and incidents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRevocation {
    /// Counts for every signature, whatever its date.
    pub hard: bool,
    /// The reason is code 2, key material compromised.
    pub compromised: bool,
    /// The reason in a word or two.
    pub reason: &'static str,
    /// When it was made, as its maker says; absent if it does not say so clearly.
    pub since: Option<Timestamp>,
    /// SHA-256 of the signed statement in hexadecimal: names this revocation in incidents.
    pub digest: String,
}

/// A revocation that verified, or that cannot be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyRevocation {
    pub(super) effect: Effect,
    pub(super) reason: Option<u8>,
    pub(super) since: Option<i64>,
    pub(super) digest: String,
    pub(super) raw: Vec<u8>,
}

/// What a revocation does, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    Compromised,
    Hard,
    NotVerifiable,
    Soft,
}

/// A key that the owner allowed to revoke this one (section 5.2.3.23).
#[derive(Debug, Clone)]
pub(super) struct Revoker {
    pub(super) fingerprint: Fingerprint,
    pub(super) key: Option<Arc<Key>>,
}

/// Where a revocation was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Where a revocation of this key belongs, so that one without a readable issuer counts.
    Expected,
    Other,
}

/// Who may revoke.
#[derive(Debug, Clone, Copy)]
pub(super) struct Authority<'a> {
    pub(super) primary: &'a Key,
    pub(super) revokers: &'a [Revoker],
}

impl Authority<'_> {
    /// What the signature does to the key or keys in `parts`; `None` if it is somebody else's.
    pub(super) fn judge(
        &self,
        signature: &Signature,
        place: Place,
        parts: &[&[u8]],
        budget: &mut Budget,
    ) -> Result<Option<KeyRevocation>, CertificateError> {
        let Signature::Read(packet) = signature else {
            // What nobody can read may be a revocation all the same. Where it stands says whose it
            // would be: elsewhere it may be of any key, and to believe it would let strangers block
            // one.
            let is_ours = place == Place::Expected;
            return Ok(is_ours.then(|| KeyRevocation::not_verifiable(signature)));
        };
        match budget.check(packet, self.primary, parts)? {
            Maths::Good => Ok(Some(KeyRevocation::verified(packet))),
            // An algorithm that we do not know is no reason to go on trusting: the owner may have
            // revoked with what the next RFC brings.
            Maths::Uncheckable if may_be_by(packet, &self.primary.fingerprint, place) => {
                Ok(Some(KeyRevocation::not_verifiable(signature)))
            }
            Maths::Bad | Maths::Uncheckable => self.judge_designated(packet, parts, budget),
        }
    }

    fn judge_designated(
        &self,
        packet: &SignaturePacket,
        parts: &[&[u8]],
        budget: &mut Budget,
    ) -> Result<Option<KeyRevocation>, CertificateError> {
        let issuers = packet.issuers();
        let mut worst = None;
        for revoker in self
            .revokers
            .iter()
            .filter(|one| issuers.may_name(&one.fingerprint))
        {
            let maths = match &revoker.key {
                Some(key) => budget.check(packet, key, parts)?,
                // The owner has named this revoker in a statement that was verified. Without the
                // revoker's key nobody can tell, so that trust ends until somebody adds it.
                None => Maths::Uncheckable,
            };
            match maths {
                Maths::Good => return Ok(Some(KeyRevocation::verified(packet))),
                Maths::Uncheckable => {
                    worst = Some(KeyRevocation::not_verifiable(&Signature::Read(
                        packet.clone(),
                    )));
                }
                Maths::Bad => {}
            }
        }
        Ok(worst)
    }
}

impl KeyRevocation {
    fn verified(packet: &SignaturePacket) -> Self {
        let (effect, reason) = effect(&packet.revocation_reasons());
        // A revocation whose date is missing, doubled or not signed counts from the beginning:
        // whoever can make one has the key, and no date of it can help a thief.
        let times = packet
            .creation_times()
            .into_iter()
            .collect::<Option<Vec<_>>>();
        Self {
            effect,
            reason,
            since: times.and_then(|times| times.into_iter().min()),
            digest: statement_digest(packet.statement()),
            raw: packet.raw.clone(),
        }
    }

    fn not_verifiable(signature: &Signature) -> Self {
        Self {
            effect: Effect::NotVerifiable,
            reason: None,
            since: None,
            digest: statement_digest(signature.raw()),
            raw: signature.raw().to_vec(),
        }
    }

    pub(super) fn is_verified(&self) -> bool {
        self.effect != Effect::NotVerifiable
    }

    /// Whether this takes away more than another does: a hard one all, a soft one from its date.
    pub(super) fn is_worse(&self, other: &Self) -> bool {
        let is_earlier = self.effect == Effect::Soft && self.since < other.since;
        self.effect < other.effect || (self.effect == other.effect && is_earlier)
    }

    /// Whether a signature that claims this creation time is revoked by a soft revocation.
    ///
    /// A revocation without a clear date counts from the beginning.
    pub(super) fn covers(&self, created: i64) -> bool {
        self.since.is_none_or(|since| created >= since)
    }

    pub(super) fn public(&self) -> CertificateRevocation {
        CertificateRevocation {
            hard: self.effect != Effect::Soft,
            compromised: self.effect == Effect::Compromised,
            reason: reason_word(self.effect, self.reason),
            since: self.since.map(timestamp),
            digest: self.digest.clone(),
        }
    }
}

/// The worst of several revocations, the earliest among equals.
pub(super) fn worst<'a>(
    revocations: impl IntoIterator<Item = &'a KeyRevocation>,
) -> Option<&'a KeyRevocation> {
    let all = revocations.into_iter();
    all.min_by_key(|one| (one.effect, one.since, &one.digest))
}

/// The worst of those that were checked: one that could not be is no proof, and hides none that is.
pub(super) fn worst_proven(revocations: &[KeyRevocation]) -> Option<&KeyRevocation> {
    worst(revocations.iter().filter(|one| one.is_verified()))
}

/// Soft only if every reason in the hashed area is a soft one (section 5.2.3.31).
fn effect(reasons: &[Option<u8>]) -> (Effect, Option<u8>) {
    // The worst of several reasons, whatever their order.
    if reasons.contains(&Some(COMPROMISED)) {
        return (Effect::Compromised, Some(COMPROMISED));
    }
    let hard = reasons
        .iter()
        .find(|reason| !matches!(reason, Some(SUPERSEDED | RETIRED | USER_ID)));
    match (hard, reasons.first()) {
        (Some(reason), _) => (Effect::Hard, *reason),
        (None, Some(reason)) => (Effect::Soft, *reason),
        // GnuPG makes a certificate without a reason at the birth of each key, for the day on which
        // it is stolen or lost.
        (None, None) => (Effect::Hard, None),
    }
}

fn reason_word(effect: Effect, reason: Option<u8>) -> &'static str {
    match (effect, reason) {
        (Effect::NotVerifiable, _) => "not verifiable",
        (_, Some(COMPROMISED)) => "compromised",
        (_, Some(SUPERSEDED)) => "superseded",
        (_, Some(RETIRED)) => "retired",
        (_, Some(USER_ID)) => "user ID invalid",
        (_, None | Some(0)) => "unspecified",
        (_, Some(_)) => "unknown reason",
    }
}

fn may_be_by(packet: &SignaturePacket, key: &Fingerprint, place: Place) -> bool {
    let issuers = packet.issuers();
    issuers.may_name(key) || (place == Place::Expected && issuers.is_empty())
}

fn statement_digest(statement: &[u8]) -> String {
    HashAlgorithm::Sha256
        .digest(statement)
        .map(hex::encode)
        .unwrap_or_default()
}

const SUPERSEDED: u8 = 1;
const COMPROMISED: u8 = 2;
const RETIRED: u8 = 3;
const USER_ID: u8 = 32;
