//! What happens to many objects at once is told of the first few.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often one thing was told of late.
#[derive(Debug, Default)]
pub struct Few(Mutex<Option<(Instant, usize)>>);

/// How many are told of before there is a pause.
const AT_MOST: usize = 5;
/// How long nothing happens before it is news again.
const PAUSE: Duration = Duration::from_secs(60);

impl Few {
    /// Whether one more is to be told of.
    pub fn is_one_more(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.filter(|(at, _)| now.saturating_duration_since(*at) < PAUSE);
        let count = before.map_or(0, |(_, count)| count);
        *last = Some((now, count.saturating_add(1)));
        count < AT_MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_many_the_first_few_are_told_and_after_a_pause_again() {
        let (few, start) = (Few::default(), crate::clock::tick());
        let told = |at: Duration| (0..300).filter(|_| few.is_one_more(start + at)).count();
        assert_eq!(told(Duration::ZERO), AT_MOST);
        assert_eq!(told(Duration::from_secs(59)), 0);
        assert_eq!(told(Duration::from_secs(118)), 0, "it has not stopped");
        assert_eq!(told(Duration::from_secs(200)), AT_MOST);
    }
}
