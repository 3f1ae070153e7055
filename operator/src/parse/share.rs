//! Several objects of one fingerprint: every revocation counts for all of them.

use std::collections::BTreeMap;

use charttrust_verify::key::{Key, OwnRevocation};
use charttrust_verify::openpgp::{Certificate, Fingerprint};

/// The keys, each with the revocations of every key of its fingerprint. Scope and end date stay
/// each object's own.
pub fn share_revocations<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Vec<Key> {
    let mut keys: Vec<_> = keys.into_iter().cloned().collect();
    let mut shared: BTreeMap<Fingerprint, (Certificate, Vec<OwnRevocation>)> = BTreeMap::new();
    for key in &keys {
        let (certificate, revocations) = shared
            .entry(key.fingerprint().clone())
            .or_insert_with(|| (key.certificate.clone(), Vec::new()));
        // Invariant: both are filed under one fingerprint, and only different ones do not join.
        if let Ok(joined) = certificate.union(&key.certificate) {
            *certificate = joined;
        }
        revocations.extend(key.revocations.iter().cloned());
    }
    for key in &mut keys {
        if let Some((certificate, revocations)) = shared.get(key.fingerprint()) {
            (key.certificate, key.revocations) = (certificate.clone(), revocations.clone());
        }
    }
    keys
}

/// Adds a revocation that an unusable object declares to every key of its fingerprint.
pub fn add_revocation(keys: &mut [Key], fingerprint: &Fingerprint, revocation: &OwnRevocation) {
    for key in keys
        .iter_mut()
        .filter(|key| key.fingerprint() == fingerprint)
    {
        key.revocations.push(revocation.clone());
    }
}
