//! Reads a `TrustedKey` of type `PublicKey`, has the releases judged that it concerns, and writes its status.

use std::collections::BTreeSet;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::forms;
use charttrust_verify::key::RevocationReason;
use charttrust_verify::sigstore::{KnownPublicKey, Root, Transparency};
use jiff::Timestamp;
use kube::ResourceExt as _;

use super::material;
use crate::api::TrustedKey;
use crate::api::conditions::{Status, merge};
use crate::api::reasons::KeyReason;
use crate::api::trusted_key::{KeyType, SigningKey, TrustedKeyStatus};
use crate::api::{bounds, time};
use crate::clock::Moment;
use crate::controllers::cache::{ReadKey, material_of, root_of};
use crate::controllers::context::{Context, RETRY};
use crate::controllers::error::Error;
use crate::controllers::life::{self, Beside, Dependents, Life, declared};
use crate::controllers::root;
use crate::controllers::sigstore;
use crate::controllers::store::signers::{LoadedPublicKey, Sought};
use crate::controllers::store::{Reading, Trust};
use crate::controllers::task::Task;
use crate::parse::{KeyProblem, UnreadableKey};

/// Whether an object is of this type, as far as can be read.
pub(crate) fn is_one(object: Option<&ReadKey>) -> bool {
    match object {
        Some(Ok(object)) => object.spec.key_type == KeyType::PublicKey,
        Some(Err(unreadable)) => unreadable.public.is_some(),
        None => false,
    }
}

/// Takes the object into what is known, and has everything that depends on it judged again.
pub(super) async fn reconcile(
    context: &Context,
    name: &str,
    object: Option<&ReadKey>,
    moment: Moment,
) {
    let reading = reading(context, object, moment.date);
    if let Some(known) = still_true(context, name, &reading) {
        return schedule(context, name, &known, moment);
    }
    let loaded = match object {
        None => None,
        Some(Err(unreadable)) => Some(of_unreadable(name, unreadable, reading)),
        Some(Ok(object)) => {
            let material = material::material(context, object).await;
            let root = root::find(context, object.spec.trusted_root_ref.as_ref()).await;
            let material = material.as_deref();
            Some(LoadedPublicKey::of(object, material, root, reading))
        }
    };
    keep(context, name, loaded, moment);
}

/// Nothing of this type is known by a name any more.
pub(super) fn forget(context: &Context, name: &str, moment: Moment) {
    if context.store.trust().public_keys.contains_key(name) {
        keep(context, name, None, moment);
    }
}

/// One that does not have the form: what is declared against its key.
pub(crate) fn of_unreadable(
    name: &str,
    unreadable: &UnreadableKey,
    reading: Reading,
) -> LoadedPublicKey {
    let problem = KeyProblem::new(KeyReason::InvalidSpec, &unreadable.problem);
    let known = unreadable
        .public
        .map(|key| unreadable.public_key(name, key, &problem));
    LoadedPublicKey {
        reading,
        fingerprint: unreadable.public,
        known,
        problem: Some(problem),
        doubt: unreadable.remains.doubt.clone(),
        waits_for_root: false,
    }
}

/// Stores the key; releases, policies and incidents that it concerns are looked at again.
fn keep(context: &Context, name: &str, loaded: Option<LoadedPublicKey>, moment: Moment) {
    if let Some(loaded) = &loaded {
        schedule(context, name, loaded, moment);
    }
    report(name, loaded.as_ref());
    let pinned = loaded.as_ref().and_then(|loaded| loaded.fingerprint);
    let _change = context.change(None, moment.tick);
    let known = loaded.as_ref().and_then(|loaded| loaded.known.clone());
    let mut forms = sigstore::both_forms(context, name);
    let before = context.store.set_public_key(name, loaded);
    forms.extend(sigstore::both_forms(context, name));
    let mut releases = sigstore::of_keys(context, &forms);
    let pinned_before = before.as_ref().and_then(|before| before.fingerprint);
    let both: BTreeSet<_> = pinned.into_iter().chain(pinned_before).collect();
    let signed = sigstore::concerned(context, both.iter().map(|key| Sought::Key(*key)));
    releases.extend(signed);
    let known_before = before.and_then(|before| before.known);
    let labels = |known: &Option<KnownPublicKey>| known.as_ref().map(|it| it.labels.clone());
    if labels(&known) != labels(&known_before) {
        let both = known.iter().chain(&known_before);
        releases.extend(both.flat_map(|key| sigstore::asked_by(context, key)));
    }
    sigstore::judge_again(context, releases, moment);
    // What one object says of a key is said of all objects of that key.
    let trust = context.store.trust();
    let same = trust.public_keys.iter();
    let same = same.filter(|(_, one)| one.fingerprint.is_some_and(|key| both.contains(&key)));
    let mut names: BTreeSet<_> = same.map(|(name, _)| name.clone()).collect();
    names.insert(name.to_owned());
    names.extend(forms);
    for name in names {
        context.queues.tasks.add(Task::KeyStatus(name));
    }
}

fn report(name: &str, loaded: Option<&LoadedPublicKey>) {
    match loaded.map(|loaded| (&loaded.fingerprint, &loaded.problem)) {
        None => tracing::info!(key = name, "public key is gone"),
        Some((Some(key), None)) => {
            tracing::info!(key = name, fingerprint = %key, "public key was read");
        }
        Some((_, Some(problem))) => {
            tracing::warn!(key = name, %problem, "public key cannot be used");
        }
        Some((None, None)) => {}
    }
}

fn reading(context: &Context, object: Option<&ReadKey>, at: Timestamp) -> Reading {
    let Some(Ok(object)) = object else {
        return Reading::gone(at);
    };
    let root = root_of(object.spec.trusted_root_ref.as_ref());
    let places = material_of(object).into_iter().chain(root);
    let versions: Vec<_> = places.map(|it| context.cache.own_version(&it)).collect();
    let details = format!(
        "{:?} {:?} {versions:?}",
        object.metadata.uid,
        object.labels()
    );
    Reading {
        generation: object.metadata.generation.unwrap_or_default(),
        details,
        at,
    }
}

fn still_true(context: &Context, name: &str, reading: &Reading) -> Option<LoadedPublicKey> {
    let known = context.store.trust().public_keys.get(name)?.clone();
    let holds = known.reading.holds(reading, ends(&known)) && !is_to_be_retried(&known);
    holds.then_some(known)
}

/// Instants at which time alone changes what the key is worth, or what is to be said of its end.
fn ends(loaded: &LoadedPublicKey) -> impl Iterator<Item = Timestamp> {
    let end = loaded
        .known
        .as_ref()
        .and_then(|known| known.trusted.not_after);
    end.into_iter()
        .flat_map(|end| life::warnings(end).chain([end]))
}

fn is_to_be_retried(loaded: &LoadedPublicKey) -> bool {
    let problem = loaded.problem.as_ref();
    let is_passing = problem.is_some_and(|it| it.reason == KeyReason::ProgressingWithRetry);
    is_passing || loaded.waits_for_root
}

fn schedule(context: &Context, name: &str, loaded: &LoadedPublicKey, moment: Moment) {
    let wait = if is_to_be_retried(loaded) {
        Some(RETRY)
    } else {
        life::wait(ends(loaded), moment.date)
    };
    if let Some(wait) = wait {
        let task = Task::Key(name.to_owned());
        context.queues.tasks.add_at(task, moment.tick + wait);
    }
}

/// Writes the status if anything but the time has changed.
pub(super) async fn write_status(
    context: &Context,
    object: &TrustedKey,
    loaded: &LoadedPublicKey,
    moment: Moment,
) -> Result<(), Error> {
    let trust = context.store.trust();
    let signed_by = |key: Sha256Digest| context.store.signed_by(Sought::Key(key));
    let releases = loaded.fingerprint.map(signed_by).unwrap_or_default();
    let Some(sum) = super::sum(context, object, releases).await? else {
        return Ok(());
    };
    let known = Known::of(object, loaded, &trust, &sum.releases);
    let statuses = &context.store.key_statuses;
    let conclude = |old: Option<&_>| TrustedKeyStatus {
        shards: sum.shards.clone(),
        ..conclude(old, &known, moment.date)
    };
    match statuses.concluded(object, conclude) {
        Some(update) => super::write(context, update).await,
        None => Ok(()),
    }
}

/// What is known of a public key.
struct Known<'a> {
    loaded: &'a LoadedPublicKey,
    /// The key with the revocations, and the doubts, of all objects of its fingerprint, and what revokes its other form.
    shared: Option<KnownPublicKey>,
    /// Other objects of the same key.
    others: Vec<&'a str>,
    successor: Option<&'a str>,
    releases: &'a Dependents,
}

impl<'a> Known<'a> {
    fn of(
        object: &'a TrustedKey,
        loaded: &'a LoadedPublicKey,
        trust: &'a Trust,
        releases: &'a Dependents,
    ) -> Self {
        let name = object.name_any();
        let all = &trust.sigstore.keys;
        let is_same = |one: &&KnownPublicKey| Some(one.trusted.fingerprint) == loaded.fingerprint;
        let (own, others): (Vec<_>, Vec<_>) = all
            .iter()
            .filter(is_same)
            .partition(|one| one.trusted.name == name);
        let shared = |known: &KnownPublicKey| {
            let (trusted, _) = forms::public_key(known, &trust.keys);
            KnownPublicKey {
                trusted,
                ..known.clone()
            }
        };
        Self {
            loaded,
            shared: own.into_iter().next().map(shared),
            others: others.iter().map(|one| one.trusted.name.as_str()).collect(),
            successor: object.spec.successor.as_deref(),
            releases,
        }
    }
}

fn conclude(old: Option<&TrustedKeyStatus>, known: &Known<'_>, now: Timestamp) -> TrustedKeyStatus {
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let life = life_of(known, now);
    let beside = Beside {
        successor: known.successor,
        releases: known.releases,
        generation: known.loaded.reading.generation,
    };
    let shared = known.shared.as_ref();
    let algorithm = shared.and_then(|one| one.key.as_ref());
    let algorithm = algorithm.map(|key| bounds::fit(&key.algorithm(), bounds::WORD));
    let fingerprint = known.loaded.fingerprint.map(|key| key.to_string());
    let signing = fingerprint.zip(algorithm.clone());
    let signing = signing.map(|(fingerprint, algorithm)| SigningKey {
        fingerprint,
        algorithm,
        expires: None,
    });
    let root = shared.and_then(|one| one.root.as_ref());
    TrustedKeyStatus {
        state: Some(life.state),
        algorithm,
        expires: life.ends.map(time),
        signing_keys: signing.into_iter().collect(),
        trusted_root: root.and_then(root::shown),
        releases: u32::try_from(known.releases.count()).unwrap_or(u32::MAX),
        conditions: merge(before, life.conditions(beside, now)),
        observed_generation: Some(known.loaded.reading.generation),
        ..TrustedKeyStatus::default()
    }
}

fn life_of(known: &Known<'_>, now: Timestamp) -> Life {
    if let Some(problem) = &known.loaded.problem {
        return Life::invalid(problem.reason, &problem.message);
    }
    let Some(key) = &known.shared else {
        return Life::invalid(KeyReason::ProgressingWithRetry, "the key is being read");
    };
    if let Some(doubt) = &key.unusable {
        return Life::invalid(KeyReason::RevocationNotVerifiable, doubt);
    }
    let life = Life::read(key.trusted.not_after);
    if let Some((reason, message)) = revoked(key) {
        return life.revoked(reason, message);
    }
    let mut life = life.ended_or_alive(known.successor, now);
    if let Some(Root::Unknown(why)) = &key.root
        && life.valid == (Status::True, KeyReason::Accepted)
    {
        // Without a root nothing that its signatures carry can be checked; one that demands it vouches for
        // nothing meanwhile.
        let status = match key.trusted.transparency {
            Transparency::IfPresent => Status::True,
            Transparency::Required => Status::Unknown,
        };
        life.valid = (status, KeyReason::TrustRootUnknown);
        life.message = bounds::fit(why, bounds::MESSAGE);
    }
    life.beside(&known.others)
}

/// The worst revocation of a key, and by what.
fn revoked(key: &KnownPublicKey) -> Option<(KeyReason, String)> {
    let order = [
        RevocationReason::Compromised,
        RevocationReason::Unspecified,
        RevocationReason::Superseded,
        RevocationReason::Retired,
    ];
    let said = key.trusted.revocations.iter();
    let worst = said.min_by_key(|one| order.iter().position(|known| *known == one.reason))?;
    let effect = match worst.reason {
        RevocationReason::Compromised | RevocationReason::Unspecified => {
            "signatures by this key count no more, whatever their date"
        }
        RevocationReason::Retired | RevocationReason::Superseded => {
            "signatures that are proven to be older still count"
        }
    };
    let by = &worst.declared_by;
    let message = format!("{effect}; TrustedKey {by} says so");
    Some((declared(worst.reason), message))
}
