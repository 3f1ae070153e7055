//! Who calls, by address, so that nobody takes what all others need. Touches nothing.
//!
//! Anything in the cluster may reach the port, and while API servers get no answer, everything goes in: a Pod that
//! opens connections, or sends bodies and does not end them, must not keep API servers out.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Most connections at a time. API servers keep a few each.
pub(super) const MOST_CONNECTIONS: usize = 256;
/// Bodies, and records that are decoded, at a time.
pub(super) const MOST_BODIES: usize = 8;
/// Those of one address. An API server sends a body in a moment, so that more would be faster only for who does
/// not.
pub(super) const MOST_BODIES_OF_ONE: usize = 3;

/// All that call at this moment.
#[derive(Debug)]
pub(super) struct Callers {
    known: Mutex<Known>,
    bodies: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Known {
    connections: usize,
    /// By address; none without connections.
    callers: HashMap<IpAddr, Caller>,
}

#[derive(Debug)]
struct Caller {
    bodies: Arc<Semaphore>,
    /// Oldest first.
    connections: VecDeque<Arc<Connection>>,
}

#[derive(Debug, Default)]
struct Connection {
    /// Whether what it has asked is being answered; not while it only sends.
    is_answered: AtomicBool,
    ended: Notify,
}

/// A connection that was let in. It counts until all of it is dropped.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    /// Who calls.
    pub(super) from: IpAddr,
    bodies: [Arc<Semaphore>; 2],
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    callers: Arc<Callers>,
    from: IpAddr,
    connection: Arc<Connection>,
}

/// A place for a body and what is made of it, taken until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// Whose it is.
    pub(super) from: IpAddr,
    _places: [OwnedSemaphorePermit; 2],
}

/// Something is being answered until this is dropped.
#[derive(Debug)]
pub(super) struct Answering(Arc<Connection>);

impl Default for Callers {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            bodies: Arc::new(Semaphore::new(MOST_BODIES)),
        }
    }
}

impl Callers {
    /// Lets a connection in. When all places are taken, whoever has most of them loses the oldest that nobody
    /// answers at this moment, to whom has fewer; an API server whose connection is gone makes another.
    pub(super) fn admit(self: &Arc<Self>, from: IpAddr) -> Option<Admitted> {
        let from = from.to_canonical();
        let mut known = self.lock();
        if known.connections >= MOST_CONNECTIONS && !known.make_room(from) {
            return None;
        }
        let connection = Arc::new(Connection::default());
        let caller = known.callers.entry(from).or_insert_with(Caller::new);
        caller.connections.push_back(Arc::clone(&connection));
        let bodies = [&caller.bodies, &self.bodies].map(Arc::clone);
        known.connections = known.connections.saturating_add(1);
        Some(Admitted {
            from,
            bodies,
            held: Arc::new(Held {
                callers: Arc::clone(self),
                from,
                connection,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    /// How many bodies could be read beside those that are.
    pub(super) fn free(&self) -> usize {
        self.bodies.available_permits()
    }
}

impl Known {
    /// Ends a connection of whoever has most; no if that would be nobody else.
    fn make_room(&mut self, newcomer: IpAddr) -> bool {
        let of = |caller: &Caller| caller.connections.len();
        let own = self.callers.get(&newcomer).map_or(0, of);
        let Some((from, heaviest)) = self.callers.iter().max_by_key(|(_, one)| of(one)) else {
            return false;
        };
        if of(heaviest) <= own.saturating_add(1) {
            return false;
        }
        let mut idle = heaviest.connections.iter();
        let idle = idle.find(|one| !one.is_answered.load(Ordering::Relaxed));
        let Some(idle) = idle.map(Arc::clone) else {
            return false;
        };
        let from = *from;
        self.remove(from, &idle);
        idle.ended.notify_one();
        true
    }

    fn remove(&mut self, from: IpAddr, connection: &Arc<Connection>) {
        let Some(caller) = self.callers.get_mut(&from) else {
            return;
        };
        let before = caller.connections.len();
        caller
            .connections
            .retain(|one| !Arc::ptr_eq(one, connection));
        let gone = before.saturating_sub(caller.connections.len());
        self.connections = self.connections.saturating_sub(gone);
        if caller.connections.is_empty() {
            self.callers.remove(&from);
        }
    }
}

impl Caller {
    fn new() -> Self {
        Self {
            bodies: Arc::new(Semaphore::new(MOST_BODIES_OF_ONE)),
            connections: VecDeque::new(),
        }
    }
}

impl Admitted {
    /// Returns when its place is given to somebody else.
    pub(super) async fn ended(&self) {
        self.held.connection.ended.notified().await;
    }

    /// A place to read a body in, when one is free.
    pub(super) async fn place(&self) -> Option<Place> {
        let [own, all] = self.bodies.each_ref().map(Arc::clone);
        // First its own: who waits for that must not hold one of all.
        let own = own.acquire_owned().await.ok()?;
        let all = all.acquire_owned().await.ok()?;
        Some(Place {
            from: self.from,
            _places: [own, all],
        })
    }

    /// From now on what it has asked is being answered.
    pub(super) fn answering(&self) -> Answering {
        let connection = Arc::clone(&self.held.connection);
        connection.is_answered.store(true, Ordering::Relaxed);
        Answering(connection)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.is_answered.store(false, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.callers.lock().remove(self.from, &self.connection);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn fill(callers: &Arc<Callers>, last: u8) -> Vec<Admitted> {
        std::iter::from_fn(|| callers.admit(address(last))).collect()
    }

    fn is_ended(one: &Admitted) -> bool {
        one.ended().now_or_never().is_some()
    }

    #[test]
    fn who_takes_every_connection_gives_half_of_them_to_who_comes() {
        let callers = Arc::new(Callers::default());
        let greedy = fill(&callers, 1);
        assert_eq!(greedy.len(), MOST_CONNECTIONS);
        let newcomers: Vec<_> = (0..MOST_CONNECTIONS)
            .map_while(|_| callers.admit(address(2)))
            .collect();
        assert_eq!(newcomers.len(), MOST_CONNECTIONS / 2);
        assert!(!newcomers.iter().any(is_ended));
        // The oldest go first.
        let ended: Vec<_> = greedy.iter().map(is_ended).collect();
        let half = MOST_CONNECTIONS / 2;
        assert!(ended[..half].iter().all(|one| *one) && !ended[half..].contains(&true));
        // Who has lost them gets none of them back by asking again.
        assert!(callers.admit(address(1)).is_none());
        drop((greedy, newcomers));
        let known = callers.lock();
        assert_eq!((known.connections, known.callers.len()), (0, 0));
    }

    #[test]
    fn what_is_being_answered_is_not_ended() {
        let callers = Arc::new(Callers::default());
        let greedy = fill(&callers, 1);
        let answering: Vec<_> = greedy.iter().map(Admitted::answering).collect();
        assert!(callers.admit(address(2)).is_none());
        drop(answering);
        let _newcomer = callers.admit(address(2)).unwrap();
        assert!(is_ended(&greedy[0]) && !is_ended(&greedy[1]));
    }

    #[test]
    fn an_address_is_one_in_whichever_form_it_comes() {
        let callers = Arc::new(Callers::default());
        let _both = [
            callers.admit("10.0.0.1".parse().unwrap()),
            callers.admit("::ffff:10.0.0.1".parse().unwrap()),
        ];
        assert_eq!(callers.lock().callers.len(), 1);
    }

    #[test]
    fn one_address_takes_three_places_for_bodies_and_all_take_eight() {
        let callers = Arc::new(Callers::default());
        let mut taken = Vec::new();
        for last in 0.. {
            let admitted = callers.admit(address(last)).unwrap();
            let before = taken.len();
            while let Some(Some(place)) = admitted.place().now_or_never() {
                taken.push(place);
            }
            if taken.len() == MOST_BODIES {
                break;
            }
            assert_eq!(taken.len() - before, MOST_BODIES_OF_ONE);
        }
        taken.clear();
        assert_eq!(callers.free(), MOST_BODIES);
    }
}
