//! How long to wait before what has failed is tried again: longer each time, and not all at once.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};

/// After the first failure.
pub(super) const SHORTEST: Duration = Duration::from_secs(2);
/// However often it has failed.
// Once the API server answers again, a revocation is to be carried out in seconds. The 1000 s of
// controller-runtime are for errors that only a change of the object mends, and a change comes by
// the watch anyway.
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
        *count = count.saturating_add(1);
        // From a seed of this process, so that not all operators come together either.
        let place = self.spread.hash_one((item, *count));
        spread(pause(*count, LONGEST), &place)
    }

    /// It has not failed.
    pub(super) fn forget(&self, item: &T) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.remove(item);
    }
}

/// How long to wait after so many failures in a row.
pub(super) fn pause(failures: u32, longest: Duration) -> Duration {
    let growing = ExponentialBuilder::new()
        .with_min_delay(SHORTEST)
        .with_factor(2.0)
        .with_max_delay(longest.max(SHORTEST))
        .without_max_times();
    let before = usize::try_from(failures.saturating_sub(1).min(MOST_COUNTED)).unwrap_or_default();
    let pause = growing.build().nth(before);
    pause.unwrap_or(longest).min(longest)
}

/// Up to two fifths more, another part for each thing and time: a thousand that failed together do not
/// come together again, and who is sent away because of another's turn is not sent away each time.
pub(super) fn spread(pause: Duration, of: &impl Hash) -> Duration {
    pause + part(pause.mul_f64(0.4), of)
}

/// Doubled so often, every pause is longer than any that is asked for.
const MOST_COUNTED: u32 = 32;

/// A part of a duration that is another for each thing, so that not all happen at once.
pub(super) fn part(whole: Duration, of: &impl Hash) -> Duration {
    let mut hasher = std::hash::DefaultHasher::new();
    of.hash(&mut hasher);
    whole.mul_f64(fraction(hasher.finish()))
}

/// A number as one of a thousand places between zero and one.
fn fraction(number: u64) -> f64 {
    let place = u32::try_from(number % 1000).unwrap_or_default();
    f64::from(place) / 1000.0
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

    #[test]
    fn pauses_double_up_to_their_bound_however_often_it_has_failed() {
        let second = Duration::from_secs;
        let hour = second(3600);
        assert_eq!(
            [1, 2, 3, 4].map(|count| pause(count, hour)),
            [2, 4, 8, 16].map(second)
        );
        assert_eq!(pause(u32::MAX, hour), hour);
        assert_eq!(pause(1, second(1)), second(1));
        let parts: Vec<_> = (0..50).map(|of| part(hour, &of)).collect();
        assert!(parts.iter().all(|part| *part < hour));
        assert!(parts.iter().any(|part| *part != parts[0]), "they vary");
    }
}
