//! Releases of which no record could be read: in one namespace only so many are shown.
//!
//! Whoever may write Secrets somewhere can store any number of records that are none. Each is read and
//! counted; a `ReleaseTrust` for each would cost as many writes, and hide the others among them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::inventory::ReleaseId;

/// Most releases of one namespace that get a `ReleaseTrust` though no record of them can be read.
// Honest namespaces have none, or as many as one broken upgrade of a tool has left.
pub const MOST_SHOWN: usize = 100;

/// What is shown of them, by namespace.
#[derive(Debug, Default)]
pub struct Junk(Mutex<BTreeMap<String, Names>>);

#[derive(Debug, Default)]
struct Names {
    shown: BTreeSet<String>,
    left_out: BTreeSet<String>,
    was_told: bool,
}

impl Junk {
    /// Whether a release of which no record could be read, and that has no `ReleaseTrust` yet, gets one.
    pub fn admits(&self, id: &ReleaseId) -> bool {
        let mut all = self.lock();
        let names = all.entry(id.namespace.clone()).or_default();
        let is_shown = names.shown.contains(&id.name) || names.shown.len() < MOST_SHOWN;
        if is_shown {
            names.show(id);
        } else {
            names.left_out.insert(id.name.clone());
        }
        is_shown
    }

    /// Notes one that has a `ReleaseTrust`: what it says has to stay true, whatever their number.
    pub fn show(&self, id: &ReleaseId) {
        let mut all = self.lock();
        all.entry(id.namespace.clone()).or_default().show(id);
    }

    /// Whether it is to be told that releases of a namespace are left out: once, until none is.
    pub fn is_news(&self, namespace: &str) -> bool {
        let mut all = self.lock();
        let Some(names) = all.get_mut(namespace) else {
            return false;
        };
        !names.left_out.is_empty() && !std::mem::replace(&mut names.was_told, true)
    }

    /// A record of the release could be read, or it is gone. Returns one that may be shown in its place.
    pub fn settle(&self, id: &ReleaseId) -> Option<ReleaseId> {
        let mut all = self.lock();
        let names = all.get_mut(&id.namespace)?;
        names.shown.remove(&id.name);
        names.left_out.remove(&id.name);
        names.was_told &= !names.left_out.is_empty();
        let next = names.left_out.first().cloned();
        if names.shown.is_empty() && next.is_none() {
            all.remove(&id.namespace);
            return None;
        }
        let is_full = names.shown.len() >= MOST_SHOWN;
        next.filter(|_| !is_full).map(|name| ReleaseId {
            namespace: id.namespace.clone(),
            name,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Names>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn show(&mut self, id: &ReleaseId) {
        self.left_out.remove(&id.name);
        self.shown.insert(id.name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(namespace: &str, number: usize) -> ReleaseId {
        ReleaseId {
            namespace: namespace.to_owned(),
            name: format!("web-{number:03}"),
        }
    }

    #[test]
    fn of_one_namespace_so_many_are_shown_and_the_next_when_one_goes() {
        let junk = Junk::default();
        assert!((0..MOST_SHOWN).all(|number| junk.admits(&id("shop", number))));
        assert!(!junk.is_news("shop"));
        let more = [id("shop", MOST_SHOWN), id("shop", MOST_SHOWN + 1)];
        assert!(more.iter().all(|one| !junk.admits(one)));
        assert!(junk.admits(&id("shop", 0)), "it is shown");
        assert!(junk.admits(&id("bank", 0)), "nobody else's");
        assert!(junk.is_news("shop") && !junk.is_news("shop") && !junk.is_news("bank"));
        assert_eq!(junk.settle(&id("shop", 7)), Some(more[0].clone()));
        assert!(junk.admits(&more[0]) && !junk.admits(&more[1]));
        assert!(!junk.is_news("shop"), "one is left out still");
        assert_eq!(junk.settle(&more[1]), None);
        assert!(!junk.admits(&more[1]) && junk.is_news("shop"), "again");
    }

    #[test]
    fn what_has_an_object_is_shown_whatever_their_number_and_nothing_is_kept_of_who_is_gone() {
        let junk = Junk::default();
        (0..=MOST_SHOWN).for_each(|number| junk.show(&id("shop", number)));
        assert!(junk.admits(&id("shop", MOST_SHOWN)));
        assert!(!junk.admits(&id("shop", MOST_SHOWN + 1)));
        assert_eq!(junk.settle(&id("shop", 0)), None, "still too many");
        for number in 1..=MOST_SHOWN + 1 {
            junk.settle(&id("shop", number));
        }
        assert!(junk.lock().is_empty());
    }
}
