//! When to ask which source about a release, and asks.
//!
//! Reads only: the API server and the sources. What it learns goes into the store; the release
//! controller judges from there, so a revocation never waits for a slow source.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use charttrust_verify::check::{Judgement, Vouchers};
use charttrust_verify::deployer::Deployer;
use charttrust_verify::evidence::Answer;
use charttrust_verify::policy::{self, Level};
use charttrust_verify::verdict::Verdict;
use tokio::time::Instant;

use super::fetch::Asking;
use super::rules;
use crate::clock;
use crate::controllers::backoff;
use crate::controllers::context::{Context, DeployerSecrets};
use crate::controllers::queue::Work;
use crate::controllers::store::{Content, Release, Trust};
use crate::controllers::task::{Poll, Task};
use crate::evidence::Forms;
use crate::inventory::{Mark, RecordId, ReleaseId};
use crate::sources::{Asked, Rest};

/// When the next source of a release is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controllers) enum Next {
    /// In an interval, after a pause, or never.
    Later,
    /// As soon as it is its turn.
    Now,
}

/// Plans the looks at the sources of a release, each in the lane of its own way of asking; tells when the first is.
/// `known` is when it was known what there is to ask about: what a source has said to others since then answers a
/// first look too, so that at a start no chart is downloaded for each of its releases.
pub(in crate::controllers) fn plan(context: &Context, id: &ReleaseId, known: Instant) -> Next {
    let trust = context.store.trust();
    let sources = sources_of(context, &trust, id);
    forget_others(context, id, &sources);
    answer_requests(context, id, &sources);
    let mut next = Next::Later;
    for (source, every) in &sources {
        let mut due = due_at(context, id, source, *every);
        if due <= clock::tick() {
            next = Next::Now;
            if is_first(context, id, source) {
                due = due.min(known);
            }
        }
        context.queues.polls.add_at(look(context, id, source), due);
    }
    next
}

fn is_first(context: &Context, id: &ReleaseId, source: &policy::Source) -> bool {
    context.store.inspect(id, |release| {
        release.is_none_or(|it| !it.asked.contains_key(source) && !it.renewed.contains(source))
    })
}

/// The looks that there are to take for a release.
pub(super) fn looks(context: &Context, id: &ReleaseId) -> Vec<Poll> {
    let sources = sources_of(context, &context.store.trust(), id);
    let looks = sources.keys().map(|source| look(context, id, source));
    looks.collect()
}

fn look(context: &Context, id: &ReleaseId, source: &policy::Source) -> Poll {
    Poll {
        id: id.clone(),
        way: context.store.ways.of(source),
    }
}

/// Asks a source about a release if it is due, and has the release judged.
pub(in crate::controllers) async fn poll(context: &Context, work: &Work<Poll>) {
    let item = &work.item;
    let Poll { id, way } = item;
    let trust = context.store.trust();
    let sources = sources_of(context, &trust, id);
    let Some(every) = sources.get(&way.source).copied() else {
        return;
    };
    if due_at(context, id, &way.source, every) <= clock::tick() {
        let asking = Asking {
            context,
            trust: &trust,
            id,
        };
        let asked = Asked {
            since: work.due,
            anew: wanted_since(context, item),
            rest: Rest {
                longest: longest_pause(every),
                of_too_large: every,
            },
            manifest: None,
        };
        let pace = Box::pin(asking.fetch(&way.source, every, asked)).await;
        context.queues.polls.pace(&way.lane, pace);
        context.queues.tasks.add(Task::Release(id.clone()));
    }
    answer_requests(context, id, &sources);
    // Not before now: what this look was answered is no answer to the next.
    let due = due_at(context, id, &way.source, every).max(clock::tick());
    context.queues.polls.add_at(work.item.clone(), due);
}

/// From when on the source has to be asked, where somebody wants to know what it says now: an answer that
/// was on its way is none. All who want it at once share one.
fn wanted_since(context: &Context, Poll { id, way }: &Poll) -> Option<Instant> {
    context.store.inspect(id, |release| {
        let release = release.filter(|release| release.is_poll_asked_for(&way.source))?;
        release.requests_since
    })
}

/// The looks that were asked for are over when each source was asked since. One that is left alone after a
/// failure is not waited for. That they are is told, whatever was judged before.
fn answer_requests(
    context: &Context,
    id: &ReleaseId,
    sources: &BTreeMap<policy::Source, Duration>,
) {
    if !context.store.inspect(id, |release| release.is_some()) {
        return;
    }
    let is_news = context.store.update(id, |release| {
        let were_open = release.requests.are_open();
        let all = release.requests.count();
        let answered = sources
            .keys()
            .map(|source| match release.asked.get(source) {
                Some(look) if look.failures > 0 => all,
                Some(look) => look.requests,
                None => 0,
            });
        let answered = answered.min().unwrap_or(all);
        release.requests.answer_up_to(answered);
        were_open && !release.requests.are_open()
    });
    if is_news {
        context.queues.tasks.add(Task::Release(id.clone()));
    }
    for policy in context.store.policy_requests.waiting_for(id) {
        context.queues.tasks.add(Task::PolicyStatus(policy));
    }
}

/// What is not asked any more is not told any more.
fn forget_others(context: &Context, id: &ReleaseId, sources: &BTreeMap<policy::Source, Duration>) {
    if !context.store.inspect(id, |release| release.is_some()) {
        return;
    }
    let named: BTreeSet<&String> = sources.keys().map(|source| &source.url).collect();
    context.store.update(id, |release| {
        release
            .asked
            .retain(|source, _| sources.contains_key(source));
        release.polls.retain(|url, _| named.contains(url));
        release.notices.retain(|url, _| named.contains(url));
        release.older.retain(|url| named.contains(url));
    });
}

/// The sources to ask, each with the shortest interval of the policies that name it.
fn sources_of(
    context: &Context,
    trust: &Trust,
    id: &ReleaseId,
) -> BTreeMap<policy::Source, Duration> {
    let placed = context.cache.placed(id);
    let reference = placed.reference();
    let release = context.store.release(id).unwrap_or_default();
    let mut sources = BTreeMap::new();
    let policies = trust.policies.values();
    let looking = || policies.clone().filter(|loaded| !loaded.policy.suspended);
    for (record, revision) in release.revisions.iter() {
        let Ok(content) = &revision.content else {
            continue;
        };
        let deployers = whose_logins_count(context, id, (*record, &revision.mark));
        for loaded in looking() {
            let Some(Ok(rule)) = loaded.policy.rule_for(&reference, &content.chart) else {
                continue;
            };
            let named = rule.sources.iter();
            let asked = named.filter(|_| rule.verify.level != Level::None);
            for way in asked.flat_map(|source| ways(source, &content.chart, &deployers)) {
                let every = sources.entry(way).or_insert(loaded.interval);
                *every = loaded.interval.min(*every);
            }
        }
    }
    sources
}

/// Whether what deploys a release may decide how a source is asked.
fn is_open_to_deployers(context: &Context, source: &policy::Source) -> bool {
    context.settings.deployer_secrets == DeployerSecrets::Read && !source.has_login()
}

/// What deploys a revision, where its logins may be used.
fn whose_logins_count(
    context: &Context,
    id: &ReleaseId,
    revision: (RecordId, &Mark),
) -> Vec<Deployer> {
    match context.settings.deployer_secrets {
        DeployerSecrets::Read => context.cache.deployed(id, revision).deployers,
        DeployerSecrets::Unread => Vec::new(),
    }
}

/// How a source is asked about a chart: as the policy says, and where that names no login, with those of what
/// deploys it from there.
fn ways(source: &policy::Source, chart: &str, deployers: &[Deployer]) -> Vec<policy::Source> {
    let of_deployers = deployers.iter().filter(|_| !source.has_login());
    let secrets = of_deployers.filter_map(|one| one.login(source, chart)?.secret.clone());
    let mut ways: Vec<_> = secrets
        .map(|secret| policy::Source {
            deployer_secret: Some(secret),
            ..source.clone()
        })
        .collect();
    if ways.is_empty() {
        ways.push(source.clone());
    }
    ways
}

/// Has these sources asked at once for every release that is looked up there: what they are asked
/// with has changed, so no pause after a failure and no interval holds.
pub(in crate::controllers) fn ask_again(context: &Context, sources: &[policy::Source]) {
    let trust = context.store.trust();
    for id in context.store.release_ids() {
        let named = sources_of(context, &trust, &id);
        let renewed = sources.iter().filter(|source| named.contains_key(*source));
        let renewed: Vec<_> = renewed.cloned().collect();
        if !renewed.is_empty() {
            context
                .store
                .update(&id, |release| release.renewed.extend(renewed));
            context.queues.records.add(id);
        }
    }
}

/// When a source is to be asked for a release: now if it has not answered about a judged content
/// yet, a look was asked for or its credentials have changed, after a pause if it failed, otherwise when the interval is over.
fn due_at(context: &Context, id: &ReleaseId, source: &policy::Source, every: Duration) -> Instant {
    let url = source.url.as_str();
    let release = context.store.release(id).unwrap_or_default();
    let is_answer = |answer: &Answer| !matches!(answer, Answer::Unavailable { .. });
    let trust = context.store.trust();
    let lacks_subcharts = |content: &Content| {
        let rules = rules::of_subcharts(context, &trust, id, &content.chart);
        let about = (content.chart.as_str(), content.version.as_str());
        let vouchers = Vouchers {
            rules: &rules,
            sigstore: &trust.sigstore,
        };
        !rules.is_empty() && content.evidence.lacks_subcharts(about, url, vouchers)
    };
    let awaits_subcharts = |content: &Content| {
        content.evidence.has_silent_subcharts(url)
            && !rules::of_subcharts(context, &trust, id, &content.chart).is_empty()
    };
    let lacks_bundles = |content: &Content| {
        let evidence = &content.evidence;
        let is_open = evidence.lacks_bundles(url)
            || (evidence.has_silent_bundles(url) && !is_trusted(&release));
        let rules = || rules::deciding(context, &trust, id, &content.chart);
        is_open && rules::forms(&rules(), url, &trust) == Forms::Every
    };
    let answered = release.contents().all(|content| {
        let evidence = &content.evidence;
        let is_answered = evidence.answers.get(url).is_some_and(is_answer);
        // A signature of Sigstore is kept, whatever is not known of the statement beside the archive.
        let is_silent = evidence.has_silent_provenance(url) && !is_trusted(&release);
        is_answered && !is_silent && !lacks_subcharts(content) && !lacks_bundles(content)
    });
    let wants_text = release.contents().any(|content| {
        let evidence = &content.evidence;
        evidence.wants_text(url, &trust.keys) || evidence.wants_bundle(url, &trust.sigstore)
    });
    let is_asked = release.is_poll_asked_for(source);
    let is_renewed = release.renewed.contains(source);
    match release.asked.get(source) {
        _ if is_renewed => clock::tick(),
        // Whoever may annotate a ReleaseTrust must not be able to hammer a source with our credentials.
        Some(state) if state.failures > 0 => {
            let pause = pause(state.failures, every);
            let wait = state.retry_after.map_or(pause, |wait| wait.max(pause));
            state.last_asked + backoff::spread(wait, &(id, url, state.failures))
        }
        Some(state) if is_unproven(&release, url) && !is_asked => {
            state.last_asked + pause(1, every)
        }
        Some(state) if is_asked => state.last_asked + every.min(ASKED_AT_MOST_EVERY),
        Some(state) if answered && release.contents().any(awaits_subcharts) => {
            state.last_asked + longest_pause(every)
        }
        Some(state) if answered => state.last_asked + every,
        // Whoever may write records must not either.
        Some(state) => state.last_asked + every.min(backoff::SHORTEST),
        None if answered && !is_asked && !wants_text => clock::tick() + first_wait(id, every),
        // Nor whoever has what deploys the release name another Secret each second.
        None if is_open_to_deployers(context, source) => {
            let last = release.polls.get(url);
            let rested = last.map(|last| last.last_asked + every.min(ASKED_AT_MOST_EVERY));
            rested.map_or_else(clock::tick, |rested| rested.max(clock::tick()))
        }
        None => clock::tick(),
    }
}

/// How often one release may have a source asked at once.
const ASKED_AT_MOST_EVERY: Duration = Duration::from_secs(10);

/// Whether all that is known of a source is what its mirrors have, and that gives no trust (any more).
fn is_unproven(release: &Release, url: &str) -> bool {
    let is_of_mirror = |content: &Content| match content.evidence.answers.get(url) {
        Some(Answer::Archive(facts)) => facts.is_of_mirror(),
        _ => false,
    };
    !is_trusted(release) && release.contents().any(is_of_mirror)
}

fn is_trusted(release: &Release) -> bool {
    let is_trusted = |judgement: &Judgement| matches!(judgement.verdict, Verdict::Trusted(_));
    release.judgement.as_ref().is_some_and(is_trusted)
}

/// After a start, looks are spread over one interval, for each release at a place of its own.
fn first_wait(id: &ReleaseId, every: Duration) -> Duration {
    backoff::part(every, id)
}

/// Up to the interval or five minutes.
fn pause(failures: u32, every: Duration) -> Duration {
    backoff::pause(failures, longest_pause(every))
}

/// The longest pause after failures.
pub(super) fn longest_pause(every: Duration) -> Duration {
    every.clamp(Duration::from_secs(1), Duration::from_secs(300))
}

#[cfg(test)]
mod tests {
    use charttrust_verify::bundles::Bundles;
    use charttrust_verify::evidence::{Evidence, ProvenanceFacts};
    use charttrust_verify::verdict::{Basis, Cause};
    use serde_json::json;

    use super::*;
    use crate::controllers::store::PollState;
    use crate::controllers::testing::{Scene, id, said, signed_revision, web};
    use crate::inventory::helm::Driver;

    const URL: &str = "https://charts.example.com";
    const HOUR: Duration = Duration::from_secs(3600);

    /// For how long a source is left alone that was asked just now.
    async fn left_alone(failures: u32, change: impl FnOnce(&mut Release)) -> Duration {
        left_alone_by(&Scene::automatic().await.context, &web(), failures, change)
    }

    fn left_alone_by(
        context: &Context,
        id: &ReleaseId,
        failures: u32,
        change: impl FnOnce(&mut Release),
    ) -> Duration {
        let asked = clock::tick();
        let poll = PollState {
            last_asked: asked,
            answering_since: asked,
            every: HOUR,
            failures,
            retry_after: None,
            requests: 0,
        };
        context.store.update(id, |release| {
            release.note_poll(&source(), poll);
            change(release);
        });
        due_at(context, id, &source(), HOUR).saturating_duration_since(asked)
    }

    fn source() -> policy::Source {
        policy::Source::at(URL)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_may_annotate_a_release_cannot_hammer_its_source() {
        let asks = |release: &mut Release| {
            release.requests.ask();
        };
        let is_renewed = |release: &mut Release| {
            release.renewed.insert(source());
        };
        assert_eq!(left_alone(0, |_| ()).await, HOUR);
        assert_eq!(left_alone(0, asks).await, ASKED_AT_MOST_EVERY);
        assert!(left_alone(9, asks).await >= Duration::from_secs(300));
        assert_eq!(left_alone(9, is_renewed).await, Duration::ZERO);
    }

    /// With another login it is another way of asking, of which nothing is known.
    #[tokio::test(start_paused = true)]
    async fn whoever_names_another_secret_each_second_cannot_hammer_a_source_either() {
        let mut context = Scene::automatic().await.context;
        let due = |context: &Context, name: &str| {
            let secret = policy::SecretName {
                namespace: "shop".to_owned(),
                name: name.to_owned(),
            };
            let way = policy::Source {
                deployer_secret: Some(secret),
                ..source()
            };
            let forgotten = BTreeMap::from([(way.clone(), HOUR)]);
            forget_others(context, &web(), &forgotten);
            due_at(context, &web(), &way, HOUR).saturating_duration_since(clock::tick())
        };
        context.settings.deployer_secrets = DeployerSecrets::Read;
        let unanswered = |release: &mut Release| {
            let key = "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap();
            let mut revision = signed_revision(&key, &[]);
            let content = revision.content.as_mut().unwrap();
            content.evidence = Evidence::default();
            let record = RecordId::Helm {
                driver: Driver::Secret,
                revision: 1,
            };
            release.revisions.insert(record, revision);
        };
        left_alone_by(&context, &web(), 0, unanswered);
        for name in ["a", "b", "a"] {
            assert_eq!(due(&context, name), ASKED_AT_MOST_EVERY, "{name}");
        }
        tokio::time::advance(ASKED_AT_MOST_EVERY).await;
        assert_eq!(due(&context, "b"), Duration::ZERO);
    }

    /// A judgement may come between: it would say that nothing is answered, and be the last.
    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_is_told_once_it_is_answered() {
        for (failures, is_answered) in [(9, true), (0, false)] {
            let context = Scene::automatic().await.context;
            left_alone_by(&context, &web(), failures, |release| {
                release.requests.ask();
            });
            let (tasks, task) = (&context.queues.tasks, Task::Release(web()));
            for is_told in [is_answered, false] {
                tasks.forget(&task);
                answer_requests(&context, &web(), &BTreeMap::from([(source(), HOUR)]));
                assert_eq!(tasks.due_at(&task).is_some(), is_told, "{failures}");
            }
        }
    }

    /// One chart whose file is answered with 429 each time has the whole source rest for a while: whoever
    /// always came just after it was never answered.
    #[tokio::test(start_paused = true)]
    async fn who_comes_first_after_a_failure_changes_each_time() {
        let context = Scene::automatic().await.context;
        for rest in [None, Some(1), Some(10), Some(3600)] {
            let rests = |release: &mut Release| {
                for look in release.asked.values_mut() {
                    look.retry_after = rest.map(Duration::from_secs);
                }
            };
            let (mut first, mut all) = (0, 0);
            for failures in 1..=12 {
                let refused = left_alone_by(&context, &web(), failures, rests);
                let other = left_alone_by(&context, &id("shop", "other"), failures, rests);
                assert!(rest.is_none_or(|rest| other >= Duration::from_secs(rest)));
                first += u32::from(other < refused);
                all += 1;
            }
            assert!((1..all).contains(&first), "{rest:?}: {first} of {all}");
        }
    }

    /// What is known of the archive of `shop/web`, by a rule that lists an identity and with this verdict.
    async fn known(
        incomplete: Option<Cause>,
        provenance: Option<Cause>,
        verdict: Verdict,
    ) -> Scene {
        let message = || "it answered 503".to_owned();
        let scene = Scene::automatic().await;
        scene.declare_spec(&json!({"rules": [{
            "name": "all", "charts": ["*"], "sources": [{"url": URL}],
            "verify": {"level": "Signature", "signers": {"identities": ["release"]}},
        }]}));
        let key = "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap();
        let mut revision = signed_revision(&key, &[None]);
        let answers = &mut revision.content.as_mut().unwrap().evidence.answers;
        let Some(Answer::Archive(facts)) = answers.get_mut(URL) else {
            panic!("an archive")
        };
        let incomplete = incomplete.map(|cause| (cause, message()));
        facts.bundles = Some(Box::new(Bundles::of(Vec::new(), incomplete)));
        if let Some(cause) = provenance {
            facts.provenance = ProvenanceFacts::Unavailable {
                cause,
                message: message(),
            };
        }
        let record = RecordId::Helm {
            driver: Driver::Secret,
            revision: 1,
        };
        let store = &scene.context.store;
        store.update(&web(), |release| release.revisions.insert(record, revision));
        scene.judge(&web(), vec![said(verdict)]);
        scene
    }

    /// A start forgets when a source was asked: what it had not told must not wait for an interval.
    #[tokio::test(start_paused = true)]
    async fn what_a_source_was_silent_about_is_asked_for_at_once_after_a_start() {
        let silent = Some(Cause::SourceUnavailable);
        let large = Some(Cause::LimitExceeded);
        let unknown = Verdict::Unknown(Cause::SourceUnavailable);
        let trusted = Verdict::Trusted(Basis::ArchiveVerified);
        for (bundles, provenance, verdict, is_at_once) in [
            (None, None, unknown, false),
            (silent, None, unknown, true),
            (None, silent, unknown, true),
            (silent, silent, unknown, true),
            // Until the next interval it is no smaller.
            (large, None, unknown, false),
            (None, large, unknown, false),
            // Nothing hangs on it.
            (silent, None, trusted, false),
            (None, silent, trusted, false),
        ] {
            let context = known(bundles, provenance, verdict).await.context;
            let due = due_at(&context, &web(), &source(), HOUR);
            let wait = due.saturating_duration_since(clock::tick());
            assert_eq!(
                wait.is_zero(),
                is_at_once,
                "{bundles:?} {provenance:?} {verdict}"
            );
        }
    }
}
