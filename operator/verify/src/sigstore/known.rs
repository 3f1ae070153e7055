//! Whom somebody has declared: identities and public keys, with the root by which each is believed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::identity::Identity;
use super::public_key::PublicKey;
use super::root::TrustedRoot;
use super::standing::TrustedPublicKey;
use super::verified::{BundleRecord, SignerRecord, VerifiedBundle};
use crate::digest::Sha256Digest;
use crate::key::{DeclaredRevocation, Grandfather, HardRevocation, RevokedBy};
use crate::openpgp::{Certificate, Fingerprint};

/// Everybody whose Sigstore signatures are known. Empty where nobody uses Sigstore.
#[derive(Clone, Debug, Default)]
pub struct SigstoreSigners {
    /// Public keys.
    pub keys: Vec<KnownPublicKey>,
    /// Identities.
    pub identities: Vec<KnownIdentity>,
}

/// By whose word the signatures of a signer are believed.
#[derive(Clone, Debug)]
pub enum Root {
    /// This one's.
    Known(Arc<TrustedRoot>),
    /// Nobody's: why.
    Unknown(String),
}

/// A `TrustedIdentity`, ready to judge by.
#[derive(Clone, Debug)]
pub struct KnownIdentity {
    /// Who it is.
    pub identity: Identity,
    /// Labels of the object, for `identitySelector`.
    pub labels: BTreeMap<String, String>,
    /// Who says that it is.
    pub root: Root,
    /// Why it can approve of nothing now. What it revokes is void all the same.
    pub unusable: Option<String>,
}

/// A `TrustedKey` of type `PublicKey`, ready to judge by.
#[derive(Clone, Debug)]
pub struct KnownPublicKey {
    /// Which key it is, and what became of it.
    pub trusted: TrustedPublicKey,
    /// Labels of the object, for `keySelector`.
    pub labels: BTreeMap<String, String>,
    /// The key itself, if it can be read.
    pub key: Option<PublicKey>,
    /// By which root logs and timestamps are checked, if by any.
    pub root: Option<Root>,
    /// Why it can approve of nothing now.
    pub unusable: Option<String>,
}

impl SigstoreSigners {
    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.identities.is_empty()
    }

    /// Every root of an identity once, in an order that depends on nothing but the roots: those first that ask for
    /// stamps of logs of certificates, as what they find is enough for the others too.
    pub fn roots(&self) -> Vec<&Arc<TrustedRoot>> {
        let all = self.identities.iter().filter_map(|one| one.root.known());
        let all = all.map(|root| ((!root.asks_for_stamps(), root.digest()), root));
        let by_digest: BTreeMap<(bool, Sha256Digest), _> = all.collect();
        by_digest.into_values().collect()
    }
}

impl SigstoreSigners {
    /// Whether one of them has made a signature: by a name that it may have, or by a key.
    pub(crate) fn have_made(&self, verified: &VerifiedBundle) -> bool {
        let record = verified.record();
        match &record.signer {
            SignerRecord::Identity(identity) => self
                .identities
                .iter()
                .any(|one| one.may_be(record) && one.identity.matches(identity).is_ok()),
            SignerRecord::Key(key) => self.keys.iter().any(|one| one.trusted.fingerprint == *key),
        }
    }
}

impl Root {
    /// The root, if there is one.
    pub fn known(&self) -> Option<&Arc<TrustedRoot>> {
        match self {
            Self::Known(root) => Some(root),
            Self::Unknown(_) => None,
        }
    }
}

impl KnownIdentity {
    /// What it is called among the signers that are revoked: by its object, whatever it matches.
    pub fn signer_id(&self) -> Fingerprint {
        let named = format!("TrustedIdentity/{}", self.identity.name);
        Fingerprint::of_digest(&Sha256Digest::of(named.as_bytes()))
    }

    /// What a verdict of badness by it rests on. Windows and archives may be corrected; it is the same
    /// revocation as long as its reason is.
    pub fn hard_revocation(&self) -> Option<HardRevocation> {
        let revocation = self.identity.revocation.as_ref();
        let revocation = revocation.filter(|revocation| revocation.is_hard())?;
        Some(HardRevocation {
            fingerprint: self.signer_id(),
            by: RevokedBy::Declared(DeclaredRevocation {
                declared_by: self.identity.name.clone(),
                reason: revocation.reason(),
                since: None,
                grandfather: Grandfather::Never,
            }),
        })
    }

    /// Whether a verified certificate may be one of this identity: of an authority of its root, or of any
    /// where that cannot be told. Whoever has the same name by the word of others is somebody else. Logs and stamps
    /// say no names, and whoever signs chooses them.
    pub fn may_be(&self, record: &BundleRecord) -> bool {
        self.root
            .known()
            .is_none_or(|root| root.lacks_issuer(record).is_none())
    }

    /// Whether its root asks for a stamp of a signature of this identity, and the root that has verified it did not.
    pub(crate) fn asks_for_stamp(&self, record: &BundleRecord) -> bool {
        let SignerRecord::Identity(identity) = &record.signer else {
            return false;
        };
        let root = self.root.known();
        let is_asking = root.is_some_and(|root| root.lacks_stamp(record));
        is_asking && self.may_be(record) && self.identity.matches(identity).is_ok()
    }
}

impl KnownPublicKey {
    /// Which key of a certificate of `OpenPGP` it is, if it is one: one secret in two forms.
    pub fn form_in<'c>(&self, certificate: &'c Certificate) -> Option<&'c Fingerprint> {
        let numbers = self.key.as_ref()?.openpgp_numbers()?;
        certificate.key_with(numbers)
    }

    /// The bundle as this key's root has it: of whom that has removed, nothing is believed any more.
    pub fn seen(&self, bundle: &VerifiedBundle) -> VerifiedBundle {
        let root = self.root.as_ref().and_then(Root::known);
        match root {
            Some(root) if root.lacks(bundle.record()).is_some() => bundle.without_testimony(),
            Some(_) | None => bundle.clone(),
        }
    }
}
