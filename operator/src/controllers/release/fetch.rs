//! Asks one source about the judged contents of a release, and takes its answers into the evidence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use charttrust_verify::bundles::Bundles;
use charttrust_verify::chart::Chart;
use charttrust_verify::check::Vouchers;
use charttrust_verify::deployer::Deployer;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{Answer, Bound, Claimed, ProvenanceFacts, SubchartId};
use charttrust_verify::later::JudgedBy;
use charttrust_verify::policy::{self, ReleaseRef, SecretName};
use charttrust_verify::release::Record;
use charttrust_verify::verdict::Cause;
use tokio::time::Instant;

use super::{credentials, rules};
use crate::clock;
use crate::controllers::context::Context;
use crate::controllers::lanes::Pace;
use crate::controllers::store::{Content, PollState, Release, Revision, Trust};
use crate::evidence::{Forms, Gathered, gather, unavailable};
use crate::inventory::helm::Writer;
use crate::inventory::{Deployed, Item, RecordId, ReleaseId};
use crate::sources::{Asked, Manifest, Source};

/// Who asks, and for whom.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) context: &'a Context,
    pub(super) trust: &'a Trust,
    pub(super) id: &'a ReleaseId,
}

/// How a source is asked.
#[derive(Clone, Copy)]
struct Look<'a> {
    source: &'a policy::Source,
    asked: Asked,
    deadline: Instant,
}

/// What a source said.
struct Answered {
    answer: Answer,
    /// Whether the source did not know whom it was asked by.
    is_refused: bool,
    /// Whether it may show more to others.
    is_denied: bool,
    /// The source without the mirrors that have had a say, if there are others.
    others: Option<Source>,
    /// How long it asks to be left alone.
    retry_after: Option<Duration>,
}

impl Asking<'_> {
    /// Asks one source, for every judged content; how quickly that went.
    pub(super) async fn fetch(
        self,
        source: &policy::Source,
        every: Duration,
        asked: Asked,
    ) -> Pace {
        let begun = clock::tick();
        let requests = self.context.store.update(self.id, |release| {
            release.renewed.remove(source);
            release.requests.count()
        });
        let mut outcome = Outcome::default();
        match credentials::resolve(self.context, source).await {
            Ok(resolved) => {
                let deadline = begun + DEADLINE;
                for (item, content) in self.contents(&source.url) {
                    let about = (&item, &content);
                    let look = Look {
                        source,
                        asked,
                        deadline,
                    };
                    let heard = self.look(look, about, resolved.clone()).await;
                    outcome.retry_after = outcome.retry_after.max(heard.1);
                    outcome.is_silence |= heard.0 == Heard::Nothing;
                    self.ask_subcharts(look, about).await;
                }
            }
            Err(message) => {
                for (item, content) in self.contents(&source.url) {
                    let answer = unavailable(Cause::SourceUnavailable, message.clone());
                    self.apply(&item, &content, source, answer);
                    outcome.is_silence = true;
                }
            }
        }
        self.note(source, &outcome, |before| {
            outcome.state(before, begun, (every, requests))
        });
        let is_quick = begun + SLOW > clock::tick() && !outcome.is_silence;
        if is_quick { Pace::Quick } else { Pace::Slow }
    }

    /// Asks a source and its mirrors about one content, until somebody says something that counts. Of a mirror
    /// that is trust; all else is silence, and no mirror silences those after it.
    async fn look(
        self,
        look: Look<'_>,
        (item, content): (&Item, &Content),
        mut resolved: Source,
    ) -> (Heard, Option<Duration>) {
        let mut retry_after = None;
        loop {
            let asking = self.ask_known(look, (item, content), &mut resolved);
            let answered = tokio::time::timeout_at(look.deadline, asking).await;
            let answered = answered.unwrap_or_else(|_| Answered::too_late(look.source));
            retry_after = answered.retry_after.max(retry_after);
            if is_too_large(&answered.answer) {
                // Until the next interval it is no smaller, and all of it would be downloaded again.
                retry_after = retry_after.max(Some(look.asked.rest.of_too_large));
            }
            let heard = self.apply(item, content, look.source, answered.answer);
            let others = answered.others.filter(|_| heard == Heard::Nothing);
            let Some(others) = others else {
                return (heard, retry_after);
            };
            resolved = others;
        }
    }

    /// Asks the repositories of the subcharts of an archive, where a rule wants those signed. A repository that
    /// is a source of the rule is asked as that is, any other without credentials. That one is silent is no
    /// silence of the source.
    async fn ask_subcharts(self, look: Look<'_>, (item, content): (&Item, &Content)) {
        let Self { context, id, trust } = self;
        let rules = rules::of_subcharts(context, trust, id, &content.chart);
        if rules.is_empty() {
            return;
        }
        let vouchers = Vouchers {
            rules: &rules,
            sigstore: &trust.sigstore,
        };
        let forms = Forms::of(&rules, &trust.sigstore);
        let deadline = look.deadline.min(clock::tick() + DEADLINE_OF_SUBCHARTS);
        let open = context.store.inspect(id, |release| {
            let known = release?
                .revisions
                .get(&item.record)?
                .content
                .as_ref()
                .ok()?;
            let release = (content.chart.as_str(), content.version.as_str());
            let evidence = &known.evidence;
            Some(evidence.open_subcharts(release, &look.source.url, vouchers))
        });
        for subchart in open.unwrap_or_default() {
            let is_it =
                |place: &&policy::Source| place.url.trim_end_matches('/') == subchart.id.repository;
            let known = rules.iter().flat_map(|rule| &rule.sources).find(is_it);
            let place = policy::Source {
                url: subchart.id.repository.clone(),
                mirrors: Vec::new(),
                credentials_secret: known.and_then(|it| it.credentials_secret.clone()),
                token_audience: known.and_then(|it| it.token_audience.clone()),
                deployer_secret: None,
                ca: known.and_then(|it| it.ca.clone()),
                provenance: known.and_then(|it| it.provenance.clone()),
            };
            let on_behalf = known.unwrap_or(look.source);
            let wanted = (look.asked, forms);
            let asking = self.ask_subchart((on_behalf, &place), &subchart.id, wanted);
            let answered = tokio::time::timeout_at(deadline, asking).await;
            let answer = answered.unwrap_or_else(|_| Answered::too_late(&place).answer);
            self.apply_subchart(item, content, &subchart.id, answer);
        }
    }

    /// A publisher sends us no further than his repository could by a redirect.
    async fn ask_subchart(
        self,
        (on_behalf, place): (&policy::Source, &policy::Source),
        id: &SubchartId,
        wanted: (Asked, Forms),
    ) -> Answer {
        let fetcher = &self.context.fetcher;
        let about = (id.name.as_str(), id.version.as_str());
        if let Err(refused) = fetcher.may_send(&on_behalf.url, &place.url, about) {
            return unavailable(Cause::SourceUnavailable, refused.to_string());
        }
        let source = match credentials::resolve(self.context, place).await {
            Ok(source) => source,
            Err(message) => return unavailable(Cause::SourceUnavailable, message),
        };
        let claimed = Claimed {
            chart: &id.name,
            version: &id.version,
        };
        match gather(fetcher, &source, claimed, wanted).await {
            Gathered::Found(found) => self.tried(found.of_subchart()),
            Gathered::Other(nothing) => nothing.answer,
        }
    }

    /// An answer after everybody who is known was tried on its Sigstore signatures: what that takes holds nobody
    /// else up here.
    fn tried(self, mut answer: Answer) -> Answer {
        if let Answer::Archive(facts) = &mut answer {
            facts.try_sigstore(&self.trust.sigstore, clock::now());
        }
        answer
    }

    fn apply_subchart(self, item: &Item, content: &Content, id: &SubchartId, answer: Answer) {
        let labels = self.context.cache.namespace_labels(&self.id.namespace);
        let deployed = self.deployed(item);
        let by = self.judged_by(content, labels.as_deref(), &deployed.deployers);
        self.context.store.update(self.id, |release| {
            self.context.store.texts.lend(release);
            let known = release.revisions.get_mut(&item.record);
            let known = known.and_then(|revision| revision.content.as_mut().ok());
            if let Some(known) = known.filter(|known| known.digest == content.digest) {
                known.evidence.apply_subchart(id, answer, &by);
                self.context
                    .store
                    .trust()
                    .try_on(&mut known.evidence, clock::now());
            }
            self.context.store.texts.take(release);
        });
    }

    /// What deploys a revision.
    fn deployed(self, item: &Item) -> Deployed {
        let mark = self.context.store.inspect(self.id, |release| {
            let revision = release?.revisions.get(&item.record)?;
            Some(revision.mark.clone())
        });
        let mark = mark.unwrap_or_default();
        let cache = &self.context.cache;
        cache.deployed(self.id, (item.record, &mark))
    }

    fn judged_by<'a>(
        &'a self,
        content: &'a Content,
        namespace_labels: Option<&'a BTreeMap<String, String>>,
        deployers: &'a [Deployer],
    ) -> JudgedBy<'a> {
        JudgedBy {
            release: ReleaseRef {
                namespace: &self.id.namespace,
                namespace_labels,
                name: &self.id.name,
            },
            chart: &content.chart,
            version: &content.version,
            deployers,
            policies: &self.trust.judged_by,
            known: self.trust.known(),
            now: clock::now(),
        }
    }

    fn note(
        self,
        source: &policy::Source,
        outcome: &Outcome,
        state: impl FnOnce(Option<&PollState>) -> PollState,
    ) {
        if outcome.is_silence {
            self.context.metrics.poll_failed();
        } else {
            self.context.metrics.poll_answered();
        }
        self.context.store.update(self.id, |release| {
            let state = state(release.asked.get(source));
            release.note_poll(source, state);
        });
    }

    /// The judged contents. First those about which the source has not answered yet: it may have time for
    /// some only.
    fn contents(self, url: &str) -> Vec<(Item, Content)> {
        let release = self.context.store.release(self.id).unwrap_or_default();
        let revisions = release.revisions.into_iter();
        let contents = revisions.filter_map(|(record, revision)| {
            let id = self.id.clone();
            Some((Item { id, record }, revision.content.ok()?))
        });
        let mut contents: Vec<_> = contents.collect();
        contents.sort_by_key(|(_, content)| match content.evidence.answers.get(url) {
            None | Some(Answer::Unavailable { .. }) => 0,
            Some(_) => 1,
        });
        contents
    }

    /// Asks a source, once more with another token if it did not know the first.
    async fn ask_known(
        self,
        look: Look<'_>,
        about: (&Item, &Content),
        resolved: &mut Source,
    ) -> Answered {
        let mut answered = self.ask(about, resolved, look.asked).await;
        if answered.is_refused
            && let Some(renewed) = credentials::renewed(self.context, look.source, resolved).await
        {
            *resolved = renewed;
            answered = self.ask(about, resolved, Asked::now()).await;
        }
        if let Answer::Unavailable { message, .. } = &mut answered.answer
            && answered.is_denied
            && let Some(hint) = self.hint(look.source, about)
        {
            message.push_str("; ");
            message.push_str(&hint);
        }
        answered
    }

    /// Whose login a source does not take, or which it might.
    fn hint(self, source: &policy::Source, (item, content): (&Item, &Content)) -> Option<String> {
        if let Some(SecretName { namespace, name }) = &source.deployer_secret {
            return Some(format!("asked with Secret {name} in namespace {namespace}"));
        }
        let deployed = self.deployed(item);
        let mut deployers = deployed.deployers.iter().filter(|_| !source.has_login());
        let login = deployers.find_map(|one| one.login(source, &content.chart))?;
        let own = &self.context.settings.namespace;
        let named =
            format!("give this source a credentialsSecretRef with that login, in namespace {own}");
        let by = &login.named_by;
        Some(match &login.secret {
            Some(SecretName { namespace, name }) => format!(
                "{by} logs in with Secret {name} in namespace {namespace}: {named}, or have the operator read \
                 it (--read-deployer-secrets)"
            ),
            None => format!(
                "{by} has a login, in another namespace than what deploys the release: {named}"
            ),
        })
    }

    async fn ask(
        self,
        (item, content): (&Item, &Content),
        source: &Source,
        asked: Asked,
    ) -> Answered {
        let claimed = Claimed {
            chart: &content.chart,
            version: &content.version,
        };
        let manifest = content.manifest.map(Manifest::Deployed);
        let asked = Asked { manifest, ..asked };
        let rules = rules::deciding(self.context, self.trust, self.id, &content.chart);
        let forms = rules::forms(&rules, &source.url, self.trust);
        let gathered = gather(&self.context.fetcher, source, claimed, (asked, forms)).await;
        let (others, retry_after) = (gathered.others(source), gathered.retry_after());
        let (is_refused, is_denied) = (gathered.is_refused(), gathered.is_denied());
        let found = match gathered {
            Gathered::Found(found) => found,
            Gathered::Other(nothing) => {
                return Answered {
                    answer: nothing.answer,
                    is_refused,
                    is_denied,
                    others,
                    retry_after,
                };
            }
        };
        let is_older =
            |release: Option<&Release>| release.is_some_and(|r| r.older.contains(&source.url));
        let mut binding = bound_before(content, &source.url, &found.chart().digest);
        binding.take_if(|_| self.context.store.inspect(self.id, is_older));
        if binding.is_none() {
            binding = self.compare(item, content, found.chart_shared()).await;
        }
        let changed = || unavailable(Cause::Pending, "the record changed meanwhile".into());
        let answer = binding.map_or_else(changed, |binding| self.tried(found.bound(binding)));
        Answered {
            answer,
            is_refused,
            is_denied,
            others,
            retry_after,
        }
    }

    /// Compares the record of an item with an archive, as long as it still has the content that evidence is
    /// gathered for.
    async fn compare(self, item: &Item, content: &Content, chart: Arc<Chart>) -> Option<Bound> {
        if let RecordId::Application { .. } = item.record {
            return Some(Bound::NoRecord);
        }
        let (digest, version) = (content.digest, content.version.clone());
        let compare = move |mut record: Record| {
            let is_same = record.content_digest() == digest;
            // Without the mark of Flux, if it has one.
            record.chart.metadata.version = version;
            is_same.then(|| Bound::compare(&chart, &record))
        };
        let (client, kept) = (&self.context.client, &self.context.kept);
        let since = self.context.store.inspect(&item.id, |release| {
            let revision = release?.revisions.get(&item.record)?;
            Some(revision.resource_version.clone())
        });
        let since = since.unwrap_or_default();
        let read = item.read_again(client, &since, kept, compare).await.ok()?;
        read.taken.filter(|_| read.writer == Writer::Helm)
    }

    /// Takes an answer into the evidence of a content, unless the record has changed meanwhile.
    fn apply(
        self,
        item: &Item,
        content: &Content,
        source: &policy::Source,
        answer: Answer,
    ) -> Heard {
        let (context, id) = (self.context, self.id);
        let labels = context.cache.namespace_labels(&id.namespace);
        let deployed = self.deployed(item);
        let by = self.judged_by(content, labels.as_deref(), &deployed.deployers);
        context.store.update(id, |release| {
            context.store.texts.lend(release);
            let heard = self.take_in(release, (item, content), (source, answer), &by);
            context.store.texts.take(release);
            heard
        })
    }

    fn take_in(
        self,
        release: &mut Release,
        (item, content): (&Item, &Content),
        (source, answer): (&policy::Source, Answer),
        by: &JudgedBy<'_>,
    ) -> Heard {
        let (heard, context) = (Heard::of(&answer), self.context);
        let is_answered_otherwise = release.is_answered_otherwise(source);
        let Some(Revision {
            content: Ok(known), ..
        }) = release.revisions.get_mut(&item.record)
        else {
            return heard;
        };
        // Nor what was asked about another version, before Flux has said what it has deployed.
        if known.digest != content.digest || known.version != content.version {
            return heard;
        }
        // Who asks without credentials may be shown less: no word against who asks with them.
        let is_archive = |known: &Answer| matches!(known, Answer::Archive(_));
        let known_archive = known
            .evidence
            .answers
            .get(&source.url)
            .is_some_and(is_archive);
        if matches!(answer, Answer::NotFound) && known_archive && is_answered_otherwise {
            return heard;
        }
        if !matches!(answer, Answer::Unavailable { .. }) {
            release.older.remove(&source.url);
        }
        let notices = known.evidence.apply(&source.url, answer, by);
        // Read under the lock, so that a key is not missed that came while the source was asked.
        context
            .store
            .trust()
            .try_on(&mut known.evidence, clock::now());
        let heard = match heard {
            Heard::Mirror if known.evidence.is_answered(&source.url, by) => Heard::Source,
            Heard::Part if known.evidence.gives_trust(&source.url, by) => Heard::Source,
            Heard::Mirror | Heard::Part => Heard::Nothing,
            heard => heard,
        };
        if heard != Heard::Nothing || !is_answered_otherwise {
            release.notices.insert(source.url.clone(), notices);
        }
        heard
    }
}

/// What became of one fetch, all contents together.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    is_silence: bool,
    retry_after: Option<Duration>,
}

/// How long one look may take: index, archives and provenance, mirrors included.
const DEADLINE: Duration = Duration::from_secs(150);

/// How long the repositories of all its subcharts may take of that: whoever publishes the chart has named
/// them, and what hangs there holds a worker of the chart's source.
const DEADLINE_OF_SUBCHARTS: Duration = Duration::from_secs(30);

/// From when on a look is slow: then its way has one worker, not several.
const SLOW: Duration = Duration::from_secs(10);

impl Answered {
    fn too_late(source: &policy::Source) -> Self {
        let message = format!("{}: no answer in time", source.url);
        Self {
            answer: unavailable(Cause::SourceUnavailable, message),
            is_refused: false,
            is_denied: false,
            others: None,
            retry_after: None,
        }
    }
}

impl Outcome {
    fn state(
        self,
        before: Option<&PollState>,
        begun: Instant,
        (every, requests): (Duration, u64),
    ) -> PollState {
        let before = before.filter(|_| self.is_silence);
        let failures = before.map_or(0, |before| before.failures);
        PollState {
            last_asked: begun,
            answering_since: before.map_or(begun, |before| before.answering_since),
            every,
            failures: failures.saturating_add(u32::from(self.is_silence)),
            retry_after: self.retry_after,
            requests,
        }
    }
}

/// Who has answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// A mirror, so that it counts only if it gives trust.
    Mirror,
    /// Nobody, or not about the provenance.
    Nothing,
    /// The source, and not about all signatures, so that it counts only if what there is gives trust.
    Part,
    /// The source, or a mirror that gives trust.
    Source,
}

impl Heard {
    fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Archive(facts) => {
                let is_silent = facts.bundles.as_deref().is_some_and(Bundles::is_silent);
                let is_bundled = facts.bundled().next().is_some();
                match &facts.provenance {
                    ProvenanceFacts::Unavailable { .. } if is_bundled => Self::Part,
                    ProvenanceFacts::Unavailable { .. } => Self::Nothing,
                    _ if is_silent => Self::Part,
                    _ if facts.is_of_mirror() => Self::Mirror,
                    _ => Self::Source,
                }
            }
            Answer::Unavailable { .. } => Self::Nothing,
            Answer::Ambiguous { .. } | Answer::NotFound => Self::Source,
        }
    }
}

/// Whether a source has more than a limit.
fn is_too_large(answer: &Answer) -> bool {
    let cause = match answer {
        Answer::Unavailable { cause, .. } => Some(cause),
        Answer::Archive(facts) => {
            let bundles = facts.bundles.as_deref();
            let incomplete = bundles.and_then(|it| it.incomplete.as_ref());
            if let ProvenanceFacts::Unavailable { cause, .. } = &facts.provenance {
                Some(cause)
            } else {
                incomplete.map(|(cause, _)| cause)
            }
        }
        Answer::Ambiguous { .. } | Answer::NotFound => None,
    };
    cause == Some(&Cause::LimitExceeded)
}

/// The result of an earlier comparison of the same content with the same archive.
fn bound_before(content: &Content, url: &str, digest: &Sha256Digest) -> Option<Bound> {
    match content.evidence.answers.get(url) {
        Some(Answer::Archive(facts)) if facts.digest == *digest => Some(facts.binding.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::{Scene, signed_revision, web};
    use crate::inventory::helm::Driver;

    const URL: &str = "https://charts.example.com";
    const RECORD: RecordId = RecordId::Helm {
        driver: Driver::Secret,
        revision: 1,
    };

    /// `shop/web`, of which this is known.
    async fn scene(revision: Revision) -> Scene {
        let scene = Scene::automatic().await;
        scene.context.store.update(&web(), |release| {
            release.revisions.insert(RECORD, revision);
        });
        scene
    }

    fn unsigned() -> Revision {
        let key = "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap();
        signed_revision(&key, &[])
    }

    /// A source says of a content that it lacks the chart; gives what is known of the release then.
    fn lacks(scene: &Scene, content: &Content) -> Option<Answer> {
        let (context, id) = (&scene.context, web());
        let trust = context.store.trust();
        let asking = Asking {
            context,
            trust: &trust,
            id: &id,
        };
        let item = Item {
            id: id.clone(),
            record: RECORD,
        };
        let source = policy::Source::at(URL);
        asking.apply(&item, content, &source, Answer::NotFound);
        let release = context.store.release(&id).unwrap();
        let known = release
            .revisions
            .get(&RECORD)
            .unwrap()
            .content
            .clone()
            .unwrap();
        known.evidence.answers.get(URL).cloned()
    }

    #[tokio::test]
    async fn what_was_asked_about_another_content_or_version_counts_for_nothing() {
        let mut revision = unsigned();
        revision.content.as_mut().unwrap().evidence =
            charttrust_verify::evidence::Evidence::default();
        let content = revision.content.clone().unwrap();
        let another = Content {
            digest: Sha256Digest::of(b"another"),
            ..content.clone()
        };
        let newer = Content {
            version: "1.0.1".into(),
            ..content.clone()
        };
        for (asked, counts) in [(content, true), (another, false), (newer, false)] {
            let scene = scene(revision.clone()).await;
            assert_eq!(lacks(&scene, &asked).is_some(), counts, "{asked:?}");
        }
    }
}
