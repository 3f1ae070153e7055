//! A work queue: each item waits at most once and is worked on by one task at a time.
//!
//! Items have a rank. An item starts only when nothing of a lower rank is due or being worked on,
//! so that releases are judged by keys that have been read, and are counted after they were judged.
//! What has been overdue for [`PATIENCE`] goes first, the longest overdue rank before others: a flood
//! of one rank stops no other. Within a rank the namespaces take turns: nobody waits for a tenant with
//! a thousand releases. An item may belong to a lane, of which only so many are worked on at a time.
//!
//! Decision: not the scheduler of `kube::runtime::Controller`, which knows one kind, no ranks and no
//! turns; and tasks here are of no object at all (a status, a decision, what was learned).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::lanes::{Lanes, Pace};
use crate::clock::tick;

/// How long an item waits for those of a lower rank.
// A revocation is to be seen in seconds: longer than this a quarantine does not wait for a thousand
// releases that are judged first.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Longest time for which a deadline is taken on trust.
// Deadlines are calendar dates, and waits are measured by a clock that nobody sets: once an hour
// the two are held against each other.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// An item of work.
pub trait Item: Clone + Eq + Hash + Ord {
    /// Lower ranks go first.
    fn rank(&self) -> u8;

    /// Whose work it is: those of one rank take turns. Empty where it is nobody's.
    #[expect(
        clippy::unnecessary_literal_bound,
        reason = "others give a part of themselves"
    )]
    fn share(&self) -> &str {
        ""
    }

    /// Which lane it belongs to, that has a share of the workers. Empty where there is no limit.
    #[expect(
        clippy::unnecessary_literal_bound,
        reason = "others give a part of themselves"
    )]
    fn lane(&self) -> &str {
        ""
    }
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

/// What waits in a rank, by its lane and by whose it is.
type Shares<T> = BTreeMap<Share, BTreeSet<(Instant, T)>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Share {
    lane: String,
    owner: String,
}

impl Share {
    fn of<T: Item>(item: &T) -> Self {
        Self {
            lane: item.lane().to_owned(),
            owner: item.share().to_owned(),
        }
    }
}

#[derive(Debug)]
struct State<T> {
    waiting: BTreeMap<u8, Shares<T>>,
    /// When each share with something waiting had its last turn, counted in turns.
    served: HashMap<Share, u64>,
    turns: u64,
    due: HashMap<T, Instant>,
    running: HashSet<T>,
    lanes: Lanes,
    /// When an item was last begun or ended.
    moved: Option<Instant>,
}

/// An item that is being worked on; dropping it lets the same item start again.
#[derive(Debug)]
pub struct Work<T: Item> {
    /// What to do.
    pub item: T,
    /// Since when it was due.
    pub due: Instant,
    queue: Queue<T>,
}

impl<T: Item> Default for Queue<T> {
    fn default() -> Self {
        let state = State {
            waiting: BTreeMap::new(),
            served: HashMap::new(),
            turns: 0,
            due: HashMap::new(),
            running: HashSet::new(),
            lanes: Lanes::default(),
            moved: None,
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
        self.add_at(item, tick());
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
            // Before looking, or a request between the look and the wait would be slept through
            // (see `Notify::notify_waiters`).
            changed.as_mut().enable();
            let wake = match self.state().take(tick()) {
                Ok((due, item)) => {
                    return Work {
                        item,
                        due,
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

    /// Takes an item out of turn, if it is due and not being worked on.
    pub(super) fn claim(&self, item: &T) -> Option<Work<T>> {
        let (mut state, now) = (self.state(), tick());
        let due = state.due.get(item).copied().filter(|at| *at <= now)?;
        if state.running.contains(item) || !state.lanes.is_open(item.lane()) {
            return None;
        }
        state.begin(item, due, now);
        Some(Work {
            item: item.clone(),
            due,
            queue: self.clone(),
        })
    }

    /// Notes how quickly a lane moves, and with that how many are worked on there at a time.
    pub(super) fn pace(&self, lane: &str, pace: Pace) {
        self.state().lanes.set(lane, pace);
        self.0.changed.notify_waiters();
    }

    /// For how long something has been due while no item was begun or ended.
    pub fn idle(&self, now: Instant) -> Duration {
        let state = self.state();
        let shares = state.waiting.values().flat_map(BTreeMap::values);
        let first = shares.filter_map(BTreeSet::first);
        let due = first.map(|(at, _)| *at).min().filter(|at| *at <= now);
        let since = due.map(|at| state.moved.map_or(at, |moved| moved.max(at)));
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Whether an item that is due has only to wait for its turn: of its lane something came to its end no longer
    /// ago than `within`. Of one in a lane that hangs or fails nobody knows when it is its turn.
    pub(super) fn comes_soon(&self, item: &T, now: Instant, within: Duration) -> bool {
        let state = self.state();
        let moved = match item.lane() {
            "" => state.moved,
            lane => state.lanes.moved(lane),
        };
        let waits = state.due.get(item).is_some_and(|at| *at <= now);
        waits && moved.is_some_and(|at| now < at + within)
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

    /// How many items are being worked on.
    #[cfg(test)]
    pub(super) fn running(&self) -> usize {
        self.state().running.len()
    }

    /// Whether nothing is being worked on, and nothing is due until then.
    #[cfg(test)]
    pub(super) fn is_idle_until(&self, then: Instant) -> bool {
        let state = self.state();
        state.running.is_empty() && state.due.values().all(|at| *at > then)
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
            // The earlier request stands: a change must not be put off by something that is only
            // due in an hour.
            if known <= at {
                return;
            }
            self.remove(&item, known);
        }
        self.due.insert(item.clone(), at);
        let shares = self.waiting.entry(item.rank()).or_default();
        let share = shares.entry(Share::of(&item)).or_default();
        share.insert((at, item));
    }

    fn remove(&mut self, item: &T, at: Instant) {
        self.due.remove(item);
        let Some(shares) = self.waiting.get_mut(&item.rank()) else {
            return;
        };
        let key = Share::of(item);
        let Some(share) = shares.get_mut(&key) else {
            return;
        };
        share.remove(&(at, item.clone()));
        if share.is_empty() {
            shares.remove(&key);
        }
    }

    /// The next item that may start, or the instant at which to look again.
    fn take(&mut self, now: Instant) -> Result<(Instant, T), Option<Instant>> {
        let Some((at, item)) = self.overdue(now).or_else(|| self.in_order(now)) else {
            return Err(self.wake(now));
        };
        self.begin(&item, at, now);
        Ok((at, item))
    }

    /// Has an item worked on that waited until `at`.
    fn begin(&mut self, item: &T, at: Instant, now: Instant) {
        self.remove(item, at);
        self.turns += 1;
        // Nothing is kept of tenants who have nothing waiting, or the map would grow with every
        // namespace that ever was.
        let share = Share::of(item);
        let mut ranks = self.waiting.values();
        if ranks.any(|shares| shares.contains_key(&share)) {
            self.served.insert(share, self.turns);
        } else {
            self.served.remove(&share);
        }
        self.lanes.begin(item.lane());
        self.running.insert(item.clone());
        self.moved = Some(now);
    }

    /// One of the rank in which something has been overdue for the longest.
    fn overdue(&self, now: Instant) -> Option<(Instant, T)> {
        let oldest = |shares: &Shares<T>| {
            let open = shares.iter().filter(|(share, _)| self.is_open(share));
            let firsts = open.filter_map(|(_, items)| self.first(items, now, PATIENCE));
            firsts.map(|(at, _)| *at).min()
        };
        let ranks = self.waiting.values();
        let ranks = ranks.filter_map(|shares| Some((oldest(shares)?, shares)));
        let (_, shares) = ranks.min_by_key(|(at, _)| *at)?;
        self.in_turn(shares, now, PATIENCE)
    }

    /// One of the lowest rank that is due, unless it has to wait for a lower one.
    fn in_order(&self, now: Instant) -> Option<(Instant, T)> {
        for (rank, shares) in &self.waiting {
            // What is running in a lower rank counts as well: the key that is being read may be the
            // one that was revoked.
            if self.running.iter().any(|item| item.rank() < *rank) {
                return None;
            }
            let found = self.in_turn(shares, now, Duration::ZERO);
            let is_due =
                |share: &BTreeSet<(Instant, T)>| share.first().is_some_and(|(at, _)| *at <= now);
            if found.is_some() || shares.values().any(is_due) {
                return found;
            }
        }
        None
    }

    /// The first startable item of the share that has waited for its turn for the longest.
    fn in_turn(&self, shares: &Shares<T>, now: Instant, overdue: Duration) -> Option<(Instant, T)> {
        let turn = |share: &Share| self.served.get(share).copied().unwrap_or_default();
        let firsts = shares.iter().filter(|(share, _)| self.is_open(share));
        let firsts =
            firsts.filter_map(|(share, items)| Some((share, self.first(items, now, overdue)?)));
        let (_, item) = firsts.min_by_key(|(share, (at, _))| (turn(share), *at))?;
        Some(item.clone())
    }

    fn is_open(&self, share: &Share) -> bool {
        self.lanes.is_open(&share.lane)
    }

    /// The first item of a share that is overdue for so long and is not being worked on.
    fn first<'a>(
        &self,
        share: &'a BTreeSet<(Instant, T)>,
        now: Instant,
        overdue: Duration,
    ) -> Option<&'a (Instant, T)> {
        let mut due = share.iter().take_while(|(at, _)| *at + overdue <= now);
        due.find(|(_, item)| !self.running.contains(item))
    }

    /// An item of a lane is no longer worked on; of a lane in which nothing waits nothing is kept.
    fn leave(&mut self, lane: &str, now: Instant) {
        if lane.is_empty() {
            return;
        }
        self.lanes.end(lane, now);
        let mut shares = self.waiting.values().flat_map(BTreeMap::keys);
        if !shares.any(|share| share.lane == lane) {
            self.lanes.forget(lane);
        }
    }

    /// When time alone could let another item start.
    fn wake(&self, now: Instant) -> Option<Instant> {
        let shares = self.waiting.values().flat_map(BTreeMap::values);
        let next = shares.flat_map(|share| {
            let ats = || share.iter().map(|(at, _)| *at);
            let due = ats().find(|at| *at > now);
            let overdue = ats().map(|at| at + PATIENCE).find(|at| *at > now);
            due.into_iter().chain(overdue)
        });
        next.min()
    }
}

impl<T: Item> Drop for Work<T> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        let now = tick();
        state.running.remove(&self.item);
        state.leave(self.item.lane(), now);
        state.moved = Some(now);
        drop(state);
        self.queue.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::SHARE;
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
        let (due, item) = queue.state().take(tick()).ok()?;
        Some(Work {
            item,
            due,
            queue: queue.clone(),
        })
    }

    #[tokio::test]
    async fn what_is_taken_out_of_turn_is_due_and_worked_on_once() {
        let queue = Queue::default();
        queue.add(Task::Release(1));
        queue.add(Task::Release(2));
        queue.add_at(Task::Release(3), tick() + Duration::from_secs(60));
        let second = queue.claim(&Task::Release(2)).unwrap();
        assert_eq!(second.item, Task::Release(2));
        for (item, why) in [
            (2, "it is worked on"),
            (3, "not due yet"),
            (4, "not asked for"),
        ] {
            assert!(queue.claim(&Task::Release(item)).is_none(), "{why}");
        }
        queue.add(Task::Release(2));
        assert!(
            queue.claim(&Task::Release(2)).is_none(),
            "it is worked on still"
        );
        assert_eq!(startable(&queue).unwrap().item, Task::Release(1));
        drop(second);
        assert!(
            queue.claim(&Task::Release(2)).is_some(),
            "asked for meanwhile"
        );
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
        let now = tick();
        queue.add_at(Task::Key(1), now + Duration::from_secs(9));
        queue.add_at(Task::Key(1), now + Duration::from_secs(2));
        queue.add_at(Task::Key(1), now + Duration::from_secs(5));
        drop(queue.next().await);
        assert_eq!(tick(), now + Duration::from_secs(2));
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_comes_soon_while_others_move() {
        let (queue, within) = (Queue::default(), Duration::from_secs(2));
        let comes_soon = |item: u8| queue.comes_soon(&Task::Release(item), tick(), within);
        queue.add(Task::Release(1));
        queue.add(Task::Release(2));
        queue.add_at(Task::Release(3), tick() + within);
        assert!(!comes_soon(1), "nothing was begun yet");
        let first = queue.next().await;
        assert_eq!(first.item, Task::Release(1));
        assert!(comes_soon(2));
        assert!(!comes_soon(1), "it is being worked on");
        assert!(!comes_soon(3), "it is not due");
        tokio::time::advance(within).await;
        assert!(!comes_soon(2), "the other hangs");
        drop(first);
        assert!(comes_soon(2) && comes_soon(3));
        assert!(!comes_soon(4), "nobody asked for it");
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
        let before = tick();
        let release = queue.next().await;
        assert_eq!(release.item, Task::Release(1));
        assert_eq!(tick() - before, PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_not_due_holds_nothing_up() {
        let queue = Queue::default();
        queue.add_at(Task::Key(1), tick() + Duration::from_secs(60));
        queue.add(Task::Release(1));
        assert_eq!(startable(&queue).unwrap().item, Task::Release(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_idle_only_while_something_is_due_and_nothing_moves() {
        let (queue, start) = (Queue::default(), tick());
        let minutes = |count: u64| Duration::from_secs(60 * count);
        assert_eq!(
            queue.idle(start + minutes(9)),
            Duration::ZERO,
            "nothing waits"
        );
        queue.add_at(Task::Key(1), start + minutes(5));
        assert_eq!(queue.idle(start + minutes(5)), Duration::ZERO);
        assert_eq!(queue.idle(start + minutes(9)), minutes(4));
        tokio::time::advance(minutes(9)).await;
        let work = queue.next().await;
        queue.add(Task::Key(2));
        assert_eq!(queue.idle(start + minutes(10)), minutes(1));
        tokio::time::advance(minutes(3)).await;
        drop(work);
        assert_eq!(queue.idle(start + minutes(13)), minutes(1));
    }

    /// A task of a namespace, of the rank of its number.
    #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    struct Of(&'static str, u8, u32);

    impl Item for Of {
        fn rank(&self) -> u8 {
            self.1
        }

        fn share(&self) -> &str {
            self.0
        }
    }

    fn taken(queue: &Queue<Of>) -> Of {
        queue.state().take(tick()).unwrap().1
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_tenant_with_a_thousand_releases() {
        let queue = Queue::default();
        (0..1000).for_each(|number| queue.add(Of("flood", 2, number)));
        tokio::time::advance(Duration::from_secs(1)).await;
        taken(&queue);
        queue.add(Of("shop", 2, 1));
        queue.add(Of("shop", 2, 2));
        let next: Vec<_> = (0..4).map(|_| taken(&queue).0).collect();
        assert_eq!(next, ["shop", "flood", "shop", "flood"]);
    }

    /// A look at a source.
    #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    struct At(&'static str, u32);

    impl Item for At {
        fn rank(&self) -> u8 {
            0
        }

        fn lane(&self) -> &str {
            self.0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_in_one_lane_keeps_no_other_waiting() {
        let queue = Queue::default();
        (0..40).for_each(|number| queue.add(At("slow", number)));
        let mut hanging: Vec<_> = Vec::new();
        for _ in 0..SHARE {
            hanging.push(queue.next().await);
        }
        queue.add(At("quick", 0));
        tokio::time::advance(PATIENCE * 2).await;
        assert_eq!(queue.next().await.item, At("quick", 0), "however overdue");
        assert!(queue.state().take(tick()).is_err());
        drop(hanging.pop());
        let next = queue.next().await;
        assert_eq!(next.item, At("slow", 3));
        queue.pace("slow", Pace::Slow);
        drop(next);
        assert!(queue.state().take(tick()).is_err(), "two of them still run");
        hanging.clear();
        assert_eq!(queue.next().await.item, At("slow", 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_is_slow_as_long_as_something_waits_there() {
        let queue = Queue::default();
        let begun = |number: u32| {
            (0..9).for_each(|other| queue.add(At("slow", number + other)));
            let mut begun = Vec::new();
            while let Some(item) = queue.state().take(tick()).ok().map(|(_, item)| item) {
                begun.push(item);
            }
            begun.len()
        };
        assert_eq!(begun(0), SHARE);
        queue.pace("slow", Pace::Slow);
        let mut state = queue.state();
        state.running.clear();
        (0..SHARE).for_each(|_| state.leave("slow", tick()));
        drop(state);
        assert_eq!(begun(10), 1);
        let mut state = queue.state();
        state.waiting.clear();
        state.running.clear();
        state.leave("slow", tick());
        drop(state);
        assert_eq!(begun(20), SHARE, "nothing is kept of a lane that is over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_releases_keeps_no_quarantine_waiting() {
        let queue = Queue::default();
        queue.add(Of("shop", 3, 1));
        let mut began = 0;
        // Each second brings more releases than are judged in it.
        for second in 0..20 {
            (0..10).for_each(|number| queue.add(Of("flood", 2, second * 10 + number)));
            for _ in 0..5 {
                let item = taken(&queue);
                queue.state().running.remove(&item);
                if item.rank() == 3 {
                    began = second;
                }
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!((5..=6).contains(&began), "after {began} s");
    }
}
