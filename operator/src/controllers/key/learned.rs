//! What was learned against keys: verified revocations and earlier ends of life. It outlives the
//! objects, the operator, and servers that later serve an older copy.
//!
//! Reads and writes one ConfigMap per fingerprint in the operator's own namespace. What stands there
//! can only take trust away: revocations are verified whenever they are applied.

use std::collections::BTreeMap;

use charttrust_verify::key::Key;
use charttrust_verify::openpgp::{Fingerprint, Learned};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;

use crate::api::create_params;
use crate::api::reasons::KeyReason;
use crate::controllers::cache::OwnObject;
use crate::controllers::context::{Context, RETRY};
use crate::controllers::error::Error;
use crate::controllers::own;
use crate::controllers::store::LoadedKey;
use crate::controllers::store::learned::Memory;
use crate::controllers::task::Task;
use crate::parse::{self, KeyProblem};
use crate::watch::within_deadline;

/// The ConfigMap for a fingerprint.
pub fn name_of(key: &Fingerprint) -> String {
    format!("{PREFIX}{}", key.as_str().to_ascii_lowercase())
}

/// The fingerprint that an object in the operator's namespace is about, if it is one of ours.
pub(in crate::controllers) fn key_of(object: &OwnObject) -> Option<Fingerprint> {
    match object {
        OwnObject::ConfigMap(name) => name.strip_prefix(PREFIX)?.parse().ok(),
        OwnObject::Secret(_) => None,
    }
}

const PREFIX: &str = "charttrust-learned-";

/// The entry of the ConfigMap.
pub const ENTRY: &str = "learned.json";

/// Reads every ConfigMap before any key is judged by; waits until the API server has given them all.
pub(in crate::controllers) async fn restore(context: &Context) {
    for key in context.cache.own_config_maps().filter_map(|o| key_of(&o)) {
        loop {
            match stored(context, &key).await {
                Ok(stored) => {
                    take_in(context, &key, stored.as_ref());
                    break;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "will retry");
                    // Without what was learned a revoked key would be believed: nothing is judged
                    // until the API server has answered.
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

/// The key with everything that was learned against it.
pub(crate) fn apply(memory: &Memory, loaded: &mut LoadedKey) {
    if let Ok(key) = &loaded.key {
        let remains = parse::Remains {
            claimed: loaded.remains.claimed.clone(),
            ..parse::Remains::of(key)
        };
        loaded.key = applied(memory, key.clone());
        if loaded.key.is_err() {
            loaded.remains = remains;
        }
        loaded.refresh.take_if(|_| loaded.key.is_err());
    }
}

fn applied(memory: &Memory, key: Key) -> Result<Key, KeyProblem> {
    let unreadable = |why: String| KeyProblem::new(KeyReason::LearnedUnreadable, why);
    let learned = memory.of(key.fingerprint()).map_err(unreadable)?;
    let certificate = key.certificate.apply(&learned).map_err(|error| {
        let message = format!("spec.publicKey, with what was learned against it: {error}");
        KeyProblem::new(KeyReason::MaterialUnusable, message)
    })?;
    Ok(Key { certificate, ..key })
}

/// Learns what the objects of a fingerprint say against its key, with this one among them, before
/// anybody judges by it. An object that cannot be used otherwise, and may be deleted for that, has said
/// what can never be taken back.
pub(in crate::controllers) async fn learn_shared(
    context: &Context,
    name: &str,
    loaded: &LoadedKey,
) {
    let Some(fingerprint) = &loaded.fingerprint else {
        return;
    };
    let shared = context.store.with_key(name, loaded);
    let of_key = shared.iter().filter(|key| key.fingerprint() == fingerprint);
    for key in of_key {
        learn(context, fingerprint, &key.certificate.carried()).await;
    }
}

/// Takes in what was found against a key, and has the objects of the fingerprint read again. It is
/// kept before anybody can see what it does, so that no crash in between gives trust back; but where
/// it cannot be kept, it counts nevertheless.
pub(in crate::controllers) async fn learn(context: &Context, key: &Fingerprint, learned: &Learned) {
    if !context.store.learned.add(key, learned) {
        return;
    }
    tracing::warn!(fingerprint = %key, "something against a key was learned, and is kept for good");
    if let Err(error) = keep(context, key).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "will retry");
        context.queues.tasks.add(Task::Learned(key.clone()));
    }
    read_again(context, key);
}

/// Brings the ConfigMap of a fingerprint and what is known into line; neither forgets anything.
pub(in crate::controllers) async fn keep(
    context: &Context,
    key: &Fingerprint,
) -> Result<(), Error> {
    let kept = exchange(context, key).await;
    if context.store.learned.note_kept(key, &kept) {
        for name in names(context, key) {
            context.queues.tasks.add(Task::KeyStatus(name));
        }
    }
    kept
}

async fn exchange(context: &Context, key: &Fingerprint) -> Result<(), Error> {
    let stored = stored(context, key).await?;
    if take_in(context, key, stored.as_ref()) {
        read_again(context, key);
    }
    let Ok(known) = context.store.learned.of(key) else {
        // It is a person's to mend or to delete.
        return Ok(());
    };
    match stored {
        // Whoever holds the first range reads the same keys, and keeps it.
        _ if !context.is_first() => Ok(()),
        Some(stored) if stored.learned.as_ref() == Ok(&known) => Ok(()),
        None if known.is_empty() => Ok(()),
        Some(stored) => replace(context, stored.object, &known).await,
        None => create(context, key, &known).await,
    }
}

/// A ConfigMap and what stands in it.
struct Stored {
    object: ConfigMap,
    learned: Result<Learned, String>,
}

async fn stored(context: &Context, key: &Fingerprint) -> Result<Option<Stored>, Error> {
    let name = name_of(key);
    let found = own::find(context, &name).await;
    let found: Option<ConfigMap> =
        found.map_err(|error| Error::Api("read what was learned against a key", error))?;
    Ok(found.map(|object| Stored {
        learned: content(&object).map_err(|why| {
            format!(
                "ConfigMap {name} in namespace {} {why}; mend it, or delete it if no revocation of \
                 this key was ever learned",
                context.settings.namespace
            )
        }),
        object,
    }))
}

/// What stands in the ConfigMap, or what is wrong with it, without quoting it.
pub fn content(object: &ConfigMap) -> Result<Learned, String> {
    let entry = object.data.as_ref().and_then(|data| data.get(ENTRY));
    let text = entry.ok_or_else(|| format!("has no entry {ENTRY}"))?;
    // What the parser says may quote what stands there.
    serde_json::from_str(text).map_err(|_| format!("has an entry {ENTRY} that cannot be read"))
}

fn take_in(context: &Context, key: &Fingerprint, stored: Option<&Stored>) -> bool {
    let nothing = Learned::default();
    let found = stored.map_or(Ok(&nothing), |stored| stored.learned.as_ref());
    context.store.learned.found(key, found)
}

async fn replace(context: &Context, mut object: ConfigMap, known: &Learned) -> Result<(), Error> {
    let name = object.metadata.name.clone().unwrap_or_default();
    object.metadata.managed_fields = None;
    let data = object.data.get_or_insert_default();
    data.insert(ENTRY.to_owned(), text(known));
    let api = own::api(context);
    written(within_deadline(api.replace(&name, &create_params(), &object)).await)
}

async fn create(context: &Context, key: &Fingerprint, known: &Learned) -> Result<(), Error> {
    // So that whoever looks around in the namespace sees whose it is, and deletes it knowingly.
    let labels = [("app.kubernetes.io/managed-by", "charttrust")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let object = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name_of(key)),
            labels: Some(BTreeMap::from(labels)),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(ENTRY.to_owned(), text(known))])),
        ..ConfigMap::default()
    };
    let api = own::api(context);
    written(within_deadline(api.create(&create_params(), &object)).await)
}

fn written(answer: kube::Result<ConfigMap>) -> Result<(), Error> {
    let failed = |error| Error::Api("keep what was learned against a key", error);
    answer.map(drop).map_err(failed)
}

fn text(known: &Learned) -> String {
    // Invariant: texts and times always serialize.
    serde_json::to_string(known).unwrap_or_default()
}

fn read_again(context: &Context, key: &Fingerprint) {
    for name in names(context, key) {
        context.queues.tasks.add(Task::Key(name));
    }
}

/// The objects of a fingerprint.
pub(super) fn names(context: &Context, key: &Fingerprint) -> Vec<String> {
    let trust = context.store.trust();
    let of_key = trust
        .loaded
        .iter()
        .filter(|(_, loaded)| loaded.fingerprint.as_ref() == Some(key));
    of_key.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

    fn key() -> Fingerprint {
        KEY.parse().unwrap()
    }

    fn learned(packets: &[&str]) -> Learned {
        serde_json::from_value(serde_json::json!({"revocations": packets})).unwrap()
    }

    #[test]
    fn each_fingerprint_has_a_config_map_of_its_own() {
        let name = name_of(&key());
        assert_eq!(
            name,
            "charttrust-learned-0123456789abcdef0123456789abcdef01234567"
        );
        assert_eq!(key_of(&OwnObject::ConfigMap(name.clone())), Some(key()));
        assert_eq!(key_of(&OwnObject::Secret(name)), None);
        for other in [
            "charttrust-learned-",
            "charttrust-learned-01",
            "signing-keys",
        ] {
            assert_eq!(
                key_of(&OwnObject::ConfigMap(other.to_owned())),
                None,
                "{other}"
            );
        }
    }

    #[test]
    fn an_entry_that_is_missing_or_garbage_is_told_without_quoting_it() {
        let with = |data: &[(&str, &str)]| ConfigMap {
            data: Some(
                data.iter()
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                    .collect(),
            ),
            ..ConfigMap::default()
        };
        assert_eq!(
            content(&with(&[(ENTRY, "{\"revocations\":[\"aa\"]}")])),
            Ok(learned(&["aa"]))
        );
        for garbage in [
            "canary",
            "{\"canary\":1}",
            "{\"revocations\":\"canary\"}",
            "",
        ] {
            let why = content(&with(&[(ENTRY, garbage)])).unwrap_err();
            assert!(!why.contains("canary"), "{why}");
        }
        assert_eq!(
            content(&with(&[])),
            Err("has no entry learned.json".to_owned())
        );
        assert_eq!(
            content(&ConfigMap::default()),
            Err("has no entry learned.json".to_owned())
        );
    }
}
