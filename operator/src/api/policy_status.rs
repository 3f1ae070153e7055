//! What the operator writes into a `ChartTrustPolicy`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;
use super::conditions::Condition;
use super::shards::{ShardQuarantine, SilentSource};

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

    /// Where several replicas share the work: what each range of the namespaces but the first says of its own
    /// releases. The numbers above are of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::LIST),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["range"])
    )]
    pub shards: Vec<PolicyShard>,
}

/// What a range of the namespaces says of a policy.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyShard {
    /// The number of the range.
    #[schemars(with = "i32", range(min = 1, max = 63))]
    pub range: u32,
    /// Which replica says so.
    #[serde(default)]
    #[schemars(length(max = bounds::GLOB))]
    pub holder: String,
    /// The `metadata.generation` of the policy by which it judges.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub observed_generation: i64,
    /// A digest of the signers by which it judges.
    #[serde(default)]
    #[schemars(length(max = bounds::DIGEST))]
    pub signers: String,
    /// Whether all its releases were judged by them.
    #[serde(default)]
    pub judged: bool,
    /// How its releases stand.
    #[serde(default)]
    pub releases: ReleaseCounts,
    /// How many are unknown, by cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::SHORT_LIST), extend("x-kubernetes-list-type" = "atomic"))]
    pub unknown: Vec<UnknownCount>,
    /// The first of those that are not trusted, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::SHORT_LIST), inner(length(max = bounds::MESSAGE)), extend("x-kubernetes-list-type" = "atomic"))]
    pub untrusted: Vec<String>,
    /// The rules that decide about some release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::LIST), inner(length(max = bounds::LABEL)), extend("x-kubernetes-list-type" = "atomic"))]
    pub rules: Vec<String>,
    /// The sources that gave no answer to the last look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::SHORT_LIST), extend("x-kubernetes-list-type" = "atomic"))]
    pub silent: Vec<SilentSource>,
    /// The sources of which nothing was heard yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::LONG_LIST), inner(length(max = bounds::URL)), extend("x-kubernetes-list-type" = "atomic"))]
    pub unheard: Vec<String>,
    /// What is to be looked at and cannot be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::SHORT_LIST), inner(length(max = bounds::MESSAGE)), extend("x-kubernetes-list-type" = "atomic"))]
    pub unseen: Vec<String>,
    /// The value of the annotation `charttrust.io/requestedAt` that was last answered here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::VERSION))]
    pub last_handled_reconcile_at: Option<String>,
    /// What is due to be contained: whoever holds range 0 decides about it.
    #[serde(default)]
    pub quarantine: ShardQuarantine,
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

    /// Together with other releases.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.total, other.total),
            (&mut self.trusted, other.trusted),
            (&mut self.untrusted, other.untrusted),
            (&mut self.unknown, other.unknown),
            (&mut self.unmanaged, other.unmanaged),
            (&mut self.exempt, other.exempt),
            (&mut self.unaccounted, other.unaccounted),
        ];
        for (ours, theirs) in pairs {
            *ours = ours.saturating_add(theirs);
        }
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
