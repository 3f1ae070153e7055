//! How many may have sources asked while they wait, so that no namespace takes the time of all others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Places to wait in.
pub(super) struct Places {
    all: Arc<Semaphore>,
    namespaces: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A place that is taken until this is dropped.
pub(super) struct Taken {
    _one: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// Most at a time.
const MOST: usize = 8;
/// Most of one namespace.
const MOST_OF_ONE: usize = 2;

impl Default for Places {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(MOST)),
            namespaces: Mutex::default(),
        }
    }
}

impl Places {
    /// A place, unless none is free before the deadline.
    pub(super) async fn take(&self, namespace: &str, deadline: Instant) -> Option<Taken> {
        let own = self.of(namespace);
        let take = async {
            // First its own: who waits for that must not hold one of all.
            let one = own.acquire_owned().await.ok()?;
            let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(Taken {
                _one: one,
                _of_all: of_all,
            })
        };
        tokio::time::timeout_at(deadline, take).await.ok()?
    }

    fn of(&self, namespace: &str) -> Arc<Semaphore> {
        let mut namespaces = self
            .namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Nobody waits in the others, and there may be any number of them.
        namespaces.retain(|_, places| Arc::strong_count(places) > 1);
        let new = || Arc::new(Semaphore::new(MOST_OF_ONE));
        Arc::clone(namespaces.entry(namespace.to_owned()).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    async fn take(places: &Places, namespace: &str) -> Option<Taken> {
        places
            .take(namespace, clock::tick() + Duration::from_secs(1))
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn one_namespace_has_two_places_and_all_have_eight() {
        let places = Places::default();
        let mut taken = Vec::new();
        for namespace in ["a", "b", "c", "d"] {
            for _ in 0..MOST_OF_ONE {
                taken.push(take(&places, namespace).await.unwrap());
            }
            assert!(take(&places, namespace).await.is_none(), "{namespace}");
        }
        assert_eq!(taken.len(), MOST);
        assert!(take(&places, "e").await.is_none());
        drop(taken.remove(0));
        assert!(take(&places, "e").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn namespaces_in_which_nobody_waits_are_forgotten() {
        let places = Places::default();
        for number in 0..100 {
            drop(take(&places, &format!("n{number}")).await.unwrap());
        }
        assert!(places.namespaces.lock().unwrap().len() <= 1);
    }
}
