//! P25: how long a start takes with nothing there, and how large the program is.

use std::time::{Duration, Instant};

use crate::numbers::real;
use crate::numbers::{Load, Outcome, Sample};
use crate::run::{Bench, PATIENCE};
use crate::{Arguments, Result};

/// Starts, at least.
const LEAST_ROUNDS: usize = 7;
/// Between two looks: a tenth of the least time that could matter.
const POLL: Duration = Duration::from_millis(2);

/// The row. There are no releases yet.
pub(crate) async fn row(bench: &Bench, arguments: &Arguments) -> Result {
    let load = Load::now();
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut times = Vec::new();
    for _ in 0..arguments.rounds.max(LEAST_ROUNDS) {
        let begun = Instant::now();
        let operator = bench.start(&[])?;
        let ready = format!("http://{}/readyz", operator.health());
        loop {
            let answer = http.get(&ready).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                break;
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("it does not become ready: {}", operator.log()).into());
            }
            tokio::time::sleep(POLL).await;
        }
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    let times = Sample::of(times);
    let [least, median, most] = [1, 500, 1000].map(|thousandths| times.at(thousandths));
    let outcome = Outcome::at_most(500.0, median);
    println!("\na start with nothing there");
    println!(
        "  P25 to readyz          {median:.0} ms ({least:.0}–{most:.0}, {} starts) (goal: at most 500{outcome})",
        times.count()
    );
    let bytes = std::fs::metadata(bench.binary())?.len();
    let mebibytes = real(usize::try_from(bytes)?) / f64::from(1 << 20);
    let outcome = Outcome::at_most(25.0, mebibytes);
    println!(
        "  P25 the binary         {bytes} bytes, {mebibytes:.1} MiB (goal: at most 25{outcome})"
    );
    println!("  load from outside      {} %", load.outside());
    Ok(())
}
