//! Reads a `TrustedKey`, has the releases judged that it concerns, and writes its status.

pub mod learned;
pub(in crate::controllers) mod material;
mod public;
pub(in crate::controllers) mod refresh;
mod status;

use std::collections::BTreeSet;

use charttrust_verify::forms;
use jiff::Timestamp;
use kube::ResourceExt as _;

pub(crate) use self::public::{is_one as is_public_key, of_unreadable as unreadable_public_key};
use self::status::Known;
use crate::api::TrustedKey;
use crate::api::reasons::KeyReason;
use crate::api::trusted_key::TrustedKeyStatus;
use crate::clock::Moment;
use crate::controllers::cache::{ReadKey, material_of};
use crate::controllers::context::{Context, RETRY};
use crate::controllers::error::Error;
use crate::controllers::events::reference_of;
use crate::controllers::life;
use crate::controllers::shares::{self, Sum};
use crate::controllers::signer_events::{Signer, announce};
use crate::controllers::sigstore;
use crate::controllers::store::written::Update;
use crate::controllers::store::{LoadedKey, Reading, issuer_names};
use crate::controllers::task::Task;
use crate::inventory::ReleaseId;
use crate::parse::{self, KeyProblem, Remains};

/// Takes the object into what is known, and has everything that depends on it judged again.
pub(in crate::controllers) async fn reconcile(context: &Context, name: &str, moment: Moment) {
    let object = context.cache.keys.find(&name.to_owned());
    let object = object.as_deref();
    // An object of a name may be of another type than the one before.
    if public::is_one(object) {
        if context.store.trust().loaded.contains_key(name) {
            keep(context, name, None, moment);
        }
        return public::reconcile(context, name, object, moment).await;
    }
    public::forget(context, name, moment);
    let reading = reading(context, object, moment.date);
    if let Some(known) = still_true(context, name, &reading) {
        refresh::plan(context, name, Some(&known), moment.tick);
        return schedule(context, name, &known, moment);
    }
    let material = gather(context, object).await;
    let mut loaded = parse(object, material, reading);
    if let Some(loaded) = &loaded {
        learned::learn_shared(context, name, loaded).await;
    }
    if let Some(loaded) = &mut loaded {
        learned::apply(&context.store.learned, loaded);
    }
    keep(context, name, loaded, moment);
}

/// The bytes of the key, unless the object cannot be read.
async fn gather(
    context: &Context,
    object: Option<&ReadKey>,
) -> Option<Result<Vec<u8>, KeyProblem>> {
    let object = object?.as_ref().ok()?;
    Some(material::material(context, object).await)
}

/// What the object says, without what was learned against its key; `None` if it is gone.
pub(crate) fn parse(
    object: Option<&ReadKey>,
    material: Option<Result<Vec<u8>, KeyProblem>>,
    reading: Reading,
) -> Option<LoadedKey> {
    let (object, material) = match (object?, material) {
        (Ok(object), Some(material)) => (object, material),
        (Err(unreadable), _) => return Some(LoadedKey::unreadable(reading, unreadable)),
        (Ok(_), None) => return None,
    };
    let key = match &material {
        Ok(material) => parse::key(object, material),
        Err(problem) => Err(problem.clone()),
    };
    let material = material.as_deref().ok();
    let remains = match &key {
        Ok(_) => Remains {
            claimed: parse::claimed(object, material),
            ..Remains::default()
        },
        Err(_) => parse::remains(object, material),
    };
    Some(LoadedKey {
        reading,
        fingerprint: object.spec.fingerprint.parse().ok(),
        revocation: parse::declared_revocation(object),
        refresh: key.as_ref().ok().and_then(|_| parse::refresh(object)),
        key,
        remains,
    })
}

/// Stores the key; releases, policies and incidents that it concerns are looked at again.
fn keep(context: &Context, name: &str, loaded: Option<LoadedKey>, moment: Moment) {
    if let Some(loaded) = &loaded {
        schedule(context, name, loaded, moment);
    }
    let mut issuers = issuers(loaded.as_ref());
    let pinned = loaded
        .as_ref()
        .and_then(|loaded| loaded.fingerprint.clone());
    report(name, loaded.as_ref());
    refresh::plan(context, name, loaded.as_ref(), moment.tick);
    let _change = context.change(None, moment.tick);
    let mut forms = sigstore::both_forms(context, name);
    let before = context.store.set_key(name, loaded);
    forms.extend(sigstore::both_forms(context, name));
    let mut releases = sigstore::of_keys(context, &forms);
    issuers.extend(self::issuers(before.as_ref()));
    let issuers = issuers.iter().map(String::as_str);
    releases.extend(context.store.releases_of_issuers(issuers));
    sigstore::judge_again(context, releases, moment);
    // What one object says of a key is said of all objects of that key.
    let pinned_before = before.and_then(|before| before.fingerprint);
    let pinned = pinned.iter().chain(&pinned_before);
    let mut names: BTreeSet<_> = pinned
        .flat_map(|key| learned::names(context, key))
        .collect();
    names.insert(name.to_owned());
    names.extend(forms);
    for name in names {
        context.queues.tasks.add(Task::KeyStatus(name));
    }
}

/// Whoever investigates later wants to know from when on a key counted.
fn report(name: &str, loaded: Option<&LoadedKey>) {
    match loaded.map(|loaded| (&loaded.fingerprint, &loaded.key)) {
        None => tracing::info!(key = name, "key is gone"),
        Some((_, Ok(key))) => {
            tracing::info!(key = name, fingerprint = %key.fingerprint(), "key was read");
        }
        Some((_, Err(problem))) => tracing::warn!(key = name, %problem, "key cannot be used"),
    }
}

/// Which state of the object this is.
fn reading(context: &Context, object: Option<&ReadKey>, at: Timestamp) -> Reading {
    let Some(Ok(object)) = object else {
        return Reading::gone(at);
    };
    let material = material_of(object).map(|place| context.cache.own_version(&place));
    let fingerprint = object.spec.fingerprint.parse();
    let learned = fingerprint.map(|key| context.store.learned.revision(&key));
    let details = format!(
        "{:?} {:?} {material:?} {:?}",
        object.metadata.uid,
        object.labels(),
        learned.ok()
    );
    Reading {
        generation: object.metadata.generation.unwrap_or_default(),
        details,
        at,
    }
}

/// What is known of this very state, if neither time nor a failure calls for another look.
fn still_true(context: &Context, name: &str, reading: &Reading) -> Option<LoadedKey> {
    let known = context.store.trust().loaded.get(name)?.clone();
    let holds = known.reading.holds(reading, ends(&known)) && !is_to_be_retried(&known);
    holds.then_some(known)
}

/// Every name under which a signature may claim this key as issuer.
fn issuers(loaded: Option<&LoadedKey>) -> Vec<String> {
    let Some(loaded) = loaded else {
        return Vec::new();
    };
    let pinned = loaded.fingerprint.iter();
    let pinned = pinned.map(|fingerprint| fingerprint.as_str().to_owned());
    let names = loaded.key.as_ref().map(issuer_names).unwrap_or_default();
    pinned.chain(names).collect()
}

/// Instants at which time alone changes what the key is worth, or what is to be said of its end.
fn ends(loaded: &LoadedKey) -> impl Iterator<Item = Timestamp> {
    let key = loaded.key.as_ref().ok();
    let turns = key.map(|key| key.certificate.turns(loaded.reading.at));
    let not_after = key.and_then(|key| key.not_after);
    let ends = turns.into_iter().flatten().chain(not_after);
    ends.flat_map(|end| life::warnings(end).chain([end]))
}

fn is_to_be_retried(loaded: &LoadedKey) -> bool {
    let problem = loaded.key.as_ref().err();
    problem.is_some_and(|problem| problem.reason == KeyReason::ProgressingWithRetry)
}

/// Has the key read again when time changes what it is worth, or when its material could not be
/// read.
fn schedule(context: &Context, name: &str, loaded: &LoadedKey, moment: Moment) {
    let wait = if is_to_be_retried(loaded) {
        Some(RETRY)
    } else {
        life::wait(ends(loaded), moment.date)
    };
    if let Some(wait) = wait {
        context
            .queues
            .tasks
            .add_at(Task::Key(name.to_owned()), moment.tick + wait);
    }
}

/// Writes the status if anything but the time has changed.
pub(in crate::controllers) async fn write_status(
    context: &Context,
    name: &str,
    moment: Moment,
) -> Result<(), Error> {
    let object = context.cache.keys.find(&name.to_owned());
    let Some(Ok(object)) = object.as_deref() else {
        return Ok(());
    };
    let trust = context.store.trust();
    if let Some(loaded) = trust.public_keys.get(name) {
        return Box::pin(public::write_status(context, object, loaded, moment)).await;
    }
    let Some(loaded) = trust.loaded.get(name) else {
        return Ok(());
    };
    let mut keys = trust.keys.iter();
    let key = keys.find(|key| key.name == name);
    let key = key.map(|key| forms::openpgp_key(key, &trust.sigstore.keys));
    let fingerprint = loaded.fingerprint.as_ref();
    let releases = fingerprint.map(|key| context.store.dependents(key));
    let releases = releases.unwrap_or_default();
    let Some(sum) = sum(context, object, releases).await? else {
        return Ok(());
    };
    let same = trust.keys.iter().filter(|other| {
        other.name != name && fingerprint.is_some_and(|pinned| pinned == other.fingerprint())
    });
    let others: Vec<_> = same.map(|other| other.name.as_str()).collect();
    let known = Known {
        loaded,
        key: key.as_ref(),
        others: &others,
        successor: object.spec.successor.as_deref(),
        releases: &sum.releases,
        wants_refresh: object.spec.refresh.is_some(),
        refreshed: context.store.refreshes.outcome(name),
        unkept: fingerprint.filter(|key| context.store.learned.is_unkept(key)),
    };
    let statuses = &context.store.key_statuses;
    let conclude = |old: Option<&_>| TrustedKeyStatus {
        shards: sum.shards.clone(),
        ..status::conclude(old, &known, moment.date)
    };
    let Some(update) = statuses.concluded(object, conclude) else {
        return Ok(());
    };
    write(context, update).await
}

/// With what others have counted; `None` if they are told, and another writes the status.
async fn sum(
    context: &Context,
    object: &TrustedKey,
    own: BTreeSet<ReleaseId>,
) -> Result<Option<Sum>, Error> {
    let statuses = &context.store.key_statuses;
    let known = context.share.as_ref().and_then(|_| statuses.known(object));
    let shown = known.map(|status| status.shards).unwrap_or_default();
    shares::sum(context, object, own, shown, &context.store.shares.keys).await
}

/// Announces what has changed, and writes it.
async fn write(
    context: &Context,
    update: Update<TrustedKey, TrustedKeyStatus>,
) -> Result<(), Error> {
    let told = update.told.as_ref();
    let conditions = told.map(|old| old.conditions.as_slice());
    let signer = Signer {
        reference: reference_of(&update.object),
        before: conditions.unwrap_or_default(),
        after: &update.new.conditions,
        releases: update.new.releases,
    };
    announce(context, signer).await;
    let statuses = &context.store.key_statuses;
    let what = "write the status of a TrustedKey";
    let task = Task::KeyStatus(update.object.name_any());
    let written = statuses.write(&context.client, update, what).await;
    shares::unless_overtaken(context, task, written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_again_at_each_step_towards_its_end() {
        let yaml = include_str!("../../../../examples/key-retiring.yaml");
        let object: TrustedKey = serde_saphyr::from_multiple(yaml).unwrap().remove(0);
        let material = object.spec.public_key.inline.clone().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let loaded = LoadedKey {
            reading: Reading {
                generation: 1,
                details: String::new(),
                at: at("2026-11-22T00:00:00Z"),
            },
            fingerprint: None,
            revocation: None,
            refresh: None,
            key: parse::key(&object, material.as_bytes()),
            remains: Remains::default(),
        };
        let next = |now: &str| ends(&loaded).filter(|end| *end > at(now)).min().unwrap();
        for (now, instant) in [
            ("2026-11-22T00:00:00Z", "2026-12-31T00:00:00Z"),
            ("2026-12-31T00:00:00Z", "2027-03-01T00:00:00Z"),
            ("2027-03-01T00:00:00Z", "2027-03-24T00:00:00Z"),
            ("2027-03-24T00:00:00Z", "2027-03-31T00:00:00Z"),
        ] {
            assert_eq!(next(now), at(instant), "after {now}");
        }
    }
}
