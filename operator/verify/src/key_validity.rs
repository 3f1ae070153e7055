//! Whether a cryptographically good signature counts, given what became of its key.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::case::Subject;
use crate::forms;
use crate::key::{
    DeclaredRevocation, Grandfather, HardRevocation, Key, RevocationReason, RevokedBy,
};
use crate::openpgp::{self, Code, Fingerprint, Validity, VerifiedSignature};
use crate::policy::ExpiredKeys;
use crate::verdict::{Class, Reason};

/// Whether a cryptographically good signature by this key counts, and if not the worst reason.
pub(crate) fn key_validity(
    subject: &Subject<'_>,
    key: &Key,
    verified: &VerifiedSignature,
    clock: Clock,
) -> KeyValidity {
    let mut refusals = Vec::new();
    // Not left out before: a signature of this key is to be told as its own, with why it does not
    // count.
    if key.unusable.is_some() {
        refusals.push(Refusal::from(Reason::SignerNotTrusted));
    }
    let expired_keys = subject.rule.verify.expired_keys;
    let validity = openpgp::signature_validity(&key.certificate, verified, subject.now);
    refusals.extend(certificate_validity(&validity, expired_keys, clock));
    refusals.extend(our_end_date(
        key,
        verified,
        judged_at(subject, verified, clock),
    ));
    if !key.scope.covers(subject.case.chart, Some(subject.source)) {
        refusals.push(Refusal::from(Reason::KeyOutOfScope));
    }
    let mut approval = Approval::Valid;
    for (.., effect) in declared_effects(subject, key, verified) {
        match effect {
            Ok(Approval::Valid) => {}
            Ok(Approval::Grandfathered) => approval = Approval::Grandfathered,
            Err(refusal) => refusals.push(refusal),
        }
    }
    // All are gathered and the worst is told: who lifts a scope must not find out only then that
    // the key was revoked.
    let worst = refusals.into_iter().min_by_key(|refusal| refusal.reason);
    worst.map_or(Ok(approval), Err)
}

/// The hard revocations by which a signature counts for nothing as this key's.
pub(crate) fn hard_revocations(
    subject: &Subject<'_>,
    key: &Key,
    verified: &VerifiedSignature,
) -> BTreeSet<HardRevocation> {
    let is_bad = |effect: &KeyValidity| {
        effect.is_err_and(|refusal| refusal.reason.class() == Class::Badness)
    };
    let declared = declared_effects(subject, key, verified)
        .filter(|(.., effect)| is_bad(effect))
        .map(|(fingerprint, revocation, _)| HardRevocation {
            fingerprint,
            by: RevokedBy::Declared(revocation.clone()),
        });
    let validity = openpgp::signature_validity(&key.certificate, verified, subject.now);
    let inside = validity.revocation.filter(|revocation| revocation.hard);
    let inside = inside.map(|revocation| HardRevocation {
        fingerprint: key.fingerprint().clone(),
        by: RevokedBy::Certificate(revocation.digest),
    });
    declared.chain(inside).collect()
}

/// How enough signers approve of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Approval {
    /// Only because our own verification is older than a revocation.
    Grandfathered,
    /// Without reservation.
    Valid,
}

/// How a signature counts, or why it does not.
pub(crate) type KeyValidity = Result<Approval, Refusal>;

/// Why a signature does not count as a key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// Which rule of OpenPGP says so, if one does: several of them have one reason.
    pub(crate) code: Option<Code>,
    /// When the key has ended, if that is why.
    pub(crate) ended: Option<Timestamp>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            code: None,
            ended: None,
        }
    }
}

/// Whether time counts that has passed since a signature was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Running,
    Stopped,
}

/// What the certificate says of itself: judged at signing always, and now too where expiry is not forgiven.
fn certificate_validity(
    validity: &Validity,
    expired_keys: ExpiredKeys,
    clock: Clock,
) -> impl Iterator<Item = Refusal> + use<> {
    let is_forgiven = |code: Code| match clock {
        Clock::Running => {
            expired_keys == ExpiredKeys::AcceptIfSignedBefore && code == Code::Expired
        }
        Clock::Stopped => true,
    };
    let has_ended = clock == Clock::Stopped && validity.at_signing == Code::SignatureExpired;
    let at_signing = (!has_ended).then_some(validity.at_signing);
    let today = (!is_forgiven(validity.now)).then_some(validity.now);
    let ended = validity.expires;
    let codes = [at_signing, today].into_iter().flatten();
    codes.filter_map(move |code| {
        Some(Refusal {
            reason: reason(code)?,
            code: Some(code),
            ended: ended.filter(|_| code == Code::Expired),
        })
    })
}

/// `spec.notAfter`, judged like the key's own expiry: the instant itself is expired.
fn our_end_date(key: &Key, verified: &VerifiedSignature, judged: Timestamp) -> Option<Refusal> {
    let end = key.not_after?;
    (verified.created().max(judged) >= end).then_some(Refusal {
        ended: Some(end),
        ..Refusal::from(Reason::KeyExpired)
    })
}

fn judged_at(subject: &Subject<'_>, verified: &VerifiedSignature, clock: Clock) -> Timestamp {
    match (subject.rule.verify.expired_keys, clock) {
        (ExpiredKeys::Reject, Clock::Running) => subject.now,
        (ExpiredKeys::AcceptIfSignedBefore, _) | (_, Clock::Stopped) => verified.created(),
    }
}

/// Each `spec.revocation` of a key, in either form, the key whose it is, and what it leaves of a signature. One that a
/// certificate calls its own without the signer's consent is nobody's to revoke.
fn declared_effects<'a>(
    subject: &Subject<'a>,
    key: &'a Key,
    verified: &VerifiedSignature,
) -> impl Iterator<Item = (Fingerprint, &'a DeclaredRevocation, KeyValidity)> {
    let is_its_own = !key.certificate.names_without_consent(verified.signer());
    let own = (key.fingerprint().clone(), &key.revocations);
    let public = forms::public_forms(key, verified.signer(), &subject.sigstore.keys).map(|known| {
        let trusted = &known.trusted;
        (
            Fingerprint::of_digest(&trusted.fingerprint),
            &trusted.revocations,
        )
    });
    let all = std::iter::once(own).chain(public);
    let all = all.filter(move |_| is_its_own);
    let first_verified = subject.facts.first_verified;
    all.flat_map(move |(fingerprint, revocations)| {
        revocations.iter().map(move |revocation| {
            let effect = declared_effect(revocation, verified, first_verified);
            (fingerprint.clone(), revocation, effect)
        })
    })
}

/// `spec.revocation`. Hard reasons count whatever the signature's date, because a thief writes the
/// date; soft ones for signatures made at or after theirs.
fn declared_effect(
    revocation: &DeclaredRevocation,
    verified: &VerifiedSignature,
    first_verified: Option<Timestamp>,
) -> KeyValidity {
    let hard = match revocation.reason {
        RevocationReason::Compromised => Reason::KeyCompromised,
        RevocationReason::Unspecified => Reason::KeyRevoked,
        RevocationReason::Retired | RevocationReason::Superseded => {
            let before = revocation
                .since
                .is_some_and(|since| verified.created() < since);
            return if before {
                Ok(Approval::Valid)
            } else {
                Err(Reason::KeyRetired.into())
            };
        }
    };
    let witnessed = revocation.grandfather == Grandfather::Witnessed
        && matches!((first_verified, revocation.since), (Some(first), Some(since)) if first < since);
    if witnessed {
        Ok(Approval::Grandfathered)
    } else {
        Err(hard.into())
    }
}

/// The public reason for a detailed code of the OpenPGP rules; `None` for a valid signature.
pub fn reason(code: Code) -> Option<Reason> {
    Some(match code {
        Code::Valid => return None,
        Code::BadSignature => Reason::SignatureInvalid,
        Code::CriticalUnknown | Code::WrongType => Reason::ProvenanceMalformed,
        Code::Expired => Reason::KeyExpired,
        Code::RevokedHard { compromised: true } => Reason::KeyCompromised,
        Code::RevokedHard { compromised: false } => Reason::KeyRevoked,
        Code::RevokedSoft => Reason::KeyRetired,
        Code::UnsupportedAlgorithm | Code::WeakHash | Code::WeakKey => Reason::WeakSignature,
        Code::FromFuture
        | Code::NoBackSignature
        | Code::NoIssuer
        | Code::NoMaterial
        | Code::NoValidSelfSignature
        | Code::NotBound
        | Code::NotSigningCapable
        | Code::PredatesKey
        | Code::RevocationNotVerifiable
        | Code::SignatureExpired
        | Code::UnknownKey => Reason::SignerNotTrusted,
    })
}

/// Which objects of the same key say so, where this one says nothing itself: nobody would look there.
fn elsewhere(subject: &Subject<'_>, key: &Key, verified: &VerifiedSignature) -> String {
    let all = declared_effects(subject, key, verified).filter(|(.., effect)| effect.is_err());
    let names: BTreeSet<_> = all.map(|(_, word, _)| word.declared_by.as_str()).collect();
    if names.is_empty() || names.contains(key.name.as_str()) {
        return String::new();
    }
    let names: Vec<_> = names.into_iter().collect();
    format!(" by TrustedKey {}, which is the same key", names.join(", "))
}

/// Why a key's signature does not count, and what to do where a rule of OpenPGP is the cause.
pub(crate) fn explain(
    subject: &Subject<'_>,
    (key, verified): (&Key, &VerifiedSignature),
    refusal: Refusal,
) -> String {
    let (name, fingerprint) = (&key.name, key.fingerprint());
    let elsewhere = || elsewhere(subject, key, verified);
    let became = match (refusal.reason, refusal.code) {
        (Reason::KeyCompromised, _) => format!("was revoked as compromised{}", elsewhere()),
        (Reason::KeyRevoked, _) => format!("was revoked{}", elsewhere()),
        (Reason::KeyRetired, _) => {
            format!("was superseded or retired before it signed{}", elsewhere())
        }
        (Reason::KeyExpired, _) => match refusal.ended {
            Some(ended) => format!("has expired on {ended}"),
            None => "has expired".to_owned(),
        },
        (Reason::KeyOutOfScope, _) => "may not speak for this chart or source".to_owned(),
        (_, None) if key.unusable.is_some() => {
            let problem = key.unusable.as_deref().unwrap_or_default();
            return format!("{name} is listed and cannot be used ({fingerprint}): {problem}");
        }
        (_, Some(code)) => {
            let step = code.step();
            return format!("signature of {name} ({fingerprint}): {code}. {step}");
        }
        (_, None) => "was not able to sign this".to_owned(),
    };
    format!("{name} {became} ({fingerprint})")
}
