//! Judges one release: every applicable policy, from evidence alone.
//!
//! Pure: the same keys, policies, evidence and time class give the same judgement, in any order.

use jiff::Timestamp;

use crate::evidence::{ArchiveFacts, Bound, Evidence, ProvenanceFacts, Signed};
use crate::finding::{Finding, Note};
use crate::key::Key;
use crate::opinion::Opinion;
use crate::origin::{bound_archives, differs, first_archive};
use crate::policy::{Dependencies, Level, Policy, ReleaseRef, Rule};
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
    let exception = policy
        .exceptions
        .iter()
        .find(|exception| exception.forgives(&case.release, &opinion.failing, now));
    let verdict = match exception {
        Some(_) => Verdict::Unknown(Cause::Exempt),
        None => opinion.verdict(),
    };
    let by_policy = |finding: Finding| finding.of_policy(&policy.name);
    let concluded = PolicyVerdict {
        policy: policy.name.clone(),
        rule: rule.map(|rule| rule.name.clone()),
        verdict,
        exempt_by: exception.map(|exception| exception.name.clone()),
        origin: opinion.origin,
    };
    (
        concluded,
        opinion.findings.into_iter().map(by_policy).collect(),
    )
}

fn unreadable(problem: &str) -> Opinion {
    let mut opinion = Opinion::default();
    let message = format!("the policy cannot be used and so trusts nobody: {problem}");
    opinion.fail(Reason::SignerNotTrusted, message);
    opinion
}

fn judge_rule(case: &Case<'_>, rule: &Rule, keys: &[Key], now: Timestamp) -> Opinion {
    let mut opinion = Opinion::default();
    if rule.verify.level == Level::None {
        opinion.doubt(
            Cause::Unmanaged,
            format!("rule {:?} asks for no verification", rule.name),
        );
        return opinion;
    }
    check_version(case, rule, &mut opinion);
    let candidates = match rule.verify.level {
        Level::Strict => bound_archives(case, rule, &mut opinion),
        Level::Signature | Level::None => first_archive(case, rule, &mut opinion),
    };
    let best = candidates
        .into_iter()
        .map(|(source, facts)| {
            judge_archive(&Subject {
                case,
                rule,
                keys,
                source,
                facts,
                now,
            })
        })
        .min_by_key(|opinion| opinion.verdict().class());
    if let Some(best) = best {
        opinion.absorb(best);
    }
    opinion
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
    check_metadata(subject, &mut opinion);
    check_binding(subject, &mut opinion);
    check_dependencies(subject, &mut opinion);
    note_index(subject, &mut opinion);
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
    for (reason, message) in tally.failing {
        // A revoked key that signed something else proves nothing bad of this archive.
        if is_about_this_archive || reason.class() != Class::Badness {
            opinion.fail(reason, message);
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
        Bound::Different(_) => differs(subject.source, subject.facts, opinion),
    }
}

fn check_dependencies(subject: &Subject<'_>, opinion: &mut Opinion) {
    let verify = subject.rule.verify.dependencies == Dependencies::Verify;
    if verify && subject.facts.has_subcharts {
        let message = "subcharts inside an archive carry no signatures of their own";
        opinion.fail(Reason::DependencyNotTrusted, message);
    }
}

fn note_index(subject: &Subject<'_>, opinion: &mut Opinion) {
    if subject.facts.index_disagrees {
        let message = format!("the index of {} names another digest", subject.source);
        opinion.note(Note::Republished, message);
    }
}
