//! Signatures as cosign 1 and 2 publish them under a `.sig` tag: a payload that names the manifest, and
//! the rest in annotations beside it.
//!
//! They become a bundle of version 0.1, which is the same in another order (cosign
//! `specs/SIGNATURE_SPEC.md` and `pkg/cosign/bundle`).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use sigstore_verify::types::bundle::VerificationMaterialContent;
use sigstore_verify::types::{
    Bundle, CanonicalizedBody, DerCertificate, InclusionPromise, KindVersion, LogId, LogIndex,
    LogKeyId, MediaType, MessageSignature, PublicKeyIdentifier, Rfc3161Timestamp, SignatureBytes,
    SignatureContent, SignedTimestamp, TimestampToken, TimestampVerificationData,
    TransparencyLogEntry, VerificationMaterial, X509Certificate,
};

use super::bundle::{ClaimedBundle, Message};
use super::certificate::Certificate;
use super::error::{BundleError, at_most, bounded_text};
use super::limits;
use crate::digest::Sha256Digest;
use crate::finding::bounded;

/// One layer of the image under a `.sig` tag.
#[derive(Clone, Copy, Debug)]
pub struct SimpleSignature<'a> {
    /// The bytes of the layer.
    pub payload: &'a [u8],
    /// The annotations of its descriptor.
    pub annotations: &'a BTreeMap<String, String>,
}

impl SimpleSignature<'_> {
    /// Reads it.
    ///
    /// # Errors
    /// If payload or annotations are too large, or not what cosign writes.
    pub fn parse(&self) -> Result<ClaimedBundle, BundleError> {
        let payload = bounded_text("signed payload", self.payload, limits::PAYLOAD_BYTES)?;
        let artifact = named_artifact(payload)?;
        let signature = self.required(SIGNATURE)?;
        let signature =
            SignatureBytes::from_base64(signature).map_err(|error| annotation(SIGNATURE, error))?;
        let entry = self.entry()?;
        let timestamp = self.timestamp()?;
        let content = match self.optional(CERTIFICATE)? {
            None => VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new("")),
            Some(leaf) => self.chain(leaf)?,
        };
        // Version 0.1 demands what a log has promised, and version 0.3 takes no chain.
        let media_type = match (&content, &entry) {
            (VerificationMaterialContent::PublicKey(_), None) => MediaType::Bundle0_3,
            _ => MediaType::Bundle0_1,
        };
        let timestamps = TimestampVerificationData::new(timestamp.into_iter().collect());
        let material = VerificationMaterial::new(content)
            .with_tlog_entries(entry.into_iter().collect())
            .with_timestamp_verification_data(timestamps);
        let content = SignatureContent::MessageSignature(MessageSignature::new(signature));
        Ok(ClaimedBundle {
            bundle: Bundle::new(media_type, material, content),
            message: Message::Payload {
                bytes: self.payload.to_vec(),
                artifact,
            },
            bytes: self.weight(),
        })
    }

    fn weight(&self) -> usize {
        let texts = self.annotations.values().map(String::len);
        texts.fold(self.payload.len(), usize::saturating_add)
    }

    fn optional(&self, name: &'static str) -> Result<Option<&str>, BundleError> {
        let value = self.annotations.get(name).map(String::as_str);
        // cosign writes empty ones too.
        let value = value.filter(|value| !value.is_empty());
        let limit = limits::ANNOTATION_BYTES;
        if value.is_some_and(|value| value.len() > limit) {
            return Err(BundleError::TooLarge { what: name, limit });
        }
        Ok(value)
    }

    fn required(&self, name: &'static str) -> Result<&str, BundleError> {
        self.optional(name)?
            .ok_or_else(|| annotation(name, "it is absent"))
    }

    fn chain(&self, leaf: &str) -> Result<VerificationMaterialContent, BundleError> {
        let leaf = certificates(CERTIFICATE, leaf)?;
        let chain = match self.optional(CHAIN)? {
            Some(chain) => certificates(CHAIN, chain)?,
            None => Vec::new(),
        };
        if leaf.len() != 1 {
            return Err(annotation(CERTIFICATE, "it is not one certificate"));
        }
        // cosign adds the root; whom to trust is not for a signature to say.
        let is_of_root = |der: &DerCertificate| {
            Certificate::parse(der.as_bytes()).is_ok_and(|one| one.is_self_issued())
        };
        let chain = chain.into_iter().filter(|der| !is_of_root(der));
        let certificates: Vec<_> = leaf
            .into_iter()
            .chain(chain)
            .map(X509Certificate::new)
            .collect();
        at_most("certificates", certificates.len(), limits::CERTIFICATES)?;
        Ok(VerificationMaterialContent::X509CertificateChain { certificates })
    }

    fn entry(&self) -> Result<Option<TransparencyLogEntry>, BundleError> {
        let Some(text) = self.optional(ENTRY)? else {
            return Ok(None);
        };
        let promise: Promise =
            serde_json::from_str(text).map_err(|error| annotation(ENTRY, error))?;
        let entry = promise
            .entry()
            .map_err(|problem| annotation(ENTRY, problem))?;
        Ok(Some(entry))
    }

    fn timestamp(&self) -> Result<Option<Rfc3161Timestamp>, BundleError> {
        let Some(text) = self.optional(TIMESTAMP)? else {
            return Ok(None);
        };
        let stamp: Stamp = serde_json::from_str(text).map_err(|it| annotation(TIMESTAMP, it))?;
        let token = TimestampToken::from_base64(&stamp.token);
        let token = token.map_err(|error| annotation(TIMESTAMP, error))?;
        Ok(Some(Rfc3161Timestamp::new(token)))
    }
}

fn annotation(name: &'static str, problem: impl std::fmt::Display) -> BundleError {
    BundleError::Annotation {
        name,
        problem: bounded(&problem.to_string()),
    }
}

/// The manifest that a payload names. What it calls the repository is not looked at: a mirror has another.
fn named_artifact(payload: &str) -> Result<Sha256Digest, BundleError> {
    let other = |problem: String| BundleError::Payload(bounded(&problem));
    let payload: Payload = serde_json::from_str(payload).map_err(|it| other(it.to_string()))?;
    let critical = payload.critical;
    if critical.kind != TYPE {
        return Err(other(format!("its type is {:?}", critical.kind)));
    }
    let named = critical.image.digest;
    let digest = named.parse::<Sha256Digest>();
    let digest = digest.map_err(|error| other(format!("{named:?} is {error}")))?;
    Ok(digest)
}

/// `SimpleContainerImage` of `sigstore/pkg/signature/payload`. A field that stands there twice is refused.
#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// `RekorBundle` of `sigstore/cosign/pkg/cosign/bundle`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Promise {
    signed_entry_timestamp: String,
    payload: Promised,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Promised {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

/// What says of an entry how it is to be read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryKind {
    kind: String,
    api_version: String,
}

impl Promise {
    fn entry(self) -> Result<TransparencyLogEntry, String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let body = BASE64_STANDARD
            .decode(&self.payload.body)
            .map_err(|it| said(&it))?;
        let kind: EntryKind = serde_json::from_slice(&body).map_err(|it| said(&it))?;
        if (kind.kind.as_str(), kind.api_version.as_str()) != ("hashedrekord", "0.0.1") {
            let EntryKind { kind, api_version } = kind;
            return Err(format!("log entries of {kind} {api_version} are not read"));
        }
        let index = LogIndex::try_from(self.payload.log_index).map_err(|it| said(&it))?;
        let id = hex::decode(&self.payload.log_id).map_err(|it| said(&it))?;
        let time = jiff::Timestamp::from_second(self.payload.integrated_time);
        let promise = SignedTimestamp::from_base64(&self.signed_entry_timestamp);
        let promise = InclusionPromise::new(promise.map_err(|it| said(&it))?);
        let entry = TransparencyLogEntry::new(
            index,
            LogId::new(LogKeyId::new(id)),
            KindVersion::HashedRekordV001,
            CanonicalizedBody::new(body),
        );
        let entry = entry.with_integrated_time(time.map_err(|it| said(&it))?);
        Ok(entry.with_inclusion_promise(promise))
    }
}

/// `RFC3161Timestamp` of `sigstore/cosign/pkg/cosign/bundle`.
#[derive(Deserialize)]
struct Stamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    token: String,
}

fn certificates(name: &'static str, text: &str) -> Result<Vec<DerCertificate>, BundleError> {
    let blocks = text
        .split_inclusive(END)
        .filter(|block| !block.trim().is_empty());
    let blocks = blocks.take(limits::CERTIFICATES.saturating_add(1));
    blocks
        .map(|block| DerCertificate::from_pem(block).map_err(|error| annotation(name, error)))
        .collect()
}

const END: &str = "-----END CERTIFICATE-----";
/// `CosignSignatureType` of `sigstore/pkg/signature/payload`.
const TYPE: &str = "cosign container image signature";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const ENTRY: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";
