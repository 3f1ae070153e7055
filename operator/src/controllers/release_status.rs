//! What a `ReleaseTrust` says: pure, from the judgement and the evidence.

use charttrust_verify::check::{Judgement, PolicyVerdict};
use charttrust_verify::evidence::{
    Answer, ArchiveFacts, Bound, Outcome, ProvenanceFacts, SignatureFacts, Signed,
};
use charttrust_verify::finding::{Finding, Word};
use charttrust_verify::verdict::{Reason, Verdict};
use jiff::Timestamp;
use tokio::time::Instant;

use super::world::{Content, Release, Trust};
use crate::api::conditions::{Condition, ReleaseCondition, Status, merge};
use crate::api::reasons::{ReleaseReason, TrustedReason};
use crate::api::release_trust as v1;
use crate::api::{ReleaseTrust, bounds, time};
use crate::inventory::helm::Driver;

/// The judged revision of a release, and what it is worth.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// Which revision has the worst verdict; `None` if none was read yet.
    pub(super) revision: Option<(Driver, u32)>,
    /// Its judgement.
    pub(super) judgement: Judgement,
}

/// The status to write. Equal knowledge gives an equal status, whatever the time.
pub(super) fn conclude(
    old: Option<&v1::ReleaseTrustStatus>,
    release: &Release,
    judged: &Judged,
    trust: &Trust,
    object: Option<&ReleaseTrust>,
    now: Timestamp,
) -> v1::ReleaseTrustStatus {
    let generation = object.and_then(|object| object.metadata.generation).unwrap_or(1);
    let content = content(release, judged);
    let evidence = content.and_then(evidence);
    let signers = content.map(signers).unwrap_or_default();
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let answered = release.requested_at.clone().filter(|_| !release.forced);
    v1::ReleaseTrustStatus {
        observed_generation: Some(generation),
        last_handled_reconcile_at: answered
            .or_else(|| old.and_then(|old| old.last_handled_reconcile_at.clone())),
        release: described(release, judged).or_else(|| old.and_then(|old| old.release.clone())),
        signer: signer(&signers, trust),
        conditions: merge(before, conditions(release, judged, generation, now)),
        signers,
        evidence,
        findings: judged.judgement.findings.iter().map(finding).collect(),
        policies: judged.judgement.policies.iter().map(policy).collect(),
    }
}

fn content<'a>(release: &'a Release, judged: &Judged) -> Option<&'a Content> {
    release.revisions.get(&judged.revision?)?.content.as_ref().ok()
}

fn described(release: &Release, judged: &Judged) -> Option<v1::Release> {
    let (driver, number) = judged.revision?;
    let revision = release.revisions.get(&(driver, number))?;
    let content = revision.content.as_ref().ok();
    Some(v1::Release {
        driver: match driver {
            Driver::ConfigMap => v1::Driver::ConfigMap,
            Driver::Secret => v1::Driver::Secret,
        },
        revision: i64::from(number),
        chart: content.map(|c| bounds::fit(&c.chart, bounds::NAME)).unwrap_or_default(),
        version: content.map(|c| bounds::fit(&c.version, bounds::VERSION)).unwrap_or_default(),
        owner: v1::Owner::Helm,
        resource_version: revision.resource_version.clone(),
    })
}

fn conditions(
    release: &Release,
    judged: &Judged,
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let ready = (Status::True, ReleaseReason::Evaluated);
    let (freshness, silent) = freshness(release);
    let verdict = reason(judged.judgement.verdict);
    let headline = headline(&judged.judgement);
    vec![
        Condition::new(ReleaseCondition::Ready, ready, "", generation, now),
        Condition::new(
            ReleaseCondition::Trusted,
            (verdict.status(), verdict),
            headline,
            generation,
            now,
        ),
        Condition::new(ReleaseCondition::Fresh, freshness, silent, generation, now),
    ]
}

/// False once a source has been silent for two of its intervals.
fn freshness(release: &Release) -> ((Status, ReleaseReason), String) {
    let is_stale = |state: &super::world::LookState| {
        state.failures > 0 && state.answering_since + state.every * 2 <= Instant::now()
    };
    let silent: Vec<_> =
        release.looks.iter().filter(|(_, s)| is_stale(s)).map(|(url, _)| url.as_str()).collect();
    match (silent.is_empty(), release.looks.is_empty()) {
        (false, _) => {
            let message = format!("no answer for two intervals: {}", silent.join(", "));
            ((Status::False, ReleaseReason::LookFailed), message)
        }
        (true, true) => ((Status::Unknown, ReleaseReason::NotLooked), String::new()),
        (true, false) => ((Status::True, ReleaseReason::LookSucceeded), String::new()),
    }
}

fn reason(verdict: Verdict) -> TrustedReason {
    let word = verdict.word();
    // Invariant: both vocabularies have the same words; a test compares them.
    word.parse().expect("the API knows every word of the engine")
}

/// The message of the finding that made the verdict, or who vouches.
fn headline(judgement: &Judgement) -> String {
    let word = match judgement.verdict {
        Verdict::Untrusted(reason) => Some(Word::Failure(reason)),
        Verdict::Unknown(cause) => Some(Word::Doubt(cause)),
        Verdict::Trusted(_) => None,
    };
    let deciding = judgement.findings.iter().find(|finding| Some(finding.word) == word);
    let origin = judgement.policies.iter().find_map(|policy| policy.origin.as_ref());
    match (deciding, origin) {
        (Some(finding), _) => finding.message.clone(),
        (None, Some(origin)) if judgement.verdict.is_trusted() => format!("archive of {origin}"),
        (None, _) => exempt(judgement).unwrap_or_default(),
    }
}

fn exempt(judgement: &Judgement) -> Option<String> {
    let policy = judgement.policies.iter().find(|policy| policy.exempt_by.is_some())?;
    let failures = judgement.findings.iter().filter_map(|finding| match finding.word {
        Word::Failure(reason) => Some(reason),
        Word::Doubt(_) | Word::Note(_) => None,
    });
    let mut reasons: Vec<Reason> = failures.collect();
    reasons.sort_unstable();
    reasons.dedup();
    let reasons: Vec<_> = reasons.into_iter().map(Reason::word).collect();
    let exception = policy.exempt_by.as_deref().unwrap_or_default();
    Some(format!("{}/{exception} forgives {}", policy.policy, reasons.join(", ")))
}

fn finding(finding: &Finding) -> v1::Finding {
    v1::Finding {
        reason: finding.word.to_string(),
        message: bounds::fit(&finding.message, bounds::MESSAGE),
        policy: finding.policy.clone(),
    }
}

fn policy(policy: &PolicyVerdict) -> v1::PolicyVerdict {
    v1::PolicyVerdict {
        policy: policy.policy.clone(),
        rule: policy.rule.clone(),
        verdict: match policy.verdict {
            Verdict::Trusted(_) => v1::Verdict::Trusted,
            Verdict::Unknown(_) => v1::Verdict::Unknown,
            Verdict::Untrusted(_) => v1::Verdict::Untrusted,
        },
        reason: policy.verdict.word().to_owned(),
        exception: policy.exempt_by.clone(),
    }
}

/// Who signed, for the column: the names of the keys, or the end of what the signature claims.
fn signer(signers: &[v1::Signer], trust: &Trust) -> Option<String> {
    let mut names: Vec<_> = signers.iter().map(|signer| name(&signer.fingerprint, trust)).collect();
    names.sort();
    names.dedup();
    (!names.is_empty()).then(|| bounds::fit(&names.join(","), bounds::NAME))
}

fn name(fingerprint: &str, trust: &Trust) -> String {
    let is_of = |loaded: &super::world::LoadedKey| {
        loaded.fingerprint.as_ref().is_some_and(|known| known.as_str() == fingerprint)
    };
    let known = trust.loaded.iter().find(|(_, loaded)| is_of(loaded)).map(|(name, _)| name.clone());
    let start = fingerprint.len().saturating_sub(16);
    known.unwrap_or_else(|| fingerprint.get(start..).unwrap_or(fingerprint).to_owned())
}

fn signers(content: &Content) -> Vec<v1::Signer> {
    let mut seen = Vec::new();
    let mut signers = Vec::new();
    for signed in content.evidence.archives().filter_map(|(_, facts)| facts.signed()) {
        if !seen.contains(&signed.digest) {
            seen.push(signed.digest);
            signers.extend(of_statement(signed));
        }
    }
    signers.truncate(bounds::LIST);
    signers
}

fn of_statement(signed: &Signed) -> impl Iterator<Item = v1::Signer> {
    signed.signatures.iter().map(signature)
}

fn signature(signature: &SignatureFacts) -> v1::Signer {
    let claimed = &signature.claimed;
    let issuer = || claimed.issuer().unwrap_or_default().to_owned();
    let algorithm = bounds::fit(&claimed.algorithm, bounds::WORD);
    let unverified = |fingerprint, fault| v1::Signer {
        fingerprint,
        subkey: None,
        signed_at: claimed.created.map(time),
        algorithm: algorithm.clone(),
        verified: false,
        fault,
        provenance: None,
    };
    match &signature.outcome {
        Outcome::UnknownIssuer => unverified(issuer(), None),
        Outcome::Fault(fingerprint, word) => {
            unverified(fingerprint.to_string(), Some(word.as_str().to_owned()))
        }
        Outcome::Verified(verified) => v1::Signer {
            fingerprint: verified.primary().to_string(),
            subkey: (verified.signer() != verified.primary())
                .then(|| verified.signer().to_string()),
            signed_at: Some(time(verified.created())),
            algorithm: format!("{}/{}", verified.algorithm(), verified.hash()),
            verified: true,
            fault: None,
            provenance: None,
        },
    }
}

fn evidence(content: &Content) -> Option<v1::Evidence> {
    let answers = &content.evidence.answers;
    let mut sources: Vec<_> =
        answers.iter().map(|(url, answer)| source(content, url, answer)).collect();
    sources.sort_by_key(|source| source.binding != Some(v1::Binding::Same));
    sources.truncate(bounds::LIST);
    let content = content.digest.to_string();
    (!sources.is_empty()).then_some(v1::Evidence { content, sources, tag: None })
}

fn source(content: &Content, url: &str, answer: &Answer) -> v1::SourceEvidence {
    let bare = |answer, message: Option<&String>| v1::SourceEvidence {
        message: message.map(|message| bounds::fit(message, bounds::MESSAGE)),
        ..v1::SourceEvidence::new(url, answer)
    };
    match answer {
        Answer::Ambiguous { message } => bare(v1::SourceAnswer::Ambiguous, Some(message)),
        Answer::NotFound => bare(v1::SourceAnswer::NotFound, None),
        Answer::Unavailable { message, .. } => bare(v1::SourceAnswer::Unavailable, Some(message)),
        Answer::Archive(facts) => archive(content, url, facts),
    }
}

fn archive(content: &Content, url: &str, facts: &ArchiveFacts) -> v1::SourceEvidence {
    let other = |ours: &str, theirs: &str| (ours != theirs).then(|| theirs.to_owned());
    let signed = facts.signed();
    let claims = signed.map(|signed| &signed.claims);
    let signed_archive = claims.map(|claims| claims.claimed_archive);
    v1::SourceEvidence {
        archive: Some(facts.digest.to_string()),
        chart: other(&content.chart, &facts.name),
        version: other(&content.version, &facts.version),
        binding: Some(binding(&facts.binding)),
        differences: differences(&facts.binding),
        subcharts: facts.has_subcharts,
        index_disagrees: facts.index_disagrees,
        provenance: signed.map(|signed| signed.digest.to_string()),
        provenance_problem: problem(&facts.provenance),
        signed_chart: claims.and_then(|claims| other(&content.chart, &claims.claimed_name)),
        signed_version: claims.and_then(|claims| other(&content.version, &claims.claimed_version)),
        signed_archive: signed_archive
            .filter(|digest| *digest != Some(facts.digest))
            .map(|digest| digest.map(|digest| digest.to_string()).unwrap_or_default()),
        first_verified: facts.first_verified.map(time),
        ..v1::SourceEvidence::new(url, v1::SourceAnswer::Archive)
    }
}

fn binding(bound: &Bound) -> v1::Binding {
    match bound {
        Bound::Different(_) => v1::Binding::Different,
        Bound::NoRecord | Bound::NotCompared => v1::Binding::NoRecord,
        Bound::OldWriter(_) => v1::Binding::OldWriter,
        Bound::Same(_) => v1::Binding::Same,
    }
}

fn differences(bound: &Bound) -> Vec<String> {
    match bound {
        Bound::Different(all) | Bound::OldWriter(all) => {
            all.iter().map(|text| bounds::fit(text, bounds::MESSAGE)).collect()
        }
        Bound::NoRecord | Bound::NotCompared | Bound::Same(_) => Vec::new(),
    }
}

fn problem(provenance: &ProvenanceFacts) -> Option<v1::ProvenanceProblem> {
    match provenance {
        ProvenanceFacts::Malformed { .. } => Some(v1::ProvenanceProblem::Malformed),
        ProvenanceFacts::Missing => Some(v1::ProvenanceProblem::Missing),
        ProvenanceFacts::Signed(_) => None,
        ProvenanceFacts::Unavailable { .. } => Some(v1::ProvenanceProblem::Unavailable),
    }
}
