//! What somebody says is a signature: read, and not verified.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use sigstore_verify::types::bundle::VerificationMaterialContent;
use sigstore_verify::types::{self, Bundle, HashAlgorithm, Sha256Hash, SignatureContent};

use super::certificate::Certificate;
use super::error::{BundleError, bounded_text};
use super::verified::{Kind, SignerRecord, VerifiedBundle};
use super::{limits, shape};
use crate::digest::Sha256Digest;
use crate::finding::bounded;

/// A signature as somebody published it.
///
/// Nothing in it is verified.
#[derive(Clone, Debug)]
pub struct ClaimedBundle {
    pub(super) bundle: Bundle,
    pub(super) message: Message,
    /// Bytes that it was read from.
    pub(super) bytes: usize,
}

/// What was signed.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// The artifact itself, or a statement about it.
    Artifact,
    /// A simple signing payload that names the artifact.
    Payload {
        bytes: Vec<u8>,
        artifact: Sha256Digest,
    },
}

/// What a signature has to be about.
#[derive(Clone, Copy, Debug)]
pub enum Artifact<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// Bytes with this digest, such as the manifest of an image.
    Digest(Sha256Digest),
}

/// Who a bundle says has signed, by whatever stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimedSigner {
    /// The holder of a certificate for this identity.
    Identity {
        /// Who is said to have told the certificate authority who it is.
        issuer: String,
        /// Who it is said to be.
        subject: String,
    },
    /// The holder of a key that the bundle does not hold.
    Key,
    /// Whatever the certificate says cannot be read.
    Unreadable,
}

impl ClaimedBundle {
    /// Reads a bundle of version 0.1, 0.2 or 0.3.
    ///
    /// # Errors
    /// If it is too large, no bundle, or can be read in more than one way.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let text = bounded_text("bundle", bytes, limits::BUNDLE_BYTES)?;
        shape::check(text)?;
        let bundle = Bundle::from_json(text).map_err(BundleError::malformed)?;
        let claimed = Self {
            bundle,
            message: Message::Artifact,
            bytes: bytes.len(),
        };
        claimed.kind()?;
        Ok(claimed)
    }

    /// What the signature is said to be over.
    ///
    /// # Errors
    /// If it is over a statement that cannot be read.
    pub fn kind(&self) -> Result<Kind, BundleError> {
        let SignatureContent::DsseEnvelope(envelope) = &self.bundle.content else {
            return Ok(match self.message {
                Message::Artifact => Kind::Artifact,
                Message::Payload { .. } => Kind::SimpleSigning,
            });
        };
        let statement = Statement::parse(envelope.payload.as_bytes())?;
        Ok(Kind::Statement(bounded(&statement.predicate_type)))
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        // What is encoded there is decoded here, and in boxes of its own.
        self.bytes.saturating_add(size_of::<Self>())
    }

    /// Who is said to have signed. Decides nothing.
    pub fn claimed_signer(&self) -> ClaimedSigner {
        if self.is_keyed() {
            return ClaimedSigner::Key;
        }
        let Some(der) = self.bundle.signing_certificate() else {
            return ClaimedSigner::Unreadable;
        };
        match Certificate::parse(der.as_bytes()).and_then(|one| one.identity()) {
            Ok(identity) => ClaimedSigner::named(&identity.issuer, &identity.subject),
            Err(_) => ClaimedSigner::Unreadable,
        }
    }

    /// Whether it names a key and not a certificate.
    pub fn is_keyed(&self) -> bool {
        let material = &self.bundle.verification_material.content;
        matches!(material, VerificationMaterialContent::PublicKey(_))
    }

    /// The key that it is said to be signed with, by a digest of the key as cosign writes it. Decides nothing.
    pub fn claimed_key(&self) -> Option<Sha256Digest> {
        let VerificationMaterialContent::PublicKey(key) =
            &self.bundle.verification_material.content
        else {
            return None;
        };
        let bytes = BASE64_STANDARD.decode(&key.hint).ok()?;
        Some(Sha256Digest::from_bytes(bytes.try_into().ok()?))
    }

    /// The signed message as the mathematics want it.
    pub(super) fn message_for<'a>(&'a self, artifact: Artifact<'a>) -> types::Artifact<'a> {
        match (&self.message, artifact) {
            (Message::Payload { bytes, .. }, _) => types::Artifact::from_blob(bytes),
            (Message::Artifact, Artifact::Bytes(bytes)) => types::Artifact::from_blob(bytes),
            (Message::Artifact, Artifact::Digest(digest)) => {
                types::Artifact::from_digest(Sha256Hash::new(*digest.as_bytes()))
            }
        }
    }

    /// The digest that the bundle names as that of the artifact, if it names one by SHA-256.
    pub(super) fn claimed_digest(&self) -> Option<Sha256Digest> {
        if let Message::Payload { artifact, .. } = &self.message {
            return Some(*artifact);
        }
        match &self.bundle.content {
            SignatureContent::DsseEnvelope(envelope) => {
                let statement = Statement::parse(envelope.payload.as_bytes()).ok()?;
                let mut subjects = statement.subject.into_iter();
                let hex = subjects.find_map(|subject| subject.digest.sha256)?;
                format!("sha256:{}", hex.to_ascii_lowercase()).parse().ok()
            }
            SignatureContent::MessageSignature(message) => {
                let digest = message.message_digest.as_ref()?;
                let is_sha256 = digest.algorithm == HashAlgorithm::Sha2256;
                let bytes = digest.digest.as_bytes().try_into().ok()?;
                is_sha256.then(|| Sha256Digest::from_bytes(bytes))
            }
            _ => None,
        }
    }
}

impl ClaimedSigner {
    /// The holder of a certificate with these names, fit for a status.
    fn named(issuer: &str, subject: &str) -> Self {
        Self::Identity {
            issuer: bounded(issuer),
            subject: bounded(subject),
        }
    }

    /// Who a signature says has made it, of which this was verified.
    pub fn of(verified: &VerifiedBundle) -> Self {
        match verified.signer() {
            SignerRecord::Identity(record) => Self::named(&record.issuer, &record.subject),
            SignerRecord::Key(_) => Self::Key,
        }
    }
}

impl Artifact<'_> {
    /// The digest that it has.
    pub fn digest(&self) -> Sha256Digest {
        match self {
            Self::Bytes(bytes) => Sha256Digest::of(bytes),
            Self::Digest(digest) => *digest,
        }
    }
}

/// What of an in-toto statement decides what a signature is. A field that stands there twice is refused.
#[derive(Deserialize)]
pub(super) struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    pub(super) subject: Vec<Subject>,
}

#[derive(Deserialize)]
pub(super) struct Subject {
    pub(super) digest: SubjectDigest,
}

#[derive(Deserialize)]
pub(super) struct SubjectDigest {
    #[serde(default)]
    pub(super) sha256: Option<String>,
}

impl Statement {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, BundleError> {
        let statement: Self = serde_json::from_slice(payload).map_err(BundleError::malformed)?;
        if !STATEMENTS.contains(&statement.kind.as_str()) {
            return Err(BundleError::malformed(
                "its statement is no in-toto statement",
            ));
        }
        Ok(statement)
    }

    /// Whether one of the subjects is this one.
    pub(super) fn is_about(&self, digest: Sha256Digest) -> bool {
        let wanted = hex::encode(digest.as_bytes());
        let mut subjects = self.subject.iter();
        subjects.any(|subject| {
            let named = subject.digest.sha256.as_deref();
            named.is_some_and(|named| named.eq_ignore_ascii_case(&wanted))
        })
    }
}

/// Both versions have the same subjects (in-toto attestation framework, `spec/v1/statement.md`).
const STATEMENTS: [&str; 2] = [
    "https://in-toto.io/Statement/v1",
    "https://in-toto.io/Statement/v0.1",
];
