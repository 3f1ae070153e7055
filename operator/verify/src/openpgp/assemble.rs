//! From packets to certificates: every statement is checked once, here (RFC 9580 section 10.1).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::acceptance::accept;
use super::budget::Budget;
use super::certificate::{Binding, Certificate, Parts, SelfSignature, Subkey, UserId};
use super::crypto::Maths;
use super::error::CertificateError;
use super::fingerprint::Fingerprint;
use super::keys::Key;
use super::material;
use super::material::{
    ClaimedCertificate, ClaimedRevocation, ClaimedSubkey, ClaimedUserId, FoundIn, Material,
};
use super::revocation::{Authority, KeyRevocation, Place, Revoker};
use super::signature::{
    BACK_SIGNATURE, CERTIFICATION_REVOCATION, DIRECT_KEY, FIRST_CERTIFICATION, LAST_CERTIFICATION,
    SUBKEY_BINDING, Signature, SignaturePacket,
};

/// Loads the certificate whose primary key has the pinned fingerprint.
///
/// `material` is armored, in one or several blocks, or binary. Copies of the certificate are put
/// together, and revocations of it are found in any place. Each of `revocation_certificates` must
/// revoke it.
///
/// Fails if any part of the material cannot be read, because that part may be the revocation. Keys of
/// other versions than 4 and 6 are skipped: a revocation of the pinned key among them still counts.
pub fn load(
    material: &[u8],
    pinned: &Fingerprint,
    revocation_certificates: &[&[u8]],
) -> Result<Certificate, CertificateError> {
    let material = Material::read(material)?;
    // One budget for the certificate with all that is given beside it: a second file is no second
    // allowance.
    let mut budget = Budget::new();
    let mut parts = assemble(&material, pinned, &mut budget)?;
    for (number, bytes) in (1..).zip(revocation_certificates) {
        let revocations = Material::read(bytes)?;
        let before = parts.revocation_count();
        let repeated = add_revocations(&mut parts, &revocations, &mut budget)?;
        // Whoever gives a revocation certificate of another key would believe that this one is
        // revoked.
        if parts.revocation_count() == before && !repeated {
            return Err(CertificateError::RevocationOfOtherKey { number });
        }
    }
    Ok(Certificate::new(parts))
}

/// What a piece of key material, or a bare revocation certificate, says against keys; nothing of it is
/// verified.
///
/// Reads whatever can be read: a file that is damaged elsewhere, or that holds no usable key, may carry
/// a revocation nevertheless, and one that is overlooked gives a thief time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimedRevocations(BTreeSet<Vec<u8>>);

impl ClaimedRevocations {
    /// Those that stand in these bytes.
    pub fn read(bytes: &[u8]) -> Self {
        Self(material::revocation_packets(bytes).collect())
    }

    /// Adds those that stand elsewhere.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Certificate {
    /// The certificate with those of the revocations that are its own. One that cannot be checked counts
    /// only if it names this key as its issuer: whoever wrote it need not be the owner.
    #[must_use]
    pub fn with_claimed(&self, claimed: &ClaimedRevocations) -> Self {
        let mut parts = self.parts().clone();
        for packet in &claimed.0 {
            // Each has a budget of its own, so that no flood of others uses up what it needs; there are
            // no more of them than packets that are read.
            let material = Material::of_revocations([packet.clone()], &FoundIn::Foreign);
            // Invariant: one packet does not exceed the budget of a certificate.
            let _ = add_revocations(&mut parts, &material, &mut Budget::new());
        }
        Self::new(parts)
    }
}

/// Loads every certificate of the material, for key files that no `TrustedKey` describes.
///
/// Fails as [`load`] does.
pub fn load_all(material: &[u8]) -> Result<Vec<Certificate>, CertificateError> {
    let material = Material::read(material)?;
    let names = material
        .certificates
        .iter()
        .map(|claimed| claimed.fingerprint().clone());
    let mut certificates = Vec::new();
    // By fingerprint and not by place: a file that was put together from two exports has the key
    // twice, and the revocation in one of them.
    for fingerprint in names.collect::<BTreeSet<_>>() {
        let parts = assemble(&material, &fingerprint, &mut Budget::new())?;
        certificates.push(Certificate::new(parts));
    }
    if certificates.is_empty() {
        return Err(nothing_usable(&material));
    }
    Ok(certificates)
}

/// Versions of keys that [`load`] and [`load_all`] skip in this material, because they cannot use them.
pub fn skipped_versions(material: &[u8]) -> BTreeSet<u8> {
    Material::read(material).map_or_else(|_| BTreeSet::new(), |material| material.foreign)
}

fn nothing_usable(material: &Material) -> CertificateError {
    match material.foreign.first() {
        Some(version) => CertificateError::UnsupportedVersion { version: *version },
        None => CertificateError::NoKey,
    }
}

fn assemble(
    material: &Material,
    fingerprint: &Fingerprint,
    budget: &mut Budget,
) -> Result<Parts, CertificateError> {
    let copies: Vec<_> = material
        .certificates
        .iter()
        .filter(|one| one.fingerprint() == fingerprint)
        .collect();
    let Some(first) = copies.first() else {
        return Err(pinned_not_found(material, fingerprint));
    };
    let mut parts = Parts::new(Arc::clone(&first.primary));
    parts.subkeys = distinct_subkeys(&copies);
    // Revocations come first, so that no flood of other signatures uses up what they need.
    add_revocations(&mut parts, material, budget)?;
    let mut seen = BTreeSet::new();
    for copy in copies {
        parts.add_copy(copy, &mut seen, budget)?;
    }
    if !parts.revokers.is_empty() {
        parts.find_revokers(material);
        add_revocations(&mut parts, material, budget)?;
    }
    Ok(parts)
}

fn pinned_not_found(material: &Material, pinned: &Fingerprint) -> CertificateError {
    if material.certificates.is_empty() && !material.foreign.is_empty() {
        return nothing_usable(material);
    }
    // `gpg --card-status` and many key servers show a subkey's fingerprint first.
    let named = material.certificates.iter().find(|one| one.names(pinned));
    if let Some(named) = named {
        return CertificateError::PinnedSubkey {
            pinned: pinned.clone(),
            primary: named.fingerprint().clone(),
        };
    }
    let found = material
        .certificates
        .iter()
        .map(|one| one.fingerprint().clone())
        .collect();
    CertificateError::PinnedNotFound {
        pinned: pinned.clone(),
        found,
        foreign: material.foreign.clone(),
    }
}

fn distinct_subkeys(copies: &[&ClaimedCertificate]) -> Vec<Subkey> {
    let mut seen = BTreeSet::new();
    let all = copies.iter().flat_map(|copy| &copy.subkeys);
    all.filter(|claimed| seen.insert(claimed.key.fingerprint.clone()))
        .map(|claimed| Subkey {
            key: Arc::clone(&claimed.key),
            bindings: Vec::new(),
            revocations: Vec::new(),
            is_mutual: false,
            life_limit: None,
        })
        .collect()
}

/// Adds what revokes the certificate or its subkeys; answers whether any was known already.
pub(super) fn add_revocations(
    parts: &mut Parts,
    material: &Material,
    budget: &mut Budget,
) -> Result<bool, CertificateError> {
    let mut repeated = false;
    for claimed in &material.key_revocations {
        repeated |= parts.add_key_revocation(claimed, budget)?;
    }
    for claimed in &material.subkey_revocations {
        repeated |= parts.add_subkey_revocation(claimed, budget)?;
    }
    Ok(repeated)
}

type Seen = BTreeSet<(Fingerprint, Vec<u8>, Vec<u8>)>;

impl Parts {
    pub(super) fn new(primary: Arc<Key>) -> Self {
        Self {
            primary,
            direct: Vec::new(),
            user_ids: Vec::new(),
            subkeys: Vec::new(),
            revocations: Vec::new(),
            revokers: Vec::new(),
            life_limit: None,
        }
    }

    fn revocation_count(&self) -> usize {
        let of_subkeys = self.subkeys.iter().map(|subkey| subkey.revocations.len());
        of_subkeys.fold(self.revocations.len(), usize::saturating_add)
    }

    fn add_key_revocation(
        &mut self,
        claimed: &ClaimedRevocation,
        budget: &mut Budget,
    ) -> Result<bool, CertificateError> {
        if is_known(&self.revocations, &claimed.signature) {
            return Ok(true);
        }
        let place = place(&claimed.certificate, &self.primary.fingerprint);
        let authority = Authority {
            primary: &self.primary,
            revokers: &self.revokers,
        };
        let primary = self.primary.hashed();
        let judged = authority.judge(&claimed.signature, place, &[&primary], budget)?;
        self.revocations.extend(judged);
        Ok(false)
    }

    fn add_subkey_revocation(
        &mut self,
        claimed: &ClaimedRevocation,
        budget: &mut Budget,
    ) -> Result<bool, CertificateError> {
        let in_certificate = place(&claimed.certificate, &self.primary.fingerprint);
        let authority = Authority {
            primary: &self.primary,
            revokers: &self.revokers,
        };
        let primary = self.primary.hashed();
        let mut repeated = false;
        for subkey in &mut self.subkeys {
            if is_known(&subkey.revocations, &claimed.signature) {
                repeated = true;
                continue;
            }
            let place = match place(&claimed.subkey, &subkey.key.fingerprint) {
                Place::Expected => in_certificate,
                Place::Other => Place::Other,
            };
            let parts = [primary.as_slice(), &subkey.key.hashed()];
            let judged = authority.judge(&claimed.signature, place, &parts, budget)?;
            let counts = |one: &KeyRevocation| one.is_verified() || place == Place::Expected;
            subkey.revocations.extend(judged.filter(counts));
        }
        Ok(repeated)
    }

    fn add_copy(
        &mut self,
        copy: &ClaimedCertificate,
        seen: &mut Seen,
        budget: &mut Budget,
    ) -> Result<(), CertificateError> {
        let key = Arc::clone(&self.primary);
        let primary = key.hashed();
        for signature in own(&copy.direct, &key, |kind| kind == DIRECT_KEY) {
            if seen.insert((
                self.primary.fingerprint.clone(),
                Vec::new(),
                signature.raw.clone(),
            )) {
                let good = self.add_revokers_of(signature, &[&primary], budget)?;
                self.direct.extend(good);
            }
        }
        for claimed in &copy.user_ids {
            self.add_user_id(claimed, seen, budget)?;
        }
        for claimed in &copy.subkeys {
            self.add_bindings(claimed, seen, budget)?;
        }
        Ok(())
    }

    fn add_user_id(
        &mut self,
        claimed: &ClaimedUserId,
        seen: &mut Seen,
        budget: &mut Budget,
    ) -> Result<(), CertificateError> {
        let key = Arc::clone(&self.primary);
        let (primary, id) = (key.hashed(), hashed_user_id(&claimed.id));
        let parts = [primary.as_slice(), &id];
        let mut user_id = self.take_user_id(&claimed.id);
        for signature in own(&claimed.signatures, &key, is_about_user_id) {
            let name = (
                self.primary.fingerprint.clone(),
                claimed.id.clone(),
                signature.raw.clone(),
            );
            if !seen.insert(name) {
                continue;
            }
            if signature.kind == CERTIFICATION_REVOCATION {
                user_id.revoked |= budget.check(signature, &self.primary, &parts)? == Maths::Good;
            } else {
                user_id
                    .signatures
                    .extend(self.add_revokers_of(signature, &parts, budget)?);
            }
        }
        self.user_ids.push(user_id);
        Ok(())
    }

    fn take_user_id(&mut self, id: &[u8]) -> UserId {
        match self.user_ids.iter().position(|known| known.id == id) {
            Some(index) => self.user_ids.remove(index),
            None => UserId {
                id: id.to_vec(),
                signatures: Vec::new(),
                revoked: false,
            },
        }
    }

    /// Verifies a self-signature; its designated revokers count even if it does not.
    fn add_revokers_of(
        &mut self,
        signature: &SignaturePacket,
        parts: &[&[u8]],
        budget: &mut Budget,
    ) -> Result<Option<SelfSignature>, CertificateError> {
        let accepted = self_signature(signature, &self.primary, &self.primary);
        // A statement that is too weak to give trust (SHA-1, critical notation) still names who may
        // take it away.
        let revokers = signature.designated_revokers();
        if accepted.is_none() && revokers.is_empty() {
            return Ok(None);
        }
        if budget.check(signature, &self.primary, parts)? != Maths::Good {
            return Ok(None);
        }
        for fingerprint in revokers {
            if self
                .revokers
                .iter()
                .all(|known| known.fingerprint != fingerprint)
            {
                self.revokers.push(Revoker {
                    fingerprint,
                    key: None,
                });
            }
        }
        Ok(accepted)
    }

    fn add_bindings(
        &mut self,
        claimed: &ClaimedSubkey,
        seen: &mut Seen,
        budget: &mut Budget,
    ) -> Result<(), CertificateError> {
        let fingerprint = &claimed.key.fingerprint;
        let find = |subkey: &&mut Subkey| subkey.key.fingerprint == *fingerprint;
        let Some(subkey) = self.subkeys.iter_mut().find(find) else {
            return Ok(());
        };
        for signature in own(&claimed.signatures, &self.primary, |kind| {
            kind == SUBKEY_BINDING
        }) {
            if seen.insert((fingerprint.clone(), Vec::new(), signature.raw.clone())) {
                let bound = binding(signature, &self.primary, &subkey.key, budget)?;
                subkey.is_mutual |= bound.is_mutual;
                subkey.bindings.extend(bound.binding);
            }
        }
        Ok(())
    }

    fn find_revokers(&mut self, material: &Material) {
        for revoker in &mut self.revokers {
            let mut primaries = material.certificates.iter().map(|one| &one.primary);
            let found = primaries.find(|key| key.fingerprint == revoker.fingerprint);
            revoker.key = found.cloned();
        }
    }
}

/// Signatures that name the primary key as their issuer, without duplicates of the issuer rule.
///
/// Third-party signatures carry no weight, because the fingerprint is pinned.
fn own<'a>(
    signatures: &'a [Signature],
    primary: &'a Key,
    kind: impl Fn(u8) -> bool + 'a,
) -> impl Iterator<Item = &'a SignaturePacket> {
    let read = signatures.iter().filter_map(|signature| match signature {
        Signature::Read(packet) => Some(packet),
        Signature::Unreadable { .. } => None,
    });
    // Before any hash is computed: key servers deliver a hundred thousand signatures of strangers
    // with a well-known key.
    read.filter(move |packet| kind(packet.kind))
        .filter(|packet| packet.issuers().may_name(&primary.fingerprint))
}

fn is_about_user_id(kind: u8) -> bool {
    matches!(
        kind,
        FIRST_CERTIFICATION..=LAST_CERTIFICATION | CERTIFICATION_REVOCATION
    )
}

/// What a signature by `signer` about `about` says, if it may count; not yet verified.
fn self_signature(signature: &SignaturePacket, signer: &Key, about: &Key) -> Option<SelfSignature> {
    let life = accept(signature, signer).ok()?;
    let key_lifetime = signature.key_lifetime().ok()?;
    Some(SelfSignature {
        life,
        key_expires: key_lifetime.map(|seconds| about.created.saturating_add(seconds)),
        may_sign: signature.may_sign(),
        is_primary_user_id: signature.is_primary_user_id(),
    })
}

/// What one binding signature shows.
#[derive(Default)]
struct Bound {
    /// The binding, if it may count.
    binding: Option<Binding>,
    /// Whether both keys have signed it, however weakly.
    is_mutual: bool,
}

fn binding(
    signature: &SignaturePacket,
    primary: &Key,
    subkey: &Key,
    budget: &mut Budget,
) -> Result<Bound, CertificateError> {
    let (primary_part, subkey_part) = (primary.hashed(), subkey.hashed());
    let parts = [primary_part.as_slice(), subkey_part.as_slice()];
    let own = self_signature(signature, primary, subkey);
    let embedded = signature.embedded();
    let mut confirmations = embedded
        .filter(|back| back.kind == BACK_SIGNATURE)
        .peekable();
    if own.is_none() && confirmations.peek().is_none() {
        return Ok(Bound::default());
    }
    if budget.check(signature, primary, &parts)? != Maths::Good {
        return Ok(Bound::default());
    }
    // The mathematics tell whose subkey it is, however weak their hash: a revocation of the primary
    // key must reach it. Whether it may sign is another question, which acceptance decides.
    let mut back_signatures = Vec::new();
    let mut is_mutual = false;
    for back in confirmations {
        if budget.check(&back, subkey, &parts)? == Maths::Good {
            is_mutual = true;
            back_signatures.extend(accept(&back, subkey));
        }
    }
    let binding = own.map(|own| Binding {
        own,
        back_signatures,
    });
    Ok(Bound { binding, is_mutual })
}

/// A user ID as it goes into a hash (section 5.2.4).
fn hashed_user_id(id: &[u8]) -> Vec<u8> {
    let mut out = vec![0xb4];
    out.extend(u32::try_from(id.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(id);
    out
}

/// A revocation that stands alone is expected to be of any key.
fn place(found_in: &FoundIn, key: &Fingerprint) -> Place {
    match found_in {
        FoundIn::Nothing => Place::Expected,
        FoundIn::Key(found_in) if found_in == key => Place::Expected,
        FoundIn::Foreign | FoundIn::Key(_) => Place::Other,
    }
}

fn is_known(revocations: &[KeyRevocation], signature: &Signature) -> bool {
    revocations.iter().any(|known| known.raw == signature.raw())
}
