//! The index of a site: fetched, remembered, and asked for one version.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;

use reqwest::Url;
use tokio::sync::mpsc;
use tokio::task;
use tokio::time::Instant;

use super::body::Body;
use super::error::{FetchError, Part};
use super::http::{Ask, How, Reply, Validator, Web};
use super::index::{Absence, Flaw, Index, Published};
use super::located::{Listed, Located, Statement, Wanted};
use super::singleflight::{Cache, NotBefore, Timestamped};
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

impl Catalogues {
    pub(super) fn new(entries: usize, bytes: usize) -> Self {
        Self(Cache::new(entries, bytes))
    }

    /// Finds a version in an index confirmed after `not_before.answer`.
    ///
    /// # Errors
    /// `ChartNotFound` only if the index was confirmed after `not_before.failure`: an older one that does
    /// not list the version is asked for once more first.
    pub(super) async fn locate(
        &self,
        web: &Web,
        site: &Site,
        wanted: Wanted<'_>,
        not_before: NotBefore,
    ) -> Result<Located, FetchError> {
        let known = self.current(web, site, not_before).await?;
        let located = known.find(site, wanted);
        let is_missing = matches!(located, Err(FetchError::ChartNotFound { .. }));
        // A version that was published a second ago is not in an index of half a minute ago. To say
        // "not found" by it would be wrong until the next poll.
        if known.at >= not_before.failure || !is_missing {
            return located;
        }
        let now = NotBefore {
            answer: not_before.failure,
            ..not_before
        };
        self.current(web, site, now).await?.find(site, wanted)
    }

    /// What an index lists that was confirmed after a moment.
    pub(super) async fn listed(
        &self,
        web: &Web,
        site: &Site,
        since: Instant,
    ) -> Result<BTreeSet<Listed>, FetchError> {
        let known = self.current(web, site, NotBefore::both(since)).await?;
        let all = known.value.index.all().map(|(chart, version)| Listed {
            chart: chart.to_owned(),
            version: version.to_owned(),
        });
        Ok(all.collect())
    }

    async fn current(
        &self,
        web: &Web,
        site: &Site,
        not_before: NotBefore,
    ) -> Result<Timestamped<Catalogue>, FetchError> {
        let entry = self.0.entry(site.key);
        let current = entry
            .fetch(not_before, |kept| fetch(web, site, kept))
            .await?;
        self.0.set_cost(site.key, current.value.index.cost());
        Ok(current)
    }
}

impl Timestamped<Catalogue> {
    fn find(&self, site: &Site, wanted: Wanted<'_>) -> Result<Located, FetchError> {
        let published = self.value.index.find(wanted.chart, wanted.version);
        let published = published.map_err(|absence| absent(site, wanted, absence))?;
        let archive = archive(site, wanted, published)?;
        // Beside the path of the archive; with a query, where Helm looks as well.
        let beside = [urls::provenance(&archive)].into_iter();
        let provenance = beside.chain(urls::provenance_as_helm(&archive)).collect();
        Ok(Located {
            at: self.at,
            archive,
            claimed_digest: published.claimed_digest,
            is_moved: false,
            manifest: None,
            size: None,
            provenance: Statement::Beside(provenance),
        })
    }
}

fn archive(site: &Site, wanted: Wanted<'_>, published: &Published) -> Result<Url, FetchError> {
    let listed = published.url.as_deref().filter(|url| !url.is_empty());
    let Some(url) = listed.and_then(|url| urls::resolve(&site.base, url)) else {
        let (version, chart) = (escaped(wanted.version), escaped(wanted.chart));
        let why = format!("it lists no usable URL for version {version} of chart {chart}");
        let index = urls::index(&site.base);
        return Err(FetchError::unusable(Part::Index, &index, &why));
    };
    match url.scheme() {
        "oci" => Err(FetchError::Oci(redacted(&url))),
        _ => Ok(url),
    }
}

fn absent(site: &Site, wanted: Wanted<'_>, absence: Absence) -> FetchError {
    let (chart, version) = (escaped(wanted.chart), escaped(wanted.version));
    let url = redacted(&urls::index(&site.base));
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

async fn fetch(web: &Web, site: &Site, kept: Option<Catalogue>) -> Result<Catalogue, FetchError> {
    let url = urls::index(&site.base);
    let validator = kept.as_ref().and_then(|kept| kept.validator.as_ref());
    let found = match (
        web.get(Ask {
            part: Part::Index,
            site,
            url: &url,
            validator,
            how: How::Get,
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
async fn read(web: &Web, mut body: Body, url: &Url) -> Result<Index, FetchError> {
    let (pieces, received) = mpsc::channel(PIECES_AHEAD);
    let limits = web.limits.clone();
    // Parsing many MiB of YAML takes CPU time in which nothing else would run on this thread.
    let parsing = task::spawn_blocking(move || {
        Index::read(
            Pieces {
                current: io::Cursor::default(),
                received,
            },
            &limits,
        )
    });
    let fed = feed(&mut body, pieces, web.limits.index_bytes).await;
    // Whoever goes away ends the body, and with it the parser. The body has its place as a large one until
    // then.
    let parsed = parsing.await;
    drop(body);
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

async fn feed(
    body: &mut Body,
    pieces: mpsc::Sender<Vec<u8>>,
    limit: u64,
) -> Result<(), FetchError> {
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
