//! Reads what a quarantine is about. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use charttrust_verify::release::{Record, Status};
use jiff::{SignedDuration, Timestamp};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::{GroupVersionKind, PartialObjectMeta};
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use super::application;
use super::apply::{api_of, api_of_target, json_of, namespace_of, policies, resource};
use super::mark::{Carried, Mark};
use super::network::{self, Labels};
use super::plan::{self, Listed, Scene, Unlisted};
use super::step::View;
use super::target::{TARGETS, Target, is_of_release};
use super::trouble::Trouble;
use crate::api::Quarantine;
use crate::api::chart_trust_policy::QuarantineAction;
use crate::inventory::ReleaseId;
use crate::inventory::helm::{self, ReadError, RecordKey};
use crate::watch::within_deadline;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {what}")]
pub struct GatherError {
    what: String,
    source: kube::Error,
}

/// Reads the recorded objects, as they are.
///
/// # Errors
/// If the API server does not answer; what it says about one object is no error.
pub async fn live(client: &Client, view: &mut View) -> Result<(), GatherError> {
    let mut all = Vec::new();
    for index in 0..view.status.objects.len() {
        all.push(one(client, view, index).await?);
    }
    view.take_in(all);
    Ok(())
}

/// One recorded object, as it is, if it is there; or why nobody can tell.
///
/// # Errors
/// If the API server does not answer.
pub async fn one(
    client: &Client,
    view: &View,
    index: usize,
) -> Result<Result<Option<Value>, Trouble>, GatherError> {
    let Some(record) = view.status.objects.get(index) else {
        return Ok(Ok(None));
    };
    let Some(api) = api_of(client, view, record) else {
        return Ok(Err(Trouble::unread(UNKNOWN.to_owned())));
    };
    let error = match within_deadline(api.get(&record.name)).await {
        Ok(object) => return Ok(Ok(Some(named(&object, &record.api_version, &record.kind)))),
        Err(error) if is_missing(&error) => return Ok(Ok(None)),
        Err(error) if is_unknown(&error) => {
            let (version, kind) = (&record.api_version, &record.kind);
            let why = format!("the cluster does not serve {version} {kind}{WAY_OUT}");
            return Ok(Err(Trouble::unread(why)));
        }
        Err(error) => error,
    };
    let what = || format!("{} {}", record.kind, record.name);
    let trouble = Trouble::of_read(&error);
    trouble.map(Err).ok_or_else(|| GatherError {
        what: what(),
        source: error,
    })
}

const UNKNOWN: &str = "is of a kind that this version of charttrust does not contain; run the version \
                       that did";

/// What is gone with its kind cannot come back, but nobody can tell from here.
const WAY_OUT: &str =
    "; if it is gone for good, remove the finalizer charttrust.io/restore by hand";

/// Reads what is around our NetworkPolicies: others that allow what ours deny, and Pods of others that
/// ours select.
///
/// # Errors
/// If the API server does not answer.
pub async fn around(client: &Client, view: &mut View) -> Result<(), GatherError> {
    view.allowing = Vec::new();
    view.strangers = BTreeMap::new();
    let denials: Vec<(usize, Value)> = view
        .status
        .objects
        .iter()
        .enumerate()
        .filter(|(_, record)| record.action == QuarantineAction::IsolateNetwork)
        .filter_map(|(index, record)| {
            Some((
                index,
                serde_json::from_str(record.selector.as_deref()?).ok()?,
            ))
        })
        .collect();
    let Some((first, _)) = denials.first() else {
        return Ok(());
    };
    // All of a quarantine lie where its workloads do.
    let first = view.status.objects.get(*first);
    let namespace = first.map_or(view.release.namespace.as_str(), |first| {
        namespace_of(view, first)
    });
    let all = list(
        &policies(client, namespace),
        network::API_VERSION,
        network::KIND,
    )
    .await?;
    let pods = list(&core(client, namespace, "Pod", "pods"), "v1", "Pod").await?;
    let mut labels: Vec<Labels> = denials
        .iter()
        .map(|(_, selector)| network::labels(selector, &["matchLabels"]))
        .collect();
    for pod in &pods {
        let of_pod = network::labels(pod, &["metadata", "labels"]);
        if denials
            .iter()
            .any(|(_, one)| network::selects(Some(one), &of_pod))
        {
            labels.push(of_pod);
        }
    }
    view.allowing = network::allowing(&all, &labels, &view.uid);
    // What Argo CD deploys carries other marks.
    if !application::may_be(&view.release) && labels.len() > denials.len() {
        view.strangers = strangers(client, &view.release, &denials, pods).await?;
    }
    Ok(())
}

/// Pods of others that our policies select, by the place of the policy. Asked only where a policy
/// selects Pods at all.
async fn strangers(
    client: &Client,
    release: &ReleaseId,
    denials: &[(usize, Value)],
    pods: Vec<Value>,
) -> Result<BTreeMap<usize, String>, GatherError> {
    let scene = Scene {
        listed: Err(Unlisted::NotFound),
        workloads: Vec::new(),
        deployers: Vec::new(),
        autoscalers: Vec::new(),
        pods,
        between: of_kinds(client, &BETWEEN, &release.namespace).await?,
        makers: of_kinds(client, &MAKERS, &release.namespace).await?,
        gone: BTreeSet::new(),
    };
    let all = scene.makers.iter().chain(&scene.between);
    let ours: Vec<_> = all
        .filter(|object| is_of_release(object, release))
        .collect();
    let found = denials.iter().filter_map(|(index, selector)| {
        let stranger = plan::stranger(selector, &ours, &scene)?;
        Some((*index, stranger))
    });
    Ok(found.collect())
}

const BETWEEN: [&str; 2] = ["ReplicaSet", "Job"];
const MAKERS: [&str; 4] = ["CronJob", "DaemonSet", "Deployment", "StatefulSet"];

async fn of_kinds(
    client: &Client,
    kinds: &[&str],
    namespace: &str,
) -> Result<Vec<Value>, GatherError> {
    let mut found = Vec::new();
    for kind in kinds {
        found.extend(all_of(client, kind, Some(namespace)).await?);
    }
    Ok(found)
}

/// What there is around a release, for the plan. `records` are its judged revisions.
///
/// # Errors
/// If the API server does not answer; a kind that does not exist is no error.
pub async fn scene(
    client: &Client,
    release: &ReleaseId,
    records: &[RecordKey],
    actions: &[QuarantineAction],
    now: Timestamp,
) -> Result<Scene, GatherError> {
    let mut scene = Scene {
        listed: listed(client, records, now).await?,
        workloads: Vec::new(),
        deployers: deployers(client).await?,
        autoscalers: Vec::new(),
        pods: Vec::new(),
        between: Vec::new(),
        makers: Vec::new(),
        gone: BTreeSet::new(),
    };
    if scene.is_syncing(release, now, PATIENCE) {
        scene.listed = Err(Unlisted::Unfinished);
    }
    let home = scene.home(release);
    let namespace = home.namespace();
    let isolates = actions.contains(&QuarantineAction::IsolateNetwork);
    let stops = actions.contains(&QuarantineAction::ScaleToZero);
    let mut pods = Vec::new();
    let mut between = Vec::new();
    let mut makers = Vec::new();
    if isolates || stops {
        between = of_kinds(client, &BETWEEN, namespace).await?;
    }
    if isolates {
        pods = list(&core(client, namespace, "Pod", "pods"), "v1", "Pod").await?;
        makers = of_kinds(client, &MAKERS, namespace).await?;
    }
    let workloads = match scene.listed(&home) {
        Ok(listed) if listed.namespace == namespace => workloads(client, &listed).await?,
        _ => Vec::new(),
    };
    let autoscalers = autoscalers(client, namespace).await?;
    let gone = gone(client, workloads.iter().chain(&scene.deployers)).await?;
    Ok(Scene {
        workloads,
        autoscalers,
        pods,
        between,
        makers,
        gone,
        ..scene
    })
}

/// uids of Quarantines that objects carry and that are gone. Whoever may not list all of them cannot
/// tell.
async fn gone(
    client: &Client,
    objects: impl Iterator<Item = &Value>,
) -> Result<BTreeSet<String>, GatherError> {
    let mut carried: BTreeSet<String> = objects
        .filter_map(|object| match Mark::of(object) {
            Carried::Mark(mark) => Some(mark.quarantine),
            Carried::Nothing | Carried::Unreadable => None,
        })
        .collect();
    if carried.is_empty() {
        return Ok(carried);
    }
    let all = Api::<PartialObjectMeta<Quarantine>>::all(client.clone());
    match within_deadline(all.list_metadata(&ListParams::default())).await {
        Ok(all) => {
            for living in all.items.iter().filter_map(ResourceExt::uid) {
                carried.remove(&living);
            }
            Ok(carried)
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(BTreeSet::new()),
        Err(source) => Err(GatherError {
            what: "the list of Quarantines".to_owned(),
            source,
        }),
    }
}

/// What the judged revisions of a release list, together.
async fn listed(
    client: &Client,
    records: &[RecordKey],
    now: Timestamp,
) -> Result<Result<Listed, Unlisted>, GatherError> {
    let mut all: Option<Listed> = None;
    for key in records {
        let record = match helm::read(client, key).await {
            Ok((_, record)) => record,
            Err(ReadError::Gone) => continue,
            Err(ReadError::Api(source)) => {
                let what = format!("the release record {}", key.object_name());
                return Err(GatherError { what, source });
            }
            Err(error @ (ReadError::NoPayload | ReadError::Record(_))) => {
                let message = format!("{}: {error}", key.object_name());
                return Ok(Err(Unlisted::Unreadable(message)));
            }
        };
        if record.name != key.release.name {
            let message = format!("{} is a record of another release", key.object_name());
            return Ok(Err(Unlisted::Unreadable(message)));
        }
        if is_at_work(&record, now) {
            return Ok(Err(Unlisted::Unfinished));
        }
        let known = all.get_or_insert_with(|| Listed {
            namespace: record.namespace.clone(),
            ..Listed::default()
        });
        if known.namespace != record.namespace {
            let message = "its revisions name different namespaces".to_owned();
            return Ok(Err(Unlisted::Unreadable(message)));
        }
        known.unread = known.unread.saturating_add(record.unread_objects);
        known.revision = known.revision.max(u64::from(key.revision));
        for object in record.objects {
            if !known.objects.contains(&object) {
                known.objects.push(object);
            }
        }
    }
    Ok(all.ok_or(Unlisted::NotFound))
}

/// Whether Helm may be making what the record lists at this moment. It writes the record first, and
/// one that was killed leaves it so for ever: that is waited for only so long.
fn is_at_work(record: &Record, now: Timestamp) -> bool {
    let is_pending = matches!(
        record.status,
        Status::PendingInstall | Status::PendingRollback | Status::PendingUpgrade
    );
    let age = record.last_deployed.map(|since| now.duration_since(since));
    is_pending && age.is_some_and(|age| (SignedDuration::ZERO..PATIENCE).contains(&age))
}

const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// The listed workloads of the listed namespace. Whatever is listed is only looked at.
async fn workloads(client: &Client, listed: &Listed) -> Result<Vec<Value>, GatherError> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for object in listed.objects.iter().filter(|object| !object.generated) {
        let is_here = object
            .namespace
            .as_ref()
            .is_none_or(|n| *n == listed.namespace);
        let Some(target) = Target::of_manifest(object).filter(|_| is_here) else {
            continue;
        };
        if !seen.insert((target.kind, object.name.clone())) {
            continue;
        }
        let api = api_of_target(client, target, &listed.namespace);
        let live = within_deadline(api.get_opt(&object.name)).await;
        let what = || format!("{} {}", target.kind, object.name);
        let live = live.map_err(|source| GatherError {
            what: what(),
            source,
        })?;
        found.extend(live.map(|live| named(&live, &target.api_version(), target.kind)));
    }
    Ok(found)
}

/// Every deployer; the plan asks each whether it deploys the release.
async fn deployers(client: &Client) -> Result<Vec<Value>, GatherError> {
    let mut found = Vec::new();
    for kind in ["Application", "HelmChart", "HelmRelease"] {
        found.extend(all_of(client, kind, None).await?);
    }
    Ok(found)
}

async fn all_of(
    client: &Client,
    kind: &str,
    namespace: Option<&str>,
) -> Result<Vec<Value>, GatherError> {
    let Some(target) = TARGETS.iter().find(|target| target.kind == kind) else {
        return Ok(Vec::new());
    };
    let resource = resource(target);
    let api = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    list(&api, &target.api_version(), target.kind).await
}

async fn autoscalers(client: &Client, namespace: &str) -> Result<Vec<Value>, GatherError> {
    let kind = GroupVersionKind::gvk("autoscaling", "v2", "HorizontalPodAutoscaler");
    let resource = ApiResource::from_gvk_with_plural(&kind, "horizontalpodautoscalers");
    let api = Api::namespaced_with(client.clone(), namespace, &resource);
    list(&api, "autoscaling/v2", &kind.kind).await
}

fn core(client: &Client, namespace: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("", "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Everything of a kind, in pages. A kind that the server does not know has no objects.
async fn list(
    api: &Api<DynamicObject>,
    api_version: &str,
    kind: &str,
) -> Result<Vec<Value>, GatherError> {
    let mut found = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = match within_deadline(api.list(&params)).await {
            Ok(page) => page,
            Err(error) if is_unknown(&error) => return Ok(found),
            Err(source) => {
                let what = format!("the list of {kind}");
                return Err(GatherError { what, source });
            }
        };
        let objects = page.items.iter();
        found.extend(objects.map(|object| named(object, api_version, kind)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

const PAGE: u32 = 500;

/// Whether the server knows the kind, and no such object.
fn is_missing(error: &kube::Error) -> bool {
    let named = |status: &kube::core::Status| {
        let details = status.details.as_ref();
        details.is_some_and(|details| !details.name.is_empty())
    };
    matches!(error, kube::Error::Api(status) if status.is_not_found() && named(status))
}

/// Whether the server knows no such kind. It says so in plain text, so only the code tells.
pub(super) fn is_unknown(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Items of a list do not say what they are.
pub(super) fn named(object: &DynamicObject, api_version: &str, kind: &str) -> Value {
    let mut value = json_of(object);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("apiVersion".to_owned(), api_version.into());
        fields.insert("kind".to_owned(), kind.into());
    }
    value
}
