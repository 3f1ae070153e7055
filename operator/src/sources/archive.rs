//! The chart archive: fetched once, and kept as what a reader made of it.

use std::sync::Arc;

use charttrust_verify::digest::Digested;
use reqwest::Url;
use tokio::task;

use super::error::{Amount, FetchError, Part};
use super::http::{Found, Reply, Validator};
use super::located::Located;
use super::origin::Asking;
use super::text::redacted;
use super::{Answered, Archive, Reader};

/// An archive and where it came from.
pub(super) struct Stored<T> {
    pub(super) archive: Arc<Archive<T>>,
    pub(super) url: Url,
    validator: Option<Validator>,
}

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Self {
        Self {
            archive: Arc::clone(&self.archive),
            url: self.url.clone(),
            validator: self.validator.clone(),
        }
    }
}

impl<T> Stored<T> {
    /// Bytes of memory that it takes beside itself and what was read.
    pub(super) fn cost(&self) -> usize {
        self.url.as_str().len() + self.validator.as_ref().map_or(0, Validator::cost)
    }

    /// Whether the origin vouches that the archive is the one known, and nothing else could: it gave
    /// nothing to revalidate it by, or the address is that of the digest.
    fn is_still(&self, located: &Located) -> bool {
        let is_claimed = located.claimed_digest == Some(self.archive.digest);
        is_claimed && (self.validator.is_none() || located.size.is_some())
    }
}

/// The archive where it was located, from there or from memory.
pub(super) async fn archive<T: Send + 'static>(
    asking: Asking<'_>,
    reader: &Reader<T>,
    located: &Located,
    kept: Option<Stored<T>>,
) -> Result<(Stored<T>, Answered), FetchError> {
    let url = &located.archive;
    let kept = kept.filter(|kept| kept.url == *url);
    if let Some(kept) = kept.as_ref().filter(|kept| kept.is_still(located)) {
        return Ok((kept.clone(), Answered::Unchanged));
    }
    let limit = asking.web.limits.archive_bytes;
    if located.size.is_some_and(|size| size > limit) {
        return Err(too_large(url, limit));
    }
    let validator = kept.as_ref().and_then(|kept| kept.validator.as_ref());
    let reply = asking.get(Part::Archive, url, validator).await?;
    match (reply, kept) {
        (Reply::Unchanged, Some(kept)) => Ok((kept, Answered::Unchanged)),
        (Reply::Found(found), _) => {
            let stored = download(asking, reader, located, found).await?;
            Ok((stored, Answered::Downloaded))
        }
        (Reply::Unchanged, None) => Err(unusable(url, "it is said to be unchanged")),
    }
}

async fn download<T: Send + 'static>(
    asking: Asking<'_>,
    reader: &Reader<T>,
    located: &Located,
    mut found: Box<Found>,
) -> Result<Stored<T>, FetchError> {
    let (web, url) = (asking.web, &located.archive);
    let bytes = match located.size {
        Some(size) => found.body.read_exactly(size).await?,
        None => found.body.read(web.limits.archive_bytes).await?,
    };
    web.counters.download();
    if !bytes.starts_with(GZIP) {
        return Err(unusable(url, "it is not gzip"));
    }
    let read = Arc::clone(&reader.read);
    let place = found.body.take_place();
    // One buffer: what is digested is what is read.
    let reading = task::spawn_blocking(move || {
        // Here and not with whoever waits: they may be gone while the bytes are still there.
        let _place = place;
        let archive = Digested::of(&bytes);
        Archive {
            content: read(&archive),
            digest: archive.digest(),
            size: bytes.len() as u64,
        }
    });
    match reading.await {
        Ok(archive) => Ok(Stored {
            archive: Arc::new(archive),
            url: url.clone(),
            validator: found.validator,
        }),
        Err(_) => Err(unusable(url, "reading it failed")),
    }
}

fn too_large(url: &Url, limit: u64) -> FetchError {
    FetchError::TooLarge {
        limit: Amount::Bytes(limit),
        part: Part::Archive,
        url: redacted(url),
    }
}

fn unusable(url: &Url, why: &str) -> FetchError {
    FetchError::unusable(Part::Archive, url, why)
}

const GZIP: &[u8] = b"\x1f\x8b";
