//! What remains of a verified bundle when its bytes are gone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::seal::Attestation;

/// A signature whose mathematics were checked, with who vouches for its signer and its time.
///
/// # Guarantees
/// Made by [`super::verify`] or restored from evidence. That the signer may speak for anything is not
/// promised, nor that it is a signature and no attestation ([`Kind::is_signature`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBundle(pub(super) BundleRecord);

impl VerifiedBundle {
    /// Restores a bundle that was verified earlier, from a record that is attested to be our own.
    pub fn restore(record: BundleRecord, _: Attestation) -> Self {
        Self(record)
    }

    /// Restores a bundle from what [`VerifiedBundle::text`] has written, that is attested to be our own; `None`
    /// if it cannot be read.
    pub fn read(text: &str, attested: Attestation) -> Option<Self> {
        let record = serde_json::from_str(text).ok()?;
        Some(Self::restore(record, attested))
    }

    /// The content as a text, to be kept under an authentication tag.
    pub fn text(&self) -> String {
        // Invariant: strings, numbers and times always serialize.
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// The content, to be kept under an authentication tag.
    pub fn record(&self) -> &BundleRecord {
        &self.0
    }

    /// The same, without what logs and timestamp authorities say.
    #[must_use]
    pub fn without_testimony(&self) -> Self {
        let mut record = self.0.clone();
        record.times.clear();
        record.logs.clear();
        Self(record)
    }

    /// Who signed.
    pub fn signer(&self) -> &SignerRecord {
        &self.0.signer
    }

    /// The identity that signed, if it was one.
    pub fn identity(&self) -> Option<&IdentityRecord> {
        match &self.0.signer {
            SignerRecord::Identity(identity) => Some(identity),
            SignerRecord::Key(_) => None,
        }
    }

    /// The earliest moment at which the signature is proven to have existed.
    pub fn proven(&self) -> Option<Timestamp> {
        self.0.times.iter().map(|time| time.at).min()
    }
}

/// The content of a [`VerifiedBundle`], to be kept as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundleRecord {
    /// Who signed.
    pub signer: SignerRecord,
    /// What the signature is over.
    pub kind: Kind,
    /// The artifact that was signed: the manifest in a registry, the archive beside one.
    pub artifact: Sha256Digest,
    /// Times at which the signature is proven to have existed, the earliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<ProvenTime>,
    /// Entries of transparency logs that are proven.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogRecord>,
    /// Whose word all this rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<Authority>,
    /// Digest of the trusted root by which it was verified, if by any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Sha256Digest>,
    /// What was not proven.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_proven: Vec<NotProven>,
}

impl BundleRecord {
    /// Whether a log of certificates says that the certificate is public.
    pub fn is_stamped(&self) -> bool {
        let mut all = self.authorities.iter();
        all.any(|one| one.kind == AuthorityKind::CertificateLog)
    }
}

/// Who made a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SignerRecord {
    /// An identity for which a trusted authority has issued a certificate.
    Identity(Box<IdentityRecord>),
    /// The key with this digest of its `SubjectPublicKeyInfo`.
    Key(Sha256Digest),
}

/// What a certificate says of its holder, in the words of the authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityRecord {
    /// Who told the authority: the `iss` of the token.
    pub issuer: String,
    /// Who it is: the one name of the certificate.
    pub subject: String,
    /// What is said of the workload.
    #[serde(default, skip_serializing_if = "Claims::is_empty")]
    pub claims: Claims,
    /// From when the key could sign.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Digest of the certificate. One is made for one signature, so that two bundles with the same hold the
    /// same signature.
    pub certificate: Sha256Digest,
}

/// What a certificate of Fulcio says of the workload (extensions 1.3.6.1.4.1.57264.1.11 to 1.21).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claims {
    /// `.12`: the repository that was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_repository: Option<String>,
    /// `.15`: its identifier, which stays when it is renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_repository_id: Option<String>,
    /// `.14`: the branch or tag that was built.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<String>,
    /// `.11`: where it was built, such as `github-hosted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_environment: Option<String>,
    /// `.20`: what started the build, such as `push`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// `.13`: the commit that was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// `.21`: the run of the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

impl Claims {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a signature is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// The artifact itself.
    Artifact,
    /// A payload by which cosign names the manifest of an image (the form beside `.sig` tags).
    SimpleSigning,
    /// A statement about the artifact, with this predicate type.
    Statement(String),
}

impl Kind {
    /// Whether it says "I sign this", and not "this is what I know of it": whoever attests an SBOM or
    /// where something was built does not approve of it.
    pub fn is_signature(&self) -> bool {
        match self {
            Self::Artifact | Self::SimpleSigning => true,
            Self::Statement(predicate) => predicate == SIGN,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Artifact => f.write_str("a signature of the artifact"),
            Self::SimpleSigning => f.write_str("a signature by cosign of the manifest"),
            Self::Statement(predicate) => write!(f, "a statement of type {predicate:?}"),
        }
    }
}

/// The predicate type of a signature by cosign 3 (`pkg/types/predicate.go` of cosign).
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// A moment at which the signature is proven to have existed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProvenTime {
    /// The moment.
    pub at: Timestamp,
    /// Who says so.
    pub by: TimeSource,
}

/// Who proves a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TimeSource {
    /// A transparency log, by its promise to include the entry.
    Log,
    /// A timestamp authority (RFC 3161).
    TimestampAuthority,
}

impl std::fmt::Display for TimeSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Log => "a transparency log",
            Self::TimestampAuthority => "a timestamp authority",
        })
    }
}

/// An entry of a transparency log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogRecord {
    /// The log, as [`Authority::id`].
    pub log: Sha256Digest,
    /// The place in the log.
    pub index: u64,
}

/// An entry of the trusted root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authority {
    /// What it vouches for.
    pub kind: AuthorityKind,
    /// Digest of the certificate that issues, of the one that stamps, or the ID of the log.
    pub id: Sha256Digest,
    /// What the root calls it.
    pub name: String,
}

/// What an authority vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AuthorityKind {
    /// Who somebody is.
    CertificateAuthority,
    /// That a certificate was made public.
    CertificateLog,
    /// When something existed.
    TimestampAuthority,
    /// That a signature was made public.
    TransparencyLog,
}

impl AuthorityKind {
    /// What it is, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::CertificateAuthority => "certificate authority",
            Self::CertificateLog => "certificate transparency log",
            Self::TimestampAuthority => "timestamp authority",
            Self::TransparencyLog => "transparency log",
        }
    }
}

/// What was not proven of a signature that is good otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotProven {
    /// That the certificate was made public: the trusted root names no log of certificates.
    CertificatePublic,
    /// What the bundle has of logs and timestamps: they could not be checked with this hash algorithm.
    HashNotSupported,
    /// That the signature was made public: no log entry.
    NotLogged,
    /// When it was made.
    Time,
    /// What the bundle has of logs and timestamps: no trusted root was given.
    NoRoot,
    /// What an authority says that the trusted root does not have.
    UnknownAuthority(String),
}

impl std::fmt::Display for NotProven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CertificatePublic => f.write_str(
                "that its certificate is public (the trusted root has no log of certificates)",
            ),
            Self::HashNotSupported => f.write_str(
                "what it has of logs and timestamps (they cannot be checked with this hash algorithm)",
            ),
            Self::NoRoot => {
                f.write_str("what it has of logs and timestamps (there is no trusted root)")
            }
            Self::NotLogged => f.write_str("that it is public (no log entry)"),
            Self::Time => f.write_str("when it was made"),
            Self::UnknownAuthority(why) => f.write_str(why),
        }
    }
}
