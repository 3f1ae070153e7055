//! Incidents: which revocation a quarantine is about, which of them people have ended, and what is
//! remembered of that. Pure; the operator keeps it in a ConfigMap of its namespace.
//!
//! An incident is a fingerprint, the digest of the revocation, and how often it was withdrawn
//! before: withdrawn and declared again is a new one.

use std::collections::{BTreeMap, BTreeSet};

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::key::{
    Grandfather, HardRevocation, OwnRevocation, RevocationReason, RevocationWord,
};
use serde::{Deserialize, Serialize};

use crate::inventory::ReleaseId;

/// A hard revocation of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revocation {
    /// Primary fingerprint.
    pub fingerprint: String,
    /// Digest of the revocation, in hexadecimal.
    pub digest: String,
}

impl Revocation {
    /// What a verdict rests on.
    pub fn of(revocation: &HardRevocation) -> Option<Self> {
        let fingerprint = revocation.fingerprint.as_str();
        match &revocation.word {
            RevocationWord::Certificate(digest) => Some(Self::certificate(fingerprint, digest)),
            RevocationWord::Declared(word) => Self::own(fingerprint, word),
        }
    }

    /// A revocation inside the key.
    pub fn certificate(fingerprint: &str, digest: &str) -> Self {
        Self {
            fingerprint: fingerprint.to_owned(),
            digest: digest.chars().take(DIGITS).collect(),
        }
    }

    /// Our own word, if it is a hard one.
    pub fn own(fingerprint: &str, word: &OwnRevocation) -> Option<Self> {
        let reason = match word.reason {
            RevocationReason::Compromised => "Compromised",
            RevocationReason::Unspecified => "Unspecified",
            RevocationReason::Retired | RevocationReason::Superseded => return None,
        };
        let kept = match word.grandfather {
            Grandfather::Never => "Never",
            Grandfather::Witnessed => "Witnessed",
        };
        let since = word
            .since
            .map(|since| since.to_string())
            .unwrap_or_default();
        let text = format!("{}\n{reason}\n{since}\n{kept}", word.declared_by);
        let digest = Sha256Digest::of(text.as_bytes()).to_string();
        let digits = digest.strip_prefix("sha256:").unwrap_or(&digest);
        Some(Self::certificate(fingerprint, digits))
    }

    fn key(&self) -> String {
        format!("{}.{}", self.fingerprint, self.digest)
    }

    fn of_key(key: &str) -> Option<Self> {
        let (fingerprint, digest) = key.split_once('.')?;
        Some(Self::certificate(fingerprint, digest))
    }
}

/// So many digits of a digest tell revocations of one key apart.
const DIGITS: usize = 16;

/// What is remembered of incidents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    entries: BTreeMap<String, Entry>,
    /// Which installation of the operator reads it, if that is known.
    installation: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    /// How often the revocation was withdrawn.
    withdrawn: u32,
    /// Whether it was in force when last seen.
    in_force: bool,
    /// Releases whose quarantine was seen Active.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    active: BTreeSet<String>,
    /// Releases whose quarantine a person has ended.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    released: BTreeSet<String>,
    /// Releases whose quarantine was ended so that an installation of the operator could be removed,
    /// with that installation: it begins none again, and the next one may.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    uninstalled: BTreeMap<String, String>,
}

impl Ledger {
    /// What a ConfigMap says. An entry that cannot be read says nothing.
    pub fn read(data: &BTreeMap<String, String>) -> Self {
        let entry =
            |(key, text): (&String, &String)| Some((key.clone(), serde_json::from_str(text).ok()?));
        Self {
            entries: data.iter().filter_map(entry).collect(),
            installation: None,
        }
    }

    /// Whether it matters which installation reads it.
    pub fn needs_installation(&self) -> bool {
        let mut all = self.entries.values();
        all.any(|entry| !entry.uninstalled.is_empty())
    }

    /// The same, as this installation of the operator reads it. One that is not known is taken for
    /// the one that was about to be removed.
    #[must_use]
    pub fn read_by(self, installation: Option<String>) -> Self {
        Self {
            installation,
            ..self
        }
    }

    /// What a ConfigMap is to say.
    pub fn data(&self) -> BTreeMap<String, String> {
        // Invariant: numbers and strings always serialize.
        let text = |entry: &Entry| serde_json::to_string(entry).unwrap_or_default();
        self.entries
            .iter()
            .map(|(key, entry)| (key.clone(), text(entry)))
            .collect()
    }

    /// The name of the incident that a revocation in force is.
    pub fn incident(&self, revocation: &Revocation) -> String {
        let withdrawn = self
            .entries
            .get(&revocation.key())
            .map_or(0, |entry| entry.withdrawn);
        format!(
            "{}/{}/{withdrawn}",
            revocation.fingerprint, revocation.digest
        )
    }

    /// Whether a person has ended the quarantine of a release in the incident of today, be it only
    /// for as long as this installation of the operator lasts.
    pub fn is_released(&self, revocation: &Revocation, release: &ReleaseId) -> bool {
        let entry = self.entries.get(&revocation.key());
        let is_leaving = |entry: &Entry| {
            let left = entry.uninstalled.get(&release.to_string());
            left.is_some_and(|left| self.installation.as_ref().is_none_or(|own| own == left))
        };
        entry
            .is_some_and(|entry| entry.released.contains(&release.to_string()) || is_leaving(entry))
    }

    /// Whether the quarantine of a release was seen Active in the incident of today.
    pub fn was_active(&self, revocation: &Revocation, release: &ReleaseId) -> bool {
        let entry = self.entries.get(&revocation.key());
        entry.is_some_and(|entry| entry.active.contains(&release.to_string()))
    }

    /// Notes that a quarantine is in force.
    pub fn note_active(&mut self, revocation: &Revocation, release: &ReleaseId) {
        let entry = self.entry(revocation);
        entry.active.insert(release.to_string());
        entry.uninstalled.remove(&release.to_string());
    }

    /// Notes that a person has ended a quarantine.
    pub fn note_released(&mut self, revocation: &Revocation, release: &ReleaseId) {
        let entry = self.entry(revocation);
        entry.active.remove(&release.to_string());
        entry.released.insert(release.to_string());
    }

    /// Notes that a quarantine was ended so that this installation could be removed. Of one that is
    /// not known nobody could tell when it is over: that counts as a person's word.
    pub fn note_uninstalled(&mut self, revocation: &Revocation, release: &ReleaseId) {
        let Some(installation) = self.installation.clone() else {
            return self.note_released(revocation, release);
        };
        let entry = self.entry(revocation);
        entry.active.remove(&release.to_string());
        entry.uninstalled.insert(release.to_string(), installation);
    }

    /// Notes that the operator ends a quarantine, in whatever incident.
    pub fn note_ended(&mut self, release: &ReleaseId) {
        for entry in self.entries.values_mut() {
            entry.active.remove(&release.to_string());
        }
    }

    /// Takes in which revocations are in force of the keys that could be read: one that is gone was
    /// withdrawn. A key that is gone or unreadable says nothing.
    pub fn observe(&mut self, in_force: &BTreeSet<Revocation>, readable: &BTreeSet<String>) {
        for (key, entry) in &mut self.entries {
            let Some(revocation) = Revocation::of_key(key) else {
                continue;
            };
            if in_force.contains(&revocation) {
                entry.in_force = true;
            } else if entry.in_force && readable.contains(&revocation.fingerprint) {
                *entry = Entry {
                    withdrawn: entry.withdrawn.saturating_add(1),
                    ..Entry::default()
                };
            }
        }
    }

    /// The revocation that the name of an incident is about.
    pub fn revocation_of(incident: &str) -> Option<Revocation> {
        let mut parts = incident.splitn(3, '/');
        let (fingerprint, digest) = (parts.next()?, parts.next()?);
        parts.next()?;
        Some(Revocation::certificate(fingerprint, digest))
    }

    fn entry(&mut self, revocation: &Revocation) -> &mut Entry {
        let entry = self.entries.entry(revocation.key()).or_default();
        entry.in_force = true;
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> ReleaseId {
        ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        }
    }

    fn word(reason: RevocationReason) -> OwnRevocation {
        OwnRevocation {
            declared_by: "platform".to_owned(),
            reason,
            since: None,
            grandfather: Grandfather::Never,
        }
    }

    fn stolen() -> Revocation {
        Revocation::own("AAAA", &word(RevocationReason::Compromised)).unwrap()
    }

    #[test]
    fn only_hard_words_make_an_incident() {
        assert!(Revocation::own("AAAA", &word(RevocationReason::Unspecified)).is_some());
        assert!(Revocation::own("AAAA", &word(RevocationReason::Retired)).is_none());
        assert!(Revocation::own("AAAA", &word(RevocationReason::Superseded)).is_none());
        let other = Revocation::own("AAAA", &word(RevocationReason::Unspecified)).unwrap();
        assert_ne!(other, stolen());
    }

    #[test]
    fn every_part_of_a_word_makes_another_incident() {
        let base = word(RevocationReason::Compromised);
        let others = [
            OwnRevocation {
                declared_by: "other".to_owned(),
                ..base.clone()
            },
            OwnRevocation {
                reason: RevocationReason::Unspecified,
                ..base.clone()
            },
            OwnRevocation {
                since: Some("2026-11-18T00:00:00Z".parse().unwrap()),
                ..base.clone()
            },
            OwnRevocation {
                grandfather: Grandfather::Witnessed,
                ..base
            },
        ];
        for other in others {
            let revocation = Revocation::own("AAAA", &other).unwrap();
            assert_ne!(revocation, stolen(), "{other:?}");
        }
    }

    #[test]
    fn a_verdict_names_the_revocation_that_the_key_carries() {
        let fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567";
        let of = |word| {
            Revocation::of(&HardRevocation {
                fingerprint: fingerprint.parse().unwrap(),
                word,
            })
        };
        let declared = word(RevocationReason::Compromised);
        assert_eq!(
            of(RevocationWord::Declared(declared.clone())),
            Revocation::own(fingerprint, &declared)
        );
        let soft = word(RevocationReason::Retired);
        assert_eq!(of(RevocationWord::Declared(soft)), None);
        let digest = "5eed".repeat(16);
        assert_eq!(
            of(RevocationWord::Certificate(digest.clone())),
            Some(Revocation::certificate(fingerprint, &digest))
        );
    }

    #[test]
    fn a_digest_fits_the_key_of_a_config_map() {
        let declared = stolen();
        let inside = Revocation::certificate("AAAA", &"5eed".repeat(16));
        for revocation in [declared, inside] {
            let digits = revocation.digest.chars();
            assert_eq!(digits.clone().count(), DIGITS);
            assert!(digits.clone().all(|digit| digit.is_ascii_hexdigit()));
            assert_eq!(Revocation::of_key(&revocation.key()), Some(revocation));
        }
    }

    #[test]
    fn a_revocation_is_withdrawn_once_each_time() {
        let readable = BTreeSet::from(["AAAA".to_owned()]);
        let (declared, withdrawn) = (BTreeSet::from([stolen()]), BTreeSet::new());
        let mut ledger = Ledger::default();
        // Nobody has seen it declared but who noted it.
        ledger.note_active(&stolen(), &web());
        let steps = [
            (&withdrawn, 1),
            (&withdrawn, 1),
            (&declared, 1),
            (&declared, 1),
            (&withdrawn, 2),
        ];
        for (in_force, times) in steps {
            ledger.observe(in_force, &readable);
            let incident = ledger.incident(&stolen());
            assert!(incident.ends_with(&format!("/{times}")), "{incident}");
            assert!(!ledger.was_active(&stolen(), &web()));
        }
    }

    #[test]
    fn what_is_said_of_one_release_holds_for_no_other() {
        let forum = ReleaseId {
            name: "forum".to_owned(),
            ..web()
        };
        let mut ledger = Ledger::default();
        ledger.note_released(&stolen(), &web());
        ledger.note_active(&stolen(), &forum);
        assert!(!ledger.is_released(&stolen(), &forum));
        assert!(!ledger.was_active(&stolen(), &web()));
        ledger.note_ended(&web());
        assert!(ledger.was_active(&stolen(), &forum));
    }

    #[test]
    fn what_a_person_ended_stays_so_through_a_restart() {
        let mut ledger = Ledger::default();
        ledger.note_active(&stolen(), &web());
        assert!(ledger.was_active(&stolen(), &web()));
        ledger.note_released(&stolen(), &web());
        let again = Ledger::read(&ledger.data());
        assert_eq!(again, ledger);
        assert!(again.is_released(&stolen(), &web()));
        assert!(!again.was_active(&stolen(), &web()));
    }

    #[test]
    fn withdrawn_and_declared_again_is_a_new_incident() {
        let mut ledger = Ledger::default();
        ledger.note_released(&stolen(), &web());
        let first = ledger.incident(&stolen());
        let (in_force, readable) = (
            BTreeSet::from([stolen()]),
            BTreeSet::from(["AAAA".to_owned()]),
        );
        ledger.observe(&in_force, &readable);
        assert_eq!(ledger.incident(&stolen()), first);
        ledger.observe(&BTreeSet::new(), &readable);
        ledger.observe(&in_force, &readable);
        assert_ne!(ledger.incident(&stolen()), first);
        assert!(!ledger.is_released(&stolen(), &web()));
    }

    #[test]
    fn a_key_that_is_gone_withdraws_nothing() {
        let mut ledger = Ledger::default();
        ledger.note_released(&stolen(), &web());
        ledger.observe(&BTreeSet::new(), &BTreeSet::new());
        assert!(ledger.is_released(&stolen(), &web()));
    }

    #[test]
    fn what_the_operator_ends_is_not_released() {
        let mut ledger = Ledger::default();
        ledger.note_active(&stolen(), &web());
        ledger.note_ended(&web());
        assert!(!ledger.was_active(&stolen(), &web()));
        assert!(!ledger.is_released(&stolen(), &web()));
    }

    #[test]
    fn what_was_ended_for_an_uninstall_holds_until_the_next_installation() {
        let by = |name: &str| Some(name.to_owned());
        let mut ledger = Ledger::default().read_by(by("first"));
        ledger.note_active(&stolen(), &web());
        ledger.note_uninstalled(&stolen(), &web());
        let read = |installation| Ledger::read(&ledger.data()).read_by(installation);
        assert!(read(None).needs_installation());
        for (installation, is_released) in
            [(by("first"), true), (None, true), (by("second"), false)]
        {
            let ledger = read(installation);
            assert_eq!(ledger.is_released(&stolen(), &web()), is_released);
            assert!(!ledger.was_active(&stolen(), &web()));
        }
        let mut second = read(by("second"));
        second.note_active(&stolen(), &web());
        assert!(!second.needs_installation());
    }

    #[test]
    fn an_installation_that_is_not_known_is_over_never() {
        let mut ledger = Ledger::default();
        ledger.note_uninstalled(&stolen(), &web());
        let next = ledger.read_by(Some("second".to_owned()));
        assert!(next.is_released(&stolen(), &web()));
        assert!(!Ledger::default().needs_installation());
    }

    #[test]
    fn the_name_of_an_incident_tells_its_revocation() {
        let incident = Ledger::default().incident(&stolen());
        assert_eq!(Ledger::revocation_of(&incident), Some(stolen()));
        assert_eq!(Ledger::revocation_of("manual/uid"), None);
    }

    #[test]
    fn an_entry_that_cannot_be_read_says_nothing() {
        let data = BTreeMap::from([("AAAA.00".to_owned(), "{".to_owned())]);
        assert_eq!(Ledger::read(&data), Ledger::default());
    }
}
