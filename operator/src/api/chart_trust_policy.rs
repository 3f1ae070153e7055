//! `ChartTrustPolicy`: which releases must be vouched for, by whom, how strictly, and what follows.

use charttrust_verify::scheme::Scheme;
use charttrust_verify::verdict::{Class, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::admission::{Admission, Lookup, Mode, OnUnknown};
use super::bounds;
pub use super::policy_status::{
    ChartTrustPolicyStatus, Coverage, PolicyShard, QuarantineCounts, ReleaseCounts, UnknownCount,
};
use super::quarantine_words::QuarantineAction;
use super::schema;
pub use super::signers::Signers;
pub use super::source_login::{KubernetesToken, NameRef, ProvenanceSource};

/// Which releases, what is demanded of them, what is forgiven, what follows.
#[derive(CustomResource, Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "charttrust.io",
    version = "v1alpha1",
    kind = "ChartTrustPolicy",
    plural = "charttrustpolicies",
    shortname = "ctp",
    category = "charttrust",
    status = "ChartTrustPolicyStatus",
    derive = "PartialEq",
    doc = "Which releases must be vouched for, by whom, how strictly, and what follows. Several policies may apply to a release: all must be satisfied, and the worst verdict wins.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Compliant",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Compliant")].status"#
    ),
    printcolumn(
        name = "Total",
        type_ = "integer",
        json_path = ".status.releases.total"
    ),
    printcolumn(
        name = "Trusted",
        type_ = "integer",
        json_path = ".status.releases.trusted"
    ),
    printcolumn(
        name = "Untrusted",
        type_ = "integer",
        json_path = ".status.releases.untrusted"
    ),
    printcolumn(
        name = "Unknown",
        type_ = "integer",
        json_path = ".status.releases.unknown"
    ),
    printcolumn(
        name = "Unmanaged",
        type_ = "integer",
        json_path = ".status.releases.unmanaged"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    printcolumn(
        name = "Suspended",
        type_ = "boolean",
        json_path = ".spec.suspend",
        priority = 1
    ),
    printcolumn(
        name = "Interval",
        type_ = "string",
        json_path = ".spec.interval",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ChartTrustPolicySpec {
    /// Stops looks at sources, events and new quarantines of this policy. Judging goes on.
    /// Default false.
    #[serde(default)]
    pub suspend: bool,

    /// What a bad verdict means for new installs and upgrades. Warn and Enforce need the admission webhook
    /// (`admission.enabled` of the chart). Default Audit.
    #[serde(default)]
    pub mode: Mode,

    /// What the webhook does where it cannot tell. Nothing in mode Audit.
    #[serde(default)]
    pub admission: Admission,

    /// How often sources are looked at again, as a Go duration of at least one second.
    /// Default 1h. Example: `30m`.
    #[serde(default = "default_interval")]
    #[schemars(
        length(max = bounds::DURATION),
        regex(pattern = bounds::DURATION_PATTERN),
        extend("x-kubernetes-validations" = [{
            "rule": "duration(self) >= duration('1s')",
            "message": "interval must be at least 1s, for example 1h",
        }])
    )]
    pub interval: String,

    /// Which releases the policy is about. Omitted: all.
    #[serde(default, rename = "match")]
    pub selection: Match,

    /// What is demanded. The first rule whose charts match decides; a release that no rule
    /// matches is not judged by this policy.
    #[schemars(
        length(min = 1, max = bounds::LIST),
        extend(
            "x-kubernetes-list-type" = "atomic",
            "x-kubernetes-validations" = [{
                "rule": "self.all(one, self.exists_one(other, other.name == one.name))",
                "message": "give each rule a name of its own: verdicts are reported by it",
            }]
        )
    )]
    pub rules: Vec<Rule>,

    /// Failures that are forgiven for a time. The real verdict stays visible as a finding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::LIST),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub exceptions: Vec<Exception>,

    /// Containment of releases whose key was revoked. Omitted: none is recommended or made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<QuarantineSpec>,
}

/// Which releases a policy is about.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// Labels of the namespaces to look in. Omitted: every namespace.
    /// Example: `{matchLabels: {env: prod}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::label_selector")]
    pub namespace_selector: Option<LabelSelector>,

    /// Names of namespaces to leave out. Example: `[kube-system]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::LONG_LIST),
        inner(length(min = 1, max = bounds::LABEL), regex(pattern = bounds::LABEL_PATTERN)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub exclude_namespaces: Vec<String>,

    /// Globs of `name` or `namespace/name` of the ReleaseTrust (`*` any run of characters, `?`
    /// one). Default `["*"]`. Example: `["shop/*", "payments"]`.
    #[serde(default = "every_release")]
    #[schemars(
        length(min = 1, max = bounds::LIST),
        inner(length(min = 1, max = bounds::GLOB), regex(pattern = bounds::RELEASE_GLOB_PATTERN)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub releases: Vec<String>,
}

/// What is demanded of some charts.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Name of the rule, unique in the policy. Example: `in-house`.
    #[schemars(length(min = 1, max = bounds::LABEL), regex(pattern = bounds::LABEL_PATTERN))]
    pub name: String,

    /// Globs of chart names that this rule decides about (`*` any run of characters, `?` one).
    /// Example: `["payments", "shop-*"]`.
    #[schemars(
        length(min = 1, max = bounds::LIST),
        inner(length(min = 1, max = bounds::NAME), regex(pattern = bounds::CHART_GLOB_PATTERN)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub charts: Vec<String>,

    /// Versions that are allowed, in Helm's constraint syntax. A requirement, not a filter: a
    /// chart outside it is VersionNotAllowed. Omitted: every version. Example: `>=2.0.0 <4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = bounds::VERSION))]
    pub versions: Option<String>,

    /// Where these charts are published. All are tried; the archive whose content is the
    /// release's is the origin. Omitted: only pins and what is already known can satisfy the
    /// rule, else the verdict is SourceUnknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::SHORT_LIST), extend("x-kubernetes-list-type" = "atomic"))]
    pub sources: Vec<Source>,

    /// How strictly, and whom to believe. Omitted: level Strict, and nobody is believed.
    #[serde(default)]
    pub verify: Verify,

    /// Archives pinned by digest. A pin stands in for a missing signature, never for a revoked
    /// one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::LONG_LIST), extend("x-kubernetes-list-type" = "atomic"))]
    pub digests: Vec<PinnedDigest>,
}

/// Where charts are published.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.credentialsSecretRef) || !has(self.kubernetesToken)",
    "message": "kubernetesToken stands instead of credentialsSecretRef, remove one of them",
}]))]
pub struct Source {
    /// Its address, by scheme.
    #[schemars(
        description = described_schemes(),
        length(max = bounds::URL),
        regex(pattern = bounds::source_pattern()),
        extend("x-kubernetes-validations" = no_index("!self.endsWith('/index.yaml') && !self.endsWith('/index.yaml/')"))
    )]
    pub url: String,

    /// The repository itself, where its name is not that of the chart: instead of `url` and the
    /// name. Only beside an `oci://` url, in a rule about one chart. Credentials go to its
    /// registry, and key scopes look at it instead of url. Example: `oci://ghcr.io/example/helm-shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::URL), regex(pattern = bounds::repository_pattern()))]
    pub repository: Option<String>,

    /// Other addresses of the same charts, asked in order if the first gives no answer. Key
    /// scopes look at url only. Example: `["https://charts-backup.example.com"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::SHORT_LIST),
        inner(length(max = bounds::URL), regex(pattern = bounds::source_pattern())),
        extend(
            "x-kubernetes-list-type" = "atomic",
            "x-kubernetes-validations" = no_index("self.all(one, !one.endsWith('/index.yaml') && !one.endsWith('/index.yaml/'))"),
        )
    )]
    pub mirrors: Vec<String>,

    /// Secret in the operator's namespace with `username` and `password`, `bearerToken`, `.dockerconfigjson`, or
    /// `tls.crt` and `tls.key`. Omitted: asked without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<NameRef>,

    /// Instead of a Secret: a token of the operator's own ServiceAccount, sent to this url as bearer. Only for
    /// an audience that `--token-audience` of the operator pairs with its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_token: Option<KubernetesToken>,

    /// Object in the operator's namespace whose `ca.crt` (PEM) is trusted for this source.
    /// Omitted: the usual public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CaRef>,

    /// Where the `.prov` files are, if they do not lie beside the archives. Omitted: beside the archives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<ProvenanceSource>,
}

/// The index would be looked for below itself.
fn no_index(rule: &str) -> serde_json::Value {
    serde_json::json!([{"rule": rule, "message": "name the folder that index.yaml lies in"}])
}

fn described_schemes() -> String {
    let described = Scheme::ALL
        .iter()
        .map(|scheme| format!("`{}://`: {}.", scheme.word(), scheme.publishes()));
    let described: Vec<_> = described.collect();
    format!(
        "The address, without user, query or fragment. {} Example: `https://charts.example.com`.",
        described.join(" ")
    )
}

/// An object in the operator's namespace that holds `ca.crt`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaRef {
    /// Secret or ConfigMap. Default Secret.
    #[serde(default)]
    pub kind: CaKind,

    /// Name of the object. Example: `charts-ca`.
    #[schemars(length(min = 1, max = bounds::NAME), regex(pattern = bounds::NAME_PATTERN))]
    pub name: String,
}

/// The kind of the object that holds `ca.crt`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum CaKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    #[default]
    Secret,
}

/// How strictly a chart is checked, and whom to believe.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// Strict also compares the running release with the signed archive; Signature checks what
    /// `helm verify` checks; None checks nothing, on purpose, and shows as Unmanaged, never as
    /// trusted. Default Strict.
    #[serde(default)]
    pub level: Level,

    /// Whom to believe. Omitted: nobody, so that only pins can satisfy the rule.
    #[serde(default)]
    pub signers: Signers,

    /// What the end of a key's life means for signatures made before it: AcceptIfSignedBefore
    /// or Reject. Governs expiry and notAfter only, never revocation.
    /// Default AcceptIfSignedBefore.
    #[serde(default)]
    pub expired_keys: ExpiredKeys,

    /// Inherit: the chart's signature covers its subcharts. Verify: each subchart must itself be
    /// signed by the signers of the rule, as its own archive in the repository that Chart.lock or
    /// Chart.yaml name, and be what that archive holds. Default Inherit.
    #[serde(default)]
    pub dependencies: Dependencies,
}

/// How much is checked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Level {
    /// Nothing, on purpose.
    None,
    /// What `helm verify` checks.
    Signature,
    /// Also that the running release is what was signed.
    #[default]
    Strict,
}

/// What the end of a key's life means for signatures made before it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ExpiredKeys {
    /// A signature made while the key was alive stays good.
    #[default]
    AcceptIfSignedBefore,
    /// Nothing signed by an expired key is good.
    Reject,
}

/// Whether subcharts need signatures of their own.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Dependencies {
    /// The chart's signature covers its subcharts.
    #[default]
    Inherit,
    /// Each subchart must itself be signed.
    Verify,
}

/// An archive pinned by digest.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PinnedDigest {
    /// Exact name of the chart. Example: `payments`.
    #[schemars(length(min = 1, max = bounds::NAME))]
    pub chart: String,

    /// Exact version. Example: `2.4.1`.
    #[schemars(length(min = 1, max = bounds::VERSION))]
    pub version: String,

    /// sha256 of the `.tgz`: `sha256:` and 64 lowercase hexadecimal digits, as `sha256sum` and
    /// `helm pull` from a registry print it.
    #[schemars(length(max = bounds::DIGEST), regex(pattern = bounds::DIGEST_PATTERN))]
    pub digest: String,
}

/// A failure that is forgiven for a time.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exception {
    /// Name of the exception, unique in the policy. Example: `payments-hotfix`.
    #[schemars(length(min = 1, max = bounds::LABEL), regex(pattern = bounds::LABEL_PATTERN))]
    pub name: String,

    /// Globs of `name` or `namespace/name` (`*` any run of characters, `?` one).
    /// Example: `["shop/payments"]`.
    #[schemars(
        length(min = 1, max = bounds::LIST),
        inner(length(min = 1, max = bounds::GLOB), regex(pattern = bounds::RELEASE_GLOB_PATTERN)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub releases: Vec<String>,

    /// The reasons that are forgiven. It works only if it names every failing reason of the
    /// release under this policy; there is no wildcard. Example: `[Unsigned]`.
    #[schemars(
        with = "Vec<schema::FailingReason>",
        length(min = 1, max = bounds::LIST),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub reasons: Vec<Reason>,

    /// From this instant on it forgives nothing (RFC 3339). Example: `2026-12-15T00:00:00Z`.
    #[schemars(length(max = bounds::TIME), extend("format" = "date-time"))]
    pub expires_at: String,

    /// Why, for people. Example: `signing job broken, SEC-1234`.
    #[schemars(length(min = 1, max = bounds::TEXT))]
    pub justification: String,
}

/// When and how releases are contained.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineSpec {
    /// The verdicts that lead to containment.
    #[schemars(
        with = "Vec<schema::BadnessReason>",
        description = schema::described_badness(),
        length(min = 1, max = Class::Badness.reasons().count()),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub on_reasons: Vec<Reason>,

    /// Manual: containment is recommended in status and events; a person approves it by creating
    /// a Quarantine. Automatic: the operator creates it. Default Manual.
    #[serde(default)]
    pub approval: Approval,

    /// What containment does, in the order of the actions.
    #[schemars(
        description = QuarantineAction::described(),
        length(min = 1, max = QuarantineAction::ALL.len()),
        extend("x-kubernetes-list-type" = "set", "x-kubernetes-validations" = super::quarantine_words::freeze_pauses())
    )]
    pub actions: Vec<QuarantineAction>,

    /// How long the verdict must hold first, as a Go duration; a restart of the operator starts
    /// it again. Default 5m. Example: `30s`.
    #[serde(default = "default_after")]
    #[schemars(length(max = bounds::DURATION), regex(pattern = bounds::DURATION_PATTERN))]
    pub after: String,

    /// How many releases may be contained automatically at a time. If those due do not fit, none
    /// starts and the condition QuarantineStopped names them. Releases without a workload or
    /// deployer of their own do not count.
    #[serde(default)]
    pub limit: QuarantineLimit,
}

/// Who starts a quarantine.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Approval {
    /// The operator creates the Quarantine.
    Automatic,
    /// A person approves it by creating the Quarantine.
    #[default]
    Manual,
}

/// How many releases may be contained automatically: in all the smaller of maxReleases and
/// maxPercent, at least one; and in one namespace maxPerNamespace.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineLimit {
    /// Number of releases. Default 5.
    #[serde(default = "default_max_releases")]
    #[schemars(with = "i32", range(min = 1, max = 10_000))]
    pub max_releases: u32,

    /// Percentage of the releases that the policy matches, rounded down. Default 10.
    #[serde(default = "default_max_percent")]
    #[schemars(with = "i32", range(min = 1, max = 100))]
    pub max_percent: u32,

    /// Number of releases in one namespace. If more are due there, none of those starts, and they
    /// count nothing for the other two numbers: whoever may write one namespace uses up no other's.
    /// Default 3.
    #[serde(default = "default_max_per_namespace")]
    #[schemars(with = "i32", range(min = 1, max = 10_000))]
    pub max_per_namespace: u32,
}

impl Default for Match {
    fn default() -> Self {
        Self {
            namespace_selector: None,
            exclude_namespaces: Vec::new(),
            releases: every_release(),
        }
    }
}

impl Default for QuarantineLimit {
    fn default() -> Self {
        Self {
            max_releases: default_max_releases(),
            max_percent: default_max_percent(),
            max_per_namespace: default_max_per_namespace(),
        }
    }
}

fn default_interval() -> String {
    "1h".to_owned()
}

fn default_after() -> String {
    "5m".to_owned()
}

fn default_max_releases() -> u32 {
    5
}

fn default_max_percent() -> u32 {
    10
}

fn default_max_per_namespace() -> u32 {
    3
}

fn every_release() -> Vec<String> {
    vec!["*".to_owned()]
}
