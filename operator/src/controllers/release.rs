//! Judges one release from what is known, and writes its `ReleaseTrust`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use charttrust_verify::check::{self, Case, Judgement, PolicyVerdict};
use charttrust_verify::evidence::Outcome;
use charttrust_verify::finding::{Finding, Note, Word};
use charttrust_verify::openpgp::Fingerprint;
use charttrust_verify::policy::ReleaseRef;
use charttrust_verify::verdict::{Cause, Class, Verdict};
use jiff::Timestamp;
use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::{Api, ResourceExt as _};
use tokio::time::Instant;

use super::key::LONGEST_WAIT;
use super::release_status::{self, Judged};
use super::watches::Ours;
use super::world::{Content, Release, Requests, Revision, Trust};
use super::written::Written;
use super::{Context, Error, Task, events, examine, quarantine};
use crate::api::release_trust::{ReleaseTrustSpec, ReleaseTrustStatus};
use crate::api::{REQUESTED_AT, ReleaseTrust, bounds};
use crate::clock;
use crate::inventory::ReleaseId;
use crate::inventory::helm::{self, Driver, RecordMeta};
use crate::watch::within_deadline;

/// Brings the `ReleaseTrust` of a release in line with what is known.
pub(super) async fn reconcile(context: &Context, id: &ReleaseId) -> Result<(), Error> {
    let found = context.mirrors.trusts.find(id);
    let existing = found.as_deref().and_then(|object| object.as_ref().ok());
    if has_no_record(context, id) {
        // An object that somebody made unreadable has no uid that we know, and goes as well.
        let this = found.as_ref().map(|_| Preconditions {
            uid: existing.and_then(ReleaseTrust::uid),
            resource_version: None,
        });
        return remove(context, id, this).await;
    }
    let release = context.world.release(id).unwrap_or_default();
    note_request(context, id, &release, existing);
    let trust = context.world.trust();
    let judged = evaluate(context, id, &release, &trust);
    schedule(context, id, &release);
    let old = before(&release, found.as_deref());
    if is_waiting(context, id, &judged) && old.is_some() {
        return Ok(());
    }
    let is_contained = quarantine::is_active(context, id);
    let concluded = release_status::Known {
        release: &release,
        judged: &judged,
        is_contained,
    };
    let status =
        release_status::conclude(id, old, &concluded, &trust, context.seal(), clock::now());
    note_judgement(context, id, &judged.judgement, release.judgings);
    if old == Some(&status) {
        return Ok(());
    }
    write(context, id, &release, existing, status.clone()).await?;
    let announced = events::of_release(old, &status, id, &judged.judgement, &trust);
    events::publish(context, announced).await;
    events::publish(context, events::of_quarantined(old, &status, id)).await;
    Ok(())
}

/// Has the release judged again when a signature ends: nothing else may happen then.
fn schedule(context: &Context, id: &ReleaseId, release: &Release) {
    let now = clock::now();
    if let Some(end) = next_end(release, now) {
        let wait = end.duration_since(now).unsigned_abs().min(LONGEST_WAIT);
        let task = Task::Release(id.clone());
        context.queue.add_at(task, Instant::now() + wait);
    }
}

fn next_end(release: &Release, now: Timestamp) -> Option<Timestamp> {
    let archives = release
        .contents()
        .flat_map(|content| content.evidence.archives());
    let signed = archives.filter_map(|(_, facts)| facts.signed());
    let ends = signed.flat_map(|signed| &signed.signatures);
    let ends = ends.filter_map(|signature| match &signature.outcome {
        Outcome::Verified(verified) => verified.expires(),
        Outcome::Fault(..) | Outcome::UnknownIssuer => None,
    });
    ends.filter(|end| *end > now).min()
}

/// Whether a look is under way for which the last verdict stands, but only so long: it was about
/// something else, and a source may never answer.
fn is_waiting(context: &Context, id: &ReleaseId, judged: &Judged) -> bool {
    let now = Instant::now();
    let since = context.world.update(id, |release| {
        if !judged.is_pending() {
            release.pending_since = None;
            return None;
        }
        Some(*release.pending_since.get_or_insert(now))
    });
    let Some(until) = since.map(|since| since + PATIENCE) else {
        return false;
    };
    if until > now {
        context.queue.add_at(Task::Release(id.clone()), until);
    }
    until > now
}

/// How long a verdict stands while what it was about has changed and was not looked at yet.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn has_no_record(context: &Context, id: &ReleaseId) -> bool {
    drivers(context, id) == 0
}

/// Whether both drivers hold records of a release. Helm itself uses one.
pub(super) fn has_two_records(context: &Context, id: &ReleaseId) -> bool {
    drivers(context, id) > 1
}

/// How many drivers hold records of a release.
fn drivers(context: &Context, id: &ReleaseId) -> usize {
    [Driver::Secret, Driver::ConfigMap]
        .into_iter()
        .filter(|driver| !helm::revisions(context.records(*driver), id, *driver).is_empty())
        .count()
}

/// What was last written: our own memory is newer than a watch that lags, unless somebody else has
/// written since. What cannot be read was written by somebody else.
fn before<'a>(
    release: &'a Release,
    existing: Option<&'a Ours<ReleaseTrust>>,
) -> Option<&'a ReleaseTrustStatus> {
    let object = match existing {
        Some(Ok(object)) => Some(object),
        Some(Err(_)) => return None,
        None => None,
    };
    let watched = object.and_then(|object| object.status.as_ref());
    match (&release.written, object) {
        (Some(written), Some(object))
            if written.is_older_than(object.resource_version().as_deref()) =>
        {
            watched
        }
        (Some(written), _) => Some(&written.status),
        (None, _) => watched,
    }
}

/// Judges every revision that may be live; the worst verdict wins.
fn evaluate(context: &Context, id: &ReleaseId, release: &Release, trust: &Trust) -> Judged {
    let labels = context.namespace_labels(&id.namespace);
    let newest_first = release.revisions.iter().rev();
    let mut judgements: Vec<_> = newest_first
        .map(|(key, revision)| (*key, judge(id, labels.as_ref(), revision, trust)))
        .collect();
    let judged = examine::judged(context, id).into_iter();
    let unread = judged.filter(|(key, meta)| is_unread(release.revisions.get(key), meta));
    judgements.extend(unread.map(|(key, _)| (key, pending())));
    // Told with a revision that was read, so that its evidence stays in the status.
    let newest = release.revisions.keys().next_back().copied();
    let omitted = examine::omitted(context, id).map(|key| (newest.unwrap_or(key), omitted(key)));
    judgements.extend(omitted);
    let worst = Verdict::worst(judgements.iter().map(|(_, judgement)| judgement.verdict));
    let Some(index) = judgements
        .iter()
        .position(|(_, j)| Some(j.verdict) == worst)
    else {
        return Judged {
            revision: None,
            judgement: pending(),
        };
    };
    let mut others = judgements;
    let (key, mut judgement) = others.remove(index);
    for (_, other) in &others {
        take_worse(&mut judgement.policies, other);
        take_in(&mut judgement.policies, &other.policies);
    }
    judgement.findings.extend(
        others
            .iter()
            .map(|(key, other)| other_revision(*key, other)),
    );
    judgement
        .findings
        .extend(release.notices.values().flatten().cloned());
    Judged {
        revision: Some(key),
        judgement,
    }
}

/// Each policy says the worst of what it says of any revision: it trusts again when it trusts all. What
/// no policy could judge is in doubt under each.
fn take_worse(policies: &mut [PolicyVerdict], other: &Judgement) {
    for said in policies {
        let same = other.policies.iter().find(|one| one.policy == said.policy);
        let doubt = other.policies.is_empty().then(|| PolicyVerdict {
            verdict: other.verdict,
            revocations: BTreeSet::new(),
            ..said.clone()
        });
        let other = same.cloned().or(doubt);
        let worst = other
            .as_ref()
            .and_then(|other| Verdict::worst([said.verdict, other.verdict]));
        if let (Some(other), Some(worst)) = (other, worst)
            && worst != said.verdict
        {
            *said = other;
        }
    }
}

/// What policies say that apply to another revision only: it may be of another chart.
fn take_in(policies: &mut Vec<PolicyVerdict>, others: &[PolicyVerdict]) {
    for other in others {
        if policies.iter().all(|said| said.policy != other.policy) {
            policies.push(other.clone());
        }
    }
    policies.sort_by(|one, other| one.policy.cmp(&other.policy));
}

fn other_revision((driver, number): (Driver, u32), judgement: &Judgement) -> Finding {
    let message = format!(
        "revision {number} ({}) is {}",
        driver.word(),
        judgement.verdict
    );
    Finding::new(Word::Note(Note::OtherRevision), message)
}

fn judge(
    id: &ReleaseId,
    labels: Option<&Arc<BTreeMap<String, String>>>,
    revision: &Revision,
    trust: &Trust,
) -> Judgement {
    let content = match &revision.content {
        Ok(content) => content,
        Err((cause, message)) => return doubt(*cause, message),
    };
    let Content {
        chart,
        version,
        evidence,
        ..
    } = content;
    let release = ReleaseRef {
        namespace: &id.namespace,
        namespace_labels: labels.map(AsRef::as_ref),
        name: &id.name,
    };
    let case = Case {
        release,
        chart,
        version,
        evidence,
    };
    check::judge(&case, &trust.judged_by, &trust.keys, clock::now())
}

fn doubt(cause: Cause, message: &str) -> Judgement {
    Judgement {
        verdict: Verdict::Unknown(cause),
        policies: Vec::new(),
        findings: vec![Finding::new(Word::Doubt(cause), message)],
    }
}

/// Whether a revision was not read yet, or was changed since. What it said before may be bad, but is
/// no reason to trust it.
fn is_unread(known: Option<&Revision>, meta: &RecordMeta) -> bool {
    let Some(known) = known else {
        return true;
    };
    let (read, watched) = (&known.resource_version, &meta.resource_version);
    match (read.parse::<u64>(), watched.parse::<u64>()) {
        // A watch that lags still has what we had read before.
        (Ok(read), Ok(watched)) => watched > read,
        _ => watched != read,
    }
}

/// A revision that is not judged because there are too many.
fn omitted((driver, number): (Driver, u32)) -> Judgement {
    let message = format!(
        "revision {number} ({}) and older ones may be live, but only {} are judged: remove the \
         records of failed revisions",
        driver.word(),
        helm::MOST_JUDGED
    );
    doubt(Cause::LimitExceeded, &message)
}

fn pending() -> Judgement {
    doubt(Cause::Pending, "the release was not read yet")
}

/// A changed annotation asks for a look at once.
fn note_request(
    context: &Context,
    id: &ReleaseId,
    release: &Release,
    existing: Option<&ReleaseTrust>,
) {
    let Some(asked) = existing.and_then(|object| object.annotations().get(REQUESTED_AT)) else {
        return;
    };
    let answered = existing
        .and_then(|object| object.status.as_ref())
        .and_then(|status| status.last_handled_reconcile_at.as_ref());
    // The answer is cut to what the schema allows.
    let is_answered = || answered == Some(&bounds::fit(asked, bounds::VERSION));
    let is_known = release.requested_at.as_ref();
    if !is_known.map_or_else(is_answered, |known| known == asked) {
        context.world.update(id, |release| {
            release.requested_at = Some(asked.clone());
            release.requests.ask();
        });
        context.examinations.add(id.clone());
    }
}

/// Keeps the judgement, and has those counted again whom it concerns.
fn note_judgement(context: &Context, id: &ReleaseId, judgement: &Judgement, begun: Requests) {
    let (before, then, now) = context.world.update(id, |release| {
        release.judgings.answer(begun);
        let now = release.good_signers();
        let then = std::mem::replace(&mut release.signers, now.clone());
        (release.judgement.replace(judgement.clone()), then, now)
    });
    if before.as_ref() == Some(judgement) {
        return count_again(context, &(&then ^ &now));
    }
    count_again(context, &(&then | &now));
    context.metrics.judged(judgement.verdict);
    context.look_at_quarantine(id);
    let before = before.iter().flat_map(|judgement| &judgement.policies);
    for policy in judgement.policies.iter().chain(before) {
        context.queue.add(Task::PolicyStatus(policy.policy.clone()));
    }
}

/// Has the keys count their releases that have, or had, signed one.
fn count_again(context: &Context, signers: &BTreeSet<Fingerprint>) {
    for (name, loaded) in context.world.trust().loaded.iter() {
        let fingerprint = loaded.fingerprint.as_ref();
        if fingerprint.is_some_and(|fingerprint| signers.contains(fingerprint)) {
            context.queue.add(Task::KeyStatus(name.clone()));
        }
    }
}

/// Writes the status, with the resource version it was concluded from as precondition.
async fn write(
    context: &Context,
    id: &ReleaseId,
    release: &Release,
    existing: Option<&ReleaseTrust>,
    status: ReleaseTrustStatus,
) -> Result<(), Error> {
    let api = Api::<ReleaseTrust>::namespaced(context.client.clone(), &id.namespace);
    let mut object = match existing {
        Some(existing) => existing.clone(),
        None => create(&api, id).await?,
    };
    let watched = object.resource_version();
    if let Some(ours) = release
        .written
        .as_ref()
        .filter(|w| !w.is_older_than(watched.as_deref()))
    {
        object.metadata.resource_version = Some(ours.resource_version.clone());
    }
    object.status = Some(status);
    object.metadata.managed_fields = None;
    let written = within_deadline(api.replace_status(&id.name, &parameters(), &object)).await;
    let written = written.map_err(|error| Error::Api("write the status of a release", error));
    if written.is_err() {
        // What the server has is not what we remember.
        context.world.update(id, |release| release.written = None);
    }
    let written = written?;
    let resource_version = written.resource_version().unwrap_or_default();
    let status = written.status.unwrap_or_default();
    context.world.update(id, |release| {
        release.written = Some(Written {
            resource_version,
            status,
        });
    });
    Ok(())
}

/// Creates the object, or takes the one that is there already, of which only the metadata count:
/// somebody may have written a status that cannot be read.
async fn create(api: &Api<ReleaseTrust>, id: &ReleaseId) -> Result<ReleaseTrust, Error> {
    let metadata = ObjectMeta {
        name: Some(id.name.clone()),
        namespace: Some(id.namespace.clone()),
        ..ObjectMeta::default()
    };
    let object = ReleaseTrust {
        metadata,
        status: None,
        spec: ReleaseTrustSpec::default(),
    };
    match within_deadline(api.create(&parameters(), &object)).await {
        Ok(created) => Ok(created),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let found = within_deadline(api.get_metadata(&id.name)).await;
            let found = found.map_err(|error| Error::Api("read a ReleaseTrust", error))?;
            Ok(ReleaseTrust {
                metadata: found.metadata,
                ..object
            })
        }
        Err(error) => Err(Error::Api("create a ReleaseTrust", error)),
    }
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(super::FIELD_MANAGER.into()),
        ..PostParams::default()
    }
}

/// The last record is gone, so the release is.
async fn remove(
    context: &Context,
    id: &ReleaseId,
    existing: Option<Preconditions>,
) -> Result<(), Error> {
    let known = context.world.release(id);
    if existing.is_some() {
        let api = Api::<ReleaseTrust>::namespaced(context.client.clone(), &id.namespace);
        let parameters = DeleteParams {
            preconditions: existing,
            ..Default::default()
        };
        match within_deadline(api.delete(&id.name, &parameters)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(Error::Api("remove a ReleaseTrust", error)),
        }
    }
    context.world.forget(id);
    context.look_at_quarantine(id);
    let policies = known
        .and_then(|release| release.judgement)
        .map(|judgement| judgement.policies);
    for policy in policies.unwrap_or_default() {
        context.queue.add(Task::PolicyStatus(policy.policy));
    }
    for (name, _) in context.world.trust().loaded.iter() {
        context.queue.add(Task::KeyStatus(name.clone()));
    }
    Ok(())
}

/// How a finding weighs for people: only badness and tampering are warnings.
pub(super) fn is_alarming(verdict: Verdict) -> bool {
    matches!(verdict.class(), Class::Badness | Class::Tampering)
}

impl Judged {
    /// Whether nothing can be said yet, only because sources were not asked.
    fn is_pending(&self) -> bool {
        self.judgement.verdict == Verdict::Unknown(Cause::Pending)
    }
}

#[cfg(test)]
mod tests {
    use charttrust_verify::digest::Sha256Digest;
    use charttrust_verify::evidence::{
        Answer, ArchiveFacts, Bound, Claim, Claims, Evidence, ProvenanceFacts, SignatureFacts,
        Signed, Witness,
    };
    use charttrust_verify::openpgp::{SignatureRecord, VerifiedSignature};
    use charttrust_verify::verdict::{Basis, Reason};
    use kube::{Client, Config};
    use serde_json::json;
    use wiremock::matchers::method;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::super::world::World;
    use super::*;

    #[test]
    fn each_policy_says_the_worst_of_all_revisions() {
        let said = |policy: &str, verdict| PolicyVerdict {
            policy: policy.to_owned(),
            rule: None,
            verdict,
            exempt_by: None,
            origin: None,
            revocations: BTreeSet::new(),
        };
        let trusted = Verdict::Trusted(Basis::SignatureVerified);
        let stolen = Verdict::Untrusted(Reason::KeyCompromised);
        let judgement = |policies: &[PolicyVerdict]| Judgement {
            verdict: stolen,
            policies: policies.to_vec(),
            findings: Vec::new(),
        };
        let mut newest = vec![said("a", trusted), said("b", stolen)];
        let older = [said("b", trusted), said("a", stolen)];
        take_worse(&mut newest, &judgement(&older));
        assert_eq!(newest, [said("a", stolen), said("b", stolen)]);

        let mut newest = vec![said("b", stolen)];
        take_in(&mut newest, &older);
        assert_eq!(newest, [said("a", stolen), said("b", stolen)]);

        let mut newest = vec![said("a", trusted), said("b", stolen)];
        let unread = doubt(Cause::ReleaseUnreadable, "no gzip");
        take_worse(&mut newest, &unread);
        assert_eq!(newest, [said("a", unread.verdict), said("b", stolen)]);
    }

    /// A release with an archive whose signatures end then.
    fn signed_until(ends: &[Option<&str>]) -> Release {
        let key: Fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap();
        let signature = |end: Option<&str>| SignatureFacts {
            claimed: Claim {
                fingerprint: Some(key.clone()),
                key_id: None,
                created: None,
                algorithm: "Ed25519/SHA512".into(),
            },
            outcome: Outcome::Verified(VerifiedSignature::restore(SignatureRecord {
                primary: key.clone(),
                signer: key.clone(),
                created: "2026-11-18T00:00:00Z".parse().unwrap(),
                expires: end.map(|end| end.parse().unwrap()),
                algorithm: "Ed25519".into(),
                hash: "SHA512".into(),
            })),
        };
        let digest = Sha256Digest::of(b"archive");
        let signed = Signed {
            digest: Sha256Digest::of(b"provenance"),
            claims: Claims {
                claimed_name: "web".into(),
                claimed_version: "1.0.0".into(),
                claimed_archive: Some(digest),
            },
            signatures: ends.iter().copied().map(signature).collect(),
            message: None,
        };
        let facts = ArchiveFacts {
            digest,
            name: "web".into(),
            version: "1.0.0".into(),
            binding: Bound::Same(Vec::new()),
            has_subcharts: false,
            index_disagrees: false,
            provenance: ProvenanceFacts::Signed(Box::new(signed)),
            first_verified: None,
        };
        let mut evidence = Evidence::default();
        let source = "https://charts.example.com".to_owned();
        evidence
            .answers
            .insert(source, Answer::Archive(Box::new(facts)));
        let content = Content {
            chart: "web".into(),
            version: "1.0.0".into(),
            digest: Sha256Digest::of(b"content"),
            evidence,
        };
        let mut release = Release::default();
        let revision = Revision {
            resource_version: "1".into(),
            content: Ok(content),
        };
        release.revisions.insert((Driver::Secret, 1), revision);
        release
    }

    #[test]
    fn a_release_is_judged_again_when_the_next_of_its_signatures_ends() {
        let (early, late) = ("2026-11-20T00:00:00Z", "2026-11-30T00:00:00Z");
        let release = signed_until(&[Some(late), None, Some(early)]);
        let next = |now: &str| {
            let end = next_end(&release, now.parse().unwrap());
            end.map(|end| end.to_string())
        };
        assert_eq!(next("2026-11-19T00:00:00Z").as_deref(), Some(early));
        assert_eq!(next(early).as_deref(), Some(late));
        assert_eq!(next(late), None);
    }

    /// When the archive of a release was first verified, as far as is known.
    fn first_verified(release: &Release) -> Option<String> {
        let mut archives = release
            .contents()
            .flat_map(|content| content.evidence.archives());
        let (_, facts) = archives.next().unwrap();
        facts.first_verified.map(|first| first.to_string())
    }

    fn date(release: &mut Release, first: Option<&str>) {
        let revision = release.revisions.get_mut(&(Driver::Secret, 1)).unwrap();
        let answers = &mut revision.content.as_mut().unwrap().evidence.answers;
        for answer in answers.values_mut() {
            if let Answer::Archive(facts) = answer {
                facts.first_verified = first.map(|first| first.parse().unwrap());
            }
        }
    }

    #[test]
    fn what_was_verified_before_a_restart_is_not_verified_for_the_first_time() {
        let world = World::default();
        let id = ReleaseId {
            namespace: "shop".into(),
            name: "web".into(),
        };
        let (before, now) = ("2026-09-01T00:00:00Z", "2026-11-20T00:00:00Z");
        let mut seen = signed_until(&[None]);
        date(&mut seen, Some(before));
        let told = seen.witnesses_beside(None);
        assert_eq!(told.len(), 1);
        let content = seen.contents().next();
        assert!(
            seen.witnesses_beside(content).is_empty(),
            "it is told there"
        );

        let look = |first: Option<&str>, witnesses: &BTreeSet<Witness>| {
            world.update(&id, |release| {
                *release = signed_until(&[None]);
                release.witnesses = witnesses.clone();
                date(release, first);
            });
            first_verified(&world.release(&id).unwrap())
        };
        assert_eq!(look(Some(now), &told).as_deref(), Some(before));
        assert_eq!(look(None, &told), None, "not verified by any key of now");
        assert_eq!(look(Some(now), &BTreeSet::new()).as_deref(), Some(now));
        let of_other = |mut witness: Witness| {
            witness.provenance = Sha256Digest::of(b"signed again by a thief");
            witness
        };
        let other = told.iter().copied().map(of_other).collect();
        assert_eq!(look(Some(now), &other).as_deref(), Some(now));

        look(Some(now), &told);
        let count = |judged: usize| {
            world.update(&id, |release| release.forget_witnesses(judged));
            world.release(&id).unwrap().witnesses.len()
        };
        assert_eq!(count(2), 1, "another revision may still need it");
        let answer = |answer: Option<Answer>| {
            world.update(&id, |release| {
                let revision = release.revisions.get_mut(&(Driver::Secret, 1)).unwrap();
                let source = "https://charts.example.com".to_owned();
                let answers = answer.map(|answer| (source, answer));
                revision.content.as_mut().unwrap().evidence.answers = answers.into_iter().collect();
            });
        };
        answer(None);
        assert_eq!(count(1), 1, "it was not looked at yet");
        answer(Some(Answer::Unavailable {
            cause: Cause::SourceUnavailable,
            message: String::new(),
        }));
        assert_eq!(count(1), 1, "the source is silent");
        look(Some(now), &told);
        assert_eq!(count(1), 0);
    }

    fn revision(resource_version: &str) -> Revision {
        Revision {
            resource_version: resource_version.into(),
            content: Err((Cause::ReleaseUnreadable, String::new())),
        }
    }

    #[test]
    fn a_revision_that_was_changed_since_is_not_judged_by_what_it_was() {
        for (read, watched, unread) in [
            ("10", "10", false),
            ("10", "9", false),
            ("9", "10", true),
            ("a", "a", false),
            ("a", "b", true),
        ] {
            let meta = RecordMeta {
                resource_version: watched.into(),
                claimed_status: "deployed".into(),
            };
            assert!(is_unread(None, &meta));
            let known = revision(read);
            assert_eq!(is_unread(Some(&known), &meta), unread, "{read} {watched}");
        }
    }

    #[test]
    fn what_we_wrote_does_not_stand_for_what_nobody_can_read() {
        let written = Written {
            resource_version: "7".into(),
            status: ReleaseTrustStatus::default(),
        };
        let release = Release {
            written: Some(written),
            ..Release::default()
        };
        assert!(before(&release, None).is_some());
        assert!(before(&release, Some(&Ok(ReleaseTrust::default()))).is_none());
        assert!(before(&release, Some(&Err("a forged time".into()))).is_none());
    }

    /// A time that the schema allows, and that no program can read.
    #[tokio::test]
    async fn a_status_that_nobody_can_read_is_written_over() {
        let server = MockServer::start().await;
        let exists = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 409,
            "reason": "AlreadyExists", "message": "it exists",
        });
        let forged = json!({
            "apiVersion": "charttrust.io/v1alpha1",
            "kind": "ReleaseTrust",
            "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "7"},
            "status": {"conditions": [{
                "type": "Trusted", "status": "True", "reason": "SignatureVerified",
                "observedGeneration": 1, "lastTransitionTime": "2026-11-18T00:00:00+99:99",
            }]},
        });
        for (verb, answer) in [
            ("POST", ResponseTemplate::new(409).set_body_json(exists)),
            ("GET", ResponseTemplate::new(200).set_body_json(forged)),
        ] {
            let mock = Mock::given(method(verb)).respond_with(answer);
            mock.mount(&server).await;
        }
        let client = Client::try_from(Config::new(server.uri().parse().unwrap())).unwrap();
        let api = Api::<ReleaseTrust>::namespaced(client, "shop");
        let id = ReleaseId {
            namespace: "shop".into(),
            name: "web".into(),
        };
        let found = create(&api, &id).await.expect("the object that is there");
        assert_eq!(found.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(found.status, None);
    }
}
