//! One fetch from one place: located, then the archive, then its provenance file.

use std::sync::Arc;

use charttrust_verify::digest::Sha256Digest;
use tokio::time::Instant;

use super::archive::{Stored, archive};
use super::catalogue::Catalogues;
use super::claimed::Known;
use super::credentials::Fingerprint;
use super::error::{FetchError, Part};
use super::http::Web;
use super::located::{Located, Wanted};
use super::named::Named;
use super::origin::{Asking, Origin, Registries};
use super::provenance::{Folders, Provenance, ProvenanceAnswer, Sought, provenance};
use super::singleflight::{Cache, NotBefore};
use super::target::Target;
use super::{Answered, Asked, Reader, Rest};

/// Everything that fetches share.
pub(super) struct Shared<T> {
    pub(super) catalogues: Catalogues,
    pub(super) fetched: Cache<Kept<T>>,
    pub(super) folders: Folders,
    pub(super) named: Named,
    pub(super) reader: Reader<T>,
    pub(super) registries: Registries,
    pub(super) signatures: Cache<Known>,
    pub(super) web: Web,
}

/// What one place has.
pub(super) struct Kept<T> {
    pub(super) answered: Answered,
    pub(super) claimed_digest: Option<Sha256Digest>,
    pub(super) is_moved: bool,
    pub(super) manifest: Option<Sha256Digest>,
    pub(super) provenance: Provenance,
    pub(super) stored: Stored<T>,
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self {
            answered: self.answered,
            claimed_digest: self.claimed_digest,
            is_moved: self.is_moved,
            manifest: self.manifest,
            provenance: self.provenance.clone(),
            stored: self.stored.clone(),
        }
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    /// What a place has now. Whoever asks the same meanwhile shares the answer.
    pub(super) async fn fetch(
        &self,
        target: &Target,
        wanted: Wanted<'_>,
        asked: Asked,
    ) -> Result<Kept<T>, FetchError> {
        let key = target.key(wanted);
        let entry = self.fetched.entry(key);
        let since = NotBefore {
            question: asked.anew,
            ..NotBefore::both(asked.since)
        };
        let locate = |kept| {
            let sought = Sought {
                folders: &self.folders,
                not_before: since,
                proof: &target.proof,
                wanted,
            };
            self.locate_and_download(target, sought, kept, asked.rest)
        };
        let fetched = entry.fetch(since, locate);
        let fetched = fetched.await?.value;
        self.fetched.set_cost(key, self.cost(&fetched));
        Ok(fetched)
    }

    async fn locate_and_download(
        &self,
        target: &Target,
        sought: Sought<'_>,
        kept: Option<Kept<T>>,
        rest: Rest,
    ) -> Result<Kept<T>, FetchError> {
        let (now, wanted) = (Instant::now(), sought.wanted);
        let earliest = now.checked_sub(self.web.limits.index_fresh_for);
        let not_before = NotBefore {
            answer: earliest.unwrap_or(now),
            failure: now,
            question: None,
            rest,
        };
        let asking = self.asking(&target.origin);
        let key = target.key(wanted);
        let locate = async |not_before| {
            let located = asking.locate(wanted, not_before).await;
            located.map_err(|error| {
                let is_ours = |address: &str| target.is_ours(address);
                self.named.told(key, Part::Index, error, is_ours)
            })
        };
        let located = locate(not_before).await?;
        let download = async |located: &Located, kept| {
            let downloaded = self.download(asking, (located, sought), kept).await;
            downloaded.map(|kept| self.told(key, kept))
        };
        let downloaded = match download(&located, kept.clone()).await {
            // The index may have moved on: a version that is gone was perhaps withdrawn.
            Err(FetchError::Status {
                code: 404 | 410, ..
            }) if located.at < now => {
                let located = locate(NotBefore::both(now)).await?;
                download(&located, kept).await
            }
            downloaded => downloaded,
        };
        downloaded.map_err(|error| self.named.told(key, Part::Archive, error, |_| false))
    }

    /// What was fetched. Whatever an equal failure of the provenance file is about, it is told as before.
    fn told(&self, key: Fingerprint, mut kept: Kept<T>) -> Kept<T> {
        match kept.provenance.answer {
            ProvenanceAnswer::Unavailable(error) => {
                let told = self.named.told(key, Part::Provenance, error, |_| false);
                kept.provenance.answer = ProvenanceAnswer::Unavailable(told);
            }
            _ => self.named.forget(&key),
        }
        kept
    }

    async fn download(
        &self,
        asking: Asking<'_>,
        (located, sought): (&Located, Sought<'_>),
        kept: Option<Kept<T>>,
    ) -> Result<Kept<T>, FetchError> {
        let (archived, proven) = kept.map(|kept| (kept.stored, kept.provenance)).unzip();
        let (stored, answered) = archive(asking, &self.reader, located, archived).await?;
        let provenance = provenance(asking, located, sought, proven).await;
        Ok(Kept {
            answered,
            claimed_digest: located.claimed_digest,
            is_moved: located.is_moved,
            manifest: located.manifest,
            provenance,
            stored,
        })
    }

    pub(super) fn asking<'a>(&'a self, origin: &'a Origin) -> Asking<'a> {
        Asking {
            catalogues: &self.catalogues,
            origin,
            registries: &self.registries,
            web: &self.web,
        }
    }

    fn cost(&self, kept: &Kept<T>) -> usize {
        let content = (self.reader.cost)(&kept.stored.archive.content);
        let beside = kept.stored.cost() + kept.provenance.cost();
        content + beside + size_of::<Kept<T>>() + KEPT_BYTES
    }
}

impl<T> Shared<T> {
    pub(super) fn new(web: Web, reader: Reader<T>) -> Arc<Self> {
        let limits = &web.limits;
        let catalogues = Catalogues::new(limits.cached_indexes, limits.cached_bytes);
        let fetched = Cache::new(limits.cached_fetches, limits.cached_bytes);
        let folders = Folders::new(limits.cached_fetches);
        let registries = Registries::new(limits.cached_fetches);
        let signatures = Cache::new(limits.cached_fetches, SIGNATURE_BYTES);
        Arc::new(Self {
            catalogues,
            fetched,
            folders,
            named: Named::default(),
            reader,
            registries,
            signatures,
            web,
        })
    }
}

/// Bytes of signatures that are remembered. One that is forgotten is asked for again.
const SIGNATURE_BYTES: usize = 8 << 20;

/// Bytes that a remembered answer takes in the tables, about.
const KEPT_BYTES: usize = 1024;
