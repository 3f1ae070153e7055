//! What the operator writes into a `ChartTrustPolicy`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;
use super::conditions::Condition;

/// What the operator found.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChartTrustPolicyStatus {
    /// The `metadata.generation` this status was concluded from; -1 before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1))]
    pub observed_generation: Option<i64>,

    /// The value of the annotation `charttrust.io/requestedAt` that was last answered: every look
    /// that it asked for has ended, or five minutes have passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::VERSION))]
    pub last_handled_reconcile_at: Option<String>,

    /// How the releases that the policy applies to stand, by this policy's own verdict.
    #[serde(default)]
    pub releases: ReleaseCounts,

    /// Automatic quarantines of this policy.
    #[serde(default)]
    pub quarantine: QuarantineCounts,

    /// Ready, Compliant, KeysResolved, SourcesReachable, and if so: ExceptionExpiring,
    /// QuarantineStopped, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::SHORT_LIST),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

/// Numbers of releases by verdict.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseCounts {
    /// All that the policy applies to.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub total: u32,
    /// Trusted.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub trusted: u32,
    /// Not trusted.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub untrusted: u32,
    /// Could not be judged.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub unknown: u32,
    /// Under a rule of level None.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub unmanaged: u32,
    /// Forgiven by an exception.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub exempt: u32,
}

/// Numbers of automatic quarantines.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineCounts {
    /// In force.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub active: u32,
    /// Due later, or waiting for approval.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub waiting: u32,
    /// Due, and held back by the limit or refused by the API server.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub stopped: u32,
}
