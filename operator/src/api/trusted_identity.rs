//! `TrustedIdentity`: somebody without a key who may vouch for charts, by the word of Sigstore.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;
use super::conditions::Condition;
use super::schema;
use super::shards::SignerShard;
use super::trusted_key::{KeyState, RevocationReason, Scope};
use super::trusted_root::{TrustedRoot, TrustedRootRef};

/// Who it is, what it may speak for, and how its life ends.
#[derive(CustomResource, Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "charttrust.io",
    version = "v1alpha1",
    kind = "TrustedIdentity",
    plural = "trustedidentities",
    shortname = "tid",
    category = "charttrust",
    status = "TrustedIdentityStatus",
    derive = "PartialEq",
    doc = "Somebody without a key who may vouch for charts, such as the pipeline of a publisher: who it is, what it may speak for, and when its signatures do not count. Nothing is trusted because of an identity alone; a rule must list it.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expires"),
    printcolumn(name = "Used-By", type_ = "integer", json_path = ".status.releases"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Issuer",
        type_ = "string",
        json_path = ".spec.issuer",
        priority = 1
    ),
    printcolumn(
        name = "Owner",
        type_ = "string",
        json_path = ".spec.owner",
        priority = 1
    ),
    printcolumn(
        name = "Root",
        type_ = "string",
        json_path = ".status.trustedRoot.date",
        priority = 1
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct TrustedIdentitySpec {
    /// Who has to tell the certificate authority who it is: exactly this.
    /// Example: `https://token.actions.githubusercontent.com`.
    #[schemars(length(min = 1, max = bounds::FACT))]
    pub issuer: String,

    /// Who it has to be. Exactly one of exact and glob.
    pub subject: Subject,

    /// What the certificate has to say of the workload. What is not named is not looked at; what is named and
    /// absent does not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Claims>,

    /// The trusted root (`trusted_root.json`) by which its signatures are verified. Omitted: that of the public
    /// instance of Sigstore, which is compiled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_root_ref: Option<TrustedRootRef>,

    /// Who answers for this identity. Free text for people. Example: `Platform team, #platform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::LONG_LIST))]
    pub owner: Option<String>,

    /// What this identity may speak for, whatever policies list it. Omitted: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,

    /// When it ends (RFC 3339): what is signed later, by proven time, never counts; earlier signatures as the
    /// policy's expiredKeys says. Omitted: never. Example: `2027-03-31T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::TIME), extend("format" = "date-time"))]
    pub not_after: Option<String>,

    /// Name of the TrustedIdentity that takes over. Changes no verdict. Example: `release-2027`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = bounds::NAME), regex(pattern = bounds::NAME_PATTERN))]
    pub successor: Option<String>,

    /// What of it counts for nothing. Removing it gives trust back. Omitted: not revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<IdentityRevocation>,
}

/// Who an identity has to be.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "[has(self.exact), has(self.glob)].exists_one(given, given)",
    "message": "set exactly one of exact and glob",
}]))]
pub struct Subject {
    /// This, character for character.
    /// Example: `https://github.com/example/charts/.github/workflows/release.yml@refs/tags/v1.2.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = bounds::FACT))]
    pub exact: Option<String>,

    /// Whoever matches: `*` is any run of characters but `/` and `@`, `**` any but `@`. Scheme, host and first
    /// path segment stand before the first of them; of an e-mail all from `@` on is literal. Case counts.
    /// Example: `https://github.com/example/*/.github/workflows/release.yml@refs/tags/v*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = bounds::FACT))]
    pub glob: Option<String>,
}

/// What a certificate of Fulcio has to say of the workload.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// The repository that was built, exactly. Without it every caller of a reusable workflow has the same
    /// subject. Example: `https://github.com/example/charts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = bounds::FACT))]
    pub source_repository: Option<String>,

    /// Its identifier, which stays when it is renamed, and differs when its name is taken by another.
    /// Example: `123456`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = bounds::FACT))]
    pub source_repository_id: Option<String>,

    /// A glob of the branch or tag, with `*` and `**` as in a subject. Example: `refs/tags/v*`.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = bounds::FACT))]
    pub source_ref: Option<String>,

    /// Where it was built, exactly. Example: `github-hosted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = bounds::FACT))]
    pub runner_environment: Option<String>,

    /// What may have started the build. Omitted: anything. Example: `[push, release]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::SHORT_LIST),
        inner(length(min = 1, max = bounds::WORD)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub trigger: Vec<String>,
}

/// What of an identity counts for nothing: what is in a window or among the digests; without either everything.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(self.reason in ['Superseded', 'Retired']) || (has(self.windows) && size(self.windows) == 1 && \
        !has(self.windows[0].until) && !has(self.digests))",
    "message": "Superseded and Retired need exactly one window, without until, and no digests",
}]))]
pub struct IdentityRevocation {
    /// Compromised and Unspecified void what is in a window or among the digests, and nothing outside.
    /// Superseded and Retired void what was signed in their one window, and are no proof of badness.
    pub reason: RevocationReason,

    /// Void what was signed in between, by proven time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = bounds::LIST),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub windows: Vec<Window>,

    /// Void these archives, signed by this identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = bounds::LONG_LIST),
        inner(length(max = bounds::DIGEST), regex(pattern = bounds::DIGEST_PATTERN)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub digests: Vec<String>,
}

/// A time in which an identity was not its owner's alone.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// From when (RFC 3339), included. Example: `2026-11-01T00:00:00Z`.
    #[schemars(length(max = bounds::TIME), extend("format" = "date-time"))]
    pub from: String,

    /// Until when (RFC 3339), not included. Omitted: still open. Example: `2026-11-03T12:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::TIME), extend("format" = "date-time"))]
    pub until: Option<String>,
}

/// What the operator found.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedIdentityStatus {
    /// In one word, derived from the conditions: Active, Compromised, Expired, Expiring, Invalid,
    /// Retiring (has a successor) or Revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "KeyState")]
    pub state: Option<KeyState>,

    /// When it ends: spec.notAfter. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub expires: Option<Time>,

    /// The trusted root that its signatures are verified by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_root: Option<TrustedRoot>,

    /// How many releases have evidence of a verified signature by this identity, whatever became of it.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub releases: u32,

    /// Ready, Valid, and if so: Expiring, Revoked, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::SHORT_LIST),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,

    /// Where several replicas share the work: how many releases each range of the namespaces but the first has. The
    /// number above is of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::LIST),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["range"])
    )]
    pub shards: Vec<SignerShard>,

    /// The `metadata.generation` this status was concluded from; -1 before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1))]
    pub observed_generation: Option<i64>,
}
