//! One answer for all who ask at the same time, and memory of answers between.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::credentials::Fingerprint;
use super::error::FetchError;

/// The place of one answer.
///
/// Whoever comes while the answer is being fetched waits for it and shares it, failures included.
/// A caller that goes away hands the work to the next one.
pub(super) struct Slot<V> {
    state: tokio::sync::Mutex<State<V>>,
}

struct State<V> {
    /// The last good answer; it stays when a later attempt fails.
    kept: Option<V>,
    /// When the last attempt ended, and how if it failed.
    last: Option<(Instant, Option<FetchError>)>,
}

/// How recent an answer has to be.
#[derive(Clone, Copy)]
pub(super) struct Since {
    /// Earliest moment for a good answer.
    pub(super) answer: Instant,
    /// Earliest moment for a failure.
    pub(super) failure: Instant,
}

impl Since {
    /// The same for good answers and failures.
    pub(super) fn both(since: Instant) -> Self {
        Self {
            answer: since,
            failure: since,
        }
    }
}

/// An answer and when it was fetched.
#[derive(Clone)]
pub(super) struct Dated<V> {
    pub(super) at: Instant,
    pub(super) value: V,
}

impl<V: Clone> Slot<V> {
    /// The answer if it is recent enough; otherwise asks, given the last good answer.
    pub(super) async fn recent<F, Asking>(
        &self,
        since: Since,
        ask: F,
    ) -> Result<Dated<V>, FetchError>
    where
        F: FnOnce(Option<V>) -> Asking,
        Asking: Future<Output = Result<V, FetchError>>,
    {
        let mut state = self.state.lock().await;
        if let Some(known) = state.recent(since) {
            return known;
        }
        let answer = ask(state.kept.clone()).await;
        let at = Instant::now();
        state.last = Some((at, answer.as_ref().err().cloned()));
        answer.map(|value| {
            state.kept = Some(value.clone());
            Dated { at, value }
        })
    }
}

impl<V: Clone> State<V> {
    fn recent(&self, since: Since) -> Option<Result<Dated<V>, FetchError>> {
        match self.last.as_ref()? {
            (at, Some(failure)) => (*at >= since.failure).then(|| Err(failure.clone())),
            (at, None) if *at >= since.answer => {
                self.kept.clone().map(|value| Ok(Dated { at: *at, value }))
            }
            (_, None) => None,
        }
    }
}

impl<V> Default for Slot<V> {
    fn default() -> Self {
        Self {
            state: tokio::sync::Mutex::new(State {
                kept: None,
                last: None,
            }),
        }
    }
}

/// Slots by key. Beyond its bounds it forgets the ones not used for longest.
pub(super) struct Cache<V> {
    entries: usize,
    memory: Mutex<Memory<V>>,
    weight: usize,
}

struct Memory<V> {
    clock: u64,
    order: BTreeMap<u64, Fingerprint>,
    slots: HashMap<Fingerprint, Entry<V>>,
    weight: usize,
}

struct Entry<V> {
    slot: Arc<Slot<V>>,
    used: u64,
    weight: usize,
}

impl<V> Cache<V> {
    /// A cache of at most so many entries, of at most so many bytes together.
    pub(super) fn new(entries: usize, weight: usize) -> Self {
        let memory = Memory {
            clock: 0,
            order: BTreeMap::new(),
            slots: HashMap::new(),
            weight: 0,
        };
        Self {
            entries,
            memory: Mutex::new(memory),
            weight,
        }
    }

    /// The slot of a key, new if there is none.
    pub(super) fn slot(&self, key: Fingerprint) -> Arc<Slot<V>> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = memory.touch(key);
        memory.shrink(self.entries, self.weight);
        slot
    }

    /// Notes how many bytes the answer of a key takes.
    pub(super) fn weigh(&self, key: Fingerprint, bytes: usize) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.set_weight(key, bytes);
        memory.shrink(self.entries, self.weight);
    }
}

impl<V> Memory<V> {
    fn touch(&mut self, key: Fingerprint) -> Arc<Slot<V>> {
        self.clock += 1;
        let clock = self.clock;
        let entry = self.slots.entry(key).or_insert_with(|| Entry {
            slot: Arc::default(),
            used: clock,
            weight: 0,
        });
        self.order.remove(&entry.used);
        entry.used = clock;
        self.order.insert(clock, key);
        Arc::clone(&entry.slot)
    }

    fn set_weight(&mut self, key: Fingerprint, bytes: usize) {
        if let Some(entry) = self.slots.get_mut(&key) {
            self.weight = self.weight - entry.weight + bytes;
            entry.weight = bytes;
        }
    }

    fn shrink(&mut self, entries: usize, weight: usize) {
        while self.slots.len() > entries || self.weight > weight {
            let Some((_, oldest)) = self.order.pop_first() else {
                return;
            };
            if let Some(entry) = self.slots.remove(&oldest) {
                self.weight -= entry.weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    fn failure() -> FetchError {
        FetchError::Timeout("https://a.example/index.yaml".to_owned())
    }

    fn kept(cache: &Cache<u8>, key: u8) -> bool {
        let memory = cache.memory.lock().unwrap();
        memory.slots.contains_key(&[key; 32])
    }

    #[tokio::test]
    async fn whoever_asks_meanwhile_shares_the_answer() {
        let (slot, asked, gate) = (Slot::default(), AtomicUsize::new(0), Notify::new());
        let ask = || {
            slot.recent(Since::both(Instant::now()), |_| async {
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

    #[tokio::test]
    async fn whoever_asks_meanwhile_shares_the_failure() {
        let (slot, asked) = (Slot::<u8>::default(), AtomicUsize::new(0));
        let ask = || {
            slot.recent(Since::both(Instant::now()), |_| async {
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
        let slot = Slot::default();
        slot.recent(Since::both(Instant::now()), |_| async { Ok(1) })
            .await
            .ok()
            .unwrap();
        let failed = slot
            .recent(Since::both(Instant::now()), |_| async { Err(failure()) })
            .await;
        assert_eq!(failed.err(), Some(failure()));
        let again = slot
            .recent(Since::both(Instant::now()), |last| async move {
                Ok(last.unwrap() + 1)
            })
            .await;
        assert_eq!(again.ok().unwrap().value, 2);
    }

    #[tokio::test]
    async fn an_answer_not_older_than_asked_for_is_not_fetched_again() {
        let (slot, before) = (Slot::default(), Instant::now());
        let first = slot
            .recent(Since::both(before), |_| async { Ok(1) })
            .await
            .ok()
            .unwrap();
        let second = slot
            .recent(Since::both(before), |_| async { panic!("not asked again") })
            .await
            .ok()
            .unwrap();
        assert_eq!((second.value, second.at <= first.at), (1, true));
    }

    #[tokio::test]
    async fn failures_may_have_to_be_more_recent_than_answers() {
        let (slot, answer) = (Slot::default(), Instant::now());
        slot.recent(Since::both(answer), |_| async { Err(failure()) })
            .await
            .err()
            .unwrap();
        let failure = Instant::now() + std::time::Duration::from_nanos(1);
        let again = slot
            .recent(Since { answer, failure }, |_| async { Ok(1) })
            .await;
        assert_eq!(again.ok().unwrap().value, 1);
        let known = slot
            .recent(Since { answer, failure }, |_| async {
                panic!("not asked again")
            })
            .await;
        assert_eq!(known.ok().unwrap().value, 1);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_hands_the_work_on() {
        let slot = Slot::default();
        let mut gone = Box::pin(slot.recent(Since::both(Instant::now()), |_| {
            std::future::pending::<Result<u8, FetchError>>()
        }));
        assert!(futures::poll!(&mut gone).is_pending());
        let next = slot.recent(Since::both(Instant::now()), |_| async { Ok(2) });
        drop(gone);
        assert_eq!(next.await.ok().unwrap().value, 2);
    }

    #[test]
    fn the_entry_not_used_for_longest_is_forgotten_first() {
        let cache = Cache::<u8>::new(2, 100);
        for key in [1, 2, 1, 3] {
            cache.slot([key; 32]);
        }
        assert_eq!([1, 2, 3].map(|key| kept(&cache, key)), [true, false, true]);
    }

    #[test]
    fn the_weight_is_bounded() {
        let cache = Cache::<u8>::new(10, 100);
        for key in [1, 2] {
            cache.slot([key; 32]);
            cache.weigh([key; 32], 50);
        }
        assert!(kept(&cache, 1) && kept(&cache, 2));
        cache.weigh([2; 32], 51);
        assert_eq!([1, 2].map(|key| kept(&cache, key)), [false, true]);
        cache.weigh([2; 32], 101);
        assert!(!kept(&cache, 2));
        assert_eq!(cache.memory.lock().unwrap().weight, 0);
    }
}
