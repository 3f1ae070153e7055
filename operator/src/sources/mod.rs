//! Fetches a chart archive and its provenance file from where a policy says they are, and copies of
//! keys from where they are published.
//!
//! May touch: the network, and nothing else. Every request passes the guard, every body has a
//! limit, and what cannot be found out is an error, never a verdict.

mod archive;
mod body;
mod catalogue;
mod claimed;
mod clients;
mod counts;
mod credentials;
mod error;
mod fetch;
pub mod foreign;
mod guard;
mod http;
mod index;
mod key;
mod large;
mod limits;
mod listing;
mod located;
mod named;
mod network;
mod origin;
mod provenance;
mod remembered;
mod rest;
mod signatures;
mod singleflight;
mod site;
mod target;
mod text;
mod urls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use charttrust_verify::digest::{Digested, Sha256Digest};
pub use charttrust_verify::evidence::Place;
use tokio::time::Instant;

pub use claimed::{ClaimedSignature, Form, Signatures};
pub use counts::{CodeClass, Counts};
pub use credentials::Credentials;
pub use error::{Amount, Cause, FetchError, Part};
pub use guard::{AllowedHost, AuthHost, InvalidHost, Refused, TokenAudience};
pub use limits::Limits;
pub use located::{Listed, Manifest};
pub use origin::{Helper, NoLogin, docker_login, is_spelling};
pub use provenance::{Body as ProvenanceBody, EMPTY, ProvenanceAnswer};
pub use signatures::Signed;

use clients::Clients;
use counts::Counters;
use fetch::{Kept, Shared};
use guard::Guard;
use http::Web;
use located::Wanted;
use origin::Origin;
use rest::Rests;
use target::Target;

/// Fetches from sources. Clones share connections, memory and counters.
pub struct Fetcher<T>(Arc<Shared<T>>);

/// How the operator was started, as far as sources are concerned.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Hosts named by `--allow-host`.
    pub allowed_hosts: Vec<AllowedHost>,
    /// Registries and token services named by `--auth-host`.
    pub auth_hosts: Vec<AuthHost>,
    /// Bounds on what sources may cost.
    pub limits: Limits,
    /// The `User-Agent` header.
    pub user_agent: String,
}

/// A function from the bytes of an archive to what is kept of it.
pub type Read<T> = dyn Fn(&Digested<'_>) -> T + Send + Sync;

/// What is made of an archive, and kept in its place.
pub struct Reader<T> {
    /// Reads the archive; called on a thread that may block.
    pub read: Arc<Read<T>>,
    /// Bytes of memory that the result takes, about.
    pub cost: fn(&T) -> usize,
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
    /// Where provenance files are, if not beside the archives.
    pub provenance: Option<ProvenanceAt>,
}

/// A folder of provenance files.
#[derive(Clone, Debug)]
pub struct ProvenanceAt {
    /// Its URL.
    pub url: String,
    /// Sent to the origin of this URL only.
    pub credentials: Option<Credentials>,
}

impl Source {
    /// A URL that is asked without anything else.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            mirrors: Vec::new(),
            credentials: None,
            ca: None,
            provenance: None,
        }
    }
}

/// Which earlier answers are good enough.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// An answer that came after this is as good as a new one,
    pub since: Instant,
    /// if the question was put after this.
    pub anew: Option<Instant>,
    /// How long a source is left alone after its index could not be had.
    pub rest: Rest,
    /// Which manifest is meant, if not the one that the tag stands for. Only registries have any.
    pub manifest: Option<Manifest>,
}

/// How long a source is left alone after a failure, however recent an answer has to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rest {
    /// At most, however often it has failed in a row.
    pub longest: Duration,
    /// After it had more than a limit: until somebody makes it smaller, it has that each time, and all of it
    /// would be downloaded again.
    pub of_too_large: Duration,
}

impl Asked {
    /// None but what is on its way at this moment.
    pub fn now() -> Self {
        Self {
            since: Instant::now(),
            anew: None,
            rest: Rest::default(),
            manifest: None,
        }
    }
}

/// What a source has for one version of one chart.
#[derive(Debug)]
pub struct Fetched<T> {
    /// How much it had to send.
    pub answered: Answered,
    /// The archive.
    pub archive: Arc<Archive<T>>,
    /// SHA-256 that the source claims for the archive. It is signed by nobody.
    pub claimed_digest: Option<Sha256Digest>,
    /// Whether the tag stands for another archive by now, or for none, than the manifest that was asked for.
    pub is_moved: bool,
    /// SHA-256 of the manifest that lists the archive, in a registry.
    pub manifest: Option<Sha256Digest>,
    /// Which of the mirrors has had a say, by its position.
    pub mirror: Option<usize>,
    /// Which of the addresses has the archive.
    pub place: Place,
    /// The provenance file.
    pub provenance: ProvenanceAnswer,
    /// Which of the addresses is that of the provenance file.
    pub provenance_place: Place,
    /// Why the source itself did not answer in full, if a mirror was asked.
    pub silence: Option<FetchError>,
    /// Address of the archive, without its query.
    pub url: String,
}

/// An archive after it was read.
#[derive(Debug)]
pub struct Archive<T> {
    /// What the reader made of it.
    pub content: T,
    /// SHA-256 of its bytes.
    pub digest: Sha256Digest,
    /// Its bytes.
    pub size: u64,
}

/// How much a source had to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The archive was downloaded.
    Downloaded,
    /// The archive is the one downloaded before.
    Unchanged,
}

impl<T: Send + Sync + 'static> Fetcher<T> {
    /// A fetcher without any memory yet.
    pub fn new(settings: Settings, reader: Reader<T>) -> Self {
        let web = Web {
            clients: Clients::new(settings.user_agent),
            counters: Counters::default(),
            guard: Guard::new(settings.allowed_hosts).with_auth_hosts(settings.auth_hosts),
            limits: settings.limits,
            rests: Rests::default(),
        };
        Self(Shared::new(web, reader))
    }

    /// Asks a source for exactly this version of a chart, now.
    ///
    /// Calls at the same time for the same place, chart and version share one answer.
    ///
    /// # Errors
    /// [`FetchError::cause`] says what a failure means for a verdict. A failure that concerns the
    /// provenance file alone is no error but [`ProvenanceAnswer::Unavailable`].
    pub async fn fetch(
        &self,
        source: &Source,
        chart: &str,
        version: &str,
    ) -> Result<Fetched<T>, FetchError> {
        self.fetch_since(source, chart, version, Asked::now()).await
    }

    /// Asks as [`Fetcher::fetch`] does, or takes what others were answered who have asked alike.
    ///
    /// # Errors
    /// As [`Fetcher::fetch`]; while a source is left alone after a failure, that failure.
    pub async fn fetch_since(
        &self,
        source: &Source,
        chart: &str,
        version: &str,
        asked: Asked,
    ) -> Result<Fetched<T>, FetchError> {
        let wanted = Wanted {
            chart,
            version,
            manifest: asked.manifest,
        };
        let main = Target::main(source, wanted)?;
        let mut choice = Choice::of_main(self.fetch_at(&main, wanted, asked).await);
        for (position, mirror) in source.mirrors.iter().enumerate() {
            if choice.is_settled() {
                break;
            }
            if let Ok(mirror) = Target::mirror(source, mirror, wanted) {
                let mirrored = self.fetch_at(&mirror, wanted, asked).await;
                choice = choice.or_of_mirror(mirrored.map(|found| found.of_mirror(position)));
            }
        }
        choice.into_answer()
    }

    /// Whether what lies at one source may name another for us to ask about a chart and version: no further
    /// than it could redirect us.
    ///
    /// # Errors
    /// The other is at a host of `--allow-host`, and the one is not; or one of them is no address.
    pub fn may_send(
        &self,
        from: &str,
        to: &str,
        (chart, version): (&str, &str),
    ) -> Result<(), FetchError> {
        let wanted = Wanted {
            chart,
            version,
            manifest: None,
        };
        let origin = |url: &str| Origin::main(&Source::at(url), wanted);
        let (from, to) = (origin(from)?, origin(to)?);
        let (from, to) = (from.configured(), to.configured());
        let sent = self.0.web.guard.may_send(from, to);
        sent.map_err(|refused| FetchError::Refused {
            url: text::redacted(to),
            refused,
        })
    }

    async fn fetch_at(
        &self,
        target: &Target,
        wanted: Wanted<'_>,
        asked: Asked,
    ) -> Result<Fetched<T>, FetchError> {
        let kept = self.0.fetch(target, wanted, asked).await;
        kept.map(|kept| Fetched::new(kept, target))
    }

    /// Requests made and archives downloaded since the start.
    pub fn counts(&self) -> Counts {
        self.0.web.counters.now()
    }
}

/// The best of the answers of the places of a source, as far as they were asked.
enum Choice<T> {
    /// The source itself gave no answer, and mirrors at most an archive without provenance.
    Silence(FetchError, Option<Fetched<T>>),
    /// The source itself has the archive, but did not say whether it is signed.
    WithoutProof(FetchError, Fetched<T>),
    /// No other place could say more.
    Settled(Result<Fetched<T>, FetchError>),
}

impl<T> Choice<T> {
    fn of_main(answer: Result<Fetched<T>, FetchError>) -> Self {
        match answer {
            Err(error) if error.cause() == Cause::SourceUnavailable => Self::Silence(error, None),
            Ok(main) => match &main.provenance {
                ProvenanceAnswer::Unavailable(error) => Self::WithoutProof(error.clone(), main),
                _ => Self::Settled(Ok(main)),
            },
            Err(error) => Self::Settled(Err(error)),
        }
    }

    /// What a mirror has stands in for a silent source, and beside an archive of the source itself only
    /// if it is about that very archive.
    fn or_of_mirror(self, answer: Result<Fetched<T>, FetchError>) -> Self {
        match (self, answer) {
            (Self::Silence(error, _), Ok(mirrored)) if mirrored.proves() => {
                Self::Settled(Ok(mirrored.instead(error)))
            }
            (Self::Silence(error, None), answer) => Self::Silence(error, answer.ok()),
            (Self::WithoutProof(error, main), Ok(mirrored))
                if mirrored.proves() && mirrored.archive.digest == main.archive.digest =>
            {
                Self::Settled(Ok(main.proven_by(mirrored, error)))
            }
            (known, _) => known,
        }
    }

    fn is_settled(&self) -> bool {
        matches!(self, Self::Settled(_))
    }

    fn into_answer(self) -> Result<Fetched<T>, FetchError> {
        match self {
            Self::Silence(error, None) => Err(error),
            Self::Silence(error, Some(mirrored)) => Ok(mirrored.without_proof(error)),
            Self::WithoutProof(_, main) => Ok(main),
            Self::Settled(answer) => answer,
        }
    }
}

impl<T> Fetched<T> {
    fn new(kept: Kept<T>, target: &Target) -> Self {
        Self {
            answered: kept.answered,
            claimed_digest: kept.claimed_digest,
            is_moved: kept.is_moved,
            manifest: kept.manifest,
            mirror: None,
            place: target.place,
            provenance: kept.provenance.answer,
            provenance_place: target.provenance_place(),
            silence: None,
            url: text::redacted(&kept.stored.url),
            archive: kept.stored.archive,
        }
    }

    fn of_mirror(mut self, position: usize) -> Self {
        self.mirror = Some(position);
        self
    }

    /// What a mirror has, while the source itself is silent.
    fn instead(mut self, of_main: FetchError) -> Self {
        self.silence = Some(of_main);
        self
    }

    /// The archive of the source itself with the provenance file of a mirror.
    fn proven_by(mut self, mirrored: Self, silence: FetchError) -> Self {
        self.mirror = mirrored.mirror;
        self.provenance = mirrored.provenance;
        self.provenance_place = Place::Mirror;
        self.silence = Some(silence);
        self
    }

    /// The archive of a mirror that has no provenance file, while the source itself is silent:
    /// whether the chart is signed is not known.
    fn without_proof(mut self, of_main: FetchError) -> Self {
        self.provenance = ProvenanceAnswer::Unavailable(of_main.clone());
        self.instead(of_main)
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
            cost: self.cost,
        }
    }
}

impl<T> fmt::Debug for Fetcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}
