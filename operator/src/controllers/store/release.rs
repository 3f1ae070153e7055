//! What is known of one release: its judged revisions, the evidence about them, and what was
//! concluded from it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use charttrust_verify::check::{Judgement, Known};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{
    Answer, ArchiveFacts, Evidence, Outcome, ProvenanceFacts, SignatureFacts,
};
use charttrust_verify::finding::{Fact, Finding};
use charttrust_verify::openpgp::Fingerprint;
use charttrust_verify::policy::Source;
use charttrust_verify::small_map::SmallMap;
use charttrust_verify::verdict::Cause;
use charttrust_verify::witness::FirstVerification;
use tokio::time::Instant;

use super::shown::Shown;
use super::written::Written;
use crate::api::bounds;
use crate::api::conditions::{ReleaseCondition, find};
use crate::api::release_trust::ReleaseTrustStatus;
use crate::inventory::{Mark, Published, RecordId, Trace};
use crate::watch::ObjectName;

/// One release.
#[derive(Clone, Debug, Default)]
pub struct Release {
    /// The judged revisions.
    pub revisions: SmallMap<RecordId, Revision>,
    /// What was verified of contents that are judged no more, or have to be looked at again: what was left
    /// last comes first.
    pub witnesses: Vec<FirstVerification>,
    /// What was last concluded.
    pub judgement: Option<Judgement>,
    /// Whose good signatures it had then. Their keys count it.
    pub signers: Box<[Fingerprint]>,
    /// Names of the objects of public keys and identities by which it had verified signatures then.
    pub sigstore: Box<[String]>,
    /// What was last written, as the server has answered, and the resource version that it got.
    pub written: Option<Written<Arc<Shown>>>,
    /// What events have told last, or what needed none.
    pub told: Option<Told>,
    /// What may be stated of it for programs of others.
    pub stated: Stated,
    /// Whether somebody has deleted its `ReleaseTrust` since it was written.
    pub was_deleted: bool,
    /// The looks at each url, by the way of asking that answers best.
    pub polls: SmallMap<String, PollState>,
    /// Sources whose answer was taken in by an earlier engine: compared again at their next look.
    pub older: BTreeSet<String>,
    /// The looks by each way of asking: two policies may name one url with other credentials.
    pub asked: SmallMap<Source, PollState>,
    /// What the last look at each source found that changes nothing, as the release is bound.
    pub notices: SmallMap<String, Vec<Finding>>,
    /// Since when nothing can be said because something was not looked at yet.
    pub pending_since: Option<Instant>,
    /// Since when another verdict is due that what is applied in the same second may overtake.
    pub unsettled_since: Option<Instant>,
    /// The looks that were asked for at once.
    pub requests: Requests,
    /// When the last of them was asked for.
    pub requests_since: Option<Instant>,
    /// The last value of the annotation that asked for a look.
    pub requested_at: Option<String>,
    /// Sources to ask at once, because their credentials or authorities have changed.
    pub renewed: BTreeSet<Source>,
    /// The judgements that were asked for because a key, a policy or the record has changed.
    pub judgings: Requests,
    /// Policies whose verdict is proof of badness by ConfigMaps alone, though Secrets hold records of
    /// the release too.
    pub contradicted: BTreeSet<String>,
    /// Since when a policy's verdict has been proof of badness.
    pub bad_since: SmallMap<String, Instant>,
    /// What each policy has decided about a quarantine of the release.
    pub decisions: SmallMap<String, Option<Waiting>>,
}

/// What may be stated of a release, by what was last concluded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stated {
    /// Nothing was concluded yet.
    #[default]
    NotYet,
    /// It cannot be told.
    Nothing,
    /// This, as JSON.
    This(Box<str>),
}

/// The words of a release's conditions that events tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The reason of its verdict.
    pub verdict: Option<String>,
    /// The reason of the condition `Quarantined`, if it is there.
    pub quarantined: Option<String>,
}

impl Told {
    /// What a status says.
    pub fn by(status: &ReleaseTrustStatus) -> Self {
        let word = |type_| find(&status.conditions, type_).map(|one| one.reason.clone());
        Self {
            verdict: word(ReleaseCondition::Trusted),
            quarantined: word(ReleaseCondition::Quarantined),
        }
    }
}

/// Why a release that may be contained is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A person has to approve it.
    ForApproval,
    /// More is due than fits the limit.
    ForRoom,
    /// Nothing is there that carries its marks.
    ForWorkloads,
    /// Its Quarantine was due, and could not be created.
    Refused,
    /// A person has ended it, when the release had this revision.
    Released(Option<u64>),
}

/// Looks or judgements that were asked for. Counted, because one that is asked for while another
/// is under way is not answered by that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requests {
    asked: u64,
    answered: u64,
}

impl Requests {
    /// Asks for one; gives the number of this request.
    pub fn ask(&mut self) -> u64 {
        self.asked = self.asked.saturating_add(1);
        self.asked
    }

    /// Whether the look has ended that a request of this number asked for.
    pub fn have_answered(&self, number: u64) -> bool {
        number <= self.answered
    }

    /// Whether one is owed.
    pub fn are_open(&self) -> bool {
        self.answered < self.asked
    }

    /// How many were asked for so far.
    pub fn count(&self) -> u64 {
        self.asked
    }

    /// Those up to a number are answered.
    pub fn answer_up_to(&mut self, number: u64) {
        self.answered = self.answered.max(number.min(self.asked));
    }

    /// One that began when these had been asked for has ended.
    pub fn answer(&mut self, begun: Self) {
        self.answered = begun.asked;
    }
}

/// One judged revision.
#[derive(Clone, Debug)]
pub struct Revision {
    /// The record's resource version that was read.
    pub resource_version: String,
    /// What the record says, or why it says nothing.
    pub content: Result<Content, (Cause, String)>,
    /// Of which `HelmRelease` it says that it is.
    pub mark: Mark,
}

/// What is kept of a record.
#[derive(Clone, Debug)]
pub struct Content {
    /// Chart name.
    pub chart: String,
    /// Chart version, as its publisher calls it: without the mark that Flux leaves in the record.
    pub version: String,
    /// Digest of the manifest that Flux says it has taken the chart from, by the mark in the record.
    pub manifest: Option<Sha256Digest>,
    /// The version as the record has it, if there may be such a mark in it.
    pub recorded: Option<String>,
    /// Digest of the record's signed parts. Evidence is about this content only.
    pub digest: Sha256Digest,
    /// What sources have answered about it.
    pub evidence: Evidence,
}

/// What is known of the polls of one source for one release.
#[derive(Clone, Copy, Debug)]
pub struct PollState {
    /// When the source was last asked.
    pub last_asked: Instant,
    /// When it last answered, or was first asked if it never did.
    pub answering_since: Instant,
    /// How often it is to be asked.
    pub every: Duration,
    /// How many polls in a row gave no answer.
    pub failures: u32,
    /// How long the source asked then to be left alone.
    pub retry_after: Option<Duration>,
    /// How many requests for looks it answers.
    pub requests: u64,
}

impl Release {
    /// The contents of the judged revisions that could be read.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        self.revisions
            .values()
            .filter_map(|revision| revision.content.as_ref().ok())
    }

    /// The same, to be changed.
    pub fn contents_mut(&mut self) -> impl Iterator<Item = &mut Content> {
        let revisions = self.revisions.values_mut();
        revisions.filter_map(|revision| revision.content.as_mut().ok())
    }

    /// Whether somebody may explain a signature whose text is at hand no more, though its source was asked. (One
    /// that was not is asked anyway, see `poll`.)
    pub(super) fn misses_text(&self, known: Known<'_>) -> bool {
        let mut urls = self.polls.keys();
        urls.any(|url| {
            self.contents().any(|content| {
                let evidence = &content.evidence;
                evidence.wants_text(url, known.keys) || evidence.wants_bundle(url, known.sigstore)
            })
        })
    }

    /// Gives room back that lists have taken to grow.
    pub(super) fn shrink(&mut self) {
        for content in self.contents_mut() {
            content.evidence.shrink();
        }
        if let Some(judgement) = &mut self.judgement {
            judgement.policies.shrink_to_fit();
            judgement.findings.shrink_to_fit();
        }
        self.notices.values_mut().for_each(Vec::shrink_to_fit);
        self.witnesses.shrink_to_fit();
    }

    /// Notes on which archives trust rests, by the judgements of its revisions. Returns whether any is new.
    pub fn settle(&mut self, judgements: &[(RecordId, Judgement)]) -> bool {
        let mut is_new = false;
        for (record, judgement) in judgements {
            let revision = self.revisions.get_mut(record);
            if let Some(Ok(content)) = revision.map(|revision| revision.content.as_mut()) {
                is_new |= content.evidence.settle(judgement);
            }
        }
        is_new
    }

    /// Whether a record of it says that it is of this `HelmRelease`.
    pub fn is_marked(&self, name: &ObjectName) -> bool {
        let mut revisions = self.revisions.values();
        revisions.any(|revision| matches!(&revision.mark, Mark::Of(of) if of == name))
    }

    /// Has a record read again, though it has not changed since it was read.
    pub fn forget_reading(&mut self, record: RecordId) {
        if let Some(revision) = self.revisions.get_mut(&record) {
            revision.resource_version.clear();
        }
    }

    /// Notes a look one way. Whether it was silent does not hide that another way has an answer.
    pub fn note_poll(&mut self, source: &Source, state: PollState) {
        self.asked.insert(source.clone(), state);
        let same_url = self.asked.iter().filter(|(way, _)| way.url == source.url);
        let best = same_url.map(|(_, state)| *state).min_by_key(|state| {
            let silent = state.failures.min(1);
            (silent, std::cmp::Reverse(state.answering_since))
        });
        self.polls
            .extend(best.map(|best| (source.url.clone(), best)));
    }

    /// Asks for a look at every source; gives the number of this request.
    pub fn request(&mut self, now: Instant) -> u64 {
        self.requests_since = Some(now);
        self.requests.ask()
    }

    /// Whether a look at a source was asked for that has not begun.
    pub fn is_poll_asked_for(&self, source: &Source) -> bool {
        let begun = self.asked.get(source).map_or(0, |look| look.requests);
        self.requests.are_open() && begun < self.requests.count()
    }

    /// Whether another way of asking the same url has an answer.
    pub fn is_answered_otherwise(&self, source: &Source) -> bool {
        let mut others = self.asked.iter();
        others.any(|(way, state)| way != source && way.url == source.url && state.failures == 0)
    }

    /// Puts what was read of a record in the place of what was known of it.
    pub fn put(&mut self, record: RecordId, revision: Revision) {
        let before = self.revisions.insert(record, revision);
        let left = before.and_then(|before| before.content.ok());
        self.leave(left.iter().map(Left::of).collect());
    }

    /// Drops the revisions that are judged no more.
    pub fn keep(&mut self, is_judged: impl Fn(&RecordId) -> bool) {
        let dropped = self
            .revisions
            .iter()
            .filter(|(record, _)| !is_judged(record));
        let left = dropped.filter_map(|(_, revision)| revision.content.as_ref().ok());
        let left = left.map(Left::of).collect();
        self.revisions.retain(|record, _| is_judged(record));
        self.leave(left);
    }

    /// Who upgrades, and goes back, has a chart again that was verified before; and another version of a chart
    /// may carry a subchart that was.
    fn leave(&mut self, left: Vec<Left>) {
        for Left { verified, listed } in left {
            if verified.is_empty() {
                // Nothing was looked at: what was left before may still be needed.
                continue;
            }
            drop(self.witnesses.splice(0..0, verified));
            self.restore();
            let told: Vec<_> = self
                .contents()
                .flat_map(Content::first_verifications)
                .collect();
            let mut witnesses = first_of_each(self.witnesses.iter().copied(), &told);
            witnesses.truncate(listed.saturating_add(PAST).min(bounds::WITNESSES));
            self.witnesses = witnesses;
        }
    }

    /// What was verified before is not verified for the first time.
    pub(super) fn restore(&mut self) {
        if self.witnesses.is_empty() {
            return;
        }
        let witnesses = std::mem::take(&mut self.witnesses);
        for content in self.contents_mut() {
            content.evidence.restore_first_verified(&witnesses);
        }
        self.witnesses = witnesses;
    }

    /// What was verified of any content, beside what the evidence about one of them tells itself.
    pub fn witnesses_beside(&self, told: Option<&Content>) -> Vec<FirstVerification> {
        let told: Vec<_> = told
            .into_iter()
            .flat_map(Content::first_verifications)
            .collect();
        let known = self.contents().flat_map(Content::first_verifications);
        let mut all = first_of_each(known.chain(self.witnesses.iter().copied()), &told);
        all.truncate(bounds::WITNESSES);
        all
    }

    /// What a source said last instead of an answer, if that is known.
    pub(super) fn silence(&self, url: &str) -> Option<&str> {
        let notices = self.notices.get(url).into_iter().flatten();
        let mut doubts = notices.filter(|notice| matches!(notice.fact, Fact::Doubt(_)));
        let told = doubts.next().map(|notice| notice.message.as_str());
        told.or_else(|| {
            let mut answers = self.contents().filter_map(|c| c.evidence.answers.get(url));
            answers.find_map(|answer| match answer {
                Answer::Archive(facts) => match &facts.provenance {
                    ProvenanceFacts::Unavailable { message, .. } => Some(message.as_str()),
                    ProvenanceFacts::Malformed { .. }
                    | ProvenanceFacts::Missing
                    | ProvenanceFacts::Signed(_) => {
                        let bundles = facts.bundles.as_deref().filter(|it| it.is_silent());
                        let incomplete = bundles.and_then(|it| it.incomplete.as_ref());
                        incomplete.map(|(_, message)| message.as_str())
                    }
                },
                Answer::Unavailable { message, .. } => Some(message.as_str()),
                Answer::Ambiguous { .. } | Answer::NotFound => None,
            })
        })
    }

    /// Whose good signatures it has, whatever became of the keys.
    pub fn good_signers(&self) -> BTreeSet<Fingerprint> {
        self.signers_of_contents().cloned().collect()
    }

    pub(super) fn has_good_signer(&self, fingerprint: &Fingerprint) -> bool {
        self.signers_of_contents()
            .any(|signer| signer == fingerprint)
    }

    fn signers_of_contents(&self) -> impl Iterator<Item = &Fingerprint> {
        self.contents()
            .flat_map(|content| content.evidence.good_signers())
    }

    /// Whether one of its signatures claims, or is known, to be of an issuer of such a name.
    pub(super) fn has_issuer(&self, is_one: impl Fn(&str) -> bool) -> bool {
        let mut signatures = self.contents().flat_map(|content| {
            let signed = content.evidence.statements();
            signed.flat_map(|signed| &signed.signatures)
        });
        signatures.any(|signature| issuers_of(signature).any(&is_one))
    }
}

impl Content {
    /// Whether reading the record again, now that Flux says this, gives another version or manifest. Asked of what is
    /// recorded, so that reading settles it: a tag may look like a mark itself.
    pub fn is_called_otherwise(&self, traces: &[Trace]) -> bool {
        let recorded = self.recorded.as_deref();
        let published = recorded.and_then(|it| Published::of(it, traces));
        published.is_some_and(|published| {
            published.version != self.version || published.manifest != self.manifest
        })
    }

    fn first_verifications(&self) -> impl Iterator<Item = FirstVerification> {
        self.evidence.first_verifications()
    }
}

/// What is remembered of a content that is known no more.
struct Left {
    verified: Vec<FirstVerification>,
    /// How many subcharts and signatures its archive has.
    listed: usize,
}

impl Left {
    fn of(content: &Content) -> Self {
        let archives = content.evidence.archives();
        let listed =
            |(_, facts): (&str, &ArchiveFacts)| facts.subcharts.len() + facts.bundled().count();
        Self {
            verified: content.first_verifications().collect(),
            listed: archives.map(listed).max().unwrap_or_default(),
        }
    }
}

/// Of how many contents that are known no more what was verified is remembered: as many revisions as Helm
/// keeps by default (`--history-max`), so that a rollback finds it.
const PAST: usize = 10;

/// Each once, with its earliest date, but for those that are told elsewhere.
fn first_of_each(
    all: impl Iterator<Item = FirstVerification>,
    told: &[FirstVerification],
) -> Vec<FirstVerification> {
    let mut each: Vec<FirstVerification> = Vec::new();
    for one in all.filter(|one| !told.iter().any(|told| told.is_of_same(one))) {
        match each.iter_mut().find(|known| known.is_of_same(&one)) {
            Some(known) => known.first_verified = known.first_verified.min(one.first_verified),
            None => each.push(one),
        }
    }
    each
}

fn issuers_of(signature: &SignatureFacts) -> impl Iterator<Item = &str> {
    let known = match &signature.outcome {
        Outcome::Verified(verified) => Some(verified.primary().as_str()),
        Outcome::Fault(fingerprint, _) => Some(fingerprint.as_str()),
        Outcome::Nobodys(_) | Outcome::UnknownIssuer => None,
    };
    let claimed = &signature.claimed;
    let fingerprint = claimed.fingerprint.as_ref().map(Fingerprint::as_str);
    let key_id = claimed.key_id.as_deref();
    [known, fingerprint, key_id].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use charttrust_verify::evidence::{SubchartFacts, SubchartId};

    use super::*;
    use crate::controllers::testing::signed_revision;
    use crate::inventory::helm::Driver;

    #[test]
    fn two_ways_of_asking_one_url_keep_their_own_looks() {
        let way = |secret: Option<&str>| Source {
            credentials_secret: secret.map(str::to_owned),
            ..Source::at("https://charts.example.com")
        };
        let now = crate::clock::tick();
        let look = |failures| PollState {
            last_asked: now,
            answering_since: now,
            every: Duration::from_secs(3600),
            failures,
            retry_after: None,
            requests: 0,
        };
        let (without, with) = (way(None), way(Some("login")));
        let mut release = Release::default();
        release.note_poll(&without, look(1));
        assert!(!release.is_answered_otherwise(&with));
        release.note_poll(&with, look(0));
        assert!(release.is_answered_otherwise(&without) && !release.is_answered_otherwise(&with));
        release.note_poll(&without, look(2));
        assert_eq!(release.asked.get(&without).unwrap().failures, 2);
        let best = release.polls.get("https://charts.example.com").unwrap();
        assert_eq!(best.failures, 0);
    }

    fn record(revision: u64) -> RecordId {
        let driver = Driver::Secret;
        RecordId::Helm { driver, revision }
    }

    /// A revision whose archive, and those of its subcharts, were verified on a day of November.
    fn verified(archive: &str, subcharts: &[&str], day: u32) -> Revision {
        let key = "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap();
        let mut revision = signed_revision(&key, &[None]);
        let content = revision.content.as_mut().unwrap();
        content.digest = Sha256Digest::of(archive.as_bytes());
        let evidence = &mut content.evidence;
        let mut of_subcharts = Vec::new();
        for answer in evidence.answers.values_mut() {
            let Answer::Archive(facts) = answer else {
                continue;
            };
            facts.first_verified = Some(format!("2026-11-{day:02}T00:00:00Z").parse().unwrap());
            for name in subcharts {
                let id = SubchartId {
                    repository: "https://parts.example.com".to_owned(),
                    name: (*name).to_owned(),
                    version: "1.0.0".to_owned(),
                };
                let content = Sha256Digest::of(name.as_bytes());
                let mut own = facts.clone();
                (own.digest, own.content) = (content, Some(content));
                of_subcharts.push((id.clone(), Answer::Archive(own)));
                facts.subcharts.push(SubchartFacts { id, content });
            }
            facts.digest = Sha256Digest::of(archive.as_bytes());
        }
        evidence.subcharts = of_subcharts.into_iter().collect();
        revision
    }

    /// Upgrades to a revision, as reading its record does; gives the days on which all of it was verified.
    fn upgraded(release: &mut Release, revision: u64, read: Revision) -> Vec<String> {
        let answered = |it: &Content| !it.evidence.answers.is_empty();
        let is_answered_at_once = read.content.as_ref().is_ok_and(answered);
        release.put(record(revision), read);
        release.keep(|one| *one == record(revision));
        release.restore();
        assert!(release.witnesses.len() <= bounds::WITNESSES);
        if !is_answered_at_once {
            return Vec::new();
        }
        let verified = release.contents().flat_map(Content::first_verifications);
        let days = verified.map(|one| one.first_verified.strftime("%d").to_string());
        days.collect()
    }

    /// Never lose the way back: what `grandfather: Witnessed` keeps trusted stays so in the next version, and
    /// after a rollback.
    #[test]
    fn what_was_verified_of_a_chart_and_its_subcharts_outlives_an_upgrade() {
        let mut release = Release::default();
        let first = upgraded(&mut release, 1, verified("1.0", &["cache", "db"], 1));
        assert_eq!(first, ["01", "01", "01"]);
        // The source is silent when it comes.
        let mut silent = verified("1.1", &[], 5);
        silent.content.as_mut().unwrap().evidence = Evidence::default();
        upgraded(&mut release, 2, silent);
        let next = upgraded(
            &mut release,
            3,
            verified("1.1", &["cache", "db", "queue"], 9),
        );
        assert_eq!(next, ["09", "01", "01", "09"]);
        // And back; by way of what it cannot tell: another process has read a status of it.
        let mut after = Release {
            witnesses: release.witnesses_beside(None),
            ..Release::default()
        };
        for release in [&mut release, &mut after] {
            let back = upgraded(release, 4, verified("1.0", &["cache", "db"], 20));
            assert_eq!(back, ["01", "01", "01"]);
            let told = release.witnesses_beside(release.contents().next());
            assert!(told.len() < 5, "each once: {told:?}");
        }
    }

    /// Another record of it changes nothing, and neither do many.
    #[test]
    fn what_was_verified_is_kept_of_as_many_contents_as_helm_keeps_revisions_and_no_more() {
        for subcharts in [0, 1, 64] {
            let names: Vec<_> = (0..subcharts).map(|one| format!("part-{one}")).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let mut release = Release::default();
            for number in 0..40_u32 {
                let archive = format!("1.{number}");
                upgraded(&mut release, number.into(), verified(&archive, &names, 1));
                upgraded(&mut release, number.into(), verified(&archive, &names, 2));
            }
            // Those of the subcharts are told by the revision that is there.
            let most = PAST + subcharts;
            assert_eq!(release.witnesses.len(), most.min(39), "{subcharts}");
            let past = u32::try_from(PAST).unwrap();
            let beyond = u32::try_from(most + 1).unwrap();
            for (back, day) in [(1, "01"), (past, "01"), (beyond, "03")] {
                let mut release = release.clone();
                let archive = format!("1.{}", 39_u32.saturating_sub(back));
                if 39 < back {
                    continue;
                }
                let days = upgraded(&mut release, 50, verified(&archive, &names, 3));
                assert_eq!(days[0], day, "{subcharts} subcharts, {back} back");
                assert!(days[1..].iter().all(|day| day == "01"), "{days:?}");
            }
        }
    }

    #[test]
    fn a_request_is_answered_only_by_what_began_after_it() {
        let mut requests = Requests::default();
        assert!(!requests.are_open());
        let first = requests.ask();
        let begun = requests;
        let second = requests.ask();
        requests.answer(begun);
        assert!(requests.have_answered(first));
        assert!(!requests.have_answered(second));
        assert!(requests.are_open());
        requests.answer(requests);
        assert!(requests.have_answered(second));
        assert!(!requests.are_open());
    }
}
