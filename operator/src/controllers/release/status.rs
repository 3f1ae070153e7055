//! What a `ReleaseTrust` says: pure, from the judgement and the evidence.

use std::collections::BTreeSet;

use charttrust_verify::check::{Judgement, PolicyVerdict};
use charttrust_verify::finding::{Fact, Finding, Note};
use charttrust_verify::key::{Grandfather, RevocationReason};
use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};
use jiff::Timestamp;
use tokio::time::Instant;

use super::evidence::{self, Age, Sealing};
use crate::api::bounds;
use crate::api::conditions::{
    Condition, ConditionType as _, ReleaseCondition, Status, find, merge,
};
use crate::api::reasons::ReleaseReason;
use crate::api::release_trust as v1;
use crate::clock::Moment;
use crate::controllers::quarantine::scope::Containment;
use crate::controllers::store::seal::Seal;
use crate::controllers::store::{Content, Release, Trust, Waiting};
use crate::inventory::helm::Driver;
use crate::inventory::{Owner, RecordId, ReleaseId};

/// The judged revision of a release, and what it is worth.
#[derive(Clone, Debug)]
pub(in crate::controllers) struct Judged {
    /// Which revision has the worst verdict; `None` if none was read yet.
    pub(in crate::controllers) revision: Option<RecordId>,
    /// Who deploys that revision.
    pub(in crate::controllers) owner: Owner,
    /// Its judgement.
    pub(in crate::controllers) judgement: Judgement,
    /// The judgement of each revision that was read.
    pub(in crate::controllers) of_each: Vec<(RecordId, Judgement)>,
    /// Policies that call it bad by ConfigMaps alone, though Secrets hold records of it too.
    pub(in crate::controllers) contradicted: BTreeSet<String>,
}

/// What a status is concluded from.
#[derive(Clone, Copy, Debug)]
pub(in crate::controllers) struct Known<'a> {
    /// Which release it is.
    pub(in crate::controllers) id: &'a ReleaseId,
    /// What is known of the release.
    pub(in crate::controllers) release: &'a Release,
    /// What it is worth.
    pub(in crate::controllers) judged: &'a Judged,
    /// How its quarantine stands.
    pub(in crate::controllers) containment: &'a Containment,
    /// By which keys and policies.
    pub(in crate::controllers) trust: &'a Trust,
    /// Under which the evidence is sealed.
    pub(in crate::controllers) seal: &'a Seal,
}

/// A `ReleaseTrust` has no spec, so its generation never changes.
const GENERATION: i64 = 1;

/// The status to write. Equal knowledge gives an equal status, whatever the time.
pub(in crate::controllers) fn conclude(
    old: Option<&v1::ReleaseTrustStatus>,
    known: &Known<'_>,
    moment: Moment,
) -> v1::ReleaseTrustStatus {
    let Known {
        id,
        release,
        judged,
        trust,
        seal,
        ..
    } = *known;
    let content = content(release, judged);
    let described = described(release, judged);
    let others = release.witnesses_beside(content);
    let age = if release.older.is_empty() {
        Age::Current
    } else {
        Age::Older
    };
    let sealing = Sealing { seal, age };
    let mut said_by = judged.judgement.policies.iter();
    let origin = said_by.find_map(|said| said.origin.as_deref());
    let (evidence, signers) = match &described {
        Some(release) => {
            let described = evidence::Described {
                content,
                origin,
                others: &others,
                keys: &trust.keys,
                now: moment.date,
            };
            evidence::describe(id, release, described, sealing)
        }
        None => (None, Vec::new()),
    };
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let exempt = exempt(&judged.judgement, trust);
    let headline = headline(&judged.judgement, content, exempt);
    let answered = release
        .requested_at
        .as_ref()
        .filter(|_| !release.requests.are_open())
        .map(|asked| bounds::fit(asked, bounds::VERSION));
    let verdict = judged.judgement.verdict;
    v1::ReleaseTrustStatus {
        observed_generation: Some(GENERATION),
        reason: (!verdict.is_trusted()).then(|| verdict.word().to_owned()),
        last_handled_reconcile_at: answered
            .or_else(|| old.and_then(|old| old.last_handled_reconcile_at.clone())),
        release: described.or_else(|| old.and_then(|old| old.release.clone())),
        signer: signer(&signers, trust, judged.judgement.verdict, moment.date),
        conditions: merge(before, conditions(known, headline, before, moment)),
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
    let record = judged.revision?;
    let revision = release.revisions.get(&record)?;
    let content = revision.content.as_ref().ok();
    Some(v1::Release {
        driver: match record {
            RecordId::Application { .. } => v1::Driver::Application,
            RecordId::Helm { driver, .. } => match driver {
                Driver::ConfigMap => v1::Driver::ConfigMap,
                Driver::Secret => v1::Driver::Secret,
            },
        },
        revision: i64::try_from(record.revision()).unwrap_or(i64::MAX),
        chart: content
            .map(|c| bounds::fit(&c.chart, bounds::NAME))
            .unwrap_or_default(),
        version: content
            .map(|c| bounds::fit(&c.version, bounds::VERSION))
            .unwrap_or_default(),
        owner: match judged.owner {
            Owner::ArgoCd => v1::Owner::ArgoCD,
            Owner::Flux => v1::Owner::Flux,
            Owner::Helm => v1::Owner::Helm,
            Owner::K3s => v1::Owner::K3s,
        },
        resource_version: revision.resource_version.clone(),
    })
}

fn conditions(
    known: &Known<'_>,
    headline: String,
    before: &[Condition],
    moment: Moment,
) -> Vec<Condition> {
    let Known {
        release, judged, ..
    } = *known;
    let now = moment.date;
    let fresh = freshness(release, moment.tick).map(|(state, silent)| {
        Condition::new(ReleaseCondition::Fresh, state, silent, GENERATION, now)
    });
    // After a start, what was so before the last look stands until the next.
    let fresh = fresh.or_else(|| find(before, ReleaseCondition::Fresh).cloned());
    let verdict = judged.judgement.verdict;
    let verdict = Condition::new(
        ReleaseCondition::Trusted,
        (verdict.into(), verdict),
        headline,
        GENERATION,
        now,
    );
    let quarantined = quarantined(known, before, now);
    let said = [Some(verdict), fresh, quarantined].into_iter().flatten();
    let ready = if judged.is_pending() {
        under_way(now).to_vec()
    } else {
        let ready = (Status::True, ReleaseReason::Evaluated);
        let ready = Condition::new(ReleaseCondition::Ready, ready, "", GENERATION, now);
        vec![ready]
    };
    ready.into_iter().chain(said).collect()
}

/// A verdict that stands while what it was about has changed and is being looked at.
pub(in crate::controllers) fn waiting(
    old: &v1::ReleaseTrustStatus,
    moment: Moment,
) -> v1::ReleaseTrustStatus {
    let of_readiness = [ReleaseCondition::Ready, ReleaseCondition::Reconciling];
    let is_kept = |one: &&Condition| of_readiness.iter().all(|type_| one.type_ != type_.word());
    let kept = old.conditions.iter().filter(is_kept).cloned();
    let concluded = under_way(moment.date).into_iter().chain(kept).collect();
    v1::ReleaseTrustStatus {
        conditions: merge(&old.conditions, concluded),
        ..old.clone()
    }
}

fn under_way(now: Timestamp) -> [Condition; 2] {
    let said = |type_, status| {
        let state = (status, ReleaseReason::Progressing);
        Condition::new(type_, state, "a source is being asked", GENERATION, now)
    };
    [
        said(ReleaseCondition::Ready, Status::Unknown),
        said(ReleaseCondition::Reconciling, Status::True),
    ]
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
    match known.containment {
        Containment::InForce => {
            return Some(condition((Status::True, ReleaseReason::Active), ""));
        }
        Containment::Nothing(word) => {
            let message = format!(
                "its Quarantine is there and contains nothing ({word}): see the condition Active of \
                 that"
            );
            let state = (Status::False, ReleaseReason::NotContained);
            return Some(condition(state, &message));
        }
        Containment::None => {}
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
    let decided = policies.iter().filter_map(|one| {
        let waiting = decisions.get(&one.policy).copied().flatten()?;
        Some((waiting, one.policy.as_str()))
    });
    let (waiting, policy) = decided.min_by_key(|(waiting, _)| urgency(*waiting))?;
    let (reason, message) = of_waiting(waiting, policy, known.release);
    Some(condition((Status::False, reason), &message))
}

/// Where policies differ, what was due and is not contained is told before what waits.
fn urgency(waiting: Waiting) -> u8 {
    match waiting {
        Waiting::Refused => 0,
        Waiting::ForRoom => 1,
        Waiting::ForApproval => 2,
        Waiting::Released(_) => 3,
        Waiting::ForWorkloads => 4,
    }
}

/// Why a policy does not contain a release that it may contain.
fn of_waiting(waiting: Waiting, policy: &str, release: &Release) -> (ReleaseReason, String) {
    match waiting {
        Waiting::ForApproval => (
            ReleaseReason::AwaitingApproval,
            format!(
                "policy {policy} recommends it; approve by creating a Quarantine, for example with \
                 charttrust quarantine"
            ),
        ),
        Waiting::ForRoom => (
            ReleaseReason::LimitReached,
            format!(
                "policy {policy} would contain it, and more is due than its limit allows: raise \
                 spec.quarantine.limit, or run charttrust quarantine"
            ),
        ),
        Waiting::ForWorkloads => (
            ReleaseReason::NothingToContain,
            "no workload carries the marks of this release, so there is nothing to contain; \
             it begins should one appear. What else its record lists: charttrust quarantine \
             --dry-run"
                .to_owned(),
        ),
        Waiting::Refused => (
            ReleaseReason::StartFailed,
            // What the server says differs from time to time, as the use of a quota does.
            format!(
                "policy {policy} would contain it, and its Quarantine could not be created: the \
                 condition QuarantineStopped of the policy says why; it is tried again"
            ),
        ),
        Waiting::Released(at) => (ReleaseReason::Released, released(at, release)),
    }
}

/// A person's word holds for what comes later too, and they have not seen that.
fn released(at: Option<u64>, release: &Release) -> String {
    let revisions = release.revisions.keys();
    let newest = revisions.map(|record| record.revision()).max();
    let when = at.map_or_else(String::new, |at| format!(" at revision {at}"));
    let later = newest.zip(at).filter(|(newest, at)| newest > at);
    let later = later.map_or_else(String::new, |(newest, _)| {
        format!("; revision {newest} came after that")
    });
    format!("a person has ended it{when}; it is not started again for the same revocation{later}")
}

/// False once a source has been silent for two of its intervals; `None` before the first look.
fn freshness(release: &Release, now: Instant) -> Option<((Status, ReleaseReason), String)> {
    let is_stale = |state: &crate::controllers::store::PollState| {
        state.failures > 0 && state.answering_since + state.every * 2 <= now
    };
    let silent: Vec<_> = release
        .polls
        .iter()
        .filter(|(_, s)| is_stale(s))
        .map(|(url, _)| url.as_str())
        .collect();
    if release.polls.is_empty() {
        return None;
    }
    Some(if silent.is_empty() {
        ((Status::True, ReleaseReason::LookSucceeded), String::new())
    } else {
        let message = format!("no answer for two intervals: {}", silent.join(", "));
        ((Status::False, ReleaseReason::LookFailed), message)
    })
}

/// The message of the finding that made the verdict; or what was checked, where that is trusted.
fn headline(judgement: &Judgement, content: Option<&Content>, exempt: Option<String>) -> String {
    let word = match judgement.verdict {
        Verdict::Untrusted(reason) => Fact::Failure(reason),
        Verdict::Unknown(cause) => Fact::Doubt(cause),
        Verdict::Trusted(basis) => return checked(basis, judgement, content),
    };
    let deciding = judgement
        .findings
        .iter()
        .find(|finding| finding.fact == word);
    let message = deciding.map(|finding| finding.message.clone());
    message.or(exempt).unwrap_or_default()
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

/// Which exception forgives what, until when, and what people have written beside it.
fn exempt(judgement: &Judgement, trust: &Trust) -> Option<String> {
    let policy = judgement
        .policies
        .iter()
        .find(|policy| policy.exempt_by.is_some())?;
    let failures = judgement
        .findings
        .iter()
        .filter_map(|finding| match finding.fact {
            Fact::Failure(reason) => Some(reason),
            Fact::Doubt(_) | Fact::Note(_) => None,
        });
    let mut reasons: Vec<Reason> = failures.collect();
    reasons.sort_unstable();
    reasons.dedup();
    let reasons: Vec<_> = reasons.into_iter().map(Reason::word).collect();
    let name = policy.exempt_by.as_deref().unwrap_or_default();
    let loaded = trust.policies.get(&policy.policy);
    let mut exceptions = loaded.iter().flat_map(|loaded| &loaded.policy.exceptions);
    let until = exceptions.find(|one| one.name == name).map(|one| {
        let why = bounds::fit(one.justification.trim(), LONGEST_WHY);
        format!(" until {} ({why})", one.expires_at)
    });
    Some(format!(
        "{}/{name} forgives {}{}",
        policy.policy,
        reasons.join(", "),
        until.unwrap_or_default()
    ))
}

/// A ticket and a few words: there are many releases, and the policy has the rest.
const LONGEST_WHY: usize = 80;

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
        reason: finding.fact.to_string(),
        message: bounds::fit(&finding.message, bounds::MESSAGE),
        policy: finding.policy.clone(),
    }
}

fn policy(policy: &PolicyVerdict) -> v1::PolicyVerdict {
    v1::PolicyVerdict {
        policy: policy.policy.clone(),
        rule: policy.rule.clone(),
        verdict: policy.verdict.into(),
        reason: policy.verdict.word().to_owned(),
        exception: policy.exempt_by.clone(),
    }
}

/// Who signed, for the column: the names of the keys, or the end of what the signature claims. Of a
/// release that is trusted, only those on whose signatures that may rest.
fn signer(
    signers: &[v1::Signer],
    trust: &Trust,
    verdict: Verdict,
    now: Timestamp,
) -> Option<String> {
    let may_count = |signer: &v1::Signer| match &signer.bundle {
        Some(_) => signer.verified,
        None => !is_void(&signer.fingerprint, trust, now),
    };
    let is_one = |signer: &&v1::Signer| signer.fault.as_deref() != Some(Note::NotASignature.word());
    let counts = |signer: &&v1::Signer| !verdict.is_trusted() || may_count(signer);
    let name = |signer: &v1::Signer| match &signer.bundle {
        Some(_) => name_by_sigstore(signer, trust),
        None => name(&signer.fingerprint, trust),
    };
    let names = signers.iter().filter(is_one).filter(counts).map(name);
    let mut names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    names.sort();
    names.dedup();
    (!names.is_empty()).then(|| bounds::fit(&names.join(","), bounds::NAME))
}

/// Whether no signature by a key counts: one that was verified before may be grandfathered.
fn is_void(fingerprint: &str, trust: &Trust, now: Timestamp) -> bool {
    let mut keys = trust.keys.iter();
    let key = keys.find(|key| key.fingerprint().as_str() == fingerprint);
    key.is_some_and(|key| {
        let declared = key.revocations.iter().any(|revocation| {
            let is_hard = matches!(
                revocation.reason,
                RevocationReason::Compromised | RevocationReason::Unspecified
            );
            is_hard && revocation.grandfather == Grandfather::Never
        });
        let own = key.certificate.summary(now).revocation;
        declared || own.is_some_and(|own| own.hard)
    })
}

/// The names of those who may have made a Sigstore signature, or else what it says.
fn name_by_sigstore(signer: &v1::Signer, trust: &Trust) -> String {
    let known = &trust.sigstore;
    let (Some(issuer), Some(subject)) = (&signer.issuer, &signer.subject) else {
        let mut keys = known.keys.iter();
        let key = keys.find(|one| one.trusted.fingerprint.to_string() == signer.fingerprint);
        return key.map_or_else(
            || signer.fingerprint.clone(),
            |one| one.trusted.name.clone(),
        );
    };
    let identities = known.identities.iter().map(|one| &one.identity);
    let named = identities.filter(|one| one.is_named(issuer, subject));
    let names: Vec<_> = named.map(|one| one.name.as_str()).collect();
    if names.is_empty() {
        subject.clone()
    } else {
        names.join(",")
    }
}

fn name(fingerprint: &str, trust: &Trust) -> String {
    let is_of = |loaded: &crate::controllers::store::LoadedKey| {
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
            contradicted: BTreeSet::new(),
            revision: None,
            judgement,
            owner: Owner::Helm,
            of_each: Vec::new(),
        };
        let (trust, seal) = (Trust::default(), Seal::new(&[7; Seal::LENGTH]));
        let moment = Moment {
            date: Timestamp::UNIX_EPOCH,
            tick: crate::clock::tick(),
        };
        let known = Known {
            id: &id,
            release,
            judged: &judged,
            containment: &Containment::None,
            trust: &trust,
            seal: &seal,
        };
        conclude(None, &known, moment)
    }

    fn judgement(findings: usize, policies: usize) -> Judgement {
        let finding = |number| Finding::new(Fact::Note(Note::OtherRevision), format!("{number}"));
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
            manifest: None,
            recorded: None,
            digest: Sha256Digest::of(b"content"),
            evidence: Evidence {
                answers,
                ..Evidence::default()
            },
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
            assert_eq!(headline(&judgement, Some(&one), None), expected);
            let two = answered_by(&["https://a.example.com", "https://b.example.com"]);
            let told = headline(&judgement, Some(&two), None);
            assert_eq!(
                told,
                format!("{expected}; archive of https://b.example.com")
            );
        }
    }

    #[test]
    fn an_exception_says_until_when_and_why() {
        let yaml = "
apiVersion: charttrust.io/v1alpha1
kind: ChartTrustPolicy
metadata: {name: '0000'}
spec:
  rules: [{name: all, charts: ['*']}]
  exceptions:
    - {name: hotfix, releases: [web], reasons: [Unsigned], expiresAt: '2026-12-04T00:00:00Z', justification: SEC-1}
";
        let loaded = crate::parse::policy(&serde_saphyr::from_str(yaml).unwrap());
        assert_eq!(loaded.problems, []);
        let trust = Trust {
            policies: std::sync::Arc::new([("0000".to_owned(), loaded)].into()),
            ..Trust::default()
        };
        let mut judgement = judgement(0, 1);
        judgement.policies[0].exempt_by = Some("hotfix".to_owned());
        judgement.findings = vec![Finding::new(Fact::Failure(Reason::Unsigned), "no .prov")];
        assert_eq!(
            exempt(&judgement, &trust).as_deref(),
            Some("0000/hotfix forgives Unsigned until 2026-12-04T00:00:00Z (SEC-1)")
        );
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Now {
        Contained,
        Free,
        Nothing,
    }

    /// The condition `Quarantined` after these decisions of the policies `0000`, `0001`, …
    #[expect(
        clippy::option_option,
        reason = "a policy that has not decided is not one that wants nothing"
    )]
    fn quarantined(
        now: Now,
        decisions: &[Option<Option<Waiting>>],
        before: Option<(Status, ReleaseReason)>,
    ) -> Option<String> {
        let judged = Judged {
            contradicted: BTreeSet::new(),
            revision: None,
            judgement: judgement(0, decisions.len()),
            owner: Owner::Helm,
            of_each: Vec::new(),
        };
        let decided = decisions.iter().enumerate();
        let decided =
            decided.filter_map(|(number, decision)| Some((format!("{number:04}"), (*decision)?)));
        let release = Release {
            decisions: decided.collect(),
            ..Release::default()
        };
        let id = ReleaseId {
            namespace: "shop".into(),
            name: "web".into(),
        };
        let (trust, seal) = (Trust::default(), Seal::new(&[7; Seal::LENGTH]));
        let known = Known {
            id: &id,
            release: &release,
            judged: &judged,
            containment: &match now {
                Now::Contained => Containment::InForce,
                Now::Free => Containment::None,
                Now::Nothing => Containment::Nothing("ObjectRefused".to_owned()),
            },
            trust: &trust,
            seal: &seal,
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
        use Now::{Contained, Free, Nothing};
        use Waiting::{ForApproval, ForRoom, ForWorkloads, Refused};
        let [waits, held] = ["False/AwaitingApproval", "False/Released"].map(Some);
        let awaits = Some((Status::False, ReleaseReason::AwaitingApproval));
        let active = Some((Status::True, ReleaseReason::Active));
        let [nothing, approval, released] =
            [None, Some(ForApproval), Some(Waiting::Released(None))].map(Some);
        let [empty, room, refused] = [ForWorkloads, ForRoom, Refused].map(|one| Some(Some(one)));
        for (now, decisions, before, expected) in [
            (Contained, vec![], None, Some("True/Active")),
            (Contained, vec![released], awaits, Some("True/Active")),
            (Free, vec![nothing], awaits, None),
            (Free, vec![nothing, approval], None, waits),
            (Free, vec![released, approval], None, waits),
            (Free, vec![nothing, released], awaits, held),
            (
                Free,
                vec![nothing, empty],
                awaits,
                Some("False/NothingToContain"),
            ),
            (Free, vec![empty, released], None, held),
            // What was due and is not contained is told before what waits.
            (Free, vec![approval, room], None, Some("False/LimitReached")),
            (
                Free,
                vec![room, refused, released],
                None,
                Some("False/StartFailed"),
            ),
            (Nothing, vec![refused], active, Some("False/NotContained")),
            // As long as a policy has not decided, it stays as it was, but for what is over.
            (Free, vec![released, None], awaits, waits),
            (Free, vec![released, None], active, None),
            (Free, vec![approval, None], None, None),
        ] {
            let said = quarantined(now, &decisions, before);
            assert_eq!(said.as_deref(), expected, "{now:?} {decisions:?}");
        }
    }

    #[test]
    fn what_came_after_a_person_s_word_is_told() {
        let told = |at: Option<u64>, newest: u64| {
            let record = RecordId::Helm {
                driver: Driver::Secret,
                revision: newest,
            };
            let unread = Err((Cause::Pending, String::new()));
            let revision = crate::controllers::store::Revision {
                resource_version: "1".into(),
                content: unread,
                mark: crate::inventory::Mark::None,
            };
            let release = Release {
                revisions: [(record, revision)].into_iter().collect(),
                ..Release::default()
            };
            super::released(at, &release)
        };
        let same = "it is not started again for the same revocation";
        let of_seven = format!("a person has ended it at revision 7; {same}");
        assert_eq!(told(None, 7), format!("a person has ended it; {same}"));
        assert_eq!(told(Some(7), 7), of_seven);
        let later = format!("{of_seven}; revision 9 came after that");
        assert_eq!(told(Some(7), 9), later);
    }

    #[test]
    fn a_source_is_stale_after_two_intervals_at_the_moment_of_the_judgement() {
        let start = crate::clock::tick();
        let minutes = |count: u64| std::time::Duration::from_secs(60 * count);
        let poll = |failures| crate::controllers::store::PollState {
            last_asked: start,
            answering_since: start,
            every: minutes(30),
            failures,
            retry_after: None,
            requests: 0,
        };
        for (failures, at, fresh) in [
            (1, minutes(59), Status::True),
            (1, minutes(60), Status::False),
            (0, minutes(600), Status::True),
        ] {
            let polls = [("https://a.example.com".to_owned(), poll(failures))];
            let release = Release {
                polls: polls.into_iter().collect(),
                ..Release::default()
            };
            let ((status, _), _) = freshness(&release, start + at).unwrap();
            assert_eq!(status, fresh, "{failures} failures after {at:?}");
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
