//! Waits for something to become true, and says what it saw if it does not.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Asks `look` until it answers `Ok`, and returns that answer.
///
/// `look` returns what it saw as `Err` while that is not yet what is waited for.
///
/// # Panics
/// With `description` and what was seen last, when `deadline` has passed.
pub async fn eventually<T, E: Display>(
    deadline: Duration,
    description: &str,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let start = Instant::now();
    loop {
        let seen = match look().await {
            Ok(answer) => return answer,
            Err(seen) => seen,
        };
        let waited = start.elapsed();
        assert!(
            waited < deadline,
            "not within {deadline:?}: {description}; seen last: {seen}"
        );
        tokio::time::sleep(POLL).await;
    }
}

const POLL: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answer_is_returned_as_soon_as_it_is_there() {
        let mut looks = 0;
        let answer = eventually(Duration::from_secs(5), "three looks", async || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(looks) }
        })
        .await;
        assert_eq!(answer, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "seen last: a closed door")]
    async fn what_was_seen_last_is_told() {
        let closed = async || Err::<(), _>("a closed door");
        eventually(Duration::ZERO, "an open door", closed).await;
    }
}
