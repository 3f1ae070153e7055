//! Which releases have anything that a quarantine would hold: workloads that carry their marks, or a
//! deployer that names them. Reads only names and marks.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client};
use serde_json::Value;

use super::fields;
use super::reading::{GatherError, select, unless_unknown};
use super::resources;
use super::target::{TARGETS, deploys, is_of_release};
use crate::api::quarantine_words::QuarantineAction;
use crate::inventory::ReleaseId;
use crate::watch::each;

/// Those of the releases that hold nothing for sure. What cannot be found out of a release is taken for
/// something.
pub async fn empty(
    client: &Client,
    releases: &BTreeSet<ReleaseId>,
    actions: &[QuarantineAction],
) -> BTreeSet<ReleaseId> {
    let mut by_namespace: BTreeMap<&str, Vec<&ReleaseId>> = BTreeMap::new();
    for release in releases {
        let all = by_namespace.entry(&release.namespace).or_default();
        all.push(release);
    }
    let mut empty = BTreeSet::new();
    for (namespace, releases) in by_namespace {
        let Ok(marked) = marked(client, namespace).await else {
            continue;
        };
        let is_empty = |release: &&&ReleaseId| !owns_any(marked.iter(), release);
        empty.extend(releases.iter().filter(is_empty).copied().cloned());
    }
    if !empty.is_empty() && actions.contains(&QuarantineAction::PauseDeployer) {
        retain_without_deployer(client, &mut empty).await;
    }
    empty
}

/// Whether any of these objects is of the release and stays, whatever the chart says of who controls
/// it: a claim hides nothing.
pub(super) fn owns_any<'a>(
    mut objects: impl Iterator<Item = &'a Value>,
    release: &ReleaseId,
) -> bool {
    objects.any(|object| is_of_release(object, release) && !fields::is_being_deleted(object))
}

async fn retain_without_deployer(client: &Client, empty: &mut BTreeSet<ReleaseId>) {
    for target in TARGETS.iter().filter(|target| target.is_deployer()) {
        let deployed = |object: Value| {
            let of_it = empty.iter().filter(|one| deploys(&object, target, one));
            of_it.cloned().collect()
        };
        match select(client, &resources::of(target), None, deployed).await {
            Ok(found) => empty.retain(|release| !found.contains(release)),
            // What cannot be listed could not be paused either.
            Err(error) if error.is_forbidden() => {}
            Err(_) => empty.clear(),
        }
    }
}

/// Metadata of all workloads of a namespace that are labelled as Helm's. Without the label none is one
/// of a release.
async fn marked(client: &Client, namespace: &str) -> Result<Vec<Value>, GatherError> {
    let mut found = Vec::new();
    for target in TARGETS.iter().filter(|target| target.is_workload()) {
        found.extend(labelled(client, &resources::of(target), namespace).await?);
    }
    Ok(found)
}

async fn labelled(
    client: &Client,
    resource: &ApiResource,
    namespace: &str,
) -> Result<Vec<Value>, GatherError> {
    let api = &Api::<DynamicObject>::namespaced_with(client.clone(), namespace, resource);
    let params = ListParams::default().labels(HELMS).limit(PAGE);
    let mut found = Vec::new();
    let page = |params| async move { api.list_metadata(&params).await };
    // Invariant: what was read as JSON can be written as JSON.
    let take = |object| found.push(serde_json::to_value(object).unwrap_or_default());
    unless_unknown(resource, each(params, page, take).await)?;
    Ok(found)
}

const HELMS: &str = "app.kubernetes.io/managed-by=Helm";

/// Metadata of so many workloads are some hundred KiB.
const PAGE: u32 = 200;
