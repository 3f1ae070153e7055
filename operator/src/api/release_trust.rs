//! `ReleaseTrust`: the verdict on one release, what it rests on, and since when.

use charttrust_verify::verdict;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;
pub use super::bundle_evidence::{
    BundleEvidence, BundleOutcome, BundleSigner, BundlesEvidence, Incomplete,
};
use super::conditions::{Condition, ReleaseCondition, find};
use super::schema;
use super::source_words::is_false;
pub use super::source_words::{Binding, Mirrored, ProvenanceProblem, SourceAnswer};
pub use super::witness::Witness;

/// Nothing: all of it is status, because only the operator writes it.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "charttrust.io",
    version = "v1alpha1",
    kind = "ReleaseTrust",
    plural = "releasetrusts",
    shortname = "rtrust",
    category = "charttrust",
    namespaced,
    no_spec,
    status = "ReleaseTrustStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "The verdict on one Helm release: whether the chart behind it is trusted, why, by what evidence, and since when. Written by the operator, in the namespace of the stored release record and under the release's name.",
    selectable = ".status.reason",
    selectable = ".status.signer",
    printcolumn(
        name = "Trusted",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Trusted")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Trusted")].reason"#
    ),
    printcolumn(name = "Chart", type_ = "string", json_path = ".status.release.chart"),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.release.version"
    ),
    printcolumn(name = "Signer", type_ = "string", json_path = ".status.signer"),
    printcolumn(
        name = "Since",
        type_ = "date",
        json_path = r#".status.conditions[?(@.type=="Trusted")].lastTransitionTime"#
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Policy",
        type_ = "string",
        json_path = ".status.policies[0].policy",
        priority = 1
    ),
    printcolumn(
        name = "Source",
        type_ = "string",
        json_path = ".status.evidence.sources[0].url",
        priority = 1
    ),
    printcolumn(
        name = "Digest",
        type_ = "string",
        json_path = ".status.evidence.sources[0].archive",
        priority = 1
    )
)]
pub struct ReleaseTrustSpec {}

impl ReleaseTrust {
    /// The verdict, if there is one.
    pub fn verdict(&self) -> Option<&Condition> {
        find(&self.status.as_ref()?.conditions, ReleaseCondition::Trusted)
    }
}

/// The verdict and what it rests on.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseTrustStatus {
    /// The `metadata.generation` this status was concluded from; -1 before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1))]
    pub observed_generation: Option<i64>,

    /// The value of the annotation `charttrust.io/requestedAt` that was last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::VERSION))]
    pub last_handled_reconcile_at: Option<String>,

    /// The judged revision of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,

    /// The reason of the condition Trusted, where that is not True. For `--field-selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::WORD))]
    pub reason: Option<String>,

    /// Who vouches, for people: names of the TrustedKeys, or the claimed key ID if none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::NAME))]
    pub signer: Option<String>,

    /// Ready, Trusted (True, False or Unknown, with the reason), Fresh, and if so: Quarantined,
    /// Reconciling.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::SHORT_LIST),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,

    /// Every signature that the provenance carries, also by keys that are not known, and every Sigstore signature
    /// that was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::LONG_LIST), extend("x-kubernetes-list-type" = "atomic"))]
    pub signers: Vec<Signer>,

    /// What is known of the archive behind the release. Kept for good: a revocation is judged by
    /// it without any download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,

    /// Single facts that were checked: failures, doubts and notes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::LONG_LIST), extend("x-kubernetes-list-type" = "atomic"))]
    pub findings: Vec<Finding>,

    /// What each policy that applies says, exceptions included. The worst is the verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::LONG_LIST), extend("x-kubernetes-list-type" = "atomic"))]
    pub policies: Vec<PolicyVerdict>,
}

/// The judged revision of a release.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Where the record lies: Secret, ConfigMap, or Application (Argo CD keeps no record).
    /// Absent: Secret.
    #[serde(default, skip_serializing_if = "Driver::is_secret")]
    pub driver: Driver,

    /// Number of the revision.
    #[schemars(range(min = 0))]
    pub revision: i64,

    /// Name of the chart, as the record says.
    #[schemars(length(max = bounds::NAME))]
    pub chart: String,

    /// Version of the chart, as the record says.
    #[schemars(length(max = bounds::VERSION))]
    pub version: String,

    /// Who deploys it: Helm, Flux, ArgoCD or K3s, by the object of theirs that names this record.
    pub owner: Owner,

    /// The record's resourceVersion that was judged.
    #[schemars(length(max = bounds::WORD))]
    pub resource_version: String,
}

/// Where a release record lies.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Driver {
    /// No record: an Argo CD Application.
    Application,
    /// Helm's ConfigMap driver.
    ConfigMap,
    /// Helm's Secret driver.
    #[default]
    Secret,
}

impl Driver {
    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_secret(&self) -> bool {
        *self == Self::Secret
    }
}

/// Who deploys a release.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Owner {
    /// An Argo CD Application.
    ArgoCD,
    /// A Flux HelmRelease.
    Flux,
    /// A person or a pipeline.
    Helm,
    /// A k3s HelmChart.
    K3s,
}

/// One signature: of the provenance, or of Sigstore.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signer {
    /// Primary fingerprint if the key is known, else the fingerprint or key ID that the signature
    /// claims. Of Sigstore, the digest of the public key; empty for an identity.
    #[schemars(length(max = bounds::DIGEST))]
    pub fingerprint: String,

    /// Of Sigstore: who has told the certificate authority who it is, as the certificate says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::FACT))]
    pub issuer: Option<String>,

    /// Of Sigstore: who it is, as the certificate says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::FACT))]
    pub subject: Option<String>,

    /// Fingerprint of the subkey that signed. Absent: the primary key did, or it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::FINGERPRINT))]
    pub subkey: Option<String>,

    /// When it claims to be made; of Sigstore, when it is proven to have been there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub signed_at: Option<Time>,

    /// When the signature itself expires. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub expires_at: Option<Time>,

    /// Key and hash algorithm, such as `RSA-4096/SHA512`, or `Sigstore`.
    #[schemars(length(max = bounds::WORD))]
    pub algorithm: String,

    /// Whether it holds cryptographically. Says nothing about the key's life. An attestation of Sigstore is no
    /// signature, so that none holds.
    pub verified: bool,

    /// What is wrong with it, in one word, if it does not hold, or holds and its key could not sign
    /// this; NotASignature of an attestation. Absent otherwise, and if no known key is its issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::WORD))]
    pub fault: Option<String>,

    /// Digest of the provenance that carries it. Absent if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DIGEST))]
    pub provenance: Option<String>,

    /// Of Sigstore: digest of the signature itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DIGEST))]
    pub bundle: Option<String>,
}

/// What is known of the archive behind a release.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Digest of the record's signed parts. Evidence is about this content only.
    #[schemars(length(max = bounds::DIGEST))]
    pub content: String,

    /// What each source that was asked has answered. The origin comes first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::LIST), extend("x-kubernetes-list-type" = "atomic"))]
    pub sources: Vec<SourceEvidence>,

    /// What the repositories of subcharts have answered, where a rule says dependencies: Verify.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::LIST), extend("x-kubernetes-list-type" = "atomic"))]
    pub dependencies: Vec<SourceEvidence>,

    /// What else was verified, and when first, of revisions that are judged beside this one or were before it,
    /// their subcharts included: a key may be revoked with grandfather: Witnessed. Each is half of a digest
    /// over the digests of archive and provenance, and seconds since 1970, in base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::WITNESSES),
        inner(length(max = bounds::WITNESS)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub earlier: Vec<String>,

    /// The same, as earlier versions have written it; read, and written no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::SHORT_LIST), extend("x-kubernetes-list-type" = "atomic"))]
    pub witnesses: Vec<Witness>,

    /// The operator's seal (a signature in base64) over this evidence and the signers. Evidence
    /// without a valid seal is gathered again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::SIGNATURE))]
    pub tag: Option<String>,
}

/// A chart within an archive.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BundledChart {
    /// Its name.
    #[schemars(length(max = bounds::VERSION))]
    pub name: String,

    /// Its version.
    #[schemars(length(max = bounds::VERSION))]
    pub version: String,

    /// Where Chart.lock or Chart.yaml says that it comes from. Absent: they name no place that can be
    /// asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::URL))]
    pub repository: Option<String>,

    /// Digest of its content, as of its own archive.
    #[schemars(length(max = bounds::DIGEST))]
    pub content: String,
}

/// What one source has answered, and how it compares with the release.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceEvidence {
    /// The configured url of the source.
    #[schemars(length(max = bounds::URL))]
    pub url: String,

    /// Archive: it has the chart and version. Ambiguous: its archive can be read in more than one
    /// way. NotFound: its valid, fresh index does not list the version. Unavailable: it gave no
    /// usable answer. Absent: Archive.
    #[serde(default, skip_serializing_if = "SourceAnswer::is_archive")]
    pub answer: SourceAnswer,

    /// What exactly the problem of archive or provenance is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::MESSAGE))]
    pub message: Option<String>,

    /// sha256 of the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DIGEST))]
    pub archive: Option<String>,

    /// Name in the archive's Chart.yaml, if it is not the release's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::NAME))]
    pub chart: Option<String>,

    /// Version in the archive's Chart.yaml, if it is not the release's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::VERSION))]
    pub version: Option<String>,

    /// Whether the release is made of the archive: Same, Different, OldWriter (differs only as an
    /// old Helm writes records) or NoRecord (nothing to compare with).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Binding")]
    pub binding: Option<Binding>,

    /// A few of the differences between release and archive; for Same, those that do not matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = bounds::SHORT_LIST),
        inner(length(max = bounds::MESSAGE)),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub differences: Vec<String>,

    /// Whether the archive carries subcharts. Absent: it does not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub subcharts: bool,

    /// The subcharts that it carries. One more than 64 says that there are more, and none is looked at then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::SUBCHARTS), extend("x-kubernetes-list-type" = "atomic"))]
    pub dependencies: Vec<BundledChart>,

    /// Digest of the content of a subchart's own archive, however it was packaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DIGEST))]
    pub content: Option<String>,

    /// Whether the source's index names another digest. Absent: it does not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub index_disagrees: bool,

    /// What a mirror served, and the source itself did not: Archive (and what is beside it),
    /// Provenance or Nothing. It can give trust, and takes none. Elsewhere: the provenance, from its own
    /// url, before trust has rested on it. Absent: Nothing.
    #[serde(default, skip_serializing_if = "Mirrored::is_nothing")]
    pub mirrored: Mirrored,

    /// Whether trust has never rested on this answer: while another source is silent it can give
    /// trust, and takes none. Absent: it has.
    #[serde(default, skip_serializing_if = "is_false")]
    pub provisional: bool,

    /// sha256 of the provenance. Absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DIGEST))]
    pub provenance: Option<String>,

    /// Why there is no usable provenance: Malformed, Missing, TooLarge or Unavailable. Absent if there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ProvenanceProblem")]
    pub provenance_problem: Option<ProvenanceProblem>,

    /// Chart name in the signed statement, if it is not the release's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::NAME))]
    pub signed_chart: Option<String>,

    /// Chart version in the signed statement, if it is not the release's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::VERSION))]
    pub signed_version: Option<String>,

    /// Archive digest in the signed statement, if it is not the archive's; empty if the statement
    /// names no archive of this chart and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DIGEST))]
    pub signed_archive: Option<String>,

    /// When this operator first verified a signature of this very archive by a known key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub first_verified: Option<Time>,

    /// Its Sigstore signatures. Absent: nobody has looked for any, as no rule lists anybody who makes such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundles: Option<Box<BundlesEvidence>>,
}

impl SourceEvidence {
    /// An answer of which nothing else is known.
    pub fn new(url: &str, answer: SourceAnswer) -> Self {
        Self {
            url: url.to_owned(),
            answer,
            message: None,
            archive: None,
            chart: None,
            version: None,
            binding: None,
            differences: Vec::new(),
            subcharts: false,
            dependencies: Vec::new(),
            content: None,
            index_disagrees: false,
            mirrored: Mirrored::Nothing,
            provisional: false,
            provenance: None,
            provenance_problem: None,
            signed_chart: None,
            signed_version: None,
            signed_archive: None,
            first_verified: None,
            bundles: None,
        }
    }
}

/// One fact that was checked.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which fact, in one word of the vocabulary of reasons, or a note such as Republished.
    #[schemars(length(min = 1, max = bounds::WORD))]
    pub reason: String,

    /// What exactly.
    #[schemars(length(max = bounds::MESSAGE))]
    pub message: String,

    /// The policy under which it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::NAME))]
    pub policy: Option<String>,
}

/// What one policy says.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyVerdict {
    /// Name of the policy.
    #[schemars(length(max = bounds::NAME))]
    pub policy: String,

    /// The rule that decided. Absent if the policy cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::LABEL))]
    pub rule: Option<String>,

    /// Trusted, Untrusted or Unknown.
    pub verdict: Verdict,

    /// Why, in one word.
    #[schemars(length(min = 1, max = bounds::WORD))]
    pub reason: String,

    /// The exception that forgives, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::LABEL))]
    pub exception: Option<String>,
}

/// The answer of a policy.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Verdict {
    /// Proof was found.
    Trusted,
    /// We could not find out.
    Unknown,
    /// We know, and the answer is no.
    Untrusted,
}

impl From<verdict::Verdict> for Verdict {
    fn from(verdict: verdict::Verdict) -> Self {
        match verdict {
            verdict::Verdict::Trusted(_) => Self::Trusted,
            verdict::Verdict::Unknown(_) => Self::Unknown,
            verdict::Verdict::Untrusted(_) => Self::Untrusted,
        }
    }
}

#[cfg(test)]
mod tests {
    use charttrust_verify::verdict::Basis;

    use super::super::conditions::{ConditionReason, ReleaseCondition, Status};
    use super::super::reasons::ReleaseReason;
    use super::*;

    const DIGEST: &str = "sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

    fn condition(
        type_: ReleaseCondition,
        reason: impl ConditionReason,
        message: &str,
    ) -> Condition {
        let now = "2026-11-18T00:00:00Z".parse().unwrap();
        Condition::new(type_, (Status::True, reason), message, 1, now)
    }

    fn ordinary() -> ReleaseTrustStatus {
        ReleaseTrustStatus {
            observed_generation: Some(1),
            release: Some(Release {
                driver: Driver::Secret,
                revision: 7,
                chart: "payments".to_owned(),
                version: "2.4.1".to_owned(),
                owner: Owner::Helm,
                resource_version: "1234567".to_owned(),
            }),
            signer: Some("platform-2026".to_owned()),
            conditions: vec![
                condition(ReleaseCondition::Ready, ReleaseReason::Evaluated, ""),
                condition(ReleaseCondition::Trusted, Basis::SignatureVerified, ""),
                condition(ReleaseCondition::Fresh, ReleaseReason::LookSucceeded, ""),
            ],
            signers: vec![Signer {
                fingerprint: "272855BE2326D757EEFF53968847F310E4F26D44".to_owned(),
                subkey: None,
                signed_at: Some(super::super::time("2026-11-17T00:00:00Z".parse().unwrap())),
                expires_at: None,
                algorithm: "RSA-4096/SHA512".to_owned(),
                verified: true,
                fault: None,
                provenance: None,
                issuer: None,
                subject: None,
                bundle: None,
            }],
            evidence: Some(Evidence {
                content: "Dx4tPEtaaXiHlqW0w9Lh8A8eLTxLWml4h5altMPS4fA".to_owned(),
                earlier: Vec::new(),
                witnesses: Vec::new(),
                dependencies: Vec::new(),
                sources: vec![origin()],
                tag: Some("bWVzc2FnZSBhdXRoZW50aWNhdGlvbiBjb2RlIDEyMw==".to_owned()),
            }),
            policies: vec![PolicyVerdict {
                policy: "platform".to_owned(),
                rule: Some("in-house".to_owned()),
                verdict: Verdict::Trusted,
                reason: "SignatureVerified".to_owned(),
                exception: None,
            }],
            ..ReleaseTrustStatus::default()
        }
    }

    fn origin() -> SourceEvidence {
        let first_verified = super::super::time("2026-11-18T00:00:00Z".parse().unwrap());
        SourceEvidence {
            archive: Some(DIGEST.to_owned()),
            binding: Some(Binding::Same),
            provenance: Some(DIGEST.to_owned()),
            first_verified: Some(first_verified),
            ..SourceEvidence::new("https://charts.example.com", SourceAnswer::Archive)
        }
    }

    #[test]
    fn an_ordinary_status_is_at_most_1_2_kb() {
        let size = serde_json::to_string(&ordinary()).unwrap().len();
        assert!(size <= 12 * 1024 / 10, "{size} bytes");
    }

    #[test]
    fn a_status_reads_back_equal() {
        let json = serde_json::to_string(&ordinary()).unwrap();
        assert_eq!(
            serde_json::from_str::<ReleaseTrustStatus>(&json).unwrap(),
            ordinary()
        );
        assert!(!json.contains("null"), "{json}");
    }

    #[test]
    fn an_object_without_status_reads_back_equal() {
        let object = ReleaseTrust::default();
        let json = serde_json::to_value(&object).unwrap();
        assert_eq!(
            serde_json::from_value::<ReleaseTrust>(json).unwrap(),
            object
        );
    }
}
