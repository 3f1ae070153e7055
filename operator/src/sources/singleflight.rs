//! One answer for all who ask at the same time, and memory of answers between.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Rest;
use super::credentials::Fingerprint;
use super::error::{Cause, FetchError};

/// The place of one answer.
///
/// Whoever comes while the answer is being fetched waits for it and shares it, failures included.
/// A caller that goes away hands the work to the next one.
pub(super) struct Entry<V> {
    /// The last good answer; it stays when a later attempt fails, and while the next one is made.
    kept: Mutex<Option<V>>,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<Attempt>,
    /// How many attempts in a row have failed.
    failures: u32,
}

/// The last attempt, and how it ended if it failed.
struct Attempt {
    begun: Instant,
    ended: Instant,
    failure: Option<FetchError>,
}

/// How recent an answer has to be.
#[derive(Clone, Copy)]
pub(super) struct NotBefore {
    /// Earliest moment for a good answer.
    pub(super) answer: Instant,
    /// Earliest moment for a failure.
    pub(super) failure: Instant,
    /// Earliest moment for the question, where an answer to one that was under way is not good enough.
    pub(super) question: Option<Instant>,
    /// How long a failure stands whatever that moment: longer with each in a row, and never shorter than it
    /// took to fail.
    pub(super) rest: Rest,
}

impl NotBefore {
    /// The same for good answers and failures.
    pub(super) fn both(at: Instant) -> Self {
        Self {
            answer: at,
            failure: at,
            question: None,
            rest: Rest::default(),
        }
    }
}

/// An answer and when it was fetched.
#[derive(Clone)]
pub(super) struct Timestamped<V> {
    pub(super) at: Instant,
    pub(super) value: V,
}

impl<V: Clone> Entry<V> {
    /// The answer if it is recent enough; otherwise asks, given the last good answer.
    pub(super) async fn fetch<F, Asking>(
        &self,
        not_before: NotBefore,
        ask: F,
    ) -> Result<Timestamped<V>, FetchError>
    where
        F: FnOnce(Option<V>) -> Asking,
        Asking: Future<Output = Result<V, FetchError>>,
    {
        let mut state = self.state.lock().await;
        if let Some(known) = state.recent(not_before, || self.kept()) {
            return known;
        }
        let begun = Instant::now();
        let answer = ask(self.kept()).await;
        let at = Instant::now();
        // Failures are shared as well: a thousand releases of a source that is down ask it once.
        state.note(Attempt {
            begun,
            ended: at,
            failure: answer.as_ref().err().cloned(),
        });
        answer.map(|value| {
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(value.clone());
            Timestamped { at, value }
        })
    }

    fn kept(&self) -> Option<V> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }
}

impl State {
    fn note(&mut self, attempt: Attempt) {
        self.failures = match &attempt.failure {
            // That a version is not listed is an answer.
            Some(error) if error.cause() != Cause::ChartNotFound => self.failures.saturating_add(1),
            Some(_) | None => 0,
        };
        self.last = Some(attempt);
    }

    /// Whether a source that has failed is left alone still.
    fn is_resting(&self, rest: Rest, now: Instant) -> bool {
        let Some(last) = self.last.as_ref().filter(|_| self.failures > 0) else {
            return false;
        };
        let took = last.ended.saturating_duration_since(last.begun);
        let exponent = self.failures.saturating_sub(1).min(16);
        let growing = SHORTEST_REST.saturating_mul(1 << exponent);
        let failure = last.failure.as_ref();
        let is_too_large = failure.is_some_and(|it| it.cause() == Cause::LimitExceeded);
        let rest = if is_too_large {
            rest.of_too_large
        } else {
            growing.max(took).min(rest.longest)
        };
        now < last.ended + rest
    }

    fn recent<V>(
        &self,
        not_before: NotBefore,
        kept: impl FnOnce() -> Option<V>,
    ) -> Option<Result<Timestamped<V>, FetchError>> {
        let last = self.last.as_ref()?;
        let is_of_now = not_before.question.is_none_or(|from| last.begun >= from);
        let Some(failure) = &last.failure else {
            let at = last.ended;
            let is_recent = is_of_now && at >= not_before.answer;
            let kept = if is_recent { kept() } else { None };
            return kept.map(|value| Ok(Timestamped { at, value }));
        };
        let is_recent = is_of_now && last.ended >= not_before.failure;
        let is_resting = || self.is_resting(not_before.rest, Instant::now());
        (is_recent || is_resting()).then(|| Err(failure.clone()))
    }
}

impl<V> Default for Entry<V> {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            state: tokio::sync::Mutex::default(),
        }
    }
}

/// How long a source is left alone after its first failure. A little less than whoever has seen the failure
/// waits, so that one of them finds out what has become of it.
const SHORTEST_REST: Duration = Duration::from_millis(1500);

/// Entries by key. Beyond its bounds it forgets the ones not used for longest.
pub(super) struct Cache<V> {
    entries: usize,
    memory: Mutex<Memory<V>>,
    cost: usize,
}

struct Memory<V> {
    clock: u64,
    order: BTreeMap<u64, Fingerprint>,
    entries: HashMap<Fingerprint, Kept<V>>,
    cost: usize,
}

struct Kept<V> {
    entry: Arc<Entry<V>>,
    used: u64,
    cost: usize,
}

impl<V> Cache<V> {
    /// A cache of at most so many entries, of at most so many bytes together.
    pub(super) fn new(entries: usize, cost: usize) -> Self {
        let memory = Memory {
            clock: 0,
            order: BTreeMap::new(),
            entries: HashMap::new(),
            cost: 0,
        };
        Self {
            entries,
            memory: Mutex::new(memory),
            cost,
        }
    }

    /// The entry of a key, new if there is none.
    pub(super) fn entry(&self, key: Fingerprint) -> Arc<Entry<V>> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = memory.touch(key);
        memory.shrink(self.entries, self.cost);
        entry
    }

    /// The last good answer of a key, if there is one; that it is being asked for anew takes nothing from it.
    pub(super) fn remembered(&self, key: Fingerprint) -> Option<V>
    where
        V: Clone,
    {
        let known = {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory
                .entries
                .contains_key(&key)
                .then(|| memory.touch(key))?
        };
        known.kept()
    }

    /// Notes how many bytes the answer of a key takes.
    pub(super) fn set_cost(&self, key: Fingerprint, bytes: usize) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.set_cost(key, bytes);
        memory.shrink(self.entries, self.cost);
    }
}

impl<V> Memory<V> {
    fn touch(&mut self, key: Fingerprint) -> Arc<Entry<V>> {
        self.clock += 1;
        let clock = self.clock;
        let kept = self.entries.entry(key).or_insert_with(|| Kept {
            entry: Arc::default(),
            used: clock,
            cost: 0,
        });
        // A counter and not the clock: two uses within one tick still have an order.
        self.order.remove(&kept.used);
        kept.used = clock;
        self.order.insert(clock, key);
        Arc::clone(&kept.entry)
    }

    fn set_cost(&mut self, key: Fingerprint, bytes: usize) {
        if let Some(entry) = self.entries.get_mut(&key) {
            self.cost = self.cost - entry.cost + bytes;
            entry.cost = bytes;
        }
    }

    fn shrink(&mut self, entries: usize, cost: usize) {
        while self.entries.len() > entries || self.cost > cost {
            let Some((_, oldest)) = self.order.pop_first() else {
                return;
            };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.cost -= entry.cost;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::super::error::{Amount, Part};
    use super::*;

    fn failure() -> FetchError {
        FetchError::Timeout("https://a.example/index.yaml".to_owned())
    }

    fn kept(cache: &Cache<u8>, key: u8) -> bool {
        let memory = cache.memory.lock().unwrap();
        memory.entries.contains_key(&[key; 32])
    }

    #[tokio::test]
    async fn whoever_asks_meanwhile_shares_the_answer() {
        let (entry, asked, gate) = (Entry::default(), AtomicUsize::new(0), Notify::new());
        let ask = || {
            entry.fetch(NotBefore::both(Instant::now()), |_| async {
                asked.fetch_add(1, Ordering::Relaxed);
                gate.notified().await;
                Ok(7)
            })
        };
        let (first, second, third, ()) =
            tokio::join!(ask(), ask(), ask(), async { gate.notify_one() });
        assert_eq!(
            [first, second, third].map(|answer| answer.ok().unwrap().value),
            [7, 7, 7]
        );
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    /// Of two that look at the same time, or while it is asked for anew, neither goes away with nothing.
    #[tokio::test]
    async fn what_is_remembered_is_so_while_it_is_asked_for_anew() {
        let (cache, gate) = (Cache::new(8, 1000), Notify::new());
        let entry = cache.entry([1; 32]);
        let now = || NotBefore::both(Instant::now());
        entry.fetch(now(), |_| async { Ok(7) }).await.ok().unwrap();
        let asking = entry.fetch(now(), |_| async {
            gate.notified().await;
            Ok(8)
        });
        let looking = async {
            let found = cache.remembered([1; 32]);
            gate.notify_one();
            found
        };
        let (asked, found) = tokio::join!(asking, looking);
        assert_eq!((asked.ok().unwrap().value, found), (8, Some(7)));
        assert_eq!(cache.remembered([1; 32]), Some(8));
    }

    #[tokio::test]
    async fn whoever_asks_meanwhile_shares_the_failure() {
        let (entry, asked) = (Entry::<u8>::default(), AtomicUsize::new(0));
        let ask = || {
            entry.fetch(NotBefore::both(Instant::now()), |_| async {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Err(failure())
            })
        };
        let (first, second) = tokio::join!(ask(), ask());
        assert!(first.is_err() && second.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_later_caller_asks_again_and_is_given_the_last_good_answer() {
        let entry = Entry::default();
        entry
            .fetch(NotBefore::both(Instant::now()), |_| async { Ok(1) })
            .await
            .ok()
            .unwrap();
        let failed = entry
            .fetch(NotBefore::both(Instant::now()), |_| async {
                Err(failure())
            })
            .await;
        assert_eq!(failed.err(), Some(failure()));
        let again = entry
            .fetch(NotBefore::both(Instant::now()), |last| async move {
                Ok(last.unwrap() + 1)
            })
            .await;
        assert_eq!(again.ok().unwrap().value, 2);
    }

    /// Whoever asks again downloads all of it again.
    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_is_left_alone_for_the_interval() {
        let hour = Duration::from_secs(3600);
        let not_before = || NotBefore {
            rest: Rest {
                longest: Duration::from_secs(300),
                of_too_large: hour,
            },
            ..NotBefore::both(Instant::now())
        };
        let too_large = FetchError::TooLarge {
            limit: Amount::Bytes(1),
            part: Part::Index,
            url: String::new(),
        };
        for (failure, rest) in [(too_large, hour), (failure(), SHORTEST_REST)] {
            let (entry, asked) = (Entry::<u8>::default(), AtomicUsize::new(0));
            let ask = async || {
                let fail = |_| async {
                    asked.fetch_add(1, Ordering::Relaxed);
                    Err(failure.clone())
                };
                entry.fetch(not_before(), fail).await.err().unwrap()
            };
            assert_eq!(ask().await, failure);
            let moment = Duration::from_millis(1);
            tokio::time::advance(rest.saturating_sub(moment)).await;
            assert_eq!(ask().await, failure);
            assert_eq!(asked.load(Ordering::Relaxed), 1, "{failure}");
            tokio::time::advance(moment).await;
            assert_eq!(ask().await, failure);
            assert_eq!(asked.load(Ordering::Relaxed), 2, "{failure}");
        }
    }

    #[tokio::test]
    async fn an_answer_not_older_than_asked_for_is_not_fetched_again() {
        let (entry, before) = (Entry::default(), Instant::now());
        let first = entry
            .fetch(NotBefore::both(before), |_| async { Ok(1) })
            .await
            .ok()
            .unwrap();
        let second = entry
            .fetch(NotBefore::both(before), |_| async {
                panic!("not asked again")
            })
            .await
            .ok()
            .unwrap();
        assert_eq!((second.value, second.at <= first.at), (1, true));
    }

    #[tokio::test]
    async fn failures_may_have_to_be_more_recent_than_answers() {
        let (entry, answer) = (Entry::default(), Instant::now());
        entry
            .fetch(NotBefore::both(answer), |_| async { Err(failure()) })
            .await
            .err()
            .unwrap();
        let failure = Instant::now() + Duration::from_nanos(1);
        let again = entry
            .fetch(
                NotBefore {
                    failure,
                    ..NotBefore::both(answer)
                },
                |_| async { Ok(1) },
            )
            .await;
        assert_eq!(again.ok().unwrap().value, 1);
        let known = entry
            .fetch(
                NotBefore {
                    failure,
                    ..NotBefore::both(answer)
                },
                |_| async { panic!("not asked again") },
            )
            .await;
        assert_eq!(known.ok().unwrap().value, 1);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_hands_the_work_on() {
        let entry = Entry::default();
        let mut gone = Box::pin(entry.fetch(NotBefore::both(Instant::now()), |_| {
            std::future::pending::<Result<u8, FetchError>>()
        }));
        assert!(futures::poll!(&mut gone).is_pending());
        let next = entry.fetch(NotBefore::both(Instant::now()), |_| async { Ok(2) });
        drop(gone);
        assert_eq!(next.await.ok().unwrap().value, 2);
    }

    #[test]
    fn the_entry_not_used_for_longest_is_forgotten_first() {
        let cache = Cache::<u8>::new(2, 100);
        for key in [1, 2, 1, 3] {
            cache.entry([key; 32]);
        }
        assert_eq!([1, 2, 3].map(|key| kept(&cache, key)), [true, false, true]);
    }

    #[test]
    fn the_cost_is_bounded() {
        let cache = Cache::<u8>::new(10, 100);
        for key in [1, 2] {
            cache.entry([key; 32]);
            cache.set_cost([key; 32], 50);
        }
        assert!(kept(&cache, 1) && kept(&cache, 2));
        cache.set_cost([2; 32], 51);
        assert_eq!([1, 2].map(|key| kept(&cache, key)), [false, true]);
        cache.set_cost([2; 32], 101);
        assert!(!kept(&cache, 2));
        assert_eq!(cache.memory.lock().unwrap().cost, 0);
    }
}
