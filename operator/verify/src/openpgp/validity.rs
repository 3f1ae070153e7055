//! Whether a key was valid when it signed, and whether it is now: time and nothing but time.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::acceptance::Lifespan;
use super::certificate::{Binding, Certificate, Parts, SelfSignature, Subkey, UserId, earlier};
use super::fingerprint::Fingerprint;
use super::keys::Key;
use super::revocation::{Effect, KeyRevocation, Revocation};
use super::time::is_future;
use super::verify::VerifiedSignature;
use super::words::Word;

/// What a verified signature is worth at a reference time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// With the key's life judged at the time the signature claims to be made.
    ///
    /// That time is written by the signer, so an expired key can be used with an old date.
    pub at_signing: Word,
    /// With the key's life judged at the reference time.
    pub now: Word,
    /// The revocation that decided, if one did.
    pub revocation: Option<Revocation>,
}

/// Judges a verified signature anew, from the certificate and the clock alone.
///
/// Hard revocations count whatever the dates; soft ones for signatures made at or after them, in
/// both words. A soft revocation is final: no newer self-signature undoes it.
pub fn standing(
    certificate: &Certificate,
    signature: &VerifiedSignature,
    now: Timestamp,
) -> Standing {
    let made = Made::of(signature);
    let now = now.as_second();
    let revocation = deciding_revocation(certificate, &made);
    Standing {
        at_signing: judge(
            certificate,
            &made,
            Moment {
                at: made.life.created,
                now,
            },
        ),
        now: judge(certificate, &made, Moment { at: now, now }),
        revocation: revocation.map(KeyRevocation::public),
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
pub(super) fn judge(certificate: &Certificate, made: &Made<'_>, moment: Moment) -> Word {
    if made.primary != certificate.fingerprint() {
        return Word::UnknownKey;
    }
    let parts = certificate.parts();
    let Some(signer) = parts.component(made.signer) else {
        return revocation_word(&parts.revocations, made).unwrap_or(Word::NotBound);
    };
    if let Component::Subkey(subkey) = signer
        && !subkey.is_mutual
    {
        return parts.not_mutual(subkey);
    }
    if let Some(revoked) = deciding_revocation(certificate, made) {
        return word(revoked.effect);
    }
    let outcome = judge_dates(parts, signer, made.life, moment)
        .and_then(|()| parts.primary_valid(moment))
        .and_then(|()| parts.may_sign(signer, moment));
    outcome.err().unwrap_or(Word::Valid)
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

fn revocation_word(revocations: &[KeyRevocation], made: &Made<'_>) -> Option<Word> {
    let counting = revocations
        .iter()
        .filter(|one| one.counts_for(made.life.created));
    counting.map(|one| one.effect).min().map(word)
}

fn word(effect: Effect) -> Word {
    match effect {
        Effect::Compromised => Word::RevokedHard { compromised: true },
        Effect::Hard => Word::RevokedHard { compromised: false },
        Effect::NotVerifiable => Word::RevocationNotVerifiable,
        Effect::Soft => Word::RevokedSoft,
    }
}

fn judge_dates(
    parts: &Parts,
    signer: Component<'_>,
    life: Lifespan,
    moment: Moment,
) -> Result<(), Word> {
    let (primary, signer) = (parts.primary.created, signer.key(parts).created);
    if [life.created, signer]
        .iter()
        .any(|created| is_future(*created, moment.now))
    {
        return Err(Word::FromFuture);
    }
    if life.expires.is_some_and(|end| moment.now >= end) {
        return Err(Word::SignatureExpired);
    }
    if life.created < primary || life.created < signer {
        return Err(Word::PredatesKey);
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
    pub(super) fn primary_valid(&self, moment: Moment) -> Result<(), Word> {
        self.primary.strength()?;
        if self.active_self_signatures(moment).next().is_none() {
            return Err(Word::NoValidSelfSignature);
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

    /// The word for a subkey that is not known to be this certificate's.
    fn not_mutual(&self, subkey: &Subkey) -> Word {
        let may_sign = |binding: &Binding| binding.own.may_sign == Some(true);
        match self.primary.strength().and_then(|()| subkey.key.strength()) {
            Err(weak) => weak,
            Ok(()) if subkey.bindings.is_empty() => Word::NotBound,
            Ok(()) if subkey.bindings.iter().any(may_sign) => Word::NoBackSignature,
            Ok(()) => Word::NotSigningCapable,
        }
    }

    /// Whether the component may sign, given that the primary key is valid.
    pub(super) fn may_sign(&self, signer: Component<'_>, moment: Moment) -> Result<(), Word> {
        match signer {
            Component::Primary => self.primary_may_sign(moment),
            Component::Subkey(subkey) => subkey.may_sign(moment),
        }
    }

    /// At least one active self-signature has key flags, and all that have them allow signing.
    fn primary_may_sign(&self, moment: Moment) -> Result<(), Word> {
        let flags: Vec<bool> = self
            .active_self_signatures(moment)
            .filter_map(|one| one.may_sign)
            .collect();
        if flags.is_empty() || flags.contains(&false) {
            return Err(Word::NotSigningCapable);
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
        let standing = self.user_ids.iter().filter(|user_id| !user_id.revoked);
        standing.filter_map(move |user_id| {
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

    fn may_sign(&self, moment: Moment) -> Result<(), Word> {
        self.key.strength()?;
        let binding = self.active_binding(moment).ok_or(Word::NotBound)?;
        alive_until(self.expires(moment), moment)?;
        if binding.own.may_sign != Some(true) {
            return Err(Word::NotSigningCapable);
        }
        if !binding
            .back_signatures
            .iter()
            .any(|back| counts(*back, moment))
        {
            return Err(Word::NoBackSignature);
        }
        Ok(())
    }
}

/// The newest signature made until the moment, or else the newest of all, because a minimal
/// export keeps only that one (section 5.2.3.10).
fn active<T>(all: &[T], signature: impl Fn(&T) -> &SelfSignature, moment: Moment) -> Option<&T> {
    let counting = || all.iter().filter(|one| counts(signature(one).life, moment));
    let rank = |one: &&T| newest_and_strictest(signature(one));
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

fn alive_until(end: Option<i64>, moment: Moment) -> Result<(), Word> {
    match end {
        Some(end) if moment.at >= end => Err(Word::Expired),
        _ => Ok(()),
    }
}
