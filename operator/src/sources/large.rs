//! Places for large bodies: few are in memory at a time, in the whole process.
//!
//! An archive may have 20 MiB, and reading an index of 64 MiB takes up to 96: sixteen looks at once would
//! take all that a Pod may have. What is small needs no place, so that nobody waits for it.

use tokio::sync::{Semaphore, SemaphorePermit};

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

/// Waits for a place, first come, first served.
pub(super) async fn place() -> Option<Place> {
    // Invariant: nobody closes the places.
    LARGE.acquire().await.ok()
}
