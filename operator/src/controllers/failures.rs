//! How long to wait before what has failed is tried again: longer each time, and not all at once.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// After the first failure.
pub(super) const SHORTEST: Duration = Duration::from_secs(2);
/// However often it has failed.
const LONGEST: Duration = Duration::from_secs(15);

/// How often each thing has failed in a row.
#[derive(Debug)]
pub(super) struct Failures<T> {
    counts: Mutex<HashMap<T, u32>>,
    spread: RandomState,
}

impl<T> Default for Failures<T> {
    fn default() -> Self {
        Self {
            counts: Mutex::default(),
            spread: RandomState::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Failures<T> {
    /// It has failed once more: how long to wait.
    pub(super) fn pause(&self, item: &T) -> Duration {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(item.clone()).or_default();
        let doubled = SHORTEST.saturating_mul(1_u32.checked_shl(*count).unwrap_or(u32::MAX));
        *count = count.saturating_add(1);
        let pause = doubled.min(LONGEST);
        let tenths = u32::try_from(self.spread.hash_one((item, *count)) % 5).unwrap_or_default();
        pause + pause / 10 * tenths
    }

    /// It has not failed.
    pub(super) fn forget(&self, item: &T) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.remove(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_in_a_row_waits_longer_up_to_a_bound() {
        let failures = Failures::default();
        let mut least = SHORTEST;
        for _ in 0..40 {
            let pause = failures.pause(&"a");
            assert!(pause >= least && pause <= least.mul_f32(1.5), "{pause:?}");
            least = (least * 2).min(LONGEST);
        }
    }

    #[test]
    fn success_begins_anew_and_others_are_not_meant() {
        let failures = Failures::default();
        failures.pause(&"a");
        failures.pause(&"a");
        assert!(failures.pause(&"b") < SHORTEST * 2);
        failures.forget(&"a");
        assert!(failures.pause(&"a") < SHORTEST * 2);
    }
}
