//! What a `ReleaseTrust` keeps of the Sigstore signatures of an archive.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;
use super::schema;
use super::source_words::is_false;

/// The Sigstore signatures of an archive.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BundlesEvidence {
    /// Those that were looked at, in the order of the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::BUNDLES), extend("x-kubernetes-list-type" = "atomic"))]
    pub signatures: Vec<BundleEvidence>,

    /// Why there may be more: LimitExceeded or SourceUnavailable. Absent: there are no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Incomplete")]
    pub incomplete: Option<Incomplete>,

    /// What exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::MESSAGE))]
    pub message: Option<String>,

    /// Whether a mirror served them, and the source itself did not. Absent: the source did.
    #[serde(default, skip_serializing_if = "is_false")]
    pub mirrored: bool,
}

/// Why not all signatures were looked at.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Incomplete {
    /// There are more, or larger ones, than are looked at.
    LimitExceeded,
    /// The source did not say what there is.
    SourceUnavailable,
}

/// One Sigstore signature, and what was found out about it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleEvidence {
    /// Digest of the signature: which one it is.
    #[schemars(length(max = bounds::DIGEST))]
    pub digest: String,

    /// Digest of the manifest that it has to be about, in a registry. Absent: of the archive itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DIGEST))]
    pub manifest: Option<String>,

    /// The layer with the chart as that manifest says, if that is not the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DIGEST))]
    pub layer: Option<String>,

    /// Whether it holds: Fault, Open (nobody who is known could have made it), Unreadable or Verified.
    /// Absent: Verified.
    #[serde(default, skip_serializing_if = "BundleOutcome::is_verified")]
    pub outcome: BundleOutcome,

    /// Who it says has signed: Identity, Key or Unreadable. Absent: as the record says, or it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BundleSigner")]
    pub signer: Option<BundleSigner>,

    /// The issuer in its certificate, where nobody has verified it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::FACT))]
    pub issuer: Option<String>,

    /// The subject in its certificate, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::FACT))]
    pub subject: Option<String>,

    /// The public key that has made it, or is said to have, where it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::DIGEST))]
    pub key: Option<String>,

    /// What is wrong with it, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::WORD))]
    pub fault: Option<String>,

    /// What exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::MESSAGE))]
    pub message: Option<String>,

    /// What was verified, as JSON: the signer with all claims of the certificate, what was signed, times and log
    /// entries that are proven, whose word that rests on, the digest of the trusted root, and what was not
    /// proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = bounds::RECORD))]
    pub record: Option<String>,

    /// When this operator first verified it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub first_verified: Option<Time>,
}

/// Whether a signature holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum BundleOutcome {
    /// It does not.
    Fault,
    /// Nobody who is known could have made it.
    Open,
    /// It cannot be read.
    Unreadable,
    /// It does.
    #[default]
    Verified,
}

impl BundleOutcome {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_verified(&self) -> bool {
        *self == Self::Verified
    }
}

/// Who a signature says has made it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum BundleSigner {
    /// The holder of a certificate.
    Identity,
    /// The holder of a key.
    Key,
    /// Its certificate cannot be read.
    Unreadable,
}
