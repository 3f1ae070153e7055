//! One look at one site: index, archive, provenance file.

use std::sync::Arc;

use tokio::time::Instant;

use super::archive::{Stored, archive};
use super::catalogue::{Catalogues, Listed, Wanted};
use super::error::FetchError;
use super::flight::{Cache, Dated, Since};
use super::http::Web;
use super::provenance::{Provenance, ProvenanceAnswer, provenance};
use super::{Answered, Reader};

/// Everything that looks share.
pub(super) struct Shared<T> {
    pub(super) catalogues: Catalogues,
    pub(super) looks: Cache<Seen<T>>,
    pub(super) reader: Reader<T>,
    pub(super) web: Web,
}

/// What one look saw.
pub(super) struct Seen<T> {
    pub(super) answered: Answered,
    pub(super) claimed_digest: Option<[u8; 32]>,
    pub(super) provenance: Provenance,
    pub(super) stored: Stored<T>,
}

impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        Self {
            answered: self.answered,
            claimed_digest: self.claimed_digest,
            provenance: self.provenance.clone(),
            stored: self.stored.clone(),
        }
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    /// What was seen since a moment, or is seen now.
    pub(super) async fn look(
        &self,
        wanted: Wanted<'_>,
        since: Instant,
    ) -> Result<Seen<T>, FetchError> {
        let key = wanted.site.look_key(wanted.chart, wanted.version);
        let began = Instant::now();
        let slot = self.looks.slot(key);
        let Dated { at, mut value } = slot
            .recent(Since::both(since), |kept| self.ask(wanted, kept))
            .await?;
        if at < began {
            value.answered = Answered::Earlier;
        }
        self.looks.weigh(key, self.weight(&value));
        Ok(value)
    }

    async fn ask(&self, wanted: Wanted<'_>, kept: Option<Seen<T>>) -> Result<Seen<T>, FetchError> {
        let now = Instant::now();
        let answer = now
            .checked_sub(self.web.limits.index_fresh_for)
            .unwrap_or(now);
        let since = Since {
            answer,
            failure: now,
        };
        let listed = self.catalogues.listed(&self.web, wanted, since).await?;
        match self.fetch(wanted, &listed, kept.clone()).await {
            // The index may have moved on: a version that is gone was perhaps withdrawn.
            Err(FetchError::Status {
                code: 404 | 410, ..
            }) if listed.at < now => {
                let listed = self
                    .catalogues
                    .listed(&self.web, wanted, Since::both(now))
                    .await?;
                self.fetch(wanted, &listed, kept).await
            }
            seen => seen,
        }
    }

    async fn fetch(
        &self,
        wanted: Wanted<'_>,
        listed: &Listed,
        kept: Option<Seen<T>>,
    ) -> Result<Seen<T>, FetchError> {
        let (archived, proven) = kept.map(|kept| (kept.stored, kept.provenance)).unzip();
        let (stored, unchanged) =
            archive(&self.web, &self.reader, wanted.site, listed, archived).await?;
        let provenance = provenance(&self.web, wanted.site, &listed.url, proven).await;
        let answered = if unchanged.0 {
            Answered::Unchanged
        } else {
            Answered::Downloaded
        };
        Ok(Seen {
            answered,
            claimed_digest: listed.claimed_digest,
            provenance,
            stored,
        })
    }

    fn weight(&self, seen: &Seen<T>) -> usize {
        let provenance = match &seen.provenance.answer {
            ProvenanceAnswer::Present(bytes) => bytes.len(),
            _ => 0,
        };
        let archive = &seen.stored.archive;
        (self.reader.weigh)(&archive.content) + provenance + size_of::<Seen<T>>() + LOOK_BYTES
    }
}

impl<T> Shared<T> {
    pub(super) fn new(web: Web, reader: Reader<T>) -> Arc<Self> {
        let limits = &web.limits;
        let catalogues = Catalogues::new(limits.cached_indexes, limits.cached_bytes);
        let looks = Cache::new(limits.cached_looks, limits.cached_bytes);
        Arc::new(Self {
            catalogues,
            looks,
            reader,
            web,
        })
    }
}

/// Bytes that a remembered look takes beside its archive and provenance file, about: URLs, headers.
const LOOK_BYTES: usize = 1024;
