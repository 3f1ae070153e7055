//! Objects that are still contained though their Quarantine is gone: what they carry is all there
//! is, and enough to restore them.

use std::collections::BTreeMap;
use std::fmt;

use json_patch::PatchOperation;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client};
use serde_json::Value;

use super::actions::{is_applied, restoration, return_of_fields};
use super::annotation::{Annotation, Carried};
use super::apply::{WriteError, change_by, delete_by};
use super::resources::{self, is_unknown, json_of, named, policies_in};
use super::target::{self, TARGETS, Target};
use super::write::Precondition;
use super::{application, fields, pods, policies};
use crate::inventory::ReleaseId;
use crate::inventory::argocd;
use crate::watch::{ObjectName, within_deadline};

/// An object that carries our annotation.
#[derive(Clone, Debug)]
pub struct Marked {
    /// Kind.
    pub kind: &'static str,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What it carries; `None` if that cannot be read.
    pub annotation: Option<Annotation>,
    live: Value,
    made: Made,
}

/// What was made of it.
#[derive(Clone, Copy, Debug)]
enum Made {
    /// It was changed.
    Changed(&'static Target),
    /// It was created.
    Created,
}

/// Every object that carries our annotation: what can be contained, and the policies that deny its
/// traffic. `only` those of one release, whose deployers may lie in any namespace.
///
/// # Errors
/// If the API server does not list one of the kinds; one that it does not know has no objects.
pub async fn marked(client: &Client, only: Option<&ReleaseId>) -> kube::Result<Vec<Marked>> {
    let mut found = Vec::new();
    // What an Argo CD Application deploys may lie in any namespace.
    let near = if only.is_some_and(application::may_be) {
        Reach::Cluster
    } else {
        Reach::Namespace
    };
    for live in listed(client, &resources::policy(), only, near).await? {
        found.extend(carrying(live, Made::Created));
    }
    for target in &TARGETS {
        let reach = if target.is_deployer() {
            Reach::Cluster
        } else {
            near
        };
        for live in listed(client, &resources::of(target), only, reach).await? {
            found.extend(carrying(live, Made::Changed(target)));
        }
    }
    found.retain(|one| only.is_none_or(|only| one.is_of(only)));
    Ok(found)
}

/// The Application of Argo CD that a release of this name would be.
pub fn application_of(release: &ReleaseId) -> Option<&str> {
    application::name(release)
}

/// Whether there is an Application of this name.
///
/// # Errors
/// If the API server does not say so. One that does not know the kind has none.
pub async fn has_application(client: &Client, namespace: &str, name: &str) -> kube::Result<bool> {
    let Some(target) = Target::of("argoproj.io", "Application") else {
        return Ok(false);
    };
    let resource = resources::of(target);
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
    let found = within_deadline(api.get_opt(name)).await?;
    Ok(found.is_some())
}

/// As what a release is contained: itself, or, if it is a further chart of an Application, that as a whole.
///
/// # Errors
/// If the API server does not say whether there is such an Application.
pub async fn whole_of(client: &Client, release: &ReleaseId) -> kube::Result<ReleaseId> {
    let further = application::name(release).and_then(|name| {
        let (application, position) = name.rsplit_once('.')?;
        position.parse::<u32>().ok().map(|_| (name, application))
    });
    let Some((name, application)) = further else {
        return Ok(release.clone());
    };
    let namespace = &release.namespace;
    let is_own = has_application(client, namespace, name).await?;
    if is_own || !has_application(client, namespace, application).await? {
        return Ok(release.clone());
    }
    Ok(argocd::release_of(&ObjectName {
        namespace: namespace.clone(),
        name: application.to_owned(),
    }))
}

/// Kinds that the cluster serves in other versions only, so that nobody can look for what of them is
/// contained.
///
/// # Errors
/// If the API server does not say what it serves.
pub async fn unserved(client: &Client) -> kube::Result<Vec<String>> {
    let all = within_deadline(client.list_api_groups()).await?;
    let served = all.groups.into_iter().map(|group| {
        let versions = group.versions.into_iter().map(|one| one.version);
        (group.name, versions.collect())
    });
    Ok(unknown(&served.collect()))
}

fn unknown(served: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let is_unknown = |target: &&Target| {
        let versions = served.get(target.group);
        versions.is_some_and(|versions| !versions.iter().any(|one| one == target.version))
    };
    let found = TARGETS.iter().filter(is_unknown);
    found
        .map(|target| format!("{} {}", target.api_version(), target.kind))
        .collect()
}

/// Where the objects of one release are looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reach {
    Cluster,
    Namespace,
}

async fn listed(
    client: &Client,
    resource: &ApiResource,
    only: Option<&ReleaseId>,
    reach: Reach,
) -> kube::Result<Vec<Value>> {
    let everywhere = Api::<DynamicObject>::all_with(client.clone(), resource);
    let Some(only) = only else {
        return all_of(&everywhere, resource).await;
    };
    let here = Api::namespaced_with(client.clone(), &only.namespace, resource);
    match reach {
        Reach::Namespace => all_of(&here, resource).await,
        Reach::Cluster => match all_of(&everywhere, resource).await {
            // Whoever may look at this namespace only restores what lies in it.
            Err(kube::Error::Api(status)) if status.is_forbidden() => all_of(&here, resource).await,
            found => found,
        },
    }
}

async fn all_of(api: &Api<DynamicObject>, resource: &ApiResource) -> kube::Result<Vec<Value>> {
    let named = |object| named(object, resource);
    match within_deadline(api.list(&ListParams::default())).await {
        Ok(list) => Ok(list.items.iter().map(named).collect()),
        Err(error) if is_unknown(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn carrying(live: Value, made: Made) -> Option<Marked> {
    let annotation = match readable(&live, made) {
        Carried::Annotation(annotation) => Some(*annotation),
        Carried::Nothing => return None,
        Carried::Unreadable => None,
    };
    let text = |name: &str| fields::text(&live, &["metadata", name]).map(str::to_owned);
    Some(Marked {
        kind: match made {
            Made::Changed(target) => target.kind,
            Made::Created => policies::KIND,
        },
        namespace: text("namespace").unwrap_or_default(),
        name: text("name")?,
        annotation,
        made,
        live,
    })
}

/// What an object carries that counts. What another object controls is never ours: its annotation is
/// a copy. A copy on an object that is stopped is for a person, as one that nobody can read.
fn readable(live: &Value, made: Made) -> Carried {
    let Made::Changed(target) = made else {
        return policies::made(live);
    };
    if is_copied_by_controller(live, target) {
        return Carried::Nothing;
    }
    match Annotation::left_on(live) {
        Carried::Nothing if is_copied(live) && target.is_held(live) => Carried::Unreadable,
        carried => carried,
    }
}

fn is_copied(live: &Value) -> bool {
    Annotation::carried(live) != Carried::Nothing
}

/// Deployments and `CronJobs` write their annotations on what they make.
fn is_copied_by_controller(live: &Value, target: &Target) -> bool {
    // To scale up an old ReplicaSet by its copy would start the very revision that was contained.
    matches!(target.kind, "Job" | "ReplicaSet") && pods::is_controlled(live)
}

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl Marked {
    /// Whether it belongs to a release: by its own marks, as the deployer that names it, or as the
    /// policy that was made for it.
    fn is_of(&self, release: &ReleaseId) -> bool {
        match self.made {
            Made::Changed(target) if !target.is_deployer() => {
                target::is_of_release(&self.live, release)
                    || application::is_named(&self.live, release)
            }
            Made::Changed(target) => target::deploys(&self.live, target, release),
            Made::Created => policies::is_of(&self.live, release),
        }
    }

    /// What happens when it is put back, beyond that it runs again.
    pub fn on_return(&self) -> Option<&'static str> {
        match self.made {
            Made::Changed(target) => target.on_return(&self.live),
            Made::Created => None,
        }
    }

    /// Whether it was made for a quarantine, and so goes with it.
    pub fn is_created(&self) -> bool {
        matches!(self.made, Made::Created)
    }

    /// Puts the object back as its annotation says, and gives back what we own of it. A field that
    /// others have changed since stays as it is. What has changed meanwhile is read again. What was
    /// made for the quarantine is deleted.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was written by the patch that failed, and another run goes on.
    pub async fn restore(&self, client: &Client) -> Result<(), WriteError> {
        let Some(annotation) = &self.annotation else {
            return Ok(());
        };
        match self.made {
            Made::Changed(target) => self.put_back(client, target, annotation).await,
            Made::Created => {
                let api = policies_in(client, &self.namespace);
                let precondition = Precondition::of(&self.live);
                delete_by(&api, &self.name, &precondition, self.to_string()).await
            }
        }
    }

    async fn put_back(
        &self,
        client: &Client,
        target: &Target,
        annotation: &Annotation,
    ) -> Result<(), WriteError> {
        let api = Api::namespaced_with(client.clone(), &self.namespace, &resources::of(target));
        let what = format!("{} {}", self.kind, self.name);
        let mut live = self.live.clone();
        for _ in 0..TRIES {
            let Some(operations) = next(target, &live, annotation) else {
                return Ok(());
            };
            match change_by(&api, &self.name, &operations, what.clone()).await {
                Ok(changed) => live = changed,
                Err(error @ WriteError::Changed(..)) => {
                    let Some(again) = read(&api, &self.name, &what).await? else {
                        return Ok(());
                    };
                    if Precondition::of(&again) == Precondition::of(&live) {
                        // It is as it was, so this is no conflict: the server refuses it.
                        return Err(error);
                    }
                    live = again;
                }
                Err(error) => return Err(error),
            }
        }
        Err(WriteError::Changed(what, None))
    }
}

/// The next patch: value and annotation together, then who owns what.
fn next(target: &Target, live: &Value, annotation: &Annotation) -> Option<Vec<PatchOperation>> {
    match Annotation::of(live) {
        Carried::Annotation(carried) if *carried == *annotation => {
            let original = if target.is_held(live) && !is_applied(live, target) {
                annotation.original.clone().into_value()
            } else {
                target.value(live).cloned()
            };
            Some(restoration(live, target, annotation, original))
        }
        Carried::Nothing => return_of_fields(live, target, &annotation.owners),
        Carried::Annotation(_) | Carried::Unreadable => None,
    }
}

/// How often an object is read again that others write at the same time.
const TRIES: usize = 8;

async fn read(
    api: &Api<DynamicObject>,
    name: &str,
    what: &str,
) -> Result<Option<Value>, WriteError> {
    let found = within_deadline(api.get_opt(name)).await;
    let found = found.map_err(|source| WriteError::Api {
        what: format!("read {what}"),
        source,
    })?;
    Ok(found.map(|object| json_of(&object)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::original::Original;
    use super::*;

    /// We have written the annotation.
    fn ours() -> Value {
        let name = format!("f:{}", super::super::ANNOTATION);
        let fields = json!({"f:metadata": {"f:annotations": {name: {}}}});
        json!([{"manager": "charttrust", "fieldsV1": fields}])
    }

    fn web(replicas: u32, annotation: &Annotation) -> Value {
        json!({
            "metadata": {"namespace": "shop", "name": "web", "uid": "w", "resourceVersion": "41",
                "managedFields": ours(),
                "annotations": {super::super::ANNOTATION: annotation.text()}},
            "spec": {"replicas": replicas},
        })
    }

    fn annotation(original: u32) -> Annotation {
        Annotation {
            incident: "manual/1".to_owned(),
            quarantine: "1".to_owned(),
            uid: Some("w".to_owned()),
            when_scaled: None,
            revision: None,
            time: "2026-11-18T00:00:00Z".to_owned(),
            original: Original::of(Some(&json!(original))),
            owners: Vec::new(),
        }
    }

    fn next(listed: &Value, live: &Value) -> Option<Value> {
        let target = Target::of("apps", "Deployment").unwrap();
        let marked = carrying(listed.clone(), Made::Changed(target)).unwrap();
        let operations = super::next(target, live, marked.annotation.as_ref().unwrap())?;
        Some(serde_json::to_value(operations).unwrap())
    }

    fn replicas(operations: &Value) -> Option<&Value> {
        let last = operations
            .as_array()
            .unwrap()
            .iter()
            .rfind(|one| one["path"] == "/spec/replicas");
        last.map(|one| &one["value"])
    }

    #[test]
    fn what_is_still_stopped_gets_back_what_it_carries() {
        let live = web(0, &annotation(3));
        let operations = next(&live, &live).unwrap();
        assert_eq!(replicas(&operations), Some(&json!(3)));
    }

    #[test]
    fn what_others_have_changed_stays() {
        let operations = next(&web(0, &annotation(3)), &web(7, &annotation(3))).unwrap();
        assert_eq!(replicas(&operations), Some(&json!(7)));
    }

    #[test]
    fn another_annotation_than_was_shown_restores_nothing() {
        assert_eq!(next(&web(0, &annotation(3)), &web(0, &annotation(9))), None);
    }

    #[test]
    fn a_kind_that_is_served_in_another_version_only_is_told() {
        let served = |versions: &[&str]| {
            let versions = versions.iter().map(|&one| one.to_owned()).collect();
            unknown(&BTreeMap::from([(
                "helm.toolkit.fluxcd.io".to_owned(),
                versions,
            )]))
        };
        assert_eq!(served(&["v2"]), Vec::<String>::new());
        assert_eq!(served(&["v2", "v3"]), Vec::<String>::new());
        assert_eq!(served(&["v3"]), ["helm.toolkit.fluxcd.io/v2 HelmRelease"]);
        assert_eq!(unknown(&BTreeMap::new()), Vec::<String>::new());
    }

    fn listed(kind: &str, change: impl Fn(&mut Value)) -> Option<Marked> {
        let mut object = web(0, &annotation(3));
        change(&mut object);
        let target = Target::of("apps", kind).unwrap();
        carrying(object, Made::Changed(target))
    }

    #[test]
    fn what_putting_back_will_do_is_said_before() {
        let target = Target::of("batch", "CronJob").unwrap();
        let mut object = web(0, &annotation(3));
        let told = |object: &Value| {
            let marked = carrying(object.clone(), Made::Changed(target)).unwrap();
            marked
                .on_return()
                .is_some_and(|told| told.contains("at once"))
        };
        assert!(told(&object));
        object["spec"]["startingDeadlineSeconds"] = json!(60);
        assert!(!told(&object));
        assert_eq!(listed("Deployment", |_| ()).unwrap().on_return(), None);
    }

    #[test]
    fn what_another_object_controls_is_nobodys_orphan() {
        let controlled = |object: &mut Value| {
            object["metadata"]["ownerReferences"] = json!([{"controller": true, "uid": "d"}]);
        };
        assert!(listed("ReplicaSet", |_| ()).is_some());
        assert!(listed("ReplicaSet", controlled).is_none());
    }

    #[test]
    fn a_copy_of_our_annotation_restores_nothing_and_is_told_of_what_is_stopped() {
        let made_again: fn(&mut Value) = |object| object["metadata"]["uid"] = json!("another");
        let undone: fn(&mut Value) = |object| {
            object["metadata"]["managedFields"][0]["manager"] = json!("kubectl-rollout");
        };
        for copied in [made_again, undone] {
            assert!(listed("Deployment", copied).unwrap().annotation.is_none());
            let running = listed("Deployment", |object| {
                copied(object);
                object["spec"]["replicas"] = json!(3);
            });
            assert!(running.is_none());
        }
    }
}
