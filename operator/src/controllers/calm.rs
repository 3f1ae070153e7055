//! How soon the change of an object is work: at once, and if it changes again within a second, when that is
//! over. Whoever may write an object of ours can do so hundreds of times a second, and each change would
//! be another look at all that it is about.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Until when each thing rests.
#[derive(Debug)]
pub(super) struct Calm<K>(Mutex<Resting<K>>);

#[derive(Debug)]
struct Resting<K> {
    until: BTreeMap<K, Instant>,
    /// With so many, those are looked for that have rested.
    crowd: usize,
    /// How many were looked at for that.
    #[cfg(test)]
    looked_at: usize,
}

/// How long a thing rests after a change of it was worked on.
const REST: Duration = Duration::from_secs(1);
/// So many are kept before those are forgotten that have rested.
const KEPT: usize = 1024;

impl<K> Default for Calm<K> {
    fn default() -> Self {
        Self(Mutex::new(Resting {
            until: BTreeMap::new(),
            crowd: KEPT,
            #[cfg(test)]
            looked_at: 0,
        }))
    }
}

impl<K: Clone + Ord> Calm<K> {
    /// When the change of a thing that comes now is to be worked on.
    pub(super) fn at(&self, key: &K, now: Instant) -> Instant {
        let mut resting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = resting.until.get(key).copied();
        if let Some(until) = until.filter(|until| *until > now) {
            return until;
        }
        if resting.until.len() >= resting.crowd {
            resting.forget(now);
        }
        resting.until.insert(key.clone(), now + REST);
        now
    }
}

impl<K: Ord> Resting<K> {
    /// Forgets what has rested. Not again before there are twice as many: at a start all there is changes at
    /// once.
    fn forget(&mut self, now: Instant) {
        #[cfg(test)]
        {
            self.looked_at += self.until.len();
        }
        self.until.retain(|_, until| *until > now);
        self.crowd = self.until.len().saturating_mul(2).max(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_changes_all_the_time_is_worked_on_twice_a_second_at_most() {
        let (calm, start) = (Calm::default(), crate::clock::tick());
        let changes = (0..2000).map(|change| start + Duration::from_millis(5) * change);
        let worked: BTreeSet<_> = changes.map(|now| calm.at(&"web", now)).collect();
        assert!((10..=21).contains(&worked.len()), "{}", worked.len());
        assert!(worked.contains(&start), "the first at once");
        let late = start + Duration::from_secs(60);
        assert_eq!(calm.at(&"web", late), late, "and after a rest");
    }

    #[tokio::test(start_paused = true)]
    async fn others_do_not_wait_and_are_forgotten() {
        let (calm, start) = (Calm::default(), crate::clock::tick());
        for one in 0..5 * KEPT {
            let now = start + REST * u32::try_from(one).unwrap();
            assert_eq!(calm.at(&one, now), now);
        }
        assert!(calm.0.lock().unwrap().until.len() <= KEPT);
    }

    /// As at a take-over.
    #[tokio::test(start_paused = true)]
    async fn many_that_change_at_once_cost_little_each() {
        let (calm, start) = (Calm::default(), crate::clock::tick());
        let many = 50 * KEPT;
        for one in 0..many {
            assert_eq!(calm.at(&one, start), start);
        }
        let looked_at = calm.0.lock().unwrap().looked_at;
        assert!(looked_at <= 2 * many, "{looked_at}");
        let late = start + REST;
        for one in 0..2 * many {
            assert_eq!(
                calm.at(&one, late + REST * u32::try_from(one).unwrap()),
                late + REST * u32::try_from(one).unwrap()
            );
        }
        assert!(
            calm.0.lock().unwrap().until.len() <= KEPT,
            "and are forgotten"
        );
    }
}
