//! What is changed on each kind of object, and which objects may be changed at all.

use charttrust_verify::release::ManifestObject;
use json_patch::PatchOperation;
use serde_json::{Value, json};

use super::annotation::{Annotation, Carried};
use super::{application, fields, owners};
use crate::api::quarantine::ContainedObject;
use crate::api::quarantine_words::QuarantineAction;
use crate::inventory::ReleaseId;
use crate::inventory::flux::HelmRelease;
use crate::inventory::k3s::HelmChart;
use crate::watch::Kept as _;

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
    pub field: &'static [&'static str],
    /// The field that counts as owned: maps may be owned as a whole only.
    pub(super) owned: &'static [&'static str],
    held: Held,
    /// What another controller would destroy if only that field were changed.
    guard: Option<Guard>,
}

/// A second field, set by the same patch and put back with the first, so that nothing that the
/// change triggers elsewhere destroys what cannot be put back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    pub(super) field: &'static [&'static str],
    harmful: &'static str,
    harmless: &'static str,
}

/// The `StatefulSet` controller deletes the volumes of Pods that are scaled away
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention>).
const RETENTION: Guard = Guard {
    field: &["spec", "persistentVolumeClaimRetentionPolicy", "whenScaled"],
    harmful: "Delete",
    harmless: "Retain",
};

impl Guard {
    /// The value to save, if it is the harmful one.
    fn saved(&self, object: &Value) -> Option<String> {
        let value = fields::text(object, self.field);
        value
            .filter(|value| *value == self.harmful)
            .map(str::to_owned)
    }

    /// What an object carries that was made harmless by us and is so still: who starts it again need not
    /// know of this field, and what it was is to be known until it is put back.
    pub(super) fn left(&self, object: &Value) -> Option<Annotation> {
        match Annotation::left_on(object) {
            Carried::Annotation(left)
                if self.is_harmless(object)
                    && left.when_scaled.as_deref() == Some(self.harmful) =>
            {
                Some(*left)
            }
            Carried::Annotation(_) | Carried::Nothing | Carried::Unreadable => None,
        }
    }

    fn is_harmless(&self, object: &Value) -> bool {
        fields::text(object, self.field) == Some(self.harmless)
    }
}

/// What the field is while the object is contained.
#[derive(Clone, Copy, Debug)]
enum Held {
    Absent,
    Flag,
    Label,
    Marker,
    Zero,
}

const REPLICAS: &[&str] = &["spec", "replicas"];
const SUSPEND: &[&str] = &["spec", "suspend"];
const NODE_SELECTOR: &[&str] = &["spec", "template", "spec", "nodeSelector"];
// The whole of it is taken away: `enabled: false` exists since Argo CD 3.1 only, and older CRDs
// prune it without a word and go on syncing.
const AUTOMATED: &[&str] = &["spec", "syncPolicy", "automated"];
// helm-controller of k3s looks whether the annotation is there, not at its value.
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
        ("Application", "applications"),
        AUTOMATED,
        Held::Absent,
    ),
    deployer(
        "helm.cattle.io",
        "v1",
        ("HelmChart", "helmcharts"),
        UNMANAGED,
        Held::Marker,
    ),
    deployer(
        "helm.toolkit.fluxcd.io",
        "v2",
        ("HelmRelease", "helmreleases"),
        SUSPEND,
        Held::Flag,
    ),
    workload("batch", ("CronJob", "cronjobs"), SUSPEND, Held::Flag),
    daemon_set(),
    workload("apps", ("Deployment", "deployments"), REPLICAS, Held::Zero),
    workload("batch", ("Job", "jobs"), SUSPEND, Held::Flag),
    workload("apps", ("ReplicaSet", "replicasets"), REPLICAS, Held::Zero),
    stateful_set(),
];

const fn workload(
    group: &'static str,
    (kind, plural): (&'static str, &'static str),
    field: &'static [&'static str],
    held: Held,
) -> Target {
    Target {
        action: QuarantineAction::ScaleToZero,
        group,
        version: "v1",
        kind,
        plural,
        field,
        owned: field,
        held,
        guard: None,
    }
}

const fn daemon_set() -> Target {
    let target = workload("apps", ("DaemonSet", "daemonsets"), NOWHERE, Held::Label);
    Target {
        owned: NODE_SELECTOR,
        ..target
    }
}

const fn stateful_set() -> Target {
    let target = workload(
        "apps",
        ("StatefulSet", "statefulsets"),
        REPLICAS,
        Held::Zero,
    );
    Target {
        guard: Some(RETENTION),
        ..target
    }
}

const fn deployer(
    group: &'static str,
    version: &'static str,
    (kind, plural): (&'static str, &'static str),
    field: &'static [&'static str],
    held: Held,
) -> Target {
    Target {
        action: QuarantineAction::PauseDeployer,
        group,
        version,
        kind,
        plural,
        field,
        owned: field,
        held,
        guard: None,
    }
}

impl Target {
    /// The target of a kind.
    pub fn of(group: &str, kind: &str) -> Option<&'static Self> {
        TARGETS
            .iter()
            .find(|target| target.group == group && target.kind == kind)
    }

    /// The target that an object is.
    pub(super) fn of_object(object: &Value) -> Option<&'static Self> {
        let (group, _) = fields::text(object, &["apiVersion"])?.split_once('/')?;
        Self::of(group, fields::text(object, &["kind"])?)
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

    /// Whether it deploys releases, and so may lie anywhere and carries no marks of one.
    pub fn is_deployer(&self) -> bool {
        self.action == QuarantineAction::PauseDeployer
    }

    /// Whether it runs Pods.
    pub fn is_workload(&self) -> bool {
        self.action == QuarantineAction::ScaleToZero
    }

    /// Group and version.
    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    /// Whether the field is one that others set to the same value too, when they mean it.
    pub(super) fn is_value(&self) -> bool {
        matches!(self.held, Held::Flag | Held::Zero)
    }

    /// The field as it is; null is absent.
    pub(super) fn value<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        fields::value(object, self.field)
    }

    /// The field as it is while contained; `None` is absent.
    pub(super) fn held(&self) -> Option<Value> {
        match self.held {
            Held::Absent => None,
            Held::Flag => Some(json!(true)),
            Held::Label | Held::Marker => Some(json!("true")),
            Held::Zero => Some(json!(0)),
        }
    }

    /// Whether the field is as we would set it. An annotation holds whatever its value is, and a label does
    /// not: nodes may have that of a chart.
    pub(super) fn is_held(&self, object: &Value) -> bool {
        match (self.held, self.value(object)) {
            (Held::Marker, value) => value.is_some(),
            (_, value) => value == self.held().as_ref(),
        }
    }

    /// What the guarded field is, if it has to be changed too, or was before it was.
    pub(super) fn guarded(&self, object: &Value) -> Option<String> {
        let guard = self.guard?;
        let left = || guard.left(object)?.when_scaled;
        guard.saved(object).or_else(left)
    }

    /// What is to be said of a guarded field that was this before and is harmless by now.
    pub(super) fn is_still_guarded(&self, object: &Value, before: Option<&str>) -> Option<String> {
        let (guard, before) = self.guard.zip(before)?;
        let name = guard.field.last()?;
        let harmless = guard.harmless;
        guard
            .is_harmless(object)
            .then(|| format!("{name} is {harmless} by now, and was {before} before"))
    }

    /// Where the guarded field is.
    pub(super) fn guard(&self) -> Option<Guard> {
        self.guard
    }

    /// The operation that makes the guarded field harmless, if it is not.
    pub(super) fn guarding(&self, object: &Value) -> Option<PatchOperation> {
        let guard = self.guard.filter(|guard| guard.saved(object).is_some())?;
        Some(fields::set(object, guard.field, json!(guard.harmless)))
    }

    /// The operation that puts the guarded field back, unless others have changed it since, or have said
    /// that it is to be as it is.
    pub(super) fn unguarding(
        &self,
        object: &Value,
        before: Option<&str>,
    ) -> Option<PatchOperation> {
        let guard = self.guard?;
        let is_ours = guard.is_harmless(object) && owners::others(object, guard.field).is_empty();
        is_ours.then(|| Some(fields::set(object, guard.field, json!(before?))))?
    }

    /// What happens when the object is put back, beyond that it runs again.
    pub(super) fn on_return(&self, object: &Value) -> Option<&'static str> {
        let has_deadline = fields::value(object, &["spec", "startingDeadlineSeconds"]).is_some();
        // Kubernetes makes up for it once the CronJob is no longer suspended
        // (<https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-suspension>).
        (self.kind == "CronJob" && !has_deadline).then_some(
            "has no startingDeadlineSeconds, so a run that it misses starts at once when it is put back",
        )
    }

    /// The operation that sets the field, or removes it; `None` if there is nothing to remove.
    pub(super) fn change(&self, object: &Value, new: Option<Value>) -> Option<PatchOperation> {
        match new {
            Some(new) => Some(fields::set(object, self.field, new)),
            None => fields::unset(object, self.field),
        }
    }
}

/// Whether a workload's live marks name this release: anybody can list any
/// object in a record, but only Helm, or whoever may change the object itself, writes these.
pub(super) fn is_of_release(object: &Value, release: &ReleaseId) -> bool {
    let path = ["metadata", "labels", "app.kubernetes.io/managed-by"];
    is_annotated(object, release) && fields::text(object, &path) == Some("Helm")
}

/// Whether annotations of Helm on a workload name this release, whoever has written them there.
pub(super) fn is_annotated(object: &Value, release: &ReleaseId) -> bool {
    let annotation = |name: &str| fields::text(object, &["metadata", "annotations", name]);
    fields::text(object, &["metadata", "namespace"]) == Some(&release.namespace)
        && annotation("meta.helm.sh/release-name") == Some(&release.name)
        && annotation("meta.helm.sh/release-namespace") == Some(&release.namespace)
}

/// Whether a deployer's own spec or status says that it deploys this release, and no other.
pub(super) fn deploys(object: &Value, target: &Target, release: &ReleaseId) -> bool {
    match target.kind {
        "Application" => application::is_of(object, release),
        "HelmChart" => HelmChart::of(object).is_some_and(|chart| chart.deploys(release)),
        "HelmRelease" => HelmRelease::of(object).is_some_and(|flux| flux.deploys(release)),
        _ => false,
    }
}

/// The revision that a Flux `HelmRelease` says it has deployed last.
pub(super) fn deployed_revision(object: &Value) -> Option<u64> {
    HelmRelease::of(object)?.revision()
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
    fn every_target_is_held_by_its_own_change() {
        for target in TARGETS {
            let before = json!({"metadata": {}, "spec": {"replicas": 3, "suspend": false,
                "syncPolicy": {"automated": {}}}});
            assert!(!target.is_held(&before), "{}", target.kind);
            let operation = target.change(&before, target.held());
            assert!(operation.is_some(), "{}", target.kind);
        }
    }

    /// The annotation on an object does not say which field it is about.
    #[test]
    fn a_kind_has_one_field_that_holds_it() {
        for target in &TARGETS {
            let of_kind = TARGETS.iter().filter(|other| other.kind == target.kind);
            assert_eq!(of_kind.count(), 1, "{}", target.kind);
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
