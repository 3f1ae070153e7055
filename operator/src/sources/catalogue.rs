//! The index of a site: fetched, remembered, and asked for one version.

use std::io::{self, Read};
use std::sync::Arc;

use reqwest::Url;
use tokio::sync::mpsc;
use tokio::task;
use tokio::time::Instant;

use super::body::Body;
use super::error::{FetchError, Part};
use super::flight::{Cache, Dated, Since};
use super::http::{Ask, Reply, Validator, Web};
use super::index::{Absence, Flaw, Index, Published};
use super::site::Site;
use super::text::{escaped, redacted};
use super::urls;

/// The indexes of all sites.
pub(super) struct Catalogues(Cache<Catalogue>);

#[derive(Clone)]
struct Catalogue {
    index: Arc<Index>,
    validator: Option<Validator>,
}

/// What an index says of one version.
pub(super) struct Listed {
    /// When the source last confirmed the index.
    pub(super) at: Instant,
    /// SHA-256 that the index claims for the archive.
    pub(super) claimed_digest: Option<[u8; 32]>,
    /// Address of the archive.
    pub(super) url: Url,
}

impl Catalogues {
    pub(super) fn new(entries: usize, bytes: usize) -> Self {
        Self(Cache::new(entries, bytes))
    }

    /// Looks a version up in an index confirmed after `since.answer`.
    ///
    /// # Errors
    /// `ChartNotFound` only if the index was confirmed after `since.failure`: an older one that does
    /// not list the version is asked for once more first.
    pub(super) async fn listed(
        &self,
        web: &Web,
        wanted: Wanted<'_>,
        since: Since,
    ) -> Result<Listed, FetchError> {
        let known = self.current(web, wanted.site, since).await?;
        let listed = wanted.find(&known);
        if known.at >= since.failure || !matches!(listed, Err(FetchError::ChartNotFound { .. })) {
            return listed;
        }
        wanted.find(
            &self
                .current(web, wanted.site, Since::both(since.failure))
                .await?,
        )
    }

    async fn current(
        &self,
        web: &Web,
        site: &Site,
        since: Since,
    ) -> Result<Dated<Catalogue>, FetchError> {
        let slot = self.0.slot(site.key);
        let current = slot.recent(since, |kept| fetch(web, site, kept)).await?;
        self.0.weigh(site.key, current.value.index.weight());
        Ok(current)
    }
}

/// One version of one chart of one site.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) site: &'a Site,
    pub(super) chart: &'a str,
    pub(super) version: &'a str,
}

impl Wanted<'_> {
    fn find(&self, known: &Dated<Catalogue>) -> Result<Listed, FetchError> {
        let published = known
            .value
            .index
            .find(self.chart, self.version)
            .map_err(|absence| self.absent(absence))?;
        let url = self.archive(published)?;
        Ok(Listed {
            at: known.at,
            claimed_digest: published.claimed_digest,
            url,
        })
    }

    fn archive(&self, published: &Published) -> Result<Url, FetchError> {
        let listed = published.url.as_deref().filter(|url| !url.is_empty());
        let Some(url) = listed.and_then(|url| urls::resolve(&self.site.base, url)) else {
            let why = format!(
                "it lists no usable URL for version {} of chart {}",
                escaped(self.version),
                escaped(self.chart)
            );
            return Err(FetchError::unusable(Part::Index, &self.site.index(), &why));
        };
        match url.scheme() {
            "oci" => Err(FetchError::Oci(redacted(&url))),
            _ => Ok(url),
        }
    }

    fn absent(&self, absence: Absence) -> FetchError {
        let (chart, version) = (escaped(self.chart), escaped(self.version));
        let url = redacted(&self.site.index());
        match absence {
            Absence::NotListed => FetchError::ChartNotFound {
                chart,
                version,
                url,
            },
            Absence::Twice => FetchError::Duplicate {
                chart,
                version,
                url,
            },
        }
    }
}

async fn fetch(web: &Web, site: &Site, kept: Option<Catalogue>) -> Result<Catalogue, FetchError> {
    let url = site.index();
    let validator = kept.as_ref().and_then(|kept| kept.validator.as_ref());
    let found = match (
        web.get(Ask {
            part: Part::Index,
            site,
            url: &url,
            validator,
        })
        .await?,
        &kept,
    ) {
        (Reply::Unchanged, Some(kept)) => return Ok(kept.clone()),
        (Reply::Found(found), _) => found,
        (Reply::Unchanged, None) => {
            return Err(FetchError::unusable(
                Part::Index,
                &url,
                "it is said to be unchanged",
            ));
        }
    };
    let index = read(web, found.body, &url).await?;
    Ok(Catalogue {
        index: Arc::new(index),
        validator: found.validator,
    })
}

/// Parses the index while it arrives, so that its text is never in memory as a whole.
async fn read(web: &Web, body: Body, url: &Url) -> Result<Index, FetchError> {
    let (pieces, received) = mpsc::channel(PIECES_AHEAD);
    let limits = web.limits.clone();
    let parsing = task::spawn_blocking(move || {
        Index::read(
            Pieces {
                current: io::Cursor::default(),
                received,
            },
            &limits,
        )
    });
    let fed = feed(body, pieces, web.limits.index_bytes).await;
    let parsed = parsing.await;
    // A body that broke off is no index, whatever the parser made of its beginning.
    fed?;
    match parsed {
        Ok(Ok(index)) => Ok(index),
        Ok(Err(Flaw::TooLarge(limit))) => Err(FetchError::TooLarge {
            limit,
            part: Part::Index,
            url: redacted(url),
        }),
        Ok(Err(Flaw::Unusable(why))) => Err(FetchError::unusable(Part::Index, url, why)),
        Err(_) => Err(FetchError::unusable(Part::Index, url, "reading it failed")),
    }
}

async fn feed(mut body: Body, pieces: mpsc::Sender<Vec<u8>>, limit: u64) -> Result<(), FetchError> {
    while let Some(piece) = body.next(limit).await? {
        if pieces.send(piece).await.is_err() {
            // The parser has seen enough, and says what is wrong.
            return Ok(());
        }
    }
    Ok(())
}

/// A body for a parser that blocks.
struct Pieces {
    current: io::Cursor<Vec<u8>>,
    received: mpsc::Receiver<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(piece) = self.received.blocking_recv() else {
                return Ok(0);
            };
            self.current = io::Cursor::new(piece);
        }
    }
}

/// Pieces of a body that may wait for the parser.
const PIECES_AHEAD: usize = 16;
