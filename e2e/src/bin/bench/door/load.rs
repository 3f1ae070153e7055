//! Load that comes at its own pace, whatever becomes of what came before: a closed loop would send less while the
//! server is slow, and so hide how slow it is.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;

use crate::Result;
use crate::numbers::Sample;

/// Begins so many things a second, and measures each from when it was to begin.
pub(super) async fn drive<F>(
    (rate, lasting): (u32, Duration),
    act: impl Fn(usize) -> F,
) -> Result<Sample>
where
    F: Future<Output = Result> + Send + 'static,
{
    let (sender, mut next) = unbounded_channel();
    // Timers of tokio know milliseconds only.
    let pace = std::thread::spawn(move || {
        let begun = Instant::now();
        let all = u32::try_from(lasting.as_secs())
            .unwrap_or(u32::MAX)
            .saturating_mul(rate);
        for number in 0..all {
            let intended = begun + Duration::from_secs(1) * number / rate;
            std::thread::sleep(intended.saturating_duration_since(Instant::now()));
            if sender.send(intended).is_err() {
                return;
            }
        }
    });
    let (mut running, mut number) = (JoinSet::new(), 0);
    while let Some(intended) = next.recv().await {
        let acting = act(number);
        number += 1;
        running.spawn(async move { acting.await.map(|()| millis(intended.elapsed())) });
    }
    pace.join().map_err(|_| "the pace is lost")?;
    let mut times = Vec::with_capacity(number);
    while let Some(ended) = running.join_next().await {
        times.push(ended??);
    }
    Ok(Sample::of(times))
}

/// One after the other.
pub(super) async fn repeat(times: usize, act: impl AsyncFn() -> Result) -> Result<Sample> {
    let mut all = Vec::with_capacity(times);
    for _ in 0..times {
        let begun = Instant::now();
        act().await?;
        all.push(millis(begun.elapsed()));
    }
    Ok(Sample::of(all))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_behind_something_slow_counts_its_wait() {
        let place = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
        let pause = Duration::from_millis(500);
        let sample = drive((100, Duration::from_secs(1)), |number| {
            let place = std::sync::Arc::clone(&place);
            async move {
                let _one = place.acquire().await?;
                if number == 0 {
                    tokio::time::sleep(pause).await;
                }
                Ok(())
            }
        });
        let sample = sample.await.unwrap();
        assert!(sample.at(1000) >= 500.0, "{sample}");
        let waited = sample.at(750);
        assert!(waited > 150.0, "those behind it wait as long: {sample}");
    }
}
