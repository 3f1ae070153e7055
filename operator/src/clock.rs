//! The only place that reads a clock. Everything else takes time as an argument.

use jiff::Timestamp;
use tokio::time::Instant;

/// One moment, by both clocks. A reconcile takes it once and passes it down, so that nothing is judged
/// at two instants.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By the wall clock: for dates that people and certificates name.
    pub date: Timestamp,
    /// By the clock that only goes on: for waits.
    pub tick: Instant,
}

impl Moment {
    /// The present one.
    pub fn now() -> Self {
        Self {
            date: now(),
            tick: tick(),
        }
    }
}

/// The present instant, by the wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// The present instant, by the clock that only goes on.
#[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
pub fn tick() -> Instant {
    Instant::now()
}
