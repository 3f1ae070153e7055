//! Incidents: which revocation a quarantine is about, which of them people have ended, and what is
//! remembered of that. Pure; the operator keeps it in a ConfigMap of its namespace.
//!
//! An incident is a fingerprint, the digest of the revocation, and how often it was withdrawn
//! before: withdrawn and declared again is a new one. Of our own word the digest is that of its reason:
//! who says it, from when, and what it leaves trusted may be corrected, and what a person has ended
//! stays ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::key::{DeclaredRevocation, HardRevocation, RevocationReason, RevokedBy};
use charttrust_verify::openpgp::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::inventory::ReleaseId;

/// Which hard revocation of which key. Its text is the key of an entry of the `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RevocationId {
    /// Primary fingerprint.
    pub fingerprint: Fingerprint,
    /// The first digits of the digest of the revocation, in hexadecimal.
    digest: String,
}

/// What a quarantine is about. Its text stands in the status and on the objects that it contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IncidentId {
    /// A person has begun it: the uid of the Quarantine.
    Manual(String),
    /// A revocation, and how often it was withdrawn before.
    Revoked(RevocationId, u32),
}

/// A text names no revocation and no incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("names no incident")]
pub struct NoIncident;

impl RevocationId {
    /// What a verdict rests on.
    pub fn of(revocation: &HardRevocation) -> Option<Self> {
        let fingerprint = &revocation.fingerprint;
        match &revocation.by {
            RevokedBy::Certificate(digest) => Some(Self::certificate(fingerprint, digest)),
            RevokedBy::Declared(word) => Self::declared(fingerprint, word),
        }
    }

    /// A revocation inside the key.
    pub fn certificate(fingerprint: &Fingerprint, digest: &str) -> Self {
        Self {
            fingerprint: fingerprint.clone(),
            digest: digest.chars().take(DIGITS).collect(),
        }
    }

    /// Our own word, if it is a hard one.
    pub fn declared(fingerprint: &Fingerprint, word: &DeclaredRevocation) -> Option<Self> {
        let reason = match word.reason {
            RevocationReason::Compromised => "Compromised",
            RevocationReason::Unspecified => "Unspecified",
            RevocationReason::Retired | RevocationReason::Superseded => return None,
        };
        let digest = Sha256Digest::of(reason.as_bytes()).to_string();
        let digits = digest.strip_prefix("sha256:").unwrap_or(&digest);
        Some(Self::certificate(fingerprint, digits))
    }

    /// A status is foreign text, and what it names becomes a key of our `ConfigMap`, which the API
    /// server would refuse as a whole for one odd character: nothing would be remembered any more.
    fn read(fingerprint: &str, digest: &str) -> Result<Self, NoIncident> {
        let is_digest = !digest.is_empty() && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let fingerprint = fingerprint.parse().map_err(|_| NoIncident)?;
        is_digest
            .then(|| Self::certificate(&fingerprint, digest))
            .ok_or(NoIncident)
    }
}

impl fmt::Display for RevocationId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.fingerprint, self.digest)
    }
}

impl FromStr for RevocationId {
    type Err = NoIncident;

    fn from_str(text: &str) -> Result<Self, NoIncident> {
        let (fingerprint, digest) = text.split_once('.').ok_or(NoIncident)?;
        Self::read(fingerprint, digest)
    }
}

impl IncidentId {
    /// The revocation that it is about, if no person has begun it.
    pub fn revocation(self) -> Option<RevocationId> {
        match self {
            Self::Manual(_) => None,
            Self::Revoked(revocation, _) => Some(revocation),
        }
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manual(quarantine) => write!(out, "{MANUAL}/{quarantine}"),
            Self::Revoked(revocation, withdrawn) => {
                let RevocationId {
                    fingerprint,
                    digest,
                } = revocation;
                write!(out, "{fingerprint}/{digest}/{withdrawn}")
            }
        }
    }
}

impl FromStr for IncidentId {
    type Err = NoIncident;

    fn from_str(text: &str) -> Result<Self, NoIncident> {
        let (first, rest) = text.split_once('/').ok_or(NoIncident)?;
        if first == MANUAL {
            return Ok(Self::Manual(rest.to_owned()));
        }
        let (digest, withdrawn) = rest.split_once('/').ok_or(NoIncident)?;
        let withdrawn = withdrawn.parse().map_err(|_| NoIncident)?;
        Ok(Self::Revoked(RevocationId::read(first, digest)?, withdrawn))
    }
}

/// What stands before the uid of a Quarantine that a person has made.
const MANUAL: &str = "manual";

/// So many digits of a digest tell revocations of one key apart.
const DIGITS: usize = 16;

/// What is remembered of incidents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incidents {
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
    /// The newest revision that each of those had then, if that is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    released_at: BTreeMap<String, u64>,
    /// Releases whose quarantine was ended so that an installation of the operator could be removed,
    /// with that installation: it begins none again, and the next one may.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    uninstalled: BTreeMap<String, String>,
}

impl Incidents {
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

    /// Whether a revocation was ever in force here.
    pub fn knows(&self, revocation: &RevocationId) -> bool {
        self.entries.contains_key(&revocation.to_string())
    }

    /// The incident that a revocation in force is.
    pub fn id_of(&self, revocation: &RevocationId) -> IncidentId {
        let entry = self.entries.get(&revocation.to_string());
        let withdrawn = entry.map_or(0, |entry| entry.withdrawn);
        IncidentId::Revoked(revocation.clone(), withdrawn)
    }

    /// Whether a person has ended the quarantine of a release in the incident of today, be it only
    /// for as long as this installation of the operator lasts.
    pub fn is_released(&self, revocation: &RevocationId, release: &ReleaseId) -> bool {
        let entry = self.entries.get(&revocation.to_string());
        let is_leaving = |entry: &Entry| {
            let left = entry.uninstalled.get(&release.to_string());
            left.is_some_and(|left| self.installation.as_ref().is_none_or(|own| own == left))
        };
        entry
            .is_some_and(|entry| entry.released.contains(&release.to_string()) || is_leaving(entry))
    }

    /// Whether the quarantine of a release was seen Active in the incident of today.
    pub fn was_active(&self, revocation: &RevocationId, release: &ReleaseId) -> bool {
        let entry = self.entries.get(&revocation.to_string());
        entry.is_some_and(|entry| entry.active.contains(&release.to_string()))
    }

    /// Notes that a quarantine is in force.
    pub fn note_active(&mut self, revocation: &RevocationId, release: &ReleaseId) {
        let entry = self.entry(revocation);
        entry.active.insert(release.to_string());
        entry.uninstalled.remove(&release.to_string());
    }

    /// Notes that a person has ended a quarantine.
    pub fn note_released(&mut self, revocation: &RevocationId, release: &ReleaseId) {
        let entry = self.entry(revocation);
        entry.active.remove(&release.to_string());
        entry.released.insert(release.to_string());
    }

    /// Notes which revision a release had when a person ended its quarantine: a later one is not what they
    /// have seen.
    pub fn note_revision(&mut self, revocation: &RevocationId, release: &ReleaseId, revision: u64) {
        let entry = self.entry(revocation);
        if entry.released.contains(&release.to_string()) {
            let noted = entry.released_at.entry(release.to_string());
            noted.or_insert(revision);
        }
    }

    /// The revision that a release had when a person ended its quarantine, if that is known.
    pub fn released_at(&self, revocation: &RevocationId, release: &ReleaseId) -> Option<u64> {
        let entry = self.entries.get(&revocation.to_string())?;
        entry.released_at.get(&release.to_string()).copied()
    }

    /// Notes that a quarantine was ended so that this installation could be removed. Of one that is
    /// not known nobody could tell when it is over: that counts as a person's word.
    pub fn note_uninstalled(&mut self, revocation: &RevocationId, release: &ReleaseId) {
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
    pub fn observe(&mut self, in_force: &BTreeSet<RevocationId>, readable: &BTreeSet<Fingerprint>) {
        for (key, entry) in &mut self.entries {
            let Ok(revocation) = key.parse::<RevocationId>() else {
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

    fn entry(&mut self, revocation: &RevocationId) -> &mut Entry {
        let entry = self.entries.entry(revocation.to_string()).or_default();
        entry.in_force = true;
        entry
    }
}

#[cfg(test)]
mod tests {
    use charttrust_verify::key::Grandfather;

    use super::*;

    fn web() -> ReleaseId {
        ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        }
    }

    fn fingerprint() -> Fingerprint {
        "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap()
    }

    fn word(reason: RevocationReason) -> DeclaredRevocation {
        DeclaredRevocation {
            declared_by: "platform".to_owned(),
            reason,
            since: None,
            grandfather: Grandfather::Never,
        }
    }

    fn stolen() -> RevocationId {
        RevocationId::declared(&fingerprint(), &word(RevocationReason::Compromised)).unwrap()
    }

    #[test]
    fn only_hard_words_make_an_incident() {
        assert!(
            RevocationId::declared(&fingerprint(), &word(RevocationReason::Unspecified)).is_some()
        );
        assert!(RevocationId::declared(&fingerprint(), &word(RevocationReason::Retired)).is_none());
        assert!(
            RevocationId::declared(&fingerprint(), &word(RevocationReason::Superseded)).is_none()
        );
        let other =
            RevocationId::declared(&fingerprint(), &word(RevocationReason::Unspecified)).unwrap();
        assert_ne!(other, stolen());
    }

    /// Whoever corrects a date says nothing new: only another reason does, or another key.
    #[test]
    fn only_its_reason_makes_a_word_another_incident() {
        let base = word(RevocationReason::Compromised);
        let since = Some("2026-11-18T00:00:00Z".parse().unwrap());
        let same = [
            DeclaredRevocation {
                declared_by: "other".to_owned(),
                ..base.clone()
            },
            DeclaredRevocation {
                since,
                ..base.clone()
            },
            DeclaredRevocation {
                since,
                grandfather: Grandfather::Witnessed,
                ..base.clone()
            },
        ];
        for word in same {
            let revocation = RevocationId::declared(&fingerprint(), &word).unwrap();
            assert_eq!(revocation, stolen(), "{word:?}");
        }
        let other = word(RevocationReason::Unspecified);
        let other = RevocationId::declared(&fingerprint(), &other).unwrap();
        assert_ne!(other, stolen());
        let key = "F".repeat(40).parse().unwrap();
        let other = RevocationId::declared(&key, &base).unwrap();
        assert_ne!(other, stolen());
    }

    #[test]
    fn a_verdict_names_the_revocation_that_the_key_carries() {
        let of = |by| {
            RevocationId::of(&HardRevocation {
                fingerprint: fingerprint(),
                by,
            })
        };
        let declared = word(RevocationReason::Compromised);
        assert_eq!(
            of(RevokedBy::Declared(declared.clone())),
            RevocationId::declared(&fingerprint(), &declared)
        );
        let soft = word(RevocationReason::Retired);
        assert_eq!(of(RevokedBy::Declared(soft)), None);
        let digest = "5eed".repeat(16);
        assert_eq!(
            of(RevokedBy::Certificate(digest.clone())),
            Some(RevocationId::certificate(&fingerprint(), &digest))
        );
    }

    #[test]
    fn a_digest_fits_the_key_of_a_config_map() {
        let declared = stolen();
        let inside = RevocationId::certificate(&fingerprint(), &"5eed".repeat(16));
        for revocation in [declared, inside] {
            let digits = revocation.digest.chars();
            assert_eq!(digits.clone().count(), DIGITS);
            assert!(digits.clone().all(|digit| digit.is_ascii_hexdigit()));
            assert_eq!(revocation.to_string().parse(), Ok(revocation));
        }
    }

    #[test]
    fn a_revocation_is_withdrawn_once_each_time() {
        let readable = BTreeSet::from([fingerprint()]);
        let (declared, withdrawn) = (BTreeSet::from([stolen()]), BTreeSet::new());
        let mut incidents = Incidents::default();
        // Nobody has seen it declared but who noted it.
        incidents.note_active(&stolen(), &web());
        let steps = [
            (&withdrawn, 1),
            (&withdrawn, 1),
            (&declared, 1),
            (&declared, 1),
            (&withdrawn, 2),
        ];
        for (in_force, times) in steps {
            incidents.observe(in_force, &readable);
            assert_eq!(
                incidents.id_of(&stolen()),
                IncidentId::Revoked(stolen(), times)
            );
            assert!(!incidents.was_active(&stolen(), &web()));
        }
    }

    #[test]
    fn what_is_said_of_one_release_holds_for_no_other() {
        let forum = ReleaseId {
            name: "forum".to_owned(),
            ..web()
        };
        let mut incidents = Incidents::default();
        incidents.note_released(&stolen(), &web());
        incidents.note_active(&stolen(), &forum);
        assert!(!incidents.is_released(&stolen(), &forum));
        assert!(!incidents.was_active(&stolen(), &web()));
        incidents.note_ended(&web());
        assert!(incidents.was_active(&stolen(), &forum));
    }

    #[test]
    fn what_a_person_ended_stays_so_through_a_restart() {
        let mut incidents = Incidents::default();
        incidents.note_active(&stolen(), &web());
        assert!(incidents.was_active(&stolen(), &web()));
        incidents.note_released(&stolen(), &web());
        let again = Incidents::read(&incidents.data());
        assert_eq!(again, incidents);
        assert!(again.is_released(&stolen(), &web()));
        assert!(!again.was_active(&stolen(), &web()));
    }

    #[test]
    fn withdrawn_and_declared_again_is_a_new_incident() {
        let mut incidents = Incidents::default();
        incidents.note_released(&stolen(), &web());
        let first = incidents.id_of(&stolen());
        let (in_force, readable) = (BTreeSet::from([stolen()]), BTreeSet::from([fingerprint()]));
        incidents.observe(&in_force, &readable);
        assert_eq!(incidents.id_of(&stolen()), first);
        incidents.observe(&BTreeSet::new(), &readable);
        incidents.observe(&in_force, &readable);
        assert_ne!(incidents.id_of(&stolen()), first);
        assert!(!incidents.is_released(&stolen(), &web()));
    }

    #[test]
    fn a_key_that_is_gone_withdraws_nothing() {
        let mut incidents = Incidents::default();
        incidents.note_released(&stolen(), &web());
        incidents.observe(&BTreeSet::new(), &BTreeSet::new());
        assert!(incidents.is_released(&stolen(), &web()));
    }

    #[test]
    fn what_the_operator_ends_is_not_released() {
        let mut incidents = Incidents::default();
        incidents.note_active(&stolen(), &web());
        incidents.note_ended(&web());
        assert!(!incidents.was_active(&stolen(), &web()));
        assert!(!incidents.is_released(&stolen(), &web()));
    }

    #[test]
    fn what_was_ended_for_an_uninstall_holds_until_the_next_installation() {
        let by = |name: &str| Some(name.to_owned());
        let mut incidents = Incidents::default().read_by(by("first"));
        incidents.note_active(&stolen(), &web());
        incidents.note_uninstalled(&stolen(), &web());
        let read = |installation| Incidents::read(&incidents.data()).read_by(installation);
        assert!(read(None).needs_installation());
        for (installation, is_released) in
            [(by("first"), true), (None, true), (by("second"), false)]
        {
            let incidents = read(installation);
            assert_eq!(incidents.is_released(&stolen(), &web()), is_released);
            assert!(!incidents.was_active(&stolen(), &web()));
        }
        let mut second = read(by("second"));
        second.note_active(&stolen(), &web());
        assert!(!second.needs_installation());
    }

    #[test]
    fn an_installation_that_is_not_known_is_over_never() {
        let mut incidents = Incidents::default();
        incidents.note_uninstalled(&stolen(), &web());
        let next = incidents.read_by(Some("second".to_owned()));
        assert!(next.is_released(&stolen(), &web()));
        assert!(!Incidents::default().needs_installation());
    }

    #[test]
    fn an_incident_reads_back_from_its_text() {
        let manual = IncidentId::Manual("uid".to_owned());
        assert_eq!(manual.to_string(), "manual/uid");
        let declared = Incidents::default().id_of(&stolen());
        let inside = IncidentId::Revoked(
            RevocationId::certificate(&fingerprint(), &"5eed".repeat(16)),
            3,
        );
        let text = format!("{}/5eed5eed5eed5eed/3", fingerprint());
        assert_eq!(inside.to_string(), text);
        for incident in [manual, declared, inside] {
            assert_eq!(incident.to_string().parse(), Ok(incident));
        }
    }

    /// Whoever may write the status of a Quarantine could stop what is remembered otherwise.
    #[test]
    fn what_could_be_no_key_of_a_config_map_names_no_incident() {
        let key = fingerprint();
        for digest in ["", "5e ed", "5eed\n", "../5eed", "5eed=", "\u{665}"] {
            let text = format!("{key}/{digest}/0");
            assert_eq!(text.parse::<IncidentId>(), Err(NoIncident), "{text:?}");
        }
        for text in [
            "",
            "manual",
            "AAAA/5eed/0",
            &format!("{key}/5eed"),
            &format!("{key}/5eed/x"),
        ] {
            assert_eq!(text.parse::<IncidentId>(), Err(NoIncident), "{text:?}");
        }
    }

    #[test]
    fn an_entry_that_cannot_be_read_says_nothing() {
        let data = BTreeMap::from([("AAAA.00".to_owned(), "{".to_owned())]);
        assert_eq!(Incidents::read(&data), Incidents::default());
    }
}
