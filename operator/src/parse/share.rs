//! Several objects of one fingerprint: every revocation counts for all of them.

use std::collections::BTreeMap;

use charttrust_verify::key::{DeclaredRevocation, Key};
use charttrust_verify::openpgp::{Certificate, ClaimedRevocations, Fingerprint};

/// What all objects of one fingerprint say.
struct Shared {
    certificate: Certificate,
    declared: Vec<DeclaredRevocation>,
}

/// The keys, each with the revocations of every key of its fingerprint. Scope and end date stay
/// each object's own.
pub fn share_revocations<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Vec<Key> {
    share_with(keys, &BTreeMap::new())
}

/// The same, with what is claimed against them elsewhere: in objects that cannot be used.
///
/// Of an object that cannot be used only what is bad about the key counts for others: its other parts,
/// such as a longer life, could give trust that nobody meant to give.
pub fn share_with<'a>(
    keys: impl IntoIterator<Item = &'a Key>,
    claimed: &BTreeMap<Fingerprint, ClaimedRevocations>,
) -> Vec<Key> {
    let mut keys: Vec<_> = keys.into_iter().cloned().collect();
    let mut all: BTreeMap<Fingerprint, Shared> = BTreeMap::new();
    // Those that can be used come first: the others contribute a certificate only where there is none.
    keys.sort_by_key(|key| key.unusable.is_some());
    for key in &keys {
        let shared = all.entry(key.fingerprint().clone());
        let shared = shared.or_insert_with(|| Shared {
            certificate: key.certificate.clone(),
            declared: Vec::new(),
        });
        shared.join(key);
    }
    for (fingerprint, claimed) in claimed {
        if let Some(shared) = all.get_mut(fingerprint) {
            shared.certificate = shared.certificate.with_claimed(claimed);
        }
    }
    for key in &mut keys {
        if let Some(shared) = all.get(key.fingerprint()) {
            key.certificate = shared.certificate.clone();
            key.revocations.clone_from(&shared.declared);
        }
    }
    keys
}

impl Shared {
    fn join(&mut self, key: &Key) {
        // Invariant: both are filed under one fingerprint, and only different ones do not join.
        let counts = key.unusable.is_none() || self.certificate.is_missing();
        if let (true, Ok(joined)) = (counts, self.certificate.union(&key.certificate)) {
            self.certificate = joined;
        }
        self.declared.extend(key.revocations.iter().cloned());
    }
}
