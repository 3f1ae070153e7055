//! What a source says about a chart, put together for the engine.
//!
//! Knows no store, no names of objects and no cluster: the loop that asks again and again,
//! `charttrust verify` and whoever else has a claimed chart gather here, and judge by the same facts.

use std::sync::Arc;
use std::time::Duration;

use charttrust_verify::chart::{self, ArchiveError, Chart};
use charttrust_verify::evidence::{Answer, ArchiveFacts, Bound, Claimed, Place, ProvenanceFacts};
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::verdict::Cause;

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
    Found(Found),
    /// No archive that could be compared.
    Other(Answer, Option<Duration>),
}

/// An archive, and the signed statement about it.
#[derive(Debug)]
pub struct Found {
    chart: Arc<Chart>,
    facts: ArchiveFacts,
    /// Why the source itself did not answer, if a mirror did.
    silence: Option<Answer>,
    retry_after: Option<Duration>,
}

/// Asks a source about the chart and version that a release claims to be made of.
pub async fn gather(
    fetcher: &Fetcher,
    source: &Source,
    claimed: Claimed<'_>,
    asked: Asked,
) -> Gathered {
    let fetched = fetcher.fetch_since(source, claimed.chart, claimed.version, asked);
    match fetched.await {
        Ok(fetched) => Gathered::of(&fetched, claimed),
        Err(error) => Gathered::Other(no_archive(&error), error.retry_after()),
    }
}

impl Gathered {
    fn of(fetched: &Fetched<ReadChart>, claimed: Claimed<'_>) -> Self {
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
                return Self::Other(silence.unwrap_or_else(|| unreadable(error)), retry_after);
            }
        };
        let provenance = provenance(&fetched.provenance, claimed);
        let provenance = provenance.served_by(fetched.provenance_place);
        let mut facts = ArchiveFacts::of(&chart, provenance, Bound::NotCompared);
        facts.place = fetched.place;
        let mut claimed_digest = fetched.claimed_digest.iter();
        let disagrees = claimed_digest.any(|claimed| *claimed != fetched.archive.digest);
        // What a mirror's index says is no word of the source's.
        facts.index_disagrees = disagrees && fetched.place == Place::Main;
        Self::Found(Found {
            chart,
            facts,
            silence,
            retry_after,
        })
    }

    /// How long the source asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Found(found) => found.retry_after,
            Self::Other(_, retry_after) => *retry_after,
        }
    }
}

impl Found {
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

fn provenance(answer: &ProvenanceAnswer, claimed: Claimed<'_>) -> ProvenanceFacts {
    match answer {
        ProvenanceAnswer::Malformed(message) => ProvenanceFacts::Malformed {
            message: (*message).to_owned(),
        },
        ProvenanceAnswer::Missing => ProvenanceFacts::Missing,
        ProvenanceAnswer::Present(bytes) => ProvenanceFacts::read(bytes, claimed),
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
