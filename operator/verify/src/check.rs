//! Judges one release: every applicable policy, from evidence alone.
//!
//! Pure: the same keys, policies, evidence and time class give the same judgement, in any order.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::authenticity::{check_provenance, shows_more_than_its_keeper};
pub use crate::case::Case;
pub use crate::case::Known;
use crate::case::Subject;
use crate::dependencies;
pub use crate::dependencies::Vouchers;
use crate::deployer::Deployer;
use crate::evidence::{Bound, Place, Signed};
use crate::finding::{Finding, Note};
use crate::key::HardRevocation;
use crate::key_validity::Approval;
use crate::origin::{Asked, Candidate, bound_archives, difference, first_archive};
use crate::policy::{Exception, Level, Policy, Rule, Source};
use crate::rule_result::RuleResult;
use crate::scheme::Scheme;
use crate::signers;
use crate::verdict::{Basis, Cause, Class, Reason, Verdict};
use crate::vouching;

/// What was found out about a release.
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
pub fn judge(case: &Case<'_>, policies: &[Policy], known: Known<'_>, now: Timestamp) -> Judgement {
    let mut verdicts = Vec::new();
    let mut findings = Vec::new();
    for policy in policies {
        let Some(rule) = policy.rule_for(&case.release, case.chart) else {
            continue;
        };
        let result = match rule {
            Ok(rule) => judge_rule(case, rule, known, now),
            Err(problem) => unreadable(problem),
        };
        let (verdict, mut found) = conclude(case, policy, rule.ok(), result, now);
        verdicts.push(verdict);
        findings.append(&mut found);
    }
    let mut seen = BTreeSet::new();
    // Two policies that agree would say everything twice, and a status has room for few findings.
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
    result: RuleResult,
    now: Timestamp,
) -> (PolicyVerdict, Vec<Finding>) {
    // A policy that cannot be read forgives nothing: its exceptions are part of what cannot be
    // read.
    let exception = rule.and_then(|_| exception(case, policy, &result, now));
    let verdict = match exception {
        Some(_) => result.forgiven(),
        None => result.verdict(),
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
        origin: result.origin,
        // A verdict that is no badness names no revocation, or a quarantine could begin by it.
        revocations: result.revocations.into_iter().filter(|_| is_bad).collect(),
    };
    let by_policy = |finding: Finding| finding.of_policy(&policy.name);
    (
        concluded,
        result.findings.into_iter().map(by_policy).collect(),
    )
}

fn exception<'a>(
    case: &Case<'_>,
    policy: &'a Policy,
    result: &RuleResult,
    now: Timestamp,
) -> Option<&'a Exception> {
    let forgives = |exception: &&Exception| exception.forgives(&case.release, &result.failing, now);
    policy.exceptions.iter().find(forgives)
}

fn unreadable(problem: &str) -> RuleResult {
    let mut result = RuleResult::default();
    let message = format!("the policy cannot be used and so trusts nobody: {problem}");
    result.fail(Reason::SignerNotTrusted, message);
    result
}

fn judge_rule(case: &Case<'_>, rule: &Rule, known: Known<'_>, now: Timestamp) -> RuleResult {
    let all: Vec<_> = rule.sources.iter().collect();
    let by = |sources: &[&Source]| judge_pinned(case, (rule, sources), known, now);
    let result = by(&all);
    // Where nothing is asked, nobody has to say where the chart is from. Proof of badness is about what
    // runs: nothing that a deployer says hides it. Where no record shows what runs, only what it says does.
    let is_bad = result.verdict().class() == Class::Badness;
    if rule.verify.level == Level::None || (is_bad && !is_without_record(case)) {
        return result;
    }
    let by_deployer =
        |deployer: &Deployer| match deployer.counted(rule, (case.chart, case.evidence)) {
            Ok(counted) => by(&counted),
            Err(message) => {
                let mut result = RuleResult::default();
                check_version(case, rule, &mut result);
                result.doubt(Cause::SourceUnknown, message);
                result
            }
        };
    let said = case.deployers.iter().map(by_deployer);
    said.reduce(RuleResult::and).unwrap_or(result)
}

/// Whether nothing is known of what runs but what its deployer says.
fn is_without_record(case: &Case<'_>) -> bool {
    let mut archives = case.evidence.archives();
    archives.any(|(_, facts)| facts.binding == Bound::NoRecord)
}

/// What is bad without its pins is as bad with them: a pin is a basis of trust where none is signed, and
/// hides nothing.
fn judge_pinned(
    case: &Case<'_>,
    asked: Asked<'_, '_>,
    known: Known<'_>,
    now: Timestamp,
) -> RuleResult {
    let judge = |pins| judge_sources(case, asked, (known, now), pins);
    let unpinned = judge(Pins::Ignored);
    match unpinned.verdict().class() {
        Class::Badness | Class::Tampering => unpinned,
        _ if asked.0.pins.is_empty() => unpinned,
        _ => judge(Pins::Counted),
    }
}

fn judge_sources(
    case: &Case<'_>,
    (rule, sources): Asked<'_, '_>,
    (known, now): (Known<'_>, Timestamp),
    pins: Pins,
) -> RuleResult {
    let mut result = RuleResult::default();
    check_version(case, rule, &mut result);
    let candidates = match rule.verify.level {
        Level::None => {
            let message = format!("rule {:?} asks for no verification", rule.name);
            // Unmanaged and not trusted: nothing was checked, so that nothing may look proven.
            result.doubt(Cause::Unmanaged, message);
            Vec::new()
        }
        Level::Signature => first_archive(case, (rule, sources), &mut result),
        Level::Strict => bound_archives(case, (rule, sources), &mut result),
    };
    let judged = candidates.into_iter().map(|candidate| {
        let Candidate { source, facts, .. } = candidate;
        let subject = Subject {
            case,
            rule,
            keys: known.keys,
            sigstore: known.sigstore,
            source,
            facts,
            now,
        };
        let judged = judge_archive(&subject, pins).unless_silent(&candidate.silence);
        (&facts.binding, judged)
    });
    decide(judged.collect(), &mut result);
    result
}

/// Whether a pin of an archive stands in for what is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pins {
    Counted,
    Ignored,
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
fn decide(mut judged: Vec<(&Bound, RuleResult)>, result: &mut RuleResult) {
    // One archive whose trust only time has ended shows that the content was once good. Then
    // badness of the same content by another source is a source speaking, and decides nothing.
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
    result.take_over(deciding);
    for other in judged {
        result.note_other(&other);
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
        // Before tampering and missing proof: as long as one source has not answered, nobody knows
        // that the release is not good by it.
        Class::CouldNotTell | Class::Exempt => 2,
        Class::Tampering if proof == Proof::OfTheRelease => 3,
        Class::ProofMissing => 4,
        Class::Tampering => 5,
        Class::Badness => 6,
    };
    (order, Reverse(verdict.rank()))
}

fn check_version(case: &Case<'_>, rule: &Rule, result: &mut RuleResult) {
    if !rule.allows_version(case.version) {
        let message = format!(
            "version {} is outside what rule {:?} allows",
            case.version, rule.name
        );
        result.fail(Reason::VersionNotAllowed, message);
    }
}

fn judge_archive(subject: &Subject<'_>, pins: Pins) -> RuleResult {
    let Subject {
        case,
        rule,
        source,
        facts,
        ..
    } = *subject;
    let mut result = RuleResult {
        origin: Some(source.to_owned()),
        ..RuleResult::default()
    };
    let mut approval = check_provenance(subject, &mut result);
    // After the provenance, because a pin forgives a missing signature and no revoked one.
    let pinned = pins == Pins::Counted && rule.pins(case.chart, case.version, &facts.digest);
    if pinned && !(result.failing.is_empty() && result.doubts.is_empty()) {
        // Whatever stands in for it, a statement that fails approves of nothing.
        approval = None;
        replace_missing_signature(subject, &mut result);
    }
    // Whatever fails from here on is no matter of time, and ends the leniency for what has lapsed.
    let of_signatures = result.failing.len();
    check_metadata(subject, approval, &mut result);
    check_binding(subject, &mut result);
    dependencies::check(subject, check_provenance, &mut result);
    note_index(subject, &mut result);
    result.has_lapsed &= result.failing.len() == of_signatures && result.doubts.is_empty();
    let is_compared = matches!(facts.binding, Bound::Same(_));
    result.basis = match (approval, rule.verify.level) {
        (Some(Approval::Valid), Level::Strict) if is_compared => Some(Basis::SignatureVerified),
        (Some(Approval::Valid), _) => Some(Basis::ArchiveVerified),
        (Some(Approval::Grandfathered), _) => Some(Basis::Grandfathered),
        (None, _) => pinned.then_some(Basis::DigestPinned),
    };
    result
}

/// A pinned digest stands in for a signature that is missing, never for one that is broken or revoked,
/// whoever made it.
fn replace_missing_signature(subject: &Subject<'_>, result: &mut RuleResult) {
    // That a signature could not be fetched does not matter to whoever trusts these very bytes.
    result.doubts.clear();
    let signed = subject.facts.signed();
    let is_marred = |it: Option<&Signed>| it.is_some_and(|it| signers::is_marred(subject, it));
    match signed {
        // Of what a mirror says only trust is taken, and beside a pin none is missing. What lies elsewhere, and
        // gives none, is no better than missing.
        Some(signed) if signed.place != Place::Main && !vouching::is_marred(subject) => {
            return result.failing.clear();
        }
        None if vouching::is_mirrored(subject) => return result.failing.clear(),
        _ if vouching::is_marred(subject) || is_marred(signed) => {
            let message = "the pin of this archive does not count: a known key has signed it, and \
                           that signature is broken or the key is revoked";
            return result.note(Note::OtherSignature, message);
        }
        _ => {}
    }
    let replaceable = [
        Reason::KeyExpired,
        Reason::KeyOutOfScope,
        Reason::SignerNotTrusted,
        Reason::WeakSignature,
        Reason::TransparencyMissing,
        Reason::ProvenanceMalformed,
        Reason::Unsigned,
    ];
    result
        .failing
        .retain(|reason| !replaceable.contains(reason));
}

/// Strict: the signed name and version, the archive's and the release's are the same.
fn check_metadata(subject: &Subject<'_>, approval: Option<Approval>, result: &mut RuleResult) {
    // Helm compares none of these: an old signed archive served as a new version passes `helm
    // verify`.
    let is_strict = subject.rule.verify.level == Level::Strict;
    // A Sigstore signature names nothing but bytes, so that what these are called is all that says it.
    if !is_strict && !result.is_bundled {
        return;
    }
    let (chart, version) = (subject.case.chart, subject.case.version);
    let facts = subject.facts;
    // What keeps no record has a version as registries write it.
    let unmarked = version.strip_prefix('v').filter(|it| *it == facts.version);
    let release = (chart, unmarked.filter(|_| !is_strict).unwrap_or(version));
    // Of a statement on which no trust rests, only the findings of its signatures are told.
    let signed = facts.signed().filter(|_| !result.is_bundled);
    let mut agree = |what: &str, name: &str, version: &str| {
        if (name, version) != release {
            let message = format!(
                "{what} is {name} {version}, the release is {} {}",
                release.0, release.1
            );
            result.fail(Reason::MetadataMismatch, message);
        }
    };
    agree("the archive", &facts.name, &facts.version);
    let shows = |signed: &&Signed| shows_more_than_its_keeper(signed, approval);
    if let Some(signed) = signed.filter(shows) {
        agree(
            "the signed chart",
            &signed.claims.claimed_name,
            &signed.claims.claimed_version,
        );
    }
}

/// What binding found besides "same". Archives that differ never get here.
fn check_binding(subject: &Subject<'_>, result: &mut RuleResult) {
    if subject.rule.verify.level != Level::Strict {
        return result.note(Note::NotChecked, "release content (level Signature)");
    }
    match &subject.facts.binding {
        Bound::Same(notes) => {
            for note in notes {
                result.note(Note::ValuesDiffer, note.clone());
            }
        }
        Bound::NoRecord => {
            result.doubt(
                Cause::NotBindable,
                "there is no release record to compare with",
            );
        }
        Bound::NotCompared => result.note(Note::NotChecked, "release content (offline)"),
        Bound::OldWriter(differences) => {
            let message = format!("an old Helm wrote the record: {}", differences.join("; "));
            result.doubt(Cause::NotBindable, message);
        }
        Bound::Different(_) => {
            let message = difference(subject.source, subject.facts);
            result.fail(Reason::ContentMismatch, message);
        }
    }
}

fn note_index(subject: &Subject<'_>, result: &mut RuleResult) {
    // Helm never compares the digest of an index, so that published indexes are wrong without
    // anybody noticing: it is worth telling, and decides nothing.
    if subject.facts.index_disagrees {
        let scheme = Scheme::split(subject.source);
        let what = scheme.map_or("index", |(scheme, _)| scheme.states_digests());
        let message = format!("the {what} of {} names another digest", subject.source);
        result.note(Note::Republished, message);
    }
}
