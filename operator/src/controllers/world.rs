//! What the operator knows: keys and policies as they were read, and for each release its judged
//! revisions with the evidence gathered for them.
//!
//! In memory only. Locks are held for look-ups and moves, never across a request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use charttrust_verify::check::Judgement;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{
    Answer, Evidence, Outcome, ProvenanceFacts, SignatureFacts, Witness,
};
use charttrust_verify::finding::{Finding, Word};
use charttrust_verify::key::{Key, OwnRevocation};
use charttrust_verify::openpgp::Fingerprint;
use charttrust_verify::policy::Policy;
use charttrust_verify::verdict::Cause;
use jiff::Timestamp;
use tokio::time::Instant;

use super::requests::PolicyRequests;
use super::written::{LastWritten, Written};
use crate::api::chart_trust_policy::ChartTrustPolicyStatus;
use crate::api::release_trust::ReleaseTrustStatus;
use crate::api::trusted_key::TrustedKeyStatus;
use crate::inventory::ReleaseId;
use crate::inventory::helm::Driver;
use crate::parse::{self, LoadedPolicy};

/// Everything in memory.
#[derive(Debug, Default)]
pub struct World {
    trust: RwLock<Trust>,
    releases: Mutex<Releases>,
    /// What was written last to each `TrustedKey`.
    pub key_statuses: LastWritten<TrustedKeyStatus>,
    /// What was written last to each `ChartTrustPolicy`.
    pub policy_statuses: LastWritten<ChartTrustPolicyStatus>,
    /// The looks that each `ChartTrustPolicy` asked for.
    pub policy_requests: PolicyRequests,
    /// What was decided last about the quarantines of each `ChartTrustPolicy`.
    outcomes: Mutex<BTreeMap<String, Outcomes>>,
    /// How many changes of keys and policies are being taken in.
    changes: AtomicUsize,
}

/// What became of the quarantines of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// In force.
    pub active: usize,
    /// Due later, or waiting for approval.
    pub waiting: usize,
    /// Due, and held back by the limit.
    pub stopped: Vec<ReleaseId>,
    /// How many may be in force at a time.
    pub allowance: usize,
}

/// A change of a key or policy; as long as it lives, no quarantine begins.
#[derive(Debug)]
pub struct Change<'a>(&'a AtomicUsize);

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Keys and policies as they were last read.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// What each `TrustedKey` was read as, by name.
    pub loaded: Arc<BTreeMap<String, LoadedKey>>,
    /// The usable keys, revocations of equal fingerprints shared.
    pub keys: Arc<Vec<Key>>,
    /// What each `ChartTrustPolicy` was read as, by name.
    pub policies: Arc<BTreeMap<String, LoadedPolicy>>,
    /// Which state of each policy was read.
    pub policy_readings: Arc<BTreeMap<String, Reading>>,
    /// The policies to judge by, in the order of their names.
    pub judged_by: Arc<Vec<Policy>>,
}

/// A `TrustedKey` as it was read.
#[derive(Clone, Debug)]
pub struct LoadedKey {
    /// What was read.
    pub reading: Reading,
    /// The fingerprint that the object names, if it is one.
    pub fingerprint: Option<Fingerprint>,
    /// What the object says of its end, even if the key itself cannot be used.
    pub revocation: Option<OwnRevocation>,
    /// Where to look for revocations of it.
    pub refresh: Option<parse::Refresh>,
    /// The key, or why it cannot be used.
    pub key: Result<Key, parse::KeyProblem>,
}

/// Which state of an object was read, and when. The same state is not read again until time alone
/// has changed what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// `metadata.generation`.
    pub generation: i64,
    /// What else counts: labels, annotations, versions of referenced objects.
    pub details: String,
    /// When it was read.
    pub at: Timestamp,
}

impl Reading {
    /// Whether this is the same state as another reading's.
    pub fn is_of_same_state(&self, other: &Self) -> bool {
        self.generation == other.generation && self.details == other.details
    }
}

#[derive(Debug, Default)]
struct Releases {
    by_id: BTreeMap<ReleaseId, Release>,
    /// Claimed and known issuers, by fingerprint and key ID, of each release's signatures.
    by_issuer: BTreeMap<String, BTreeSet<ReleaseId>>,
}

/// One release.
#[derive(Clone, Debug, Default)]
pub struct Release {
    /// The judged revisions.
    pub revisions: BTreeMap<(Driver, u32), Revision>,
    /// What an earlier run of the operator had verified of revisions that have to be looked at again.
    pub witnesses: BTreeSet<Witness>,
    /// What was last concluded.
    pub judgement: Option<Judgement>,
    /// Whose good signatures it had then. Their keys count it.
    pub signers: BTreeSet<Fingerprint>,
    /// What was last written, and the resource version that it got.
    pub written: Option<Written<ReleaseTrustStatus>>,
    /// The looks at each source.
    pub looks: BTreeMap<String, LookState>,
    /// What the last look at each source found that changes nothing, as the release is bound.
    pub notices: BTreeMap<String, Vec<Finding>>,
    /// Since when nothing can be said because something was not looked at yet.
    pub pending_since: Option<Instant>,
    /// The looks that were asked for at once.
    pub requests: Requests,
    /// The last value of the annotation that asked for a look.
    pub requested_at: Option<String>,
    /// Sources to ask at once, because their credentials or authorities have changed.
    pub renewed: BTreeSet<String>,
    /// The judgements that were asked for because a key, a policy or the record has changed.
    pub judgings: Requests,
    /// Since when a policy's verdict has been proof of badness.
    pub bad_since: BTreeMap<String, Instant>,
    /// What each policy has decided about a quarantine of the release.
    pub decisions: BTreeMap<String, Option<Waiting>>,
}

/// Why a release that may be contained is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A person has to approve it.
    ForApproval,
    /// A person has ended it.
    Released,
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
}

/// What is kept of a record.
#[derive(Clone, Debug)]
pub struct Content {
    /// Chart name.
    pub chart: String,
    /// Chart version.
    pub version: String,
    /// Digest of the record's signed parts. Evidence is about this content only.
    pub digest: Sha256Digest,
    /// What sources have answered about it.
    pub evidence: Evidence,
}

/// What is known of the looks at one source for one release.
#[derive(Clone, Copy, Debug)]
pub struct LookState {
    /// When the source was last asked.
    pub last_asked: Instant,
    /// When it last answered, or was first asked if it never did.
    pub answering_since: Instant,
    /// How often it is to be asked.
    pub every: Duration,
    /// How many looks in a row gave no answer.
    pub failures: u32,
}

impl World {
    /// Begins a change of a key or policy: until it ends, releases may be judged by half of it.
    pub fn change(&self) -> Change<'_> {
        self.changes.fetch_add(1, Ordering::SeqCst);
        Change(&self.changes)
    }

    /// Whether a key or policy is being taken in.
    pub fn is_changing(&self) -> bool {
        self.changes.load(Ordering::SeqCst) > 0
    }

    /// What was decided last about the quarantines of a policy.
    pub fn outcomes(&self, policy: &str) -> Outcomes {
        let all = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(policy).cloned().unwrap_or_default()
    }

    /// Notes what was decided about the quarantines of a policy.
    pub fn set_outcomes(&self, policy: &str, outcomes: Outcomes) {
        let mut all = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(policy.to_owned(), outcomes);
    }

    /// Calls `visit` for every release.
    pub fn each_release(&self, mut visit: impl FnMut(&ReleaseId, &mut Release)) {
        for (id, release) in &mut self.releases().by_id {
            visit(id, release);
        }
    }

    /// Keys and policies as they are now.
    pub fn trust(&self) -> Trust {
        self.trust
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes in what a `TrustedKey` was read as; `None` if it is gone. Returns what it was before.
    pub fn set_key(&self, name: &str, key: Option<LoadedKey>) -> Option<LoadedKey> {
        let mut trust = self.trust.write().unwrap_or_else(PoisonError::into_inner);
        let mut loaded = (*trust.loaded).clone();
        let before = put(&mut loaded, name, key);
        trust.keys = Arc::new(usable_keys(&loaded));
        trust.loaded = Arc::new(loaded);
        before
    }

    /// Takes in what a `ChartTrustPolicy` was read as; `None` if it is gone. Returns what it was.
    pub fn set_policy(
        &self,
        name: &str,
        policy: Option<(Reading, LoadedPolicy)>,
    ) -> Option<LoadedPolicy> {
        let mut trust = self.trust.write().unwrap_or_else(PoisonError::into_inner);
        let (reading, policy) = policy.unzip();
        put(Arc::make_mut(&mut trust.policy_readings), name, reading);
        let mut policies = (*trust.policies).clone();
        let before = put(&mut policies, name, policy);
        trust.judged_by = Arc::new(
            policies
                .values()
                .map(|loaded| loaded.policy.clone())
                .collect(),
        );
        trust.policies = Arc::new(policies);
        before
    }

    /// A copy of what is known of a release.
    pub fn release(&self, id: &ReleaseId) -> Option<Release> {
        self.releases().by_id.get(id).cloned()
    }

    /// What `look` makes of a release, without a copy of it.
    pub fn look_at<T>(&self, id: &ReleaseId, look: impl FnOnce(Option<&Release>) -> T) -> T {
        look(self.releases().by_id.get(id))
    }

    /// Every release that is known.
    pub fn release_ids(&self) -> Vec<ReleaseId> {
        self.releases().by_id.keys().cloned().collect()
    }

    /// Changes what is known of a release, and keeps the index of issuers true.
    pub fn update<T>(&self, id: &ReleaseId, change: impl FnOnce(&mut Release) -> T) -> T {
        let mut releases = self.releases();
        let release = releases.by_id.entry(id.clone()).or_default();
        let before = release.issuers();
        let result = change(release);
        release.recall();
        let after = release.issuers();
        releases.reindex(id, &before, &after);
        result
    }

    /// Tries the keys of this moment on signatures of a release that no key could explain before.
    pub fn learn(&self, id: &ReleaseId, now: Timestamp) {
        if self.release(id).is_none() {
            return;
        }
        self.update(id, |release| {
            // Read under the lock, so that no key is missed that comes with the evidence.
            let keys = self.trust().keys;
            let revisions = release.revisions.values_mut();
            for content in revisions.filter_map(|revision| revision.content.as_mut().ok()) {
                content.evidence.learn(&keys, now);
            }
        });
    }

    /// Whether a look that a request asked for has ended, or its release is gone.
    pub fn has_answered(&self, id: &ReleaseId, number: u64) -> bool {
        let releases = self.releases();
        let release = releases.by_id.get(id);
        release.is_none_or(|release| release.requests.have_answered(number))
    }

    /// Forgets a release.
    pub fn forget(&self, id: &ReleaseId) {
        let mut releases = self.releases();
        if let Some(release) = releases.by_id.remove(id) {
            releases.reindex(id, &release.issuers(), &BTreeSet::new());
        }
    }

    /// Releases with a signature that claims, or is known, to be of one of these issuers.
    pub fn releases_of_issuers<'a>(
        &self,
        issuers: impl Iterator<Item = &'a str>,
    ) -> BTreeSet<ReleaseId> {
        let releases = self.releases();
        issuers
            .filter_map(|issuer| releases.by_issuer.get(issuer))
            .flatten()
            .cloned()
            .collect()
    }

    /// The releases with a cryptographically good signature by a key, whatever became of it.
    pub fn dependents(&self, fingerprint: &Fingerprint) -> BTreeSet<ReleaseId> {
        let releases = self.releases();
        let signed = releases.by_issuer.get(fingerprint.as_str());
        let depends = |id: &&ReleaseId| {
            let release = releases.by_id.get(id);
            release.is_some_and(|release| release.has_good_signer(fingerprint))
        };
        signed
            .into_iter()
            .flatten()
            .filter(depends)
            .cloned()
            .collect()
    }

    /// Sources whose last look for some release gave no answer, and what happened instead.
    pub fn silent_sources(&self) -> BTreeMap<String, String> {
        let mut silent = BTreeMap::new();
        for release in self.releases().by_id.values() {
            let looks = release.looks.iter();
            for (url, _) in looks.filter(|(_, state)| state.failures > 0) {
                let told: &mut String = silent.entry(url.clone()).or_default();
                if told.is_empty() {
                    told.push_str(release.silence(url).unwrap_or_default());
                }
            }
        }
        silent
    }

    /// Calls `visit` with the judgement of, and the looks for, every release that was judged.
    pub fn looks(&self, mut visit: impl FnMut(&Judgement, &BTreeMap<String, LookState>)) {
        for release in self.releases().by_id.values() {
            if let Some(judgement) = &release.judgement {
                visit(judgement, &release.looks);
            }
        }
    }

    /// Calls `visit` for every release that was judged.
    pub fn judgements(&self, mut visit: impl FnMut(&ReleaseId, &Judgement)) {
        for (id, release) in &self.releases().by_id {
            if let Some(judgement) = &release.judgement {
                visit(id, judgement);
            }
        }
    }

    fn releases(&self) -> MutexGuard<'_, Releases> {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The usable keys. Every revocation counts for all keys of its fingerprint, that of an unusable
/// object too: a mistake elsewhere in it must not give trust back.
fn usable_keys(loaded: &BTreeMap<String, LoadedKey>) -> Vec<Key> {
    let usable = loaded
        .values()
        .filter_map(|loaded| loaded.key.as_ref().ok());
    let mut keys = parse::share_revocations(usable);
    for unusable in loaded.values().filter(|loaded| loaded.key.is_err()) {
        if let (Some(fingerprint), Some(revocation)) = (&unusable.fingerprint, &unusable.revocation)
        {
            parse::add_revocation(&mut keys, fingerprint, revocation);
        }
    }
    keys
}

fn put<V>(map: &mut BTreeMap<String, V>, name: &str, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(name.to_owned(), value),
        None => map.remove(name),
    }
}

impl Releases {
    fn reindex(&mut self, id: &ReleaseId, before: &BTreeSet<String>, after: &BTreeSet<String>) {
        for issuer in before.difference(after) {
            if let Some(ids) = self.by_issuer.get_mut(issuer) {
                ids.remove(id);
                if ids.is_empty() {
                    self.by_issuer.remove(issuer);
                }
            }
        }
        for issuer in after.difference(before) {
            self.by_issuer
                .entry(issuer.clone())
                .or_default()
                .insert(id.clone());
        }
    }
}

impl Release {
    /// The contents of the judged revisions that could be read.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        self.revisions
            .values()
            .filter_map(|revision| revision.content.as_ref().ok())
    }

    /// What was verified before is not verified for the first time.
    fn recall(&mut self) {
        if self.witnesses.is_empty() {
            return;
        }
        let witnesses: Vec<_> = self.witnesses.iter().copied().collect();
        let revisions = self.revisions.values_mut();
        for content in revisions.filter_map(|revision| revision.content.as_mut().ok()) {
            content.evidence.recall(&witnesses);
        }
    }

    /// Forgets what was verified before, once the only revision was looked at that it could be about.
    /// `judged` is how many revisions are judged.
    pub fn forget_witnesses(&mut self, judged: usize) {
        let is_answered = |content: &Content| {
            let answers = &content.evidence.answers;
            let is_silent = |answer: &Answer| matches!(answer, Answer::Unavailable { .. });
            !answers.is_empty() && !answers.values().any(is_silent)
        };
        let answered = self.contents().filter(|content| is_answered(content));
        if judged == 1 && answered.count() == 1 {
            self.witnesses.clear();
        }
    }

    /// What was verified of any revision, beside what the evidence about one of them tells itself.
    pub fn witnesses_beside(&self, told: Option<&Content>) -> BTreeSet<Witness> {
        let told: BTreeSet<_> = told
            .iter()
            .flat_map(|told| told.evidence.witnesses())
            .collect();
        let known = self
            .contents()
            .flat_map(|content| content.evidence.witnesses());
        let all: BTreeSet<_> = known.chain(self.witnesses.iter().copied()).collect();
        all.difference(&told).copied().collect()
    }

    /// What a source said last instead of an answer, if that is known.
    fn silence(&self, url: &str) -> Option<&str> {
        let notices = self.notices.get(url).into_iter().flatten();
        let mut doubts = notices.filter(|notice| matches!(notice.word, Word::Doubt(_)));
        let told = doubts.next().map(|notice| notice.message.as_str());
        told.or_else(|| {
            let mut answers = self.contents().filter_map(|c| c.evidence.answers.get(url));
            answers.find_map(|answer| match answer {
                Answer::Archive(facts) => match &facts.provenance {
                    ProvenanceFacts::Unavailable { message, .. } => Some(message.as_str()),
                    ProvenanceFacts::Malformed { .. }
                    | ProvenanceFacts::Missing
                    | ProvenanceFacts::Signed(_) => None,
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

    fn has_good_signer(&self, fingerprint: &Fingerprint) -> bool {
        self.signers_of_contents()
            .any(|signer| signer == fingerprint)
    }

    fn signers_of_contents(&self) -> impl Iterator<Item = &Fingerprint> {
        self.contents()
            .flat_map(|content| content.evidence.good_signers())
    }

    fn issuers(&self) -> BTreeSet<String> {
        let signatures = self.contents().flat_map(|content| {
            let signed = content
                .evidence
                .archives()
                .filter_map(|(_, facts)| facts.signed());
            signed.flat_map(|signed| &signed.signatures)
        });
        signatures.flat_map(issuers_of).collect()
    }
}

fn issuers_of(signature: &SignatureFacts) -> impl Iterator<Item = String> {
    let known = match &signature.outcome {
        Outcome::Verified(verified) => Some(verified.primary().to_string()),
        Outcome::Fault(fingerprint, _) => Some(fingerprint.to_string()),
        Outcome::UnknownIssuer => None,
    };
    let claimed = &signature.claimed;
    let fingerprint = claimed.fingerprint.as_ref().map(ToString::to_string);
    let key_id = claimed.key_id.clone();
    [known, fingerprint, key_id].into_iter().flatten()
}

/// Every name under which a key may be claimed as issuer: fingerprints and key IDs of the primary
/// key and its subkeys.
pub fn issuer_names(key: &Key) -> Vec<String> {
    let fingerprints = key.certificate.key_fingerprints();
    fingerprints
        .flat_map(|f| [f.as_str().to_owned(), f.key_id().to_owned()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn who_is_gone_owes_no_answer() {
        let world = World::default();
        let id = ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        };
        assert!(world.has_answered(&id, 1));
        let number = world.update(&id, |release| release.requests.ask());
        assert!(!world.has_answered(&id, number));
        world.forget(&id);
        assert!(world.has_answered(&id, number));
    }

    #[test]
    fn changes_are_counted() {
        let world = World::default();
        assert!(!world.is_changing());
        let (one, other) = (world.change(), world.change());
        drop(one);
        assert!(world.is_changing());
        drop(other);
        assert!(!world.is_changing());
    }
}
