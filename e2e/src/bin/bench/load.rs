//! Load that comes at its own pace, whatever becomes of what came before: a closed loop would send less while the
//! server is slow, and so hide how slow it is.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use crate::Result;
use crate::numbers::Sample;

/// Begins so many things a second, and measures each from when it was to begin.
pub(crate) async fn drive<F>(
    (rate, lasting): (u32, Duration),
    act: impl Fn(usize) -> F,
) -> Result<Sample>
where
    F: Future<Output = Result> + Send + 'static,
{
    let all = u32::try_from(lasting.as_secs()).unwrap_or(u32::MAX);
    let mut next = paced(rate, all.saturating_mul(rate));
    let mut driven = Driven::default();
    while let Some(intended) = next.recv().await {
        driven.begin(intended, &act);
    }
    driven.ended().await
}

/// The same for as long as something else goes on, with what that has come to.
pub(crate) async fn drive_beside<F, T>(
    rate: u32,
    other: impl Future<Output = T>,
    act: impl Fn(usize) -> F,
) -> Result<(T, Sample)>
where
    F: Future<Output = Result> + Send + 'static,
{
    let mut next = paced(rate, u32::MAX);
    let mut driven = Driven::default();
    tokio::pin!(other);
    let came_to = loop {
        tokio::select! {
            biased;
            came_to = &mut other => break came_to,
            intended = next.recv() => driven.begin(intended.ok_or("the pace is lost")?, &act),
        }
    };
    Ok((came_to, driven.ended().await?))
}

/// The moments at which so many things are to begin, each as it comes, until nobody waits for the next.
fn paced(rate: u32, all: u32) -> UnboundedReceiver<Instant> {
    let (sender, next) = unbounded_channel();
    // Timers of tokio know milliseconds only.
    std::thread::spawn(move || {
        let begun = Instant::now();
        for number in 0..all {
            let intended = begun + Duration::from_secs(1) * number / rate;
            std::thread::sleep(intended.saturating_duration_since(Instant::now()));
            if sender.send(intended).is_err() {
                return;
            }
        }
    });
    next
}

/// What was begun.
#[derive(Default)]
struct Driven {
    running: JoinSet<Result<f64>>,
    number: usize,
}

impl Driven {
    fn begin<F>(&mut self, intended: Instant, act: &impl Fn(usize) -> F)
    where
        F: Future<Output = Result> + Send + 'static,
    {
        let acting = act(self.number);
        self.number += 1;
        let measured = async move { acting.await.map(|()| millis(intended.elapsed())) };
        self.running.spawn(measured);
    }

    async fn ended(mut self) -> Result<Sample> {
        let mut times = Vec::with_capacity(self.number);
        while let Some(ended) = self.running.join_next().await {
            times.push(ended??);
        }
        Ok(Sample::of(times))
    }
}

/// One after the other.
pub(crate) async fn repeat(times: usize, act: impl AsyncFn() -> Result) -> Result<Sample> {
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

    #[tokio::test]
    async fn load_beside_something_ends_with_it() {
        let acted = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
        let act = |_| {
            acted.add_permits(1);
            async { Ok(()) }
        };
        let other = async { acted.acquire_many(5).await.is_ok() };
        let (came_to, sample) = drive_beside(100, other, act).await.unwrap();
        assert!(came_to && sample.count() >= 5, "{sample}");
    }
}
