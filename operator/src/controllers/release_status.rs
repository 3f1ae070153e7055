//! What a `ReleaseTrust` says: pure, from the judgement and the evidence.

use charttrust_verify::check::{Judgement, PolicyVerdict};
use charttrust_verify::finding::{Finding, Word};
use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};
use jiff::Timestamp;
use tokio::time::Instant;

use super::evidence::{self, Seal};
use super::world::{Content, Release, Trust, Waiting};
use crate::api::bounds;
use crate::api::conditions::{Condition, ReleaseCondition, Status, find, merge};
use crate::api::reasons::{ReleaseReason, TrustedReason};
use crate::api::release_trust as v1;
use crate::inventory::ReleaseId;
use crate::inventory::helm::Driver;

/// The judged revision of a release, and what it is worth.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// Which revision has the worst verdict; `None` if none was read yet.
    pub(super) revision: Option<(Driver, u32)>,
    /// Its judgement.
    pub(super) judgement: Judgement,
}

/// What a status is concluded from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// What is known of the release.
    pub(super) release: &'a Release,
    /// What it is worth.
    pub(super) judged: &'a Judged,
    /// Whether a quarantine of it is in force.
    pub(super) is_contained: bool,
}

/// A `ReleaseTrust` has no spec, so its generation never changes.
const GENERATION: i64 = 1;

/// The status to write. Equal knowledge gives an equal status, whatever the time.
pub(super) fn conclude(
    id: &ReleaseId,
    old: Option<&v1::ReleaseTrustStatus>,
    known: &Known<'_>,
    trust: &Trust,
    seal: &Seal,
    now: Timestamp,
) -> v1::ReleaseTrustStatus {
    let Known {
        release, judged, ..
    } = *known;
    let content = content(release, judged);
    let described = described(release, judged);
    let others = release.witnesses_beside(content);
    let (evidence, signers) = match &described {
        Some(described) => evidence::describe(id, described, content, &others, seal),
        None => (None, Vec::new()),
    };
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let headline = headline(&judged.judgement, content);
    let answered = release
        .requested_at
        .as_ref()
        .filter(|_| !release.requests.are_open())
        .map(|asked| bounds::fit(asked, bounds::VERSION));
    v1::ReleaseTrustStatus {
        observed_generation: Some(GENERATION),
        last_handled_reconcile_at: answered
            .or_else(|| old.and_then(|old| old.last_handled_reconcile_at.clone())),
        release: described.or_else(|| old.and_then(|old| old.release.clone())),
        signer: signer(&signers, trust),
        conditions: merge(before, conditions(known, headline, before, now)),
        signers,
        evidence,
        findings: findings(&judged.judgement.findings),
        policies: policies(&judged.judgement.policies),
    }
}

fn content<'a>(release: &'a Release, judged: &Judged) -> Option<&'a Content> {
    release
        .revisions
        .get(&judged.revision?)?
        .content
        .as_ref()
        .ok()
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
        chart: content
            .map(|c| bounds::fit(&c.chart, bounds::NAME))
            .unwrap_or_default(),
        version: content
            .map(|c| bounds::fit(&c.version, bounds::VERSION))
            .unwrap_or_default(),
        owner: v1::Owner::Helm,
        resource_version: revision.resource_version.clone(),
    })
}

fn conditions(
    known: &Known<'_>,
    headline: String,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let Known {
        release, judged, ..
    } = *known;
    let ready = (Status::True, ReleaseReason::Evaluated);
    let fresh = freshness(release).map(|(state, silent)| {
        Condition::new(ReleaseCondition::Fresh, state, silent, GENERATION, now)
    });
    // After a start, what was so before the last look stands until the next.
    let fresh = fresh.or_else(|| find(before, ReleaseCondition::Fresh).cloned());
    let verdict = reason(judged.judgement.verdict);
    let verdict = Condition::new(
        ReleaseCondition::Trusted,
        (verdict.status(), verdict),
        headline,
        GENERATION,
        now,
    );
    let ready = Condition::new(ReleaseCondition::Ready, ready, "", GENERATION, now);
    let quarantined = quarantined(known, before, now);
    [Some(ready), Some(verdict), fresh, quarantined]
        .into_iter()
        .flatten()
        .collect()
}

/// Whether the release is contained, or why not. As long as a policy has not decided after a start,
/// what was so before stands.
fn quarantined(known: &Known<'_>, before: &[Condition], now: Timestamp) -> Option<Condition> {
    let condition = |state, message: &str| {
        Condition::new(
            ReleaseCondition::Quarantined,
            state,
            message,
            GENERATION,
            now,
        )
    };
    if known.is_contained {
        return Some(condition((Status::True, ReleaseReason::Active), ""));
    }
    let decisions = &known.release.decisions;
    let policies = &known.judged.judgement.policies;
    if policies
        .iter()
        .any(|policy| !decisions.contains_key(&policy.policy))
    {
        return find(before, ReleaseCondition::Quarantined)
            .filter(|before| before.status != Status::True)
            .cloned();
    }
    let waiting = |wanted| {
        let mut found = policies
            .iter()
            .filter(move |policy| decisions.get(&policy.policy) == Some(&Some(wanted)));
        found.next()
    };
    if let Some(policy) = waiting(Waiting::ForApproval) {
        let message = format!(
            "policy {} recommends it; approve by creating a Quarantine, for example with \
             charttrust quarantine",
            policy.policy
        );
        let state = (Status::False, ReleaseReason::AwaitingApproval);
        return Some(condition(state, &message));
    }
    waiting(Waiting::Released).map(|_| {
        let message = "a person has ended it; it is not started again for the same revocation";
        condition((Status::False, ReleaseReason::Released), message)
    })
}

/// False once a source has been silent for two of its intervals; `None` before the first look.
fn freshness(release: &Release) -> Option<((Status, ReleaseReason), String)> {
    let is_stale = |state: &super::world::LookState| {
        state.failures > 0 && state.answering_since + state.every * 2 <= Instant::now()
    };
    let silent: Vec<_> = release
        .looks
        .iter()
        .filter(|(_, s)| is_stale(s))
        .map(|(url, _)| url.as_str())
        .collect();
    if release.looks.is_empty() {
        return None;
    }
    Some(if silent.is_empty() {
        ((Status::True, ReleaseReason::LookSucceeded), String::new())
    } else {
        let message = format!("no answer for two intervals: {}", silent.join(", "));
        ((Status::False, ReleaseReason::LookFailed), message)
    })
}

fn reason(verdict: Verdict) -> TrustedReason {
    let word = verdict.word();
    // Invariant: both vocabularies have the same words; a test compares them.
    word.parse()
        .expect("the API knows every word of the engine")
}

/// The message of the finding that made the verdict; or what was checked, where that is trusted.
fn headline(judgement: &Judgement, content: Option<&Content>) -> String {
    let word = match judgement.verdict {
        Verdict::Untrusted(reason) => Word::Failure(reason),
        Verdict::Unknown(cause) => Word::Doubt(cause),
        Verdict::Trusted(basis) => return checked(basis, judgement, content),
    };
    let deciding = judgement
        .findings
        .iter()
        .find(|finding| finding.word == word);
    let message = deciding.map(|finding| finding.message.clone());
    message.or_else(|| exempt(judgement)).unwrap_or_default()
}

/// What trust rests on, in few words: there are many releases, and status has the details. Of several
/// sources also the origin, which goes without saying where there is one.
fn checked(basis: Basis, judgement: &Judgement, content: Option<&Content>) -> String {
    let mut policies = judgement.policies.iter();
    let deciding = policies.find(|policy| policy.verdict == judgement.verdict);
    let rule = deciding.and_then(|policy| policy.rule.as_deref());
    let rests_on = match basis {
        Basis::ArchiveVerified => "signed; content not compared".to_owned(),
        Basis::DigestPinned => format!("pinned by rule {}", rule.unwrap_or_default()),
        Basis::Grandfathered => "verified before the key was revoked".to_owned(),
        Basis::SignatureVerified => "content as signed".to_owned(),
    };
    let has_choice = content.is_some_and(|content| content.evidence.answers.len() > 1);
    match deciding.and_then(|policy| policy.origin.as_ref()) {
        Some(origin) if has_choice => format!("{rests_on}; archive of {origin}"),
        Some(_) | None => rests_on,
    }
}

fn exempt(judgement: &Judgement) -> Option<String> {
    let policy = judgement
        .policies
        .iter()
        .find(|policy| policy.exempt_by.is_some())?;
    let failures = judgement
        .findings
        .iter()
        .filter_map(|finding| match finding.word {
            Word::Failure(reason) => Some(reason),
            Word::Doubt(_) | Word::Note(_) => None,
        });
    let mut reasons: Vec<Reason> = failures.collect();
    reasons.sort_unstable();
    reasons.dedup();
    let reasons: Vec<_> = reasons.into_iter().map(Reason::word).collect();
    let exception = policy.exempt_by.as_deref().unwrap_or_default();
    Some(format!(
        "{}/{exception} forgives {}",
        policy.policy,
        reasons.join(", ")
    ))
}

/// As many findings as the schema allows: a status that is refused tells nothing at all.
fn findings(all: &[Finding]) -> Vec<v1::Finding> {
    if all.len() <= bounds::LONG_LIST {
        return all.iter().map(finding).collect();
    }
    let listed = bounds::LONG_LIST - 1;
    let more = v1::Finding {
        reason: Cause::LimitExceeded.word().to_owned(),
        message: format!("{} more findings are not listed", all.len() - listed),
        policy: None,
    };
    all.iter().take(listed).map(finding).chain([more]).collect()
}

/// As many policies as the schema allows, the worst first if that is not all.
fn policies(all: &[PolicyVerdict]) -> Vec<v1::PolicyVerdict> {
    let mut all: Vec<_> = all.iter().collect();
    while all.len() > bounds::LONG_LIST {
        let worst = Verdict::worst(all.iter().map(|policy| policy.verdict));
        let lesser = |policy: &&PolicyVerdict| Some(policy.verdict) != worst;
        let least = all.iter().rposition(lesser);
        all.remove(least.unwrap_or(all.len() - 1));
    }
    all.into_iter().map(policy).collect()
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
    let mut names: Vec<_> = signers
        .iter()
        .map(|signer| name(&signer.fingerprint, trust))
        .collect();
    names.sort();
    names.dedup();
    (!names.is_empty()).then(|| bounds::fit(&names.join(","), bounds::NAME))
}

fn name(fingerprint: &str, trust: &Trust) -> String {
    let is_of = |loaded: &super::world::LoadedKey| {
        loaded
            .fingerprint
            .as_ref()
            .is_some_and(|known| known.as_str() == fingerprint)
    };
    let known = trust
        .loaded
        .iter()
        .find(|(_, loaded)| is_of(loaded))
        .map(|(name, _)| name.clone());
    let start = fingerprint.len().saturating_sub(16);
    known.unwrap_or_else(|| fingerprint.get(start..).unwrap_or(fingerprint).to_owned())
}

#[cfg(test)]
mod tests {
    use charttrust_verify::digest::Sha256Digest;
    use charttrust_verify::evidence::{Answer, Evidence};
    use charttrust_verify::finding::Note;

    use super::*;

    fn concluded(release: &Release, judgement: Judgement) -> v1::ReleaseTrustStatus {
        let id = ReleaseId {
            namespace: "shop".into(),
            name: "web".into(),
        };
        let judged = Judged {
            revision: None,
            judgement,
        };
        let (trust, seal) = (Trust::default(), Seal::new(&[7; Seal::LENGTH]));
        conclude(
            &id,
            None,
            &Known {
                release,
                judged: &judged,
                is_contained: false,
            },
            &trust,
            &seal,
            Timestamp::UNIX_EPOCH,
        )
    }

    fn judgement(findings: usize, policies: usize) -> Judgement {
        let finding = |number| Finding::new(Word::Note(Note::OtherRevision), format!("{number}"));
        let policy = |number| PolicyVerdict {
            policy: format!("{number:04}"),
            rule: None,
            verdict: if number == policies - 1 {
                Verdict::Untrusted(Reason::KeyCompromised)
            } else {
                Verdict::Trusted(Basis::SignatureVerified)
            },
            exempt_by: None,
            origin: None,
            revocations: std::collections::BTreeSet::new(),
        };
        Judgement {
            verdict: Verdict::Untrusted(Reason::KeyCompromised),
            policies: (0..policies).map(policy).collect(),
            findings: (0..findings).map(finding).collect(),
        }
    }

    /// A content that so many sources have answered about.
    fn answered_by(sources: &[&str]) -> Content {
        let answered = |source: &&str| ((*source).to_owned(), Answer::NotFound);
        let answers = sources.iter().map(answered).collect();
        Content {
            chart: "web".into(),
            version: "1.0.0".into(),
            digest: Sha256Digest::of(b"content"),
            evidence: Evidence { answers },
        }
    }

    #[test]
    fn what_is_trusted_says_what_was_checked_and_of_several_sources_the_origin() {
        for (basis, expected) in [
            (Basis::SignatureVerified, "content as signed"),
            (Basis::ArchiveVerified, "signed; content not compared"),
            (Basis::DigestPinned, "pinned by rule in-house"),
            (Basis::Grandfathered, "verified before the key was revoked"),
        ] {
            let mut judgement = judgement(1, 1);
            judgement.verdict = Verdict::Trusted(basis);
            let policy = &mut judgement.policies[0];
            policy.verdict = judgement.verdict;
            policy.rule = Some("in-house".into());
            policy.origin = Some("https://b.example.com".into());
            let one = answered_by(&["https://b.example.com"]);
            assert_eq!(headline(&judgement, Some(&one)), expected);
            let two = answered_by(&["https://a.example.com", "https://b.example.com"]);
            let told = headline(&judgement, Some(&two));
            assert_eq!(
                told,
                format!("{expected}; archive of https://b.example.com")
            );
        }
    }

    /// The condition `Quarantined` after these decisions of the policies `0000`, `0001`, …
    #[expect(
        clippy::option_option,
        reason = "a policy that has not decided is not one that wants nothing"
    )]
    fn quarantined(
        is_contained: bool,
        decisions: &[Option<Option<Waiting>>],
        before: Option<(Status, ReleaseReason)>,
    ) -> Option<String> {
        let judged = Judged {
            revision: None,
            judgement: judgement(0, decisions.len()),
        };
        let decided = decisions.iter().enumerate();
        let decided =
            decided.filter_map(|(number, decision)| Some((format!("{number:04}"), (*decision)?)));
        let release = Release {
            decisions: decided.collect(),
            ..Release::default()
        };
        let known = Known {
            release: &release,
            judged: &judged,
            is_contained,
        };
        let type_ = ReleaseCondition::Quarantined;
        let now = Timestamp::UNIX_EPOCH;
        let before = before.map(|state| Condition::new(type_, state, "", GENERATION, now));
        let before: Vec<_> = before.into_iter().collect();
        let found = super::quarantined(&known, &before, now)?;
        Some(format!("{:?}/{}", found.status, found.reason))
    }

    #[test]
    fn a_release_says_whether_it_is_contained_or_waits_for_somebody() {
        use Waiting::{ForApproval, Released};
        let awaits = Some((Status::False, ReleaseReason::AwaitingApproval));
        let active = Some((Status::True, ReleaseReason::Active));
        let [nothing, approval, released] = [None, Some(ForApproval), Some(Released)].map(Some);
        for (is_contained, decisions, before, expected) in [
            (true, vec![], None, Some("True/Active")),
            (true, vec![released], awaits, Some("True/Active")),
            (false, vec![nothing], awaits, None),
            (
                false,
                vec![nothing, approval],
                None,
                Some("False/AwaitingApproval"),
            ),
            (
                false,
                vec![released, approval],
                None,
                Some("False/AwaitingApproval"),
            ),
            (
                false,
                vec![nothing, released],
                awaits,
                Some("False/Released"),
            ),
            // As long as a policy has not decided, it stays as it was, but for what is over.
            (
                false,
                vec![released, None],
                awaits,
                Some("False/AwaitingApproval"),
            ),
            (false, vec![released, None], active, None),
            (false, vec![approval, None], None, None),
        ] {
            let said = quarantined(is_contained, &decisions, before);
            assert_eq!(said.as_deref(), expected, "{is_contained} {decisions:?}");
        }
    }

    #[test]
    fn the_lists_fit_the_schema_and_say_what_is_missing() {
        let most = bounds::LONG_LIST;
        for (given, told, last) in [
            (most, most, (most - 1).to_string()),
            (most + 1, most, "2 more findings are not listed".to_owned()),
            (
                5000,
                most,
                format!("{} more findings are not listed", 5001 - most),
            ),
        ] {
            let status = concluded(&Release::default(), judgement(given, given));
            assert_eq!(status.findings.len(), told);
            assert_eq!(status.findings.last().unwrap().message, last);
            assert_eq!(status.policies.len(), told);
            let worst = status.policies.last().unwrap();
            assert_eq!(worst.reason, Reason::KeyCompromised.word());
        }
    }

    #[test]
    fn the_answer_to_a_request_fits_the_schema_however_long_the_request_is() {
        let release = Release {
            requested_at: Some("x".repeat(100_000)),
            ..Release::default()
        };
        let status = concluded(&release, judgement(0, 1));
        let answered = status.last_handled_reconcile_at.expect("an answer");
        assert!(
            answered.len() <= bounds::VERSION,
            "{} bytes",
            answered.len()
        );
    }
}
