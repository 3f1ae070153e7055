//! What was learned against each key, as far as this process knows.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use charttrust_verify::openpgp::{Fingerprint, Learned};

/// What is known against each key, by fingerprint.
#[derive(Debug, Default)]
pub struct Memory(RwLock<BTreeMap<Fingerprint, Known>>);

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
    pub fn of(&self, key: &Fingerprint) -> Result<Learned, String> {
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
    pub fn revision(&self, key: &Fingerprint) -> u64 {
        self.read().get(key).map_or(0, |known| known.revision)
    }

    /// Whether what is known could not be written, so that a restart would forget it.
    pub fn is_unkept(&self, key: &Fingerprint) -> bool {
        self.read().get(key).is_some_and(|known| known.is_unkept)
    }

    /// Takes in what was learned; answers whether any of it is new.
    pub fn add(&self, key: &Fingerprint, learned: &Learned) -> bool {
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
    pub fn found(&self, key: &Fingerprint, found: Result<&Learned, &String>) -> bool {
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

    /// Notes whether it could be written; answers whether that has changed.
    pub fn note_kept<T, E>(&self, key: &Fingerprint, kept: &Result<T, E>) -> bool {
        let mut all = self.write();
        let Some(known) = all.get_mut(key) else {
            return false;
        };
        let has_changed = known.is_unkept != kept.is_err();
        known.is_unkept = kept.is_err();
        has_changed
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Fingerprint, Known>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Fingerprint, Known>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
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
            !memory.note_kept(&key(), &Err::<(), _>(())),
            "nothing is known against it"
        );
        memory.add(&key(), &learned(&["aa"]));
        let steps = [
            (Ok(()), false),
            (Err(()), true),
            (Err(()), false),
            (Ok(()), true),
        ];
        for (kept, has_changed) in steps {
            assert_eq!(memory.note_kept(&key(), &kept), has_changed);
            assert_eq!(memory.is_unkept(&key()), kept.is_err());
        }
    }
}
