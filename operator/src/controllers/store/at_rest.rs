//! How each Quarantine was when a look at it came to rest: what we have written ourselves is no reason to look again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::written::Written;
use crate::inventory::ReleaseId;

/// The resource versions, by release.
#[derive(Debug, Default)]
pub struct AtRest(Mutex<BTreeMap<ReleaseId, Written<()>>>);

impl AtRest {
    /// Notes that nothing was left to do at this version.
    pub fn note(&self, id: &ReleaseId, resource_version: &str) {
        let written = Written {
            resource_version: resource_version.to_owned(),
            status: (),
        };
        self.all().insert(id.clone(), written);
    }

    /// It is gone.
    pub fn forget(&self, id: &ReleaseId) {
        self.all().remove(id);
    }

    /// Whether what the watch shows is that version, or one before it.
    pub fn is_still(&self, id: &ReleaseId, watched: Option<&str>) -> bool {
        let all = self.all();
        all.get(id).is_some_and(|one| !one.is_older_than(watched))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<ReleaseId, Written<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_written_since_is_a_reason_to_look() {
        let (all, id) = (
            AtRest::default(),
            ReleaseId {
                namespace: "shop".to_owned(),
                name: "web".to_owned(),
            },
        );
        assert!(!all.is_still(&id, Some("7")), "nobody has looked yet");
        all.note(&id, "9");
        for (watched, is_still) in [("8", true), ("9", true), ("10", false), ("x", false)] {
            assert_eq!(all.is_still(&id, Some(watched)), is_still, "{watched}");
        }
        assert!(!all.is_still(&id, None));
        all.forget(&id);
        assert!(!all.is_still(&id, Some("9")));
    }
}
