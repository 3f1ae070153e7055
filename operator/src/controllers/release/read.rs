//! Reads the judged records of a release that are new or have changed.

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::release::{HelmReleaseMark, Record, Status};
use charttrust_verify::verdict::Cause;

use super::poll;
use crate::api::bounds;
use crate::clock;
use crate::controllers::context::Context;
use crate::controllers::store::{Content, Release, Revision};
use crate::controllers::task::Task;
use crate::inventory::argocd::Unsaid;
use crate::inventory::helm::{Read, ReadError, RecordMeta, Writer};
use crate::inventory::{Item, Mark, RecordId, ReleaseId};

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
        match record {
            RecordId::Application { .. } => take_in(context, &item),
            RecordId::Helm { .. } => read(context, &item, meta).await,
        }
    }
    // What an Application has said stands while Applications cannot be read.
    let may_be_there = |record: &RecordId| match record {
        RecordId::Application { .. } => context.cache.records.applications.may_have(id),
        RecordId::Helm { .. } => false,
    };
    context.store.update(id, |release| {
        release
            .revisions
            .retain(|record, _| judged.contains_key(record) || may_be_there(record));
        release.forget_witnesses(judged.len());
    });
    context.queues.tasks.add(Task::Release(id.clone()));
    poll::plan(context, id);
}

async fn read(context: &Context, item: &Item, watched: &RecordMeta) {
    let content = match item.read(&context.client, Said::by).await {
        Ok(read) if read.writer == Writer::Chart => Err(OF_CHART.to_owned()),
        Ok(read) => Ok(read),
        Err(ReadError::Gone) => return,
        Err(error @ (ReadError::Record(_) | ReadError::NoPayload)) => Err(error.to_string()),
        Err(error @ ReadError::Api(_)) => return read_later(context, item, &error),
    };
    let mark = match &content {
        Ok(read) => Mark::from(read.taken.helm_release.clone()),
        Err(_) => Mark::None,
    };
    // Before it is judged: what is not known yet must not pass for absent.
    let deployers = &context.cache.deployers;
    if let Err(error) = deployers.look_again(&context.client, &mark).await {
        return read_later(context, item, &error);
    }
    // From the evidence of this moment: a key may have explained it since the reading began.
    context.store.update(&item.id, |release| {
        let revision = match content {
            Ok(read) => Revision {
                content: self::content(item, &read, release),
                resource_version: read.meta.resource_version,
                mark,
            },
            Err(why) => Revision {
                content: Err((Cause::ReleaseUnreadable, format!("{}: {why}", item.record))),
                resource_version: watched.resource_version.clone(),
                mark,
            },
        };
        release.revisions.insert(item.record, revision);
    });
}

/// What an Application says is known already.
fn take_in(context: &Context, item: &Item) {
    let mut said = context.cache.records.applications.said(&item.id);
    let Some(said) = said.remove(&item.record) else {
        return;
    };
    context.store.update(&item.id, |release| {
        let content = match said.chart {
            Ok((chart, version)) => {
                let said = Chart {
                    digest: Sha256Digest::of(format!("{}\n{chart}\n{version}", item.id).as_bytes()),
                    name: chart,
                    version,
                };
                Ok(said.content(release))
            }
            Err(Unsaid::NotYet(why)) => Err((Cause::Pending, why.to_owned())),
            Err(Unsaid::Unclear(why)) => Err((Cause::ReleaseUnreadable, why.to_owned())),
        };
        let revision = Revision {
            content,
            resource_version: said.meta.resource_version,
            mark: Mark::None,
        };
        release.revisions.insert(item.record, revision);
    });
}

fn read_later(context: &Context, item: &Item, error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(release = %item.id, error, "will retry");
    let records = &context.queues.records;
    records.add_at(item.id.clone(), clock::tick() + RETRY_READ);
}

const OF_CHART: &str = "the record was brought by a chart, not written by Helm: it has annotations that Helm \
                        puts on what a chart makes, or is immutable; remove that object, and see \
                        `helm history`";

/// What is read of a record before any source is asked.
struct Said {
    name: String,
    revision: i64,
    status: Status,
    chart: Chart,
    helm_release: HelmReleaseMark,
}

/// What evidence is about.
#[derive(Clone)]
struct Chart {
    name: String,
    version: String,
    digest: Sha256Digest,
}

impl Said {
    fn by(record: Record) -> Self {
        Self {
            chart: Chart {
                digest: record.content_digest(),
                name: record.chart.metadata.name,
                version: record.chart.metadata.version,
            },
            helm_release: record.helm_release,
            name: record.name,
            revision: record.revision,
            status: record.status,
        }
    }
}

impl Chart {
    /// What to keep of it. Evidence gathered for the same content, chart and version by another revision, or
    /// before a change of mere status, stays.
    fn content(self, known: &Release) -> Content {
        let same = known.contents().find(|content| {
            content.digest == self.digest
                && content.chart == self.name
                && content.version == self.version
        });
        let evidence = same.map(|content| content.evidence.clone());
        Content {
            chart: self.name,
            version: self.version,
            digest: self.digest,
            evidence: evidence.unwrap_or_default(),
        }
    }
}

/// How long to wait after the API server did not give a record.
const RETRY_READ: std::time::Duration = std::time::Duration::from_secs(5);

/// What to keep of a record.
fn content(item: &Item, read: &Read<Said>, known: &Release) -> Result<Content, (Cause, String)> {
    match contradiction(item, read) {
        Some(message) => Err((Cause::ReleaseUnreadable, message)),
        None => Ok(read.taken.chart.clone().content(known)),
    }
}

/// Name, labels and content of a record can disagree only by somebody's hand.
fn contradiction(item: &Item, read: &Read<Said>) -> Option<String> {
    let revision = item.record.revision();
    let said = &read.taken;
    let facts = [
        ("name", said.name.clone(), item.id.name.clone()),
        ("revision", said.revision.to_string(), revision.to_string()),
        (
            "status",
            said.status.to_string(),
            read.meta.claimed_status.clone(),
        ),
    ];
    let (what, inside, outside) = facts
        .into_iter()
        .find(|(_, inside, outside)| inside != outside)?;
    // Whoever writes a record may write megabytes there, and this is kept.
    let inside = bounds::fit(&inside, bounds::NAME);
    Some(format!(
        "revision {revision}: the record says {what} {inside:?}, its object {outside:?}"
    ))
}
