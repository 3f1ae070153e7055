//! What a certificate is, for status, events and people.

use jiff::Timestamp;

use super::acceptance::Lifespan;
use super::certificate::Certificate;
use super::codes::Code;
use super::fingerprint::Fingerprint;
use super::keys::Key;
use super::limits;
use super::revocation::{CertificateRevocation, KeyRevocation, worst};
use super::time::{begins, timestamp};
use super::validity::{Component, Made, Moment, judge};
use crate::finding::is_deceptive;

/// A description of a certificate at a reference time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Algorithm and size of the primary key, such as `RSA-4096` or `Ed25519`.
    pub algorithm: String,
    /// User IDs that the key itself states and has not revoked, the primary one first.
    ///
    /// Escaped and cut; anybody can put any name into a key, so they decide nothing.
    pub user_ids: Vec<String>,
    /// When the primary key says it was made.
    pub created: Timestamp,
    /// When the last of the keys that may sign now ceases to do so, or else the primary key.
    pub expires: Option<Timestamp>,
    /// Keys that may sign now.
    pub signing_keys: Vec<SigningKey>,
    /// The worst revocation of the primary key; one that cannot be checked counts as hard.
    pub revocation: Option<CertificateRevocation>,
    /// The worst revocation of each revoked subkey.
    pub subkey_revocations: Vec<(Fingerprint, CertificateRevocation)>,
    /// Whether a signature made now by at least one key would be valid, or why not.
    pub usable: Result<(), Code>,
}

/// A key of a certificate that may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its own algorithm and size, which need not be the primary key's.
    pub algorithm: String,
    /// When it ends by itself; absent: with the primary key.
    pub expires: Option<Timestamp>,
}

impl Certificate {
    /// Describes the certificate at a reference time.
    pub fn summary(&self, now: Timestamp) -> Summary {
        let now = now.as_second();
        let moment = Moment { at: now, now };
        let parts = self.parts();
        let word = |key: &Key| self.word_for_new(&key.fingerprint, now);
        let words: Vec<_> = self
            .keys()
            .map(|key| (&key.fingerprint, word(key)))
            .collect();
        let signing: Vec<Fingerprint> = words
            .iter()
            .filter(|(_, word)| *word == Code::Valid)
            .map(|(fingerprint, _)| (*fingerprint).clone())
            .collect();
        Summary {
            algorithm: parts.primary.algorithm_name(),
            user_ids: self.shown_user_ids(moment),
            created: timestamp(parts.primary.created),
            expires: self.usable_until(&signing, moment).map(timestamp),
            usable: self.usable(&words, moment),
            revocation: worst(&parts.revocations).map(KeyRevocation::public),
            subkey_revocations: self.subkey_revocations(),
            signing_keys: self.signing_keys(&signing, moment),
        }
    }

    /// What a signature would be worth that one of its keys made at a reference time.
    pub fn word_of(&self, key: &Fingerprint, now: Timestamp) -> Code {
        self.word_for_new(key, now.as_second())
    }

    fn signing_keys(&self, signing: &[Fingerprint], moment: Moment) -> Vec<SigningKey> {
        let parts = self.parts();
        let keys = self.keys().filter(|key| signing.contains(&key.fingerprint));
        let described = keys.map(|key| SigningKey {
            fingerprint: key.fingerprint.clone(),
            algorithm: key.algorithm_name(),
            expires: match parts.component(&key.fingerprint) {
                Some(Component::Subkey(subkey)) => subkey.expires(moment).map(timestamp),
                Some(Component::Primary) | None => None,
            },
        });
        described.collect()
    }

    /// Instants after a reference time at which time alone may change what a signature is worth: keys and
    /// what they state of themselves begin and end.
    pub fn turns(&self, now: Timestamp) -> Vec<Timestamp> {
        let now = now.as_second();
        let moment = Moment { at: now, now };
        let parts = self.parts();
        let of_subkeys = parts.subkeys.iter().map(|subkey| subkey.expires(moment));
        let ends = [parts.primary_expires(moment)]
            .into_iter()
            .chain(of_subkeys);
        let begin = self
            .keys()
            .flat_map(|key| [begins(key.created), key.created]);
        let stated = parts.statements().flat_map(Lifespan::turns);
        let all = ends.flatten().chain(begin).chain(stated);
        all.filter(|turn| *turn > now).map(timestamp).collect()
    }

    /// The word for a signature that the key would make now.
    fn word_for_new(&self, signer: &Fingerprint, now: i64) -> Code {
        let life = Lifespan {
            created: now,
            expires: None,
        };
        let made = Made {
            primary: self.fingerprint(),
            signer,
            life,
        };
        judge(self, &made, Moment { at: now, now })
    }

    fn usable(&self, words: &[(&Fingerprint, Code)], moment: Moment) -> Result<(), Code> {
        if words.iter().any(|(_, word)| *word == Code::Valid) {
            return Ok(());
        }
        let of_primary = words
            .first()
            .map_or(Code::NotSigningCapable, |(_, word)| *word);
        let of_signers = words
            .iter()
            .filter(|(key, _)| self.is_meant_to_sign(key, moment));
        Err(of_signers
            .map(|(_, word)| *word)
            .min_by_key(|word| rank(*word))
            .unwrap_or(of_primary))
    }

    /// Whether the key's active self-signature lets it sign, whatever else is wrong with it.
    fn is_meant_to_sign(&self, key: &Fingerprint, moment: Moment) -> bool {
        match self.parts().component(key) {
            Some(Component::Subkey(subkey)) => {
                let binding = subkey.active_binding(moment);
                binding.is_some_and(|binding| binding.own.may_sign == Some(true))
            }
            Some(Component::Primary) => self.parts().may_sign(Component::Primary, moment).is_ok(),
            None => false,
        }
    }

    /// The end of the primary key, or of all keys that may sign now if that is sooner.
    fn usable_until(&self, signing: &[Fingerprint], moment: Moment) -> Option<i64> {
        let of_primary = self.parts().primary_expires(moment);
        let ends = signing.iter().map(|key| match self.parts().component(key) {
            Some(Component::Subkey(subkey)) => subkey.expires(moment),
            _ => None,
        });
        // `None` is for ever: one key without an end decides.
        let last = ends
            .collect::<Option<Vec<_>>>()
            .and_then(|ends| ends.into_iter().max());
        of_primary.into_iter().chain(last).min()
    }

    fn subkey_revocations(&self) -> Vec<(Fingerprint, CertificateRevocation)> {
        let all = self.parts().subkeys.iter().filter_map(|subkey| {
            Some((
                subkey.key.fingerprint.clone(),
                worst(&subkey.revocations)?.public(),
            ))
        });
        all.collect()
    }

    fn shown_user_ids(&self, moment: Moment) -> Vec<String> {
        let parts = self.parts();
        let primary = parts
            .active_user_id(moment)
            .map(|(user_id, _)| user_id.id.as_slice());
        let others = parts
            .active_user_ids(moment)
            .map(|(user_id, _)| user_id.id.as_slice());
        let others = others.filter(|id| Some(*id) != primary);
        primary
            .into_iter()
            .chain(others)
            .take(limits::USER_IDS)
            .map(escaped)
            .collect()
    }
}

/// Which of several words says most about a certificate that cannot be used.
fn rank(word: Code) -> u8 {
    match word {
        Code::RevokedHard { compromised: true } => 0,
        Code::RevokedHard { compromised: false } => 1,
        Code::RevocationNotVerifiable => 2,
        Code::RevokedSoft => 3,
        Code::NoValidSelfSignature => 4,
        Code::Expired => 5,
        Code::NotSigningCapable => 7,
        _ => 6,
    }
}

/// A user ID that can do no harm in a log, a terminal or a status.
fn escaped(id: &[u8]) -> String {
    let text = String::from_utf8_lossy(id);
    let cut = text.chars().nth(limits::USER_ID_CHARACTERS).is_some();
    let shown = text.chars().take(limits::USER_ID_CHARACTERS);
    let escaped: String = shown.flat_map(escaped_character).collect();
    if cut {
        format!("{escaped}…")
    } else {
        escaped
    }
}

/// Controls and everything invisible or reordering are shown as `\u{…}`.
fn escaped_character(character: char) -> impl Iterator<Item = char> {
    let refused = is_deceptive(character);
    let code = refused.then(|| character.escape_unicode());
    let itself = (!refused).then_some(character);
    code.into_iter().flatten().chain(itself)
}
