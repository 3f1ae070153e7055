//! Reads a `TrustedKey`, has the releases judged that it concerns, and writes its status.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use tokio::time::Instant;

use super::world::{LoadedKey, issuer_names};
use super::{Context, Error, FIELD_MANAGER, Task, key_status};
use crate::api::TrustedKey;
use crate::api::reasons::KeyReason;
use crate::api::trusted_key::DataRef;
use crate::clock;
use crate::inventory::ReleaseId;
use crate::parse::{self, KeyProblem};
use crate::watch::within_deadline;

/// Takes the object into what is known, and has everything that depends on it judged again.
pub(super) async fn read(context: &Context, name: &str) {
    let object = context.mirrors.keys.find(&name.to_owned());
    let loaded = match object.as_deref() {
        None => None,
        Some(Err(problem)) => Some(LoadedKey {
            generation: 0,
            fingerprint: None,
            revocation: None,
            key: Err(KeyProblem::new(KeyReason::InvalidSpec, problem)),
        }),
        Some(Ok(object)) => Some(load(context, object).await),
    };
    let ends = loaded.as_ref().and_then(|loaded| next_end(loaded, clock::now()));
    let mut concerned = concerned(context, loaded.as_ref());
    let before = context.world.set_key(name, loaded);
    concerned.extend(self::concerned(context, before.as_ref()));
    for id in concerned {
        context.queue.add(Task::Release(id.clone()));
    }
    let listing = context.world.trust();
    for policy in listing.policies.keys() {
        context.queue.add(Task::PolicyStatus(policy.clone()));
    }
    context.queue.add(Task::KeyStatus(name.to_owned()));
    if let Some(end) = ends {
        context.queue.add_at(Task::Key(name.to_owned()), end);
    }
}

async fn load(context: &Context, object: &TrustedKey) -> LoadedKey {
    let generation = object.metadata.generation.unwrap_or_default();
    let fingerprint = object.spec.fingerprint.parse().ok();
    let key = match material(context, object).await {
        Ok(material) => parse::key(object, &material),
        Err(problem) => Err(problem),
    };
    LoadedKey { generation, fingerprint, key, revocation: parse::own_revocation(object) }
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
    let found = within_deadline(api.list(&params)).await.map_err(|_| unread(context, place))?;
    let map = found.items.into_iter().next().ok_or_else(|| missing(context, place))?;
    let text = map.data.unwrap_or_default().remove(&place.key).map(String::into_bytes);
    let bytes = || map.binary_data.unwrap_or_default().remove(&place.key).map(|bytes| bytes.0);
    text.or_else(bytes).ok_or_else(|| missing(context, place))
}

async fn from_secret(context: &Context, place: &DataRef) -> Result<Vec<u8>, KeyProblem> {
    let api = Api::<Secret>::namespaced(context.client.clone(), &context.namespace);
    let params = ListParams::default().fields(&format!("metadata.name={}", place.name));
    let found = within_deadline(api.list(&params)).await.map_err(|_| unread(context, place))?;
    let secret = found.items.into_iter().next().ok_or_else(|| missing(context, place))?;
    let bytes = secret.data.unwrap_or_default().remove(&place.key);
    bytes.map(|bytes| bytes.0).ok_or_else(|| missing(context, place))
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

/// Releases with a signature that claims this key as issuer.
fn concerned(context: &Context, loaded: Option<&LoadedKey>) -> BTreeSet<ReleaseId> {
    let Some(loaded) = loaded else { return BTreeSet::new() };
    let pinned = loaded.fingerprint.iter().map(|fingerprint| fingerprint.as_str().to_owned());
    let names = loaded.key.as_ref().map(issuer_names).unwrap_or_default();
    let all: Vec<String> = pinned.chain(names).collect();
    context.world.releases_of_issuers(all.iter().map(String::as_str))
}

/// When time alone will next change what the key is worth: what has no proof at hand is read again.
fn next_end(loaded: &LoadedKey, now: Timestamp) -> Option<Instant> {
    let retried = match &loaded.key {
        Err(problem) if problem.reason == KeyReason::ProgressingWithRetry => {
            return Some(Instant::now() + super::RETRY);
        }
        Err(_) => return None,
        Ok(key) => key,
    };
    let ends = [retried.certificate.summary(now).expires, retried.not_after];
    let next = ends.into_iter().flatten().filter(|end| *end > now).min()?;
    let wait = next.duration_since(now).unsigned_abs();
    // Long waits are cut, so that a clock that is set right meanwhile is noticed.
    Some(Instant::now() + wait.min(std::time::Duration::from_hours(1)))
}

/// Writes the status if anything but the time has changed.
pub(super) async fn write_status(context: &Context, name: &str) -> Result<(), Error> {
    let object = context.mirrors.keys.find(&name.to_owned());
    let Some(Ok(object)) = object.as_deref() else { return Ok(()) };
    let trust = context.world.trust();
    let Some(loaded) = trust.loaded.get(name) else { return Ok(()) };
    let key = trust.keys.iter().find(|key| key.name == name);
    let releases = loaded.fingerprint.as_ref().map_or(0, |f| context.world.dependents(f));
    let successor = object.spec.successor.as_deref();
    let old = object.status.as_ref();
    let status = key_status::conclude(old, loaded, key, successor, releases, clock::now());
    if old == Some(&status) {
        return Ok(());
    }
    let api = Api::<TrustedKey>::all(context.client.clone());
    let mut changed = object.clone();
    changed.status = Some(status);
    changed.metadata.managed_fields = None;
    let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() };
    match within_deadline(api.replace_status(&object.name_any(), &params, &changed)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::Api("write the status of a TrustedKey", error)),
    }
}
