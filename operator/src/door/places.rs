//! How many may have sources asked while they wait, so that no namespace takes the time of all others, and nobody
//! who calls that of API servers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Who calls, and the namespace that he names.
type Who = (IpAddr, Option<String>);

/// Places to wait in.
pub(super) struct Places {
    all: Arc<Semaphore>,
    /// By who calls, and by the namespace that he names.
    own: Mutex<HashMap<Who, Arc<Semaphore>>>,
}

/// Where one that calls waits.
#[derive(Clone, Copy)]
pub(super) struct Queue<'a> {
    places: &'a Places,
    from: IpAddr,
}

/// A place that is taken until this is dropped.
pub(super) struct Taken {
    _places: [OwnedSemaphorePermit; 3],
}

/// Most at a time.
const MOST: usize = 8;
/// Most of one address.
const MOST_OF_CALLER: usize = 6;
/// Most of one namespace.
const MOST_OF_ONE: usize = 2;

impl Default for Places {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(MOST)),
            own: Mutex::default(),
        }
    }
}

impl Places {
    /// Where one that calls from this address waits.
    pub(super) fn queue(&self, from: IpAddr) -> Queue<'_> {
        Queue { places: self, from }
    }

    fn of(&self, from: IpAddr, namespace: Option<&str>) -> Arc<Semaphore> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody waits in the others, and there may be any number of them.
        own.retain(|_, places| Arc::strong_count(places) > 1);
        let most = namespace.map_or(MOST_OF_CALLER, |_| MOST_OF_ONE);
        let whose = (from, namespace.map(str::to_owned));
        let new = || Arc::new(Semaphore::new(most));
        Arc::clone(own.entry(whose).or_insert_with(new))
    }
}

impl Queue<'_> {
    /// A place, unless none is free before the deadline.
    pub(super) async fn take(self, namespace: &str, deadline: Instant) -> Option<Taken> {
        let Self { places, from } = self;
        // The narrowest first: who waits for that must not hold one of others.
        let own = places.of(from, Some(namespace));
        let of_caller = places.of(from, None);
        let take = async {
            let own = own.acquire_owned().await.ok()?;
            let of_caller = of_caller.acquire_owned().await.ok()?;
            let of_all = Arc::clone(&places.all).acquire_owned().await.ok()?;
            Some(Taken {
                _places: [own, of_caller, of_all],
            })
        };
        tokio::time::timeout_at(deadline, take).await.ok()?
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    async fn take(places: &Places, from: u8, namespace: &str) -> Option<Taken> {
        let queue = places.queue([10, 0, 0, from].into());
        let deadline = clock::tick() + Duration::from_secs(1);
        queue.take(namespace, deadline).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_namespace_has_two_places_one_caller_six_and_all_have_eight() {
        let places = Places::default();
        let mut taken = Vec::new();
        for namespace in ["a", "b", "c"] {
            for _ in 0..MOST_OF_ONE {
                taken.push(take(&places, 1, namespace).await.unwrap());
            }
            assert!(take(&places, 1, namespace).await.is_none(), "{namespace}");
        }
        assert_eq!(taken.len(), MOST_OF_CALLER);
        assert!(take(&places, 1, "d").await.is_none());
        // What somebody else asks about the same namespace takes no place there.
        for _ in 0..MOST_OF_ONE {
            taken.push(take(&places, 2, "a").await.unwrap());
        }
        assert_eq!(taken.len(), MOST);
        assert!(take(&places, 3, "e").await.is_none());
        drop(taken.remove(0));
        assert!(take(&places, 3, "e").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn namespaces_in_which_nobody_waits_are_forgotten() {
        let places = Places::default();
        for number in 0..100 {
            drop(take(&places, 1, &format!("n{number}")).await.unwrap());
        }
        assert!(places.own.lock().unwrap().len() <= 2);
    }
}
