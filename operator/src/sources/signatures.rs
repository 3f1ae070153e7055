//! Sigstore signatures of a chart, as they were published: asked for by whoever needs any, and not by a fetch.

use charttrust_verify::digest::Sha256Digest;
use tokio::time::Instant;

use super::claimed::{ClaimedSignature, Form, Known, Signatures};
use super::credentials::{Fingerprint, fingerprint};
use super::error::{FetchError, Part};
use super::http::Reply;
use super::located::Wanted;
use super::origin::{Asking, Origin};
use super::provenance::Body;
use super::singleflight::NotBefore;
use super::{Asked, Fetcher, Source, urls};

/// The chart whose signatures are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// Its name.
    pub chart: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The manifest that lists the archive ([`super::Fetched::manifest`]), in a registry. Nothing refers to an archive
    /// there without one.
    pub manifest: Option<Sha256Digest>,
}

impl<T: Send + Sync + 'static> Fetcher<T> {
    /// Asks a source for the Sigstore signatures of a chart that it has: in a registry, what refers to the manifest
    /// of the chart and what lies under its `.sig` tag; elsewhere `<archive>.sigstore.json`.
    ///
    /// Mirrors are not asked. Nothing is judged: of what is said to be a signature, the engine says what it is of,
    /// and by whom. Whoever asks alike meanwhile shares the answer.
    ///
    /// # Errors
    /// If the source does not say what there is. That there is none is no error.
    pub async fn signatures(
        &self,
        source: &Source,
        signed: Signed<'_>,
        asked: Asked,
    ) -> Result<Signatures, FetchError> {
        let wanted = Wanted {
            chart: signed.chart,
            version: signed.version,
            manifest: asked.manifest,
        };
        let origin = Origin::main(source, wanted)?;
        let asking = self.0.asking(&origin);
        let key = key(&origin, wanted, signed);
        let entry = self.0.signatures.entry(key);
        let not_before = NotBefore {
            question: asked.anew,
            ..NotBefore::both(asked.since)
        };
        let told = |error| {
            let is_ours = |address: &str| origin.is_ours(address);
            self.0.named.told(key, Part::Signature, error, is_ours)
        };
        let ask = async |kept| {
            let found = match (&origin, signed.manifest) {
                (Origin::Oci(_), Some(manifest)) => asking.referrers(manifest, kept).await,
                (Origin::Oci(_), None) => Ok(Known::default()),
                _ => beside(asking, wanted, kept).await,
            };
            let mut known = found.map_err(told)?;
            known.signatures.tell(told);
            if known.signatures.left_out.is_empty() {
                self.0.named.forget(&key);
            }
            Ok(known)
        };
        let known = entry.fetch(not_before, ask).await?.value;
        self.0.signatures.set_cost(key, known.cost());
        Ok(known.signatures)
    }
}

/// By what the signatures of a chart are remembered: those that refer to another manifest are others.
pub(super) fn key(origin: &Origin, wanted: Wanted<'_>, signed: Signed<'_>) -> Fingerprint {
    let subject = signed.manifest.as_ref();
    let subject = subject.map_or(&[][..], |digest| digest.as_bytes().as_slice());
    fingerprint(&[&origin.key(wanted), subject])
}

/// A bundle beside the archive, over HTTP.
async fn beside(
    asking: Asking<'_>,
    wanted: Wanted<'_>,
    kept: Option<Known>,
) -> Result<Known, FetchError> {
    let now = Instant::now();
    let fresh_for = asking.web.limits.index_fresh_for;
    let not_before = NotBefore {
        answer: now.checked_sub(fresh_for).unwrap_or(now),
        ..NotBefore::both(now)
    };
    let located = asking.locate(wanted, not_before).await?;
    let url = urls::signature(&located.archive);
    let validator = kept.as_ref().and_then(|kept| kept.validator.as_ref());
    let unusable = |why| FetchError::unusable(Part::Signature, &url, why);
    let mut found = match (asking.get(Part::Signature, &url, validator).await, kept) {
        (Ok(Reply::Unchanged), Some(kept)) => return Ok(kept),
        (Ok(Reply::Found(found)), _) => found,
        (Ok(Reply::Unchanged), None) => return Err(unusable("it is said to be unchanged")),
        (
            Err(FetchError::Status {
                code: 404 | 410, ..
            }),
            _,
        ) => return Ok(Known::default()),
        (Err(error), _) => return Err(error),
    };
    if found.html {
        return Err(unusable("it is HTML"));
    }
    let bytes = found.body.read(asking.web.limits.signature_bytes).await?;
    if Body::is_page(&bytes) {
        return Err(unusable("it is HTML"));
    }
    let claimed = ClaimedSignature {
        digest: Sha256Digest::of(&bytes),
        bytes: bytes.into(),
        form: Form::Bundle,
        manifest: None,
    };
    Ok(Known {
        others: Vec::new(),
        signatures: Signatures {
            claimed: vec![claimed],
            left_out: Vec::new(),
        },
        validator: found.validator,
    })
}
