//! What many quarantines would ask the API server for at the same time, of the whole cluster: what was found is good
//! for a second, for a look that was asked for before the list began.
//!
//! What was there when a look was asked for is never missed: a webhook that was made a moment before its release is
//! contained is seen. What changes later is found by the next look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long it is good for at most.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// What was listed last.
#[derive(Debug)]
pub(super) struct Recent<T>(tokio::sync::Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(tokio::sync::Mutex::default())
    }
}

impl<T> Recent<T> {
    /// What was listed since then and within the last second, or else what is listed now: once for all that ask
    /// meanwhile.
    ///
    /// # Errors
    /// What the list says; the next one lists again.
    pub(super) async fn get<E>(
        &self,
        (tick, since): (fn() -> Instant, Instant),
        list: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let mut known = self.0.lock().await;
        let now = tick();
        if let Some((_, found)) = known
            .as_ref()
            .filter(|(began, _)| is_fresh(*began, since, now))
        {
            return Ok(Arc::clone(found));
        }
        // Good for a second from when it was asked for, and not from when the answer came.
        *known = None;
        let found = Arc::new(list().await?);
        *known = Some((now, Arc::clone(&found)));
        Ok(found)
    }
}

fn is_fresh(began: Instant, since: Instant, now: Instant) -> bool {
    began >= since && now < began + FRESH
}

/// Of which kinds there was nothing, and when that was asked. Most clusters have none or one of those that deploy
/// releases.
#[derive(Debug, Default)]
pub(super) struct Absent(Mutex<BTreeMap<String, Instant>>);

impl Absent {
    /// Whether there was none since then and within the last second.
    pub(super) fn is_known(&self, list: &str, since: Instant, now: Instant) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(list)
            .is_some_and(|began| is_fresh(*began, since, now))
    }

    /// Notes that there was none when it was asked then.
    pub(super) fn note(&self, list: String, began: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, other| began < *other + FRESH);
        known.insert(list, began);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "nothing is judged by it")]
    fn tick() -> Instant {
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_listed_is_good_for_a_second_from_when_it_was_asked_for() {
        let (recent, lists) = (Recent::default(), AtomicUsize::new(0));
        let begin = tick();
        let look = async |since| {
            let list = async || {
                tokio::time::sleep(FRESH / 2).await;
                Ok::<_, Infallible>(lists.fetch_add(1, Ordering::SeqCst))
            };
            let Ok(found) = recent.get((tick, since), list).await;
            *found
        };
        let all = (0..8).map(|_| look(begin));
        let found = futures::future::join_all(all).await;
        assert_eq!(found, [0; 8], "one list for all");
        let later = begin + Duration::from_millis(1);
        assert_eq!(look(later).await, 1, "asked for after that list began");
        assert_eq!(look(later).await, 1);
        tokio::time::advance(FRESH / 2).await;
        assert_eq!(look(later).await, 2, "a second after it was asked for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_failed_is_asked_for_again() {
        let recent = Recent::default();
        let now = (tick as fn() -> Instant, tick());
        let failed = recent.get(now, async || Err::<(), _>("no answer"));
        assert_eq!(failed.await, Err("no answer"));
        let found = recent.get(now, async || Ok::<_, &str>(()));
        assert!(found.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_absent_is_looked_for_again_after_a_second() {
        let (absent, now) = (Absent::default(), tick());
        assert!(!absent.is_known("applications", now, now));
        absent.note("applications".to_owned(), now);
        assert!(absent.is_known("applications", now, now));
        let later = now + Duration::from_millis(1);
        assert!(!absent.is_known("applications", later, later));
        assert!(!absent.is_known("helmreleases", now, now));
        assert!(!absent.is_known("applications", now, now + FRESH));
        absent.note("helmreleases".to_owned(), now + FRESH);
        assert_eq!(absent.0.lock().unwrap().len(), 1, "the rest is forgotten");
    }
}
