//! What was published in a registry to sign a manifest with Sigstore: bundles that refer to it, and signatures as
//! cosign wrote them before there were any.
//!
//! Where they lie, three generations of tools say differently: the Referrers API of the registry, an index under
//! the tag `sha256-<digest>` where there is none, and an image under `sha256-<digest>.sig`. The first two are the
//! same list; the third is always looked at as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use charttrust_verify::digest::Sha256Digest;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use tokio::time::Instant;

use super::client::{Client, Question};
use super::locate::{Answer, is_encoded, manifest_within};
use super::refusal::NotThere;
use super::tags::{self, Listed};
use super::token::denied;
use crate::sources::claimed::{ClaimedSignature, Form, Known};
use crate::sources::error::{Amount, FetchError, Part};
use crate::sources::http::{How, Reply};
use crate::sources::text::redacted;

/// What refers to a manifest and may be a signature of it, from an earlier answer where that names the same digests.
///
/// # Errors
/// If the registry does not say what there is. What it lists and cannot be had is left out, and told.
///
/// # Caveats
/// That something is listed for a manifest says nothing: only a signature can bind it.
pub(in crate::sources) async fn referrers(
    client: Client<'_>,
    subject: Sha256Digest,
    kept: Option<Known>,
) -> Result<Known, FetchError> {
    let mut gathering = Gathering {
        client,
        bytes: 0,
        kept: kept.unwrap_or_default(),
        now: Known::default(),
    };
    let candidates = candidates(client, subject).await?;
    gathering.bundles(&candidates).await;
    gathering.simple(subject).await?;
    Ok(gathering.now)
}

async fn candidates(client: Client<'_>, subject: Sha256Digest) -> Result<Candidates, FetchError> {
    let (key, now) = (client.repository.key(), Instant::now());
    if client.registries.may_list_referrers(&key, now) {
        match by_api(client, subject).await? {
            Some(candidates) => return Ok(candidates),
            None => client.registries.note_no_referrers(key, now),
        }
    }
    let (tag, mut candidates) = (tag(&subject), Candidates::default());
    if let Some(bytes) = tagged(client, &tag).await? {
        candidates.take(index(&client.repository.manifest(&tag), &bytes)?);
    }
    Ok(candidates)
}

/// What the registry's own list has; `None` if it keeps none.
///
/// It is not asked for one type only: registries compare that with the descriptor, and cosign has written the type
/// where no registry looks for it.
async fn by_api(
    client: Client<'_>,
    subject: Sha256Digest,
) -> Result<Option<Candidates>, FetchError> {
    let first = client.repository.referrers(&subject);
    let mut candidates = Candidates::default();
    let (mut next, mut pages) = (Some(first.clone()), 0);
    while let Some(url) = next {
        if pages >= MOST_PAGES {
            candidates.are_more = true;
            break;
        }
        let question = Question {
            part: Part::Referrers,
            url: &url,
            validator: None,
            how: How::Accept(INDEX),
        };
        let head = client.send(question).await?;
        match head.status() {
            StatusCode::OK => {}
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
                if pages == 0 =>
            {
                return Ok(None);
            }
            code @ StatusCode::FORBIDDEN => {
                return Err(denied(&url, code, &client.repository.site));
            }
            _ => return Err(client.web.failure(&head)),
        }
        if is_encoded(&head) {
            return Err(unusable(&first, "it is encoded, which was not asked for"));
        }
        let link = tags::next_page(head.headers());
        let limit = client.web.limits.manifest_bytes;
        candidates.take(index(&first, &head.into_body().read(limit).await?)?);
        let follow = |link: String| tags::resolve(&url, &link, Part::Referrers);
        (next, pages) = (link.map(follow).transpose()?, pages + 1);
    }
    Ok(Some(candidates))
}

/// The bytes at a tag; `None` if there is no such tag. Not every registry has the word for that: then its list of
/// tags has to say so.
async fn tagged(client: Client<'_>, tag: &str) -> Result<Option<Vec<u8>>, FetchError> {
    let limit = client.web.limits.manifest_bytes;
    match manifest_within(client, tag, limit).await? {
        Answer::Found { bytes, .. } => Ok(Some(bytes)),
        Answer::NotThere(NotThere::Manifest) => Ok(None),
        Answer::NotThere(NotThere::Unclear) => match tags::find(client, &[tag.to_owned()]).await? {
            Listed::None => Ok(None),
            Listed::Some => {
                let url = client.repository.manifest(tag);
                Err(unusable(&url, "it is listed, and not there"))
            }
        },
    }
}

/// Manifests that may hold a bundle, each once.
#[derive(Debug, Default)]
struct Candidates {
    /// Whether there are more than anybody would look into.
    are_more: bool,
    /// Those whose descriptors say so.
    named: Vec<Sha256Digest>,
    /// Those whose descriptors say nothing that could be relied on.
    unclear: Vec<Sha256Digest>,
}

impl Candidates {
    /// A descriptor says "no" only by naming another type that is known: what registries and cosign have written
    /// there is empty, or the type of an empty configuration.
    fn take(&mut self, descriptors: Vec<Descriptor>) {
        for descriptor in descriptors {
            let Ok(digest) = descriptor.digest.parse() else {
                continue;
            };
            let kind = descriptor.artifact_type.unwrap_or_default();
            let list = if is_bundle(&kind) {
                &mut self.named
            } else if OTHERS.contains(&kind.as_str()) || descriptor.media_type == INDEX {
                continue;
            } else {
                &mut self.unclear
            };
            if list.contains(&digest) {
                continue;
            }
            if list.len() < MOST {
                list.push(digest);
            } else {
                self.are_more = true;
            }
        }
    }
}

/// Signatures as they are found.
struct Gathering<'a> {
    client: Client<'a>,
    bytes: usize,
    kept: Known,
    now: Known,
}

impl Gathering<'_> {
    async fn bundles(&mut self, candidates: &Candidates) {
        let is_unclear = |digest: &&Sha256Digest| !candidates.named.contains(digest);
        let unclear = candidates.unclear.iter().filter(is_unclear);
        let mut all = candidates.named.iter().chain(unclear);
        for digest in all.by_ref().take(MOST) {
            self.bundle(*digest).await;
        }
        if candidates.are_more || all.next().is_some() {
            let url = self.client.repository.registry();
            self.leave_out(too_large(Part::Referrers, url, Amount::Referrers(MOST)));
        }
    }

    /// What one manifest holds. Its digest was known before, or it is asked for.
    async fn bundle(&mut self, manifest: Sha256Digest) {
        if self.kept.others.contains(&manifest) {
            self.now.others.push(manifest);
            return;
        }
        let is_its = |known: &&ClaimedSignature| known.manifest == Some(manifest);
        let known: Vec<_> = self.kept.claimed().filter(is_its).cloned().collect();
        let found = if known.is_empty() {
            self.bundles_of(manifest).await
        } else {
            Ok(known)
        };
        match found {
            Ok(found) if found.is_empty() => self.now.others.push(manifest),
            Ok(found) => found.into_iter().for_each(|one| self.take(one)),
            Err(error) => self.leave_out(error),
        }
    }

    async fn bundles_of(
        &self,
        manifest: Sha256Digest,
    ) -> Result<Vec<ClaimedSignature>, FetchError> {
        let url = self.client.repository.manifest(&manifest.to_string());
        let Image { is_bundle, layers } = self.image(&url, &manifest.to_string()).await?;
        let layers: Vec<_> = layers
            .into_iter()
            .filter(|layer| self::is_bundle(&layer.media_type))
            .collect();
        if is_bundle && layers.is_empty() {
            return Err(unusable(
                &url,
                "it says that it is a bundle, and holds none",
            ));
        }
        let mut found = Vec::new();
        for layer in layers.into_iter().take(MOST) {
            let (digest, bytes) = self.blob(&url, &layer).await?;
            found.push(ClaimedSignature {
                bytes,
                digest,
                form: Form::Bundle,
                manifest: Some(manifest),
            });
        }
        Ok(found)
    }

    async fn image(&self, url: &Url, reference: &str) -> Result<Image, FetchError> {
        let limit = self.client.web.limits.signature_bytes;
        match manifest_within(self.client, reference, limit).await? {
            Answer::Found { bytes, .. } => Image::parse(&bytes).map_err(|why| unusable(url, why)),
            Answer::NotThere(_) => {
                let why = "its index lists it, and the registry does not have it";
                Err(unusable(url, why))
            }
        }
    }

    /// The image of the older form: a layer for each signature, of which many may have the same bytes.
    async fn simple(&mut self, subject: Sha256Digest) -> Result<(), FetchError> {
        let tag = format!("{}.sig", tag(&subject));
        let url = self.client.repository.manifest(&tag);
        let Some(bytes) = tagged(self.client, &tag).await? else {
            return Ok(());
        };
        let layers = match Image::parse(&bytes) {
            Ok(image) => image.layers,
            Err(why) => {
                self.leave_out(unusable(&url, why));
                return Ok(());
            }
        };
        let is_simple = |layer: &Descriptor| layer.media_type == SIMPLE;
        let layers: Vec<_> = layers.into_iter().filter(is_simple).collect();
        if layers.len() > MOST {
            self.leave_out(too_large(Part::Manifest, &url, Amount::Signatures(MOST)));
        }
        for layer in layers.into_iter().take(MOST) {
            match self.blob(&url, &layer).await {
                Ok((digest, bytes)) => self.take(ClaimedSignature {
                    bytes,
                    digest,
                    form: Form::Simple(Arc::new(layer.annotations.unwrap_or_default())),
                    manifest: None,
                }),
                Err(error) => self.leave_out(error),
            }
        }
        Ok(())
    }

    /// The bytes of a layer, once for all that have its digest.
    async fn blob(
        &self,
        manifest: &Url,
        layer: &Descriptor,
    ) -> Result<(Sha256Digest, Arc<[u8]>), FetchError> {
        let digest: Result<Sha256Digest, _> = layer.digest.parse();
        let digest = digest.map_err(|_| unusable(manifest, "it names a layer by no SHA-256"))?;
        let mut known = self.now.claimed().chain(self.kept.claimed());
        if let Some(known) = known.find(|known| known.digest == digest) {
            return Ok((digest, Arc::clone(&known.bytes)));
        }
        let url = self.client.repository.blob(&digest);
        let limit = self.client.web.limits.signature_bytes;
        if layer.size > limit {
            return Err(too_large(Part::Signature, &url, Amount::Bytes(limit)));
        }
        let question = Question {
            part: Part::Signature,
            url: &url,
            validator: None,
            how: How::Get,
        };
        let bad = |why| FetchError::unusable(Part::Signature, &url, why);
        let Reply::Found(mut found) = self.client.get(question).await? else {
            return Err(bad("it is said to be unchanged"));
        };
        let bytes = found.body.read_exactly(layer.size).await?;
        if Sha256Digest::of(&bytes) != digest {
            return Err(bad("it has another digest than its manifest says"));
        }
        Ok((digest, bytes.into()))
    }

    fn take(&mut self, claimed: ClaimedSignature) {
        let bytes = self.bytes + claimed.cost();
        if bytes <= MOST_BYTES {
            self.bytes = bytes;
            self.now.signatures.claimed.push(claimed);
        } else {
            let url = self.client.repository.blob(&claimed.digest);
            self.leave_out(too_large(
                Part::Signature,
                &url,
                Amount::AllBytes(MOST_BYTES),
            ));
        }
    }

    fn leave_out(&mut self, error: FetchError) {
        self.now.signatures.left_out.push(error);
    }
}

/// A manifest, as far as it is looked at.
struct Image {
    /// Whether it says of itself that it holds a bundle, wherever it says so.
    is_bundle: bool,
    layers: Vec<Descriptor>,
}

impl Image {
    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        // A field that stands there twice is an error of the parser.
        let document: Document =
            serde_json::from_slice(bytes).map_err(|_| "it is no manifest, or repeats a field")?;
        if document.manifests.is_some() {
            return Err("it is an index where a manifest belongs");
        }
        let config = document.config.unwrap_or_default();
        let kinds = [
            document.artifact_type,
            config.artifact_type,
            Some(config.media_type),
        ];
        Ok(Self {
            is_bundle: kinds.into_iter().flatten().any(|kind| is_bundle(&kind)),
            layers: document.layers.ok_or("it lists no layers")?,
        })
    }
}

/// The descriptors of an index.
fn index(url: &Url, bytes: &[u8]) -> Result<Vec<Descriptor>, FetchError> {
    let unusable = || FetchError::unusable(Part::Referrers, url, "it is no index");
    descriptors(bytes).ok_or_else(unusable)
}

fn descriptors(bytes: &[u8]) -> Option<Vec<Descriptor>> {
    let document = serde_json::from_slice::<Document>(bytes).ok();
    document.and_then(|it| it.manifests.filter(|_| it.layers.is_none()))
}

/// What an index lists that may be a bundle: what says so, and what says nothing. `None` if it is no index.
pub(super) fn listed(bytes: &[u8]) -> Option<[Vec<Sha256Digest>; 2]> {
    let mut candidates = Candidates::default();
    candidates.take(descriptors(bytes)?);
    Some([candidates.named, candidates.unclear])
}

/// A version of the format or another: which ones can be read, the engine knows.
fn is_bundle(kind: &str) -> bool {
    kind.starts_with("application/vnd.dev.sigstore.bundle")
}

/// By the specification of distribution, with which cosign agrees.
fn tag(subject: &Sha256Digest) -> String {
    subject.to_string().replace(':', "-")
}

fn unusable(url: &Url, why: &str) -> FetchError {
    FetchError::unusable(Part::Manifest, url, why)
}

fn too_large(part: Part, url: &Url, limit: Amount) -> FetchError {
    FetchError::TooLarge {
        limit,
        part,
        url: redacted(url),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    annotations: Option<BTreeMap<String, String>>,
    artifact_type: Option<String>,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    size: u64,
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// What cosign 1 and 2 write.
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Types of what is published beside charts and is none of ours. None of them stands for a missing one, as the
/// types of configurations do.
const OTHERS: &[&str] = &[
    "application/spdx+json",
    "application/vnd.cncf.notary.signature",
    "application/vnd.cyclonedx+json",
    "application/vnd.dev.cosign.artifact.sbom.v1+json",
    "application/vnd.in-toto+json",
    "text/spdx",
];
/// Manifests that are looked into, and signatures of the older form.
const MOST: usize = 32;
const MOST_PAGES: usize = 10;
/// Bytes of all signatures of one manifest; each of the real ones has less than 20 KiB.
const MOST_BYTES: usize = 4 << 20;
