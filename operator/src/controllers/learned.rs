//! What was learned against keys: verified revocations and earlier ends of life. It outlives the
//! objects, the operator, and servers that later serve an older copy.
//!
//! Reads and writes one ConfigMap per fingerprint in the operator's own namespace. What stands there
//! can only take trust away: revocations are verified whenever they are applied.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use charttrust_verify::key::Key;
use charttrust_verify::openpgp::{Fingerprint, Learned};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, ObjectMeta, PostParams};

use super::watches::OwnObject;
use super::{Context, Error, FIELD_MANAGER, RETRY, Task};
use crate::api::reasons::KeyReason;
use crate::parse::KeyProblem;
use crate::watch::within_deadline;

/// What is known against each key, by fingerprint.
#[derive(Debug, Default)]
pub(super) struct Memory(RwLock<BTreeMap<Fingerprint, Known>>);

/// What is known against one key.
#[derive(Clone, Debug, Default)]
struct Known {
    learned: Learned,
    /// Grows with every change.
    revision: u64,
    /// Why its ConfigMap cannot be read. What stands in it is not known then.
    unreadable: Option<String>,
    /// Whether the last attempt to write it failed.
    is_unkept: bool,
}

impl Memory {
    /// What was learned against a key, or why that is not known.
    fn of(&self, key: &Fingerprint) -> Result<Learned, String> {
        match self.read().get(key) {
            None => Ok(Learned::default()),
            Some(Known {
                unreadable: Some(why),
                ..
            }) => Err(why.clone()),
            Some(known) => Ok(known.learned.clone()),
        }
    }

    /// A number that changes with what is known.
    pub(super) fn revision(&self, key: &Fingerprint) -> u64 {
        self.read().get(key).map_or(0, |known| known.revision)
    }

    /// Whether what is known could not be written, so that a restart would forget it.
    pub(super) fn is_unkept(&self, key: &Fingerprint) -> bool {
        self.read().get(key).is_some_and(|known| known.is_unkept)
    }

    /// Takes in what was learned; answers whether any of it is new.
    pub(super) fn add(&self, key: &Fingerprint, learned: &Learned) -> bool {
        if learned.is_empty() {
            return false;
        }
        let mut all = self.write();
        let known = all.entry(key.clone()).or_default();
        if known.learned.contains(learned) {
            return false;
        }
        known.learned.join(learned);
        known.revision += 1;
        true
    }

    /// Takes in what was found in a ConfigMap; answers whether anything has changed.
    fn found(&self, key: &Fingerprint, found: Result<&Learned, &String>) -> bool {
        let mut all = self.write();
        let known = all.entry(key.clone()).or_default();
        let before = known.clone();
        match found {
            Ok(learned) => {
                known.learned.join(learned);
                known.unreadable = None;
            }
            // What this process has read before is known nevertheless.
            Err(why) if known.unreadable.is_some() || known.learned.is_empty() => {
                known.unreadable = Some(why.clone());
            }
            Err(_) => {}
        }
        let is_same = known.learned == before.learned && known.unreadable == before.unreadable;
        known.revision += u64::from(!is_same);
        !is_same
    }

    fn note_kept(&self, key: &Fingerprint, is_kept: bool) -> bool {
        let mut all = self.write();
        let Some(known) = all.get_mut(key) else {
            return false;
        };
        let has_changed = known.is_unkept == is_kept;
        known.is_unkept = !is_kept;
        has_changed
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Fingerprint, Known>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Fingerprint, Known>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ConfigMap for a fingerprint.
pub fn name_of(key: &Fingerprint) -> String {
    format!("{PREFIX}{}", key.as_str().to_ascii_lowercase())
}

/// The fingerprint that an object in the operator's namespace is about, if it is one of ours.
pub(super) fn key_of(object: &OwnObject) -> Option<Fingerprint> {
    match object {
        OwnObject::ConfigMap(name) => name.strip_prefix(PREFIX)?.parse().ok(),
        OwnObject::Secret(_) => None,
    }
}

const PREFIX: &str = "charttrust-learned-";

/// The entry of the ConfigMap.
pub const ENTRY: &str = "learned.json";

/// Reads every ConfigMap before any key is judged by; waits until the API server has given them all.
pub(super) async fn recall(context: &Context) {
    for key in context.mirrors.own_config_maps().filter_map(|o| key_of(&o)) {
        loop {
            match stored(context, &key).await {
                Ok(stored) => {
                    take_in(context, &key, stored.as_ref());
                    break;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "will retry");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

/// The key as it is with everything that was learned against it. What its own material and
/// certificates say against it is learned as well: that can never be taken back.
pub(super) async fn applied(context: &Context, key: Key) -> Result<Key, KeyProblem> {
    let fingerprint = key.fingerprint().clone();
    learn(context, &fingerprint, &key.certificate.carried()).await;
    let unreadable = |why: String| KeyProblem::new(KeyReason::LearnedUnreadable, why);
    let learned = context.learned.of(&fingerprint).map_err(unreadable)?;
    let certificate = key.certificate.apply(&learned).map_err(|error| {
        let message = format!("spec.publicKey, with what was learned against it: {error}");
        KeyProblem::new(KeyReason::MaterialUnusable, message)
    })?;
    Ok(Key { certificate, ..key })
}

/// Takes in what was found against a key, and has the objects of the fingerprint read again. It is
/// kept before anybody can see what it does, so that no crash in between gives trust back; but where
/// it cannot be kept, it counts nevertheless.
pub(super) async fn learn(context: &Context, key: &Fingerprint, learned: &Learned) {
    if !context.learned.add(key, learned) {
        return;
    }
    tracing::warn!(fingerprint = %key, "something against a key was learned, and is kept for good");
    if let Err(error) = keep(context, key).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "will retry");
        context.queue.add(Task::Learned(key.clone()));
    }
    read_again(context, key);
}

/// Brings the ConfigMap of a fingerprint and what is known into line; neither forgets anything.
pub(super) async fn keep(context: &Context, key: &Fingerprint) -> Result<(), Error> {
    let kept = exchange(context, key).await;
    if context.learned.note_kept(key, kept.is_ok()) {
        for name in names(context, key) {
            context.queue.add(Task::KeyStatus(name));
        }
    }
    kept
}

async fn exchange(context: &Context, key: &Fingerprint) -> Result<(), Error> {
    let stored = stored(context, key).await?;
    if take_in(context, key, stored.as_ref()) {
        read_again(context, key);
    }
    let Ok(known) = context.learned.of(key) else {
        // It is a person's to mend or to delete.
        return Ok(());
    };
    match stored {
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

/// By list and not by get: the operator may not get single objects.
async fn stored(context: &Context, key: &Fingerprint) -> Result<Option<Stored>, Error> {
    let name = name_of(key);
    let params = ListParams::default().fields(&format!("metadata.name={name}"));
    let api = config_maps(context);
    let found = within_deadline(api.list(&params)).await;
    let found = found.map_err(|error| Error::Api("read what was learned against a key", error))?;
    Ok(found.items.into_iter().next().map(|object| Stored {
        learned: content(&object).map_err(|why| {
            format!(
                "ConfigMap {name} in namespace {} {why}; mend it, or delete it if no revocation of \
                 this key was ever learned",
                context.namespace
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
    context.learned.found(key, found)
}

async fn replace(context: &Context, mut object: ConfigMap, known: &Learned) -> Result<(), Error> {
    let name = object.metadata.name.clone().unwrap_or_default();
    object.metadata.managed_fields = None;
    let data = object.data.get_or_insert_default();
    data.insert(ENTRY.to_owned(), text(known));
    let api = config_maps(context);
    written(within_deadline(api.replace(&name, &parameters(), &object)).await)
}

async fn create(context: &Context, key: &Fingerprint, known: &Learned) -> Result<(), Error> {
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
    let api = config_maps(context);
    written(within_deadline(api.create(&parameters(), &object)).await)
}

fn written(answer: kube::Result<ConfigMap>) -> Result<(), Error> {
    let failed = |error| Error::Api("keep what was learned against a key", error);
    answer.map(drop).map_err(failed)
}

fn text(known: &Learned) -> String {
    // Invariant: texts and times always serialize.
    serde_json::to_string(known).unwrap_or_default()
}

fn config_maps(context: &Context) -> Api<ConfigMap> {
    Api::namespaced(context.client.clone(), &context.namespace)
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PostParams::default()
    }
}

fn read_again(context: &Context, key: &Fingerprint) {
    for name in names(context, key) {
        context.queue.add(Task::Key(name));
    }
}

/// The objects of a fingerprint.
fn names(context: &Context, key: &Fingerprint) -> Vec<String> {
    let trust = context.world.trust();
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
    fn what_was_learned_only_grows_and_every_change_is_counted() {
        let memory = Memory::default();
        assert_eq!(memory.of(&key()), Ok(Learned::default()));
        assert!(!memory.add(&key(), &Learned::default()));
        assert_eq!(memory.revision(&key()), 0);
        assert!(memory.add(&key(), &learned(&["aa"])));
        assert!(!memory.add(&key(), &learned(&["aa"])));
        assert!(memory.found(&key(), Ok(&learned(&["bb"]))));
        assert!(
            !memory.found(&key(), Ok(&Learned::default())),
            "it was deleted"
        );
        assert_eq!(memory.of(&key()), Ok(learned(&["aa", "bb"])));
        assert_eq!(memory.revision(&key()), 2);
    }

    #[test]
    fn a_key_whose_config_map_cannot_be_read_is_not_known_to_be_good() {
        let memory = Memory::default();
        assert!(memory.found(&key(), Err(&"is garbage".to_owned())));
        assert_eq!(memory.of(&key()), Err("is garbage".to_owned()));
        memory.add(&key(), &learned(&["aa"]));
        assert!(memory.of(&key()).is_err(), "what it hides is not known");
        memory.found(&key(), Err(&"is garbage".to_owned()));
        assert!(memory.of(&key()).is_err());
        assert!(memory.found(&key(), Ok(&learned(&["bb"]))));
        assert_eq!(memory.of(&key()), Ok(learned(&["aa", "bb"])));
    }

    #[test]
    fn what_was_read_once_is_known_whatever_becomes_of_the_config_map() {
        let memory = Memory::default();
        memory.found(&key(), Ok(&learned(&["aa"])));
        assert!(!memory.found(&key(), Err(&"is garbage".to_owned())));
        assert_eq!(memory.of(&key()), Ok(learned(&["aa"])));
    }

    #[test]
    fn a_failed_write_is_told_until_one_succeeds() {
        let memory = Memory::default();
        assert!(
            !memory.note_kept(&key(), false),
            "nothing is known against it"
        );
        memory.add(&key(), &learned(&["aa"]));
        let steps = [(true, false), (false, true), (false, false), (true, true)];
        for (is_kept, has_changed) in steps {
            assert_eq!(memory.note_kept(&key(), is_kept), has_changed);
            assert_eq!(memory.is_unkept(&key()), !is_kept);
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
