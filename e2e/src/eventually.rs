//! Waits for something to become true, or to stay so, and says what it saw if it does not.

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
    look: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    within(deadline, look).await.unwrap_or_else(|seen| {
        panic!("not within {deadline:?}: {description}; seen last: {seen}");
    })
}

/// Asks `look` until it answers `Ok`, and returns that answer.
///
/// # Errors
/// What was seen last, when `deadline` has passed.
pub async fn within<T, E>(
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let start = Instant::now();
    loop {
        match look().await {
            Err(_) if start.elapsed() < deadline => tokio::time::sleep(POLL).await,
            seen => return seen,
        }
    }
}

/// Asks `look` again and again for this long: that something stays so has no other proof.
///
/// # Errors
/// The first that `look` answers.
pub async fn lasting<E>(
    time: Duration,
    mut look: impl AsyncFnMut() -> Result<(), E>,
) -> Result<(), E> {
    let start = Instant::now();
    while start.elapsed() < time {
        look().await?;
        tokio::time::sleep(POLL).await;
    }
    look().await
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

    #[tokio::test]
    async fn what_ends_does_not_last() {
        let mut looks = 0;
        let once = async || {
            looks += 1;
            if looks == 1 { Ok(()) } else { Err(looks) }
        };
        assert_eq!(lasting(Duration::from_secs(5), once).await, Err(2));
        let always = async || Ok::<_, ()>(());
        assert_eq!(lasting(Duration::from_millis(1), always).await, Ok(()));
    }
}
