//! Whether a key was valid when it signed, and whether it is now: time and nothing but time.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::acceptance::Lifespan;
use super::certificate::{Binding, Certificate, Parts, SelfSignature, Subkey, UserId, earlier};
use super::codes::Code;
use super::fingerprint::Fingerprint;
use super::keys::Key;
use super::revocation::{CertificateRevocation, Effect, KeyRevocation};
use super::time::{is_future, timestamp};
use super::verified::VerifiedSignature;

/// What a verified signature is worth at a reference time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// With the key's life judged at the time the signature claims to be made.
    ///
    /// That time is written by the signer, so an expired key can be used with an old date.
    pub at_signing: Code,
    /// With the key's life judged at the reference time.
    pub now: Code,
    /// When the key that signed, or its primary key, expires, as it says at the time of `at_signing` if
    /// that is [`Code::Expired`], else now.
    pub expires: Option<Timestamp>,
    /// The revocation that decided, if one did.
    pub revocation: Option<CertificateRevocation>,
}

/// Judges a verified signature anew, from the certificate and the clock alone.
///
/// Hard revocations count whatever the dates; soft ones for signatures made at or after them, in
/// both words. A soft revocation is final: no newer self-signature undoes it.
pub fn signature_validity(
    certificate: &Certificate,
    signature: &VerifiedSignature,
    now: Timestamp,
) -> Validity {
    let made = Made::of(signature);
    let at = |at: i64| Moment {
        at,
        now: now.as_second(),
    };
    let (then, today) = (at(made.life.created), at(now.as_second()));
    let at_signing = judge(certificate, &made, then);
    let moment = match at_signing {
        Code::Expired => then,
        _ => today,
    };
    Validity {
        at_signing,
        now: judge(certificate, &made, today),
        expires: certificate
            .parts()
            .expires(made.signer, moment)
            .map(timestamp),
        revocation: deciding_revocation(certificate, &made).map(KeyRevocation::public),
    }
}

/// A signature, real or only supposed.
#[derive(Debug, Clone)]
pub(super) struct Made<'a> {
    pub(super) primary: &'a Fingerprint,
    pub(super) signer: &'a Fingerprint,
    pub(super) life: Lifespan,
}

/// The time at which keys are judged, and the clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) at: i64,
    pub(super) now: i64,
}

/// The whole answer about one signature at one moment. Whose the signature is comes first, then
/// revocations, then everything else.
pub(super) fn judge(certificate: &Certificate, made: &Made<'_>, moment: Moment) -> Code {
    // Key IDs collide on purpose; only the full fingerprint says whose signature it is.
    if made.primary != certificate.fingerprint() {
        return Code::UnknownKey;
    }
    let parts = certificate.parts();
    if parts.primary.is_missing() {
        return Code::NoMaterial;
    }
    let Some(signer) = parts.component(made.signer) else {
        return revocation_word(&parts.revocations, made).unwrap_or(Code::NotBound);
    };
    if let Component::Subkey(subkey) = signer
        && !subkey.is_mutual
    {
        return parts.not_mutual(subkey);
    }
    // Before expiry, flags and self-signatures: rpgpie lets a newer self-signature hide an older
    // hard revocation.
    if let Some(revoked) = deciding_revocation(certificate, made) {
        return word(revoked.effect);
    }
    let outcome = judge_dates(parts, signer, made.life, moment)
        .and_then(|()| parts.primary_valid(moment))
        .and_then(|()| parts.may_sign(signer, moment));
    outcome.err().unwrap_or(Code::Valid)
}

/// The worst revocation that counts for the signature; none does if the signature is another's.
fn deciding_revocation<'a>(
    certificate: &'a Certificate,
    made: &Made<'_>,
) -> Option<&'a KeyRevocation> {
    let parts = certificate.parts();
    let of_subkey = match parts.component(made.signer) {
        Some(Component::Subkey(subkey)) if !subkey.is_mutual => return None,
        Some(Component::Subkey(subkey)) => subkey.revocations.as_slice(),
        _ => &[],
    };
    let all = parts.revocations.iter().chain(of_subkey);
    all.filter(|one| one.counts_for(made.life.created))
        .min_by_key(|one| (one.effect, one.since, &one.digest))
}

fn revocation_word(revocations: &[KeyRevocation], made: &Made<'_>) -> Option<Code> {
    let counting = revocations
        .iter()
        .filter(|one| one.counts_for(made.life.created));
    counting.map(|one| one.effect).min().map(word)
}

fn word(effect: Effect) -> Code {
    match effect {
        Effect::Compromised => Code::RevokedHard { compromised: true },
        Effect::Hard => Code::RevokedHard { compromised: false },
        Effect::NotVerifiable => Code::RevocationNotVerifiable,
        Effect::Soft => Code::RevokedSoft,
    }
}

fn judge_dates(
    parts: &Parts,
    signer: Component<'_>,
    life: Lifespan,
    moment: Moment,
) -> Result<(), Code> {
    let (primary, signer) = (parts.primary.created, signer.key(parts).created);
    // A key from the future would be a way to sign beyond its end: as long as the clock is before
    // its birth, no rule about its life can be applied.
    if [life.created, signer]
        .iter()
        .any(|created| is_future(*created, moment.now))
    {
        return Err(Code::FromFuture);
    }
    // Against the clock in both words, unlike the life of the key: the signer has said himself
    // until when this signature is to count.
    if life.expires.is_some_and(|end| moment.now >= end) {
        return Err(Code::SignatureExpired);
    }
    if life.created < primary || life.created < signer {
        return Err(Code::PredatesKey);
    }
    Ok(())
}

/// The key of a certificate that made a signature.
#[derive(Debug, Clone, Copy)]
pub(super) enum Component<'a> {
    Primary,
    Subkey(&'a Subkey),
}

impl<'a> Component<'a> {
    fn key(self, parts: &'a Parts) -> &'a Key {
        match self {
            Self::Primary => &parts.primary,
            Self::Subkey(subkey) => &subkey.key,
        }
    }
}

impl KeyRevocation {
    fn counts_for(&self, created: i64) -> bool {
        self.effect != Effect::Soft || self.covers(created)
    }
}

impl Parts {
    /// The lives of all that the certificate states of itself, whether it counts now or not.
    pub(super) fn statements(&self) -> impl Iterator<Item = Lifespan> {
        let of_user_ids = self.user_ids.iter().flat_map(|one| &one.signatures);
        let own = self.direct.iter().chain(of_user_ids).map(|one| one.life);
        let bindings = self.subkeys.iter().flat_map(|subkey| &subkey.bindings);
        let mutual = bindings.flat_map(|binding| {
            let back = binding.back_signatures.iter().copied();
            [binding.own.life].into_iter().chain(back)
        });
        own.chain(mutual)
    }

    pub(super) fn component(&self, fingerprint: &Fingerprint) -> Option<Component<'_>> {
        if self.primary.fingerprint == *fingerprint {
            return Some(Component::Primary);
        }
        let mut subkeys = self.subkeys.iter();
        subkeys
            .find(|subkey| subkey.key.fingerprint == *fingerprint)
            .map(Component::Subkey)
    }

    /// Whether the primary key lives and has a self-signature that says so.
    pub(super) fn primary_valid(&self, moment: Moment) -> Result<(), Code> {
        self.primary.strength()?;
        if self.active_self_signatures(moment).next().is_none() {
            return Err(Code::NoValidSelfSignature);
        }
        alive_until(self.primary_expires(moment), moment)
    }

    /// When the primary key expires: the earlier of what the active direct-key signature and the
    /// active primary user ID say, and of what was learned elsewhere (RFC 9580 section 5.2.3.13).
    pub(super) fn primary_expires(&self, moment: Moment) -> Option<i64> {
        let said = self
            .active_self_signatures(moment)
            .filter_map(|one| one.key_expires)
            .min();
        earlier(said, self.life_limit)
    }

    /// When a key of the certificate expires: a subkey never outlives its primary key.
    fn expires(&self, key: &Fingerprint, moment: Moment) -> Option<i64> {
        let own = match self.component(key) {
            Some(Component::Subkey(subkey)) => subkey.expires(moment),
            Some(Component::Primary) | None => None,
        };
        earlier(self.primary_expires(moment), own)
    }

    /// The word for a subkey that is not known to be this certificate's.
    fn not_mutual(&self, subkey: &Subkey) -> Code {
        let may_sign = |binding: &Binding| binding.own.may_sign == Some(true);
        match self.primary.strength().and_then(|()| subkey.key.strength()) {
            Err(weak) => weak,
            Ok(()) if subkey.bindings.is_empty() => Code::NotBound,
            Ok(()) if subkey.bindings.iter().any(may_sign) => Code::NoBackSignature,
            Ok(()) => Code::NotSigningCapable,
        }
    }

    /// Whether the component may sign, given that the primary key is valid.
    pub(super) fn may_sign(&self, signer: Component<'_>, moment: Moment) -> Result<(), Code> {
        match signer {
            Component::Primary => self.primary_may_sign(moment),
            Component::Subkey(subkey) => subkey.may_sign(moment),
        }
    }

    /// At least one active self-signature has key flags, and all that have them allow signing.
    fn primary_may_sign(&self, moment: Moment) -> Result<(), Code> {
        // GnuPG takes a key without flags for one that may do anything, Sequoia refuses it. A key
        // that says nothing may be meant for encryption only: silence is no permission.
        let flags: Vec<bool> = self
            .active_self_signatures(moment)
            .filter_map(|one| one.may_sign)
            .collect();
        if flags.is_empty() || flags.contains(&false) {
            return Err(Code::NotSigningCapable);
        }
        Ok(())
    }

    pub(super) fn active_self_signatures(
        &self,
        moment: Moment,
    ) -> impl Iterator<Item = &SelfSignature> {
        let direct = active(&self.direct, |one| one, moment);
        let user_id = self.active_user_id(moment).map(|(_, signature)| signature);
        direct.into_iter().chain(user_id)
    }

    /// The primary user ID: the one marked so, the newest of several, never a revoked one.
    pub(super) fn active_user_id(&self, moment: Moment) -> Option<(&UserId, &SelfSignature)> {
        self.active_user_ids(moment).max_by_key(|(_, signature)| {
            (
                signature.is_primary_user_id,
                newest_and_strictest(signature),
            )
        })
    }

    pub(super) fn active_user_ids(
        &self,
        moment: Moment,
    ) -> impl Iterator<Item = (&UserId, &SelfSignature)> {
        let remaining = self.user_ids.iter().filter(|user_id| !user_id.revoked);
        remaining.filter_map(move |user_id| {
            Some((user_id, active(&user_id.signatures, |one| one, moment)?))
        })
    }
}

impl Subkey {
    pub(super) fn active_binding(&self, moment: Moment) -> Option<&Binding> {
        active(&self.bindings, |binding| &binding.own, moment)
    }

    pub(super) fn expires(&self, moment: Moment) -> Option<i64> {
        let said = self
            .active_binding(moment)
            .and_then(|binding| binding.own.key_expires);
        earlier(said, self.life_limit)
    }

    fn may_sign(&self, moment: Moment) -> Result<(), Code> {
        self.key.strength()?;
        let binding = self.active_binding(moment).ok_or(Code::NotBound)?;
        alive_until(self.expires(moment), moment)?;
        // After its end: of a subkey that is over it does not matter any more what it was for, and
        // the reason that the owner can act on is the end.
        if binding.own.may_sign != Some(true) {
            return Err(Code::NotSigningCapable);
        }
        // Without a signature by the subkey itself anybody could adopt the signing subkey of
        // somebody else and pass for whoever made its signatures (CVE-2021-3521 in rpm).
        if !binding
            .back_signatures
            .iter()
            .any(|back| counts(*back, moment))
        {
            return Err(Code::NoBackSignature);
        }
        Ok(())
    }
}

/// The newest signature made until the moment, or else the newest of all, because a minimal
/// export keeps only that one (section 5.2.3.10).
fn active<T>(all: &[T], signature: impl Fn(&T) -> &SelfSignature, moment: Moment) -> Option<&T> {
    let counting = || all.iter().filter(|one| counts(signature(one).life, moment));
    let rank = |one: &&T| newest_and_strictest(signature(one));
    // Section 5.2.3.10: the newest one that existed then speaks. A minimal export keeps only the
    // latest, which must not make older signatures invalid.
    let until = counting()
        .filter(|one| signature(one).life.created <= moment.at)
        .max_by_key(rank);
    until.or_else(|| counting().max_by_key(rank))
}

/// Newer first; of the same second, the one that gives the key the shorter life and fewer rights.
fn newest_and_strictest(signature: &SelfSignature) -> impl Ord + use<> {
    let expires = signature.key_expires.unwrap_or(i64::MAX);
    (
        signature.life.created,
        Reverse(expires),
        signature.may_sign != Some(true),
    )
}

fn counts(life: Lifespan, moment: Moment) -> bool {
    !is_future(life.created, moment.now) && life.expires.is_none_or(|end| moment.at < end)
}

fn alive_until(end: Option<i64>, moment: Moment) -> Result<(), Code> {
    match end {
        Some(end) if moment.at >= end => Err(Code::Expired),
        _ => Ok(()),
    }
}
