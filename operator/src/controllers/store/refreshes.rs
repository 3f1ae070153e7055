//! The refreshes of keys: what is wanted, and what became of the last looks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::controllers::backoff;
use crate::parse::Refresh;
use crate::sources::FetchError;

/// The refreshes of all keys that ask for it.
#[derive(Debug, Default)]
pub struct Refreshes(Mutex<BTreeMap<String, State>>);

#[derive(Clone, Debug)]
struct State {
    wanted: Refresh,
    /// How often was looked.
    looks: u64,
    /// How many looks in a row gave nothing usable.
    failures: u32,
    /// What there is to say; nothing before the first look.
    outcome: Option<Outcome>,
}

/// What became of the last looks. Equal looks give equal outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No copy was found. Why, naming the address.
    Failed(String),
    /// A copy was read. What of it was left out, if anything.
    Seen(String),
}

impl Refreshes {
    /// What is to be said of the refresh of a key.
    pub fn outcome(&self, name: &str) -> Option<Outcome> {
        self.all().get(name)?.outcome.clone()
    }

    /// Notes what is wanted; answers when to look first if that is new.
    pub fn want(&self, name: &str, wanted: Option<&Refresh>) -> Option<Duration> {
        let mut all = self.all();
        let Some(wanted) = wanted else {
            all.remove(name);
            return None;
        };
        if all.get(name).is_some_and(|known| known.wanted == *wanted) {
            return None;
        }
        let state = State {
            wanted: wanted.clone(),
            looks: 0,
            failures: 0,
            outcome: None,
        };
        all.insert(name.to_owned(), state);
        Some(first_wait(name, wanted.interval))
    }

    /// What is wanted for a key, if anything.
    pub fn wanted(&self, name: &str) -> Option<Refresh> {
        Some(self.all().get(name)?.wanted.clone())
    }

    /// Notes what a look has found; answers how long to wait for the next, unless something else is
    /// wanted meanwhile.
    pub fn note(
        &self,
        name: &str,
        wanted: &Refresh,
        look: Result<String, FetchError>,
    ) -> Option<Duration> {
        let mut all = self.all();
        let state = all.get_mut(name).filter(|state| state.wanted == *wanted)?;
        state.looks += 1;
        let least = look.as_ref().err().and_then(FetchError::retry_after);
        match look {
            Ok(left_out) => {
                state.failures = 0;
                state.outcome = Some(Outcome::Seen(left_out));
            }
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                let was_seen = matches!(state.outcome, Some(Outcome::Seen(_)));
                if !was_seen || state.failures >= WORTH_TELLING {
                    state.outcome = Some(Outcome::Failed(error.to_string()));
                }
            }
        }
        Some(match state.failures {
            0 => next_wait(name, state.looks, wanted.interval),
            failures => {
                let wait = pause(failures, wanted.interval).max(least.unwrap_or_default());
                backoff::spread(wait, &(name, state.looks))
            }
        })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After a success, how many failures in a row are told.
const WORTH_TELLING: u32 = 3;

/// Longest wait for the first look after a start or a change.
const AT_FIRST: Duration = Duration::from_secs(10);

/// Longest wait after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Soon, but not for all keys at once.
fn first_wait(name: &str, interval: Duration) -> Duration {
    backoff::part(interval.min(AT_FIRST), &name)
}

/// A tenth less than the interval at most, so that not all operators ask a server at once.
fn next_wait(name: &str, looks: u64, interval: Duration) -> Duration {
    interval.saturating_sub(backoff::part(interval / 10, &(name, looks)))
}

/// Up to the interval or an hour.
fn pause(failures: u32, interval: Duration) -> Duration {
    backoff::pause(failures, interval.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn refresh(interval: Duration) -> Refresh {
        Refresh {
            interval,
            addresses: vec!["https://example.com/a".to_owned()],
        }
    }

    fn silence() -> FetchError {
        FetchError::Timeout("https://example.com/a".to_owned())
    }

    #[test]
    fn a_wish_is_planned_once_until_it_changes() {
        let all = Refreshes::default();
        let (often, seldom) = (refresh(Duration::from_secs(1)), refresh(DAY));
        assert!(all.want("a", Some(&often)).unwrap() < Duration::from_secs(1));
        assert_eq!(all.want("a", Some(&often)), None);
        assert!(all.want("a", Some(&seldom)).unwrap() < AT_FIRST);
        assert_eq!(all.want("a", None), None);
        assert_eq!(all.wanted("a"), None);
        assert!(all.want("a", Some(&seldom)).is_some());
    }

    #[test]
    fn looks_keep_the_interval_or_come_a_little_earlier() {
        let all = Refreshes::default();
        let wanted = refresh(DAY);
        all.want("a", Some(&wanted));
        let waits: Vec<_> = (0..50)
            .map(|_| all.note("a", &wanted, Ok(String::new())).unwrap())
            .collect();
        assert!(
            waits
                .iter()
                .all(|wait| *wait <= DAY && *wait >= DAY * 9 / 10)
        );
        assert!(waits.iter().any(|wait| *wait != waits[0]), "they vary");
    }

    #[test]
    fn failures_wait_longer_and_longer_but_never_beyond_interval_or_hour() {
        let wait = |failures, interval| pause(failures, interval).as_secs();
        assert_eq!([1, 2, 3].map(|failures| wait(failures, DAY)), [2, 4, 8]);
        assert_eq!(wait(u32::MAX, DAY), 3600);
        assert_eq!(wait(u32::MAX, Duration::from_secs(60)), 60);
    }

    #[test]
    fn a_server_that_asks_for_patience_gets_it() {
        let all = Refreshes::default();
        let wanted = refresh(DAY);
        all.want("a", Some(&wanted));
        let busy = FetchError::Status {
            code: 429,
            retry_after: Some(Duration::from_secs(900)),
            url: String::new(),
        };
        let wait = all.note("a", &wanted, Err(busy)).unwrap();
        assert!(wait >= Duration::from_secs(900), "{wait:?}");
    }

    #[test]
    fn a_first_failure_is_told_at_once_and_a_later_one_if_it_lasts() {
        let all = Refreshes::default();
        let wanted = refresh(DAY);
        all.want("a", Some(&wanted));
        assert_eq!(all.outcome("a"), None);
        let failed = Some(Outcome::Failed(silence().to_string()));
        let seen = Some(Outcome::Seen(String::new()));
        let after = |look| {
            all.note("a", &wanted, look);
            all.outcome("a")
        };
        assert_eq!(after(Err(silence())), failed);
        assert_eq!(after(Ok(String::new())), seen);
        assert_eq!(after(Err(silence())), seen);
        assert_eq!(after(Err(silence())), seen);
        assert_eq!(after(Err(silence())), failed);
        assert_eq!(after(Ok(String::new())), seen);
    }

    #[test]
    fn a_look_for_what_is_wanted_no_more_says_nothing() {
        let all = Refreshes::default();
        let (before, after) = (refresh(DAY), refresh(Duration::from_secs(60)));
        all.want("a", Some(&before));
        all.want("a", Some(&after));
        assert_eq!(all.note("a", &before, Err(silence())), None);
        assert_eq!(all.outcome("a"), None);
        assert_eq!(all.note("b", &after, Err(silence())), None);
    }
}
