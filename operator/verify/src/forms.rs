//! One key in two forms: whoever has the secret of a public key has that of the key of `OpenPGP` with the same numbers.
//! What revokes it in one form revokes it in the other.

use std::collections::BTreeSet;

use crate::key::{
    DeclaredRevocation, Grandfather, HardRevocation, Key, RevocationReason, RevokedBy,
};
use crate::openpgp::{CertificateRevocation, Fingerprint};
use crate::sigstore::{KnownPublicKey, TrustedPublicKey};

/// A public key with what revokes it in either form, and the hard revocations among that.
pub fn public_key(
    known: &KnownPublicKey,
    keys: &[Key],
) -> (TrustedPublicKey, BTreeSet<HardRevocation>) {
    let mut trusted = known.trusted.clone();
    let own = Fingerprint::of_digest(&trusted.fingerprint);
    let said = trusted.revocations.iter();
    let mut all: Vec<_> = said.map(|word| declared(&own, word)).collect();
    for (key, form) in openpgp_forms(known, keys) {
        let fingerprint = key.fingerprint();
        all.extend(
            key.revocations
                .iter()
                .map(|word| declared(fingerprint, word)),
        );
        let inside = key.certificate.revocations_of(form);
        all.extend(inside.map(|one| certified(key, one)));
    }
    trusted.revocations = all.iter().map(|(_, word)| word.clone()).collect();
    let is_hard = |word: &DeclaredRevocation| {
        matches!(
            word.reason,
            RevocationReason::Compromised | RevocationReason::Unspecified
        )
    };
    let hard = all.into_iter().filter(|(_, word)| is_hard(word));
    (trusted, hard.map(|(by, _)| by).collect())
}

/// A key of `OpenPGP` with what revokes its primary key in either form.
pub fn openpgp_key(key: &Key, public: &[KnownPublicKey]) -> Key {
    let forms = public_forms(key, key.fingerprint(), public);
    let said = forms.flat_map(|known| known.trusted.revocations.iter().cloned());
    Key {
        revocations: key.revocations.iter().cloned().chain(said).collect(),
        ..key.clone()
    }
}

/// The keys of `OpenPGP` that a public key is: of certificates with which that key says it belongs together.
fn openpgp_forms<'a>(
    known: &KnownPublicKey,
    keys: &'a [Key],
) -> impl Iterator<Item = (&'a Key, &'a Fingerprint)> {
    let forms = keys.iter();
    let forms = forms.filter_map(|key| Some((key, known.form_in(&key.certificate)?)));
    forms.filter(|(key, form)| !key.certificate.names_without_consent(form))
}

/// The public keys that are the key of a certificate that signed, or its primary key, by whose word the other signs.
pub(crate) fn public_forms<'a>(
    key: &Key,
    signer: &Fingerprint,
    public: &'a [KnownPublicKey],
) -> impl Iterator<Item = &'a KnownPublicKey> {
    public.iter().filter(move |known| {
        let form = known.form_in(&key.certificate);
        form.is_some_and(|form| form == signer || form == key.fingerprint())
    })
}

/// What `spec.revocation` of an object says.
fn declared(
    fingerprint: &Fingerprint,
    word: &DeclaredRevocation,
) -> (HardRevocation, DeclaredRevocation) {
    let by = RevokedBy::Declared(word.clone());
    let fingerprint = fingerprint.clone();
    (HardRevocation { fingerprint, by }, word.clone())
}

/// What a certificate says of itself. Nothing of it is ever left trusted.
fn certified(key: &Key, inside: CertificateRevocation) -> (HardRevocation, DeclaredRevocation) {
    let reason = match (inside.hard, inside.compromised) {
        (true, true) => RevocationReason::Compromised,
        (true, false) => RevocationReason::Unspecified,
        (false, _) => RevocationReason::Retired,
    };
    let word = DeclaredRevocation {
        declared_by: key.name.clone(),
        reason,
        since: inside.since,
        grandfather: Grandfather::Never,
    };
    let revocation = HardRevocation {
        fingerprint: key.fingerprint().clone(),
        by: RevokedBy::Certificate(inside.digest),
    };
    (revocation, word)
}
