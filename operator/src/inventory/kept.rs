//! Records that were read a moment ago and are needed once more: a record says of which chart it is, and when the
//! archive of that is here the two are compared. Asking the API server for it twice would double what a first start
//! costs it.
//!
//! They are kept as they are stored, so that not more decoded ones are in memory than otherwise, and wiped when they
//! go: records hold the values of releases.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::helm::{Packed, RecordKey};

/// Records that are kept. What finds no room is read again.
#[derive(Default)]
pub struct Kept(Mutex<State>);

#[derive(Default)]
struct State {
    all: HashMap<RecordKey, One>,
    /// What all of them take.
    bytes: usize,
}

struct One {
    packed: Packed,
    until: Instant,
}

/// Most bytes that are kept, as they are stored: a few hundred records of usual size, and some of the largest.
const MOST_BYTES: usize = 8 << 20;

/// How long one is kept: as long as a source that answers takes for an archive.
const LONGEST: Duration = Duration::from_secs(30);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

impl Kept {
    /// Keeps a record as it was just read, in place of what was kept of it, if there is room.
    pub fn keep(&self, key: &RecordKey, packed: &Packed, now: Instant) {
        let mut state = self.state();
        state.forget(key);
        state.expire(now);
        if state.bytes.saturating_add(packed.len()) > MOST_BYTES {
            return;
        }
        state.bytes += packed.len();
        let one = One {
            packed: packed.clone(),
            until: now + LONGEST,
        };
        state.all.insert(key.clone(), one);
    }

    /// Gives back what is kept of a record, and keeps it no longer.
    pub fn take(&self, key: &RecordKey) -> Option<Packed> {
        self.state().forget(key)
    }

    /// The same, if it was read at this resource version.
    pub(super) fn take_at(&self, key: &RecordKey, version: &str) -> Option<Packed> {
        let mut state = self.state();
        let is_it = state.all.get(key)?.packed.version() == version;
        is_it.then(|| state.forget(key)).flatten()
    }

    /// Drops what was kept for long enough.
    pub fn expire(&self, now: Instant) {
        self.state().expire(now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, key: &RecordKey) -> Option<Packed> {
        let one = self.all.remove(key)?;
        self.bytes = self.bytes.saturating_sub(one.packed.len());
        Some(one.packed)
    }

    fn expire(&mut self, now: Instant) {
        self.all.retain(|_, one| one.until > now);
        self.bytes = self.all.values().map(|one| one.packed.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::ReleaseId;
    use crate::inventory::helm::Driver;

    fn key(name: &str) -> RecordKey {
        RecordKey {
            release: ReleaseId {
                namespace: "shop".to_owned(),
                name: name.to_owned(),
            },
            driver: Driver::Secret,
            revision: 1,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "any instant does: what passes is added to it"
    )]
    fn now() -> Instant {
        Instant::now()
    }

    fn len(kept: &Kept, name: &str) -> Option<usize> {
        kept.take(&key(name)).map(|packed| packed.len())
    }

    #[tokio::test]
    async fn what_is_kept_is_given_back_once_and_as_it_was_read_last() {
        let (kept, now) = (Kept::default(), now());
        kept.keep(&key("web"), &Packed::of_bytes(7), now);
        kept.keep(&key("web"), &Packed::of_bytes(9), now);
        assert_eq!(len(&kept, "other"), None);
        assert_eq!(len(&kept, "web"), Some(9));
        assert_eq!(len(&kept, "web"), None);
    }

    #[tokio::test]
    async fn what_finds_no_room_is_not_kept_and_nothing_older_instead_of_it() {
        let (kept, now) = (Kept::default(), now());
        kept.keep(&key("large"), &Packed::of_bytes(MOST_BYTES - 10), now);
        kept.keep(&key("fits"), &Packed::of_bytes(10), now);
        kept.keep(&key("more"), &Packed::of_bytes(1), now);
        assert_eq!(len(&kept, "more"), None);
        kept.keep(&key("fits"), &Packed::of_bytes(11), now);
        assert_eq!(len(&kept, "fits"), None, "the record has changed since");
        assert_eq!(len(&kept, "large"), Some(MOST_BYTES - 10));
        kept.keep(&key("more"), &Packed::of_bytes(MOST_BYTES), now);
        assert_eq!(
            len(&kept, "more"),
            Some(MOST_BYTES),
            "all room is given back"
        );
    }

    #[tokio::test]
    async fn what_nobody_asks_for_is_wiped_and_makes_room() {
        let (kept, now) = (Kept::default(), now());
        kept.keep(&key("web"), &Packed::of_bytes(MOST_BYTES), now);
        kept.expire(now + LONGEST - Duration::from_millis(1));
        kept.keep(&key("next"), &Packed::of_bytes(1), now);
        assert_eq!(len(&kept, "next"), None);
        kept.expire(now + LONGEST);
        assert_eq!(len(&kept, "web"), None);
        kept.keep(&key("web"), &Packed::of_bytes(MOST_BYTES), now);
        kept.keep(&key("next"), &Packed::of_bytes(1), now + LONGEST);
        assert_eq!(len(&kept, "next"), Some(1));
    }
}
