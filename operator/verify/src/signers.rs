//! Who vouches for a signed statement: counts distinct trusted signers, and says why others do not
//! count.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::Subject;
use crate::evidence::{Outcome, SignatureFacts, Signed};
use crate::key::Key;
use crate::life::{Clock, Life, explain, life, reason};
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
    pub(crate) failing: Vec<(Reason, String)>,
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
            Problem::Listed(reason, _) if has_lapsed && reason.class() == Class::Badness => {
                others.push(problem.told());
            }
            Problem::Listed(reason, message) if vouching.is_none() => {
                failing.push((reason, message));
            }
            Problem::Listed(..) | Problem::NotListed(_) => others.push(problem.told()),
        }
    }
    if vouching.is_none() && failing.is_empty() {
        failing.push((Reason::SignerNotTrusted, too_few(subject, now, &others)));
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
    Listed(Reason, String),
    /// By a key that the rule does not list.
    NotListed(String),
}

impl Problem {
    fn told(&self) -> String {
        match self {
            Self::Listed(reason, message) => format!("{reason}: {message}"),
            Self::NotListed(message) => message.clone(),
        }
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
                Some(key) => Problem::Listed(fault(*word), message(key)),
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
    let lives = lives(subject, verified, Clock::Running);
    let of = |vouches: fn(&Life) -> bool| -> Signers {
        let signers = lives.iter().filter(|(_, (_, life))| vouches(life));
        signers.map(|(signer, _)| (*signer).clone()).collect()
    };
    let (valid, now) = (of(|life| *life == Ok(Vouching::Valid)), of(Life::is_ok));
    let all_vouch = lives.values().all(|(_, life)| life.is_ok());
    let before = if all_vouch {
        now.clone()
    } else {
        signers_before(subject, verified)
    };
    let problem = now.is_empty().then(|| problem(&lives, &before, verified));
    Vote {
        valid,
        now,
        before,
        problem,
    }
}

fn signers_before(subject: &Subject<'_>, verified: &VerifiedSignature) -> Signers {
    let lives = lives(subject, verified, Clock::Stopped).into_iter();
    lives
        .filter(|(_, (_, life))| life.is_ok())
        .map(|(signer, _)| signer.clone())
        .collect()
}

/// Each listed signer whose signature it is, and what it is worth as theirs.
fn lives<'a>(
    subject: &Subject<'a>,
    verified: &VerifiedSignature,
    clock: Clock,
) -> BTreeMap<&'a Fingerprint, (&'a Key, Life)> {
    let mut lives: BTreeMap<&Fingerprint, (&Key, Life)> = BTreeMap::new();
    for key in listed(subject) {
        let Some(seen) = seen_by(key, verified) else {
            continue;
        };
        let life = life(subject, key, &seen, clock);
        let best = lives.entry(key.fingerprint()).or_insert((key, life));
        // Scope and end date are per object, so the best of several of one fingerprint counts.
        if rank(life) > rank(best.1) {
            *best = (key, life);
        }
    }
    lives
}

/// The worst reason of those whose signature it is; but their own of those who would vouch if no
/// time had passed, because time brings no badness.
fn problem(
    lives: &BTreeMap<&Fingerprint, (&Key, Life)>,
    before: &Signers,
    verified: &VerifiedSignature,
) -> Problem {
    let counts = |signer: &Fingerprint| before.is_empty() || before.contains(signer);
    let failures = lives
        .iter()
        .filter(|(signer, _)| counts(signer))
        .filter_map(|(signer, (key, life))| Some((life.err()?, signer, key)));
    match failures.min_by_key(|(reason, ..)| *reason) {
        Some((reason, signer, key)) => Problem::Listed(
            reason,
            format!("{} {} ({signer})", key.name, explain(reason)),
        ),
        None => not_listed("signed by", verified.primary().as_str()),
    }
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
