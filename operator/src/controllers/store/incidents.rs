//! What is remembered of incidents, as this process knows it.

use std::collections::BTreeSet;

use crate::inventory::ReleaseId;
use crate::quarantine::incident::{Incidents, RevocationId};

/// What is remembered, as it was last read or written.
#[derive(Debug, Default)]
pub struct IncidentStore {
    /// With the resource version of the ConfigMap, if there is one.
    pub known: Option<(Incidents, Option<String>)>,
    /// uids of quarantines that we end: a cache that lags still shows them Active.
    pub ending: BTreeSet<String>,
    /// What could not be written yet. It counts nevertheless, and is tried again.
    pub unwritten: Vec<Note>,
}

/// That a quarantine has ended, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// We have ended it: it may begin again.
    Ended(ReleaseId),
    /// A person has: the incidents of these revocations are over for the release, which had this revision.
    Released(ReleaseId, BTreeSet<RevocationId>, Option<u64>),
    /// It has ended so that this installation, known by its uid, can be removed.
    Uninstalled(ReleaseId, BTreeSet<RevocationId>, Option<String>),
}

impl Note {
    /// Takes it into what is remembered.
    pub fn apply(&self, incidents: &mut Incidents) {
        match self {
            Self::Ended(id) => incidents.note_ended(id),
            Self::Released(id, revocations, revision) => {
                for revocation in revocations {
                    incidents.note_released(revocation, id);
                    if let Some(revision) = revision {
                        incidents.note_revision(revocation, id, *revision);
                    }
                }
            }
            Self::Uninstalled(id, revocations, installation) => {
                let mut known = std::mem::take(incidents).read_by(installation.clone());
                for revocation in revocations {
                    known.note_uninstalled(revocation, id);
                }
                *incidents = known;
            }
        }
    }
}
