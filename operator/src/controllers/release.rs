//! Judges one release from what is known, and writes its `ReleaseTrust`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use charttrust_verify::check::{self, Case, Judgement};
use charttrust_verify::finding::{Finding, Note, Word};
use charttrust_verify::policy::ReleaseRef;
use charttrust_verify::verdict::{Cause, Class, Verdict};
use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::{Api, ResourceExt as _};
use tokio::time::Instant;

use super::release_status::{self, Judged};
use super::world::{Content, Release, Requests, Revision, Trust};
use super::written::Written;
use super::{Context, Error, Task, events, examine, quarantine};
use crate::api::release_trust::{ReleaseTrustSpec, ReleaseTrustStatus};
use crate::api::{REQUESTED_AT, ReleaseTrust};
use crate::clock;
use crate::inventory::ReleaseId;
use crate::inventory::helm::{self, Driver};
use crate::watch::within_deadline;

/// Brings the `ReleaseTrust` of a release in line with what is known.
pub(super) async fn reconcile(context: &Context, id: &ReleaseId) -> Result<(), Error> {
    let existing = context.mirrors.trusts.find(id);
    let existing = existing.as_deref().and_then(|object| object.as_ref().ok());
    if has_no_record(context, id) {
        return remove(context, id, existing).await;
    }
    let release = context.world.release(id).unwrap_or_default();
    note_request(context, id, &release, existing);
    let trust = context.world.trust();
    let judged = evaluate(context, id, &release, &trust);
    let old = before(&release, existing);
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
    [Driver::Secret, Driver::ConfigMap]
        .into_iter()
        .all(|driver| helm::revisions(context.records(driver), id, driver).is_empty())
}

/// What was last written: our own memory is newer than a watch that lags, unless somebody else has
/// written since.
fn before<'a>(
    release: &'a Release,
    existing: Option<&'a ReleaseTrust>,
) -> Option<&'a ReleaseTrustStatus> {
    let watched = existing.and_then(|object| object.status.as_ref());
    match (&release.written, existing) {
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
    let judged = examine::judged(context, id).into_keys();
    let unread = judged.filter(|key| !release.revisions.contains_key(key));
    judgements.extend(unread.map(|key| (key, pending())));
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
    if release.requested_at.as_ref().or(answered) != Some(asked) {
        context.world.update(id, |release| {
            release.requested_at = Some(asked.clone());
            release.requests.ask();
        });
        context.examinations.add(id.clone());
    }
}

/// Keeps the judgement, and has those counted again whom it concerns.
fn note_judgement(context: &Context, id: &ReleaseId, judgement: &Judgement, begun: Requests) {
    let before = context.world.update(id, |release| {
        release.judgings.answer(begun);
        release.judgement.replace(judgement.clone())
    });
    if before.as_ref() == Some(judgement) {
        return;
    }
    context.metrics.judged(judgement.verdict);
    context.look_at_quarantine(id);
    let before = before.iter().flat_map(|judgement| &judgement.policies);
    for policy in judgement.policies.iter().chain(before) {
        context.queue.add(Task::PolicyStatus(policy.policy.clone()));
    }
    let trust = context.world.trust();
    let release = context.world.release(id).unwrap_or_default();
    for (name, loaded) in trust.loaded.iter() {
        let signed = |fingerprint| {
            release
                .contents()
                .any(|content| content.evidence.good_signers().any(|f| f == fingerprint))
        };
        if loaded.fingerprint.as_ref().is_some_and(signed) {
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

/// Creates the object, or takes the one that is there already.
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
            let found = within_deadline(api.get(&id.name)).await;
            found.map_err(|error| Error::Api("read a ReleaseTrust", error))
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
    existing: Option<&ReleaseTrust>,
) -> Result<(), Error> {
    let known = context.world.release(id);
    if let Some(existing) = existing {
        let api = Api::<ReleaseTrust>::namespaced(context.client.clone(), &id.namespace);
        let preconditions = Preconditions {
            uid: existing.uid(),
            resource_version: None,
        };
        let parameters = DeleteParams {
            preconditions: Some(preconditions),
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
