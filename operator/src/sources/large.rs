//! Places for large bodies: few are in memory at a time, in the whole process.
//!
//! An archive may have 20 MiB, and reading an index of 64 MiB takes up to 96: sixteen looks at once would
//! take all that a Pod may have. What is small needs no place, so that nobody waits for it.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::sleep;

use super::error::Part;

/// A place; dropping it lets the next have it.
pub(super) type Place = SemaphorePermit<'static>;

/// From how many bytes on a body needs a place. Most archives have less. What is read of an index may take
/// twenty times its bytes meanwhile.
pub(super) fn few_bytes(part: Part) -> u64 {
    if part == Part::Index {
        256 << 10
    } else {
        2 << 20
    }
}

/// How many large bodies there are at a time; two, so that one source that is slow stops no other.
const MOST_LARGE: usize = 2;

static LARGE: Semaphore = Semaphore::const_new(MOST_LARGE);

/// How many wait for a place.
static WAITING: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::Sender::new(0));

/// Waits for a place, first come, first served.
pub(super) async fn place() -> Option<Place> {
    let _waiting = Waiting::begin();
    // Invariant: nobody closes the places.
    LARGE.acquire().await.ok()
}

/// Until what is left of the turn of a body is over, and others wait: one that comes a byte at a time would keep
/// their places for as long as it likes. What has no place keeps nobody waiting.
pub(super) async fn is_wanted_back(place: Option<&Place>, left: Duration) {
    if place.is_none() {
        return std::future::pending().await;
    }
    sleep(left).await;
    // Invariant: nobody drops the sender.
    let _ = WAITING.subscribe().wait_for(|waiting| *waiting > 0).await;
}

/// Counts one who waits, also one who goes away meanwhile.
struct Waiting;

impl Waiting {
    fn begin() -> Self {
        WAITING.send_modify(|waiting| *waiting += 1);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.send_modify(|waiting| *waiting -= 1);
    }
}
