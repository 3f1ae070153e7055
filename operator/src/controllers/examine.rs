//! Reads a release's records and looks at the sources of the rules that decide about it.
//!
//! Reads only: the API server and the sources. What it learns goes into the world; the release
//! controller judges from there, so a revocation never waits for a slow source.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher as _};
use std::time::Duration;

use charttrust_verify::chart::{ArchiveError, Chart};
use charttrust_verify::check::{self, Case};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{
    Answer, ArchiveFacts, Bound, Claimed, Evidence, ProvenanceFacts,
};
use charttrust_verify::policy::{self, Level, ReleaseRef};
use charttrust_verify::release::Record;
use charttrust_verify::verdict::{Cause, Verdict};
use tokio::task;
use tokio::time::Instant;

use super::world::{Content, LookState, Release, Revision, Trust};
use super::{Context, Task, credentials};
use crate::clock;
use crate::inventory::ReleaseId;
use crate::inventory::helm::{self, Driver, ReadError, RecordKey, RecordMeta};
use crate::sources::{self, FetchError, Look, ProvenanceAnswer};

/// Brings what is known of a release up to date, and has it judged.
pub(super) async fn examine(context: &Context, id: &ReleaseId) {
    let begun = context.world.update(id, |release| release.requests);
    let mut fresh = read_changed(context, id).await;
    let trust = context.world.trust();
    let mut next_look = None;
    let sources = sources_of(context, &trust, id);
    forget_others(context, id, &sources);
    for (source, every) in sources {
        let due = due_at(context, id, &source.url, every);
        if due > Instant::now() {
            next_look = Some(earliest(next_look, due));
            continue;
        }
        look(context, &trust, id, &source, every, &mut fresh).await;
        next_look = Some(earliest(next_look, due_at(context, id, &source.url, every)));
    }
    context
        .world
        .update(id, |release| release.requests.answer(begun));
    context.queue.add(Task::Release(id.clone()));
    for policy in context.world.policy_requests.waiting_for(id) {
        context.queue.add(Task::PolicyStatus(policy));
    }
    if let Some(at) = next_look {
        context.examinations.add_at(id.clone(), at);
    }
}

/// What is not looked at any more is not told any more.
fn forget_others(context: &Context, id: &ReleaseId, sources: &BTreeMap<policy::Source, Duration>) {
    let named: BTreeSet<&String> = sources.keys().map(|source| &source.url).collect();
    context.world.update(id, |release| {
        release.looks.retain(|url, _| named.contains(url));
        release.notices.retain(|url, _| named.contains(url));
    });
}

/// A revision of a release.
pub(super) type Key = (Driver, u32);

/// Records decoded in this run, by revision; dropped at its end.
type Fresh = BTreeMap<Key, Record>;

/// Reads the judged revisions that are new or have changed, and drops those that are judged no
/// more.
async fn read_changed(context: &Context, id: &ReleaseId) -> Fresh {
    let mut fresh = Fresh::new();
    let judged = judged(context, id);
    let known = context.world.release(id).unwrap_or_default();
    for (key, meta) in &judged {
        let unchanged = |known: &Revision| known.resource_version == meta.resource_version;
        if known.revisions.get(key).is_some_and(unchanged) {
            continue;
        }
        match read(context, id, *key).await {
            Ok((meta, record)) => {
                let digest = record.content_digest();
                // From the evidence of this moment: a key may have explained it since the reading began.
                context.world.update(id, |release| {
                    let revision = revision(id, *key, meta, &record, digest, release);
                    release.revisions.insert(*key, revision);
                });
                keep(&mut fresh, *key, record);
            }
            Err(ReadError::Gone) => {}
            Err(error @ (ReadError::Record(_) | ReadError::NoPayload)) => {
                let content = Err((Cause::ReleaseUnreadable, unreadable(*key, &error)));
                let revision = Revision {
                    resource_version: meta.resource_version.clone(),
                    content,
                };
                context
                    .world
                    .update(id, |release| release.revisions.insert(*key, revision));
            }
            Err(error @ ReadError::Api(_)) => {
                tracing::warn!(release = %id, error = &error as &dyn std::error::Error, "will retry");
                context
                    .examinations
                    .add_at(id.clone(), Instant::now() + RETRY_READ);
            }
        }
    }
    context.world.update(id, |release| {
        release.revisions.retain(|key, _| judged.contains_key(key));
        release.forget_witnesses(judged.len());
    });
    fresh
}

/// Keeps a decoded record, but few at a time: each may take many megabytes.
fn keep(fresh: &mut Fresh, key: Key, record: Record) {
    if fresh.len() >= MOST_FRESH {
        fresh.clear();
    }
    fresh.insert(key, record);
}

/// Most decoded records that one run keeps; two revisions are judged while an upgrade is under way.
const MOST_FRESH: usize = 2;

/// How long to wait after the API server did not give a record.
const RETRY_READ: Duration = Duration::from_secs(5);

/// The stored revisions to judge, by what their metadata say.
pub(super) fn judged(context: &Context, id: &ReleaseId) -> BTreeMap<Key, RecordMeta> {
    let mut judged = BTreeMap::new();
    for driver in [Driver::Secret, Driver::ConfigMap] {
        let revisions = helm::revisions(context.records(driver), id, driver);
        for number in helm::judged(&revisions) {
            judged.extend(
                revisions
                    .get(&number)
                    .map(|meta| ((driver, number), meta.clone())),
            );
        }
    }
    judged
}

/// The newest of the revisions of each driver that would be judged, were there fewer.
pub(super) fn omitted(context: &Context, id: &ReleaseId) -> impl Iterator<Item = Key> {
    let newest = |driver| {
        let revisions = helm::revisions(context.records(driver), id, driver);
        helm::omitted(&revisions).map(|number| (driver, number))
    };
    [newest(Driver::Secret), newest(Driver::ConfigMap)]
        .into_iter()
        .flatten()
}

async fn read(
    context: &Context,
    id: &ReleaseId,
    (driver, revision): Key,
) -> Result<(RecordMeta, Record), ReadError> {
    helm::read(
        &context.client,
        &RecordKey {
            release: id.clone(),
            driver,
            revision,
        },
    )
    .await
}

fn unreadable((driver, number): Key, error: &ReadError) -> String {
    format!("revision {number} ({}): {error}", driver.word())
}

/// What to keep of a record. Evidence gathered for the same content, chart and version by another
/// revision, or before a change of mere status, stays.
fn revision(
    id: &ReleaseId,
    key: Key,
    meta: RecordMeta,
    record: &Record,
    digest: Sha256Digest,
    known: &Release,
) -> Revision {
    let content = contradiction(id, key, &meta, record).map_or_else(
        || Ok(kept(record, digest, known)),
        |message| Err((Cause::ReleaseUnreadable, message)),
    );
    Revision {
        resource_version: meta.resource_version,
        content,
    }
}

fn kept(record: &Record, digest: Sha256Digest, known: &Release) -> Content {
    let chart = record.chart.metadata.name.clone();
    let version = record.chart.metadata.version.clone();
    let same = known.contents().find(|content| {
        content.digest == digest && content.chart == chart && content.version == version
    });
    let evidence = same
        .map(|content| content.evidence.clone())
        .unwrap_or_default();
    Content {
        chart,
        version,
        digest,
        evidence,
    }
}

/// Name, labels and content of a record can disagree only by somebody's hand.
fn contradiction(
    id: &ReleaseId,
    (_, number): Key,
    meta: &RecordMeta,
    record: &Record,
) -> Option<String> {
    let status = record.status.to_string();
    let facts = [
        ("name", record.name.clone(), id.name.clone()),
        ("revision", record.revision.to_string(), number.to_string()),
        ("status", status, meta.claimed_status.clone()),
    ];
    let (what, inside, outside) = facts
        .into_iter()
        .find(|(_, inside, outside)| inside != outside)?;
    Some(format!(
        "revision {number}: the record says {what} {inside:?}, its object {outside:?}"
    ))
}

/// The sources to look at, each with the shortest interval of the policies that name it.
fn sources_of(
    context: &Context,
    trust: &Trust,
    id: &ReleaseId,
) -> BTreeMap<policy::Source, Duration> {
    let labels = context.namespace_labels(&id.namespace);
    let reference = ReleaseRef {
        namespace: &id.namespace,
        namespace_labels: labels.as_deref(),
        name: &id.name,
    };
    let release = context.world.release(id).unwrap_or_default();
    let mut sources = BTreeMap::new();
    for loaded in trust
        .policies
        .values()
        .filter(|loaded| !loaded.policy.suspended)
    {
        for content in release.contents() {
            let Some(Ok(rule)) = loaded.policy.rule_for(&reference, &content.chart) else {
                continue;
            };
            for source in rule
                .sources
                .iter()
                .filter(|_| rule.verify.level != Level::None)
            {
                let every = sources.entry(source.clone()).or_insert(loaded.interval);
                *every = loaded.interval.min(*every);
            }
        }
    }
    sources
}

/// Has these sources asked at once for every release that is looked up there: what they are asked
/// with has changed, so no pause after a failure and no interval holds.
pub(super) fn ask_again(context: &Context, sources: &[policy::Source]) {
    let trust = context.world.trust();
    for id in context.world.release_ids() {
        let named = sources_of(context, &trust, &id);
        let renewed = sources.iter().filter(|source| named.contains_key(*source));
        let renewed: Vec<_> = renewed.map(|source| source.url.clone()).collect();
        if !renewed.is_empty() {
            context
                .world
                .update(&id, |release| release.renewed.extend(renewed));
            context.examinations.add(id);
        }
    }
}

fn earliest(known: Option<Instant>, other: Instant) -> Instant {
    known.map_or(other, |known| known.min(other))
}

/// When a source is to be asked for a release: now if it has not answered about a judged content
/// yet, a look was asked for or its credentials have changed, after a pause if it failed, otherwise when the interval is over.
fn due_at(context: &Context, id: &ReleaseId, url: &str, every: Duration) -> Instant {
    let release = context.world.release(id).unwrap_or_default();
    let answered = release
        .contents()
        .all(|content| content.evidence.answers.contains_key(url));
    let trust = context.world.trust();
    let wants_text = release
        .contents()
        .any(|content| content.evidence.wants_text(url, &trust.keys));
    let is_forced = release.requests.are_open() || release.renewed.contains(url);
    match release.looks.get(url) {
        Some(state) if state.failures > 0 && !is_forced => {
            state.last_asked + pause(state.failures, every)
        }
        Some(state) if answered && !is_forced => state.last_asked + every,
        None if answered && !is_forced && !wants_text => Instant::now() + spread(id, every),
        _ => Instant::now(),
    }
}

/// After a start, looks are spread over one interval, for each release at a place of its own.
fn spread(id: &ReleaseId, every: Duration) -> Duration {
    let mut hasher = std::hash::DefaultHasher::new();
    id.hash(&mut hasher);
    let place = u32::try_from(hasher.finish() % 1000).unwrap_or_default();
    every * place / 1000
}

/// Exponential: 2 s, 4 s, 8 s … up to the interval or five minutes.
fn pause(failures: u32, every: Duration) -> Duration {
    let longest = every
        .min(Duration::from_secs(300))
        .max(Duration::from_secs(1));
    let exponent = failures.min(16);
    Duration::from_secs(1)
        .saturating_mul(1 << exponent)
        .min(longest)
}

/// One look at one source, for every judged content.
async fn look(
    context: &Context,
    trust: &Trust,
    id: &ReleaseId,
    source: &policy::Source,
    every: Duration,
    fresh: &mut Fresh,
) {
    let asked = Instant::now();
    context
        .world
        .update(id, |release| release.renewed.remove(&source.url));
    let resolved = credentials::resolve(context, source).await;
    let keys: Vec<Key> = context
        .world
        .release(id)
        .unwrap_or_default()
        .revisions
        .into_keys()
        .collect();
    let mut failure = false;
    for key in keys {
        let Some(content) = content(context, id, key) else {
            continue;
        };
        let answer = match &resolved {
            Ok(resolved) => ask(context, id, key, &content, resolved, fresh).await,
            Err(message) => unavailable(Cause::SourceUnavailable, message.clone()),
        };
        failure = failure || is_silence(&answer);
        absorb(context, trust, id, key, &content, source, answer);
    }
    context.metrics.looked(!failure);
    note_look(context, id, &source.url, asked, every, failure);
}

/// Whether the source, or the part of it that serves provenance, gave no answer.
fn is_silence(answer: &Answer) -> bool {
    match answer {
        Answer::Archive(facts) => matches!(facts.provenance, ProvenanceFacts::Unavailable { .. }),
        Answer::Unavailable { .. } => true,
        Answer::Ambiguous { .. } | Answer::NotFound => false,
    }
}

fn content(context: &Context, id: &ReleaseId, key: Key) -> Option<Content> {
    context
        .world
        .release(id)?
        .revisions
        .remove(&key)?
        .content
        .ok()
}

async fn ask(
    context: &Context,
    id: &ReleaseId,
    key: Key,
    content: &Content,
    source: &sources::Source,
    fresh: &mut Fresh,
) -> Answer {
    let look = match context
        .fetcher
        .look(source, &content.chart, &content.version)
        .await
    {
        Ok(look) => look,
        Err(error) => return failed(&error),
    };
    let chart = match &look.archive.content {
        Ok(chart) => chart,
        Err(error) => return unreadable_archive(error),
    };
    let binding = match bound_before(content, &source.url, &chart.digest) {
        Some(binding) => binding,
        None => match record(context, id, key, content, fresh).await {
            // Large values take a while, for which other tasks shall not wait.
            Some(record) => task::block_in_place(|| Bound::compare(chart, record)),
            None => return unavailable(Cause::Pending, "the record changed meanwhile".into()),
        },
    };
    Answer::Archive(Box::new(facts(content, &look, chart, binding)))
}

/// The result of an earlier comparison of the same content with the same archive.
fn bound_before(content: &Content, url: &str, digest: &Sha256Digest) -> Option<Bound> {
    match content.evidence.answers.get(url) {
        Some(Answer::Archive(facts)) if facts.digest == *digest => Some(facts.binding.clone()),
        _ => None,
    }
}

/// The record, as long as it still has the content that evidence is gathered for.
async fn record<'a>(
    context: &Context,
    id: &ReleaseId,
    key: Key,
    content: &Content,
    fresh: &'a mut Fresh,
) -> Option<&'a Record> {
    if !fresh.contains_key(&key) {
        keep(fresh, key, read(context, id, key).await.ok()?.1);
    }
    let record = fresh.get(&key)?;
    (record.content_digest() == content.digest).then_some(record)
}

fn facts(
    content: &Content,
    look: &Look<Result<Chart, ArchiveError>>,
    chart: &Chart,
    binding: Bound,
) -> ArchiveFacts {
    let claimed = Claimed {
        chart: &content.chart,
        version: &content.version,
    };
    ArchiveFacts {
        digest: chart.digest,
        name: chart.metadata.name.clone(),
        version: chart.metadata.version.clone(),
        binding,
        has_subcharts: !chart.subcharts.is_empty(),
        index_disagrees: look
            .claimed_digest
            .is_some_and(|index| index != look.archive.digest),
        provenance: provenance(&look.provenance, claimed),
        first_verified: None,
    }
}

fn provenance(answer: &ProvenanceAnswer, claimed: Claimed<'_>) -> ProvenanceFacts {
    match answer {
        ProvenanceAnswer::Malformed(message) => ProvenanceFacts::Malformed {
            message: (*message).to_owned(),
        },
        ProvenanceAnswer::Missing(_) => ProvenanceFacts::Missing,
        ProvenanceAnswer::Present(bytes) => ProvenanceFacts::read(bytes, claimed),
        ProvenanceAnswer::Unavailable(error) => ProvenanceFacts::Unavailable {
            cause: cause(error),
            message: error.to_string(),
        },
    }
}

fn failed(error: &FetchError) -> Answer {
    match error.cause() {
        sources::Cause::ChartNotFound => Answer::NotFound,
        sources::Cause::LimitExceeded | sources::Cause::SourceUnavailable => {
            unavailable(cause(error), error.to_string())
        }
    }
}

fn cause(error: &FetchError) -> Cause {
    match error.cause() {
        sources::Cause::LimitExceeded => Cause::LimitExceeded,
        sources::Cause::ChartNotFound | sources::Cause::SourceUnavailable => {
            Cause::SourceUnavailable
        }
    }
}

fn unavailable(cause: Cause, message: String) -> Answer {
    Answer::Unavailable { cause, message }
}

fn unreadable_archive(error: &ArchiveError) -> Answer {
    match error {
        ArchiveError::Ambiguous(_) => Answer::Ambiguous {
            message: error.to_string(),
        },
        ArchiveError::TooLarge { .. } => unavailable(Cause::LimitExceeded, error.to_string()),
        _ => unavailable(Cause::SourceUnavailable, error.to_string()),
    }
}

/// Takes an answer into the evidence of a content, unless the record has changed meanwhile.
fn absorb(
    context: &Context,
    trust: &Trust,
    id: &ReleaseId,
    key: Key,
    content: &Content,
    source: &policy::Source,
    answer: Answer,
) {
    let labels = context.namespace_labels(&id.namespace);
    let reference = ReleaseRef {
        namespace: &id.namespace,
        namespace_labels: labels.as_deref(),
        name: &id.name,
    };
    let verdicts = |evidence: &Evidence| -> Vec<Verdict> {
        let mut evidence = evidence.clone();
        let now = clock::now();
        evidence.learn(&trust.keys, now);
        let case = Case {
            release: reference,
            chart: &content.chart,
            version: &content.version,
            evidence: &evidence,
        };
        let judgement = check::judge(&case, &trust.judged_by, &trust.keys, now);
        judgement
            .policies
            .iter()
            .map(|policy| policy.verdict)
            .collect()
    };
    context.world.update(id, |release| {
        let Some(Revision {
            content: Ok(known), ..
        }) = release.revisions.get_mut(&key)
        else {
            return;
        };
        if known.digest != content.digest {
            return;
        }
        let notices = known.evidence.absorb(&source.url, answer, verdicts);
        // Read under the lock, so that a key is not missed that came while the source was asked.
        let keys = context.world.trust().keys;
        known.evidence.learn(&keys, clock::now());
        release.notices.insert(source.url.clone(), notices);
    });
}

fn note_look(
    context: &Context,
    id: &ReleaseId,
    url: &str,
    asked: Instant,
    every: Duration,
    failed: bool,
) {
    context.world.update(id, |release| {
        let before = release.looks.get(url);
        let answering_since = match before {
            Some(before) if failed => before.answering_since,
            _ => asked,
        };
        let failures = match before {
            Some(before) if failed => before.failures.saturating_add(1),
            _ => u32::from(failed),
        };
        let state = LookState {
            last_asked: asked,
            answering_since,
            every,
            failures,
        };
        release.looks.insert(url.to_owned(), state);
    });
}
