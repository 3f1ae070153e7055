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

    /// How much of what runs is trusted by this policy, and why the rest is not known.
    #[serde(default)]
    pub coverage: Coverage,

    /// Automatic quarantines of this policy.
    #[serde(default)]
    pub quarantine: QuarantineCounts,

    /// Ready, Compliant, KeysResolved, SourcesReachable, and if so: ExceptionExpiring,
    /// QuarantineStopped, Reconciling, Stalled, WebhookReady.
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
    /// Of which workloads run, by Helm's marks on them, and no record exists. They are not part of the total:
    /// nobody can tell what they are made of.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub unaccounted: u32,
}

impl ReleaseCounts {
    /// The share of the trusted in all that runs, those without a record too, in whole percent; `None` if there
    /// is nothing.
    pub fn trusted_percent(&self) -> Option<u32> {
        let all = u64::from(self.total) + u64::from(self.unaccounted);
        let percent = (u64::from(self.trusted) * 100).checked_div(all)?;
        u32::try_from(percent).ok()
    }

    /// The same share, between 0 and 1.
    pub fn trusted_share(&self) -> Option<f64> {
        let all = f64::from(self.total) + f64::from(self.unaccounted);
        (all > 0.0).then(|| f64::from(self.trusted) / all)
    }
}

/// How much of what runs is trusted by a policy.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// The share of trusted releases in all that the policy applies to and those without a record, in whole
    /// percent, rounded down; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 0, max = 100))]
    pub trusted_percent: Option<u32>,
    /// How many releases are unknown, by cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::SHORT_LIST),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["cause"])
    )]
    pub unknown: Vec<UnknownCount>,
}

/// How many releases are unknown for one cause.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnknownCount {
    /// The cause, as in the condition `Trusted` of the releases.
    #[schemars(length(max = bounds::WORD))]
    pub cause: String,
    /// How many.
    #[schemars(with = "i32", range(min = 0))]
    pub releases: u32,
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
