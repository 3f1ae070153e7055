//! Fetches a chart archive and its provenance file from where a policy says they are, and copies of
//! keys from where they are published.
//!
//! May touch: the network, and nothing else. Every request passes the guard, every body has a
//! limit, and what cannot be found out is an error, never a verdict.

mod archive;
mod body;
mod catalogue;
mod clients;
mod counts;
mod credentials;
mod error;
mod flight;
mod guard;
mod http;
mod index;
mod key;
mod limits;
mod look;
mod network;
mod provenance;
mod site;
mod text;
mod urls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use counts::{CodeClass, Counts};
pub use credentials::Credentials;
pub use error::{Amount, Cause, FetchError, Part};
pub use guard::{AllowedHost, InvalidHost, Refused};
pub use limits::Limits;
pub use provenance::ProvenanceAnswer;

use catalogue::Wanted;
use clients::Clients;
use counts::Counters;
use guard::Guard;
use http::Web;
use look::{Seen, Shared};
use site::Site;

/// Looks at sources. Clones share connections, memory and counters.
pub struct Fetcher<T>(Arc<Shared<T>>);

/// How the operator was started, as far as sources are concerned.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Hosts named by `--allow-host`.
    pub allowed_hosts: Vec<AllowedHost>,
    /// Bounds on what sources may cost.
    pub limits: Limits,
    /// The `User-Agent` header.
    pub user_agent: String,
}

/// A function from the bytes of an archive to what is kept of it.
pub type Read<T> = dyn Fn(&[u8]) -> T + Send + Sync;

/// What is made of an archive, and kept in its place.
pub struct Reader<T> {
    /// Reads the archive; called on a thread that may block.
    pub read: Arc<Read<T>>,
    /// Bytes of memory that the result takes, about.
    pub weigh: fn(&T) -> usize,
}

/// Where a chart is published.
#[derive(Clone, Debug)]
pub struct Source {
    /// The configured URL.
    pub url: String,
    /// Other places, asked in order while the configured URL does not answer.
    pub mirrors: Vec<String>,
    /// Sent to the origin of `url` only.
    pub credentials: Option<Credentials>,
    /// PEM certificates that replace the public authorities.
    pub ca: Option<Vec<u8>>,
}

/// What a source has for one version of one chart.
#[derive(Debug)]
pub struct Look<T> {
    /// How recent the answer is.
    pub answered: Answered,
    /// The archive.
    pub archive: Arc<Archive<T>>,
    /// SHA-256 that the index claims for the archive. It is signed by nobody.
    pub claimed_digest: Option<[u8; 32]>,
    /// Which of the addresses answered.
    pub place: Place,
    /// The provenance file.
    pub provenance: ProvenanceAnswer,
    /// Address of the archive as the index lists it, without its query.
    pub url: String,
}

/// An archive after it was read.
#[derive(Debug)]
pub struct Archive<T> {
    /// What the reader made of it.
    pub content: T,
    /// SHA-256 of its bytes.
    pub digest: [u8; 32],
    /// Its bytes.
    pub size: u64,
}

/// How recent a look is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The source answered now, and the archive was downloaded.
    Downloaded,
    /// The source was not asked: the answer is one from before, not older than allowed.
    Earlier,
    /// The source answered now, and the archive is the one downloaded before.
    Unchanged,
}

/// One of the addresses of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The configured URL.
    Main,
    /// A mirror. It can add proof; that it lacks something proves nothing.
    Mirror,
}

impl<T: Send + Sync + 'static> Fetcher<T> {
    /// A fetcher without any memory yet.
    pub fn new(settings: Settings, reader: Reader<T>) -> Self {
        let web = Web {
            clients: Clients::new(settings.user_agent),
            counters: Counters::default(),
            guard: Guard::new(settings.allowed_hosts),
            limits: settings.limits,
        };
        Self(Shared::new(web, reader))
    }

    /// Looks at a source for exactly this version of a chart, now.
    ///
    /// Calls at the same time for the same source, chart and version share one answer.
    ///
    /// # Errors
    /// [`FetchError::cause`] says what a failure means for a verdict. A failure that concerns the
    /// provenance file alone is no error but [`ProvenanceAnswer::Unavailable`].
    pub async fn look(
        &self,
        source: &Source,
        chart: &str,
        version: &str,
    ) -> Result<Look<T>, FetchError> {
        self.look_within(source, chart, version, Duration::ZERO)
            .await
    }

    /// Like [`Self::look`], but content with an answer, good or bad, that is not older than `age`.
    pub async fn look_within(
        &self,
        source: &Source,
        chart: &str,
        version: &str,
        age: Duration,
    ) -> Result<Look<T>, FetchError> {
        let now = Instant::now();
        let since = now.checked_sub(age).unwrap_or(now);
        let main = Site::main(source)?;
        let main = self
            .0
            .look(
                Wanted {
                    site: &main,
                    chart,
                    version,
                },
                since,
            )
            .await;
        let main = main.map(|seen| Look::new(seen, Place::Main));
        if is_settled(&main) {
            return main;
        }
        let mirrored = self.look_at_mirrors(source, chart, version, since).await;
        match (main, mirrored) {
            (_, Some(look)) if look.proves() => Ok(look),
            (Err(error), Some(look)) => Ok(look.without_proof(error)),
            (main, _) => main,
        }
    }

    /// The first mirror with a provenance file, or else the first with the archive.
    async fn look_at_mirrors(
        &self,
        source: &Source,
        chart: &str,
        version: &str,
        since: Instant,
    ) -> Option<Look<T>> {
        let mut lesser = None;
        for mirror in &source.mirrors {
            let Ok(site) = Site::mirror(source, mirror) else {
                continue;
            };
            let Ok(seen) = self
                .0
                .look(
                    Wanted {
                        site: &site,
                        chart,
                        version,
                    },
                    since,
                )
                .await
            else {
                continue;
            };
            let look = Look::new(seen, Place::Mirror);
            if look.proves() {
                return Some(look);
            }
            lesser.get_or_insert(look);
        }
        lesser
    }

    /// Requests made and archives downloaded since the start.
    pub fn counts(&self) -> Counts {
        self.0.web.counters.now()
    }
}

/// Whether no mirror could say more: the source itself has answered in full.
fn is_settled<T>(main: &Result<Look<T>, FetchError>) -> bool {
    match main {
        Ok(look) => !matches!(look.provenance, ProvenanceAnswer::Unavailable(_)),
        Err(error) => error.cause() != Cause::SourceUnavailable,
    }
}

impl<T> Look<T> {
    fn new(seen: Seen<T>, place: Place) -> Self {
        Self {
            answered: seen.answered,
            claimed_digest: seen.claimed_digest,
            place,
            provenance: seen.provenance.answer,
            url: text::redacted(&seen.stored.url),
            archive: seen.stored.archive,
        }
    }

    /// The archive of a mirror that has no provenance file, while the source itself is silent:
    /// whether the chart is signed is not known.
    fn without_proof(mut self, main: FetchError) -> Self {
        self.provenance = ProvenanceAnswer::Unavailable(main);
        self
    }

    fn proves(&self) -> bool {
        matches!(self.provenance, ProvenanceAnswer::Present(_))
    }
}

impl<T> Clone for Fetcher<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self {
            read: Arc::clone(&self.read),
            weigh: self.weigh,
        }
    }
}

impl<T> fmt::Debug for Fetcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}
