//! What a source says about a chart, put together for the engine.
//!
//! Knows no store, no names of objects and no cluster: the loop that asks again and again,
//! `charttrust verify` and whoever else has a claimed chart gather here, and judge by the same facts.

mod signatures;

use std::sync::Arc;
use std::time::Duration;

use charttrust_verify::chart::{self, ArchiveError, Chart};
use charttrust_verify::evidence::{Answer, ArchiveFacts, Bound, Claimed, Place, ProvenanceFacts};
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::verdict::Cause;

pub use self::signatures::Forms;
use crate::sources::{
    self, Asked, FetchError, Fetched, ProvenanceAnswer, Reader, Settings, Source,
};

/// Fetches charts from sources.
pub type Fetcher = sources::Fetcher<ReadChart>;

/// What reading an archive gave.
pub type ReadChart = Result<Arc<Chart>, ArchiveError>;

/// A fetcher that reads archives within the limits of the engine.
pub fn fetcher(settings: Settings) -> Fetcher {
    let reader = Reader {
        read: Arc::new(|archive| {
            chart::read_digested(archive, &ArchiveLimits::default()).map(Arc::new)
        }),
        cost,
    };
    Fetcher::new(settings, reader)
}

/// What a source said about one chart and version.
#[derive(Debug)]
pub enum Gathered {
    /// It has an archive, which is still to be compared with what was installed.
    Found(Box<Found>),
    /// No archive that could be compared.
    Other(Nothing),
}

/// What is known where no archive could be compared.
#[derive(Debug)]
pub struct Nothing {
    /// What it is worth.
    pub answer: Answer,
    /// Whether the source did not know whom it was asked by.
    is_refused: bool,
    /// Whether it may show more to others.
    is_denied: bool,
    /// Which of the mirrors has had a say, by its position.
    mirror: Option<usize>,
    retry_after: Option<Duration>,
}

/// An archive, and the signed statement about it.
#[derive(Clone, Debug)]
pub struct Found {
    chart: Arc<Chart>,
    facts: ArchiveFacts,
    /// Which of the mirrors has had a say, by its position.
    mirror: Option<usize>,
    /// Why the source itself did not answer, if a mirror did.
    silence: Option<Answer>,
    retry_after: Option<Duration>,
}

/// Asks a source about the chart and version that a release claims to be made of.
pub async fn gather(
    fetcher: &Fetcher,
    source: &Source,
    claimed: Claimed<'_>,
    (asked, forms): (Asked, Forms),
) -> Gathered {
    let fetched = fetcher.fetch_since(source, claimed.chart, claimed.version, asked);
    match fetched.await {
        Ok(fetched) => {
            let mut gathered = Gathered::of(&fetched, claimed, &ProvenanceFacts::read);
            if let (Gathered::Found(found), Forms::Every) = (&mut gathered, forms) {
                let asking = signatures::ask(fetcher, source, (claimed, asked), &fetched);
                found.take(Box::pin(asking).await);
            }
            gathered
        }
        Err(error) => Gathered::Other(Nothing {
            answer: no_archive(&error),
            is_refused: error.is_refusal(),
            is_denied: error.is_denial(),
            mirror: None,
            retry_after: error.retry_after(),
        }),
    }
}

/// How the provenance file of a chart is read.
pub type ReadStatement<'a> = dyn Fn(&[u8], Claimed<'_>) -> ProvenanceFacts + 'a;

/// What a source has said about it before; nobody is asked. Of signatures of Sigstore that nobody has asked for
/// yet nothing is said. A statement is read by `read`, which may remember it.
pub fn remembered(
    fetcher: &Fetcher,
    source: &Source,
    claimed: Claimed<'_>,
    forms: Forms,
    read: &ReadStatement<'_>,
) -> Option<Gathered> {
    let fetched = fetcher.remembered(source, claimed.chart, claimed.version)?;
    let mut gathered = Gathered::of(&fetched, claimed, read);
    if let (Gathered::Found(found), Forms::Every) = (&mut gathered, forms)
        && let Some(bundles) = signatures::remembered(fetcher, source, claimed, &fetched)
    {
        found.facts.bundles = Some(Box::new(bundles));
    }
    Some(gathered)
}

impl Gathered {
    fn of(fetched: &Fetched<ReadChart>, claimed: Claimed<'_>, read: &ReadStatement<'_>) -> Self {
        let silence = fetched
            .silence
            .as_ref()
            .filter(|_| fetched.place == Place::Mirror);
        let silence = silence.map(no_archive);
        let retry_after = match (&fetched.silence, &fetched.provenance) {
            (Some(error), _) | (None, ProvenanceAnswer::Unavailable(error)) => error.retry_after(),
            (None, _) => None,
        };
        let chart = match &fetched.archive.content {
            Ok(chart) => Arc::clone(chart),
            // That a mirror's archive cannot be read says nothing of the source's.
            Err(error) => {
                return Self::Other(Nothing {
                    answer: silence.unwrap_or_else(|| unreadable(error)),
                    is_refused: false,
                    is_denied: false,
                    mirror: fetched.mirror,
                    retry_after,
                });
            }
        };
        let provenance = proven(fetched, &|bytes| read(bytes, claimed));
        let mut facts = ArchiveFacts::of(&chart, provenance, Bound::NotCompared);
        facts.place = fetched.place;
        let mut claimed_digest = fetched.claimed_digest.iter();
        let disagrees = claimed_digest.any(|claimed| *claimed != fetched.archive.digest);
        // What a mirror's index says is no word of the source's.
        let is_told_otherwise = disagrees || fetched.is_moved;
        facts.index_disagrees = is_told_otherwise && fetched.place == Place::Main;
        Self::Found(Box::new(Found {
            chart,
            facts,
            mirror: fetched.mirror,
            silence,
            retry_after,
        }))
    }

    /// The source without the mirrors that have had a say, if there are others. What gives no trust is silence,
    /// whoever says it, and the next may have more.
    pub fn others(&self, source: &Source) -> Option<Source> {
        let said = match self {
            Self::Found(found) => found.mirror,
            Self::Other(nothing) => nothing.mirror,
        };
        let left = source.mirrors.get(said?.saturating_add(1)..)?;
        (!left.is_empty()).then(|| Source {
            mirrors: left.to_vec(),
            ..source.clone()
        })
    }

    /// Whether the source itself was silent, and this is what a mirror has.
    pub fn is_of_mirror(&self) -> bool {
        match self {
            Self::Found(found) => found.silence.is_some(),
            Self::Other(nothing) => nothing.mirror.is_some(),
        }
    }

    /// Whether the source did not know whom it was asked by: the credentials may have ended.
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Found(_) => false,
            Self::Other(nothing) => nothing.is_refused,
        }
    }

    /// Whether the source may show more to whoever asks with another login.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Found(_) => false,
            Self::Other(nothing) => nothing.is_denied,
        }
    }

    /// How long the source asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Found(found) => found.retry_after,
            Self::Other(nothing) => nothing.retry_after,
        }
    }
}

impl Found {
    fn take(&mut self, asking: signatures::Asking) {
        self.facts.bundles = Some(Box::new(asking.bundles));
        self.retry_after = self.retry_after.max(asking.retry_after);
    }

    /// The archive.
    pub fn chart(&self) -> &Chart {
        &self.chart
    }

    /// The archive, for whoever compares it elsewhere.
    pub fn chart_shared(&self) -> Arc<Chart> {
        Arc::clone(&self.chart)
    }

    /// The same, with the statement read for the chart in this version.
    #[must_use]
    pub fn of_version(mut self, claimed: Claimed<'_>) -> Self {
        self.facts.provenance = self.facts.provenance.about(claimed);
        self
    }

    /// The answer about a subchart: its own archive. What that carries is covered by who has signed it.
    pub fn of_subchart(self) -> Answer {
        let content = Some(self.chart.content);
        let facts = ArchiveFacts {
            content,
            subcharts: Vec::new(),
            ..self.facts
        };
        Answer::Archive(Box::new(facts))
    }

    /// The answer, once a release was compared with the archive. That a release is not made of what a
    /// mirror has proves nothing: then the source is silent.
    pub fn bound(self, binding: Bound) -> Answer {
        let is_other = matches!(binding, Bound::Different(_) | Bound::OldWriter(_));
        if let (true, Some(silence)) = (is_other, self.silence) {
            return silence;
        }
        let facts = ArchiveFacts {
            binding,
            ..self.facts
        };
        Answer::Archive(Box::new(facts))
    }
}

/// What it says of a chart that its archive cannot be read.
pub fn unreadable(error: &ArchiveError) -> Answer {
    match error {
        ArchiveError::Ambiguous(_) => Answer::Ambiguous {
            message: error.to_string(),
        },
        ArchiveError::TooLarge { .. } => unavailable(Cause::LimitExceeded, error.to_string()),
        _ => unavailable(Cause::SourceUnavailable, error.without_names()),
    }
}

/// The answer of a source that could not be asked, or gave none.
pub fn unavailable(cause: Cause, message: String) -> Answer {
    Answer::Unavailable { cause, message }
}

fn no_archive(error: &FetchError) -> Answer {
    let message = error.to_string();
    match error.cause() {
        sources::Cause::ArchiveAmbiguous => Answer::Ambiguous { message },
        sources::Cause::ChartNotFound => Answer::NotFound,
        sources::Cause::LimitExceeded => unavailable(Cause::LimitExceeded, message),
        sources::Cause::SourceUnavailable => unavailable(Cause::SourceUnavailable, message),
    }
}

/// The statement about an archive. What a mirror has in its place, and is none, is silence of the source.
fn proven(
    fetched: &Fetched<ReadChart>,
    read: &dyn Fn(&[u8]) -> ProvenanceFacts,
) -> ProvenanceFacts {
    let (facts, silence) = (
        provenance(&fetched.provenance, read),
        fetched.silence.as_ref(),
    );
    match (fetched.provenance_place, silence) {
        (Place::Mirror, Some(silence)) if !matches!(facts, ProvenanceFacts::Signed(_)) => {
            provenance(&ProvenanceAnswer::Unavailable(silence.clone()), read)
        }
        (place, _) => facts.served_by(place),
    }
}

fn provenance(
    answer: &ProvenanceAnswer,
    read: &dyn Fn(&[u8]) -> ProvenanceFacts,
) -> ProvenanceFacts {
    match answer {
        ProvenanceAnswer::Malformed(message) => ProvenanceFacts::Malformed {
            message: (*message).to_owned(),
        },
        ProvenanceAnswer::Missing => ProvenanceFacts::Missing,
        ProvenanceAnswer::Present(bytes) => read(bytes),
        ProvenanceAnswer::Unavailable(error) => ProvenanceFacts::Unavailable {
            // A provenance file that is not found is `Missing`, and there is one of an archive at most.
            cause: match error.cause() {
                sources::Cause::LimitExceeded => Cause::LimitExceeded,
                _ => Cause::SourceUnavailable,
            },
            message: error.to_string(),
        },
    }
}

/// About how many bytes of memory an archive takes that was read.
fn cost(chart: &ReadChart) -> usize {
    chart.as_ref().map_or(256, |chart| chart.weight())
}
