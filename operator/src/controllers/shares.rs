//! What one part of the work tells the others, where several replicas share it: an entry of its own in the status of
//! each policy and signer, under a field manager of its own. Whoever holds the first range reads them all, and writes
//! the rest of those statuses.

use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::time::Duration;

use charttrust_verify::digest::Sha256Digest;
use kube::api::{Patch, PatchParams};
use kube::core::ClusterResourceScope;
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::context::Context;
use super::error::Error;
use super::life::{Dependents, NAMED};
use super::store::written::{LastWritten, Written};
use super::task::Task;
use crate::api::chart_trust_policy::ReleaseCounts;
use crate::api::manager_of;
use crate::api::shards::SignerShard;
use crate::clock::tick;
use crate::inventory::ReleaseId;
use crate::leader::Share;
use crate::watch::within_deadline;

/// The releases of a signer, here and elsewhere, and what is told of those elsewhere.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) releases: Dependents,
    pub(super) shards: Vec<SignerShard>,
}

/// The sum, for whoever writes the status; others tell their own part, and there is nothing more to do. `shown` is
/// what stands in the status, `last` what this process has told.
pub(super) async fn sum<K>(
    context: &Context,
    object: &K,
    own: BTreeSet<ReleaseId>,
    shown: Vec<SignerShard>,
    last: &LastWritten<SignerShard>,
) -> Result<Option<Sum>, Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
    K: Clone + Debug + DeserializeOwned,
{
    let Some(share) = &context.share else {
        return Ok(Some(Sum {
            releases: own.into(),
            shards: Vec::new(),
        }));
    };
    if share.range > 0 {
        let entry = entry_of(share, &own);
        let shown = shown.into_iter().find(|one| one.range == entry.range);
        tell(context, object, (shown, entry), last).await?;
        return Ok(None);
    }
    let shards: Vec<_> = shown
        .into_iter()
        .filter(|one| is_of(share, one.range))
        .collect();
    Ok(Some(summed(own, shards)))
}

fn summed(own: BTreeSet<ReleaseId>, shards: Vec<SignerShard>) -> Sum {
    let mut releases = Dependents::from(own);
    for shard in &shards {
        let named: BTreeSet<_> = shard
            .named
            .iter()
            .filter_map(|name| release(name))
            .collect();
        let count = usize::try_from(shard.releases).unwrap_or(usize::MAX);
        releases.more = releases
            .more
            .saturating_add(count.saturating_sub(named.len()));
        releases.named.extend(named);
    }
    Sum { releases, shards }
}

fn release(name: &str) -> Option<ReleaseId> {
    let (namespace, name) = name.split_once('/')?;
    Some(ReleaseId {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

fn entry_of(share: &Share, own: &BTreeSet<ReleaseId>) -> SignerShard {
    SignerShard {
        range: number(share.range),
        releases: number(own.len()),
        named: own.iter().take(NAMED).map(ToString::to_string).collect(),
    }
}

/// Whether such a number is that of a range of others, as they are cut now.
pub(super) fn is_of(share: &Share, range: u32) -> bool {
    usize::try_from(range).is_ok_and(|range| (1..share.of).contains(&range))
}

/// As a status holds it.
pub(super) fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Writes an entry of the list `shards` of a status, if it says anything else than before: what this process has
/// told last, or else what is `shown`.
pub(super) async fn tell<K, E>(
    context: &Context,
    object: &K,
    (shown, entry): (Option<E>, E),
    last: &LastWritten<E>,
) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
    K: Clone + Debug + DeserializeOwned,
    E: Clone + PartialEq + Serialize,
{
    let Some(share) = &context.share else {
        return Ok(());
    };
    let name = object.name_any();
    let told = last.find(&name, object.resource_version().as_deref());
    let before = told.map(|told| told.status).or(shown);
    if before.as_ref() == Some(&entry) {
        return Ok(());
    }
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "status": {"shards": [&entry]},
    });
    let params = PatchParams::apply(&manager_of(share.range)).force();
    let api = Api::<K>::all(context.client.clone());
    let answer = within_deadline(api.patch_status(&name, &params, &Patch::Apply(&body))).await;
    let version = answer
        .as_ref()
        .ok()
        .and_then(kube::ResourceExt::resource_version);
    let written = version.map(|resource_version| Written {
        resource_version,
        status: entry,
    });
    last.note(&name, written);
    match answer {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::Api(
            "tell the other replicas what was counted",
            error,
        )),
    }
}

/// Where several replicas share the work, an entry of another may be written between what was read of a status and
/// what is written of it. That is no failure: it is concluded anew, with that entry.
pub(super) fn unless_overtaken(
    context: &Context,
    task: Task,
    written: Result<(), Error>,
) -> Result<(), Error> {
    match &written {
        Err(Error::Api(_, kube::Error::Api(status)))
            if status.is_conflict() && context.share.is_some() =>
        {
            context.queues.tasks.add_at(task, tick() + AGAIN);
            Ok(())
        }
        _ => written,
    }
}

/// How soon a watch has told of what has overtaken a write.
const AGAIN: Duration = Duration::from_millis(300);

/// A digest of the signers that are judged by: equal where the same is known of the same.
pub(super) fn signers(context: &Context) -> String {
    let trust = context.store.trust();
    let mut text = String::new();
    let mut add = |what: &[&dyn Debug]| {
        // Invariant: a String takes everything.
        let _ = writeln!(text, "{what:?}");
    };
    for (name, loaded) in trust.loaded.iter() {
        // What a process counts by itself stands last; what it counts is compared instead.
        let details = loaded
            .reading
            .details
            .rsplit_once(' ')
            .map(|(shared, _)| shared);
        let learned = loaded.fingerprint.as_ref();
        let learned = learned.map(|key| context.store.learned.of(key));
        let learned = learned.map(|known| known.map(|known| serde_json::to_string(&known).ok()));
        add(&[&"key", name, &loaded.reading.generation, &details, &learned]);
    }
    for (name, loaded) in trust.public_keys.iter() {
        add(&[
            &"public key",
            name,
            &loaded.reading.generation,
            &loaded.reading.details,
        ]);
    }
    for (name, loaded) in trust.identities.iter() {
        add(&[
            &"identity",
            name,
            &loaded.reading.generation,
            &loaded.reading.details,
        ]);
    }
    Sha256Digest::of(text.as_bytes()).to_string()
}

impl Context {
    /// How the releases of a policy stand that others count, for whoever writes its status.
    pub(super) fn counted_elsewhere(&self, policy: &str) -> ReleaseCounts {
        let mut counts = ReleaseCounts::default();
        let share = self.share.as_ref().filter(|share| share.range == 0);
        let object = self.cache.policies.find(&policy.to_owned());
        let status = object
            .as_ref()
            .and_then(|object| object.as_ref().as_ref().ok()?.status.as_ref());
        if let (Some(share), Some(status)) = (share, status) {
            let others = status.shards.iter().filter(|one| is_of(share, one.range));
            others.for_each(|one| counts.add(&one.releases));
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ReleaseId {
        release(text).unwrap()
    }

    #[test]
    fn releases_of_others_are_counted_and_named_as_far_as_they_are_told() {
        let own = BTreeSet::from([id("shop/web")]);
        let others = vec![
            SignerShard {
                range: 1,
                releases: 7,
                named: vec!["bank/core".to_owned(), "bank/edge".to_owned()],
            },
            SignerShard {
                range: 2,
                ..SignerShard::default()
            },
        ];
        let sum = summed(own, others.clone());
        assert_eq!((sum.releases.count(), sum.releases.more), (8, 5));
        let named: Vec<_> = sum.releases.named.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["bank/core", "bank/edge", "shop/web"]);
        assert_eq!(sum.shards, others);
    }
}
