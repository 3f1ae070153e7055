//! What the operator knows: keys and policies as they were read, and for each release its judged
//! revisions with the evidence gathered for them.
//!
//! In memory only. Locks are held for look-ups and moves, never across a request.

pub mod at_rest;
pub mod begun;
pub mod credentials;
pub mod few;
pub mod gate;
pub mod incidents;
pub mod junk;
pub mod learned;
pub mod refreshes;
mod release;
pub mod report_kind;
pub mod requests;
pub mod roots;
pub mod seal;
pub mod shares;
pub mod shown;
pub mod signers;
pub mod texts;
pub mod tokens;
pub mod unaccounted;
pub mod ways;
pub mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use charttrust_verify::check::{Judgement, Known};
use charttrust_verify::evidence::{Answer, Evidence};
use charttrust_verify::key::{DeclaredRevocation, Key};
use charttrust_verify::openpgp::{ClaimedRevocations, Fingerprint};
use charttrust_verify::policy::Policy;
use charttrust_verify::sigstore::{KnownPublicKey, SigstoreSigners};
use charttrust_verify::small_map::SmallMap;
use jiff::Timestamp;
use tokio::time::Instant;

pub use self::release::{Content, PollState, Release, Requests, Revision, Stated, Told, Waiting};
use self::requests::PolicyRequests;
use self::shown::Shown;
use self::signers::{LoadedIdentity, LoadedPublicKey};
use self::written::LastWritten;
use crate::api::chart_trust_policy::ChartTrustPolicyStatus;
use crate::api::reasons::KeyReason;
use crate::api::trusted_identity::TrustedIdentityStatus;
use crate::api::trusted_key::TrustedKeyStatus;
use crate::clock::Moment;
use crate::inventory::ReleaseId;
use crate::parse::{self, LoadedPolicy};

/// Everything in memory.
#[derive(Debug, Default)]
pub struct Store {
    trust: RwLock<Trust>,
    releases: Mutex<Releases>,
    /// What was written last to each `TrustedKey`.
    pub key_statuses: LastWritten<TrustedKeyStatus>,
    /// What was written last to each `TrustedIdentity`.
    pub identity_statuses: LastWritten<TrustedIdentityStatus>,
    /// What was written last to each `ChartTrustPolicy`.
    pub policy_statuses: LastWritten<ChartTrustPolicyStatus>,
    /// The looks that each `ChartTrustPolicy` asked for.
    pub policy_requests: PolicyRequests,
    /// What was decided last about the quarantines of each `ChartTrustPolicy`.
    outcomes: Mutex<BTreeMap<String, Outcomes>>,
    /// What was learned against each key.
    pub learned: learned::Memory,
    /// The refreshes of keys.
    pub refreshes: refreshes::Refreshes,
    /// The sources that were asked, with their credentials.
    pub credentials: credentials::ResolvedSources,
    /// The signed texts that a key may still explain.
    pub texts: texts::Texts,
    /// The ways of asking them.
    pub ways: ways::Ways,
    /// How each Quarantine was when a look at it came to rest.
    pub at_rest: at_rest::AtRest,
    /// Since when what is shown counts for the first look at each.
    pub begun: begun::Begun,
    /// What is remembered of incidents.
    pub incidents: tokio::sync::Mutex<incidents::IncidentStore>,
    /// The trusted roots that signers of Sigstore are believed by.
    pub roots: roots::Roots,
    /// Under which evidence is sealed, once it was read.
    pub seal: OnceLock<seal::Seal>,
    /// The releases that were there when this replica began to judge.
    pub present: OnceLock<BTreeSet<ReleaseId>>,
    /// The releases that were known when a key or policy changed last, and when that was.
    known: Mutex<Option<(Instant, BTreeSet<ReleaseId>)>>,
    /// How many deletions of `ReleaseTrust`s were told of late.
    pub deletions: few::Few,
    /// The releases of which no record could be read.
    pub junk: junk::Junk,
    /// What stands before the API server's store.
    pub gate: gate::Gate,
    /// What runs without a record.
    pub unaccounted: unaccounted::Unaccounted,
    /// In which kind verdicts are reported.
    pub report_kind: report_kind::ReportKind,
    /// What this part of the work has told the others.
    pub shares: shares::Shares,
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
    /// Due, and held back by the limit of their namespaces.
    pub crowded: Vec<ReleaseId>,
    /// Due, and could not be started. Why.
    pub failed: BTreeMap<ReleaseId, String>,
    /// How many may be in force at a time.
    pub allowance: usize,
    /// How many in one namespace.
    pub per_namespace: u32,
}

impl Outcomes {
    /// How many releases are due and not on their way.
    pub fn due(&self) -> usize {
        self.stopped.len() + self.crowded.len() + self.failed.len()
    }
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
    /// The keys to judge by, those that cannot be used among them, revocations of equal fingerprints
    /// shared.
    pub keys: Arc<Vec<Key>>,
    /// What each `TrustedKey` of type `PublicKey` was read as, by name.
    pub public_keys: Arc<BTreeMap<String, LoadedPublicKey>>,
    /// What each `TrustedIdentity` was read as, by name.
    pub identities: Arc<BTreeMap<String, LoadedIdentity>>,
    /// The public keys and identities to judge by, those that cannot be used among them, revocations of equal
    /// fingerprints shared.
    pub sigstore: Arc<SigstoreSigners>,
    /// What each `ChartTrustPolicy` was read as, by name.
    pub policies: Arc<BTreeMap<String, LoadedPolicy>>,
    /// Which state of each policy was read.
    pub policy_readings: Arc<BTreeMap<String, Reading>>,
    /// The policies to judge by, in the order of their names.
    pub judged_by: Arc<Vec<Policy>>,
}

impl Trust {
    /// Everybody whose signatures are known.
    pub fn known(&self) -> Known<'_> {
        Known {
            keys: &self.keys,
            sigstore: &self.sigstore,
        }
    }

    /// The keys that are declared in both forms, as key of `OpenPGP` and as public key, in one of them by this object.
    pub fn forms<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a KnownPublicKey)> {
        let public = self.sigstore.keys.iter();
        let pairs = public.flat_map(|public| self.keys.iter().map(move |key| (key, public)));
        let of_name =
            pairs.filter(move |(key, public)| key.name == name || public.trusted.name == name);
        of_name.filter(|(key, public)| public.form_in(&key.certificate).is_some())
    }

    /// Tries everybody who is known on what nobody could explain yet.
    pub fn try_on(&self, evidence: &mut Evidence, now: Timestamp) {
        evidence.try_keys(&self.keys, now);
        evidence.try_sigstore(&self.sigstore, now);
    }
}

/// A `TrustedKey` as it was read.
#[derive(Clone, Debug)]
pub struct LoadedKey {
    /// What was read.
    pub reading: Reading,
    /// The fingerprint that the object names, if it is one.
    pub fingerprint: Option<Fingerprint>,
    /// What the object says of its end, even if the key itself cannot be used.
    pub revocation: Option<DeclaredRevocation>,
    /// Where to look for revocations of it.
    pub refresh: Option<parse::Refresh>,
    /// The key, or why it cannot be used.
    pub key: Result<Key, parse::KeyProblem>,
    /// What the object says beside the key, and what remains where that cannot be used.
    pub remains: parse::Remains,
}

impl LoadedKey {
    /// One that does not have the form: what can be read of it.
    pub fn unreadable(reading: Reading, object: &parse::UnreadableKey) -> Self {
        Self {
            reading,
            fingerprint: object.fingerprint.clone(),
            revocation: object.revocation.clone(),
            refresh: None,
            key: Err(parse::KeyProblem::new(
                KeyReason::InvalidSpec,
                &object.problem,
            )),
            remains: object.remains.clone(),
        }
    }
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
    /// That of an object that is gone, or cannot be read: it never holds.
    pub fn gone(at: Timestamp) -> Self {
        Self {
            generation: 0,
            details: String::new(),
            at,
        }
    }

    /// Whether what was read still holds at another reading: it is of the same state, and none of the instants has
    /// passed at which time alone changes what it means.
    pub fn holds(&self, now: &Self, mut ends: impl Iterator<Item = Timestamp>) -> bool {
        let has_ended = ends.any(|end| end > self.at && end <= now.at);
        self.is_of_same_state(now) && now.generation > 0 && !has_ended
    }

    /// Whether this is the same state as another reading's.
    pub fn is_of_same_state(&self, other: &Self) -> bool {
        self.generation == other.generation && self.details == other.details
    }
}

// Boxed: nodes of the map are half empty.
type Releases = BTreeMap<ReleaseId, Box<Release>>;

impl Store {
    /// The seal of the evidence.
    pub fn seal(&self) -> &seal::Seal {
        // Invariant: set before the first release is judged; an empty key would seal nothing that a
        // later start believes.
        self.seal.get_or_init(|| seal::Seal::new(&[]))
    }

    /// Begins a change of a key or policy: until it ends, releases may be judged by half of it. Those that
    /// are known by then are waited for; whoever may write records adds one each moment, and holds nobody
    /// up by that.
    pub fn change(&self, known: BTreeSet<ReleaseId>, now: Instant) -> Change<'_> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, known));
        self.changes.fetch_add(1, Ordering::SeqCst);
        Change(&self.changes)
    }

    /// Since when a release has to be judged by a key or policy that has changed, if it was known then.
    pub fn awaited_since(&self, id: &ReleaseId) -> Option<Instant> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref().filter(|(_, all)| all.contains(id));
        known.map(|(since, _)| *since)
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
    pub fn each_release(&self, mut visit: impl FnMut(&ReleaseId, &Release)) {
        for (id, release) in self.releases().iter() {
            visit(id, release);
        }
    }

    /// Changes what was decided about every release.
    pub fn update_each(&self, mut change: impl FnMut(&ReleaseId, &mut Release)) {
        for (id, release) in self.releases().iter_mut() {
            change(id, release);
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
        trust.keys = Arc::new(keys_to_judge_by(&loaded));
        trust.loaded = Arc::new(loaded);
        before
    }

    /// The keys to judge by if a `TrustedKey` is as it was read.
    pub fn with_key(&self, name: &str, key: &LoadedKey) -> Vec<Key> {
        let mut loaded = (*self.trust().loaded).clone();
        loaded.insert(name.to_owned(), key.clone());
        keys_to_judge_by(&loaded)
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
        self.releases().get(id).map(|release| (**release).clone())
    }

    /// What `look` makes of a release, without a copy of it.
    pub fn inspect<T>(&self, id: &ReleaseId, read: impl FnOnce(Option<&Release>) -> T) -> T {
        read(self.releases().get(id).map(Box::as_ref))
    }

    /// Every release that is known.
    pub fn release_ids(&self) -> Vec<ReleaseId> {
        self.releases().keys().cloned().collect()
    }

    /// Changes what is known of a release.
    pub fn update<T>(&self, id: &ReleaseId, change: impl FnOnce(&mut Release) -> T) -> T {
        let mut releases = self.releases();
        let release = releases.entry(id.clone()).or_default();
        let result = change(release);
        release.restore();
        release.shrink();
        result
    }

    /// Tries the keys of this moment on signatures of a release that no key could explain before. Where the
    /// text was forgotten since its source was asked, it is asked again.
    pub fn learn(&self, id: &ReleaseId, moment: Moment) {
        if self.release(id).is_none() {
            return;
        }
        self.update(id, |release| {
            self.texts.lend(release);
            // Read under the lock, so that no key is missed that comes with the evidence.
            let trust = self.trust();
            for content in release.contents_mut() {
                trust.try_on(&mut content.evidence, moment.date);
            }
            if release.misses_text(trust.known()) {
                release.request(moment.tick);
            }
            self.texts.take(release);
        });
    }

    /// Whether a look that a request asked for has ended, or its release is gone.
    pub fn has_answered(&self, id: &ReleaseId, number: u64) -> bool {
        let releases = self.releases();
        let release = releases.get(id);
        release.is_none_or(|release| release.requests.have_answered(number))
    }

    /// Notes that the `ReleaseTrust` of a release is gone, which we have not deleted.
    pub fn note_deleted(&self, id: &ReleaseId) {
        if let Some(release) = self.releases().get_mut(id) {
            release.was_deleted |= release.written.take().is_some();
        }
    }

    /// Notes how the watch shows a `ReleaseTrust`: what we wrote is kept once where it shows the same.
    pub fn note_shown(&self, id: &ReleaseId, shown: &Arc<Shown>) {
        let mut releases = self.releases();
        let release = releases.get_mut(id);
        if let Some(written) = release.and_then(|release| release.written.as_mut())
            && written.status == *shown
        {
            written.status = Arc::clone(shown);
        }
    }

    /// Forgets a release.
    pub fn forget(&self, id: &ReleaseId) {
        self.releases().remove(id);
    }

    /// Releases with a signature that claims, or is known, to be of one of these issuers.
    pub fn releases_of_issuers<'a>(
        &self,
        issuers: impl Iterator<Item = &'a str>,
    ) -> BTreeSet<ReleaseId> {
        // Keys change seldom: an index of ten thousand releases by their issuers would cost more than it saves.
        let issuers: BTreeSet<_> = issuers.collect();
        self.those_of(|release| release.has_issuer(|name| issuers.contains(name)))
    }

    /// The releases with a cryptographically good signature by a key, whatever became of it.
    pub fn dependents(&self, fingerprint: &Fingerprint) -> BTreeSet<ReleaseId> {
        self.those_of(|release| release.has_good_signer(fingerprint))
    }

    fn those_of(&self, is_one: impl Fn(&Release) -> bool) -> BTreeSet<ReleaseId> {
        let releases = self.releases();
        let all = releases.iter().filter(|(_, release)| is_one(release));
        all.map(|(id, _)| id.clone()).collect()
    }

    /// Sources whose last look for some release gave no answer, and what happened instead.
    pub fn silent_sources(&self) -> BTreeMap<String, String> {
        let mut silent = BTreeMap::new();
        for release in self.releases().values() {
            let polls = release.polls.iter();
            for (url, _) in polls.filter(|(_, state)| state.failures > 0) {
                let told: &mut String = silent.entry(url.clone()).or_default();
                if told.is_empty() {
                    told.push_str(release.silence(url).unwrap_or_default());
                }
            }
        }
        silent
    }

    /// The sources that have answered about some release, at the last look or at an earlier one.
    pub fn answering_sources(&self) -> BTreeSet<String> {
        let mut answering = BTreeSet::new();
        for release in self.releases().values() {
            let polls = release.polls.iter();
            let polled = polls.filter(|(_, state)| state.failures == 0);
            let answers = release
                .contents()
                .flat_map(|one| one.evidence.answers.iter());
            let is_silence = |answer: &Answer| matches!(answer, Answer::Unavailable { .. });
            let answers = answers.filter(|(_, answer)| !is_silence(answer));
            let urls = polled
                .map(|(url, _)| url)
                .chain(answers.map(|(url, _)| url));
            for url in urls {
                if !answering.contains(url) {
                    answering.insert(url.clone());
                }
            }
        }
        answering
    }

    /// Calls `visit` with the judgement of, and the looks for, every release that was judged.
    pub fn polls(&self, mut visit: impl FnMut(&Judgement, &SmallMap<String, PollState>)) {
        for release in self.releases().values() {
            if let Some(judgement) = &release.judgement {
                visit(judgement, &release.polls);
            }
        }
    }

    /// Calls `visit` for every release that was judged.
    pub fn judgements(&self, mut visit: impl FnMut(&ReleaseId, &Judgement)) {
        for (id, release) in self.releases().iter() {
            if let Some(judgement) = &release.judgement {
                visit(id, judgement);
            }
        }
    }

    fn releases(&self) -> MutexGuard<'_, Releases> {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys to judge by. Every revocation counts for all keys of its fingerprint, that of an unusable
/// object too: a mistake elsewhere in it must not give trust back. What an unusable object lists
/// approves of nothing, but stays known: deleting the material of a revoked key hides no badness.
fn keys_to_judge_by(loaded: &BTreeMap<String, LoadedKey>) -> Vec<Key> {
    let keys: Vec<_> = loaded.iter().filter_map(key_of).collect();
    let mut claimed: BTreeMap<Fingerprint, ClaimedRevocations> = BTreeMap::new();
    for loaded in loaded.values() {
        if let Some(fingerprint) = &loaded.fingerprint {
            let all = claimed.entry(fingerprint.clone()).or_default();
            all.join(loaded.remains.claimed.clone());
        }
    }
    let mut keys = parse::share_with(&keys, &claimed);
    for loaded in loaded.values() {
        let doubted = loaded
            .fingerprint
            .as_ref()
            .zip(loaded.remains.doubt.as_ref());
        let Some((fingerprint, doubt)) = doubted else {
            continue;
        };
        let of_key = keys
            .iter_mut()
            .filter(|key| key.fingerprint() == fingerprint);
        for key in of_key {
            key.unusable.get_or_insert_with(|| doubt.clone());
        }
    }
    keys
}

/// The key of an object, whether it can be used or not; `None` if not even its fingerprint is known.
fn key_of((name, loaded): (&String, &LoadedKey)) -> Option<Key> {
    let problem = match &loaded.key {
        Ok(key) => return Some(key.clone()),
        Err(problem) => problem,
    };
    let remains = loaded.remains.clone();
    let mut key = remains.into_key(name, loaded.fingerprint.as_ref()?, problem);
    key.revocations = loaded.revocation.iter().cloned().collect();
    Some(key)
}

fn put<V>(map: &mut BTreeMap<String, V>, name: &str, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(name.to_owned(), value),
        None => map.remove(name),
    }
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
    use crate::api::TrustedKey;

    #[test]
    fn who_is_gone_owes_no_answer() {
        let store = Store::default();
        let id = ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        };
        assert!(store.has_answered(&id, 1));
        let number = store.update(&id, |release| release.requests.ask());
        assert!(!store.has_answered(&id, number));
        store.forget(&id);
        assert!(store.has_answered(&id, number));
    }

    #[test]
    fn changes_are_counted() {
        let store = Store::default();
        assert!(!store.is_changing());
        let change = || store.change(BTreeSet::new(), crate::clock::tick());
        let (one, other) = (change(), change());
        drop(one);
        assert!(store.is_changing());
        drop(other);
        assert!(!store.is_changing());
    }

    const CERTIFIED: &str = include_str!("../../../../examples/key-revocation-certificate.yaml");

    fn object(change: impl FnOnce(&mut TrustedKey)) -> TrustedKey {
        let mut object: TrustedKey = serde_saphyr::from_multiple(CERTIFIED).unwrap().remove(0);
        change(&mut object);
        object
    }

    /// An object as it is read, with the material that was found for it.
    fn read(object: &TrustedKey, material: Option<&str>) -> LoadedKey {
        let missing = || parse::KeyProblem::new(KeyReason::MaterialMissing, "keys has no key");
        let key = material.ok_or_else(missing);
        let key = key.and_then(|material| parse::key(object, material.as_bytes()));
        let remains = match &key {
            Ok(_) => parse::Remains::default(),
            Err(_) => parse::remains(object, material.map(str::as_bytes)),
        };
        LoadedKey {
            reading: Reading {
                generation: 1,
                details: String::new(),
                at: Timestamp::UNIX_EPOCH,
            },
            fingerprint: object.spec.fingerprint.parse().ok(),
            revocation: parse::declared_revocation(object),
            refresh: None,
            key,
            remains,
        }
    }

    fn is_revoked(key: &Key) -> bool {
        let now = "2026-11-20T00:00:00Z".parse().unwrap();
        key.certificate.summary(now).revocation.is_some()
    }

    #[test]
    fn a_certificate_of_revocation_counts_for_all_objects_and_is_learned_though_its_own_is_unusable()
     {
        let store = Store::default();
        let good = object(|object| object.spec.revocation_certificates.clear());
        let material = good.spec.public_key.inline.clone().unwrap();
        store.set_key("twin", Some(read(&good, Some(&material))));
        assert!(!is_revoked(&store.trust().keys[0]));
        let misspelt = object(|object| object.spec.not_after = Some("soon".to_owned()));
        for (object, material) in [(&misspelt, Some(material.as_str())), (&misspelt, None)] {
            let odd = read(object, material);
            assert!(odd.key.is_err());
            let shared = store.with_key("odd", &odd);
            assert!(
                shared
                    .iter()
                    .all(|key| !key.certificate.carried().is_empty())
            );
            store.set_key("odd", Some(odd));
            let keys = store.trust().keys;
            assert!(keys.iter().all(is_revoked) && keys.len() == 2, "{keys:?}");
            store.set_key("odd", None);
        }
    }

    #[test]
    fn a_key_whose_material_is_gone_stays_known_with_what_is_declared_against_it() {
        let store = Store::default();
        let stolen = object(|object| {
            object.spec.revocation_certificates.clear();
            object.metadata.labels = Some(BTreeMap::from([("team".to_owned(), "a".to_owned())]));
            object.spec.revocation = Some(crate::api::trusted_key::Revocation {
                reason: crate::api::trusted_key::RevocationReason::Compromised,
                since: None,
                grandfather: crate::api::trusted_key::Grandfather::Never,
            });
        });
        store.set_key("stolen", Some(read(&stolen, None)));
        let keys = store.trust().keys;
        let [key] = keys.as_slice() else {
            panic!("{keys:?}")
        };
        assert!(key.certificate.is_missing() && key.labels.contains_key("team"));
        assert_eq!(key.unusable.as_deref(), Some("keys has no key"));
        assert_eq!(key.revocations.len(), 1);
    }
}
