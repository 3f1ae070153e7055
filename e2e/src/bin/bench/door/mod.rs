//! What the webhook costs whoever installs: through the API server beside one that looks at nothing, and alone.
//!
//! All of it is about archives that the webhook remembers and trusts. The load is that of dry runs: the API server
//! asks its webhooks and stores nothing, so that what is measured is the webhook and not the store.

mod load;
mod stand;

use std::time::Duration;

use self::load::{drive, repeat};
use self::stand::{Size, Stand, Variant};
use crate::numbers::{Load, Outcome, Ratio, Sample};
use crate::{Arguments, Result};

/// What is promised (`docs/performance.md`).
const MOST_RATIO: f64 = 1.15;
/// Mebibytes.
const MOST_GROWTH: f64 = 64.0;

/// The row.
pub(crate) async fn row(arguments: &Arguments) -> Result {
    println!("preparing a webhook, one that looks at nothing, and records of four sizes …");
    let stand = Stand::set(arguments).await?;
    let idle = stand.memory()[0];
    let asked = stand.asked()?;
    let load = Load::now();
    let mut is_met = alone(&stand).await?;
    let wave = (200, Duration::from_secs(arguments.seconds));
    for rate in &arguments.rates {
        is_met &= through(&stand, arguments, *rate).await?;
    }
    println!("\nmemory of the webhook, grown beside {idle} KiB");
    stand.switch(Variant::Ours).await?;
    drive(wave, |number| stand.create(Size::Usual, number)).await?;
    is_met &= grown(&stand, idle, "200/s of 8 KiB through the API server");
    let wave = (50, wave.1);
    drive(wave, |_| stand.review(Variant::Ours, Size::Largest)).await?;
    is_met &= grown(&stand, idle, "50/s of 1 MiB at the handler");
    let (sources, server) = stand.asked()?;
    let (sources, server) = (sources - asked.0, &server[asked.1.len()..]);
    println!(
        "\nasked meanwhile: sources {sources}, the API server {} {server:?} (goal: nobody)",
        server.len()
    );
    is_met &= sources + server.len() == 0;
    println!("load from outside: {} % of the machine", load.outside());
    println!("all goals are met: {is_met}");
    Ok(())
}

/// The handler alone: one request after the other on a connection of its own.
async fn alone(stand: &Stand) -> Result<bool> {
    println!("\nthe handler alone, one request after the other");
    let mut are_met = true;
    for (size, times, goal) in [
        (Size::Small, 3000, 1.0),
        (Size::Medium, 1000, 2.0),
        (Size::Largest, 300, 15.0),
    ] {
        let of = async |variant| -> Result<Sample> {
            let act = async || stand.review(variant, size).await;
            repeat(times / 10, &act).await?;
            repeat(times, &act).await
        };
        let (ours, noop) = (of(Variant::Ours).await?, of(Variant::Noop).await?);
        let outcome = Outcome::at_most(goal, ours.at(990));
        are_met &= outcome == Outcome::Met;
        let bytes = stand.bytes(size);
        println!(
            "  {:<8} {bytes:>7} B  ours   {ours}  (goal: p99 {goal} ms{outcome})",
            size.word(),
        );
        println!("                      no-op  {noop}");
    }
    Ok(are_met)
}

/// Through the API server at one rate: ours, one that looks at nothing and none, in turns.
async fn through(stand: &Stand, arguments: &Arguments, rate: u32) -> Result<bool> {
    let wave = (rate, Duration::from_secs(arguments.seconds));
    let mut all = Variant::ALL.map(|_| Vec::new());
    for _ in 0..arguments.rounds {
        for (variant, samples) in Variant::ALL.into_iter().zip(&mut all) {
            stand.switch(variant).await?;
            // Connections are made, and whoever starts late is there.
            drive((rate, WARM), |number| stand.create(Size::Usual, number)).await?;
            let before = stand.answered(variant).await?;
            samples.push(drive(wave, |number| stand.create(Size::Usual, number)).await?);
            let answered = stand.answered(variant).await? - before;
            let sent = u64::from(rate) * arguments.seconds;
            if variant != Variant::Nobody && answered < sent {
                return Err(format!("{variant:?} has answered {answered} of {sent}").into());
            }
        }
    }
    println!("\nthrough the API server, {rate}/s of 8 KiB, from the intended start");
    for (variant, samples) in Variant::ALL.iter().zip(&all) {
        println!("  {:<7} {}", variant.word(), Sample::all(samples));
    }
    let [ours, noop, _] = &all;
    let of = |thousandths| {
        let rounds = ours.iter().zip(noop);
        Ratio::of(rounds.map(|(ours, noop)| (ours.at(thousandths), noop.at(thousandths))))
    };
    let p99 = of(990);
    let outcome = Outcome::at_most(MOST_RATIO, p99.median());
    println!("  ours / no-op  p50 {}", of(500));
    println!("  ours / no-op  p99 {p99} (goal: {MOST_RATIO}{outcome})");
    Ok(outcome == Outcome::Met)
}

/// Before what is measured.
const WARM: Duration = Duration::from_secs(2);

fn grown(stand: &Stand, idle: u64, what: &str) -> bool {
    let grown = stand.memory()[1].saturating_sub(idle);
    let mebibytes = f64::from(u32::try_from(grown).unwrap_or(u32::MAX)) / 1024.0;
    let outcome = Outcome::at_most(MOST_GROWTH, mebibytes);
    println!("  {what:<40} {mebibytes:.1} MiB at the peak (goal: {MOST_GROWTH}{outcome})");
    outcome == Outcome::Met
}
