//! Looks for revocations of keys, now and then, where the objects say that copies are published.
//!
//! Reads the network. What it learns can only take trust away; everything else that a copy offers
//! is left out, and told.

use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use charttrust_verify::openpgp::{self, Certificate, CertificateError, Fingerprint, LeftOut};
use tokio::time::Instant;

use super::queue::Item;
use super::world::LoadedKey;
use super::{Context, Task, learned};
use crate::clock;
use crate::parse::Refresh;
use crate::sources::FetchError;

/// The refresh of one `TrustedKey`, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Errand(String);

impl Item for Errand {
    fn rank(&self) -> u8 {
        0
    }
}

/// The refreshes of all keys that ask for it.
#[derive(Debug, Default)]
pub(super) struct Refreshes(Mutex<BTreeMap<String, State>>);

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
pub(super) enum Outcome {
    /// No copy was found. Why, naming the address.
    Failed(String),
    /// A copy was read. What of it was left out, if anything.
    Seen(String),
}

impl Refreshes {
    /// What is to be said of the refresh of a key.
    pub(super) fn outcome(&self, name: &str) -> Option<Outcome> {
        self.all().get(name)?.outcome.clone()
    }

    /// Notes what is wanted; answers when to look first if that is new.
    fn want(&self, name: &str, wanted: Option<&Refresh>) -> Option<Duration> {
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

    fn wanted(&self, name: &str) -> Option<Refresh> {
        Some(self.all().get(name)?.wanted.clone())
    }

    /// Notes what a look has found; answers how long to wait for the next, unless something else is
    /// wanted meanwhile.
    fn note(
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
        let wait = match state.failures {
            0 => next_wait(name, state.looks, wanted.interval),
            failures => pause(failures, wanted.interval),
        };
        Some(wait.max(least.unwrap_or_default()))
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
    part(interval.min(AT_FIRST), name, 0)
}

/// A tenth less than the interval at most, so that not all operators ask a server at once.
fn next_wait(name: &str, looks: u64, interval: Duration) -> Duration {
    interval.saturating_sub(part(interval / 10, name, looks))
}

/// Exponential, from two seconds on, up to the interval or an hour.
fn pause(failures: u32, interval: Duration) -> Duration {
    let doubled = Duration::from_secs(1).saturating_mul(1 << failures.min(12));
    doubled.min(interval).min(LONGEST_PAUSE)
}

/// A part of a duration that varies by name and number.
fn part(whole: Duration, name: &str, number: u64) -> Duration {
    let mut hasher = std::hash::DefaultHasher::new();
    (name, number).hash(&mut hasher);
    let place = u32::try_from(hasher.finish() % 1000).unwrap_or_default();
    whole * place / 1000
}

/// Has a key looked up as its object wants, or no more.
pub(super) fn plan(context: &Context, name: &str, loaded: Option<&LoadedKey>) {
    let wanted = loaded.and_then(|loaded| loaded.refresh.as_ref());
    if let Some(wait) = context.refreshes.want(name, wanted) {
        let errand = Errand(name.to_owned());
        context.errands.add_at(errand, Instant::now() + wait);
    }
}

/// Looks once, learns what takes trust away, and plans the next look.
pub(super) async fn run(context: &Context, errand: &Errand) {
    let Errand(name) = errand;
    let Some(wanted) = context.refreshes.wanted(name) else {
        return;
    };
    let trust = context.world.trust();
    let loaded = trust.loaded.get(name).map(|loaded| &loaded.key);
    let Some(Ok(key)) = loaded else {
        // As soon as the key can be used, this is planned again.
        context.refreshes.want(name, None);
        return;
    };
    let look = match copy(context, &wanted, key.fingerprint()).await {
        Ok(copy) => Ok(compare(context, name, &key.certificate, &copy).await),
        Err(error) => Err(error),
    };
    if let Some(wait) = context.refreshes.note(name, &wanted, look) {
        context
            .errands
            .add_at(errand.clone(), Instant::now() + wait);
    }
    context.queue.add(Task::KeyStatus(name.clone()));
}

/// The first copy that an address has.
async fn copy(
    context: &Context,
    wanted: &Refresh,
    key: &Fingerprint,
) -> Result<Certificate, FetchError> {
    let mut failure = FetchError::InvalidUrl("the address of the key");
    for address in &wanted.addresses {
        let pinned = key.clone();
        let read = move |bytes: &[u8]| openpgp::load(bytes, &pinned, &[]).map_err(|e| chain(&e));
        match context.fetcher.key(address, read).await {
            Ok(copy) => return Ok(copy),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn chain(error: &CertificateError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Learns from a copy, and says what was left out.
async fn compare(context: &Context, name: &str, own: &Certificate, copy: &Certificate) -> String {
    let now = clock::now();
    match own.learn(copy, now) {
        Ok(news) if !news.is_empty() => {
            tracing::warn!(key = name, "a refresh takes trust away");
            learned::learn(context, own.fingerprint(), &news).await;
        }
        // Invariant: a copy was loaded for the same fingerprint.
        Ok(_) | Err(_) => {}
    }
    told(&own.leave_out(copy, now))
}

fn told(left: &LeftOut) -> String {
    let keys = match left.keys.len() {
        0 => None,
        1 => Some("1 new key".to_owned()),
        many => Some(format!("{many} new keys")),
    };
    let life = left.longer_life.then(|| "a longer life".to_owned());
    let offers: Vec<_> = keys.into_iter().chain(life).collect();
    if offers.is_empty() {
        return String::new();
    }
    format!(
        "the copy offers {}, which only a change of spec.publicKey can bring",
        offers.join(" and ")
    )
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
        assert_eq!(
            all.note("a", &wanted, Err(busy)),
            Some(Duration::from_secs(900))
        );
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

    #[test]
    fn what_is_left_out_is_told_with_the_way_on() {
        let key: Fingerprint = "0".repeat(40).parse().unwrap();
        let left = |keys: usize, longer_life| {
            told(&LeftOut {
                keys: vec![key.clone(); keys],
                longer_life,
            })
        };
        assert_eq!(left(0, false), "");
        assert!(left(1, false).starts_with("the copy offers 1 new key, which"));
        assert!(left(2, true).starts_with("the copy offers 2 new keys and a longer life, which"));
        assert!(left(0, true).contains("a change of spec.publicKey"));
    }
}
