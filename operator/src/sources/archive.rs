//! The chart archive: fetched once, and kept as what a reader made of it.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use reqwest::Url;
use tokio::task;

use super::catalogue::Listed;
use super::error::{FetchError, Part};
use super::http::{Ask, Found, Reply, Validator, Web};
use super::site::Site;
use super::{Archive, Reader};

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
    /// Whether the index vouches that the archive is the one known, and nothing else could: the
    /// source gave nothing to revalidate it by.
    fn is_still(&self, listed: &Listed) -> bool {
        self.validator.is_none() && listed.claimed_digest == Some(self.archive.digest)
    }
}

/// The archive that the index lists, from the source or from memory.
pub(super) async fn archive<T: Send + 'static>(
    web: &Web,
    reader: &Reader<T>,
    site: &Site,
    listed: &Listed,
    kept: Option<Stored<T>>,
) -> Result<(Stored<T>, Unchanged), FetchError> {
    let kept = kept.filter(|kept| kept.url == listed.url);
    if let Some(kept) = kept.as_ref().filter(|kept| kept.is_still(listed)) {
        return Ok((kept.clone(), Unchanged(true)));
    }
    let url = &listed.url;
    let validator = kept.as_ref().and_then(|kept| kept.validator.as_ref());
    match (
        web.get(Ask {
            part: Part::Archive,
            site,
            url,
            validator,
        })
        .await?,
        kept.as_ref(),
    ) {
        (Reply::Unchanged, Some(kept)) => Ok((kept.clone(), Unchanged(true))),
        (Reply::Found(found), _) => {
            Ok((download(web, reader, url, found).await?, Unchanged(false)))
        }
        (Reply::Unchanged, None) => Err(FetchError::unusable(
            Part::Archive,
            url,
            "it is said to be unchanged",
        )),
    }
}

/// Whether the archive is the one known from an earlier look.
pub(super) struct Unchanged(pub(super) bool);

async fn download<T: Send + 'static>(
    web: &Web,
    reader: &Reader<T>,
    url: &Url,
    found: Box<Found>,
) -> Result<Stored<T>, FetchError> {
    let bytes = found.body.read(web.limits.archive_bytes).await?;
    web.counters.download();
    if !bytes.starts_with(GZIP) {
        return Err(FetchError::unusable(Part::Archive, url, "it is not gzip"));
    }
    let read = Arc::clone(&reader.read);
    // One buffer: what is digested is what is read.
    let reading = task::spawn_blocking(move || {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, &bytes).as_ref());
        Archive {
            content: read(&bytes),
            digest: sha256,
            size: bytes.len() as u64,
        }
    });
    match reading.await {
        Ok(archive) => Ok(Stored {
            archive: Arc::new(archive),
            url: url.clone(),
            validator: found.validator,
        }),
        Err(_) => Err(FetchError::unusable(
            Part::Archive,
            url,
            "reading it failed",
        )),
    }
}

const GZIP: &[u8] = b"\x1f\x8b";
