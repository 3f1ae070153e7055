//! Reads the judged records of a release that are new or have changed.

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::release::Record;
use charttrust_verify::verdict::Cause;

use super::poll;
use crate::clock;
use crate::controllers::context::Context;
use crate::controllers::store::{Content, Release, Revision};
use crate::controllers::task::Task;
use crate::inventory::helm::{ReadError, RecordMeta};
use crate::inventory::{Item, RecordId, ReleaseId};

/// Reads what is new or has changed, drops what is judged no more, and plans the looks at sources.
///
/// In a queue of its own: no source that is slow keeps a record from being read and judged.
pub(in crate::controllers) async fn read_changed(context: &Context, id: &ReleaseId) {
    let judged = context.cache.records.judged(id);
    let known = context.store.release(id).unwrap_or_default();
    let is_known = |(record, meta): &(&RecordId, &RecordMeta)| {
        let known = known.revisions.get(record);
        known.is_some_and(|known| known.resource_version == meta.resource_version)
    };
    for (record, meta) in judged.iter().filter(|one| !is_known(one)) {
        let item = Item {
            id: id.clone(),
            record: *record,
        };
        read(context, &item, meta).await;
    }
    context.store.update(id, |release| {
        release
            .revisions
            .retain(|record, _| judged.contains_key(record));
        release.forget_witnesses(judged.len());
    });
    context.queues.tasks.add(Task::Release(id.clone()));
    poll::plan(context, id);
}

async fn read(context: &Context, item: &Item, watched: &RecordMeta) {
    match item.read(&context.client).await {
        Ok((meta, record)) => {
            let digest = record.content_digest();
            // From the evidence of this moment: a key may have explained it since the reading began.
            context.store.update(&item.id, |release| {
                let content = content(item, &meta, &record, digest, release);
                let revision = Revision {
                    resource_version: meta.resource_version,
                    content,
                };
                release.revisions.insert(item.record, revision);
            });
        }
        Err(ReadError::Gone) => {}
        Err(error @ (ReadError::Record(_) | ReadError::NoPayload | ReadError::OfChart(_))) => {
            let message = format!("{}: {error}", item.record);
            let revision = Revision {
                resource_version: watched.resource_version.clone(),
                content: Err((Cause::ReleaseUnreadable, message)),
            };
            let record = item.record;
            context.store.update(&item.id, |release| {
                release.revisions.insert(record, revision);
            });
        }
        Err(error @ ReadError::Api(_)) => {
            tracing::warn!(release = %item.id, error = &error as &dyn std::error::Error, "will retry");
            let records = &context.queues.records;
            records.add_at(item.id.clone(), clock::tick() + RETRY_READ);
        }
    }
}

/// How long to wait after the API server did not give a record.
const RETRY_READ: std::time::Duration = std::time::Duration::from_secs(5);

/// What to keep of a record. Evidence gathered for the same content, chart and version by another
/// revision, or before a change of mere status, stays.
fn content(
    item: &Item,
    meta: &RecordMeta,
    record: &Record,
    digest: Sha256Digest,
    known: &Release,
) -> Result<Content, (Cause, String)> {
    if let Some(message) = contradiction(item, meta, record) {
        return Err((Cause::ReleaseUnreadable, message));
    }
    let chart = record.chart.metadata.name.clone();
    let version = record.chart.metadata.version.clone();
    let same = known.contents().find(|content| {
        content.digest == digest && content.chart == chart && content.version == version
    });
    let evidence = same.map(|content| content.evidence.clone());
    Ok(Content {
        chart,
        version,
        digest,
        evidence: evidence.unwrap_or_default(),
    })
}

/// Name, labels and content of a record can disagree only by somebody's hand.
fn contradiction(item: &Item, meta: &RecordMeta, record: &Record) -> Option<String> {
    let RecordId::Helm { revision, .. } = item.record;
    let status = record.status.to_string();
    let facts = [
        ("name", record.name.clone(), item.id.name.clone()),
        (
            "revision",
            record.revision.to_string(),
            revision.to_string(),
        ),
        ("status", status, meta.claimed_status.clone()),
    ];
    let (what, inside, outside) = facts
        .into_iter()
        .find(|(_, inside, outside)| inside != outside)?;
    Some(format!(
        "revision {revision}: the record says {what} {inside:?}, its object {outside:?}"
    ))
}
