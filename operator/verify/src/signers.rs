//! Who vouches for a signed statement: counts distinct trusted signers, and says why others do not
//! count.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::check::Subject;
use crate::evidence::{Outcome, SignatureFacts, Signed};
use crate::key::{Grandfather, Key, OwnRevocation, RevocationReason};
use crate::openpgp::{self, Fingerprint, VerifiedSignature, Word};
use crate::policy::ExpiredKeys;
use crate::verdict::Reason;

/// How enough signers vouch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vouching {
    /// Only because our own verification is older than a revocation.
    Grandfathered,
    /// Without reservation.
    Valid,
}

/// What the signatures of one statement add up to.
#[derive(Debug)]
pub(crate) struct Tally {
    /// How the threshold was met, if it was.
    pub(crate) vouching: Option<Vouching>,
    /// Why the threshold was not met; empty if it was.
    pub(crate) failing: Vec<(Reason, String)>,
    /// Signatures that do not count, but do not hurt.
    pub(crate) others: Vec<String>,
}

/// Counts distinct listed signers by primary fingerprint, never by signature.
pub(crate) fn tally(subject: &Subject<'_>, signed: &Signed) -> Tally {
    let mut valid = BTreeSet::new();
    let mut grandfathered = BTreeSet::new();
    let mut failing = Vec::new();
    let mut others = Vec::new();
    for signature in &signed.signatures {
        match vouches(subject, signature) {
            Vote::Failing(reason, message) => failing.push((reason, message)),
            Vote::NotListed(message) => others.push(message),
            Vote::Vouching(Vouching::Grandfathered, primary) => drop(grandfathered.insert(primary)),
            Vote::Vouching(Vouching::Valid, primary) => drop(valid.insert(primary)),
        }
    }
    grandfathered.extend(valid.iter().cloned());
    let threshold = usize::try_from(subject.rule.verify.signers.threshold.get());
    let meets = |signers: &BTreeSet<Fingerprint>| threshold.is_ok_and(|t| signers.len() >= t);
    let vouching = match (meets(&valid), meets(&grandfathered)) {
        (true, _) => Some(Vouching::Valid),
        (false, true) => Some(Vouching::Grandfathered),
        (false, false) => None,
    };
    if vouching.is_some() {
        others.extend(
            failing
                .drain(..)
                .map(|(reason, message)| format!("{reason}: {message}")),
        );
    } else if failing.is_empty() {
        failing.push((
            Reason::SignerNotTrusted,
            too_few(subject, valid.len(), &others),
        ));
    }
    Tally {
        vouching,
        failing,
        others,
    }
}

fn too_few(subject: &Subject<'_>, count: usize, others: &[String]) -> String {
    let rule = &subject.rule.name;
    let threshold = subject.rule.verify.signers.threshold;
    if count > 0 {
        return format!("{count} of {threshold} signers that rule {rule:?} needs");
    }
    match others.first() {
        Some(other) => format!("{other}, in rule {rule:?}"),
        None => format!("no signer of rule {rule:?} signed it"),
    }
}

/// What one signature contributes.
enum Vote {
    /// A listed signer's, but it does not count.
    Failing(Reason, String),
    /// By a key that the rule does not list.
    NotListed(String),
    /// It counts for this signer.
    Vouching(Vouching, Fingerprint),
}

fn vouches(subject: &Subject<'_>, signature: &SignatureFacts) -> Vote {
    match &signature.outcome {
        Outcome::Verified(verified) => by_known_key(subject, verified),
        Outcome::Fault(fingerprint, word) => match listed(subject, fingerprint).next() {
            None => Vote::NotListed(format!("signature of {fingerprint}, which is not listed")),
            Some(key) => {
                let message = format!("signature of {} ({fingerprint}): {word}", key.name);
                Vote::Failing(reason(*word).unwrap_or(Reason::SignatureInvalid), message)
            }
        },
        Outcome::UnknownIssuer => {
            let issuer = signature.claimed.issuer().unwrap_or("nobody");
            Vote::NotListed(format!("signed by {issuer}, an unknown key"))
        }
    }
}

fn listed<'a>(
    subject: &Subject<'a>,
    fingerprint: &'a Fingerprint,
) -> impl Iterator<Item = &'a Key> {
    let signers = &subject.rule.verify.signers;
    subject
        .keys
        .iter()
        .filter(move |key| key.fingerprint() == fingerprint && signers.list(key))
}

/// Scope and end date are per object, so the best of several objects of one fingerprint counts.
fn by_known_key(subject: &Subject<'_>, verified: &VerifiedSignature) -> Vote {
    let signer = verified.primary();
    let best = listed(subject, signer)
        .map(|key| (key, life(subject, key, verified)))
        .max_by_key(|(_, life)| rank(*life));
    match best {
        None => Vote::NotListed(format!("signed by {signer}, which is not listed")),
        Some((_, Ok(vouching))) => Vote::Vouching(vouching, signer.clone()),
        Some((key, Err(reason))) => {
            let message = format!("{} {} ({signer})", key.name, explain(reason));
            Vote::Failing(reason, message)
        }
    }
}

/// The best first: valid, grandfathered, then the least bad reason.
fn rank(life: Result<Vouching, Reason>) -> (bool, bool, Option<Reason>) {
    match life {
        Ok(vouching) => (true, vouching == Vouching::Valid, None),
        Err(reason) => (false, false, Some(reason)),
    }
}

/// Whether a cryptographically good signature by this key counts, and if not the worst reason.
fn life(
    subject: &Subject<'_>,
    key: &Key,
    verified: &VerifiedSignature,
) -> Result<Vouching, Reason> {
    let mut reasons = BTreeSet::new();
    let expired_keys = subject.rule.verify.expired_keys;
    reasons.extend(certificate_life(key, verified, expired_keys, subject.now));
    reasons.extend(our_end_date(key, verified, expired_keys, subject.now));
    if !key.scope.covers(subject.case.chart, Some(subject.source)) {
        reasons.insert(Reason::KeyOutOfScope);
    }
    let mut vouching = Vouching::Valid;
    for revocation in &key.revocations {
        match our_word(revocation, verified, subject.facts.first_verified) {
            Ok(Vouching::Valid) => {}
            Ok(Vouching::Grandfathered) => vouching = Vouching::Grandfathered,
            Err(reason) => drop(reasons.insert(reason)),
        }
    }
    reasons.into_iter().next().map_or(Ok(vouching), Err)
}

/// The certificate's own word: judged at signing always, and now too where expiry is not forgiven.
fn certificate_life(
    key: &Key,
    verified: &VerifiedSignature,
    expired_keys: ExpiredKeys,
    now: Timestamp,
) -> impl Iterator<Item = Reason> {
    let standing = openpgp::standing(&key.certificate, verified, now);
    let forgiven = expired_keys == ExpiredKeys::AcceptIfSignedBefore;
    let today = (!(forgiven && standing.now == Word::Expired)).then_some(standing.now);
    [Some(standing.at_signing), today]
        .into_iter()
        .flatten()
        .filter_map(reason)
}

/// `spec.notAfter`, judged like the key's own expiry: the instant itself is expired.
fn our_end_date(
    key: &Key,
    verified: &VerifiedSignature,
    expired_keys: ExpiredKeys,
    now: Timestamp,
) -> Option<Reason> {
    let end = key.not_after?;
    let judged = match expired_keys {
        ExpiredKeys::AcceptIfSignedBefore => verified.created(),
        ExpiredKeys::Reject => verified.created().max(now),
    };
    (judged >= end).then_some(Reason::KeyExpired)
}

/// `spec.revocation`. Hard reasons count whatever the signature's date, because a thief writes the
/// date; soft ones for signatures made at or after theirs.
fn our_word(
    revocation: &OwnRevocation,
    verified: &VerifiedSignature,
    first_verified: Option<Timestamp>,
) -> Result<Vouching, Reason> {
    let hard = match revocation.reason {
        RevocationReason::Compromised => Reason::KeyCompromised,
        RevocationReason::Unspecified => Reason::KeyRevoked,
        RevocationReason::Retired | RevocationReason::Superseded => {
            let before = revocation
                .since
                .is_some_and(|since| verified.created() < since);
            return if before {
                Ok(Vouching::Valid)
            } else {
                Err(Reason::KeyRetired)
            };
        }
    };
    let witnessed = revocation.grandfather == Grandfather::Witnessed
        && matches!((first_verified, revocation.since), (Some(first), Some(since)) if first < since);
    if witnessed {
        Ok(Vouching::Grandfathered)
    } else {
        Err(hard)
    }
}

/// The public reason for a detailed word of the OpenPGP rules; `None` for a valid signature.
fn reason(word: Word) -> Option<Reason> {
    Some(match word {
        Word::Valid => return None,
        Word::BadSignature => Reason::SignatureInvalid,
        Word::CriticalUnknown | Word::WrongType => Reason::ProvenanceMalformed,
        Word::Expired => Reason::KeyExpired,
        Word::RevokedHard { compromised: true } => Reason::KeyCompromised,
        Word::RevokedHard { compromised: false } => Reason::KeyRevoked,
        Word::RevokedSoft => Reason::KeyRetired,
        Word::UnsupportedAlgorithm | Word::WeakHash | Word::WeakKey => Reason::WeakSignature,
        Word::FromFuture
        | Word::NoBackSignature
        | Word::NoIssuer
        | Word::NoValidSelfSignature
        | Word::NotBound
        | Word::NotSigningCapable
        | Word::PredatesKey
        | Word::RevocationNotVerifiable
        | Word::SignatureExpired
        | Word::UnknownKey => Reason::SignerNotTrusted,
    })
}

fn explain(reason: Reason) -> &'static str {
    match reason {
        Reason::KeyCompromised => "was revoked as compromised",
        Reason::KeyRevoked => "was revoked",
        Reason::KeyRetired => "was superseded or retired before it signed",
        Reason::KeyExpired => "has expired",
        Reason::KeyOutOfScope => "may not speak for this chart or source",
        _ => "was not able to sign this",
    }
}
