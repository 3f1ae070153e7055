//! `TrustedKey`: an OpenPGP key, or the public key of cosign, that may vouch for charts.

use clap::ValueEnum;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;
use super::conditions::Condition;
use super::data_ref::DataRef;
use super::schema;
use super::shards::SignerShard;
use super::trusted_root::{TrustedRoot, TrustedRootRef};

/// Which key it is, what it may speak for, and how its life ends.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "charttrust.io",
    version = "v1alpha1",
    kind = "TrustedKey",
    plural = "trustedkeys",
    shortname = "tkey",
    category = "charttrust",
    status = "TrustedKeyStatus",
    derive = "PartialEq",
    doc = "A key that may vouch for charts, of OpenPGP or of cosign: which key it is, what it may speak for, and how its life ends. Nothing is trusted because of a key alone; a ChartTrustPolicy must list it.",
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
        name = "Fingerprint",
        type_ = "string",
        json_path = ".spec.fingerprint",
        priority = 1
    ),
    printcolumn(
        name = "Owner",
        type_ = "string",
        json_path = ".spec.owner",
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
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "(self.type == 'PublicKey') == self.fingerprint.startsWith('sha256:')",
        "message": "a PublicKey has a fingerprint sha256:… of its DER form, an OpenPGP key one of 40 or 64 digits",
    },
    {
        "rule": "self.type == 'PublicKey' || !(has(self.transparency) || has(self.trustedRootRef))",
        "message": "transparency and trustedRootRef are for type PublicKey only",
    },
    {
        "rule": "self.type == 'OpenPGP' || !(has(self.refresh) || has(self.revocationCertificates))",
        "message": "refresh and revocationCertificates are for type OpenPGP only",
    },
]))]
pub struct TrustedKeySpec {
    /// What kind of key it is. OpenPGP: signs `.prov` files. PublicKey: signs as `cosign sign --key` does.
    /// Cannot be changed, as the fingerprint cannot. Default OpenPGP.
    #[serde(default, rename = "type", skip_serializing_if = "KeyType::is_default")]
    #[schemars(extend("default" = "OpenPGP"))]
    pub key_type: KeyType,

    /// Which key it is. Of OpenPGP: the full fingerprint of the primary key, 40 or 64 hexadecimal digits, in
    /// either case, without spaces, as `gpg --show-keys --with-colons FILE` shows it. Of a PublicKey: `sha256:`
    /// and the digest of its DER form, as `charttrust key show FILE` shows it. It pins the key: material that
    /// does not contain this key is refused. Cannot be changed.
    /// Example: `1111222233334444555566667777888899990000`.
    #[schemars(
        length(min = 40, max = bounds::DIGEST),
        regex(pattern = bounds::ANY_FINGERPRINT_PATTERN),
        extend("x-kubernetes-validations" = [{
            "rule": "self.lowerAscii() == oldSelf.lowerAscii()",
            "message": "fingerprint cannot be changed; create another TrustedKey for another key",
        }])
    )]
    pub fingerprint: String,

    /// Where the key material is. Exactly one of inline, configMapRef and secretRef. Several
    /// armor blocks of OpenPGP may follow each other; only the key of this fingerprint is used, and
    /// revocations of it count wherever they stand.
    pub public_key: PublicKey,

    /// Whether a signature has to be public. IfPresent: what it carries of a log or a timestamp is checked.
    /// Required: there must be one, under the trusted root. PublicKey only. Omitted: IfPresent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Transparency")]
    pub transparency: Option<Transparency>,

    /// The trusted root (`trusted_root.json`) by which log entries and timestamps are checked. PublicKey only.
    /// Omitted: that of the public instance of Sigstore, which is compiled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_root_ref: Option<TrustedRootRef>,

    /// Where to look for revocations of this key now and then. OpenPGP only. A refresh can only take trust
    /// away: new user IDs, keys or a longer life are ignored until the object itself is changed.
    /// Omitted: never refreshed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Refresh>,

    /// Who answers for this key. Free text for people. Example: `Platform team, #platform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::LONG_LIST))]
    pub owner: Option<String>,

    /// What this key may speak for, whatever policies list it. Omitted: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,

    /// Our own end date (RFC 3339), judged like an expiry inside the key: signatures made later
    /// never count, earlier ones as the policy's expiredKeys says. Omitted: only the key's own
    /// expiry counts. Example: `2027-03-31T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::TIME), extend("format" = "date-time"))]
    pub not_after: Option<String>,

    /// Name of the TrustedKey that takes over. Says that this key is being retired; changes no
    /// verdict. Example: `platform-2027`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = bounds::NAME), regex(pattern = bounds::NAME_PATTERN))]
    pub successor: Option<String>,

    /// Our own word that the key must no longer be believed. Revocation certificates inside the
    /// key count as well. Removing it gives trust back. Omitted: not revoked by us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,

    /// Bare revocation certificates (armored), as `gpg --gen-revoke` makes them. OpenPGP only. One that
    /// verifies can never be taken back, not even by removing it here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::SHORT_LIST),
        inner(length(min = 1, max = bounds::CERTIFICATE)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub revocation_certificates: Vec<String>,
}

/// What kind of key it is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum KeyType {
    /// Signs provenance files, as `helm package --sign` writes them.
    #[default]
    OpenPGP,
    /// Signs manifests and archives, as `cosign sign --key` does.
    PublicKey,
}

impl KeyType {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a signature has to be public.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Transparency {
    /// What is there is checked.
    IfPresent,
    /// A log entry or a timestamp under the trusted root must be there.
    Required,
}

/// Where the key material is.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "[has(self.inline), has(self.configMapRef), has(self.secretRef)]\
        .exists_one(given, given)",
    "message": "set exactly one of inline, configMapRef and secretRef",
}]))]
pub struct PublicKey {
    /// The key itself: armored (`-----BEGIN PGP PUBLIC KEY BLOCK-----` …), as `gpg --armor
    /// --export` prints it, or of type PublicKey in PEM (`-----BEGIN PUBLIC KEY-----` …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = bounds::MATERIAL))]
    pub inline: Option<String>,

    /// An entry of a ConfigMap in the operator's namespace, armored (data) or binary
    /// (binaryData).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<DataRef>,

    /// An entry of a Secret in the operator's namespace, armored or binary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<DataRef>,
}

/// Where to look for revocations, and how often.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "[has(self.url), has(self.wkd), has(self.keyserver)].exists_one(given, given)",
    "message": "set exactly one of url, wkd and keyserver",
}]))]
pub struct Refresh {
    /// How often, as a Go duration of at least one second. Default 24h. Example: `12h`.
    #[serde(default = "default_refresh_interval")]
    #[schemars(
        length(max = bounds::DURATION),
        regex(pattern = bounds::DURATION_PATTERN),
        extend("x-kubernetes-validations" = [{
            "rule": "duration(self) >= duration('1s')",
            "message": "interval must be at least 1s, for example 24h",
        }])
    )]
    pub interval: String,

    /// An https address that serves the key. Example: `https://example.com/platform.asc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::URL), regex(pattern = r"^https://[^\s/?#@]+(/[^\s#]*)?$"))]
    pub url: Option<String>,

    /// A mail address whose domain publishes the key by Web Key Directory.
    /// Example: `charts@example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::NAME), regex(pattern = r"^[^@\s/?#]+@[^@\s/?#]+$"))]
    pub wkd: Option<String>,

    /// A key server, asked for this fingerprint. Example: `hkps://keys.openpgp.org`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::URL), regex(pattern = r"^hkps://[^\s/?#@]+/?$"))]
    pub keyserver: Option<String>,
}

/// What a key may speak for.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.charts) || has(self.sources)",
    "message": "name charts, sources or both; leave scope out if the key may speak for anything",
}]))]
pub struct Scope {
    /// Globs of chart names (`*` any run of characters, `?` one). Omitted: every chart.
    /// Example: `["shop-*"]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = bounds::LIST),
        inner(length(min = 1, max = bounds::NAME), regex(pattern = bounds::CHART_GLOB_PATTERN)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub charts: Option<Vec<String>>,

    /// URL prefixes, compared with the url that a policy configures, never with mirrors or
    /// redirects; a prefix ends at a path segment. Omitted: every source.
    /// Example: `["https://charts.example.com"]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = bounds::LIST),
        inner(length(max = bounds::URL), regex(pattern = bounds::source_pattern())),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub sources: Option<Vec<String>>,
}

/// Why and from when the key is no longer believed.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!(self.reason in ['Superseded', 'Retired']) || has(self.since)",
        "message": "set since: signatures made at or after it no longer count",
    },
    {
        "rule": "self.grandfather == 'Never' || has(self.since)",
        "message": "set since: releases verified before it are kept by grandfather Witnessed",
    },
    {
        "rule": "self.grandfather == 'Never' || self.reason in ['Compromised', 'Unspecified']",
        "message": "leave grandfather out: Superseded and Retired keep earlier signatures anyway",
    },
]))]
pub struct Revocation {
    /// Compromised and Unspecified void every signature, whatever its date, because a thief
    /// writes any date. Superseded and Retired void only signatures made at or after since.
    pub reason: RevocationReason,

    /// From when (RFC 3339). Required for Superseded, Retired and for grandfather Witnessed.
    /// Example: `2026-11-18T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::TIME), extend("format" = "date-time"))]
    pub since: Option<String>,

    /// Witnessed keeps a release trusted (reason Grandfathered) if this operator had verified
    /// that very archive before since. Only with Compromised and Unspecified. Default Never.
    #[serde(default)]
    pub grandfather: Grandfather,
}

/// Why a key was revoked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum RevocationReason {
    /// Hard: the secret is in other hands.
    #[value(help = "The secret is in other hands")]
    Compromised,
    /// Soft: the key is out of service.
    #[value(help = "The key is out of service")]
    Retired,
    /// Soft: another key has taken over.
    #[value(help = "Another key has taken over")]
    Superseded,
    /// Hard: nothing is known, so the worst is assumed.
    #[value(help = "Nothing is known, so the worst is assumed")]
    Unspecified,
}

/// Whether releases that we had verified before stay trusted.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize, ValueEnum,
)]
#[value(rename_all = "PascalCase")]
pub enum Grandfather {
    /// None stays trusted.
    #[default]
    #[value(help = "None stays trusted")]
    Never,
    /// Those whose very archive this operator had verified before `since`.
    #[value(help = "Those whose very archive the operator had verified before")]
    Witnessed,
}

/// What the operator found.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedKeyStatus {
    /// In one word, derived from the conditions: Active, Compromised, Expired, Expiring, Invalid,
    /// Retiring (has a successor) or Revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "KeyState")]
    pub state: Option<KeyState>,

    /// Algorithm and size of the primary key. Example: `RSA-4096`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::WORD))]
    pub algorithm: Option<String>,

    /// User IDs that the key itself vouches for. For people; nothing is decided by them.
    #[serde(default, rename = "userIDs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::SHORT_LIST),
        inner(length(max = bounds::LONG_LIST)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub user_ids: Vec<String>,

    /// When the key was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub created: Option<Time>,

    /// When it ends: the earlier of its own expiry and spec.notAfter. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub expires: Option<Time>,

    /// The keys that may sign: the primary key or bound subkeys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::LIST), extend("x-kubernetes-list-type" = "atomic"))]
    pub signing_keys: Vec<SigningKey>,

    /// How many releases have evidence of a cryptographically good signature by this key,
    /// whatever became of the key.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub releases: u32,

    /// The trusted root that log entries and timestamps are checked by. PublicKey only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_root: Option<TrustedRoot>,

    /// Ready, Valid, and if so: Expiring, Refreshed, Revoked, Reconciling, Stalled.
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

/// A signer in one word.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum KeyState {
    /// May vouch.
    Active,
    /// Revoked because the secret is in other hands.
    Compromised,
    /// Its life has ended.
    Expired,
    /// Its life ends soon.
    Expiring,
    /// Cannot be used; the condition Valid says why.
    Invalid,
    /// May vouch, and has a successor.
    Retiring,
    /// Revoked for another reason.
    Revoked,
}

/// A key that may sign.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningKey {
    /// Its fingerprint, in hexadecimal digits.
    #[schemars(length(max = bounds::DIGEST))]
    pub fingerprint: String,

    /// Algorithm and size. Example: `Ed25519`.
    #[schemars(length(max = bounds::WORD))]
    pub algorithm: String,

    /// When it ends. Absent: with the primary key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub expires: Option<Time>,
}

fn default_refresh_interval() -> String {
    "24h".to_owned()
}
