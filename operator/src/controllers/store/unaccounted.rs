//! What runs and says to be of a release of which there is no record, once that is so for a while. Pure.
//!
//! Records and workloads are followed apart, so one of them is known first at each install and uninstall.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::inventory::workloads::{Claimant, Claimed};

/// How long a record must be missing.
const SETTLED: Duration = Duration::from_secs(10);

/// What is unaccounted.
#[derive(Debug, Default)]
pub struct Unaccounted(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Since when each was found, by namespace and what it says to be of.
    since: BTreeMap<(String, Claimant), Instant>,
    settled: Arc<[Claimed]>,
}

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Whether something else is unaccounted than before.
    pub is_news: bool,
    /// When something is that is not yet.
    pub next: Option<Instant>,
}

impl Unaccounted {
    /// Takes in everything of which there is no record at this moment.
    pub fn note(&self, found: Vec<Claimed>, now: Instant) -> Noted {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut known.since);
        let mut next = None;
        let mut settled = Vec::new();
        for one in found {
            let key = (one.namespace.clone(), one.of.clone());
            let since = before.get(&key).copied().unwrap_or(now);
            known.since.insert(key, since);
            if since + SETTLED <= now {
                settled.push(one);
            } else {
                let at = since + SETTLED;
                next = Some(next.map_or(at, |known: Instant| known.min(at)));
            }
        }
        let is_news = *known.settled != *settled;
        if is_news {
            known.settled = settled.into();
        }
        Noted { is_news, next }
    }

    /// What is unaccounted.
    pub fn all(&self) -> Arc<[Claimed]> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&known.settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::ReleaseId;

    fn claimed(name: &str, workloads: usize) -> Claimed {
        let namespace = "shop".to_owned();
        Claimed {
            namespace: namespace.clone(),
            of: Claimant::Release(ReleaseId {
                namespace,
                name: name.to_owned(),
            }),
            workloads,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_for_a_moment_only_is_not_told() {
        let (unaccounted, start) = (Unaccounted::default(), crate::clock::tick());
        let note = |names: &[&str], at: Duration| {
            let found = names.iter().map(|name| claimed(name, 1)).collect();
            unaccounted.note(found, start + at)
        };
        let second = Duration::from_secs;
        let noted = note(&["web"], second(0));
        assert_eq!(
            noted,
            Noted {
                is_news: false,
                next: Some(start + SETTLED)
            }
        );
        assert_eq!(
            note(&[], second(5)),
            Noted {
                is_news: false,
                next: None
            }
        );
        // Another install of it, and a release that stays without a record.
        let noted = note(&["other", "web"], second(6));
        assert_eq!(
            (noted.is_news, noted.next),
            (false, Some(start + second(16)))
        );
        let noted = note(&["other"], second(16));
        assert_eq!(
            noted,
            Noted {
                is_news: true,
                next: None
            }
        );
        assert_eq!(*unaccounted.all(), [claimed("other", 1)]);
        assert!(!note(&["other"], second(17)).is_news);
        let noted = note(&["other", "web"], second(18));
        assert_eq!(
            (noted.is_news, noted.next),
            (false, Some(start + second(28)))
        );
        assert!(note(&[], second(19)).is_news);
        assert!(unaccounted.all().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn another_number_of_workloads_is_news_at_once() {
        let (unaccounted, start) = (Unaccounted::default(), crate::clock::tick());
        unaccounted.note(vec![claimed("web", 1)], start);
        unaccounted.note(vec![claimed("web", 1)], start + SETTLED);
        assert!(
            unaccounted
                .note(vec![claimed("web", 2)], start + SETTLED)
                .is_news
        );
        assert_eq!(unaccounted.all()[0].workloads, 2);
    }
}
