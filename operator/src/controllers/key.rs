//! Reads a `TrustedKey`, has the releases judged that it concerns, and writes its status.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use tokio::time::Instant;

use super::key_status::{self, Known};
use super::watches::{Ours, material_of};
use super::world::{LoadedKey, Reading, issuer_names};
use super::{Context, Error, Task, events, learned, refresh};
use crate::api::TrustedKey;
use crate::api::reasons::KeyReason;
use crate::api::trusted_key::DataRef;
use crate::clock;
use crate::parse::{self, KeyProblem};
use crate::watch::within_deadline;

/// Takes the object into what is known, and has everything that depends on it judged again.
pub(super) async fn read(context: &Context, name: &str) {
    let object = context.mirrors.keys.find(&name.to_owned());
    let now = clock::now();
    let reading = reading(context, object.as_deref(), now);
    if let Some(known) = still_true(context, name, &reading) {
        refresh::plan(context, name, Some(&known));
        return schedule(context, name, &known, now);
    }
    let loaded = match object.as_deref() {
        None => None,
        Some(Err(problem)) => Some(LoadedKey {
            reading,
            fingerprint: None,
            revocation: None,
            refresh: None,
            key: Err(KeyProblem::new(KeyReason::InvalidSpec, problem)),
        }),
        Some(Ok(object)) => Some(load(context, object, reading).await),
    };
    if let Some(loaded) = &loaded {
        schedule(context, name, loaded, now);
    }
    let mut issuers = issuers(loaded.as_ref());
    tell(name, loaded.as_ref());
    refresh::plan(context, name, loaded.as_ref());
    let _change = context.world.change();
    let before = context.world.set_key(name, loaded);
    issuers.extend(self::issuers(before.as_ref()));
    let issuers = issuers.iter().map(String::as_str);
    for id in context.world.releases_of_issuers(issuers) {
        context.world.learn(&id, now);
        context.judge_again(&id);
        // A signature that was never verified before may have to be fetched.
        context.examinations.add(id);
    }
    let listing = context.world.trust();
    for policy in listing.policies.keys() {
        context.queue.add(Task::PolicyStatus(policy.clone()));
    }
    context.queue.add(Task::KeyStatus(name.to_owned()));
    context.queue.add(Task::Ledger);
}

/// Whoever investigates later wants to know from when on a key counted.
fn tell(name: &str, loaded: Option<&LoadedKey>) {
    match loaded.map(|loaded| (&loaded.fingerprint, &loaded.key)) {
        None => tracing::info!(key = name, "key is gone"),
        Some((_, Ok(key))) => {
            tracing::info!(key = name, fingerprint = %key.fingerprint(), "key was read");
        }
        Some((_, Err(problem))) => tracing::warn!(key = name, %problem, "key cannot be used"),
    }
}

/// Which state of the object this is.
fn reading(context: &Context, object: Option<&Ours<TrustedKey>>, at: Timestamp) -> Reading {
    let Some(Ok(object)) = object else {
        return Reading {
            generation: 0,
            details: String::new(),
            at,
        };
    };
    let material = material_of(object).map(|place| context.mirrors.own_version(&place));
    let fingerprint = object.spec.fingerprint.parse();
    let learned = fingerprint.map(|key| context.learned.revision(&key));
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
    let known = context.world.trust().loaded.get(name)?.clone();
    let has_ended = ends(&known).any(|end| end > known.reading.at && end <= reading.at);
    let is_same = known.reading.is_of_same_state(reading) && reading.generation > 0;
    (is_same && !has_ended && !is_to_be_retried(&known)).then_some(known)
}

async fn load(context: &Context, object: &TrustedKey, reading: Reading) -> LoadedKey {
    let fingerprint = object.spec.fingerprint.parse().ok();
    let key = match material(context, object).await {
        Ok(material) => parse::key(object, &material),
        Err(problem) => Err(problem),
    };
    let key = match key {
        Ok(key) => learned::applied(context, key).await,
        Err(problem) => Err(problem),
    };
    LoadedKey {
        reading,
        fingerprint,
        revocation: parse::own_revocation(object),
        refresh: key.as_ref().ok().and_then(|_| parse::refresh(object)),
        key,
    }
}

/// The bytes of the key, from wherever the object says.
async fn material(context: &Context, object: &TrustedKey) -> Result<Vec<u8>, KeyProblem> {
    let place = &object.spec.public_key;
    if let Some(inline) = &place.inline {
        return Ok(inline.clone().into_bytes());
    }
    if let Some(reference) = &place.config_map_ref {
        return from_config_map(context, reference).await;
    }
    match &place.secret_ref {
        Some(reference) => from_secret(context, reference).await,
        None => Err(KeyProblem::new(
            KeyReason::InvalidSpec,
            "spec.publicKey: set one of inline, configMapRef and secretRef",
        )),
    }
}

async fn from_config_map(context: &Context, place: &DataRef) -> Result<Vec<u8>, KeyProblem> {
    let api = Api::<ConfigMap>::namespaced(context.client.clone(), &context.namespace);
    let params = ListParams::default().fields(&format!("metadata.name={}", place.name));
    let found = within_deadline(api.list(&params))
        .await
        .map_err(|_| unread(context, place))?;
    let map = found
        .items
        .into_iter()
        .next()
        .ok_or_else(|| missing(context, place))?;
    let text = map
        .data
        .unwrap_or_default()
        .remove(&place.key)
        .map(String::into_bytes);
    let bytes = || {
        map.binary_data
            .unwrap_or_default()
            .remove(&place.key)
            .map(|bytes| bytes.0)
    };
    text.or_else(bytes).ok_or_else(|| missing(context, place))
}

async fn from_secret(context: &Context, place: &DataRef) -> Result<Vec<u8>, KeyProblem> {
    let api = Api::<Secret>::namespaced(context.client.clone(), &context.namespace);
    let params = ListParams::default().fields(&format!("metadata.name={}", place.name));
    let found = within_deadline(api.list(&params))
        .await
        .map_err(|_| unread(context, place))?;
    let secret = found
        .items
        .into_iter()
        .next()
        .ok_or_else(|| missing(context, place))?;
    let bytes = secret.data.unwrap_or_default().remove(&place.key);
    bytes
        .map(|bytes| bytes.0)
        .ok_or_else(|| missing(context, place))
}

fn missing(context: &Context, place: &DataRef) -> KeyProblem {
    let message = format!(
        "spec.publicKey: {} in namespace {} has no key {:?}; create it",
        place.name, context.namespace, place.key
    );
    KeyProblem::new(KeyReason::MaterialMissing, &message)
}

fn unread(context: &Context, place: &DataRef) -> KeyProblem {
    let message = format!(
        "spec.publicKey: the API server did not give {} in namespace {}",
        place.name, context.namespace
    );
    KeyProblem::new(KeyReason::ProgressingWithRetry, &message)
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
    let expire = key.map(|key| key.certificate.ends(loaded.reading.at));
    let not_after = key.and_then(|key| key.not_after);
    let ends = expire.into_iter().flatten().chain(not_after);
    ends.flat_map(|end| key_status::warnings(end).chain([end]))
}

fn is_to_be_retried(loaded: &LoadedKey) -> bool {
    let problem = loaded.key.as_ref().err();
    problem.is_some_and(|problem| problem.reason == KeyReason::ProgressingWithRetry)
}

/// Has the key read again when time changes what it is worth, or when its material could not be
/// read.
fn schedule(context: &Context, name: &str, loaded: &LoadedKey, now: Timestamp) {
    let next = ends(loaded).filter(|end| *end > now).min();
    // Long waits are cut, so that a clock that is set right meanwhile is noticed.
    let wait = next.map(|end| end.duration_since(now).unsigned_abs().min(LONGEST_WAIT));
    let wait = if is_to_be_retried(loaded) {
        Some(super::RETRY)
    } else {
        wait
    };
    if let Some(wait) = wait {
        context
            .queue
            .add_at(Task::Key(name.to_owned()), Instant::now() + wait);
    }
}

/// Longest time for which a deadline is taken on trust.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Writes the status if anything but the time has changed.
pub(super) async fn write_status(context: &Context, name: &str) -> Result<(), Error> {
    let object = context.mirrors.keys.find(&name.to_owned());
    let Some(Ok(object)) = object.as_deref() else {
        return Ok(());
    };
    let trust = context.world.trust();
    let Some(loaded) = trust.loaded.get(name) else {
        return Ok(());
    };
    let key = trust.keys.iter().find(|key| key.name == name);
    let fingerprint = loaded.fingerprint.as_ref();
    let releases = fingerprint.map(|key| context.world.dependents(key));
    let releases = releases.unwrap_or_default();
    let known = Known {
        loaded,
        key,
        successor: object.spec.successor.as_deref(),
        releases: &releases,
        wants_refresh: object.spec.refresh.is_some(),
        refreshed: context.refreshes.outcome(name),
        unkept: fingerprint.filter(|key| context.learned.is_unkept(key)),
    };
    let watched = object.resource_version();
    let ours = context.world.key_statuses.find(name, watched.as_deref());
    let old = ours
        .as_ref()
        .map(|ours| &ours.status)
        .or(object.status.as_ref());
    let status = key_status::conclude(old, &known, clock::now());
    if old == Some(&status) {
        return Ok(());
    }
    let announced = events::of_key(object, old, &status);
    let mut changed = object.clone();
    changed.status = Some(status.clone());
    let statuses = &context.world.key_statuses;
    statuses
        .write(context, changed, status, "write the status of a TrustedKey")
        .await?;
    for announcement in announced {
        events::publish(context, Some(announcement)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_again_at_each_step_towards_its_end() {
        let yaml = include_str!("../../../examples/key-retiring.yaml");
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
