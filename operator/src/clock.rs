//! The only place that reads a clock. Everything else takes time as an argument.

use jiff::Timestamp;

/// The present instant, by the wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
