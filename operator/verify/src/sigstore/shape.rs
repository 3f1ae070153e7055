//! What must be so before a bundle is read in full: one reading, and a bounded one.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::{BundleError, at_most};
use super::limits;

/// The outline of a bundle. Derived readers refuse a field that stands there twice: others take the
/// first of them, or the last.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    #[serde(default, rename = "mediaType")]
    _media_type: Option<IgnoredAny>,
    verification_material: Material,
    #[serde(default)]
    message_signature: Option<IgnoredAny>,
    #[serde(default)]
    dsse_envelope: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default)]
    certificate: Option<IgnoredAny>,
    #[serde(default, rename = "x509CertificateChain")]
    chain: Option<Chain>,
    #[serde(default)]
    public_key: Option<IgnoredAny>,
    #[serde(default)]
    tlog_entries: Vec<IgnoredAny>,
    #[serde(default)]
    timestamp_verification_data: Option<Timestamps>,
}

#[derive(Deserialize)]
struct Chain {
    #[serde(default)]
    certificates: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timestamps {
    #[serde(default)]
    rfc3161_timestamps: Vec<IgnoredAny>,
}

/// Whether the text of a bundle has one content, one signer, and no more than is looked at.
pub(super) fn check(text: &str) -> Result<(), BundleError> {
    let outline: Outline = serde_json::from_str(text).map_err(BundleError::malformed)?;
    let contents = [&outline.message_signature, &outline.dsse_envelope];
    one_of(
        "messageSignature or dsseEnvelope",
        contents.map(Option::is_some),
    )?;
    let Material {
        certificate,
        chain,
        public_key,
        tlog_entries,
        timestamp_verification_data,
    } = outline.verification_material;
    let signers = [certificate.is_some(), chain.is_some(), public_key.is_some()];
    one_of("certificate, x509CertificateChain or publicKey", signers)?;
    let certificates = chain.map_or(0, |chain| chain.certificates.len());
    let timestamps = timestamp_verification_data.map_or(0, |data| data.rfc3161_timestamps.len());
    at_most("log entries", tlog_entries.len(), limits::LOG_ENTRIES)?;
    at_most("timestamps", timestamps, limits::TIMESTAMPS)?;
    at_most("certificates", certificates, limits::CERTIFICATES)
}

fn one_of<const N: usize>(what: &'static str, present: [bool; N]) -> Result<(), BundleError> {
    match present.into_iter().filter(|is_there| *is_there).count() {
        0 => Err(BundleError::Missing { what }),
        1 => Ok(()),
        _ => Err(BundleError::Ambiguous { what }),
    }
}
