//! Argo CD Applications: releases without a record. What they have deployed stands in their status,
//! and carries their tracking id.

use charttrust_verify::release::ManifestObject;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::fields;
use super::listed::Listed;
use crate::inventory::ReleaseId;
use crate::inventory::argocd::{self, PREFIX};
use crate::watch::ObjectName;

/// An Application, as far as a quarantine needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Application {
    /// Where its objects lie.
    pub(super) destination: String,
    /// In which cluster, if it does not say that it is this one. It may be this one all the same: a cluster
    /// may be known by any address and name.
    pub(super) other_cluster: Option<String>,
    /// How tracking ids name it.
    names: Vec<String>,
    /// What it says that it has deployed.
    objects: Vec<ManifestObject>,
}

/// Whether a release of this name may be an Application.
pub(super) fn may_be(release: &ReleaseId) -> bool {
    release.name.starts_with(PREFIX)
}

/// The Application that a release of this name is, if it is one.
pub(super) fn name(release: &ReleaseId) -> Option<&str> {
    release.name.strip_prefix(PREFIX)
}

/// Whether an Application stands for this release.
pub(super) fn is_of(object: &Value, release: &ReleaseId) -> bool {
    let text = |name: &str| fields::text(object, &["metadata", name]).map(str::to_owned);
    let named = text("namespace").zip(text("name"));
    let application = named.map(|(namespace, name)| ObjectName { namespace, name });
    application.is_some_and(|application| argocd::release_of(&application) == *release)
}

/// Whether it is being synced at this moment, so that what it lists may not be there yet. One that
/// does not end is waited for only so long.
pub(super) fn is_at_work(object: &Value, now: Timestamp, patience: SignedDuration) -> bool {
    let state = |name: &str| fields::text(object, &["status", "operationState", name]);
    let started = state("startedAt").and_then(|time| time.parse::<Timestamp>().ok());
    let age = started.map(|started| now.duration_since(started));
    state("phase") == Some("Running")
        && age.is_some_and(|age| (SignedDuration::ZERO..patience).contains(&age))
}

/// What an orphaned object carries names this release. Only asked to put something back.
pub(super) fn is_named(object: &Value, release: &ReleaseId) -> bool {
    let Some(name) = name(release) else {
        return false;
    };
    let qualified = format!("{}_{name}", release.namespace);
    tracked_as(object).is_some_and(|tracked| tracked == name || tracked == qualified)
}

impl Application {
    /// The Application, by all of the cluster.
    pub(super) fn of(object: &Value, all: &[Value]) -> Self {
        let resources = fields::value(object, &["status", "resources"]).and_then(Value::as_array);
        let objects = resources.into_iter().flatten().filter_map(resource);
        let destination = |name: &str| fields::text(object, &["spec", "destination", name]);
        let is_other = |name: &&str| !HERE.contains(name);
        let cluster = destination("server").or_else(|| destination("name"));
        Self {
            destination: destination("namespace").unwrap_or_default().to_owned(),
            other_cluster: cluster.filter(is_other).map(str::to_owned),
            names: names(object, all),
            objects: objects.collect(),
        }
    }

    /// What it lists, as a record would.
    pub(super) fn listed(&self) -> Listed {
        Listed {
            namespace: self.destination.clone(),
            objects: self.objects.clone(),
            ..Listed::default()
        }
    }

    /// Whether it has deployed an object: it says so, and the object says so itself.
    pub(super) fn owns(&self, object: &Value) -> bool {
        self.tracks(object) && self.objects.iter().any(|listed| is(listed, object))
    }

    /// Whether the tracking id of an object names this Application.
    pub(super) fn tracks(&self, object: &Value) -> bool {
        tracked_as(object).is_some_and(|tracked| self.names.iter().any(|name| name == tracked))
    }

    /// Whether an object carries a tracking id that names this Application, its own or a copied one.
    pub(super) fn is_named_by(&self, object: &Value) -> bool {
        let id = fields::text(object, &["metadata", "annotations", TRACKING_ID]);
        let tracked = id.and_then(|id| id.split_once(':'));
        tracked.is_some_and(|(tracked, _)| self.names.iter().any(|name| name == tracked))
    }

    /// Whether it has deployed nothing but what is listed.
    pub(super) fn is_within(&self, listed: &Listed) -> bool {
        self.objects.iter().all(|object| {
            let same = |other: &ManifestObject| {
                let namespace = other.namespace.as_ref().unwrap_or(&listed.namespace);
                other.kind == object.kind
                    && other.name == object.name
                    && group(&other.api_version) == group(&object.api_version)
                    && object.namespace.as_ref().is_none_or(|own| own == namespace)
            };
            listed.objects.iter().any(same)
        })
    }
}

/// An entry of `status.resources`.
fn resource(entry: &Value) -> Option<ManifestObject> {
    let version = fields::text(entry, &["version"])?;
    let group = fields::text(entry, &["group"]).filter(|group| !group.is_empty());
    Some(ManifestObject {
        api_version: group.map_or(version.to_owned(), |group| format!("{group}/{version}")),
        kind: fields::text(entry, &["kind"])?.to_owned(),
        namespace: fields::text(entry, &["namespace"]).map(str::to_owned),
        name: fields::text(entry, &["name"])?.to_owned(),
        generated: false,
    })
}

/// `NAMESPACE_NAME`, which no other Application has, and `NAME` for one in Argo CD's own namespace.
/// Applications say themselves which namespace that is: if two of one name say so, it is neither.
fn names(object: &Value, all: &[Value]) -> Vec<String> {
    let text = |object: &Value, name: &str| {
        let text = fields::text(object, &["metadata", name]);
        text.unwrap_or_default().to_owned()
    };
    let is_of_controller_namespace = |object: &Value| {
        fields::text(object, &["status", "controllerNamespace"])
            == fields::text(object, &["metadata", "namespace"])
    };
    let (namespace, name) = (text(object, "namespace"), text(object, "name"));
    let is_rival = |other: &&Value| {
        is_of_controller_namespace(other)
            && text(other, "name") == name
            && text(other, "namespace") != namespace
    };
    let mut names = vec![format!("{namespace}_{name}")];
    if is_of_controller_namespace(object) && !all.iter().any(|other| is_rival(&other)) {
        names.push(name);
    }
    names
}

/// The Application that a tracking id names, if the id is that of the very object that carries it:
/// Argo CD takes no notice of ids that were copied with an object.
fn tracked_as(object: &Value) -> Option<&str> {
    let text = |path: &[&str]| fields::text(object, path);
    let (tracked, id) = text(&["metadata", "annotations", TRACKING_ID])?.split_once(':')?;
    let own = format!(
        "{}/{}:{}/{}",
        group(text(&["apiVersion"])?),
        text(&["kind"])?,
        text(&["metadata", "namespace"])?,
        text(&["metadata", "name"])?
    );
    (id == own).then_some(tracked)
}

fn is(listed: &ManifestObject, object: &Value) -> bool {
    let text = |path: &[&str]| fields::text(object, path);
    text(&["kind"]) == Some(&listed.kind)
        && text(&["apiVersion"]).map(group) == Some(group(&listed.api_version))
        && text(&["metadata", "namespace"]) == listed.namespace.as_deref()
        && text(&["metadata", "name"]) == Some(&listed.name)
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// What an Application calls the cluster that it lies in itself; without an address it names none.
const HERE: [&str; 3] = ["", "https://kubernetes.default.svc", "in-cluster"];

/// <https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/>
const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn release(namespace: &str, name: &str) -> ReleaseId {
        ReleaseId {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn application(namespace: &str, controller: &str) -> Value {
        json!({
            "metadata": {"namespace": namespace, "name": "shop"},
            "spec": {"destination": {"namespace": "web"}},
            "status": {
                "controllerNamespace": controller,
                "resources": [
                    {"version": "v1", "kind": "ConfigMap", "namespace": "web", "name": "a"},
                    {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "web",
                        "name": "a"},
                ],
            },
        })
    }

    fn deployment(tracking_id: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"namespace": "web", "name": "a",
                "annotations": {TRACKING_ID: tracking_id}},
        })
    }

    #[test]
    fn an_application_is_its_own_release() {
        let object = application("argocd", "argocd");
        assert!(is_of(&object, &release("argocd", "argocd.shop")));
        for other in [
            release("argocd", "shop"),
            release("argocd", "argocd.other"),
            release("tenant", "argocd.shop"),
        ] {
            assert!(!is_of(&object, &other), "{other}");
        }
        assert!(may_be(&release("argocd", "argocd.shop")));
        assert!(!may_be(&release("argocd", "shop")));
    }

    #[test]
    fn an_object_is_owned_if_both_sides_say_so() {
        let ours = application("argocd", "argocd");
        let owns = |tracking_id: &str| {
            Application::of(&ours, std::slice::from_ref(&ours)).owns(&deployment(tracking_id))
        };
        assert!(owns("shop:apps/Deployment:web/a"));
        assert!(owns("argocd_shop:apps/Deployment:web/a"));
        for copied in [
            "",
            "shop",
            "other:apps/Deployment:web/a",
            "tenant_shop:apps/Deployment:web/a",
            "shop:apps/Deployment:web/b",
            "shop:apps/Deployment:other/a",
            "shop:apps/StatefulSet:web/a",
            "shop:batch/Deployment:web/a",
        ] {
            assert!(!owns(copied), "{copied}");
        }
        let mut unlisted = deployment("shop:apps/Deployment:web/b");
        unlisted["metadata"]["name"] = json!("b");
        let ours = Application::of(&ours, std::slice::from_ref(&ours));
        assert!(ours.tracks(&unlisted) && !ours.owns(&unlisted));
    }

    #[test]
    fn what_carries_an_id_of_its_own_must_be_listed_as_it_is() {
        let ours = application("argocd", "argocd");
        let ours = Application::of(&ours, std::slice::from_ref(&ours));
        let owns = |api_version: &str, kind: &str, namespace: &str| {
            let group = group(api_version);
            let id = format!("shop:{group}/{kind}:{namespace}/a");
            let object = json!({
                "apiVersion": api_version, "kind": kind,
                "metadata": {"namespace": namespace, "name": "a",
                    "annotations": {TRACKING_ID: id}},
            });
            assert!(ours.tracks(&object), "{object}");
            ours.owns(&object)
        };
        assert!(owns("apps/v1", "Deployment", "web"));
        assert!(owns("apps/v1beta1", "Deployment", "web"));
        assert!(owns("v1", "ConfigMap", "web"));
        assert!(!owns("apps/v1", "StatefulSet", "web"));
        assert!(!owns("batch/v1", "Deployment", "web"));
        assert!(!owns("apps/v1", "Deployment", "bank"));
    }

    #[test]
    fn the_short_name_belongs_to_one_application_or_to_none() {
        let owns = |object: &Value, all: &[Value]| {
            let application = Application::of(object, all);
            ["shop", "argocd_shop", "tenant_shop"].map(|name| {
                application.tracks(&deployment(&format!("{name}:apps/Deployment:web/a")))
            })
        };
        let ours = application("argocd", "argocd");
        let tenant = application("tenant", "argocd");
        // Not even if there is no other of that name.
        let alone = std::slice::from_ref(&tenant);
        assert_eq!(owns(&tenant, alone), [false, false, true]);
        let mut other = application("tenant", "tenant");
        other["metadata"]["name"] = json!("other");
        assert_eq!(
            owns(&ours, &[ours.clone(), other]),
            [true, true, false],
            "one of another name takes no name away"
        );
        let all = [ours.clone(), tenant.clone()];
        assert_eq!(owns(&ours, &all), [true, true, false]);
        assert_eq!(owns(&tenant, &all), [false, false, true]);
        // A tenant who says that Argo CD runs in his namespace gets nothing by it.
        let forger = application("tenant", "tenant");
        let all = [ours.clone(), forger.clone()];
        assert_eq!(owns(&forger, &all), [false, false, true]);
        assert_eq!(owns(&ours, &all), [false, true, false]);
    }

    #[test]
    fn where_it_deploys_to_is_told_as_far_as_it_says_so() {
        let of = |destination: Value| {
            let mut object = application("argocd", "argocd");
            object["spec"]["destination"] = destination;
            let found = Application::of(&object, &[]);
            (found.destination, found.other_cluster)
        };
        let web = || ("web".to_owned(), None);
        assert_eq!(of(json!({"namespace": "web"})), web());
        let here = "https://kubernetes.default.svc";
        assert_eq!(of(json!({"namespace": "web", "server": here})), web());
        assert_eq!(of(json!({"namespace": "web", "name": "in-cluster"})), web());
        for key in ["name", "server"] {
            let (_, other) = of(json!({"namespace": "web", key: "far"}));
            assert_eq!(other.as_deref(), Some("far"));
        }
    }

    #[test]
    fn a_copied_tracking_id_tells_whose_copy_it_is_and_owns_nothing() {
        let ours = application("argocd", "argocd");
        let ours = Application::of(&ours, std::slice::from_ref(&ours));
        let copied = deployment("shop:apps/Deployment:web/of-another-name");
        assert!(ours.is_named_by(&copied) && !ours.tracks(&copied));
        assert!(!ours.is_named_by(&deployment("other:apps/Deployment:web/a")));
        assert!(!ours.is_named_by(&deployment("shop")));
    }

    #[test]
    fn what_an_application_lists_is_compared_with_a_record() {
        let application = application("argocd", "argocd");
        let application = Application::of(&application, &[]);
        let object = |api_version: &str, kind: &str, namespace: Option<&str>| ManifestObject {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: "a".to_owned(),
            generated: false,
        };
        let mut listed = Listed {
            namespace: "web".to_owned(),
            objects: vec![object("v1", "ConfigMap", None)],
            ..Listed::default()
        };
        assert!(!application.is_within(&listed));
        listed
            .objects
            .push(object("apps/v1", "Deployment", Some("other")));
        assert!(!application.is_within(&listed));
        listed
            .objects
            .push(object("apps/v1", "Deployment", Some("web")));
        assert!(application.is_within(&listed));
        for (api_version, kind, name) in [
            ("batch/v1", "Deployment", "a"),
            ("apps/v1", "StatefulSet", "a"),
            ("apps/v1", "Deployment", "b"),
        ] {
            let mut other = object(api_version, kind, Some("web"));
            name.clone_into(&mut other.name);
            let mut listed = listed.clone();
            *listed.objects.last_mut().unwrap() = other;
            assert!(
                !application.is_within(&listed),
                "{api_version} {kind} {name}"
            );
        }
        listed.namespace = "other".to_owned();
        assert!(!application.is_within(&listed));
    }

    #[test]
    fn what_lies_in_no_namespace_is_compared_too() {
        let mut application = application("argocd", "argocd");
        application["status"]["resources"] = json!([
            {"group": "rbac.authorization.k8s.io", "version": "v1", "kind": "ClusterRole", "name": "a"},
        ]);
        let application = Application::of(&application, &[]);
        let mut listed = application.listed();
        assert!(application.is_within(&listed));
        listed.objects.clear();
        assert!(!application.is_within(&listed));
    }

    #[test]
    fn an_empty_group_is_that_of_the_core() {
        let mut application = application("argocd", "argocd");
        application["status"]["resources"][0]["group"] = json!("");
        let listed = Application::of(&application, &[]).listed();
        let versions = listed.objects.iter().map(|one| one.api_version.as_str());
        assert_eq!(versions.collect::<Vec<_>>(), ["v1", "apps/v1"]);
    }

    #[test]
    fn a_sync_that_does_not_end_is_waited_for_only_so_long() {
        let is_at_work = |phase: &str, started: &str| {
            let state = json!({"phase": phase, "startedAt": started});
            let object = json!({"status": {"operationState": state}});
            let now = "2026-11-18T10:00:30Z".parse().unwrap();
            super::is_at_work(&object, now, SignedDuration::from_secs(60))
        };
        assert!(is_at_work("Running", "2026-11-18T10:00:00Z"));
        assert!(is_at_work("Running", "2026-11-18T10:00:30Z"));
        assert!(is_at_work("Running", "2026-11-18T09:59:31Z"));
        assert!(!is_at_work("Running", "2026-11-18T09:59:30Z"));
        assert!(!is_at_work("Succeeded", "2026-11-18T10:00:00Z"));
        assert!(!is_at_work("Running", "2026-11-18T09:59:00Z"));
        assert!(!is_at_work("Running", "2026-11-18T10:01:00Z"));
        assert!(!is_at_work("Running", "soon"));
    }

    #[test]
    fn an_orphan_is_known_by_its_tracking_id() {
        let shop = release("argocd", "argocd.shop");
        assert!(is_named(&deployment("shop:apps/Deployment:web/a"), &shop));
        assert!(is_named(
            &deployment("argocd_shop:apps/Deployment:web/a"),
            &shop
        ));
        assert!(!is_named(&deployment("other:apps/Deployment:web/a"), &shop));
        let web = release("argocd", "shop");
        assert!(!is_named(&deployment("shop:apps/Deployment:web/a"), &web));
    }
}
