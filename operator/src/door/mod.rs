//! The door: judges a release while Helm stores its record, before Helm makes anything of it.
//!
//! It asks the same engine and the same sources as the operator, and says what policies do about the verdict.
//! It reads our kinds, namespaces and what it is shown; it writes nothing, and has no credentials of sources.
//!
//! Decision: a process of its own under an account of its own, and not the operator. What must answer whenever
//! anybody installs anything may not restart with the operator, and whoever breaks into it finds no Secret.

mod ahead;
mod answer;
mod application;
mod ask;
mod before;
mod callers;
mod heads;
mod hindsight;
mod known;
mod places;
mod review;
pub mod serve;
pub mod shown;
mod statements;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use charttrust_verify::check::{Judgement, PolicyVerdict};
use charttrust_verify::evidence::Claimed;
use charttrust_verify::finding::{Fact, Finding};
use charttrust_verify::policy::{Policy, ReleaseRef};
use charttrust_verify::release::{HelmReleaseMark, Record, Status};
use charttrust_verify::verdict::{Cause, Reason, Verdict};
use jiff::Timestamp;
use kube::Client;

use self::answer::Terms;
use self::ask::Asking;
use self::before::Before;
use self::callers::Place;
use self::known::{Known, Trusting};
use self::places::{Places, Queue};
use crate::api::BREAK_GLASS;
use crate::clock::Moment;
use crate::controllers::release::contradiction::{Inside, OF_CHART, Outside, contradiction};
use crate::controllers::store::Trust;
use crate::evidence::{self, Fetcher};
use crate::inventory::ReleaseId;
use crate::inventory::helm::Writer;
use crate::inventory::submitted::SubmittedRecord;
use crate::parse::Glass;
use crate::sources::Settings as SourceSettings;

pub use self::answer::{Answer, Asked};
pub use self::hindsight::Hindsight;
pub use self::known::{Unread, is_readable, unread};
pub use self::review::{Review, ReviewError, Subject};

/// How the door runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's namespace, of which nothing is asked.
    pub namespace: String,
    /// Others of which nothing is asked.
    pub exempt: BTreeSet<String>,
    /// How sources are asked.
    pub sources: SourceSettings,
}

/// Everything that answers need.
pub struct Door {
    settings: Settings,
    client: Client,
    known: Known,
    fetcher: Fetcher,
    places: Places,
}

/// Nothing was read yet, so that nothing can be judged.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("keys and policies were not read yet")]
pub struct NotReady;

/// How long an installation waits for sources. The API server gives up after five seconds.
const LONGEST_WAIT: Duration = Duration::from_millis(2500);

impl Door {
    /// A door that knows nothing yet.
    pub fn new(client: Client, settings: Settings) -> Self {
        Self {
            known: Known::new(client.clone(), &settings.namespace),
            client,
            fetcher: evidence::fetcher(settings.sources.clone()),
            places: Places::default(),
            settings,
        }
    }

    /// Follows what is judged by, and asks ahead, for ever.
    pub async fn follow(&self) {
        tokio::join!(
            self.known.follow(),
            ahead::for_ever(self.client.clone(), &self.known, &self.fetcher),
        );
    }

    /// Until when everything is let in, if it is.
    pub fn broken_until(&self, now: Timestamp) -> Option<Timestamp> {
        match Glass::of(self.known.break_glass().as_deref(), now) {
            Glass::Broken(until) => Some(until),
            Glass::Ignored(_) | Glass::Whole => None,
        }
    }

    /// Whether everything was read once.
    pub fn is_ready(&self) -> bool {
        self.known.trusting().is_some()
    }

    /// What becomes of what is to be created. `place` is given back when it was read: what remains is small.
    ///
    /// # Errors
    /// [`NotReady`].
    async fn answer(
        &self,
        (subject, place): (Subject, Place),
        moment: Moment,
    ) -> Result<Answer, NotReady> {
        let namespace = match &subject {
            Subject::Application(requested) => &requested.name.namespace,
            Subject::Record(record) => &record.key.release.namespace,
            Subject::Other => return Ok(Answer::default()),
        };
        if *namespace == self.settings.namespace || self.settings.exempt.contains(namespace) {
            return Ok(Answer::default());
        }
        let trusting = self.known.trusting().ok_or(NotReady)?;
        if trusting.acting.is_empty() {
            return Ok(Answer::default());
        }
        if let Some(answer) = self.let_in(moment) {
            return Ok(answer);
        }
        Ok(match subject {
            Subject::Application(requested) => {
                let from = place.from;
                drop(place);
                let judging = self.judge_application((&requested, from), &trusting, moment);
                Box::pin(judging).await
            }
            Subject::Record(record) => {
                let comes = Comes::Now(place);
                Box::pin(self.judge((*record, comes), &trusting, moment)).await
            }
            Subject::Other => Answer::default(),
        })
    }

    /// What is answered while the glass is broken.
    fn let_in(&self, moment: Moment) -> Option<Answer> {
        let written = self.known.break_glass();
        match Glass::of(written.as_deref(), moment.date) {
            Glass::Broken(until) => {
                tracing::warn!(%until, "let in unchecked: {BREAK_GLASS} is set on the operator's namespace");
                let told = format!("charttrust: nothing is checked until {until}: {BREAK_GLASS}");
                Some(Answer::warned(&told))
            }
            Glass::Ignored(why) => {
                tracing::warn!("{BREAK_GLASS} on the operator's namespace {why}");
                None
            }
            Glass::Whole => None,
        }
    }

    async fn judge(
        &self,
        (mut submitted, comes): (SubmittedRecord, Comes),
        trusting: &Trusting,
        moment: Moment,
    ) -> Answer {
        let id = submitted.key.release.clone();
        let known = self.known.place(&id.namespace).await;
        let release = ReleaseRef {
            namespace: &id.namespace,
            namespace_labels: known.as_deref().map(|known| &known.labels),
            name: &id.name,
        };
        let selecting = trusting.selecting(&release);
        if selecting.is_empty() {
            return Answer::default();
        }
        let record = read(&mut submitted).await;
        let queue = self.places.queue(comes.from());
        let is_stored = matches!(comes, Comes::Stored);
        drop((submitted, comes));
        let record = match record {
            Ok(record) => record,
            Err(why) => {
                let judgement = undecided(&selecting, (Cause::ReleaseUnreadable, &why));
                let asked = Asked {
                    release: &id,
                    chart: None,
                };
                return answered((asked, &NOTHING), &judgement, trusting);
            }
        };
        // What is put back of another time, and runs no more.
        if !is_stored && matches!(record.status, Status::Superseded | Status::Uninstalled) {
            return Answer::default();
        }
        let judging = self.judge_record((&id, record), (release, queue), (trusting, moment));
        Box::pin(judging).await
    }

    async fn judge_record(
        &self,
        (id, mut record): (&ReleaseId, Record),
        (release, queue): (ReleaseRef<'_>, Queue<'_>),
        (trusting, moment): (&Trusting, Moment),
    ) -> Answer {
        let unknown = self.asking((release, queue, &record), (trusting, moment));
        if unknown.is_trusted_by_memory().await {
            return Answer::default();
        }
        let content = record.content_digest();
        let before = Before::read(&self.client, trusting.seal.as_ref(), id).await;
        let known = before.content.as_ref();
        if let Some(known) = known.filter(|known| known.digest == content) {
            // As its publisher calls it: what deploys it may have left a mark in the version.
            record.chart.metadata.version.clone_from(&known.version);
        }
        let asking = Asking {
            before: &before,
            content: Some(content),
            ..self.asking((release, queue, &record), (trusting, moment))
        };
        let judgement = judge_published(asking, &record).await;
        let metadata = &record.chart.metadata;
        let asked = Asked {
            release: id,
            chart: Some((&metadata.name, &metadata.version)),
        };
        answered((asked, &before), &judgement, trusting)
    }

    /// What sources say of a record, without what the operator knows.
    fn asking<'a>(
        &'a self,
        (release, queue, record): (ReleaseRef<'a>, Queue<'a>, &'a Record),
        (trusting, moment): (&'a Trusting, Moment),
    ) -> Asking<'a> {
        Asking {
            before: &NOTHING,
            content: None,
            fetcher: &self.fetcher,
            queue,
            trusting,
            release,
            claimed: claimed(record),
            record: Some(record),
            deployers: &[],
            deadline: moment.tick + LONGEST_WAIT,
            now: moment.date,
        }
    }
}

/// How a record comes to be judged.
enum Comes {
    /// Somebody stores it, who has this place.
    Now(Place),
    /// It was stored before, and somebody asks what would be said of it.
    Stored,
}

impl Comes {
    fn from(&self) -> IpAddr {
        match self {
            Self::Now(place) => place.from,
            Self::Stored => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

static NOTHING: Before = Before {
    content: None,
    witnesses: Vec::new(),
    is_whole: false,
};

/// Reads the record, or says why it cannot be believed that it is one.
async fn read(submitted: &mut SubmittedRecord) -> Result<Record, String> {
    if submitted.writer == Writer::Chart {
        return Err(OF_CHART.to_owned());
    }
    let decoded = submitted.decoded(|record| record).await;
    let record = decoded.map_err(|error| error.to_string())?;
    let inside = Inside {
        name: &record.name,
        revision: record.revision,
        status: record.status,
    };
    let outside = Outside {
        name: &submitted.key.release.name,
        revision: submitted.key.revision,
        status: &submitted.meta.claimed_status,
    };
    match contradiction(inside, outside) {
        Some(why) => Err(why),
        None => Ok(record),
    }
}

/// Judges the version as the record has it. Flux replaces the build of a version, so that of what it deploys
/// no source may have that version: then the version without it is meant.
async fn judge_published(asking: Asking<'_>, record: &Record) -> Judgement {
    let judgement = Box::pin(asking.judge()).await;
    let is_of_flux = record.helm_release != HelmReleaseMark::None;
    let is_missing = judgement.verdict == Verdict::Untrusted(Reason::ChartNotFound);
    let version = &record.chart.metadata.version;
    let Some((base, _)) = version.split_once('+').filter(|_| is_of_flux && is_missing) else {
        return judgement;
    };
    let mut record = record.clone();
    base.clone_into(&mut record.chart.metadata.version);
    let unmarked = Asking {
        claimed: claimed(&record),
        record: Some(&record),
        ..asking
    };
    Box::pin(unmarked.judge()).await
}

fn claimed(record: &Record) -> Claimed<'_> {
    let metadata = &record.chart.metadata;
    Claimed {
        chart: &metadata.name,
        version: &metadata.version,
    }
}

fn answered(
    (asked, before): (Asked<'_>, &Before),
    judgement: &Judgement,
    trusting: &Trusting,
) -> Answer {
    let answer = Answer::of(asked, judgement, |said| Terms {
        knows_witnesses: before.is_whole,
        ..trusting.terms(said)
    });
    let (release, verdict) = (asked.release, judgement.verdict);
    let refused = answer.refusal.is_some();
    if refused || !answer.warnings.is_empty() {
        tracing::info!(%release, %verdict, refused, "not let in silently");
    }
    answer
}

/// What the door would say of a release that is judged so already, if it came now: by these policies, and
/// without these keys. What the operator has verified of it before is known to the door too, by its signature.
pub fn foretold(
    asked: Asked<'_>,
    judgement: &Judgement,
    (trust, unread): (&Trust, &Unread),
) -> Answer {
    Answer::of(asked, judgement, |said| Terms {
        knows_witnesses: true,
        ..known::terms(trust, unread, said)
    })
}

/// Nobody knows of which chart it is: every policy that selects the release may be meant.
fn undecided(selecting: &[&Policy], (cause, why): (Cause, &str)) -> Judgement {
    let verdict = Verdict::Unknown(cause);
    let policies = selecting.iter().map(|policy| PolicyVerdict {
        policy: policy.name.clone(),
        rule: None,
        verdict,
        exempt_by: None,
        origin: None,
        revocations: BTreeSet::new(),
    });
    Judgement {
        verdict,
        policies: policies.collect(),
        findings: vec![Finding::new(Fact::Doubt(cause), why)],
    }
}
