//! Which releases have anything that a quarantine would hold: workloads that carry their marks, or a
//! deployer that names them. Reads only names and marks.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::application::{self, Application};
use super::fields;
use super::neighbourhood::Neighbourhoods;
use super::reading::{GatherError, list, select, unless_unknown};
use super::resources;
use super::target::{TARGETS, Target, deploys, is_of_release};
use crate::api::quarantine_words::QuarantineAction;
use crate::inventory::ReleaseId;
use crate::watch::each;

/// Those of the releases that hold nothing for sure. What cannot be found out of a release is taken for
/// something.
pub async fn empty(
    neighbourhoods: &Neighbourhoods,
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
        let Ok(marked) = workloads(neighbourhoods.client(), namespace, HELMS).await else {
            continue;
        };
        let is_empty = |release: &&&ReleaseId| !owns_any(marked.iter(), release);
        empty.extend(releases.iter().filter(is_empty).copied().cloned());
    }
    if !empty.is_empty() && actions.contains(&QuarantineAction::PauseDeployer) {
        retain_without_deployer(neighbourhoods, &mut empty).await;
    }
    empty
}

/// Those of the Applications that hold no workload for sure: none that they list carries their tracking id.
/// What cannot be found out of one is taken for something.
pub async fn empty_applications(
    neighbourhoods: &Neighbourhoods,
    releases: &BTreeSet<ReleaseId>,
) -> BTreeSet<ReleaseId> {
    let mut empty = BTreeSet::new();
    let target = Target::of("argoproj.io", "Application").filter(|_| !releases.is_empty());
    let Some(target) = target else {
        return empty;
    };
    let client = neighbourhoods.client();
    let mut all = Vec::new();
    for part in neighbourhoods.reach().parts() {
        let Ok(found) = list(client, &resources::of(target), part.namespace()).await else {
            return empty;
        };
        all.extend(found);
    }
    let mut by_namespace = BTreeMap::<String, Vec<(&ReleaseId, Application)>>::new();
    for release in releases {
        if let Some(object) = all.iter().find(|one| application::is_of(one, release)) {
            let application = Application::of(object, &all);
            let of_place = by_namespace.entry(application.destination.clone());
            of_place.or_default().push((release, application));
        }
    }
    by_namespace.retain(|namespace, _| neighbourhoods.reach().covers(namespace));
    for (namespace, applications) in by_namespace {
        let Ok(workloads) = workloads(client, &namespace, "").await else {
            continue;
        };
        let owns = |application: &Application, object: &Value| {
            application.owns(object) && !fields::is_being_deleted(object)
        };
        let is_empty = |(_, application): &&(&ReleaseId, Application)| {
            !workloads.iter().any(|object| owns(application, object))
        };
        let found = applications.iter().filter(is_empty);
        empty.extend(found.map(|(release, _)| (*release).clone()));
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

async fn retain_without_deployer(neighbourhoods: &Neighbourhoods, empty: &mut BTreeSet<ReleaseId>) {
    let client = neighbourhoods.client();
    for target in TARGETS.iter().filter(|target| target.is_deployer()) {
        for part in neighbourhoods.reach().parts() {
            let deployed = |object: Value| {
                let of_it = empty.iter().filter(|one| deploys(&object, target, one));
                of_it.cloned().collect()
            };
            match select(client, &resources::of(target), part.namespace(), deployed).await {
                Ok(found) => empty.retain(|release| !found.contains(release)),
                // What cannot be listed could not be paused either.
                Err(error) if error.is_forbidden() => {}
                Err(_) => empty.clear(),
            }
        }
    }
}

/// Metadata of all workloads of a namespace that are labelled so. Without Helm's label none is one of a
/// release of Helm.
async fn workloads(
    client: &Client,
    namespace: &str,
    label: &str,
) -> Result<Vec<Value>, GatherError> {
    let mut found = Vec::new();
    for target in TARGETS.iter().filter(|target| target.is_workload()) {
        found.extend(labelled(client, &resources::of(target), namespace, label).await?);
    }
    Ok(found)
}

async fn labelled(
    client: &Client,
    resource: &ApiResource,
    namespace: &str,
    label: &str,
) -> Result<Vec<Value>, GatherError> {
    let api = &Api::<DynamicObject>::namespaced_with(client.clone(), namespace, resource);
    let params = ListParams::default().labels(label).limit(PAGE);
    let mut found = Vec::new();
    let page = |params| async move { api.list_metadata(&params).await };
    let take = |object: PartialObjectMeta<DynamicObject>| {
        // Invariant: what was read as JSON can be written as JSON.
        let metadata = serde_json::to_value(object.metadata).unwrap_or_default();
        // What lists metadata says of each object that it is metadata, and of an item of a list nothing.
        let (version, kind) = (&resource.api_version, &resource.kind);
        found.push(json!({"apiVersion": version, "kind": kind, "metadata": metadata}));
    };
    unless_unknown(resource, each(params, page, take).await)?;
    Ok(found)
}

const HELMS: &str = "app.kubernetes.io/managed-by=Helm";

/// Metadata of so many workloads are some hundred KiB.
const PAGE: u32 = 200;
