//! One certificate: a primary key and what it says about itself, verified once.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::acceptance::Lifespan;
use super::error::CertificateError;
use super::fingerprint::Fingerprint;
use super::keys::Key;
use super::revocation::{CertificateRevocation, KeyRevocation, Revoker, worst_proven};

/// An `OpenPGP` certificate, all signatures of which were checked when it was loaded.
///
/// Cheap to clone. Whether its keys may be used at some time is answered by
/// [`signature_validity`](super::signature_validity) and [`Certificate::summary`].
#[derive(Clone)]
pub struct Certificate(Arc<Parts>);

/// What a certificate consists of; only statements whose mathematics were checked.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) primary: Arc<Key>,
    pub(super) direct: Vec<SelfSignature>,
    pub(super) user_ids: Vec<UserId>,
    pub(super) subkeys: Vec<Subkey>,
    pub(super) revocations: Vec<KeyRevocation>,
    pub(super) revokers: Vec<Revoker>,
    /// An end of life that was learned elsewhere.
    pub(super) life_limit: Option<i64>,
}

#[derive(Debug, Clone)]
pub(super) struct UserId {
    pub(super) id: Vec<u8>,
    pub(super) signatures: Vec<SelfSignature>,
    pub(super) revoked: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Subkey {
    pub(super) key: Arc<Key>,
    pub(super) bindings: Vec<Binding>,
    pub(super) revocations: Vec<KeyRevocation>,
    /// Whether primary key and subkey have ever signed that they belong together, however weakly.
    pub(super) is_mutual: bool,
    pub(super) life_limit: Option<i64>,
}

/// A direct-key signature, a certification of a user ID, or the primary's part of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SelfSignature {
    pub(super) life: Lifespan,
    /// When the key that it is about expires.
    pub(super) key_expires: Option<i64>,
    pub(super) may_sign: Option<bool>,
    pub(super) is_primary_user_id: bool,
}

/// A subkey binding with the subkey's own confirmations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) own: SelfSignature,
    pub(super) back_signatures: Vec<Lifespan>,
}

impl Certificate {
    pub(super) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The certificate of a key whose material is gone or cannot be read.
    ///
    /// It makes no signature hold. But a signature that was verified before is still this key's, so that
    /// what is declared against the key still counts.
    pub fn missing(fingerprint: Fingerprint) -> Self {
        Self::new(Parts::new(Arc::new(Key::missing(fingerprint))))
    }

    /// Whether nothing but the fingerprint is known.
    pub fn is_missing(&self) -> bool {
        self.0.primary.is_missing()
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.0
    }

    /// The fingerprint of the primary key.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.0.primary.fingerprint
    }

    /// Every fingerprint that a signature by this certificate may name.
    pub fn key_fingerprints(&self) -> impl Iterator<Item = &Fingerprint> {
        self.keys().map(|key| &key.fingerprint)
    }

    /// Whether it names this key as a subkey, but the two have never signed that they belong together.
    ///
    /// A certificate can name anybody's key. Without the back-signature of the named key, what that key
    /// signed is not this certificate's, and nothing bad about this certificate is bad about it. Weak
    /// or ended signatures are enough here: they give no trust, but they hide no revocation either.
    pub fn names_without_consent(&self, fingerprint: &Fingerprint) -> bool {
        let mut subkeys = self.0.subkeys.iter();
        subkeys.any(|subkey| subkey.key.fingerprint == *fingerprint && !subkey.is_mutual)
    }

    /// The key whose packet ends with these numbers: which key it is, in whatever other form it is written.
    pub fn key_with(&self, numbers: &[u8]) -> Option<&Fingerprint> {
        let mut keys = self.keys();
        let key = keys.find(|key| !numbers.is_empty() && key.body.ends_with(numbers));
        key.map(|key| &key.fingerprint)
    }

    /// What is proven to revoke one of its keys: the worst of the revocations of the whole, and of those of a subkey.
    pub(crate) fn revocations_of(
        &self,
        key: &Fingerprint,
    ) -> impl Iterator<Item = CertificateRevocation> {
        let mut subkeys = self.0.subkeys.iter();
        let subkey = subkeys.find(|subkey| subkey.key.fingerprint == *key);
        let all = [
            Some(&self.0.revocations),
            subkey.map(|one| &one.revocations),
        ];
        let proven = all.into_iter().flatten().filter_map(|it| worst_proven(it));
        proven.map(KeyRevocation::public)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        let subkeys = self.0.subkeys.iter().map(|subkey| subkey.key.as_ref());
        std::iter::once(self.0.primary.as_ref()).chain(subkeys)
    }

    /// Everything that two copies of one certificate say; every revocation counts for both.
    ///
    /// For several `TrustedKey` objects with one fingerprint. Fails if the fingerprints differ.
    pub fn union(&self, other: &Self) -> Result<Self, CertificateError> {
        self.expect_same(other)?;
        if self.is_missing() {
            return Ok(other.clone());
        }
        if other.is_missing() {
            return Ok(self.clone());
        }
        let mut parts = self.parts().clone();
        parts.join(other.parts());
        Ok(Self::new(parts))
    }

    pub(super) fn expect_same(&self, other: &Self) -> Result<(), CertificateError> {
        if self.fingerprint() == other.fingerprint() {
            return Ok(());
        }
        let (expected, found) = (self.fingerprint().clone(), other.fingerprint().clone());
        Err(CertificateError::OtherKey { expected, found })
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Certificate({})", self.fingerprint())
    }
}

impl Parts {
    fn join(&mut self, other: &Self) {
        append_new(&mut self.direct, &other.direct);
        append_new_by(&mut self.revocations, &other.revocations, |one| {
            one.raw.clone()
        });
        self.life_limit = earlier(self.life_limit, other.life_limit);
        for user_id in &other.user_ids {
            self.join_user_id(user_id);
        }
        for subkey in &other.subkeys {
            self.join_subkey(subkey);
        }
        for revoker in &other.revokers {
            self.join_revoker(revoker);
        }
    }

    fn join_user_id(&mut self, other: &UserId) {
        let Some(own) = self.user_ids.iter_mut().find(|own| own.id == other.id) else {
            return self.user_ids.push(other.clone());
        };
        own.revoked |= other.revoked;
        append_new(&mut own.signatures, &other.signatures);
    }

    fn join_subkey(&mut self, other: &Subkey) {
        let same = |own: &&mut Subkey| own.key.fingerprint == other.key.fingerprint;
        let Some(own) = self.subkeys.iter_mut().find(same) else {
            return self.subkeys.push(other.clone());
        };
        append_new(&mut own.bindings, &other.bindings);
        append_new_by(&mut own.revocations, &other.revocations, |one| {
            one.raw.clone()
        });
        own.is_mutual |= other.is_mutual;
        own.life_limit = earlier(own.life_limit, other.life_limit);
    }

    fn join_revoker(&mut self, other: &Revoker) {
        let same = |own: &&mut Revoker| own.fingerprint == other.fingerprint;
        let Some(own) = self.revokers.iter_mut().find(same) else {
            return self.revokers.push(other.clone());
        };
        own.key = own.key.take().or_else(|| other.key.clone());
    }
}

/// The earlier of two ends, where none means never.
pub(super) fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

fn append_new<T: Clone + PartialEq>(own: &mut Vec<T>, others: &[T]) {
    for other in others {
        if !own.contains(other) {
            own.push(other.clone());
        }
    }
}

/// Appends those of `others` whose name is not there yet.
pub(super) fn append_new_by<T: Clone, N: Ord>(
    own: &mut Vec<T>,
    others: &[T],
    name: impl Fn(&T) -> N,
) {
    let mut seen: BTreeSet<N> = own.iter().map(&name).collect();
    own.extend(
        others
            .iter()
            .filter(|other| seen.insert(name(other)))
            .cloned(),
    );
}
