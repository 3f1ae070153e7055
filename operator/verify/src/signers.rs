//! Who vouches for a signed statement: counts distinct trusted signers, and says why others do not
//! count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::check::Subject;
use crate::evidence::{Outcome, SignatureFacts, Signed};
use crate::key::{HardRevocation, Key};
use crate::life::{Clock, Life, explain, hard_revocations, life, reason};
use crate::openpgp::{Fingerprint, SignatureRecord, VerifiedSignature, Word};
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
    /// Whether the threshold would be met, had no time passed since the signatures were made.
    pub(crate) has_lapsed: bool,
    /// Why the threshold was not met; empty if it was.
    pub(crate) failing: Vec<Failure>,
    /// Signatures that do not count, but do not hurt.
    pub(crate) others: Vec<String>,
}

/// Counts distinct listed signers by primary fingerprint, never by signature.
pub(crate) fn tally(subject: &Subject<'_>, signed: &Signed) -> Tally {
    let votes: Vec<_> = signed
        .signatures
        .iter()
        .map(|one| vote(subject, one))
        .collect();
    let count = |signers: fn(&Vote) -> &Signers| count(votes.iter().map(signers));
    let (valid, now, before) = (count(|v| &v.valid), count(|v| &v.now), count(|v| &v.before));
    let vouching = match (suffice(subject, valid), suffice(subject, now)) {
        (true, _) => Some(Vouching::Valid),
        (false, true) => Some(Vouching::Grandfathered),
        (false, false) => None,
    };
    let has_lapsed = vouching.is_none() && suffice(subject, before);
    let (mut failing, mut others) = (Vec::new(), Vec::new());
    for problem in votes.into_iter().filter_map(|vote| vote.problem) {
        match problem {
            // Nothing that time alone brings is badness.
            Problem::Listed(failure) if has_lapsed && failure.reason.class() == Class::Badness => {
                others.push(failure.to_string());
            }
            Problem::Listed(failure) if vouching.is_none() => failing.push(failure),
            Problem::Listed(failure) => others.push(failure.to_string()),
            Problem::NotListed(message) => others.push(message),
        }
    }
    if vouching.is_none() && failing.is_empty() {
        let message = too_few(subject, now, &mut others);
        failing.push(Failure::new(Reason::SignerNotTrusted, message));
    }
    Tally {
        vouching,
        has_lapsed,
        failing,
        others,
    }
}

fn suffice(subject: &Subject<'_>, count: usize) -> bool {
    let threshold = usize::try_from(subject.rule.verify.signers.threshold.get());
    threshold.is_ok_and(|threshold| count >= threshold)
}

/// Why nobody vouches. What it tells of the first of the others is not told again.
fn too_few(subject: &Subject<'_>, count: usize, others: &mut Vec<String>) -> String {
    let rule = &subject.rule.name;
    let threshold = subject.rule.verify.signers.threshold;
    if count > 0 {
        return format!("{count} of {threshold} signers that rule {rule:?} needs");
    }
    if others.is_empty() {
        return format!("no signer of rule {rule:?} signed it");
    }
    format!("{}, in rule {rule:?}", others.remove(0))
}

type Signers = BTreeSet<Fingerprint>;

/// For whom one signature may count. Several certificates can share a subkey.
#[derive(Debug, Default)]
struct Vote {
    /// Who vouches without reservation.
    valid: Signers,
    /// Who vouches.
    now: Signers,
    /// Who would vouch, had no time passed since it was made.
    before: Signers,
    /// Why it counts for nobody.
    problem: Option<Problem>,
}

#[derive(Debug)]
enum Problem {
    /// A listed signer's, but it does not count.
    Listed(Failure),
    /// By a key that the rule does not list.
    NotListed(String),
}

/// Why a listed signer's signature does not count.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// What badness rests on.
    pub(crate) revocations: BTreeSet<HardRevocation>,
}

impl Failure {
    fn new(reason: Reason, message: String) -> Self {
        Self {
            reason,
            message,
            revocations: BTreeSet::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl From<Problem> for Vote {
    fn from(problem: Problem) -> Self {
        Self {
            problem: Some(problem),
            ..Self::default()
        }
    }
}

/// How many signers there are if every signature counts for one: a matching of the greatest size.
fn count<'a>(votes: impl Iterator<Item = &'a Signers>) -> usize {
    let votes: Vec<_> = votes.collect();
    let mut signature_of = BTreeMap::new();
    for index in 0..votes.len() {
        find_signer(index, &votes, &mut signature_of, &mut BTreeSet::new());
    }
    signature_of.len()
}

/// Finds a signer for a signature; one that is taken is freed if its signature finds another one.
fn find_signer<'a>(
    signature: usize,
    votes: &[&'a Signers],
    signature_of: &mut BTreeMap<&'a Fingerprint, usize>,
    tried: &mut BTreeSet<&'a Fingerprint>,
) -> bool {
    for signer in votes.get(signature).into_iter().copied().flatten() {
        if !tried.insert(signer) {
            continue;
        }
        let taken = signature_of.get(signer).copied();
        if taken.is_none_or(|other| find_signer(other, votes, signature_of, tried)) {
            signature_of.insert(signer, signature);
            return true;
        }
    }
    false
}

fn vote(subject: &Subject<'_>, signature: &SignatureFacts) -> Vote {
    match &signature.outcome {
        Outcome::Verified(verified) => by_known_key(subject, verified),
        Outcome::Fault(fingerprint, word) => {
            let message = |key: &Key| format!("signature of {} ({fingerprint}): {word}", key.name);
            let problem = match listed(subject).find(|key| key.fingerprint() == fingerprint) {
                Some(key) => Problem::Listed(Failure::new(fault(*word), message(key))),
                None => not_listed("signature of", fingerprint.as_str()),
            };
            problem.into()
        }
        Outcome::UnknownIssuer => {
            let issuer = signature.claimed.issuer().unwrap_or("nobody");
            Problem::NotListed(format!("signed by {issuer}, an unknown key")).into()
        }
    }
}

fn not_listed(what: &str, signer: &str) -> Problem {
    Problem::NotListed(format!("{what} {signer}, which is not listed"))
}

fn listed<'a>(subject: &Subject<'a>) -> impl Iterator<Item = &'a Key> {
    let signers = &subject.rule.verify.signers;
    subject.keys.iter().filter(move |key| signers.list(key))
}

/// The reason for a signature that never held: whatever became of its key, it proves nothing bad.
fn fault(word: Word) -> Reason {
    let reason = reason(word).filter(|reason| reason.class() != Class::Badness);
    reason.unwrap_or(Reason::SignatureInvalid)
}

fn by_known_key(subject: &Subject<'_>, verified: &VerifiedSignature) -> Vote {
    let worths = worths(subject, verified, Clock::Running);
    let of = |vouches: fn(&Life) -> bool| -> Signers {
        let signers = worths.iter().filter(|(_, worth)| vouches(&worth.life));
        signers.map(|(signer, _)| (*signer).clone()).collect()
    };
    let (valid, now) = (of(|life| *life == Ok(Vouching::Valid)), of(Life::is_ok));
    let all_vouch = worths.values().all(|worth| worth.life.is_ok());
    let before = if all_vouch {
        now.clone()
    } else {
        signers_before(subject, verified)
    };
    let problem = now
        .is_empty()
        .then(|| problem(subject, &worths, &before, verified));
    Vote {
        valid,
        now,
        before,
        problem,
    }
}

fn signers_before(subject: &Subject<'_>, verified: &VerifiedSignature) -> Signers {
    let worths = worths(subject, verified, Clock::Stopped).into_iter();
    worths
        .filter(|(_, worth)| worth.life.is_ok())
        .map(|(signer, _)| signer.clone())
        .collect()
}

/// What a signature is worth as one key's.
struct Worth<'a> {
    key: &'a Key,
    seen: VerifiedSignature,
    life: Life,
}

/// Each listed signer whose signature it is, and what it is worth as theirs.
fn worths<'a>(
    subject: &Subject<'a>,
    verified: &VerifiedSignature,
    clock: Clock,
) -> BTreeMap<&'a Fingerprint, Worth<'a>> {
    let mut worths: BTreeMap<&Fingerprint, Worth<'_>> = BTreeMap::new();
    for key in listed(subject) {
        let Some(seen) = seen_by(key, verified) else {
            continue;
        };
        let life = life(subject, key, &seen, clock);
        let known = worths.get(key.fingerprint());
        // Scope and end date are per object, so the best of several of one fingerprint counts.
        if known.is_none_or(|best| rank(life) > rank(best.life)) {
            worths.insert(key.fingerprint(), Worth { key, seen, life });
        }
    }
    worths
}

/// The worst reason of those whose signature it is; but their own of those who would vouch if no
/// time had passed, because time brings no badness.
fn problem(
    subject: &Subject<'_>,
    worths: &BTreeMap<&Fingerprint, Worth<'_>>,
    before: &Signers,
    verified: &VerifiedSignature,
) -> Problem {
    let counts = |signer: &Fingerprint| before.is_empty() || before.contains(signer);
    let failures: Vec<_> = worths
        .iter()
        .filter(|(signer, _)| counts(signer))
        .filter_map(|(signer, worth)| Some((worth.life.err()?, signer, worth)))
        .collect();
    let Some((reason, signer, worst)) = failures.iter().min_by_key(|(reason, ..)| *reason) else {
        return not_listed("signed by", verified.primary().as_str());
    };
    let bad = failures
        .iter()
        .filter(|(reason, ..)| reason.class() == Class::Badness);
    Problem::Listed(Failure {
        reason: *reason,
        message: format!("{} {} ({signer})", worst.key.name, explain(*reason)),
        revocations: bad
            .flat_map(|(.., worth)| hard_revocations(subject, worth.key, &worth.seen))
            .collect(),
    })
}

/// The signature as this key's: it was verified with it, or the certificate and the signing subkey
/// name each other.
fn seen_by(key: &Key, verified: &VerifiedSignature) -> Option<VerifiedSignature> {
    if key.fingerprint() == verified.primary() {
        return Some(verified.clone());
    }
    let signer = verified.signer();
    key.certificate
        .key_fingerprints()
        .find(|own| *own == signer)?;
    if key.certificate.names_without_consent(signer) {
        return None;
    }
    let primary = key.fingerprint().clone();
    Some(VerifiedSignature::restore(SignatureRecord {
        primary,
        ..verified.record().clone()
    }))
}

/// The best last: the least bad reason, grandfathered, valid.
fn rank(life: Life) -> (bool, bool, Option<Reason>) {
    match life {
        Ok(vouching) => (true, vouching == Vouching::Valid, None),
        Err(reason) => (false, false, Some(reason)),
    }
}
