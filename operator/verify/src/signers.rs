//! Who vouches for a signed statement: counts distinct trusted signers, and says why others do not
//! count.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::check::Subject;
use crate::evidence::{Outcome, SignatureFacts, Signed};
use crate::key::Key;
use crate::life::{explain, life, reason};
use crate::openpgp::{self, Fingerprint, SignatureRecord, VerifiedSignature, Word};
use crate::verdict::{Class, Reason};

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
            Vote::Vouching(Vouching::Grandfathered, signer) => drop(grandfathered.insert(signer)),
            Vote::Vouching(Vouching::Valid, signer) => drop(valid.insert(signer)),
        }
    }
    // From here on those who count in any way.
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
            too_few(subject, grandfathered.len(), &others),
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
                Vote::Failing(fault(*word), message)
            }
        },
        Outcome::UnknownIssuer => {
            let issuer = signature.claimed.issuer().unwrap_or("nobody");
            Vote::NotListed(format!("signed by {issuer}, an unknown key"))
        }
    }
}

/// The reason for a signature that never held: whatever became of its key, it proves nothing bad.
fn fault(word: Word) -> Reason {
    let reason = reason(word).filter(|reason| reason.class() != Class::Badness);
    reason.unwrap_or(Reason::SignatureInvalid)
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

/// A subkey may belong to several certificates. One signature counts for one signer: for the one it
/// was verified with, if that one vouches.
fn by_known_key(subject: &Subject<'_>, verified: &VerifiedSignature) -> Vote {
    let mut lives: BTreeMap<&Fingerprint, (&Key, Life)> = BTreeMap::new();
    for key in subject
        .keys
        .iter()
        .filter(|key| subject.rule.verify.signers.list(key))
    {
        let Some(seen) = seen_by(key, verified, subject.now) else {
            continue;
        };
        let life = life(subject, key, &seen);
        let best = lives.entry(key.fingerprint()).or_insert((key, life));
        // Scope and end date are per object, so the best of several of one fingerprint counts.
        if rank(life) > rank(best.1) {
            *best = (key, life);
        }
    }
    let is_valid = |life: &Life| *life == Ok(Vouching::Valid);
    let preferred = lives.iter().max_by_key(|(signer, (_, life))| {
        (life.is_ok(), is_valid(life), **signer == verified.primary())
    });
    match preferred {
        Some((signer, (_, Ok(vouching)))) => Vote::Vouching(*vouching, (*signer).clone()),
        Some(_) => worst_failure(lives),
        None => Vote::NotListed(format!(
            "signed by {}, which is not listed",
            verified.primary()
        )),
    }
}

fn worst_failure(lives: BTreeMap<&Fingerprint, (&Key, Life)>) -> Vote {
    let failures = lives
        .into_iter()
        .filter_map(|(signer, (key, life))| Some((life.err()?, signer, key)));
    match failures.min_by_key(|(reason, ..)| *reason) {
        Some((reason, signer, key)) => {
            let message = format!("{} {} ({signer})", key.name, explain(reason));
            Vote::Failing(reason, message)
        }
        None => Vote::NotListed("signed by nobody who is listed".to_owned()),
    }
}

/// The signature as this key's: it is, or its certificate and the signing subkey name each other.
fn seen_by(key: &Key, verified: &VerifiedSignature, now: Timestamp) -> Option<VerifiedSignature> {
    if key.fingerprint() == verified.primary() {
        return Some(verified.clone());
    }
    key.certificate
        .key_fingerprints()
        .find(|own| *own == verified.signer())?;
    let primary = key.fingerprint().clone();
    let seen = VerifiedSignature::restore(SignatureRecord {
        primary,
        ..verified.record().clone()
    });
    let at_signing = openpgp::standing(&key.certificate, &seen, now).at_signing;
    (!matches!(at_signing, Word::NoBackSignature | Word::NotBound)).then_some(seen)
}

/// What a signature is worth, or why it is worth nothing.
type Life = Result<Vouching, Reason>;

/// The best last: the least bad reason, grandfathered, valid.
fn rank(life: Life) -> (bool, bool, Option<Reason>) {
    match life {
        Ok(vouching) => (true, vouching == Vouching::Valid, None),
        Err(reason) => (false, false, Some(reason)),
    }
}
