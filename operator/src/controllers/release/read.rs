//! Reads the judged records of a release that are new or have changed.

use std::collections::BTreeMap;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::release::{HelmReleaseMark, Record, Status};
use charttrust_verify::verdict::Cause;
use tokio::time::Instant;

use super::contradiction::{self, Inside, OF_CHART, Outside};
use super::poll::{self, Next};
use crate::clock;
use crate::controllers::context::Context;
use crate::controllers::store::{Content, Release, Revision};
use crate::controllers::task::Task;
use crate::inventory::argocd::Unsaid;
use crate::inventory::helm::{Read, ReadError, RecordMeta, SeenRecord, Writer};
use crate::inventory::{Item, Mark, Published, RecordId, ReleaseId, Trace};

/// Reads what is new or has changed, drops what is judged no more, and plans the looks at sources.
///
/// In a queue of its own: no source that is slow keeps a record from being read and judged. `queued` is when it
/// was known that there is something to read.
pub(in crate::controllers) async fn read_changed(
    context: &Context,
    id: &ReleaseId,
    queued: Instant,
) {
    let judged = context.cache.records.judged(id);
    for (record, meta) in unread(context, id, &judged) {
        let item = Item {
            id: id.clone(),
            record: *record,
        };
        match record {
            RecordId::Application { .. } => take_in(context, &item),
            RecordId::Helm { .. } => read(context, &item, (meta, queued)).await,
        }
    }
    // What an Application has said stands while Applications cannot be read.
    let may_be_there = |record: &RecordId| match record {
        RecordId::Application { .. } => context.cache.records.applications.may_have(id),
        RecordId::Helm { .. } => false,
    };
    context.store.update(id, |release| {
        release.keep(|record| judged.contains_key(record) || may_be_there(record));
    });
    context.queues.tasks.add(Task::Release(id.clone()));
    if poll::plan(context, id, queued) == Next::Later {
        // Nobody compares them in a moment.
        forget(context, id, judged.keys());
    }
}

/// Those of the judged records of a release that were not read as they are now.
fn unread<'a>(
    context: &Context,
    id: &ReleaseId,
    judged: &'a BTreeMap<RecordId, RecordMeta>,
) -> Vec<(&'a RecordId, &'a RecordMeta)> {
    context.store.inspect(id, |release| {
        let is_known = |record: &RecordId, meta: &RecordMeta| {
            let known = release.and_then(|release| release.revisions.get(record));
            known.is_some_and(|known| known.resource_version == meta.resource_version)
        };
        let unread = judged.iter();
        let unread = unread.filter(|(record, meta)| !is_known(record, meta));
        unread.collect()
    })
}

/// The records of a release that are to be read, as they were seen.
pub(super) fn to_read(context: &Context, id: &ReleaseId) -> Vec<SeenRecord> {
    let judged = context.cache.records.judged(id);
    let unread = unread(context, id, &judged).into_iter();
    let seen = unread.filter_map(|(record, meta)| {
        let (id, record) = (id.clone(), *record);
        Item { id, record }.seen(&meta.resource_version)
    });
    seen.collect()
}

fn forget<'a>(context: &Context, id: &ReleaseId, records: impl Iterator<Item = &'a RecordId>) {
    let keys = records.filter_map(|record| {
        let (id, record) = (id.clone(), *record);
        Item { id, record }.key()
    });
    keys.for_each(|key| drop(context.kept.take(&key)));
}

async fn read(context: &Context, item: &Item, (watched, queued): (&RecordMeta, Instant)) {
    let kept = (&context.kept, clock::tick());
    let content = match item
        .read(&context.client, &watched.resource_version, kept, Said::by)
        .await
    {
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
    let now = clock::tick();
    let since = queued.max(now.checked_sub(SHARED).unwrap_or(queued));
    let looked = deployers.look_again(&context.client, &mark, (since, now));
    if let Err(error) = looked.await {
        return read_later(context, item, &error);
    }
    let traces = deployers.of(&item.id, &mark).traces;
    // From the evidence of this moment: a key may have explained it since the reading began.
    context.store.update(&item.id, |release| {
        let revision = match content {
            Ok(read) => Revision {
                content: self::content(item, (&read, &traces), release),
                resource_version: read.meta.resource_version,
                mark,
            },
            Err(why) => Revision {
                content: Err((Cause::ReleaseUnreadable, format!("{}: {why}", item.record))),
                resource_version: watched.resource_version.clone(),
                mark,
            },
        };
        release.put(item.record, revision);
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
                Ok(said.content(&[], release))
            }
            Err(Unsaid::NotYet(why)) => Err((Cause::Pending, why.to_owned())),
            Err(Unsaid::Unclear(why)) => Err((Cause::ReleaseUnreadable, why.to_owned())),
        };
        let revision = Revision {
            content,
            resource_version: said.meta.resource_version,
            mark: Mark::None,
        };
        release.put(item.record, revision);
    });
}

fn read_later(context: &Context, item: &Item, error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(release = %item.id, error, "will retry");
    let records = &context.queues.records;
    records.add_at(item.id.clone(), clock::tick() + RETRY_READ);
}

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
    /// What to keep of it, when Flux says that it has done this with the chart. Evidence gathered for the same
    /// content, chart and version by another revision, or before a change of mere status, stays.
    fn content(self, traces: &[Trace], known: &Release) -> Content {
        let is_alike =
            |content: &&Content| content.digest == self.digest && content.chart == self.name;
        let alike: Vec<_> = known.contents().filter(is_alike).collect();
        let published = Published::of(&self.version, traces);
        let manifest = published.as_ref().and_then(|published| published.manifest);
        let version = match published {
            Some(published) => published.version,
            // What Flux has said before of the very same record, it may have forgotten.
            None => alike
                .iter()
                .find(|content| Published::may_be(&content.version, &self.version))
                .map_or_else(|| self.version.clone(), |content| content.version.clone()),
        };
        let same = alike.iter().find(|content| content.version == version);
        let evidence = same.map(|content| content.evidence.clone());
        let may_be_marked = self.version.contains('+');
        Content {
            chart: self.name,
            version,
            manifest,
            recorded: may_be_marked.then_some(self.version),
            digest: self.digest,
            evidence: evidence.unwrap_or_default(),
        }
    }
}

/// How old an answer may be that there is no such kind, where many records are read: no k3s takes on an object
/// of a new kind and has it installed so soon.
const SHARED: std::time::Duration = std::time::Duration::from_secs(1);

/// How long to wait after the API server did not give a record.
const RETRY_READ: std::time::Duration = std::time::Duration::from_secs(5);

/// What to keep of a record.
fn content(
    item: &Item,
    (read, traces): (&Read<Said>, &[Trace]),
    known: &Release,
) -> Result<Content, (Cause, String)> {
    match contradiction(item, read) {
        Some(message) => Err((Cause::ReleaseUnreadable, message)),
        None => Ok(read.taken.chart.clone().content(traces, known)),
    }
}

fn contradiction(item: &Item, read: &Read<Said>) -> Option<String> {
    let said = &read.taken;
    let inside = Inside {
        name: &said.name,
        revision: said.revision,
        status: said.status,
    };
    let outside = Outside {
        name: &item.id.name,
        revision: item.record.revision(),
        status: &read.meta.claimed_status,
    };
    contradiction::contradiction(inside, outside)
}

#[cfg(test)]
mod tests {
    use charttrust_verify::evidence::Answer;

    use super::*;
    use crate::controllers::testing::web;
    use crate::inventory::helm::Driver;
    use crate::inventory::manifest::Manifest;

    const RECORD: RecordId = RecordId::Helm {
        driver: Driver::Secret,
        revision: 1,
    };

    /// What is kept of a record of this version, when Flux says that it has deployed these manifests.
    fn kept(version: &str, manifests: &[Sha256Digest], known: &Release) -> Content {
        let revision = |digest: &Sha256Digest| Manifest::of_revision(&digest.to_string());
        let traces = manifests.iter().filter_map(revision).map(Trace::Manifest);
        kept_of(version, &traces.collect::<Vec<_>>(), known)
    }

    fn kept_of(version: &str, traces: &[Trace], known: &Release) -> Content {
        let item = Item {
            id: web(),
            record: RECORD,
        };
        let said = Said {
            name: "web".to_owned(),
            revision: 1,
            status: Status::Deployed,
            chart: Chart {
                name: "web".to_owned(),
                version: version.to_owned(),
                digest: Sha256Digest::of(b"content"),
            },
            helm_release: HelmReleaseMark::None,
        };
        let read = Read {
            meta: RecordMeta {
                resource_version: "1".to_owned(),
                claimed_status: "deployed".to_owned(),
            },
            writer: Writer::Helm,
            taken: said,
        };
        content(&item, (&read, traces), known).unwrap()
    }

    fn known(mut content: Content) -> Release {
        let evidence = &mut content.evidence;
        evidence.answers.insert("oci://a".into(), Answer::NotFound);
        let revision = Revision {
            resource_version: "1".to_owned(),
            content: Ok(content),
            mark: Mark::None,
        };
        let mut release = Release::default();
        release.revisions.insert(RECORD, revision);
        release
    }

    fn is_known(content: &Content) -> bool {
        content.evidence.answers.get("oci://a").is_some()
    }

    #[test]
    fn a_version_is_kept_without_the_mark_of_what_flux_has_deployed() {
        let manifest = Sha256Digest::of(b"manifest");
        let digits = manifest.to_string();
        let marked = format!("1.0.0+{}", &digits[7..19]);
        let none = Release::default();
        let seen = |content: &Content| (content.version.clone(), content.manifest);
        let published = ("1.0.0".to_owned(), Some(manifest));
        let deployed = kept(&marked, &[manifest], &none);
        assert_eq!(seen(&deployed), published);
        // Of another, or before Flux has said of which, it is the publisher's own.
        let other = Sha256Digest::of(b"other");
        for manifests in [&[][..], &[other]] {
            assert_eq!(
                seen(&kept(&marked, manifests, &none)),
                (marked.clone(), None)
            );
        }
        let own = kept("1.0.0+build.7", &[manifest], &none);
        assert_eq!(seen(&own), ("1.0.0+build.7".to_owned(), None));
    }

    /// Whose `valuesFiles` are taken away later has deployed it with them.
    #[test]
    fn a_version_is_kept_without_the_number_that_flux_gives_what_it_packs_anew() {
        let none = Release::default();
        let repacked = kept_of("1.0.0+2", &[Trace::Repacked], &none);
        assert_eq!(
            (repacked.version.as_str(), repacked.manifest),
            ("1.0.0", None)
        );
        assert_eq!(kept_of("1.0.0+2", &[], &none).version, "1.0.0+2");
        let again = kept_of("1.0.0+2", &[], &known(repacked));
        assert!(again.version == "1.0.0" && is_known(&again));
    }

    /// Flux keeps few digests, and the operator may start anew.
    #[test]
    fn what_flux_has_forgotten_stands_in_what_is_known_of_the_same_record() {
        let manifest = Sha256Digest::of(b"manifest");
        let marked = format!("1.0.0+{}", &manifest.to_string()[7..19]);
        let release = known(kept(&marked, &[manifest], &Release::default()));
        for (manifests, digest) in [(&[][..], None), (&[manifest], Some(manifest))] {
            let again = kept(&marked, manifests, &release);
            assert_eq!((again.version.as_str(), again.manifest), ("1.0.0", digest));
            assert!(is_known(&again));
        }
        let other = kept("1.0.1+a1b2c3d4e5f6", &[], &release);
        assert_eq!(other.version, "1.0.1+a1b2c3d4e5f6");
        assert!(!is_known(&other));
    }

    #[test]
    fn what_was_answered_about_the_marked_version_is_nothing_about_the_published_one() {
        let manifest = Sha256Digest::of(b"manifest");
        let marked = format!("1.0.0+{}", &manifest.to_string()[7..19]);
        let release = known(kept(&marked, &[], &Release::default()));
        assert!(is_known(&kept(&marked, &[], &release)));
        assert!(!is_known(&kept(&marked, &[manifest], &release)));
    }
}
