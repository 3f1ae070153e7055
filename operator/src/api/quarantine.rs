//! `Quarantine`: one release contained, with everything that is needed to restore it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;
use super::conditions::Condition;
use super::quarantine_words::QuarantineAction;
use super::schema;

/// What to do to the release of this name, and why. Cannot be changed.
#[derive(CustomResource, Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "charttrust.io",
    version = "v1alpha1",
    kind = "Quarantine",
    plural = "quarantines",
    shortname = "quar",
    category = "charttrust",
    namespaced,
    status = "QuarantineStatus",
    derive = "PartialEq",
    doc = "One Helm release contained: the release of this name whose record is stored in this namespace. Creating the object is the approval; deleting it restores exactly what was recorded, and keeps newer changes by others.",
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
    printcolumn(name = "Actions", type_ = "string", json_path = ".status.actions"),
    printcolumn(name = "Objects", type_ = "integer", json_path = ".status.contained"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Policy",
        type_ = "string",
        json_path = ".spec.policy",
        priority = 1
    ),
    printcolumn(
        name = "Incident",
        type_ = "string",
        json_path = ".status.incident",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self == oldSelf",
    "message": "a Quarantine cannot be changed; delete it, which restores, and create another",
}]))]
pub struct QuarantineSpec {
    /// What is done, in the order of the actions.
    #[schemars(
        description = QuarantineAction::described(),
        length(min = 1, max = QuarantineAction::ALL.len()),
        extend("x-kubernetes-list-type" = "set", "x-kubernetes-validations" = super::quarantine_words::freeze_pauses())
    )]
    pub actions: Vec<QuarantineAction>,

    /// Why, for people; the operator writes the verdict. Example: `signed after key theft`.
    #[schemars(length(min = 1, max = bounds::TEXT))]
    pub reason: String,

    /// The policy that started it; set by the operator, which ends it when trust returns. Omitted:
    /// a person did, and only a person ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = bounds::NAME), regex(pattern = bounds::NAME_PATTERN))]
    pub policy: Option<String>,
}

/// What was done, and the way back.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineStatus {
    /// The `metadata.generation` this status was concluded from; -1 before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1))]
    pub observed_generation: Option<i64>,

    /// In one word, derived from the conditions: Active, Contested, Disabled, Partial, Pending,
    /// Refused or Restoring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "QuarantineState")]
    pub state: Option<QuarantineState>,

    /// The actions in one text, for tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::NAME))]
    pub actions: Option<String>,

    /// What it is about: fingerprint, digest of the revocation and its number, or `manual/` and
    /// the uid of this object. Set together with objects, before anything is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::LONG_LIST))]
    pub incident: Option<String>,

    /// When a person had asked for this and there was no release of its name. One that was installed
    /// after this object was made is not meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub release_missing_at: Option<Time>,

    /// How many objects are contained now.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub contained: u32,

    /// Pods of the release that are on a node and have not ended, after its workloads were stopped.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub running: u32,

    /// How many objects are left out that run Pods or may make new ones; they stand in uncontained.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub left_out: u32,

    /// The objects to contain, each with what it was before. Written before the first change, and
    /// again when the release has got more of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::OBJECTS), extend("x-kubernetes-list-type" = "atomic"))]
    pub objects: Vec<ContainedObject>,

    /// What is left as it is, and why: bare Pods, custom workloads, running Jobs, objects of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::LONG_LIST), extend("x-kubernetes-list-type" = "atomic"))]
    pub uncontained: Vec<UncontainedObject>,

    /// Why the operator ends it: ReleaseGone, TrustReturned, Uninstall (it is about to be removed), or
    /// Withdrawn (its policy asked for it no more before anything was changed). Written before the
    /// object is deleted; a deletion without it is a person's, and the release is not contained again
    /// for the same incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "EndedBy")]
    pub ended_by: Option<EndedBy>,

    /// The operator's seal (an HMAC in base64) over endedBy. Without it endedBy ends nothing, and is taken
    /// away; Uninstall has none: who says that deletes the object too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::WORD))]
    pub ended_tag: Option<String>,

    /// Ready and Active; of the others those that hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::SHORT_LIST),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

/// A quarantine in one word.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum QuarantineState {
    /// In force.
    Active,
    /// In force, but others have changed or hold some of its objects.
    Contested,
    /// The operator runs without `--quarantine`.
    Disabled,
    /// In force, but something that the release lists is left out, and runs or may run.
    Partial,
    /// Not all is contained yet.
    Pending,
    /// Nothing is done: the condition Active says why.
    Refused,
    /// It is being deleted, and what was recorded is put back.
    Restoring,
}

/// Why the operator ends a quarantine.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum EndedBy {
    /// The release does not exist any more.
    ReleaseGone,
    /// The policy trusts the release again.
    TrustReturned,
    /// The operator is about to be uninstalled, and was told to put everything back before.
    Uninstall,
    /// The policy asked for it no more before anything had been changed.
    Withdrawn,
}

/// One object that is changed, and what it was before.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainedObject {
    /// Which action changes it.
    pub action: QuarantineAction,

    /// Group and version.
    #[schemars(length(max = bounds::NAME))]
    pub api_version: String,

    /// Kind.
    #[schemars(length(max = bounds::LABEL))]
    pub kind: String,

    /// Namespace, if it is not that of the Quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::LABEL))]
    pub namespace: Option<String>,

    /// Name.
    #[schemars(length(max = bounds::NAME))]
    pub name: String,

    /// Its uid: another object of the same name is left alone. Absent for what we create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::LABEL))]
    pub uid: Option<String>,

    /// The value of the changed field before, as JSON. Absent: the field was not there, or the
    /// object is created by us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::SAVED))]
    pub original: Option<String>,

    /// `persistentVolumeClaimRetentionPolicy.whenScaled` of a StatefulSet before, where it says
    /// Delete: it is Retain while there are no replicas, so that no volume is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::WORD))]
    pub when_scaled: Option<String>,

    /// Who owned the fields before, as JSON: entries of metadata.managedFields, reduced to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::SAVED))]
    pub owners: Option<String>,

    /// uid of an earlier Quarantine that is gone and has left the object contained: what it was
    /// before is taken over from the annotation that it carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::LABEL))]
    pub left_by: Option<String>,

    /// The Pods that our NetworkPolicy selects, as JSON. Only of a NetworkPolicy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::SAVED))]
    pub selector: Option<String>,

    /// The HorizontalPodAutoscaler of the workload, which rests while there are no replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::NAME))]
    pub autoscaler: Option<String>,

    /// The revision of the release that it was recorded for. A later one that is bad too is contained
    /// anew, once; what people change later stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", range(min = 0))]
    pub revision: Option<u64>,

    /// What a tool has made of it while it was contained: that is nobody's decision, so it is contained
    /// again. Absent once it has stayed so for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<Undone>,

    /// Contained, Contested, Gone, Kept, Planned or Restored.
    pub state: ObjectState,

    /// What is to be said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::MESSAGE))]
    pub message: Option<String>,
}

/// A tool that has put back what was contained, as it does with all that it looks after.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Undone {
    /// When that was seen last.
    #[schemars(schema_with = "schema::time")]
    pub at: Time,

    /// Its field manager.
    #[schemars(length(max = bounds::NAME))]
    pub by: String,

    /// How often, each time after a longer pause.
    #[schemars(with = "i32", range(min = 1))]
    pub times: u32,
}

/// How one object stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ObjectState {
    /// Changed by us, and still so.
    Contained,
    /// What it carries and what was recorded disagree, so it is not touched.
    Contested,
    /// It does not exist any more, or another object has its name.
    Gone,
    /// Somebody has changed it since; that change is kept, unless `undone` says that it was a tool.
    Kept,
    /// Recorded, not changed yet.
    Planned,
    /// Put back, as far as others had not changed it.
    Restored,
}

/// One object that is left as it is.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UncontainedObject {
    /// Kind.
    #[schemars(length(max = bounds::LABEL))]
    pub kind: String,

    /// Namespace, if it is not that of the Quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::LABEL))]
    pub namespace: Option<String>,

    /// Name.
    #[schemars(length(max = bounds::NAME))]
    pub name: String,

    /// Why.
    #[schemars(length(max = bounds::MESSAGE))]
    pub message: String,

    /// Whether it runs Pods or makes new ones, as far as that is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub runs: bool,
    /// What its Pods serve to the API server, so that others are blocked while they do not answer: a
    /// policy alone leaves them running, until a person approves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::NAME))]
    pub waits_for: Option<String>,
}
