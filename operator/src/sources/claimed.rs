//! Bytes that were published as Sigstore signatures of a chart, as a source has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use charttrust_verify::digest::Sha256Digest;

use super::error::FetchError;
use super::http::Validator;

/// What was published to sign one archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures {
    /// What can be read as a signature, the newer form first.
    pub claimed: Vec<ClaimedSignature>,
    /// What is there, and was not looked at: what that means for a verdict, [`FetchError::cause`] says.
    pub left_out: Vec<FetchError>,
}

/// Bytes that may be a signature. Nobody has verified anything of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedSignature {
    /// The bundle, or the payload of the older form.
    pub bytes: Arc<[u8]>,
    /// SHA-256 of the bytes. Signatures of the older form may have the same payload.
    pub digest: Sha256Digest,
    /// How it is to be read.
    pub form: Form,
    /// The manifest that holds it, if it was one of its own.
    pub manifest: Option<Sha256Digest>,
}

/// How signatures are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A Sigstore bundle: of the manifest of a chart in a registry, of the archive itself elsewhere.
    Bundle,
    /// A payload that names the manifest, with the annotations that hold the rest.
    Simple(Arc<BTreeMap<String, String>>),
}

/// What was found, and what need not be asked for again.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Manifests that hold no signature.
    pub(super) others: Vec<Sha256Digest>,
    pub(super) signatures: Signatures,
    pub(super) validator: Option<Validator>,
}

impl Signatures {
    /// Equal failures are told in equal words, and once.
    pub(super) fn tell(&mut self, told: impl Fn(FetchError) -> FetchError) {
        for error in std::mem::take(&mut self.left_out) {
            let error = told(error);
            if !self.left_out.contains(&error) {
                self.left_out.push(error);
            }
        }
    }
}

impl Known {
    pub(super) fn claimed(&self) -> impl Iterator<Item = &ClaimedSignature> {
        self.signatures.claimed.iter()
    }

    pub(super) fn cost(&self) -> usize {
        let claimed: usize = self.claimed().map(ClaimedSignature::cost).sum();
        let beside = self.others.len() * size_of::<Sha256Digest>();
        let told = self.signatures.left_out.len() * LEFT_OUT_BYTES;
        claimed + beside + told + size_of::<Self>()
    }
}

impl ClaimedSignature {
    /// Bytes of memory that it takes.
    pub(super) fn cost(&self) -> usize {
        let annotations = match &self.form {
            Form::Bundle => 0,
            Form::Simple(all) => all.iter().map(|(name, text)| name.len() + text.len()).sum(),
        };
        size_of::<Self>() + self.bytes.len() + annotations
    }
}

/// Bytes of memory that what was left out takes, about.
const LEFT_OUT_BYTES: usize = 512;
