//! What a refresh may learn from another copy of a certificate: only what takes trust away.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::assemble::add_revocations;
use super::budget::Budget;
use super::certificate::{Certificate, Parts, Subkey, earlier};
use super::error::CertificateError;
use super::fingerprint::Fingerprint;
use super::material::{FoundIn, Material};
use super::revocation::{KeyRevocation, worst_proven};
use super::time::timestamp;
use super::validity::Moment;

/// Revocations and earlier ends of life, to be kept longer than the object that asked for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Learned {
    /// Signature packets in hexadecimal; they are verified whenever they are applied.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    revocations: BTreeSet<String>,
    /// When a primary key or subkey expires at the latest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ends: BTreeMap<Fingerprint, End>,
}

/// An end of life and how new the statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    at: Timestamp,
    /// A self-signature as new as this overrules it: only the object itself may hold one.
    said: Timestamp,
}

impl Learned {
    /// Whether nothing was learned.
    pub fn is_empty(&self) -> bool {
        self.revocations.is_empty() && self.ends.is_empty()
    }

    /// Whether all of `other` is known here.
    pub fn contains(&self, other: &Self) -> bool {
        let knows = |(key, end): (&Fingerprint, &End)| {
            let own = self.ends.get(key);
            own.is_some_and(|own| own.at <= end.at && own.said >= end.said)
        };
        other.revocations.is_subset(&self.revocations) && other.ends.iter().all(knows)
    }

    /// Adds what was learned elsewhere; nothing is ever forgotten.
    pub fn join(&mut self, other: &Self) {
        self.revocations.extend(other.revocations.iter().cloned());
        for (key, end) in &other.ends {
            let own = self.ends.entry(key.clone()).or_insert(*end);
            *own = End {
                at: own.at.min(end.at),
                said: own.said.max(end.said),
            };
        }
    }
}

/// What another copy of a certificate offers, and a refresh leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Subkeys that are not known here.
    pub keys: Vec<Fingerprint>,
    /// Whether a newer statement gives a key a longer life.
    pub longer_life: bool,
}

impl Certificate {
    /// What `copy`, loaded from elsewhere, says against this certificate: verified revocations of
    /// keys that are known here, and ends of life that come sooner.
    ///
    /// New keys, user IDs, bindings and longer life are left out, as are revocations that cannot
    /// be checked, and those that say nothing beside the ones known here: whoever has the secret key
    /// can make any number of them. Fails if the fingerprints differ.
    pub fn learn(&self, copy: &Self, now: Timestamp) -> Result<Learned, CertificateError> {
        self.expect_same(copy)?;
        let mut learned = Learned::default();
        let (own, other) = (self.parts(), copy.parts());
        learned.add_revocations(&own.revocations, &other.revocations);
        let moment = Moment {
            at: now.as_second(),
            now: now.as_second(),
        };
        learned.add_end(
            self.fingerprint(),
            own.primary_life(moment),
            other.primary_life(moment),
        );
        for subkey in &own.subkeys {
            let fingerprint = &subkey.key.fingerprint;
            if let Some(same) = other.same_subkey(subkey) {
                learned.add_revocations(&subkey.revocations, &same.revocations);
                learned.add_end(fingerprint, subkey.life(moment), same.life(moment));
            }
        }
        Ok(learned)
    }

    /// The verified revocations that this certificate carries: none can be taken back, so they
    /// outlive the object. Of each key the worst, which says what all of them say.
    pub fn carried(&self) -> Learned {
        let mut carried = Learned::default();
        let parts = self.parts();
        carried.add_revocations(&[], &parts.revocations);
        for subkey in &parts.subkeys {
            carried.add_revocations(&[], &subkey.revocations);
        }
        carried
    }

    /// What of `copy`, loaded from elsewhere, [`Self::learn`] leaves out although it is newer.
    pub fn leave_out(&self, copy: &Self, now: Timestamp) -> LeftOut {
        let moment = Moment {
            at: now.as_second(),
            now: now.as_second(),
        };
        let (own, other) = (self.parts(), copy.parts());
        let is_known = |key: &&Fingerprint| self.key_fingerprints().any(|own| own == *key);
        let keys = copy.key_fingerprints().filter(|key| !is_known(key));
        let of_subkeys = own.subkeys.iter().any(|subkey| {
            let same = other.same_subkey(subkey);
            same.is_some_and(|same| same.life(moment).is_longer(subkey.life(moment)))
        });
        LeftOut {
            keys: keys.cloned().collect(),
            longer_life: of_subkeys
                || other
                    .primary_life(moment)
                    .is_longer(own.primary_life(moment)),
        }
    }

    /// This certificate with what was learned applied to it; every revocation is verified again.
    pub fn apply(&self, learned: &Learned) -> Result<Self, CertificateError> {
        let mut parts = self.parts().clone();
        let packets = learned
            .revocations
            .iter()
            .filter_map(|packet| hex::decode(packet).ok());
        add_revocations(
            &mut parts,
            &Material::of_revocations(packets, &FoundIn::Nothing),
            &mut Budget::new(),
        )?;
        let newest = parts.newest_self_signature();
        let primary_end = learned.end(self.fingerprint(), newest);
        parts.life_limit = earlier(parts.life_limit, primary_end);
        for subkey in &mut parts.subkeys {
            let end = learned.end(&subkey.key.fingerprint, subkey.newest_binding());
            subkey.life_limit = earlier(subkey.life_limit, end);
        }
        Ok(Self::new(parts))
    }
}

impl Learned {
    fn add_revocations(&mut self, known: &[KeyRevocation], others: &[KeyRevocation]) {
        let Some(other) = worst_proven(others) else {
            return;
        };
        if worst_proven(known).is_none_or(|known| other.is_worse(known)) {
            self.revocations.insert(hex::encode(&other.raw));
        }
    }

    /// Only a newer statement counts, so that an old copy cannot undo a longer life.
    fn add_end(&mut self, key: &Fingerprint, own: Life, other: Life) {
        let (Some(at), Some(said)) = (other.expires, other.said) else {
            return;
        };
        // A key server may serve an old copy, on purpose too: it can shorten a life by something
        // newer, never prolong it.
        if own.said < Some(said) && own.expires.is_none_or(|own| at < own) {
            self.ends.insert(
                key.clone(),
                End {
                    at: timestamp(at),
                    said: timestamp(said),
                },
            );
        }
    }

    fn end(&self, key: &Fingerprint, newest_own: Option<i64>) -> Option<i64> {
        let end = self.ends.get(key)?;
        (newest_own < Some(end.said.as_second())).then(|| end.at.as_second())
    }
}

/// When a key expires and how new the statement is that says so.
#[derive(Debug, Clone, Copy)]
struct Life {
    expires: Option<i64>,
    said: Option<i64>,
}

impl Life {
    /// Whether this is a newer statement than another, and of a later end.
    fn is_longer(self, other: Self) -> bool {
        let ends_later = other
            .expires
            .is_some_and(|end| self.expires.is_none_or(|own| own > end));
        ends_later && self.said > other.said
    }
}

impl Parts {
    fn same_subkey(&self, other: &Subkey) -> Option<&Subkey> {
        let mut own = self.subkeys.iter();
        own.find(|own| own.key.fingerprint == other.key.fingerprint)
    }

    fn primary_life(&self, moment: Moment) -> Life {
        let said = self
            .active_self_signatures(moment)
            .map(|one| one.life.created)
            .max();
        Life {
            expires: self.primary_expires(moment),
            said,
        }
    }

    fn newest_self_signature(&self) -> Option<i64> {
        let of_user_ids = self.user_ids.iter().flat_map(|user_id| &user_id.signatures);
        self.direct
            .iter()
            .chain(of_user_ids)
            .map(|one| one.life.created)
            .max()
    }
}

impl Subkey {
    fn life(&self, moment: Moment) -> Life {
        let said = self
            .active_binding(moment)
            .map(|binding| binding.own.life.created);
        Life {
            expires: self.expires(moment),
            said,
        }
    }

    fn newest_binding(&self) -> Option<i64> {
        self.bindings
            .iter()
            .map(|binding| binding.own.life.created)
            .max()
    }
}
