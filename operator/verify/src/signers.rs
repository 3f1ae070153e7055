//! Who approves of a signed statement: counts distinct trusted signers, and says why others do not
//! count.

use std::collections::BTreeMap;

use crate::case::Subject;
use crate::evaluation::{Evaluation, Failure, Problem, SignerId, Signers, count};
use crate::evidence::{Outcome, SignatureFacts, Signed};
use crate::key::Key;
use crate::key_validity::{
    Approval, Clock, KeyValidity, explain, hard_revocations, key_validity, reason,
};
use crate::openpgp::{Code, Fingerprint, VerifiedSignature};
use crate::verdict::{Cause, Class, Reason};

/// What the signatures of one statement add up to.
#[derive(Debug)]
pub(crate) struct Tally {
    /// How the threshold was met, if it was.
    pub(crate) approval: Option<Approval>,
    /// Whether it was met only with what other sources have.
    pub(crate) is_united: bool,
    /// Whether the threshold would be met, had no time passed since the signatures were made.
    pub(crate) has_lapsed: bool,
    /// Why the threshold was not met; empty if it was.
    pub(crate) failing: Vec<Failure>,
    /// Whether that says no more than that too few have signed.
    pub(crate) is_too_few: bool,
    /// What cannot be told and might have met it; empty if it was.
    pub(crate) doubts: Vec<(Cause, String)>,
    /// Signatures that do not count, but do not hurt.
    pub(crate) others: Vec<String>,
    /// What was signed and is no signature.
    pub(crate) attestations: Vec<String>,
}

/// A statement, and the source that has it, of whose scope and first verification it is judged.
pub(crate) type Statement<'a> = (Subject<'a>, &'a Signed);

/// What has to add up.
#[derive(Clone, Copy, Default)]
pub(crate) struct Votes<'a, 's> {
    /// The signatures of the statement.
    pub(crate) own: &'a [SignatureFacts],
    /// What other sources have about the same archive: it can add signers and nothing else.
    pub(crate) elsewhere: &'a [Statement<'s>],
    /// The Sigstore signatures of the archive.
    pub(crate) bundled: &'a [Evaluation],
}

/// Counts distinct listed signers, never signatures.
pub(crate) fn tally(subject: &Subject<'_>, votes: Votes<'_, '_>) -> Tally {
    let vote = |subject, one| (made_by(one), evaluate(subject, one));
    let signatures = votes.own.iter().map(|one| vote(subject, one));
    let bundled = votes.bundled.iter();
    let bundled = bundled.map(|one| (one.made_by.as_ref(), one.clone()));
    let evaluated: Vec<_> = signatures.chain(bundled).collect();
    let signed_elsewhere = votes.elsewhere.iter().flat_map(|(subject, signed)| {
        let signatures = signed.signatures.iter();
        signatures.map(move |one| vote(subject, one))
    });
    let signed_elsewhere: Vec<_> = signed_elsewhere.collect();
    let all = || evaluated.iter().chain(&signed_elsewhere);
    let alone = count(&joined(evaluated.iter(), |e| &e.now));
    let count = |signers: fn(&Evaluation) -> &Signers| count(&joined(all(), signers));
    let (valid, now, before) = (count(|e| &e.valid), count(|e| &e.now), count(|e| &e.before));
    let approval = match (suffice(subject, valid), suffice(subject, now)) {
        (true, _) => Some(Approval::Valid),
        // Enough only together with those that our own record vouches for: trust, but of the weaker
        // kind, which the status names.
        (false, true) => Some(Approval::Grandfathered),
        (false, false) => None,
    };
    let mut tally = Tally {
        approval,
        is_united: approval.is_some() && !suffice(subject, alone),
        has_lapsed: approval.is_none() && suffice(subject, before),
        failing: Vec::new(),
        is_too_few: false,
        doubts: Vec::new(),
        others: Vec::new(),
        attestations: Vec::new(),
    };
    for problem in evaluated.into_iter().filter_map(|(_, one)| one.problem) {
        tally.add(problem);
    }
    if approval.is_none() && tally.failing.is_empty() && tally.doubts.is_empty() {
        let message = too_few(subject, now, &mut tally.others);
        tally
            .failing
            .push(Failure::new(Reason::SignerNotTrusted, message));
        tally.is_too_few = true;
    }
    tally
}

/// The key that has made a signature, if it is known. Of Sigstore that was looked at before: what one workflow has
/// signed is one already.
fn made_by(signature: &SignatureFacts) -> Option<&Fingerprint> {
    match &signature.outcome {
        Outcome::Verified(verified) => Some(verified.signer()),
        Outcome::Fault(..) | Outcome::Nobodys(_) | Outcome::UnknownIssuer => None,
    }
}

/// For whom each signature counts; those that one key has made count as one, however often they were made or
/// published: certificates can share a subkey, and who holds it is one.
fn joined<'e>(
    votes: impl Iterator<Item = &'e (Option<&'e Fingerprint>, Evaluation)>,
    signers: fn(&Evaluation) -> &Signers,
) -> Vec<Signers> {
    let (mut by_key, mut others) = (BTreeMap::<&Fingerprint, Signers>::new(), Vec::new());
    for (key, evaluation) in votes {
        let signers = signers(evaluation).clone();
        match key {
            Some(key) => by_key.entry(*key).or_default().extend(signers),
            None => others.push(signers),
        }
    }
    others.extend(by_key.into_values());
    others
}

impl Tally {
    /// Sorts in why one signature does not count.
    fn add(&mut self, problem: Problem) {
        match problem {
            Problem::Attestation(message) => self.attestations.push(message),
            // Nothing that time alone brings is badness.
            Problem::Listed(failure)
                if self.has_lapsed && failure.reason.class() == Class::Badness =>
            {
                self.others.push(failure.to_string());
            }
            Problem::Listed(failure) if self.approval.is_none() => self.failing.push(failure),
            Problem::Listed(failure) => self.others.push(failure.to_string()),
            Problem::NotListed(message) => self.others.push(message),
            Problem::Unclear(cause, message) if self.approval.is_none() => {
                self.doubts.push((cause, message));
            }
            Problem::Unclear(cause, message) => self.others.push(format!("{cause}: {message}")),
        }
    }
}

fn suffice(subject: &Subject<'_>, count: usize) -> bool {
    let threshold = usize::try_from(subject.rule.verify.signers.threshold.get());
    threshold.is_ok_and(|threshold| count >= threshold)
}

/// Why nobody approves. What it says of the first of the others is not said again.
fn too_few(subject: &Subject<'_>, count: usize, others: &mut Vec<String>) -> String {
    let rule = &subject.rule.name;
    let threshold = subject.rule.verify.signers.threshold;
    if count > 0 {
        return format!("{count} of {threshold} signers that rule {rule:?} needs");
    }
    if others.is_empty() {
        return format!("no signer of rule {rule:?} signed it");
    }
    // The first of the others becomes the reason, or a status would only say that nobody signed and
    // hide by whom it was signed.
    format!("{}, in rule {rule:?}", others.remove(0))
}

fn evaluate(subject: &Subject<'_>, signature: &SignatureFacts) -> Evaluation {
    match &signature.outcome {
        Outcome::Verified(verified) => by_known_key(subject, verified),
        Outcome::Fault(fingerprint, code) => {
            let message = |key: &Key| format!("signature of {} ({fingerprint}): {code}", key.name);
            let problem = match listed(subject).find(|key| key.fingerprint() == fingerprint) {
                Some(key) => Problem::Listed(Failure::new(fault(*code), message(key))),
                None => not_listed(subject, "signature of", fingerprint.as_str()),
            };
            problem.into()
        }
        Outcome::Nobodys(code) => {
            Problem::NotListed(format!("a signature that names no key: {code}")).into()
        }
        Outcome::UnknownIssuer => {
            let issuer = signature.claimed.issuer().unwrap_or("nobody");
            let absent = absent(subject);
            Problem::NotListed(format!("signed by {issuer}, an unknown key{absent}")).into()
        }
    }
}

fn not_listed(subject: &Subject<'_>, what: &str, signer: &str) -> Problem {
    let absent = absent(subject);
    Problem::NotListed(format!("{what} {signer}, which is not listed{absent}"))
}

/// That the rule lists keys of which there is no object: one of them may be the signer's.
fn absent(subject: &Subject<'_>) -> String {
    let names = subject.rule.verify.signers.keys.iter();
    let is_absent = |name: &&String| {
        let public = &subject.sigstore.keys;
        let is_public = public.iter().any(|key| key.trusted.name == **name);
        !is_public && subject.keys.iter().all(|key| key.name != **name)
    };
    let absent: Vec<_> = names.filter(is_absent).map(String::as_str).collect();
    if absent.is_empty() {
        return String::new();
    }
    format!(
        "; the rule lists {}, of which there is no TrustedKey",
        absent.join(", ")
    )
}

fn listed<'a>(subject: &Subject<'a>) -> impl Iterator<Item = &'a Key> {
    let signers = &subject.rule.verify.signers;
    subject.keys.iter().filter(move |key| signers.list(key))
}

/// The reason for a signature that never held: whatever became of its key, it proves nothing bad.
fn fault(code: Code) -> Reason {
    let reason = reason(code).filter(|reason| reason.class() != Class::Badness);
    reason.unwrap_or(Reason::SignatureInvalid)
}

fn by_known_key(subject: &Subject<'_>, verified: &VerifiedSignature) -> Evaluation {
    let claimants = claimants(subject, verified, Clock::Running);
    let of = |approves: fn(&KeyValidity) -> bool| -> Signers {
        let signers = claimants.iter().filter(|(_, one)| approves(&one.validity));
        signers.map(|(signer, _)| id(signer)).collect()
    };
    let (valid, now) = (
        of(|validity| *validity == Ok(Approval::Valid)),
        of(KeyValidity::is_ok),
    );
    let all_approve = claimants.values().all(|one| one.validity.is_ok());
    let before = if all_approve {
        now.clone()
    } else {
        signers_before(subject, verified)
    };
    let problem = now
        .is_empty()
        .then(|| problem(subject, &claimants, &before, verified));
    Evaluation {
        made_by: None,
        valid,
        now,
        before,
        problem,
    }
}

fn signers_before(subject: &Subject<'_>, verified: &VerifiedSignature) -> Signers {
    let claimants = claimants(subject, verified, Clock::Stopped).into_iter();
    claimants
        .filter(|(_, one)| one.validity.is_ok())
        .map(|(signer, _)| id(signer))
        .collect()
}

fn id(fingerprint: &Fingerprint) -> SignerId {
    SignerId::OpenPgp(fingerprint.clone())
}

/// A key whose signature it is, and whether it counts as that key's.
struct Claimant<'a> {
    key: &'a Key,
    seen: VerifiedSignature,
    validity: KeyValidity,
}

/// Whether a known key, listed or not, is named by a signature that is broken, or has made one and is revoked.
pub(crate) fn is_marred(subject: &Subject<'_>, signed: &Signed) -> bool {
    let is_bad = |reason: Reason| {
        matches!(reason.class(), Class::Badness | Class::Tampering) || reason == Reason::KeyRetired
    };
    signed
        .signatures
        .iter()
        .any(|signature| match &signature.outcome {
            Outcome::Fault(_, code) => is_bad(fault(*code)),
            Outcome::Nobodys(_) | Outcome::UnknownIssuer => false,
            Outcome::Verified(verified) => {
                let seen = |key: &Key| {
                    let seen = seen_by(key, verified)?;
                    key_validity(subject, key, &seen, Clock::Running).err()
                };
                let mut refusals = subject.keys.iter().filter_map(seen);
                refusals.any(|refusal| is_bad(refusal.reason))
            }
        })
}

/// Each listed signer whose signature it is.
fn claimants<'a>(
    subject: &Subject<'a>,
    verified: &VerifiedSignature,
    clock: Clock,
) -> BTreeMap<&'a Fingerprint, Claimant<'a>> {
    let mut claimants: BTreeMap<&Fingerprint, Claimant<'_>> = BTreeMap::new();
    for key in listed(subject) {
        let Some(seen) = seen_by(key, verified) else {
            continue;
        };
        // Once for each object: two objects of one fingerprint may have other scopes and end dates.
        let validity = key_validity(subject, key, &seen, clock);
        let known = claimants.get(key.fingerprint());
        // Scope and end date are per object, so the best of several of one fingerprint counts.
        if known.is_none_or(|best| rank(validity) > rank(best.validity)) {
            let claimant = Claimant {
                key,
                seen,
                validity,
            };
            claimants.insert(key.fingerprint(), claimant);
        }
    }
    claimants
}

/// The worst reason of those whose signature it is; but their own of those who would approve if no
/// time had passed, because time brings no badness.
fn problem(
    subject: &Subject<'_>,
    claimants: &BTreeMap<&Fingerprint, Claimant<'_>>,
    before: &Signers,
    verified: &VerifiedSignature,
) -> Problem {
    let counts = |signer: &Fingerprint| before.is_empty() || before.contains(&id(signer));
    let failures: Vec<_> = claimants
        .iter()
        .filter(|(signer, _)| counts(signer))
        .filter_map(|(_, one)| Some((one.validity.err()?, one)))
        .collect();
    let worst = failures.iter().min_by_key(|(refusal, ..)| refusal.reason);
    let Some((refusal, worst)) = worst else {
        return not_listed(subject, "signed by", verified.primary().as_str());
    };
    let bad = failures
        .iter()
        .filter(|(refusal, _)| refusal.reason.class() == Class::Badness);
    Problem::Listed(Failure {
        reason: refusal.reason,
        message: explain(subject, (worst.key, &worst.seen), *refusal),
        revocations: bad
            .flat_map(|(_, one)| hard_revocations(subject, one.key, &one.seen))
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
    // A certificate can name the subkey of somebody else; without a signature by that subkey it is
    // no statement of its holder.
    if key.certificate.names_without_consent(signer) {
        return None;
    }
    Some(verified.as_of(key.fingerprint().clone()))
}

/// The best last: the least bad reason, grandfathered, valid.
fn rank(validity: KeyValidity) -> (bool, bool, Option<Reason>) {
    match validity {
        Ok(approval) => (true, approval == Approval::Valid, None),
        Err(refusal) => (false, false, Some(refusal.reason)),
    }
}
