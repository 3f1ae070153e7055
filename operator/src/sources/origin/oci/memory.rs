//! What is remembered of registries.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use charttrust_verify::digest::Sha256Digest;
use reqwest::Url;
use tokio::time::Instant;

use super::challenge::Bearer;
use super::manifest::Chart;
use super::token::Tokens;
use crate::sources::credentials::Fingerprint;
use crate::sources::singleflight::Cache;

/// What is remembered of all registries.
pub(in crate::sources) struct Registries {
    logins: Memory<Fingerprint, Login>,
    pub(super) resolved: Cache<Resolved>,
    transports: Memory<String, Transport>,
    pub(super) tokens: Tokens,
    /// Since when repositories are known that have no list of referrers.
    without_referrers: Memory<Fingerprint, Instant>,
}

/// What a tag stood for.
#[derive(Clone)]
pub(super) struct Resolved {
    pub(super) chart: Chart,
    pub(super) digest: Sha256Digest,
    /// Whether the chart is of another manifest, which was asked for, or was to be.
    pub(super) is_moved: bool,
    pub(super) tag: String,
}

/// How to log in, as the registry has said to one identity.
#[derive(Clone)]
pub(super) enum Login {
    /// With the credentials as they are.
    AsTheyAre,
    /// With a token.
    Token(Bearer),
}

/// How a registry speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Plain,
    Tls,
}

impl Registries {
    /// Remembers what this many tags stand for.
    pub(in crate::sources) fn new(entries: usize) -> Self {
        Self {
            logins: Memory::default(),
            resolved: Cache::new(entries, usize::MAX),
            transports: Memory::default(),
            tokens: Tokens::new(),
            without_referrers: Memory::default(),
        }
    }

    /// Whether a repository may have a list of referrers: proxies and services learn to keep one.
    pub(super) fn may_list_referrers(&self, repository: &Fingerprint, now: Instant) -> bool {
        let since = self.without_referrers.find(repository);
        since.is_none_or(|since| now.saturating_duration_since(since) >= DAY)
    }

    pub(super) fn note_no_referrers(&self, repository: Fingerprint, now: Instant) {
        self.without_referrers.keep(repository, now);
    }

    pub(super) fn login(&self, identity: &Fingerprint) -> Option<Login> {
        self.logins.find(identity)
    }

    pub(super) fn remember_login(&self, identity: Fingerprint, login: Login) {
        self.logins.keep(identity, login);
    }

    pub(super) fn forget_login(&self, identity: &Fingerprint) {
        self.logins.forget(identity);
    }

    pub(super) fn transport(&self, registry: &Url) -> Option<Transport> {
        self.transports
            .find(&registry.origin().ascii_serialization())
    }

    pub(super) fn remember_transport(&self, registry: &Url, transport: Transport) {
        let registry = registry.origin().ascii_serialization();
        self.transports.keep(registry, transport);
    }

    pub(super) fn forget_transport(&self, registry: &Url) {
        self.transports
            .forget(&registry.origin().ascii_serialization());
    }
}

/// A bounded map: when it is full, it begins anew. What it holds is found out again by one request.
struct Memory<K, V>(Mutex<HashMap<K, V>>);

impl<K: Eq + std::hash::Hash, V: Clone> Memory<K, V> {
    fn find(&self, key: &K) -> Option<V> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(key).cloned()
    }

    fn keep(&self, key: K, value: V) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= MOST_REGISTRIES && !map.contains_key(&key) {
            map.clear();
        }
        map.insert(key, value);
    }

    fn forget(&self, key: &K) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.remove(key);
    }
}

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// Registries and identities remembered; more than any cluster has.
const MOST_REGISTRIES: usize = 1024;

/// For how long a repository is taken to have no list of referrers.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_taken_to_have_no_list_of_referrers_for_a_day() {
        let (registries, now) = (Registries::new(1), Instant::now());
        let (one, other) = ([1; 32], [2; 32]);
        registries.note_no_referrers(one, now);
        let may = |repository, seconds| {
            registries.may_list_referrers(repository, now + Duration::from_secs(seconds))
        };
        assert!(!may(&one, 0) && !may(&one, 24 * 60 * 60 - 1));
        assert!(may(&one, 24 * 60 * 60) && may(&other, 0));
    }
}
