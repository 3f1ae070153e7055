//! Reads the records of a first start, page by page: one more reader, in the order of the API server.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _};

use super::read::{read_changed, to_read};
use crate::clock::tick;
use crate::controllers::context::Context;
use crate::inventory::ReleaseId;
use crate::inventory::helm::{Packed, RecordKey, SeenRecord};
use crate::inventory::paged::{Page, page};
use crate::watch::Part;

/// From how many records on they are read by pages: below, all of the cluster are more than those.
const MANY: usize = 100;
/// How many of a page are read at a time.
const AT_A_TIME: usize = 8;

/// Reads by pages what is to be read, if that is much. What cannot be had so is read one by one, as everything else.
pub(in crate::controllers) async fn read_all(context: &Context) {
    // A page of the whole cluster is of others for the most part, and each of several replicas would read them all.
    if context.cache.reach.others().is_some() {
        return;
    }
    let releases = context.cache.records.releases();
    let wanted = releases.iter().flat_map(|id| to_read(context, id));
    if wanted.take(MANY).count() < MANY {
        return;
    }
    for part in context.cache.reach.parts() {
        if let Err(error) = read_part(context, &part).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "records are not read by pages, but one by one");
            return;
        }
    }
}

async fn read_part(context: &Context, part: &Part) -> kube::Result<()> {
    let mut here = page(&context.client, part, None).await?;
    loop {
        let Page { records, next } = here;
        let ahead = async {
            match next {
                Some(next) => page(&context.client, part, Some(next)).await.map(Some),
                None => Ok(None),
            }
        };
        let (ahead, ()) = futures::join!(ahead, Box::pin(take_in(context, records)));
        match ahead? {
            Some(next) => here = next,
            None => return Ok(()),
        }
    }
}

/// Reads the releases that these records are of, if nobody does already.
async fn take_in(context: &Context, records: Vec<(RecordKey, Packed)>) {
    let mut wanted = BTreeMap::<ReleaseId, Vec<SeenRecord>>::new();
    for (key, packed) in records {
        let id = &key.release;
        let seen = wanted
            .entry(id.clone())
            .or_insert_with(|| to_read(context, id));
        let is_it =
            |seen: &SeenRecord| seen.key == key && seen.resource_version == packed.version();
        if seen.iter().any(is_it) {
            context.kept.keep(&key, &packed, tick());
        }
    }
    wanted.retain(|_, seen| !seen.is_empty());
    let claimed = wanted
        .keys()
        .filter_map(|id| context.queues.records.claim(id));
    let claimed: Vec<_> = claimed.collect();
    let reading = stream::iter(claimed).for_each_concurrent(AT_A_TIME, |work| async move {
        read_changed(context, &work.item, work.due).await;
    });
    Box::pin(reading).await;
}
