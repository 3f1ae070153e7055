//! Sigstore signatures of an archive: what is known of them, gathered from a source and judged without it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::digest::Sha256Digest;
use crate::finding::bounded;
use crate::moment::next_second;
use crate::place::Place;
use crate::sigstore::limits::BUNDLES;
use crate::sigstore::{
    Artifact, BundleError, ClaimedBundle, ClaimedSigner, Code, Fault, KnownPublicKey, Means,
    NotProven, Root, Said, SignerRecord, SigstoreSigners, SimpleSignature, TrustedRoot,
    VerifiedBundle, verify,
};
use crate::verdict::Cause;

/// The Sigstore signatures of one archive.
#[derive(Clone, Debug, Default)]
pub struct Bundles {
    /// Those that were looked at, in the order of the source.
    pub signatures: Vec<BundleFacts>,
    /// Why there may be more than those.
    pub incomplete: Option<(Cause, String)>,
    /// Who served them.
    pub place: Place,
}

/// The manifest by which a registry has an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestFacts {
    /// Digest of its bytes.
    pub digest: Sha256Digest,
    /// Digest of its layer with the chart, as it says.
    pub layer: Sha256Digest,
}

/// One signature, and what trying everybody who is known on it showed.
#[derive(Clone, Debug)]
pub struct BundleFacts {
    /// Digest of its bytes: which one it is.
    pub digest: Sha256Digest,
    /// What it is about, where that is not the archive itself.
    pub manifest: Option<ManifestFacts>,
    /// Who it says has signed.
    pub claimed: Option<ClaimedSigner>,
    /// What is known of it.
    pub outcome: BundleOutcome,
    /// When this operator first verified it.
    pub first_verified: Option<Timestamp>,
    /// The bundle, while we still hold it: somebody who is declared later can then be tried without a look.
    pub bundle: Option<Arc<ClaimedBundle>>,
}

/// What trying everybody who is known on a signature showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleOutcome {
    /// It does not hold.
    Fault {
        /// The key that has made it, or is said to have.
        key: Option<Sha256Digest>,
        /// What is wrong.
        code: Code,
        /// What exactly.
        message: String,
    },
    /// Nobody who is known could have made it.
    Open,
    /// No bundle, or one that is not read.
    Unreadable {
        /// The word of a verdict.
        said: Said,
        /// What is wrong.
        message: String,
    },
    /// It holds. Whether it counts depends on who signed.
    Verified(Box<VerifiedBundle>),
}

impl Bundles {
    /// Those that lie beside an archive, about the archive itself.
    pub fn beside(signatures: Vec<BundleFacts>) -> Self {
        Self::of(signatures, None)
    }

    /// What was found, and why there may be more. What is more than is looked at is more.
    pub fn of(mut signatures: Vec<BundleFacts>, incomplete: Option<(Cause, String)>) -> Self {
        let (count, limit) = (signatures.len(), BUNDLES);
        signatures.truncate(limit);
        let message = || format!("there are {count}, and no more than {limit} are looked at");
        let incomplete = incomplete.map(|(cause, message)| (cause, bounded(&message)));
        Self {
            signatures,
            incomplete: incomplete
                .or_else(|| (count > limit).then(|| (Cause::LimitExceeded, message()))),
            ..Self::default()
        }
    }

    /// The same, served by this place.
    #[must_use]
    pub fn served_by(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Whether the source did not say what there is, and may the next time.
    pub fn is_silent(&self) -> bool {
        matches!(self.incomplete, Some((Cause::SourceUnavailable, _)))
    }

    /// Whether any of them holds.
    pub fn has_verified(&self) -> bool {
        self.signatures.iter().any(|one| one.verified().is_some())
    }

    /// With what a later look has shown: the bytes of those that are known, and those that are new. What is
    /// there no more stays known as long as there is room, and what somebody who is known has made whatever the
    /// room: else whoever could write beside an archive once would fill it for ever. That not all could be looked
    /// at is no news where all were before.
    pub(crate) fn joined(&self, later: &Self, signers: &SigstoreSigners) -> Self {
        let again = |digest: Sha256Digest| later.signatures.iter().find(|it| it.digest == digest);
        let known = self.signatures.iter().map(|one| {
            let shown = again(one.digest).and_then(|it| it.bundle.clone());
            BundleFacts {
                bundle: shown.or_else(|| one.bundle.clone()),
                ..one.clone()
            }
        });
        let digests: BTreeSet<_> = self.signatures.iter().map(|one| one.digest).collect();
        let new = later.signatures.iter();
        let new = new.filter(|it| !digests.contains(&it.digest)).cloned();
        let is_shown = digests.iter().all(|digest| again(*digest).is_some());
        let place = match (digests.is_empty(), is_shown) {
            (true, _) => later.place,
            (false, true) => self.place.min(later.place),
            (false, false) => self.place,
        };
        let mut signatures: Vec<_> = known.chain(new).collect();
        if signatures.len() > BUNDLES {
            signatures.sort_by_key(|one| {
                let is_made = one.verified().is_some_and(|it| signers.have_made(it));
                (!is_made, again(one.digest).is_none())
            });
            signatures.truncate(BUNDLES);
        }
        Self {
            signatures,
            incomplete: self.incomplete.as_ref().and(later.incomplete.clone()),
            place,
        }
    }

    /// The same, with what is known of each of them. What only a mirror has shown is not there any more: it would
    /// keep what the source shows from proving anything.
    pub(crate) fn knowing(&self, known: &Self) -> Self {
        let signatures = self.signatures.iter().map(|one| {
            let mut known = known.signatures.iter();
            match known.find(|it| it.digest == one.digest) {
                Some(known) => BundleFacts {
                    bundle: one.bundle.clone().or_else(|| known.bundle.clone()),
                    ..known.clone()
                },
                None => one.clone(),
            }
        });
        Self {
            signatures: signatures.collect(),
            ..self.clone()
        }
    }

    /// Whether another look has shown more than this.
    pub(crate) fn is_less_than(&self, joined: &Self) -> bool {
        let bytes = |it: &Self| {
            it.signatures
                .iter()
                .filter(|one| one.bundle.is_some())
                .count()
        };
        let of = |it: &Self| (bytes(it), it.place, it.incomplete.clone());
        of(self) != of(joined) || joined.has_others_than(self)
    }

    /// Whether it has any that the other has not.
    pub(crate) fn has_others_than(&self, other: &Self) -> bool {
        let has = |digest| other.signatures.iter().any(|it| it.digest == digest);
        self.signatures.iter().any(|one| !has(one.digest))
    }

    /// Tries everybody who is known on the signatures that nobody could explain yet. Returns whether
    /// anything was found out.
    pub(crate) fn try_signers(
        &mut self,
        archive: Sha256Digest,
        signers: &SigstoreSigners,
        now: Timestamp,
    ) -> bool {
        let mut found = false;
        for signature in &mut self.signatures {
            let artifact = signature.artifact(archive);
            found |= signature.try_signers(Artifact::Digest(artifact), signers, now);
        }
        found
    }
}

impl BundleFacts {
    /// Reads a bundle. Nothing in it is believed yet.
    pub fn read(bytes: &[u8]) -> Self {
        Self::of(Sha256Digest::of(bytes), ClaimedBundle::parse(bytes))
    }

    /// Reads a signature of the older form. Many may have the same payload: the digest is of its annotations as
    /// well.
    pub fn read_simple(signature: &SimpleSignature<'_>) -> Self {
        let annotations = signature.annotations.iter();
        let texts = annotations.flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]);
        let mut all = Vec::new();
        for bytes in std::iter::once(signature.payload).chain(texts) {
            all.extend_from_slice(Sha256Digest::of(bytes).as_bytes());
        }
        Self::of(Sha256Digest::of(&all), signature.parse())
    }

    /// Of a signature that was read, with a digest by which it can be told from others.
    pub fn of(digest: Sha256Digest, read: Result<ClaimedBundle, BundleError>) -> Self {
        let (outcome, bundle) = match read {
            Ok(bundle) => (BundleOutcome::Open, Some(Arc::new(bundle))),
            Err(error) => {
                let (said, message) = (error.said(), bounded(&error.to_string()));
                (BundleOutcome::Unreadable { said, message }, None)
            }
        };
        Self {
            digest,
            manifest: None,
            claimed: bundle.as_deref().map(ClaimedBundle::claimed_signer),
            outcome,
            first_verified: None,
            bundle,
        }
    }

    /// The same, about the manifest by which a registry has the archive.
    #[must_use]
    pub fn of_manifest(mut self, manifest: ManifestFacts) -> Self {
        self.manifest = Some(manifest);
        self
    }

    /// What it has to be of, so that it is a signature of this archive.
    fn artifact(&self, archive: Sha256Digest) -> Sha256Digest {
        self.manifest.map_or(archive, |manifest| manifest.digest)
    }

    /// Whether a signature of this artifact is one of the archive.
    pub(crate) fn binds(&self, artifact: Sha256Digest, archive: Sha256Digest) -> bool {
        let layer = self.manifest.map_or(archive, |manifest| manifest.layer);
        self.artifact(archive) == artifact && layer == archive
    }

    /// Its verified facts, if it holds.
    pub fn verified(&self) -> Option<&VerifiedBundle> {
        match &self.outcome {
            BundleOutcome::Verified(verified) => Some(verified),
            BundleOutcome::Fault { .. }
            | BundleOutcome::Open
            | BundleOutcome::Unreadable { .. } => None,
        }
    }

    /// Its verified facts, if it is a signature of this archive: one of something else is none, and neither is an
    /// attestation.
    pub fn signature_of(&self, archive: Sha256Digest) -> Option<&VerifiedBundle> {
        let verified = self.verified()?;
        let record = verified.record();
        let is_one = record.kind.is_signature() && self.binds(record.artifact, archive);
        is_one.then_some(verified)
    }

    /// Tries everybody who is known on it. With the bytes of the artifact more kinds of keys can be tried
    /// than with its digest. Returns whether anything was found out.
    pub fn try_signers(
        &mut self,
        artifact: Artifact<'_>,
        signers: &SigstoreSigners,
        now: Timestamp,
    ) -> bool {
        if !self.is_open() && !self.is_unstamped(signers) {
            return false;
        }
        let Some(bundle) = &self.bundle else {
            return false;
        };
        let outcome = if bundle.is_keyed() {
            by_keys(bundle, artifact, &signers.keys)
        } else {
            by_roots(bundle, artifact, &signers.roots())
        };
        if self.verified().is_some() && !outcome.proves_more_than(&self.outcome) {
            return false;
        }
        let found = outcome != self.outcome;
        self.outcome = outcome;
        if self.verified().is_some() {
            self.first_verified.get_or_insert(next_second(now));
        }
        found
    }

    /// Whether somebody asks for a stamp of its certificate for which the root that has verified it did not.
    fn is_unstamped(&self, signers: &SigstoreSigners) -> bool {
        let mut identities = signers.identities.iter();
        self.verified()
            .is_some_and(|it| identities.any(|one| one.asks_for_stamp(it.record())))
    }

    /// Whether somebody else, or the same with another root, may show more of it.
    pub(crate) fn is_open(&self) -> bool {
        match &self.outcome {
            BundleOutcome::Fault { .. } | BundleOutcome::Open => true,
            BundleOutcome::Unreadable { .. } => false,
            BundleOutcome::Verified(verified) => {
                let unproven = &verified.record().not_proven;
                unproven
                    .iter()
                    .any(|it| matches!(it, NotProven::NoRoot | NotProven::UnknownAuthority(_)))
            }
        }
    }

    /// Whether somebody who is known, tried on its bytes, may show more of it than is known.
    pub(crate) fn may_be_of(&self, signers: &SigstoreSigners) -> bool {
        let by_key = |is_one: &dyn Fn(&KnownPublicKey) -> bool| {
            let mut keys = signers.keys.iter().filter(|one| one.key.is_some());
            keys.any(is_one)
        };
        match (&self.outcome, &self.claimed) {
            (BundleOutcome::Unreadable { .. }, _) => false,
            (BundleOutcome::Verified(verified), _) => {
                let record = verified.record();
                let may_prove = |one: &KnownPublicKey| {
                    let root = one.root.as_ref().and_then(Root::known);
                    let is_other = root.is_some_and(|root| Some(root.digest()) != record.root);
                    record.signer == SignerRecord::Key(one.trusted.fingerprint) && is_other
                };
                (self.is_open() && by_key(&may_prove)) || self.is_unstamped(signers)
            }
            (_, Some(ClaimedSigner::Identity { issuer, subject })) => {
                let mut identities = signers.identities.iter();
                identities
                    .any(|one| one.root.known().is_some() && one.identity.is_named(issuer, subject))
            }
            (_, Some(ClaimedSigner::Key)) => by_key(&|_| true),
            (_, Some(ClaimedSigner::Unreadable) | None) => false,
        }
    }
}

impl BundleOutcome {
    /// Whether it holds, and more is proven of it.
    fn proves_more_than(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Verified(new), Self::Verified(old)) => proven(new) > proven(old),
            (Self::Verified(_), _) => true,
            (Self::Fault { .. } | Self::Open | Self::Unreadable { .. }, _) => false,
        }
    }
}

/// How much is proven of a signature.
fn proven(facts: &VerifiedBundle) -> (usize, usize, bool) {
    let record = facts.record();
    (record.times.len(), record.logs.len(), record.is_stamped())
}

/// Tries every key; of objects of one key, the one whose root proves the most.
fn by_keys(
    bundle: &ClaimedBundle,
    artifact: Artifact<'_>,
    keys: &[KnownPublicKey],
) -> BundleOutcome {
    let (mut verified, mut faults) = (Vec::new(), Vec::new());
    for known in keys {
        let Some(key) = &known.key else { continue };
        let root = known.root.as_ref().and_then(Root::known);
        match verify(bundle, artifact, Means::Key(key, root.map(Arc::as_ref))) {
            Ok(facts) => verified.push(facts),
            Err(fault) if is_by(&fault, bundle, known) => {
                faults.push((known.trusted.fingerprint, fault));
            }
            Err(_) => {}
        }
    }
    let rank = |facts: &VerifiedBundle| (proven(facts), facts.record().root);
    if let Some(facts) = verified.into_iter().max_by_key(rank) {
        return BundleOutcome::Verified(Box::new(facts));
    }
    let worst = faults
        .into_iter()
        .min_by_key(|(key, fault)| (*key, fault.code().word()));
    worst.map_or(BundleOutcome::Open, |(key, fault)| {
        of_fault(Some(key), &fault)
    })
}

/// Whether a fault is that of a signature by this key. Of a signature that the key does not verify, only
/// the bundle says whose it is.
fn is_by(fault: &Fault, bundle: &ClaimedBundle, key: &KnownPublicKey) -> bool {
    match fault.code() {
        Code::Malformed | Code::OtherSigner | Code::SignatureInvalid | Code::Unsupported => {
            bundle.claimed_key() == Some(key.trusted.fingerprint)
        }
        _ => true,
    }
}

/// Tries every root. What is wrong by one that knows the authority says more than that others do not.
fn by_roots(
    bundle: &ClaimedBundle,
    artifact: Artifact<'_>,
    roots: &[&Arc<TrustedRoot>],
) -> BundleOutcome {
    let mut faults = Vec::new();
    for root in roots {
        match verify(bundle, artifact, Means::Identity(root)) {
            Ok(facts) => return BundleOutcome::Verified(Box::new(facts)),
            Err(fault) => faults.push(fault),
        }
    }
    let first = faults
        .iter()
        .min_by_key(|fault| fault.code() == Code::AuthorityUnknown);
    first.map_or(BundleOutcome::Open, |fault| of_fault(None, fault))
}

fn of_fault(key: Option<Sha256Digest>, fault: &Fault) -> BundleOutcome {
    BundleOutcome::Fault {
        key,
        code: fault.code(),
        message: fault.detail().to_owned(),
    }
}
