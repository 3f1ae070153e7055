//! Judges one release: every applicable policy, from evidence alone.
//!
//! Pure: the same keys, policies, evidence and time class give the same judgement, in any order.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::evidence::{ArchiveFacts, Bound, Evidence, ProvenanceFacts, Signed};
use crate::finding::{Finding, Note};
use crate::key::{HardRevocation, Key};
use crate::opinion::Opinion;
use crate::origin::{bound_archives, difference, first_archive};
use crate::policy::{Dependencies, Exception, Level, Policy, ReleaseRef, Rule};
use crate::signers::{self, Vouching};
use crate::verdict::{Basis, Cause, Class, Reason, Verdict};

/// One judged revision of a release.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The release as policies see it.
    pub release: ReleaseRef<'a>,
    /// Chart name in the record.
    pub chart: &'a str,
    /// Chart version in the record.
    pub version: &'a str,
    /// What is known of the chart.
    pub evidence: &'a Evidence,
}

/// What a release is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The worst of the policies' verdicts.
    pub verdict: Verdict,
    /// The verdict of each policy that applies, in the order of the policies.
    pub policies: Vec<PolicyVerdict>,
    /// Everything that was found, each fact once.
    pub findings: Vec<Finding>,
}

/// What one policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVerdict {
    /// Name of the policy.
    pub policy: String,
    /// The rule that decided; `None` if the policy cannot be read.
    pub rule: Option<String>,
    /// Its answer, exceptions included.
    pub verdict: Verdict,
    /// The exception that forgives, if one does.
    pub exempt_by: Option<String>,
    /// The source whose archive was judged.
    pub origin: Option<String>,
    /// What a verdict of badness rests on; empty for any other.
    pub revocations: BTreeSet<HardRevocation>,
}

/// Judges a release by all policies. The worst verdict wins; none applies: `NoPolicy`.
pub fn judge(case: &Case<'_>, policies: &[Policy], keys: &[Key], now: Timestamp) -> Judgement {
    let mut verdicts = Vec::new();
    let mut findings = Vec::new();
    for policy in policies {
        let Some(rule) = policy.rule_for(&case.release, case.chart) else {
            continue;
        };
        let opinion = match rule {
            Ok(rule) => judge_rule(case, rule, keys, now),
            Err(problem) => unreadable(problem),
        };
        let (verdict, mut found) = conclude(case, policy, rule.ok(), opinion, now);
        verdicts.push(verdict);
        findings.append(&mut found);
    }
    let mut seen = BTreeSet::new();
    findings.retain(|finding| seen.insert(finding.clone()));
    let verdict = Verdict::worst(verdicts.iter().map(|policy| policy.verdict))
        .unwrap_or(Verdict::Unknown(Cause::NoPolicy));
    Judgement {
        verdict,
        policies: verdicts,
        findings,
    }
}

fn conclude(
    case: &Case<'_>,
    policy: &Policy,
    rule: Option<&Rule>,
    opinion: Opinion,
    now: Timestamp,
) -> (PolicyVerdict, Vec<Finding>) {
    let exception = rule.and_then(|_| exception(case, policy, &opinion, now));
    let verdict = match exception {
        Some(_) => opinion.forgiven(),
        None => opinion.verdict(),
    };
    let is_exempt = verdict == Verdict::Unknown(Cause::Exempt);
    let is_bad = verdict.class() == Class::Badness;
    let concluded = PolicyVerdict {
        policy: policy.name.clone(),
        rule: rule.map(|rule| rule.name.clone()),
        verdict,
        exempt_by: exception
            .filter(|_| is_exempt)
            .map(|exception| exception.name.clone()),
        origin: opinion.origin,
        revocations: opinion.revocations.into_iter().filter(|_| is_bad).collect(),
    };
    let by_policy = |finding: Finding| finding.of_policy(&policy.name);
    (
        concluded,
        opinion.findings.into_iter().map(by_policy).collect(),
    )
}

fn exception<'a>(
    case: &Case<'_>,
    policy: &'a Policy,
    opinion: &Opinion,
    now: Timestamp,
) -> Option<&'a Exception> {
    let forgives =
        |exception: &&Exception| exception.forgives(&case.release, &opinion.failing, now);
    policy.exceptions.iter().find(forgives)
}

fn unreadable(problem: &str) -> Opinion {
    let mut opinion = Opinion::default();
    let message = format!("the policy cannot be used and so trusts nobody: {problem}");
    opinion.fail(Reason::SignerNotTrusted, message);
    opinion
}

fn judge_rule(case: &Case<'_>, rule: &Rule, keys: &[Key], now: Timestamp) -> Opinion {
    let mut opinion = Opinion::default();
    check_version(case, rule, &mut opinion);
    let candidates = match rule.verify.level {
        Level::None => {
            let message = format!("rule {:?} asks for no verification", rule.name);
            opinion.doubt(Cause::Unmanaged, message);
            Vec::new()
        }
        Level::Signature => first_archive(case, rule, &mut opinion),
        Level::Strict => bound_archives(case, rule, &mut opinion),
    };
    let judged = candidates.into_iter().map(|(source, facts)| {
        let subject = Subject {
            case,
            rule,
            keys,
            source,
            facts,
            now,
        };
        (&facts.binding, judge_archive(&subject))
    });
    decide(judged.collect(), &mut opinion);
    opinion
}

/// Whether the archive is known to be what the release is made of, so that what is bad about it
/// is bad about the release.
fn is_the_release(binding: &Bound) -> bool {
    match binding {
        Bound::NotCompared | Bound::Same(_) => true,
        Bound::Different(_) | Bound::NoRecord | Bound::OldWriter(_) => false,
    }
}

/// Of several archives with the content of the release one decides; what is wrong with the others
/// is told.
fn decide(mut judged: Vec<(&Bound, Opinion)>, opinion: &mut Opinion) {
    let has_lapsed = judged.iter().any(|(_, judged)| judged.has_lapsed);
    judged.sort_by_key(|(binding, judged)| {
        let proof = if is_the_release(binding) && !has_lapsed {
            Proof::OfTheRelease
        } else {
            Proof::OfTheArchive
        };
        // Exceptions see all failures and doubts, so the order of sources must not choose among them.
        let rest = (judged.failing.clone(), judged.doubts.clone());
        (preference(proof, judged.verdict()), Reverse(rest))
    });
    let mut judged = judged.into_iter().map(|(_, judged)| judged);
    let Some(deciding) = judged.next() else {
        return;
    };
    opinion.absorb(deciding);
    for other in judged {
        opinion.tell_of(&other);
    }
}

/// Whether what is wrong with an archive must be wrong with the release.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    OfTheArchive,
    OfTheRelease,
}

/// Trust through one archive is enough. Else proof of badness about the very content that runs
/// is not hidden by a source that lacks it, unless nothing but time has ended the trust; and what
/// one source could not answer, failures of another do not settle.
fn preference(proof: Proof, verdict: Verdict) -> (u8, Reverse<impl Ord + use<>>) {
    let order = match verdict.class() {
        Class::Trusted | Class::Unmanaged => 0,
        Class::Badness if proof == Proof::OfTheRelease => 1,
        Class::CouldNotTell | Class::Exempt => 2,
        Class::Tampering if proof == Proof::OfTheRelease => 3,
        Class::ProofMissing => 4,
        Class::Tampering => 5,
        Class::Badness => 6,
    };
    (order, Reverse(verdict.rank()))
}

fn check_version(case: &Case<'_>, rule: &Rule, opinion: &mut Opinion) {
    if !rule.allows_version(case.version) {
        let message = format!(
            "version {} is outside what rule {:?} allows",
            case.version, rule.name
        );
        opinion.fail(Reason::VersionNotAllowed, message);
    }
}

/// One archive, judged under one rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) case: &'a Case<'a>,
    pub(crate) rule: &'a Rule,
    pub(crate) keys: &'a [Key],
    pub(crate) source: &'a str,
    pub(crate) facts: &'a ArchiveFacts,
    pub(crate) now: Timestamp,
}

fn judge_archive(subject: &Subject<'_>) -> Opinion {
    let Subject {
        case,
        rule,
        source,
        facts,
        ..
    } = *subject;
    let mut opinion = Opinion {
        origin: Some(source.to_owned()),
        ..Opinion::default()
    };
    let vouching = check_provenance(subject, &mut opinion);
    let pinned = rule.pins(case.chart, case.version, &facts.digest);
    if pinned {
        replace_missing_signature(&mut opinion);
    }
    let of_signatures = opinion.failing.len();
    check_metadata(subject, &mut opinion);
    check_binding(subject, &mut opinion);
    check_dependencies(subject, &mut opinion);
    note_index(subject, &mut opinion);
    opinion.has_lapsed &= opinion.failing.len() == of_signatures && opinion.doubts.is_empty();
    let is_compared = matches!(facts.binding, Bound::Same(_));
    opinion.basis = match (vouching, rule.verify.level) {
        (Some(Vouching::Valid), Level::Strict) if is_compared => Some(Basis::SignatureVerified),
        (Some(Vouching::Valid), _) => Some(Basis::ArchiveVerified),
        (Some(Vouching::Grandfathered), _) => Some(Basis::Grandfathered),
        (None, _) => pinned.then_some(Basis::DigestPinned),
    };
    opinion
}

/// Integrity, authenticity and the life and scope of the keys.
fn check_provenance(subject: &Subject<'_>, opinion: &mut Opinion) -> Option<Vouching> {
    match &subject.facts.provenance {
        ProvenanceFacts::Missing => {
            opinion.fail(
                Reason::Unsigned,
                format!("{} has no provenance for it", subject.source),
            );
            None
        }
        ProvenanceFacts::Malformed { message } => {
            opinion.fail(Reason::ProvenanceMalformed, message.clone());
            None
        }
        ProvenanceFacts::Unavailable { cause, message } => {
            opinion.doubt(*cause, format!("provenance: {message}"));
            None
        }
        ProvenanceFacts::Signed(signed) => check_signed(subject, signed, opinion),
    }
}

fn check_signed(subject: &Subject<'_>, signed: &Signed, opinion: &mut Opinion) -> Option<Vouching> {
    let expected = format!("{}-{}.tgz", subject.case.chart, subject.case.version);
    let is_about_this_archive = signed.claims.claimed_archive == Some(subject.facts.digest);
    match signed.claims.claimed_archive {
        Some(_) if is_about_this_archive => {}
        Some(digest) => {
            let message = format!(
                "signed {digest}, but {expected} is {}",
                subject.facts.digest
            );
            opinion.fail(Reason::DigestMismatch, message);
        }
        None => {
            let message = format!("the provenance does not name {expected}");
            opinion.fail(Reason::MetadataMismatch, message);
        }
    }
    let tally = signers::tally(subject, signed);
    opinion.has_lapsed = tally.has_lapsed && is_about_this_archive;
    for failure in tally.failing {
        let (reason, message) = (failure.reason, failure.message);
        // A revoked key that signed something else proves nothing bad of this archive.
        if is_about_this_archive || reason.class() != Class::Badness {
            opinion.fail(reason, message);
            opinion.revocations.extend(failure.revocations);
        } else {
            opinion.note(Note::OtherSignature, format!("{reason}: {message}"));
        }
    }
    for message in tally.others {
        opinion.note(Note::OtherSignature, message);
    }
    tally.vouching
}

/// A pinned digest stands in for a signature that is missing, never for a revoked one.
fn replace_missing_signature(opinion: &mut Opinion) {
    let replaceable = [
        Reason::KeyExpired,
        Reason::KeyOutOfScope,
        Reason::SignatureInvalid,
        Reason::SignerNotTrusted,
        Reason::WeakSignature,
        Reason::ProvenanceMalformed,
        Reason::Unsigned,
    ];
    opinion
        .failing
        .retain(|reason| !replaceable.contains(reason));
    opinion.doubts.clear();
}

/// Strict: the signed name and version, the archive's and the release's are the same.
fn check_metadata(subject: &Subject<'_>, opinion: &mut Opinion) {
    if subject.rule.verify.level != Level::Strict {
        return;
    }
    let release = (subject.case.chart, subject.case.version);
    let facts = subject.facts;
    let mut agree = |what: &str, name: &str, version: &str| {
        if (name, version) != release {
            let message = format!(
                "{what} is {name} {version}, the release is {} {}",
                release.0, release.1
            );
            opinion.fail(Reason::MetadataMismatch, message);
        }
    };
    agree("the archive", &facts.name, &facts.version);
    if let Some(signed) = facts.signed() {
        agree(
            "the signed chart",
            &signed.claims.claimed_name,
            &signed.claims.claimed_version,
        );
    }
}

/// What binding found besides "same". Archives that differ never get here.
fn check_binding(subject: &Subject<'_>, opinion: &mut Opinion) {
    if subject.rule.verify.level != Level::Strict {
        return opinion.note(Note::NotChecked, "release content (level Signature)");
    }
    match &subject.facts.binding {
        Bound::Same(notes) => {
            for note in notes {
                opinion.note(Note::ValuesDiffer, note.clone());
            }
        }
        Bound::NoRecord => {
            opinion.doubt(
                Cause::NotBindable,
                "there is no release record to compare with",
            );
        }
        Bound::NotCompared => opinion.note(Note::NotChecked, "release content (offline)"),
        Bound::OldWriter(differences) => {
            let message = format!("an old Helm wrote the record: {}", differences.join("; "));
            opinion.doubt(Cause::NotBindable, message);
        }
        Bound::Different(_) => {
            let message = difference(subject.source, subject.facts);
            opinion.fail(Reason::ContentMismatch, message);
        }
    }
}

/// `dependencies: Verify` asks for a signature of each subchart. The archive holds subcharts unpacked
/// and without their provenance files, and the statement about the chart says nothing about who made
/// them, so none can be shown to be signed: refused, rather than taken for granted.
fn check_dependencies(subject: &Subject<'_>, opinion: &mut Opinion) {
    let verify = subject.rule.verify.dependencies == Dependencies::Verify;
    if verify && subject.facts.has_subcharts {
        let message = "the rule asks for a signature of each subchart, but the archive contains \
                       subcharts without their provenance, so this cannot be shown; with \
                       dependencies: Inherit the signature of the chart covers them";
        opinion.fail(Reason::DependencyNotTrusted, message);
    }
}

fn note_index(subject: &Subject<'_>, opinion: &mut Opinion) {
    if subject.facts.index_disagrees {
        let message = format!("the index of {} names another digest", subject.source);
        opinion.note(Note::Republished, message);
    }
}
