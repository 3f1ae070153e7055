//! Seconds since 1970, in which all rules are computed, and timestamps.

use jiff::Timestamp;

use super::limits;

/// The timestamp of a second; sums of two 32-bit numbers are far inside its range.
pub(super) fn timestamp(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

/// Whether a creation time is further ahead of the clock than clocks differ.
pub(super) fn is_future(created: i64, now: i64) -> bool {
    now < begins(created)
}

/// The first second at which what was created then is no longer ahead of the clock.
pub(super) fn begins(created: i64) -> i64 {
    created.saturating_sub(limits::CLOCK_SKEW_SECONDS)
}
