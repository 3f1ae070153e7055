//! How soon the change of an object is work: at once, and if it changes again within a second, when that is
//! over. Whoever may write an object of ours can do so hundreds of times a second, and each change would
//! be another look at all that it is about.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Until when each thing rests.
#[derive(Debug)]
pub(super) struct Calm<K>(Mutex<BTreeMap<K, Instant>>);

/// How long a thing rests after a change of it was worked on.
const REST: Duration = Duration::from_secs(1);
/// So many are kept before those are forgotten that have rested.
const KEPT: usize = 1024;

impl<K> Default for Calm<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Ord> Calm<K> {
    /// When the change of a thing that comes now is to be worked on.
    pub(super) fn at(&self, key: &K, now: Instant) -> Instant {
        let mut resting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = resting.get(key).copied().filter(|until| *until > now) {
            return until;
        }
        if resting.len() >= KEPT {
            resting.retain(|_, until| *until > now);
        }
        resting.insert(key.clone(), now + REST);
        now
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
        assert!(calm.0.lock().unwrap().len() <= KEPT);
    }
}
