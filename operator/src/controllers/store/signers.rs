//! The signers of Sigstore: public keys and identities as they were read, and which releases have evidence of
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use charttrust_verify::bundles::{BundleFacts, BundleOutcome};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::sigstore::{
    ClaimedSigner, KnownIdentity, KnownPublicKey, SignerRecord, SigstoreSigners, VerifiedBundle,
};

use super::roots::FoundRoot;
use super::{Content, Reading, Release, Store, put};
use crate::api::{TrustedIdentity, TrustedKey};
use crate::inventory::ReleaseId;
use crate::parse::{self, KeyProblem, Problem};

/// A `TrustedKey` of type `PublicKey` as it was read.
#[derive(Clone, Debug)]
pub struct LoadedPublicKey {
    /// What was read.
    pub reading: Reading,
    /// The key that the object names, also where it cannot be used.
    pub fingerprint: Option<Sha256Digest>,
    /// What to judge by: the key, or what remains of it. `None` if not even the fingerprint is known.
    pub known: Option<KnownPublicKey>,
    /// Why it cannot be used.
    pub problem: Option<KeyProblem>,
    /// Why no key of this fingerprint is believed, whichever object lists it.
    pub doubt: Option<String>,
    /// Whether its trusted root is to be asked for again.
    pub waits_for_root: bool,
}

/// A `TrustedIdentity` as it was read.
#[derive(Clone, Debug)]
pub struct LoadedIdentity {
    /// What was read.
    pub reading: Reading,
    /// What to judge by: the identity, or what remains of it. `None` if it cannot be told who is meant.
    pub known: Option<KnownIdentity>,
    /// Why it cannot be used.
    pub problem: Option<String>,
    /// Whether its trusted root is to be asked for again.
    pub waits_for_root: bool,
    /// Whether a certificate of it says who has called the workflow.
    pub is_caller_told: bool,
}

impl LoadedPublicKey {
    /// What an object says.
    pub fn of(
        object: &TrustedKey,
        material: Result<&[u8], &KeyProblem>,
        found: FoundRoot,
        reading: Reading,
    ) -> Self {
        let read = match material {
            Ok(material) => parse::public_key(object, material, found.root),
            Err(problem) => Err(problem.clone()),
        };
        let (known, problem) = match read {
            Ok(known) => (Some(known), None),
            Err(problem) => {
                let remains = parse::public_key_remains(object, material.ok(), &problem);
                (remains, Some(problem))
            }
        };
        Self {
            reading,
            fingerprint: object.spec.fingerprint.parse().ok(),
            known,
            problem,
            doubt: None,
            waits_for_root: found.is_unanswered,
        }
    }
}

impl LoadedIdentity {
    /// What an object says, with what is wrong with its form if it does not have one.
    pub fn of(
        object: &TrustedIdentity,
        problem: Option<&str>,
        found: FoundRoot,
        reading: Reading,
    ) -> Self {
        let FoundRoot {
            root,
            is_unanswered,
        } = found;
        let read = match problem {
            None => parse::identity(object, root.clone()).map_err(|found| summary(&found)),
            Some(problem) => Err(problem.to_owned()),
        };
        let (known, problem) = match read {
            Ok(known) => (Some(known), None),
            Err(problem) => (
                parse::identity_remains(object, root, &problem),
                Some(problem),
            ),
        };
        Self {
            reading,
            known,
            problem,
            waits_for_root: is_unanswered,
            is_caller_told: parse::is_caller_told(object),
        }
    }

    /// One of which not even who is meant can be read.
    pub fn unreadable(problem: &str, reading: Reading) -> Self {
        Self {
            reading,
            known: None,
            problem: Some(problem.to_owned()),
            waits_for_root: false,
            is_caller_told: true,
        }
    }
}

fn summary(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// A signer of Sigstore, of whom a release may have evidence.
#[derive(Clone, Copy, Debug)]
pub enum Sought<'a> {
    /// An identity.
    Identity(&'a KnownIdentity),
    /// A public key.
    Key(Sha256Digest),
}

impl Sought<'_> {
    /// Whether a signature is known to be by it, whatever became of it. An attestation is none.
    pub fn has_signed(&self, bundle: &BundleFacts) -> bool {
        let verified = bundle.verified();
        verified.is_some_and(|it| it.record().kind.is_signature() && self.has_made(it))
    }

    fn has_made(&self, verified: &VerifiedBundle) -> bool {
        match (self, verified.signer()) {
            (Self::Identity(known), SignerRecord::Identity(record)) => {
                known.identity.matches(record).is_ok() && known.may_be(verified.record())
            }
            (Self::Key(key), SignerRecord::Key(by)) => key == by,
            (Self::Identity(_), SignerRecord::Key(_))
            | (Self::Key(_), SignerRecord::Identity(_)) => false,
        }
    }

    /// Whether a verdict, or what is found besides, may change with it: a signature is by it, or says so, or may be
    /// by it.
    fn concerns(&self, bundle: &BundleFacts) -> bool {
        let claimed = match (self, &bundle.claimed) {
            (Self::Identity(known), Some(ClaimedSigner::Identity { issuer, subject })) => {
                known.identity.is_named(issuer, subject)
            }
            (Self::Key(key), Some(ClaimedSigner::Key)) => match &bundle.outcome {
                BundleOutcome::Fault { key: by, .. } => by.is_none_or(|by| by == *key),
                BundleOutcome::Open => true,
                BundleOutcome::Unreadable { .. } | BundleOutcome::Verified(_) => false,
            },
            _ => false,
        };
        let verified = bundle.verified();
        claimed || verified.is_some_and(|verified| self.has_made(verified))
    }
}

impl Store {
    /// Takes in what a `TrustedKey` of type `PublicKey` was read as; `None` if it is gone. Returns what it was.
    pub fn set_public_key(
        &self,
        name: &str,
        key: Option<LoadedPublicKey>,
    ) -> Option<LoadedPublicKey> {
        let mut trust = self.trust.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = (*trust.public_keys).clone();
        let before = put(&mut all, name, key);
        trust.public_keys = Arc::new(all);
        trust.sigstore = Arc::new(signers_to_judge_by(&trust.public_keys, &trust.identities));
        before
    }

    /// Takes in what a `TrustedIdentity` was read as; `None` if it is gone. Returns what it was.
    pub fn set_identity(
        &self,
        name: &str,
        identity: Option<LoadedIdentity>,
    ) -> Option<LoadedIdentity> {
        let mut trust = self.trust.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = (*trust.identities).clone();
        let before = put(&mut all, name, identity);
        trust.identities = Arc::new(all);
        trust.sigstore = Arc::new(signers_to_judge_by(&trust.public_keys, &trust.identities));
        before
    }

    /// The releases with a verified signature by a signer, whatever became of it.
    pub fn signed_by(&self, signer: Sought<'_>) -> BTreeSet<ReleaseId> {
        self.those_of(|release| release.bundles().any(|bundle| signer.has_signed(bundle)))
    }

    /// The releases whose verdict may change with a signer: those with a signature by it, or one that says so
    /// and that nobody could verify.
    pub fn concerned_by(&self, signer: Sought<'_>) -> BTreeSet<ReleaseId> {
        self.those_of(|release| release.bundles().any(|bundle| signer.concerns(bundle)))
    }
}

impl Content {
    /// The Sigstore signatures of all archives that it may come from, and of their subcharts.
    pub fn bundles(&self) -> impl Iterator<Item = &BundleFacts> {
        let archives = self.evidence.all_archives();
        let bundles = archives.filter_map(|facts| facts.bundles.as_deref());
        bundles.flat_map(|bundles| &bundles.signatures)
    }
}

impl Release {
    /// The Sigstore signatures of all archives that its contents may come from, and of their subcharts.
    pub(super) fn bundles(&self) -> impl Iterator<Item = &BundleFacts> {
        self.contents().flat_map(Content::bundles)
    }

    /// Names of the objects by whose signers it has verified signatures, of those that are known.
    pub fn sigstore_signers(&self, signers: &SigstoreSigners) -> BTreeSet<String> {
        if signers.is_empty() {
            return BTreeSet::new();
        }
        let keys = signers.keys.iter().map(|key| {
            let sought = Sought::Key(key.trusted.fingerprint);
            (&key.trusted.name, sought)
        });
        let identities = signers.identities.iter();
        let identities = identities.map(|it| (&it.identity.name, Sought::Identity(it)));
        let has = |sought: &Sought<'_>| self.bundles().any(|bundle| sought.has_signed(bundle));
        let all = keys.chain(identities);
        all.filter(|(_, sought)| has(sought))
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// Everybody to judge by. Every revocation counts for all objects of a key, that of an unusable object too.
/// What an unusable object says approves of nothing, but stays known.
fn signers_to_judge_by(
    keys: &BTreeMap<String, LoadedPublicKey>,
    identities: &BTreeMap<String, LoadedIdentity>,
) -> SigstoreSigners {
    let mut known: Vec<_> = keys.values().filter_map(|it| it.known.clone()).collect();
    parse::share_public_revocations(&mut known);
    for loaded in keys.values() {
        let doubted = loaded.fingerprint.zip(loaded.doubt.as_ref());
        let Some((fingerprint, doubt)) = doubted else {
            continue;
        };
        let same = known.iter_mut();
        let same = same.filter(|key| key.trusted.fingerprint == fingerprint);
        for key in same {
            key.unusable.get_or_insert_with(|| doubt.clone());
        }
    }
    let identities = identities.values().filter_map(|it| it.known.clone());
    SigstoreSigners {
        keys: known,
        identities: identities.collect(),
    }
}
