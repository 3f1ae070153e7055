//! What a cryptographically good signature is worth, given the life and scope of its key.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::check::Subject;
use crate::key::{
    Grandfather, HardRevocation, Key, OwnRevocation, RevocationReason, RevocationWord,
};
use crate::openpgp::{self, Standing, VerifiedSignature, Word};
use crate::policy::ExpiredKeys;
use crate::signers::Vouching;
use crate::verdict::{Class, Reason};

/// Whether a cryptographically good signature by this key counts, and if not the worst reason.
pub(crate) fn life(
    subject: &Subject<'_>,
    key: &Key,
    verified: &VerifiedSignature,
    clock: Clock,
) -> Life {
    let mut reasons = BTreeSet::new();
    let expired_keys = subject.rule.verify.expired_keys;
    let standing = openpgp::standing(&key.certificate, verified, subject.now);
    reasons.extend(certificate_life(&standing, expired_keys, clock));
    reasons.extend(our_end_date(
        key,
        verified,
        judged_at(subject, verified, clock),
    ));
    if !key.scope.covers(subject.case.chart, Some(subject.source)) {
        reasons.insert(Reason::KeyOutOfScope);
    }
    let mut vouching = Vouching::Valid;
    for (_, word) in our_words(subject, key, verified) {
        match word {
            Ok(Vouching::Valid) => {}
            Ok(Vouching::Grandfathered) => vouching = Vouching::Grandfathered,
            Err(reason) => drop(reasons.insert(reason)),
        }
    }
    reasons.into_iter().next().map_or(Ok(vouching), Err)
}

/// The hard revocations by which a signature is worth nothing as this key's.
pub(crate) fn hard_revocations(
    subject: &Subject<'_>,
    key: &Key,
    verified: &VerifiedSignature,
) -> BTreeSet<HardRevocation> {
    let is_bad = |word: &Life| word.is_err_and(|reason| reason.class() == Class::Badness);
    let declared = our_words(subject, key, verified)
        .filter(|(_, word)| is_bad(word))
        .map(|(revocation, _)| RevocationWord::Declared(revocation.clone()));
    let standing = openpgp::standing(&key.certificate, verified, subject.now);
    let inside = standing.revocation.filter(|revocation| revocation.hard);
    let inside = inside.map(|revocation| RevocationWord::Certificate(revocation.digest));
    let of_key = |word| HardRevocation {
        fingerprint: key.fingerprint().clone(),
        word,
    };
    declared.chain(inside).map(of_key).collect()
}

/// What a signature is worth, or why it is worth nothing.
pub(crate) type Life = Result<Vouching, Reason>;

/// Whether time counts that has passed since a signature was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Running,
    Stopped,
}

/// The certificate's own word: judged at signing always, and now too where expiry is not forgiven.
fn certificate_life(
    standing: &Standing,
    expired_keys: ExpiredKeys,
    clock: Clock,
) -> impl Iterator<Item = Reason> + use<> {
    let is_forgiven = |word: Word| match clock {
        Clock::Running => {
            expired_keys == ExpiredKeys::AcceptIfSignedBefore && word == Word::Expired
        }
        Clock::Stopped => true,
    };
    let has_ended = clock == Clock::Stopped && standing.at_signing == Word::SignatureExpired;
    let at_signing = (!has_ended).then_some(standing.at_signing);
    let today = (!is_forgiven(standing.now)).then_some(standing.now);
    [at_signing, today].into_iter().flatten().filter_map(reason)
}

/// `spec.notAfter`, judged like the key's own expiry: the instant itself is expired.
fn our_end_date(key: &Key, verified: &VerifiedSignature, judged: Timestamp) -> Option<Reason> {
    let end = key.not_after?;
    (verified.created().max(judged) >= end).then_some(Reason::KeyExpired)
}

fn judged_at(subject: &Subject<'_>, verified: &VerifiedSignature, clock: Clock) -> Timestamp {
    match (subject.rule.verify.expired_keys, clock) {
        (ExpiredKeys::Reject, Clock::Running) => subject.now,
        (ExpiredKeys::AcceptIfSignedBefore, _) | (_, Clock::Stopped) => verified.created(),
    }
}

/// Each `spec.revocation` of a key, and what it leaves of a signature. One that a certificate calls its
/// own without the signer's consent is nobody's to revoke.
fn our_words<'a>(
    subject: &Subject<'_>,
    key: &'a Key,
    verified: &VerifiedSignature,
) -> impl Iterator<Item = (&'a OwnRevocation, Life)> {
    let is_its_own = !key.certificate.names_without_consent(verified.signer());
    let revocations = key.revocations.iter().filter(move |_| is_its_own);
    revocations.map(|revocation| {
        let word = our_word(revocation, verified, subject.facts.first_verified);
        (revocation, word)
    })
}

/// `spec.revocation`. Hard reasons count whatever the signature's date, because a thief writes the
/// date; soft ones for signatures made at or after theirs.
fn our_word(
    revocation: &OwnRevocation,
    verified: &VerifiedSignature,
    first_verified: Option<Timestamp>,
) -> Result<Vouching, Reason> {
    let hard = match revocation.reason {
        RevocationReason::Compromised => Reason::KeyCompromised,
        RevocationReason::Unspecified => Reason::KeyRevoked,
        RevocationReason::Retired | RevocationReason::Superseded => {
            let before = revocation
                .since
                .is_some_and(|since| verified.created() < since);
            return if before {
                Ok(Vouching::Valid)
            } else {
                Err(Reason::KeyRetired)
            };
        }
    };
    let witnessed = revocation.grandfather == Grandfather::Witnessed
        && matches!((first_verified, revocation.since), (Some(first), Some(since)) if first < since);
    if witnessed {
        Ok(Vouching::Grandfathered)
    } else {
        Err(hard)
    }
}

/// The public reason for a detailed word of the OpenPGP rules; `None` for a valid signature.
pub(crate) fn reason(word: Word) -> Option<Reason> {
    Some(match word {
        Word::Valid => return None,
        Word::BadSignature => Reason::SignatureInvalid,
        Word::CriticalUnknown | Word::WrongType => Reason::ProvenanceMalformed,
        Word::Expired => Reason::KeyExpired,
        Word::RevokedHard { compromised: true } => Reason::KeyCompromised,
        Word::RevokedHard { compromised: false } => Reason::KeyRevoked,
        Word::RevokedSoft => Reason::KeyRetired,
        Word::UnsupportedAlgorithm | Word::WeakHash | Word::WeakKey => Reason::WeakSignature,
        Word::FromFuture
        | Word::NoBackSignature
        | Word::NoIssuer
        | Word::NoValidSelfSignature
        | Word::NotBound
        | Word::NotSigningCapable
        | Word::PredatesKey
        | Word::RevocationNotVerifiable
        | Word::SignatureExpired
        | Word::UnknownKey => Reason::SignerNotTrusted,
    })
}

pub(crate) fn explain(reason: Reason) -> &'static str {
    match reason {
        Reason::KeyCompromised => "was revoked as compromised",
        Reason::KeyRevoked => "was revoked",
        Reason::KeyRetired => "was superseded or retired before it signed",
        Reason::KeyExpired => "has expired",
        Reason::KeyOutOfScope => "may not speak for this chart or source",
        _ => "was not able to sign this",
    }
}
