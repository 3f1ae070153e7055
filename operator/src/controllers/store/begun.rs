//! When it was decided that each new Quarantine begins: what there was then is seen by its first look, and what the API
//! server has shown of the whole cluster since is new enough for that. Of a thousand that begin together each would ask
//! for the same otherwise.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::inventory::ReleaseId;

/// The moments, by release, until the first look.
#[derive(Debug, Default)]
pub struct Begun(Mutex<BTreeMap<ReleaseId, Instant>>);

impl Begun {
    /// Notes that these begin by what was decided from that moment on.
    pub fn note<'a>(&self, ids: impl Iterator<Item = &'a ReleaseId>, since: Instant) {
        self.all().extend(ids.map(|id| (id.clone(), since)));
    }

    /// Not all of these have begun.
    pub fn forget<'a>(&self, ids: impl Iterator<Item = &'a ReleaseId>) {
        let mut all = self.all();
        for id in ids {
            all.remove(id);
        }
    }

    /// Since when what is shown counts for a look that is due then.
    pub fn take(&self, id: &ReleaseId, due: Instant) -> Instant {
        self.all().remove(id).map_or(due, |since| since.min(due))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<ReleaseId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
