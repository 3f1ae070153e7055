//! A work queue: each item waits at most once and is worked on by one task at a time.
//!
//! Items have a rank. An item starts only when nothing of a lower rank is due or being worked on,
//! so that releases are judged by keys that have been read, and are counted after they were judged.
//! An item that has been overdue for [`PATIENCE`] starts anyway.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long an item waits for those of a lower rank.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// An item of work.
pub trait Item: Clone + Eq + Hash + Ord {
    /// Lower ranks go first.
    fn rank(&self) -> u8;
}

/// The queue; clones share it.
#[derive(Debug)]
pub struct Queue<T>(Arc<Shared<T>>);

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    waiting: BTreeMap<u8, BTreeSet<(Instant, T)>>,
    due: HashMap<T, Instant>,
    running: HashSet<T>,
}

/// An item that is being worked on; dropping it lets the same item start again.
#[derive(Debug)]
pub struct Work<T: Item> {
    /// What to do.
    pub item: T,
    queue: Queue<T>,
}

impl<T: Item> Default for Queue<T> {
    fn default() -> Self {
        let state = State {
            waiting: BTreeMap::new(),
            due: HashMap::new(),
            running: HashSet::new(),
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            changed: Notify::new(),
        }))
    }
}

impl<T: Item> Queue<T> {
    /// Asks for work at once.
    pub fn add(&self, item: T) {
        self.add_at(item, Instant::now());
    }

    /// Asks for work at an instant; an earlier request for the same item stands.
    pub fn add_at(&self, item: T, at: Instant) {
        self.state().add(item, at);
        self.0.changed.notify_waiters();
    }

    /// The next item that is due; waits for one.
    pub async fn next(&self) -> Work<T> {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let wake = match self.state().take(Instant::now()) {
                Ok(item) => {
                    return Work {
                        item,
                        queue: self.clone(),
                    };
                }
                Err(wake) => wake,
            };
            match wake {
                Some(at) => drop(tokio::time::timeout_at(at, changed).await),
                None => changed.await,
            }
        }
    }

    /// How many items wait or are being worked on, whether due or not.
    pub fn len(&self) -> usize {
        let state = self.state();
        state.due.len() + state.running.len()
    }

    /// When an item is due, if it waits.
    #[cfg(test)]
    pub(super) fn due_at(&self, item: &T) -> Option<Instant> {
        self.state().due.get(item).copied()
    }

    /// Asks for an item no more.
    #[cfg(test)]
    pub(super) fn forget(&self, item: &T) {
        let mut state = self.state();
        if let Some(at) = state.due.get(item).copied() {
            state.remove(item, at);
        }
    }

    /// Whether nothing waits and nothing is being worked on.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Item> State<T> {
    fn add(&mut self, item: T, at: Instant) {
        if let Some(known) = self.due.get(&item).copied() {
            if known <= at {
                return;
            }
            self.remove(&item, known);
        }
        self.due.insert(item.clone(), at);
        self.waiting
            .entry(item.rank())
            .or_default()
            .insert((at, item));
    }

    fn remove(&mut self, item: &T, at: Instant) {
        self.due.remove(item);
        if let Some(rank) = self.waiting.get_mut(&item.rank()) {
            rank.remove(&(at, item.clone()));
        }
    }

    /// The next item that may start, or the instant at which to look again.
    fn take(&mut self, now: Instant) -> Result<T, Option<Instant>> {
        let mut blocked = false;
        let mut wake = None;
        let mut found = None;
        for (rank, items) in &self.waiting {
            blocked |= self.running.iter().any(|item| item.rank() < *rank);
            let patience = if blocked { PATIENCE } else { Duration::ZERO };
            let startable =
                |(at, item): &&(Instant, T)| *at + patience <= now && !self.running.contains(item);
            let due = items.iter().take_while(|(at, _)| *at <= now);
            found = due.clone().find(startable).cloned();
            if found.is_some() {
                break;
            }
            wake = [wake, wake_of(items, now, patience)]
                .into_iter()
                .flatten()
                .min();
            blocked |= due.count() > 0;
        }
        let Some((at, item)) = found else {
            return Err(wake);
        };
        self.remove(&item, at);
        self.running.insert(item.clone());
        Ok(item)
    }
}

/// When the earliest item of a rank that is not startable now could become so by time alone.
fn wake_of<T>(items: &BTreeSet<(Instant, T)>, now: Instant, patience: Duration) -> Option<Instant> {
    items
        .iter()
        .map(|(at, _)| *at + patience)
        .find(|at| *at > now)
}

impl<T: Item> Drop for Work<T> {
    fn drop(&mut self) {
        self.queue.state().running.remove(&self.item);
        self.queue.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    enum Task {
        Key(u8),
        Release(u8),
    }

    impl Item for Task {
        fn rank(&self) -> u8 {
            match self {
                Self::Key(_) => 0,
                Self::Release(_) => 1,
            }
        }
    }

    fn startable(queue: &Queue<Task>) -> Option<Work<Task>> {
        let item = queue.state().take(Instant::now()).ok()?;
        Some(Work {
            item,
            queue: queue.clone(),
        })
    }

    #[tokio::test]
    async fn an_item_asked_for_twice_is_worked_on_once() {
        let queue = Queue::default();
        queue.add(Task::Key(1));
        queue.add(Task::Key(1));
        drop(queue.next().await);
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_of_two_requests_stands() {
        let queue = Queue::default();
        let now = Instant::now();
        queue.add_at(Task::Key(1), now + Duration::from_secs(9));
        queue.add_at(Task::Key(1), now + Duration::from_secs(2));
        queue.add_at(Task::Key(1), now + Duration::from_secs(5));
        drop(queue.next().await);
        assert_eq!(Instant::now(), now + Duration::from_secs(2));
        assert!(queue.is_empty());
    }

    #[tokio::test]
    async fn the_same_item_is_never_worked_on_by_two() {
        let queue = Queue::default();
        queue.add(Task::Key(1));
        let first = queue.next().await;
        queue.add(Task::Key(1));
        assert!(startable(&queue).is_none());
        drop(first);
        assert_eq!(startable(&queue).unwrap().item, Task::Key(1));
    }

    #[tokio::test]
    async fn a_release_waits_for_keys_that_wait_or_run() {
        let queue = Queue::default();
        queue.add(Task::Release(1));
        queue.add(Task::Key(1));
        let key = queue.next().await;
        assert_eq!(key.item, Task::Key(1));
        assert!(startable(&queue).is_none());
        drop(key);
        assert_eq!(startable(&queue).unwrap().item, Task::Release(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_release_waits_for_keys_only_so_long() {
        let queue = Queue::default();
        queue.add(Task::Key(1));
        let _key = queue.next().await;
        queue.add(Task::Release(1));
        let before = Instant::now();
        let release = queue.next().await;
        assert_eq!(release.item, Task::Release(1));
        assert_eq!(Instant::now() - before, PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_not_due_holds_nothing_up() {
        let queue = Queue::default();
        queue.add_at(Task::Key(1), Instant::now() + Duration::from_secs(60));
        queue.add(Task::Release(1));
        assert_eq!(startable(&queue).unwrap().item, Task::Release(1));
    }
}
