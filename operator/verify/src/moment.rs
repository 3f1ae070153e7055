//! Moments as evidence stores them: in whole seconds.

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

/// The second that is not earlier than an instant. One that was rounded down could be older than a revocation
/// that it is younger than.
pub(crate) fn next_second(instant: Timestamp) -> Timestamp {
    let round = TimestampRound::new()
        .smallest(Unit::Second)
        .mode(RoundMode::Ceil);
    instant.round(round).unwrap_or(instant)
}
