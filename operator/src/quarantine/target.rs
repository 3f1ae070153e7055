//! What is changed on each kind of object, and which objects may be changed at all.

use charttrust_verify::release::ManifestObject;
use serde_json::{Value, json};

use super::{application, field};
use crate::api::chart_trust_policy::QuarantineAction;
use crate::api::quarantine::ContainedObject;
use crate::inventory::ReleaseId;

/// A kind of object that can be contained, and by what.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Which action changes it.
    pub action: QuarantineAction,
    /// Its API group.
    pub group: &'static str,
    /// The version we speak.
    pub version: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its resource.
    pub plural: &'static str,
    /// The one field that is changed.
    pub(super) field: &'static [&'static str],
    /// The field that counts as owned: maps may be owned as a whole only.
    pub(super) owned: &'static [&'static str],
    held: Held,
}

/// What the field is while the object is contained.
#[derive(Clone, Copy, Debug)]
enum Held {
    Absent,
    Flag,
    Marker,
    Zero,
}

const REPLICAS: &[&str] = &["spec", "replicas"];
const SUSPEND: &[&str] = &["spec", "suspend"];
const NODE_SELECTOR: &[&str] = &["spec", "template", "spec", "nodeSelector"];
const AUTOMATED: &[&str] = &["spec", "syncPolicy", "automated"];
const UNMANAGED: &[&str] = &[
    "metadata",
    "annotations",
    "helmcharts.helm.cattle.io/unmanaged",
];
/// No node has this label, so no Pod fits anywhere.
const NOWHERE: &[&str] = &[
    "spec",
    "template",
    "spec",
    "nodeSelector",
    "charttrust.io/quarantined",
];

/// Every kind that can be contained by a change of one field.
pub const TARGETS: [Target; 9] = [
    deployer(
        "argoproj.io",
        "v1alpha1",
        "Application",
        AUTOMATED,
        Held::Absent,
    ),
    deployer("helm.cattle.io", "v1", "HelmChart", UNMANAGED, Held::Marker),
    deployer(
        "helm.toolkit.fluxcd.io",
        "v2",
        "HelmRelease",
        SUSPEND,
        Held::Flag,
    ),
    workload("batch", "CronJob", SUSPEND, Held::Flag),
    daemon_set(),
    workload("apps", "Deployment", REPLICAS, Held::Zero),
    workload("batch", "Job", SUSPEND, Held::Flag),
    workload("apps", "ReplicaSet", REPLICAS, Held::Zero),
    workload("apps", "StatefulSet", REPLICAS, Held::Zero),
];

const fn workload(
    group: &'static str,
    kind: &'static str,
    field: &'static [&'static str],
    held: Held,
) -> Target {
    Target {
        action: QuarantineAction::ScaleToZero,
        group,
        version: "v1",
        kind,
        plural: plural(kind),
        field,
        owned: field,
        held,
    }
}

const fn daemon_set() -> Target {
    let target = workload("apps", "DaemonSet", NOWHERE, Held::Marker);
    Target {
        owned: NODE_SELECTOR,
        ..target
    }
}

const fn deployer(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    field: &'static [&'static str],
    held: Held,
) -> Target {
    Target {
        action: QuarantineAction::PauseDeployer,
        group,
        version,
        kind,
        plural: plural(kind),
        field,
        owned: field,
        held,
    }
}

const fn plural(kind: &'static str) -> &'static str {
    match kind.as_bytes() {
        b"Application" => "applications",
        b"CronJob" => "cronjobs",
        b"DaemonSet" => "daemonsets",
        b"Deployment" => "deployments",
        b"HelmChart" => "helmcharts",
        b"HelmRelease" => "helmreleases",
        b"Job" => "jobs",
        b"ReplicaSet" => "replicasets",
        _ => "statefulsets",
    }
}

impl Target {
    /// The target of a kind.
    pub fn of(group: &str, kind: &str) -> Option<&'static Self> {
        TARGETS
            .iter()
            .find(|target| target.group == group && target.kind == kind)
    }

    /// The workload that a manifest lists, if it is one we know how to contain.
    pub fn of_manifest(object: &ManifestObject) -> Option<&'static Self> {
        let (group, _) = object.api_version.split_once('/')?;
        Self::of(group, &object.kind).filter(|target| target.is_workload())
    }

    /// The target that a record of a quarantine names.
    pub fn of_record(record: &ContainedObject) -> Option<&'static Self> {
        let (group, _) = record.api_version.split_once('/')?;
        Self::of(group, &record.kind).filter(|target| target.action == record.action)
    }

    /// Whether it runs Pods.
    pub fn is_workload(&self) -> bool {
        self.action == QuarantineAction::ScaleToZero
    }

    /// Group and version.
    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    /// The field as it is; null is absent.
    pub(super) fn value<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        field::value(object, self.field)
    }

    /// The field as it is while contained; `None` is absent.
    pub(super) fn held(&self) -> Option<Value> {
        match self.held {
            Held::Absent => None,
            Held::Flag => Some(json!(true)),
            Held::Marker => Some(json!("true")),
            Held::Zero => Some(json!(0)),
        }
    }

    /// Whether the field is as we would set it. An annotation holds whatever its value is.
    pub(super) fn is_held(&self, object: &Value) -> bool {
        match (self.held, self.value(object)) {
            (Held::Marker, value) => value.is_some(),
            (_, value) => value == self.held().as_ref(),
        }
    }

    /// The operation that sets the field, or removes it; `None` if there is nothing to remove.
    pub(super) fn change(&self, object: &Value, new: Option<Value>) -> Option<Value> {
        match new {
            Some(new) => Some(field::set(object, self.field, new)),
            None => field::unset(object, self.field),
        }
    }
}

/// Whether a workload's live marks name this release (`helm.md` section 8): anybody can list any
/// object in a record, but only Helm, or whoever may change the object itself, writes these.
pub(super) fn is_of_release(object: &Value, release: &ReleaseId) -> bool {
    let annotation = |name: &str| field::text(object, &["metadata", "annotations", name]);
    let label = field::text(
        object,
        &["metadata", "labels", "app.kubernetes.io/managed-by"],
    );
    field::text(object, &["metadata", "namespace"]) == Some(&release.namespace)
        && annotation("meta.helm.sh/release-name") == Some(&release.name)
        && annotation("meta.helm.sh/release-namespace") == Some(&release.namespace)
        && label == Some("Helm")
}

/// Whether a deployer's own spec or status says that it deploys this release, and no other.
pub(super) fn deploys(object: &Value, target: &Target, release: &ReleaseId) -> bool {
    match target.kind {
        "Application" => application::is_of(object, release),
        "HelmChart" => is_helm_chart_of(object, release),
        "HelmRelease" => is_helm_release_of(object, release),
        _ => false,
    }
}

fn is_helm_chart_of(object: &Value, release: &ReleaseId) -> bool {
    let own = field::text(object, &["metadata", "namespace"]);
    let namespace = field::text(object, &["spec", "targetNamespace"])
        .filter(|namespace| !namespace.is_empty())
        .or(own);
    field::text(object, &["metadata", "name"]) == Some(&release.name)
        && namespace == Some(&release.namespace)
}

fn is_helm_release_of(object: &Value, release: &ReleaseId) -> bool {
    let newest = ["status", "history"];
    let newest = field::value(object, &newest).and_then(|history| history.get(0));
    let says = |path: &[&str]| field::text(object, path).filter(|text| !text.is_empty());
    let storage = says(&["status", "storageNamespace"])
        .or_else(|| says(&["spec", "storageNamespace"]))
        .or_else(|| says(&["metadata", "namespace"]));
    storage == Some(&release.namespace)
        && newest.is_some_and(|newest| field::text(newest, &["name"]) == Some(&release.name))
        && field::value(object, &["spec", "kubeConfig"]).is_none()
}

/// The revision that a Flux `HelmRelease` says it has deployed last.
pub(super) fn deployed_revision(object: &Value) -> Option<u64> {
    let history = field::value(object, &["status", "history"])?;
    field::value(history.get(0)?, &["version"])?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> ReleaseId {
        ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        }
    }

    /// One good base, one field changed (or removed, with null).
    fn changed(base: &Value, pointer: &str, new: Value) -> Value {
        let mut object = base.clone();
        *object.pointer_mut(pointer).unwrap() = new;
        object
    }

    #[test]
    fn a_workload_is_of_a_release_only_if_every_mark_agrees() {
        let marked = json!({"metadata": {
            "namespace": "shop",
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {
                "meta.helm.sh/release-name": "web",
                "meta.helm.sh/release-namespace": "shop",
            },
        }});
        assert!(is_of_release(&marked, &web()));
        for pointer in [
            "/metadata/namespace",
            "/metadata/labels/app.kubernetes.io~1managed-by",
            "/metadata/annotations/meta.helm.sh~1release-name",
            "/metadata/annotations/meta.helm.sh~1release-namespace",
        ] {
            assert!(!is_of_release(
                &changed(&marked, pointer, json!("x")),
                &web()
            ));
            assert!(!is_of_release(
                &changed(&marked, pointer, Value::Null),
                &web()
            ));
        }
        assert!(!is_of_release(&json!({}), &web()));
    }

    #[test]
    fn a_helm_release_deploys_what_its_history_names_first() {
        let target = Target::of("helm.toolkit.fluxcd.io", "HelmRelease").unwrap();
        let flux = json!({
            "metadata": {"namespace": "flux", "name": "any"},
            "spec": {"kubeConfig": null},
            "status": {"storageNamespace": "shop", "history": [{"name": "web", "version": 3}]},
        });
        assert!(deploys(&flux, target, &web()));
        assert_eq!(deployed_revision(&flux), Some(3));
        for (pointer, other) in [
            ("/status/storageNamespace", json!("bank")),
            ("/status/storageNamespace", Value::Null),
            ("/status/history/0/name", json!("other")),
            ("/status/history", json!([])),
            ("/spec/kubeConfig", json!({"secretRef": {"name": "far"}})),
        ] {
            assert!(
                !deploys(&changed(&flux, pointer, other), target, &web()),
                "{pointer}"
            );
        }
    }

    #[test]
    fn a_helm_chart_deploys_into_its_target_namespace() {
        let target = Target::of("helm.cattle.io", "HelmChart").unwrap();
        let chart = json!({
            "metadata": {"namespace": "kube-system", "name": "web"},
            "spec": {"targetNamespace": "shop"},
        });
        assert!(deploys(&chart, target, &web()));
        assert!(!deploys(
            &changed(&chart, "/metadata/name", json!("x")),
            target,
            &web()
        ));
        assert!(!deploys(
            &changed(&chart, "/spec/targetNamespace", Value::Null),
            target,
            &web()
        ));
        let here = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {}});
        assert!(deploys(&here, target, &web()));
    }

    #[test]
    fn every_target_is_held_by_its_own_change() {
        for target in TARGETS {
            let before = json!({"metadata": {}, "spec": {"replicas": 3, "suspend": false,
                "syncPolicy": {"automated": {}}}});
            assert!(!target.is_held(&before), "{}", target.kind);
            let operation = target.change(&before, target.held());
            assert!(operation.is_some(), "{}", target.kind);
        }
    }

    #[test]
    fn a_manifest_names_no_deployer() {
        let object = |api_version: &str, kind: &str| ManifestObject {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            name: "web".to_owned(),
            generated: false,
        };
        assert!(Target::of_manifest(&object("apps/v1", "Deployment")).is_some());
        assert!(Target::of_manifest(&object("helm.toolkit.fluxcd.io/v2", "HelmRelease")).is_none());
        assert!(Target::of_manifest(&object("v1", "Pod")).is_none());
    }
}
