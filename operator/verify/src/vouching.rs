//! Who approves of an archive by Sigstore: for whom each of its signatures counts, and why others do not.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::bundles::{BundleFacts, BundleOutcome};
use crate::case::Subject;
use crate::digest::Sha256Digest;
use crate::evaluation::{Evaluation, Failure, Problem, SignerId, Signers};
use crate::forms;
use crate::key::HardRevocation;
use crate::openpgp::Fingerprint;
use crate::place::Place;
use crate::policy::{self, ExpiredKeys};
use crate::sigstore::{
    Authority, AuthorityKind, Circumstances, ClaimedSigner, IdentityRecord, KnownIdentity,
    KnownPublicKey, Mismatch, Refusal, Root, Said, SignerRecord, SigstoreSigners, Standing,
    VerifiedBundle,
};
use crate::verdict::{Cause, Class, Reason};

/// Whether the rule believes anybody whose signatures are those of Sigstore. Else nobody looks for them.
pub(crate) fn is_asked(subject: &Subject<'_>) -> bool {
    let Subject { rule, sigstore, .. } = subject;
    rule.verify.signers.list_sigstore(sigstore)
}

impl policy::Signers {
    /// Whether the rule lists anybody whose signatures are those of Sigstore: an identity, declared or not, or a
    /// public key that is declared. Else nobody asks for any.
    pub fn list_sigstore(&self, known: &SigstoreSigners) -> bool {
        let by_identity = !self.identities.is_empty() || self.identity_selector.is_some();
        let mut keys = known.keys.iter();
        by_identity || keys.any(|one| self.list_key(&one.trusted.name, &one.labels))
    }
}

/// For whom each signature counts. Those that one workflow or person has made count as one, however often they were
/// made, published or declared: several identities can match one name, and who holds it is one.
pub(crate) fn evaluations(subject: &Subject<'_>) -> Vec<Evaluation> {
    let (mut all, mut by_holder) = (Vec::new(), BTreeMap::<Holder<'_>, Evaluation>::new());
    for bundle in signatures(subject) {
        let evaluation = evaluate(subject, bundle);
        let identity = bundle.verified().and_then(VerifiedBundle::identity);
        match identity.map(holder) {
            None => all.push(evaluation),
            Some(holder) => match by_holder.remove(&holder) {
                None => _ = by_holder.insert(holder, evaluation),
                Some(other) => {
                    let (both, left) = joined(other, evaluation);
                    all.extend(left.map(Evaluation::from));
                    by_holder.insert(holder, both);
                }
            },
        }
    }
    all.into_iter().chain(by_holder.into_values()).collect()
}

type Holder<'a> = (&'a str, &'a str, Option<&'a str>, Option<&'a str>);

/// Who it is. A workflow that others call has one name for all of them; whose run it was, the repository says. What
/// was built and by which event is the holder's choice.
fn holder(identity: &IdentityRecord) -> Holder<'_> {
    let claims = &identity.claims;
    (
        &identity.issuer,
        &identity.subject,
        claims.source_repository.as_deref(),
        claims.source_repository_id.as_deref(),
    )
}

fn signatures<'a>(subject: &Subject<'a>) -> impl Iterator<Item = &'a BundleFacts> {
    let bundles = subject.facts.bundles.as_deref();
    bundles.into_iter().flat_map(|it| &it.signatures)
}

/// Two of one holder count for whom either counts.
fn joined(one: Evaluation, other: Evaluation) -> (Evaluation, Option<Problem>) {
    let union =
        |one: Signers, other: Signers| -> Signers { one.into_iter().chain(other).collect() };
    let now = union(one.now, other.now);
    let is_approved = !now.is_empty();
    let (first, second) = (one.problem, other.problem);
    let problem = if is_approved { None } else { first.clone() };
    let left = if is_approved {
        first.or(second)
    } else {
        second
    };
    let both = Evaluation {
        made_by: None,
        valid: union(one.valid, other.valid),
        now,
        before: union(one.before, other.before),
        problem,
    };
    (both, left)
}

fn evaluate(subject: &Subject<'_>, bundle: &BundleFacts) -> Evaluation {
    match &bundle.outcome {
        BundleOutcome::Unreadable { said, message } => {
            problem(*said, format!("a Sigstore bundle: {message}")).into()
        }
        BundleOutcome::Open => open(subject, bundle).into(),
        BundleOutcome::Fault { key, code, message } => {
            let message = format!("{code}: {message}");
            of_fault(subject, bundle, (*key, code.said(), &message)).into()
        }
        BundleOutcome::Verified(verified) => verified_one(subject, bundle, verified),
    }
}

fn problem(said: Said, message: String) -> Problem {
    match said {
        Said::Reason(reason) => Problem::Listed(Failure::new(reason, message)),
        Said::Cause(cause) => Problem::Unclear(cause, message),
    }
}

/// A signature that nobody who is known could have made, as far as anybody can tell.
fn open(subject: &Subject<'_>, bundle: &BundleFacts) -> Problem {
    match &bundle.claimed {
        Some(ClaimedSigner::Identity {
            issuer,
            subject: name,
        }) => {
            let mut named = listed_identities(subject);
            match named.find_map(|one| is_without_root(one, issuer, name)) {
                Some(message) => Problem::Unclear(Cause::TrustRootUnknown, message),
                None => not_listed(subject, &called(name, issuer)),
            }
        }
        Some(ClaimedSigner::Key) => Problem::NotListed(format!(
            "signed with a public key that is not known{}",
            absent(subject)
        )),
        Some(ClaimedSigner::Unreadable) | None => {
            Problem::NotListed("a bundle with a certificate that cannot be read".to_owned())
        }
    }
}

fn is_without_root(known: &KnownIdentity, issuer: &str, subject: &str) -> Option<String> {
    let Root::Unknown(why) = &known.root else {
        return None;
    };
    let name = &known.identity.name;
    let is_named = known.identity.is_named(issuer, subject);
    is_named
        .then(|| format!("{name} may have signed it ({subject}), and has no trusted root: {why}"))
}

/// A signature that does not hold: whose it is, is what its key has shown or the bundle says.
fn of_fault(
    subject: &Subject<'_>,
    bundle: &BundleFacts,
    (key, said, message): (Option<Sha256Digest>, Said, &str),
) -> Problem {
    if let Some(key) = key {
        let found = listed_keys(subject).find(|one| one.trusted.fingerprint == key);
        return match found {
            Some(known) => {
                let name = &known.trusted.name;
                problem(said, format!("signature of {name} ({key}): {message}"))
            }
            None => not_listed(subject, &key.to_string()),
        };
    }
    let Some(ClaimedSigner::Identity {
        issuer,
        subject: name,
    }) = &bundle.claimed
    else {
        return Problem::NotListed(format!("a Sigstore bundle of nobody: {message}"));
    };
    let mut listed = listed_identities(subject);
    let Some(known) = listed.find(|one| one.identity.is_named(issuer, name)) else {
        let who = called(name, issuer);
        return Problem::NotListed(format!("a signature said to be by {who}: {message}"));
    };
    let by = &known.identity.name;
    problem(
        said,
        format!("signature said to be of {by} ({name}): {message}"),
    )
}

fn verified_one(
    subject: &Subject<'_>,
    bundle: &BundleFacts,
    verified: &VerifiedBundle,
) -> Evaluation {
    let record = verified.record();
    if !record.kind.is_signature() {
        let message = format!(
            "{} by {}: it is no signature",
            record.kind,
            signer(verified)
        );
        return Problem::Attestation(message).into();
    }
    let facts = subject.facts;
    if !bundle.binds(record.artifact, facts.digest) {
        let message = format!(
            "it is a signature of {}, the archive is {}",
            record.artifact, facts.digest
        );
        return Problem::Listed(Failure::new(Reason::DigestMismatch, message)).into();
    }
    let claimants = match &record.signer {
        SignerRecord::Identity(identity) => by_identity(subject, bundle, (verified, identity)),
        SignerRecord::Key(key) => by_key(subject, bundle, (verified, *key)),
    };
    if claimants.is_empty() {
        return by_nobody_listed(subject, verified).into();
    }
    let of = |counts: fn(&Claimant) -> bool| -> Signers {
        let counting = claimants.iter().filter(|one| counts(one));
        counting.map(|one| one.id.clone()).collect()
    };
    let now = of(|one| one.now.is_ok());
    let problem = now.is_empty().then(|| worst(&claimants)).flatten();
    Evaluation {
        made_by: openpgp_key(subject, &record.signer),
        valid: of(|one| matches!(one.now, Ok(Standing::Valid))),
        now,
        before: of(|one| one.was_good),
        problem,
    }
}

/// The key of `OpenPGP` that a public key is, if a known certificate has it: one secret in two forms is one signer.
fn openpgp_key(subject: &Subject<'_>, signer: &SignerRecord) -> Option<Fingerprint> {
    let SignerRecord::Key(key) = signer else {
        return None;
    };
    let mut known = subject.sigstore.keys.iter();
    let known = known.find(|one| one.trusted.fingerprint == *key && one.key.is_some())?;
    let mut keys = subject.keys.iter();
    keys.find_map(|key| known.form_in(&key.certificate))
        .cloned()
}

/// A listed signer whose signature it is, and whether it counts as his.
struct Claimant {
    id: SignerId,
    now: Result<Standing, Problem>,
    /// Whether it would count, had no time passed since it was made.
    was_good: bool,
}

/// The worst of the reasons, or that it cannot be told. Nothing that time alone brings is badness: of those
/// for whom only time has passed, what time brought is told.
fn worst(claimants: &[Claimant]) -> Option<Problem> {
    let was_good = claimants.iter().any(|one| one.was_good);
    let told = claimants.iter().filter(|one| one.was_good || !was_good);
    let problems = told.filter_map(|one| one.now.as_ref().err());
    let rank = |problem: &&Problem| match problem {
        Problem::Listed(failure) if failure.reason.class() == Class::Badness => {
            (0, Some(failure.reason))
        }
        Problem::Unclear(..) => (1, None),
        Problem::Listed(failure) => (2, Some(failure.reason)),
        Problem::Attestation(_) | Problem::NotListed(_) => (3, None),
    };
    problems.min_by_key(rank).cloned()
}

fn by_identity(
    subject: &Subject<'_>,
    bundle: &BundleFacts,
    (verified, record): (&VerifiedBundle, &IdentityRecord),
) -> Vec<Claimant> {
    let at = circumstances(subject, bundle);
    // Revoked by any that it matches, listed or not.
    let known = subject.sigstore.identities.iter();
    let known = known.filter(|one| one.may_be(verified.record()));
    let void: Vec<_> = known
        .filter_map(|one| Some((one, one.identity.voids(verified, &at)?)))
        .collect();
    let listed = listed_identities(subject).filter(|one| one.identity.matches(record).is_ok());
    let claimant = |known: &KnownIdentity| {
        let standing = |at: &Circumstances<'_>| {
            if let Some(problem) = voided(&void, verified) {
                return Err(problem);
            }
            usable(&known.identity.name, known.unusable.as_ref())?;
            believed(known, verified)?;
            let standing = known.identity.standing(verified, at);
            standing.map_err(|refusal| refused(&known.identity.name, &refusal))
        };
        Claimant {
            id: SignerId::Identity(known.identity.name.clone()),
            now: standing(&at),
            was_good: standing(&before(at, verified)).is_ok(),
        }
    };
    listed.map(claimant).collect()
}

/// Whether the root of an identity still has everybody on whose word the signature rests.
fn believed(known: &KnownIdentity, verified: &VerifiedBundle) -> Result<(), Problem> {
    let name = &known.identity.name;
    let root = match &known.root {
        Root::Known(root) => root,
        Root::Unknown(why) => {
            let message = format!("{name} signed it, and has no trusted root: {why}");
            return Err(Problem::Unclear(Cause::TrustRootUnknown, message));
        }
    };
    let described = root.described();
    let message = match root.lacks(verified.record()) {
        Some(Authority {
            kind, name: called, ..
        }) => format!(
            "{name}: {described} does not have the {} {called}",
            kind.name()
        ),
        None if root.lacks_stamp(verified.record()) => {
            let log = AuthorityKind::CertificateLog.name();
            format!(
                "{name}: {described} asks for a stamp of a {log}, and the certificate has none of its logs"
            )
        }
        None => return Ok(()),
    };
    Err(Problem::Listed(Failure::new(
        Reason::SignerNotTrusted,
        message,
    )))
}

/// What is wrong with a signature that some identities revoke: the worst of it. What is bad rests on every one of
/// them, so that none is forgotten when another is withdrawn.
fn voided(void: &[(&KnownIdentity, Refusal)], verified: &VerifiedBundle) -> Option<Problem> {
    let (by, refusal) = void.iter().min_by_key(|(_, refusal)| reason(refusal))?;
    let name = &by.identity.name;
    let message = format!(
        "TrustedIdentity {name}: {} ({})",
        refusal.message,
        signer(verified)
    );
    let mut failure = Failure::new(reason(refusal), message);
    if failure.reason.class() == Class::Badness {
        let all = void
            .iter()
            .filter(|(_, refusal)| reason(refusal).class() == Class::Badness);
        failure.revocations = all.filter_map(|(one, _)| one.hard_revocation()).collect();
    }
    Some(Problem::Listed(failure))
}

fn by_key(
    subject: &Subject<'_>,
    bundle: &BundleFacts,
    (verified, key): (&VerifiedBundle, Sha256Digest),
) -> Vec<Claimant> {
    let at = circumstances(subject, bundle);
    let listed = listed_keys(subject).filter(|one| one.trusted.fingerprint == key);
    let claimant = |known: &KnownPublicKey| {
        let seen = known.seen(verified);
        let name = &known.trusted.name;
        let (trusted, hard) = forms::public_key(known, subject.keys);
        let standing = |at: &Circumstances<'_>| {
            let standing = trusted.standing(&seen, at);
            let standing = standing.map_err(|refusal| refused_key(known, &hard, &refusal));
            // A fault elsewhere in the object hides no badness.
            if let Err(Problem::Listed(failure)) = &standing
                && failure.reason.class() == Class::Badness
            {
                return standing;
            }
            usable(name, known.unusable.as_ref())?;
            standing
        };
        Claimant {
            id: SignerId::PublicKey(key),
            now: standing(&at),
            was_good: standing(&before(at, &seen)).is_ok(),
        }
    };
    listed.map(claimant).collect()
}

fn refused_key(
    known: &KnownPublicKey,
    hard: &BTreeSet<HardRevocation>,
    refusal: &Refusal,
) -> Problem {
    let (name, key) = (&known.trusted.name, known.trusted.fingerprint);
    if let (Reason::TransparencyMissing, Some(Root::Unknown(why))) = (reason(refusal), &known.root)
    {
        let message = format!("{name} demands a proof, and has no trusted root: {why}");
        return Problem::Unclear(Cause::TrustRootUnknown, message);
    }
    let mut failure = Failure::new(
        reason(refusal),
        format!("{name} ({key}): {}", refusal.message),
    );
    if failure.reason.class() == Class::Badness {
        failure.revocations.clone_from(hard);
    }
    Problem::Listed(failure)
}

fn usable(name: &str, unusable: Option<&String>) -> Result<(), Problem> {
    let Some(problem) = unusable else {
        return Ok(());
    };
    let message = format!("{name} is listed and cannot be used: {problem}");
    Err(Problem::Listed(Failure::new(
        Reason::SignerNotTrusted,
        message,
    )))
}

fn refused(name: &str, refusal: &Refusal) -> Problem {
    problem(refusal.said, format!("{name}: {}", refusal.message))
}

fn reason(refusal: &Refusal) -> Reason {
    match refusal.said {
        Said::Reason(reason) => reason,
        Said::Cause(_) => Reason::SignerNotTrusted,
    }
}

fn circumstances<'a>(subject: &Subject<'a>, bundle: &BundleFacts) -> Circumstances<'a> {
    Circumstances {
        archive: subject.facts.digest,
        chart: subject.case.chart,
        source: Some(subject.source),
        first_verified: bundle.first_verified,
        expired_keys: subject.rule.verify.expired_keys,
        now: subject.now,
    }
}

/// The same, as if no time had passed since the signature was made.
fn before<'a>(at: Circumstances<'a>, verified: &VerifiedBundle) -> Circumstances<'a> {
    let is_dated = verified.proven().is_some() || at.first_verified.is_some();
    Circumstances {
        expired_keys: ExpiredKeys::AcceptIfSignedBefore,
        // What nothing dates is judged as made now.
        now: if is_dated { at.now } else { Timestamp::MIN },
        ..at
    }
}

/// Whether only a mirror has shown what Sigstore signatures there are: of what it says only trust is taken.
pub(crate) fn is_mirrored(subject: &Subject<'_>) -> bool {
    let bundles = subject.facts.bundles.as_deref();
    bundles.is_some_and(|it| it.place == Place::Mirror && !it.signatures.is_empty())
}

/// Whether a known signer of Sigstore, listed or not, is said to have made a signature that is broken, or has
/// made one and is revoked.
pub(crate) fn is_marred(subject: &Subject<'_>) -> bool {
    let is_bad = |reason: Reason| {
        matches!(reason.class(), Class::Badness | Class::Tampering) || reason == Reason::KeyRetired
    };
    if is_mirrored(subject) {
        return false;
    }
    let mut reasons = signatures(subject).flat_map(|bundle| {
        let at = circumstances(subject, bundle);
        let verified = bundle.verified();
        let by_identities = subject.sigstore.identities.iter();
        let void = by_identities.filter_map(move |one| {
            let verified = verified.filter(|it| one.may_be(it.record()))?;
            Some(reason(&one.identity.voids(verified, &at)?))
        });
        let by_keys = subject.sigstore.keys.iter().filter_map(move |one| {
            let seen = one.seen(
                verified.filter(|it| *it.signer() == SignerRecord::Key(one.trusted.fingerprint))?,
            );
            let (trusted, _) = forms::public_key(one, subject.keys);
            Some(reason(&trusted.standing(&seen, &at).err()?))
        });
        void.chain(by_keys).chain(broken(subject, bundle))
    });
    reasons.any(is_bad)
}

/// The reason for a signature that does not hold, if a known signer is said to have made it.
fn broken(subject: &Subject<'_>, bundle: &BundleFacts) -> Option<Reason> {
    let BundleOutcome::Fault { key, code, .. } = &bundle.outcome else {
        return None;
    };
    let known = subject.sigstore;
    let is_known = match (key, &bundle.claimed) {
        (Some(key), _) => known.keys.iter().any(|one| one.trusted.fingerprint == *key),
        (None, Some(ClaimedSigner::Identity { issuer, subject })) => {
            let mut identities = known.identities.iter();
            identities.any(|one| one.identity.is_named(issuer, subject))
        }
        (None, _) => false,
    };
    match code.said() {
        Said::Reason(reason) => is_known.then_some(reason),
        Said::Cause(_) => None,
    }
}

fn by_nobody_listed(subject: &Subject<'_>, verified: &VerifiedBundle) -> Problem {
    let who = signer(verified);
    let Some(record) = verified.identity() else {
        return not_listed(subject, &who);
    };
    let mut listed = listed_identities(subject).map(|one| &one.identity);
    let near = listed.find_map(|one| match one.matches(record) {
        Err(mismatch @ Mismatch::Claim(_)) => Some(format!("{}: {mismatch}", one.name)),
        Ok(()) | Err(Mismatch::Issuer | Mismatch::Subject) => None,
    });
    match near {
        Some(why) => Problem::NotListed(format!("signed by {who}, which is not {why}")),
        None => not_listed(subject, &who),
    }
}

fn not_listed(subject: &Subject<'_>, who: &str) -> Problem {
    let absent = absent(subject);
    Problem::NotListed(format!("signed by {who}, which is not listed{absent}"))
}

/// That the rule lists identities of which there is no object: one of them may be the signer.
fn absent(subject: &Subject<'_>) -> String {
    let names = subject.rule.verify.signers.identities.iter();
    let known = &subject.sigstore.identities;
    let is_absent = |name: &&String| known.iter().all(|one| one.identity.name != **name);
    let absent: Vec<_> = names.filter(is_absent).map(String::as_str).collect();
    if absent.is_empty() {
        return String::new();
    }
    format!(
        "; the rule lists {}, of which there is no TrustedIdentity",
        absent.join(", ")
    )
}

fn signer(verified: &VerifiedBundle) -> String {
    match verified.signer() {
        SignerRecord::Identity(identity) => called(&identity.subject, &identity.issuer),
        SignerRecord::Key(key) => key.to_string(),
    }
}

fn called(subject: &str, issuer: &str) -> String {
    format!("{subject} (issuer {issuer})")
}

fn listed_identities<'a>(subject: &Subject<'a>) -> impl Iterator<Item = &'a KnownIdentity> {
    let signers = &subject.rule.verify.signers;
    let all = subject.sigstore.identities.iter();
    all.filter(move |one| signers.list_identity(&one.identity.name, &one.labels))
}

fn listed_keys<'a>(subject: &Subject<'a>) -> impl Iterator<Item = &'a KnownPublicKey> {
    let signers = &subject.rule.verify.signers;
    let all = subject.sigstore.keys.iter();
    all.filter(move |one| signers.list_key(&one.trusted.name, &one.labels))
}
